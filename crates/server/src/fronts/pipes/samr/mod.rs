//! MS-SAMR over the operations of administrators: the accounts, the local groups, and changes of passwords by their
//! users.

mod accounts;
mod alias_changes;
mod aliases;
mod domains;
mod objects;
mod passwords;

pub(super) use objects::Objects;

use auth::IdentityKind;
use rpc::Fault;
use rpc::ndr::{Container, ContextHandle, Enum16, SizedBuffer};
use rpc::samr::{
    ALIAS_LIST_MEMBERS, ALIAS_READ_INFORMATION, ChangePasswordUserResponse, CloseHandleResponse,
    Connect2Response, Connect4Response, Connect5Response, ConnectResponse, DOMAIN_GET_ALIAS_MEMBERSHIP,
    DOMAIN_LIST_ACCOUNTS, DOMAIN_LOOKUP, DOMAIN_READ_OTHER_PARAMETERS, DOMAIN_READ_PASSWORD_PARAMETERS,
    EnumerateAliasesResponse, EnumerateDomainsResponse, EnumerateGroupsResponse, EnumerateUsersResponse,
    GROUP_ATTRIBUTES, GetAliasMembershipResponse, GetDomainPasswordInformationResponse,
    GetGroupsForUserResponse, GetMembersInAliasResponse, GetUserDomainPasswordInformationResponse,
    GroupMembership, LookupDomainResponse, LookupIdsResponse, LookupNamesResponse, OpenAliasResponse,
    OpenDomainResponse, OpenUserResponse, PasswordChangeFailure, QueryDisplayInformation2Response,
    QueryDisplayInformation3Response, QueryDisplayInformationResponse, QueryInformationAliasResponse,
    QueryInformationDomain2Response, QueryInformationDomainResponse, QueryInformationUser2Response,
    QueryInformationUserResponse, QuerySecurityObjectResponse, Request, Response, RevisionInfo,
    RidEnumeration, RidToSidResponse, SAM_SERVER_ENUMERATE_DOMAINS, SAM_SERVER_LOOKUP_DOMAIN,
    SERVER_REVISION, USER_CHANGE_PASSWORD, USER_LIST_GROUPS, USER_READ_ACCOUNT, USER_READ_GENERAL,
    UnicodeChangePasswordUser2Response, UnicodeChangePasswordUser3Response,
    UnicodeChangePasswordUser4Response, UserInformation,
};
use wire::security::{Ace, AceFlags, Acl, SecurityDescriptor, Sid};
use wire::{AccessMask, NtStatus};

use super::{Called, Sealed};
use crate::admin::{self, Caller, Error, NotSet, Right};
use crate::core::server::Server;
use domains::{Display, ListPart};
use objects::{Domain, Object};

/// Executes a call: decodes the request's stub, and returns the response's stub.
pub(super) fn call(
    server: &Server,
    caller: &Caller,
    objects: &Objects,
    opnum: u16,
    stub: &[u8],
    sealed: Sealed,
) -> Result<Called, Fault> {
    let request = Request::decode(opnum, stub)?;
    check_stranger(caller, &request)?;
    if let Some(changed) = change(server, caller, objects, &request, sealed) {
        return Ok(changed);
    }
    let response = answer(server, caller, objects, &request);
    Ok(Called::Answer(response.unwrap_or_else(|status| request.refuse(status)).encode()))
}

/// Refuses calls of guests and anonymous callers, except the one by which Windows changes a password that its user
/// cannot log on with, because it has expired (MS-SAMR 3.1.5.10.3). That call reveals nothing, and requires the old
/// password like a logon; wrong ones are counted as in logons. Other calls that change passwords are answered as
/// unknown, so that clients which try them first continue with this one.
fn check_stranger(caller: &Caller, request: &Request) -> Result<(), Fault> {
    let is_stranger = caller.session_user.as_ref().is_some_and(|user| user.kind != IdentityKind::User);
    match request {
        _ if !is_stranger => Ok(()),
        Request::UnicodeChangePasswordUser2(_) => Ok(()),
        Request::UnicodeChangePasswordUser3(_)
        | Request::UnicodeChangePasswordUser4(_)
        | Request::OemChangePasswordUser2(_) => Err(Fault::OP_RANGE_ERROR),
        _ => Err(Fault::ACCESS_DENIED),
    }
}

