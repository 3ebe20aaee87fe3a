//! The Unix accounts of users.
//!
//! The name service that knows them may be on the network and may hang. So each query runs on its own thread, and the
//! number of threads is limited; callers wait for an answer for a limited time, and answers are cached for a moment. An
//! account without an answer counts as unknown, which gives no user more rights. While the service hangs, only logons
//! wait the full time: the names of accounts, which may be queried for thousands at once, are not worth it.

use std::collections::HashMap;
use std::ffi::CString;
use std::path::PathBuf;
use std::time::Instant;

use nix::unistd::{Gid, Group, User, getgrouplist};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::core::limits;

/// An account of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    home: PathBuf,
}

/// The names of the Unix groups of the account with this name; empty if there is no such account.
pub(crate) fn group_names(name: &str) -> Vec<String> {
    group_ids(name).into_iter().filter_map(group_name).collect()
}

/// The ids of the Unix groups of the account with this name; empty if there is no such account.
pub(crate) fn group_ids(name: &str) -> Vec<u32> {
    account(name, Patience::Full).map(|account| account.groups).unwrap_or_default()
}

/// The id of the Unix group with this name; `None` if there is no such group.
pub(crate) fn gid_of(group: &str) -> Option<u32> {
    match ask(Question::Group(group.to_owned()), Patience::Little)? {
        Answer::Id(gid) => Some(gid),
        Answer::Account(_) | Answer::Name(_) => None,
    }
}

/// The name of a Unix group; `None` if there is no such group.
pub(crate) fn group_name(gid: u32) -> Option<String> {
    name(Question::Gid(gid))
}

/// The id of the Unix user with this name; `None` if there is no such user.
pub(crate) fn uid_of(user: &str) -> Option<u32> {
    account(user, Patience::Little).map(|account| account.uid)
}

/// The name of a Unix user; `None` if there is no such user.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    #[cfg(test)]
    hanging::look_up(uid);
    name(Question::Uid(uid))
}

/// The Unix identity of the account with this name; `None` if there is no such account.
pub(crate) fn actor_of(name: &str) -> Option<vfs::Actor> {
    let Account { uid, gid, groups, .. } = account(name, Patience::Full)?;
    Some(vfs::Actor::user(uid, gid, groups))
}

/// The home directory of the account with this name; `None` if there is no such account.
pub(crate) fn home_of(name: &str) -> Option<PathBuf> {
    account(name, Patience::Full).map(|account| account.home)
}

/// As [`actor_of`], for accounts that get another identity if the name service does not know them: a service that does
/// not answer in time is no such answer.
pub(crate) fn actor_for_sure(name: &str) -> Result<Option<vfs::Actor>, NoAnswer> {
    let answer = NAME_SERVICE.answer(Question::Account(name.to_owned()), Patience::Full, Question::put)?;
    Ok(match answer {
        Some(Answer::Account(Account { uid, gid, groups, .. })) => Some(vfs::Actor::user(uid, gid, groups)),
        Some(Answer::Id(_) | Answer::Name(_)) | None => None,
    })
}

/// The id of the Unix user with this name; `None` if the name service knows no such user for sure.
pub(crate) fn uid_for_sure(name: &str) -> Result<Option<u32>, NoAnswer> {
    id_for_sure(Question::User(name.to_owned()))
}

/// The id of the Unix group with this name; `None` as with [`uid_for_sure`].
pub(crate) fn gid_for_sure(name: &str) -> Result<Option<u32>, NoAnswer> {
    id_for_sure(Question::Group(name.to_owned()))
}

/// The name of the Unix user with this id; `None` as with [`uid_for_sure`].
pub(crate) fn user_name_for_sure(uid: u32) -> Result<Option<String>, NoAnswer> {
    name_for_sure(Question::Uid(uid))
}

/// The name of the Unix group with this id; `None` as with [`uid_for_sure`].
pub(crate) fn group_name_for_sure(gid: u32) -> Result<Option<String>, NoAnswer> {
    name_for_sure(Question::Gid(gid))
}

fn id_for_sure(question: Question) -> Result<Option<u32>, NoAnswer> {
    Ok(match NAME_SERVICE.answer(question, Patience::Little, Question::put)? {
        Some(Answer::Id(id)) => Some(id),
        Some(Answer::Account(_) | Answer::Name(_)) | None => None,
    })
}

fn name_for_sure(question: Question) -> Result<Option<String>, NoAnswer> {
    Ok(match NAME_SERVICE.answer(question, Patience::Little, Question::put)? {
        Some(Answer::Name(name)) => Some(name),
        Some(Answer::Account(_) | Answer::Id(_)) | None => None,
    })
}

