//! Sessions in the output of commands.

use std::collections::BTreeMap;

use control::{Connection, Event, OpenFile, Session, Timestamp, address};
use serde::Serialize;

use crate::listing::{Listed, TableForm};
use crate::messages;
use crate::open_files;
use crate::output::{
    Align, Column, Csv, Cut, Of, Table, clean_line, labelled, labelled_if_any, local_time, or_unknown, span,
    yes_or_no,
};
use crate::watch::Watched;
use crate::wmi::{ServerConnection, ServerSession};

const COLUMNS: [Column; 5] = [
    Column { title: "Computer", width: 22, align: Align::Left, cut: Cut::End },
    Column { title: "User name", width: 20, align: Align::Left, cut: Cut::End },
    Column { title: "Client Type", width: 17, align: Align::Left, cut: Cut::End },
    Column { title: "Opens", width: 5, align: Align::Right, cut: Cut::Never },
    Column { title: "Idle time", width: 9, align: Align::Left, cut: Cut::Never },
];

/// NET's columns and ours.
const MORE_COLUMNS: [Column; 10] = [
    COLUMNS[0],
    COLUMNS[1],
    COLUMNS[2],
    COLUMNS[3],
    Column { title: "Idle time", width: 11, align: Align::Left, cut: Cut::Never },
    Column { title: "ID", width: 10, align: Align::Left, cut: Cut::Never },
    Column { title: "Dialect", width: 7, align: Align::Left, cut: Cut::Never },
    Column { title: "Signed", width: 6, align: Align::Left, cut: Cut::Never },
    Column { title: "Encrypted", width: 9, align: Align::Left, cut: Cut::Never },
    Column { title: "Connected", width: 19, align: Align::Left, cut: Cut::Never },
];

const SHARE_COLUMNS: [Column; 3] = [
    Column { title: "Share name", width: 14, align: Align::Left, cut: Cut::End },
    Column { title: "Type", width: 8, align: Align::Left, cut: Cut::Never },
    Column { title: "# Opens", width: 5, align: Align::Right, cut: Cut::Never },
];

impl Listed for Session {
    const ONE: &'static str = "session";
    const MANY: &'static str = "sessions";
    const CSV: Csv = Csv {
        columns: &[
            ("id", "/id"),
            ("computer", "/computer"),
            ("computer_name", "/computer_name"),
            ("user", "/user"),
            ("domain", "/domain"),
            ("client_type", "/client_type"),
            ("opens", "/opens"),
            ("connected_at", "/connected_at"),
            ("active_seconds", "/active_seconds"),
            ("idle_seconds", "/idle_seconds"),
            ("guest", "/guest"),
            ("anonymous", "/anonymous"),
            ("dialect", "/dialect"),
            ("signed", "/signed"),
            ("encrypted", "/encrypted"),
            ("cipher", "/cipher"),
            ("signing", "/signing"),
            ("transport", "/transport"),
            ("shares", "/shares"),
        ],
        more: &[],
    };
    const WMI: &'static str = "Win32_ServerSession";
    type Wmi = ServerSession;

    fn make(&self) -> Option<&str> {
        self.make.as_deref()
    }
}

