//! Removing and renaming.
//!
//! A server neither deletes nor replaces a file that is open or read-only, but unlink(2) and rename(2) do.
//! The target of such a rename is first moved to another name, and deleted last. If a step in between fails,
//! the target gets its name back. If the connection is lost for longer than a call may take, that is done
//! after a reconnection (`pending_cleanup.rs`); until then the target has its temporary name, which starts with
//! [`REPLACED`] and is visible in listings.

use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use client::smb::{CreateParameters, Error, File};
use fuser::{Errno, INodeNo, RenameFlags};
use wire::fscc::FileInfoClass;
use wire::fscc::file_info::{DispositionFlags, DispositionInfoEx};
use wire::layout::FixedLayout as _;
use wire::msg::{AdditionalInformation, CreateOptions, InfoType};
use wire::{AccessMask, FileAttributes, NtStatus};

use crate::change::{rename, set_attributes};
use crate::identity::{self, Identity, Same};
use crate::limits;
use crate::names::join;
use crate::pending_cleanup::Leftover;
use crate::remote::Live;
use crate::volume::{Volume, counted_links};

/// The prefix of the temporary names of files that a rename is about to replace.
const REPLACED: &str = ".shareward-replaced-";

/// The access that a rename needs.
const RENAMING: AccessMask =
    AccessMask(AccessMask::DELETE.0 | AccessMask::READ_ATTRIBUTES.0 | AccessMask::SYNCHRONIZE.0);

/// The target of a rename.
#[derive(Clone, Copy, Debug)]
struct Destination<'a> {
    parent: INodeNo,
    name: &'a str,
    path: &'a str,
}

/// A file that was moved to a temporary name.
#[derive(Clone, Debug)]
pub(crate) struct PutAway {
    /// The current path.
    path: String,
    /// The path of its directory.
    directory: String,
    is_directory: bool,
    /// True if the file is open on this machine.
    used: bool,
}

/// The result of an attempt to restore a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutBack {
    /// The file has its name back.
    Done,
    /// The new file has taken the name: only the answer to that rename was lost.
    Replaced,
    /// The file still has its temporary name.
    Failed,
}

impl Volume {
    /// Removes a file. If it is open here, it gets a hidden name and keeps its data until it is closed.
    pub(crate) async fn remove_file(&self, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let (path, name) = self.path_in(parent, name)?;
        let number = self.inodes().number(parent, &name);
        let used = number.is_some_and(|number| !self.files.of(number).is_empty());
        let generation = if used {
            self.hide(&self.path(parent)?, &path).await?
        } else {
            self.remove(&path, CreateOptions::NON_DIRECTORY_FILE).await?
        };
        self.inodes().unlink(parent, &name);
        self.unflushed.changed(parent, generation);
        Ok(())
    }

    /// Removes an empty directory.
    pub(crate) async fn remove_directory(&self, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let (path, name) = self.path_in(parent, name)?;
        let generation = self.remove(&path, CreateOptions::DIRECTORY_FILE).await?;
        self.inodes().unlink(parent, &name);
        self.unflushed.changed(parent, generation);
        Ok(())
    }

    /// Renames a file or directory, as rename(2) does.
    pub(crate) async fn rename(
        &self,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        if !RenameFlags::RENAME_NOREPLACE.contains(flags) {
            return Err(Errno::EINVAL);
        }
        let replace = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        let (path, name) = self.path_in(parent, name)?;
        let (to_path, to_name) = self.path_in(to, to_name)?;
        let live = self.live().await?;
        let source = CreateParameters {
            access: RENAMING,
            options: CreateOptions::OPEN_REPARSE_POINT,
            contexts: identity::asking(),
            ..CreateParameters::open(&path)
        };
        let source = self.open(&live, &source).await?;
        let destination = Destination { parent: to, name: &to_name, path: &to_path };
        let outcome = self.rename_open(&live, &source, &path, destination, replace).await;
        self.close(&live, &source).await;
        outcome?;
        if parent == to && wire::eq_ignore_case(&name, &to_name) {
            self.inodes().respell(parent, &name, &to_name);
        } else {
            self.inodes().rename(parent, &name, to, &to_name);
        }
        self.unflushed.changed(parent, live.generation);
        self.unflushed.changed(to, live.generation);
        Ok(())
    }

