//! The limits on connections to the console and to the witness service, and on logons, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::core::guesses::Origin;

/// The places for connections or logons.
pub(super) struct Places {
    limits: PlaceLimits,
    taken: Arc<Mutex<Taken>>,
    /// The number of clients that got no place.
    refused: AtomicU64,
}

/// The numbers of places.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlaceLimits {
    all: usize,
    /// The places for one address, or for a 64-bit prefix of IPv6.
    pub(super) per_address: usize,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: HashMap<Origin, usize>,
}

/// A place, which is released when this is dropped.
pub(super) struct Place {
    taken: Arc<Mutex<Taken>>,
    origin: Origin,
}

impl Places {
    pub(super) fn new(limits: PlaceLimits) -> Self {
        Self { limits, taken: Arc::default(), refused: AtomicU64::new(0) }
    }

    /// Takes a place for a client with this address; `None` if there is none left for it.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let origin = Origin::of(address.to_canonical());
        let mut taken = self.taken.lock();
        let own = taken.by_address.get(&origin).copied().unwrap_or(0);
        if taken.all >= self.limits.all || own >= self.limits.per_address {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        taken.by_address.insert(origin, own.saturating_add(1));
        taken.all = taken.all.saturating_add(1);
        Some(Place { taken: Arc::clone(&self.taken), origin })
    }

    /// The number of places that are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.lock().all
    }

    /// The number of clients that got no place since the start.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.all = taken.all.saturating_sub(1);
        let left = taken.by_address.get(&self.origin).map_or(0, |own| own.saturating_sub(1));
        if left == 0 {
            taken.by_address.remove(&self.origin);
        } else {
            taken.by_address.insert(self.origin, left);
        }
    }
}

/// The connections to the console: six of each browser, for some dozens of people. One more is closed.
pub(super) const CONSOLE: PlaceLimits = PlaceLimits { all: 256, per_address: 32 };

/// The connections to the listeners of the metrics: a few programs that collect them. One more is closed.
pub(super) const METRICS: PlaceLimits = PlaceLimits { all: 32, per_address: 16 };

/// The logons under way; a refused one takes some seconds. One more is refused with 429.
pub(super) const LOGONS: PlaceLimits = PlaceLimits { all: 64, per_address: 4 };

/// The connections to the witness service whose user has not logged on yet. The number in all is that of connections, for all
/// clients of a node that died come at once; each is a stranger for a moment, in one or two connections, and dozens can be
/// behind one address. An address alone cannot take all places for the time of a logon. One more is closed.
pub(super) const WITNESS_STRANGERS: PlaceLimits = PlaceLimits { all: 4_096, per_address: 128 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_by_address_and_released() {
        let places = Places::new(PlaceLimits { all: 3, per_address: 2 });
        let take = |text: &str| places.take(text.parse().unwrap());
        let first = take("192.0.2.1").unwrap();
        // An IPv4 address in the form of IPv6 is the same address.
        let second = take("::ffff:192.0.2.1").unwrap();
        assert!(take("192.0.2.1").is_none());
        let other = take("2001:db8::1").unwrap();
        assert!(take("192.0.2.2").is_none(), "all places are taken");
        assert_eq!((places.taken(), places.refused()), (3, 2));
        drop(first);
        drop(take("192.0.2.1").unwrap());
        drop((second, other));
        assert_eq!(places.taken(), 0);
        assert!(places.taken.lock().by_address.is_empty());
    }
}
