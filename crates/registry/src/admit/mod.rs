//! CREATE's question: may this open be (MS-SMB2 3.3.5.9, MS-FSA 2.1.5.1.2)?

mod request;

pub use request::{Admission, AdmitRequest, AppInstance, GrantedOpen, LeaseRequest, Refused};

use std::sync::Arc;

use wire::{AccessMask, FileGlobalId, FileId, Guid, LeaseState, OplockLevel, SessionGlobalId, TreeGlobalId};

use crate::caching::{Broken, Caching, Holder, level_caches, level_within};
use crate::durable::{Durable, DurableRequest};
use crate::events::EventKind;
use crate::file::File;
use crate::lease::{Lease, usable};
use crate::limits::{STRANGERS_PART, has_room};
use crate::links::Link;
use crate::open::{Home, Open, Owner};
use crate::paths::folded;
use crate::refusals::{Refusal, RefusalKind};
use crate::session::SessionState;
use crate::statistics::count;
use crate::users::UserKey;
use crate::{
    CloseReason, Effects, FileKey, Identity, LeaseId, LimitReached, OpenShared, Readiness, Shell, Standing,
    State, Time, cost,
};

/// The objects a request came with.
struct Requester {
    home: Home,
    client_guid: Guid,
}

/// What has been decided about an open that is not refused.
enum Decided {
    Granted(Requester),
    /// Breaks are under way.
    MustWait,
    /// There is more to close first than one hold of the lock may, or the file is being removed.
    LookAgain,
}

/// What others hold limits what can be granted.
#[derive(Default)]
struct Others {
    oplock: bool,
    handle_caching: bool,
    write_caching: bool,
    deny_write_caching: bool,
}

impl<S: Shell> State<S> {
    /// Decides on an open (MS-FSA 2.1.5.1.2) and makes it. Refused or waiting, nothing has changed but
    /// the refusal log and the breaks under way. `attach` makes what the server keeps with the open.
    pub fn admit(
        &mut self,
        request: AdmitRequest,
        attach: impl FnOnce(&GrantedOpen) -> S::Open,
        now: Time,
    ) -> (Admission, Effects<S>) {
        let mut effects = Effects::none();
        self.forget_waiting(&[request.request], now, &mut effects);
        let admission = match self.try_admit(&request, now, &mut effects) {
            Ok(Decided::Granted(requester)) => {
                Admission::Granted(self.grant(request, &requester, attach, now))
            }
            Ok(Decided::LookAgain) => Admission::LookAgain,
            Ok(Decided::MustWait) if self.vanishes(&request) => {
                // It looks again when the file is gone, and not when a break is acknowledged.
                self.forget_waiting(&[request.request], now, &mut effects);
                Admission::LookAgain
            }
            Ok(Decided::MustWait) => Admission::MustWait,
            Err(refused) => {
                self.remember_refusal(&request, refused, now);
                Admission::Refused(refused)
            }
        };
        (admission, effects)
    }

    fn try_admit(
        &mut self,
        request: &AdmitRequest,
        now: Time,
        effects: &mut Effects<S>,
    ) -> Result<Decided, Refused> {
        let requester = self.requester(request)?;
        if !self.fail_over(request, &requester, now, effects)? {
            return Ok(Decided::LookAgain);
        }
        self.check_limits(requester.home.session)?;
        if let Some(DurableRequest::V2 { create_guid, .. }) = request.durable
            && let Some(open) = self.create_guids.get(&(requester.client_guid, create_guid))
        {
            return Err(Refused::CreateGuidInUse { open: *open });
        }
        let Some(key) = request.target.file() else {
            return Ok(Decided::Granted(requester));
        };
        let named = request.lease.map(|lease| LeaseId { client: requester.client_guid, key: lease.key });
        if let Some(named) = named
            && self.leases.get(&named).is_some_and(|lease| lease.file != key)
        {
            return Err(Refused::LeaseKeyInUse);
        }
        let own = named.filter(|_| may_have_lease(request));
        if !self.deletions.is_empty() && self.is_deleted(&request.target, &self.link_of(request, &requester))
        {
            return Err(Refused::DeletePending);
        }
        if self.vanishes(request) {
            return Ok(Decided::LookAgain);
        }
        if let Some(blocker) = self.stream_conflict(key, request.access) {
            return Err(Refused::SharingViolation { blocker });
        }
        let blocker = loop {
            let blocker = self.share_conflict(key, request.shared_access(), request.share_access);
            match self.break_for_open(request, key, own, blocker.is_some(), now, effects)? {
                Broken::Done => break blocker,
                Broken::Pending => return Ok(Decided::MustWait),
                Broken::Gone => {}
            }
        };
        // What made way may have taken the file along.
        if self.vanishes(request) {
            return Ok(Decided::LookAgain);
        }
        match blocker {
            Some(blocker) => Err(Refused::SharingViolation { blocker }),
            None => Ok(Decided::Granted(requester)),
        }
    }

