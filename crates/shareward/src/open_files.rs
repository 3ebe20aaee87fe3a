//! Open files in the output of commands.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use control::{AnnouncedClose, Event, OpenFile, Timestamp, address, permission};

use crate::listing::{Listed, TableForm};
use crate::output::{
    Align, Column, Csv, Cut, Of, clean_line, labelled, labelled_if_any, local_time, or_unknown, span,
    yes_or_no,
};
use crate::watch::Watched;
use crate::wmi::SmbOpenFile;

/// NET's columns.
pub(crate) const COLUMNS: [Column; 4] = [
    Column { title: "ID", width: 10, align: Align::Left, cut: Cut::Never },
    Column { title: "Path", width: 39, align: Align::Left, cut: Cut::Middle },
    Column { title: "User name", width: 20, align: Align::Left, cut: Cut::End },
    Column { title: "# Locks", width: 7, align: Align::Left, cut: Cut::Never },
];

/// NET's columns and ours.
const MORE_COLUMNS: [Column; 9] = [
    COLUMNS[0],
    COLUMNS[1],
    COLUMNS[2],
    COLUMNS[3],
    Column { title: "Computer", width: 15, align: Align::Left, cut: Cut::End },
    Column { title: "Access", width: 7, align: Align::Left, cut: Cut::Never },
    Column { title: "Caching", width: 9, align: Align::Left, cut: Cut::Never },
    Column { title: "Opened", width: 19, align: Align::Left, cut: Cut::Never },
    Column { title: "Idle time", width: 9, align: Align::Left, cut: Cut::Never },
];

impl Listed for OpenFile {
    const ONE: &'static str = "file";
    const MANY: &'static str = "files";
    const CSV: Csv = Csv {
        columns: &[
            ("id", "/id"),
            ("path", "/path"),
            ("server_path", "/server_path"),
            ("share", "/share"),
            ("user", "/user"),
            ("computer", "/computer"),
            ("session_id", "/session_id"),
            ("access_mask", "/access/mask"),
            ("access_names", "/access/names"),
            ("share_access", "/share_access"),
            ("permissions", "/permissions"),
            ("locks", "/locks"),
            ("lock_ranges", "/lock_ranges"),
            ("oplock", "/oplock"),
            ("lease", "/lease"),
            ("durable", "/durable"),
            ("directory", "/directory"),
            ("delete_pending", "/delete_pending"),
            ("opened_at", "/opened_at"),
            ("idle_seconds", "/idle_seconds"),
            ("bytes_read", "/bytes_read"),
            ("bytes_written", "/bytes_written"),
            ("pipe", "/pipe"),
            ("guest", "/guest"),
            ("waits_until", "/waits_until"),
        ],
        more: &[],
    };
    const WMI: &'static str = "MSFT_SmbOpenFile";
    type Wmi = SmbOpenFile;

    fn make(&self) -> Option<&str> {
        self.make.as_deref()
    }
}

