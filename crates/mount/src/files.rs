//! Open files and directories: reading and writing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use client::smb::{CreateParameters, Error, File};
use fuser::{Errno, FileHandle, FopenFlags, INodeNo, OpenAccMode, OpenFlags};
use parking_lot::{Mutex, MutexGuard};
use wire::msg::{CreateAction, CreateDisposition, CreateOptions};
use wire::{AccessMask, FileAttributes, NtStatus};

use crate::attributes::Facts;
use crate::identity::{self, Identity, Same};
use crate::modes::WRITE_BITS;
use crate::open_lifetime::Tenure;
use crate::remote::Live;
use crate::unflushed::Told;
use crate::volume::{Entry, Volume, wire_size};
use crate::{append, limits};

/// The open files and directories, by the kernel's handles.
#[derive(Debug, Default)]
pub(crate) struct Files {
    files: Mutex<HashMap<u64, Arc<OpenFile>>>,
    directories: Mutex<HashMap<u64, Arc<OpenDirectory>>>,
    next: AtomicU64,
    /// Held while a file with [`Tenure::Alone`] is opened or closed.
    pub(crate) alone: tokio::sync::Mutex<()>,
}

/// An open file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) number: INodeNo,
    pub(crate) reads: bool,
    pub(crate) writes: bool,
    /// True if locks are held through this open; they do not survive the connection.
    pub(crate) locked: AtomicBool,
    /// True if the modification time was set through this open.
    pub(crate) stamped: AtomicBool,
    /// True if the kernel does not cache pages of this open.
    pub(crate) direct: bool,
    /// The losses that were reported through this open.
    pub(crate) told: Told,
    /// The lifetime of the open, and the access of other clients meanwhile.
    pub(crate) tenure: Tenure,
    /// The server's open, shared by all opens of a file with [`Tenure::Alone`].
    slot: Arc<tokio::sync::Mutex<Slot>>,
}

#[derive(Debug)]
struct Slot {
    file: File,
    generation: u64,
    /// True if it must be reopened even on the same connection.
    given_up: bool,
}

/// An open directory with its entries, as of the last read from its start.
#[derive(Debug)]
pub(crate) struct OpenDirectory {
    pub(crate) number: INodeNo,
    /// The losses that were reported through this open.
    pub(crate) told: Told,
    pub(crate) entries: tokio::sync::Mutex<Option<Arc<Entries>>>,
}

/// The entries of a directory, as they were read.
#[derive(Debug)]
pub(crate) struct Entries {
    /// When reading them began.
    pub(crate) read: Instant,
    /// The changes through this mount that had been finished then.
    pub(crate) changes: u64,
    pub(crate) all: Vec<Entry>,
}

impl Files {
    fn files(&self) -> MutexGuard<'_, HashMap<u64, Arc<OpenFile>>> {
        self.files.lock()
    }

    fn directories(&self) -> MutexGuard<'_, HashMap<u64, Arc<OpenDirectory>>> {
        self.directories.lock()
    }

    fn handle(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The open file of a handle.
    pub(crate) fn get(&self, handle: FileHandle) -> Result<Arc<OpenFile>, Errno> {
        self.files().get(&handle.0).cloned().ok_or(Errno::EBADF)
    }

    /// The open directory of a handle.
    pub(crate) fn directory(&self, handle: FileHandle) -> Result<Arc<OpenDirectory>, Errno> {
        self.directories().get(&handle.0).cloned().ok_or(Errno::EBADF)
    }

    /// The opens of a file.
    pub(crate) fn of(&self, number: INodeNo) -> Vec<Arc<OpenFile>> {
        self.files().values().filter(|file| file.number == number).cloned().collect()
    }

    /// The files that are open.
    pub(crate) fn numbers(&self) -> HashSet<INodeNo> {
        self.files().values().map(|file| file.number).collect()
    }

    /// An open of the file with [`Tenure::Alone`], if there is one.
    pub(crate) fn alone(&self, number: INodeNo) -> Option<Arc<OpenFile>> {
        self.of(number).into_iter().find(|open| open.tenure == Tenure::Alone)
    }

    /// The number of open files and directories.
    pub(crate) fn count(&self) -> usize {
        self.files().len().saturating_add(self.directories().len())
    }

    /// Adds an open directory.
    pub(crate) fn add_directory(&self, number: INodeNo, told: Told) -> FileHandle {
        let handle = self.handle();
        let directory = OpenDirectory { number, told, entries: tokio::sync::Mutex::new(None) };
        self.directories().insert(handle, Arc::new(directory));
        FileHandle(handle)
    }

    /// Removes an open directory.
    pub(crate) fn remove_directory(&self, handle: FileHandle) {
        self.directories().remove(&handle.0);
    }

    pub(crate) fn add(&self, file: OpenFile) -> FileHandle {
        let handle = self.handle();
        self.files().insert(handle, Arc::new(file));
        FileHandle(handle)
    }

    fn remove(&self, handle: FileHandle) -> Option<Arc<OpenFile>> {
        self.files().remove(&handle.0)
    }
}

