//! The users file, in Samba's smbpasswd format:
//! `name:uid:LM hash:NT hash:[flags]:LCT-last change time:`
//!
//! Rules of an account for which Samba's format has no place follow these fields, where Samba reads nothing
//! ([`AccountRules`]).
//!
//! Lines that are not changed are written back byte for byte: comments, blank lines, unknown flags
//! and whatever follows the known fields.

mod line;
mod parts;
mod rules;
mod update;

use core::fmt;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;
use wire::{AccountName, FileTime};
use zeroize::Zeroizing;

use crate::acceptor::{AccountRecord, Accounts, Outdated};
use crate::limits::MAX_USERS_FILE;
pub use crate::ntlm::compute::nt_hash;
use line::{format_line, is_comment, is_name, parse_line};
pub use rules::AccountRules;
pub use update::UpdateError;

/// The system's time as `last_change` has it.
pub fn now() -> FileTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    FileTime::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
}

/// The name without the domain in it, if the client sent no separate domain.
pub fn without_domain<'a>(domain: &str, name: &'a str) -> &'a str {
    match name.rsplit_once('@') {
        Some((user, _)) if domain.is_empty() && !user.is_empty() => user,
        _ => name,
    }
}

/// The accounts of a users file.
#[derive(Clone, Default)]
pub struct UserDb {
    lines: Vec<Line>,
    /// The index in `lines`.
    index: BTreeMap<AccountName, usize>,
}

/// One account.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name as the file writes it.
    pub name: String,
    /// The Unix user id.
    pub uid: u32,
    /// The NT hash; `None` for an account without a password.
    pub nt_hash: Option<[u8; 16]>,
    /// The flags between the brackets.
    pub flags: AccountFlags,
    /// The time of the last change of the password; [`FileTime::NONE`] if the file does not contain it.
    pub last_change: FileTime,
    /// The rules of this account that the format has no field for.
    pub rules: AccountRules,
}

impl User {
    /// True if the user must change the password before the next logon: the file has the time 0, as Samba writes it.
    pub fn must_change_password(&self) -> bool {
        self.last_change == FileTime::from_unix(0, 0) && self.expires_passwords()
    }

    /// True if the password can become too old: neither X nor N is set.
    fn expires_passwords(&self) -> bool {
        !self.flags.contains('X') && !self.flags.contains('N')
    }

    /// The time at which the password becomes too old; `None` if it never does, or if the time of its last change is not
    /// known. `age_max` is in seconds; 0 stands for no limit.
    pub fn password_expires(&self, age_max: u64) -> Option<FileTime> {
        let is_known = self.last_change != FileTime::NONE && !self.must_change_password();
        if age_max == 0 || !is_known || !self.expires_passwords() {
            return None;
        }
        let age_max = i64::try_from(age_max).unwrap_or(i64::MAX);
        Some(FileTime::from_unix(self.last_change.to_unix().0.saturating_add(age_max), 0))
    }

    /// The reason why the account cannot log on at this time although its password is right.
    fn outdated(&self, now: FileTime, age_max: u64) -> Option<Outdated> {
        if self.rules.expires.is_some_and(|expires| now >= expires) {
            return Some(Outdated::Account);
        }
        if !self.rules.permits_hour(now) {
            return Some(Outdated::Hours);
        }
        if self.must_change_password() {
            return Some(Outdated::MustChange);
        }
        self.password_expires(age_max).is_some_and(|expires| now >= expires).then_some(Outdated::Password)
    }

    /// True if the account is a user's and not disabled.
    pub fn is_enabled(&self) -> bool {
        self.flags.contains('U') && !self.flags.contains('D')
    }
}

/// The letters between the brackets: U user, D disabled, N no password needed, X password never
/// expires, L locked out, W and S and I machine accounts, H home directory needed; others are kept.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountFlags(String);

impl AccountFlags {
    /// True if this letter is set.
    pub fn contains(&self, flag: char) -> bool {
        self.0.contains(flag)
    }

