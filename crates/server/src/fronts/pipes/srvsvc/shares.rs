//! NetrShareEnum, NetrShareEnumSticky, NetrShareGetInfo, NetrShareCheck (MS-SRVS 3.1.4.8 to 3.1.4.16).

use rpc::Win32Error;
use rpc::ndr::SizedBuffer;
use rpc::srvsvc::{
    SHI_USES_UNLIMITED, STYPE_DISKTREE, STYPE_IPC, STYPE_PRINTQ, STYPE_SPECIAL, STYPE_TEMPORARY,
    ShareCheckRequest, ShareCheckResponse, ShareEnumRequest, ShareEnumResponse, ShareEnumStickyRequest,
    ShareEnumStickyResponse, ShareEnumStruct, ShareGetInfoRequest, ShareGetInfoResponse, ShareInfo,
    ShareInfo0, ShareInfo1, ShareInfo2, ShareInfo501, ShareInfo502, ShareInfo503, ShareInfo1004,
    ShareInfo1005, ShareInfo1006, ShareInfo1501,
};
use wire::names::eq_ignore_case;

use super::drive_path;
use super::listing::{End, after, fill, saturated};
use crate::admin::{self, Caller, Error, Right, ShareDefinition, ShareKind, ShareSnapshot};
use crate::core::config::{Caching, ShareSettings};
use crate::core::server::Server;

pub(super) fn enumerate(
    server: &Server,
    caller: &Caller,
    request: &ShareEnumRequest,
) -> Result<ShareEnumResponse, Error> {
    let mut shares = admin::shares(server, caller, right(request.info.level()))?;
    shares.extend(admin::shares_elsewhere(server, caller));
    let (info, end) =
        list(server, shares, request.info.level(), request.resume_handle, request.preferred_maximum_length)?;
    Ok(ShareEnumResponse {
        info,
        total_entries: end.total_entries(),
        resume_handle: end.resume_handle(request.resume_handle),
        status: end.status(),
    })
}

pub(super) fn enumerate_sticky(
    server: &Server,
    caller: &Caller,
    request: &ShareEnumStickyRequest,
) -> Result<ShareEnumStickyResponse, Error> {
    let mut shares = admin::sticky_shares(server, caller, right(request.info.level()))?;
    shares.extend(admin::shares_elsewhere(server, caller));
    // This is the only level of NetrShareEnum that this call does not have.
    if request.info.level() == 501 {
        return Err(Error::InvalidLevel);
    }
    let (info, end) =
        list(server, shares, request.info.level(), request.resume_handle, request.preferred_maximum_length)?;
    Ok(ShareEnumStickyResponse {
        info,
        total_entries: end.total_entries(),
        resume_handle: end.resume_handle(request.resume_handle),
        status: end.status(),
    })
}

pub(super) fn get(
    server: &Server,
    caller: &Caller,
    request: &ShareGetInfoRequest,
) -> Result<ShareGetInfoResponse, Error> {
    let share = match admin::share(server, caller, &request.net_name, right(request.level)) {
        Err(Error::NoSuchShare) => admin::share_elsewhere(server, caller, &request.net_name)?,
        share => share?,
    };
    let share = &share;
    let info = match request.level {
        0 => ShareInfo::Level0(level_0(share)),
        1 => ShareInfo::Level1(level_1(share)),
        2 => ShareInfo::Level2(level_2(share)),
        501 => ShareInfo::Level501(level_501(server, share)),
        502 => ShareInfo::Level502(level_502(server, share)),
        503 => ShareInfo::Level503(level_503(server, share)),
        1004 => ShareInfo::Level1004(ShareInfo1004 { remark: Some(share.definition.remark.to_string()) }),
        1005 => ShareInfo::Level1005(ShareInfo1005 { flags: flags(server, share) }),
        1006 => ShareInfo::Level1006(ShareInfo1006 { max_uses: max_uses(share) }),
        1501 => ShareInfo::Level1501(ShareInfo1501 { security_descriptor: descriptor(server, share) }),
        _ => return Err(Error::InvalidLevel),
    };
    Ok(ShareGetInfoResponse { info, status: Win32Error::SUCCESS })
}

