//! NetrServerGetInfo, NetrServerDiskEnum, NetrServerStatisticsGet, NetrServerTransportEnum (MS-SRVS
//! 3.1.4.17 to 3.1.4.24).

use rpc::Win32Error;
use rpc::ndr::BufferSized;
use rpc::srvsvc::{
    DiskEnumContainer, DiskInfo, PLATFORM_ID_NT, ServerAliasEnumRequest, ServerAliasEnumResponse,
    ServerAliasEnumStruct, ServerDiskEnumRequest, ServerDiskEnumResponse, ServerGetInfoRequest,
    ServerGetInfoResponse, ServerInfo, ServerInfo100, ServerInfo101, ServerInfo102, ServerInfo103,
    ServerInfo502, ServerInfo503, ServerInfo1005, ServerInfo1010, ServerInfo1016, ServerInfo1017,
    ServerInfo1018, ServerInfo1107, ServerStatisticsGetRequest, ServerStatisticsGetResponse,
    ServerTransportEnumRequest, ServerTransportEnumResponse, ServerTransportEnumStruct, ServerTransportInfo0,
    ServerTransportInfo1, StatServer0,
};

use super::listing::{after, fill, saturated};
use crate::admin::{self, Caller, Error, Right, ServerSettings, StatisticsSnapshot};
use crate::core::config::Settings;
use crate::core::server::Server;

pub(super) fn get(
    server: &Server,
    caller: &Caller,
    request: &ServerGetInfoRequest,
) -> Result<ServerGetInfoResponse, Error> {
    let server = &admin::settings(server, caller, right(request.level))?;
    let settings = &*server.settings;
    let info = match request.level {
        100 => ServerInfo::Level100(ServerInfo100 {
            platform_id: PLATFORM_ID_NT,
            name: Some(settings.name.clone()),
        }),
        101 => ServerInfo::Level101(level_101(settings)),
        102 => ServerInfo::Level102(level_102(server)),
        103 => ServerInfo::Level103(level_103(server)),
        502 => ServerInfo::Level502(level_502(server)),
        503 => ServerInfo::Level503(level_503(server)),
        1005 => ServerInfo::Level1005(ServerInfo1005 { comment: Some(settings.comment.clone()) }),
        1010 => ServerInfo::Level1010(ServerInfo1010 { disconnect: disconnect(settings) }),
        1016 => ServerInfo::Level1016(ServerInfo1016 { hidden: settings.hidden.into() }),
        1017 => ServerInfo::Level1017(ServerInfo1017 { announce: 0 }),
        1018 => ServerInfo::Level1018(ServerInfo1018 { announce_delta: 0 }),
        1107 => ServerInfo::Level1107(ServerInfo1107 { users: users(server) }),
        _ => return Err(Error::InvalidLevel),
    };
    Ok(ServerGetInfoResponse { info, status: Win32Error::SUCCESS })
}

/// The drives: the one that paths are shown on.
pub(super) fn disks(
    caller: &Caller,
    request: &ServerDiskEnumRequest,
) -> Result<ServerDiskEnumResponse, Error> {
    admin::check(caller, Right::ReadServer)?;
    if request.level != 0 {
        return Err(Error::InvalidLevel);
    }
    let disks = [DRIVE, ""].map(|disk| DiskInfo { disk: String::from(disk) });
    Ok(ServerDiskEnumResponse {
        disks: DiskEnumContainer { disks: disks.into() },
        total_entries: 1,
        resume_handle: request.resume_handle.map(|_| 0),
        status: Win32Error::SUCCESS,
    })
}

pub(super) fn statistics(
    server: &Server,
    caller: &Caller,
    request: &ServerStatisticsGetRequest,
) -> Result<ServerStatisticsGetResponse, Error> {
    let statistics = admin::statistics(server, caller)?;
    if request.level != 0 {
        return Err(Error::InvalidLevel);
    }
    if request.options != 0 || !is_server(request.service.as_deref()) {
        return Err(Error::InvalidParameter);
    }
    Ok(ServerStatisticsGetResponse {
        statistics: Some(stat_server_0(&statistics)),
        status: Win32Error::SUCCESS,
    })
}

