//! The share behind a mount: metadata, listings and space.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use client::smb::{CreateParameters, Error, File, OwnedEntry, close_part, query_info_data, query_info_part};
use fuser::{Errno, INodeNo, Notifier};
use parking_lot::{Mutex, MutexGuard};
use wire::create_context::CreateContextsRequest;
use wire::fscc::file_info::{NetworkOpenInfo, StandardInfo};
use wire::fscc::fs_info::FsFullSizeInfo;
use wire::fscc::name::utf16_length;
use wire::fscc::{FileInfoClass, FsInfoClass};
use wire::ioctl::ReparseTag;
use wire::layout::FixedLayout as _;
use wire::msg::{AdditionalInformation, CloseFlags, CreateOptions, InfoType};
use wire::{AccessMask, FileId, NtStatus};

use crate::attributes::{Facts, View, links};
use crate::files::Files;
use crate::identity::{self, Identity};
use crate::inodes::Inodes;
use crate::locks::Locks;
use crate::pending_cleanup::Unfinished;
use crate::remote::{Live, Remote};
use crate::unflushed::Unflushed;
use crate::{errno, limits, names};

/// The share behind a mount.
///
/// The mutexes are held for look-ups only, never two at once and never across an await.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) remote: Arc<Remote>,
    pub(crate) view: View,
    pub(crate) files: Files,
    pub(crate) locks: Locks,
    pub(crate) unflushed: Unflushed,
    pub(crate) unfinished: Unfinished,
    pub(crate) notifier: std::sync::OnceLock<Notifier>,
    /// The number of finished calls that change something.
    changes: AtomicU64,
    inodes: Mutex<Inodes>,
    hidden: AtomicU64,
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The name in Linux.
    pub(crate) name: String,
    /// The name on the server.
    pub(crate) server_name: String,
    pub(crate) facts: Facts,
}

/// The space of a share, in units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    pub(crate) unit_bytes: u32,
    pub(crate) total: u64,
    pub(crate) free: u64,
    pub(crate) available: u64,
}

impl Volume {
    /// Creates a volume with this root.
    pub(crate) fn new(remote: Arc<Remote>, view: View, root: Identity) -> Self {
        Self {
            remote,
            view,
            files: Files::default(),
            locks: Locks::default(),
            unflushed: Unflushed::default(),
            unfinished: Unfinished::default(),
            notifier: std::sync::OnceLock::new(),
            changes: AtomicU64::new(0),
            inodes: Mutex::new(Inodes::new(root)),
            hidden: AtomicU64::new(u64::from(std::process::id()) << 32),
        }
    }