impl Watched for OpenFile {
    const COMES_AND_GOES: [&'static str; 2] = ["opened", "closed"];

    fn is(&self, other: &Self) -> bool {
        self.id == other.id && self.make == other.make
    }

    fn differs(&self, other: &Self) -> bool {
        let still =
            |file: &Self| Self { idle_seconds: None, bytes_read: None, bytes_written: None, ..file.clone() };
        still(self) != still(other)
    }

    fn line(&self) -> String {
        format!("{}  {}  {}", self.id, shown_path(self), whose(self))
    }

    fn from_arrival(event: &Event) -> Option<Self> {
        let id = event.file_id.filter(|_| event.kind == "opened")?;
        Some(Self {
            id,
            path: event.path.clone().unwrap_or_default(),
            share: event.share.clone(),
            user: event.user.clone().unwrap_or_default(),
            computer: event.computer.clone(),
            session_id: event.session_id,
            opened_at: event.at,
            ..Self::default()
        })
    }

    fn is_departure(&self, event: &Event) -> bool {
        event.kind == "closed" && event.file_id == Some(self.id)
    }
}

/// The table of `files`, from one server or `several`.
pub(crate) fn table(files: &[Of<OpenFile>], several: bool, form: TableForm) -> String {
    let table = form.table([&COLUMNS, &MORE_COLUMNS], files, several, |file| {
        vec![
            file.id.to_string().into(),
            shown_path(file).into(),
            known_user(&file.user, file.make.is_some()).into(),
            or_unknown(file.locks).into(),
            or_unknown(file.computer.as_deref().map(address::bracketed)).into(),
            or_unknown(file.permissions.map(letters)).into(),
            caching(file).into(),
            or_unknown(file.opened_at.map(local_time)).into(),
            or_unknown(file.idle_seconds.map(span)).into(),
        ]
    });
    let closing = files.iter().filter_map(|file| {
        let (file, closing) = (&file.entry, file.entry.closing.as_ref()?);
        Some(format!("{} is closed at {}{}\n", file.id, local_time(closing.at), said(&closing.text)))
    });
    let closing: String = closing.map(|line| clean_line(line.trim_end()) + "\n").collect();
    let waiting: String = files.iter().filter_map(|file| waiting(&file.entry)).collect();
    if closing.is_empty() && waiting.is_empty() { table } else { format!("{table}\n{closing}{waiting}") }
}

/// The line about an open whose client is gone.
pub(crate) fn waiting(file: &OpenFile) -> Option<String> {
    let until = file.waits_until?;
    let line =
        format!("{} waits for its client until {}, {} from now", file.id, local_time(until), left(until));
    Some(clean_line(&line) + "\n")
}

/// The time from now until then; nothing if it is over.
fn left(until: Timestamp) -> String {
    let millis = until.0.saturating_sub(Timestamp::now().0);
    span(u64::try_from(millis).unwrap_or_default().div_ceil(1000))
}

/// The message of an announced close, behind its time.
fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// The path that NET shows: the one on the server's disk; for a pipe, its name.
pub(crate) fn shown_path(file: &OpenFile) -> &str {
    file.server_path.as_deref().unwrap_or(&file.path)
}

/// The user and the computer that have it open.
pub(crate) fn whose(file: &OpenFile) -> String {
    by(&user(file), file.computer.as_deref())
}

/// The user's name, marked if it is a guest: a guest may use the name of an account.
fn user(file: &OpenFile) -> Cow<'_, str> {
    match file.guest {
        Some(true) => format!("{} (guest)", file.user).into(),
        _ => user_name(file).into(),
    }
}

/// The user's name, or why there is none: other makes do not report every user.
pub(crate) fn user_name(file: &OpenFile) -> &str {
    match file.user.as_str() {
        "" if file.make.is_some() => "(unknown)",
        "" => "(anonymous)",
        user => user,
    }
}

/// The user's name in a table; a hyphen if another make does not report it.
pub(crate) fn known_user(user: &str, is_other_make: bool) -> &str {
    if user.is_empty() && is_other_make { "-" } else { user }
}

/// A user and a computer, for messages.
pub(crate) fn by(user: &str, computer: Option<&str>) -> String {
    let user = if user.is_empty() { "(anonymous)" } else { user };
    match computer {
        Some(computer) => format!("{user} from {}", address::bracketed(computer)),
        None => user.to_owned(),
    }
}

/// The caching that the client was granted.
pub(crate) fn caching(file: &OpenFile) -> String {
    match (file.lease.as_deref(), file.oplock.as_deref()) {
        (Some(""), _) => String::from("none"),
        (Some(letters), _) => format!("lease {letters}"),
        (None, oplock) => or_unknown(oplock),
    }
}

/// True if the client may have unwritten changes; `None` if the server does not report its caching.
pub(crate) fn may_have_unwritten(file: &OpenFile) -> Option<bool> {
    match (file.lease.as_deref(), file.oplock.as_deref()) {
        (Some(letters), _) => Some(letters.contains('W')),
        (None, Some(oplock)) => Some(matches!(oplock, "exclusive" | "batch")),
        (None, None) => None,
    }
}

/// True if it was opened for writing, or if the server does not report the access.
pub(crate) fn may_write(file: &OpenFile) -> bool {
    file.permissions.is_none_or(|bits| bits & permission::WRITE != 0)
}

