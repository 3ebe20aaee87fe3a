//! Directory information classes (MS-FSCC 2.4).
//!
//! Writing is on the path of every listing: nothing is allocated per entry.

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::file_info::FileInfoClass;
use super::limits::CHAIN_ENTRIES_MAX;
use super::{Chain, ChainWriter, index, name_bytes, put_name};
use crate::apple::AppleAttributes;
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u32};
use crate::masks::FileAttributes;
use crate::posix::{PosixAttributes, PosixInfo};
use crate::time::FileTime;
use crate::utf16::Utf16;

/// The fields of one entry of a listing, for all classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectoryEntry<'a> {
    /// FileName.
    pub name: &'a str,
    /// ShortName in 8.3 form, at most 12 characters; empty for none.
    pub short_name: &'a str,
    /// FileIndex; 0 if the file system has no fixed positions.
    pub file_index: u32,
    /// CreationTime.
    pub created: FileTime,
    /// LastAccessTime.
    pub accessed: FileTime,
    /// LastWriteTime.
    pub modified: FileTime,
    /// ChangeTime.
    pub changed: FileTime,
    /// EndOfFile.
    pub size: u64,
    /// AllocationSize.
    pub allocation_size: u64,
    /// FileAttributes.
    pub attributes: FileAttributes,
    /// EaSize. For a file with a reparse tag, classes without a field for the tag have it here.
    pub ea_size: u32,
    /// ReparsePointTag; 0 for none.
    pub reparse_tag: u32,
    /// FileId of 64 bits.
    pub file_id: u64,
    /// FileId of 128 bits.
    pub file_id_128: [u8; 16],
    /// The fields for Apple's clients in FileIdBothDirectoryInformation; never decoded.
    pub apple: Option<AppleAttributes>,
    /// DeviceId of FilePosixInformation.
    pub device: u32,
    /// The POSIX attributes of FilePosixInformation.
    pub posix: Option<PosixAttributes>,
}

/// The result of appending an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// The entry is in the buffer.
    Written,
    /// The entry does not fit after the existing ones: answer with those.
    Full,
    /// Only the fixed part of the first entry fits: STATUS_BUFFER_OVERFLOW (MS-FSA 2.1.5.6.3).
    NameTooLong,
    /// Not even the fixed part of the first entry fits: STATUS_INFO_LENGTH_MISMATCH.
    TooSmall,
}

/// The fields of a class after the common ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// The common fields; without them (FileNamesInformation) nothing but the name.
    common: bool,
    ea_size: bool,
    reparse_tag: bool,
    /// The form of FileId, which precedes the short name.
    id: Id,
    short_name: bool,
    /// FileId of 64 bits behind the short name or four reserved bytes.
    late_id: bool,
    /// FilePosixInformation: nothing but its own fields, some of them of variable size.
    posix: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    None,
    Of64,
    Of128,
    Both,
}

impl Layout {
    const fn of(class: FileInfoClass) -> Option<Self> {
        const BARE: Layout = Layout {
            common: true,
            ea_size: false,
            reparse_tag: false,
            id: Id::None,
            short_name: false,
            late_id: false,
            posix: false,
        };
        const FULL: Layout = Layout { ea_size: true, ..BARE };
        const BOTH: Layout = Layout { short_name: true, ..FULL };
        const EXTD: Layout = Layout { reparse_tag: true, ..FULL };
        Some(match class {
            FileInfoClass::DIRECTORY => BARE,
            FileInfoClass::FULL_DIRECTORY => FULL,
            FileInfoClass::BOTH_DIRECTORY => BOTH,
            FileInfoClass::NAMES => Layout { common: false, ..BARE },
            FileInfoClass::ID_BOTH_DIRECTORY => Layout { late_id: true, ..BOTH },
            FileInfoClass::ID_FULL_DIRECTORY => Layout { late_id: true, ..FULL },
            FileInfoClass::ID_EXTD_DIRECTORY => Layout { id: Id::Of128, ..EXTD },
            FileInfoClass::ID_EXTD_BOTH_DIRECTORY => Layout { id: Id::Of128, short_name: true, ..EXTD },
            FileInfoClass::ID_64_EXTD_DIRECTORY => Layout { id: Id::Of64, ..EXTD },
            FileInfoClass::ID_64_EXTD_BOTH_DIRECTORY => Layout { id: Id::Of64, short_name: true, ..EXTD },
            FileInfoClass::ID_ALL_EXTD_DIRECTORY => Layout { id: Id::Both, ..EXTD },
            FileInfoClass::ID_ALL_EXTD_BOTH_DIRECTORY => Layout { id: Id::Both, short_name: true, ..EXTD },
            FileInfoClass::POSIX => Layout { posix: true, ..BARE },
            _ => return None,
        })
    }