    /// Sets or clears this letter.
    pub fn set(&mut self, flag: char, on: bool) {
        self.0.retain(|other| other != flag);
        if on && flag.is_ascii_alphabetic() {
            self.0.push(flag);
        }
    }

    /// The letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An error in a line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// The error.
    pub problem: Problem,
}

/// The faults a line can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The flags are not between brackets.
    #[error("the account flags are not of the form [U]")]
    BadFlags,
    /// A hash field is neither 32 hexadecimal digits nor one of the known strings.
    #[error("the NT hash is not 32 hexadecimal digits")]
    BadHash,
    /// The name is empty or too long, or has a character that cannot be in one.
    #[error("the account name is not acceptable")]
    BadName,
    /// The last change time is not `LCT-` and eight hexadecimal digits.
    #[error("the last change time is not of the form LCT-00000000")]
    BadTime,
    /// The user id is no number.
    #[error("the user id is not a number")]
    BadUid,
    /// An earlier line has the account already.
    #[error("the account is listed twice")]
    Duplicate,
    /// Too few fields.
    #[error("fewer than four fields")]
    MissingFields,
    /// The line is not UTF-8.
    #[error("not UTF-8 text")]
    NotUtf8,
}

/// The reason that a file cannot be read.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The operating system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A line is wrong.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: ParseError,
    },
    /// The file is larger than any list of users.
    #[error("{} is too large for a users file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// A warning about a file that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Warning {
    /// Others than the owner can read the hashes, which are as good as passwords.
    #[error("the users file has mode {mode:o}: others than its owner have access, make it 600")]
    Exposed {
        /// The permission bits.
        mode: u32,
    },
}

/// The reason that an account is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// The name is empty or too long, or has a character that cannot be in one.
    #[error("the account name is not acceptable")]
    BadName,
    /// The account already exists.
    #[error("the account already exists")]
    Exists,
    /// The account does not exist.
    #[error("no such account")]
    NoSuchUser,
}

