//! A directory as Windows' Explorer opens it.
//!
//! The sequence is put together from what the shell asks of the redirector, because there is no published trace of it
//! to cite: the attributes of the directory (`GetFileAttributesEx`: MS-SMB2 3.2.4.3 with MS-FSCC 2.4.30), the sizes of
//! the volume (MS-FSCC 2.5.4), `desktop.ini` for the folder's own icon, `FindFirstFile` with "*" and as many
//! `FindNextFile` as it takes (MS-SMB2 3.2.4.17 with MS-FSCC 2.4.18, 64 KiB at a time, until STATUS_NO_MORE_FILES), a
//! CHANGE_NOTIFY that is cancelled when the folder is left (MS-SMB2 3.2.4.18), and for each file on the screen an open
//! with its identification and attributes. Requests that the redirector chains are one related compound here, as with
//! SMB 3 on Windows 10.

use std::time::Instant;

use client::smb::{ClientTree, CreateParameters, Error, Part, close_part, query_info_part};
use wire::fscc::{DirectoryEntries, FileInfoClass, FsInfoClass};
use wire::msg::{AdditionalInformation, CloseFlags, CompletionFilter, CreateOptions, InfoType, WatchFlags};
use wire::{AccessMask, FileId, FileTime, NtStatus};

use crate::data;

/// Bytes of a listing that are requested at once.
const LISTING_BYTES: u32 = 64 << 10;

/// Bytes of the longest information.
const INFORMATION_BYTES: u32 = 4096;

/// Files on the screen.
const SHOWN: usize = 30;

/// Opens the directory again and again until the time is up, and returns how often.
pub(crate) async fn open_folders(tree: ClientTree, until: Instant) -> Result<f64, Error> {
    let mut done = 0.0;
    while Instant::now() < until {
        open_folder(&tree).await?;
        done += 1.0;
    }
    Ok(done)
}

async fn open_folder(tree: &ClientTree) -> Result<(), Error> {
    attributes(tree, data::FOLDER).await?;
    let folder = CreateParameters {
        options: CreateOptions::DIRECTORY_FILE,
        access: AccessMask::READ_DATA | AccessMask::READ_ATTRIBUTES | AccessMask::SYNCHRONIZE,
        ..CreateParameters::directory(data::FOLDER)
    };
    let (file, fs) = (InfoType::FILE, InfoType::FILESYSTEM);
    let watched = tree.create(&with_contexts(folder.clone())).await?;
    let watch = watched.submit_notify(CompletionFilter::FILE_NAME, WatchFlags::NONE, LISTING_BYTES).await?;
    let none = AdditionalInformation::NONE;
    watched.query_info(fs, FsInfoClass::FULL_SIZE.0, none, INFORMATION_BYTES).await?;
    let desktop = format!(r"{}\desktop.ini", data::FOLDER);
    match tree.create(&with_contexts(CreateParameters::open(&desktop))).await {
        Err(Error::Status(NtStatus::OBJECT_NAME_NOT_FOUND, _)) => {}
        Ok(_) => return Err(Error::Protocol("there is a desktop.ini that was never made")),
        Err(error) => return Err(error),
    }
    const CLASS: FileInfoClass = FileInfoClass::ID_BOTH_DIRECTORY;
    let listed = tree.create(&with_contexts(folder)).await?;
    let mut listing = listed.list(CLASS, "*").bytes(LISTING_BYTES);
    let mut entries = 0;
    while let Some(buffer) = listing.next_buffer().await? {
        entries += DirectoryEntries::new(CLASS, &buffer).into_iter().flatten().flatten().count();
    }
    listed.close().await?;
    // With itself and its parent.
    if entries != data::FOLDER_FILES + 2 {
        return Err(Error::Protocol("a listing is not whole"));
    }
    for index in 0..SHOWN {
        let name = format!(r"{}\{}", data::FOLDER, data::folder_leaf(index));
        let open = CreateParameters { access: AccessMask::READ_ATTRIBUTES, ..CreateParameters::open(&name) };
        let query =
            |class: FileInfoClass| query_info_part(FileId::RELATED, file, class.0, none, INFORMATION_BYTES);
        let parts = vec![
            with_contexts(open).part()?,
            query(FileInfoClass::INTERNAL),
            query(FileInfoClass::NETWORK_OPEN),
            close_part(FileId::RELATED, CloseFlags::NONE),
        ];
        compound(tree, parts).await?;
    }
    tree.connection().cancel(&watch).await?;
    match watch.response().await?.status() {
        NtStatus::CANCELLED => {}
        _ => return Err(Error::Protocol("a directory changed that nobody changes")),
    }
    watched.close().await
}

/// The attributes of a path, as `GetFileAttributesEx` gets them.
async fn attributes(tree: &ClientTree, path: &str) -> Result<(), Error> {
    let open = CreateParameters { access: AccessMask::READ_ATTRIBUTES, ..CreateParameters::open(path) };
    let (class, none) = (FileInfoClass::NETWORK_OPEN.0, AdditionalInformation::NONE);
    let query = query_info_part(FileId::RELATED, InfoType::FILE, class, none, INFORMATION_BYTES);
    let close = close_part(FileId::RELATED, CloseFlags::POSTQUERY_ATTRIB);
    compound(tree, vec![with_contexts(open).part()?, query, close]).await
}

/// The contexts that Windows adds to each CREATE: the maximal access and the identification on the disk.
fn with_contexts(mut open: CreateParameters<'_>) -> CreateParameters<'_> {
    open.contexts.maximal_access = Some(FileTime::NONE);
    open.contexts.query_on_disk_id = true;
    open
}

async fn compound(tree: &ClientTree, parts: Vec<Part>) -> Result<(), Error> {
    for request in tree.connection().submit_compound(tree.scope(), parts, true).await? {
        request.response().await?.success()?;
    }
    Ok(())
}