    /// Bytes before the name of an entry.
    fn size_of(self, entry: &DirectoryEntry<'_>) -> usize {
        if self.posix { posix_info(entry).size().saturating_add(POSIX_AROUND) } else { self.fixed_size() }
    }

    /// Bytes before the name; for FilePosixInformation at least.
    const fn fixed_size(self) -> usize {
        if self.posix {
            return POSIX_FIXED;
        }
        if !self.common {
            return 12;
        }
        let mut size: usize = 64;
        if self.ea_size {
            size = size.saturating_add(4);
        }
        if self.reparse_tag {
            size = size.saturating_add(4);
        }
        size = size.saturating_add(match self.id {
            Id::None => 0,
            Id::Of64 => 8,
            Id::Of128 => 16,
            Id::Both => 24,
        });
        if self.short_name {
            size = size.saturating_add(26);
        }
        if self.late_id {
            size = size.saturating_add(if self.short_name { 10 } else { 12 });
        }
        size
    }
}

/// The bytes before the name in an entry of `class`; `None` if it is not a class of directory information.
pub const fn directory_fixed_size(class: FileInfoClass) -> Option<usize> {
    match Layout::of(class) {
        Some(layout) => Some(layout.fixed_size()),
        None => None,
    }
}

/// Writes a listing within the length that the client allows.
#[derive(Debug)]
pub struct DirectoryWriter<'b> {
    chain: ChainWriter<'b>,
    layout: Layout,
    max: usize,
    entries: usize,
}

impl<'b> DirectoryWriter<'b> {
    /// Appends entries of `class` to `out`, at most `max` bytes. `None` if it is not a class of directory information
    /// (STATUS_INVALID_INFO_CLASS).
    pub fn new(class: FileInfoClass, out: &'b mut Vec<u8>, max: usize) -> Option<Self> {
        let layout = Layout::of(class)?;
        Some(Self { chain: ChainWriter::new(out, max, 8), layout, max, entries: 0 })
    }

    /// Appends one entry, or leaves the buffer unchanged.
    pub fn append(&mut self, entry: &DirectoryEntry<'_>) -> Appended {
        let fixed_size = self.layout.size_of(entry);
        let name_length = name_bytes(entry.name);
        let layout = self.layout;
        let Some(out) = self.chain.begin(fixed_size.saturating_add(name_length)) else {
            return if !self.chain.is_empty() {
                Appended::Full
            } else if self.max < fixed_size {
                Appended::TooSmall
            } else {
                Appended::NameTooLong
            };
        };
        out.reserve(fixed_size.saturating_add(name_length));
        put_fixed(layout, entry, name_length, out);
        put_name(out, entry.name);
        self.entries = self.entries.saturating_add(1);
        Appended::Written
    }

    /// The number of entries written.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The number of bytes written.
    pub fn bytes(&self) -> usize {
        self.chain.used()
    }
}

/// One entry as a listing carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectoryItem<'a> {
    /// FileName.
    pub name: Utf16<'a>,
    /// ShortName; empty if there is none.
    pub short_name: Utf16<'a>,
    /// The other fields. Fields that the class lacks are 0; the names are empty here.
    pub fields: DirectoryEntry<'static>,
}