impl UserDb {
    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut db = Self::default();
        for (number, raw) in text.split_inclusive('\n').enumerate() {
            let fault = |problem| ParseError { line: number + 1, problem };
            let content = raw.trim_end_matches(['\n', '\r']);
            let user = if is_comment(content) { None } else { Some(parse_line(content).map_err(fault)?) };
            if let Some(user) = &user
                && db.index.insert(AccountName::new(&user.name), db.lines.len()).is_some()
            {
                return Err(fault(Problem::Duplicate));
            }
            db.lines.push(Line { raw: Zeroizing::new(raw.to_owned()), user });
        }
        Ok(db)
    }

    /// The text to write.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text =
            Zeroizing::new(String::with_capacity(self.lines.iter().map(|line| line.raw.len()).sum()));
        for line in &self.lines {
            text.push_str(&line.raw);
        }
        text
    }

    /// Reads a file, and warns if other users can access it.
    pub fn load(path: &Path) -> Result<(Self, Option<Warning>), LoadError> {
        let io = |source| LoadError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len().min(MAX_USERS_FILE) as usize));
        file.take(MAX_USERS_FILE + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > MAX_USERS_FILE {
            return Err(LoadError::TooLarge { path: path.to_owned() });
        }
        let parse = |source| LoadError::Parse { path: path.to_owned(), source };
        let text = core::str::from_utf8(&bytes).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            parse(ParseError { line, problem: Problem::NotUtf8 })
        })?;
        Ok((Self::parse(text).map_err(parse)?, exposure(&metadata)))
    }

    /// Replaces the file: a reader finds the old or the new one, whole, whatever happens meanwhile.
    /// The new one has mode 0600.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let (path, directory) = place(path);
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut temporary_name = std::ffi::OsString::from(".");
        temporary_name.push(name);
        temporary_name.push(format!(".{}.new", std::process::id()));
        let temporary = directory.join(temporary_name);
        let written = self.write_new(&temporary, &path).and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
            return written;
        }
        sync_directory(&directory)
    }

    fn write_new(&self, path: &Path, replaced: &Path) -> io::Result<()> {
        // Left over from a process of the same id that died here.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        #[cfg(unix)]
        keep_owner(&file, replaced)?;
        file.write_all(self.to_text().as_bytes())?;
        file.sync_all()
    }

    /// The accounts in the order of the file.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.lines.iter().filter_map(|line| line.user.as_ref())
    }

    /// The account of this name, in any case.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.lines.get(*self.index.get(&AccountName::new(name))?)?.user.as_ref()
    }

    /// The account that a client means with a domain and a name, in any case.
    ///
    /// The domain is not looked at: like Windows outside a domain, the server takes every domain it does not know for
    /// its own. That goes for one that is in the name, too (`alice@EXAMPLE`), unless an account has all of it.
    pub fn meant(&self, domain: &str, name: &str) -> Option<&User> {
        self.user(name).or_else(|| self.user(without_domain(domain, name)))
    }

    /// True if the text ends with a whole line. A file that is being written may not.
    pub fn ends_whole(&self) -> bool {
        self.lines.last().is_some_and(|line| line.raw.ends_with('\n'))
    }

    /// Adds an enabled account at the end.
    pub fn add(&mut self, name: &str, uid: u32, password: &str, now: FileTime) -> Result<(), ChangeError> {
        if !is_name(name) {
            return Err(ChangeError::BadName);
        }
        if self.user(name).is_some() {
            return Err(ChangeError::Exists);
        }
        let user = User {
            name: name.to_owned(),
            uid,
            nt_hash: Some(nt_hash(password)),
            flags: AccountFlags("U".to_owned()),
            last_change: now,
            rules: AccountRules::default(),
        };
        if let Some(last) = self.lines.last_mut()
            && !last.raw.ends_with('\n')
        {
            last.raw.push('\n');
        }
        self.index.insert(AccountName::new(name), self.lines.len());
        self.lines.push(Line { raw: format_line(&user, None), user: Some(user) });
        Ok(())
    }

    /// Sets the password of an account.
    pub fn set_password(&mut self, name: &str, password: &str, now: FileTime) -> Result<(), ChangeError> {
        self.set_nt_hash(name, nt_hash(password), now)
    }

    /// Sets the password of an account, of which only the NT hash is known.
    pub fn set_nt_hash(&mut self, name: &str, hash: [u8; 16], now: FileTime) -> Result<(), ChangeError> {
        self.change(name, |user| {
            user.nt_hash = Some(hash);
            user.flags.set('N', false);
            user.last_change = now;
        })
    }

    /// Sets the password of an account, of which only the NT hash is known, and remembers the old one among at most
    /// `history` old ones.
    pub fn replace_password(
        &mut self,
        name: &str,
        hash: [u8; 16],
        history: usize,
        now: FileTime,
    ) -> Result<(), ChangeError> {
        self.change(name, |user| {
            // Of an account without a password, N says just that; otherwise it exempts the account from rules.
            let is_exempt = user.flags.contains('N') && user.nt_hash.is_some();
            if let Some(old) = user.nt_hash {
                user.rules.old_hashes.insert(0, old);
            }
            user.rules.old_hashes.truncate(history);
            user.nt_hash = Some(hash);
            user.flags.set('N', is_exempt);
            user.last_change = now;
        })
    }

    /// Changes the flags and the rules of an account.
    pub fn amend(
        &mut self,
        name: &str,
        amend: impl FnOnce(&mut AccountFlags, &mut AccountRules),
    ) -> Result<(), ChangeError> {
        self.change(name, |user| amend(&mut user.flags, &mut user.rules))
    }

    /// Makes the user change the password before the next logon, or takes that back.
    pub fn set_must_change(&mut self, name: &str, must: bool, now: FileTime) -> Result<(), ChangeError> {
        self.change(name, |user| {
            if must || user.must_change_password() {
                user.last_change = if must { FileTime::from_unix(0, 0) } else { now };
            }
            if must {
                user.flags.set('X', false);
            }
        })
    }

    /// The accounts at a time. Passwords may have this age in seconds; 0 stands for no limit.
    pub const fn at(&self, now: FileTime, age_max: u64) -> UsersAt<'_> {
        UsersAt { users: self, now, age_max }
    }

    /// Enables or disables an account.
    pub fn set_enabled(&mut self, name: &str, enabled: bool) -> Result<(), ChangeError> {
        self.change(name, |user| user.flags.set('D', !enabled))
    }

    /// Takes a lock-out (`L`) back that another program has written; Shareward's own is in no file.
    pub fn unlock(&mut self, name: &str) -> Result<(), ChangeError> {
        self.change(name, |user| user.flags.set('L', false))
    }

    /// Removes an account.
    pub fn delete(&mut self, name: &str) -> Result<(), ChangeError> {
        let place = self.index.remove(&AccountName::new(name)).ok_or(ChangeError::NoSuchUser)?;
        if place < self.lines.len() {
            self.lines.remove(place);
        }
        for other in self.index.values_mut().filter(|other| **other > place) {
            *other -= 1;
        }
        Ok(())
    }

    fn change(&mut self, name: &str, edit: impl FnOnce(&mut User)) -> Result<(), ChangeError> {
        let place = self.index.get(&AccountName::new(name)).ok_or(ChangeError::NoSuchUser)?;
        let line = self.lines.get_mut(*place).ok_or(ChangeError::NoSuchUser)?;
        let user = line.user.as_mut().ok_or(ChangeError::NoSuchUser)?;
        edit(user);
        line.raw = format_line(user, Some(&line.raw));
        Ok(())
    }
}

