//! Information classes, names and patterns.

use wire::eq_ignore_case;
use wire::fscc::directory::{DirectoryEntries, DirectoryEntry, DirectoryWriter};
use wire::fscc::file_info::*;
use wire::fscc::fs_info::*;
use wire::fscc::limits::{CHAIN_ENTRIES_MAX, COMPONENT_LENGTH_MAX, PATH_LENGTH_MAX};
use wire::fscc::name::{check_component, parse_stream, utf16_length};
use wire::fscc::named_info::{AllInfo, RenameInfo, decode_name_info};
use wire::fscc::notify::{NotifyEntry, decode_changes, encode_changes};
use wire::fscc::pattern::has_wildcards;
use wire::fscc::quota::QueryQuotaInfo;
use wire::fscc::stream_info::{StreamEntry, decode_streams, encode_streams};
use wire::fscc::{Appended, Pattern, SmbPath, ea};
use wire::ioctl::{format_gmt_token, parse_gmt_token};
use wire::layout::FixedLayout;
use wire::posix::{FsPosixInfo, PosixInfo, PosixMode, offers_posix};
use wire::{ReadCursor, Utf16};

use crate::input::Input;

/// A buffer of any information class behind the length that an answer made of it may have.
pub fn fscc(data: &[u8]) {
    if let Ok(info) = wire::apple::AfpInfo::decode(data) {
        let mut again = Vec::new();
        info.encode(&mut again);
        assert_eq!(wire::apple::AfpInfo::decode(&again), Ok(info));
    }
    let mut input = Input(data);
    let max = usize::from(input.u16());
    information(input.0);
    listings(input.0, max);
    changes(input.0, max);
    streams(input.0, max);
    attributes(input.0, max);
}

/// The text of a pattern and of a name, with a line end between them.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (pattern, name) = text.split_once('\n').unwrap_or((&text, "Some.File.txt"));
    if let Ok(prepared) = Pattern::new(pattern) {
        let matches = prepared.matches(name);
        assert_eq!(prepared.has_wildcards(), has_wildcards(pattern) || pattern.is_empty());
        assert!(matches || !prepared.is_all());
        if !prepared.has_wildcards() {
            assert_eq!(matches, eq_ignore_case(pattern, name), "{pattern:?} {name:?}");
        }
    }
    for text in [pattern, name] {
        let _ = parse_stream(text);
        if let Some(time) = parse_gmt_token(text) {
            assert_eq!(parse_gmt_token(&format_gmt_token(time)), Some(time), "{text:?}");
        }
        let Ok(path) = SmbPath::parse(text) else { continue };
        assert!(utf16_length(text) <= PATH_LENGTH_MAX);
        for component in path.components() {
            assert_eq!(check_component(component), Ok(()));
            assert!(utf16_length(component) <= COMPONENT_LENGTH_MAX);
            assert!(component != "." && component != ".." && !component.contains(['\\', '/', '\0', ':']));
        }
        assert_eq!(path.components().collect::<Vec<_>>().join("\\"), path.path());
        assert_eq!(path.is_root(), path.parent_and_name().is_none());
    }
}

/// Reads a buffer as every class that a client sets or a server answers.
pub(crate) fn information(data: &[u8]) {
    fixed::<BasicInfo>(data);
    fixed::<StandardInfo>(data);
    fixed::<InternalInfo>(data);
    fixed::<PositionInfo>(data);
    fixed::<ModeInfo>(data);
    fixed::<NetworkOpenInfo>(data);
    fixed::<AttributeTagInfo>(data);
    fixed::<CompressionInfo>(data);
    fixed::<DispositionInfo>(data);
    fixed::<DispositionInfoEx>(data);
    fixed::<EndOfFileInfo>(data);
    fixed::<AllocationInfo>(data);
    fixed::<ValidDataLengthInfo>(data);
    fixed::<PipeInfo>(data);
    fixed::<PipeLocalInfo>(data);
    fixed::<CaseSensitiveInfo>(data);
    fixed::<FsSizeInfo>(data);
    fixed::<FsFullSizeInfo>(data);
    fixed::<FsControlInfo>(data);
    fixed::<FsSectorSizeInfo>(data);
    fixed::<FsPosixInfo>(data);
    posix(data);
    if let Ok(rename) = RenameInfo::decode(data) {
        let mut again = Vec::new();
        rename.encode(&mut again);
        assert_eq!(RenameInfo::decode(&again), Ok(rename));
    }
    let _ = decode_name_info(data).map(Utf16::to_text);
    let _ = AllInfo::decode_with_name(data);
    let _ = FsVolumeInfo::decode(data);
    let _ = FsAttributeInfo::decode(data);
    let _ = decode_fs_label(data).map(Utf16::to_text);
    let _ = QueryQuotaInfo::decode(data);
    assert!(ea::decode_ea_names(data).count() <= CHAIN_ENTRIES_MAX);
}

