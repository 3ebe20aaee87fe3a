//! NetrShareAdd, NetrShareSetInfo, NetrShareDel and related calls (MS-SRVS 3.1.4.7, 3.1.4.11 to 3.1.4.15, 3.1.4.47).
//!
//! On a node of a cluster, a share of the cluster is changed and deleted there. A new share is one of the cluster if its
//! directory is below `paths` of `[cluster]`, as on a failover cluster of Windows the disk decides, unless it is temporary.

use std::path::PathBuf;
use std::sync::Arc;

use rpc::Win32Error;
use rpc::ndr::{ContextHandle, SizedBuffer};
use rpc::srvsvc::{
    SHI_USES_UNLIMITED, STYPE_DISKTREE, STYPE_TEMPORARY, ShareAddRequest, ShareAddResponse,
    ShareDelCommitRequest, ShareDelCommitResponse, ShareDelExRequest, ShareDelExResponse, ShareDelRequest,
    ShareDelResponse, ShareDelStartRequest, ShareDelStartResponse, ShareDelStickyRequest,
    ShareDelStickyResponse, ShareInfo, ShareSetInfoRequest, ShareSetInfoResponse,
};

use super::grants::grants;
use super::server_path;
use super::shares::{caching_of, flag};
use crate::admin::{self, Caller, Error, Explained, NewShare, ShareEdit};
use crate::core::server::Server;

/// The fields of a new share, from any level.
struct ShareFields<'a> {
    name: &'a Option<String>,
    share_type: u32,
    remark: &'a Option<String>,
    max_uses: u32,
    path: &'a Option<String>,
    descriptor: Option<&'a SizedBuffer>,
}

pub(super) fn add(
    server: &Arc<Server>,
    caller: &Caller,
    request: &ShareAddRequest,
) -> Result<ShareAddResponse, Error> {
    admin::check(caller, admin::Right::ChangeSettings)?;
    let new = new_share(server, &request.info.0)?;
    let is_temporary = new.edit.temporary == Some(true);
    if !is_temporary && admin::is_of_cluster(server, &new.path) {
        let name = new.name.clone();
        told(&name, admin::add_share_of_cluster(server, caller, || Ok(new)))?;
    } else {
        admin::add_share(server, caller, || Ok(new))?;
    }
    Ok(ShareAddResponse { parameter_error: request.parameter_error, status: Win32Error::SUCCESS })
}

/// The share that a level describes.
fn new_share(server: &Server, info: &ShareInfo) -> Result<NewShare, Error> {
    let share = match info {
        ShareInfo::Level2(it) => ShareFields {
            name: &it.net_name,
            share_type: it.share_type,
            remark: &it.remark,
            max_uses: it.max_uses,
            path: &it.path,
            descriptor: None,
        },
        ShareInfo::Level502(it) => ShareFields {
            name: &it.net_name,
            share_type: it.share_type,
            remark: &it.remark,
            max_uses: it.max_uses,
            path: &it.path,
            descriptor: Some(&it.security_descriptor),
        },
        ShareInfo::Level503(it) => {
            own_scope(it.server_name.as_deref(), server)?;
            ShareFields {
                name: &it.net_name,
                share_type: it.share_type,
                remark: &it.remark,
                max_uses: it.max_uses,
                path: &it.path,
                descriptor: Some(&it.security_descriptor),
            }
        }
        ShareInfo::Absent(level) if [2, 502, 503].contains(level) => return Err(Error::InvalidParameter),
        _ => return Err(Error::InvalidLevel),
    };
    if share.share_type & !STYPE_TEMPORARY != STYPE_DISKTREE {
        return Err(Error::NotSupported);
    }
    let path = server_path(share.path.as_deref().ok_or(Error::InvalidParameter)?);
    let edit = ShareEdit {
        remark: share.remark.clone(),
        max_users: Some(max_users(share.max_uses)),
        grants: descriptor(server, share.descriptor)?,
        temporary: Some(share.share_type & STYPE_TEMPORARY != 0),
        ..ShareEdit::default()
    };
    Ok(NewShare { name: share.name.clone().unwrap_or_default(), path: PathBuf::from(path), edit })
}

