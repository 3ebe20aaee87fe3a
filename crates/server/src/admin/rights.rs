//! The rights of callers.

use registry::{EventKind, EventOpen, FileSnapshot, Owner, SessionSnapshot, TreeSnapshot, UserKind};
use wire::security::Sid;
use wire::{AccountName, ShareName};

use super::{Caller, Error, audit};
use crate::core::roles::Reach;

/// A right of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Reading names and remarks of shares.
    BrowseShares,
    /// Changing shares or settings.
    ChangeSettings,
    /// Closing opens.
    CloseFiles,
    /// Ending sessions.
    EndSessions,
    /// Listing tree connects.
    ReadConnections,
    /// Listing opens and their users.
    ReadFiles,
    /// Listing refused requests.
    ReadRefusals,
    /// Reading settings and disks of the server.
    ReadServer,
    /// Listing sessions.
    ReadSessions,
    /// Reading paths and users of shares.
    ReadShares,
    /// Reading the counters.
    ReadStatistics,
    /// Listing accounts and the logons at the machine.
    ReadUsers,
    /// Reading the server's name, version and clock, and the names of its accounts.
    SeeServer,
}

/// The treatment of a caller's own objects in addition to the objects that the roles permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// Only the caller's own objects are selected.
    Only,
    /// The caller's own objects are permitted, too.
    Too,
    /// The caller's own objects are not permitted by themselves.
    No,
}

/// The objects of the server that a caller may see or act on.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    reach: Reach,
    /// The account whose objects are permitted regardless of the roles, and the SID of one of a domain, if it is known.
    own: Option<(AccountName, Option<Sid>)>,
}

impl Scope {
    /// The scope of the caller's right, which may be empty.
    pub(crate) fn of(caller: &Caller, right: Right, own: Own) -> Self {
        let user = Some(&caller.user).filter(|it| !it.is_empty() && own != Own::No);
        let reach = if own == Own::Only { Reach::Nothing } else { right.reach(caller) };
        Self { reach, own: user.map(|it| (AccountName::new(it), caller.sid)) }
    }

    /// True if the scope contains the share.
    pub(crate) fn has_share(&self, share: &str) -> bool {
        match &self.reach {
            Reach::Everything => true,
            Reach::Shares(shares) => shares.contains(&ShareName::new(share)),
            Reach::Nothing => false,
        }
    }

    /// True if the scope contains everything.
    pub(crate) fn is_everything(&self) -> bool {
        self.reach == Reach::Everything
    }

    /// True if the scope contains the open.
    pub(crate) fn has_file(&self, file: &FileSnapshot) -> bool {
        self.has_share(&file.share) || self.is_own(file.user_kind, &file.user, file.user_sid)
    }

    /// True if the scope contains the tree connect.
    pub(crate) fn has_tree(&self, tree: &TreeSnapshot) -> bool {
        self.has_share(&tree.share) || self.is_own(tree.user_kind, &tree.user, tree.user_sid)
    }

    /// True if the scope contains the session, which is the case if it contains any of the session's shares.
    pub(crate) fn has_session(&self, session: &SessionSnapshot) -> bool {
        self.is_everything()
            || session.shares.iter().any(|share| self.has_share(share))
            || self.is_own(session.identity.kind(), &session.identity.user, session.identity.sid)
    }

    /// True if the scope contains the event: those of its shares, and of the caller's own sessions and opens.
    /// Connections have no user, so only a scope that contains everything contains their events.
    pub(crate) fn has_event(&self, event: &EventKind) -> bool {
        let is_owner = |it: &Owner| self.is_own(it.kind, &it.user, it.sid);
        let has_open = |open: &EventOpen| self.has_share(&open.share) || is_owner(&open.owner);
        if self.is_everything() {
            return true;
        }
        match event {
            EventKind::ConnectionUp { .. } | EventKind::ConnectionDown { .. } => false,
            EventKind::SessionUp { owner, .. } | EventKind::SessionDown { owner, .. } => is_owner(owner),
            EventKind::TreeUp { share, owner, .. } | EventKind::TreeDown { share, owner, .. } => {
                self.has_share(share) || owner.as_deref().is_some_and(is_owner)
            }
            EventKind::Opened { open, .. }
            | EventKind::Closed { open, .. }
            | EventKind::Orphaned { open }
            | EventKind::Reclaimed { open, .. }
            | EventKind::Locked { open }
            | EventKind::Deleted { open, .. }
            | EventKind::Renamed { open, .. }
            | EventKind::BreakSent { open }
            | EventKind::BreakAcknowledged { open }
            | EventKind::BreakTimedOut { open }
            | EventKind::CloseAnnounced { open, .. }
            | EventKind::CloseCancelled { open, .. } => has_open(open),
            EventKind::Refused { refusal } => {
                self.has_share(&refusal.share)
                    || self.is_own(refusal.user_kind, &refusal.user, refusal.user_sid)
            }
            EventKind::Drain { drain } => drain.share.as_ref().is_some_and(|share| self.has_share(share)),
            EventKind::ShareAdded { share }
            | EventKind::ShareChanged { share }
            | EventKind::ShareRemoved { share } => self.has_share(share),
        }
    }

    /// True for the caller. A caller with a SID has it in all of its sessions, whatever the account was called then.
    fn is_own(&self, kind: UserKind, user: &str, sid: Option<Sid>) -> bool {
        let is_callers = |(name, own): &(AccountName, Option<Sid>)| match own {
            Some(_) => *own == sid,
            None => *name == AccountName::new(user),
        };
        kind == UserKind::Account && self.own.as_ref().is_some_and(is_callers)
    }
}

