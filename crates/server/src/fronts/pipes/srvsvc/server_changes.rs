//! NetrServerSetInfo (MS-SRVS 3.1.4.18).

use rpc::Win32Error;
use rpc::srvsvc::{ServerInfo, ServerSetInfoRequest, ServerSetInfoResponse};

use super::info::{SV_NODISC, level_502, level_503};
use crate::admin::{self, Caller, Error, ServerSettings, SettingsEdit};
use crate::core::server::Server;

/// Changes the comment, the visibility and the time after which idle sessions end. The other settings of a Windows
/// server cannot be changed here: a client that sends back the present values gets a success, and other values are
/// refused.
pub(super) fn set(
    server: &Server,
    caller: &Caller,
    request: &ServerSetInfoRequest,
) -> Result<ServerSetInfoResponse, Error> {
    admin::change_settings(server, caller, |now| edit(&request.info.0, now))?;
    Ok(ServerSetInfoResponse { parameter_error: request.parameter_error, status: Win32Error::SUCCESS })
}

/// The change that a level requests; `None` if it contains the present values.
fn edit(info: &ServerInfo, now: &ServerSettings) -> Result<Option<SettingsEdit>, Error> {
    let unchanged = |same: bool| if same { Ok(SettingsEdit::default()) } else { Err(Error::NotSupported) };
    let edit = match info {
        ServerInfo::Level101(it) => SettingsEdit { comment: it.comment.clone(), ..SettingsEdit::default() },
        ServerInfo::Level102(it) => SettingsEdit {
            comment: it.comment.clone(),
            hidden: Some(it.hidden != 0),
            autodisconnect: Some(minutes(it.disconnect)),
            rules: None,
        },
        ServerInfo::Level502(it) => unchanged(*it == level_502(now))?,
        ServerInfo::Level503(it) => unchanged(*it == level_503(now))?,
        ServerInfo::Level1005(it) => SettingsEdit { comment: it.comment.clone(), ..SettingsEdit::default() },
        ServerInfo::Level1010(it) => {
            SettingsEdit { autodisconnect: Some(minutes(it.disconnect)), ..SettingsEdit::default() }
        }
        ServerInfo::Level1016(it) => SettingsEdit { hidden: Some(it.hidden != 0), ..SettingsEdit::default() },
        ServerInfo::Level1017(_) | ServerInfo::Level1018(_) | ServerInfo::Level1107(_) => {
            return Err(Error::NotSupported);
        }
        ServerInfo::Absent(level) if ServerInfo::LEVELS.contains(level) && ![100, 103].contains(level) => {
            return Err(Error::InvalidParameter);
        }
        ServerInfo::Level100(_) | ServerInfo::Level103(_) | ServerInfo::Absent(_) => {
            return Err(Error::InvalidLevel);
        }
    };
    Ok(Some(edit).filter(|edit| *edit != SettingsEdit::default()))
}

/// `sv102_disc`.
fn minutes(disconnect: u32) -> Option<u32> {
    Some(disconnect).filter(|it| *it != SV_NODISC)
}
