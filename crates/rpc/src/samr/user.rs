//! Accounts (MS-SAMR 3.1.5.1.9, 3.1.5.5.6, 3.1.5.9.1).

use wire::NtStatus;

use super::UserDomainPasswordInformation;
use crate::ndr::{
    Container, ContextHandle, Enum16, Ndr, NdrError, OldLargeInteger, Reader, SizedBuffer, UnicodeString,
    Writer,
};

/// USER_READ_GENERAL (MS-SAMR 2.2.1.7).
pub const USER_READ_GENERAL: u32 = 0x0000_0001;
/// USER_READ_PREFERENCES.
pub const USER_READ_PREFERENCES: u32 = 0x0000_0002;
/// USER_READ_LOGON.
pub const USER_READ_LOGON: u32 = 0x0000_0008;
/// USER_READ_ACCOUNT.
pub const USER_READ_ACCOUNT: u32 = 0x0000_0010;
/// USER_CHANGE_PASSWORD.
pub const USER_CHANGE_PASSWORD: u32 = 0x0000_0040;
/// USER_LIST_GROUPS.
pub const USER_LIST_GROUPS: u32 = 0x0000_0100;
/// USER_READ_GROUP_INFORMATION.
pub const USER_READ_GROUP_INFORMATION: u32 = 0x0000_0200;

/// USER_ACCOUNT Codes (MS-SAMR 2.2.1.12).
pub mod account_control {
    /// USER_ACCOUNT_DISABLED.
    pub const DISABLED: u32 = 0x0000_0001;
    /// USER_HOME_DIRECTORY_REQUIRED.
    pub const HOME_DIRECTORY_REQUIRED: u32 = 0x0000_0002;
    /// USER_PASSWORD_NOT_REQUIRED.
    pub const PASSWORD_NOT_REQUIRED: u32 = 0x0000_0004;
    /// USER_NORMAL_ACCOUNT.
    pub const NORMAL: u32 = 0x0000_0010;
    /// USER_INTERDOMAIN_TRUST_ACCOUNT.
    pub const INTERDOMAIN_TRUST: u32 = 0x0000_0040;
    /// USER_WORKSTATION_TRUST_ACCOUNT.
    pub const WORKSTATION_TRUST: u32 = 0x0000_0080;
    /// USER_SERVER_TRUST_ACCOUNT.
    pub const SERVER_TRUST: u32 = 0x0000_0100;
    /// USER_DONT_EXPIRE_PASSWORD.
    pub const DONT_EXPIRE_PASSWORD: u32 = 0x0000_0200;
    /// USER_ACCOUNT_AUTO_LOCKED.
    pub const AUTO_LOCKED: u32 = 0x0000_0400;
}

ndr_call! {
    returns NtStatus;
    /// SamrOpenUser (MS-SAMR 3.1.5.1.9): a handle to an account.
    34 "SamrOpenUser" OpenUserRequest {
        handle: ContextHandle = "DomainHandle",
        desired_access: u32 = "DesiredAccess",
        rid: u32 = "UserId",
    } => OpenUserResponse {
        handle: ContextHandle = "UserHandle",
    } refused |_| {
        handle: ContextHandle::default(),
    }
}

/// SAMPR_LOGON_HOURS (MS-SAMR 2.2.6.5): a bit for each hour of the week; `None` if every hour is allowed.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct LogonHours(pub Option<[u8; 21]>);

/// Hours of a week.
const UNITS_PER_WEEK: u16 = 168;

/// Octets that the array could have, for minutes instead of hours.
const LOGON_OCTETS_MAX: u32 = 1260;

impl Ndr for LogonHours {
    const MIN: usize = 8;

    fn write(&self, to: &mut Writer) {
        to.align();
        to.u16(if self.0.is_some() { UNITS_PER_WEEK } else { 0 });
        to.pointer(self.0.is_some());
    }

