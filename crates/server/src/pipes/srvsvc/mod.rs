//! MS-SRVS over the administrator's verbs: each call takes its parameters apart, asks a verb, and
//! shows what it returned at the level that was asked for.

mod clock;
mod connections;
mod files;
mod info;
mod names;
mod sessions;
mod shares;

use rpc::Fault;
use rpc::srvsvc::{Request, Response};

pub(super) use info::VERSION;

use super::listing;
use crate::admin::{Caller, Error, Right, check};
use crate::server::Server;

/// Makes a call: a request's stub becomes a response's.
pub(super) fn call(server: &Server, caller: &Caller, opnum: u16, stub: &[u8]) -> Result<Vec<u8>, Fault> {
    let request = Request::decode(opnum, stub)?;
    let response = answer(server, caller, &request);
    Ok(response.unwrap_or_else(|error| request.refuse(error.number())).encode())
}

fn answer(server: &Server, caller: &Caller, request: &Request) -> Result<Response, Error> {
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
        Request::ShareCheck(it) => shares::check_device(server, caller, it)?.into(),
        Request::ServerGetInfo(it) => info::get(server, caller, it)?.into(),
        Request::ServerDiskEnum(it) => info::disks(caller, it)?.into(),
        Request::ServerStatisticsGet(it) => info::statistics(server, caller, it)?.into(),
        Request::ServerTransportEnum(it) => info::transports(server, caller, it)?.into(),
        Request::RemoteTod(_) => clock::time_of_day(server, caller)?.into(),
        Request::NameValidate(it) => names::validate(caller, it)?.into(),
        Request::NameCanonicalize(it) => names::canonicalize(caller, it)?.into(),
        Request::NameCompare(it) => names::compare(caller, it)?.into(),
        Request::ShareAdd(_)
        | Request::ShareSetInfo(_)
        | Request::ShareDel(_)
        | Request::ShareDelSticky(_)
        | Request::ShareDelEx(_)
        | Request::ServerSetInfo(_) => return Err(unsupported(caller, Right::ChangeSettings)),
        Request::PathType(_) | Request::PathCanonicalize(_) | Request::PathCompare(_) => {
            return Err(unsupported(caller, Right::SeeServer));
        }
    })
}

/// What a caller who may hears of a call that the server does not do.
fn unsupported(caller: &Caller, right: Right) -> Error {
    check(caller, right).err().unwrap_or(Error::NotSupported)
}

/// A path on the server's disk as Windows' tools show paths.
fn drive_path(path: &str) -> String {
    format!("C:{}", path.replace('/', "\\"))
}

#[cfg(test)]
mod tests;
