//! Listings of local directories.

use super::dosattrib::{self, DosAttrib};
use super::handle::LocalHandle;
use super::inode::InodeKey;
use super::known_attributes::{Known, Version};
use super::resolve::{self, Root, statx};
use super::{incomplete_files, link, metadata, names, xattr};
use crate::backend::Actor;
use crate::error::Result;
use crate::handle::{DirectoryCursor, Entry, EntryWanted};
use crate::limits::DIRECTORY_BUFFER_BYTES;
use crate::stat::{Kind, Stat};
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, Statx};
use rustix::io::Errno;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// A listing in progress: its own descriptor, and the names of one getdents call.
pub(super) struct LocalCursor {
    root: Arc<Root>,
    actor: Actor,
    fd: OwnedFd,
    /// The device that the directory is on.
    device: u64,
    /// The device and inode of the directory.
    directory: InodeKey,
    /// The directory's path on disk, for symlinks.
    path: Vec<u8>,
    /// `/proc/self/fd/N/` and a name: there are no calls for extended attributes relative to a directory.
    proc_path: Vec<u8>,
    proc_prefix: usize,
    state: State,
    /// The names of the last call, each ended by NUL, and the number of bytes consumed.
    batch: Vec<u8>,
    consumed: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Dot,
    DotDot,
    Entries,
    End,
}

impl LocalCursor {
    pub(super) fn new(handle: &LocalHandle) -> Result<Self> {
        let fd = handle.open_for_listing()?;
        let proc_path = format!("{}/", xattr::proc_path(fd.as_fd())).into_bytes();
        Ok(Self {
            root: Arc::clone(&handle.root),
            actor: handle.actor.clone(),
            path: handle.path(),
            proc_prefix: proc_path.len(),
            proc_path,
            device: handle.inode().0,
            directory: handle.inode(),
            fd,
            state: State::Dot,
            batch: Vec::new(),
            consumed: 0,
        })
    }

    /// The next name on disk, without `.` and `..`: its place in the batch.
    fn next_name(&mut self) -> Result<Option<Range<usize>>> {
        loop {
            let rest = self.batch.get(self.consumed..).unwrap_or_default();
            if let Ok(name) = CStr::from_bytes_until_nul(rest) {
                let end = self.consumed.saturating_add(name.count_bytes());
                let start = std::mem::replace(&mut self.consumed, end.saturating_add(1));
                return Ok(Some(start..end));
            }
            if self.state == State::End {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        self.batch.clear();
        self.consumed = 0;
        let mut buffer = [MaybeUninit::uninit(); DIRECTORY_BUFFER_BYTES];
        let mut entries = RawDir::new(self.fd.as_fd(), &mut buffer);
        loop {
            let entry = match entries.next() {
                // ENOENT: the directory was removed while open.
                None | Some(Err(Errno::NOENT)) => {
                    self.state = State::End;
                    return Ok(());
                }
                Some(entry) => entry?,
            };
            let name = entry.file_name().to_bytes_with_nul();
            if !matches!(name, b".\0" | b"..\0") {
                self.batch.extend_from_slice(name);
            }
            // Stop at the end of this call's buffer: another call would overwrite names that are not consumed
            // yet.
            if entries.is_buffer_empty() {
                return Ok(());
            }
        }
    }

    /// The metadata of a name and, if it is wanted, its `EaSize`; `None` if the name is gone, or is a symlink that cannot
    /// be opened.
    fn stat(&mut self, name: &[u8], with_eas: bool) -> Result<Option<(Stat, u32)>> {
        let raw = match statx(self.fd.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT | Errno::STALE) => return Ok(None),
            result => result?,
        };
        let kind = metadata::kind(&raw);
        if kind == Kind::Symlink {
            let target = match self.root.options.follow_symlinks {
                true => self.follow(name),
                false => self.link(name, &raw),
            };
            // Linux gives symlinks no extended attributes of clients.
            return Ok(target.map(|stat| (stat, 0)));
        }
        incomplete_files::wait_for_entry(&self.root, &raw);
        let mut known = Known::default();
        if metadata::has_attributes(kind) {
            // The file system of an entry that is on another device is not the directory's.
            let version = Some(&raw).filter(|raw| resolve::device(raw) == self.device);
            let version = version.and_then(|raw| Version::of(raw, self.fd.as_fd()));
            known = self.attributes(name, version, with_eas);
        }
        let mut stat = metadata::to_stat(&raw, known.dos.unwrap_or_default());
        link::complete(&mut stat, || Ok(xattr::get_at(self.proc_path_of(name), xattr::REPARSE)))?;
        Ok(Some((stat, known.ea_size.unwrap_or(0))))
    }

    /// The stored attributes of a name, from memory if this version of the file is known. What cannot be read is missing
    /// in the result.
    fn attributes(&mut self, name: &[u8], version: Option<Version>, with_eas: bool) -> Known {
        let mut known = version.map(|version| version.known()).unwrap_or_default();
        if known.dos.is_some() && (known.ea_size.is_some() || !with_eas) {
            return known;
        }
        let path = self.proc_path_of(name);
        let mut buffer = [0; xattr::NAMES_BYTES];
        let names = if with_eas { xattr::names_at(path, &mut buffer).ok() } else { None };
        let has_record = names.is_none_or(|names| xattr::has_name(names, dosattrib::NAME.as_bytes()));
        if known.dos.is_none() {
            let mut buffer = [0; dosattrib::RECORD_BYTES_MAX];
            let record = match has_record {
                true => xattr::get_short_at(path, dosattrib::NAME.as_bytes(), &mut buffer),
                false => Ok(None),
            };
            known.dos = record.ok().map(|record| record.and_then(DosAttrib::parse).unwrap_or_default());
        }
        known.ea_size = known.ea_size.or_else(|| Some(xattr::ea_size_at(path, names?)));
        if let Some(version) = version {
            version.keep(known);
        }
        known
    }

    /// Queries the file system of an entry that is on another device than the directory, for its file id.
    fn note_file_system(&self, name: &[u8], stat: &Stat) {
        if stat.device == self.device || self.root.file_systems.known(stat.device).is_some() {
            return;
        }
        // An entry that cannot be opened has an id nevertheless, but it may change with a restart.
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        if let Ok(fd) = rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            let _ = self.root.file_systems.key(stat.device, fd.as_fd());
        }
    }

