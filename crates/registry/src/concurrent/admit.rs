//! The plain open: see [`State::admit`](crate::State::admit).

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use wire::{AccessMask, FileGlobalId, FoldedName, Guid, LeaseState, OplockLevel};

use crate::admit::{Others, caches_beside, may_have_lease};
use crate::caching::{Caching, Holder, level_caches, level_within};
use crate::durable::Durable;
use crate::events::EventKind;
use crate::file::{File, Sharing};
use crate::ids::NewIds;
use crate::lease::{Lease, wanted};
use crate::limits::{REPLAYABLE_PER_LEASE, has_room};
use crate::links::Link;
use crate::open::{Home, Open};
use crate::parts::Parted;
use crate::path_index::part_of_path;
use crate::session::{Session, SessionState};
use crate::shared::{Common, FilesGuard, Shared};
use crate::tree::Tree;
use crate::user_counts::{UserKey, user_has_room};
use crate::{AdmitRequest, FileKey, GrantedOpen, LeaseId, LeaseRequest, OpenShared, Shell, Standing, Time};

/// A request for a plain open, and what does not change while it is looked at.
struct Plain<'a, S: Shell> {
    shared: &'a Shared<'a, S>,
    common: Common<'a, S>,
    request: &'a AdmitRequest,
    key: FileKey,
    home: Home,
    session: &'a Session<S>,
    user: &'a UserKey,
    tree: &'a Tree<S>,
    client_guid: Guid,
    lease: Option<(LeaseId, LeaseRequest)>,
    /// The client and the create GUID by which a replayed CREATE finds the open.
    replay: Option<(Guid, Guid)>,
}

/// The caching of a new open.
struct Granted {
    level: OplockLevel,
    lease: Option<Joined>,
}

/// The lease of a new open.
struct Joined {
    id: LeaseId,
    state: LeaseState,
    version: u8,
    epoch: u16,
    shared: Arc<AtomicU8>,
}

impl<S: Shell> Shared<'_, S> {
    /// Makes a plain open. If this is none, nothing has changed and `attach` is still there.
    pub(crate) fn admit<A: FnOnce(&GrantedOpen) -> S::Open>(
        &self,
        request: &AdmitRequest,
        attach: &mut Option<A>,
        now: Time,
    ) -> Option<GrantedOpen> {
        let plain = Plain::of(self, request)?;
        // Before the locks, because it may have to make a new string.
        let folded = FoldedName::of(&request.path);
        let mut files = self.files(plain.key.part());
        let others = plain.others(files.file(plain.key)).filter(|_| plain.may_join())?;
        plain.reserve()?;
        let is_in_use = |id: FileGlobalId| self.opens(id.part()).opens.contains_key(&id);
        let ids = plain.common.open_ids.issue(is_in_use, |id| plain.common.restored_ids.contains_key(&id));
        if !plain.claim_guid(ids.global) {
            plain.release();
            return None;
        }
        let Some(caching) = plain.caching(files.file(plain.key), others, ids) else {
            plain.give_back_guid();
            plain.release();
            return None;
        };
        let attach = attach.take()?;
        Some(plain.enter(&mut files, ids, folded, caching, attach, now))
    }
}

impl<'a, S: Shell> Plain<'a, S> {
    /// The request, if nothing beside its file stands in the way of a plain open.
    fn of(shared: &'a Shared<'a, S>, request: &'a AdmitRequest) -> Option<Self> {
        let common = shared.common();
        let key = request.target.file().filter(|key| !key.is_named_stream())?;
        let is_plain = !request.is_retry
            && request.app_instance.is_none()
            // A log gets the changes in the order in which they are made, so these are made one by one.
            && (request.durable.is_none() || request.log.is_none())
            && common.drains.is_empty()
            && common.holds.is_empty()
            && !common.deletions.contains_key(&key)
            && !common.vanishing.contains_key(&key)
            && !common.moves.is_any()
            && !common.moves.are_any_since(request.looked_up)
            && !common.waiting.contains_key(&request.request);
        let may_delete_streams = request.access.contains(AccessMask::DELETE) && !common.streams.is_empty();
        if !is_plain || may_delete_streams {
            return None;
        }
        let session_id = *common.session_ids.get(&request.session)?;
        let session = common.sessions.get(&session_id).filter(|it| it.state == SessionState::Valid)?;
        let user = session.user.as_ref().filter(|_| session.identity.standing() != Standing::Stranger)?;
        let tree_id = *session.trees.get(&request.tree)?;
        let tree = common.trees.get(&tree_id)?;
        let client_guid = common.connections.get(&request.connection)?.client_guid;
        let home = Home { session: session_id, tree: tree_id, connection: request.connection };
        // The key of a lease that is ignored may be another file's all the same, which is refused.
        let lease = request.lease;
        if lease.is_some() && !may_have_lease(request) {
            return None;
        }
        let lease = lease.map(|lease| (LeaseId { client: client_guid, key: lease.key }, lease));
        let replay = request.create_guid().map(|guid| (client_guid, guid));
        Some(Self { shared, common, request, key, home, session, user, tree, client_guid, lease, replay })
    }

