//! The text of `smbstatus`: of versions without JSON, and for opens that the JSON omits because their names are not
//! UTF-8.
//!
//! The columns are as wide as their longest value, and names may contain spaces; a row is read from both ends. Session
//! ids, the numbers of opens and byte-range locks are not in it.

use super::status::{OpenRow, Protection, SessionRow, Status, TreeRow, caching};

/// The report. Rows that cannot be read are skipped.
pub(super) fn parse(text: &[u8]) -> Status {
    let text = String::from_utf8_lossy(text);
    let mut status = Status::default();
    let mut part = Part::Other;
    for line in text.lines() {
        if let Some(version) = line.strip_prefix("Samba version ") {
            status.version = Some(version.trim().to_owned());
        } else if let Some(heading) = Part::of_heading(line) {
            part = heading;
        } else {
            match part {
                Part::Sessions => status.sessions.extend(session(line)),
                Part::Trees => status.trees.extend(tree(line)),
                Part::Opens => status.opens.extend(open(line)),
                Part::Other => {}
            }
        }
    }
    status
}

/// The part of the report that a row belongs to.
#[derive(Clone, Copy)]
enum Part {
    Sessions,
    Trees,
    Opens,
    Other,
}

impl Part {
    fn of_heading(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().take(3).collect();
        match words.as_slice() {
            ["PID", "Username", "Group"] => Some(Self::Sessions),
            ["Service", "pid", "Machine"] => Some(Self::Trees),
            ["Pid", "User(ID)", "DenyMode"] => Some(Self::Opens),
            ["Byte", "range", ..] | ["Pid", "dev:inode", ..] | ["No", "locked", ..] => Some(Self::Other),
            _ => None,
        }
    }
}

/// `PID  USER  GROUP  MACHINE (SOCKET)  DIALECT  ENCRYPTION  SIGNING`.
fn session(line: &str) -> Option<SessionRow> {
    let (process, rest) = first_word(line)?;
    let process = process.parse().ok()?;
    let (names, rest) = rest.split_once(" (")?;
    let (socket, rest) = rest.split_once(')')?;
    let (names, machine) = names.trim().rsplit_once(' ')?;
    // Two spaces or more separate columns; a name of several words has single ones.
    let user = names.trim().split("  ").next()?.trim();
    let mut more = rest.split_whitespace();
    let dialect = more.next().map(str::to_owned);
    Some(SessionRow {
        process,
        user: user.to_owned(),
        machine: machine.to_owned(),
        socket: Some(socket.to_owned()),
        dialect,
        encryption: protection(more.next()),
        signing: protection(more.next()),
        ..SessionRow::default()
    })
}

/// `-`, `AES-128-GCM` or `partial(AES-128-GCM)`.
fn protection(word: Option<&str>) -> Protection {
    let Some(word) = word else { return Protection::default() };
    let algorithm = word.split_once('(').map_or(word, |(_degree, inner)| inner.trim_end_matches(')'));
    let used = word != "-" && !word.starts_with("anonymous");
    Protection { used: Some(used), algorithm: Some(algorithm.to_owned()).filter(|it| it != "-") }
}

/// `SERVICE  PID  MACHINE  WEEKDAY MONTH DAY TIME YEAR ZONE  ENCRYPTION  SIGNING`.
fn tree(line: &str) -> Option<TreeRow> {
    // A service's name may contain spaces; the process is the first number behind one, before a machine and a
    // weekday.
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = (1..words.len()).find(|at| {
        let is_number = words.get(*at).is_some_and(|word| word.parse::<u64>().is_ok());
        is_number && words.get(at + 2).is_some_and(|word| WEEKDAYS.contains(word))
    })?;
    let process = words.get(at)?;
    Some(TreeRow {
        process: process.parse().ok()?,
        share: words.get(..at)?.join(" "),
        machine: (*words.get(at + 1)?).to_owned(),
        ..TreeRow::default()
    })
}

/// `PID  UID  DENY  ACCESS  R/W  OPLOCK  DIRECTORY   NAME   TIME`.
fn open(line: &str) -> Option<OpenRow> {
    let mut rest = line;
    let mut next = || {
        let (word, behind) = first_word(rest)?;
        rest = behind;
        Some(word)
    };
    let (process, uid) = (next()?.parse().ok()?, next()?.parse().ok());
    let (_deny, access, _letters, oplock) = (next()?, next()?, next()?, next()?);
    let place = rest.trim_start();
    let end = place.len().checked_sub(CTIME.len())?;
    let (place, time) = place.split_at_checked(end)?;
    if !WEEKDAYS.contains(&time.get(..3)?) {
        return None;
    }
    let (directory, name) = place.strip_suffix("   ").unwrap_or(place).split_once("   ")?;
    let (oplock, lease) = caching(oplock);
    Some(OpenRow {
        process,
        uid,
        access: access.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok()),
        oplock,
        lease,
        directory: directory.to_owned(),
        name: name.to_owned(),
        ..OpenRow::default()
    })
}

fn first_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(' ').unwrap_or(text.len());
    text.split_at_checked(end).filter(|(word, _)| !word.is_empty())
}

/// The form of a time, in the time zone of the server.
const CTIME: &str = "Sun Nov 29 22:26:09 2026";

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