impl Volume {
    /// Opens an existing file.
    pub(crate) async fn open_file(
        &self,
        number: INodeNo,
        flags: OpenFlags,
    ) -> Result<(FileHandle, FopenFlags), Errno> {
        let path = self.path(number)?;
        let (reads, writes) = modes(flags);
        let tenure = Tenure::of(&path, writes);
        if tenure == Tenure::Alone || self.files.alone(number).is_some() {
            return self.open_alone(number, flags).await;
        }
        let live = self.live().await?;
        let file = self.open_latest(&live, number, &opening("", reads, writes)).await?;
        let open = OpenFile::new(number, flags, file, &live, self.unflushed.opened(number), tenure);
        let how = open.how();
        Ok((self.files.add(open), how))
    }

    /// Creates a file and opens it; unless `exclusive`, opens an existing one.
    pub(crate) async fn create_file(
        &self,
        parent: INodeNo,
        name: &std::ffi::OsStr,
        mode: u32,
        flags: OpenFlags,
        exclusive: bool,
        truncate: bool,
    ) -> Result<(INodeNo, Facts, FileHandle, FopenFlags), Errno> {
        let (path, name) = self.path_in(parent, name)?;
        let live = self.live().await?;
        let (reads, writes) = modes(flags);
        let tenure = Tenure::of(&path, writes);
        let _turn = match tenure {
            Tenure::Alone => Some(self.files.alone.lock().await),
            _ => None,
        };
        let open = CreateParameters {
            share: tenure.share(),
            disposition: if exclusive { CreateDisposition::CREATE } else { CreateDisposition::OPEN_IF },
            attributes: made_attributes(&live, mode),
            contexts: identity::making(mode),
            ..opening(&path, reads || tenure == Tenure::Alone, writes)
        };
        let file = self.open_when_free(&live, &open).await?;
        let empties = truncate && file.created.end_of_file > 0;
        let mut facts = match self.created(&live, &file, empties).await {
            Ok(facts) => facts,
            Err(errno) => {
                self.close(&live, &file).await;
                return Err(errno);
            }
        };
        let number = self.inodes().look_up(parent, &name, &facts);
        let told = self.unflushed.opened(number);
        if file.created.action == CreateAction::CREATED {
            self.unflushed.changed(parent, live.generation);
        }
        if empties {
            facts.size = 0;
            self.unflushed.changed(number, live.generation);
        }
        let open = OpenFile::new(number, flags, file, &live, told, tenure);
        let how = open.how();
        Ok((number, facts, self.files.add(open), how))
    }

    /// Opens a path, and waits if a file there is being deleted. In Linux a deleted file has no name any
    /// more, even while it is open.
    async fn open_when_free(&self, live: &Live, open: &CreateParameters<'_>) -> Result<File, Errno> {
        let started = Instant::now();
        loop {
            match live.tree.create(&live.asked(open)).await {
                Err(error)
                    if error.is(NtStatus::DELETE_PENDING) && started.elapsed() < limits::DELETED_WAIT_MAX =>
                {
                    tokio::time::sleep(limits::DELETED_PAUSE).await;
                }
                outcome => return outcome.map_err(|error| self.failed_at(live, &error, open.name)),
            }
        }
    }

    /// The metadata of a file that was opened by a name; truncates it if `empties`.
    async fn created(&self, live: &Live, file: &File, empties: bool) -> Result<Facts, Errno> {
        let mut facts = Facts::from(&file.created).possible()?;
        facts.links = match file.created.action {
            CreateAction::CREATED => Some(1),
            _ if facts.links.is_some() => facts.links,
            _ => Some(self.links_of(live, file).await?),
        };
        if empties {
            self.set_size(live, file, 0).await?;
        }
        Ok(facts)
    }