/// Reads a listing.
#[derive(Clone, Debug)]
pub struct DirectoryEntries<'a> {
    chain: Chain<'a>,
    layout: Layout,
}

impl<'a> DirectoryEntries<'a> {
    /// The entries of `class` in `data`; `None` if it is not a class of directory information.
    pub fn new(class: FileInfoClass, data: &'a [u8]) -> Option<Self> {
        Some(Self { chain: Chain::new(data, CHAIN_ENTRIES_MAX), layout: Layout::of(class)? })
    }
}

impl<'a> Iterator for DirectoryEntries<'a> {
    type Item = Result<DirectoryItem<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let element = self.chain.next()?;
        Some(element.and_then(|element| read_entry(self.layout, element)))
    }
}

/// The fields that all classes but FileNamesInformation start with.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Common {
    next_entry_offset: U32,
    file_index: U32,
    created: U64,
    accessed: U64,
    modified: U64,
    changed: U64,
    size: U64,
    allocation_size: U64,
    attributes: U32,
    name_length: U32,
}

fn put_fixed(layout: Layout, entry: &DirectoryEntry<'_>, name_length: usize, out: &mut Vec<u8>) {
    if layout.posix {
        out.put_u32(0);
        out.put_u32(entry.file_index);
        posix_info(entry).encode(out);
        out.put_u32(wire_u32(name_length));
        return;
    }
    if !layout.common {
        out.put_u32(0);
        out.put_u32(entry.file_index);
        out.put_u32(wire_u32(name_length));
        return;
    }
    let common = Common {
        next_entry_offset: U32::ZERO,
        file_index: entry.file_index.into(),
        created: entry.created.0.into(),
        accessed: entry.accessed.0.into(),
        modified: entry.modified.0.into(),
        changed: entry.changed.0.into(),
        size: entry.size.into(),
        allocation_size: entry.allocation_size.into(),
        attributes: entry.attributes.0.into(),
        name_length: wire_u32(name_length).into(),
    };
    out.put_bytes(common.as_bytes());
    let apple = entry.apple.filter(|_| layout.short_name && layout.late_id);
    if layout.ea_size {
        out.put_u32(match (entry.reparse_tag, apple) {
            (0, Some(apple)) => apple.maximal_access.0,
            (0, None) => entry.ea_size,
            _ if layout.reparse_tag => entry.ea_size,
            (tag, _) => tag,
        });
    }
    if layout.reparse_tag {
        out.put_u32(entry.reparse_tag);
    }
    if matches!(layout.id, Id::Of64 | Id::Both) {
        out.put_u64(entry.file_id);
    }
    if matches!(layout.id, Id::Of128 | Id::Both) {
        out.put_bytes(&entry.file_id_128);
    }
    if let Some(apple) = apple {
        apple.encode_short_name(out);
    } else if layout.short_name {
        let mut short_name = [0; 24];
        let mut length: u8 = 0;
        for (place, unit) in short_name.as_chunks_mut::<2>().0.iter_mut().zip(entry.short_name.encode_utf16())
        {
            *place = unit.to_le_bytes();
            length = length.saturating_add(2);
        }
        out.put_u8(length);
        out.put_u8(0);
        out.put_bytes(&short_name);
    }
    if layout.late_id {
        match apple {
            Some(apple) => out.put_u16(apple.unix_mode),
            None => out.put_zeros(if layout.short_name { 2 } else { 4 }),
        }
        out.put_u64(entry.file_id);
    }
}

