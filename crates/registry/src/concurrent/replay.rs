//! The end of replays: see [`State::forget_replay`](crate::State::forget_replay).

use wire::FileGlobalId;

use crate::Shell;
use crate::caching::Caching;
use crate::parts::Parted;
use crate::shared::Shared;

impl<S: Shell> Shared<'_, S> {
    /// Records that a replayed CREATE no longer finds this open. Nothing else depends on that, so every open allows it
    /// beside others.
    pub(crate) fn forget_replay(&self, id: FileGlobalId) {
        let mut opens = self.opens(id.part());
        let Some(open) = opens.opens.get_mut(&id) else { return };
        let Some(name) = open.replay.take() else { return };
        if let Caching::Lease(lease) = open.caching
            && let Some(lease) = self.leases(lease.part()).get_mut(&lease)
        {
            lease.replayable.remove(&id);
        }
        self.create_guids(name.part()).remove(&name);
    }
}
