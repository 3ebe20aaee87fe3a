//! Who may do what.

use super::{Caller, Error, audit};

/// What a caller may have the right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// To learn names and remarks of shares.
    BrowseShares,
    /// To change shares or settings.
    ChangeSettings,
    /// To close an open.
    CloseFiles,
    /// To end sessions.
    EndSessions,
    /// To see who is connected to which share.
    ReadConnections,
    /// To see what is open, and by whom.
    ReadFiles,
    /// To see who was refused what.
    ReadRefusals,
    /// To see settings and disks of the server.
    ReadServer,
    /// To see who is connected.
    ReadSessions,
    /// To see where a share lies and who uses it.
    ReadShares,
    /// To see the counters.
    ReadStatistics,
    /// To see the accounts, and who is logged on at the machine.
    ReadUsers,
    /// To learn name, version and clock of the server.
    SeeServer,
}

impl Right {
    /// Whether the caller has the right. Administrators have all of them; whoever has logged on can
    /// see what browsing takes (MS-SRVS 3.1.4.8, 3.1.4.10, 3.1.4.17, 3.1.4.21).
    const fn has(self, caller: Standing) -> bool {
        match self {
            Self::BrowseShares | Self::SeeServer => {
                matches!(caller, Standing::Administrator | Standing::User)
            }
            Self::ChangeSettings
            | Self::CloseFiles
            | Self::EndSessions
            | Self::ReadConnections
            | Self::ReadFiles
            | Self::ReadRefusals
            | Self::ReadServer
            | Self::ReadSessions
            | Self::ReadShares
            | Self::ReadStatistics
            | Self::ReadUsers => matches!(caller, Standing::Administrator),
        }
    }
}

/// What a caller is to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Administrator,
    User,
    Anonymous,
}

impl Standing {
    fn of(caller: &Caller) -> Self {
        match (caller.administrator, caller.user.is_empty()) {
            (true, _) => Self::Administrator,
            (false, false) => Self::User,
            (false, true) => Self::Anonymous,
        }
    }
}

/// Refuses a caller who does not have the right, and remembers that.
pub(crate) fn check(caller: &Caller, right: Right) -> Result<(), Error> {
    if right.has(Standing::of(caller)) {
        return Ok(());
    }
    audit::denied(caller, right);
    Err(Error::AccessDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_may_browse_and_anonymous_callers_nothing() {
        let caller = |user: &str, administrator| Caller {
            user: user.into(),
            administrator,
            from: String::from("192.0.2.1"),
        };
        for (right, users_may) in [
            (Right::BrowseShares, true),
            (Right::SeeServer, true),
            (Right::CloseFiles, false),
            (Right::EndSessions, false),
            (Right::ReadConnections, false),
            (Right::ReadFiles, false),
            (Right::ReadRefusals, false),
            (Right::ReadServer, false),
            (Right::ReadSessions, false),
            (Right::ReadShares, false),
            (Right::ReadStatistics, false),
            (Right::ReadUsers, false),
            (Right::ChangeSettings, false),
        ] {
            assert_eq!(check(&caller("alice", false), right).is_ok(), users_may, "{right:?}");
            assert_eq!(check(&caller("root", true), right), Ok(()), "{right:?}");
            assert_eq!(check(&caller("", false), right), Err(Error::AccessDenied), "{right:?}");
        }
    }
}