fn read_entry(layout: Layout, element: &[u8]) -> Result<DirectoryItem<'_>, DecodeError> {
    if layout.posix {
        return read_posix(element);
    }
    if !layout.common {
        let mut cursor = ReadCursor::new(element);
        cursor.skip(4)?;
        let fields = DirectoryEntry { file_index: cursor.u32()?, ..DirectoryEntry::default() };
        let length = index(cursor.u32()?)?;
        let name = Utf16::new(cursor.bytes(length)?)?;
        return Ok(DirectoryItem { name, short_name: Utf16::default(), fields });
    }
    let (common, rest) = Common::ref_from_prefix(element).map_err(|_| DecodeError::Truncated)?;
    let mut cursor = ReadCursor::new(rest);
    let mut fields = DirectoryEntry {
        file_index: common.file_index.get(),
        created: FileTime(common.created.get()),
        accessed: FileTime(common.accessed.get()),
        modified: FileTime(common.modified.get()),
        changed: FileTime(common.changed.get()),
        size: common.size.get(),
        allocation_size: common.allocation_size.get(),
        attributes: FileAttributes(common.attributes.get()),
        ..DirectoryEntry::default()
    };
    if layout.ea_size {
        let value = cursor.u32()?;
        if !layout.reparse_tag && fields.attributes.contains(FileAttributes::REPARSE_POINT) {
            fields.reparse_tag = value;
        } else {
            fields.ea_size = value;
        }
    }
    if layout.reparse_tag {
        fields.reparse_tag = cursor.u32()?;
    }
    if matches!(layout.id, Id::Of64 | Id::Both) {
        fields.file_id = cursor.u64()?;
    }
    if matches!(layout.id, Id::Of128 | Id::Both) {
        fields.file_id_128 = cursor.array()?;
    }
    let mut short_name = Utf16::default();
    if layout.short_name {
        let length = usize::from(cursor.u8()?);
        cursor.skip(1)?;
        let area = cursor.bytes(24)?;
        short_name = Utf16::new(area.get(..length).ok_or(DecodeError::InvalidValue)?)?;
    }
    if layout.late_id {
        cursor.skip(if layout.short_name { 2 } else { 4 })?;
        fields.file_id = cursor.u64()?;
    }
    let name = Utf16::new(cursor.bytes(index(common.name_length.get())?)?)?;
    Ok(DirectoryItem { name, short_name, fields })
}

/// The fields of an entry that FilePosixInformation has.
fn posix_info(entry: &DirectoryEntry<'_>) -> PosixInfo {
    PosixInfo {
        created: entry.created,
        accessed: entry.accessed,
        modified: entry.modified,
        changed: entry.changed,
        size: entry.size,
        allocation_size: entry.allocation_size,
        attributes: entry.attributes,
        file_id: entry.file_id,
        device: entry.device,
        posix: entry.posix.unwrap_or_default(),
    }
}

/// Reads an entry of FilePosixInformation (POSIX-FSCC 2.4.1).
fn read_posix(element: &[u8]) -> Result<DirectoryItem<'_>, DecodeError> {
    let mut cursor = ReadCursor::new(element);
    cursor.skip(4)?;
    let file_index = cursor.u32()?;
    let info = PosixInfo::read(&mut cursor)?;
    let length = index(cursor.u32()?)?;
    let name = Utf16::new(cursor.bytes(length)?)?;
    let fields = DirectoryEntry {
        file_index,
        created: info.created,
        accessed: info.accessed,
        modified: info.modified,
        changed: info.changed,
        size: info.size,
        allocation_size: info.allocation_size,
        attributes: info.attributes,
        reparse_tag: info.posix.reparse_tag,
        file_id: info.file_id,
        device: info.device,
        posix: Some(info.posix),
        ..DirectoryEntry::default()
    };
    Ok(DirectoryItem { name, short_name: Utf16::default(), fields })
}

/// Bytes of a FilePosixInformation around its PosixInfo: NextEntryOffset, FileIndex and FileNameLength.
const POSIX_AROUND: usize = 12;

/// Bytes before the name with the shortest SIDs.
const POSIX_FIXED: usize = PosixInfo::PLAIN_SIZE + 12 + 2 * 8 + POSIX_AROUND;
