//! MS-WKST: what the computer is, and who is logged on to it.

use std::collections::BTreeMap;

use registry::SessionSnapshot;
use rpc::srvsvc::PLATFORM_ID_NT;
use rpc::wkssvc::{
    Request, Response, WkstaGetInfoRequest, WkstaGetInfoResponse, WkstaInfo, WkstaInfo100, WkstaInfo101,
    WkstaInfo102, WkstaUserEnumRequest, WkstaUserEnumResponse, WkstaUserEnumStruct, WkstaUserInfo0,
    WkstaUserInfo1,
};
use rpc::{Fault, Win32Error};

use super::listing::{after, fill, saturated};
use super::srvsvc::VERSION;
use crate::admin::{self, Caller, Error, Right, SessionsMeant};
use crate::server::Server;

/// Makes a call: a request's stub becomes a response's.
pub(super) fn call(server: &Server, caller: &Caller, opnum: u16, stub: &[u8]) -> Result<Vec<u8>, Fault> {
    let request = Request::decode(opnum, stub)?;
    let response: Result<Response, Error> = match &request {
        Request::WkstaGetInfo(it) => get(server, caller, it).map(Into::into),
        Request::WkstaUserEnum(it) => users(server, caller, it).map(Into::into),
    };
    Ok(response.unwrap_or_else(|error| request.refuse(error.number())).encode())
}

/// NetrWkstaGetInfo (MS-WKST 3.2.4.1).
fn get(
    server: &Server,
    caller: &Caller,
    request: &WkstaGetInfoRequest,
) -> Result<WkstaGetInfoResponse, Error> {
    let right = if matches!(request.level, 101 | 102) { Right::ReadServer } else { Right::SeeServer };
    admin::check(caller, right)?;
    let settings = server.settings();
    let name = || Some(settings.name.clone());
    let (version_major, version_minor) = VERSION;
    let info = match request.level {
        100 => WkstaInfo::Level100(WkstaInfo100 {
            platform_id: PLATFORM_ID_NT,
            computer_name: name(),
            lan_group: name(),
            version_major,
            version_minor,
        }),
        101 => WkstaInfo::Level101(WkstaInfo101 {
            platform_id: PLATFORM_ID_NT,
            computer_name: name(),
            lan_group: name(),
            version_major,
            version_minor,
            lan_root: Some(String::new()),
        }),
        102 => WkstaInfo::Level102(WkstaInfo102 {
            platform_id: PLATFORM_ID_NT,
            computer_name: name(),
            lan_group: name(),
            version_major,
            version_minor,
            lan_root: Some(String::new()),
            logged_on_users: saturated(logged_on(server, caller)?.len()),
        }),
        _ => return Err(Error::InvalidLevel),
    };
    Ok(WkstaGetInfoResponse { info, status: Win32Error::SUCCESS })
}

/// NetrWkstaUserEnum (MS-WKST 3.2.4.3). The users are numbered for the resume handle.
fn users(
    server: &Server,
    caller: &Caller,
    request: &WkstaUserEnumRequest,
) -> Result<WkstaUserEnumResponse, Error> {
    let seen = after(request.resume_handle).and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
    let all = logged_on(server, caller)?.into_iter().zip(1_u32..).skip(seen);
    let (room, id) = (request.preferred_maximum_length, |(_, number): &(SessionSnapshot, u32)| *number);
    let name = &server.settings().name;
    let level_0 =
        |(it, _): &(SessionSnapshot, u32)| WkstaUserInfo0 { user_name: Some(it.identity.user.to_string()) };
    let level_1 = |(it, _): &(SessionSnapshot, u32)| WkstaUserInfo1 {
        user_name: Some(it.identity.user.to_string()),
        logon_domain: Some(it.identity.domain.to_string()),
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

/// One session of each user, in order of their names.
fn logged_on(server: &Server, caller: &Caller) -> Result<Vec<SessionSnapshot>, Error> {
    let all = admin::sessions(server, caller, SessionsMeant::default(), None)?;
    let named = all.filter(|it| !it.identity.user.is_empty());
    let users: BTreeMap<_, _> =
        named.map(|it| ((it.identity.user.to_lowercase(), it.identity.domain.to_lowercase()), it)).collect();
    Ok(users.into_values().collect())
}
