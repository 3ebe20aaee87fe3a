//! The server's own recent changes. The kernel reports them like all others, later and without their origin; this
//! module recognizes the reports that are already known.
//!
//! Appearing and vanishing names are counted: each is reported once, so the next report is of another's change. Changes
//! of a file are reported any number of times, so its change time decides: if the file has not changed since the
//! server's last change, no other program has changed it.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use crate::core::limits;

/// The server's own changes, by the path of the file.
#[derive(Default)]
pub(super) struct OwnChanges {
    changes: HashMap<String, Own>,
    /// The paths in the order of age.
    order: VecDeque<(Instant, String)>,
}

struct Own {
    appeared: u32,
    vanished: u32,
    touched: SystemTime,
    noted: Instant,
}

/// A change of a name or its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// The name appeared.
    Appeared,
    /// The name vanished.
    Vanished,
    /// The file with this name has changed.
    Touched,
}

/// A moment on the clock for file times and on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) clock: SystemTime,
    pub(super) instant: Instant,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self { clock: SystemTime::now(), instant: Instant::now() }
    }

    /// The end of a period that begins at this moment.
    pub(super) fn and_on(self, by: Duration) -> Self {
        Self { clock: self.clock + by, ..self }
    }
}

impl OwnChanges {
    /// Records a change that is done.
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
        // A change of an entry changes its directory.
        if let Some(directory) = super::directory_of(path).and_then(|path| self.changes.get_mut(path)) {
            directory.touched = directory.touched.max(now.clock);
        }
    }

    /// True if the server itself made a name appear or vanish. Each record is used once.
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

    /// True if the last change of a file, at this time, was made by the server.
    pub(super) fn covers(&self, path: &str, changed: SystemTime) -> bool {
        self.changes.get(path).is_some_and(|own| changed <= own.touched)
    }

    /// Removes all records, because the kernel's reports were lost.
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

/// A change that is recorded again after this time counts as new.
const REFRESH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn later(moment: Moment, seconds: u64) -> Moment {
        let by = Duration::from_secs(seconds);
        Moment { clock: moment.clock + by, instant: moment.instant + by }
    }

    #[test]
    fn appeared_name_is_recognized_once() {
        let (mut own, now) = (OwnChanges::default(), Moment::now());
        own.note("/a", Happened::Appeared, now);
        assert!(!own.take("/a", Happened::Vanished));
        assert!(own.take("/a", Happened::Appeared));
        assert!(!own.take("/a", Happened::Appeared), "the second change is not the server's");
        assert!(!own.take("/b", Happened::Appeared));
    }

    #[test]
    fn later_change_is_not_the_servers() {
        let (mut own, now) = (OwnChanges::default(), Moment::now());
        assert!(!own.covers("/a", now.clock));
        own.note("/a", Happened::Touched, now);
        assert!(own.covers("/a", now.clock));
        assert!(!own.covers("/a", later(now, 1).clock));
    }

    #[test]
    fn old_and_excess_records_are_removed() {
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
    fn repeated_changes_stay_recorded() {
        let (mut own, now) = (OwnChanges::default(), Moment::now());
        for second in 0..limits::OWN_CHANGE_LIFETIME.as_secs() * 3 {
            own.note("/a", Happened::Touched, later(now, second));
            own.note("/b", Happened::Touched, later(now, second));
            assert!(own.covers("/a", later(now, second).clock));
        }
        assert!(own.order.len() < 100);
    }
}
