//! The server itself: information, statistics, disks, clock (MS-SRVS 3.1.4.17 to 3.1.4.21).

use crate::call::WithLevel;
use crate::ndr::{Ndr, NdrError, Parameter, Reader, Writer};

/// `sv*_platform_id`: Windows NT and compatible systems (MS-SRVS 2.2.2.6).
pub const PLATFORM_ID_NT: u32 = 500;

ndr_struct! {
    /// SERVER_INFO_100 (MS-SRVS 2.2.4.40).
    ServerInfo100 {
        platform_id: u32 = "sv100_platform_id",
        name: Option<String> = "sv100_name",
    }
}

ndr_struct! {
    /// SERVER_INFO_101 (MS-SRVS 2.2.4.41).
    ServerInfo101 {
        platform_id: u32 = "sv101_platform_id",
        name: Option<String> = "sv101_name",
        version_major: u32 = "sv101_version_major",
        version_minor: u32 = "sv101_version_minor",
        server_type: u32 = "sv101_type",
        comment: Option<String> = "sv101_comment",
    }
}

ndr_struct! {
    /// SERVER_INFO_102 (MS-SRVS 2.2.4.42).
    ServerInfo102 {
        platform_id: u32 = "sv102_platform_id",
        name: Option<String> = "sv102_name",
        version_major: u32 = "sv102_version_major",
        version_minor: u32 = "sv102_version_minor",
        server_type: u32 = "sv102_type",
        comment: Option<String> = "sv102_comment",
        users: u32 = "sv102_users",
        disconnect: u32 = "sv102_disc",
        hidden: u32 = "sv102_hidden",
        announce: u32 = "sv102_announce",
        announce_delta: u32 = "sv102_anndelta",
        licenses: u32 = "sv102_licenses",
        user_path: Option<String> = "sv102_userpath",
    }
}

ndr_struct! {
    /// SERVER_INFO_103 (MS-SRVS 2.2.4.43).
    ServerInfo103 {
        platform_id: u32 = "sv103_platform_id",
        name: Option<String> = "sv103_name",
        version_major: u32 = "sv103_version_major",
        version_minor: u32 = "sv103_version_minor",
        server_type: u32 = "sv103_type",
        comment: Option<String> = "sv103_comment",
        users: u32 = "sv103_users",
        disconnect: u32 = "sv103_disc",
        hidden: u32 = "sv103_hidden",
        announce: u32 = "sv103_announce",
        announce_delta: u32 = "sv103_anndelta",
        licenses: u32 = "sv103_licenses",
        user_path: Option<String> = "sv103_userpath",
        capabilities: u32 = "sv103_capabilities",
    }
}

ndr_struct! {
    /// SERVER_INFO_502 (MS-SRVS 2.2.4.44).
    ServerInfo502 {
        session_opens: u32 = "sv502_sessopens",
        session_vcs: u32 = "sv502_sessvcs",
        open_search: u32 = "sv502_opensearch",
        size_request_buffer: u32 = "sv502_sizreqbuf",
        initial_work_items: u32 = "sv502_initworkitems",
        max_work_items: u32 = "sv502_maxworkitems",
        raw_work_items: u32 = "sv502_rawworkitems",
        irp_stack_size: u32 = "sv502_irpstacksize",
        max_raw_buffer_length: u32 = "sv502_maxrawbuflen",
        session_users: u32 = "sv502_sessusers",
        session_connections: u32 = "sv502_sessconns",
        max_paged_memory_usage: u32 = "sv502_maxpagedmemoryusage",
        max_non_paged_memory_usage: u32 = "sv502_maxnonpagedmemoryusage",
        enable_soft_compat: u32 = "sv502_enablesoftcompat",
        enable_forced_logoff: u32 = "sv502_enableforcedlogoff",
        time_source: u32 = "sv502_timesource",
        accept_downlevel_apis: u32 = "sv502_acceptdownlevelapis",
        lm_announce: u32 = "sv502_lmannounce",
    }
}

