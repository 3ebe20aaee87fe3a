//! The authenticators that were used within the clock skew (RFC 4120 3.2.3).

use std::collections::{BTreeSet, HashMap, HashSet};

use aws_lc_rs::digest;

use super::time::KerberosTime;

/// The used authenticators, by the hashes of their ciphertexts.
#[derive(Debug, Default)]
pub(super) struct ReplayCache {
    used: HashSet<Hash>,
    /// The used authenticators with their clients, in the order of the times from which they are too old to be accepted.
    by_end: BTreeSet<(KerberosTime, Hash, Hash)>,
    /// The numbers of used authenticators, by client.
    by_client: HashMap<Hash, usize>,
}

type Hash = [u8; 16];

/// The reason for not accepting an authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotNew {
    /// The authenticator was used before.
    Used,
    /// The table is full, or the client's part of it.
    Full,
}

impl ReplayCache {
    /// Enters an authenticator of a client, which is accepted until `end`.
    pub(super) fn enter(
        &mut self,
        client: &str,
        cipher: &[u8],
        end: KerberosTime,
        now: KerberosTime,
    ) -> Result<(), NotNew> {
        self.forget(now);
        let (hash, client) = (hash(cipher), hash(client.as_bytes()));
        if self.used.contains(&hash) {
            return Err(NotNew::Used);
        }
        // A forgotten authenticator could be used again, so there are no new ones.
        let of_client = self.by_client.get(&client).copied().unwrap_or_default();
        let most = if of_client < RESERVED_FOR_CLIENT { MAX_REPLAYS + RESERVE } else { MAX_REPLAYS };
        if self.used.len() >= most || of_client >= MAX_REPLAYS_OF_CLIENT {
            return Err(NotNew::Full);
        }
        self.used.insert(hash);
        self.by_end.insert((end, hash, client));
        self.by_client.insert(client, of_client.saturating_add(1));
        Ok(())
    }

    /// Removes those that are too old to be accepted.
    fn forget(&mut self, now: KerberosTime) {
        while let Some((end, hash, client)) = self.by_end.first().copied()
            && end < now
        {
            self.by_end.pop_first();
            self.used.remove(&hash);
            if let Some(count) = self.by_client.get_mut(&client) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.by_client.remove(&client);
                }
            }
        }
    }
}

fn hash(data: &[u8]) -> Hash {
    let digest = digest::digest(&digest::SHA256, data);
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

/// Authenticators within the clock skew: with five minutes of it, 1,700 logons a second for all of that time. They take
/// some hundred bytes each. Only holders of valid tickets get here.
const MAX_REPLAYS: usize = 1 << 20;

/// Further authenticators, when the table is full, of clients that have few in it: a handful of clients cannot keep out
/// the others.
const RESERVE: usize = 1 << 18;

/// Authenticators of a client that the reserve is for: half a minute with one logon a second.
const RESERVED_FOR_CLIENT: usize = 32;

/// Authenticators of one client, so that no user takes the places of all: 400 logons a second.
const MAX_REPLAYS_OF_CLIENT: usize = 1 << 17;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: KerberosTime = KerberosTime(1_000_000);

    #[test]
    fn authenticator_is_accepted_once_until_it_is_too_old() {
        let mut cache = ReplayCache::default();
        let end = KerberosTime(NOW.0 + 300);
        assert_eq!(cache.enter("carol", b"one", end, NOW), Ok(()));
        assert_eq!(cache.enter("carol", b"two", end, NOW), Ok(()));
        assert_eq!(cache.enter("carol", b"one", end, end), Err(NotNew::Used));
        let later = KerberosTime(end.0 + 1);
        assert_eq!(cache.enter("dave", b"three", KerberosTime(later.0 + 300), later), Ok(()));
        assert_eq!((cache.used.len(), cache.by_end.len(), cache.by_client.len()), (1, 1, 1));
    }

    #[test]
    fn client_cannot_take_the_places_of_others() {
        let mut cache = ReplayCache::default();
        let end = KerberosTime(NOW.0 + 300);
        for n in 0..MAX_REPLAYS_OF_CLIENT {
            assert_eq!(cache.enter("carol", &n.to_le_bytes(), end, NOW), Ok(()));
        }
        assert_eq!(cache.enter("carol", b"more", end, NOW), Err(NotNew::Full));
        assert_eq!(cache.enter("dave", b"more", end, NOW), Ok(()));
    }

    #[test]
    fn full_table_has_places_for_clients_with_few_authenticators() {
        let mut cache = ReplayCache::default();
        let end = KerberosTime(NOW.0 + 300);
        for n in 0..MAX_REPLAYS {
            let client = format!("machine{}", n / MAX_REPLAYS_OF_CLIENT);
            assert_eq!(cache.enter(&client, &n.to_le_bytes(), end, NOW), Ok(()));
        }
        for n in 0..RESERVED_FOR_CLIENT {
            assert_eq!(cache.enter("dave", &[&b"dave"[..], &n.to_le_bytes()].concat(), end, NOW), Ok(()));
        }
        assert_eq!(cache.enter("dave", b"more", end, NOW), Err(NotNew::Full));
        assert_eq!(cache.enter("machine0", b"more", end, NOW), Err(NotNew::Full));
    }
}
