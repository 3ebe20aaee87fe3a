//! Named streams, stored as in Samba: in the extended attribute `user.DosStream.NAME:$DATA`, which contains
//! the data and one NUL byte (`vfs_streams_xattr`), or in a separate file ([`depot`]). The share's setting
//! selects the store for new streams; both are searched.
//!
//! A stream in an attribute is read and written as a whole under the inode's lock, and cannot be larger than
//! the file system allows for an attribute. If it grows beyond that, it moves into a file if the setting
//! allows that; otherwise the error is [`Error::Limitation`]. It stays in the file until it is removed, even
//! if it shrinks.
//!
//! While a stream is moving, both exist, and the file is valid: it gets its name when it is complete and on
//! the disk. Then the attribute is removed. An attribute beside a file is left from a move that a crash has
//! interrupted, and is removed with the stream.

use super::handle::LocalHandle;
use super::open_stream::{OPEN, Place};
use super::{Streams, depot, flush, trial, xattr};
use crate::backend::{Actor, Wanted};
use crate::error::{Error, Result};
use crate::handle::{Handle, StreamInfo};
use crate::limits::XATTR_VALUE_BYTES_MAX;
use crate::stat::Kind;
use rustix::fs::Access;
use std::sync::Arc;

const SUFFIX: &[u8] = b":$DATA";

/// Bytes that are copied at a time when a stream becomes the data of a file.
const COPY_BYTES: usize = 1 << 20;

/// The stores of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Store {
    /// An extended attribute.
    Attribute,
    /// A separate file.
    Depot,
}

/// A stream that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The name as it is stored.
    pub(super) name: String,
    pub(super) store: Store,
}

/// The streams of an open file.
pub(super) fn list(base: &LocalHandle) -> Result<Vec<StreamInfo>> {
    let mut streams = Vec::new();
    if let Some(place) = depot::find(base)? {
        for depot::Stored { name, size, allocation } in place.list()? {
            streams.push(StreamInfo { name, size, allocation });
        }
    }
    let in_files = streams.len();
    for full in xattr::list(base.node())? {
        let Some(name) = stream_name(&full) else { continue };
        let mut kept = streams.iter().take(in_files);
        if kept.any(|known| wire::eq_ignore_case(&known.name, &name)) {
            continue;
        }
        let Some(stored) = xattr::get(base.node(), &full)? else { continue };
        let size = u64::try_from(stored.len().saturating_sub(1)).unwrap_or(u64::MAX);
        streams.push(StreamInfo { name, size, allocation: size });
    }
    streams.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(streams)
}

/// Finds a stream by its exact name, or else in any case.
pub(super) fn find(base: &LocalHandle, wanted: &str) -> Result<Option<Found>> {
    let place = depot::find(base)?;
    if let Some(place) = &place
        && place.has(wanted)?
    {
        return Ok(Some(Found { name: wanted.to_owned(), store: Store::Depot }));
    }
    let matching = |name: &String| wire::eq_ignore_case(name, wanted);
    if let Some(place) = place {
        let names = place.list()?.into_iter().map(|stream| stream.name);
        if let Some(name) = names.filter(matching).min() {
            return Ok(Some(Found { name, store: Store::Depot }));
        }
    }
    if xattr::get(base.node(), &full_name(wanted))?.is_some() {
        return Ok(Some(Found { name: wanted.to_owned(), store: Store::Attribute }));
    }
    let names = xattr::list(base.node())?.into_iter().filter_map(|full| stream_name(&full));
    Ok(names.filter(matching).min().map(|name| Found { name, store: Store::Attribute }))
}

/// Creates an empty stream.
pub(super) fn create(base: &LocalHandle, name: &str) -> Result<Found> {
    let store = put_new(base, name, b"\0")?.store();
    Ok(Found { name: name.to_owned(), store })
}

/// Stores a new stream (data and NUL) in the store for new ones.
fn put_new(base: &LocalHandle, name: &str, stored: &[u8]) -> Result<Place> {
    let options = &base.root.options;
    if options.streams != Streams::Depot {
        match xattr::set(base.node(), &full_name(name), stored) {
            Err(Error::Limitation) if options.streams == Streams::Auto => {}
            result => return result.map(|()| Place::Attribute(name.to_owned())),
        }
    }
    let (_, data) = stored.split_last().unwrap_or((&0, &[]));
    match depot::mark(base) {
        // Moving another stream frees the space.
        Err(Error::Limitation) if move_largest(base)? => {}
        result => result?,
    }
    let file = depot::keep(base, name, data)?;
    Ok(Place::Depot(name.to_owned(), Arc::new(file)))
}

