//! MS-LSAT and MS-LSAD over the operations of administrators: names to SIDs and back, and the names of the machine.

use std::collections::HashSet;

use parking_lot::{Mutex, MutexGuard};
use rpc::Fault;
use rpc::lsarpc::{
    ACCOUNT_DOMAIN, CloseResponse, DNS_DOMAIN, GetUserNameRequest, GetUserNameResponse, LookupNames2Response,
    LookupNames3Response, LookupNamesResponse, LookupSids2Response, LookupSidsResponse, NO_DOMAIN,
    OpenPolicy2Response, OpenPolicy3Response, OpenPolicyResponse, POLICY_LOOKUP_NAMES,
    POLICY_VIEW_LOCAL_INFORMATION, PRIMARY_DOMAIN, PolicyDnsDomainInfo, PolicyDomainInfo, PolicyInformation,
    QueryInformationPolicy2Response, QueryInformationPolicyResponse, ReferencedDomainList, Request, Response,
    RevisionInfo, SERVER_ROLE, SERVER_ROLE_PRIMARY, SidInformation, TranslatedName, TranslatedNameEx,
    TranslatedSid, TranslatedSidEx, TranslatedSidEx2, TrustInformation, sid_name_use,
};
use rpc::ndr::{Container, ContextHandle, Enum16, UnicodeString};
use wire::security::{Sid, WellKnown};
use wire::{AccessMask, NtStatus};

use crate::admin::{self, Caller, Error, Right, check};
use crate::core::limits::{LOOKUP_NAMES_MAX, LOOKUP_SIDS_MAX, POLICY_HANDLES_MAX};
use crate::core::security::{Principal, PrincipalKind};
use crate::core::server::Server;

/// The policy handles that were opened on one pipe; they end with it.
#[derive(Debug, Default)]
pub(super) struct Policies(Mutex<HashSet<[u8; 16]>>);

/// Executes a call: decodes the request's stub, and returns the response's stub.
pub(super) fn call(
    server: &Server,
    caller: &Caller,
    policies: &Policies,
    opnum: u16,
    stub: &[u8],
) -> Result<Vec<u8>, Fault> {
    let request = Request::decode(opnum, stub)?;
    let response = answer(server, caller, policies, &request);
    Ok(response.unwrap_or_else(|status| request.refuse(status)).encode())
}

fn answer(
    server: &Server,
    caller: &Caller,
    policies: &Policies,
    request: &Request,
) -> Result<Response, NtStatus> {
    Ok(match request {
        Request::OpenPolicy(it) => {
            let handle = policies.open(caller, it.desired_access)?;
            OpenPolicyResponse { handle, status: NtStatus::SUCCESS }.into()
        }
        Request::OpenPolicy2(it) => {
            let handle = policies.open(caller, it.desired_access)?;
            OpenPolicy2Response { handle, status: NtStatus::SUCCESS }.into()
        }
        Request::OpenPolicy3(it) => {
            if let RevisionInfo::Unknown(_) = it.revision {
                return Err(NtStatus::NOT_SUPPORTED);
            }
            let handle = policies.open(caller, it.desired_access)?;
            let revision = RevisionInfo::default();
            OpenPolicy3Response { revision, handle, status: NtStatus::SUCCESS }.into()
        }
        Request::Close(it) => {
            policies.close(it.handle)?;
            CloseResponse { handle: ContextHandle::default(), status: NtStatus::SUCCESS }.into()
        }
        Request::QueryInformationPolicy(it) => {
            policies.check(it.handle)?;
            let information = Some(information(server, caller, it.class)?);
            QueryInformationPolicyResponse { information, status: NtStatus::SUCCESS }.into()
        }
        Request::QueryInformationPolicy2(it) => {
            policies.check(it.handle)?;
            let information = Some(information(server, caller, it.class)?);
            QueryInformationPolicy2Response { information, status: NtStatus::SUCCESS }.into()
        }
        Request::LookupSids(it) => {
            policies.check(it.handle)?;
            let found = Found::of_sids(server, caller, &it.sids.0)?;
            let names = found.zip(&it.sids.0, |kind, name, domain, _| TranslatedName { kind, name, domain });
            let (domains, mapped_count, status) = found.parts();
            LookupSidsResponse { domains, names, mapped_count, status }.into()
        }
        Request::LookupSids2(it) => {
            policies.check(it.handle)?;
            let found = Found::of_sids(server, caller, &it.sids.0)?;
            let entry = |kind, name, domain, _| TranslatedNameEx { kind, name, domain, flags: 0 };
            let names = found.zip(&it.sids.0, entry);
            let (domains, mapped_count, status) = found.parts();
            LookupSids2Response { domains, names, mapped_count, status }.into()
        }
        Request::LookupNames(it) => {
            policies.check(it.handle)?;
            let found = Found::of_names(server, caller, &it.names.0)?;
            let sids = found.map(|kind, domain, sid| TranslatedSid { kind, rid: rid(kind, sid), domain });
            let (domains, mapped_count, status) = found.parts();
            LookupNamesResponse { domains, sids, mapped_count, status }.into()
        }
        Request::LookupNames2(it) => {
            policies.check(it.handle)?;
            let found = Found::of_names(server, caller, &it.names.0)?;
            let entry = |kind, domain, sid| TranslatedSidEx { kind, rid: rid(kind, sid), domain, flags: 0 };
            let sids = found.map(entry);
            let (domains, mapped_count, status) = found.parts();
            LookupNames2Response { domains, sids, mapped_count, status }.into()
        }
        Request::LookupNames3(it) => {
            policies.check(it.handle)?;
            let found = Found::of_names(server, caller, &it.names.0)?;
            let sids = found.map(|kind, domain, sid| TranslatedSidEx2 { kind, sid, domain, flags: 0 });
            let (domains, mapped_count, status) = found.parts();
            LookupNames3Response { domains, sids, mapped_count, status }.into()
        }
        Request::GetUserName(it) => user_name(server, caller, it)?.into(),
    })
}

