//! NetrSessionEnum, NetrSessionDel (MS-SRVS 3.1.4.5, 3.1.4.6).

use control::address;
use rpc::Win32Error;
use rpc::srvsvc::{
    SESS_GUEST, SessionDelRequest, SessionDelResponse, SessionEnumRequest, SessionEnumResponse,
    SessionEnumStruct, SessionInfo0, SessionInfo1, SessionInfo2, SessionInfo10, SessionInfo502,
};

use super::listing::{after, fill, saturated};
use crate::admin::{self, Caller, Error, Selection, SessionSnapshot};
use crate::core::server::Server;

pub(super) fn enumerate(
    server: &Server,
    caller: &Caller,
    request: &SessionEnumRequest,
) -> Result<SessionEnumResponse, Error> {
    let meant =
        Selection::of_parameters(server, request.client_name.as_deref(), request.user_name.as_deref())?;
    let all = admin::sessions(server, caller, meant.clone(), after(request.resume_handle))?;
    let (room, id) = (request.preferred_maximum_length, |it: &SessionSnapshot| it.global_id.value());
    let view = View { server };
    let (info, end) = match request.info.level() {
        0 => fill(all, room, id, |it| view.level_0(it), SessionEnumStruct::Level0),
        1 => fill(all, room, id, |it| view.level_1(it), SessionEnumStruct::Level1),
        2 => fill(all, room, id, |it| view.level_2(it), SessionEnumStruct::Level2),
        10 => fill(all, room, id, |it| view.level_10(it), SessionEnumStruct::Level10),
        502 => fill(all, room, id, |it| view.level_502(it), SessionEnumStruct::Level502),
        _ => return Err(Error::InvalidLevel),
    };
    if info.is_empty() && after(request.resume_handle).is_none() {
        refuse_unknown(server, caller, meant)?;
    }
    Ok(SessionEnumResponse {
        info,
        total_entries: end.total_entries(),
        resume_handle: end.resume_handle(request.resume_handle),
        status: end.status(),
    })
}

pub(super) fn delete(
    server: &Server,
    caller: &Caller,
    request: &SessionDelRequest,
) -> Result<SessionDelResponse, Error> {
    let meant =
        Selection::of_parameters(server, request.client_name.as_deref(), request.user_name.as_deref())?;
    admin::end_sessions(server, caller, meant)?;
    Ok(SessionDelResponse { status: Win32Error::SUCCESS })
}

/// Returns the error for a filter that matches no session: the client or the user is unknown.
fn refuse_unknown(server: &Server, caller: &Caller, mut meant: Selection) -> Result<(), Error> {
    let account = meant.filter.account.take();
    if meant.filter.client.is_some() && admin::sessions(server, caller, meant, None)?.next().is_none() {
        return Err(Error::NoSuchSession);
    }
    if account.is_some() { Err(Error::NoSuchUser) } else { Ok(()) }
}

/// The encoder of sessions at each level.
struct View<'a> {
    server: &'a Server,
}

impl View<'_> {
    fn level_0(&self, session: &SessionSnapshot) -> SessionInfo0 {
        SessionInfo0 { client_name: Some(client_name(session)) }
    }

    fn level_1(&self, session: &SessionSnapshot) -> SessionInfo1 {
        SessionInfo1 {
            client_name: Some(client_name(session)),
            user_name: Some(session.identity.user.to_string()),
            num_opens: saturated(session.opens),
            time: self.active_seconds(session),
            idle_time: self.idle_seconds(session),
            user_flags: user_flags(session),
        }
    }

    fn level_2(&self, session: &SessionSnapshot) -> SessionInfo2 {
        let SessionInfo1 { client_name, user_name, num_opens, time, idle_time, user_flags } =
            self.level_1(session);
        let client_type_name = Some(String::new());
        SessionInfo2 { client_name, user_name, num_opens, time, idle_time, user_flags, client_type_name }
    }

    fn level_10(&self, session: &SessionSnapshot) -> SessionInfo10 {
        SessionInfo10 {
            client_name: Some(client_name(session)),
            user_name: Some(session.identity.user.to_string()),
            time: self.active_seconds(session),
            idle_time: self.idle_seconds(session),
        }
    }

    fn level_502(&self, session: &SessionSnapshot) -> SessionInfo502 {
        let SessionInfo1 { client_name, user_name, num_opens, time, idle_time, user_flags } =
            self.level_1(session);
        SessionInfo502 {
            client_name,
            user_name,
            num_opens,
            time,
            idle_time,
            user_flags,
            client_type_name: Some(String::new()),
            transport: Some(String::new()),
        }
    }

    fn active_seconds(&self, session: &SessionSnapshot) -> u32 {
        seconds(self.server.now().since_ms(session.created))
    }

    fn idle_seconds(&self, session: &SessionSnapshot) -> u32 {
        seconds(self.server.now().since_ms(session.last_active))
    }
}

fn client_name(session: &SessionSnapshot) -> String {
    address::display(&session.client)
}

fn user_flags(session: &SessionSnapshot) -> u32 {
    if session.identity.flags.guest { SESS_GUEST } else { 0 }
}

/// Milliseconds as seconds.
pub(super) fn seconds(milliseconds: u64) -> u32 {
    u32::try_from(milliseconds / 1000).unwrap_or(u32::MAX)
}
