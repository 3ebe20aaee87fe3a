//! The owner of a share among the servers of a cluster, as the share's storage knows it: an exclusive lock, and the
//! stamp of the last owner. They are beside the log of opens.
//!
//! The lock is a `flock` of a file that is never replaced, which cluster file systems grant to one process at a time, on
//! whichever machine. The stamp is replaced as a whole. Its generations only rise.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// The stamp of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerStamp {
    /// The name of the server.
    pub node: String,
    /// The membership of the server in its cluster.
    pub incarnation: String,
    /// The number of the ownership.
    pub generation: u64,
}

/// The lock of a share's storage, which is held until this is dropped.
#[derive(Debug)]
pub struct OwnerLock {
    directory: OwnedFd,
    name: String,
    _lock: OwnedFd,
}

/// The reason for not taking the lock.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// Another process holds it.
    #[error("another server holds the lock of the storage")]
    Busy {
        /// The stamp of the last owner. `None` if there is none, or it cannot be read.
        holder: Option<OwnerStamp>,
    },
    /// The stamp cannot be understood. It stays as it is.
    #[error("the stamp of the last owner is damaged")]
    Damaged,
    /// The directory has no token, or another one.
    #[error("the directory is not the storage of this share: its token is {0}")]
    OtherStorage(&'static str),
    /// The file system has refused something.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<Errno> for OwnerError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// The outcome of [`OwnerLock::stamp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stamped {
    /// The storage has the stamp.
    Written,
    /// The storage has the stamp of a later owner, or of another one with the same number. Nothing was changed.
    Ahead {
        /// The number in that stamp.
        found: u64,
    },
}

impl OwnerLock {
    /// Takes the lock of a share's storage, whose directory must have the token.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub fn take(directory: OwnedFd, name: &str, token: &str) -> Result<Self, OwnerError> {
        match read(&directory, &token_name(name), TOKEN_BYTES_MAX)? {
            None => return Err(OwnerError::OtherStorage("missing")),
            Some(found) if found.trim_ascii() != token.as_bytes() => {
                return Err(OwnerError::OtherStorage("another one"));
            }
            Some(_) => {}
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = rustix::fs::openat(&directory, format!("{name}.owner.lock"), flags, MODE)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                let holder = read_stamp(&directory, name).ok().flatten();
                Err(OwnerError::Busy { holder })
            }
            Err(error) => Err(error.into()),
            Ok(()) => Ok(Self { directory, name: name.to_owned(), _lock: lock }),
        }
    }

    /// Writes the stamp of an owner, unless the storage has a later one.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub fn stamp(&self, stamp: &OwnerStamp) -> Result<Stamped, OwnerError> {
        match read_stamp(&self.directory, &self.name)? {
            Some(found) if found == *stamp => return Ok(Stamped::Written),
            Some(found) if found.generation >= stamp.generation => {
                return Ok(Stamped::Ahead { found: found.generation });
            }
            _ => {}
        }
        replace(&self.directory, &format!("{}.owner", self.name), encode(stamp).as_bytes())?;
        Ok(Stamped::Written)
    }

    /// Waits until all that was written to the file system of the storage is there, so that nothing of it is on its way
    /// when the lock is released.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn synchronize(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.directory)?)
    }
}

/// The token of a share's storage, which is `fresh` if the directory has none yet.
///
/// # Errors
/// [`OwnerError`] if the file system refuses it, or the token is not a text.
pub fn storage_token(directory: &OwnedFd, name: &str, fresh: &str) -> Result<String, OwnerError> {
    if let Some(found) = read(directory, &token_name(name), TOKEN_BYTES_MAX)? {
        let found = String::from_utf8(found).map_err(|_| OwnerError::OtherStorage("not a text"))?;
        return Ok(found.trim().to_owned());
    }
    replace(directory, &token_name(name), format!("{fresh}\n").as_bytes())?;
    Ok(fresh.to_owned())
}

fn token_name(name: &str) -> String {
    format!("{name}.token")
}

fn encode(stamp: &OwnerStamp) -> String {
    let OwnerStamp { node, incarnation, generation } = stamp;
    let text = format!("{VERSION} {generation} {node} {incarnation}");
    format!("{text} {:08x}\n", crc32fast::hash(text.as_bytes()))
}

