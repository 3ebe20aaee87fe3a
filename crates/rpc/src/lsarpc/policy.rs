//! The policy object: handles to it, and its information about the machine (MS-LSAD 3.1.4.4).

use wire::NtStatus;
use wire::security::Sid;

use crate::ndr::{ContextHandle, Enum16, Ndr, NdrError, Parameter, Reader, UnicodeString, Writer};
use crate::revision::RevisionInfo;
use crate::uuid::Uuid;

/// POLICY_VIEW_LOCAL_INFORMATION (MS-LSAD 2.2.1.1.2).
pub const POLICY_VIEW_LOCAL_INFORMATION: u32 = 0x0000_0001;
/// POLICY_LOOKUP_NAMES: to translate names and SIDs.
pub const POLICY_LOOKUP_NAMES: u32 = 0x0000_0800;

/// LSAPR_OBJECT_ATTRIBUTES (MS-LSAD 2.2.2.4), whose fields are ignored; the data that it may refer to is skipped.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ObjectAttributes;

impl Parameter for ObjectAttributes {
    fn write_whole(&self, to: &mut Writer) {
        to.u32(24);
        for _ in 0..5 {
            to.u32(0);
        }
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let _length = from.u32()?;
        let (root, name) = (from.pointer()?, from.pointer()?);
        let _attributes = from.u32()?;
        let (descriptor, quality) = (from.pointer()?, from.pointer()?);
        if root || name || descriptor {
            from.lose_way();
        } else if quality {
            // SECURITY_QUALITY_OF_SERVICE (MS-LSAD 2.2.3.7).
            let _length = from.u32()?;
            from.octets(4)?;
        }
        Ok(Self)
    }
}

/// `[in, unique] wchar_t*`: the first character of a name.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct FirstCharacter(pub Option<u16>);

impl Parameter for FirstCharacter {
    fn write_whole(&self, to: &mut Writer) {
        to.pointer(self.0.is_some());
        if let Some(unit) = self.0 {
            to.u16(unit);
        }
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        if from.pointer()? { from.u16().map(|unit| Self(Some(unit))) } else { Ok(Self(None)) }
    }
}

ndr_call! {
    returns NtStatus;
    /// LsarClose (MS-LSAD 3.1.4.9.4): a handle no longer.
    0 "LsarClose" CloseRequest {
        handle: ContextHandle = "ObjectHandle",
    } => CloseResponse {
        handle: ContextHandle = "ObjectHandle",
    } refused |request| {
        handle: request.handle,
    }
}

ndr_call! {
    returns NtStatus;
    /// LsarOpenPolicy (MS-LSAD 3.1.4.4.2): as [`OpenPolicy2Request`].
    6 "LsarOpenPolicy" OpenPolicyRequest {
        system_name: FirstCharacter = "SystemName",
        object_attributes: ObjectAttributes = "ObjectAttributes",
        desired_access: u32 = "DesiredAccess",
    } => OpenPolicyResponse {
        handle: ContextHandle = "PolicyHandle",
    } refused |_| {
        handle: ContextHandle::default(),
    }
}

ndr_call! {
    returns NtStatus;
    /// LsarOpenPolicy2 (MS-LSAD 3.1.4.4.1): a handle to the policy.
    44 "LsarOpenPolicy2" OpenPolicy2Request {
        system_name: Option<String> = "SystemName",
        object_attributes: ObjectAttributes = "ObjectAttributes",
        desired_access: u32 = "DesiredAccess",
    } => OpenPolicy2Response {
        handle: ContextHandle = "PolicyHandle",
    } refused |_| {
        handle: ContextHandle::default(),
    }
}

ndr_call! {
    returns NtStatus;
    /// LsarOpenPolicy3 (MS-LSAD 3.1.4.4.9): a handle to the policy, and the abilities of both sides.
    130 "LsarOpenPolicy3" OpenPolicy3Request {
        system_name: Option<String> = "SystemName",
        object_attributes: ObjectAttributes = "ObjectAttributes",
        desired_access: u32 = "DesiredAccess",
        revision: RevisionInfo = "InVersion, InRevisionInfo",
    } => OpenPolicy3Response {
        revision: RevisionInfo = "OutVersion, OutRevisionInfo",
        handle: ContextHandle = "PolicyHandle",
    } refused |_| {
        revision: RevisionInfo::default(),
        handle: ContextHandle::default(),
    }
}

/// PolicyPrimaryDomainInformation (MS-LSAD 2.2.4.1).
pub const PRIMARY_DOMAIN: Enum16 = Enum16(3);
/// PolicyAccountDomainInformation.
pub const ACCOUNT_DOMAIN: Enum16 = Enum16(5);
/// PolicyLsaServerRoleInformation.
pub const SERVER_ROLE: Enum16 = Enum16(6);
/// PolicyDnsDomainInformation.
pub const DNS_DOMAIN: Enum16 = Enum16(12);
/// PolicyServerRolePrimary (MS-LSAD 2.2.4.9), which a server that is in no domain has.
pub const SERVER_ROLE_PRIMARY: Enum16 = Enum16(3);

