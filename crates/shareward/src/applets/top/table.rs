//! The lists: their columns, and their rows from what the servers report.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use control::{OpenFile, Session, Timestamp, address, glob};
use wire::names::upper;

use super::server_state::{FileId, Refused, ServerState, file_id, moved};
use crate::open_files;
use crate::output::{bytes, clean_line, local_time, or_unknown, span};

/// A list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Sessions,
    Files,
    Busiest,
    Refusals,
}

/// A column. Columns with higher numbers of `rank` are left out first on a narrow screen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) width: usize,
    pub(super) right: bool,
    /// True for the column that takes the space that is left.
    pub(super) grows: bool,
    pub(super) rank: u8,
    /// True if the highest values come first when the list is sorted by the column.
    descending: bool,
}

const fn text(title: &'static str, width: usize, rank: u8) -> Column {
    Column { title, width, right: false, grows: false, rank, descending: false }
}

const fn number(title: &'static str, width: usize, rank: u8) -> Column {
    Column { right: true, descending: true, ..text(title, width, rank) }
}

const fn growing(title: &'static str, width: usize) -> Column {
    Column { grows: true, ..text(title, width, 0) }
}

/// The column with the server's name, in front of the others if there are several servers.
pub(super) const SERVER: Column = text("Server", 12, 1);

const SESSIONS: [Column; 6] = [
    growing("User", 8),
    text("Computer", 18, 1),
    number("Opens", 5, 2),
    number("Idle", 8, 3),
    number("Connected", 11, 4),
    text("Dialect", 7, 5),
];

const FILES: [Column; 6] = [
    number("ID", 7, 3),
    text("User", 12, 1),
    text("Computer", 15, 4),
    text("Access", 6, 5),
    number("Locks", 5, 6),
    growing("Path", 10),
];

const BUSIEST: [Column; 5] = [
    number("Rate", 9, 1),
    number("Read", 9, 3),
    number("Written", 9, 4),
    number("Opens", 5, 2),
    growing("Path", 10),
];

const REFUSALS: [Column; 5] = [
    Column { descending: true, ..text("Time", 8, 1) },
    text("User", 10, 2),
    text("Reason", 17, 3),
    text("In the way", 20, 4),
    growing("Path", 10),
];

impl Tab {
    /// All lists, in the order of their numbers.
    pub(super) const ALL: [Self; 4] = [Self::Sessions, Self::Files, Self::Busiest, Self::Refusals];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Sessions => "Sessions",
            Self::Files => "Open files",
            Self::Busiest => "Busiest",
            Self::Refusals => "Refusals",
        }
    }

    pub(super) const fn columns(self) -> &'static [Column] {
        match self {
            Self::Sessions => &SESSIONS,
            Self::Files => &FILES,
            Self::Busiest => &BUSIEST,
            Self::Refusals => &REFUSALS,
        }
    }

    /// The column by which the list is sorted at first, and true for descending.
    pub(super) const fn usual_sort(self) -> (usize, bool) {
        match self {
            Self::Sessions => (0, false),
            Self::Files => (5, false),
            Self::Busiest | Self::Refusals => (0, true),
        }
    }

    /// True if the highest values of the column come first.
    pub(super) fn is_descending(self, column: usize) -> bool {
        self.columns().get(column).is_some_and(|it| it.descending)
    }

    /// The list that follows after this number of lists.
    pub(super) fn neighbour(self, after: usize) -> Self {
        let at = Self::ALL.iter().position(|it| *it == self).unwrap_or_default();
        Self::ALL.iter().cycle().nth(at + after).copied().unwrap_or(self)
    }
}

/// The entry of a row, with the number of its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RowKey {
    Session(usize, Option<u32>, String, String),
    File(usize, FileId),
    Path(usize, String, String),
    Refusal(usize, u64),
}

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) key: RowKey,
    /// The name of the server; empty for the server of this machine.
    pub(super) server: String,
    /// The values of the columns.
    pub(super) cells: Vec<String>,
    order: Vec<Order>,
}

/// A value by which rows are sorted. An unknown one comes last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Order {
    Number(Option<u64>),
    Text(String),
}

impl Order {
    fn compare(&self, other: &Self, descending: bool) -> Ordering {
        let ordering = match (self, other) {
            (Self::Number(None), Self::Number(Some(_))) => return Ordering::Greater,
            (Self::Number(Some(_)), Self::Number(None)) => return Ordering::Less,
            (Self::Number(one), Self::Number(two)) => one.cmp(two),
            (Self::Text(one), Self::Text(two)) => one.cmp(two),
            _ => Ordering::Equal,
        };
        if descending { ordering.reverse() } else { ordering }
    }
}

impl Row {
    fn new(key: RowKey, server: &ServerState, values: Vec<(String, Order)>) -> Self {
        let server = clean_line(server.name.as_deref().unwrap_or_default());
        let (cells, order) = values.into_iter().unzip();
        Self { key, server, cells, order }
    }

    /// True if a value has the text or matches it as a pattern, as paths in `net file --path` do.
    pub(super) fn has_text(&self, wanted: &str) -> bool {
        self.cells.iter().chain([&self.server]).any(|cell| glob::matches(wanted, cell))
    }
}

fn words(value: &str) -> (String, Order) {
    (clean_line(value), Order::Text(upper(value)))
}

fn count(value: Option<u64>) -> (String, Order) {
    (or_unknown(value), Order::Number(value))
}

fn seconds(value: Option<u64>) -> (String, Order) {
    (or_unknown(value.map(span)), Order::Number(value))
}

