//! Listings: QUERY_DIRECTORY until there is no more (MS-SMB2 3.2.4.17).

use bytes::Bytes;
use wire::fscc::{DirectoryEntries, DirectoryEntry, DirectoryItem, FileInfoClass};
use wire::msg::{OutputResponse, QueryDirectoryFlags, QueryDirectoryRequest};
use wire::{Command, NtStatus, Utf16, utf16le};

use super::error::Error;
use super::file::{File, at_most};
use super::limits::LISTING_BYTES;
use super::request::Part;

/// A directory being listed.
#[derive(Debug)]
pub struct Listing<'a> {
    directory: &'a File,
    class: FileInfoClass,
    pattern: Vec<u8>,
    flags: QueryDirectoryFlags,
    bytes: u32,
}

/// An entry of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedEntry {
    /// The name.
    pub name: String,
    /// The 8.3 name; empty if there is none.
    pub short_name: String,
    /// The other fields; the names are empty here.
    pub fields: DirectoryEntry<'static>,
}

impl<'a> Listing<'a> {
    pub(crate) fn new(directory: &'a File, class: FileInfoClass, pattern: &str) -> Self {
        let flags = QueryDirectoryFlags::RESTART_SCANS;
        Self { directory, class, pattern: utf16le(pattern), flags, bytes: LISTING_BYTES }
    }

    /// Sets the number of bytes to request at once.
    #[must_use]
    pub const fn bytes(mut self, bytes: u32) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets the flags of the first request.
    #[must_use]
    pub const fn flags(mut self, flags: QueryDirectoryFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The next answer as received; `None` at the end.
    pub async fn next_buffer(&mut self) -> Result<Option<Bytes>, Error> {
        let body = QueryDirectoryRequest {
            file_information_class: self.class.0,
            flags: self.flags,
            file_index: 0,
            file_id: self.directory.id(),
            output_buffer_length: self.bytes,
            file_name: Utf16::new(&self.pattern)?,
        };
        let part =
            Part::new(Command::QUERY_DIRECTORY, |out, base| body.encode(out, base)).carrying(self.bytes);
        let tree = self.directory.tree();
        let answer = tree.connection().request(tree.scope(), part).await?;
        self.flags = self.flags.without(QueryDirectoryFlags::RESTART_SCANS | QueryDirectoryFlags::REOPEN);
        if answer.status() == NtStatus::NO_MORE_FILES {
            return Ok(None);
        }
        let answer = answer.success_or(&[NtStatus::BUFFER_OVERFLOW])?;
        let buffer = OutputResponse::decode(&answer.message)?.output_buffer;
        if buffer.is_empty() {
            // With such answers a listing would never end: its end is a status (MS-SMB2 3.3.5.18).
            return Err(Error::Protocol("a listing goes on without an entry"));
        }
        at_most(self.bytes, answer.message.slice_ref(buffer)).map(Some)
    }

    /// The entries of the next answer; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<OwnedEntry>>, Error> {
        let Some(buffer) = self.next_buffer().await? else { return Ok(None) };
        let entries = DirectoryEntries::new(self.class, &buffer)
            .ok_or(Error::Unable("no class of directory information"))?;
        entries.map(|item| owned(&item?)).collect::<Result<_, _>>().map(Some)
    }

    /// All entries, at most `max`; more is [`Error::Unable`].
    pub async fn all(&mut self, max: usize) -> Result<Vec<OwnedEntry>, Error> {
        let mut all = Vec::new();
        while let Some(entries) = self.next().await? {
            if all.len().saturating_add(entries.len()) > max {
                return Err(Error::Unable("the directory has too many entries"));
            }
            all.extend(entries);
        }
        Ok(all)
    }
}

fn owned(item: &DirectoryItem<'_>) -> Result<OwnedEntry, Error> {
    Ok(OwnedEntry { name: item.name.to_text(), short_name: item.short_name.to_text(), fields: item.fields })
}
