//! The sessions of the web console: who has logged on with a browser, until the logoff or until the session expires.
//!
//! The browser has a random token in a cookie; the table has only its hash, so that neither the time of a look-up nor a
//! memory dump discloses tokens.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use parking_lot::Mutex;
use tokio::sync::Notify;
use wire::AccountName;
use zeroize::Zeroizing;

use crate::admin::Time;
use crate::core::password_logon::Visitor;

/// The table of the sessions.
#[derive(Default)]
pub(super) struct WebSessions {
    table: Mutex<HashMap<Key, Entry>>,
    /// Notified when a user logs off.
    ended: Notify,
}

/// The hash of a session's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

struct Entry {
    visitor: Arc<Visitor>,
    account: AccountName,
    /// The token that requests have to repeat in a header, which pages of other origins cannot.
    csrf: Arc<str>,
    began: Time,
    last_used: Time,
}

/// A session at the time of a request.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) key: Key,
    pub(super) visitor: Arc<Visitor>,
    pub(super) csrf: Arc<str>,
}

impl WebSessions {
    /// Begins a session. Returns the token for the cookie, or `None` if the system has no random bytes. A user's
    /// least recently used session makes room for one more than the user may have.
    pub(super) fn begin(&self, visitor: Visitor, now: Time) -> Option<(Zeroizing<String>, Visit)> {
        let (token, csrf) = (random_token()?, random_token()?);
        let visit =
            Visit { key: Key::of(&token), visitor: Arc::new(visitor), csrf: Arc::from(csrf.as_str()) };
        let account = AccountName::new(&visit.visitor.user.name);
        let mut table = self.table.lock();
        table.retain(|_, entry| entry.is_valid(now));
        let own = table.values().filter(|entry| entry.account == account).count();
        let leaving = table
            .iter()
            .filter(|(_, entry)| own < SESSIONS_PER_USER || entry.account == account)
            .min_by_key(|(_, entry)| entry.last_used)
            .map(|(key, _)| *key);
        if let Some(leaving) = leaving.filter(|_| own >= SESSIONS_PER_USER || table.len() >= SESSIONS) {
            table.remove(&leaving);
        }
        let entry = Entry {
            visitor: Arc::clone(&visit.visitor),
            account,
            csrf: Arc::clone(&visit.csrf),
            began: now,
            last_used: now,
        };
        table.insert(visit.key, entry);
        Some((token, visit))
    }

    /// The session with this token, if it is valid. With `is_use`, its idle time begins again.
    pub(super) fn visit(&self, token: &str, is_use: bool, now: Time) -> Option<Visit> {
        let key = Key::of(token);
        let mut table = self.table.lock();
        let entry = table.get_mut(&key)?;
        if !entry.is_valid(now) {
            table.remove(&key);
            return None;
        }
        if is_use {
            entry.last_used = now;
        }
        Some(Visit { key, visitor: Arc::clone(&entry.visitor), csrf: Arc::clone(&entry.csrf) })
    }

    /// True if the session is valid.
    pub(super) fn is_valid(&self, key: Key, now: Time) -> bool {
        self.table.lock().get(&key).is_some_and(|entry| entry.is_valid(now))
    }

    /// Ends the session. Does nothing if it has ended.
    pub(super) fn end(&self, key: Key) {
        self.table.lock().remove(&key);
        self.ended.notify_waiters();
    }

    /// Returns when a session has ended, which may be another one.
    pub(super) async fn any_ended(&self) {
        self.ended.notified().await;
    }

    /// The number of valid sessions.
    pub(super) fn count(&self, now: Time) -> usize {
        self.table.lock().values().filter(|entry| entry.is_valid(now)).count()
    }
}

impl Entry {
    fn is_valid(&self, now: Time) -> bool {
        now.since_ms(self.last_used) < IDLE_MS && now.since_ms(self.began) < LIFETIME_MS
    }
}

impl Key {
    fn of(token: &str) -> Self {
        let mut key = [0; 32];
        let hash = digest::digest(&digest::SHA256, token.as_bytes());
        key.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        Self(key)
    }
}

/// A token of 256 random bits, in hexadecimal digits.
fn random_token() -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; 32]);
    crate::core::random::fill(&mut *bytes).ok()?;
    Some(Zeroizing::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// The number of sessions. For one more, the least recently used one ends.
const SESSIONS: usize = 1024;

/// The number of sessions of one user: browsers on several machines. For one more, the least recently used one of the
/// user ends.
const SESSIONS_PER_USER: usize = 16;

/// The time without a request by the user after which a session ends, in milliseconds: half an hour.
const IDLE_MS: u64 = 30 * 60 * 1000;

/// The time after which a session ends in any case, in milliseconds: a long working day.
const LIFETIME_MS: u64 = 12 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_000_000_000);

    fn begin(sessions: &WebSessions, user: &str, now: Time) -> Zeroizing<String> {
        sessions.begin(Visitor::for_tests(user), now).unwrap().0
    }

    #[test]
    fn session_is_found_by_its_token_until_it_ends() {
        let sessions = WebSessions::default();
        let token = begin(&sessions, "ann", START);
        assert_eq!(token.len(), 64);
        let visit = sessions.visit(&token, true, START).unwrap();
        assert_eq!(visit.visitor.user.name, "ann");
        assert_ne!(*visit.csrf, **token);
        assert!(sessions.visit("", true, START).is_none());

        sessions.end(visit.key);
        assert!(sessions.visit(&token, true, START).is_none() && !sessions.is_valid(visit.key, START));
    }

    #[test]
    fn idle_session_expires_and_automatic_requests_do_not_prolong_it() {
        let sessions = WebSessions::default();
        let token = begin(&sessions, "ann", START);
        let after = |ms| START.after_ms(ms);
        assert!(sessions.visit(&token, true, after(IDLE_MS - 1)).is_some());
        assert!(sessions.visit(&token, false, after(2 * IDLE_MS - 2)).is_some());
        assert!(sessions.visit(&token, true, after(2 * IDLE_MS - 1)).is_none(), "idle since its last use");
        assert_eq!(sessions.count(after(0)), 0);
    }

    #[test]
    fn session_in_use_expires_after_its_lifetime() {
        let sessions = WebSessions::default();
        let token = begin(&sessions, "ann", START);
        let mut now = START;
        while now.since_ms(START) + IDLE_MS / 2 < LIFETIME_MS {
            now = now.after_ms(IDLE_MS / 2);
            assert!(sessions.visit(&token, true, now).is_some());
        }
        assert!(sessions.visit(&token, true, START.after_ms(LIFETIME_MS)).is_none());
    }

    #[test]
    fn numbers_of_sessions_are_limited_and_one_user_cannot_end_others() {
        let sessions = WebSessions::default();
        let other = begin(&sessions, "bob", START);
        let first = begin(&sessions, "ann", START.after_ms(1));
        for n in 0..SESSIONS_PER_USER {
            begin(&sessions, "ANN", START.after_ms(2 + n as u64));
        }
        let now = START.after_ms(100);
        assert_eq!(sessions.count(now), SESSIONS_PER_USER + 1);
        assert!(sessions.visit(&first, true, now).is_none());
        assert!(sessions.visit(&other, true, now).is_some());
        for n in 0..SESSIONS {
            begin(&sessions, &format!("user{n}"), now.after_ms(1));
        }
        assert_eq!(sessions.count(now.after_ms(1)), SESSIONS);
    }
}