    pub(crate) fn inodes(&self) -> MutexGuard<'_, Inodes> {
        self.inodes.lock()
    }

    /// Does something that changes files or names, and counts it before the caller can answer the kernel.
    pub(crate) async fn changing<T>(&self, work: impl Future<Output = T>) -> T {
        let outcome = work.await;
        self.changes.fetch_add(1, Ordering::AcqRel);
        outcome
    }

    /// The number of changes that have been finished. Metadata that was requested before the latest may be older.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The current connection; EIO if there is none.
    pub(crate) async fn live(&self) -> Result<Live, Errno> {
        self.remote.live().await.map_err(|error| errno::of(&error))
    }

    /// The reason why the user is not logged on at the moment.
    pub(crate) fn problem(&self) -> Option<String> {
        self.remote.problem()
    }

    /// The error of a call whose exchange failed.
    pub(crate) fn failed(&self, live: &Live, error: &Error) -> Errno {
        self.remote.note(live, error);
        errno::of(error)
    }

    /// The error of a failed call that passed a path to the server.
    pub(crate) fn failed_at(&self, live: &Live, error: &Error, path: &str) -> Errno {
        let errno = self.failed(live, error);
        if error.is(NtStatus::OBJECT_NAME_INVALID) && names::is_long(path) {
            Errno::ENAMETOOLONG
        } else {
            errno
        }
    }

    /// The path of a number; ESTALE if it has none any more.
    pub(crate) fn path(&self, number: INodeNo) -> Result<String, Errno> {
        self.inodes().path(number).ok_or(Errno::ESTALE)
    }

    /// The path of a name in a directory, and the server's form of the name.
    pub(crate) fn path_in(&self, parent: INodeNo, name: &OsStr) -> Result<(String, String), Errno> {
        let name = names::to_server(name)?;
        let path = self.inodes().path_in(parent, &name).ok_or(Errno::ESTALE)?;
        if utf16_length(&path) > limits::PATH_UNITS_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        Ok((path, name))
    }

    /// The metadata of the file at a path.
    pub(crate) async fn stat(&self, path: &str) -> Result<Facts, Errno> {
        let live = self.live().await?;
        let facts = match self.look(&live, path).await {
            // Nothing was done, so try again with a new logon.
            Err(Error::Status(status, _)) if errno::is_session_lost(status) => {
                live.tree.connection().disconnect();
                let live = self.live().await?;
                self.look(&live, path).await.map_err(|error| self.failed_at(&live, &error, path))?
            }
            outcome => outcome.map_err(|error| self.failed_at(&live, &error, path))?,
        };
        let facts = facts.possible()?;
        if !facts.is_reparse_point() {
            return Ok(facts);
        }
        match self.link_target(path).await {
            Ok(target) => Ok(Facts { symlink: true, size: wire_size(target.len()), ..facts }),
            // The connection failed, so the kind of the file is unknown.
            Err(errno) if errno.code() == Errno::EIO.code() => Err(errno),
            // A reparse point without a readable target is not a link in Linux.
            Err(_) => Ok(facts),
        }
    }

    /// The metadata of a number. A name that now belongs to another file is removed from the number.
    pub(crate) async fn stat_number(&self, number: INodeNo) -> Result<Facts, Errno> {
        let mut outcome = Err(Errno::ESTALE);
        let names = self.inodes().names(number);
        for (name, path) in names {
            outcome = match self.stat(&path).await {
                Ok(facts) if !self.inodes().is_of(number, facts.identity) => Err(Errno::ESTALE),
                outcome => outcome,
            };
            if !outcome.as_ref().is_err_and(is_gone) {
                break;
            }
            self.inodes().lose(number, &name);
        }
        outcome
    }

    /// Queries all that `stat` needs with one compound: a CREATE, and a query for the number of links.
    async fn look(&self, live: &Live, path: &str) -> Result<Facts, Error> {
        let open = CreateParameters {
            access: AccessMask::READ_ATTRIBUTES,
            options: CreateOptions::OPEN_REPARSE_POINT,
            contexts: identity::asking(),
            ..CreateParameters::open(path)
        };
        let open = live.asked(&open);
        if live.posix {
            return look_as_posix(live, &open).await;
        }
        let (file, class) = (FileId::RELATED, FileInfoClass::STANDARD.0);
        let standard =
            query_info_part(file, InfoType::FILE, class, AdditionalInformation::NONE, STANDARD_BYTES);
        let parts = vec![open.part()?, standard, close_part(file, CloseFlags::NONE)];
        let tree = &live.tree;
        let mut answers = tree.connection().request_compound(tree.scope(), parts, true).await?.into_iter();
        let mut answer = || answers.next().ok_or(Error::Protocol("a compound without answers"));
        let (created, standard) = (answer()?.success()?, answer()?);
        let links = match query_info_data(standard) {
            Ok(info) => Some(links(&StandardInfo::decode(&info)?)),
            // The server does not support this information class.
            Err(Error::Status(..)) => None,
            Err(error) => return Err(error),
        };
        Ok(Facts { links, ..Facts::from(&File::created(tree, &created)?.created) })
    }

    /// The current metadata of an open file.
    pub(crate) async fn stat_open(&self, live: &Live, file: &File) -> Result<Facts, Errno> {
        if file.created.contexts.posix.is_some() {
            let info = file.posix_info().await.map_err(|error| self.failed(live, &error))?;
            return Facts::from(&info).possible();
        }
        let class = FileInfoClass::ALL.0;
        let answer = file.query_info(InfoType::FILE, class, AdditionalInformation::NONE, ALL_BYTES).await;
        let answer = answer.map_err(|error| self.failed(live, &error))?;
        Facts::of_all(&answer).map_err(|_| Errno::EIO)?.possible()
    }

    /// The current size of an open file.
    pub(crate) async fn size_of(&self, live: &Live, file: &File) -> Result<u64, Errno> {
        let class = FileInfoClass::NETWORK_OPEN.0;
        let answer = file.query_info(InfoType::FILE, class, AdditionalInformation::NONE, 64).await;
        let answer = answer.map_err(|error| self.failed(live, &error))?;
        NetworkOpenInfo::decode(&answer).map(|info| info.end_of_file).map_err(|_| Errno::EIO)
    }

    /// The number of names of an open file.
    pub(crate) async fn links_of(&self, live: &Live, file: &File) -> Result<u32, Errno> {
        counted_links(file).await.map_err(|error| self.failed(live, &error))
    }

    /// Looks up a name; returns its number and metadata.
    pub(crate) async fn look_up(&self, parent: INodeNo, name: &OsStr) -> Result<(INodeNo, Facts), Errno> {
        let (path, name) = self.path_in(parent, name)?;
        let facts = self.stat(&path).await?;
        Ok((self.inodes().look_up(parent, &name, &facts), facts))
    }

    /// Opens a path.
    pub(crate) async fn open(&self, live: &Live, open: &CreateParameters<'_>) -> Result<File, Errno> {
        live.tree.create(&live.asked(open)).await.map_err(|error| self.failed_at(live, &error, open.name))
    }

    /// Opens the file that a name belonged to at its last look-up. If the name belongs to another file or to
    /// none, the error is ESTALE: it makes the kernel look the name up again, and create the file if
    /// requested.
    pub(crate) async fn open_latest(
        &self,
        live: &Live,
        number: INodeNo,
        how: &CreateParameters<'_>,
    ) -> Result<File, Errno> {
        let (name, path) = self.inodes().names(number).into_iter().next().ok_or(Errno::ESTALE)?;
        let opened = self.open_as(live, number, &path, how).await;
        if !opened.as_ref().is_err_and(is_gone) {
            return opened;
        }
        self.inodes().lose(number, &name);
        Err(Errno::ESTALE)
    }

    /// Opens a number by the first of its names that still belongs to it; ESTALE if none does.
    pub(crate) async fn open_number(
        &self,
        live: &Live,
        number: INodeNo,
        how: &CreateParameters<'_>,
    ) -> Result<File, Errno> {
        let mut outcome = Err(Errno::ESTALE);
        let names = self.inodes().names(number);
        for (name, path) in names {
            outcome = self.open_as(live, number, &path, how).await;
            if !outcome.as_ref().is_err_and(is_gone) {
                break;
            }
            self.inodes().lose(number, &name);
        }
        outcome
    }

    /// Opens a path if it belongs to the number, otherwise returns ESTALE.
    async fn open_as(
        &self,
        live: &Live,
        number: INodeNo,
        path: &str,
        how: &CreateParameters<'_>,
    ) -> Result<File, Errno> {
        let contexts = CreateContextsRequest { query_on_disk_id: true, ..how.contexts.clone() };
        let open = CreateParameters { name: path, contexts, ..how.clone() };
        let file = self.open(live, &open).await?;
        if self.inodes().is_of(number, Identity::of(&file.created)) {
            return Ok(file);
        }
        self.close(live, &file).await;
        Err(Errno::ESTALE)
    }

    /// Opens the file at a path without following links, calls `work`, and closes it.
    pub(crate) async fn with<T>(
        &self,
        path: &str,
        access: AccessMask,
        options: CreateOptions,
        work: impl AsyncFnOnce(&File) -> Result<T, Error>,
    ) -> Result<T, Errno> {
        let open = CreateParameters { access, options, ..CreateParameters::open(path) };
        self.with_open(open, work).await.map(|(outcome, _)| outcome)
    }

    /// Opens with the given parameters, calls `work` as [`with`](Self::with) does, and also returns the
    /// number of the connection.
    pub(crate) async fn with_open<T>(
        &self,
        open: CreateParameters<'_>,
        work: impl AsyncFnOnce(&File) -> Result<T, Error>,
    ) -> Result<(T, u64), Errno> {
        let live = self.live().await?;
        let open = CreateParameters { options: open.options | CreateOptions::OPEN_REPARSE_POINT, ..open };
        let file = self.open(&live, &open).await?;
        self.done_with(&live, file, work).await
    }

    /// Opens a number without following links, calls `work`, and closes it; also returns the number of the
    /// connection.
    pub(crate) async fn with_number<T>(
        &self,
        number: INodeNo,
        access: AccessMask,
        options: CreateOptions,
        work: impl AsyncFnOnce(&File) -> Result<T, Error>,
    ) -> Result<(T, u64), Errno> {
        let live = self.live().await?;
        let options = options | CreateOptions::OPEN_REPARSE_POINT;
        let open = CreateParameters { access, options, ..CreateParameters::open("") };
        let file = self.open_number(&live, number, &open).await?;
        self.done_with(&live, file, work).await
    }

    async fn done_with<T>(
        &self,
        live: &Live,
        file: File,
        work: impl AsyncFnOnce(&File) -> Result<T, Error>,
    ) -> Result<(T, u64), Errno> {
        let outcome = work(&file).await;
        let closed = file.close().await;
        let outcome = outcome.map_err(|error| self.failed(live, &error))?;
        closed.map_err(|error| self.failed(live, &error))?;
        Ok((outcome, live.generation))
    }

    /// Closes a file after its use. An error has no consequences: if the connection failed, the open is gone
    /// with it.
    pub(crate) async fn close(&self, live: &Live, file: &File) {
        if let Err(error) = file.close().await {
            self.failed(live, &error);
        }
    }

    /// All entries of a directory except `.` and `..`.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Entry>, Errno> {
        self.list_some(path, usize::MAX).await
    }

    /// True if a directory has visible entries.
    pub(crate) async fn has_entries(&self, path: &str) -> Result<bool, Errno> {
        self.list_some(path, 1).await.map(|some| !some.is_empty())
    }

    /// The entries of a directory; stops when there are at least `enough`.
    async fn list_some(&self, path: &str, enough: usize) -> Result<Vec<Entry>, Errno> {
        let live = self.live().await?;
        let directory = CreateParameters {
            access: AccessMask::READ_DATA | AccessMask::READ_ATTRIBUTES | AccessMask::SYNCHRONIZE,
            contexts: identity::asking(),
            ..CreateParameters::directory(path)
        };
        let directory = self.open(&live, &directory).await?;
        let volume = Identity::of(&directory.created).numbers().map(|(_, volume)| volume);
        let bytes = limits::LISTING_BYTES.min(live.read_max).min(transact_max(&live));
        let is_posix = directory.created.contexts.posix.is_some();
        let class = if is_posix { FileInfoClass::POSIX } else { FileInfoClass::ID_BOTH_DIRECTORY };
        let mut listing = directory.list(class, "*").bytes(bytes);
        let mut entries = Vec::new();
        // Hidden entries count as well, because a server could send such entries without end.
        let (mut count, mut size) = (0usize, 0u64);
        let outcome = tokio::time::timeout(limits::LISTING_TIME_MAX, async {
            loop {
                let more = match listing.next().await {
                    Ok(Some(more)) => more,
                    Ok(None) => return Ok(()),
                    Err(error) if error.is(NtStatus::NO_SUCH_FILE) => return Ok(()),
                    Err(error) => return Err(self.failed(&live, &error)),
                };
                count = count.saturating_add(more.len());
                size = more.iter().fold(size, |size, entry| size.saturating_add(wire_size(entry.name.len())));
                if count > limits::DIRECTORY_ENTRIES_MAX || size > limits::DIRECTORY_BYTES_MAX {
                    return Err(Errno::EFBIG);
                }
                for listed in &more {
                    entries.extend(entry(listed, volume)?);
                }
                if entries.len() >= enough {
                    return Ok(());
                }
            }
        });
        let outcome = outcome.await;
        self.close(&live, &directory).await;
        outcome.unwrap_or(Err(Errno::ETIMEDOUT))?;
        Ok(entries)
    }

    /// The space of the share.
    pub(crate) async fn space(&self) -> Result<Space, Errno> {
        let class = FsInfoClass::FULL_SIZE.0;
        let access = AccessMask::READ_ATTRIBUTES;
        let answer = self.with("", access, CreateOptions::NONE, async |root| {
            root.query_info(InfoType::FILESYSTEM, class, AdditionalInformation::NONE, 64).await
        });
        let info = FsFullSizeInfo::decode(&answer.await?).map_err(|_| Errno::EIO)?;
        Ok(Space {
            unit_bytes: info.sectors_per_unit.saturating_mul(info.bytes_per_sector).max(512),
            total: info.total_units,
            free: info.actual_available_units,
            available: info.caller_available_units,
        })
    }

    /// A name for a deleted file that is still open.
    pub(crate) fn hidden_name(&self) -> String {
        self.unique_name(HIDDEN)
    }

    /// A name that this mount has not used yet.
    pub(crate) fn unique_name(&self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.hidden.fetch_add(1, Ordering::Relaxed))
    }
}

