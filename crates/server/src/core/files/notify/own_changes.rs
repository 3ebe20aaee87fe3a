//! What the server itself has changed a moment ago. The kernel reports that like anybody's change, later and
//! without saying whose it was; here is what of it has been told already.
//!
//! Names that come and go are counted: each is reported once, so the next one is somebody else's. Changes of
//! what a name stands for are reported any number of times, so the file itself decides: one that has not changed
//! since the server last changed it has not been changed by somebody else.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use crate::core::limits;

/// The server's own changes, by the path of what they changed.
#[derive(Default)]
pub(super) struct OwnChanges {
    changes: HashMap<String, Own>,
    /// In order of age.
    order: VecDeque<(Instant, String)>,
}

struct Own {
    appeared: u32,
    vanished: u32,
    touched: SystemTime,
    noted: Instant,
}

/// What happened to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// It is there.
    Appeared,
    /// It is there no longer.
    Vanished,
    /// What it stands for has changed.
    Touched,
}

/// A moment, by the clock that files are stamped with and by the one that does not jump.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) clock: SystemTime,
    pub(super) instant: Instant,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self { clock: SystemTime::now(), instant: Instant::now() }
    }

    /// The same for what goes on for a while.
    pub(super) fn and_on(self, by: Duration) -> Self {
        Self { clock: self.clock + by, ..self }
    }
}

impl OwnChanges {
    /// Notes a change that is done.
    pub(super) fn note(&mut self, path: &str, happened: Happened, now: Moment) {
        self.forget_old(now.instant);
        let own = match self.changes.get_mut(path) {
            Some(own) => own,
            None => {
                self.order.push_back((now.instant, path.to_owned()));
                let own = Own { appeared: 0, vanished: 0, touched: now.clock, noted: now.instant };
                self.changes.entry(path.to_owned()).or_insert(own)
            }
        };
        if now.instant.duration_since(own.noted) > REFRESH {
            own.noted = now.instant;
            self.order.push_back((now.instant, path.to_owned()));
        }
        own.touched = own.touched.max(now.clock);
        match happened {
            Happened::Appeared => own.appeared = own.appeared.saturating_add(1),
            Happened::Vanished => own.vanished = own.vanished.saturating_add(1),
            Happened::Touched => {}
        }
        // Who changes what is in a directory changes the directory.
        if let Some(directory) = super::directory_of(path).and_then(|path| self.changes.get_mut(path)) {
            directory.touched = directory.touched.max(now.clock);
        }
    }

    /// Whether a name that came or went did so by the server's doing. Each time counts once.
    pub(super) fn take(&mut self, path: &str, happened: Happened) -> bool {
        let Some(own) = self.changes.get_mut(path) else { return false };
        let count = match happened {
            Happened::Appeared => &mut own.appeared,
            Happened::Vanished => &mut own.vanished,
            Happened::Touched => return false,
        };
        let known = *count != 0;
        *count = count.saturating_sub(1);
        known
    }

    /// Whether a file that was last changed then was last changed by the server.
    pub(super) fn covers(&self, path: &str, changed: SystemTime) -> bool {
        self.changes.get(path).is_some_and(|own| changed <= own.touched)
    }

    /// Forgets everything: what the kernel had to report is lost.
    pub(super) fn clear(&mut self) {
        self.changes.clear();
        self.order.clear();
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((noted, path)) = self.order.front() {
            let is_old = now.duration_since(*noted) > limits::OWN_CHANGE_LIFETIME;
            if !is_old && self.order.len() < limits::OWN_CHANGES {
                break;
            }
            if self.changes.get(path).is_some_and(|own| own.noted == *noted) {
                self.changes.remove(path);
            }
            self.order.pop_front();
        }
    }
}

/// A change that is noted again so much later is as young as a new one.
const REFRESH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn later(moment: Moment, seconds: u64) -> Moment {
        let by = Duration::from_secs(seconds);
        Moment { clock: moment.clock + by, instant: moment.instant + by }
    }

    #[test]
    fn a_name_that_came_is_known_once() {
        let (mut own, now) = (OwnChanges::default(), Moment::now());
        own.note("/a", Happened::Appeared, now);
        assert!(!own.take("/a", Happened::Vanished));
        assert!(own.take("/a", Happened::Appeared));
        assert!(!own.take("/a", Happened::Appeared), "the second one is somebody else's");
        assert!(!own.take("/b", Happened::Appeared));
    }

    #[test]
    fn a_file_changed_later_was_changed_by_somebody_else() {
        let (mut own, now) = (OwnChanges::default(), Moment::now());
        assert!(!own.covers("/a", now.clock));
        own.note("/a", Happened::Touched, now);
        assert!(own.covers("/a", now.clock));
        assert!(!own.covers("/a", later(now, 1).clock));
    }

    #[test]
    fn what_is_old_or_too_much_is_forgotten() {
        let (mut own, now) = (OwnChanges::default(), Moment::now());
        own.note("/a", Happened::Appeared, now);
        let late = Moment { instant: now.instant + limits::OWN_CHANGE_LIFETIME * 2, ..now };
        own.note("/b", Happened::Appeared, late);
        assert!(!own.take("/a", Happened::Appeared));
        for number in 0..limits::OWN_CHANGES * 2 {
            own.note(&format!("/{number}"), Happened::Appeared, late);
        }
        assert!(own.changes.len() <= limits::OWN_CHANGES && own.order.len() <= limits::OWN_CHANGES);
        assert!(own.take(&format!("/{}", limits::OWN_CHANGES * 2 - 1), Happened::Appeared));
    }

    #[test]
    fn what_goes_on_stays_known() {
        let (mut own, now) = (OwnChanges::default(), Moment::now());
        for second in 0..limits::OWN_CHANGE_LIFETIME.as_secs() * 3 {
            own.note("/a", Happened::Touched, later(now, second));
            own.note("/b", Happened::Touched, later(now, second));
            assert!(own.covers("/a", later(now, second).clock));
        }
        assert!(own.order.len() < 100);
    }
}
