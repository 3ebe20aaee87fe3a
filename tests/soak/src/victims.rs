//! The client processes that a soak may kill.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::world::lock;
use testkit::Random;

/// The client processes that may be killed, by descriptors: once a process has ended, its number can be that of another
/// process, or of a thread of the soak itself.
#[derive(Default)]
pub(crate) struct Victims(Mutex<Vec<Weak<OwnedFd>>>);

impl Victims {
    /// Lets a process be killed until the result is dropped. `None` if it has ended.
    pub(crate) fn add(&self, pid: u32) -> Option<Arc<OwnedFd>> {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let victim = Arc::new(pidfd_open(pid, PidfdFlags::empty()).ok()?);
        let mut victims = lock(&self.0);
        victims.retain(|it| it.strong_count() > 0);
        victims.push(Arc::downgrade(&victim));
        Some(victim)
    }

    /// Kills one of the processes, if there are any.
    pub(crate) fn kill_one(&self, random: &mut Random) {
        let victims: Vec<Arc<OwnedFd>> = lock(&self.0).iter().filter_map(Weak::upgrade).collect();
        if !victims.is_empty() {
            // One that has ended by itself needs no signal.
            let _ = pidfd_send_signal(random.one_of(&victims), Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn only_processes_that_were_added_and_not_dropped_are_killed() {
        let sleeps = || Command::new("sleep").arg("600").spawn().unwrap();
        let (victims, mut random) = (Victims::default(), Random::new(1, 1));
        let (mut one, mut other) = (sleeps(), sleeps());
        let of_one = victims.add(one.id());
        drop(victims.add(other.id()));
        victims.kill_one(&mut random);
        assert_eq!(one.wait().unwrap().signal(), Some(9));
        assert!(other.try_wait().unwrap().is_none());
        victims.kill_one(&mut random);
        drop(of_one);
        victims.kill_one(&mut random);
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
