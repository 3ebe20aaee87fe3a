//! The part of the guesses that outlives a restart: locked accounts, wrong passwords that count towards a lock, and the
//! addresses that accounts have logged on from. Without the first, an attacker who makes the server restart gets more
//! guesses; without the last, every user has to wait after a restart while an attacker is guessing.
//!
//! The file `guesses` in the state directory is text: a key, and a line for each account and each pair of an account
//! and an address. Names and addresses are hashed with the key, and times are milliseconds since 1970.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use registry::Time;

use super::{Guessed, Guesses, Key, Secret};
use crate::core::limits::{
    FAMILIAR_MS, GUESSES_FILE_MAX, GUESSES_KEPT_EVERY, GUESSES_LOCK_KEPT_EVERY, LOCKOUT_MINUTES_MAX,
};
use crate::core::server::Server;
use crate::core::state_file;

/// The part of the guesses that is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) secret: Secret,
    pub(super) accounts: Vec<(Key, Time, Guessed)>,
    pub(super) familiar: Vec<(Key, Time)>,
}

impl Guesses {
    /// Reads the guesses that an earlier run has saved; without a file there are none. If the file cannot be read or is
    /// malformed, this logs a warning and starts without locked accounts, because a server that does not start would be
    /// worse.
    pub(crate) fn load(state_directory: &Path, now: Time) -> Self {
        let path = state_directory.join(FILE_NAME);
        let text = match state_file::read(state_directory, FILE_NAME, GUESSES_FILE_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot read the locked accounts; no account is locked");
                return Self::default();
            }
        };
        let Some((kept, wrong)) = Kept::parse(&text) else {
            tracing::warn!(path = %path.display(), "the file of locked accounts is malformed; no account is locked");
            return Self::default();
        };
        if wrong != 0 {
            tracing::warn!(path = %path.display(), lines = wrong, "some lines of the file are malformed and are ignored");
        }
        Self::with(kept, now)
    }

    /// Creates guesses from those that were saved.
    fn with(kept: Kept, now: Time) -> Self {
        let mut guesses = Self { secret: kept.secret, ..Self::default() };
        // A wrong clock must not lock an account for longer than any policy does.
        let longest = now.after_ms(u64::try_from(LOCKOUT_MINUTES_MAX).unwrap_or(0).saturating_mul(60_000));
        for (key, until, guessed) in kept.accounts {
            let until = if until == FOR_GOOD { until } else { until.min(longest) };
            let locked_until = guessed.locked_until.map(|_| until);
            guesses.accounts.put(key, until, Guessed { locked_until, ..guessed }, now);
        }
        for (key, until) in kept.familiar {
            guesses.familiar.put(key, until.min(now.after_ms(FAMILIAR_MS)), (), now);
        }
        guesses
    }

    fn kept(&self, now: Time) -> Kept {
        let accounts = self.accounts.in_force(now).map(|(key, until, guessed)| (key, until, *guessed));
        let familiar = self.familiar.in_force(now).map(|(key, until, ())| (key, until));
        Kept { secret: self.secret, accounts: accounts.collect(), familiar: familiar.collect() }
    }
}

/// Saves the guesses soon after each change, as long as the server runs.
pub(crate) async fn keep(server: Arc<Server>, state_directory: PathBuf) {
    let changes = server.logons.guesses().changes();
    loop {
        changes.any.notified().await;
        // More changes usually follow, so this waits for a while, except after a change of a lock. The guesses are
        // saved in either case.
        let _: Result<(), _> = tokio::time::timeout(GUESSES_KEPT_EVERY, changes.of_locks.notified()).await;
        save(&server, &state_directory).await;
        tokio::time::sleep(GUESSES_LOCK_KEPT_EVERY).await;
    }
}

/// Saves the changes since the last save; waits for a limited time if the state directory hangs.
pub(crate) async fn keep_last(server: &Arc<Server>, state_directory: &Path) {
    if tokio::time::timeout(LAST_PATIENCE, save(server, state_directory)).await.is_err() {
        tracing::warn!("the state directory hangs; the next start may forget locked accounts");
    }
}

async fn save(server: &Arc<Server>, state_directory: &Path) {
    let (server, directory) = (Arc::clone(server), state_directory.to_owned());
    let saved = tokio::task::spawn_blocking(move || save_now(&server, &directory)).await;
    if let Err(error) = saved.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        // The next change tries again.
        let path = state_directory.join(FILE_NAME);
        tracing::warn!(%error, path = %path.display(), "cannot save locked accounts; a restart would forget them");
    }
}

fn save_now(server: &Server, state_directory: &Path) -> std::io::Result<()> {
    let saving = server.logons.guesses().changes().saving;
    // Writers take turns, and each writes the state at the start of its turn.
    let _saving = saving.lock();
    let (kept, revision) = {
        let guesses = server.logons.guesses();
        if guesses.revision == guesses.kept_revision {
            return Ok(());
        }
        (guesses.kept(server.now()), guesses.revision)
    };
    state_file::replace(state_directory, FILE_NAME, &kept.to_text())?;
    server.logons.guesses().kept_revision = revision;
    Ok(())
}

impl Kept {
    fn to_text(&self) -> String {
        let mut text = String::from(HEAD);
        // Writing to a string does not fail.
        let _ = writeln!(text, "key {}", hex(&self.secret.0));
        for (key, until, guessed) in &self.accounts {
            let word = if guessed.locked_until.is_some() { "locked" } else { "wrong" };
            let _ = writeln!(text, "{word} {} {} {}", hex(&key.0), until.0, guessed.wrong);
        }
        for (key, until) in &self.familiar {
            let _ = writeln!(text, "familiar {} {}", hex(&key.0), until.0);
        }
        text
    }