    /// Closes a file and releases its locks.
    pub(crate) async fn release(&self, handle: FileHandle) -> Result<(), Errno> {
        let Ok(open) = self.files.get(handle) else { return Ok(()) };
        // The lock prevents another open from joining this one while it is being closed.
        let _turn = match open.tenure {
            Tenure::Alone => Some(self.files.alone.lock().await),
            _ => None,
        };
        self.files.remove(handle);
        let joined = self.files.of(open.number).iter().any(|other| Arc::ptr_eq(&other.slot, &open.slot));
        let outcome = if joined { Ok(()) } else { self.close_open(&open).await };
        self.locks.forget_handle(open.number, handle).await;
        outcome
    }

    async fn close_open(&self, open: &OpenFile) -> Result<(), Errno> {
        let slot = open.slot.lock().await;
        let live = self.live().await?;
        if slot.generation != live.generation || slot.given_up {
            return Ok(());
        }
        let Err(error) = slot.file.close().await else { return Ok(()) };
        let errno = self.failed(&live, &error);
        if open.locked.load(Ordering::Relaxed) && !error.is(NtStatus::FILE_CLOSED) {
            // This table forgets the locks, so the server must release them as well.
            live.tree.connection().disconnect();
        }
        Err(errno)
    }

    /// Closes all open files.
    pub(crate) async fn close_all(&self) {
        let handles: Vec<u64> = self.files.files().keys().copied().collect();
        for handle in handles {
            // The connection and all its opens end next, so errors do not matter.
            self.release(FileHandle(handle)).await.ok();
        }
    }

    /// Reads `size` bytes, or to the end of the file.
    pub(crate) async fn read(&self, handle: FileHandle, offset: u64, size: u32) -> Result<Bytes, Errno> {
        let open = self.files.get(handle)?;
        match self.read_through(&open, offset, size).await {
            Err(Failed { conflict: true, errno }) => {
                for other in self.others(&open, |other| other.reads) {
                    if let Ok(data) = self.read_through(&other, offset, size).await {
                        return Ok(data);
                    }
                }
                Err(errno)
            }
            outcome => outcome.map_err(|failed| failed.errno),
        }
    }

    /// Writes all of the data.
    pub(crate) async fn write(&self, handle: FileHandle, offset: u64, data: Bytes) -> Result<u32, Errno> {
        let open = self.files.get(handle)?;
        let length = u32::try_from(data.len()).map_err(|_| Errno::EINVAL)?;
        match self.write_through(&open, offset, &data).await {
            Err(Failed { conflict: true, errno }) => {
                for other in self.others(&open, |other| other.writes) {
                    if self.write_through(&other, offset, &data).await.is_ok() {
                        return Ok(length);
                    }
                }
                Err(errno)
            }
            outcome => outcome.map(|()| length).map_err(|failed| failed.errno),
        }
    }

    /// fsync(2): EIO if written data may be lost, once per open.
    pub(crate) async fn sync(&self, handle: FileHandle) -> Result<(), Errno> {
        let open = self.files.get(handle)?;
        let (live, file) = self.through(&open).await?;
        self.unflushed.tell(open.number, Some(live.generation), &open.told)?;
        if open.writes {
            return self.flush(&live, &file, open.number, &open.told).await;
        }
        // A server flushes only opens with write access (MS-SMB2 3.3.5.11).
        if !self.unflushed.any(open.number) {
            return Ok(());
        }
        if let Some(other) = self.files.of(open.number).into_iter().find(|other| other.writes) {
            let (live, file) = self.through(&other).await?;
            self.unflushed.tell(open.number, Some(live.generation), &open.told)?;
            return self.flush(&live, &file, open.number, &open.told).await;
        }
        self.flush_anew(open.number, CreateOptions::NON_DIRECTORY_FILE, &open.told).await
    }

    /// fsync(2) of a directory: flushes creations, removals and renames in it.
    pub(crate) async fn sync_directory(&self, handle: FileHandle) -> Result<(), Errno> {
        let directory = self.files.directory(handle)?;
        let live = self.live().await?;
        let number = directory.number;
        self.unflushed.tell(number, Some(live.generation), &directory.told)?;
        if !self.unflushed.any(number) {
            return Ok(());
        }
        let outcome = self.flush_anew(number, CreateOptions::DIRECTORY_FILE, &directory.told).await;
        // If the server cannot flush directories, EINVAL, as fsync(2) returns for files that cannot be
        // synchronized.
        let unable = [Errno::EOPNOTSUPP.code(), Errno::EISDIR.code()];
        outcome.map_err(|errno| if unable.contains(&errno.code()) { Errno::EINVAL } else { errno })
    }

