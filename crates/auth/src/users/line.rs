//! One line of the users file.

use core::fmt::Write as _;

use wire::FileTime;
use zeroize::Zeroizing;

use super::{AccountFlags, AccountRules, Problem, User};
use crate::limits::MAX_ACCOUNT_NAME;

pub(super) fn is_comment(content: &str) -> bool {
    let content = content.trim_start();
    content.is_empty() || content.starts_with('#')
}

pub(super) fn is_name(name: &str) -> bool {
    !name.trim().is_empty()
        && name.chars().count() <= MAX_ACCOUNT_NAME
        && !name.starts_with('#')
        && !name.starts_with(char::is_whitespace)
        && !name.contains(|c: char| c == ':' || c.is_control())
}

pub(super) fn parse_line(content: &str) -> Result<User, Problem> {
    let mut fields = content.split(':');
    let mut next = || fields.next();
    let name = next().unwrap_or_default();
    let (Some(uid), Some(_lm), Some(nt)) = (next(), next(), next()) else {
        return Err(Problem::MissingFields);
    };
    if !is_name(name) {
        return Err(Problem::BadName);
    }
    // Samba writes 4294967295 and, in old files, -1 if there is no Unix user.
    let uid =
        uid.parse().or_else(|_| uid.parse::<i32>().map(|uid| uid as u32)).map_err(|_| Problem::BadUid)?;
    let flags = match next() {
        Some(field) if field.starts_with('[') => parse_flags(field)?,
        None | Some("") => AccountFlags("U".to_owned()),
        Some(_) => return Err(Problem::BadFlags),
    };
    let last_change = match next() {
        Some(field) if field.starts_with("LCT-") => parse_time(field)?,
        _ => FileTime::NONE,
    };
    let rules = AccountRules::parse(trailer(content)).0;
    Ok(User { name: name.to_owned(), uid, nt_hash: parse_hash(nt)?, flags, last_change, rules })
}

fn parse_flags(field: &str) -> Result<AccountFlags, Problem> {
    let inner = field.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(Problem::BadFlags)?;
    Ok(AccountFlags(inner.chars().filter(|flag| !flag.is_whitespace()).collect()))
}

fn parse_time(field: &str) -> Result<FileTime, Problem> {
    let digits = field.strip_prefix("LCT-").unwrap_or_default();
    let seconds = u32::from_str_radix(digits, 16).map_err(|_| Problem::BadTime)?;
    // Samba's -1 is a time that is not known.
    Ok(if seconds == u32::MAX { FileTime::NONE } else { FileTime::from_unix(i64::from(seconds), 0) })
}

/// The hash; `None` if the field says that there is no password or that it is invalid.
pub(super) fn parse_hash(field: &str) -> Result<Option<[u8; 16]>, Problem> {
    if field.starts_with("NO PASSWORD") || field.starts_with('*') || field.starts_with("XXXX") {
        return Ok(None);
    }
    let (digits, rest) = field.as_bytes().as_chunks::<2>();
    let mut hash = [0; 16];
    if digits.len() != hash.len() || !rest.is_empty() {
        return Err(Problem::BadHash);
    }
    for (byte, [high, low]) in hash.iter_mut().zip(digits) {
        let digit = |digit: &u8| char::from(*digit).to_digit(16).ok_or(Problem::BadHash);
        *byte = (digit(high)? << 4 | digit(low)?) as u8;
    }
    Ok(Some(hash))
}

/// The line of `user`. The text after the known fields and the line ending of the replaced line are kept; the LM hash
/// is removed, because it is of another password.
pub(super) fn format_line(user: &User, old: Option<&str>) -> Zeroizing<String> {
    let (content, end) = match old {
        Some(old) => old.split_at(old.trim_end_matches(['\n', '\r']).len()),
        None => ("", "\n"),
    };
    let rest = AccountRules::parse(trailer(content)).1;
    let mut line = Zeroizing::new(String::with_capacity(128));
    let _ = write!(line, "{}:{}:{NO_HASH}:", user.name, user.uid);
    match &user.nt_hash {
        Some(hash) => hash.iter().for_each(|byte| {
            let _ = write!(line, "{byte:02X}");
        }),
        None => line.push_str(NO_HASH),
    }
    let _ = write!(line, ":[{:<11}]:", user.flags.as_str());
    if user.last_change == FileTime::NONE {
        // The time 0 would make the user change the password.
        let other = content.split(':').nth(5).filter(|field| !field.starts_with("LCT-"));
        line.push_str(other.unwrap_or_default());
    } else {
        let seconds = user.last_change.to_unix().0;
        let seconds = u32::try_from(seconds.max(0)).unwrap_or(u32::MAX);
        let _ = write!(line, "LCT-{seconds:08X}");
    }
    line.push(':');
    user.rules.write(&mut line, rest);
    line.push_str(end);
    line
}

/// The text after the known fields.
fn trailer(content: &str) -> &str {
    content.splitn(7, ':').nth(6).unwrap_or_default()
}

/// The placeholder for a missing hash.
const NO_HASH: &str = "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX";
