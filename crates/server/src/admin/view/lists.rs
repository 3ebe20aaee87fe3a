//! Lists with the filters of the control API.

use std::collections::HashMap;

use control::{
    Connection, ConnectionQuery, FileQuery, OpenFile, Refusal, RefusalQuery, Session, SessionQuery,
    SessionShare,
};
use wire::{SessionGlobalId, ShareName};

use super::shown;
use crate::admin::{Caller, Error, Own, Right, Scope, Selection, connections_within, saturated};
use crate::core::server::Server;

/// An entry that was examined for a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Looked<T> {
    /// The id of the entry; the next page continues after it.
    pub(crate) id: u64,
    /// The entry; `None` if a filter excludes it.
    pub(crate) shown: Option<T>,
}

/// The shares that sessions are connected to.
pub(super) type SharesOfSessions = HashMap<SessionGlobalId, Vec<SessionShare>>;

/// The sessions that the query matches.
pub(crate) fn sessions<'a>(
    server: &'a Server,
    caller: &'a Caller,
    query: &'a SessionQuery,
) -> Result<impl Iterator<Item = Looked<Session>> + 'a, Error> {
    let meant = Selection {
        mine: query.mine.unwrap_or_default(),
        ..meant(server, &query.client, &query.user, &None)
    };
    // The selection has compared the user already, in all the forms that its name has.
    let query = SessionQuery { user: None, ..query.clone() };
    let all = crate::admin::sessions(server, caller, meant, after(query.after))?;
    let shares = shares_of_sessions(server, caller, None);
    Ok(all.map(move |it| {
        let session = shown::session(server, &it, &shares);
        Looked { id: it.global_id.value().into(), shown: query.matches(&session).then_some(session) }
    }))
}

/// The opens that the query matches.
pub(crate) fn files<'a>(
    server: &'a Server,
    caller: &'a Caller,
    query: &'a FileQuery,
) -> Result<impl Iterator<Item = Looked<OpenFile>> + 'a, Error> {
    let mut meant = meant(server, &query.client, &query.user, &query.share);
    let query = FileQuery { user: None, ..query.clone() };
    meant.filter.session = query.session.and_then(SessionGlobalId::new);
    meant.mine = query.mine.unwrap_or_default();
    let now = shown::timestamp(server.now());
    // No session has the number 0, and without a number the registry would list the opens of all.
    let most = if query.session == Some(0) { 0 } else { usize::MAX };
    let all = crate::admin::files(server, caller, meant, after(query.after))?.take(most);
    Ok(all.map(move |it| {
        let file = shown::file(server, &it);
        Looked { id: it.global_id.value().into(), shown: query.matches(&file, now).then_some(file) }
    }))
}

/// The tree connects that the query matches.
pub(crate) fn connections<'a>(
    server: &'a Server,
    caller: &'a Caller,
    query: &ConnectionQuery,
) -> Result<impl Iterator<Item = Looked<Connection>> + 'a, Error> {
    let meant = meant(server, &query.client, &query.user, &query.share);
    let all = crate::admin::connections(server, caller, meant, after(query.after))?;
    Ok(all.map(move |it| Looked {
        id: it.global_id.value().into(),
        shown: Some(shown::connection(server, &it)),
    }))
}

/// The remembered refusals that the query matches, the earliest first.
pub(crate) fn refusals<'a>(
    server: &'a Server,
    caller: &'a Caller,
    query: &'a RefusalQuery,
) -> Result<impl Iterator<Item = Looked<Refusal>> + 'a, Error> {
    let account = Selection::of(server, None, query.user.as_deref()).filter.account;
    let all = crate::admin::refusals(server, caller)?.into_iter();
    let all = all.filter(|it| query.after.is_none_or(|after| it.number > after));
    Ok(all.map(move |it| Looked {
        id: it.number,
        shown: shown::matching_refusal(&it, account.as_ref(), query),
    }))
}

/// The shares that all sessions, or this one, are connected to, as far as the caller may see them. Part of
/// lists of sessions, which check the right.
pub(super) fn shares_of_sessions(
    server: &Server,
    caller: &Caller,
    session: Option<SessionGlobalId>,
) -> SharesOfSessions {
    let scope = Scope::of(caller, Right::ReadSessions, Own::Too);
    let mut meant = Selection::default();
    meant.filter.session = session;
    let mut all = SharesOfSessions::new();
    for tree in connections_within(server, scope, meant, None) {
        let shares = all.entry(tree.session).or_default();
        let opens = saturated(tree.opens);
        match shares.iter_mut().find(|it| *it.name == *tree.share) {
            Some(share) => share.opens = share.opens.map(|before| before.saturating_add(opens)),
            None => {
                let kind = shown::kind_of(server, &tree.share);
                shares.push(SessionShare { name: tree.share.to_string(), kind, opens: Some(opens) });
            }
        }
    }
    all
}

fn meant(
    server: &Server,
    client: &Option<String>,
    user: &Option<String>,
    share: &Option<String>,
) -> Selection {
    let mut meant = Selection::of(server, client.as_deref(), user.as_deref());
    meant.filter.share = share.as_deref().map(ShareName::new);
    meant
}

/// The id to continue after. Ids have 32 bits, so after a larger number there are no entries.
fn after(after: Option<u64>) -> Option<u32> {
    after.map(|id| u32::try_from(id).unwrap_or(u32::MAX))
}