    /// Parses a text, and returns the number of malformed lines as well; `None` if there is no key, without which the
    /// other lines are useless.
    fn parse(text: &str) -> Option<(Self, usize)> {
        let mut secret = None;
        let (mut accounts, mut familiar, mut wrong) = (Vec::new(), Vec::new(), 0_usize);
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let words: Vec<&str> = line.split(' ').collect();
            let known = match *words.as_slice() {
                ["key", key] => bytes(key).map(|key| secret = Some(Secret(key))),
                ["locked", key, until, count] => account(key, until, count, true).map(|it| accounts.push(it)),
                ["wrong", key, until, count] => account(key, until, count, false).map(|it| accounts.push(it)),
                ["familiar", key, until] => bytes(key)
                    .zip(until.parse().ok())
                    .map(|(key, until)| familiar.push((Key(key), Time(until)))),
                _ => None,
            };
            wrong = wrong.saturating_add(usize::from(known.is_none()));
        }
        Some((Self { secret: secret?, accounts, familiar }, wrong))
    }
}

fn account(key: &str, until: &str, count: &str, is_locked: bool) -> Option<(Key, Time, Guessed)> {
    let (key, until, wrong) = (bytes(key)?, Time(until.parse().ok()?), count.parse().ok()?);
    Some((Key(key), until, Guessed { wrong, locked_until: is_locked.then_some(until) }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes?.try_into().ok()
}

/// The end of a lock that only an administrator ends.
const FOR_GOOD: Time = Time(u64::MAX);

/// The name of the file.
const FILE_NAME: &str = "guesses";

const HEAD: &str =
    "# Locked accounts, wrong passwords and the addresses of logons; the server writes this file.\n";

/// The time for which a server that stops waits for its state directory.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::super::{Origin, Turn};
    use super::*;
    use crate::core::config::Lockout;

    const START: Time = Time(1_000_000);

    fn home() -> Origin {
        Origin::of("192.0.2.1".parse().unwrap())
    }

    #[test]
    fn saved_locks_continue_and_end_on_time() {
        let policy = Lockout { threshold: 2, duration: 10, window: 10 };
        let mut guesses = Guesses::default();
        for name in ["bob", "bob", "carol"] {
            let attempt = guesses.attempt(name, home());
            guesses.refused(&attempt, true, policy, START);
        }
        for _ in 0..2 {
            let dave = guesses.attempt("dave", home());
            guesses.refused(&dave, true, Lockout { duration: 0, ..policy }, START);
        }
        let alice = guesses.attempt("alice", Origin::Machine);
        guesses.accepted(&alice, START);
        let text = guesses.kept(START).to_text();
        assert!(!text.contains("bob") && !text.contains("192.0.2.1"), "{text}");
        let (kept, wrong) = Kept::parse(&text).unwrap();
        assert_eq!((&kept, wrong), (&guesses.kept(START), 0));

        let minute = |n: u64| START.after_ms(n * 60_000);
        let mut after = Guesses::with(kept, minute(1));
        let turn = |guesses: &Guesses, name, now| guesses.turn(&guesses.attempt(name, home()), now);
        assert_eq!(turn(&after, "Bob", minute(9)), Turn::Locked);
        assert_eq!(turn(&after, "bob", minute(10)), Turn::Now);
        assert_eq!(turn(&after, "dave", minute(100_000)), Turn::Locked);
        let again = after.attempt("alice", Origin::Machine);
        assert!(after.familiar.get(again.pair, minute(1)).is_some());
        let carol = after.attempt("carol", home());
        assert!(
            after.refused(&carol, true, policy, minute(2)),
            "the first wrong password was before the restart"
        );
        after.forgive("dave");
        assert_eq!(turn(&Guesses::with(after.kept(minute(3)), minute(3)), "dave", minute(3)), Turn::Now);
    }

    #[test]
    fn malformed_lines_are_ignored_and_locks_are_limited() {
        assert!(Kept::parse("").is_none());
        assert!(Kept::parse(&format!("key 00\nlocked {} 5 5\n", "ab".repeat(16))).is_none());
        let key = "0f".repeat(32);
        let text = format!(
            "# a\n\nkey {key}\nlocked {0} 9223372036854775807 3\nlocked {0}\nwrong {0} x 1\nwrong zz 1 1\n\
             familiar {0} 9223372036854775807\nfamiliar {0} -1\nlocked {0} 18446744073709551616 3\nelse\n",
            "1e".repeat(16)
        );
        let (kept, wrong) = Kept::parse(&text).unwrap();
        assert_eq!((kept.accounts.len(), kept.familiar.len(), wrong), (1, 1, 6));
        let guesses = Guesses::with(kept, START);
        let [(_, until, _)] = guesses.kept(START).accounts[..] else { panic!("one account") };
        assert_eq!(until, START.after_ms(99_999 * 60_000));
        let [(_, until)] = guesses.kept(START).familiar[..] else { panic!("one pair") };
        assert_eq!(until, START.after_ms(FAMILIAR_MS));
    }

    #[test]
    fn unreadable_file_counts_as_empty() {
        let directory = tempfile::tempdir().unwrap();
        for text in [&b""[..], b"\xff\xfe\n", b"key 12\n"] {
            std::fs::write(directory.path().join(FILE_NAME), text).unwrap();
            assert!(Guesses::load(directory.path(), START).kept(START).accounts.is_empty());
        }
        std::fs::remove_file(directory.path().join(FILE_NAME)).unwrap();
        std::fs::create_dir(directory.path().join(FILE_NAME)).unwrap();
        assert!(Guesses::load(directory.path(), START).kept(START).accounts.is_empty());
    }
}
