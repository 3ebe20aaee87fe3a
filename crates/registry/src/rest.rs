//! Work that is done in parts, with the lock given back in between.
//!
//! Ending a session with sixty thousand opens takes a good part of a second, and everybody else would wait. So one
//! hold of the lock does so much ([`Limits::work_per_hold`](crate::Limits::work_per_hold)) and leaves the others as
//! a [`Rest`] in its effects, which the server goes on with once it has applied them. What ends is cut off from
//! requests before its first part is done: a session's id names nothing any more, nor does a tree connect's, and a
//! removed share's opens cannot be reclaimed.

use wire::{FileGlobalId, Guid, SessionGlobalId, TreeGlobalId, TreeId};

use crate::{ConnectionId, Effects, FileKey, LeaseId, Shell, State, Time};

/// Something that is to be gone on with: [`State::go_on`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest(pub(crate) Work);

/// What is left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A session ends.
    Session(SessionGlobalId),
    /// A tree connect ends.
    Tree(TreeGlobalId),
    /// A removed share's tree connects and orphans end.
    Share(u32),
    /// A session hears again of its breaks that were sent on a lost channel.
    Breaks {
        session: SessionGlobalId,
        lost: ConnectionId,
        was_first: bool,
        after: Option<(TreeId, FileGlobalId)>,
    },
    /// The links of a file go whose deletes have waited for the opens of another share.
    Deletes(FileKey),
    /// A client hears again of the breaks of its leases.
    LeaseBreaks { client: Guid, lost: ConnectionId, after: LeaseId },
}

impl<S: Shell> State<S> {
    /// Does the next part of what an earlier change has left undone. What has been done meanwhile by others is
    /// no longer there to do.
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

    /// Whether this hold of the lock may do more.
    pub(crate) fn has_time(&self, effects: &Effects<S>) -> bool {
        effects.spent < self.limits.work_per_hold
    }
}
