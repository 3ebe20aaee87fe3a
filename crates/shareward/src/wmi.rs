//! The classes and properties of WMI, for scripts that were written against them. A property without a value is null,
//! as in WMI.

use control::{Connection, OpenFile, Session, Share, ShareKind};
use serde::Serialize;

/// `Win32_ServerSession`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ServerSession {
    caption: Option<String>,
    description: Option<String>,
    install_date: Option<String>,
    name: Option<String>,
    status: Option<String>,
    active_time: Option<u64>,
    client_type: Option<String>,
    computer_name: String,
    idle_time: Option<u64>,
    resources_opened: Option<u32>,
    session_type: Option<u32>,
    transport_name: Option<String>,
    user_name: String,
}

impl From<&Session> for ServerSession {
    fn from(session: &Session) -> Self {
        Self {
            caption: None,
            description: None,
            install_date: None,
            name: None,
            status: None,
            active_time: session.active_seconds,
            client_type: session.client_type.clone(),
            computer_name: session.computer.clone(),
            idle_time: session.idle_seconds,
            resources_opened: session.opens,
            session_type: session.guest.map(|guest| if guest { GUEST } else { OTHER }),
            transport_name: session.transport.clone(),
            user_name: session.user.clone(),
        }
    }
}

/// `Win32_ServerConnection`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ServerConnection {
    caption: Option<String>,
    description: Option<String>,
    install_date: Option<String>,
    name: Option<String>,
    status: Option<String>,
    active_time: Option<u64>,
    computer_name: Option<String>,
    #[serde(rename = "ConnectionID")]
    connection_id: u32,
    number_of_files: Option<u32>,
    number_of_users: u32,
    share_name: String,
    user_name: String,
}

impl From<&Connection> for ServerConnection {
    fn from(connection: &Connection) -> Self {
        Self {
            caption: None,
            description: None,
            install_date: None,
            name: None,
            status: None,
            active_time: connection.active_seconds,
            computer_name: connection.computer.clone(),
            connection_id: connection.id,
            number_of_files: connection.opens,
            number_of_users: 1,
            share_name: connection.share.clone(),
            user_name: connection.user.clone(),
        }
    }
}

/// `Win32_Share`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SharedResource {
    access_mask: Option<u32>,
    allow_maximum: bool,
    caption: String,
    description: String,
    install_date: Option<String>,
    maximum_allowed: Option<u32>,
    name: String,
    path: Option<String>,
    status: &'static str,
    #[serde(rename = "Type")]
    kind: u32,
}

impl From<&Share> for SharedResource {
    fn from(share: &Share) -> Self {
        let kind = match share.kind {
            ShareKind::Disk | ShareKind::Unknown => 0,
            ShareKind::Print => 1,
            ShareKind::Comm => 2,
            ShareKind::Ipc => 3,
        };
        Self {
            access_mask: None,
            allow_maximum: share.uses_max.is_none(),
            caption: share.comment.clone(),
            description: share.comment.clone(),
            install_date: None,
            maximum_allowed: share.uses_max,
            name: share.name.clone(),
            path: share.path.clone(),
            status: if share.away.is_some() { "Error" } else { "OK" },
            kind: if share.special { STYPE_SPECIAL | kind } else { kind },
        }
    }
}

/// `MSFT_SmbOpenFile`; WMI's older classes have none for an open file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SmbOpenFile {
    client_computer_name: Option<String>,
    client_user_name: String,
    cluster_node_name: Option<String>,
    continuously_available: Option<bool>,
    encrypted: Option<bool>,
    file_id: u32,
    locks: Option<u32>,
    path: String,
    permissions: Option<u32>,
    scope_name: Option<String>,
    session_id: Option<u32>,
    share_relative_path: String,
}

impl From<&OpenFile> for SmbOpenFile {
    fn from(file: &OpenFile) -> Self {
        Self {
            client_computer_name: file.computer.clone(),
            client_user_name: file.user.clone(),
            cluster_node_name: None,
            continuously_available: None,
            encrypted: None,
            file_id: file.id,
            locks: file.locks,
            path: file.server_path.clone().unwrap_or_else(|| file.path.clone()),
            permissions: file.access.as_ref().map(|access| access.mask.0),
            scope_name: None,
            session_id: file.session_id,
            share_relative_path: file.path.clone(),
        }
    }
}

const GUEST: u32 = 0;
const OTHER: u32 = 2;
const STYPE_SPECIAL: u32 = 0x8000_0000;

#[cfg(test)]
mod tests {
    use serde_json::{Value, to_value};

    use super::*;

    fn properties(value: &Value) -> Vec<&str> {
        value.as_object().map(|object| object.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    #[test]
    fn properties_have_the_names_of_wmi() {
        let session = to_value(ServerSession::from(&Session::default())).unwrap();
        assert_eq!(
            properties(&session),
            [
                "ActiveTime",
                "Caption",
                "ClientType",
                "ComputerName",
                "Description",
                "IdleTime",
                "InstallDate",
                "Name",
                "ResourcesOpened",
                "SessionType",
                "Status",
                "TransportName",
                "UserName"
            ]
        );
        let share = Share { special: true, kind: ShareKind::Ipc, ..Share::default() };
        let share = to_value(SharedResource::from(&share)).unwrap();
        assert_eq!(share["Type"], 0x8000_0003_u32);
        let away = Share { away: Some("no such directory".into()), ..Share::default() };
        let away = to_value(SharedResource::from(&away)).unwrap();
        assert_eq!((&away["Status"], &share["Status"]), (&"Error".into(), &"OK".into()));
        assert_eq!(
            properties(&share),
            [
                "AccessMask",
                "AllowMaximum",
                "Caption",
                "Description",
                "InstallDate",
                "MaximumAllowed",
                "Name",
                "Path",
                "Status",
                "Type"
            ]
        );
        let access = Some(control::Access::new(0x0012_019f, Vec::new()));
        let file = to_value(SmbOpenFile::from(&OpenFile { access, ..OpenFile::default() })).unwrap();
        assert_eq!(file["Permissions"], 0x0012_019f);
    }
}