impl Watched for Session {
    const COMES_AND_GOES: [&'static str; 2] = ["came", "left"];

    fn is(&self, other: &Self) -> bool {
        match (self.id, other.id) {
            (Some(id), Some(other_id)) => id == other_id && self.make == other.make,
            _ => self.computer == other.computer && self.user == other.user,
        }
    }

    fn differs(&self, other: &Self) -> bool {
        let still = |session: &Self| Self {
            active_seconds: Default::default(),
            idle_seconds: Default::default(),
            ..session.clone()
        };
        still(self) != still(other)
    }

    fn line(&self) -> String {
        let user = if is_user_unknown(self) { "(unknown)" } else { &self.user };
        let whose = crate::open_files::by(user, Some(&self.computer));
        format!("{}  {whose}  {} open", or_unknown(self.id), or_unknown(self.opens))
    }

    fn from_arrival(event: &Event) -> Option<Self> {
        let id = event.session_id.filter(|_| event.kind == "session_up")?;
        Some(Self {
            id: Some(id),
            computer: event.computer.clone().unwrap_or_default(),
            user: event.user.clone().unwrap_or_default(),
            connected_at: event.at,
            ..Self::default()
        })
    }

    fn is_departure(&self, event: &Event) -> bool {
        event.kind == "session_down" && event.session_id.is_some() && event.session_id == self.id
    }
}

/// The content of `--json=wmi`.
#[derive(Serialize)]
pub(super) struct Wmi {
    #[serde(rename = "Win32_ServerSession")]
    pub(super) sessions: Vec<Of<ServerSession>>,
    #[serde(rename = "Win32_ServerConnection")]
    pub(super) connections: Vec<Of<ServerConnection>>,
}

/// True if the connection belongs to the session; without session ids, if user and computer are the same.
pub(super) fn is_connection_of(connection: &Connection, session: &Session) -> bool {
    match (connection.session_id, session.id) {
        (Some(of), Some(id)) => of == id,
        _ => {
            wire::eq_ignore_case(&connection.user, &session.user)
                && connection.computer.as_ref().is_none_or(|it| address::same_computer(it, &session.computer))
        }
    }
}

/// A line for each drain that applies to the sessions.
pub(super) fn drains(sessions: &[Of<Session>]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for drain in sessions.iter().filter_map(|it| it.entry.drain.as_ref()) {
        let line = format!("{}.\n", crate::applets::drain::short(drain));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    if lines.is_empty() { String::new() } else { format!("\n{}", lines.concat()) }
}

/// The lines about opens that wait for their clients: users, computers, and the times at which the first and the last of
/// them end.
pub(super) fn waiting(files: &[Of<OpenFile>]) -> String {
    let mut groups: BTreeMap<(Option<&str>, String), (usize, Timestamp, Timestamp)> = BTreeMap::new();
    for file in files {
        let Some(until) = file.entry.waits_until else { continue };
        let group = groups.entry((file.server.as_deref(), open_files::whose(&file.entry)));
        let (count, first, last) = group.or_insert((0, until, until));
        (*count, *first, *last) = (count.saturating_add(1), until.min(*first), until.max(*last));
    }
    let lines: String = groups
        .into_iter()
        .map(|((server, whose), (count, first, last))| {
            let server = server.map(|server| format!("{server}: ")).unwrap_or_default();
            let (opens, waits) = if count == 1 { ("open file", "waits") } else { ("open files", "wait") };
            let until = match first == last {
                true => local_time(first),
                false => format!("{} to {}", local_time(first), local_time(last)),
            };
            clean_line(&format!(
                "{server}{count} {opens} of {whose} {waits} for the client, until {until}: net file --waiting"
            )) + "\n"
        })
        .collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// NET's table.
pub(super) fn table(sessions: &[Of<Session>], several: bool, form: TableForm) -> String {
    let table = form.table([&COLUMNS, &MORE_COLUMNS], sessions, several, |session| {
        vec![
            address::display(&session.computer).into(),
            user(session).into(),
            session.client_type.as_deref().unwrap_or_default().into(),
            or_unknown(session.opens).into(),
            or_unknown(session.idle_seconds.map(span)).into(),
            or_unknown(session.id).into(),
            or_unknown(session.dialect.as_ref()).into(),
            or_unknown(session.signed.map(yes_or_no)).into(),
            or_unknown(session.encrypted.map(yes_or_no)).into(),
            or_unknown(session.connected_at.map(local_time)).into(),
        ]
    });
    format!("\n{table}")
}

/// A block for each session.
pub(in crate::applets) fn details(
    sessions: &[Of<Session>],
    with_shares: bool,
    verbose: bool,
    compat: bool,
) -> String {
    let blocks = sessions.iter().map(|it| {
        let server = it.server.as_deref().map(|server| label("Server", server)).unwrap_or_default();
        server + &detail(&it.entry, with_shares, verbose, compat)
    });
    blocks.collect::<Vec<_>>().join("\n")
}

fn detail(session: &Session, with_shares: bool, verbose: bool, compat: bool) -> String {
    let client_type = session.client_type.clone().unwrap_or_default();
    let mut text = [
        label("User name", user(session)),
        label("Computer", &address::bracketed(&session.computer)),
        label("Guest logon", &or_unknown(session.guest.map(yes_or_no))),
        label("Client type", &client_type),
        label("Sess time", &or_unknown(session.active_seconds.map(span))),
        label("Idle time", &or_unknown(session.idle_seconds.map(span))),
    ]
    .concat();
    if verbose {
        text.push_str(&more(session));
    }
    let shares = session.shares.as_deref().unwrap_or_default();
    if with_shares && !shares.is_empty() {
        let rows = shares.iter().map(|share| {
            vec![share.name.clone(), messages::kind(share.kind).to_owned(), or_unknown(share.opens)]
        });
        let table = Table { columns: &SHARE_COLUMNS, rows };
        text.push_str(&format!("\n{}", table.text(compat, None)));
    }
    text
}

fn more(session: &Session) -> String {
    let optional = |name: &str, value: Option<String>| labelled_if_any(LABEL_WIDTH, name, value);
    let secured = |flag: Option<bool>, algorithm: &Option<String>| {
        flag.map(|flag| match algorithm {
            Some(algorithm) if flag => format!("Yes, {algorithm}"),
            _ => yes_or_no(flag).to_owned(),
        })
    };
    [
        optional("Make", session.make.as_ref().map(ToString::to_string)),
        optional("Session ID", session.id.map(|id| id.to_string())),
        optional("Domain", session.domain.clone()),
        optional("Computer name", session.computer_name.clone()),
        label("Anonymous", &or_unknown(session.anonymous.map(yes_or_no))),
        optional("Dialect", session.dialect.clone()),
        optional("Signed", secured(session.signed, &session.signing)),
        optional("Encrypted", secured(session.encrypted, &session.cipher)),
        optional("Transport", session.transport.clone()),
        optional("Connected", session.connected_at.map(local_time)),
        label("# Opens", &or_unknown(session.opens)),
    ]
    .concat()
}

/// True if another make does not report the user.
pub(crate) fn is_user_unknown(session: &Session) -> bool {
    session.user.is_empty() && session.make.is_some() && session.anonymous != Some(true)
}

/// The user's name, or a hyphen if it is unknown.
fn user(session: &Session) -> &str {
    if is_user_unknown(session) { "-" } else { &session.user }
}

fn label(name: &str, value: &str) -> String {
    labelled(LABEL_WIDTH, name, value)
}

const LABEL_WIDTH: usize = 16;
