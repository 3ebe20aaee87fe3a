//! The owners of SIDs.

use wire::security::Sid;

/// A user, group or domain with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The SID.
    pub sid: Sid,
    /// The NetBIOS name of the domain.
    pub domain: String,
    /// The name in the domain; empty for a domain.
    pub name: String,
    /// The kind of the SID's owner.
    pub kind: NamedKind,
}

impl Named {
    /// The name with its domain, as `CORP\carol`. A domain, and a name that has none, stands alone.
    pub fn qualified_name(&self) -> String {
        match (self.domain.as_str(), self.name.as_str()) {
            (domain, "") => domain.to_owned(),
            ("", name) => name.to_owned(),
            (domain, name) => format!("{domain}\\{name}"),
        }
    }
}

/// The kind of a SID's owner (MS-LSAT 2.2.13, `SID_NAME_USE`, with the same numbers in libwbclient).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NamedKind {
    /// A user or computer: 1 and 9.
    User,
    /// A group of a domain: 2.
    Group,
    /// A domain: 3.
    Domain,
    /// A group of one domain's own or of a machine: 4.
    Alias,
    /// A well-known group: 5.
    WellKnownGroup,
    /// Any other.
    Other,
}

impl NamedKind {
    /// The kind with this number.
    pub const fn of(number: u32) -> Self {
        match number {
            1 | 9 => Self::User,
            2 => Self::Group,
            3 => Self::Domain,
            4 => Self::Alias,
            5 => Self::WellKnownGroup,
            _ => Self::Other,
        }
    }

    /// The number in `SID_NAME_USE`; 8 (unknown) for other kinds.
    pub const fn number(self) -> u16 {
        match self {
            Self::User => 1,
            Self::Group => 2,
            Self::Domain => 3,
            Self::Alias => 4,
            Self::WellKnownGroup => 5,
            Self::Other => 8,
        }
    }
}