/// The name service has not answered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name service does not answer in time")]
pub(crate) struct NoAnswer;

fn account(name: &str, patience: Patience) -> Option<Account> {
    match ask(Question::Account(name.to_owned()), patience)? {
        Answer::Account(account) => Some(account),
        Answer::Id(_) | Answer::Name(_) => None,
    }
}

fn name(question: Question) -> Option<String> {
    match ask(question, Patience::Little)? {
        Answer::Name(name) => Some(name),
        Answer::Account(_) | Answer::Id(_) => None,
    }
}

/// A query to the name service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Question {
    /// The account with this name.
    Account(String),
    /// The id of the user with this name.
    User(String),
    /// The user with this id.
    Uid(u32),
    /// The group with this name.
    Group(String),
    /// The group with this id.
    Gid(u32),
}

/// An answer of the name service.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Account(Account),
    Name(String),
    Id(u32),
}

impl Question {
    /// Calls the system, which may take any time.
    fn put(&self) -> Option<Answer> {
        match self {
            Self::Account(name) => {
                let account = User::from_name(name).ok()??;
                let groups = getgrouplist(&CString::new(name.as_str()).ok()?, account.gid).ok()?;
                Some(Answer::Account(Account {
                    uid: account.uid.as_raw(),
                    gid: account.gid.as_raw(),
                    groups: groups.into_iter().map(Gid::as_raw).collect(),
                    home: account.dir,
                }))
            }
            Self::User(name) => Some(Answer::Id(User::from_name(name).ok()??.uid.as_raw())),
            Self::Uid(uid) => Some(Answer::Name(User::from_uid((*uid).into()).ok()??.name)),
            Self::Group(name) => Some(Answer::Id(Group::from_name(name).ok()??.gid.as_raw())),
            Self::Gid(gid) => Some(Answer::Name(Group::from_gid((*gid).into()).ok()??.name)),
        }
    }
}

/// The time that a caller waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// The full time, for a logon.
    Full,
    /// A moment, if the service hangs.
    Little,
}

/// The recent queries.
#[derive(Default)]
struct Asked {
    known: HashMap<Question, Known>,
    /// The queries under way, each on its own thread, with their start times.
    under_way: HashMap<Question, Instant>,
}

struct Known {
    answer: Option<Answer>,
    at: Instant,
}

struct NameService {
    asked: Mutex<Option<Asked>>,
    changed: Condvar,
}

static NAME_SERVICE: NameService = NameService { asked: Mutex::new(None), changed: Condvar::new() };

fn ask(question: Question, patience: Patience) -> Option<Answer> {
    NAME_SERVICE.ask(question, patience, Question::put)
}

impl NameService {
    /// The answer; `None` also if there is none in time.
    fn ask(
        &'static self,
        question: Question,
        patience: Patience,
        put: fn(&Question) -> Option<Answer>,
    ) -> Option<Answer> {
        self.answer(question, patience, put).ok().flatten()
    }

    fn answer(
        &'static self,
        question: Question,
        patience: Patience,
        put: fn(&Question) -> Option<Answer>,
    ) -> Result<Option<Answer>, NoAnswer> {
        let begun = Instant::now();
        let mut guard = self.asked();
        loop {
            let asked = guard.get_or_insert_default();
            if let Some(known) = asked.known.get(&question).filter(|known| known.is_good()) {
                return Ok(known.answer.clone());
            }
            let hurries = patience == Patience::Little && asked.hangs();
            let threads = if hurries { limits::NAME_THREADS / 2 } else { limits::NAME_THREADS };
            if !asked.under_way.contains_key(&question) {
                if asked.under_way.len() < threads {
                    asked.begin(&question);
                    let own = question.clone();
                    let asks = move || self.answered(own.clone(), put(&own));
                    let name = String::from("name service");
                    if let Err(error) = std::thread::Builder::new().name(name).spawn(asks) {
                        tracing::warn!(%error, "cannot start a thread for the name service");
                        asked.under_way.remove(&question);
                        return Err(NoAnswer);
                    }
                } else if hurries {
                    return Err(NoAnswer);
                }
            }
            // If all threads are in use, one of them may become free.
            let wait = if hurries { limits::NAME_WAIT_SHORT } else { limits::NAME_WAIT };
            let left = wait.saturating_sub(begun.elapsed());
            if left.is_zero() {
                tracing::warn!(
                    ?question,
                    "the name service does not answer in time; the name or group is unknown for now"
                );
                return Err(NoAnswer);
            }
            self.changed.wait_for(&mut guard, left);
        }
    }

