//! The limits on how often passwords may be guessed.
//!
//! A wrong password costs time, and more of them than the policy allows lock the account. Attempts are counted for
//! three keys: an account together with an address, an account from all addresses, and an address with all accounts. If
//! there were too many for one of them, the next attempt waits before the password is checked; requests of others on
//! the same connection do not wait. For an account and an address from which it has logged on before, only the wrong
//! passwords of this pair count, so an attacker who knows an account's name cannot shut its user out. The first attempt
//! from an address does not wait for addresses that have failed before, but only for other first attempts, each of
//! which takes a new address.
//!
//! Accounts that do not exist are treated like others, so neither a delay nor a lock shows which names are accounts.

mod kept;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use parking_lot::Mutex;
use registry::{AddressGroup, Time};
use tokio::sync::Notify;

pub(crate) use self::kept::{keep, keep_last};

use crate::core::config::Lockout;
use crate::core::expiring_table::ExpiringTable;
use crate::core::limits::{
    FAILED_MS, FAMILIAR_ADDRESSES, FAMILIAR_KEPT_MS, FAMILIAR_MS, GUESSED_ACCOUNTS, GUESSES,
    GUESSES_OF_ACCOUNT, GUESSES_OF_ADDRESS, GUESSES_OF_PAIR,
};

/// The origin of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// The network.
    Address(AddressGroup),
    /// The control socket.
    Machine,
}

impl Origin {
    /// The origin for an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self::Address(AddressGroup::of(address))
    }
}

/// The keys of an attempt at an account's password.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    account: Key,
    /// The key of the account for attempts from addresses that have not failed with it.
    newcomers: Key,
    address: Key,
    pair: Key,
}

/// The cost of an attempt whose password is not checked yet.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    crowd: Key,
    address: Key,
}

/// The time at which the password of an attempt may be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Now.
    Now,
    /// After this time; then [`Guesses::turn`] must be called again.
    In(Duration),
    /// Never, because the account is locked.
    Locked,
}

/// The wrong passwords and the lock of an account, for administrators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guessed {
    /// The number of wrong passwords that count towards a lock.
    pub(crate) wrong: u32,
    /// The time until which the account is locked; [`Time`]'s maximum if only an administrator can unlock it.
    pub(crate) locked_until: Option<Time>,
}

/// The recent guesses. A restart loses at most the last minute of the accounts and the familiar pairs (`kept.rs`), and
/// all of the others.
pub(crate) struct Guesses {
    secret: Secret,
    /// The time at which the wrong passwords of a pair, an account or an address no longer cause a wait.
    free_at: ExpiringTable<Key, ()>,
    accounts: ExpiringTable<Key, Guessed>,
    /// The pairs of an account and an address with a successful logon.
    familiar: ExpiringTable<Key, ()>,
    /// The pairs with a recent failure.
    failed: ExpiringTable<Key, ()>,
    /// The number of changes that are to be saved.
    revision: u64,
    /// The value of `revision` in the saved file.
    kept_revision: u64,
    changes: Changes,
}

/// Notifications of changes that are to be saved.
#[derive(Clone, Debug, Default)]
struct Changes {
    any: Arc<Notify>,
    /// Notified when an account was locked or unlocked.
    of_locks: Arc<Notify>,
    /// Locked while the file is written.
    saving: Arc<Mutex<()>>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            secret: Secret::random(),
            free_at: ExpiringTable::new(GUESSES),
            accounts: ExpiringTable::new(GUESSED_ACCOUNTS),
            familiar: ExpiringTable::new(FAMILIAR_ADDRESSES),
            failed: ExpiringTable::new(GUESSES),
            revision: 0,
            kept_revision: 0,
            changes: Changes::default(),
        }
    }
}

impl Guesses {
    /// Creates an attempt at an account, whose name may be in any case.
    pub(crate) fn attempt(&self, account: &str, origin: Origin) -> Attempt {
        let name = wire::names::upper(account);
        Attempt {
            account: self.key(Kind::Account, &name, None),
            newcomers: self.key(Kind::Newcomers, &name, None),
            address: self.key(Kind::Address, "", Some(origin)),
            pair: self.key(Kind::Pair, &name, Some(origin)),
        }
    }

