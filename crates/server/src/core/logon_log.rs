//! The limit on log entries about logons: an entry for each logon, unless there are so many that the log would fill the
//! disk. Entries that are left out are counted and reported in a summary. Refused logons, granted logons and refused shares
//! have limits of their own, so that a client cannot hide guesses behind its logons.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use registry::{AddressGroup, Time};
use tokio::sync::Notify;

use crate::core::audit::{Untold, logons_untold};
use crate::core::expiring_table::ExpiringTable;
use crate::core::limits::{
    CLOCK_TOLD_MS, LOGON_LINES, LOGON_LINES_OF_ADDRESS, LOGON_LOG_ADDRESSES, LOGON_SUMMARY,
    LOGON_SUMMARY_ADDRESSES,
};
use crate::core::server::Server;

/// The logons that a log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogKind {
    /// Refused logons, and those that became guests'.
    Refused,
    /// Granted logons.
    Granted,
    /// Refused shares.
    Share,
}

/// The recent entries about logons, and the counts of those that were left out.
pub(crate) struct LogonLog {
    kind: LogKind,
    told: Mutex<Told>,
    /// Notified when an entry was left out.
    has_untold: Notify,
}

struct Told {
    /// The recent entries, for one address and for all.
    lines: ExpiringTable<Option<AddressGroup>, ()>,
    /// The addresses whose clocks have been reported.
    clocks: ExpiringTable<AddressGroup, ()>,
    /// The numbers of entries that were left out, by address.
    untold: BTreeMap<AddressGroup, u64>,
    /// The number of entries that were left out for addresses beyond the limit.
    untold_elsewhere: u64,
}

impl LogonLog {
    /// Creates a log without entries.
    pub(crate) fn new(kind: LogKind) -> Self {
        let told = Told {
            lines: ExpiringTable::new(LOGON_LOG_ADDRESSES),
            clocks: ExpiringTable::new(LOGON_LOG_ADDRESSES),
            untold: BTreeMap::new(),
            untold_elsewhere: 0,
        };
        Self { kind, told: Mutex::new(told), has_untold: Notify::new() }
    }

    /// True if the log has room for an entry about a logon from this address. If not, the logon is counted.
    pub(crate) fn has_room(&self, address: IpAddr, now: Time) -> bool {
        let group = AddressGroup::of(address);
        let mut told = self.told();
        let Told { lines, untold, untold_elsewhere, .. } = &mut *told;
        let ready =
            lines.ready_at(Some(group), LOGON_LINES_OF_ADDRESS).max(lines.ready_at(None, LOGON_LINES));
        if ready <= now {
            lines.charge(Some(group), LOGON_LINES_OF_ADDRESS, now);
            lines.charge(None, LOGON_LINES, now);
            return true;
        }
        if untold.len() < LOGON_LOG_ADDRESSES || untold.contains_key(&group) {
            let count = untold.entry(group).or_default();
            *count = count.saturating_add(1);
        } else {
            *untold_elsewhere = untold_elsewhere.saturating_add(1);
        }
        drop(told);
        self.has_untold.notify_one();
        false
    }

    /// True if the clock at this address has not been reported yet. From now on it counts as reported.
    pub(crate) fn is_news_of_clock(&self, address: IpAddr, now: Time) -> bool {
        let group = AddressGroup::of(address);
        let mut told = self.told();
        let is_news = told.clocks.get(group, now).is_none();
        if is_news {
            told.clocks.put(group, now.after_ms(CLOCK_TOLD_MS), (), now);
        }
        is_news
    }

    /// Logs a summary of the entries that were left out since the last one: a line for each of the addresses with most,
    /// and one for the rest.
    pub(crate) fn sum_up(&self) {
        for untold in self.take() {
            logons_untold(self.kind, &untold);
        }
    }

    fn take(&self) -> Vec<Untold> {
        let (untold, elsewhere) = {
            let mut told = self.told();
            (std::mem::take(&mut told.untold), std::mem::take(&mut told.untold_elsewhere))
        };
        let mut by_count: Vec<_> = untold.into_iter().collect();
        by_count.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let rest = by_count.split_off(by_count.len().min(LOGON_SUMMARY_ADDRESSES));
        let mut lines: Vec<_> =
            by_count.into_iter().map(|(group, count)| Untold { from: Some(group), count }).collect();
        let others = rest.iter().fold(elsewhere, |sum, (_, count)| sum.saturating_add(*count));
        if others != 0 {
            lines.push(Untold { from: None, count: others });
        }
        lines
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock()
    }
}

/// Logs a summary a while after the first entry was left out, as long as the server runs.
pub(crate) async fn sum_up(server: Arc<Server>) {
    loop {
        let (refused, granted) = (&server.logons.log, &server.logons.granted_log);
        let shares = &server.logons.share_log;
        tokio::select! {
            () = refused.has_untold.notified() => {}
            () = granted.has_untold.notified() => {}
            () = shares.has_untold.notified() => {}
        }
        tokio::time::sleep(LOGON_SUMMARY).await;
        refused.sum_up();
        granted.sum_up();
        shares.sum_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_000_000);

    fn address(n: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + n).into())
    }

    #[test]
    fn log_entries_of_one_address_are_limited_and_counted() {
        let log = LogonLog::new(LogKind::Refused);
        let told = (0..10_000).filter(|_| log.has_room(address(1), START)).count();
        assert_eq!(told, usize::try_from(LOGON_LINES_OF_ADDRESS.at_once).unwrap());
        assert!(log.has_room(address(2), START), "other addresses have entries");
        let [untold] = log.take().try_into().unwrap();
        assert_eq!(untold, Untold { from: Some(AddressGroup::of(address(1))), count: 10_000 - told as u64 });
        assert_eq!(log.take(), []);
        let later = START.after_ms(LOGON_LINES_OF_ADDRESS.interval_ms);
        assert!(log.has_room(address(1), later) && !log.has_room(address(1), later));
    }

    #[test]
    fn log_entries_of_all_addresses_are_limited_and_counted() {
        let log = LogonLog::new(LogKind::Refused);
        let count = u32::try_from(LOGON_LOG_ADDRESSES).unwrap() * 2;
        let told = (0..count).filter(|n| log.has_room(address(*n), START)).count();
        assert_eq!(told, usize::try_from(LOGON_LINES.at_once).unwrap());
        let lines = log.take();
        assert_eq!(lines.len(), LOGON_SUMMARY_ADDRESSES + 1);
        assert_eq!(lines.iter().map(|it| it.count).sum::<u64>(), u64::from(count) - told as u64);
        assert!(log.told().lines.len() <= LOGON_LOG_ADDRESSES);
    }

    #[test]
    fn clock_difference_is_reported_once_for_each_address() {
        let log = LogonLog::new(LogKind::Refused);
        assert!(log.is_news_of_clock(address(1), START) && log.is_news_of_clock(address(2), START));
        assert!(!log.is_news_of_clock(address(1), START.after_ms(1)));
    }
}
