//! The settings of a member of an Active Directory domain: the table `[domain]`.

use std::path::PathBuf;

use domain::ids::{DomainRange, Rules};

/// The domain that the server is a member of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainSettings {
    /// The Kerberos realm, in upper case: the DNS name of the domain, as `CORP.EXAMPLE`.
    pub realm: String,
    /// The NetBIOS name of the domain, in upper case, as `CORP`.
    pub name: String,
    /// The file with the keys of the server's service principals.
    pub keytab: PathBuf,
    /// The domain's controllers, as host names; if empty, they are found by DNS (`_ldap._tcp.dc._msdcs`).
    pub controllers: Vec<String>,
    /// The groups whose members may log on, as `CORP\staff` or a SID; if empty, every user of the domain and of the
    /// domains that it trusts.
    pub logon_groups: Vec<String>,
    /// True if users of the domain may log on with NTLM, which is passed through to a controller.
    pub ntlm: bool,
    /// True if tickets with the enctype RC4-HMAC (RFC 4757) are accepted.
    pub rc4: bool,
    /// The difference between the clocks of a client and the server that a ticket may show, in seconds (RFC 4120
    /// 3.2.3).
    pub clock_skew: u32,
    /// The rule that gives SIDs of domains Unix ids.
    pub ids: IdRule,
    /// The ranges of Unix ids; with [`IdRule::Autorid`] there is one.
    pub id_ranges: Vec<IdRange>,
    /// The ids in each domain's part of the range, with [`IdRule::Autorid`].
    pub autorid_range_size: u32,
}

impl DomainSettings {
    /// The rules for the map of Unix ids.
    pub fn id_rules(&self) -> Rules {
        match (self.ids, self.id_ranges.as_slice()) {
            (IdRule::Autorid, [range, ..]) => {
                Rules::Autorid { first: range.first, last: range.last, range_size: self.autorid_range_size }
            }
            (IdRule::NameService | IdRule::Autorid, _) => Rules::Recorded,
            (IdRule::Auto | IdRule::Rid, ranges) => {
                let of =
                    |it: &IdRange| DomainRange { domain: it.domain.clone(), first: it.first, last: it.last };
                Rules::Rid(ranges.iter().map(of).collect())
            }
        }
    }
}

/// The rule that gives SIDs of domains Unix ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdRule {
    /// The machine's name service (sssd, winbind) where it knows the user or group, else [`IdRule::Rid`].
    #[default]
    Auto,
    /// The machine's name service only.
    NameService,
    /// The first id of the domain's range and the relative id, as Samba's `idmap_rid` with `base_rid = 0`.
    Rid,
    /// As Samba's `idmap_autorid`: each domain gets the next part of one range.
    Autorid,
}

/// A range of Unix ids for the users and groups of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The NetBIOS name of the domain; empty for all domains together ([`IdRule::Autorid`]).
    pub domain: String,
    /// The first id.
    pub first: u32,
    /// The last id.
    pub last: u32,
}
