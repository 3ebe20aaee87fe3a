//! A share as the kernel asks about it: looks, listings and the space there is.

use std::ffi::OsStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use client::smb::{CreateParameters, Error, File, OwnedEntry, close_part};
use fuser::{Errno, INodeNo, Notifier};
use wire::fscc::file_info::NetworkOpenInfo;
use wire::fscc::fs_info::FsFullSizeInfo;
use wire::fscc::{FileInfoClass, FsInfoClass};
use wire::ioctl::ReparseTag;
use wire::layout::FixedLayout as _;
use wire::msg::{AdditionalInformation, CloseFlags, CreateOptions, InfoType};
use wire::{AccessMask, FileId, NtStatus};

use crate::attributes::{Facts, View};
use crate::files::Files;
use crate::inodes::Inodes;
use crate::locks::Locks;
use crate::remote::{Live, Remote};
use crate::unfinished::Unfinished;
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
    inodes: Mutex<Inodes>,
    hidden: AtomicU64,
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// As Linux shows it.
    pub(crate) name: String,
    /// As the server has it.
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
    pub(crate) fn new(remote: Arc<Remote>, view: View) -> Self {
        Self {
            remote,
            view,
            files: Files::default(),
            locks: Locks::default(),
            unflushed: Unflushed::default(),
            unfinished: Unfinished::default(),
            notifier: std::sync::OnceLock::new(),
            inodes: Mutex::new(Inodes::new()),
            hidden: AtomicU64::new(u64::from(std::process::id()) << 32),
        }
    }

    pub(crate) fn inodes(&self) -> MutexGuard<'_, Inodes> {
        self.inodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection; EIO where there is none to be had.
    pub(crate) async fn live(&self) -> Result<Live, Errno> {
        self.remote.live().await.map_err(|error| errno::of(&error))
    }

    /// The error of a call whose exchange failed.
    pub(crate) fn failed(&self, live: &Live, error: &Error) -> Errno {
        self.remote.note(live, error);
        errno::of(error)
    }

    /// The path of a number. ESTALE where it has none any more.
    pub(crate) fn path(&self, number: INodeNo) -> Result<String, Errno> {
        let inodes = self.inodes();
        if !inodes.is_linked(number) {
            return Err(Errno::ESTALE);
        }
        inodes.path(number).ok_or(Errno::ESTALE)
    }

    /// The path of a name in a directory, and the name as the server has it.
    pub(crate) fn path_in(&self, parent: INodeNo, name: &OsStr) -> Result<(String, String), Errno> {
        let name = names::to_server(name)?;
        let path = self.inodes().path_in(parent, &name).ok_or(Errno::ESTALE)?;
        Ok((path, name))
    }

    /// What is there by a path.
    pub(crate) async fn stat(&self, path: &str) -> Result<Facts, Errno> {
        let live = self.live().await?;
        let facts = match self.look(&live, path).await {
            // Nothing was done: a new logon may do it.
            Err(Error::Status(status, _)) if errno::is_session_lost(status) => {
                live.tree.connection().disconnect();
                let live = self.live().await?;
                self.look(&live, path).await.map_err(|error| self.failed(&live, &error))?
            }
            outcome => outcome.map_err(|error| self.failed(&live, &error))?,
        };
        let facts = facts.possible()?;
        if !facts.is_reparse_point() {
            return Ok(facts);
        }
        match self.link_target(path).await {
            Ok(target) => Ok(Facts { symlink: true, size: wire_size(target.len()), ..facts }),
            // Whether it is a link is not known.
            Err(errno) if errno.code() == Errno::EIO.code() => Err(errno),
            // Whose target cannot be read is no link for Linux.
            Err(_) => Ok(facts),
        }
    }

    /// One CREATE that asks for nothing tells all that `stat` does.
    async fn look(&self, live: &Live, path: &str) -> Result<Facts, Error> {
        let open = CreateParameters {
            access: AccessMask::READ_ATTRIBUTES,
            options: CreateOptions::OPEN_REPARSE_POINT,
            ..CreateParameters::open(path)
        };
        let parts = vec![open.part()?, close_part(FileId::RELATED, CloseFlags::NONE)];
        let tree = &live.tree;
        let mut answers = tree.connection().submit_compound(tree.scope(), parts, true).await?.into_iter();
        let created = answers.next().ok_or(Error::Protocol("a compound without answers"))?;
        let created = created.response().await?.success()?;
        Ok(Facts::from(&File::created(tree, &created)?.created))
    }

    /// What an open file is like now.
    pub(crate) async fn stat_open(&self, live: &Live, file: &File) -> Result<Facts, Errno> {
        let class = FileInfoClass::NETWORK_OPEN.0;
        let answer = file.query_info(InfoType::FILE, class, AdditionalInformation::NONE, 64).await;
        let answer = answer.map_err(|error| self.failed(live, &error))?;
        let info = NetworkOpenInfo::decode(&answer).map_err(|_| Errno::EIO)?;
        Facts::from(&info).possible()
    }

    /// The number of a name and what is there.
    pub(crate) async fn look_up(&self, parent: INodeNo, name: &OsStr) -> Result<(INodeNo, Facts), Errno> {
        let (path, name) = self.path_in(parent, name)?;
        let facts = self.stat(&path).await?;
        Ok((self.inodes().look_up(parent, &name), facts))
    }

    /// Opens by a path.
    pub(crate) async fn open(&self, live: &Live, open: &CreateParameters<'_>) -> Result<File, Errno> {
        live.tree.create(open).await.map_err(|error| self.failed(live, &error))
    }

    /// Opens by a path what is there, links themselves, does something with it, and closes.
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

    /// As [`with`](Self::with), opened in any way; also over which connection it was done.
    pub(crate) async fn with_open<T>(
        &self,
        open: CreateParameters<'_>,
        work: impl AsyncFnOnce(&File) -> Result<T, Error>,
    ) -> Result<(T, u64), Errno> {
        let live = self.live().await?;
        let open = CreateParameters { options: open.options | CreateOptions::OPEN_REPARSE_POINT, ..open };
        let file = self.open(&live, &open).await?;
        let outcome = work(&file).await;
        let closed = file.close().await;
        let outcome = outcome.map_err(|error| self.failed(&live, &error))?;
        closed.map_err(|error| self.failed(&live, &error))?;
        Ok((outcome, live.generation))
    }

    /// Closes what has served its purpose. That it cannot be closed changes nothing of that; where it is the
    /// connection's fault, it is gone with the connection.
    pub(crate) async fn close(&self, live: &Live, file: &File) {
        if let Err(error) = file.close().await {
            self.failed(live, &error);
        }
    }

    /// All entries of a directory, itself and the one above aside.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Entry>, Errno> {
        self.list_some(path, usize::MAX).await
    }

    /// Whether a directory has entries that are shown.
    pub(crate) async fn has_entries(&self, path: &str) -> Result<bool, Errno> {
        self.list_some(path, 1).await.map(|some| !some.is_empty())
    }

    /// The entries of a directory, or the first of them as soon as they are `enough`.
    async fn list_some(&self, path: &str, enough: usize) -> Result<Vec<Entry>, Errno> {
        let live = self.live().await?;
        let directory = CreateParameters {
            access: AccessMask::READ_DATA | AccessMask::READ_ATTRIBUTES | AccessMask::SYNCHRONIZE,
            ..CreateParameters::directory(path)
        };
        let directory = self.open(&live, &directory).await?;
        let bytes = limits::LISTING_BYTES.min(live.read_max).min(transact_max(&live));
        let mut listing = directory.list(FileInfoClass::ID_BOTH_DIRECTORY, "*").bytes(bytes);
        let mut entries = Vec::new();
        // Entries that are not shown count as well: a server could send nothing else, without end.
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
                    entries.extend(entry(listed)?);
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

    /// The space there is.
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

    /// A name for a file that is deleted while it is open.
    pub(crate) fn hidden_name(&self) -> String {
        self.unique_name(HIDDEN)
    }

    /// A name that this mount has not given yet.
    pub(crate) fn unique_name(&self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.hidden.fetch_add(1, Ordering::Relaxed))
    }
}

/// What is shown of an entry; none where nothing is.
fn entry(entry: &OwnedEntry) -> Result<Option<Entry>, Errno> {
    if entry.name == "." || entry.name == ".." || entry.name.starts_with(HIDDEN) {
        return Ok(None);
    }
    let Some(name) = names::from_server(&entry.name) else { return Ok(None) };
    let mut facts = Facts::from(&entry.fields).possible()?;
    let tag = ReparseTag(entry.fields.reparse_tag);
    let linked = matches!(tag, ReparseTag::SYMLINK | ReparseTag::LX_SYMLINK | ReparseTag::NFS);
    facts.symlink = facts.is_reparse_point() && linked;
    Ok(Some(Entry { name, server_name: entry.name.clone(), facts }))
}

fn transact_max(live: &Live) -> u32 {
    live.tree.connection().negotiated().map_or(64 << 10, |negotiated| negotiated.max_transact_size)
}

pub(crate) fn wire_size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// What the names of files start with that are deleted and still open.
const HIDDEN: &str = ".shareward-deleted-";
