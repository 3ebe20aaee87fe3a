//! An open outside the registry: the file's handle or the pipe's association, and what the handlers
//! keep between requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use registry::{GrantedOpen, OpenShared, Time};
use vfs::RelativePath;
use wire::msg::{CreateAction, CreateOptions};
use wire::{AccessMask, FileGlobalId, FileId, Guid, NtStatus};

use crate::core::files::host_locks::HostLocking;
use crate::core::files::replay::{ChannelCounts, LockSequences};
use crate::core::files::times::{Change, Moves, Times, Writes};
use crate::core::pipe::Pipe;
use crate::core::session::Session;
use crate::core::status::of_vfs;
use crate::core::tree::Tree;

/// An open; attached to the registry's (MS-SMB2 3.3.1.10).
pub(crate) struct Open {
    file_id: FileId,
    global_id: FileGlobalId,
    access: AccessMask,
    shared: Arc<OpenShared>,
    tree: Arc<Tree>,
    session: Arc<Session>,
    /// Who opened it: whose rights count when it is to be deleted on close, whether or not the session is still there.
    actor: vfs::Actor,
    pub(crate) content: Arc<Content>,
    /// `Open.ChannelSequence` and its counts.
    pub(crate) channel: Arc<ChannelCounts>,
    /// What the CREATE answered, for its replay.
    pub(crate) action: CreateAction,
    /// The key of the lease on its directory that its own changes are not to break (`Lease.ParentLeaseKey`).
    parent_key: Option<Guid>,
    /// `Open.IsReplayEligible`.
    replayable: AtomicBool,
    /// `Open.IsDurable` or `Open.IsResilient`.
    durable: AtomicBool,
}

/// What an open keeps of the CREATE that made it.
#[derive(Clone, Debug)]
pub(crate) struct Created {
    /// Who asked for it.
    pub(crate) actor: vfs::Actor,
    pub(crate) action: CreateAction,
    pub(crate) channel_sequence: u16,
    /// Whether it had a create GUID.
    pub(crate) has_guid: bool,
    /// `ParentLeaseKey` of its lease context.
    pub(crate) parent_key: Option<Guid>,
}

/// The object that is open.
#[expect(clippy::large_enum_variant, reason = "nearly all opens are of files, and all are behind an `Arc`")]
pub(crate) enum Content {
    /// A file, directory or stream.
    File(OpenFile),
    /// A named pipe.
    Pipe(Box<dyn Pipe>),
    /// What it was is being closed.
    Gone,
}

/// An open file, directory or stream.
pub(crate) struct OpenFile {
    pub(crate) handle: Arc<dyn vfs::Handle>,
    pub(crate) is_directory: bool,
    pub(crate) is_stream: bool,
    /// `FileModeInformation`: the create options that stay (MS-FSCC 2.4.31).
    pub(crate) mode: u32,
    /// Whether its user may add data to the file but not change what is there (FILE_APPEND_DATA without
    /// FILE_WRITE_DATA, by the file's permissions and not only by this open's).
    pub(crate) append_only: bool,
    /// How it goes about locks on the machine.
    pub(crate) locking: HostLocking,
    /// Whether what it changes is on the disk before it is answered (FILE_WRITE_THROUGH).
    write_through: AtomicBool,
    /// Whether a client has set or frozen a time through it, which its own changes are to leave.
    keeps_times: AtomicBool,
    /// The changes of the file by all its opens.
    pub(crate) writes: Arc<Writes>,
    /// Whether data were written through it.
    written: AtomicBool,
    /// When its writes were last noted.
    noted: AtomicU64,
    pub(crate) state: Mutex<FileState>,
}

/// What changes while a file is open.
#[derive(Default)]
pub(crate) struct FileState {
    /// Where the file is now: a rename moves it.
    pub(crate) path: RelativePath,
    /// `FilePositionInformation` (MS-FSCC 2.4.40).
    pub(crate) position: u64,
    /// `Open.NextEaEntry`: how many of the extended attributes a scan has told.
    pub(crate) next_ea: usize,
    /// `FileModeInformation` where it was set since the open.
    pub(crate) mode: Option<u32>,
    /// Whether the directory was prepared for a lease.
    pub(crate) leased: bool,
    /// Whether the file got its name through this open.
    pub(crate) renamed: bool,
    /// Directories, beside the file's own, in which names of the file were made or removed through this open, until that
    /// is on the disk.
    pub(crate) unflushed: Vec<RelativePath>,
    /// The watch that CHANGE_NOTIFY has begun.
    pub(crate) watch: Option<Arc<crate::core::files::notify::Watch>>,
    /// `Open.LockSequenceArray`.
    pub(crate) lock_sequences: LockSequences,
    /// `AllocationSize` as it was set through this open: what the disk uses besides, for attributes for one,
    /// is no part of that.
    pub(crate) reserved: Option<u64>,
    /// What of the file's times is this open's.
    pub(crate) times: Times,
    /// What has failed of the open's end.
    pub(crate) late: Option<NtStatus>,
    /// The listing under way.
    pub(crate) listing: Option<crate::core::files::listing::Listing>,
}