    fn write_deferred(&self, to: &mut Writer) {
        if let Some(hours) = &self.0 {
            to.u32(LOGON_OCTETS_MAX);
            to.u32(0);
            to.count(hours.len());
            to.octets(hours);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        from.align();
        let _units = from.u16()?;
        Ok(Self(from.pointer()?.then_some([0; 21])))
    }

    fn read_deferred(&mut self, from: &mut Reader<'_>) -> Result<(), NdrError> {
        if let Some(hours) = &mut self.0 {
            let (_maximum, offset, count) = (from.u32()?, from.u32()?, from.u32()?);
            let octets = from.octets(count)?;
            *hours = <[u8; 21]>::try_from(octets).map_err(|_| NdrError::Varying)?;
            if offset != 0 {
                return Err(NdrError::Varying);
            }
        }
        Ok(())
    }
}

ndr_struct! {
    /// SAMPR_USER_ALL_INFORMATION (MS-SAMR 2.2.6.6). The fields of secrets are always empty in answers.
    UserAllInformation {
        last_logon: OldLargeInteger = "LastLogon",
        last_logoff: OldLargeInteger = "LastLogoff",
        password_last_set: OldLargeInteger = "PasswordLastSet",
        account_expires: OldLargeInteger = "AccountExpires",
        password_can_change: OldLargeInteger = "PasswordCanChange",
        password_must_change: OldLargeInteger = "PasswordMustChange",
        user_name: UnicodeString = "UserName",
        full_name: UnicodeString = "FullName",
        home_directory: UnicodeString = "HomeDirectory",
        home_directory_drive: UnicodeString = "HomeDirectoryDrive",
        script_path: UnicodeString = "ScriptPath",
        profile_path: UnicodeString = "ProfilePath",
        admin_comment: UnicodeString = "AdminComment",
        workstations: UnicodeString = "WorkStations",
        user_comment: UnicodeString = "UserComment",
        parameters: UnicodeString = "Parameters",
        lm_owf_password: UnicodeString = "LmOwfPassword",
        nt_owf_password: UnicodeString = "NtOwfPassword",
        private_data: UnicodeString = "PrivateData",
        security_descriptor: SizedBuffer = "SecurityDescriptor",
        user_id: u32 = "UserId",
        primary_group_id: u32 = "PrimaryGroupId",
        account_control: u32 = "UserAccountControl",
        which_fields: u32 = "WhichFields",
        logon_hours: LogonHours = "LogonHours",
        bad_password_count: u16 = "BadPasswordCount",
        logon_count: u16 = "LogonCount",
        country_code: u16 = "CountryCode",
        code_page: u16 = "CodePage",
        lm_password_present: u8 = "LmPasswordPresent",
        nt_password_present: u8 = "NtPasswordPresent",
        password_expired: u8 = "PasswordExpired",
        private_data_sensitive: u8 = "PrivateDataSensitive",
    }
}

ndr_struct! {
    /// SAMPR_USER_GENERAL_INFORMATION (MS-SAMR 2.2.6.7).
    UserGeneralInformation {
        user_name: UnicodeString = "UserName",
        full_name: UnicodeString = "FullName",
        primary_group_id: u32 = "PrimaryGroupId",
        admin_comment: UnicodeString = "AdminComment",
        user_comment: UnicodeString = "UserComment",
    }
}

ndr_struct! {
    /// SAMPR_USER_NAME_INFORMATION (MS-SAMR 2.2.6.16).
    UserNameInformation {
        user_name: UnicodeString = "UserName",
        full_name: UnicodeString = "FullName",
    }
}

samr_union! {
    /// SAMPR_USER_INFO_BUFFER (MS-SAMR 2.2.6.29).
    UserInformation {
        1 => General(UserGeneralInformation),
        6 => Name(UserNameInformation),
        7 => AccountName(UnicodeString),
        8 => FullName(UnicodeString),
        9 => PrimaryGroup(u32),
        16 => Control(u32),
        21 => All(Box<UserAllInformation>),
    }
}

impl Ndr for Box<UserAllInformation> {
    const MIN: usize = UserAllInformation::MIN;

    fn write(&self, to: &mut Writer) {
        (**self).write(to);
    }

    fn write_deferred(&self, to: &mut Writer) {
        (**self).write_deferred(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        Ndr::read(from).map(Box::new)
    }

    fn read_deferred(&mut self, from: &mut Reader<'_>) -> Result<(), NdrError> {
        (**self).read_deferred(from)
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrQueryInformationUser (MS-SAMR 3.1.5.5.6): as [`QueryInformationUser2Request`].
    36 "SamrQueryInformationUser" QueryInformationUserRequest {
        handle: ContextHandle = "UserHandle",
        class: Enum16 = "UserInformationClass",
    } => QueryInformationUserResponse {
        information: Option<UserInformation> = "Buffer",
    } refused |_| {
        information: None,
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrQueryInformationUser2 (MS-SAMR 3.1.5.5.5): information about an account.
    47 "SamrQueryInformationUser2" QueryInformationUser2Request {
        handle: ContextHandle = "UserHandle",
        class: Enum16 = "UserInformationClass",
    } => QueryInformationUser2Response {
        information: Option<UserInformation> = "Buffer",
    } refused |_| {
        information: None,
    }
}

ndr_struct! {
    /// GROUP_MEMBERSHIP (MS-SAMR 2.2.7.13).
    GroupMembership {
        rid: u32 = "RelativeId",
        attributes: u32 = "Attributes",
    }
}

/// SE_GROUP_MANDATORY, SE_GROUP_ENABLED_BY_DEFAULT and SE_GROUP_ENABLED (MS-SAMR 2.2.1.10).
pub const GROUP_ATTRIBUTES: u32 = 0x0000_0007;

ndr_call! {
    returns NtStatus;
    /// SamrGetGroupsForUser (MS-SAMR 3.1.5.9.1): which groups an account is in.
    39 "SamrGetGroupsForUser" GetGroupsForUserRequest {
        handle: ContextHandle = "UserHandle",
    } => GetGroupsForUserResponse {
        groups: Option<Container<GroupMembership>> = "Groups",
    } refused |_| {
        groups: None,
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrGetUserDomainPasswordInformation (MS-SAMR 3.1.5.13.3): the rules for the account's password.
    44 "SamrGetUserDomainPasswordInformation" GetUserDomainPasswordInformationRequest {
        handle: ContextHandle = "UserHandle",
    } => GetUserDomainPasswordInformationResponse {
        information: UserDomainPasswordInformation = "PasswordInformation",
    } refused |_| {
        information: UserDomainPasswordInformation::default(),
    }
}

#[cfg(test)]
mod any {
    use super::{LogonHours, UserAllInformation};
    use crate::entropy::{Any, Entropy};

    impl Any for LogonHours {
        fn any(from: &mut Entropy<'_>) -> Self {
            Self((from.octet() & 1 == 1).then(|| std::array::from_fn(|_| from.octet())))
        }
    }

    impl Any for Box<UserAllInformation> {
        fn any(from: &mut Entropy<'_>) -> Self {
            Self::new(Any::any(from))
        }
    }
}
