//! The server itself: NetrServerGetInfo, NetrServerSetInfo, NetrServerStatisticsGet, NetrRemoteTOD (MS-SRVS 3.1.4.17
//! to 3.1.4.21), and the logons at its machine: NetrWkstaUserEnum (MS-WKST 3.2.4.3).

use control::{Clock, Logon, ServerInfo, Settings, SettingsChange, Statistics, Timestamp, number};
use rpc::srvsvc::{
    ENDPOINT, RemoteTodRequest, ServerGetInfoRequest, ServerInfo as Info, ServerInfo100, ServerInfo101,
    ServerInfo102, ServerInfo1005, ServerSetInfoRequest, ServerStatisticsGetRequest, StatServer0,
    TimeOfDayInfo,
};
use rpc::wkssvc::{self, WkstaGetInfoRequest, WkstaInfo, WkstaUserEnumRequest, WkstaUserEnumStruct};
use rpc::{Call, Win32Error, WithLevel};

use super::call::{Refused, Rpc, list, make};
use super::{SrvsClient, some, unsupported};
use crate::Error;

/// The levels, the most detailed first. 102 is for administrators.
const LEVELS: [u32; 3] = [102, 101, 100];

/// `sv102_disc`: idle sessions are never ended.
const NEVER: u32 = u32::MAX;

/// `sv102_users`: no limit.
const UNLIMITED: u32 = u32::MAX;

/// `tod_timezone`: not known.
const NO_ZONE: u32 = u32::MAX;

impl<R: Rpc> SrvsClient<R> {
    pub(super) async fn server_info(&self) -> Result<ServerInfo, Error> {
        Ok(match self.best_info().await? {
            Info::Level102(info) => {
                server_info(info.name, info.comment, info.version_major, info.version_minor)
            }
            Info::Level101(info) => {
                server_info(info.name, info.comment, info.version_major, info.version_minor)
            }
            Info::Level100(ServerInfo100 { name, .. }) => ServerInfo::new(bare(name)),
            _ => return Err(Error::Nonsense("a server without information".into())),
        })
    }

    pub(super) async fn server_settings(&self) -> Result<Settings, Error> {
        let settings = |info: ServerInfo101| Settings {
            name: bare(info.name),
            comment: info.comment.unwrap_or_default(),
            version: version(info.version_major, info.version_minor),
            ..Settings::default()
        };
        let shown = match self.best_info().await? {
            Info::Level102(info) => {
                let (users, hidden, idle) = (info.users, info.hidden, info.disconnect);
                Settings {
                    hidden: Some(hidden != 0),
                    users_max: Some(users).filter(|most| *most != UNLIMITED),
                    autodisconnect: Some(if idle == NEVER { -1 } else { i64::from(idle) }),
                    files_per_session_max: self.opens_per_session().await,
                    ..settings(of_102(info))
                }
            }
            Info::Level101(info) => settings(info),
            Info::Level100(ServerInfo100 { name, .. }) => {
                Settings { name: bare(name), ..Settings::default() }
            }
            _ => return Err(Error::Nonsense("a server without information".into())),
        };
        let membership = self.membership().await;
        let named = membership.as_ref().map(|it| it.name.clone()).filter(|name| !name.is_empty());
        let domain = match named {
            Some(name) => Some(name),
            None => self.lan_group().await,
        };
        Ok(Settings {
            domain_member: membership.as_ref().map(|it| it.is_domain),
            dns_domain: membership.as_ref().and_then(|it| it.dns_name.clone()),
            domain,
            ..shown
        })
    }

    /// The workgroup of a server that does not report its domain to this caller; `None` if it does not report that, either.
    async fn lan_group(&self) -> Option<String> {
        let request = WkstaGetInfoRequest { server_name: Some(self.rpc.server_name()), level: 100 };
        match make(&self.rpc, wkssvc::ENDPOINT, &request).await.ok()?.info {
            WkstaInfo::Level100(info) => info.lan_group.filter(|name| !name.is_empty()),
            _ => None,
        }
    }