impl FileState {
    /// Notes that something of the open's end has failed: of several the first.
    pub(crate) fn fail(&mut self, outcome: vfs::Result<()>) {
        if let Err(error) = outcome {
            let status = of_vfs(&error);
            self.late.get_or_insert(status);
        }
    }
}

impl Open {
    /// An open as the registry granted it.
    pub(crate) fn new(
        granted: &GrantedOpen,
        access: AccessMask,
        session: Arc<Session>,
        tree: Arc<Tree>,
        content: Content,
        created: Created,
    ) -> Self {
        let Created { actor, action, channel_sequence, has_guid, parent_key } = created;
        Self {
            file_id: granted.file_id,
            global_id: granted.global_id,
            access,
            shared: Arc::clone(&granted.shared),
            tree,
            session,
            actor,
            content: Arc::new(content),
            channel: ChannelCounts::new(channel_sequence),
            action,
            parent_key,
            replayable: AtomicBool::new(has_guid),
            durable: AtomicBool::new(granted.durable.is_some()),
        }
    }

    /// The same open with its client back (MS-SMB2 3.3.5.9.7, 3.3.5.9.12).
    pub(crate) fn reclaimed(
        &self,
        file_id: FileId,
        session: Arc<Session>,
        tree: Arc<Tree>,
        channel_sequence: u16,
    ) -> Self {
        Self {
            file_id,
            global_id: self.global_id,
            access: self.access,
            shared: Arc::clone(&self.shared),
            tree,
            session,
            actor: self.actor.clone(),
            content: Arc::clone(&self.content),
            channel: ChannelCounts::new(channel_sequence),
            action: self.action,
            parent_key: self.parent_key,
            replayable: AtomicBool::new(false),
            durable: AtomicBool::new(true),
        }
    }

    /// The same for a client that may not have heard of it yet: its CREATE can be repeated again.
    pub(crate) fn still_replayable(mut self) -> Self {
        self.replayable = AtomicBool::new(true);
        self
    }

    /// Notes that the client uses it; true the first time, if a CREATE could be a replay until now.
    pub(crate) fn use_first(&self) -> bool {
        self.replayable.load(Ordering::Relaxed) && self.replayable.swap(false, Ordering::Relaxed)
    }

    /// Whether it waits for its client if that is lost.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable.load(Ordering::Relaxed)
    }

    /// Notes that it waits for its client if that is lost.
    pub(crate) fn set_durable(&self) {
        self.durable.store(true, Ordering::Relaxed);
    }

    /// `Open.FileId`.
    pub(crate) fn file_id(&self) -> FileId {
        self.file_id
    }

    /// `Open.FileGlobalId`.
    pub(crate) fn global_id(&self) -> FileGlobalId {
        self.global_id
    }

    /// `Open.GrantedAccess`.
    pub(crate) fn access(&self) -> AccessMask {
        self.access
    }

    /// The key of the lease on its directory that its own changes are not to break.
    pub(crate) fn parent_key(&self) -> Option<Guid> {
        self.parent_key
    }

    /// What the registry shares with the hot path.
    pub(crate) fn shared(&self) -> &Arc<OpenShared> {
        &self.shared
    }

    /// Whether the open is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.closed().is_some()
    }

    /// Who opened it.
    pub(crate) fn actor(&self) -> &vfs::Actor {
        &self.actor
    }

    /// The tree connect it was opened through.
    pub(crate) fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// The session it was opened in.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The file; none for a pipe.
    pub(crate) fn file(&self) -> Option<&OpenFile> {
        match &*self.content {
            Content::File(file) => Some(file),
            Content::Pipe(_) | Content::Gone => None,
        }
    }

    /// The pipe; none for a file.
    pub(crate) fn pipe(&self) -> Option<&dyn Pipe> {
        match &*self.content {
            Content::File(_) | Content::Gone => None,
            Content::Pipe(pipe) => Some(&**pipe),
        }
    }
}

impl Drop for Open {
    /// Closing a file may hang: it happens where only its share notices.
    fn drop(&mut self) {
        if self.file().is_some() && !self.tree.share.bulkhead.is_current() {
            let content = std::mem::replace(&mut self.content, Arc::new(Content::Gone));
            self.tree.share.bulkhead.submit(false, move || drop(content));
        }
    }
}