impl Policies {
    /// Opens a handle for a user who has logged on. Only administrators may open it for changes.
    fn open(&self, caller: &Caller, desired: u32) -> Result<ContextHandle, NtStatus> {
        check(caller, Right::SeeServer).map_err(of_error)?;
        if !admin::may(caller, Right::ChangeSettings) && desired & !LOOKING != 0 {
            return Err(NtStatus::ACCESS_DENIED);
        }
        let mut handle = ContextHandle::default();
        crate::core::random::fill(&mut handle.uuid).map_err(|_| NtStatus::INTERNAL_ERROR)?;
        let mut open = self.handles();
        if open.len() >= POLICY_HANDLES_MAX {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        open.insert(handle.uuid);
        Ok(handle)
    }

    fn check(&self, handle: ContextHandle) -> Result<(), NtStatus> {
        if self.handles().contains(&handle.uuid) { Ok(()) } else { Err(NtStatus::INVALID_HANDLE) }
    }

    fn close(&self, handle: ContextHandle) -> Result<(), NtStatus> {
        if self.handles().remove(&handle.uuid) { Ok(()) } else { Err(NtStatus::INVALID_HANDLE) }
    }

    fn handles(&self) -> MutexGuard<'_, HashSet<[u8; 16]>> {
        self.0.lock()
    }
}

/// The results of a lookup in the order of the request, and their domains.
struct Found {
    principals: Vec<Option<Principal>>,
    domains: Vec<(String, Sid)>,
}

