//! Who is logged on at the machine itself (MS-WKST 3.2.4.3).

use super::{Caller, Error, Right, check};
use crate::core::logons::{Logon, current};

/// The logons, in the order the system has them.
pub(crate) fn logons(caller: &Caller) -> Result<Vec<Logon>, Error> {
    check(caller, Right::ReadUsers)?;
    Ok(current())
}