ndr_struct! {
    /// SERVER_INFO_503 (MS-SRVS 2.2.4.45).
    ServerInfo503 {
        session_opens: u32 = "sv503_sessopens",
        session_vcs: u32 = "sv503_sessvcs",
        open_search: u32 = "sv503_opensearch",
        size_request_buffer: u32 = "sv503_sizreqbuf",
        initial_work_items: u32 = "sv503_initworkitems",
        max_work_items: u32 = "sv503_maxworkitems",
        raw_work_items: u32 = "sv503_rawworkitems",
        irp_stack_size: u32 = "sv503_irpstacksize",
        max_raw_buffer_length: u32 = "sv503_maxrawbuflen",
        session_users: u32 = "sv503_sessusers",
        session_connections: u32 = "sv503_sessconns",
        max_paged_memory_usage: u32 = "sv503_maxpagedmemoryusage",
        max_non_paged_memory_usage: u32 = "sv503_maxnonpagedmemoryusage",
        enable_soft_compat: u32 = "sv503_enablesoftcompat",
        enable_forced_logoff: u32 = "sv503_enableforcedlogoff",
        time_source: u32 = "sv503_timesource",
        accept_downlevel_apis: u32 = "sv503_acceptdownlevelapis",
        lm_announce: u32 = "sv503_lmannounce",
        domain: Option<String> = "sv503_domain",
        max_copy_read_length: u32 = "sv503_maxcopyreadlen",
        max_copy_write_length: u32 = "sv503_maxcopywritelen",
        min_keep_search: u32 = "sv503_minkeepsearch",
        max_keep_search: u32 = "sv503_maxkeepsearch",
        min_keep_complete_search: u32 = "sv503_minkeepcomplsearch",
        max_keep_complete_search: u32 = "sv503_maxkeepcomplsearch",
        thread_count_add: u32 = "sv503_threadcountadd",
        num_block_threads: u32 = "sv503_numblockthreads",
        scavenger_timeout: u32 = "sv503_scavtimeout",
        min_receive_queue: u32 = "sv503_minrcvqueue",
        min_free_work_items: u32 = "sv503_minfreeworkitems",
        transaction_memory_size: u32 = "sv503_xactmemsize",
        thread_priority: u32 = "sv503_threadpriority",
        max_mpx_count: u32 = "sv503_maxmpxct",
        oplock_break_wait: u32 = "sv503_oplockbreakwait",
        oplock_break_response_wait: u32 = "sv503_oplockbreakresponsewait",
        enable_oplocks: u32 = "sv503_enableoplocks",
        enable_oplock_force_close: u32 = "sv503_enableoplockforceclose",
        enable_fcb_opens: u32 = "sv503_enablefcbopens",
        enable_raw: u32 = "sv503_enableraw",
        enable_shared_net_drives: u32 = "sv503_enablesharednetdrives",
        min_free_connections: u32 = "sv503_minfreeconnections",
        max_free_connections: u32 = "sv503_maxfreeconnections",
    }
}

ndr_struct! {
    /// SERVER_INFO_1005 (MS-SRVS 2.2.4.47).
    ServerInfo1005 {
        comment: Option<String> = "sv1005_comment",
    }
}

ndr_struct! {
    /// SERVER_INFO_1010 (MS-SRVS 2.2.4.49).
    ServerInfo1010 {
        disconnect: u32 = "sv1010_disc",
    }
}

ndr_struct! {
    /// SERVER_INFO_1016 (MS-SRVS 2.2.4.50).
    ServerInfo1016 {
        hidden: u32 = "sv1016_hidden",
    }
}

ndr_struct! {
    /// SERVER_INFO_1017 (MS-SRVS 2.2.4.51).
    ServerInfo1017 {
        announce: u32 = "sv1017_announce",
    }
}

ndr_struct! {
    /// SERVER_INFO_1018 (MS-SRVS 2.2.4.52).
    ServerInfo1018 {
        announce_delta: u32 = "sv1018_anndelta",
    }
}

