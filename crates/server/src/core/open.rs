//! Opens outside of the registry: the handle of a file or a pipe, and the state that handlers keep between requests.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

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

/// An open, which is attached to the registry's open (MS-SMB2 3.3.1.10).
pub(crate) struct Open {
    file_id: FileId,
    global_id: FileGlobalId,
    access: AccessMask,
    shared: Arc<OpenShared>,
    tree: Arc<Tree>,
    session: Arc<Session>,
    /// The Unix identity of the user, whose rights apply to a delete on close even if the session has ended.
    actor: vfs::Actor,
    pub(crate) content: Arc<Content>,
    /// `Open.ChannelSequence` and its counts.
    pub(crate) channel: Arc<ChannelCounts>,
    /// The `CreateAction` of the CREATE, for its replay.
    pub(crate) action: CreateAction,
    /// The key of the lease on the directory that changes through this open do not break (`Lease.ParentLeaseKey`).
    parent_key: Option<Guid>,
    /// `Open.IsReplayEligible`.
    replayable: AtomicBool,
    /// `Open.IsDurable` or `Open.IsResilient`.
    durable: AtomicBool,
}

/// The properties of a CREATE that its open keeps.
#[derive(Clone, Debug)]
pub(crate) struct Created {
    /// The Unix identity of the user.
    pub(crate) actor: vfs::Actor,
    pub(crate) action: CreateAction,
    pub(crate) channel_sequence: u16,
    /// True if the CREATE had a create GUID.
    pub(crate) has_guid: bool,
    /// `ParentLeaseKey` of the lease context.
    pub(crate) parent_key: Option<Guid>,
}

/// The object of an open.
#[expect(clippy::large_enum_variant, reason = "nearly all opens are of files, and all are behind an `Arc`")]
pub(crate) enum Content {
    /// A file, directory or stream.
    File(OpenFile),
    /// A named pipe.
    Pipe(Box<dyn Pipe>),
    /// Replaces the object while it is being closed.
    Gone,
}

/// An open file, directory or stream.
pub(crate) struct OpenFile {
    pub(crate) handle: Arc<dyn vfs::Handle>,
    pub(crate) is_directory: bool,
    pub(crate) is_stream: bool,
    /// `FileModeInformation`: the create options that apply to the open (MS-FSCC 2.4.31).
    pub(crate) mode: u32,
    /// True if the user may append data to the file but not change existing data (FILE_APPEND_DATA without
    /// FILE_WRITE_DATA, by the file's permissions and not only by this open's access).
    pub(crate) append_only: bool,
    /// True for an open of the POSIX extensions.
    pub(crate) posix: bool,
    /// The birth time of the file, once the log of opens that outlive the server has asked for it.
    birth: OnceLock<Option<(i64, u32)>>,
    /// The use of locks on the host.
    pub(crate) locking: HostLocking,
    /// True if changes are on the disk before they are answered (FILE_WRITE_THROUGH).
    write_through: AtomicBool,
    /// True if a client has set or frozen a time through this open, which its own changes must keep.
    keeps_times: AtomicBool,
    /// The changes of the file by all its opens.
    pub(crate) writes: Arc<Writes>,
    /// True if data were written through this open.
    written: AtomicBool,
    /// The time at which writes through this open were last recorded.
    noted: AtomicU64,
    pub(crate) state: Mutex<FileState>,
}

