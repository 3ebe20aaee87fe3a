//! Sessions: NetrSessionEnum, NetrSessionDel (MS-SRVS 3.1.4.5, 3.1.4.6).

use std::collections::BTreeMap;

use control::{Session, SessionQuery, SessionShare, Timestamp, address, number};
use rpc::Win32Error;
use rpc::srvsvc::{
    ENDPOINT, SESS_GUEST, SessionDelRequest, SessionEnumRequest, SessionEnumStruct, SessionInfo0,
    SessionInfo1, SessionInfo2, SessionInfo10, SessionInfo502,
};

use super::call::{CallError, Refused, Rpc, list, make};
use super::{Knowledge, SrvsClient, check_supported, computer, some};
use crate::Error;
use crate::limits::SRVS_COMPUTERS_ASKED;

/// The levels, the most detailed first. On Windows, levels 10 and 0 are open to all users.
const LEVELS: [u32; 5] = [502, 2, 1, 10, 0];

/// The levels that only servers support that can end single sessions: Samba, which cannot, stops at 1.
const FINE_LEVELS: [u32; 2] = [502, 2];

impl<R: Rpc> SrvsClient<R> {
    pub(super) async fn session_list(&self, query: &SessionQuery) -> Result<Vec<Session>, Error> {
        let mut sessions = self.all_sessions().await?;
        self.add_shares(&mut sessions).await;
        check_supported(
            query.share.is_some(),
            &sessions,
            |it| it.shares.is_some(),
            "the shares of sessions",
        )?;
        check_supported(
            query.idle.is_some(),
            &sessions,
            |it| it.idle_seconds.is_some(),
            "the idle times of sessions",
        )?;
        check_supported(
            query.age.is_some(),
            &sessions,
            |it| it.active_seconds.is_some(),
            "the ages of sessions",
        )?;
        let own = if query.mine == Some(true) { Some(self.own()?) } else { None };
        let asked = query.user.iter().chain(&own).find(|user| user.contains('@'));
        if let Some(domain) = self.domain_for(asked.map(String::as_str)).await {
            sessions.iter_mut().for_each(|session| session.realm = domain.realm_of(&session.user));
        }
        sessions.retain(|session| query.matches(session));
        if own.is_some() {
            let own = SessionQuery { user: own, ..SessionQuery::default() };
            sessions.retain(|session| own.matches(session));
        }
        // The entries have no ids, and servers promise no order.
        sessions.sort_by(|a, b| (&a.computer, &a.user).cmp(&(&b.computer, &b.user)));
        Ok(sessions)
    }

    pub(super) async fn session_end(&self, session: &Session) -> Result<(), Error> {
        let request = SessionDelRequest {
            server_name: Some(self.rpc.server_name()),
            client_name: Some(self.name_of_computer(&session.computer)),
            user_name: Some(session.user.clone()).filter(|user| !user.is_empty()),
        };
        match make(&self.rpc, ENDPOINT, &request).await {
            Ok(_) => Ok(()),
            // It was the command's own session, or another one on its connection.
            Err(Refused::Call(CallError::Ended(_))) => Ok(()),
            // Samba also returns this if the session does not exist.
            Err(refused) if refused.is_denied() && !self.can_end_single_sessions() => {
                let there = self.all_sessions().await?;
                let same = |it: &Session| {
                    address::same_computer(&it.computer, &session.computer) && it.user == session.user
                };
                if there.iter().any(same) { Err(refused.into()) } else { Err(no_session()) }
            }
            Err(refused) if refused.is(Win32Error::USER_NOT_FOUND) => Err(no_session()),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Samba knows IPv6 addresses without brackets only.
    fn name_of_computer(&self, computer: &str) -> String {
        if self.can_end_single_sessions() { address::display(computer) } else { format!(r"\\{computer}") }
    }

    /// All sessions, at the most detailed level that the server supports and grants.
    pub(super) async fn all_sessions(&self) -> Result<Vec<Session>, Error> {
        let mut denied = None;
        let mut unknown = None;
        for level in LEVELS {
            match self.sessions_at(level).await {
                Ok(sessions) => {
                    if denied.is_none() {
                        let fine = FINE_LEVELS.contains(&level);
                        self.learn(|known| Knowledge { single_sessions: Some(fine), ..known });
                    }
                    return Ok(sessions);
                }
                Err(refused) if refused.is_denied() => denied = Some(refused),
                Err(refused) if refused.is_unknown() => unknown = Some(refused),
                Err(refused) => return Err(refused.into()),
            }
        }
        Err(denied
            .or(unknown)
            .map_or_else(|| super::unsupported("no level is left".into()), Refused::of_list))
    }

    async fn sessions_at(&self, level: u32) -> Result<Vec<Session>, Refused> {
        let name = self.rpc.server_name();
        let now = Timestamp::now();
        let mut sessions = list(
            &self.rpc,
            ENDPOINT,
            |page| SessionEnumRequest {
                server_name: Some(name.clone()),
                client_name: None,
                user_name: None,
                info: SessionEnumStruct::empty(level),
                preferred_maximum_length: page.bytes,
                resume_handle: page.resume,
            },
            |response| (views(response.info), response.resume_handle),
        )
        .await?;
        for session in &mut sessions {
            session.connected_at = session.active_seconds.map(|seconds| earlier(now, seconds));
        }
        Ok(sessions)
    }

    /// Adds the shares that the sessions are connected to. They stay unknown if the server does not report them.
    async fn add_shares(&self, sessions: &mut [Session]) {
        let mut computers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, session) in sessions.iter().enumerate() {
            computers.entry(session.computer.clone()).or_default().push(index);
        }
        if computers.len() > SRVS_COMPUTERS_ASKED {
            return;
        }
        for (name, indexes) in computers {
            let Ok(connections) = self.connections_of_computer(&name).await else { return };
            // Every session has a connection, so this server does not report any.
            if connections.is_empty() {
                continue;
            }
            for index in indexes {
                let Some(session) = sessions.get_mut(index) else { continue };
                let shares = session.shares.get_or_insert_default();
                let of_user = connections.iter().filter(|it| wire::eq_ignore_case(&it.user, &session.user));
                for connection in of_user {
                    let opens = connection.opens;
                    match shares.iter_mut().find(|it| it.name == connection.share) {
                        Some(share) => {
                            share.opens = share.opens.zip(opens).map(|(a, b)| a.saturating_add(b));
                        }
                        None => shares.push(SessionShare {
                            name: connection.share.clone(),
                            kind: connection.kind,
                            opens,
                        }),
                    }
                }
            }
        }
    }
}

/// The time `seconds` before `now`.
pub(super) fn earlier(now: Timestamp, seconds: u64) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)))
}

