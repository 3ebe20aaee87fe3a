//! Drains: a share, a client or the whole server takes no new opens, and what is open is closed at a deadline.

use std::sync::Arc;
use std::time::Duration;

use registry::{
    CLIENT_DRAINS, Drain, DrainPhase, DrainScope, DrainStep, FileSnapshot, SHARE_DRAINS, ShareKind,
};

use super::walk::walk;
use super::{Caller, Ended, Error, Explained, Own, Right, audit, check, maintenance, scope};
use crate::core::server::Server;

/// A request for a drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DrainOrder {
    pub(crate) scope: DrainScope,
    /// The time until the remaining opens are closed; `None` to wait for their users.
    pub(crate) within: Option<Duration>,
    pub(crate) strict: bool,
    pub(crate) then_stop: bool,
}

/// A drain with the users that are left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DrainState {
    pub(crate) drain: Drain,
    /// The number of open files.
    pub(crate) files: usize,
    /// Their users, each once.
    pub(crate) users: Vec<Arc<str>>,
}

/// Begins a drain, or changes the one of the same scope: the new deadline counts from now.
pub(crate) fn begin_drain(
    server: &Server,
    caller: &Caller,
    order: DrainOrder,
) -> Result<DrainState, Explained> {
    check_scope(caller, &order.scope)?;
    if order.within.is_some_and(|within| within.as_secs() > control::limits::DRAIN_SECONDS_MAX) {
        let days = control::limits::DRAIN_SECONDS_MAX / 86_400;
        return Err(Explained::new(
            Error::InvalidParameter,
            format!("a deadline is at most {days} days away"),
        ));
    }
    if order.then_stop && order.scope != DrainScope::Server {
        return Err(Explained::new(
            Error::InvalidParameter,
            "then_stop is for a drain of the whole server only",
        ));
    }
    if let DrainScope::Share(name) = &order.scope {
        let kind = server.registry.lock("share").share(name.as_str()).map(|it| it.kind);
        if kind.ok_or(Error::NoSuchShare)? != ShareKind::Disk {
            return Err(Explained::new(
                Error::InvalidParameter,
                "only a share of files can be drained: commands use the pipes of this one",
            ));
        }
    }
    let now = server.now();
    let milliseconds = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
    let drain = Drain {
        scope: order.scope,
        begun: now,
        deadline: order.within.map(|within| now.after_ms(milliseconds(within))),
        strict: order.strict,
        then_stop: order.then_stop,
        by: caller.user.as_str().into(),
        phase: DrainPhase::Waiting,
    };
    let object = described(&drain);
    if server.registry.lock("begin_drain").begin_drain(drain.clone()).is_err() {
        audit::act(server, caller, "begin drain", &object, &Err(Error::TooMuch));
        let most = if matches!(drain.scope, DrainScope::Share(_)) { SHARE_DRAINS } else { CLIENT_DRAINS };
        return Err(Explained::new(Error::TooMuch, format!("there are {most} drains of this kind already")));
    }
    audit::act(server, caller, "begin drain", &object, &Ok(Ended::default()));
    maintenance::changed(server, &drain.scope);
    let state = left(server, drain);
    maintenance::add_event(server, &state.drain, DrainStep::Begun, &caller.user, 0);
    maintenance::report_begun(server, &state);
    Ok(state)
}

/// Ends a drain: new opens are admitted again. A server that would stop after it goes on.
pub(crate) fn end_drain(
    server: &Server,
    caller: &Caller,
    scope: &DrainScope,
) -> Result<DrainState, Explained> {
    check_scope(caller, scope)?;
    let ended = server.registry.lock("end_drain").end_drain(scope);
    let drain = ended.map_err(|registry::NotFound| {
        let what = match scope {
            DrainScope::Server => String::from("the server is not being drained"),
            DrainScope::Share(name) => format!("share {} is not being drained", name.as_str()),
            DrainScope::Client(name) => format!("client {} is not being drained", name.as_str()),
        };
        Explained::new(Error::InvalidParameter, what)
    })?;
    audit::act(server, caller, "end drain", &described(&drain), &Ok(Ended::default()));
    maintenance::changed(server, scope);
    let state = left(server, drain);
    maintenance::add_event(server, &state.drain, DrainStep::Ended, &caller.user, 0);
    maintenance::report_lifted(server, caller, &state);
    Ok(state)
}

/// The drains that the caller may see.
pub(crate) fn drains(server: &Server, caller: &Caller) -> Result<Vec<DrainState>, Error> {
    let scope = scope(caller, Right::ReadFiles, Own::No)?;
    let mut drains = server.registry.lock("drains").drains();
    drains.retain(|it| match &it.scope {
        DrainScope::Share(share) => scope.has_share(share.as_str()),
        DrainScope::Server | DrainScope::Client(_) => scope.is_everything(),
    });
    Ok(drains.into_iter().map(|it| left(server, it)).collect())
}

/// The drain of this scope with its users. Does not check rights: part of operations that show the share or server.
pub(crate) fn drain_state(server: &Server, scope: &DrainScope) -> Option<DrainState> {
    let drain = server.registry.lock("drain").drain(scope)?;
    Some(left(server, drain))
}

/// The opens of files and directories where a drain applies.
pub(super) fn opens_to_drain(server: &Server, scope: &DrainScope) -> impl Iterator<Item = FileSnapshot> {
    let fetch =
        move |last, length| server.registry.lock("opens_to_drain").opens_to_drain(scope, last, length);
    walk(None, fetch)
}

/// The right to drain: to close the opens that end with it.
fn check_scope(caller: &Caller, meant: &DrainScope) -> Result<(), Error> {
    match meant {
        DrainScope::Server => check(caller, Right::ChangeSettings),
        DrainScope::Client(_) => check(caller, Right::EndSessions),
        DrainScope::Share(share) => {
            let scope = scope(caller, Right::CloseFiles, Own::No)?;
            if !scope.has_share(share.as_str()) {
                audit::denied(caller, Right::CloseFiles);
                return Err(Error::AccessDenied);
            }
            Ok(())
        }
    }
}

fn left(server: &Server, drain: Drain) -> DrainState {
    let (mut files, mut users) = (0_usize, Vec::<Arc<str>>::new());
    for open in opens_to_drain(server, &drain.scope).filter(|it| !it.is_directory) {
        files = files.saturating_add(1);
        if users.len() < control::limits::DRAIN_USERS_MAX && !users.contains(&open.user) {
            users.push(open.user);
        }
    }
    users.sort();
    DrainState { drain, files, users }
}

/// A description of the drain for the audit log.
pub(super) fn described(drain: &Drain) -> String {
    let what = match &drain.scope {
        DrainScope::Server => String::from("server"),
        DrainScope::Share(name) => format!("share {}", name.as_str()),
        DrainScope::Client(name) => format!(r"client \\{}", name.as_str()),
    };
    let until = drain.deadline.map(|at| format!(" within {} s", at.since_ms(drain.begun) / 1000));
    let strict = if drain.strict { " strict" } else { "" };
    let stop = if drain.then_stop { " then_stop" } else { "" };
    format!("{what}{}{strict}{stop}", until.unwrap_or_default())
}
