//! A user of an Active Directory domain, as a domain controller describes it.

use wire::security::Sid;

/// A user of a domain, as its controller vouches for it: in the PAC of a Kerberos ticket (MS-PAC), or in the answer to
/// an NTLM logon that was passed through (MS-NRPC 2.2.1.4.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainUser {
    /// The account's name (`EffectiveName`, MS-PAC 2.5).
    pub name: String,
    /// The NetBIOS name of the account's domain (`LogonDomainName`).
    pub domain: String,
    /// The DNS name of the account's domain; empty if the controller did not say it. With Kerberos it is the client's
    /// realm, for which the controller of the server's domain vouches; the NetBIOS name is what the account's own
    /// controller says.
    pub dns_domain: String,
    /// The user principal name (MS-PAC 2.10), as `carol@corp.example`; `None` if the controller did not say it.
    pub principal_name: Option<String>,
    /// The display name (`FullName`); may be empty.
    pub full_name: String,
    /// The user's SID.
    pub sid: Sid,
    /// The SID of the primary group (`PrimaryGroupId` in the user's domain).
    pub primary_group: Sid,
    /// The SIDs of all groups that the controller named: those of the user's domain (`GroupIds`), extra SIDs
    /// (`ExtraSids`) and the resource groups of the server's domain (`ResourceGroupIds`). The primary group is one of
    /// them; there are no duplicates.
    pub groups: Vec<Sid>,
}

impl DomainUser {
    /// The account's name with its domain, as `CORP\carol`. This is the name by which the rest of the server knows the
    /// user, so that an account of the users file with the same name is another user.
    pub fn qualified_name(&self) -> String {
        format!("{}\\{}", self.domain, self.name)
    }
}

/// The protocol by which a user proved who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// NTLM (MS-NLMP), with an account of the users file or passed through to a domain controller.
    #[default]
    Ntlm,
    /// Kerberos (RFC 4120, RFC 4121).
    Kerberos,
}
