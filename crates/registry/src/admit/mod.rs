//! The decision on an open (MS-SMB2 3.3.5.9, MS-FSA 2.1.5.1.2).

mod conflicts;
mod grant;
mod request;

pub(crate) use conflicts::{is_lease_stat_open, is_stat_open};
pub(crate) use grant::{Others, caches_beside, may_have_lease};
pub use request::{Admission, AdmitRequest, AppInstance, GrantedOpen, LeaseRequest, Refused};

use std::sync::Arc;

use wire::{Guid, SessionGlobalId, TreeGlobalId};

use crate::caching::Broken;
use crate::limits::{STRANGERS_PART, has_room};
use crate::links::Link;
use crate::open::{Home, Owner};
use crate::refusals::{Refusal, RefusalKind};
use crate::session::SessionState;
use crate::share::Origin;
use crate::statistics::count;
use crate::user_counts::UserKey;
use crate::{Effects, Identity, LeaseId, LimitReached, Shell, Standing, State, Time};

/// The session, tree connect, connection and client of a request.
struct Requester {
    home: Home,
    client_guid: Guid,
}

/// The decision on an open that is not refused.
enum Decided {
    Granted(Requester),
    /// Breaks are under way.
    MustWait,
    /// More opens have to be closed first than one hold of the lock may close, or the file is being removed or renamed.
    LookAgain,
}

impl<S: Shell> State<S> {
    /// Decides on an open (MS-FSA 2.1.5.1.2) and creates it. If the open is refused or waits, only the refusal log and
    /// the breaks under way have changed. `attach` makes the server's part of the open.
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
                let lease = request.lease.map(|it| LeaseId { client: requester.client_guid, key: it.key });
                let granted = self.grant(request, &requester, attach, now);
                if let Some(lease) = lease {
                    self.send_owed_break(lease, now, &mut effects);
                }
                Admission::Granted(granted)
            }
            Ok(Decided::LookAgain) => Admission::LookAgain,
            Ok(Decided::MustWait) if self.vanishes(&request) => {
                // The request looks the name up again when the file is gone, and not when a break is acknowledged.
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
        if request.target.file().is_some() {
            self.check_maintenance(request, &requester)?;
        }
        if !self.fail_over(request, &requester, now, effects)? {
            return Ok(Decided::LookAgain);
        }
        self.check_limits(requester.home.session)?;
        if let Some(create_guid) = request.create_guid()
            && let Some(open) = self.open_by_create_guid(requester.client_guid, create_guid)
        {
            return Err(Refused::CreateGuidInUse { open });
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
        if let Some(blocker) = self.awaited_in_the_way(request, key, own) {
            return Err(Refused::AwaitsClient { blocker });
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
        // The file may have been removed with an open that was closed to make way.
        if self.vanishes(request) {
            return Ok(Decided::LookAgain);
        }
        match blocker {
            Some(blocker) => Err(Refused::SharingViolation { blocker }),
            None => Ok(Decided::Granted(requester)),
        }
    }

    /// Refuses an open during a drain, and one of a path that is held.
    fn check_maintenance(&self, request: &AdmitRequest, requester: &Requester) -> Result<(), Refused> {
        let Some(tree) = self.trees.get(&requester.home.tree) else { return Err(Refused::TreeGone) };
        let share = &tree.origin.share;
        if self.is_drained(requester.home.session, share) {
            return Err(Refused::Draining);
        }
        if self.is_held(share, &request.path) {
            return Err(Refused::Held);
        }
        Ok(())
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
        Link::new(self.origin(requester.home.tree).share.clone(), &request.path)
    }

    fn check_limits(&self, session: SessionGlobalId) -> Result<(), Refused> {
        let standing = self.standing_of(session);
        let of_stranger = standing == Standing::Stranger;
        if !has_room(self.limits.opens, self.open_count.get(), standing)
            || of_stranger && self.stranger_opens >= (self.limits.opens / STRANGERS_PART).max(1)
        {
            return Err(Refused::LimitReached(LimitReached::Opens));
        }
        let opens = self.sessions.get(&session).map_or(0, |it| it.open_count.get());
        if opens >= self.limits.opens_per_session {
            return Err(Refused::LimitReached(LimitReached::OpensPerSession));
        }
        if !of_stranger && !self.user_opens.has_room(&self.user_of(session), self.limits.opens, standing) {
            return Err(Refused::LimitReached(LimitReached::Opens));
        }
        Ok(())
    }

    fn standing_of(&self, session: SessionGlobalId) -> Standing {
        self.sessions.get(&session).map_or(Standing::Stranger, |it| it.identity.standing())
    }

    fn user_of(&self, session: SessionGlobalId) -> UserKey {
        self.sessions.get(&session).and_then(|it| it.user.clone()).unwrap_or_default()
    }

    fn owner(&self, session: SessionGlobalId) -> Arc<Owner> {
        self.sessions
            .get(&session)
            .map_or_else(|| Arc::new(Owner::new(&Identity::default(), "".into())), |it| it.owner.clone())
    }

    fn origin(&self, tree: TreeGlobalId) -> Arc<Origin> {
        self.trees.get(&tree).map(|it| it.origin.clone()).unwrap_or_default()
    }

    fn remember_refusal(&mut self, request: &AdmitRequest, refused: Refused, now: Time) {
        let (kind, blocker) = match refused {
            Refused::SharingViolation { blocker } | Refused::AwaitsClient { blocker } => {
                (RefusalKind::SharingViolation, Some(blocker))
            }
            Refused::DeletePending => {
                let file = request.target.file().and_then(|key| self.files.get(&key));
                (RefusalKind::DeletePending, file.and_then(|it| it.opens.first().copied()))
            }
            Refused::LeaseKeyInUse => (RefusalKind::LeaseKeyInUse, None),
            Refused::Draining => (RefusalKind::Draining, None),
            Refused::Held => (RefusalKind::Held, None),
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
            user_sid: owner.sid,
            domain: owner.domain.clone(),
            client: owner.client.clone(),
            session: Some(requester.home.session),
            share: self.origin(requester.home.tree).share_name.clone(),
            path: request.path.clone(),
            access: request.access,
            share_access: request.share_access,
            range: None,
            blocker: blocker.and_then(|id| self.refusal_open(id)),
        });
    }
}