/// Removes the stream that `wanted` finds, with the rights of `actor`.
pub(super) fn remove(actor: &Actor, base: &LocalHandle, wanted: &str) -> Result<()> {
    let _lock = base.lock_attributes();
    let found = find(base, wanted)?.ok_or(Error::NotFound)?;
    if found.store == Store::Depot {
        base.check_permitted(actor, Access::WRITE_OK)?;
    }
    take(actor, base, &found)?;
    OPEN.moved(base, &found, |_| Place::Gone);
    Ok(())
}

/// Removes a stream from its store, and first any rest of an interrupted move. A stream in an attribute only
/// is removed with the rights of `actor`.
fn take(actor: &Actor, base: &LocalHandle, found: &Found) -> Result<()> {
    match found.store {
        Store::Attribute => {
            let _guard = base.root.credentials.assume(actor)?;
            xattr::remove(base.node(), &full_name(&found.name))
        }
        Store::Depot => {
            xattr::remove(base.node(), &full_name(&found.name))?;
            let Some(place) = depot::find(base)? else { return Ok(()) };
            place.remove(&found.name)?;
            depot::tidy(&place);
            Ok(())
        }
    }
}

/// Renames the stream that `from` finds; its open handles follow.
pub(super) fn rename(base: &LocalHandle, from: &str, to: &str, replace: bool) -> Result<()> {
    let _lock = base.lock_attributes();
    let from = find(base, from)?.ok_or(Error::NotFound)?;
    let existing = find(base, to)?.filter(|existing| *existing != from);
    if existing.is_some() && !replace {
        return Err(Error::Exists);
    }
    if from.name == to {
        return Ok(());
    }
    // Removes the stream that had the new name, but not the one that was just stored.
    let replace = |store: Store| -> Result<()> {
        let Some(existing) = &existing else { return Ok(()) };
        let is_put = |in_store| store == in_store && existing.name == to;
        if !is_put(Store::Attribute) {
            xattr::remove(base.node(), &full_name(&existing.name))?;
        }
        match depot::find(base)? {
            Some(place) if !is_put(Store::Depot) => {
                place.remove(&existing.name)?;
                depot::tidy(&place);
                Ok(())
            }
            _ => Ok(()),
        }
    };
    let mut place = None;
    match from.store {
        Store::Attribute => {
            let stored = xattr::get(base.node(), &full_name(&from.name))?.ok_or(Error::NotFound)?;
            let put = put_new(base, to, &stored)?;
            replace(put.store())?;
            // The stream may have been moved into a file to free space.
            take(&Actor::Process, base, &Found { name: from.name.clone(), store: Store::Depot })?;
            place = Some(put);
        }
        Store::Depot => {
            xattr::remove(base.node(), &full_name(&from.name))?;
            depot::find(base)?.ok_or(Error::NotFound)?.rename(&from.name, to)?;
            replace(Store::Depot)?;
        }
    }
    if let Some(existing) = &existing {
        OPEN.moved(base, existing, |_| Place::Gone);
    }
    OPEN.moved(base, &from, |before| match (place, before) {
        (Some(place), _) => place,
        (None, Place::Depot(_, file)) => Place::Depot(to.to_owned(), Arc::clone(file)),
        (None, other) => other.clone(),
    });
    Ok(())
}

