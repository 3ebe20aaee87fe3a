//! The authenticators that were used within the clock skew (RFC 4120 3.2.3).

use core::fmt;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use aws_lc_rs::digest;
use parking_lot::{Mutex, MutexGuard};
use wire::FileTime;

use super::time::KerberosTime;

/// The authenticators that were used at a server, with all its keytabs. Clones are of the same table.
#[derive(Clone, Default)]
pub struct UsedAuthenticators(Arc<Mutex<ReplayCache>>);

impl UsedAuthenticators {
    /// A table with the authenticators that an earlier run has used, which has later ones recorded.
    pub fn restored(
        used: impl IntoIterator<Item = UsedAuthenticator>,
        journal: Box<dyn ReplayJournal>,
        now: FileTime,
    ) -> Self {
        let mut cache = ReplayCache::default();
        let now = KerberosTime::of(now);
        for used in used.into_iter().filter(|used| used.end >= now).take(MAX_REPLAYS + RESERVE) {
            cache.insert(used);
        }
        cache.journal = Some(journal);
        Self(Arc::new(Mutex::new(cache)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ReplayCache> {
        self.0.lock()
    }
}

impl fmt::Debug for UsedAuthenticators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsedAuthenticators").finish_non_exhaustive()
    }
}

/// An authenticator that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsedAuthenticator {
    /// The time from which it is too old to be accepted.
    end: KerberosTime,
    /// The hash of its ciphertext.
    cipher: Hash,
    /// The hash of its client.
    client: Hash,
}

impl UsedAuthenticator {
    /// Bytes of a record.
    pub const RECORD_LEN: usize = 40;

    /// The record of the authenticator.
    pub fn record(&self) -> [u8; Self::RECORD_LEN] {
        let mut record = [0; Self::RECORD_LEN];
        let bytes = self.end.0.to_le_bytes().into_iter().chain(self.cipher).chain(self.client);
        record.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        record
    }

    /// The authenticator of a record.
    pub fn of_record(record: &[u8; Self::RECORD_LEN]) -> Self {
        let mut end = [0; 8];
        let (mut cipher, mut client) = (Hash::default(), Hash::default());
        let places = end.iter_mut().chain(&mut cipher).chain(&mut client);
        places.zip(record).for_each(|(to, from)| *to = *from);
        Self { end: KerberosTime(i64::from_le_bytes(end)), cipher, client }
    }
}

/// A record of used authenticators that outlives the process.
pub trait ReplayJournal: Send {
    /// Records an authenticator before its logon is granted. `all` are those that can still be accepted, this one
    /// included: a journal that has become long can begin again with them. It reports its errors itself.
    fn append(&mut self, used: &UsedAuthenticator, all: &mut dyn ExactSizeIterator<Item = UsedAuthenticator>);
}

/// The used authenticators, by the hashes of their ciphertexts.
#[derive(Default)]
pub(super) struct ReplayCache {
    used: HashSet<Hash>,
    by_end: BTreeSet<UsedAuthenticator>,
    /// The numbers of used authenticators, by client.
    by_client: HashMap<Hash, usize>,
    journal: Option<Box<dyn ReplayJournal>>,
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
        let used = UsedAuthenticator { end, cipher: hash(cipher), client: hash(client.as_bytes()) };
        if self.used.contains(&used.cipher) {
            return Err(NotNew::Used);
        }
        // A forgotten authenticator could be used again, so there are no new ones.
        let of_client = self.by_client.get(&used.client).copied().unwrap_or_default();
        let most = if of_client < RESERVED_FOR_CLIENT { MAX_REPLAYS + RESERVE } else { MAX_REPLAYS };
        if self.used.len() >= most || of_client >= MAX_REPLAYS_OF_CLIENT {
            return Err(NotNew::Full);
        }
        self.insert(used);
        if let Some(journal) = &mut self.journal {
            journal.append(&used, &mut self.by_end.iter().copied());
        }
        Ok(())
    }

    fn insert(&mut self, used: UsedAuthenticator) {
        if self.used.insert(used.cipher) {
            self.by_end.insert(used);
            let of_client = self.by_client.entry(used.client).or_default();
            *of_client = of_client.saturating_add(1);
        }
    }

    /// Removes those that are too old to be accepted.
    fn forget(&mut self, now: KerberosTime) {
        while let Some(UsedAuthenticator { end, cipher, client }) = self.by_end.first().copied()
            && end < now
        {
            self.by_end.pop_first();
            self.used.remove(&cipher);
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
    fn restored_table_knows_the_authenticators_that_can_still_be_accepted() {
        #[derive(Clone, Default)]
        struct Records(Arc<Mutex<Vec<u8>>>);
        impl ReplayJournal for Records {
            fn append(
                &mut self,
                used: &UsedAuthenticator,
                all: &mut dyn ExactSizeIterator<Item = UsedAuthenticator>,
            ) {
                assert!(all.collect::<Vec<_>>().contains(used));
                self.0.lock().extend(used.record());
            }
        }
        let (records, now) = (Records::default(), NOW.file_time());
        let before = UsedAuthenticators::restored([], Box::new(records.clone()), now);
        let end = KerberosTime(NOW.0 + 300);
        assert_eq!(before.lock().enter("carol", b"old", NOW, NOW), Ok(()));
        assert_eq!(before.lock().enter("carol", b"new", end, NOW), Ok(()));
        assert_eq!(before.lock().enter("carol", b"new", end, NOW), Err(NotNew::Used));
        let kept = records.0.lock().clone();
        let kept = kept.as_chunks().0.iter().map(UsedAuthenticator::of_record);
        assert_eq!(kept.len(), 2);
        let later = KerberosTime(NOW.0 + 1);
        let after = UsedAuthenticators::restored(kept, Box::new(records), later.file_time());
        assert_eq!(after.lock().used.len(), 1);
        assert_eq!(after.lock().by_client.len(), 1);
        assert_eq!(after.lock().enter("carol", b"new", end, later), Err(NotNew::Used));
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
