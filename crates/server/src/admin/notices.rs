//! The events that become notices of themselves: refusals, from the event stream, and failed logons, from the counters.
//! Neither a request nor a logon does anything for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use control::{Notice, NoticeEvent};
use registry::EventKind;
use tokio::time::Instant;

use super::view::event;
use crate::core::server::Server;

/// Reports refusals and failed logons, forever.
pub(crate) async fn watch(server: Arc<Server>) {
    let mut after = server.registry.lock("last_event").last_event();
    let mut failures = Failures::default();
    loop {
        tokio::time::sleep(LOOK).await;
        if server.notices.want(NoticeEvent::Refused) {
            after = report_refusals(&server, after);
        } else {
            after = server.registry.lock("last_event").last_event();
        }
        let counted = server.statistics.password_errors.load(Relaxed);
        failures.count(counted, Instant::now());
        for (number, within) in server.notices.failure_rates() {
            if let Some(count) = failures.above(number, within, Instant::now()) {
                let notice = Notice { count: Some(count), ..Notice::of(NoticeEvent::LogonFailures) };
                server.notify_if(notice, |it| (it.failures, it.within) == (number, within));
            }
        }
    }
}

/// Reports the refusals after an event, and returns the last event.
fn report_refusals(server: &Server, after: u64) -> u64 {
    let news = server.registry.lock("events_after").events_after(after, usize::MAX);
    if news.lost > 0 {
        tracing::warn!(
            events = news.lost,
            "events came too fast; notices of refusals among them are left out"
        );
    }
    for found in news.events.iter().filter(|it| matches!(it.kind, EventKind::Refused { .. })) {
        let shown = event(found);
        server.notify_of(Notice {
            share: shown.share,
            path: shown.path,
            file_id: shown.file_id,
            user: shown.user,
            computer: shown.computer,
            reason: shown.reason,
            ..Notice::of(NoticeEvent::Refused)
        });
    }
    news.last_seq
}

/// The failed logons of the last time.
#[derive(Debug, Default)]
struct Failures {
    /// The counter at the last looks, the earliest first: at most one for each look of the longest time.
    looks: VecDeque<(Instant, u64)>,
    /// The times of the last reports, by rate.
    reported: Vec<((u64, u64), Instant)>,
}

impl Failures {
    /// Records the counter, if it has changed.
    fn count(&mut self, counted: u64, now: Instant) {
        if self.looks.back().is_none_or(|(_, last)| *last != counted) {
            if self.looks.len() >= LOOKS_MAX {
                self.looks.pop_front();
            }
            self.looks.push_back((now, counted));
        }
    }

    /// The number of failures within this many seconds, if it is `number` at least and was not reported during that
    /// time.
    fn above(&mut self, number: u64, within: u64, now: Instant) -> Option<u64> {
        let window = Duration::from_secs(within);
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < window;
        let rate = (number, within);
        self.reported
            .retain(|((_, within), at)| now.saturating_duration_since(*at) < Duration::from_secs(*within));
        if self.reported.iter().any(|(of, _)| *of == rate) {
            return None;
        }
        // The last look before the window has what was counted until its beginning.
        let before = self.looks.iter().take_while(|(at, _)| !is_recent(at)).last();
        let before = before.or(self.looks.front()).map_or(0, |(_, counted)| *counted);
        let count = self.looks.back()?.1.saturating_sub(before);
        if count < number {
            return None;
        }
        self.reported.push((rate, now));
        Some(count)
    }
}

/// The interval of looks: a notice may be as late.
const LOOK: Duration = Duration::from_millis(250);

/// The number of looks that are remembered, at which the counter had changed: a quarter of an hour of uninterrupted
/// failures. Longer times than that are counted from the earliest one.
const LOOKS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn failures_above_the_rate_are_reported_once_in_their_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut failures = Failures::default();
        failures.count(100, at(0));
        assert_eq!(failures.above(3, 60, at(0)), None, "what was counted before does not matter");
        failures.count(102, at(10));
        assert_eq!(failures.above(3, 60, at(10)), None);
        failures.count(103, at(20));
        assert_eq!(failures.above(3, 60, at(20)), Some(3));
        failures.count(110, at(30));
        assert_eq!(failures.above(3, 60, at(30)), None, "reported a moment ago");
        assert_eq!(failures.above(8, 60, at(30)), Some(10), "another rate");
        assert_eq!(failures.above(3, 60, at(95)), None, "they are too long ago");
        failures.count(113, at(100));
        assert_eq!(failures.above(3, 60, at(100)), Some(3));
    }
}