/// Changes the fields of a level that can be changed; name, type, path and the number of uses are ignored.
pub(super) fn set(
    server: &Arc<Server>,
    caller: &Caller,
    request: &ShareSetInfoRequest,
) -> Result<ShareSetInfoResponse, Error> {
    change(server, caller, &request.net_name, || edit(server, &request.info.0))?;
    Ok(ShareSetInfoResponse { parameter_error: request.parameter_error, status: Win32Error::SUCCESS })
}

/// The change that a level describes.
fn edit(server: &Server, info: &ShareInfo) -> Result<ShareEdit, Error> {
    Ok(match info {
        ShareInfo::Level1(it) => remark(&it.remark),
        ShareInfo::Level2(it) => ShareEdit { max_users: Some(max_users(it.max_uses)), ..remark(&it.remark) },
        ShareInfo::Level502(it) => ShareEdit {
            max_users: Some(max_users(it.max_uses)),
            grants: descriptor(server, Some(&it.security_descriptor))?,
            ..remark(&it.remark)
        },
        ShareInfo::Level503(it) => {
            own_scope(it.server_name.as_deref(), server)?;
            ShareEdit {
                max_users: Some(max_users(it.max_uses)),
                grants: descriptor(server, Some(&it.security_descriptor))?,
                ..remark(&it.remark)
            }
        }
        ShareInfo::Level1004(it) => remark(&it.remark),
        ShareInfo::Level1005(it) => flags(it.flags)?,
        ShareInfo::Level1006(it) => {
            ShareEdit { max_users: Some(max_users(it.max_uses)), ..ShareEdit::default() }
        }
        ShareInfo::Level1501(it) => {
            ShareEdit { grants: descriptor(server, Some(&it.security_descriptor))?, ..ShareEdit::default() }
        }
        ShareInfo::Absent(level) if ![0, 501].contains(level) && ShareInfo::LEVELS.contains(level) => {
            return Err(Error::InvalidParameter);
        }
        ShareInfo::Level0(_) | ShareInfo::Level501(_) | ShareInfo::Absent(_) => {
            return Err(Error::InvalidLevel);
        }
    })
}

/// Changes a share, of the server or of its cluster.
fn change(
    server: &Arc<Server>,
    caller: &Caller,
    name: &str,
    edit: impl FnOnce() -> Result<ShareEdit, Error>,
) -> Result<(), Error> {
    if admin::has_share_of_cluster(server, name) {
        return told(name, admin::change_share_of_cluster(server, caller, name, edit)).map(drop);
    }
    admin::change_share(server, caller, name, edit).map(drop)
}

/// Deletes a share, of the server or of its cluster.
fn remove(
    server: &Server,
    caller: &Caller,
    name: impl FnOnce() -> Result<String, Error>,
) -> Result<(), Error> {
    admin::check(caller, admin::Right::ChangeSettings)?;
    let name = name()?;
    if admin::has_share_of_cluster(server, &name) {
        return told(&name, admin::delete_share_of_cluster(server, caller, &name)).map(drop);
    }
    admin::delete_share(server, caller, || Ok(name)).map(drop)
}

/// The number of a refusal. Its reason is for the log, because calls return numbers only.
fn told<T>(share: &str, outcome: Result<T, Explained>) -> Result<T, Error> {
    outcome.map_err(|Explained { error, reason }| {
        if let Some(reason) = reason {
            tracing::warn!(share, reason, "a call of MS-SRVS for a share of the cluster was refused");
        }
        error
    })
}

pub(super) fn delete(
    server: &Server,
    caller: &Caller,
    request: &ShareDelRequest,
) -> Result<ShareDelResponse, Error> {
    remove(server, caller, || Ok(request.net_name.clone()))?;
    Ok(ShareDelResponse { status: Win32Error::SUCCESS })
}

/// Makes a share temporary, so that it ends with the server.
pub(super) fn delete_sticky(
    server: &Arc<Server>,
    caller: &Caller,
    request: &ShareDelStickyRequest,
) -> Result<ShareDelStickyResponse, Error> {
    let edit = ShareEdit { temporary: Some(true), ..ShareEdit::default() };
    change(server, caller, &request.net_name, || Ok(edit))?;
    Ok(ShareDelStickyResponse { status: Win32Error::SUCCESS })
}

