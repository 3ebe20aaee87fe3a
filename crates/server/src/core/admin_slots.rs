//! Limits on the number of simultaneous administrative requests that take a while.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use wire::AccountName;

use crate::core::caller::Caller;

/// The places for administrative requests.
#[derive(Debug)]
pub(crate) struct AdminSlots {
    /// Control pipes.
    pub(crate) pipes: AdminSlotPool,
    /// Connections to the control socket.
    pub(crate) socket: AdminSlotPool,
    /// Requests through the web console.
    pub(crate) web: AdminSlotPool,
    /// Closes that wait for their client.
    pub(crate) closes: AdminSlotPool,
    /// Queries for the users of a file that wait until there are none.
    pub(crate) waits: AdminSlotPool,
    /// Holds, and waits for them.
    pub(crate) holds: AdminSlotPool,
    /// Readers of the event stream.
    pub(crate) watchers: AdminSlotPool,
}

impl Default for AdminSlots {
    fn default() -> Self {
        Self {
            pipes: AdminSlotPool::new(PIPES),
            socket: AdminSlotPool::new(SOCKET_CONNECTIONS),
            web: AdminSlotPool::new(WEB_REQUESTS),
            closes: AdminSlotPool::new(CLOSES),
            waits: AdminSlotPool::new(WAITS),
            holds: AdminSlotPool::new(HOLDS),
            watchers: AdminSlotPool::new(WATCHERS),
        }
    }
}

/// Places that callers share: some are kept for administrators, and the number for each other user is limited.
#[derive(Clone, Debug)]
pub(crate) struct AdminSlotPool {
    bounds: Bounds,
    taken: Arc<Mutex<Taken>>,
}

/// The numbers of places.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    all: usize,
    /// The places that only administrators may take.
    kept: usize,
    /// The places that one user may take who is no administrator.
    per_user: usize,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// The places of users that are no administrators, by name.
    by_user: HashMap<AccountName, usize>,
}

/// A place, which is released when this is dropped.
#[derive(Debug)]
pub(crate) struct AdminSlot {
    taken: Arc<Mutex<Taken>>,
    user: Option<AccountName>,
}

/// The place of a connection while its requests are short. While a request waits, the connection has one of the places
/// for waiting requests instead, so that short requests find places however many wait.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    places: AdminSlotPool,
    caller: Arc<Caller>,
    place: Arc<Mutex<Option<AdminSlot>>>,
}

/// A connection that has released its place. It takes one again when this is dropped, if there is one.
#[derive(Debug)]
pub(crate) struct Aside(Seat);

impl Seat {
    /// Takes a place for the caller's connection. Returns `None` if there is none left for that caller.
    pub(crate) fn take(places: &AdminSlotPool, caller: Caller) -> Option<Self> {
        let place = places.take(&caller)?;
        let place = Arc::new(Mutex::new(Some(place)));
        Some(Self { places: places.clone(), caller: Arc::new(caller), place })
    }

    /// Releases the place. The caller has, or is about to take, one of the places for waiting requests.
    pub(crate) fn step_aside(&self) -> Aside {
        drop(self.lock().take());
        Aside(self.clone())
    }

    /// True if the connection has a place. A connection without a place ends, because others took it meanwhile.
    pub(crate) fn is_held(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<AdminSlot>> {
        self.place.lock()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let mut place = self.0.lock();
        if place.is_none() {
            *place = self.0.places.take(&self.0.caller);
        }
    }
}

impl AdminSlotPool {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, taken: Arc::default() }
    }

    /// Takes a place for the caller. Returns `None` if there is none left for that caller.
    pub(crate) fn take(&self, caller: &Caller) -> Option<AdminSlot> {
        let Bounds { all, kept, per_user } = self.bounds;
        let mut taken = self.taken.lock();
        let user = (!caller.administrator).then(|| AccountName::new(&caller.user));
        let most = if user.is_some() { all.saturating_sub(kept) } else { all };
        if taken.all >= most {
            return None;
        }
        if let Some(user) = &user {
            let own = taken.by_user.entry(user.clone()).or_default();
            if *own >= per_user {
                return None;
            }
            *own = own.saturating_add(1);
        }
        taken.all = taken.all.saturating_add(1);
        Some(AdminSlot { taken: Arc::clone(&self.taken), user })
    }
}