    async fn rename_open(
        &self,
        live: &Live,
        source: &File,
        path: &str,
        to: Destination<'_>,
        replace: bool,
    ) -> Result<(), Errno> {
        // The server knows whether both names belong to one file, in any case, so this is tried before
        // anything else is changed.
        let refused = match rename(source, to.path, replace).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let errno = self.failed(live, &refused);
        let in_the_way = [NtStatus::ACCESS_DENIED, NtStatus::OBJECT_NAME_COLLISION];
        if !replace || !in_the_way.iter().any(|status| refused.is(*status)) {
            return Err(errno);
        }
        let away = self.put_away(live, source, to, errno).await?;
        let identity = Identity::of(&source.created);
        if let Err(error) = rename(source, to.path, false).await {
            let errno = self.failed(live, &error);
            if self.put_back(&away, to.path, identity).await != PutBack::Replaced {
                return Err(errno);
            }
        }
        let Err(errno) = self.discard(&away).await else { return Ok(()) };
        // The old target could not be deleted, for example because the directory is not empty after all.
        if self.move_back(to.path, path, identity).await {
            self.put_back(&away, to.path, identity).await;
        }
        Err(errno)
    }

    /// Moves the target of a rename to a temporary name if rename(2) would replace it. Otherwise returns an
    /// error: `errno`, unless a more specific one applies.
    async fn put_away(
        &self,
        live: &Live,
        source: &File,
        to: Destination<'_>,
        errno: Errno,
    ) -> Result<PutAway, Errno> {
        let target = CreateParameters {
            access: RENAMING,
            options: CreateOptions::OPEN_REPARSE_POINT,
            contexts: identity::asking(),
            ..CreateParameters::open(to.path)
        };
        let Ok(target) = self.open(live, &target).await else { return Err(errno) };
        let outcome = self.put_away_open(live, source, &target, to, errno).await;
        self.close(live, &target).await;
        outcome
    }

