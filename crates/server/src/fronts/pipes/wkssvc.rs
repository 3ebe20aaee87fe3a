//! MS-WKST: information about the computer and the users logged on to it.

use rpc::ndr::{Enum16, UnicodeString};
use rpc::srvsvc::PLATFORM_ID_NT;
use rpc::wkssvc::{
    ComputerNameArray, EnumerateComputerNamesRequest, EnumerateComputerNamesResponse,
    GetJoinInformationResponse, NET_SETUP_DOMAIN_NAME, NET_SETUP_WORKGROUP_NAME, Request, Response,
    WkstaGetInfoRequest, WkstaGetInfoResponse, WkstaInfo, WkstaInfo100, WkstaInfo101, WkstaInfo102,
    WkstaInfo502, WkstaTransportEnumRequest, WkstaTransportEnumResponse, WkstaTransportEnumStruct,
    WkstaTransportInfo0, WkstaUserEnumRequest, WkstaUserEnumResponse, WkstaUserEnumStruct, WkstaUserInfo0,
    WkstaUserInfo1,
};
use rpc::{Fault, RefusedCall, Win32Error};

use super::listing::{after, fill, saturated};
use super::srvsvc::{TRANSPORT, VERSION};
use crate::admin::{self, Caller, Error, Right};
use crate::core::config::Settings;
use crate::core::logons::Logon;
use crate::core::server::Server;

/// Executes a call: decodes the request's stub, and returns the response's stub.
pub(super) fn call(server: &Server, caller: &Caller, opnum: u16, stub: &[u8]) -> Result<Vec<u8>, Fault> {
    if let Some(refused) = RefusedCall::find(rpc::wkssvc::REFUSED, opnum) {
        return Ok(refused.response(unsupported(caller).number()));
    }
    let request = Request::decode(opnum, stub)?;
    let response: Result<Response, Error> = match &request {
        Request::WkstaGetInfo(it) => get(server, caller, it).map(Into::into),
        Request::WkstaUserEnum(it) => users(server, caller, it).map(Into::into),
        Request::WkstaTransportEnum(it) => transports(server, caller, it).map(Into::into),
        Request::GetJoinInformation(_) => membership(server, caller).map(Into::into),
        Request::EnumerateComputerNames(it) => names(server, caller, it).map(Into::into),
    };
    Ok(response.unwrap_or_else(|error| request.refuse(error.number())).encode())
}

/// The error for a call that the server does not support. A caller without the right gets access denied.
fn unsupported(caller: &Caller) -> Error {
    admin::check(caller, Right::ChangeSettings).err().unwrap_or(Error::NotSupported)
}

/// NetrWkstaGetInfo (MS-WKST 3.2.4.1).
fn get(
    server: &Server,
    caller: &Caller,
    request: &WkstaGetInfoRequest,
) -> Result<WkstaGetInfoResponse, Error> {
    let right = if matches!(request.level, 101 | 102 | 502) { Right::ReadServer } else { Right::SeeServer };
    let settings = admin::settings(server, caller, right)?.settings;
    let name = || Some(settings.name.clone());
    let group = || Some(membership_of(&settings).0.to_owned());
    let (version_major, version_minor) = VERSION;
    let info = match request.level {
        100 => WkstaInfo::Level100(WkstaInfo100 {
            platform_id: PLATFORM_ID_NT,
            computer_name: name(),
            lan_group: group(),
            version_major,
            version_minor,
        }),
        101 => WkstaInfo::Level101(WkstaInfo101 {
            platform_id: PLATFORM_ID_NT,
            computer_name: name(),
            lan_group: group(),
            version_major,
            version_minor,
            lan_root: Some(String::new()),
        }),
        102 => WkstaInfo::Level102(WkstaInfo102 {
            platform_id: PLATFORM_ID_NT,
            computer_name: name(),
            lan_group: group(),
            version_major,
            version_minor,
            lan_root: Some(String::new()),
            logged_on_users: saturated(admin::logons(caller)?.len()),
        }),
        // The settings of a redirector, which the server does not have.
        502 => WkstaInfo::Level502(WkstaInfo502::default()),
        _ => return Err(Error::InvalidLevel),
    };
    Ok(WkstaGetInfoResponse { info, status: Win32Error::SUCCESS })
}