ndr_struct! {
    /// SERVER_INFO_1107 (MS-SRVS 2.2.4.48).
    ServerInfo1107 {
        users: u32 = "sv1107_users",
    }
}

ndr_struct! {
    /// STAT_SERVER_0 (MS-SRVS 2.2.4.39).
    StatServer0 {
        start: u32 = "sts0_start",
        file_opens: u32 = "sts0_fopens",
        device_opens: u32 = "sts0_devopens",
        jobs_queued: u32 = "sts0_jobsqueued",
        session_opens: u32 = "sts0_sopens",
        sessions_timed_out: u32 = "sts0_stimedout",
        sessions_errored_out: u32 = "sts0_serrorout",
        password_errors: u32 = "sts0_pwerrors",
        permission_errors: u32 = "sts0_permerrors",
        system_errors: u32 = "sts0_syserrors",
        bytes_sent_low: u32 = "sts0_bytessent_low",
        bytes_sent_high: u32 = "sts0_bytessent_high",
        bytes_received_low: u32 = "sts0_bytesrcvd_low",
        bytes_received_high: u32 = "sts0_bytesrcvd_high",
        average_response: u32 = "sts0_avresponse",
        request_buffers_needed: u32 = "sts0_reqbufneed",
        big_buffers_needed: u32 = "sts0_bigbufneed",
    }
}

ndr_struct! {
    /// TIME_OF_DAY_INFO (MS-SRVS 2.2.4.105).
    TimeOfDayInfo {
        elapsed: u32 = "tod_elapsedt",
        milliseconds: u32 = "tod_msecs",
        hours: u32 = "tod_hours",
        minutes: u32 = "tod_mins",
        seconds: u32 = "tod_secs",
        hundredths: u32 = "tod_hunds",
        timezone: u32 = "tod_timezone",
        tick_interval: u32 = "tod_tinterval",
        day: u32 = "tod_day",
        month: u32 = "tod_month",
        year: u32 = "tod_year",
        weekday: u32 = "tod_weekday",
    }
}

ndr_unique_parameter!(StatServer0);
ndr_unique_parameter!(TimeOfDayInfo);

ndr_info_union! {
    /// SERVER_INFO (MS-SRVS 2.2.3.7).
    ServerInfo {
        100 => Level100(ServerInfo100),
        101 => Level101(ServerInfo101),
        102 => Level102(ServerInfo102),
        103 => Level103(ServerInfo103),
        502 => Level502(ServerInfo502),
        503 => Level503(ServerInfo503),
        1005 => Level1005(ServerInfo1005),
        1010 => Level1010(ServerInfo1010),
        1016 => Level1016(ServerInfo1016),
        1017 => Level1017(ServerInfo1017),
        1018 => Level1018(ServerInfo1018),
        1107 => Level1107(ServerInfo1107),
    }
}

/// DISK_INFO (MS-SRVS 2.2.4.91): a drive as `X:`.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct DiskInfo {
    /// `Disk`: two characters and a terminator at most.
    pub disk: String,
}

impl DiskInfo {
    /// The units of the array, the terminator among them.
    const UNITS: u32 = 3;
}

impl Ndr for DiskInfo {
    const MIN: usize = 8;

    fn write(&self, to: &mut Writer) {
        let end = self.disk.char_indices().nth(2).map_or(self.disk.len(), |(at, _)| at);
        to.varying_string(self.disk.get(..end).unwrap_or_default());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        from.varying_string(Self::UNITS).map(|disk| Self { disk: disk.chars().take(2).collect() })
    }
}

/// DISK_ENUM_CONTAINER (MS-SRVS 2.2.4.92). The array is varying as well as conformant, and Windows
/// counts a last entry of the empty string.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct DiskEnumContainer {
    /// `Buffer`, of `EntriesRead` entries.
    pub disks: Vec<DiskInfo>,
}

