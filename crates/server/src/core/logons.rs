//! The users logged on at the machine itself, as `who` lists them (MS-WKST 3.2.4.3).
//!
//! The records are `utmp` or, on systems without it, systemd-logind's files of its sessions.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// One logon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logon {
    /// The account.
    pub user: String,
    /// The terminal or seat; empty if there is none.
    pub terminal: String,
    /// The remote host; empty for a logon at the machine.
    pub from: String,
    /// The time of the logon, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// The login process, if the record has one.
    process: Option<Pid>,
}

/// The logons on record whose processes still run, in the order of the records.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`] if the machine keeps no such records; any other error of reading them.
pub fn current() -> io::Result<Vec<Logon>> {
    let logons = match beginning_of(Path::new(UTMP), UTMP_BYTES_MAX) {
        Ok(bytes) => read_utmp(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => read_logind(Path::new(LOGIND))?,
        Err(error) => return Err(error),
    };
    Ok(logons.into_iter().filter(is_alive).collect())
}

/// True if the process of a logon still runs. A record stays after its process was killed, or the machine lost power.
fn is_alive(logon: &Logon) -> bool {
    logon.process.is_none_or(|process| test_kill_process(process) != Err(Errno::SRCH))
}

/// The logons in a `utmp` file of this architecture (utmp(5)).
pub fn read_utmp(bytes: &[u8]) -> Vec<Logon> {
    bytes.chunks_exact(LAYOUT.size).filter_map(read_record).collect()
}

/// The process with this number. `None` for numbers that no process has.
fn process_of(number: i32) -> Option<Pid> {
    (number > 0).then(|| Pid::from_raw(number)).flatten()
}

fn read_record(record: &[u8]) -> Option<Logon> {
    let kind = i16::from_ne_bytes(*record.first_chunk()?);
    if kind != USER_PROCESS {
        return None;
    }
    let text = |at: usize, length: usize| {
        let field = record.get(at..at.checked_add(length)?)?;
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(length);
        Some(String::from_utf8_lossy(field.get(..end)?).into_owned())
    };
    let user = text(44, 32)?;
    let seconds = match LAYOUT.wide_time {
        true => i64::from_ne_bytes(*record.get(LAYOUT.time..)?.first_chunk()?),
        // Unsigned, so that 32 bits last until 2106.
        false => i64::from(u32::from_ne_bytes(*record.get(LAYOUT.time..)?.first_chunk()?)),
    };
    let process = i32::from_ne_bytes(*record.get(4..)?.first_chunk()?);
    (!user.is_empty()).then_some(Logon {
        user,
        terminal: text(8, 32)?,
        from: text(76, 256)?,
        since_ms: seconds.checked_mul(1000).filter(|it| *it > 0),
        process: process_of(process),
    })
}

/// The logons of systemd-logind: a file for each session.
fn read_logind(directory: &Path) -> io::Result<Vec<Logon>> {
    let entries = fs::read_dir(directory)?;
    let files = entries.filter_map(Result::ok).filter(|it| it.file_type().is_ok_and(|it| it.is_file()));
    // If a file is gone by now, its session has ended.
    let texts =
        files.take(LOGIND_SESSIONS_MAX).filter_map(|it| beginning_of(&it.path(), LOGIND_BYTES_MAX).ok());
    let mut logons: Vec<_> =
        texts.filter_map(|text| read_logind_session(&String::from_utf8_lossy(&text))).collect();
    logons.sort_by_key(|it| it.since_ms);
    Ok(logons)
}

/// Parses a session of systemd-logind. Returns `None` if it is not a user's, or is closing.
pub fn read_logind_session(text: &str) -> Option<Logon> {
    let value = |key: &str| {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(value.trim_matches('"').to_owned())
    };
    let is_users = value("CLASS").is_none_or(|class| class.starts_with("user"));
    let is_over = value("STATE").is_some_and(|state| state == "closing");
    let user = value("USER").filter(|user| !user.is_empty() && is_users && !is_over)?;
    Some(Logon {
        user,
        terminal: value("TTY").or_else(|| value("SEAT")).unwrap_or_default(),
        from: value("REMOTE_HOST").unwrap_or_default(),
        since_ms: value("REALTIME").and_then(|it| it.parse::<i64>().ok()).map(|it| it / 1000),
        process: value("LEADER").and_then(|it| it.parse().ok()).and_then(process_of),
    })
}

fn beginning_of(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The file of utmp(5).
pub const UTMP: &str = "/run/utmp";

/// The directory of systemd-logind's sessions.
const LOGIND: &str = "/run/systemd/sessions";

/// The layout of `struct utmp`, as far as it differs between architectures.
struct Layout {
    size: usize,
    /// `ut_tv.tv_sec`.
    time: usize,
    wide_time: bool,
}

/// glibc keeps 32 bits of time, except on architectures that never ran 32-bit programs beside its 64-bit ones.
const LAYOUT: Layout = if cfg!(any(target_arch = "aarch64", target_arch = "loongarch64")) {
    Layout { size: 400, time: 344, wide_time: true }
} else {
    Layout { size: 384, time: 340, wide_time: false }
};

/// `ut_type` of a logon.
const USER_PROCESS: i16 = 7;

/// The size of `utmp` that is read, in bytes: some ten thousand logons. Later records are left out.
const UTMP_BYTES_MAX: u64 = 4 << 20;

/// The number of sessions of systemd-logind that are read. Others are left out.
const LOGIND_SESSIONS_MAX: usize = 4096;

/// The size of one of its files that is read, in bytes: some twenty short lines.
const LOGIND_BYTES_MAX: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: i16, user: &str, terminal: &str, from: &str, seconds: u32) -> Vec<u8> {
        let mut record = vec![0; LAYOUT.size];
        let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &kind.to_ne_bytes());
        put(4, &1_i32.to_ne_bytes());
        put(8, terminal.as_bytes());
        put(44, user.as_bytes());
        put(76, from.as_bytes());
        if LAYOUT.wide_time {
            put(LAYOUT.time, &i64::from(seconds).to_ne_bytes());
        } else {
            put(LAYOUT.time, &seconds.to_ne_bytes());
        }
        record
    }

    #[test]
    fn utmp_records_of_logons_are_read() {
        let mut file = record(2, "reboot", "~", "6.1", 1);
        file.extend(record(USER_PROCESS, "ann", "pts/0", "192.0.2.1", 951_826_265));
        file.extend(record(8, "bob", "pts/1", "", 5));
        // A record that is cut off.
        file.extend([7, 0, 0]);
        let ann = Logon {
            user: String::from("ann"),
            terminal: String::from("pts/0"),
            from: String::from("192.0.2.1"),
            since_ms: Some(951_826_265_000),
            process: Pid::from_raw(1),
        };
        assert_eq!(read_utmp(&file), [ann]);
    }

    #[test]
    fn fields_that_fill_their_room_have_no_terminating_zero() {
        let longest = "a".repeat(32);
        assert_eq!(read_utmp(&record(USER_PROCESS, &longest, "pts/0", "", 5))[0].user, longest);
    }

    #[test]
    fn numbers_that_no_process_has_are_ignored() {
        let mut negative = record(USER_PROCESS, "ann", "pts/0", "", 5);
        negative[4..8].copy_from_slice(&i32::MIN.to_ne_bytes());
        assert_eq!(read_utmp(&negative)[0].process, None);
        assert_eq!(read_logind_session("USER=ann\nLEADER=-1\n").unwrap().process, None);
    }

    #[test]
    fn times_after_2038_are_read() {
        let logons = read_utmp(&record(USER_PROCESS, "ann", "pts/0", "", 2_200_000_000));
        assert_eq!(logons[0].since_ms, Some(2_200_000_000_000));
    }

    #[test]
    fn logons_of_processes_that_ended_are_left_out() {
        let of = |process| Logon { process, ..Logon::default() };
        assert!(is_alive(&of(Some(rustix::process::getpid()))));
        assert!(is_alive(&of(None)));
        // Linux gives out no process id above 2^22.
        assert!(!is_alive(&of(Pid::from_raw(i32::MAX))));
    }

    #[test]
    fn logind_session_is_read() {
        let text = "# This is private data. Do not parse.\nUID=1000\nUSER=ann\nACTIVE=1\nSTATE=active\n\
                    REMOTE=1\nTTY=pts/0\nCLASS=user\nREMOTE_HOST=192.0.2.1\nLEADER=77\nREALTIME=951826265000000\n";
        let logon = read_logind_session(text).unwrap();
        assert_eq!((logon.user.as_str(), logon.terminal.as_str()), ("ann", "pts/0"));
        assert_eq!((logon.from.as_str(), logon.since_ms), ("192.0.2.1", Some(951_826_265_000)));
        assert_eq!(read_logind_session(&text.replace("CLASS=user", "CLASS=manager")), None);
        assert_eq!(read_logind_session(&text.replace("=active", "=closing")), None);
        assert_eq!(read_logind_session(""), None);
    }
}