    /// The caching of others, if the file can be opened beside them without a break.
    fn others(&self, file: Option<&File>) -> Option<Others> {
        let Some(file) = file else { return Some(Others::default()) };
        let request = self.request;
        let wanted = Sharing::of(request.shared_access(), request.share_access);
        let is_plain = file.awaited.is_empty()
            && file.waiting.is_empty()
            && file.ranges.len() == 0
            && file.ranges.waiting_len() == 0
            && file.blocker(wanted).is_none();
        if !is_plain {
            return None;
        }
        let own = self.lease.map(|(id, _)| Holder::Lease(id));
        let mut others = Others { oplock: !file.oplocks.is_empty(), ..Others::default() };
        for (number, holder) in file.caching.iter().filter(|it| Some(**it) != own).enumerate() {
            let changes_more = request.overwrites || request.delete_on_close || number >= CACHERS_LOOKED_AT;
            let held = self.held(*holder).filter(|it| !changes_more && !it.contains(LeaseState::WRITE))?;
            others.handle_caching |= held.contains(LeaseState::HANDLE);
        }
        Some(others)
    }

    /// The caching of a holder that is not breaking. The file's part is locked, so it stays as it is.
    fn held(&self, holder: Holder) -> Option<LeaseState> {
        match holder {
            Holder::Oplock(id) => {
                let opens = self.shared.opens(id.part());
                match opens.opens.get(&id)?.caching {
                    Caching::Oplock { level, breaking: None } => Some(level_caches(level)),
                    _ => None,
                }
            }
            Holder::Lease(id) => {
                let leases = self.shared.leases(id.part());
                leases.get(&id).filter(|lease| lease.breaking.is_none()).map(|lease| lease.state)
            }
        }
    }

    /// True if the open can have its create GUID, and can be one of its lease's. Another open may still take the GUID
    /// first, and another file the key.
    fn may_join(&self) -> bool {
        let is_taken = |name: (Guid, Guid)| self.shared.create_guids(name.part()).contains_key(&name);
        if self.replay.is_some_and(is_taken) {
            return false;
        }
        let Some((id, _)) = self.lease else { return true };
        self.shared.leases(id.part()).get(&id).is_none_or(|lease| self.is_plain(lease))
    }

    fn is_plain(&self, lease: &Lease) -> bool {
        let can_be_replayed = lease.replayable.len() < REPLAYABLE_PER_LEASE || self.replay.is_none();
        let is_settled = lease.breaking.is_none() && lease.owed.is_none() && lease.logs.is_empty();
        lease.file == self.key && is_settled && can_be_replayed
    }

