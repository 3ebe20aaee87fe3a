//! The creation of an open that is granted: its caching beside other opens (MS-FSA 2.1.5.18), and its entries in the
//! tables.

use std::sync::Arc;

use wire::{FileGlobalId, FoldedName, LeaseState, OplockLevel};

use super::Requester;
use super::request::{AdmitRequest, GrantedOpen, LeaseRequest};
use crate::caching::{Caching, Holder, level_caches, level_within};
use crate::durable::Durable;
use crate::events::EventKind;
use crate::file::File;
use crate::ids::NewIds;
use crate::lease::{usable, wanted};
use crate::links::Link;
use crate::open::Open;
use crate::statistics::count;
use crate::{FileKey, LeaseId, Limits, OpenShared, Shell, Standing, State, Time, cost};

/// The caching of others, which limits the caching that can be granted.
#[derive(Default)]
pub(crate) struct Others {
    pub(crate) oplock: bool,
    pub(crate) handle_caching: bool,
    pub(crate) write_caching: bool,
    pub(crate) deny_write_caching: bool,
}

impl<S: Shell> State<S> {
    pub(super) fn grant(
        &mut self,
        request: AdmitRequest,
        requester: &Requester,
        attach: impl FnOnce(&GrantedOpen) -> S::Open,
        now: Time,
    ) -> GrantedOpen {
        let NewIds { global: global_id, file: file_id } = self.new_open_ids();
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
        let durable = Durable::of(&request, level, lease_state, &self.limits)
            .filter(|_| request.log.is_none_or(|log| self.logs.has_room(log)));
        let replay = request.create_guid().map(|guid| (requester.client_guid, guid));
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
            origin: self.origin(requester.home.tree),
            folded: FoldedName::of(&request.path),
            path: request.path,
            access: request.access,
            share_access: request.share_access,
            is_directory: request.is_directory,
            delete_on_close: request.delete_on_close,
            deletes_with_own: false,
            caching: lease.map_or(Caching::None, |(id, _)| Caching::Lease(id)),
            durable,
            log: request.log,
            orphaned: None,
            replay,
            app_instance: request.app_instance,
            client_guid: requester.client_guid,
            owner: self.owner(requester.home.session),
            user: self.user_of(requester.home.session),
            created: now,
            locks: 0,
            waiting_locks: 0,
            locked_event: None,
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

    pub(crate) fn new_open_ids(&self) -> NewIds {
        self.open_ids.issue(|id| self.opens.contains_key(&id), |id| self.restored_ids.contains_key(&id))
    }

    pub(crate) fn insert_open(&mut self, id: FileGlobalId, open: Open<S>, now: Time) {
        self.open_count.add();
        self.user_opens.add(&open.user);
        if open.of_stranger {
            self.stranger_opens = self.stranger_opens.saturating_add(1);
        }
        if let Some((key, file)) =
            open.target.file().and_then(|key| self.files.get_mut(&key).map(|file| (key, file)))
        {
            file.enter(id, &open);
            self.links.enter(key, Link::of(&open));
            self.statistics.count_file_open(id);
        } else {
            count(&self.statistics.device_opens);
        }
        self.paths.enter(id, &open);
        if let Some(home) = open.home {
            self.enter_home(home, id);
            let opened = EventKind::Opened { open: open.event(id), session: home.session };
            self.events.push(now, opened);
        }
        if let Some(name) = open.replay {
            self.create_guids.insert(name, id);
            if let Caching::Lease(lease) = open.caching
                && let Some(lease) = self.leases.get_mut(&lease)
            {
                lease.replayable.insert(id);
            }
        }
        let lease = self.holder_of(id, &open);
        self.opens.name(open.file_id.volatile, id);
        let log = open.logged();
        self.opens.insert(id, Box::new(open));
        if log.is_some() {
            self.enter_log(id);
        }
        if let Some(Holder::Lease(lease)) = lease {
            self.bound_replayable(lease);
        }
    }

    /// The part of the requested caching that can be granted beside other opens (MS-FSA 2.1.5.18).
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
        if self.moves.concerns(key) {
            caches = usable(caches.without(LeaseState::HANDLE));
        }
        let own = lease.map(|(id, _)| id);
        let file = self.files.get(&key).map(|it| &**it);
        caches_beside(request, caches, own, file, |file| self.others(file, own), &self.limits)
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
}

/// The part of the caching that an open asks for, by its `own` lease or an oplock, which can be granted beside others
/// (MS-FSA 2.1.5.18).
pub(crate) fn caches_beside(
    request: &AdmitRequest,
    asked: LeaseState,
    own: Option<LeaseId>,
    file: Option<&File>,
    others: impl FnOnce(&File) -> Others,
    limits: &Limits,
) -> LeaseState {
    let Some(file) = file.filter(|_| !asked.is_none()) else { return asked };
    let is_one_more = own.is_none_or(|own| !file.caching.contains(&Holder::Lease(own)));
    if is_one_more && file.caching.len() >= limits.cachers_per_file {
        return LeaseState::NONE;
    }
    let others = others(file);
    // A holder can still cache writes here if the new open is for attributes only, which breaks no such caching.
    if others.write_caching {
        return LeaseState::NONE;
    }
    // A lock of existing data does not allow others to cache the file; one behind the end does.
    let allocation = if request.overwrites { 0 } else { request.allocation };
    if file.ranges.first_offset().is_some_and(|offset| offset < allocation) {
        return LeaseState::NONE;
    }
    let caches = if others.deny_write_caching { asked.without(LeaseState::WRITE) } else { asked };
    match own {
        Some(_) if others.oplock => caches.without(LeaseState::HANDLE),
        None if others.handle_caching => LeaseState::NONE,
        _ => caches,
    }
}

/// True if the open may have a lease. Directories are leased by version 2 only (MS-SMB2 3.3.5.9.8); a request for a
/// lease of version 1 is ignored.
pub(crate) fn may_have_lease(request: &AdmitRequest) -> bool {
    !request.is_directory || request.lease.is_some_and(|lease| lease.version >= 2)
}