impl Right {
    /// The shares for which roles give this right to the caller. Administrators have every right everywhere;
    /// every account has the rights that browsing needs (MS-SRVS 3.1.4.8, 3.1.4.10, 3.1.4.17, 3.1.4.21).
    fn reach(self, caller: &Caller) -> Reach {
        if caller.administrator {
            return Reach::Everything;
        }
        match self {
            Self::BrowseShares if caller.lists_shares => Reach::Everything,
            Self::BrowseShares | Self::SeeServer if caller.user.is_empty() => Reach::Nothing,
            Self::BrowseShares | Self::SeeServer => Reach::Everything,
            Self::ChangeSettings => Reach::Nothing,
            Self::CloseFiles => caller.roles.close.clone(),
            // Not for single shares: a session is connected to other shares as well.
            Self::EndSessions if caller.roles.close == Reach::Everything => Reach::Everything,
            Self::EndSessions => Reach::Nothing,
            Self::ReadConnections
            | Self::ReadFiles
            | Self::ReadRefusals
            | Self::ReadServer
            | Self::ReadSessions
            | Self::ReadShares
            | Self::ReadStatistics
            | Self::ReadUsers => caller.roles.view.clone(),
        }
    }
}

/// True if the caller has the right everywhere; for operations that show less to others.
pub(crate) fn may(caller: &Caller, right: Right) -> bool {
    right.reach(caller) == Reach::Everything
}

/// True if the caller has the right for the whole server or for some shares; for pages that offer only what can be done.
pub(crate) fn may_somewhere(caller: &Caller, right: Right) -> bool {
    right.reach(caller) != Reach::Nothing
}

/// The shares for which the caller has the right, by their folded names; `None` if it has the right everywhere.
pub(crate) fn shares_with(caller: &Caller, right: Right) -> Option<Vec<String>> {
    match right.reach(caller) {
        Reach::Everything => None,
        Reach::Shares(shares) => Some(shares.iter().map(|share| share.as_str().to_owned()).collect()),
        Reach::Nothing => Some(Vec::new()),
    }
}

/// Refuses a caller who does not have the right everywhere, and records that.
pub(crate) fn check(caller: &Caller, right: Right) -> Result<(), Error> {
    if may(caller, right) {
        return Ok(());
    }
    audit::denied(caller, right);
    Err(Error::AccessDenied)
}

/// The scope of the caller's right. A caller who has it nowhere is refused, which is recorded.
pub(crate) fn scope(caller: &Caller, right: Right, own: Own) -> Result<Scope, Error> {
    let scope = Scope::of(caller, right, own);
    if scope.reach == Reach::Nothing && scope.own.is_none() {
        audit::denied(caller, right);
        return Err(Error::AccessDenied);
    }
    Ok(scope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::{Allow, Role};
    use crate::core::domain::Member;
    use crate::core::roles::Roles;

    fn caller(user: &str, administrator: bool) -> Caller {
        Caller { user: user.into(), administrator, from: String::from("192.0.2.1"), ..Caller::default() }
    }

    #[test]
    fn users_may_browse_and_anonymous_callers_have_no_rights() {
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
            assert!(scope(&caller("", false), right, Own::Too).is_err(), "{right:?}");
        }
    }

    #[test]
    fn roles_give_rights_to_their_shares_only() {
        let role = |allow, users: &[&str], groups: &[&str], shares: &[&str]| Role {
            allow,
            users: users.iter().map(ToString::to_string).collect(),
            groups: groups.iter().map(ToString::to_string).collect(),
            shares: shares.iter().map(ToString::to_string).collect(),
        };
        let roles = [
            role(Allow::View, &[], &["staff"], &["Data"]),
            role(Allow::Close, &["BOB"], &[], &["other"]),
            role(Allow::Close, &["carol"], &[], &[]),
            role(Allow::Administer, &["dora"], &[], &[]),
        ];
        let of = |user: &str, groups: &[&str]| {
            let groups: Vec<_> = groups.iter().map(ToString::to_string).collect();
            let settings = crate::core::config::Settings::conventional(false, |_| None);
            let roles = Roles::of(&roles, &Member::local(&settings, user, || groups.clone()));
            Caller { administrator: roles.administer, roles, ..caller(user, false) }
        };
        let shares = |caller: &Caller, right| {
            let scope = scope(caller, right, Own::No);
            ["data", "OTHER", "third"].map(|it| scope.as_ref().is_ok_and(|scope| scope.has_share(it)))
        };
        let bob = of("bob", &["staff"]);
        assert_eq!(shares(&bob, Right::ReadFiles), [true, true, false]);
        assert_eq!(shares(&bob, Right::CloseFiles), [false, true, false]);
        assert!(scope(&bob, Right::EndSessions, Own::No).is_err(), "sessions reach beyond a share");
        assert!(check(&bob, Right::ReadFiles).is_err(), "not everywhere");
        assert_eq!(
            shares(&of("alice", &["Staff"]), Right::ReadFiles),
            [false; 3],
            "groups have one spelling"
        );
        assert_eq!(shares(&of("carol", &[]), Right::CloseFiles), [true; 3]);
        assert_eq!(check(&of("carol", &[]), Right::EndSessions), Ok(()));
        assert!(check(&of("carol", &[]), Right::ChangeSettings).is_err());
        assert_eq!(check(&of("dora", &[]), Right::ChangeSettings), Ok(()));
        assert_eq!(
            shares(&of("", &["staff"]), Right::ReadFiles),
            [false; 3],
            "nobody in particular has no role"
        );
    }
}
