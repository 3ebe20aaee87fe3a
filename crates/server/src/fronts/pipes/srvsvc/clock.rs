//! NetrRemoteTOD (MS-SRVS 3.1.4.21).

use control::Timestamp;
use rpc::Win32Error;
use rpc::srvsvc::{RemoteTodResponse, TimeOfDayInfo};

use crate::admin::{self, Caller, Error, Time};
use crate::core::server::Server;

pub(super) fn time_of_day(server: &Server, caller: &Caller) -> Result<RemoteTodResponse, Error> {
    let clock = admin::clock(server, caller)?;
    let west = clock.offset_minutes.saturating_neg().cast_unsigned();
    let uptime_ms = clock.uptime_seconds.saturating_mul(1000);
    Ok(RemoteTodResponse {
        time_of_day: Some(shown(clock.now, west, uptime_ms)),
        status: Win32Error::SUCCESS,
    })
}

/// The time in UTC, and the minutes by which the server's zone is west of it (a negative number is sent as its two's
/// complement).
fn shown(now: Time, minutes_west: u32, uptime_ms: u64) -> TimeOfDayInfo {
    let low = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    let seconds = now.0 / 1000;
    let text = Timestamp(i64::try_from(now.0).unwrap_or(i64::MAX)).to_string();
    let mut date = text.split(['-', 'T']).map(|part| part.parse().unwrap_or(0));
    let mut next = || date.next().unwrap_or(0);
    let (year, month, day) = (next(), next(), next());
    TimeOfDayInfo {
        elapsed: low(seconds),
        milliseconds: low(uptime_ms),
        hours: low(seconds / 3600 % 24),
        minutes: low(seconds / 60 % 60),
        seconds: low(seconds % 60),
        hundredths: low(now.0 / 10 % 100),
        timezone: minutes_west,
        tick_interval: TICK_INTERVAL,
        day,
        month,
        year,
        weekday: low((seconds / 86_400 + THURSDAY) % 7),
    }
}

/// The resolution of the clock, in units of 100 microseconds.
const TICK_INTERVAL: u32 = 10;

/// The weekday of 1 January 1970, Sunday being 0.
const THURSDAY: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_day_of_a_known_date() {
        let tod = shown(Time(951_826_265_430), 60, 430);
        assert_eq!((tod.year, tod.month, tod.day, tod.weekday), (2000, 2, 29, 2));
        assert_eq!((tod.hours, tod.minutes, tod.seconds, tod.hundredths), (12, 11, 5, 43));
        assert_eq!((tod.elapsed, tod.milliseconds, tod.timezone), (951_826_265, 430, 60));
    }
}
