//! Conflicts with an open that can be resolved: earlier instances of the same application, caching by others, removals
//! and renames under way.

use wire::{AccessMask, FileGlobalId, FoldedName, LeaseState};

use super::Requester;
use super::request::{AdmitRequest, Refused};
use crate::caching::{Broken, Holder};
use crate::file::Sharing;
use crate::limits::AWAITED_LOOKED_AT;
use crate::{CloseReason, Effects, FileKey, LeaseId, Readiness, Shell, State, Time, cost};

impl<S: Shell> State<S> {
    /// Closes the opens of the file by an earlier instance of the same application, on another client, if the user may
    /// read the file (MS-SMB2 3.3.5.9.13, 3.3.5.9.16). That is enough for the user's own opens. Another user's open is
    /// closed only if the user may have all of its access: so a client that knows the id of an application can take its
    /// place, but cannot shut out users with more rights. Returns false if there are more opens than one hold of the
    /// lock may close.
    pub(super) fn fail_over(
        &mut self,
        request: &AdmitRequest,
        requester: &Requester,
        now: Time,
        effects: &mut Effects<S>,
    ) -> Result<bool, Refused> {
        let (Some(instance), Some(key)) = (request.app_instance, request.target.file()) else {
            return Ok(true);
        };
        let share = self.trees.get(&requester.home.tree).map(|it| &it.origin.share);
        let user = self.user_of(requester.home.session);
        let Some(file) = self.files.get(&key) else {
            return Ok(true);
        };
        let mut earlier = Vec::new();
        for (id, open) in file.instances(instance.id).filter_map(|id| Some((id, self.opens.get(&id)?))) {
            cost::step();
            let Some(its) = open.app_instance else { continue };
            if open.client_guid == requester.client_guid || share != Some(&open.origin.share) {
                continue;
            }
            // An instance without a version is older than any with one.
            if its.version.is_some() && instance.version <= its.version {
                return Err(Refused::NewerInstance);
            }
            let needed = if open.user == user {
                AccessMask::FILE_GENERIC_READ
            } else {
                open.access | AccessMask::FILE_GENERIC_READ
            };
            if instance.maximal_access.contains(needed) {
                earlier.push(id);
            }
        }
        for id in earlier {
            if !self.has_time(effects) {
                return Ok(false);
            }
            self.end_open(id, CloseReason::FailedOver, now, effects);
        }
        Ok(true)
    }

    /// True if the server is removing, replacing or renaming the file, or has renamed it since the name was looked up.
    /// The name must then be looked up again.
    pub(super) fn vanishes(&self, request: &AdmitRequest) -> bool {
        if self.moves_away(request) {
            return true;
        }
        let (false, Some(key)) = (self.vanishing.is_empty(), request.target.file()) else { return false };
        let requester = self.requester(request);
        requester.is_ok_and(|requester| self.is_link_vanishing(key, &self.link_of(request, &requester)))
    }

    /// A persistent open of the file that waits for its client and that this open would affect (MS-SMB2 3.3.5.9). As in
    /// Windows, an open whose lease caches handles, and writes if the file has byte-range locks, is not in the way: its
    /// client is owed the break.
    pub(super) fn awaited_in_the_way(
        &self,
        request: &AdmitRequest,
        key: FileKey,
        own: Option<LeaseId>,
    ) -> Option<FileGlobalId> {
        let file = self.files.get(&key).filter(|file| !file.awaited.is_empty())?;
        let has_locks = file.ranges.len() != 0;
        if is_stat_open(request.access) && !request.overwrites {
            return None;
        }
        let wanted = Sharing::of(request.shared_access(), request.share_access);
        let is_spared = |id: &FileGlobalId| {
            let Some(open) = self.opens.get(id) else { return true };
            let holder = self.holder_of(*id, open);
            let held = holder.map_or(LeaseState::NONE, |holder| self.held(holder));
            let is_own = own.is_some_and(|own| holder == Some(Holder::Lease(own)));
            let keeps_locks = !has_locks || held.contains(LeaseState::WRITE);
            let is_lease = matches!(holder, Some(Holder::Lease(_)));
            let is_free = is_own && !open.sharing().conflicts_with(wanted);
            held.contains(LeaseState::HANDLE) && keeps_locks && (is_free || is_lease && !is_own)
        };
        let mut looked_at = file.awaited.iter().inspect(|_| cost::step());
        // More are not looked at, and count as affected.
        let first = looked_at.by_ref().take(AWAITED_LOOKED_AT).find(|id| !is_spared(id));
        first.or_else(|| looked_at.next()).copied()
    }