/// The number of files, in total and for each user.
pub(crate) fn counted(files: &[OpenFile]) -> String {
    let mut users: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files {
        *users.entry(user_name(file)).or_default() += 1;
    }
    let users: Vec<String> = users.iter().map(|(user, count)| format!("{count} of {user}")).collect();
    clean_line(&format!("{}: {}", number(files.len(), "file", "files"), users.join(", ")))
}

/// A count with its noun.
pub(crate) fn number(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The lines of `net file ID`.
pub(crate) fn detail(file: &OpenFile) -> String {
    [
        label("File ID", &file.id.to_string()),
        label("User name", known_user(&file.user, file.make.is_some())),
        label("Locks", &or_unknown(file.locks)),
        label("Path", shown_path(file)),
        label("Permissions", &or_unknown(file.permissions.map(letters))),
        file.closing.iter().map(closing).collect(),
        file.waits_until
            .map(|until| label("Waits until", &format!("{}, {} from now", local_time(until), left(until))))
            .unwrap_or_default(),
    ]
    .concat()
}

/// The line about an announced close.
fn closing(closing: &AnnouncedClose) -> String {
    label("Closes at", &format!("{}{}", local_time(closing.at), said(&closing.text)))
}

/// The lines that `net file ID /verbose` adds.
pub(crate) fn more(file: &OpenFile) -> String {
    let optional = |name: &str, value: Option<String>| labelled_if_any(LABEL_WIDTH, name, value);
    let yes = |flag: Option<bool>| flag.map(|flag| yes_or_no(flag).to_owned());
    let text = |value: &Option<String>| value.clone();
    let lines = [
        optional("Make", file.make.as_ref().map(ToString::to_string)),
        optional("Guest logon", yes(file.guest)),
        optional("Computer", file.computer.as_deref().map(address::bracketed)),
        optional("Session ID", file.session_id.map(|id| id.to_string())),
        optional("Share", text(&file.share)),
        optional("Share path", Some(file.path.clone()).filter(|_| file.server_path.is_some())),
        optional("Access", access(file)),
        optional("Shared for", file.share_access.as_ref().map(|names| names.join(" "))),
        optional("Oplock", file.oplock.as_ref().map(ToString::to_string)),
        optional("Lease", file.lease.as_ref().map(ToString::to_string)),
        optional("Durable", yes(file.durable)),
        optional("Directory", yes(file.directory)),
        optional("Delete pending", yes(file.delete_pending)),
        optional("Opened", file.opened_at.map(local_time)),
        optional("Idle time", file.idle_seconds.map(span)),
        optional("Bytes read", file.bytes_read.map(|bytes| bytes.to_string())),
        optional("Bytes written", file.bytes_written.map(|bytes| bytes.to_string())),
    ];
    lines.concat() + &lock_ranges(file)
}

/// The granted access in the specification's terms.
pub(crate) fn access(file: &OpenFile) -> Option<String> {
    file.access.as_ref().map(|access| format!("{} {}", access.mask, access.names.join(" ")))
}

/// The locked byte ranges, one per line.
pub(crate) fn lock_ranges(file: &OpenFile) -> String {
    let mut lines = String::new();
    for range in &file.lock_ranges {
        let kind = if range.exclusive { "exclusive" } else { "shared" };
        let value = format!("{} bytes from {}, {kind}", range.length, range.offset);
        let _ = write!(lines, "{}", label("Locked", &value));
    }
    lines
}

/// A line with a label and a value.
pub(crate) fn label(name: &str, value: &str) -> String {
    labelled(LABEL_WIDTH, name, value)
}

const LABEL_WIDTH: usize = 17;

/// The letters of LAN Manager's permissions.
pub(crate) fn letters(permissions: u32) -> String {
    let bits = [
        (permission::READ, 'R'),
        (permission::WRITE, 'W'),
        (permission::CREATE, 'C'),
        (permission::EXECUTE, 'X'),
        (permission::DELETE, 'D'),
        (permission::ATTRIBUTES, 'A'),
        (permission::PERMISSIONS, 'P'),
    ];
    bits.into_iter().filter(|(bit, _)| permissions & bit != 0).map(|(_, letter)| letter).collect()
}

#[cfg(test)]
mod tests {
    use control::Word;
    use serde_json::{Value, to_value};

    use super::*;

    #[test]
    fn a_narrow_terminal_shortens_the_path_and_nothing_else() {
        let path = "/srv/data/projects/a/very/long/way/down/report.docx";
        let file =
            OpenFile { id: 2_214_593_372, path: path.into(), user: "alice".into(), ..OpenFile::default() };
        let text = |compat, width| {
            let form = TableForm { verbose: false, compat, width };
            table(&[Of { server: None, entry: file.clone() }], false, form)
        };
        assert!(text(false, None).contains(path));
        assert!(text(false, Some(200)).contains(path));
        for text in [text(false, Some(80)), text(true, None), text(true, Some(200))] {
            assert!(!text.contains(path));
            assert!(text.contains("/report.docx alice"), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }

    #[test]
    fn a_table_of_several_makes_says_which() {
        let of = |make: Option<&'static str>, user: &str| Of {
            server: None,
            entry: OpenFile {
                id: 7,
                path: "a.txt".into(),
                user: user.into(),
                make: make.map(Word::known),
                ..OpenFile::default()
            },
        };
        let lines = |files: &[Of<OpenFile>], several| {
            let text = table(files, several, TableForm::default());
            let rows = text.lines().filter(|line| !line.is_empty() && !line.starts_with('-'));
            rows.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(
            lines(&[of(Some("samba"), "alice"), of(Some("nfs"), "")], false),
            ["Make ID Path User name # Locks", "samba 7 a.txt alice -", "nfs 7 a.txt - -"]
        );
        assert_eq!(
            lines(&[of(Some("samba"), "alice"), of(Some("samba"), "bob")], false)[0],
            "ID Path User name # Locks"
        );
        assert_eq!(lines(&[of(None, "")], false)[1], "7 a.txt -");
        // The names of the servers say it already.
        let named = |make| Of { server: Some(format!("{make}:")), ..of(Some(make), "alice") };
        assert_eq!(lines(&[named("samba"), named("nfs")], true)[1], "samba: 7 a.txt alice -");
    }

    #[test]
    fn csv_has_the_make_of_other_servers_only() {
        let file = OpenFile { make: Some(Word::known("nfs")), ..OpenFile::default() };
        let csv = OpenFile::CSV.with_make(true);
        assert!(csv.header(false).trim_end().ends_with(",guest,waits_until,make"));
        assert!(csv.row(None, &file, false).trim_end().ends_with(",nfs"));
        assert!(!OpenFile::CSV.with_make(false).header(false).contains("make"));
    }

    #[test]
    fn an_unknown_user_is_not_an_anonymous_one() {
        let of = |make: Option<Word>| whose(&OpenFile { make, ..OpenFile::default() });
        assert_eq!([of(None), of(Some(Word::known("nfs")))], ["(anonymous)", "(unknown)"]);
    }

    #[test]
    fn csv_has_every_field_of_the_json() {
        for (entry, csv) in [
            (to_value(OpenFile::default()), OpenFile::CSV),
            (to_value(control::Session::default()), control::Session::CSV),
        ] {
            let Ok(Value::Object(fields)) = entry else { unreachable!() };
            for field in fields.keys() {
                let pointer = format!("/{field}");
                assert!(csv.columns.iter().any(|(_, it)| it.starts_with(&pointer)), "{field}");
            }
        }
    }

    #[test]
    fn a_guest_is_marked_to_differ_from_the_account_of_its_name() {
        let of = |guest| whose(&OpenFile { user: "carol".into(), guest, ..OpenFile::default() });
        assert_eq!([of(None), of(Some(false)), of(Some(true))], ["carol", "carol", "carol (guest)"]);
    }

    #[test]
    fn write_caching_means_unwritten_changes() {
        for (lease, oplock, expected) in [
            (Some("RWH"), Some("lease"), Some(true)),
            (Some("RH"), Some("lease"), Some(false)),
            (Some(""), None, Some(false)),
            (None, Some("batch"), Some(true)),
            (None, Some("exclusive"), Some(true)),
            (None, Some("level2"), Some(false)),
            (None, Some("none"), Some(false)),
            (None, None, None),
        ] {
            let file = OpenFile {
                lease: lease.map(Word::from),
                oplock: oplock.map(Word::from),
                ..OpenFile::default()
            };
            assert_eq!(may_have_unwritten(&file), expected, "{lease:?} {oplock:?}");
        }
    }
}