/// Checks if a directory of the server is shared (MS-SRVS 3.1.4.16).
pub(super) fn check_device(
    server: &Server,
    caller: &Caller,
    request: &ShareCheckRequest,
) -> Result<ShareCheckResponse, Error> {
    let shares = admin::shares(server, caller, Right::ReadShares)?;
    let shared = shares.iter().find(|it| eq_ignore_case(&path(it), &request.device));
    let share = shared.ok_or(Error::DeviceNotShared)?;
    Ok(ShareCheckResponse { share_type: share_type(&share.definition), status: Win32Error::SUCCESS })
}

/// `STYPE_*` (MS-SRVS 2.2.2.4).
pub(super) fn share_type(definition: &ShareDefinition) -> u32 {
    let kind = match definition.kind {
        ShareKind::Disk => STYPE_DISKTREE,
        ShareKind::Print => STYPE_PRINTQ,
        ShareKind::Pipe => STYPE_IPC,
    };
    let special = if definition.hidden { STYPE_SPECIAL } else { 0 };
    let temporary = if definition.temporary { STYPE_TEMPORARY } else { 0 };
    kind | special | temporary
}

/// The right for a level. Every user may read levels that contain no more than browsing needs; only administrators may
/// read paths and uses of shares. An unknown level is refused for every user.
const fn right(level: u32) -> Right {
    match level {
        2 | 502 | 503 | 1004 | 1006 | 1501 => Right::ReadShares,
        _ => Right::BrowseShares,
    }
}

/// Lists shares in the order of their creation, so that a client that continues a list misses no share and sees none
/// twice while shares are added and removed.
fn list(
    server: &Server,
    mut shares: Vec<ShareSnapshot>,
    level: u32,
    resume_handle: Option<u32>,
    room: u32,
) -> Result<(ShareEnumStruct, End), Error> {
    let seen = after(resume_handle).unwrap_or(0);
    shares.retain(|it| it.id > seen);
    shares.sort_by_key(|it| it.id);
    let all = shares.into_iter();
    let id = |it: &ShareSnapshot| it.id;
    Ok(match level {
        0 => fill(all, room, id, level_0, ShareEnumStruct::Level0),
        1 => fill(all, room, id, level_1, ShareEnumStruct::Level1),
        2 => fill(all, room, id, level_2, ShareEnumStruct::Level2),
        501 => fill(all, room, id, |it| level_501(server, it), ShareEnumStruct::Level501),
        502 => fill(all, room, id, |it| level_502(server, it), ShareEnumStruct::Level502),
        503 => fill(all, room, id, |it| level_503(server, it), ShareEnumStruct::Level503),
        _ => return Err(Error::InvalidLevel),
    })
}

fn level_0(share: &ShareSnapshot) -> ShareInfo0 {
    ShareInfo0 { net_name: Some(share.definition.name.to_string()) }
}

fn level_1(share: &ShareSnapshot) -> ShareInfo1 {
    ShareInfo1 {
        net_name: Some(share.definition.name.to_string()),
        share_type: share_type(&share.definition),
        remark: Some(share.definition.remark.to_string()),
    }
}

fn level_2(share: &ShareSnapshot) -> ShareInfo2 {
    ShareInfo2 {
        net_name: Some(share.definition.name.to_string()),
        share_type: share_type(&share.definition),
        remark: Some(share.definition.remark.to_string()),
        permissions: 0,
        max_uses: max_uses(share),
        current_uses: saturated(share.uses),
        path: Some(path(share)),
        password: None,
    }
}

fn level_501(server: &Server, share: &ShareSnapshot) -> ShareInfo501 {
    let ShareInfo1 { net_name, share_type, remark } = level_1(share);
    ShareInfo501 { net_name, share_type, remark, flags: flags(server, share) }
}