impl Drop for AdminSlot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(user) = &self.user
            && let Some(own) = taken.by_user.get_mut(user)
        {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_user.remove(user);
            }
        }
    }
}

/// The number of control pipes in use; a user has some commands running. One more is STATUS_PIPE_NOT_AVAILABLE. Pipes
/// with waiting requests use the places below instead.
const PIPES: Bounds = Bounds { all: 384, kept: 128, per_user: 16 };

/// The number of connections to the control socket, for people and their scripts. One more is closed. Connections with
/// waiting requests use the places below instead.
const SOCKET_CONNECTIONS: Bounds = Bounds { all: 192, kept: 128, per_user: 16 };

/// The number of requests through the web console at the same time; a browser makes up to six. One more is ERROR_BUSY.
/// Waiting requests use the places below instead.
const WEB_REQUESTS: Bounds = Bounds { all: 128, kept: 64, per_user: 16 };

/// The number of connections to the control socket that administrators may have.
#[cfg(test)]
pub(crate) const SOCKET_PLACES: usize = SOCKET_CONNECTIONS.all;

/// The number of closes that wait for their client, as a script causes that closes all files of a share. One more is
/// ERROR_BUSY.
const CLOSES: Bounds = Bounds { all: 256, kept: 64, per_user: 32 };

/// The number of queries that wait. One more is ERROR_BUSY.
const WAITS: Bounds = Bounds { all: 64, kept: 16, per_user: 8 };

/// The number of holds and of waits for them, each of which belongs to a running command. One more is ERROR_BUSY.
const HOLDS: Bounds = Bounds { all: registry::HOLDS, kept: 16, per_user: 8 };

/// The number of readers of the event stream, each of which gets every event. One more is ERROR_BUSY.
const WATCHERS: Bounds = Bounds { all: 32, kept: 8, per_user: 4 };

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(user: &str, administrator: bool) -> Caller {
        Caller { user: user.into(), administrator, ..Caller::default() }
    }

    #[test]
    fn waiting_connection_releases_its_place() {
        let places = AdminSlotPool::new(Bounds { all: 2, kept: 1, per_user: 1 });
        let root = || Seat::take(&places, caller("root", true));
        let (one, other) = (root().unwrap(), root().unwrap());
        assert!(root().is_none());
        let aside = one.step_aside();
        let third = root().unwrap();
        assert!(!one.is_held() && root().is_none());
        drop(aside);
        assert!(!one.is_held(), "the other connections have all places");
        drop(third);
        drop(one.step_aside());
        assert!(one.is_held() && root().is_none());
        drop((one, other));
        assert_eq!(places.taken.lock().all, 0);
    }

    #[test]
    fn places_are_limited_per_user_and_reserved_for_administrators() {
        let places = AdminSlotPool::new(Bounds { all: 6, kept: 2, per_user: 3 });
        let mut held: Vec<_> =
            ["bob", "BOB", "bob"].map(|user| places.take(&caller(user, false)).unwrap()).into();
        assert!(places.take(&caller("Bob", false)).is_none());
        held.push(places.take(&caller("alice", false)).unwrap());
        assert!(places.take(&caller("carol", false)).is_none(), "the other places are for administrators");
        let admins: Vec<_> = (0..2).map(|_| places.take(&caller("root", true)).unwrap()).collect();
        assert!(places.take(&caller("root", true)).is_none());
        drop(admins);
        held.remove(0);
        held.push(places.take(&caller("bob", false)).unwrap());
        assert!(places.take(&caller("bob", false)).is_none());
        drop(held);
        let taken = places.taken.lock();
        assert_eq!((taken.all, taken.by_user.len()), (0, 0));
    }
}