    /// The result of close(2): EIO if data of the file may be lost and this open has not reported it.
    pub(crate) async fn is_kept(&self, handle: FileHandle) -> Result<(), Errno> {
        let open = self.files.get(handle)?;
        if !open.writes {
            return Ok(());
        }
        let alive = self.remote.generation().await;
        self.unflushed.warn(open.number, alive, &open.told)
    }

    async fn flush(&self, live: &Live, file: &File, number: INodeNo, told: &Told) -> Result<(), Errno> {
        let mark = self.unflushed.mark(number);
        match file.flush().await {
            Ok(()) => {
                self.unflushed.flushed(number, mark);
                Ok(())
            }
            Err(error) => {
                self.unflushed.failed(number, mark, told);
                Err(self.failed(live, &error))
            }
        }
    }

    /// Flushes a file that has no open with write access.
    async fn flush_anew(&self, number: INodeNo, options: CreateOptions, told: &Told) -> Result<(), Errno> {
        // FILE_ADD_FILE of a directory has the same bit.
        let access = AccessMask::WRITE_DATA | AccessMask::READ_ATTRIBUTES;
        let mark = self.unflushed.mark(number);
        let flushed = self.with_number(number, access, options, async |file| file.flush().await);
        let ((), generation) = flushed.await?;
        // The connection may no longer be the one that the changes were sent over.
        self.unflushed.tell(number, Some(generation), told)?;
        self.unflushed.flushed(number, mark);
        Ok(())
    }

    /// The server's open behind an open; it is reopened if its connection is lost.
    pub(crate) async fn through(&self, open: &OpenFile) -> Result<(Live, File), Errno> {
        let live = self.live().await?;
        let mut slot = open.slot.lock().await;
        if slot.generation == live.generation && !slot.given_up {
            return Ok((live, slot.file.clone()));
        }
        if open.locked.load(Ordering::Relaxed) || open.tenure != Tenure::Shared {
            // Data under the locks, or of a file that ends with its connection, may have changed.
            return Err(Errno::EIO);
        }
        let file = self.open_number(&live, open.number, &opening("", open.reads, open.writes)).await?;
        if Identity::of(&slot.file.created).compare(Identity::of(&file.created)) != Same::Yes {
            // Another file has the name, as far as the server reports.
            self.close(&live, &file).await;
            return Err(Errno::ESTALE);
        }
        *slot = Slot { file: file.clone(), generation: live.generation, given_up: false };
        Ok((live, file))
    }

    /// Closes the server's open when the state of its locks is unknown, which releases them. The next use
    /// reopens it, unless a process holds locks on it.
    pub(crate) async fn give_up(&self, open: &OpenFile, live: &Live) {
        let mut slot = open.slot.lock().await;
        if slot.generation != live.generation || slot.given_up {
            return;
        }
        slot.given_up = true;
        if let Err(error) = slot.file.close().await {
            self.failed(live, &error);
            // If the close fails, the server closes the file with the connection.
            live.tree.connection().disconnect();
        }
    }

    async fn read_through(&self, open: &OpenFile, offset: u64, size: u32) -> Result<Bytes, Failed> {
        let (live, file) = self.through(open).await?;
        let mut parts: Vec<Bytes> = Vec::new();
        let mut done = 0u32;
        while done < size {
            let wanted = size.saturating_sub(done).min(live.read_max);
            match file.read(offset.saturating_add(done.into()), wanted).await {
                Ok(data) => {
                    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
                    done = done.saturating_add(length);
                    parts.push(data);
                    if length < wanted {
                        break;
                    }
                }
                Err(error) if error.is(NtStatus::END_OF_FILE) => break,
                Err(error) => return Err(Failed::new(self.failed(&live, &error), &error)),
            }
        }
        Ok(match <[Bytes; 1]>::try_from(parts) {
            Ok([whole]) => whole,
            Err(parts) => parts.concat().into(),
        })
    }

