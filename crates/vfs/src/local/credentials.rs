//! Acting as a user: switches the calling thread's effective ids while a guard exists.
//!
//! Linux keeps credentials per thread, and rustix's `set_thread_*` functions are the bare system calls, so
//! only the calling thread changes. The real and saved ids stay the server's: the thread can switch back, and
//! the user's own processes cannot signal or trace it. The capabilities that bypass permissions leave the
//! effective set together with uid 0 and return with it (capabilities(7), "Effect of user ID changes").

use crate::backend::{Actor, Identity};
use crate::error::Result;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::marker::PhantomData;

/// The process's own identity at the time when the backend was opened.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Credentials {
    /// Reads the calling thread's identity; must not be called while a guard exists.
    pub(super) fn current() -> Result<Self> {
        Ok(Self {
            uid: rustix::process::geteuid(),
            gid: rustix::process::getegid(),
            groups: rustix::process::getgroups()?,
        })
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
    fn identity<'a>(&self, actor: &'a Actor) -> Option<&'a Identity> {
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
        let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
        let guard = Guard { own: Some(self), not_send: PhantomData };
        set_thread_groups(&groups)?;
        set_thread_res_gid(None, Gid::from_raw(identity.gid), None)?;
        set_thread_res_uid(None, Uid::from_raw(identity.uid), None)?;
        Ok(guard)
    }
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
        let restored = set_thread_res_uid(None, own.uid, None)
            .and_then(|()| set_thread_res_gid(None, own.gid, None))
            .and_then(|()| set_thread_groups(&own.groups));
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
        let credentials = Credentials::current().unwrap();
        let before = (geteuid(), getegid(), getgroups().unwrap());
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
        assert_eq!((geteuid(), getegid(), getgroups().unwrap()), before);
    }

    #[test]
    fn other_threads_keep_their_identity() {
        let credentials = Credentials::current().unwrap();
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
        let credentials = Credentials::current().unwrap();
        assert!(credentials.assume(&Actor::Process).unwrap().own.is_none());
        assert!(credentials.assume(&Actor::user(0, 5, vec![])).unwrap().own.is_none());
    }
}