ndr_struct! {
    /// LSAPR_POLICY_PRIMARY_DOM_INFO and LSAPR_POLICY_ACCOUNT_DOM_INFO (MS-LSAD 2.2.4.5, 2.2.4.6).
    PolicyDomainInfo {
        name: UnicodeString = "Name, DomainName",
        sid: Option<Sid> = "Sid, DomainSid",
    }
}

ndr_struct! {
    /// LSAPR_POLICY_DNS_DOMAIN_INFO (MS-LSAD 2.2.4.14).
    PolicyDnsDomainInfo {
        name: UnicodeString = "Name",
        dns_domain_name: UnicodeString = "DnsDomainName",
        dns_forest_name: UnicodeString = "DnsForestName",
        domain_guid: Uuid = "DomainGuid",
        sid: Option<Sid> = "Sid",
    }
}

/// LSAPR_POLICY_INFORMATION (MS-LSAD 2.2.4.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PolicyInformation {
    /// [`PRIMARY_DOMAIN`]: the domain or workgroup of the machine.
    PrimaryDomain(PolicyDomainInfo),
    /// [`ACCOUNT_DOMAIN`]: the machine as a domain of accounts.
    AccountDomain(PolicyDomainInfo),
    /// [`SERVER_ROLE`].
    ServerRole(Enum16),
    /// [`DNS_DOMAIN`].
    DnsDomain(PolicyDnsDomainInfo),
}

impl Parameter for PolicyInformation {
    fn write_whole(&self, to: &mut Writer) {
        let (class, domain) = match self {
            Self::PrimaryDomain(domain) => (PRIMARY_DOMAIN, domain),
            Self::AccountDomain(domain) => (ACCOUNT_DOMAIN, domain),
            Self::ServerRole(role) => {
                SERVER_ROLE.write_whole(to);
                return role.write_whole(to);
            }
            Self::DnsDomain(domain) => {
                DNS_DOMAIN.write_whole(to);
                return domain.write_whole(to);
            }
        };
        class.write_whole(to);
        domain.write_whole(to);
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        match Enum16::read(from)? {
            PRIMARY_DOMAIN => Parameter::read_whole(from).map(Self::PrimaryDomain),
            ACCOUNT_DOMAIN => Parameter::read_whole(from).map(Self::AccountDomain),
            SERVER_ROLE => Parameter::read_whole(from).map(Self::ServerRole),
            DNS_DOMAIN => Parameter::read_whole(from).map(Self::DnsDomain),
            Enum16(class) => Err(NdrError::Discriminant { level: 0, discriminant: class.into() }),
        }
    }
}

ndr_unique_parameter!(PolicyInformation);

ndr_call! {
    returns NtStatus;
    /// LsarQueryInformationPolicy (MS-LSAD 3.1.4.4.4): as [`QueryInformationPolicy2Request`].
    7 "LsarQueryInformationPolicy" QueryInformationPolicyRequest {
        handle: ContextHandle = "PolicyHandle",
        class: Enum16 = "InformationClass",
    } => QueryInformationPolicyResponse {
        information: Option<PolicyInformation> = "PolicyInformation",
    } refused |_| {
        information: None,
    }
}

ndr_call! {
    returns NtStatus;
    /// LsarQueryInformationPolicy2 (MS-LSAD 3.1.4.4.3): information of the policy.
    46 "LsarQueryInformationPolicy2" QueryInformationPolicy2Request {
        handle: ContextHandle = "PolicyHandle",
        class: Enum16 = "InformationClass",
    } => QueryInformationPolicy2Response {
        information: Option<PolicyInformation> = "PolicyInformation",
    } refused |_| {
        information: None,
    }
}

#[cfg(test)]
mod any {
    use super::{FirstCharacter, ObjectAttributes, PolicyInformation};
    use crate::entropy::{Any, Entropy};

    impl Any for ObjectAttributes {
        fn any(_: &mut Entropy<'_>) -> Self {
            Self
        }
    }

    impl Any for FirstCharacter {
        fn any(from: &mut Entropy<'_>) -> Self {
            Self(Any::any(from))
        }
    }

    impl Any for PolicyInformation {
        fn any(from: &mut Entropy<'_>) -> Self {
            match from.below(4) {
                0 => Self::PrimaryDomain(Any::any(from)),
                1 => Self::AccountDomain(Any::any(from)),
                2 => Self::ServerRole(Any::any(from)),
                _ => Self::DnsDomain(Any::any(from)),
            }
        }
    }
}
