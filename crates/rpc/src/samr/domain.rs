//! Information about a domain, and its accounts (MS-SAMR 3.1.5.2, 3.1.5.3, 3.1.5.5.1, 3.1.5.11).

use wire::NtStatus;
use wire::security::Sid;

use super::RidEnumeration;
use crate::ndr::{
    Container, ContextHandle, Enum16, Ndr, NdrError, OldLargeInteger, Parameter, Reader, UnicodeString,
    VaryingArray, Writer,
};

/// DOMAIN_READ_PASSWORD_PARAMETERS (MS-SAMR 2.2.1.4).
pub const DOMAIN_READ_PASSWORD_PARAMETERS: u32 = 0x0000_0001;
/// DOMAIN_READ_OTHER_PARAMETERS.
pub const DOMAIN_READ_OTHER_PARAMETERS: u32 = 0x0000_0004;
/// DOMAIN_CREATE_ALIAS.
pub const DOMAIN_CREATE_ALIAS: u32 = 0x0000_0040;
/// DOMAIN_GET_ALIAS_MEMBERSHIP.
pub const DOMAIN_GET_ALIAS_MEMBERSHIP: u32 = 0x0000_0080;
/// DOMAIN_LIST_ACCOUNTS.
pub const DOMAIN_LIST_ACCOUNTS: u32 = 0x0000_0100;
/// DOMAIN_LOOKUP.
pub const DOMAIN_LOOKUP: u32 = 0x0000_0200;

/// DomainServerPrimary (MS-SAMR 2.2.3.9), which a machine that is in no domain is.
pub const DOMAIN_SERVER_PRIMARY: u16 = 3;
/// DomainServerEnabled (MS-SAMR 2.2.3.8).
pub const DOMAIN_SERVER_ENABLED: u16 = 1;

ndr_struct! {
    /// DOMAIN_PASSWORD_INFORMATION (MS-SAMR 2.2.3.5): the rules for passwords.
    DomainPasswordInformation {
        length_min: u16 = "MinPasswordLength",
        history: u16 = "PasswordHistoryLength",
        properties: u32 = "PasswordProperties",
        age_max: OldLargeInteger = "MaxPasswordAge",
        age_min: OldLargeInteger = "MinPasswordAge",
    }
}

ndr_struct! {
    /// SAMPR_DOMAIN_GENERAL_INFORMATION (MS-SAMR 2.2.3.10).
    DomainGeneralInformation {
        force_logoff: OldLargeInteger = "ForceLogoff",
        oem_information: UnicodeString = "OemInformation",
        name: UnicodeString = "DomainName",
        replica_source: UnicodeString = "ReplicaSourceNodeName",
        modified_count: OldLargeInteger = "DomainModifiedCount",
        state: u32 = "DomainServerState",
        role: u32 = "DomainServerRole",
        uas_compatible: u8 = "UasCompatibilityRequired",
        users: u32 = "UserCount",
        groups: u32 = "GroupCount",
        aliases: u32 = "AliasCount",
    }
}

ndr_struct! {
    /// SAMPR_DOMAIN_GENERAL_INFORMATION2 (MS-SAMR 2.2.3.11).
    DomainGeneralInformation2 {
        general: DomainGeneralInformation = "I1",
        lockout: DomainLockoutInformation = "LockoutDuration, LockoutObservationWindow, LockoutThreshold",
    }
}

ndr_struct! {
    /// SAMPR_DOMAIN_LOCKOUT_INFORMATION (MS-SAMR 2.2.3.15): times as negative counts of 100 nanoseconds.
    DomainLockoutInformation {
        duration: OldLargeInteger = "LockoutDuration",
        window: OldLargeInteger = "LockoutObservationWindow",
        threshold: u16 = "LockoutThreshold",
    }
}

ndr_struct! {
    /// DOMAIN_MODIFIED_INFORMATION (MS-SAMR 2.2.3.13).
    DomainModifiedInformation {
        modified_count: OldLargeInteger = "DomainModifiedCount",
        created: OldLargeInteger = "CreationTime",
    }
}

samr_union! {
    /// SAMPR_DOMAIN_INFO_BUFFER (MS-SAMR 2.2.3.17).
    DomainInformation {
        1 => Password(DomainPasswordInformation),
        2 => General(DomainGeneralInformation),
        3 => Logoff(OldLargeInteger),
        5 => Name(UnicodeString),
        7 => ServerRole(Enum16),
        8 => Modified(DomainModifiedInformation),
        9 => State(Enum16),
        11 => General2(DomainGeneralInformation2),
        12 => Lockout(DomainLockoutInformation),
    }
}