/// A level that is level 2 with a security descriptor, and perhaps more.
macro_rules! with_descriptor {
    ($info:ident, $server:expr, $share:expr $(, $field:ident: $value:expr)?) => {{
        let ShareInfo2 { net_name, share_type, remark, permissions, max_uses, current_uses, path, password } =
            level_2($share);
        $info {
            net_name, share_type, remark, permissions, max_uses, current_uses, path, password,
            $($field: $value,)?
            security_descriptor: descriptor($server, $share),
        }
    }};
}

fn level_502(server: &Server, share: &ShareSnapshot) -> ShareInfo502 {
    with_descriptor!(ShareInfo502, server, share)
}

/// The server has one name for all shares: `*` (MS-SRVS 2.2.4.27).
fn level_503(server: &Server, share: &ShareSnapshot) -> ShareInfo503 {
    with_descriptor!(ShareInfo503, server, share, server_name: Some(String::from("*")))
}

fn max_uses(share: &ShareSnapshot) -> u32 {
    share.definition.max_uses.unwrap_or(SHI_USES_UNLIMITED)
}

fn path(share: &ShareSnapshot) -> String {
    let path = &share.definition.path;
    if path.is_empty() { String::new() } else { drive_path(path) }
}

/// `shi1005_flags` (MS-SRVS 2.2.4.29).
fn flags(server: &Server, share: &ShareSnapshot) -> u32 {
    let Some(settings) = settings_of(server, share) else { return share.definition.flags };
    let caching = match settings.caching {
        Caching::Manual => flag::CSC_MANUAL,
        Caching::Documents => flag::CSC_AUTO,
        Caching::Programs => flag::CSC_VDO,
        Caching::None => flag::CSC_NONE,
    };
    let encrypts = if settings.encrypt { flag::ENCRYPT_DATA } else { 0 };
    share.definition.flags | caching | encrypts
}

/// The caching policy in `shi1005_flags`.
pub(super) fn caching_of(flags: u32) -> Caching {
    match flags & flag::CSC_MASK {
        flag::CSC_AUTO => Caching::Documents,
        flag::CSC_VDO => Caching::Programs,
        flag::CSC_NONE => Caching::None,
        _ => Caching::Manual,
    }
}

fn descriptor(server: &Server, share: &ShareSnapshot) -> SizedBuffer {
    let settings = settings_of(server, share);
    SizedBuffer(settings.and_then(|it| super::grants::descriptor(server, &it.permissions())))
}

/// The settings of a share that this server or another node of its cluster serves.
fn settings_of(server: &Server, share: &ShareSnapshot) -> Option<ShareSettings> {
    let name = &share.definition.name;
    let served = server.share(name).map(|it| it.settings.clone());
    served.or_else(|| server.share_of_cluster(name).map(|it| it.settings))
}

/// `shi1005_flags` (MS-SRVS 2.2.4.29).
pub(super) mod flag {
    pub(in super::super) const DFS: u32 = 0x0001;
    pub(in super::super) const DFS_ROOT: u32 = 0x0002;
    pub(in super::super) const CSC_MASK: u32 = 0x0030;
    pub(in super::super) const CSC_MANUAL: u32 = 0x0000;
    pub(in super::super) const CSC_AUTO: u32 = 0x0010;
    pub(in super::super) const CSC_VDO: u32 = 0x0020;
    pub(in super::super) const CSC_NONE: u32 = 0x0030;
    pub(in super::super) const ACCESS_BASED_ENUM: u32 = 0x0800;
    pub(in super::super) const ENCRYPT_DATA: u32 = 0x8000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_shares_require_read_shares() {
        for level in [0, 1, 501, 1005] {
            assert_eq!(right(level), Right::BrowseShares, "{level}");
        }
        for level in [2, 502, 503, 1004, 1006, 1501] {
            assert_eq!(right(level), Right::ReadShares, "{level}");
        }
    }
}
