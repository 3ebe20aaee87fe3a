//! The users who are logged on at the machine itself (MS-WKST 3.2.4.3).

use std::io;

use super::{Caller, Error, Right, check};
use crate::core::logons::{Logon, current};

/// The logons at the machine itself; empty if the machine keeps no records of them.
pub(crate) fn logons(caller: &Caller) -> Result<Vec<Logon>, Error> {
    check(caller, Right::ReadUsers)?;
    match current() {
        Ok(logons) => Ok(logons),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => {
            tracing::warn!(%error, "cannot read the records of logons at this machine");
            Err(Error::Internal)
        }
    }
}

impl From<Logon> for control::Logon {
    fn from(logon: Logon) -> Self {
        let optional = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            user: logon.user,
            domain: None,
            terminal: optional(logon.terminal),
            from: optional(logon.from),
            since: logon.since_ms.map(control::Timestamp),
        }
    }
}