impl OpenFile {
    /// A file that has just been opened.
    pub(crate) fn new(
        handle: Arc<dyn vfs::Handle>,
        path: RelativePath,
        is_directory: bool,
        mode: u32,
        writes: Arc<Writes>,
    ) -> Self {
        Self {
            handle,
            is_directory,
            is_stream: path.stream().is_some(),
            mode,
            append_only: false,
            locking: HostLocking::default(),
            write_through: AtomicBool::new(is_write_through(mode)),
            keeps_times: AtomicBool::new(false),
            writes,
            written: AtomicBool::new(false),
            noted: AtomicU64::new(0),
            state: Mutex::new(FileState { path, ..FileState::default() }),
        }
    }

    /// Whether what it changes is on the disk before it is answered.
    pub(crate) fn is_write_through(&self) -> bool {
        self.write_through.load(Ordering::Relaxed)
    }

    /// `FileModeInformation.Mode` (MS-FSCC 2.4.31).
    pub(crate) fn current_mode(&self) -> u32 {
        self.state().mode.unwrap_or(self.mode)
    }

    /// Sets the bits of `FileModeInformation.Mode` that are in `which` to those of `mode`.
    pub(crate) fn set_mode(&self, which: u32, mode: u32) {
        let mut state = self.state();
        let mode = state.mode.unwrap_or(self.mode) & !which | mode & which;
        state.mode = Some(mode);
        self.write_through.store(is_write_through(mode), Ordering::Relaxed);
    }

    /// Notes that a client has set or frozen times through it.
    pub(crate) fn set_keeps_times(&self) {
        self.keeps_times.store(true, Ordering::Relaxed);
    }

    /// Tells if a client has set or frozen times through it.
    pub(crate) fn keeps_times(&self) -> bool {
        self.keeps_times.load(Ordering::Relaxed)
    }

    /// Begins a change of its attributes or names through it.
    pub(crate) fn begin_change(&self) -> Change<'_> {
        Change::begin(self, Moves::Nothing)
    }

    /// Begins a change of its data through it.
    pub(crate) fn begin_write(&self) -> Change<'_> {
        Change::begin(self, Moves::Unless)
    }

    /// Begins to give it space through it, which is no change of its data.
    pub(crate) fn begin_allocation(&self) -> Change<'_> {
        Change::begin(self, Moves::Never)
    }

    /// Brings the file's times to what they are when the open ends.
    pub(crate) fn finish_times(&self) {
        let mut state = self.state();
        let finished = state.times.finish(&*self.handle);
        state.fail(finished);
    }

    /// Notes that data are written through it.
    pub(crate) fn set_written(&self) {
        if !self.written.load(Ordering::Relaxed) {
            self.written.store(true, Ordering::Relaxed);
        }
    }

    /// Whether its writes are to be noted again, which is as long ago.
    pub(crate) fn is_due(&self, now: Time, after_ms: u128) -> bool {
        let last = self.noted.load(Ordering::Relaxed);
        let is_due = u128::from(now.since_ms(Time(last))) >= after_ms;
        if is_due {
            self.noted.store(now.0, Ordering::Relaxed);
        }
        is_due
    }

    /// Whether data were written through it.
    pub(crate) fn was_written(&self) -> bool {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether the open was made with FILE_DELETE_ON_CLOSE.
    pub(crate) fn deletes_on_close(&self) -> bool {
        self.current_mode() & CreateOptions::DELETE_ON_CLOSE.0 != 0
    }

    /// What changes while the file is open.
    pub(crate) fn state(&self) -> MutexGuard<'_, FileState> {
        self.state.lock()
    }

    /// The metadata as this open shows it.
    pub(crate) fn stat(&self) -> vfs::Result<vfs::Stat> {
        let mut stat = self.handle.stat()?;
        let state = self.state();
        if let Some(reserved) = state.reserved {
            stat.allocation = reserved.max(stat.size).next_multiple_of(ALLOCATION_UNIT);
        }
        Ok(state.times.shown(stat))
    }

    /// Notes where the file is now.
    pub(crate) fn moved(&self, path: RelativePath) {
        self.handle.moved(&path);
        self.state().path = path;
    }

    /// Where the file is now.
    pub(crate) fn path(&self) -> RelativePath {
        self.state().path.clone()
    }
}

fn is_write_through(mode: u32) -> bool {
    mode & CreateOptions::WRITE_THROUGH.0 != 0
}

/// What reservations are rounded up to, bytes.
const ALLOCATION_UNIT: u64 = 4096;