    async fn put_away_open(
        &self,
        live: &Live,
        source: &File,
        target: &File,
        to: Destination<'_>,
        errno: Errno,
    ) -> Result<PutAway, Errno> {
        if Identity::of(&source.created).compare(Identity::of(&target.created)) == Same::Yes {
            return Err(errno);
        }
        let known = self.inodes().number(to.parent, to.name);
        let used = known.is_some_and(|known| !self.files.of(known).is_empty());
        let read_only = target.created.attributes.contains(FileAttributes::READONLY);
        let is_directory = match (is_directory(source), is_directory(target)) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            (true, true) if self.has_entries(to.path).await? => return Err(Errno::ENOTEMPTY),
            (true, true) => true,
            (false, false) if used || read_only => false,
            // The file is open elsewhere, or the user lacks the right.
            (false, false) => return Err(errno),
        };
        let directory = self.path(to.parent)?;
        for _ in 0..limits::HIDDEN_NAMES_MAX {
            let path = join(&directory, &self.unique_name(REPLACED));
            let away = PutAway { path, directory: directory.clone(), is_directory, used };
            match rename(target, &away.path, false).await {
                Ok(()) => return Ok(away),
                Err(error) if error.is(NtStatus::OBJECT_NAME_COLLISION) => {}
                Err(error) => {
                    let errno = self.failed(live, &error);
                    // If there was no answer, the rename may have been done.
                    if error.status().is_none() {
                        self.put_back(&away, to.path, Identity::of(&source.created)).await;
                    }
                    return Err(errno);
                }
            }
        }
        Err(Errno::EBUSY)
    }

    /// Deletes a target that was moved away. The rename itself is done, so if the connection stays lost, the
    /// deletion is postponed until a reconnection.
    async fn discard(&self, away: &PutAway) -> Result<(), Errno> {
        let started = Instant::now();
        loop {
            let outcome = self.try_discard(away).await;
            if !outcome.as_ref().is_err_and(is_lost) {
                return outcome;
            }
            if started.elapsed() > limits::RESTORE_TIME_MAX {
                self.unfinished.add(Leftover::Discard(away.clone()));
                return Ok(());
            }
            tokio::time::sleep(limits::RETRY_PAUSE).await;
        }
    }

    /// Tries once to delete a target that was moved away.
    pub(crate) async fn try_discard(&self, away: &PutAway) -> Result<(), Errno> {
        let outcome = if away.is_directory {
            self.remove(&away.path, CreateOptions::DIRECTORY_FILE).await
        } else if away.used {
            self.hide(&away.directory, &away.path).await
        } else {
            self.remove(&away.path, CreateOptions::NON_DIRECTORY_FILE).await
        };
        match outcome {
            // The file was deleted and the answer was lost; or both names belonged to one file on a server
            // that reports no identities, and the rename has moved it.
            Err(errno) if errno.code() == Errno::ENOENT.code() => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Restores the name of a target that was moved away. Retries over new connections for
    /// [`limits::RESTORE_TIME_MAX`], and afterwards when the connection is back. `replacing` is the file that
    /// was to replace it.
    async fn put_back(&self, away: &PutAway, path: &str, replacing: Identity) -> PutBack {
        let started = Instant::now();
        loop {
            let lost = match self.try_put_back(away, path, replacing).await {
                Ok(outcome) => return outcome,
                Err(errno) => is_lost(&errno),
            };
            if !lost {
                return PutBack::Failed;
            }
            if started.elapsed() > limits::RESTORE_TIME_MAX {
                let (away, path) = (away.clone(), path.to_owned());
                self.unfinished.add(Leftover::PutBack { away, path, replacing });
                return PutBack::Failed;
            }
            tokio::time::sleep(limits::RETRY_PAUSE).await;
        }
    }

    /// Tries once to restore the name of a target that was moved away.
    pub(crate) async fn try_put_back(
        &self,
        away: &PutAway,
        path: &str,
        replacing: Identity,
    ) -> Result<PutBack, Errno> {
        let back = self
            .with(&away.path, RENAMING, CreateOptions::NONE, async |file| rename(file, path, false).await);
        let Err(errno) = back.await else { return Ok(PutBack::Done) };
        if errno.code() == Errno::EEXIST.code() {
            return match self.identity(path).await {
                Ok(there) if there.compare(replacing) == Same::Yes => Ok(PutBack::Replaced),
                Err(errno) if is_lost(&errno) => Err(errno),
                _ => Ok(PutBack::Failed),
            };
        }
        if errno.code() == Errno::ENOENT.code() {
            // The name was restored and the answer was lost; or the file was never moved away.
            return match self.stat(path).await {
                Ok(_) => Ok(PutBack::Done),
                Err(errno) if is_lost(&errno) => Err(errno),
                Err(_) => Ok(PutBack::Failed),
            };
        }
        Err(errno)
    }

    /// Moves a renamed file back to its old name; true if that succeeds.
    async fn move_back(&self, from: &str, to: &str, identity: Identity) -> bool {
        let open = CreateParameters {
            access: RENAMING,
            contexts: identity::asking(),
            ..CreateParameters::open(from)
        };
        let outcome = self.with_open(open, async |file| {
            if Identity::of(&file.created).compare(identity) == Same::No {
                return Err(Error::Status(NtStatus::OBJECT_NAME_NOT_FOUND, wire::Command::CREATE));
            }
            rename(file, to, false).await
        });
        outcome.await.is_ok()
    }

    /// The identity of the file at a path.
    async fn identity(&self, path: &str) -> Result<Identity, Errno> {
        let access = AccessMask::READ_ATTRIBUTES;
        let open = CreateParameters { access, contexts: identity::asking(), ..CreateParameters::open(path) };
        let told = self.with_open(open, async |file| Ok(Identity::of(&file.created))).await;
        told.map(|(identity, _)| identity)
    }

    /// Removes a file or directory by its path. Returns the number of the connection that was used.
    async fn remove(&self, path: &str, options: CreateOptions) -> Result<u64, Errno> {
        let access = AccessMask::DELETE | AccessMask::READ_ATTRIBUTES;
        let open = |access| CreateParameters { access, options, ..CreateParameters::open(path) };
        let outcome = self.with_open(open(access), delete).await;
        if outcome.as_ref().err().map(|errno| errno.code()) != Some(Errno::EACCES.code()) {
            return outcome.map(|((), generation)| generation);
        }
        // Linux removes read-only files in writable directories; SMB does not (MS-FSA 2.1.5.15.3).
        let outcome = self.with_open(open(access | AccessMask::WRITE_ATTRIBUTES), async |file| {
            if !file.created.attributes.contains(FileAttributes::READONLY) {
                return Err(Error::Status(NtStatus::ACCESS_DENIED, wire::Command::SET_INFO));
            }
            set_attributes(file, file.created.attributes.without(FileAttributes::READONLY)).await?;
            let refused = file.set_delete_on_close(true).await;
            let others = counted_links(file).await;
            if refused.is_err() || !matches!(others, Ok(0)) {
                // Restores READONLY, for other names of the file, or because it was not deleted. Only one
                // error can be returned: the failure to restore READONLY is worse than the failed deletion.
                if let Err(error) = set_attributes(file, file.created.attributes).await {
                    file.set_delete_on_close(false).await?;
                    return Err(error);
                }
            }
            refused?;
            if let Err(error) = others {
                file.set_delete_on_close(false).await?;
                return Err(error);
            }
            Ok(())
        });
        outcome.await.map(|((), generation)| generation)
    }

    /// Moves an open file to a hidden name and deletes it there, which takes effect at its close. Returns the
    /// number of the connection that was used. If the file cannot be deleted, it gets its name back.
    async fn hide(&self, directory: &str, path: &str) -> Result<u64, Errno> {
        for _ in 0..limits::HIDDEN_NAMES_MAX {
            let hidden = join(directory, &self.hidden_name());
            let asked = AtomicBool::new(false);
            let open = CreateParameters {
                access: RENAMING,
                options: CreateOptions::NON_DIRECTORY_FILE,
                contexts: identity::asking(),
                ..CreateParameters::open(path)
            };
            let renamed = self.with_open(open, async |file| {
                asked.store(true, Ordering::Relaxed);
                rename(file, &hidden, false).await.map(|()| Identity::of(&file.created))
            });
            let renamed = renamed.await;
            let directory = directory.to_owned();
            let away = PutAway { path: hidden, directory, is_directory: false, used: true };
            let errno = match renamed {
                Ok((identity, _)) => match self.remove(&away.path, CreateOptions::NON_DIRECTORY_FILE).await {
                    Ok(generation) => return Ok(generation),
                    Err(errno) => {
                        self.put_back(&away, path, identity).await;
                        errno
                    }
                },
                Err(errno) if errno.code() == Errno::EEXIST.code() => continue,
                Err(errno) => {
                    // If there was no answer, the rename may have been done.
                    if errno.code() == Errno::EIO.code() && asked.into_inner() {
                        self.put_back(&away, path, Identity::UNKNOWN).await;
                    }
                    errno
                }
            };
            return Err(errno);
        }
        Err(Errno::EBUSY)
    }
}

/// Deletes an open file as unlink(2) does: its name is gone at once, even if it is open elsewhere or
/// read-only (MS-FSCC 2.4.11.2). If the server does not support that, the file is deleted at its last close.
async fn delete(file: &File) -> Result<(), Error> {
    let flags = DispositionFlags::DELETE
        | DispositionFlags::POSIX_SEMANTICS
        | DispositionFlags::IGNORE_READONLY_ATTRIBUTE;
    let mut buffer = Vec::new();
    DispositionInfoEx { flags: flags.0 }.encode(&mut buffer);
    let class = FileInfoClass::DISPOSITION_EX.0;
    match file.set_info(InfoType::FILE, class, AdditionalInformation::NONE, &buffer).await {
        Err(error) if error.status().is_some_and(|status| WITHOUT_DISPOSITION_EX.contains(&status)) => {
            file.set_delete_on_close(true).await
        }
        outcome => outcome,
    }
}

/// The statuses of servers without FileDispositionInformationEx.
const WITHOUT_DISPOSITION_EX: &[NtStatus] = &[
    NtStatus::INVALID_INFO_CLASS,
    NtStatus::INVALID_PARAMETER,
    NtStatus::INVALID_DEVICE_REQUEST,
    NtStatus::NOT_IMPLEMENTED,
    NtStatus::NOT_SUPPORTED,
];

/// True if the connection failed, not the request.
pub(crate) fn is_lost(errno: &Errno) -> bool {
    errno.code() == Errno::EIO.code()
}

/// True for a directory in the sense of rename(2), which excludes links to directories.
fn is_directory(file: &File) -> bool {
    let attributes = file.created.attributes;
    attributes.contains(FileAttributes::DIRECTORY) && !attributes.contains(FileAttributes::REPARSE_POINT)
}