    /// Closes what an earlier instance of the same application has open of the file, on another client, if the user
    /// may read the file (MS-SMB2 3.3.5.9.13, 3.3.5.9.16). That is enough for the user's own opens. Another user's open
    /// is closed only for somebody who may have all of its access: who knows the id of an application can so take its
    /// place, but not shut out anybody who may do more. False: there are more than one hold of the lock may close.
    fn fail_over(
        &mut self,
        request: &AdmitRequest,
        requester: &Requester,
        now: Time,
        effects: &mut Effects<S>,
    ) -> Result<bool, Refused> {
        let (Some(instance), Some(key)) = (request.app_instance, request.target.file()) else {
            return Ok(true);
        };
        let share = self.trees.get(&requester.home.tree).map(|it| &it.share);
        let user = self.sessions.get(&requester.home.session).map(|it| it.owner.clone());
        let Some(file) = self.files.get(&key) else {
            return Ok(true);
        };
        let mut earlier = Vec::new();
        for (id, open) in file.instances(instance.id).filter_map(|id| Some((id, self.opens.get(&id)?))) {
            cost::step();
            let Some(its) = open.app_instance else { continue };
            if open.client_guid == requester.client_guid || share != Some(&open.share) {
                continue;
            }
            // One without a version is older than any with one.
            if its.version.is_some() && instance.version <= its.version {
                return Err(Refused::NewerInstance);
            }
            let is_own = user.as_ref().is_some_and(|user| open.owner.is_same_user(user));
            let needed = if is_own {
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

    fn requester(&self, request: &AdmitRequest) -> Result<Requester, Refused> {
        let session = self.session_global(request.session).map_err(|_| Refused::SessionGone)?;
        let found = self.sessions.get(&session).ok_or(Refused::SessionGone)?;
        if found.state != SessionState::Valid {
            return Err(Refused::SessionGone);
        }
        let tree = *found.trees.get(&request.tree).ok_or(Refused::TreeGone)?;
        let client_guid = self.client_of(found, request.connection).ok_or(Refused::SessionGone)?;
        Ok(Requester { home: Home { session, tree, connection: request.connection }, client_guid })
    }

    fn link_of(&self, request: &AdmitRequest, requester: &Requester) -> Link {
        Link::new(self.tree_share(requester.home.tree), &request.path)
    }

    /// Tells if the server is removing, replacing or renaming the file: it must be looked up again.
    fn vanishes(&self, request: &AdmitRequest) -> bool {
        // A file made meanwhile moves along.
        if !request.created && self.moves.is_any() && self.moves_away(request) {
            return true;
        }
        let (false, Some(key)) = (self.vanishing.is_empty(), request.target.file()) else { return false };
        let requester = self.requester(request);
        requester.is_ok_and(|requester| self.is_link_vanishing(key, &self.link_of(request, &requester)))
    }

    fn moves_away(&self, request: &AdmitRequest) -> bool {
        let requester = self.requester(request);
        requester.is_ok_and(|it| self.moves.holds(&self.tree_share(it.home.tree), &request.path))
    }

    fn check_limits(&self, session: SessionGlobalId) -> Result<(), Refused> {
        let standing = self.standing_of(session);
        let of_stranger = standing == Standing::Stranger;
        if !has_room(self.limits.opens, self.opens.len(), standing)
            || of_stranger && self.stranger_opens >= (self.limits.opens / STRANGERS_PART).max(1)
        {
            return Err(Refused::LimitReached(LimitReached::Opens));
        }
        let opens = self.sessions.get(&session).map_or(0, |it| it.open_count);
        if opens >= self.limits.opens_per_session {
            return Err(Refused::LimitReached(LimitReached::OpensPerSession));
        }
        if !of_stranger && !self.user_opens.has_room(&self.user_of(session), self.limits.opens, standing) {
            return Err(Refused::LimitReached(LimitReached::Opens));
        }
        Ok(())
    }

    /// Sends the breaks that this open takes (MS-FSA 2.1.5.1.2, 2.1.4.12). In the way of sharing only
    /// handle caching is broken: its holder may have closed the file already, were it not for the cache.
    /// It is broken as well before the file is opened to be deleted, so that the close deletes it.
    fn break_for_open(
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
        // Where a sharing violation keeps the overwriting out, the data stay, and so does the caching of them.
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
                // A directory's lease is broken by what changes in it, which nobody waits for.
                delay |= was_breaking && !request.is_directory;
                continue;
            }
            if overwrites {
                keep = LeaseState::NONE;
            }
            if was_breaking || held.intersects(delay_mask) {
                self.may_wait(request.request).map_err(Refused::LimitReached)?;
            }
            match self.break_holder(holder, keep, now, effects) {
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

    fn grant(
        &mut self,
        request: AdmitRequest,
        requester: &Requester,
        attach: impl FnOnce(&GrantedOpen) -> S::Open,
        now: Time,
    ) -> GrantedOpen {
        let opens = &self.opens;
        let global_id = FileGlobalId(self.file_globals.issue(|id| opens.contains_key(&FileGlobalId(id))));
        let file_id = FileId { persistent: self.persistent_ids.issue(), volatile: self.wire_ids.issue() };
        let key = request.target.file();
        let lease = request
            .lease
            .filter(|_| key.is_some() && may_have_lease(&request))
            .map(|lease| (LeaseId { client: requester.client_guid, key: lease.key }, lease));
        let caches = key.map_or(LeaseState::NONE, |key| self.grantable(&request, key, lease));

        let file = match key {
            Some(key) => self.enter_file(key).shared.clone(),
            None => Arc::default(),
        };
        let mut lease_shared = None;
        if let (Some(key), Some((id, asked))) = (key, lease) {
            lease_shared = Some(self.join_lease(id, key, &asked, request.is_directory, caches, global_id));
        }
        let shared = Arc::new(OpenShared::new(file, lease_shared, now));
        let level = if lease.is_some() { OplockLevel::LEASE } else { level_within(caches) };
        let held = lease.and_then(|(id, _)| self.leases.get(&id));
        let lease_state = held.map_or(LeaseState::NONE, |it| it.state);
        let holds_handle = level == OplockLevel::BATCH || lease_state.contains(LeaseState::HANDLE);
        let durable = request
            .durable
            .filter(|_| holds_handle && !request.is_directory)
            .map(|asked| Durable::new(asked, &self.limits));
        let replay = match request.durable {
            Some(DurableRequest::V2 { create_guid, .. }) => Some((requester.client_guid, create_guid)),
            Some(DurableRequest::V1) | None => None,
        };
        let granted = GrantedOpen {
            file_id,
            global_id,
            oplock: level,
            lease_state,
            lease_version: held.map_or(0, |it| it.version),
            lease_epoch: held.map_or(0, |it| it.epoch),
            lease_breaking: held.is_some_and(|it| it.breaking.is_some()),
            durable: durable.as_ref().map(Durable::granted),
            shared: shared.clone(),
        };
        let open = Open {
            file_id,
            home: Some(requester.home),
            target: request.target,
            share: self.tree_share(requester.home.tree),
            share_id: self.trees.get(&requester.home.tree).map_or(0, |it| it.share_id),
            root: self.trees.get(&requester.home.tree).map_or(FileKey::default(), |it| it.root),
            share_name: self.tree_share_name(requester.home.tree),
            folded: folded(&request.path),
            path: request.path,
            access: request.access,
            share_access: request.share_access,
            is_directory: request.is_directory,
            delete_on_close: request.delete_on_close,
            deletes_with_own: false,
            caching: lease.map_or(Caching::None, |(id, _)| Caching::Lease(id)),
            durable,
            orphaned: None,
            replay,
            app_instance: request.app_instance,
            client_guid: requester.client_guid,
            owner: self.owner(requester.home.session),
            user: self.user_of(requester.home.session),
            created: now,
            locks: 0,
            waiting_locks: 0,
            unanswered_breaks: 0,
            of_stranger: self.standing_of(requester.home.session) == Standing::Stranger,
            shared,
            attached: attach(&granted),
        };
        self.insert_open(global_id, open, now);
        if lease.is_none() {
            self.set_oplock(global_id, level, None);
        }
        granted
    }

    fn standing_of(&self, session: SessionGlobalId) -> Standing {
        self.sessions.get(&session).map_or(Standing::Stranger, |it| it.identity.standing())
    }

    fn user_of(&self, session: SessionGlobalId) -> UserKey {
        self.sessions.get(&session).and_then(|it| it.user.clone()).unwrap_or_default()
    }

    fn insert_open(&mut self, id: FileGlobalId, open: Open<S>, now: Time) {
        self.user_opens.add(&open.user);
        if open.of_stranger {
            self.stranger_opens = self.stranger_opens.saturating_add(1);
        }
        if let Some((key, file)) =
            open.target.file().and_then(|key| self.files.get_mut(&key).map(|file| (key, file)))
        {
            file.enter(id, &open);
            self.links.enter(key, Link::of(&open));
            self.paths.insert(open.place(id));
            count(&self.statistics.file_opens);
        } else {
            count(&self.statistics.device_opens);
        }
        if let Some(home) = open.home {
            if let Some(tree) = self.trees.get_mut(&home.tree) {
                tree.opens.insert(id);
            }
            if let Some(session) = self.sessions.get_mut(&home.session) {
                session.open_count = session.open_count.saturating_add(1);
            }
            let opened = EventKind::Opened { open: open.event(id), session: home.session };
            self.events.push(now, opened);
        }
        if open.durable.is_some() {
            self.durable_ids.insert(open.file_id.persistent, id);
        }
        if let Some(name) = open.replay {
            self.create_guids.insert(name, id);
            if let Caching::Lease(lease) = open.caching
                && let Some(lease) = self.leases.get_mut(&lease)
            {
                lease.replayable.insert(id);
            }
        }
        self.volatile_ids.insert(open.file_id.volatile, id);
        self.opens.insert(id, open);
    }

    /// What of the caching asked for can be granted beside the others (MS-FSA 2.1.5.18).
    fn grantable(
        &self,
        request: &AdmitRequest,
        key: FileKey,
        lease: Option<(LeaseId, LeaseRequest)>,
    ) -> LeaseState {
        let mut caches = match lease {
            Some((_, lease)) => wanted(&lease, request.is_directory),
            None if request.is_directory => LeaseState::NONE,
            None => level_caches(request.oplock),
        };
        let Some(file) = self.files.get(&key) else {
            return caches;
        };
        if caches.is_none() {
            return caches;
        }
        let own = lease.map(|(id, _)| id);
        let is_one_more = own.is_none_or(|own| !file.caching.contains(&Holder::Lease(own)));
        if is_one_more && file.caching.len() >= self.limits.cachers_per_file {
            return LeaseState::NONE;
        }
        let others = self.others(file, own);
        // Who writes in a cache still was spared by an open of attributes only.
        if others.write_caching {
            return LeaseState::NONE;
        }
        // A lock of what is there keeps others from caching it; one behind the end keeps nobody from anything.
        let allocation = if request.overwrites { 0 } else { request.allocation };
        if file.ranges.first_offset().is_some_and(|offset| offset < allocation) {
            return LeaseState::NONE;
        }
        if self.moves.concerns(key) {
            caches = usable(caches.without(LeaseState::HANDLE));
        }
        if others.deny_write_caching {
            caches = caches.without(LeaseState::WRITE);
        }
        match lease {
            Some(_) if others.oplock => caches.without(LeaseState::HANDLE),
            None if others.handle_caching => LeaseState::NONE,
            _ => caches,
        }
    }

    fn others(&self, file: &File, own: Option<LeaseId>) -> Others {
        let mut others = Others { oplock: !file.oplocks.is_empty(), ..Others::default() };
        for holder in file.caching.iter().filter(|holder| own.map(Holder::Lease) != Some(**holder)) {
            cost::step();
            let held = self.held(*holder);
            others.handle_caching |= held.contains(LeaseState::HANDLE);
            others.write_caching |= held.contains(LeaseState::WRITE);
        }
        let of_own = own.and_then(|own| self.leases.get(&own)).map_or(0, |lease| lease.opens.len());
        others.deny_write_caching = file.deny_write_caching() > of_own;
        others
    }

    /// Adds an open to a lease, which is made as far as can be, or raised (MS-SMB2 3.3.5.9.8,
    /// 3.3.5.9.11). One that exists is raised to all that is asked for or not at all; it is never
    /// lowered, and never changed while it is breaking.
    fn join_lease(
        &mut self,
        id: LeaseId,
        key: FileKey,
        asked: &LeaseRequest,
        is_directory: bool,
        caches: LeaseState,
        open: FileGlobalId,
    ) -> Arc<std::sync::atomic::AtomicU8> {
        let is_new = !self.leases.contains_key(&id);
        let lease = self.leases.entry(id).or_insert_with(|| Lease::new(key, asked.version, asked.epoch));
        lease.opens.insert(open);
        let shared = lease.shared.clone();
        let whole = is_new || caches == wanted(asked, is_directory);
        let raised =
            whole && caches != lease.state && caches.contains(lease.state) && lease.breaking.is_none();
        // A client that is granted nothing is told of no change.
        if raised {
            lease.advance_epoch();
        }
        if is_new && let Some(file) = self.files.get_mut(&key) {
            file.leases.insert(id);
        }
        if raised {
            self.set_lease_state(id, caches);
        }
        shared
    }

    fn owner(&self, session: SessionGlobalId) -> Arc<Owner> {
        self.sessions
            .get(&session)
            .map_or_else(|| Arc::new(Owner::new(&Identity::default(), "".into())), |it| it.owner.clone())
    }

    fn tree_share(&self, tree: TreeGlobalId) -> crate::share::ShareKey {
        self.trees.get(&tree).map(|it| it.share.clone()).unwrap_or_default()
    }

    fn tree_share_name(&self, tree: TreeGlobalId) -> Arc<str> {
        self.trees.get(&tree).map(|it| it.share_name.clone()).unwrap_or_default()
    }

    fn remember_refusal(&mut self, request: &AdmitRequest, refused: Refused, now: Time) {
        let (kind, blocker) = match refused {
            Refused::SharingViolation { blocker } => (RefusalKind::SharingViolation, Some(blocker)),
            Refused::DeletePending => {
                let file = request.target.file().and_then(|key| self.files.get(&key));
                (RefusalKind::DeletePending, file.and_then(|it| it.opens.first().copied()))
            }
            Refused::LeaseKeyInUse => (RefusalKind::LeaseKeyInUse, None),
            Refused::LimitReached(_) => (RefusalKind::LimitReached, None),
            Refused::CreateGuidInUse { .. }
            | Refused::NewerInstance
            | Refused::SessionGone
            | Refused::TreeGone => return,
        };
        let Ok(requester) = self.requester(request) else {
            return;
        };
        count(&self.statistics.opens_refused);
        let owner = self.owner(requester.home.session);
        self.refuse(Refusal {
            number: 0,
            time: now,
            kind,
            user: owner.user.clone(),
            user_kind: owner.kind,
            domain: owner.domain.clone(),
            client: owner.client.clone(),
            session: Some(requester.home.session),
            share: self.tree_share_name(requester.home.tree),
            path: request.path.clone(),
            access: request.access,
            share_access: request.share_access,
            range: None,
            blocker: blocker.and_then(|id| self.refusal_open(id)),
        });
    }
}

/// Directories are leased by version 2 only (MS-SMB2 3.3.5.9.8); a lease of version 1 is as if it had not
/// been asked for.
fn may_have_lease(request: &AdmitRequest) -> bool {
    !request.is_directory || request.lease.is_some_and(|lease| lease.version >= 2)
}

/// What of the state asked for there is: directories are not written to in a cache.
fn wanted(lease: &LeaseRequest, is_directory: bool) -> LeaseState {
    usable(if is_directory { lease.state.without(LeaseState::WRITE) } else { lease.state })
}

/// An open that breaks no oplock (MS-FSA 2.1.5.1.2): attributes only.
pub(crate) fn is_stat_open(access: AccessMask) -> bool {
    let bits = AccessMask::READ_ATTRIBUTES | AccessMask::WRITE_ATTRIBUTES | AccessMask::SYNCHRONIZE;
    !access.is_none() && bits.contains(access)
}

/// An open that breaks no lease: that, and reading the security descriptor.
pub(crate) fn is_lease_stat_open(access: AccessMask) -> bool {
    let bits = AccessMask::READ_ATTRIBUTES
        | AccessMask::WRITE_ATTRIBUTES
        | AccessMask::SYNCHRONIZE
        | AccessMask::READ_CONTROL;
    !access.is_none() && bits.contains(access)
}

impl File {
    pub(crate) fn refresh_cachers(&self) {
        self.shared.set_cachers(self.caching.len());
    }
}
