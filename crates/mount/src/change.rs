//! Changes of files: creation, size, attributes and times.

use std::ffi::OsStr;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use client::smb::{CreateParameters, Error, File};
use fuser::{Errno, FileHandle, INodeNo, TimeOrNow};
use wire::fscc::FileInfoClass;
use wire::fscc::file_info::{BasicInfo, EndOfFileInfo};
use wire::fscc::named_info::RenameInfo;
use wire::ioctl::{FsctlCode, ZeroData};
use wire::layout::FixedLayout as _;
use wire::msg::{AdditionalInformation, CreateDisposition, CreateOptions, InfoType};
use wire::{AccessMask, Command, FileAttributes, FileTime, NtStatus, Utf16, utf16le};

use crate::attributes::{Facts, wire_time};
use crate::files::{OpenFile, made_attributes};
use crate::remote::Live;
use crate::volume::Volume;
use crate::{identity, names};

/// The changes of a `setattr`. Owner and group are not included: they cannot be stored, so changes of them
/// are ignored, as in Linux' own client; the answer contains the unchanged ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) mode: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) accessed: Option<TimeOrNow>,
    pub(crate) modified: Option<TimeOrNow>,
}

impl Volume {
    /// Creates a directory.
    pub(crate) async fn make_directory(
        &self,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
    ) -> Result<(INodeNo, Facts), Errno> {
        self.make(parent, name, CreateOptions::DIRECTORY_FILE, mode).await
    }

    /// Creates an empty file.
    pub(crate) async fn make_file(
        &self,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
    ) -> Result<(INodeNo, Facts), Errno> {
        self.make(parent, name, CreateOptions::NON_DIRECTORY_FILE, mode).await
    }

    async fn make(
        &self,
        parent: INodeNo,
        name: &OsStr,
        options: CreateOptions,
        mode: u32,
    ) -> Result<(INodeNo, Facts), Errno> {
        let (path, name) = self.path_in(parent, name)?;
        let live = self.live().await?;
        let attributes = match options {
            CreateOptions::DIRECTORY_FILE => FileAttributes::DIRECTORY,
            _ => made_attributes(&live, mode),
        };
        let create = CreateParameters {
            access: AccessMask::READ_ATTRIBUTES,
            disposition: CreateDisposition::CREATE,
            options,
            attributes,
            contexts: identity::making(mode),
            ..CreateParameters::open(&path)
        };
        let file = self.open(&live, &create).await?;
        self.unflushed.changed(parent, live.generation);
        let facts = Facts { links: Some(1), ..Facts::from(&file.created) }.possible();
        self.close(&live, &file).await;
        let facts = facts?;
        Ok((self.inodes().look_up(parent, &name, &facts), facts))
    }

    /// Creates a hard link to a file.
    pub(crate) async fn link(
        &self,
        number: INodeNo,
        parent: INodeNo,
        name: &OsStr,
    ) -> Result<(INodeNo, Facts), Errno> {
        let (to_path, name) = self.path_in(parent, name)?;
        let access = AccessMask::READ_ATTRIBUTES | AccessMask::WRITE_ATTRIBUTES;
        let linked = self.with_number(number, access, CreateOptions::NON_DIRECTORY_FILE, async |file| {
            set_name(file, FileInfoClass::LINK, &to_path, false).await
        });
        let ((), generation) = linked.await?;
        self.unflushed.changed(parent, generation);
        let facts = self.stat(&to_path).await?;
        Ok((self.inodes().look_up(parent, &name, &facts), facts))
    }

    /// The attributes of an inode number for `stat`, queried through an open if there is one.
    pub(crate) async fn attributes(
        &self,
        number: INodeNo,
        handle: Option<FileHandle>,
    ) -> Result<Facts, Errno> {
        let linked = self.inodes().is_linked(number);
        let open = match handle.and_then(|handle| self.files.get(handle).ok()) {
            Some(open) => Some(open),
            None if !linked => self.files.of(number).into_iter().next(),
            None => None,
        };
        let Some(open) = open else { return self.stat_number(number).await };
        let (live, file) = self.through(&open).await?;
        self.stat_open(&live, &file).await
    }