/// Executes a call that changes a password. Returns `None` if it is another call.
fn change(
    server: &Server,
    caller: &Caller,
    objects: &Objects,
    request: &Request,
    sealed: Sealed,
) -> Option<Called> {
    let status = NtStatus::SUCCESS;
    let (set, done): (_, Response) = match request {
        Request::ChangePasswordUser(it) => {
            let name = objects.user(it.handle, USER_CHANGE_PASSWORD);
            let name = passwords::check_hashes(it).and(name);
            let name = match name {
                Ok((name, _)) => name,
                Err(status) => return Some(Called::Answer(request.refuse(status).encode())),
            };
            let set = passwords::by_hashes(server, caller, sealed, &name, it);
            (set, ChangePasswordUserResponse { status }.into())
        }
        Request::UnicodeChangePasswordUser2(it) => {
            let (new, verifier) = (it.new_with_old_nt.as_ref(), it.old_nt_with_new_nt.as_ref());
            let set = passwords::by_rc4(server, caller, &it.user_name.text, new, verifier);
            (set, UnicodeChangePasswordUser2Response { status }.into())
        }
        Request::UnicodeChangePasswordUser3(it) => {
            let (new, verifier) = (it.new_with_old_nt.as_ref(), it.old_nt_with_new_nt.as_ref());
            let set = passwords::by_rc4(server, caller, &it.user_name.text, new, verifier);
            (set, UnicodeChangePasswordUser3Response { policy: None, failure: None, status }.into())
        }
        Request::UnicodeChangePasswordUser4(it) => {
            let set = passwords::by_aes(server, caller, &it.user_name.text, &it.password);
            (set, UnicodeChangePasswordUser4Response { status }.into())
        }
        _ => return None,
    };
    Some(match set {
        Ok(()) => Called::Answer(done.encode()),
        Err(NotSet::NotYet(wait)) => Called::NotYet(wait, request.refuse(NtStatus::RETRY).encode()),
        Err(NotSet::Refused(error)) => {
            let refusal = refusal(server, request, error).encode();
            match error {
                Error::WrongPassword | Error::LockedOut => Called::DelayedLogon(refusal),
                _ => Called::Answer(refusal),
            }
        }
    })
}

fn refusal(server: &Server, request: &Request, error: Error) -> Response {
    let status = passwords::status(error);
    match request {
        // This call returns the rules for passwords.
        Request::UnicodeChangePasswordUser3(_) if status == NtStatus::PASSWORD_RESTRICTION => {
            let (policy, failure) = (Some(domains::policy(server)), Some(PasswordChangeFailure::default()));
            UnicodeChangePasswordUser3Response { policy, failure, status }.into()
        }
        _ => request.refuse(status),
    }
}