/// Deletes a share. Only the name in the level is used (MS-SRVS 3.1.4.47).
pub(super) fn delete_ex(
    server: &Server,
    caller: &Caller,
    request: &ShareDelExRequest,
) -> Result<ShareDelExResponse, Error> {
    remove(server, caller, || name(server, &request.info.0))?;
    Ok(ShareDelExResponse { status: Win32Error::SUCCESS })
}

/// The name in a level.
fn name(server: &Server, info: &ShareInfo) -> Result<String, Error> {
    let name = match info {
        ShareInfo::Level0(it) => &it.net_name,
        ShareInfo::Level1(it) => &it.net_name,
        ShareInfo::Level2(it) => &it.net_name,
        ShareInfo::Level501(it) => &it.net_name,
        ShareInfo::Level502(it) => &it.net_name,
        ShareInfo::Level503(it) => {
            own_scope(it.server_name.as_deref(), server)?;
            &it.net_name
        }
        _ => return Err(Error::InvalidLevel),
    };
    name.clone().ok_or(Error::InvalidParameter)
}

/// Announces that a share is going to be deleted (MS-SRVS 3.1.4.14).
pub(super) fn start_delete(
    server: &Server,
    caller: &Caller,
    request: &ShareDelStartRequest,
) -> Result<ShareDelStartResponse, Error> {
    let uuid = admin::announce_deletion(server, caller, &request.net_name)?;
    let handle = ContextHandle { uuid, ..ContextHandle::default() };
    Ok(ShareDelStartResponse { context_handle: handle, status: Win32Error::SUCCESS })
}

/// Deletes a share that [`start_delete`] announced (MS-SRVS 3.1.4.15). The handle ends.
pub(super) fn commit_delete(
    server: &Server,
    caller: &Caller,
    request: &ShareDelCommitRequest,
) -> Result<ShareDelCommitResponse, Error> {
    remove(server, caller, || admin::announced_deletion(server, request.context_handle.uuid))?;
    Ok(ShareDelCommitResponse { context_handle: ContextHandle::default(), status: Win32Error::SUCCESS })
}

fn remark(remark: &Option<String>) -> ShareEdit {
    ShareEdit { remark: remark.clone(), ..ShareEdit::default() }
}

fn max_users(max_uses: u32) -> Option<u32> {
    Some(max_uses).filter(|it| *it != SHI_USES_UNLIMITED)
}

fn descriptor(
    server: &Server,
    descriptor: Option<&SizedBuffer>,
) -> Result<Option<Vec<crate::core::config::Grant>>, Error> {
    match descriptor.and_then(|it| it.0.as_deref()) {
        Some(bytes) if !bytes.is_empty() => grants(server, bytes),
        _ => Ok(None),
    }
}

/// The change for `shi1005_flags` (MS-SRVS 2.2.4.29). The DFS flags are informative, and cannot be set.
fn flags(flags: u32) -> Result<ShareEdit, Error> {
    const KNOWN: u32 =
        flag::CSC_MASK | flag::ACCESS_BASED_ENUM | flag::ENCRYPT_DATA | flag::DFS | flag::DFS_ROOT;
    if flags & !KNOWN != 0 {
        return Err(Error::NotSupported);
    }
    Ok(ShareEdit {
        caching: Some(caching_of(flags)),
        access_based_enum: Some(flags & flag::ACCESS_BASED_ENUM != 0),
        encrypt: Some(flags & flag::ENCRYPT_DATA != 0),
        ..ShareEdit::default()
    })
}

/// Checks that the scope of a share is this server. The server has one name for all shares: `*`, or an empty one
/// (MS-SRVS 2.2.4.27). That of its cluster is admitted as well.
fn own_scope(scope: Option<&str>, server: &Server) -> Result<(), Error> {
    let scope = scope.unwrap_or_default().trim_start_matches('\\');
    let own = scope.is_empty() || scope == "*" || scope.eq_ignore_ascii_case(&server.settings().name);
    let own = own || admin::is_name_of_cluster(server, scope);
    if own { Ok(()) } else { Err(Error::NoSuchShare) }
}