    pub(crate) async fn write_through(
        &self,
        open: &OpenFile,
        offset: u64,
        data: &Bytes,
    ) -> Result<(), Failed> {
        let (live, file) = self.through(open).await?;
        self.unstamp(open, &live, &file).await?;
        let mut rest = data.clone();
        while !rest.is_empty() {
            let part = rest.slice(..rest.len().min(usize::try_from(live.write_max).unwrap_or(usize::MAX)));
            let at = offset.saturating_add(wire_size(data.len().saturating_sub(rest.len())));
            let written = file.write(at, part).await;
            let written = written.map_err(|error| Failed::new(self.failed(&live, &error), &error))?;
            self.unflushed.changed(open.number, live.generation);
            let written = usize::try_from(written).unwrap_or(usize::MAX).min(rest.len());
            if written == 0 {
                return Err(Failed { errno: Errno::EIO, conflict: false });
            }
            rest = rest.slice(written..);
        }
        Ok(())
    }

    /// The other opens of the same file that hold locks. A lock belongs to an open in SMB, but to a process
    /// in Linux, so the process must be able to use any of them.
    pub(crate) fn others(&self, open: &Arc<OpenFile>, fit: impl Fn(&OpenFile) -> bool) -> Vec<Arc<OpenFile>> {
        let mut others = self.files.of(open.number);
        others
            .retain(|other| !Arc::ptr_eq(other, open) && other.locked.load(Ordering::Relaxed) && fit(other));
        others
    }
}

impl OpenFile {
    pub(crate) fn new(
        number: INodeNo,
        flags: OpenFlags,
        file: File,
        live: &Live,
        told: Told,
        tenure: Tenure,
    ) -> Self {
        let slot = Slot { file, generation: live.generation, given_up: false };
        Self::over(Arc::new(tokio::sync::Mutex::new(slot)), number, flags, told, tenure)
    }

    /// Another open that shares the server's open.
    pub(crate) fn joining(other: &Self, flags: OpenFlags, told: Told) -> Self {
        Self::over(Arc::clone(&other.slot), other.number, flags, told, other.tenure)
    }

    fn over(
        slot: Arc<tokio::sync::Mutex<Slot>>,
        number: INodeNo,
        flags: OpenFlags,
        told: Told,
        tenure: Tenure,
    ) -> Self {
        let (reads, writes) = modes(flags);
        let direct = append::appends(flags);
        let (locked, stamped) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { number, reads, writes, locked, stamped, direct, told, tenure, slot }
    }

    /// The flags for the kernel. Only the server determines the offset of an append, so its pages cannot be
    /// cached.
    pub(crate) fn how(&self) -> FopenFlags {
        if self.direct { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::empty() }
    }
}

/// The reason why a transfer failed.
pub(crate) struct Failed {
    pub(crate) errno: Errno,
    /// True if a lock conflicts, which may be the caller's own.
    conflict: bool,
}

impl Failed {
    fn new(errno: Errno, error: &Error) -> Self {
        Self { errno, conflict: error.is(NtStatus::FILE_LOCK_CONFLICT) }
    }
}

impl From<Errno> for Failed {
    fn from(errno: Errno) -> Self {
        Self { errno, conflict: false }
    }
}

/// The access of an open: reading and writing.
fn modes(flags: OpenFlags) -> (bool, bool) {
    match flags.acc_mode() {
        OpenAccMode::O_RDONLY => (true, false),
        OpenAccMode::O_WRONLY => (false, true),
        OpenAccMode::O_RDWR => (true, true),
    }
}

/// The attributes of a file that is made with this mode: on a server without modes, read-only where nobody may write.
pub(crate) fn made_attributes(live: &Live, mode: u32) -> FileAttributes {
    if mode & WRITE_BITS == 0 && !live.posix { FileAttributes::READONLY } else { FileAttributes::NORMAL }
}

pub(crate) fn opening(path: &str, reads: bool, writes: bool) -> CreateParameters<'_> {
    let mut access = AccessMask::READ_ATTRIBUTES | AccessMask::SYNCHRONIZE;
    if reads {
        access |= AccessMask::READ_DATA;
    }
    if writes {
        access |= AccessMask::WRITE_DATA | AccessMask::APPEND_DATA | AccessMask::WRITE_ATTRIBUTES;
    }
    CreateParameters {
        access,
        options: CreateOptions::NON_DIRECTORY_FILE,
        contexts: identity::asking(),
        ..CreateParameters::open(path)
    }
}