ndr_struct! {
    /// USER_DOMAIN_PASSWORD_INFORMATION (MS-SAMR 2.2.3.16).
    UserDomainPasswordInformation {
        length_min: u16 = "MinPasswordLength",
        properties: u32 = "PasswordProperties",
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrQueryInformationDomain (MS-SAMR 3.1.5.5.2): as [`QueryInformationDomain2Request`].
    8 "SamrQueryInformationDomain" QueryInformationDomainRequest {
        handle: ContextHandle = "DomainHandle",
        class: Enum16 = "DomainInformationClass",
    } => QueryInformationDomainResponse {
        information: Option<DomainInformation> = "Buffer",
    } refused |_| {
        information: None,
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrQueryInformationDomain2 (MS-SAMR 3.1.5.5.1): information about a domain.
    46 "SamrQueryInformationDomain2" QueryInformationDomain2Request {
        handle: ContextHandle = "DomainHandle",
        class: Enum16 = "DomainInformationClass",
    } => QueryInformationDomain2Response {
        information: Option<DomainInformation> = "Buffer",
    } refused |_| {
        information: None,
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrGetDomainPasswordInformation (MS-SAMR 3.1.5.13.4): the rules for passwords, without a handle.
    56 "SamrGetDomainPasswordInformation" GetDomainPasswordInformationRequest {
        unused: Option<UnicodeString> = "Unused",
    } => GetDomainPasswordInformationResponse {
        information: UserDomainPasswordInformation = "PasswordInformation",
    } refused |_| {
        information: UserDomainPasswordInformation::default(),
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrEnumerateGroupsInDomain (MS-SAMR 3.1.5.2.2): which groups there are.
    11 "SamrEnumerateGroupsInDomain" EnumerateGroupsRequest {
        handle: ContextHandle = "DomainHandle",
        context: u32 = "EnumerationContext",
        preferred_maximum: u32 = "PreferedMaximumLength",
    } => EnumerateGroupsResponse {
        context: u32 = "EnumerationContext",
        found: Option<Container<RidEnumeration>> = "Buffer",
        count: u32 = "CountReturned",
    } refused |request| {
        context: request.context,
        found: None,
        count: 0,
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrEnumerateUsersInDomain (MS-SAMR 3.1.5.2.5): which users there are.
    13 "SamrEnumerateUsersInDomain" EnumerateUsersRequest {
        handle: ContextHandle = "DomainHandle",
        context: u32 = "EnumerationContext",
        account_control: u32 = "UserAccountControl",
        preferred_maximum: u32 = "PreferedMaximumLength",
    } => EnumerateUsersResponse {
        context: u32 = "EnumerationContext",
        found: Option<Container<RidEnumeration>> = "Buffer",
        count: u32 = "CountReturned",
    } refused |request| {
        context: request.context,
        found: None,
        count: 0,
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrLookupNamesInDomain (MS-SAMR 3.1.5.11.2): which RIDs have these names.
    17 "SamrLookupNamesInDomain" LookupNamesRequest {
        handle: ContextHandle = "DomainHandle",
        names: VaryingArray<UnicodeString> = "Count, Names",
    } => LookupNamesResponse {
        rids: Container<u32> = "RelativeIds",
        kinds: Container<u32> = "Use",
    } refused |_| {
        rids: Container(Vec::new()),
        kinds: Container(Vec::new()),
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrLookupIdsInDomain (MS-SAMR 3.1.5.11.3): which names have these RIDs.
    18 "SamrLookupIdsInDomain" LookupIdsRequest {
        handle: ContextHandle = "DomainHandle",
        rids: VaryingArray<u32> = "Count, RelativeIds",
    } => LookupIdsResponse {
        names: Container<UnicodeString> = "Names",
        kinds: Container<u32> = "Use",
    } refused |_| {
        names: Container(Vec::new()),
        kinds: Container(Vec::new()),
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrRidToSid (MS-SAMR 3.1.5.11.4): the whole SID of a RID.
    65 "SamrRidToSid" RidToSidRequest {
        handle: ContextHandle = "ObjectHandle",
        rid: u32 = "Rid",
    } => RidToSidResponse {
        sid: Option<Sid> = "Sid",
    } refused |_| {
        sid: None,
    }
}

ndr_struct! {
    /// SAMPR_DOMAIN_DISPLAY_USER (MS-SAMR 2.2.8.2).
    DisplayUser {
        index: u32 = "Index",
        rid: u32 = "Rid",
        account_control: u32 = "AccountControl",
        name: UnicodeString = "AccountName",
        comment: UnicodeString = "AdminComment",
        full_name: UnicodeString = "FullName",
    }
}

ndr_struct! {
    /// SAMPR_DOMAIN_DISPLAY_MACHINE and SAMPR_DOMAIN_DISPLAY_GROUP (MS-SAMR 2.2.8.3, 2.2.8.4).
    DisplayOther {
        index: u32 = "Index",
        rid: u32 = "Rid",
        flags: u32 = "AccountControl, Attributes",
        name: UnicodeString = "AccountName",
        comment: UnicodeString = "AdminComment",
    }
}

/// SAMPR_DISPLAY_INFO_BUFFER (MS-SAMR 2.2.8.12).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DisplayInformation {
    /// DomainDisplayUser.
    Users(Container<DisplayUser>),
    /// DomainDisplayMachine.
    Machines(Container<DisplayOther>),
    /// DomainDisplayGroup.
    Groups(Container<DisplayOther>),
    /// A class that is not known, and nothing of it.
    Absent(Enum16),
}

impl DisplayInformation {
    /// DomainDisplayUser (MS-SAMR 2.2.8.1).
    pub const USERS: Enum16 = Enum16(1);
    /// DomainDisplayMachine.
    pub const MACHINES: Enum16 = Enum16(2);
    /// DomainDisplayGroup.
    pub const GROUPS: Enum16 = Enum16(3);

    /// An empty list of a class.
    pub fn empty(class: Enum16) -> Self {
        match class {
            Self::USERS => Self::Users(Container(Vec::new())),
            Self::MACHINES => Self::Machines(Container(Vec::new())),
            Self::GROUPS => Self::Groups(Container(Vec::new())),
            other => Self::Absent(other),
        }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        match self {
            Self::Users(all) => all.0.len(),
            Self::Machines(all) | Self::Groups(all) => all.0.len(),
            Self::Absent(_) => 0,
        }
    }

    /// True if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Parameter for DisplayInformation {
    fn write_whole(&self, to: &mut Writer) {
        let class = match self {
            Self::Users(_) => Self::USERS,
            Self::Machines(_) => Self::MACHINES,
            Self::Groups(_) => Self::GROUPS,
            Self::Absent(class) => *class,
        };
        class.write(to);
        match self {
            Self::Users(all) => all.write_whole(to),
            Self::Machines(all) | Self::Groups(all) => all.write_whole(to),
            // All classes are lists: a number of entries, and a pointer.
            Self::Absent(_) => {
                to.u32(0);
                to.pointer(false);
            }
        }
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        Ok(match Enum16::read(from)? {
            Self::USERS => Self::Users(Parameter::read_whole(from)?),
            Self::MACHINES => Self::Machines(Parameter::read_whole(from)?),
            Self::GROUPS => Self::Groups(Parameter::read_whole(from)?),
            other => {
                let (_count, present) = (from.u32()?, from.pointer()?);
                if present {
                    from.lose_way();
                }
                Self::Absent(other)
            }
        })
    }
}

/// Declares one of the three calls that show accounts; they differ in nothing but the classes they began with.
macro_rules! query_display {
    ($opnum:literal $name:literal $section:literal $request:ident $response:ident) => {
        ndr_call! {
            returns NtStatus;
            #[doc = concat!($name, " (MS-SAMR ", $section, "): accounts as a window lists them.")]
            $opnum $name $request {
                handle: ContextHandle = "DomainHandle",
                class: Enum16 = "DisplayInformationClass",
                index: u32 = "Index",
                entries_max: u32 = "EntryCount",
                preferred_maximum: u32 = "PreferredMaximumLength",
            } => $response {
                available: u32 = "TotalAvailable",
                returned: u32 = "TotalReturned",
                information: DisplayInformation = "Buffer",
            } refused |request| {
                available: 0,
                returned: 0,
                information: DisplayInformation::empty(request.class),
            }
        }
    };
}

query_display!(
    40 "SamrQueryDisplayInformation" "3.1.5.3.3"
    QueryDisplayInformationRequest QueryDisplayInformationResponse
);
query_display!(
    48 "SamrQueryDisplayInformation2" "3.1.5.3.2"
    QueryDisplayInformation2Request QueryDisplayInformation2Response
);
query_display!(
    51 "SamrQueryDisplayInformation3" "3.1.5.3.1"
    QueryDisplayInformation3Request QueryDisplayInformation3Response
);

#[cfg(test)]
mod any {
    use super::DisplayInformation;
    use crate::entropy::{Any, Entropy};
    use crate::ndr::Enum16;

    impl Any for DisplayInformation {
        fn any(from: &mut Entropy<'_>) -> Self {
            match from.below(4) {
                0 => Self::Users(Any::any(from)),
                1 => Self::Machines(Any::any(from)),
                2 => Self::Groups(Any::any(from)),
                _ => Self::Absent(Enum16(4)),
            }
        }
    }
}
