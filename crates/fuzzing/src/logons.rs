//! The logons at the machine, from `utmp` and systemd-logind.

use server::logons::{read_logind_session, read_utmp};

/// A `utmp` file, and the same bytes as a session's file of systemd-logind.
pub fn logons(data: &[u8]) {
    let logons = read_utmp(data);
    assert!(logons.len() <= data.len() / 384, "more logons than records");
    for logon in logons {
        assert!(!logon.user.is_empty() && !logon.user.contains('\0'));
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(logon) = read_logind_session(text)
    {
        assert!(!logon.user.is_empty() && !logon.user.contains('\n'));
    }
}