    /// Takes the create GUID for the open. False if another open has it, or is being made with it.
    fn claim_guid(&self, id: FileGlobalId) -> bool {
        let Some(name) = self.replay else { return true };
        match self.shared.create_guids(name.part()).entry(name) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(id);
                true
            }
        }
    }

    fn give_back_guid(&self) {
        if let Some(name) = self.replay {
            self.shared.create_guids(name.part()).remove(&name);
        }
    }

    /// Counts the open, if the limits allow one more.
    fn reserve(&self) -> Option<()> {
        let limits = self.common.limits;
        let standing = self.session.identity.standing();
        if !self.common.open_count.try_add(|used| has_room(limits.opens, used, standing)) {
            return None;
        }
        if !self.session.open_count.try_add(|used| used < limits.opens_per_session) {
            self.common.open_count.subtract();
            return None;
        }
        let of_user = &self.session.opens_of_user;
        if !of_user.try_add(|used| user_has_room(used, limits.opens, standing)) {
            self.common.open_count.subtract();
            self.session.open_count.subtract();
            return None;
        }
        self.tree.open_count.add();
        Some(())
    }

    fn release(&self) {
        self.common.open_count.subtract();
        self.session.open_count.subtract();
        self.session.opens_of_user.subtract();
        self.tree.open_count.subtract();
    }

    /// Decides on the caching, and enters the open in its lease. `None` if the lease is another file's or breaks.
    fn caching(&self, file: Option<&File>, mut others: Others, ids: NewIds) -> Option<Granted> {
        let (request, limits) = (self.request, self.common.limits);
        let Some((id, asked)) = self.lease else {
            let asked = if request.is_directory { LeaseState::NONE } else { level_caches(request.oplock) };
            others.deny_write_caching = file.is_some_and(|it| it.deny_write_caching() > 0);
            let caches = caches_beside(request, asked, None, file, |_| others, limits);
            return Some(Granted { level: level_within(caches), lease: None });
        };
        let mut leases = self.shared.leases(id.part());
        let found = leases.get(&id);
        if !found.is_none_or(|lease| self.is_plain(lease)) {
            return None;
        }
        let (is_new, of_own) = (found.is_none(), found.map_or(0, |it| it.opens.len()));
        others.deny_write_caching = file.is_some_and(|it| it.deny_write_caching() > of_own);
        let wanted = wanted(&asked, request.is_directory);
        let caches = caches_beside(request, wanted, Some(id), file, |_| others, limits);
        let lease = leases.entry(id).or_insert_with(|| Lease::new(self.key, asked.version, asked.epoch));
        lease.opens.insert(ids.global);
        lease.replayable.extend(self.replay.map(|_| ids.global));
        if lease.is_raised_by(caches, wanted, is_new) {
            lease.advance_epoch();
            lease.set_state(caches);
        }
        let Lease { state, version, epoch, .. } = *lease;
        let joined = Joined { id, state, version, epoch, shared: Arc::clone(&lease.shared) };
        Some(Granted { level: OplockLevel::LEASE, lease: Some(joined) })
    }

    /// Enters the open in the tables. This cannot fail.
    fn enter(
        &self,
        files: &mut FilesGuard<'_>,
        ids: NewIds,
        folded: FoldedName,
        caching: Granted,
        attach: impl FnOnce(&GrantedOpen) -> S::Open,
        now: Time,
    ) -> GrantedOpen {
        let (request, NewIds { global: id, file: file_id }) = (self.request, ids);
        let Granted { level, lease } = caching;
        let file = files.files().entry(self.key).or_default();
        let lease_shared = lease.as_ref().map(|it| Arc::clone(&it.shared));
        let lease_state = lease.as_ref().map_or(LeaseState::NONE, |it| it.state);
        let durable = Durable::of(request, level, lease_state, self.common.limits);
        let shared = Arc::new(OpenShared::new(Arc::clone(&file.shared), lease_shared, now));
        let granted = GrantedOpen {
            file_id,
            global_id: id,
            oplock: level,
            lease_state,
            lease_version: lease.as_ref().map_or(0, |it| it.version),
            lease_epoch: lease.as_ref().map_or(0, |it| it.epoch),
            lease_breaking: false,
            durable: durable.as_ref().map(Durable::granted),
            shared: Arc::clone(&shared),
        };
        shared.set_oplock(if lease.is_none() { level } else { OplockLevel::NONE });
        let holder = match &lease {
            Some(lease) => Some(Holder::Lease(lease.id)).filter(|_| !lease.state.is_none()),
            None => Some(Holder::Oplock(id)).filter(|_| level != OplockLevel::NONE),
        };
        let open = Box::new(Open {
            file_id,
            home: Some(self.home),
            target: request.target.clone(),
            origin: Arc::clone(&self.tree.origin),
            folded,
            path: Arc::clone(&request.path),
            access: request.access,
            share_access: request.share_access,
            is_directory: request.is_directory,
            delete_on_close: request.delete_on_close,
            deletes_with_own: false,
            caching: match (&lease, holder) {
                (Some(lease), _) => Caching::Lease(lease.id),
                (None, Some(_)) => Caching::Oplock { level, breaking: None },
                (None, None) => Caching::None,
            },
            durable,
            log: request.log,
            orphaned: None,
            replay: self.replay,
            app_instance: None,
            client_guid: self.client_guid,
            owner: Arc::clone(&self.session.owner),
            user: self.user.clone(),
            created: now,
            locks: 0,
            waiting_locks: 0,
            locked_event: None,
            unanswered_breaks: 0,
            of_stranger: false,
            shared,
            attached: attach(&granted),
        });
        file.enter(id, &open);
        file.leases.extend(lease.map(|it| it.id));
        if let Some(holder) = holder {
            file.oplocks.extend(Some(id).filter(|_| matches!(holder, Holder::Oplock(_))));
            file.caching.insert(holder);
            file.refresh_cachers();
        }
        files.links().enter(self.key, Link::of(&open));
        self.shared.paths(part_of_path(&open.folded)).enter(id, &open);
        let opened = EventKind::Opened { open: open.event(id), session: self.home.session };
        self.common.events.push(now, opened);
        self.common.statistics.count_file_open(id);
        let mut opens = self.shared.opens(id.part());
        opens.volatile_ids.insert(file_id.volatile, id);
        opens.of_trees.insert((self.home.tree, id));
        opens.opens.insert(id, open);
        granted
    }
}

/// The holders of caches that a plain open looks at. With more, the decision is made under the whole lock.
const CACHERS_LOOKED_AT: usize = 16;