/// The part of a file's open that changes.
#[derive(Default)]
pub(crate) struct FileState {
    /// The present path of the file, which a rename changes.
    pub(crate) path: RelativePath,
    /// `FilePositionInformation` (MS-FSCC 2.4.40).
    pub(crate) position: u64,
    /// `Open.NextEaEntry`: the number of extended attributes that a scan has returned.
    pub(crate) next_ea: usize,
    /// `FileModeInformation`, if it was set after the open.
    pub(crate) mode: Option<u32>,
    /// True if the directory was prepared for a lease.
    pub(crate) leased: bool,
    /// True if the file got its name through this open.
    pub(crate) renamed: bool,
    /// Directories, other than the file's own, in which names of the file were created or removed through this open and
    /// are not on the disk yet.
    pub(crate) unflushed: Vec<RelativePath>,
    /// The watch that CHANGE_NOTIFY has begun.
    pub(crate) watch: Option<Arc<crate::core::files::notify::Watch>>,
    /// `Open.LockSequenceArray`.
    pub(crate) lock_sequences: LockSequences,
    /// `AllocationSize`, if it was set through this open. It does not include other space on the disk, for example for
    /// attributes.
    pub(crate) reserved: Option<u64>,
    /// The times that this open keeps.
    pub(crate) times: Times,
    /// The first error at the end of the open.
    pub(crate) late: Option<NtStatus>,
    /// The state of a directory listing.
    pub(crate) listing: Option<crate::core::files::listing::Listing>,
}

impl FileState {
    /// Records an error at the end of the open. Only the first is kept.
    pub(crate) fn fail(&mut self, outcome: vfs::Result<()>) {
        if let Err(error) = outcome {
            let status = of_vfs(&error);
            self.late.get_or_insert(status);
        }
    }
}

impl Open {
    /// Creates an open that the registry has granted.
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

    /// The open after its client has reclaimed it (MS-SMB2 3.3.5.9.7, 3.3.5.9.12).
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

    /// Makes the open replayable again, because its client may not have received the answer to its CREATE.
    pub(crate) fn still_replayable(mut self) -> Self {
        self.replayable = AtomicBool::new(true);
        self
    }

    /// Records that the client uses the open. Returns true for the first use, if a CREATE could have been a replay
    /// until now.
    pub(crate) fn use_first(&self) -> bool {
        self.replayable.load(Ordering::Relaxed) && self.replayable.swap(false, Ordering::Relaxed)
    }

    /// True if the open becomes an orphan when its client is lost.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable.load(Ordering::Relaxed)
    }

    /// Records that the open becomes an orphan when its client is lost.
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

    /// The key of the lease on the directory that changes through this open do not break.
    pub(crate) fn parent_key(&self) -> Option<Guid> {
        self.parent_key
    }

    /// The part of the registry's open that READ and WRITE use without a lock.
    pub(crate) fn shared(&self) -> &Arc<OpenShared> {
        &self.shared
    }

    /// True if the open has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.closed().is_some()
    }

    /// The Unix identity of the user.
    pub(crate) fn actor(&self) -> &vfs::Actor {
        &self.actor
    }

    /// The tree connect of the open.
    pub(crate) fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// The session of the open.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The file; `None` for a pipe.
    pub(crate) fn file(&self) -> Option<&OpenFile> {
        match &*self.content {
            Content::File(file) => Some(file),
            Content::Pipe(_) | Content::Gone => None,
        }
    }

    /// The pipe; `None` for a file.
    pub(crate) fn pipe(&self) -> Option<&dyn Pipe> {
        match &*self.content {
            Content::File(_) | Content::Gone => None,
            Content::Pipe(pipe) => Some(&**pipe),
        }
    }
}

impl Drop for Open {
    /// The close of a file may hang, so it is done behind the share's bulkhead.
    fn drop(&mut self) {
        if self.file().is_some() && !self.tree.share.bulkhead.is_current() {
            let content = std::mem::replace(&mut self.content, Arc::new(Content::Gone));
            self.tree.share.bulkhead.submit(false, move || drop(content));
        }
    }
}

