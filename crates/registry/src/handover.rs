//! A share that goes to another server: what its clients cache is called back while the share is still served.

use std::collections::BTreeSet;

use wire::{FileGlobalId, LeaseState, ShareName, TreeGlobalId};

use crate::{ConnectionId, Effects, Shell, State, Time, cost};

impl<S: Shell> State<S> {
    /// The opens of a share whose clients cache changes of the file, or handles of it, and that no log keeps: their end
    /// would take from the clients what they have not written.
    pub fn caching_opens(&self, share: &str) -> Vec<FileGlobalId> {
        let mut opens = self.all_caching_opens(share);
        opens.retain(|id| self.opens.get(id).is_some_and(|open| open.logged().is_none()));
        opens
    }

    /// The opens of a share whose clients cache changes of the file, or handles of it.
    pub fn all_caching_opens(&self, share: &str) -> Vec<FileGlobalId> {
        let Some(share) = self.shares.get(&ShareName::new(share)) else { return Vec::new() };
        let opens =
            share.uses.iter().flat_map(|tree| self.opens.of_tree(*tree, None)).inspect(|_| cost::step());
        opens.filter(|id| self.caches_changes(*id)).collect()
    }

    /// Has the clients of these opens write back what they cache, and close handles that they keep only for caching. No
    /// request waits for that; [`Self::are_breaking`] tells when it is done.
    pub fn break_caching(&mut self, opens: &[FileGlobalId], now: Time) -> Effects<S> {
        let mut effects = Effects::none();
        for id in opens {
            cost::step();
            let holder = self.opens.get(id).and_then(|open| self.holder_of(*id, open));
            if let Some(holder) = holder {
                let keep = self.held(holder) & LeaseState::READ;
                let _ = self.break_holder(holder, keep, now, &mut effects);
            }
        }
        effects
    }

    /// True if the client of one of these opens has not acknowledged a break.
    pub fn are_breaking(&self, opens: &[FileGlobalId]) -> bool {
        opens.iter().inspect(|_| cost::step()).any(|id| {
            let holder = self.opens.get(id).and_then(|open| self.holder_of(*id, open));
            holder.is_some_and(|holder| self.is_breaking(holder))
        })
    }

    /// The connections of clients with opens of a share that its log keeps.
    pub fn connections_with_logged_opens(&self, share: &str) -> Vec<(ConnectionId, S::Connection)> {
        let Some(share) = self.shares.get(&ShareName::new(share)) else { return Vec::new() };
        let is_logged = |id: FileGlobalId| self.opens.get(&id).is_some_and(|open| open.logged().is_some());
        let has_logged =
            |tree: TreeGlobalId| self.opens.of_tree(tree, None).inspect(|_| cost::step()).any(is_logged);
        let trees = share.uses.iter().filter(|tree| has_logged(**tree)).filter_map(|id| self.trees.get(id));
        let sessions = trees.filter_map(|tree| self.sessions.get(&tree.session));
        let connections: BTreeSet<_> =
            sessions.flat_map(|session| session.channels.iter().copied()).collect();
        connections
            .into_iter()
            .filter_map(|id| self.connections.get(&id).map(|it| (id, it.attached.clone())))
            .collect()
    }

    fn caches_changes(&self, id: FileGlobalId) -> bool {
        let Some(open) = self.opens.get(&id) else { return false };
        let held = self.holder_of(id, open).map_or(LeaseState::NONE, |holder| self.held(holder));
        held.intersects(LeaseState::WRITE | LeaseState::HANDLE)
    }
}