    /// Changes attributes, and returns the new ones.
    pub(crate) async fn change(
        &self,
        number: INodeNo,
        handle: Option<FileHandle>,
        changes: Changes,
    ) -> Result<Facts, Errno> {
        if let Some(size) = changes.size {
            self.change_size(number, handle, size).await?;
        }
        let read_only = match changes.mode {
            Some(mode) => self.change_mode(number, handle, mode).await?,
            None => None,
        };
        let times = [changes.accessed, changes.modified].map(|time| time.map(given));
        if read_only.is_some() || times.iter().any(Option::is_some) {
            self.change_basic(number, read_only, times).await?;
        }
        self.attributes(number, handle).await
    }

    async fn change_size(&self, number: INodeNo, handle: Option<FileHandle>, size: u64) -> Result<(), Errno> {
        let given = handle.and_then(|handle| self.files.get(handle).ok()).filter(|open| open.writes);
        let open = given.or_else(|| self.files.of(number).into_iter().find(|open| open.writes));
        if let Some(open) = open {
            let (live, file) = self.through(&open).await?;
            self.unstamp(&open, &live, &file).await?;
            self.set_size(&live, &file, size).await?;
            self.unflushed.changed(number, live.generation);
            return Ok(());
        }
        let access = AccessMask::WRITE_DATA | AccessMask::READ_ATTRIBUTES;
        let options = CreateOptions::NON_DIRECTORY_FILE;
        let cut = self.with_number(number, access, options, async |file| set_end(file, size).await);
        let ((), generation) = cut.await?;
        self.unflushed.changed(number, generation);
        Ok(())
    }

    /// Zeroes a range of an open file without changing its size; with `hole`, its space is freed.
    pub(crate) async fn zero(
        &self,
        handle: FileHandle,
        offset: u64,
        length: u64,
        hole: bool,
    ) -> Result<(), Errno> {
        let open = self.files.get(handle)?;
        let number = |value: u64| i64::try_from(value).map_err(|_| Errno::EINVAL);
        let range = ZeroData {
            file_offset: number(offset)?,
            beyond_final_zero: number(offset.saturating_add(length))?,
        };
        let mut buffer = Vec::new();
        range.encode(&mut buffer);
        let (live, file) = self.through(&open).await?;
        self.unstamp(&open, &live, &file).await?;
        if hole {
            // Only sparse files can have holes (MS-FSA 2.1.5.10.37).
            let sparse = file.ioctl(FsctlCode::SET_SPARSE, &[], 0).await;
            sparse.map_err(|error| self.failed(&live, &error))?;
        }
        let zeroed = file.ioctl(FsctlCode::SET_ZERO_DATA, &buffer, 0).await;
        zeroed.map_err(|error| self.failed(&live, &error))?;
        self.unflushed.changed(open.number, live.generation);
        Ok(())
    }

    pub(crate) async fn set_size(&self, live: &Live, file: &File, size: u64) -> Result<(), Errno> {
        set_end(file, size).await.map_err(|error| self.failed(live, &error))
    }

    async fn change_basic(
        &self,
        number: INodeNo,
        read_only: Option<bool>,
        [accessed, modified]: [Option<FileTime>; 2],
    ) -> Result<(), Errno> {
        let work = async |file: &File, now: FileAttributes| {
            let attributes = match read_only {
                Some(true) => (now | FileAttributes::READONLY).without(FileAttributes::NORMAL),
                Some(false) => normal(now.without(FileAttributes::READONLY)),
                // Zero leaves the attributes unchanged (MS-FSCC 2.4.7).
                None => FileAttributes::NONE,
            };
            let info = BasicInfo {
                accessed: accessed.unwrap_or_default(),
                modified: modified.unwrap_or_default(),
                attributes,
                ..BasicInfo::default()
            };
            set_basic(file, info).await
        };
        let opens: Vec<_> = self.files.of(number).into_iter().filter(|open| open.writes).collect();
        for open in &opens {
            let (live, file) = self.through(open).await?;
            let facts = self.stat_open(&live, &file).await?;
            // Setting the time through the open prevents the server from updating it at the close because of
            // earlier writes.
            work(&file, facts.attributes).await.map_err(|error| self.failed(&live, &error))?;
            open.stamped.fetch_or(modified.is_some(), Ordering::Relaxed);
        }
        if !opens.is_empty() {
            return Ok(());
        }
        let access = AccessMask::WRITE_ATTRIBUTES | AccessMask::READ_ATTRIBUTES;
        let changed = self.with_number(number, access, CreateOptions::NONE, async |file| {
            work(file, file.created.attributes).await
        });
        changed.await.map(|((), _)| ())
    }