/// The addresses that the server listens on.
pub(super) fn transports(
    server: &Server,
    caller: &Caller,
    request: &ServerTransportEnumRequest,
) -> Result<ServerTransportEnumResponse, Error> {
    let connections = saturated(admin::counts(server, caller)?.sessions);
    let settings = server.settings();
    let seen = after(request.resume_handle).and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
    let all = server.identity.listening().iter().zip(1_u32..).skip(seen);
    let (room, id) = (request.preferred_maximum_length, |(_, number): &(_, u32)| *number);
    let level_0 = |(address, _): &(&std::net::SocketAddr, u32)| ServerTransportInfo0 {
        number_of_vcs: connections,
        transport_name: Some(String::from(TRANSPORT)),
        transport_address: BufferSized(Some(address.to_string().into_bytes())),
        network_address: Some(address.ip().to_string()),
    };
    let level_1 = |entry: &(&std::net::SocketAddr, u32)| {
        let ServerTransportInfo0 { number_of_vcs, transport_name, transport_address, network_address } =
            level_0(entry);
        let domain = Some(settings.name.clone());
        ServerTransportInfo1 { number_of_vcs, transport_name, transport_address, network_address, domain }
    };
    let (info, end) = match request.info.level() {
        0 => fill(all, room, id, level_0, ServerTransportEnumStruct::Level0),
        1 => fill(all, room, id, level_1, ServerTransportEnumStruct::Level1),
        _ => return Err(Error::InvalidLevel),
    };
    Ok(ServerTransportEnumResponse {
        info,
        total_entries: end.total_entries(),
        resume_handle: end.resume_handle(request.resume_handle),
        status: end.status(),
    })
}

/// The server's further names; it has none.
pub(super) fn aliases(
    caller: &Caller,
    request: &ServerAliasEnumRequest,
) -> Result<ServerAliasEnumResponse, Error> {
    admin::check(caller, Right::ReadServer)?;
    let info = match request.info.level() {
        0 => ServerAliasEnumStruct::empty(0),
        _ => return Err(Error::InvalidLevel),
    };
    Ok(ServerAliasEnumResponse {
        info,
        total_entries: 0,
        resume_handle: request.resume_handle.map(|_| 0),
        status: Win32Error::SUCCESS,
    })
}

/// The right for a level. Every user may read levels that contain no more than browsing needs (MS-SRVS 3.1.4.17).
const fn right(level: u32) -> Right {
    match level {
        102 | 103 | 502 | 503 | 1005 | 1010 | 1016..=1018 | 1107 => Right::ReadServer,
        _ => Right::SeeServer,
    }
}

fn level_101(settings: &Settings) -> ServerInfo101 {
    ServerInfo101 {
        platform_id: PLATFORM_ID_NT,
        name: Some(settings.name.clone()),
        version_major: VERSION.0,
        version_minor: VERSION.1,
        server_type: SERVER_TYPE,
        comment: Some(settings.comment.clone()),
    }
}