impl Parameter for DiskEnumContainer {
    fn write_whole(&self, to: &mut Writer) {
        to.count(self.disks.len());
        to.pointer(!self.disks.is_empty());
        if !self.disks.is_empty() {
            to.count(self.disks.len());
            to.u32(0);
            to.count(self.disks.len());
            for disk in &self.disks {
                disk.write(to);
            }
        }
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let _entries_read = from.u32()?;
        if !from.pointer()? {
            return Ok(Self::default());
        }
        let maximum = from.u32()?;
        let offset = from.u32()?;
        let count = from.count(DiskInfo::MIN)?;
        if offset != 0 || u32::try_from(count).is_ok_and(|count| count > maximum) {
            return Err(NdrError::Varying);
        }
        let mut disks = Vec::with_capacity(count);
        for _ in 0..count {
            disks.push(DiskInfo::read(from)?);
        }
        Ok(Self { disks })
    }
}

ndr_call! {
    /// NetrServerGetInfo (MS-SRVS 3.1.4.17): information about the server.
    21 "NetrServerGetInfo" ServerGetInfoRequest {
        server_name: Option<String> = "ServerName",
        level: u32 = "Level",
    } => ServerGetInfoResponse {
        info: ServerInfo = "InfoStruct",
    } refused |request| {
        info: ServerInfo::Absent(request.level),
    }
}

ndr_call! {
    /// NetrServerSetInfo (MS-SRVS 3.1.4.18): change the server's configuration.
    22 "NetrServerSetInfo" ServerSetInfoRequest {
        server_name: Option<String> = "ServerName",
        info: WithLevel<ServerInfo> = "Level, ServerInfo",
        parameter_error: Option<u32> = "ParmErr",
    } => ServerSetInfoResponse {
        parameter_error: Option<u32> = "ParmErr",
    } refused |request| {
        parameter_error: request.parameter_error,
    }
}

ndr_call! {
    /// NetrServerDiskEnum (MS-SRVS 3.1.4.19): the server's drives.
    23 "NetrServerDiskEnum" ServerDiskEnumRequest {
        server_name: Option<String> = "ServerName",
        level: u32 = "Level",
        disks: DiskEnumContainer = "DiskInfoStruct",
        preferred_maximum_length: u32 = "PreferedMaximumLength",
        resume_handle: Option<u32> = "ResumeHandle",
    } => ServerDiskEnumResponse {
        disks: DiskEnumContainer = "DiskInfoStruct",
        total_entries: u32 = "TotalEntries",
        resume_handle: Option<u32> = "ResumeHandle",
    } refused |request| {
        disks: DiskEnumContainer::default(),
        total_entries: 0,
        resume_handle: request.resume_handle,
    }
}

ndr_call! {
    /// NetrServerStatisticsGet (MS-SRVS 3.1.4.20): the counters.
    24 "NetrServerStatisticsGet" ServerStatisticsGetRequest {
        server_name: Option<String> = "ServerName",
        service: Option<String> = "Service",
        level: u32 = "Level",
        options: u32 = "Options",
    } => ServerStatisticsGetResponse {
        statistics: Option<StatServer0> = "InfoStruct",
    } refused |_| {
        statistics: None,
    }
}

ndr_call! {
    /// NetrRemoteTOD (MS-SRVS 3.1.4.21): the server's clock.
    28 "NetrRemoteTOD" RemoteTodRequest {
        server_name: Option<String> = "ServerName",
    } => RemoteTodResponse {
        time_of_day: Option<TimeOfDayInfo> = "BufferPtr",
    } refused |_| {
        time_of_day: None,
    }
}

#[cfg(test)]
mod any {
    use super::{DiskEnumContainer, DiskInfo};
    use crate::entropy::{Any, Entropy};

    impl Any for DiskInfo {
        fn any(from: &mut Entropy<'_>) -> Self {
            let letter = char::from(b'A' + (from.octet() % 26));
            Self { disk: if from.octet() & 1 == 0 { format!("{letter}:") } else { String::new() } }
        }
    }

    impl Any for DiskEnumContainer {
        fn any(from: &mut Entropy<'_>) -> Self {
            Self { disks: Any::any(from) }
        }
    }
}