fn answer(
    server: &Server,
    caller: &Caller,
    objects: &Objects,
    request: &Request,
) -> Result<Response, NtStatus> {
    let status = NtStatus::SUCCESS;
    let connect = |desired| {
        admin::check(caller, Right::SeeServer).map_err(of_error)?;
        objects.open(caller, Object::Server, desired)
    };
    Ok(match request {
        Request::Connect(it) => ConnectResponse { handle: connect(it.desired_access)?, status }.into(),
        Request::Connect2(it) => Connect2Response { handle: connect(it.desired_access)?, status }.into(),
        Request::Connect4(it) => Connect4Response { handle: connect(it.desired_access)?, status }.into(),
        Request::Connect5(it) => {
            if let RevisionInfo::Unknown(_) = it.revision {
                return Err(NtStatus::NOT_SUPPORTED);
            }
            let revision = RevisionInfo::V1(SERVER_REVISION);
            Connect5Response { revision, handle: connect(it.desired_access)?, status }.into()
        }
        Request::CloseHandle(it) => {
            objects.close(it.handle)?;
            CloseHandleResponse { handle: ContextHandle::default(), status }.into()
        }
        Request::QuerySecurityObject(it) => {
            let object = objects.get(it.handle, AccessMask::READ_CONTROL.0)?;
            let descriptor = Some(SizedBuffer(Some(descriptor(server, &object)?)));
            QuerySecurityObjectResponse { descriptor, status }.into()
        }
        Request::EnumerateDomains(it) => {
            objects.server(it.handle, SAM_SERVER_ENUMERATE_DOMAINS)?;
            let domains =
                Domain::ALL.iter().map(|it| RidEnumeration { rid: 0, name: it.name(server).into() });
            let rest = usize::try_from(it.context).unwrap_or(usize::MAX);
            let found: Vec<_> = domains.skip(rest).collect();
            let count = admin::saturated(found.len());
            let context = it.context.saturating_add(count);
            EnumerateDomainsResponse { context, found: Some(Container(found)), count, status }.into()
        }
        Request::LookupDomain(it) => {
            objects.server(it.handle, SAM_SERVER_LOOKUP_DOMAIN)?;
            let is_meant = |domain: &Domain| domain.name(server).eq_ignore_ascii_case(&it.name.text);
            let domain = Domain::ALL.into_iter().find(is_meant).ok_or(NtStatus::NO_SUCH_DOMAIN)?;
            LookupDomainResponse { sid: Some(domain.sid(server)), status }.into()
        }
        Request::OpenDomain(it) => {
            objects.server(it.handle, SAM_SERVER_LOOKUP_DOMAIN)?;
            let is_meant = |domain: &Domain| domain.sid(server) == it.sid;
            let domain = Domain::ALL.into_iter().find(is_meant).ok_or(NtStatus::NO_SUCH_DOMAIN)?;
            let handle = objects.open(caller, Object::Domain(domain), it.desired_access)?;
            OpenDomainResponse { handle, status }.into()
        }
        Request::QueryInformationDomain(it) => {
            let domain = objects.domain(it.handle, access_to_read(it.class))?;
            let information = Some(domains::information(server, caller, domain, it.class)?);
            QueryInformationDomainResponse { information, status }.into()
        }
        Request::QueryInformationDomain2(it) => {
            let domain = objects.domain(it.handle, access_to_read(it.class))?;
            let information = Some(domains::information(server, caller, domain, it.class)?);
            QueryInformationDomain2Response { information, status }.into()
        }
        Request::EnumerateUsers(it) => {
            let all = match objects.domain(it.handle, DOMAIN_LIST_ACCOUNTS)? {
                Domain::Accounts => domains::users(server, caller, it.account_control)?,
                Domain::Builtin => Vec::new(),
            };
            let part = domains::part(all, it.context, it.preferred_maximum);
            let (count, context, status) = (admin::saturated(part.entries.len()), part.context, part.status);
            EnumerateUsersResponse { context, found: Some(Container(part.entries)), count, status }.into()
        }
        Request::EnumerateGroups(it) => {
            let all = domains::groups(objects.domain(it.handle, DOMAIN_LIST_ACCOUNTS)?);
            let part = domains::part(all, it.context, it.preferred_maximum);
            let (count, context, status) = (admin::saturated(part.entries.len()), part.context, part.status);
            EnumerateGroupsResponse { context, found: Some(Container(part.entries)), count, status }.into()
        }
        Request::EnumerateAliases(it) => {
            let all = aliases::aliases(server, objects.domain(it.handle, DOMAIN_LIST_ACCOUNTS)?);
            let part = domains::part(all, it.context, it.preferred_maximum);
            let (count, context, status) = (admin::saturated(part.entries.len()), part.context, part.status);
            EnumerateAliasesResponse { context, found: Some(Container(part.entries)), count, status }.into()
        }
        Request::GetAliasMembership(it) => {
            let domain = objects.domain(it.handle, DOMAIN_GET_ALIAS_MEMBERSHIP)?;
            let rids = Container(aliases::memberships(server, caller, domain, &it.sids.0)?);
            GetAliasMembershipResponse { rids, status }.into()
        }
        Request::LookupNames(it) => {
            let domain = objects.domain(it.handle, DOMAIN_LOOKUP)?;
            let (rids, kinds, status) = domains::rids_of(server, caller, domain, &it.names)?;
            LookupNamesResponse { rids: Container(rids), kinds: Container(kinds), status }.into()
        }
        Request::LookupIds(it) => {
            let domain = objects.domain(it.handle, DOMAIN_LOOKUP)?;
            let (names, kinds, status) = domains::names_of(server, caller, domain, &it.rids)?;
            LookupIdsResponse { names: Container(names), kinds: Container(kinds), status }.into()
        }
        Request::RidToSid(it) => {
            let domain = match objects.get(it.handle, 0)? {
                Object::Domain(domain) => domain,
                Object::User(..) => Domain::Accounts,
                Object::Alias(alias) => alias.domain(),
                Object::Server => return Err(NtStatus::OBJECT_TYPE_MISMATCH),
            };
            RidToSidResponse { sid: domains::sid_of(server, domain, it.rid), status }.into()
        }
        Request::OpenAlias(it) => {
            let domain = objects.domain(it.handle, DOMAIN_LOOKUP)?;
            let alias = aliases::with_rid(server, domain, it.rid)?;
            let handle = objects.open(caller, Object::Alias(alias), it.desired_access)?;
            OpenAliasResponse { handle, status }.into()
        }
        Request::QueryInformationAlias(it) => {
            let alias = objects.alias(it.handle, ALIAS_READ_INFORMATION)?;
            let information = aliases::information(server, caller, &alias, it.class)?;
            QueryInformationAliasResponse { information: Some(information), status }.into()
        }
        Request::CreateAlias(_)
        | Request::SetInformationAlias(_)
        | Request::DeleteAlias(_)
        | Request::AddMemberToAlias(_)
        | Request::RemoveMemberFromAlias(_) => {
            return alias_changes::change(server, caller, objects, request);
        }
        Request::GetMembersInAlias(it) => {
            let alias = objects.alias(it.handle, ALIAS_LIST_MEMBERS)?;
            let members = aliases::members(server, caller, &alias)?;
            GetMembersInAliasResponse { sids: Container(members.into_iter().map(Some).collect()), status }
                .into()
        }
        Request::OpenUser(it) => {
            let domain = objects.domain(it.handle, DOMAIN_LOOKUP)?;
            if domain != Domain::Accounts {
                return Err(NtStatus::NO_SUCH_USER);
            }
            let sid = domains::sid_of(server, domain, it.rid);
            let found = admin::names_of_sids(server, caller, [sid].into_iter()).map_err(of_error)?;
            let name =
                found.into_iter().flatten().find(|it| it.kind == crate::core::security::PrincipalKind::User);
            let name = name.ok_or(NtStatus::NO_SUCH_USER)?.name;
            let handle = objects.open(caller, Object::User(name, it.rid), it.desired_access)?;
            OpenUserResponse { handle, status }.into()
        }
        Request::QueryInformationUser(it) => {
            let information = Some(user_information(server, caller, objects, it.handle, it.class)?);
            QueryInformationUserResponse { information, status }.into()
        }
        Request::QueryInformationUser2(it) => {
            let information = Some(user_information(server, caller, objects, it.handle, it.class)?);
            QueryInformationUser2Response { information, status }.into()
        }
        Request::GetGroupsForUser(it) => {
            objects.user(it.handle, USER_LIST_GROUPS)?;
            let everybody = GroupMembership { rid: accounts::DOMAIN_USERS, attributes: GROUP_ATTRIBUTES };
            GetGroupsForUserResponse { groups: Some(Container(vec![everybody])), status }.into()
        }
        Request::GetUserDomainPasswordInformation(it) => {
            objects.user(it.handle, 0)?;
            let information = domains::password_information(server);
            GetUserDomainPasswordInformationResponse { information, status }.into()
        }
        Request::GetDomainPasswordInformation(_) => {
            let information = domains::password_information(server);
            GetDomainPasswordInformationResponse { information, status }.into()
        }
        Request::QueryDisplayInformation(it) => {
            let domain = objects.domain(it.handle, DOMAIN_LIST_ACCOUNTS)?;
            let part =
                ListPart { index: it.index, entries_max: it.entries_max, bytes_max: it.preferred_maximum };
            let Display { available, returned, information, status } =
                domains::display(server, caller, domain, it.class, part)?;
            QueryDisplayInformationResponse { available, returned, information, status }.into()
        }
        Request::QueryDisplayInformation2(it) => {
            let domain = objects.domain(it.handle, DOMAIN_LIST_ACCOUNTS)?;
            let part =
                ListPart { index: it.index, entries_max: it.entries_max, bytes_max: it.preferred_maximum };
            let Display { available, returned, information, status } =
                domains::display(server, caller, domain, it.class, part)?;
            QueryDisplayInformation2Response { available, returned, information, status }.into()
        }
        Request::QueryDisplayInformation3(it) => {
            let domain = objects.domain(it.handle, DOMAIN_LIST_ACCOUNTS)?;
            let part =
                ListPart { index: it.index, entries_max: it.entries_max, bytes_max: it.preferred_maximum };
            let Display { available, returned, information, status } =
                domains::display(server, caller, domain, it.class, part)?;
            QueryDisplayInformation3Response { available, returned, information, status }.into()
        }
        // There are no LM hashes, so no password is the right one (MS-SAMR 3.1.5.10.2).
        Request::OemChangePasswordUser2(_) => return Err(NtStatus::WRONG_PASSWORD),
        Request::ChangePasswordUser(_)
        | Request::UnicodeChangePasswordUser2(_)
        | Request::UnicodeChangePasswordUser3(_)
        | Request::UnicodeChangePasswordUser4(_) => return Err(NtStatus::INTERNAL_ERROR),
    })
}