impl OpenFile {
    /// Creates the state of a file that has just been opened.
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
            posix: false,
            birth: OnceLock::new(),
            locking: HostLocking::default(),
            write_through: AtomicBool::new(is_write_through(mode)),
            keeps_times: AtomicBool::new(false),
            writes,
            written: AtomicBool::new(false),
            noted: AtomicU64::new(0),
            state: Mutex::new(FileState { path, ..FileState::default() }),
        }
    }

    /// True if changes are on the disk before they are answered.
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

    /// Records that a client has set or frozen times through this open.
    pub(crate) fn set_keeps_times(&self) {
        self.keeps_times.store(true, Ordering::Relaxed);
    }

    /// True if a client has set or frozen times through this open.
    pub(crate) fn keeps_times(&self) -> bool {
        self.keeps_times.load(Ordering::Relaxed)
    }

    /// The birth time of the file, which is also that of its streams. `None` if it is unknown.
    pub(crate) fn birth(&self, backend: &dyn vfs::Backend) -> Option<(i64, u32)> {
        *self.birth.get_or_init(|| {
            let birth = match self.is_stream {
                false => self.handle.birth(),
                true => {
                    backend.file_of(&vfs::Actor::Process, &*self.handle).and_then(|base| base.handle.birth())
                }
            };
            birth.ok().flatten()
        })
    }

    /// Begins a change of attributes or names through this open.
    pub(crate) fn begin_change(&self) -> Change<'_> {
        Change::begin(self, Moves::Nothing)
    }

    /// Begins a change of data through this open.
    pub(crate) fn begin_write(&self) -> Change<'_> {
        Change::begin(self, Moves::Unless)
    }

    /// Begins an allocation of space through this open, which does not change the data.
    pub(crate) fn begin_allocation(&self) -> Change<'_> {
        Change::begin(self, Moves::Never)
    }

    /// Restores the file's times when the open ends.
    pub(crate) fn finish_times(&self) {
        let mut state = self.state();
        let finished = state.times.finish(&*self.handle);
        state.fail(finished);
    }

    /// Records that data were written through this open.
    pub(crate) fn set_written(&self) {
        if !self.written.load(Ordering::Relaxed) {
            self.written.store(true, Ordering::Relaxed);
        }
    }

    /// True if writes were last recorded at least this time ago. From now on they count as recorded.
    pub(crate) fn is_due(&self, now: Time, after_ms: u128) -> bool {
        let last = self.noted.load(Ordering::Relaxed);
        let is_due = u128::from(now.since_ms(Time(last))) >= after_ms;
        if is_due {
            self.noted.store(now.0, Ordering::Relaxed);
        }
        is_due
    }

    /// True if data were written through this open.
    pub(crate) fn was_written(&self) -> bool {
        self.written.load(Ordering::Relaxed)
    }

    /// True if the open was made with FILE_DELETE_ON_CLOSE.
    pub(crate) fn deletes_on_close(&self) -> bool {
        self.current_mode() & CreateOptions::DELETE_ON_CLOSE.0 != 0
    }

    /// The part of the open that changes.
    pub(crate) fn state(&self) -> MutexGuard<'_, FileState> {
        self.state.lock()
    }

    /// The metadata that this open shows.
    pub(crate) fn stat(&self) -> vfs::Result<vfs::Stat> {
        self.handle.stat().map(|stat| self.shown(stat))
    }

    /// The metadata that this open shows, and `EaSize`.
    pub(crate) fn stat_and_ea_size(&self) -> vfs::Result<(vfs::Stat, u32)> {
        self.handle.stat_and_ea_size().map(|(stat, ea_size)| (self.shown(stat), ea_size))
    }

    /// The metadata of the file in the form in which this open shows them.
    pub(crate) fn shown(&self, mut stat: vfs::Stat) -> vfs::Stat {
        let state = self.state();
        if let Some(reserved) = state.reserved {
            stat.allocation = reserved.max(stat.size).next_multiple_of(ALLOCATION_UNIT);
        }
        state.times.shown(stat)
    }

    /// Records the present path of the file.
    pub(crate) fn moved(&self, path: RelativePath) {
        self.handle.moved(&path);
        self.state().path = path;
    }

    /// The present path of the file.
    pub(crate) fn path(&self) -> RelativePath {
        self.state().path.clone()
    }
}

fn is_write_through(mode: u32) -> bool {
    mode & CreateOptions::WRITE_THROUGH.0 != 0
}

/// The unit to which reservations are rounded up, in bytes.
const ALLOCATION_UNIT: u64 = 4096;
