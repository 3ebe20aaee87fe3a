use super::*;
use crate::srvsvc::{FileEnumStruct, FileInfo3};

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut to = Writer::default();
    write(&mut to);
    to.finish()
}

#[test]
fn a_string_counts_its_terminator() {
    let stub = written(|to| to.string("ab"));
    assert_eq!(stub, [3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, b'a', 0, b'b', 0, 0, 0]);
    assert_eq!(Reader::new(&stub).string(), Ok("ab".to_owned()));
}

#[test]
fn integers_after_a_string_are_aligned() {
    let stub = written(|to| {
        "ab".to_owned().write_whole(to);
        to.u32(7);
    });
    let mut from = Reader::new(&stub);
    assert_eq!(from.string(), Ok("ab".to_owned()));
    assert_eq!(from.u32(), Ok(7));
    assert_eq!(from.remaining(), 0);
}

#[test]
fn a_string_ends_at_its_first_terminator_and_survives_bad_surrogates() {
    let units = |units: &[u16]| {
        written(|to| {
            to.count(units.len());
            to.u32(0);
            to.count(units.len());
            for unit in units {
                to.u16(*unit);
            }
        })
    };
    assert_eq!(Reader::new(&units(&[0x61, 0, 0x62, 0])).string(), Ok("a".to_owned()));
    assert_eq!(Reader::new(&units(&[0xd800, 0x61, 0])).string(), Ok("\u{fffd}a".to_owned()));
    assert_eq!(Reader::new(&units(&[])).string(), Ok(String::new()));
}

#[test]
fn counts_are_checked_against_the_data() {
    let huge = [0xff, 0xff, 0xff, 0xff];
    let string = [huge, [0; 4], huge].concat();
    assert_eq!(Reader::new(&string).string(), Err(NdrError::Count(u32::MAX)));
    let outside = [[1, 0, 0, 0], [0; 4], [2, 0, 0, 0], [0; 4]].concat();
    assert_eq!(Reader::new(&outside).string(), Err(NdrError::Varying));
    let container = [huge, [1, 0, 0, 0], huge, [0; 4]].concat();
    let entries = read_container::<FileInfo3>(&mut Reader::new(&container));
    assert_eq!(entries, Err(NdrError::Count(u32::MAX)));
}

#[test]
fn an_array_needs_room_for_every_fixed_part() {
    let entry = FileInfo3 { id: 1, ..FileInfo3::default() };
    let stub = written(|to| FileEnumStruct::Level3(vec![entry; 3]).write_whole(to));
    for end in 0..stub.len() {
        assert!(FileEnumStruct::read_whole(&mut Reader::new(&stub[..end])).is_err(), "cut at {end}");
    }
}

#[test]
fn a_level_and_its_union_agree() {
    let stub = [[2, 0, 0, 0], [3, 0, 0, 0], [0; 4]].concat();
    let read = FileEnumStruct::read_whole(&mut Reader::new(&stub));
    assert_eq!(read, Err(NdrError::Discriminant { level: 2, discriminant: 3 }));
}

#[test]
fn referents_follow_all_fixed_parts() {
    let entry = |name: &str| FileInfo3 { user_name: Some(name.to_owned()), ..FileInfo3::default() };
    let stub = written(|to| write_container(&[entry("a"), entry("b")], to));
    let fixed = 3 * 4 + 2 * FileInfo3::MIN;
    assert_eq!(&stub[fixed..fixed + 14], [2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'a', 0]);
    assert_eq!(&stub[fixed + 16..fixed + 30], [2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'b', 0]);
}

/// The bound of an array, its count times the fixed part, also limits the memory for it.
#[test]
fn entries_in_memory_are_a_few_times_their_fixed_part() {
    use crate::srvsvc::*;
    use crate::wkssvc::WkstaUserInfo1;

    fn ratio<T: Ndr>() -> usize {
        size_of::<T>().div_ceil(T::MIN)
    }
    let ratios = [
        ratio::<ConnectionInfo0>(),
        ratio::<ConnectionInfo1>(),
        ratio::<DiskInfo>(),
        ratio::<FileInfo2>(),
        ratio::<FileInfo3>(),
        ratio::<ServerTransportInfo1>(),
        ratio::<SessionInfo0>(),
        ratio::<SessionInfo502>(),
        ratio::<ShareInfo0>(),
        ratio::<ShareInfo503>(),
        ratio::<WkstaUserInfo1>(),
    ];
    assert!(ratios.iter().all(|ratio| *ratio <= 6), "{ratios:?}");
}