fn user_information(
    server: &Server,
    caller: &Caller,
    objects: &Objects,
    handle: ContextHandle,
    Enum16(class): Enum16,
) -> Result<UserInformation, NtStatus> {
    let (name, rid) = objects.user(handle, USER_READ_GENERAL | USER_READ_ACCOUNT)?;
    let account = accounts::of_name(server, caller, &name, rid)?;
    account.information(server, class).ok_or(NtStatus::INVALID_INFO_CLASS)
}

/// The access that a class of a domain requires (MS-SAMR 3.1.5.5.1).
fn access_to_read(Enum16(class): Enum16) -> u32 {
    match class {
        1 | 12 => DOMAIN_READ_PASSWORD_PARAMETERS,
        11 => DOMAIN_READ_PASSWORD_PARAMETERS | DOMAIN_READ_OTHER_PARAMETERS,
        _ => DOMAIN_READ_OTHER_PARAMETERS,
    }
}

/// The descriptor that corresponds to [`Object::access_of`].
fn descriptor(server: &Server, object: &Object) -> Result<Vec<u8>, NtStatus> {
    let of = |caller: &Caller| AccessMask(object.access_of(caller));
    let administrator = Caller { administrator: true, ..Caller::default() };
    let mut aces = vec![
        Ace::allow(Sid::WORLD, of(&Caller::default()), AceFlags::NONE),
        Ace::allow(Sid::ADMINISTRATORS, of(&administrator), AceFlags::NONE),
    ];
    if let Object::User(name, rid) = object {
        let own = Caller { user: name.clone(), ..Caller::default() };
        aces.push(Ace::allow(Sid::of_domain(server.machine().0, *rid), of(&own), AceFlags::NONE));
    }
    let descriptor = SecurityDescriptor::new(Sid::ADMINISTRATORS, Sid::ADMINISTRATORS, Acl { aces });
    let mut bytes = Vec::new();
    descriptor.encode(&mut bytes).map_err(|_| NtStatus::INTERNAL_ERROR)?;
    Ok(bytes)
}

