//! Shows connections.

use std::io;
use std::path::{Path, PathBuf};

use mount::{Mounted, State, Status, Via};
use serde::Serialize;

use super::remembered::{Remembered, RememberedConnection};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Align, Column, Console, Cut, Table, labelled};

/// A connection, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ListedConnection {
    /// `OK`, `Disconnected`, `Reconnecting` or `Unavailable`.
    pub(super) status: &'static str,
    /// The directory.
    pub(super) local: PathBuf,
    /// The share, as `\\computer\share`.
    pub(super) remote: String,
    /// The client that the share is connected through; `None` if it is not connected.
    pub(super) via: Option<Via>,
    /// The user who is logged on there; `None` if unknown.
    pub(super) user: Option<String>,
    /// The number of open files; `None` if unknown.
    pub(super) opens: Option<usize>,
    /// True if the connection is remembered.
    pub(super) persistent: bool,
    /// The reason why the user is not logged on at the moment; `None` if there is none or it is unknown.
    pub(super) problem: Option<String>,
    /// The process that serves the connection; `None` if the kernel does.
    pub(super) pid: Option<u32>,
}

const COLUMNS: [Column; 4] = [
    Column { title: "Status", width: 12, align: Align::Left, cut: Cut::Never },
    Column { title: "Local", width: 9, align: Align::Left, cut: Cut::Never },
    Column { title: "Remote", width: 25, align: Align::Left, cut: Cut::Never },
    Column { title: "Network", width: 25, align: Align::Left, cut: Cut::Never },
];

/// All connections: the existing ones, then those that are only remembered.
pub(super) fn all(remembered: &Remembered) -> Result<Vec<ListedConnection>, Failure> {
    let mounted =
        mount::mounted().map_err(|error| Failure::Plain(format!("cannot read the mount table: {error}")))?;
    let kept = remembered.connections();
    let there = mounted.iter().map(|mounted| connected(mounted, remembered));
    let missing = kept.iter().filter(|kept| mounted.iter().all(|there| there.directory != kept.directory));
    Ok(there.chain(missing.map(unavailable)).collect())
}

/// Prints the list.
pub(super) fn list(remembered: &Remembered, console: &mut Console) -> Result<(), Failure> {
    let connections = all(remembered)?;
    if console.json() {
        return console.document("connections", &connections);
    }
    let heading =
        if remembered.by_default() { messages::WILL_BE_REMEMBERED } else { messages::WILL_NOT_BE_REMEMBERED };
    console.line(&format!("{heading}\n"));
    if connections.is_empty() {
        console.line(&format!("{}\n", messages::NO_ENTRIES));
        return Ok(());
    }
    let rows = connections.iter().map(|connection| {
        vec![
            connection.status.to_owned(),
            connection.local.display().to_string(),
            connection.remote.clone(),
            NETWORK.to_owned(),
        ]
    });
    console.write(&format!("\n{}", Table { columns: &COLUMNS, rows }.text(false, None)));
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

/// Prints one connection.
pub(super) fn details(
    directory: &Path,
    remembered: &Remembered,
    console: &mut Console,
) -> Result<(), Failure> {
    let found = all(remembered)?.into_iter().find(|connection| connection.local == directory);
    let connection = found.ok_or_else(|| Failure::from(Numbered::new(control::number::USE_NOT_FOUND)))?;
    if console.json() {
        return console.document("connection", &connection);
    }
    let connected = usize::from(connection.via.is_some());
    let opens = connection.opens.map(|opens| label("# Opens", &opens.to_string())).unwrap_or_default();
    let text = [
        label("Local name", &connection.local.display().to_string()),
        label("Remote name", &connection.remote),
        label("Resource type", "Disk"),
        label("Status", connection.status),
        opens,
        label("# Connections", &connected.to_string()),
        connection.problem.as_deref().map(|problem| label("Problem", problem)).unwrap_or_default(),
    ];
    console.write(&text.concat());
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

fn connected(mounted: &Mounted, remembered: &Remembered) -> ListedConnection {
    let persistent = remembered.of_directory(&mounted.directory).is_some();
    let (state, status) = match mounted.via {
        Via::Cifs => (None, OK),
        Via::Fuse => state_and_status(mount::state(&mounted.directory)),
    };
    let remote = match &state {
        Some(state) => state.target.to_string(),
        None => mounted.source.replace('/', "\\"),
    };
    ListedConnection {
        status,
        local: mounted.directory.clone(),
        remote,
        via: Some(mounted.via),
        user: state.as_ref().map(|state| state.user.clone()),
        opens: state.as_ref().map(|state| state.opens),
        persistent,
        pid: state.as_ref().map(|state| state.pid),
        problem: state.as_ref().and_then(|state| state.problem.clone()),
    }
}

fn state_and_status(state: io::Result<State>) -> (Option<State>, &'static str) {
    match state {
        Ok(state) => {
            let status = match state.status {
                Status::Ok => OK,
                Status::Reconnecting => "Reconnecting",
                Status::Disconnected => "Disconnected",
            };
            (Some(state), status)
        }
        // The mount of another user, which exists; its state cannot be read.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => (None, OK),
        Err(_) => (None, "Disconnected"),
    }
}

fn unavailable(kept: &RememberedConnection) -> ListedConnection {
    ListedConnection {
        status: "Unavailable",
        local: kept.directory.clone(),
        remote: kept.target.to_string(),
        via: None,
        user: kept.user.clone(),
        opens: None,
        persistent: true,
        pid: None,
        problem: None,
    }
}

fn label(name: &str, value: &str) -> String {
    labelled(LABEL_WIDTH, name, value)
}

const LABEL_WIDTH: usize = 18;

const OK: &str = "OK";
const NETWORK: &str = "Microsoft Windows Network";