/// One CREATE that asks for nothing, as a server with the POSIX extensions answers it.
async fn look_as_posix(live: &Live, open: &CreateParameters<'_>) -> Result<Facts, Error> {
    let parts = vec![open.part()?, close_part(FileId::RELATED, CloseFlags::NONE)];
    let tree = &live.tree;
    let mut answers = tree.connection().request_compound(tree.scope(), parts, true).await?.into_iter();
    let created = answers.next().ok_or(Error::Protocol("a compound without answers"))?.success()?;
    Ok(Facts::from(&File::created(tree, &created)?.created))
}

/// The visible form of an entry; `None` if it is hidden.
fn entry(entry: &OwnedEntry, volume: Option<u64>) -> Result<Option<Entry>, Errno> {
    if entry.name == "." || entry.name == ".." || entry.name.starts_with(HIDDEN) {
        return Ok(None);
    }
    let Some(name) = names::from_server(&entry.name) else { return Ok(None) };
    // A POSIX open's listing has names as Linux has them. Here they are known in the form that every open takes.
    let server_name = match entry.fields.posix {
        Some(_) => names::to_server(name.as_ref())?,
        None => entry.name.clone(),
    };
    let mut facts = Facts::from(&entry.fields).possible()?;
    facts.identity = Identity::listed(entry.fields.file_id, volume, entry.fields.created);
    let tag = ReparseTag(entry.fields.reparse_tag);
    let linked = matches!(tag, ReparseTag::SYMLINK | ReparseTag::LX_SYMLINK | ReparseTag::NFS);
    facts.symlink = facts.is_reparse_point() && linked;
    Ok(Some(Entry { name, server_name, facts }))
}

fn transact_max(live: &Live) -> u32 {
    live.tree.connection().negotiated().map_or(64 << 10, |negotiated| negotiated.max_transact_size)
}

/// True if the error means that a name does not belong to the file any more.
fn is_gone(errno: &Errno) -> bool {
    [Errno::ENOENT.code(), Errno::ESTALE.code()].contains(&errno.code())
}

/// The number of names of an open file.
pub(crate) async fn counted_links(file: &File) -> Result<u32, Error> {
    let class = FileInfoClass::STANDARD.0;
    let info = file.query_info(InfoType::FILE, class, AdditionalInformation::NONE, STANDARD_BYTES).await?;
    Ok(links(&StandardInfo::decode(&info)?))
}

/// FileStandardInformation (MS-FSCC 2.4.47).
const STANDARD_BYTES: u32 = 24;

/// The size of FileAllInformation, with room for part of the name at its end (MS-FSCC 2.4.2).
const ALL_BYTES: u32 = 1024;

pub(crate) fn wire_size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The prefix of the names of deleted files that are still open.
const HIDDEN: &str = ".shareward-deleted-";
