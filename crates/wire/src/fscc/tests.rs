use proptest::prelude::*;

use super::directory::directory_fixed_size;
use super::ea::{EaEntry, decode_ea_names, decode_eas, encode_eas};
use super::file_info::*;
use super::fs_info::*;
use super::named_info::{AllInfo, RenameInfo, decode_name_info, encode_name_info};
use super::notify::{NotifyAction, NotifyEntry, decode_changes, encode_changes};
use super::quota::QueryQuotaInfo;
use super::stream_info::{StreamEntry, decode_streams, encode_streams};
use super::*;
use crate::masks::FileAttributes;
use crate::posix::{PosixAttributes, PosixKind, PosixMode};
use crate::security::Sid;
use crate::time::FileTime;
use crate::utf16::{Utf16, utf16le};

const DIRECTORY_CLASSES: [FileInfoClass; 13] = [
    FileInfoClass::DIRECTORY,
    FileInfoClass::FULL_DIRECTORY,
    FileInfoClass::BOTH_DIRECTORY,
    FileInfoClass::NAMES,
    FileInfoClass::ID_BOTH_DIRECTORY,
    FileInfoClass::ID_FULL_DIRECTORY,
    FileInfoClass::ID_EXTD_DIRECTORY,
    FileInfoClass::ID_EXTD_BOTH_DIRECTORY,
    FileInfoClass::ID_64_EXTD_DIRECTORY,
    FileInfoClass::ID_64_EXTD_BOTH_DIRECTORY,
    FileInfoClass::ID_ALL_EXTD_DIRECTORY,
    FileInfoClass::ID_ALL_EXTD_BOTH_DIRECTORY,
    FileInfoClass::POSIX,
];

#[test]
fn sizes_are_those_of_the_specification() {
    assert_eq!(BasicInfo::SIZE, 40);
    assert_eq!(StandardInfo::SIZE, 24);
    assert_eq!(AllInfo::SIZE, 96);
    assert_eq!(NetworkOpenInfo::SIZE, 56);
    assert_eq!(CompressionInfo::SIZE, 16);
    assert_eq!(IdInfo::SIZE, 24);
    assert_eq!(PipeLocalInfo::SIZE, 40);
    assert_eq!(PipeRemoteInfo::SIZE, 16);
    assert_eq!(FsSizeInfo::SIZE, 24);
    assert_eq!(FsFullSizeInfo::SIZE, 32);
    assert_eq!(FsControlInfo::SIZE, 48);
    assert_eq!(FsObjectIdInfo::SIZE, 64);
    assert_eq!(FsSectorSizeInfo::SIZE, 28);
    let fixed = DIRECTORY_CLASSES.map(|class| directory_fixed_size(class).unwrap());
    assert_eq!(fixed, [64, 68, 94, 12, 104, 80, 88, 114, 80, 106, 96, 122, 108]);
    assert_eq!(directory_fixed_size(FileInfoClass::BASIC), None);
}