/// The accounts of a file at a time, with the age that passwords may have.
#[derive(Clone, Copy, Debug)]
pub struct UsersAt<'a> {
    users: &'a UserDb,
    now: FileTime,
    age_max: u64,
}

impl Accounts for UsersAt<'_> {
    fn nt_hash(&self, domain: &str, user: &str) -> Option<AccountRecord> {
        let user = self.users.meant(domain, user)?;
        Some(AccountRecord {
            name: user.name.clone(),
            nt_hash: user.nt_hash,
            disabled: !user.is_enabled(),
            locked_out: user.flags.contains('L'),
            outdated: user.outdated(self.now, self.age_max),
        })
    }
}

impl fmt::Debug for UserDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.users().map(|user| &user.name)).finish()
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, uid, flags, last_change, .. } = self;
        // Old hashes are as secret as the current one.
        f.debug_struct("User")
            .field("name", name)
            .field("uid", uid)
            .field("flags", flags)
            .field("last_change", last_change)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AccountFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}

#[derive(Clone)]
struct Line {
    /// The line with its end.
    raw: Zeroizing<String>,
    user: Option<User>,
}

/// The file to replace and its directory. A symbolic link is kept, and its target is replaced.
fn place(path: &Path) -> (PathBuf, PathBuf) {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    (path, directory)
}

#[cfg(unix)]
fn exposure(metadata: &fs::Metadata) -> Option<Warning> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    (mode & 0o077 != 0).then_some(Warning::Exposed { mode })
}

#[cfg(not(unix))]
fn exposure(_metadata: &fs::Metadata) -> Option<Warning> {
    None
}

/// Gives the new file the owner of the replaced one: a server that does not run as root could not read a file of
/// root. A process that may not change owners is either the owner already, or leaves it to one that may.
#[cfg(unix)]
fn keep_owner(file: &File, replaced: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let Ok(before) = fs::metadata(replaced) else { return Ok(()) };
    let made = file.metadata()?;
    if (made.uid(), made.gid()) == (before.uid(), before.gid()) {
        return Ok(());
    }
    match fchown(file, Some(before.uid()), Some(before.gid())) {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
