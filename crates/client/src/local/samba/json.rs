//! The JSON of `smbstatus --json --byterange --resolve-uids`, from Samba 4.17 on. Every key may be missing, and a number
//! may be a text.

use control::{LockRange, Timestamp, Word};
use serde_json::{Map, Value};

use super::status::{LockRow, OpenRow, Protection, SessionRow, Status, TreeRow, lease};

/// The report in JSON; `None` if the text is none.
pub(super) fn parse(text: &[u8]) -> Option<Status> {
    // Only names can contain bytes that are not UTF-8; the rest of the report is still readable.
    let text = String::from_utf8_lossy(text);
    let whole: Value = serde_json::from_str(&text).ok()?;
    whole.as_object()?;
    let locks = whole.get("byte_range_locks").and_then(Value::as_object);
    Some(Status {
        version: string(&whole, "version"),
        sessions: entries(&whole, "sessions").map(|(_, it)| session(it)).collect(),
        trees: entries(&whole, "tcons").map(|(_, it)| tree(it)).collect(),
        opens: entries(&whole, "open_files").flat_map(|(path, file)| opens(path, file)).collect(),
        locks: locks.map(|files| files.iter().flat_map(|(path, file)| locks_of(path, file)).collect()),
    })
}

fn session(it: &Value) -> SessionRow {
    let channels = it.get("channels").and_then(Value::as_object);
    let channel = channels.and_then(|channels| channels.values().next());
    SessionRow {
        id: number(it, "session_id"),
        process: process(it),
        uid: number(it, "uid"),
        user: string(it, "username").unwrap_or_default(),
        machine: string(it, "remote_machine").unwrap_or_default(),
        socket: channel.and_then(|it| string(it, "remote_address")).or_else(|| string(it, "hostname")),
        dialect: string(it, "session_dialect"),
        encryption: protection(it, "encryption"),
        signing: protection(it, "signing"),
        created: time(it, "auth_time").or_else(|| time(it, "creation_time")),
        transport: channel.and_then(|it| string(it, "transport")),
    }
}

fn tree(it: &Value) -> TreeRow {
    TreeRow {
        id: number(it, "tcon_id"),
        session: number(it, "session_id"),
        process: process(it),
        share: string(it, "service").unwrap_or_default(),
        machine: string(it, "machine").unwrap_or_default(),
        connected: time(it, "connected_at"),
    }
}

/// The opens of a file. The path is the key, if the file does not name its parts.
fn opens<'a>(path: &'a str, file: &'a Value) -> impl Iterator<Item = OpenRow> + 'a {
    let (directory, name) = place(path, file, "service_path", "filename");
    let inode = inode(file);
    let deletes: Option<u64> = number(file, "num_pending_deletes");
    entries(file, "opens").map(move |(key, it)| {
        let oplock = it.get("oplock").and_then(Value::as_object);
        let has =
            |name: &str| oplock.is_some_and(|bits| bits.get(name).and_then(Value::as_bool) == Some(true));
        let word = match oplock {
            None => None,
            Some(_) if has("LEASE") => Some("lease"),
            Some(_) if has("BATCH") => Some("batch"),
            Some(_) if has("EXCLUSIVE") => Some("exclusive"),
            Some(_) if has("LEVEL_II") => Some("level2"),
            Some(_) => Some("none"),
        };
        let letters = it.get("lease").and_then(|lease| string(lease, "text"));
        OpenRow {
            process: process(it),
            uid: number(it, "uid"),
            user: string(it, "username").filter(|user| !user.is_empty()),
            number: number(it, "share_file_id").or_else(|| key.rsplit_once('/')?.1.parse().ok()),
            access: mask(it, "access_mask"),
            share_access: mask(it, "sharemode"),
            oplock: word.map(Word::known),
            lease: letters.filter(|_| has("LEASE")).map(|letters| lease(&letters)),
            opened: time(it, "opened_at"),
            directory: directory.clone(),
            name: name.clone(),
            inode,
            delete_pending: deletes.map(|deletes| deletes > 0),
        }
    })
}

fn locks_of<'a>(path: &'a str, file: &'a Value) -> impl Iterator<Item = LockRow> + 'a {
    let (directory, name) = place(path, file, "share_path", "file_name");
    let locks = file.get("locks").and_then(Value::as_array).into_iter().flatten();
    locks.filter_map(move |it| {
        // Pending locks and unlocks are none.
        let exclusive = match string(it, "type")?.as_str() {
            "W" => true,
            "R" => false,
            _ => return None,
        };
        let (offset, length) = (unsigned(it.get("start")?)?, unsigned(it.get("size")?)?);
        Some(LockRow {
            process: process(it),
            directory: directory.clone(),
            name: name.clone(),
            range: LockRange { offset, length, exclusive },
        })
    })
}

/// The share's directory and the path below it.
fn place(path: &str, file: &Value, directory: &str, name: &str) -> (String, String) {
    match (string(file, directory), string(file, name)) {
        (Some(directory), Some(name)) => (directory, name),
        _ => {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
            (directory.to_owned(), name.to_owned())
        }
    }
}

fn inode(file: &Value) -> Option<(u64, u64)> {
    let id = file.get("fileid")?;
    Some((unsigned(id.get("devid")?)?, unsigned(id.get("inode")?)?))
}

/// A number of 64 bits, which smbstatus writes as a signed one.
fn unsigned(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_i64().map(i64::cast_unsigned)).or_else(|| value.as_str()?.parse().ok())
}

fn protection(it: &Value, key: &str) -> Protection {
    let Some(it) = it.get(key) else { return Protection::default() };
    let used = string(it, "degree").map(|degree| !matches!(degree.as_str(), "none" | "anonymous"));
    Protection { used, algorithm: string(it, "cipher").filter(|cipher| !matches!(cipher.as_str(), "-" | "")) }
}

fn mask(it: &Value, key: &str) -> Option<u32> {
    let text = string(it.get(key)?, "hex")?;
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn process(it: &Value) -> u64 {
    it.get("server_id").and_then(|id| number(id, "pid")).unwrap_or_default()
}

fn entries<'a>(it: &'a Value, key: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let members: Option<&Map<String, Value>> = it.get(key).and_then(Value::as_object);
    members.into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn string(it: &Value, key: &str) -> Option<String> {
    it.get(key)?.as_str().map(str::to_owned)
}

fn number<T: TryFrom<u64> + std::str::FromStr>(it: &Value, key: &str) -> Option<T> {
    match it.get(key)? {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().and_then(|number| T::try_from(number).ok()),
    }
}

/// A time. Samba writes the year 30828 for one that never comes, which is none.
fn time(it: &Value, key: &str) -> Option<Timestamp> {
    Timestamp::parse(it.get(key)?.as_str()?).filter(|time| time.0 > 0)
}