    /// The time at which the password may be checked. The caller holds the table until the result is recorded.
    pub(crate) fn turn(&self, attempt: &Attempt, now: Time) -> Turn {
        if self.guessed(attempt.account, now).locked_until.is_some() {
            return Turn::Locked;
        }
        let mut ready = self.free_at.ready_at(attempt.pair, GUESSES_OF_PAIR);
        if self.familiar.get(attempt.pair, now).is_none() {
            ready = ready.max(self.free_at.ready_at(self.crowd_of(attempt, now), GUESSES_OF_ACCOUNT));
            ready = ready.max(self.free_at.ready_at(attempt.address, GUESSES_OF_ADDRESS));
        }
        match ready.since_ms(now) {
            0 => Turn::Now,
            wait => Turn::In(Duration::from_millis(wait)),
        }
    }

    /// Records a failed attempt. `counts` is true if the password was wrong, which counts towards a lock. Returns true
    /// if the account is now locked.
    pub(crate) fn refused(&mut self, attempt: &Attempt, counts: bool, policy: Lockout, now: Time) -> bool {
        let _ = self.spent(attempt, now);
        counts && self.wrong(attempt, policy, now)
    }

    /// Records an attempt whose password is not checked yet, so that other attempts are not checked at the same time.
    pub(crate) fn spent(&mut self, attempt: &Attempt, now: Time) -> Spent {
        self.free_at.charge(attempt.pair, GUESSES_OF_PAIR, now);
        let crowd = self.crowd_of(attempt, now);
        self.free_at.charge(crowd, GUESSES_OF_ACCOUNT, now);
        self.failed.put(attempt.pair, now.after_ms(FAILED_MS), (), now);
        self.free_at.charge(attempt.address, GUESSES_OF_ADDRESS, now);
        Spent { crowd, address: attempt.address }
    }

    /// Returns the cost of an attempt whose password was right to its account and address, for the attempts of others.
    pub(crate) fn give_back(&mut self, spent: Spent, now: Time) {
        self.free_at.give_back(spent.crowd, GUESSES_OF_ACCOUNT, now);
        self.free_at.give_back(spent.address, GUESSES_OF_ADDRESS, now);
    }

    /// Counts a wrong password towards a lock. Returns true if the account is now locked.
    pub(crate) fn wrong(&mut self, attempt: &Attempt, policy: Lockout, now: Time) -> bool {
        let mut guessed = self.guessed(attempt.account, now);
        guessed.wrong = guessed.wrong.saturating_add(1);
        let mut until = now.after_ms(minutes(policy.window));
        let locks = policy.threshold != 0 && guessed.wrong >= policy.threshold;
        if locks {
            until =
                if policy.duration == 0 { Time(u64::MAX) } else { now.after_ms(minutes(policy.duration)) };
            guessed.locked_until = Some(until);
        }
        self.accounts.put(attempt.account, until, guessed, now);
        if policy.threshold != 0 {
            self.changed(locks);
        }
        locks
    }

    /// Records a right password.
    pub(crate) fn accepted(&mut self, attempt: &Attempt, now: Time) {
        self.free_at.remove(attempt.pair);
        self.failed.remove(attempt.pair);
        let had_wrong_ones = self.accounts.remove(attempt.account);
        let until = now.after_ms(FAMILIAR_MS);
        // If each logon were saved, the server would write constantly.
        let is_known =
            self.familiar.until(attempt.pair).is_some_and(|it| it.after_ms(FAMILIAR_KEPT_MS) >= until);
        self.familiar.put(attempt.pair, until, (), now);
        if had_wrong_ones || !is_known {
            self.changed(false);
        }
    }

    /// The wrong passwords and the lock of an account.
    pub(crate) fn of_account(&self, name: &str, now: Time) -> Guessed {
        self.guessed(self.key(Kind::Account, &wire::names::upper(name), None), now)
    }

    /// Unlocks an account and removes its wrong passwords.
    pub(crate) fn forgive(&mut self, name: &str) {
        let key = self.key(Kind::Account, &wire::names::upper(name), None);
        self.free_at.remove(key);
        if self.accounts.remove(key) {
            self.changed(true);
        }
    }

    /// The key of the attempts at the account that this one is counted with: those from addresses that have failed, or
    /// from others.
    fn crowd_of(&self, attempt: &Attempt, now: Time) -> Key {
        if self.failed.get(attempt.pair, now).is_some() { attempt.account } else { attempt.newcomers }
    }

    fn guessed(&self, account: Key, now: Time) -> Guessed {
        self.accounts.get(account, now).copied().unwrap_or_default()
    }

    fn changed(&mut self, of_locks: bool) {
        self.revision = self.revision.wrapping_add(1);
        self.changes.any.notify_one();
        if of_locks {
            self.changes.of_locks.notify_one();
        }
    }

    fn changes(&self) -> Changes {
        self.changes.clone()
    }