impl Found {
    fn of_sids(server: &Server, caller: &Caller, sids: &[SidInformation]) -> Result<Self, NtStatus> {
        if sids.len() > LOOKUP_SIDS_MAX {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        admin::names_of_sids(server, caller, sids.iter().copied()).map(Self::new).map_err(of_error)
    }

    fn of_names(server: &Server, caller: &Caller, names: &[UnicodeString]) -> Result<Self, NtStatus> {
        if names.len() > LOOKUP_NAMES_MAX {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let names = names.iter().map(|name| name.text.as_str());
        admin::sids_of_names(server, caller, names).map(Self::new).map_err(of_error)
    }

    fn new(principals: Vec<Option<Principal>>) -> Self {
        let mut domains = Vec::new();
        for principal in principals.iter().flatten() {
            let domain = (principal.domain.clone(), principal.domain_sid);
            if !domains.contains(&domain) {
                domains.push(domain);
            }
        }
        Self { principals, domains }
    }

    /// An entry for each requested SID. The name of an unknown SID is its text (MS-LSAT 3.1.4.9).
    fn zip<T>(
        &self,
        sids: &[SidInformation],
        entry: impl Fn(Enum16, UnicodeString, u32, SidInformation) -> T,
    ) -> Container<T> {
        let all = self.principals.iter().zip(sids).map(|(found, sid)| match found {
            Some(it) => entry(kind(it.kind), it.name.as_str().into(), self.domain(it), *sid),
            None => {
                let name = sid.map(|sid| sid.to_string()).unwrap_or_default();
                entry(sid_name_use::UNKNOWN, name.into(), NO_DOMAIN, *sid)
            }
        });
        Container(all.collect())
    }

    /// An entry for each requested name.
    fn map<T>(&self, entry: impl Fn(Enum16, u32, SidInformation) -> T) -> Container<T> {
        let all = self.principals.iter().map(|found| match found {
            Some(it) => entry(kind(it.kind), self.domain(it), Some(it.sid)),
            None => entry(sid_name_use::UNKNOWN, NO_DOMAIN, None),
        });
        Container(all.collect())
    }

    fn domain(&self, principal: &Principal) -> u32 {
        let is_its = |(name, sid): &(String, Sid)| (name, *sid) == (&principal.domain, principal.domain_sid);
        let place = self.domains.iter().position(is_its);
        place.and_then(|place| u32::try_from(place).ok()).unwrap_or(NO_DOMAIN)
    }

    fn parts(&self) -> (Option<ReferencedDomainList>, u32, NtStatus) {
        let domains = self.domains.iter();
        let domains =
            domains.map(|(name, sid)| TrustInformation { name: name.as_str().into(), sid: Some(*sid) });
        let mapped = self.principals.iter().flatten().count();
        let status = match mapped {
            all if all == self.principals.len() => NtStatus::SUCCESS,
            0 => NtStatus::NONE_MAPPED,
            _ => NtStatus::SOME_NOT_MAPPED,
        };
        let list = ReferencedDomainList { domains: domains.collect() };
        (Some(list), u32::try_from(mapped).unwrap_or(u32::MAX), status)
    }
}

fn kind(kind: PrincipalKind) -> Enum16 {
    match kind {
        PrincipalKind::Alias => sid_name_use::ALIAS,
        PrincipalKind::Domain => sid_name_use::DOMAIN,
        PrincipalKind::Group => sid_name_use::GROUP,
        PrincipalKind::User => sid_name_use::USER,
        PrincipalKind::WellKnownGroup => sid_name_use::WELL_KNOWN_GROUP,
    }
}

/// `RelativeId`; all ones for a domain and for an unknown name (MS-LSAT 2.2.13).
fn rid(kind: Enum16, sid: SidInformation) -> u32 {
    let rid = sid.filter(|_| kind != sid_name_use::DOMAIN).and_then(|sid| sid.split_rid());
    rid.map_or(u32::MAX, |(_, rid)| rid)
}

/// Information about the machine as a domain of accounts, and about the domain that it is a member of.
fn information(server: &Server, caller: &Caller, class: Enum16) -> Result<PolicyInformation, NtStatus> {
    check(caller, Right::SeeServer).map_err(of_error)?;
    let name = || UnicodeString::from(server.settings().name.clone());
    let domain = server.domain();
    Ok(match class {
        PRIMARY_DOMAIN => {
            let (name, sid) = match &domain {
                Some(domain) => (domain.settings.name.as_str().into(), domain.sid()),
                None => (name(), None),
            };
            PolicyInformation::PrimaryDomain(PolicyDomainInfo { name, sid })
        }
        ACCOUNT_DOMAIN => {
            let sid = Some(server.machine().sid());
            PolicyInformation::AccountDomain(PolicyDomainInfo { name: name(), sid })
        }
        SERVER_ROLE => PolicyInformation::ServerRole(SERVER_ROLE_PRIMARY),
        DNS_DOMAIN => PolicyInformation::DnsDomain(match &domain {
            Some(domain) => PolicyDnsDomainInfo {
                name: domain.settings.name.as_str().into(),
                dns_domain_name: domain.settings.realm.to_ascii_lowercase().into(),
                sid: domain.sid(),
                ..PolicyDnsDomainInfo::default()
            },
            None => PolicyDnsDomainInfo { name: name(), ..PolicyDnsDomainInfo::default() },
        }),
        _ => return Err(NtStatus::INVALID_PARAMETER),
    })
}

fn user_name(
    server: &Server,
    caller: &Caller,
    request: &GetUserNameRequest,
) -> Result<GetUserNameResponse, NtStatus> {
    // MS-LSAT 3.1.4.1: the server fills in these fields, so they must be empty.
    if request.user_name.is_some() || matches!(request.domain_name, Some(Some(_))) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let anonymous = WellKnown::of_sid(Sid::ANONYMOUS).filter(|_| caller.user.is_empty());
    let (user, domain) = match anonymous {
        Some(it) => (it.name.to_owned(), it.domain.to_owned()),
        None => match caller.user.split_once('\\') {
            Some((domain, user)) => (user.to_owned(), domain.to_owned()),
            None => (caller.user.clone(), server.settings().name.clone()),
        },
    };
    Ok(GetUserNameResponse {
        user_name: Some(user.into()),
        domain_name: request.domain_name.as_ref().map(|_| Some(domain.into())),
        status: NtStatus::SUCCESS,
    })
}

fn of_error(error: Error) -> NtStatus {
    match error {
        Error::AccessDenied => NtStatus::ACCESS_DENIED,
        _ => NtStatus::INTERNAL_ERROR,
    }
}

/// The access to the policy that every user may have.
const LOOKING: u32 = POLICY_VIEW_LOCAL_INFORMATION
    | POLICY_LOOKUP_NAMES
    | AccessMask::READ_CONTROL.0
    | AccessMask::MAXIMUM_ALLOWED.0
    | AccessMask::GENERIC_READ.0
    | AccessMask::GENERIC_EXECUTE.0;
