//! Acting as a user: switches the calling thread's effective ids while a guard exists.
//!
//! Linux keeps credentials per thread, and rustix's `set_thread_*` functions are the bare system calls, so
//! only the calling thread changes. The real and saved ids stay the server's: the thread can switch back, and
//! the user's own processes cannot signal or trace it. The capabilities that bypass permissions leave the
//! effective set together with uid 0 and return with it (capabilities(7), "Effect of user ID changes").
//!
//! A switch there and back takes as long as ten short system calls. One part of it is left out: the supplementary
//! groups stay when a guard is dropped, until a guard needs others. They grant nothing to a thread that acts as
//! the server, because uid 0 passes every check without them, and a user never gets those of another.

use crate::backend::{Actor, Identity};
use crate::error::Result;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;

thread_local! {
    /// The identity whose supplementary groups the thread has; `None` until its first guard. Only [`set_groups`] changes
    /// the groups of a thread.
    static GROUPS_OF: RefCell<Option<Arc<Identity>>> = const { RefCell::new(None) };
}

/// The process's own identity at the time when the backend was opened.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    uid: Uid,
    gid: Gid,
}

impl Credentials {
    /// Reads the calling thread's identity; must not be called while a guard exists.
    pub(super) fn current() -> Self {
        Self { uid: rustix::process::geteuid(), gid: rustix::process::getegid() }
    }

    /// True if the process can switch to other users.
    pub(super) fn is_privileged(&self) -> bool {
        self.uid.is_root()
    }

    /// True if `actor` passes every permission check.
    pub(super) fn is_all_powerful(&self, actor: &Actor) -> bool {
        self.is_privileged() && self.identity(actor).is_none()
    }

    /// The identity to switch to; `None` if no switch is needed. Uid 0 is the process.
    fn identity<'a>(&self, actor: &'a Actor) -> Option<&'a Arc<Identity>> {
        match actor {
            Actor::User(identity) if self.is_privileged() && identity.uid != 0 => Some(identity),
            _ => None,
        }
    }

    /// The uid that `actor` acts with.
    pub(super) fn uid(&self, actor: &Actor) -> u32 {
        self.identity(actor).map_or(self.uid.as_raw(), |identity| identity.uid)
    }

    /// Makes the calling thread act as `actor` until the guard is dropped.
    pub(super) fn assume(&self, actor: &Actor) -> Result<Guard<'_>> {
        let Some(identity) = self.identity(actor) else {
            return Ok(Guard { own: None, not_send: PhantomData });
        };
        let guard = Guard { own: Some(self), not_send: PhantomData };
        set_groups(identity)?;
        set_thread_res_gid(None, Gid::from_raw(identity.gid), None)?;
        set_thread_res_uid(None, Uid::from_raw(identity.uid), None)?;
        Ok(guard)
    }
}

/// Gives the calling thread the supplementary groups of an identity, unless it has them already.
fn set_groups(identity: &Arc<Identity>) -> rustix::io::Result<()> {
    GROUPS_OF.with_borrow_mut(|groups_of| {
        if groups_of.as_ref().is_some_and(|of| Arc::ptr_eq(of, identity) || of.groups == identity.groups) {
            return Ok(());
        }
        let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
        // If the call fails, the groups are unknown.
        *groups_of = None;
        set_thread_groups(&groups)?;
        *groups_of = Some(Arc::clone(identity));
        Ok(())
    })
}

/// A thread acts as another user while the guard exists; dropping it, also in a panic, switches back.
///
/// The guard must not be held during calls to code that does not belong to the file system.
#[must_use]
pub(super) struct Guard<'a> {
    own: Option<&'a Credentials>,
    not_send: PhantomData<*const ()>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let Some(own) = self.own else { return };
        let restored =
            set_thread_res_uid(None, own.uid, None).and_then(|()| set_thread_res_gid(None, own.gid, None));
        if restored.is_err() {
            // The thread would continue to serve others with this user's rights; aborting is the only safe
            // reaction.
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{getegid, geteuid, getgroups, getuid};

    #[test]
    fn the_identity_is_restored_after_a_panic() {
        let credentials = Credentials::current();
        let before = (geteuid(), getegid());
        let actor = Actor::user(65534, 65533, vec![65532, 65531]);
        let result = std::panic::catch_unwind(|| {
            let _guard = credentials.assume(&actor).unwrap();
            if credentials.is_privileged() {
                assert_eq!((geteuid().as_raw(), getegid().as_raw()), (65534, 65533));
                assert_eq!(getgroups().unwrap().len(), 2);
                assert!(getuid().is_root());
                let other = std::thread::spawn(geteuid).join().unwrap();
                // A thread inherits its creator's credentials; one that ran before does not change.
                assert_eq!(other.as_raw(), 65534);
            }
            panic!("on purpose");
        });
        assert!(result.is_err());
        assert_eq!((geteuid(), getegid()), before);
    }

    #[test]
    fn each_guard_has_the_groups_of_its_own_user() {
        let credentials = Credentials::current();
        if !credentials.is_privileged() {
            return;
        }
        let groups = || getgroups().unwrap().into_iter().map(|group| group.as_raw()).collect::<Vec<_>>();
        // One user before and after a change of the group database, other users, and a user without groups.
        let users = [
            Actor::user(65534, 65533, vec![65531]),
            Actor::user(65534, 65533, vec![65531]),
            Actor::user(65534, 65533, vec![65532, 65531]),
            Actor::user(65534, 65533, vec![]),
            Actor::user(65533, 65533, vec![65532]),
            Actor::user(65532, 65533, vec![65532]),
            Actor::user(65534, 65533, vec![]),
        ];
        for round in 0..2 {
            for actor in &users {
                let Actor::User(identity) = actor else { panic!("a user") };
                let _guard = credentials.assume(actor).unwrap();
                let mut wanted = identity.groups.clone();
                wanted.sort_unstable();
                assert_eq!(groups(), wanted, "round {round}");
                assert_eq!(geteuid().as_raw(), identity.uid);
            }
        }
        // A new thread inherits the groups, and does not take them for those of its own users.
        let actor = users[2].clone();
        drop(credentials.assume(&actor).unwrap());
        std::thread::spawn(move || {
            let credentials = Credentials::current();
            let _guard = credentials.assume(&Actor::user(65534, 65533, vec![])).unwrap();
            assert!(getgroups().unwrap().is_empty());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn other_threads_keep_their_identity() {
        let credentials = Credentials::current();
        let (ask, asked) = std::sync::mpsc::channel::<()>();
        let (answer, answered) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || asked.recv().map(|()| answer.send(geteuid())));
        let before = geteuid();
        let guard = credentials.assume(&Actor::user(65534, 65534, vec![])).unwrap();
        ask.send(()).unwrap();
        assert_eq!(answered.recv().unwrap(), before);
        drop(guard);
        other.join().unwrap().unwrap().unwrap();
    }

    #[test]
    fn root_and_the_process_need_no_switch() {
        let credentials = Credentials::current();
        assert!(credentials.assume(&Actor::Process).unwrap().own.is_none());
        assert!(credentials.assume(&Actor::user(0, 5, vec![])).unwrap().own.is_none());
    }
}