    /// Sends the breaks that this open requires (MS-FSA 2.1.5.1.2, 2.1.4.12). A sharing conflict breaks only handle
    /// caching: without the cache, the holder might have closed the file already. Handle caching is also broken before
    /// the file is opened to be deleted, so that the close deletes it.
    pub(super) fn break_for_open(
        &mut self,
        request: &AdmitRequest,
        key: FileKey,
        own: Option<LeaseId>,
        in_the_way: bool,
        now: Time,
        effects: &mut Effects<S>,
    ) -> Result<Broken, Refused> {
        if is_stat_open(request.access) && !request.overwrites {
            return Ok(Broken::Done);
        }
        let delay_mask = match (in_the_way, request.delete_on_close) {
            (true, _) => LeaseState::HANDLE,
            (false, true) => LeaseState::WRITE | LeaseState::HANDLE,
            (false, false) => LeaseState::WRITE,
        };
        let spares_leases = is_lease_stat_open(request.access) && !request.overwrites;
        // If a sharing violation prevents the overwriting, the data stay, and so does their caching.
        let overwrites = request.overwrites && !in_the_way;
        let mut delay = false;
        let mut gone = false;
        let session = self.session_global(request.session).ok();
        for holder in self.holders(key) {
            if own.is_some_and(|own| holder == Holder::Lease(own))
                || matches!(holder, Holder::Lease(_)) && spares_leases
            {
                continue;
            }
            let held = self.held(holder);
            let was_breaking = self.is_breaking(holder);
            let mut keep = held.without(delay_mask);
            if overwrites {
                keep = keep.without(LeaseState::HANDLE | LeaseState::READ);
            }
            if keep == held {
                // A directory's lease is broken by changes in the directory, which do not wait for it.
                delay |= was_breaking && !request.is_directory;
                continue;
            }
            if overwrites {
                keep = LeaseState::NONE;
            }
            if was_breaking || held.intersects(delay_mask) {
                self.may_wait(request.request).map_err(Refused::LimitReached)?;
            }
            match self.break_or_owe(holder, keep, now, effects) {
                Broken::Gone => gone = true,
                Broken::Done => {}
                Broken::Pending => delay |= held.intersects(delay_mask) || was_breaking && request.is_retry,
            }
        }
        if gone {
            return Ok(Broken::Gone);
        }
        Ok(match self.wait_if(delay, key, request.request, session) {
            Readiness::MustWait => Broken::Pending,
            Readiness::Ready => Broken::Done,
        })
    }

    fn moves_away(&self, request: &AdmitRequest) -> bool {
        if !self.moves.is_any() && !self.moves.are_any_since(request.looked_up) {
            return false;
        }
        self.requester(request).is_ok_and(|it| {
            let share = &self.origin(it.home.tree).share;
            let path = FoldedName::of(&request.path);
            self.moves.holds(share, &path) || self.moves.has_moved(share, &path, request.looked_up)
        })
    }
}

/// True if an open with this access breaks no oplock (MS-FSA 2.1.5.1.2): it reads or writes attributes only.
pub(crate) fn is_stat_open(access: AccessMask) -> bool {
    let bits = AccessMask::READ_ATTRIBUTES | AccessMask::WRITE_ATTRIBUTES | AccessMask::SYNCHRONIZE;
    !access.is_none() && bits.contains(access)
}

/// True if an open with this access breaks no lease: it uses attributes and reads the security descriptor only.
pub(crate) fn is_lease_stat_open(access: AccessMask) -> bool {
    let bits = AccessMask::READ_ATTRIBUTES
        | AccessMask::WRITE_ATTRIBUTES
        | AccessMask::SYNCHRONIZE
        | AccessMask::READ_CONTROL;
    !access.is_none() && bits.contains(access)
}
