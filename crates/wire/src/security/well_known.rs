//! Accounts that are the same on every machine (MS-DTYP 2.4.2.4).

use super::Sid;

/// A well-known account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WellKnown {
    /// The SID.
    pub sid: Sid,
    /// The domain it is shown in; empty for none.
    pub domain: &'static str,
    /// The name, in English.
    pub name: &'static str,
}

impl WellKnown {
    /// The account with this SID.
    pub fn of_sid(sid: Sid) -> Option<Self> {
        ALL.iter().copied().find(|it| it.sid == sid)
    }

    /// The account of this name, in any case, with its domain or without.
    pub fn of_name(name: &str) -> Option<Self> {
        let (domain, name) = match name.split_once('\\') {
            Some((domain, name)) => (Some(domain), name),
            None => (None, name),
        };
        let matches = |it: &&Self| {
            it.name.eq_ignore_ascii_case(name)
                && domain.is_none_or(|domain| it.domain.eq_ignore_ascii_case(domain))
        };
        ALL.iter().find(matches).copied()
    }

    /// The local groups of the machine, by their RIDs.
    pub fn aliases() -> impl Iterator<Item = Self> {
        ALL.iter().copied().filter(Self::is_alias)
    }

    /// True for a local group of the machine, such as Administrators; false for one of the system's groups.
    pub fn is_alias(&self) -> bool {
        self.domain == BUILTIN
    }

    /// The SID of its domain.
    pub fn domain_sid(&self) -> Sid {
        self.sid.split_rid().map_or(self.sid, |(domain, _)| domain)
    }
}

/// The domain of the groups that every machine has.
const BUILTIN: &str = "BUILTIN";
const AUTHORITY: &str = "NT AUTHORITY";

const fn known(sid: Sid, domain: &'static str, name: &'static str) -> WellKnown {
    WellKnown { sid, domain, name }
}

const ALL: [WellKnown; 23] = [
    known(Sid::WORLD, "", "Everyone"),
    known(Sid::CREATOR_OWNER, "", "CREATOR OWNER"),
    known(Sid::CREATOR_GROUP, "", "CREATOR GROUP"),
    known(Sid::OWNER_RIGHTS, "", "OWNER RIGHTS"),
    known(Sid::of(5, [1]), AUTHORITY, "DIALUP"),
    known(Sid::NETWORK, AUTHORITY, "NETWORK"),
    known(Sid::of(5, [3]), AUTHORITY, "BATCH"),
    known(Sid::of(5, [4]), AUTHORITY, "INTERACTIVE"),
    known(Sid::of(5, [6]), AUTHORITY, "SERVICE"),
    known(Sid::ANONYMOUS, AUTHORITY, "ANONYMOUS LOGON"),
    known(Sid::AUTHENTICATED_USERS, AUTHORITY, "Authenticated Users"),
    known(Sid::SYSTEM, AUTHORITY, "SYSTEM"),
    known(Sid::of(5, [19]), AUTHORITY, "LOCAL SERVICE"),
    known(Sid::of(5, [20]), AUTHORITY, "NETWORK SERVICE"),
    known(Sid::ADMINISTRATORS, BUILTIN, "Administrators"),
    known(Sid::USERS, BUILTIN, "Users"),
    known(Sid::GUESTS, BUILTIN, "Guests"),
    known(Sid::of(5, [32, 547]), BUILTIN, "Power Users"),
    known(Sid::of(5, [32, 548]), BUILTIN, "Account Operators"),
    known(Sid::of(5, [32, 549]), BUILTIN, "Server Operators"),
    known(Sid::of(5, [32, 550]), BUILTIN, "Print Operators"),
    known(Sid::BACKUP_OPERATORS, BUILTIN, "Backup Operators"),
    known(Sid::of(5, [32, 555]), BUILTIN, "Remote Desktop Users"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sids_map_to_each_other() {
        for it in ALL {
            assert_eq!(WellKnown::of_sid(it.sid), Some(it));
            assert_eq!(WellKnown::of_name(&it.name.to_uppercase()), Some(it));
            assert_eq!(WellKnown::of_name(&format!(r"{}\{}", it.domain, it.name)), Some(it));
        }
        assert_eq!(WellKnown::of_name(r"OTHER\Administrators"), None);
        assert_eq!(WellKnown::of_sid(Sid::of_domain([1, 2, 3], 544)), None);
    }
}