    /// The key of a name or address. Keys are keyed hashes, because a name can be as long as a client chooses.
    fn key(&self, kind: Kind, name: &str, origin: Option<Origin>) -> Key {
        let mut of = vec![kind as u8];
        match origin {
            None => of.push(0),
            Some(Origin::Machine) => of.push(1),
            Some(Origin::Address(AddressGroup::V4(address))) => {
                of.push(4);
                of.extend(address.octets());
            }
            Some(Origin::Address(AddressGroup::V6(prefix))) => {
                of.push(6);
                of.extend(prefix.iter().flat_map(|part| part.to_be_bytes()));
            }
        }
        of.extend(name.as_bytes());
        let hash = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.secret.0), &of);
        Key(hash.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

/// The kind of a key. The numbers are in the saved file.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Account = 1,
    Newcomers = 2,
    Address = 3,
    Pair = 4,
}

/// The key of the hashes of names and addresses, so that a client cannot choose names with equal hashes, and a reader
/// of the saved file does not learn the names.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Secret([u8; 32]);

impl Secret {
    fn random() -> Self {
        let mut bytes = [0; 32];
        // Without randomness the server accepts no logons.
        if crate::core::random::fill(&mut bytes).is_err() {
            tracing::error!(
                "cannot get random bytes for the hashes of account names; clients could predict them"
            );
        }
        Self(bytes)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl std::fmt::Debug for Guesses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guesses").field("free_at", &self.free_at.len()).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key([u8; 16]);

fn minutes(count: u32) -> u64 {
    u64::from(count).saturating_mul(60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_passwords_cost_an_address_nothing() {
        let mut guesses = Guesses::default();
        let other = guesses.attempt("bob", origin("10.0.0.1"));
        for number in 0..2 * GUESSES_OF_ADDRESS.at_once {
            let attempt = guesses.attempt(&format!("user{number}"), origin("10.0.0.1"));
            assert_eq!(guesses.turn(&attempt, START), Turn::Now, "{number}");
            let spent = guesses.spent(&attempt, START);
            guesses.accepted(&attempt, START);
            guesses.give_back(spent, START);
        }
        assert_eq!(guesses.turn(&other, START), Turn::Now);
    }

    const OFF: Lockout = Lockout { threshold: 0, duration: 10, window: 10 };
    const START: Time = Time(1_000_000);

    fn origin(address: &str) -> Origin {
        Origin::of(address.parse().unwrap())
    }

    /// The number of wrong passwords that are checked within a time, for a client that tries without pause.
    fn judged(guesses: &mut Guesses, attempts: &[Attempt], from: Time, ms: u64) -> usize {
        let mut judged = 0;
        for passed in 0..ms / 100 {
            let now = from.after_ms(passed * 100);
            for attempt in attempts {
                if guesses.turn(attempt, now) == Turn::Now {
                    guesses.refused(attempt, true, OFF, now);
                    judged += 1;
                }
            }
        }
        judged
    }

    #[test]
    fn one_address_tries_an_account_once_in_two_seconds() {
        let mut guesses = Guesses::default();
        // The names differ in case, and the attempts come at once.
        let attempts = ["alice", "ALICE", "Alice"].map(|name| guesses.attempt(name, origin("192.0.2.1")));
        assert_eq!(judged(&mut guesses, &attempts, START, 20_000), 10);
        let other = guesses.attempt("bob", origin("192.0.2.1"));
        assert_eq!(guesses.turn(&other, START.after_ms(20_000)), Turn::Now);
    }

    #[test]
    fn many_addresses_together_do_not_try_an_account_more_than_once_a_second() {
        let mut guesses = Guesses::default();
        let attempts: Vec<_> =
            (0..200).map(|n| guesses.attempt("alice", origin(&format!("192.0.2.{n}")))).collect();
        let at_once = usize::try_from(GUESSES_OF_ACCOUNT.at_once).unwrap();
        let judged = judged(&mut guesses, &attempts, START, 30_000);
        // The limit for first attempts is as high again.
        assert!(judged <= 2 * (at_once + 30), "{judged}");
        // The 64-bit prefix of an IPv6 address counts as one address.
        let inside = guesses.attempt("bob", origin("2001:db8::1"));
        guesses.refused(&inside, true, OFF, START);
        let beside = guesses.attempt("bob", origin("2001:db8::2"));
        assert_ne!(guesses.turn(&beside, START), Turn::Now);
    }

    #[test]
    fn one_address_does_not_try_many_accounts_faster() {
        let mut guesses = Guesses::default();
        let attempts: Vec<_> =
            (0..2_000).map(|n| guesses.attempt(&format!("user{n}"), origin("192.0.2.1"))).collect();
        let at_once = usize::try_from(GUESSES_OF_ADDRESS.at_once).unwrap();
        let judged = judged(&mut guesses, &attempts, START, 10_000);
        assert!(judged <= at_once + 20, "{judged}");
    }

    #[test]
    fn familiar_address_does_not_wait_for_guesses_of_others() {
        let mut guesses = Guesses::default();
        let home = guesses.attempt("alice", origin("192.0.2.1"));
        guesses.accepted(&home, START);
        let mut attempts: Vec<_> =
            (2..200).map(|n| guesses.attempt("alice", origin(&format!("192.0.2.{n}")))).collect();
        attempts.extend((0..500).map(|n| guesses.attempt(&format!("user{n}"), origin("192.0.2.1"))));
        judged(&mut guesses, &attempts, START, 5_000);
        let now = START.after_ms(4_999);
        assert_eq!(guesses.turn(&home, now), Turn::Now);
        // Wrong passwords of the pair itself do cause a wait.
        guesses.refused(&home, true, OFF, now);
        assert_eq!(guesses.turn(&home, now), Turn::In(Duration::from_secs(2)));
        guesses.accepted(&home, now);
        assert_eq!(guesses.turn(&home, now), Turn::Now);
    }

    #[test]
    fn new_address_does_not_wait_for_failed_addresses() {
        let mut guesses = Guesses::default();
        let attempts: Vec<_> =
            (0..120).map(|n| guesses.attempt("alice", origin(&format!("192.0.2.{n}")))).collect();
        judged(&mut guesses, &attempts, START, 180_000);
        let now = START.after_ms(179_950);
        assert!(attempts.iter().all(|attempt| guesses.turn(attempt, now) != Turn::Now));
        let elsewhere = guesses.attempt("alice", origin("198.51.100.1"));
        assert_eq!(guesses.turn(&elsewhere, now), Turn::Now);
    }

    #[test]
    fn wrong_passwords_lock_an_account_by_policy() {
        let policy = Lockout { threshold: 3, duration: 10, window: 5 };
        let mut guesses = Guesses::default();
        let attempt = guesses.attempt("alice", origin("192.0.2.1"));
        let minute = |n: u64| START.after_ms(n * 60_000);
        assert!(!guesses.refused(&attempt, true, policy, minute(0)));
        assert!(!guesses.refused(&attempt, false, policy, minute(0)), "a refusal of another kind");
        assert!(!guesses.refused(&attempt, true, policy, minute(1)));
        assert_eq!(guesses.of_account("ALICE", minute(1)).wrong, 2);
        assert_eq!(guesses.of_account("alice", minute(6)), Guessed::default(), "the window is over");
        for n in 10..12 {
            assert!(!guesses.refused(&attempt, true, policy, minute(n)));
        }
        assert!(guesses.refused(&attempt, true, policy, minute(12)));
        let elsewhere = guesses.attempt("alice", origin("192.0.2.2"));
        for attempt in [&attempt, &elsewhere] {
            assert_eq!(guesses.turn(attempt, minute(21)), Turn::Locked);
            assert_eq!(guesses.turn(attempt, minute(22)), Turn::Now);
        }
        let for_good = Lockout { duration: 0, ..policy };
        for n in 30..33 {
            guesses.refused(&attempt, true, for_good, minute(n));
        }
        assert_eq!(guesses.turn(&attempt, minute(1_000_000)), Turn::Locked);
        guesses.forgive("Alice");
        assert_eq!(guesses.turn(&attempt, minute(1_000_000)), Turn::Now);
    }

    #[test]
    fn tables_are_bounded_and_keep_the_longest_entries() {
        let mut guesses = Guesses::default();
        let home = guesses.attempt("alice", origin("192.0.2.1"));
        guesses.accepted(&home, START);
        let policy = Lockout { threshold: 1, duration: 60, window: 60 };
        let locked = guesses.attempt("bob", origin("192.0.2.1"));
        guesses.refused(&locked, true, policy, START);
        for n in 0..(GUESSES * 2) {
            let attempt = guesses.attempt(&format!("user{n}"), origin("192.0.2.3"));
            guesses.refused(&attempt, true, OFF, START);
        }
        assert!(guesses.free_at.len() <= GUESSES);
        assert!(guesses.accounts.len() <= GUESSED_ACCOUNTS);
        assert_eq!(guesses.turn(&locked, START.after_ms(60_000)), Turn::Locked);
        assert!(guesses.familiar.get(home.pair, START).is_some());
    }
}