    fn proc_path_of(&mut self, name: &[u8]) -> &[u8] {
        self.proc_path.truncate(self.proc_prefix);
        self.proc_path.extend_from_slice(name);
        &self.proc_path
    }

    fn follow(&self, name: &[u8]) -> Option<Stat> {
        let mut path = self.path.clone();
        names::push_component(&mut path, name);
        let fd = {
            let _guard = self.root.credentials.assume(&self.actor).ok()?;
            self.root.open_at(&path, OFlags::PATH, Mode::empty()).ok()?
        };
        metadata::stat_fd(fd.as_fd()).ok()
    }

    /// The metadata of a symlink itself.
    fn link(&self, name: &[u8], raw: &Statx) -> Option<Stat> {
        let mut path = self.path.clone();
        names::push_component(&mut path, name);
        let _guard = self.root.credentials.assume(&self.actor).ok()?;
        Some(link::stat(&self.root, &path, raw))
    }

    fn stat_dots(&self, up: bool) -> Result<Stat> {
        let own = metadata::stat_fd(self.fd.as_fd())?;
        if !up || (own.device, own.inode) == (self.root.device, self.root.inode) {
            return Ok(own);
        }
        let raw = statx(self.fd.as_fd(), b"..", AtFlags::empty())?;
        Ok(metadata::to_stat(&raw, DosAttrib::default()))
    }
}

impl DirectoryCursor for LocalCursor {
    fn next(&mut self, wanted: &mut dyn FnMut(&str) -> EntryWanted) -> Result<Option<Entry>> {
        loop {
            let dots = match self.state {
                State::Dot => Some((".", State::DotDot)),
                State::DotDot => Some(("..", State::Entries)),
                State::Entries | State::End => None,
            };
            if let Some((name, then)) = dots {
                self.state = then;
                let stat = match wanted(name) {
                    EntryWanted::Skip => continue,
                    EntryWanted::SkipAndPause => return Ok(None),
                    EntryWanted::Name => None,
                    EntryWanted::Stat | EntryWanted::Full => Some(self.stat_dots(name == "..")?),
                };
                if let Some(stat) = &stat {
                    self.note_file_system(name.as_bytes(), stat);
                }
                return Ok(Some(Entry { name: name.to_owned(), stat, ea_size: 0 }));
            }
            let Some(place) = self.next_name()? else { return Ok(None) };
            let disk = self.batch.get(place).unwrap_or_default();
            if self.root.hides(self.directory, disk) {
                continue;
            }
            // Most names match no pattern of a client, and are not copied.
            let name = names::shown(disk);
            if self.root.options.names.as_ref().is_some_and(|rules| rules.is_vetoed(&name)) {
                continue;
            }
            let wanted = wanted(&name);
            match wanted {
                EntryWanted::Skip => {}
                EntryWanted::SkipAndPause => return Ok(None),
                EntryWanted::Name => {
                    return Ok(Some(Entry { name: name.into_owned(), stat: None, ea_size: 0 }));
                }
                EntryWanted::Stat | EntryWanted::Full => {
                    let (disk, name) = (disk.to_vec(), name.into_owned());
                    if let Some((stat, ea_size)) = self.stat(&disk, wanted == EntryWanted::Full)? {
                        self.note_file_system(&disk, &stat);
                        return Ok(Some(Entry { name, stat: Some(stat), ea_size }));
                    }
                }
            }
        }
    }

    fn restart(&mut self) -> Result<()> {
        rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::Start(0))?;
        self.batch.clear();
        self.consumed = 0;
        self.state = State::Dot;
        Ok(())
    }
}

/// True if a directory has no entries except `.` and `..`.
pub(super) fn is_empty(directory: BorrowedFd<'_>) -> Result<bool> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(directory, c".", flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(fd, &mut buffer);
    while let Some(entry) = entries.next() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}