    fn answered(&self, question: Question, answer: Option<Answer>) {
        let mut guard = self.asked();
        let asked = guard.get_or_insert_default();
        asked.under_way.remove(&question);
        asked.known.insert(question, Known { answer, at: Instant::now() });
        drop(guard);
        self.changed.notify_all();
    }

    fn asked(&self) -> MutexGuard<'_, Option<Asked>> {
        self.asked.lock()
    }
}

impl Asked {
    fn begin(&mut self, question: &Question) {
        if self.known.len() >= limits::NAMES_KEPT {
            self.known.retain(|_, known| known.is_good());
        }
        if self.known.len() >= limits::NAMES_KEPT {
            self.known.clear();
        }
        self.under_way.insert(question.clone(), Instant::now());
    }

    /// True if the service has not answered a query in time.
    fn hangs(&self) -> bool {
        self.under_way.values().any(|since| since.elapsed() >= limits::NAME_WAIT)
    }
}

impl Known {
    /// True if the answer is recent enough. An account that was unknown may have been created since.
    fn is_good(&self) -> bool {
        let lifetime = if self.answer.is_some() { limits::NAME_LIFETIME } else { limits::NO_NAME_LIFETIME };
        self.at.elapsed() < lifetime
    }
}

/// A user whose lookup hangs, for tests of code that must not wait for it.
#[cfg(test)]
pub(crate) mod hanging {
    use parking_lot::{Condvar, Mutex};

    use tokio::sync::Notify;

    /// The user's id.
    pub(crate) const UID: u32 = 4_000_000_001;

    /// Notified when the user is looked up.
    pub(crate) static ASKED: Notify = Notify::const_new();

    static RELEASED: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

    /// A guard that ends the lookups of the user when it is dropped, also if a test fails.
    pub(crate) struct Hold;

    impl Drop for Hold {
        fn drop(&mut self) {
            *RELEASED.0.lock() = true;
            RELEASED.1.notify_all();
        }
    }

    pub(super) fn look_up(uid: u32) {
        if uid == UID {
            ASKED.notify_one();
            RELEASED.1.wait_while(&mut RELEASED.0.lock(), |released| !*released);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn system_accounts_are_found() {
        assert_eq!(uid_of("root"), Some(0));
        assert_eq!(user_name(0).as_deref(), Some("root"));
        assert_eq!(gid_of("root"), Some(0));
        assert!(group_names("root").contains(&String::from("root")));
        assert_eq!(actor_of("nobody, ever"), None);
    }

    #[test]
    fn answers_are_cached_and_a_hanging_service_times_out() {
        static SERVICE: NameService = NameService { asked: Mutex::new(None), changed: Condvar::new() };
        static PUT: AtomicUsize = AtomicUsize::new(0);
        fn hangs(question: &Question) -> Option<Answer> {
            match question {
                Question::Uid(_) => loop {
                    std::thread::park();
                },
                _ => {
                    PUT.fetch_add(1, Ordering::Relaxed);
                    Some(Answer::Id(7))
                }
            }
        }
        let group = || Question::Group(String::from("g"));
        for _ in 0..3 {
            assert_eq!(SERVICE.ask(group(), Patience::Full, hangs), Some(Answer::Id(7)));
        }
        assert_eq!(PUT.load(Ordering::Relaxed), 1);
        let begun = Instant::now();
        let stuck: Vec<_> = (0..u32::try_from(limits::NAME_THREADS).unwrap() + 4)
            .map(|uid| std::thread::spawn(move || SERVICE.answer(Question::Uid(uid), Patience::Full, hangs)))
            .collect();
        for asker in stuck {
            assert_eq!(asker.join().unwrap(), Err(NoAnswer));
        }
        assert!(begun.elapsed() < limits::NAME_WAIT * 3, "the callers must wait at the same time");
        assert_eq!(SERVICE.asked().as_ref().unwrap().under_way.len(), limits::NAME_THREADS);
        // Cached answers are returned all the same, and callers with little patience do not wait.
        assert_eq!(SERVICE.ask(group(), Patience::Little, hangs), Some(Answer::Id(7)));
        let begun = Instant::now();
        for uid in 1000..2000 {
            assert_eq!(SERVICE.ask(Question::Uid(uid), Patience::Little, hangs), None);
        }
        assert!(begun.elapsed() < limits::NAME_WAIT, "{:?}", begun.elapsed());
    }
}