fn no_session() -> Error {
    let message = "A session does not exist with that computer name.";
    control::Error::new(number::CLIENT_NAME_NOT_FOUND, message).into()
}

fn views(info: SessionEnumStruct) -> Vec<Session> {
    match info {
        SessionEnumStruct::Level0(entries) => entries.into_iter().map(level_0).collect(),
        SessionEnumStruct::Level1(entries) => entries.into_iter().map(level_1).collect(),
        SessionEnumStruct::Level2(entries) => entries.into_iter().map(level_2).collect(),
        SessionEnumStruct::Level10(entries) => entries.into_iter().map(level_10).collect(),
        SessionEnumStruct::Level502(entries) => entries.into_iter().map(level_502).collect(),
        SessionEnumStruct::Absent(_) => Vec::new(),
    }
}

fn level_0(it: SessionInfo0) -> Session {
    Session { computer: computer(it.client_name), ..Session::default() }
}

fn level_10(it: SessionInfo10) -> Session {
    let user = it.user_name.unwrap_or_default();
    Session {
        computer: computer(it.client_name),
        anonymous: Some(user.is_empty()),
        user,
        active_seconds: Some(it.time.into()),
        idle_seconds: Some(it.idle_time.into()),
        ..Session::default()
    }
}

/// An entry of level 1. A server that answers this level and none above is Samba, which does not measure the idle
/// time and reports 0. It rounds the start of a session, so that a new one may be -1 seconds old.
fn level_1(it: SessionInfo1) -> Session {
    let SessionInfo1 { client_name, user_name, num_opens, time, idle_time, user_flags } = it;
    let info = SessionInfo2 {
        client_name,
        user_name,
        num_opens,
        time: if time == u32::MAX { 0 } else { time },
        idle_time,
        user_flags,
        client_type_name: None,
    };
    Session { idle_seconds: Some(idle_time.into()).filter(|it| *it != 0), ..level_2(info) }
}

fn level_2(it: SessionInfo2) -> Session {
    let SessionInfo2 { client_name, user_name, num_opens, time, idle_time, user_flags, client_type_name } =
        it;
    let guest = Some(user_flags & SESS_GUEST != 0);
    Session {
        opens: Some(num_opens),
        guest,
        client_type: some(client_type_name),
        ..level_10(SessionInfo10 { client_name, user_name, time, idle_time })
    }
}

fn level_502(it: SessionInfo502) -> Session {
    let SessionInfo502 {
        client_name,
        user_name,
        num_opens,
        time,
        idle_time,
        user_flags,
        client_type_name,
        transport,
    } = it;
    let info =
        SessionInfo2 { client_name, user_name, num_opens, time, idle_time, user_flags, client_type_name };
    Session { transport: some(transport), ..level_2(info) }
}