fn level_102(server: &ServerSettings) -> ServerInfo102 {
    let settings = &*server.settings;
    let ServerInfo101 { platform_id, name, version_major, version_minor, server_type, comment } =
        level_101(settings);
    ServerInfo102 {
        platform_id,
        name,
        version_major,
        version_minor,
        server_type,
        comment,
        users: users(server),
        disconnect: disconnect(settings),
        hidden: settings.hidden.into(),
        announce: 0,
        announce_delta: 0,
        licenses: 0,
        user_path: Some(format!(r"{DRIVE}\")),
    }
}

/// The time for which a client may take to acknowledge a break.
fn break_seconds(server: &ServerSettings) -> u32 {
    super::sessions::seconds(server.limits.break_timeout_ms)
}

/// The maximal number of sessions.
fn users(server: &ServerSettings) -> u32 {
    saturated(server.limits.sessions)
}

fn disconnect(settings: &Settings) -> u32 {
    settings.autodisconnect.unwrap_or(SV_NODISC)
}

fn level_103(server: &ServerSettings) -> ServerInfo103 {
    let info = level_102(server);
    ServerInfo103 {
        platform_id: info.platform_id,
        name: info.name,
        version_major: info.version_major,
        version_minor: info.version_minor,
        server_type: info.server_type,
        comment: info.comment,
        users: info.users,
        disconnect: info.disconnect,
        hidden: info.hidden,
        announce: info.announce,
        announce_delta: info.announce_delta,
        licenses: info.licenses,
        user_path: info.user_path,
        capabilities: 0,
    }
}

/// The limits that correspond to settings of a Windows server; the other fields are 0.
pub(super) fn level_502(server: &ServerSettings) -> ServerInfo502 {
    let limits = &server.limits;
    ServerInfo502 {
        session_opens: saturated(limits.opens_per_session),
        session_users: saturated(limits.sessions_per_connection),
        session_connections: saturated(limits.trees_per_session),
        size_request_buffer: crate::core::limits::MAX_IO_SIZE,
        open_search: saturated(limits.opens_per_session),
        session_vcs: saturated(limits.channels_per_session),
        max_work_items: crate::core::limits::MAX_CREDITS.into(),
        time_source: 1,
        ..ServerInfo502::default()
    }
}

/// The fields of [`level_502`], and some more.
pub(super) fn level_503(server: &ServerSettings) -> ServerInfo503 {
    let info = level_502(server);
    ServerInfo503 {
        session_opens: info.session_opens,
        session_users: info.session_users,
        session_connections: info.session_connections,
        size_request_buffer: info.size_request_buffer,
        open_search: info.open_search,
        session_vcs: info.session_vcs,
        max_work_items: info.max_work_items,
        time_source: info.time_source,
        max_mpx_count: info.max_work_items,
        oplock_break_wait: break_seconds(server),
        domain: Some(server.settings.name.clone()),
        enable_oplocks: 1,
        ..ServerInfo503::default()
    }
}

fn stat_server_0(statistics: &StatisticsSnapshot) -> StatServer0 {
    let [sent_low, sent_high] = halves(statistics.bytes_sent);
    let [received_low, received_high] = halves(statistics.bytes_received);
    StatServer0 {
        start: wrapped(statistics.started.0 / 1000),
        file_opens: wrapped(statistics.file_opens),
        device_opens: wrapped(statistics.device_opens),
        jobs_queued: wrapped(statistics.jobs_queued),
        session_opens: wrapped(statistics.session_opens),
        sessions_timed_out: wrapped(statistics.sessions_timed_out),
        sessions_errored_out: wrapped(statistics.sessions_errored_out),
        password_errors: wrapped(statistics.password_errors),
        permission_errors: wrapped(statistics.permission_errors),
        system_errors: wrapped(statistics.system_errors),
        bytes_sent_low: sent_low,
        bytes_sent_high: sent_high,
        bytes_received_low: received_low,
        bytes_received_high: received_high,
        average_response: wrapped(statistics.average_response_ms()),
        request_buffers_needed: 0,
        big_buffers_needed: 0,
    }
}

/// True if the counters of the Server service are requested.
fn is_server(service: Option<&str>) -> bool {
    service.is_none_or(|it| ["", "SERVER", "LANMANSERVER"].contains(&it.to_ascii_uppercase().as_str()))
}

/// A counter in 32 bits, which wraps around as in Windows.
fn wrapped(count: u64) -> u32 {
    halves(count)[0]
}

/// The lower half and the upper half.
fn halves(count: u64) -> [u32; 2] {
    let half = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    [half(count), half(count >> 32)]
}

/// The drive that paths of the server are shown on.
const DRIVE: &str = "C:";

/// The name of the transport, as in Windows (MS-SRVS 2.2.4.93).
pub(in crate::fronts::pipes) const TRANSPORT: &str = r"\Device\NetbiosSmb";

/// The version of Windows that the server reports.
pub(in crate::fronts::pipes) const VERSION: (u32, u32) = (10, 0);

/// SV_TYPE_WORKSTATION, SV_TYPE_SERVER, SV_TYPE_XENIX_SERVER, SV_TYPE_NT, SV_TYPE_SERVER_NT (MS-SRVS
/// 2.2.2.7).
const SERVER_TYPE: u32 = 0x1 | 0x2 | 0x800 | 0x1000 | 0x8000;

/// `sv102_disc`: idle sessions are not disconnected (MS-SRVS 2.2.2.1).
pub(super) const SV_NODISC: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_settings_require_read_server() {
        assert_eq!([100, 101].map(right), [Right::SeeServer; 2]);
        assert_eq!([102, 103, 502, 503, 1005].map(right), [Right::ReadServer; 5]);
    }

    #[test]
    fn large_counters_take_two_fields() {
        let statistics = StatisticsSnapshot {
            bytes_sent: 0x1_0000_0002,
            file_opens: 0x1_0000_0003,
            responses: 2,
            response_us: 9000,
            ..StatisticsSnapshot::default()
        };
        let shown = stat_server_0(&statistics);
        assert_eq!((shown.bytes_sent_low, shown.bytes_sent_high, shown.file_opens), (2, 1, 3));
        assert_eq!(shown.average_response, 5);
        assert_eq!(stat_server_0(&StatisticsSnapshot::default()).average_response, 0);
    }
}