    /// Makes the server update the time of the last change again for writes through this open: otherwise a
    /// time that was set through it remains (MS-FSA 2.1.5.15.2, UserSetModificationTime).
    pub(crate) async fn unstamp(&self, open: &OpenFile, live: &Live, file: &File) -> Result<(), Errno> {
        if !open.stamped.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        // Samba keeps a time that was set until the close. The current time is set first, so that at least
        // this write is reflected.
        for modified in [wire_time(SystemTime::now()), THAWED] {
            let info = BasicInfo { modified, ..BasicInfo::default() };
            set_basic(file, info).await.map_err(|error| self.failed(live, &error))?;
        }
        Ok(())
    }
}

/// The value that makes a server resume its own updates of a time (MS-FSCC 2.4.7: -2).
const THAWED: FileTime = FileTime(u64::MAX - 1);

/// Renames an open file.
pub(crate) async fn rename(file: &File, to: &str, replace: bool) -> Result<(), Error> {
    set_name(file, FileInfoClass::RENAME, to, replace).await
}

/// Sets a name: FileRenameInformation and FileLinkInformation have the same layout (MS-FSCC 2.4.27, 2.4.42).
async fn set_name(file: &File, class: FileInfoClass, to: &str, replace: bool) -> Result<(), Error> {
    let name = utf16le(to);
    let info = RenameInfo { replace_if_exists: replace, root_directory: 0, name: Utf16::new(&name)? };
    let mut buffer = Vec::new();
    info.encode(&mut buffer);
    match file.set_info(InfoType::FILE, class.0, AdditionalInformation::NONE, &buffer).await {
        // The server refuses the name because of its length.
        Err(error) if error.is(NtStatus::OBJECT_NAME_INVALID) && names::is_long(to) => {
            Err(Error::Status(NtStatus::NAME_TOO_LONG, Command::SET_INFO))
        }
        outcome => outcome,
    }
}

async fn set_end(file: &File, size: u64) -> Result<(), Error> {
    let end_of_file = i64::try_from(size).map_err(|_| Error::Unable("the file size is out of range"))?;
    let mut buffer = Vec::new();
    EndOfFileInfo { end_of_file }.encode(&mut buffer);
    let class = FileInfoClass::END_OF_FILE.0;
    file.set_info(InfoType::FILE, class, AdditionalInformation::NONE, &buffer).await
}

/// Sets only the attributes.
pub(crate) async fn set_attributes(file: &File, attributes: FileAttributes) -> Result<(), Error> {
    set_basic(file, BasicInfo { attributes: normal(attributes), ..BasicInfo::default() }).await
}

async fn set_basic(file: &File, info: BasicInfo) -> Result<(), Error> {
    let mut buffer = Vec::new();
    info.encode(&mut buffer);
    file.set_info(InfoType::FILE, FileInfoClass::BASIC.0, AdditionalInformation::NONE, &buffer).await
}

/// Encodes an empty set of attributes as NORMAL (MS-FSCC 2.6).
fn normal(attributes: FileAttributes) -> FileAttributes {
    if attributes.is_none() { FileAttributes::NORMAL } else { attributes }
}

fn given(time: TimeOrNow) -> FileTime {
    wire_time(match time {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => SystemTime::now(),
    })
}