/// Makes the stream that `from` finds the data of its file, which must be empty; open handles of the stream
/// then refer to the file.
pub(super) fn become_data(base: &LocalHandle, from: &str) -> Result<()> {
    let _lock = base.lock_attributes();
    let from = find(base, from)?.ok_or(Error::NotFound)?;
    let stat = base.stat()?;
    if stat.kind != Kind::File {
        return Err(Error::IsADirectory);
    }
    if stat.size > 0 {
        return Err(Error::Exists);
    }
    let file = base.reopened(Wanted::BOTH)?;
    let copied = match from.store {
        Store::Attribute => {
            let mut data = xattr::get(base.node(), &full_name(&from.name))?.ok_or(Error::NotFound)?;
            data.pop();
            file.write_at(&data, 0).map(|written| written == data.len())
        }
        Store::Depot => copy(&opened(base, &from.name)?, &file),
    };
    if !matches!(copied, Ok(true)) {
        file.set_size(0)?;
        copied?;
        return Err(Error::NoSpace);
    }
    // The stream is removed next, so its data must be on the disk as the file's first.
    flush::flush(&file)?;
    take(&Actor::Process, base, &from)?;
    OPEN.moved(base, &from, |_| Place::Data);
    Ok(())
}

/// Copies a file; false if the disk is full.
fn copy(from: &LocalHandle, to: &LocalHandle) -> Result<bool> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut done = 0;
    loop {
        let read = from.read_at(&mut buffer, done)?;
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() {
            return Ok(true);
        }
        if to.write_at(piece, done)? < read {
            return Ok(false);
        }
        done =
            u64::try_from(read).ok().and_then(|read| done.checked_add(read)).ok_or(Error::InvalidArgument)?;
    }
}

/// Moves a stream with this data from its attribute into a file, if the share allows that; its open handles
/// follow.
pub(super) fn move_to_depot(base: &LocalHandle, name: &str, data: &[u8]) -> Result<()> {
    if base.root.options.streams == Streams::Attributes {
        return Err(Error::Limitation);
    }
    let marked = depot::mark(base);
    let file = Arc::new(depot::keep(base, name, data)?);
    xattr::remove(base.node(), &full_name(name))?;
    let found = Found { name: name.to_owned(), store: Store::Attribute };
    OPEN.moved(base, &found, |_| Place::Depot(name.to_owned(), file));
    // There is space for the mark now.
    if marked.is_err()
        && let Err(error) = depot::mark(base)
    {
        tracing::warn!(file = ?base, %error, "cannot mark a file; its large streams may be missing in other shares");
    }
    Ok(())
}

/// Sets an attribute of a file. If it does not fit, streams are moved out of attributes, the largest first,
/// if the share allows that. The caller holds the lock of the file's attributes.
pub(super) fn put_beside(base: &LocalHandle, name: &[u8], value: &[u8]) -> Result<()> {
    let mut is_tried = false;
    loop {
        match xattr::set(base.node(), name, value) {
            Err(Error::Limitation) if value.len() <= XATTR_VALUE_BYTES_MAX => {
                // Nothing is moved for a value that would not fit in any case.
                if !is_tried && !trial::fits_without_streams(base, name, value) || !move_largest(base)? {
                    return Err(Error::Limitation);
                }
                is_tried = true;
            }
            result => return result,
        }
    }
}

/// Moves the largest stream in an attribute into a file; false if there is none or the share does not allow
/// it.
fn move_largest(base: &LocalHandle) -> Result<bool> {
    if base.root.options.streams == Streams::Attributes {
        return Ok(false);
    }
    let mut largest: Option<(String, Vec<u8>)> = None;
    for full in xattr::list(base.node())? {
        let Some(name) = stream_name(&full) else { continue };
        let Some(mut data) = xattr::get(base.node(), &full)? else { continue };
        data.pop();
        if largest.as_ref().is_none_or(|(_, before)| before.len() < data.len()) {
            largest = Some((name, data));
        }
    }
    match largest {
        Some((name, data)) if !data.is_empty() => move_to_depot(base, &name, &data).map(|()| true),
        _ => Ok(false),
    }
}

/// The file that contains a stream.
pub(super) fn opened(base: &LocalHandle, name: &str) -> Result<LocalHandle> {
    depot::find(base)?.ok_or(Error::NotFound)?.open(name)
}

/// The name of the attribute that contains a stream.
pub(super) fn full_name(name: &str) -> Vec<u8> {
    [xattr::STREAM_PREFIX, name.as_bytes(), SUFFIX].concat()
}

fn stream_name(full: &[u8]) -> Option<String> {
    let name = full.strip_prefix(xattr::STREAM_PREFIX)?.strip_suffix(SUFFIX)?;
    String::from_utf8(name.to_vec()).ok().filter(|name| !name.is_empty())
}