fn decode(bytes: &[u8]) -> Option<OwnerStamp> {
    let line = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (text, sum) = line.rsplit_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(text.as_bytes()) {
        return None;
    }
    let mut words = text.split(' ');
    let (version, generation) = (words.next()?, words.next()?.parse().ok()?);
    let (node, incarnation) = (words.next()?.to_owned(), words.next()?.to_owned());
    (version == VERSION && words.next().is_none()).then_some(OwnerStamp { node, incarnation, generation })
}

fn read_stamp(directory: &OwnedFd, name: &str) -> Result<Option<OwnerStamp>, OwnerError> {
    match read(directory, &format!("{name}.owner"), STAMP_BYTES_MAX)? {
        None => Ok(None),
        Some(bytes) => decode(&bytes).map(Some).ok_or(OwnerError::Damaged),
    }
}

/// The contents of a file, up to a length; `None` if it does not exist.
fn read(directory: &OwnedFd, name: &str, longest: u64) -> Result<Option<Vec<u8>>, OwnerError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        file => File::from(file?),
    };
    let mut bytes = Vec::new();
    file.take(longest).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Replaces a file, and returns when it is on the disk.
fn replace(directory: &OwnedFd, name: &str, contents: &[u8]) -> Result<(), OwnerError> {
    let unfinished = format!("{name}.new");
    match rustix::fs::unlinkat(directory, unfinished.as_str(), AtFlags::empty()) {
        Err(error) if error != Errno::NOENT => return Err(error.into()),
        _ => {}
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(directory, unfinished.as_str(), flags, MODE)?);
    file.write_all_at(contents, 0)?;
    file.sync_all()?;
    rustix::fs::renameat(directory, unfinished.as_str(), directory, name)?;
    rustix::fs::fsync(directory)?;
    Ok(())
}

const VERSION: &str = "1";

/// A node's name has 63 bytes at most, an incarnation 27.
const STAMP_BYTES_MAX: u64 = 256;

const TOKEN_BYTES_MAX: u64 = 128;

/// Only the server's user can read the files.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(node: &str, generation: u64) -> OwnerStamp {
        OwnerStamp { node: node.into(), incarnation: "0000000000000001.1".into(), generation }
    }

    #[test]
    fn one_owner_at_a_time_in_rising_order() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = || OwnedFd::from(File::open(scratch.path()).unwrap());
        let token = storage_token(&directory(), "data", "t1").unwrap();
        assert_eq!(storage_token(&directory(), "data", "t2").unwrap(), token);
        let take = || OwnerLock::take(directory(), "data", &token);
        let a = take().unwrap();
        assert!(matches!(take(), Err(OwnerError::Busy { holder: None })));
        assert_eq!(a.stamp(&stamp("a", 5)).unwrap(), Stamped::Written);
        assert_eq!(a.stamp(&stamp("a", 5)).unwrap(), Stamped::Written);
        assert!(matches!(take(), Err(OwnerError::Busy { holder: Some(it) }) if it == stamp("a", 5)));
        drop(a);
        let b = take().unwrap();
        for late in [4, 5] {
            assert_eq!(b.stamp(&stamp("b", late)).unwrap(), Stamped::Ahead { found: 5 });
        }
        assert_eq!(b.stamp(&stamp("b", 6)).unwrap(), Stamped::Written);
        b.synchronize().unwrap();
    }

    #[test]
    fn other_storage_and_damage_are_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = || OwnedFd::from(File::open(scratch.path()).unwrap());
        let take = || OwnerLock::take(directory(), "data", "t1");
        assert!(matches!(take(), Err(OwnerError::OtherStorage("missing"))));
        std::fs::write(scratch.path().join("data.token"), "t2\n").unwrap();
        assert!(matches!(take(), Err(OwnerError::OtherStorage("another one"))));
        std::fs::write(scratch.path().join("data.token"), "t1\n").unwrap();
        let lock = take().unwrap();
        let good = encode(&stamp("a", 5));
        for damaged in ["", "1 5 a", &good[1..], &good.replace('5', "6"), &format!("{good}x")] {
            std::fs::write(scratch.path().join("data.owner"), damaged).unwrap();
            assert!(matches!(lock.stamp(&stamp("b", 9)), Err(OwnerError::Damaged)), "{damaged:?}");
        }
        std::fs::write(scratch.path().join("data.owner"), good).unwrap();
        assert_eq!(lock.stamp(&stamp("b", 9)).unwrap(), Stamped::Written);
    }
}