    pub(super) async fn server_change(&self, change: &SettingsChange) -> Result<Settings, Error> {
        let before = match self.info(102).await? {
            Info::Level102(info) => info,
            _ => return Err(Error::Nonsense("a server without information".into())),
        };
        let info = if change.hidden.is_none() && change.autodisconnect.is_none() {
            let comment = change.comment.clone().or(before.comment);
            Info::Level1005(ServerInfo1005 { comment })
        } else {
            let idle = match change.autodisconnect {
                None => before.disconnect,
                Some(-1) => NEVER,
                Some(minutes) => u32::try_from(minutes).map_err(|_| {
                    control::Error::new(number::INVALID_PARAMETER, "The parameter is incorrect.")
                })?,
            };
            Info::Level102(ServerInfo102 {
                comment: change.comment.clone().or_else(|| before.comment.clone()),
                hidden: change.hidden.map_or(before.hidden, u32::from),
                disconnect: idle,
                ..before
            })
        };
        let request = ServerSetInfoRequest {
            server_name: Some(self.rpc.server_name()),
            info: WithLevel(info),
            parameter_error: Some(0),
        };
        make(&self.rpc, ENDPOINT, &request).await?;
        let after = self.server_settings().await?;
        // Samba reports success and changes nothing.
        let ignored = change.comment.as_ref().is_some_and(|it| *it != after.comment)
            || change.hidden.is_some_and(|it| after.hidden != Some(it))
            || change.autodisconnect.is_some_and(|it| after.autodisconnect != Some(it));
        if ignored { Err(unsupported("the server said yes and changed nothing".into())) } else { Ok(after) }
    }

    pub(super) async fn server_statistics(&self) -> Result<Statistics, Error> {
        let request = ServerStatisticsGetRequest {
            server_name: Some(self.rpc.server_name()),
            service: None,
            level: 0,
            options: 0,
        };
        let response = self.ask(&request).await?;
        let counters = response.statistics.ok_or_else(|| Error::Nonsense("no counters".into()))?;
        let name = self.server_info().await.map(|info| info.name);
        Ok(statistics(&counters, name.unwrap_or_default()))
    }

    pub(super) async fn server_clock(&self) -> Result<Clock, Error> {
        let response = self.ask(&RemoteTodRequest { server_name: Some(self.rpc.server_name()) }).await?;
        let time = response.time_of_day.ok_or_else(|| Error::Nonsense("no time of day".into()))?;
        Ok(clock(&time))
    }

    pub(super) async fn logon_list(&self) -> Result<Vec<Logon>, Error> {
        let mut last = None;
        for level in [1, 0] {
            match self.logons_at(level).await {
                Ok(logons) => return Ok(logons),
                Err(refused) if refused.is_unknown() => last = Some(refused),
                Err(refused) => return Err(refused.into()),
            }
        }
        Err(last.map_or_else(|| unsupported("no level is left".into()), Error::from))
    }

    async fn logons_at(&self, level: u32) -> Result<Vec<Logon>, Refused> {
        let name = self.rpc.server_name();
        list(
            &self.rpc,
            wkssvc::ENDPOINT,
            |page| WkstaUserEnumRequest {
                server_name: Some(name.clone()),
                info: WkstaUserEnumStruct::empty(level),
                preferred_maximum_length: page.bytes,
                resume_handle: page.resume,
            },
            |response| {
                let logon = |user: Option<String>, domain| Logon {
                    user: user.unwrap_or_default(),
                    domain: some(domain),
                    ..Logon::default()
                };
                let logons = match response.info {
                    WkstaUserEnumStruct::Level0(entries) => {
                        entries.into_iter().map(|it| logon(it.user_name, None)).collect()
                    }
                    WkstaUserEnumStruct::Level1(entries) => {
                        entries.into_iter().map(|it| logon(it.user_name, it.logon_domain)).collect()
                    }
                    WkstaUserEnumStruct::Absent(_) => Vec::new(),
                };
                (logons, response.resume_handle)
            },
        )
        .await
    }