/// The information of the POSIX extensions, whose length its SIDs tell.
fn posix(data: &[u8]) {
    let _ = offers_posix(data);
    let Ok(info) = PosixInfo::read(&mut ReadCursor::new(data)) else { return };
    let mut again = Vec::new();
    info.encode(&mut again);
    assert!(again.len() == info.size() && again.len() <= PosixInfo::SIZE_MAX);
    assert_eq!(PosixInfo::read(&mut ReadCursor::new(&again)), Ok(info));
    let mode = info.posix.mode;
    assert_eq!(PosixMode::new(mode.kind(), mode.permissions()), mode);
}

pub(crate) fn fixed<T: FixedLayout + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let Ok(info) = T::decode(data) else {
        assert!(data.len() < T::SIZE || std::mem::size_of::<T>() > 0);
        return;
    };
    let mut again = Vec::new();
    info.encode(&mut again);
    assert_eq!(again.len(), T::SIZE);
    assert_eq!(T::decode(&again).as_ref(), Ok(&info));
}

/// Listings of every class: entries that decode can be encoded, within the allowed length, and decode to the same.
fn listings(data: &[u8], max: usize) {
    for class in (0..=255).map(FileInfoClass) {
        let Some(entries) = DirectoryEntries::new(class, data) else { continue };
        let names: Vec<String> = entries.flatten().take(64).map(|entry| entry.name.to_text()).collect();
        let mut listing = Vec::new();
        let Some(mut writer) = DirectoryWriter::new(class, &mut listing, max) else { continue };
        let written = names
            .iter()
            .map(|name| writer.append(&DirectoryEntry { name, ..DirectoryEntry::default() }))
            .take_while(|appended| *appended == Appended::Written)
            .count();
        assert_eq!(writer.entries(), written);
        assert!(listing.len() <= max);
        let again: Vec<String> = DirectoryEntries::new(class, &listing)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().name.to_text())
            .collect();
        assert_eq!(again, names[..written], "{class:?}");
    }
}

fn changes(data: &[u8], max: usize) {
    let changes: Vec<NotifyEntry<String>> = decode_changes(data)
        .flatten()
        .take(64)
        .map(|it| NotifyEntry { action: it.action, name: it.name.to_text() })
        .collect();
    let mut out = Vec::new();
    let whole = encode_changes(
        changes.iter().map(|it| NotifyEntry { action: it.action, name: it.name.as_str() }),
        &mut out,
        max,
    );
    assert!(out.len() <= max);
    if whole {
        let again = decode_changes(&out).map(|it| it.unwrap().name.to_text());
        assert!(again.eq(changes.into_iter().map(|it| it.name)));
    }
}

fn streams(data: &[u8], max: usize) {
    let streams: Vec<(String, u64)> =
        decode_streams(data).flatten().take(64).map(|it| (it.name.to_text(), it.size)).collect();
    let entries = streams.iter().map(|(name, size)| StreamEntry {
        name: name.as_str(),
        size: *size,
        allocation_size: *size,
    });
    let mut out = Vec::new();
    let _ = encode_streams(entries, &mut out, max);
    assert!(out.len() <= max);
}

fn attributes(data: &[u8], max: usize) {
    let entries: Vec<ea::EaEntry<'_>> = ea::decode_eas(data).flatten().take(64).collect();
    let mut out = Vec::new();
    let fit = ea::encode_eas(entries.iter().copied(), &mut out, max);
    assert!(out.len() <= max);
    if fit == wire::fscc::Fit::Whole {
        let again: Vec<ea::EaEntry<'_>> = ea::decode_eas(&out).map(Result::unwrap).collect();
        assert_eq!(again, entries);
    }
}
