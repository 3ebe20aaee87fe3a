//! The message ids that a client may use: `Connection.CommandSequenceWindow` (MS-SMB2 3.3.1.1, 3.3.5.2.3).

use std::collections::VecDeque;

use wire::MessageId;

/// The window of message ids that are granted and not used yet.
#[derive(Debug)]
pub(crate) struct SequenceWindow {
    low: u64,
    /// For each id from `low` on, true if it is unused. Its length is the number of ids that are granted and
    /// not retired.
    free: VecDeque<bool>,
    available: u16,
    limit: u16,
}

impl SequenceWindow {
    /// The window of a new connection, which contains message id 0 only (MS-SMB2 3.3.5.1).
    pub(crate) fn new(limit: u16) -> Self {
        Self { low: 0, free: VecDeque::from([true]), available: 1, limit }
    }

    /// Uses the `charge` ids from `first` on; false if any of them cannot be used (MS-SMB2 3.3.5.2.3: the
    /// connection ends then).
    pub(crate) fn take(&mut self, first: MessageId, charge: u16) -> bool {
        let count = usize::from(charge.max(1));
        let Some(start) = first.0.checked_sub(self.low).and_then(|offset| usize::try_from(offset).ok())
        else {
            return false;
        };
        let Some(end) = start.checked_add(count).filter(|&end| end <= self.free.len()) else {
            return false;
        };
        if self.free.range(start..end).any(|free| !free) {
            return false;
        }
        for free in self.free.range_mut(start..end) {
            *free = false;
        }
        self.available = self.available.saturating_sub(charge.max(1));
        while self.free.front() == Some(&false) {
            self.free.pop_front();
            self.low = self.low.wrapping_add(1);
        }
        true
    }

    /// Grants up to `requested` more ids and returns their number: at least one if the client would have none
    /// left (MS-SMB2 3.3.1.2), and never so many that the window, including holes, spans more than twice the
    /// limit.
    pub(crate) fn grant(&mut self, requested: u16) -> u16 {
        self.grant_within(requested, self.limit)
    }

    /// Grants ids with a lower limit than usual.
    pub(crate) fn grant_within(&mut self, requested: u16, limit: u16) -> u16 {
        let room = limit.saturating_sub(self.available);
        let span = (usize::from(limit) * 2).saturating_sub(self.free.len());
        let wanted = if self.available == 0 { requested.max(1) } else { requested };
        let granted = wanted.min(room).min(u16::try_from(span).unwrap_or(u16::MAX));
        self.free.extend(std::iter::repeat_n(true, usize::from(granted)));
        self.available += granted;
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_are_used_once_and_within_the_window() {
        let mut window = SequenceWindow::new(16);
        assert!(!window.take(MessageId(1), 1));
        assert!(window.take(MessageId(0), 1));
        assert!(!window.take(MessageId(0), 1));
        assert_eq!(window.grant(4), 4);
        assert!(window.take(MessageId(2), 2));
        assert!(!window.take(MessageId(3), 2));
        assert!(window.take(MessageId(1), 1));
        assert!(window.take(MessageId(4), 1));
        assert!(!window.take(MessageId(5), 1));
    }

    #[test]
    fn a_client_without_credits_gets_one() {
        let mut window = SequenceWindow::new(16);
        assert!(window.take(MessageId(0), 1));
        assert_eq!(window.grant(0), 1);
        assert_eq!(window.grant(0), 0);
    }

    #[test]
    fn grants_stop_at_the_limit_and_holes_do_not_widen_the_window_forever() {
        let mut window = SequenceWindow::new(16);
        assert_eq!(window.grant(100), 15);
        assert_eq!(window.grant(100), 0);
        // Id 0 is never used: the window can grow to at most twice the limit.
        let mut next = 1;
        loop {
            let mut used = 0;
            while window.take(MessageId(next), 1) {
                next += 1;
                used += 1;
            }
            if used == 0 {
                break;
            }
            window.grant(100);
        }
        assert_eq!(next, 32);
        assert!(window.take(MessageId(0), 1));
        assert_eq!(window.grant(100), 16);
    }

    #[test]
    fn a_client_without_a_logon_gets_fewer_credits() {
        let mut window = SequenceWindow::new(16);
        assert_eq!(window.grant_within(100, 4), 3);
        assert_eq!(window.grant_within(100, 4), 0);
        assert_eq!(window.grant(100), 12);
    }

    #[test]
    fn a_charge_of_zero_counts_as_one() {
        let mut window = SequenceWindow::new(16);
        assert!(window.take(MessageId(0), 0));
        assert!(!window.take(MessageId(0), 0));
    }
}