    /// The server's information at the most detailed level that it supports and grants.
    async fn best_info(&self) -> Result<Info, Error> {
        let mut last = None;
        for level in LEVELS {
            match self.info(level).await {
                Ok(info) => return Ok(info),
                Err(refused) if refused.is_denied() || refused.is_unknown() => last = Some(refused),
                Err(refused) => return Err(refused.into()),
            }
        }
        Err(last.map_or_else(|| unsupported("no level is left".into()), Error::from))
    }

    async fn info(&self, level: u32) -> Result<Info, Refused> {
        let request = ServerGetInfoRequest { server_name: Some(self.rpc.server_name()), level };
        Ok(make(&self.rpc, ENDPOINT, &request).await?.info)
    }

    /// `sv502_sessopens`, if the server reports it.
    async fn opens_per_session(&self) -> Option<u32> {
        match self.info(502).await {
            Ok(Info::Level502(info)) => Some(info.session_opens),
            _ => None,
        }
    }

    async fn ask<C: Call>(&self, call: &C) -> Result<C::Response, Error>
    where
        C::Response: rpc::Response<Status = Win32Error>,
    {
        Ok(make(&self.rpc, ENDPOINT, call).await?)
    }
}

fn of_102(info: ServerInfo102) -> ServerInfo101 {
    ServerInfo101 {
        platform_id: info.platform_id,
        name: info.name,
        version_major: info.version_major,
        version_minor: info.version_minor,
        server_type: info.server_type,
        comment: info.comment,
    }
}

fn server_info(name: Option<String>, comment: Option<String>, major: u32, minor: u32) -> ServerInfo {
    ServerInfo {
        comment: comment.unwrap_or_default(),
        version: version(major, minor),
        ..ServerInfo::new(bare(name))
    }
}

/// The upper bits of the major version have another meaning (MS-SRVS 2.2.4.41).
fn version(major: u32, minor: u32) -> String {
    format!("{}.{minor}", major & 0x0f)
}

fn bare(name: Option<String>) -> String {
    control::address::bare(&name.unwrap_or_default()).to_owned()
}

fn statistics(counters: &StatServer0, server: String) -> Statistics {
    let wide = |high: u32, low: u32| Some(u64::from(high) << 32 | u64::from(low));
    let some = |count: u32| Some(u64::from(count));
    Statistics {
        server,
        since: Some(Timestamp::from_unix(counters.start.into(), 0)),
        sessions_accepted: some(counters.session_opens),
        sessions_timed_out: some(counters.sessions_timed_out),
        sessions_errored_out: some(counters.sessions_errored_out),
        bytes_sent: wide(counters.bytes_sent_high, counters.bytes_sent_low),
        bytes_received: wide(counters.bytes_received_high, counters.bytes_received_low),
        response_milliseconds: some(counters.average_response),
        system_errors: some(counters.system_errors),
        permission_violations: some(counters.permission_errors),
        password_violations: some(counters.password_errors),
        files_opened: some(counters.file_opens),
        devices_opened: some(counters.device_opens),
        jobs_spooled: some(counters.jobs_queued),
        big_buffers_exhausted: some(counters.big_buffers_needed),
        request_buffers_exhausted: some(counters.request_buffers_needed),
        ..Statistics::default()
    }
}

/// `tod_timezone` is minutes west of Greenwich. `tod_msecs` has an arbitrary start, so it is not the uptime.
fn clock(time: &TimeOfDayInfo) -> Clock {
    let hundredths = time.hundredths.min(99);
    let west = i32::from_ne_bytes(time.timezone.to_ne_bytes());
    Clock {
        now: Timestamp::from_unix(time.elapsed.into(), hundredths.saturating_mul(10_000_000)),
        offset_minutes: Some(west).filter(|_| time.timezone != NO_ZONE).map(i32::saturating_neg),
        uptime_seconds: None,
    }
}
