//! Queries to the history in the form of the control API.

use std::sync::Arc;

use control::{Access, History, HistoryEntry, HistoryName, HistoryQuery, Timestamp, address, limits};
use journal::{Found, Kind, Kinds, Place, Query, Within};
use wire::AccessMask;

use super::malformed;
use super::who::usable;
use crate::admin::{self, Caller, Explained, Past};
use crate::core::server::Server;

/// The entries of the history that match and that the caller may see. This waits for the disk.
pub(crate) fn history(
    server: &Arc<Server>,
    caller: &Caller,
    query: &HistoryQuery,
) -> Result<History, Explained> {
    let limit = query.limit.unwrap_or(limits::HISTORY_DEFAULT);
    if !(1..=limits::HISTORY_MAX).contains(&limit) {
        return Err(malformed(format!("limit is 1 to {}", limits::HISTORY_MAX)));
    }
    if query.since.zip(query.until).is_some_and(|(since, until)| since > until) {
        return Err(malformed("since is later than until"));
    }
    // With `until`, a page of the entries of one time begins before it.
    if query.at.is_some() && query.since.is_some() {
        return Err(malformed("at is one time, and since begins a span; give one of both"));
    }
    let within = match (&query.path, &query.share) {
        (None, None) => Within::Everything,
        (path, share) => {
            let path = path.as_deref().unwrap_or_default();
            let wanted = usable(admin::wanted_in_past(server, path, share.as_deref()), path)
                .map_err(|refused| refused.naming_shares(server, caller))?;
            let place = |it: &admin::SharePath| Place { share: it.share.clone(), path: it.path.clone() };
            Within::Places(wanted.places().iter().map(place).collect())
        }
    };
    let user = query.user.as_deref().filter(|it| !it.is_empty()).map(|text| {
        let (account, _) = server.user_meant(text);
        let is_meant: journal::UserCondition = Box::new(move |domain, name| account.is(domain, name));
        is_meant
    });
    let client = query.client.clone().filter(|it| !it.is_empty()).map(|meant| {
        let is_meant: journal::ClientCondition =
            Box::new(move |client| address::same_computer(client, &meant));
        is_meant
    });
    let past = admin::history(
        server,
        caller,
        Query {
            within,
            kinds: kinds(query.kinds.as_deref())?,
            at_ms: query.at.map(|it| it.0),
            since_ms: query.since.map(|it| it.0),
            until_ms: query.until.map(|it| it.0),
            user,
            client,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            ..Query::default()
        },
    )?;
    Ok(shown(past))
}

/// The kinds with these words.
fn kinds(words: Option<&str>) -> Result<Kinds, Explained> {
    let Some(words) = words else { return Ok(Kinds::all()) };
    let mut kinds = Kinds { entries: Vec::new(), acts: false };
    for given in words.split(',') {
        match Kind::ALL.into_iter().find(|kind| word(*kind) == given) {
            Some(kind) => kinds.entries.push(kind),
            None if given == ACT => kinds.acts = true,
            None => return Err(malformed(format!("{given:?} is no kind of entry"))),
        }
    }
    Ok(kinds)
}

fn shown(past: Past) -> History {
    let time = |ms: i64| Timestamp(ms);
    let names = past.answer.names.into_iter().map(|it| HistoryName {
        share: it.share,
        path: it.path,
        since: it.since_ms.map(time),
        until: it.until_ms.map(time),
        later: it.is_later,
    });
    History {
        names: names.collect(),
        has_earlier: past.answer.has_earlier,
        begins: past.answer.begins_ms.map(time),
        items: past.answer.found.into_iter().map(entry).collect(),
        left_out: past.status.as_ref().map(|it| it.left_out),
        failure: past.status.and_then(|it| it.failure),
        ..History::default()
    }
}

fn entry(found: Found) -> HistoryEntry {
    let is_deletion = found.kind == Some(Kind::Deleted);
    let is_drain = found.kind == Some(Kind::Drain);
    HistoryEntry {
        id: u64::try_from(found.id.0).unwrap_or_default(),
        kind: String::from(found.kind.map_or(ACT, word)),
        at: Timestamp(found.at_ms),
        ended_at: found.end_ms.map(Timestamp),
        share: found.share,
        path: found.path,
        new_path: found.to.clone().filter(|_| !is_deletion),
        user: found.user,
        computer: found.client,
        session_id: found.session,
        file_id: found.file,
        access: found.access.map(|mask| Access::of_mask(AccessMask(mask))),
        bytes_read: found.read,
        bytes_written: found.written,
        reason: found.reason,
        holder_file_id: found.blocker_file,
        holder_user: found.blocker_user,
        holder_computer: found.blocker_client,
        missing: found.count.filter(|_| !is_drain),
        act: found.act,
        object: found.object,
        outcome: found.outcome,
        replaced_by: found.to.filter(|_| is_deletion),
        closed: found.count.filter(|_| is_drain),
    }
}

/// The word for a kind.
const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Session => "session",
        Kind::Open => "open",
        Kind::Deleted => "deleted",
        Kind::Renamed => "renamed",
        Kind::Refused => "refused",
        Kind::LogonRefused => "logon_refused",
        Kind::Gap => "gap",
        Kind::Drain => "drain",
    }
}

/// The word for an act of administration.
const ACT: &str = "act";