fn size(value: Option<u64>) -> (String, Order) {
    (or_unknown(value.map(bytes)), Order::Number(value))
}

/// The rows of a list: those that have the text of the filter, sorted by a column.
pub(super) fn rows(
    tab: Tab,
    servers: &[ServerState],
    filter: &str,
    (column, descending): (usize, bool),
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, server) in servers.iter().enumerate() {
        match tab {
            Tab::Sessions => {
                rows.extend(server.sessions.iter().flatten().map(|it| session_row(number, server, it)));
            }
            Tab::Files => {
                rows.extend(
                    server.files.iter().flat_map(|it| it.values()).map(|it| file_row(number, server, it)),
                );
            }
            Tab::Busiest => rows.extend(busiest_rows(number, server)),
            Tab::Refusals => rows.extend(server.refusals.iter().map(|it| refusal_row(number, server, it))),
        }
    }
    rows.retain(|row| filter.is_empty() || row.has_text(filter));
    // The sort is stable: equal rows keep the order in which their servers list them.
    rows.sort_by(|one, other| match (one.order.get(column), other.order.get(column)) {
        (Some(one), Some(other)) => one.compare(other, descending),
        _ => Ordering::Equal,
    });
    rows
}

/// The entry of a session.
pub(super) fn session_key(server: usize, session: &Session) -> RowKey {
    RowKey::Session(server, session.id, session.computer.clone(), session.user.clone())
}

fn session_row(number: usize, server: &ServerState, session: &Session) -> Row {
    let user = match session.user.as_str() {
        "" if session.make.is_some() || session.anonymous.is_none() => "-",
        "" => "(anonymous)",
        user => user,
    };
    let values = vec![
        words(user),
        words(&address::bracketed(&session.computer)),
        count(session.opens.map(u64::from)),
        seconds(session.idle_seconds),
        seconds(session.active_seconds),
        words(session.dialect.as_deref().unwrap_or("-")),
    ];
    Row::new(session_key(number, session), server, values)
}

fn file_row(number: usize, server: &ServerState, file: &OpenFile) -> Row {
    let values = vec![
        count(Some(u64::from(file.id))),
        words(open_files::user_name(file)),
        words(&or_unknown(file.computer.as_deref().map(address::bracketed))),
        words(&or_unknown(file.permissions.map(open_files::letters))),
        count(file.locks.map(u64::from)),
        words(&full_path(file.share.as_deref(), &file.path)),
    ];
    Row::new(RowKey::File(number, file_id(file)), server, values)
}

/// A path with its share in front.
fn full_path(share: Option<&str>, path: &str) -> String {
    match share {
        Some(share) if path.is_empty() => share.to_owned(),
        Some(share) => format!("{share}\\{path}"),
        None => path.to_owned(),
    }
}

#[derive(Default)]
struct Busy {
    rate: u64,
    read: Option<u64>,
    written: Option<u64>,
    opens: u64,
}

fn busiest_rows(number: usize, server: &ServerState) -> Vec<Row> {
    let mut paths: BTreeMap<(Option<&str>, &str), Busy> = BTreeMap::new();
    let mut is_known = false;
    for (id, file) in server.files.iter().flatten().filter(|(_, file)| !file.pipe) {
        let busy = paths.entry((file.share.as_deref(), &file.path)).or_default();
        let add = |sum: &mut Option<u64>, value: Option<u64>| {
            if let Some(value) = value {
                *sum = Some(sum.unwrap_or(0).saturating_add(value));
            }
        };
        busy.rate = busy.rate.saturating_add(server.busy.get(id).copied().unwrap_or(0));
        add(&mut busy.read, file.bytes_read);
        add(&mut busy.written, file.bytes_written);
        busy.opens = busy.opens.saturating_add(1);
        is_known |= moved(file).is_some();
    }
    let row = |((share, path), busy): ((Option<&str>, &str), Busy)| {
        let rate = is_known.then_some(busy.rate);
        let shown = or_unknown(rate.map(|rate| format!("{}/s", bytes(rate))));
        // Equal rates, as zero, are in the order of the bytes that were moved.
        let values = vec![
            (shown, Order::Number(rate)),
            size(busy.read),
            size(busy.written),
            count(Some(busy.opens)),
            words(&full_path(share, path)),
        ];
        Row::new(RowKey::Path(number, share.unwrap_or_default().to_owned(), path.to_owned()), server, values)
    };
    let mut all: Vec<_> = paths.into_iter().collect();
    all.sort_by_key(|(_, busy)| {
        let total = busy.read.unwrap_or(0).saturating_add(busy.written.unwrap_or(0));
        std::cmp::Reverse((total, busy.opens))
    });
    all.into_iter().map(row).collect()
}

/// The time of day of a time.
pub(super) fn time_of_day(at: Timestamp) -> String {
    local_time(at).split_once(' ').map(|(_, time)| time.to_owned()).unwrap_or_default()
}

fn refusal_row(number: usize, server: &ServerState, refused: &Refused) -> Row {
    let at = refused.at.and_then(|at| u64::try_from(at.0).ok());
    let values = vec![
        (or_unknown(refused.at.map(time_of_day)), Order::Number(at)),
        words(&refused.user),
        words(&refused.reason),
        words(if refused.holder.is_empty() { "-" } else { &refused.holder }),
        words(&full_path(Some(&refused.share), &refused.path)),
    ];
    Row::new(RowKey::Refusal(number, refused.number), server, values)
}
