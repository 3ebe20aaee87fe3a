//! Work that is done in parts, with the lock released in between.
//!
//! Ending a session with sixty thousand opens takes a good part of a second, during which all other requests would
//! wait. So one hold of the lock ends a limited number ([`Limits::work_per_hold`](crate::Limits::work_per_hold)) and
//! leaves the others as a [`Rest`] in its effects, which the server continues after it has applied them. Before the
//! first part is done, the session, tree connect or share is cut off from requests: its id is no longer found, and a
//! removed share's opens cannot be reclaimed.

use wire::{FileGlobalId, Guid, SessionGlobalId, TreeGlobalId, TreeId};

use crate::{ConnectionId, Effects, FileKey, LeaseId, Shell, State, Time};

/// The rest of an unfinished change, which [`State::go_on`] continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest(pub(crate) Work);

/// The kinds of work that are done in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A session ends.
    Session(SessionGlobalId),
    /// A tree connect ends.
    Tree(TreeGlobalId),
    /// A removed share's tree connects and orphans end.
    Share(u32),
    /// Breaks that were sent to a session on a lost channel are sent again.
    Breaks {
        session: SessionGlobalId,
        lost: ConnectionId,
        was_first: bool,
        after: Option<(TreeId, FileGlobalId)>,
    },
    /// Links of a file are removed: their pending deletes waited for the opens of another share.
    Deletes(FileKey),
    /// Breaks of a client's leases are sent again.
    LeaseBreaks { client: Guid, lost: ConnectionId, after: LeaseId },
}

impl<S: Shell> State<S> {
    /// Does the next part of an unfinished change. Objects that have ended for other reasons are skipped.
    pub fn go_on(&mut self, rest: Rest, now: Time) -> Effects<S> {
        let mut effects = Effects::none();
        match rest.0 {
            Work::Session(session) => self.end_session_part(session, now, &mut effects),
            Work::Tree(tree) => self.end_tree_or_rest(tree, now, &mut effects),
            Work::Share(share) => self.end_share_part(share, now, &mut effects),
            Work::Deletes(file) => self.go_on_deleting(file, &mut effects),
            Work::Breaks { session, lost, was_first, after } => {
                self.repeat_breaks(session, lost, was_first, after, now, &mut effects);
            }
            Work::LeaseBreaks { client, lost, after } => {
                self.repeat_lease_breaks(client, lost, after, now, &mut effects);
            }
        }
        effects
    }

    /// True if this hold of the lock may do more work.
    pub(crate) fn has_time(&self, effects: &Effects<S>) -> bool {
        effects.spent < self.limits.work_per_hold
    }
}
