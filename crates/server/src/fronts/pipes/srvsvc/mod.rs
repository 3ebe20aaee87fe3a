//! MS-SRVS over the operations of administrators: each call decodes its parameters, calls one, and encodes the result at
//! the requested level.

mod clock;
mod connections;
mod files;
mod grants;
mod info;
mod names;
mod paths;
mod security;
mod server_changes;
mod sessions;
mod share_changes;
mod shares;

use std::sync::Arc;

use rpc::srvsvc::{DFS_GET_VERSION, Request, Response};
use rpc::{Fault, RefusedCall};

pub(super) use info::{TRANSPORT, VERSION};

use super::listing;
use crate::admin::{Caller, Error, Right, check};
use crate::core::server::Server;

/// Executes a call: decodes the request's stub, and returns the response's stub.
pub(super) fn call(server: &Arc<Server>, caller: &Caller, opnum: u16, stub: &[u8]) -> Result<Vec<u8>, Fault> {
    if let Some(refused) = RefusedCall::find(rpc::srvsvc::REFUSED, opnum) {
        let right = if opnum == DFS_GET_VERSION { Right::SeeServer } else { Right::ChangeSettings };
        return Ok(refused.response(unsupported(caller, right).number()));
    }
    let request = Request::decode(opnum, stub)?;
    let response = answer(server, caller, &request);
    Ok(response.unwrap_or_else(|error| request.refuse(error.number())).encode())
}

fn answer(server: &Arc<Server>, caller: &Caller, request: &Request) -> Result<Response, Error> {
    Ok(match request {
        Request::ConnectionEnum(it) => connections::enumerate(server, caller, it)?.into(),
        Request::FileEnum(it) => files::enumerate(server, caller, it)?.into(),
        Request::FileGetInfo(it) => files::get(server, caller, it)?.into(),
        Request::FileClose(it) => files::close(server, caller, it)?.into(),
        Request::SessionEnum(it) => sessions::enumerate(server, caller, it)?.into(),
        Request::SessionDel(it) => sessions::delete(server, caller, it)?.into(),
        Request::ShareEnum(it) => shares::enumerate(server, caller, it)?.into(),
        Request::ShareEnumSticky(it) => shares::enumerate_sticky(server, caller, it)?.into(),
        Request::ShareGetInfo(it) => shares::get(server, caller, it)?.into(),
        Request::ShareAdd(it) => share_changes::add(server, caller, it)?.into(),
        Request::ShareSetInfo(it) => share_changes::set(server, caller, it)?.into(),
        Request::ShareDel(it) => share_changes::delete(server, caller, it)?.into(),
        Request::ShareDelSticky(it) => share_changes::delete_sticky(server, caller, it)?.into(),
        Request::ShareDelEx(it) => share_changes::delete_ex(server, caller, it)?.into(),
        Request::ShareDelStart(it) => share_changes::start_delete(server, caller, it)?.into(),
        Request::ShareDelCommit(it) => share_changes::commit_delete(server, caller, it)?.into(),
        Request::ShareCheck(it) => shares::check_device(server, caller, it)?.into(),
        Request::ServerGetInfo(it) => info::get(server, caller, it)?.into(),
        Request::ServerDiskEnum(it) => info::disks(caller, it)?.into(),
        Request::ServerStatisticsGet(it) => info::statistics(server, caller, it)?.into(),
        Request::ServerTransportEnum(it) => info::transports(server, caller, it)?.into(),
        Request::RemoteTod(_) => clock::time_of_day(server, caller)?.into(),
        Request::NameValidate(it) => names::validate(caller, it)?.into(),
        Request::NameCanonicalize(it) => names::canonicalize(caller, it)?.into(),
        Request::NameCompare(it) => names::compare(caller, it)?.into(),
        Request::ServerSetInfo(it) => server_changes::set(server, caller, it)?.into(),
        Request::ServerAliasEnum(it) => info::aliases(caller, it)?.into(),
        Request::GetFileSecurity(it) => security::get(server, caller, it)?.into(),
        Request::SetFileSecurity(it) => security::set(server, caller, it)?.into(),
        Request::PathType(it) => paths::path_type(caller, it)?.into(),
        Request::PathCanonicalize(it) => paths::canonicalize(caller, it)?.into(),
        Request::PathCompare(it) => paths::compare(caller, it)?.into(),
    })
}

/// The error for a call that the server does not support. A caller without the right gets access denied.
fn unsupported(caller: &Caller, right: Right) -> Error {
    check(caller, right).err().unwrap_or(Error::NotSupported)
}

/// A path on the server's disk in the form of Windows' tools.
fn drive_path(path: &str) -> String {
    format!("C:{}", path.replace('/', "\\"))
}

/// The path on the server's disk for a path in the form of Windows' tools.
fn server_path(path: &str) -> String {
    match path.as_bytes() {
        [b'/', ..] => path.to_owned(),
        [drive, b':', ..] if drive.eq_ignore_ascii_case(&b'c') => {
            path.get(2..).unwrap_or_default().replace('\\', "/")
        }
        _ => path.replace('\\', "/"),
    }
}

#[cfg(test)]
mod tests;
