//! The users who are logged on at this machine, as its login programs record them (utmp(5)).

use std::io;
use std::path::Path;

use control::{Logon, Timestamp};

/// The file of the records.
pub(crate) const FILE: &str = "/run/utmp";

/// The logons that are recorded now.
pub(crate) fn logons() -> io::Result<Vec<Logon>> {
    let mut logons = Vec::new();
    for record in read(Path::new(FILE))?.chunks_exact(LAYOUT.length) {
        logons.extend(logon(record, &LAYOUT, is_alive));
    }
    Ok(logons)
}

/// The content of the file, up to [`FILE_BYTES_MAX`].
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(std::fs::File::open(path)?, FILE_BYTES_MAX), &mut bytes)?;
    Ok(bytes)
}

/// The offsets of the fields in a record.
struct Layout {
    length: usize,
    seconds: usize,
    seconds_length: usize,
}

/// glibc uses 32-bit times on machines where 32-bit programs must read the file.
const COMPATIBLE: Layout = Layout { length: 384, seconds: 340, seconds_length: 4 };
const WIDE: Layout = Layout { length: 400, seconds: 344, seconds_length: 8 };
const LAYOUT: Layout =
    if cfg!(any(target_arch = "aarch64", target_arch = "loongarch64")) { WIDE } else { COMPATIBLE };

/// The logon in a record; `None` if the record is of another kind or its process has ended.
fn logon(record: &[u8], layout: &Layout, is_alive: impl FnOnce(i32) -> bool) -> Option<Logon> {
    let kind = i16::from_ne_bytes(record.get(..2)?.try_into().ok()?);
    let pid = i32::from_ne_bytes(record.get(4..8)?.try_into().ok()?);
    let user = text(record.get(44..76)?);
    if kind != USER_PROCESS || user.is_empty() || !is_alive(pid) {
        return None;
    }
    let seconds = record.get(layout.seconds..layout.seconds.checked_add(layout.seconds_length)?)?;
    let seconds = match layout.seconds_length {
        8 => i64::from_ne_bytes(seconds.try_into().ok()?),
        // The 32 bits are unsigned, which suffices until 2106.
        _ => i64::from(u32::from_ne_bytes(seconds.try_into().ok()?)),
    };
    let optional = |bytes: &[u8]| Some(text(bytes)).filter(|text| !text.is_empty());
    Some(Logon {
        user,
        domain: None,
        terminal: optional(record.get(8..40)?),
        from: optional(record.get(76..332)?),
        since: Some(Timestamp::from_unix(seconds, 0)),
    })
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// True if the login process exists: records survive a power loss.
fn is_alive(pid: i32) -> bool {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else { return true };
    !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

const USER_PROCESS: i16 = 7;

/// The most bytes that are read; ten thousand logons take this much.
const FILE_BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(layout: &Layout, kind: i16, user: &str, seconds: i64) -> Vec<u8> {
        let mut record = vec![0; layout.length];
        record[..2].copy_from_slice(&kind.to_ne_bytes());
        record[8..13].copy_from_slice(b"pts/3");
        record[44..44 + user.len()].copy_from_slice(user.as_bytes());
        record[76..85].copy_from_slice(b"192.0.2.7");
        let bytes = if layout.seconds_length == 8 {
            seconds.to_ne_bytes().to_vec()
        } else {
            u32::try_from(seconds).unwrap().to_ne_bytes().to_vec()
        };
        record[layout.seconds..layout.seconds + bytes.len()].copy_from_slice(&bytes);
        record
    }

    #[test]
    fn a_logon_is_read_in_both_layouts() {
        for layout in [COMPATIBLE, WIDE] {
            for seconds in [1_772_357_400, 2_200_000_000] {
                let found =
                    logon(&record(&layout, USER_PROCESS, "alice", seconds), &layout, |_| true).unwrap();
                assert_eq!((found.user.as_str(), found.terminal.as_deref()), ("alice", Some("pts/3")));
                assert_eq!(found.from.as_deref(), Some("192.0.2.7"));
                assert_eq!(found.since, Some(Timestamp(seconds * 1000)));
            }
            let of = |kind, user, alive: bool| logon(&record(&layout, kind, user, 0), &layout, |_| alive);
            assert_eq!(of(2, "reboot", true), None);
            assert_eq!(of(USER_PROCESS, "", true), None);
            assert_eq!(of(USER_PROCESS, "alice", false), None);
            let longest = "a".repeat(32);
            assert_eq!(of(USER_PROCESS, &longest, true).unwrap().user, longest);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            for layout in [COMPATIBLE, WIDE] {
                let _ = logon(&bytes, &layout, |_| true);
            }
        }
    }
}
