//! The objects that a client has opened on a pipe, and the access of its handles (MS-SAMR 3.1.1.10, 3.1.2.1).
//!
//! As in Windows since version 10 (RestrictRemoteSAM), only callers that may read the accounts can list them or get
//! information about others. Every user who has logged on can do what is needed to change the own password: find the
//! domain and a name in it.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use rpc::ndr::ContextHandle;
use rpc::samr::{
    ALIAS_LIST_MEMBERS, ALIAS_READ_INFORMATION, DOMAIN_GET_ALIAS_MEMBERSHIP, DOMAIN_LIST_ACCOUNTS,
    DOMAIN_LOOKUP, DOMAIN_READ_OTHER_PARAMETERS, DOMAIN_READ_PASSWORD_PARAMETERS, SAM_SERVER_CONNECT,
    SAM_SERVER_ENUMERATE_DOMAINS, SAM_SERVER_LOOKUP_DOMAIN, USER_CHANGE_PASSWORD, USER_LIST_GROUPS,
    USER_READ_ACCOUNT, USER_READ_GENERAL, USER_READ_GROUP_INFORMATION, USER_READ_LOGON,
    USER_READ_PREFERENCES,
};
use wire::security::Sid;
use wire::{AccessMask, NtStatus};

use super::aliases::Alias;
use crate::admin::{self, Caller, Right};
use crate::core::limits::SAM_HANDLES_MAX;
use crate::core::server::Server;

/// A domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Domain {
    /// The machine's accounts.
    Accounts,
    /// The local groups that every machine has.
    Builtin,
}

impl Domain {
    pub(super) const ALL: [Self; 2] = [Self::Accounts, Self::Builtin];

    pub(super) fn sid(self, server: &Server) -> Sid {
        match self {
            Self::Accounts => server.machine().sid(),
            Self::Builtin => Sid::of(5, [32]),
        }
    }

    pub(super) fn name(self, server: &Server) -> String {
        match self {
            Self::Accounts => server.settings().name.clone(),
            Self::Builtin => String::from("Builtin"),
        }
    }
}

/// The object of a handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Object {
    /// The server.
    Server,
    /// A domain.
    Domain(Domain),
    /// An account, by its name and RID.
    User(String, u32),
    /// A local group.
    Alias(Alias),
}

impl Object {
    /// The access that the caller may have.
    pub(super) fn access_of(&self, caller: &Caller) -> u32 {
        let reads = admin::may(caller, Right::ReadUsers);
        let access = match self {
            Self::Server => SAM_SERVER_CONNECT | SAM_SERVER_ENUMERATE_DOMAINS | SAM_SERVER_LOOKUP_DOMAIN,
            Self::Domain(_) if reads => {
                DOMAIN_READ_PASSWORD_PARAMETERS
                    | DOMAIN_READ_OTHER_PARAMETERS
                    | DOMAIN_GET_ALIAS_MEMBERSHIP
                    | DOMAIN_LIST_ACCOUNTS
                    | DOMAIN_LOOKUP
            }
            Self::Domain(_) => DOMAIN_READ_PASSWORD_PARAMETERS | DOMAIN_LOOKUP,
            Self::User(name, _) if reads || caller.is_called(name) => {
                USER_READ_GENERAL
                    | USER_READ_PREFERENCES
                    | USER_READ_LOGON
                    | USER_READ_ACCOUNT
                    | USER_CHANGE_PASSWORD
                    | USER_LIST_GROUPS
                    | USER_READ_GROUP_INFORMATION
            }
            Self::User(..) => USER_CHANGE_PASSWORD,
            Self::Alias(_) if reads => ALIAS_LIST_MEMBERS | ALIAS_READ_INFORMATION,
            Self::Alias(_) => return 0,
        };
        let all = if admin::may(caller, Right::ChangeSettings) { ADMINISTRATORS } else { 0 };
        access | all | AccessMask::READ_CONTROL.0
    }
}

/// The access that administrators get on request. The server does not support the calls that would use it.
const ADMINISTRATORS: u32 = 0x000f_07ff;

/// The handles that were opened on one pipe; they end with it.
#[derive(Debug, Default)]
pub(in crate::fronts::pipes) struct Objects(Mutex<HashMap<[u8; 16], (Object, u32)>>);

impl Objects {
    /// Opens a handle with the requested access. Fails if the caller may not have all of it.
    pub(super) fn open(
        &self,
        caller: &Caller,
        object: Object,
        desired: u32,
    ) -> Result<ContextHandle, NtStatus> {
        let may = object.access_of(caller);
        let granted = if desired & GENERIC != 0 { may } else { desired };
        if may == 0 || desired & !GENERIC & !may != 0 {
            return Err(NtStatus::ACCESS_DENIED);
        }
        let mut handle = ContextHandle::default();
        crate::core::random::fill(&mut handle.uuid).map_err(|_| NtStatus::INTERNAL_ERROR)?;
        let mut open = self.table();
        if open.len() >= SAM_HANDLES_MAX {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        open.insert(handle.uuid, (object, granted));
        Ok(handle)
    }

    /// The object of a handle, if the handle has this access.
    pub(super) fn get(&self, handle: ContextHandle, access: u32) -> Result<Object, NtStatus> {
        let (object, granted) = self.table().get(&handle.uuid).cloned().ok_or(NtStatus::INVALID_HANDLE)?;
        if granted & access == access { Ok(object) } else { Err(NtStatus::ACCESS_DENIED) }
    }

    /// Checks that the object of a handle is the server.
    pub(super) fn server(&self, handle: ContextHandle, access: u32) -> Result<(), NtStatus> {
        match self.get(handle, access)? {
            Object::Server => Ok(()),
            _ => Err(NtStatus::OBJECT_TYPE_MISMATCH),
        }
    }

    /// The domain of a handle.
    pub(super) fn domain(&self, handle: ContextHandle, access: u32) -> Result<Domain, NtStatus> {
        match self.get(handle, access)? {
            Object::Domain(domain) => Ok(domain),
            _ => Err(NtStatus::OBJECT_TYPE_MISMATCH),
        }
    }

    /// The name and RID of the account of a handle.
    pub(super) fn user(&self, handle: ContextHandle, access: u32) -> Result<(String, u32), NtStatus> {
        match self.get(handle, access)? {
            Object::User(name, rid) => Ok((name, rid)),
            _ => Err(NtStatus::OBJECT_TYPE_MISMATCH),
        }
    }

    /// The local group of a handle.
    pub(super) fn alias(&self, handle: ContextHandle, access: u32) -> Result<Alias, NtStatus> {
        match self.get(handle, access)? {
            Object::Alias(alias) => Ok(alias),
            _ => Err(NtStatus::OBJECT_TYPE_MISMATCH),
        }
    }

    /// Closes a handle.
    pub(super) fn close(&self, handle: ContextHandle) -> Result<(), NtStatus> {
        self.table().remove(&handle.uuid).map(|_| ()).ok_or(NtStatus::INVALID_HANDLE)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<[u8; 16], (Object, u32)>> {
        self.0.lock()
    }
}

/// A request with one of these bits gets all access that the caller may have.
const GENERIC: u32 = AccessMask::MAXIMUM_ALLOWED.0
    | AccessMask::GENERIC_READ.0
    | AccessMask::GENERIC_WRITE.0
    | AccessMask::GENERIC_EXECUTE.0
    | AccessMask::GENERIC_ALL.0;
