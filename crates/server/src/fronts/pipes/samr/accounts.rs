//! Accounts in the form of MS-SAMR.

use auth::users::User;
use rpc::ndr::{OldLargeInteger, UnicodeString};
use rpc::samr::{
    DisplayUser, LogonHours, RidEnumeration, UserAllInformation, UserGeneralInformation, UserInformation,
    UserNameInformation, account_control,
};
use wire::{FileTime, NtStatus};

use super::of_error;
use crate::admin::{self, Caller};
use crate::core::server::Server;

/// DOMAIN_GROUP_RID_USERS (MS-SAMR 2.2.1.14): the group of all users.
pub(super) const DOMAIN_USERS: u32 = 513;

/// A time that never comes.
pub(super) const NEVER: OldLargeInteger = OldLargeInteger(i64::MAX);

/// An account with its RID in the machine's domain.
pub(super) struct Account {
    pub(super) rid: u32,
    pub(super) user: User,
}

/// All accounts, in the order of their RIDs.
pub(super) fn all(server: &Server, caller: &Caller) -> Result<Vec<Account>, NtStatus> {
    let users = admin::users(server, caller).map_err(of_error)?;
    let with_rid = |user| Some(Account { rid: rid(server, &user)?, user });
    let mut accounts: Vec<_> = users.into_iter().filter_map(with_rid).collect();
    accounts.sort_by_key(|account| account.rid);
    Ok(accounts)
}

/// An account, if the caller may read it.
pub(super) fn of_name(server: &Server, caller: &Caller, name: &str, rid: u32) -> Result<Account, NtStatus> {
    admin::user(server, caller, name).map(|user| Account { rid, user }).map_err(of_error)
}

/// The RID of an account in the machine's domain.
pub(super) fn rid(server: &Server, user: &User) -> Option<u32> {
    let domain = server.machine().sid();
    let rids = server.sids_of(user).into_iter().filter_map(|sid| sid.split_rid());
    rids.filter(|(of, rid)| *of == domain && *rid != DOMAIN_USERS).map(|(_, rid)| rid).next()
}

impl Account {
    /// `UserAccountControl` (MS-SAMR 2.2.1.12).
    pub(super) fn control(&self, server: &Server) -> u32 {
        let flags = [
            ('D', account_control::DISABLED),
            ('H', account_control::HOME_DIRECTORY_REQUIRED),
            ('N', account_control::PASSWORD_NOT_REQUIRED),
            ('U', account_control::NORMAL),
            ('I', account_control::INTERDOMAIN_TRUST),
            ('W', account_control::WORKSTATION_TRUST),
            ('S', account_control::SERVER_TRUST),
            ('X', account_control::DONT_EXPIRE_PASSWORD),
            ('L', account_control::AUTO_LOCKED),
        ];
        let set = flags.into_iter().filter(|(letter, _)| self.user.flags.contains(*letter));
        let control = set.fold(0, |control, (_, flag)| control | flag);
        match admin::guessed(server, &self.user.name).locked_until {
            Some(_) => control | account_control::AUTO_LOCKED,
            None => control,
        }
    }

    pub(super) fn enumerated(&self) -> RidEnumeration {
        RidEnumeration { rid: self.rid, name: self.name() }
    }

    pub(super) fn displayed(&self, server: &Server, index: u32) -> DisplayUser {
        DisplayUser {
            index,
            rid: self.rid,
            account_control: self.control(server),
            name: self.name(),
            ..DisplayUser::default()
        }
    }

    /// SAMPR_USER_INFO_BUFFER of a class; `None` if the class is unknown.
    pub(super) fn information(&self, server: &Server, class: u16) -> Option<UserInformation> {
        Some(match class {
            1 => UserInformation::General(UserGeneralInformation {
                user_name: self.name(),
                primary_group_id: DOMAIN_USERS,
                ..UserGeneralInformation::default()
            }),
            6 => UserInformation::Name(UserNameInformation {
                user_name: self.name(),
                ..UserNameInformation::default()
            }),
            7 => UserInformation::AccountName(self.name()),
            8 => UserInformation::FullName(UnicodeString::default()),
            9 => UserInformation::PrimaryGroup(DOMAIN_USERS),
            16 => UserInformation::Control(self.control(server)),
            21 => UserInformation::All(Box::new(self.everything(server))),
            _ => return None,
        })
    }

    fn everything(&self, server: &Server) -> UserAllInformation {
        let time = |at: FileTime| OldLargeInteger(i64::try_from(at.0).unwrap_or(i64::MAX));
        let must_change = self.user.must_change_password();
        // 0 says that the user must change it.
        let last_set = if must_change { OldLargeInteger(0) } else { time(self.user.last_change) };
        let password_expires = self.user.password_expires(server.password_age_max()).map_or(NEVER, time);
        let wrong = admin::guessed(server, &self.user.name).wrong;
        UserAllInformation {
            password_last_set: last_set,
            account_expires: self.user.rules.expires.map_or(NEVER, time),
            password_can_change: last_set,
            password_must_change: if must_change { last_set } else { password_expires },
            user_name: self.name(),
            // Hashes are not returned; `nt_password_present` shows if there is one.
            lm_owf_password: UnicodeString::absent(),
            nt_owf_password: UnicodeString::absent(),
            private_data: UnicodeString::absent(),
            user_id: self.rid,
            primary_group_id: DOMAIN_USERS,
            account_control: self.control(server),
            which_fields: WHICH_FIELDS,
            logon_hours: LogonHours(Some(self.user.rules.logon_hours.unwrap_or([0xff; 21]))),
            bad_password_count: u16::try_from(wrong).unwrap_or(u16::MAX),
            nt_password_present: u8::from(self.user.nt_hash.is_some()),
            ..UserAllInformation::default()
        }
    }

    fn name(&self) -> UnicodeString {
        self.user.name.as_str().into()
    }
}

/// `WhichFields` (MS-SAMR 2.2.1.8): all fields that may be read.
const WHICH_FIELDS: u32 = 0x00ff_ffff;