#[test]
fn standard_info_bytes() {
    let info = StandardInfo {
        allocation_size: 0x1000,
        end_of_file: 5,
        number_of_links: 1,
        delete_pending: false,
        directory: true,
    };
    let mut out = Vec::new();
    assert_eq!(encode_fixed(&info, &mut out, 24), Fit::Whole);
    assert_eq!(out, [0, 16, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(StandardInfo::decode(&out), Ok(info));
    assert_eq!(encode_fixed(&info, &mut out, 23), Fit::TooSmall);
    assert_eq!(out.len(), 24);
}

#[test]
fn names_are_cut_at_the_clients_length() {
    let encode = |max| {
        let mut out = Vec::new();
        (encode_name_info("\\a.txt", &mut out, max), out.len())
    };
    assert_eq!(encode(7), (Fit::TooSmall, 0));
    assert_eq!(encode(8), (Fit::Truncated, 8));
    assert_eq!(encode(15), (Fit::Truncated, 15));
    assert_eq!(encode(16), (Fit::Whole, 16));
    let mut out = Vec::new();
    assert_eq!(AllInfo::default().encode_with_name("\\long name", &mut out, 104), Fit::Truncated);
    assert_eq!(out.len(), 104);
    assert_eq!(&out[96..], [20, 0, 0, 0, b'\\', 0, b'l', 0]);
    assert_eq!(AllInfo::default().encode_with_name("", &mut Vec::new(), 103), Fit::TooSmall);
}

#[test]
fn rename_as_windows_pads_it() {
    let name = utf16le("b");
    let info = RenameInfo { replace_if_exists: true, root_directory: 0, name: Utf16::new(&name).unwrap() };
    let mut out = Vec::new();
    info.encode(&mut out);
    assert_eq!(out[..20], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
    out.resize(24, 0);
    assert_eq!(RenameInfo::decode(&out), Ok(info));
    assert!(RenameInfo::decode(&out[..21]).is_err());
}

#[test]
fn streams_end_with_the_last_that_fits() {
    let streams = [("::$DATA", 5), (":meta:$DATA", 100)].map(|(name, size)| StreamEntry {
        name,
        size,
        allocation_size: 4096,
    });
    let mut out = Vec::new();
    assert_eq!(encode_streams(streams, &mut out, 1000), Fit::Whole);
    assert_eq!(out.len(), 40 + 24 + 22);
    let names: Vec<_> = decode_streams(&out).map(|entry| entry.unwrap().name.to_text()).collect();
    assert_eq!(names, ["::$DATA", ":meta:$DATA"]);
    for (max, fit, length, count) in [
        (31, Fit::TooSmall, 0, 0),
        (32, Fit::Truncated, 32, 0),
        (85, Fit::Truncated, 38, 1),
        (86, Fit::Whole, 86, 2),
    ] {
        let mut out = Vec::new();
        assert_eq!((encode_streams(streams, &mut out, max), out.len()), (fit, length), "{max}");
        assert_eq!(decode_streams(&out).filter(Result::is_ok).count(), count, "{max}");
    }
}

#[test]
fn one_entry_as_windows_lists_it() {
    let entry = DirectoryEntry {
        name: "a.b",
        short_name: "A.B",
        created: FileTime(1),
        accessed: FileTime(2),
        modified: FileTime(3),
        changed: FileTime(4),
        size: 5,
        allocation_size: 6,
        attributes: FileAttributes::ARCHIVE,
        ea_size: 7,
        file_id: 8,
        ..DirectoryEntry::default()
    };
    let mut out = Vec::new();
    let mut writer = DirectoryWriter::new(FileInfoClass::ID_BOTH_DIRECTORY, &mut out, 1000).unwrap();
    assert_eq!(writer.append(&entry), Appended::Written);
    let mut golden = vec![0; 110];
    for (place, value) in
        [(8, 1), (16, 2), (24, 3), (32, 4), (40, 5), (48, 6), (56, 0x20), (60, 6), (64, 7), (68, 6)]
    {
        golden[place] = value;
    }
    golden[70..76].copy_from_slice(b"A\0.\0B\0");
    golden[96] = 8;
    golden[104..].copy_from_slice(b"a\0.\0b\0");
    assert_eq!(out, golden);
}

#[test]
fn listings_report_a_buffer_that_is_too_small() {
    let entry = DirectoryEntry { name: "name", ..DirectoryEntry::default() };
    let append = |max, times| {
        let mut out = vec![0xff; 3];
        let mut writer = DirectoryWriter::new(FileInfoClass::DIRECTORY, &mut out, max).unwrap();
        let last = (0..times).map(|_| writer.append(&entry)).last().unwrap();
        (last, writer.entries(), out.len() - 3)
    };
    assert_eq!(append(63, 1), (Appended::TooSmall, 0, 0));
    assert_eq!(append(64, 1), (Appended::NameTooLong, 0, 0));
    assert_eq!(append(72, 1), (Appended::Written, 1, 72));
    assert_eq!(append(143, 2), (Appended::Full, 1, 72));
    assert_eq!(append(144, 2), (Appended::Written, 2, 144));
    assert!(DirectoryWriter::new(FileInfoClass::BASIC, &mut Vec::new(), 9).is_none());
}

#[test]
fn a_reparse_tag_takes_the_place_of_the_ea_size() {
    let entry = DirectoryEntry {
        name: "link",
        attributes: FileAttributes::REPARSE_POINT,
        ea_size: 9,
        reparse_tag: 0xa000_000c,
        ..DirectoryEntry::default()
    };
    for (class, ea_size) in [(FileInfoClass::ID_FULL_DIRECTORY, 0), (FileInfoClass::ID_EXTD_DIRECTORY, 9)] {
        let mut out = Vec::new();
        assert_eq!(DirectoryWriter::new(class, &mut out, 200).unwrap().append(&entry), Appended::Written);
        let item = DirectoryEntries::new(class, &out).unwrap().next().unwrap().unwrap();
        assert_eq!((item.fields.reparse_tag, item.fields.ea_size), (0xa000_000c, ea_size));
    }
}

#[test]
fn posix_entries_carry_owners_of_any_length() {
    let posix = |links, owner| {
        let mode = PosixMode::new(PosixKind::Directory, 0o1750);
        Some(PosixAttributes { links, reparse_tag: 0, mode, owner, group: Sid::unix_group(7) })
    };
    let entries = [("a", posix(1, Sid::WORLD)), ("longer", posix(3, Sid::of_domain([1, 2, 3], 1000)))];
    let entries = entries.map(|(name, posix)| DirectoryEntry {
        name,
        posix,
        device: 5,
        file_id: 6,
        ..DirectoryEntry::default()
    });
    let mut out = Vec::new();
    let mut writer = DirectoryWriter::new(FileInfoClass::POSIX, &mut out, 1000).unwrap();
    for entry in &entries {
        assert_eq!(writer.append(entry), Appended::Written);
    }
    // 8 and 68 bytes, two counts and the mode, 12 and 16 bytes of SIDs, and the name behind its length.
    assert_eq!(out.get(..4), Some(&128u32.next_multiple_of(8).to_le_bytes()[..]));
    assert_eq!(out.get(116..122), Some(&[2, 0, 0, 0, b'a', 0][..]));
    let read = DirectoryEntries::new(FileInfoClass::POSIX, &out).unwrap();
    for (item, entry) in read.map(Result::unwrap).zip(entries) {
        assert_eq!(item.name.to_text(), entry.name);
        assert_eq!(item.fields, DirectoryEntry { name: "", ..entry });
    }
    let mut small = Vec::new();
    let mut writer = DirectoryWriter::new(FileInfoClass::POSIX, &mut small, 117).unwrap();
    assert_eq!(writer.append(&entries[1]), Appended::TooSmall);
}

#[test]
fn invalid_next_offsets_are_errors() {
    for next in [1u32, 3, 12, 13, u32::MAX] {
        let mut data = next.to_le_bytes().to_vec();
        data.extend([0; 8]);
        let mut entries = DirectoryEntries::new(FileInfoClass::NAMES, &data).unwrap();
        assert_eq!(entries.next(), Some(Err(DecodeError::BrokenChain)), "{next}");
        assert_eq!(entries.next(), None);
    }
    assert_eq!(DirectoryEntries::new(FileInfoClass::NAMES, &[]).unwrap().next(), None);
}

#[test]
fn eas_as_the_specification_shows_them() {
    let entries =
        [EaEntry { flags: 0, name: b"A", value: b"xy" }, EaEntry { flags: 0x80, name: b"BC", value: b"" }];
    let mut out = Vec::new();
    assert_eq!(encode_eas(entries, &mut out, 100), Fit::Whole);
    assert_eq!(out[..12], [12, 0, 0, 0, 0, 1, 2, 0, b'A', 0, b'x', b'y']);
    assert_eq!(decode_eas(&out).collect::<Result<Vec<_>, _>>().unwrap(), entries);
    assert_eq!(encode_eas(entries, &mut Vec::new(), 20), Fit::Truncated);
    let unterminated = [0, 0, 0, 0, 0, 1, 0, 0, b'A', b'B'];
    assert!(decode_eas(&unterminated).next().unwrap().is_err());
    let names = [0, 0, 0, 0, 1, b'A', 0];
    assert_eq!(decode_ea_names(&names).collect::<Vec<_>>(), [Ok(&b"A"[..])]);
}

#[test]
fn changes_that_do_not_fit_are_not_encoded() {
    let changes = [
        NotifyEntry { action: NotifyAction::RENAMED_OLD_NAME, name: "a" },
        NotifyEntry { action: NotifyAction::RENAMED_NEW_NAME, name: r"b\c" },
    ];
    let mut out = vec![7];
    assert!(!encode_changes(changes, &mut out, 33));
    assert_eq!(out, [7]);
    assert!(encode_changes(changes, &mut out, 34));
    assert_eq!(out[1..17], [16, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, b'a', 0, 0, 0]);
    let read: Vec<_> = decode_changes(&out[1..]).map(Result::unwrap).collect();
    assert_eq!(read[1].action, NotifyAction::RENAMED_NEW_NAME);
    assert_eq!(read[1].name.to_text(), r"b\c");
}

#[test]
fn file_system_names() {
    let info = FsAttributeInfo {
        attributes: FsAttributes::CASE_PRESERVED_NAMES,
        maximum_component_length: 255,
        file_system: "NTFS",
    };
    let mut out = Vec::new();
    assert_eq!(info.encode(&mut out, 100), Fit::Whole);
    assert_eq!(out, b"\x02\0\0\0\xff\0\0\0\x08\0\0\0N\0T\0F\0S\0");
    assert_eq!(FsAttributeInfo::decode(&out).unwrap().file_system.to_text(), "NTFS");
    assert_eq!(info.encode(&mut Vec::new(), 15), Fit::TooSmall);
    assert_eq!(info.encode(&mut Vec::new(), 16), Fit::Truncated);

    let volume = FsVolumeInfo { created: FileTime(1), serial: 2, supports_objects: true, label: "data" };
    let mut out = Vec::new();
    assert_eq!(volume.encode(&mut out, 26), Fit::Whole);
    let read = FsVolumeInfo::decode(&out).unwrap();
    assert_eq!((read.serial, read.label.to_text()), (2, "data".into()));
    let mut out = Vec::new();
    encode_fs_label("ü", &mut out);
    assert_eq!(decode_fs_label(&out).unwrap().to_text(), "ü");
}

#[test]
fn quota_query_for_one_sid() {
    let mut data = vec![1, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    data.extend([0, 0, 0, 0, 12, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    let query = QueryQuotaInfo::decode(&data).unwrap();
    assert!(query.return_single);
    assert_eq!(query.sids, [crate::security::Sid::WORLD]);
}

prop_compose! {
    fn any_entry()(
        name in "\\PC{1,20}",
        short_name in "[A-Z.]{0,12}",
        times in any::<[u64; 4]>(),
        size in any::<u64>(),
        allocation_size in any::<u64>(),
        attributes in any::<u32>(),
        ea_size in any::<u32>(),
        file_id in any::<u64>(),
        file_id_128 in any::<[u8; 16]>(),
    ) -> (String, String, DirectoryEntry<'static>) {
        let [created, accessed, modified, changed] = times.map(FileTime);
        let attributes = FileAttributes(attributes).without(FileAttributes::REPARSE_POINT);
        (name, short_name, DirectoryEntry {
            created, accessed, modified, changed, size, allocation_size, attributes, ea_size, file_id, file_id_128,
            ..DirectoryEntry::default()
        })
    }
}

/// The fields of an entry that a class contains, by the tables of MS-FSCC 2.4.
fn carried(class: FileInfoClass, mut fields: DirectoryEntry<'static>) -> DirectoryEntry<'static> {
    if class == FileInfoClass::NAMES {
        return DirectoryEntry::default();
    }
    if class == FileInfoClass::POSIX {
        fields.posix = Some(PosixAttributes::default());
    }
    if matches!(class, FileInfoClass::DIRECTORY | FileInfoClass::POSIX) {
        fields.ea_size = 0;
    }
    if !matches!(class.0, 37 | 38 | 78..=81 | 100) {
        fields.file_id = 0;
    }
    if !matches!(class.0, 60 | 63 | 80 | 81) {
        fields.file_id_128 = [0; 16];
    }
    fields
}

proptest! {
    #[test]
    fn listings_survive(
        class in proptest::sample::select(&DIRECTORY_CLASSES[..]),
        entries in proptest::collection::vec(any_entry(), 1..8),
        max in 130usize..1500,
    ) {
        let mut out = vec![1];
        let mut writer = DirectoryWriter::new(class, &mut out, max).unwrap();
        let mut written = 0;
        for (name, short_name, fields) in &entries {
            match writer.append(&DirectoryEntry { name, short_name, ..*fields }) {
                Appended::Written => written += 1,
                _ => break,
            }
        }
        prop_assert!(writer.bytes() <= max);
        prop_assert_eq!(writer.entries(), written);
        let listing = &out[1..];
        let items: Vec<_> =
            DirectoryEntries::new(class, listing).unwrap().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(items.len(), written);
        for (item, (name, short_name, fields)) in items.iter().zip(&entries) {
            prop_assert_eq!(&item.name.to_text(), name);
            prop_assert_eq!(item.fields, carried(class, *fields));
            if matches!(class.0, 3 | 37 | 63 | 79 | 81) {
                prop_assert_eq!(&item.short_name.to_text(), short_name);
            }
            let offset = item.name.as_bytes().as_ptr() as usize - listing.as_ptr() as usize;
            prop_assert_eq!((offset - directory_fixed_size(class).unwrap()) % 8, 0);
        }
    }

    #[test]
    fn names_are_encoded_alike(text in "\\PC{0,12}") {
        let mut out = vec![9];
        prop_assert_eq!(put_name(&mut out, &text), name_bytes(&text));
        prop_assert_eq!(&out[1..], utf16le(&text));
    }

    #[test]
    fn any_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..200), small in any::<bool>()) {
        let mut data = data;
        if small {
            data.iter_mut().skip(1).step_by(2).for_each(|byte| *byte = 0);
        }
        for class in DIRECTORY_CLASSES {
            DirectoryEntries::new(class, &data).unwrap().for_each(drop);
        }
        decode_streams(&data).for_each(drop);
        decode_eas(&data).for_each(drop);
        decode_ea_names(&data).for_each(drop);
        decode_changes(&data).for_each(drop);
        let _ = (QueryQuotaInfo::decode(&data), RenameInfo::decode(&data), AllInfo::decode_with_name(&data));
        let _ = (decode_name_info(&data), decode_fs_label(&data), BasicInfo::decode(&data));
        let _ = (FsVolumeInfo::decode(&data), FsAttributeInfo::decode(&data));
    }

    #[test]
    fn fixed_classes_read_what_they_write(data in proptest::collection::vec(any::<u8>(), 104)) {
        fn check<T: FixedLayout + PartialEq + core::fmt::Debug>(data: &[u8]) {
            let first = T::decode(data).unwrap();
            let mut out = Vec::new();
            first.encode(&mut out);
            assert_eq!(out.len(), T::SIZE);
            assert_eq!(T::decode(&out), Ok(first));
            assert!(T::decode(&out[1..]).is_err());
        }
        check::<BasicInfo>(&data);
        check::<StandardInfo>(&data);
        check::<NetworkOpenInfo>(&data);
        check::<CompressionInfo>(&data);
        check::<IdInfo>(&data);
        check::<StandardLinkInfo>(&data);
        check::<PipeLocalInfo>(&data);
        check::<AllInfo>(&data);
        check::<FsControlInfo>(&data);
        check::<FsObjectIdInfo>(&data);
        check::<FsSectorSizeInfo>(&data);
    }
}