/// NetrWkstaUserEnum (MS-WKST 3.2.4.3): the users logged on at the machine itself; NetrSessionEnum lists connected
/// users. The logons are numbered for the resume handle.
fn users(
    server: &Server,
    caller: &Caller,
    request: &WkstaUserEnumRequest,
) -> Result<WkstaUserEnumResponse, Error> {
    let seen = after(request.resume_handle).and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
    let all = admin::logons(caller)?.into_iter().zip(1_u32..).skip(seen);
    let (room, id) = (request.preferred_maximum_length, |(_, number): &(Logon, u32)| *number);
    let name = &server.settings().name;
    let level_0 = |(it, _): &(Logon, u32)| WkstaUserInfo0 { user_name: Some(it.user.clone()) };
    let level_1 = |(it, _): &(Logon, u32)| WkstaUserInfo1 {
        user_name: Some(it.user.clone()),
        logon_domain: Some(
            it.user.split_once('\\').map_or_else(|| name.clone(), |(domain, _)| domain.to_owned()),
        ),
        other_domains: Some(String::new()),
        logon_server: Some(name.clone()),
    };
    let (info, end) = match request.info.level() {
        0 => fill(all, room, id, level_0, WkstaUserEnumStruct::Level0),
        1 => fill(all, room, id, level_1, WkstaUserEnumStruct::Level1),
        _ => return Err(Error::InvalidLevel),
    };
    Ok(WkstaUserEnumResponse {
        info,
        total_entries: end.total_entries(),
        resume_handle: end.resume_handle(request.resume_handle),
        status: end.status(),
    })
}

/// NetrWkstaTransportEnum (MS-WKST 3.2.4.4): the addresses that the server listens on.
fn transports(
    server: &Server,
    caller: &Caller,
    request: &WkstaTransportEnumRequest,
) -> Result<WkstaTransportEnumResponse, Error> {
    let sessions = saturated(admin::counts(server, caller)?.sessions);
    let seen = after(request.resume_handle).and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
    let all = server.identity.listening().iter().zip(1_u32..).skip(seen);
    let (room, id) = (request.preferred_maximum_length, |(_, number): &(_, u32)| *number);
    let level_0 = |(address, _): &(&std::net::SocketAddr, u32)| WkstaTransportInfo0 {
        quality_of_service: 0,
        number_of_vcs: sessions,
        transport_name: Some(String::from(TRANSPORT)),
        transport_address: Some(address.to_string()),
        wan_ish: 1,
    };
    let (info, end) = match request.info.level() {
        0 => fill(all, room, id, level_0, WkstaTransportEnumStruct::Level0),
        _ => return Err(Error::InvalidLevel),
    };
    Ok(WkstaTransportEnumResponse {
        info,
        total_entries: end.total_entries(),
        resume_handle: end.resume_handle(request.resume_handle),
        status: end.status(),
    })
}

/// NetrGetJoinInformation (MS-WKST 3.2.4.13): the domain, or a workgroup with the server's name.
fn membership(server: &Server, caller: &Caller) -> Result<GetJoinInformationResponse, Error> {
    let settings = admin::settings(server, caller, Right::SeeServer)?.settings;
    let (name, buffer_type) = membership_of(&settings);
    Ok(GetJoinInformationResponse {
        name_buffer: Some(name.to_owned()),
        buffer_type,
        status: Win32Error::SUCCESS,
    })
}

/// The domain or workgroup of the server, and its kind.
fn membership_of(settings: &Settings) -> (&str, Enum16) {
    match &settings.domain {
        Some(domain) => (&domain.name, NET_SETUP_DOMAIN_NAME),
        None => (&settings.name, NET_SETUP_WORKGROUP_NAME),
    }
}

/// NetrEnumerateComputerNames (MS-WKST 3.2.4.22): the primary name only.
fn names(
    server: &Server,
    caller: &Caller,
    request: &EnumerateComputerNamesRequest,
) -> Result<EnumerateComputerNamesResponse, Error> {
    let settings = admin::settings(server, caller, Right::SeeServer)?.settings;
    let names = match request.name_type.0 {
        0 | 2 => vec![UnicodeString::from(settings.name.clone())],
        1 => Vec::new(),
        _ => return Err(Error::InvalidParameter),
    };
    Ok(EnumerateComputerNamesResponse {
        names: Some(ComputerNameArray { names }),
        status: Win32Error::SUCCESS,
    })
}