fn of_error(error: Error) -> NtStatus {
    match error {
        Error::AccessDenied => NtStatus::ACCESS_DENIED,
        Error::NoSuchUser => NtStatus::NO_SUCH_USER,
        Error::NoSuchGroup => NtStatus::NO_SUCH_ALIAS,
        Error::GroupExists => NtStatus::ALIAS_EXISTS,
        Error::UserExists => NtStatus::USER_EXISTS,
        Error::SpecialGroup => NtStatus::SPECIAL_ACCOUNT,
        Error::MemberInGroup => NtStatus::MEMBER_IN_ALIAS,
        Error::MemberNotInGroup => NtStatus::MEMBER_NOT_IN_ALIAS,
        Error::NoSuchMember => NtStatus::NO_SUCH_MEMBER,
        Error::InvalidMember => NtStatus::INVALID_MEMBER,
        Error::InvalidName => NtStatus::INVALID_ACCOUNT_NAME,
        Error::InvalidParameter => NtStatus::INVALID_PARAMETER,
        Error::TooMuch => NtStatus::INSUFFICIENT_RESOURCES,
        Error::NotSupported | Error::ConfigurationNotEditable => NtStatus::NOT_SUPPORTED,
        _ => NtStatus::INTERNAL_ERROR,
    }
}
