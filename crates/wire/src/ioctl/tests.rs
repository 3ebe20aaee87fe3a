use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::ids::{FileId, Guid};
use crate::layout::FixedLayout;
use crate::time::FileTime;
use crate::utf16::Utf16;

#[test]
fn sizes_are_those_of_the_specification() {
    assert_eq!(ValidateNegotiateResponse::SIZE, 24);
    assert_eq!(CopyChunk::SIZE, 24);
    assert_eq!(CopyChunkResponse::SIZE, 12);
    assert_eq!(ResumeKeyResponse::SIZE, 32);
    assert_eq!(DuplicateExtents::SIZE, 40);
    assert_eq!(ObjectIdBuffer::SIZE, 64);
    assert_eq!(IntegrityInformation::SIZE, 16);
    assert_eq!(SetIntegrityInformation::SIZE, 8);
    assert_eq!(FileRegion::SIZE, 24);
    assert_eq!(PipePeek::SIZE, 16);
    assert_eq!(ResiliencyRequest::SIZE, 8);
}

#[test]
fn validate_negotiate() {
    let request = ValidateNegotiateRequest {
        capabilities: 0x7f,
        client_guid: Guid([1; 16]),
        security_mode: 1,
        dialects: vec![0x0202, 0x0210, 0x0300],
    };
    let mut out = Vec::new();
    request.encode(&mut out);
    assert_eq!(out.len(), 30);
    assert_eq!(out[20..], [1, 0, 3, 0, 2, 2, 0x10, 2, 0, 3]);
    assert_eq!(ValidateNegotiateRequest::decode(&out), Ok(request));
    assert!(ValidateNegotiateRequest::decode(&out[..29]).is_err());
}

#[test]
fn interfaces() {
    let v4 = NetworkInterface {
        index: 2,
        capability: InterfaceCapability::RSS,
        link_speed: 10_000_000_000,
        address: Ipv4Addr::new(192, 0, 2, 1).into(),
        scope_id: 0,
    };
    let v6 = NetworkInterface { address: Ipv6Addr::LOCALHOST.into(), scope_id: 3, ..v4 };
    let mut out = Vec::new();
    assert!(encode_network_interfaces(&[v4, v6], &mut out, 304));
    assert_eq!(out.len(), 304);
    assert_eq!(out[..4], [152, 0, 0, 0]);
    assert_eq!(out[24..32], [2, 0, 0, 0, 192, 0, 2, 1]);
    let read: Vec<_> = decode_network_interfaces(&out).map(Result::unwrap).collect();
    assert_eq!(read, [v4, v6]);
    let mut out = Vec::new();
    assert!(!encode_network_interfaces(&[v4, v6], &mut out, 303));
    assert_eq!(decode_network_interfaces(&out).count(), 1);
}

#[test]
fn copy_chunks() {
    let request = CopyChunkRequest {
        source_key: [9; 24],
        chunks: vec![CopyChunk { source_offset: 1, target_offset: 2, length: 3 }; 2],
    };
    let mut out = Vec::new();
    request.encode(&mut out);
    assert_eq!(out.len(), 32 + 48);
    assert_eq!(CopyChunkRequest::decode(&out), Ok(request));
    assert!(CopyChunkRequest::decode(&out[..79]).is_err());
    out[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(CopyChunkRequest::decode(&out).is_err());
}

#[test]
fn symlinks() {
    let link = SymlinkData { substitute_name: r"..\target", print_name: "target", relative: true };
    let mut data = Vec::new();
    link.encode(&mut data);
    assert_eq!(data[..12], [0, 0, 18, 0, 18, 0, 12, 0, 1, 0, 0, 0]);
    let mut out = Vec::new();
    ReparseData { tag: ReparseTag::SYMLINK, guid: None, data: &data }.encode(&mut out);
    assert_eq!(out[..8], [0x0c, 0, 0, 0xa0, 42, 0, 0, 0]);
    let reparse = ReparseData::decode(&out).unwrap();
    assert_eq!(reparse.tag, ReparseTag::SYMLINK);
    let read = SymlinkData::decode(reparse.data).unwrap();
    assert_eq!(read.substitute_name.to_text(), link.substitute_name);
    assert_eq!(read.print_name.to_text(), link.print_name);
    assert!(read.relative);
    assert!(ReparseData::decode(&out[..out.len() - 1]).is_err());
    assert_eq!(decode_nfs_symlink(b"LNK\x01\0\0\0\0a\0"), Ok(Some(Utf16::new(b"a\0").unwrap())));
    assert_eq!(decode_nfs_symlink(b"FIFO\0\0\0\0"), Ok(None));
}

#[test]
fn gmt_tokens() {
    let time = FileTime::from_unix(1_709_210_096, 0);
    assert_eq!(format_gmt_token(time), "@GMT-2024.02.29-12.34.56");
    assert_eq!(parse_gmt_token("@GMT-2024.02.29-12.34.56"), Some(time));
    for wrong in [
        "@GMT-2023.02.29-12.34.56",
        "@GMT-2024.02.29-24.00.00",
        "@GMT-2024.13.01-00.00.00",
        "@GMT-2024.2.29-12.34.56",
        "@GMT-2024.02.29",
        "2024.02.29-12.34.56",
        "@GMT-1600.01.01-00.00.00",
    ] {
        assert_eq!(parse_gmt_token(wrong), None, "{wrong}");
    }
}

#[test]
fn snapshots_that_do_not_fit_give_their_size() {
    let snapshots = [FileTime::from_unix(0, 0), FileTime::from_unix(86_400, 0)];
    let mut out = Vec::new();
    assert!(encode_snapshots(&snapshots, &mut out, 114));
    assert_eq!(out.len(), 114);
    let read = SnapshotArray::decode(&out).unwrap();
    assert_eq!((read.number, read.array_size, &read.snapshots[..]), (2, 102, &snapshots[..]));
    let mut out = Vec::new();
    assert!(encode_snapshots(&snapshots, &mut out, 113));
    assert_eq!(out, [2, 0, 0, 0, 0, 0, 0, 0, 102, 0, 0, 0, 0, 0, 0, 0]);
    assert!(!encode_snapshots(&snapshots, &mut Vec::new(), 15));
}

#[test]
fn ranges() {
    assert_eq!(ZeroData { file_offset: 10, beyond_final_zero: 30 }.range(), Some((10, 20)));
    assert_eq!(ZeroData { file_offset: 10, beyond_final_zero: 9 }.range(), None);
    assert_eq!(ZeroData { file_offset: -1, beyond_final_zero: 9 }.range(), None);
    let range = AllocatedRange { file_offset: 1, length: 2 };
    let mut out = Vec::new();
    assert!(!encode_allocated_ranges([range; 3], &mut out, 47));
    assert_eq!(decode_allocated_ranges(&out), Ok(vec![range; 2]));
    let region = FileRegion { file_offset: 0, length: 5, usage: 1 };
    let mut out = Vec::new();
    assert_eq!(encode_file_regions(&[region; 2], &mut out, 64), Some(true));
    assert_eq!(decode_file_regions(&out), Ok(vec![region; 2]));
    assert_eq!(encode_file_regions(&[region; 2], &mut Vec::new(), 63), Some(false));
    assert_eq!(encode_file_regions(&[], &mut Vec::new(), 15), None);
    assert_eq!(SetSparse::decode(&[]), SetSparse(true));
    assert_eq!(SetSparse::decode(&[0]), SetSparse(false));
}

#[test]
fn pipe_wait_and_trim() {
    let wait = PipeWait { timeout: Some(-50_000), name: "srvsvc" };
    let mut out = Vec::new();
    wait.encode(&mut out);
    assert_eq!(out[8..14], [12, 0, 0, 0, 1, 0]);
    let read = PipeWait::decode(&out).unwrap();
    assert_eq!((read.timeout, read.name.to_text()), (Some(-50_000), "srvsvc".into()));
    let trim = TrimRanges { key: 0, ranges: vec![(0, 4096), (8192, 1)] };
    let mut out = Vec::new();
    trim.encode(&mut out);
    assert_eq!(TrimRanges::decode(&out), Ok(trim));
}

proptest! {
    #[test]
    fn tokens_survive(seconds in -11_644_473_599i64..250_000_000_000) {
        let time = FileTime::from_unix(seconds, 0);
        prop_assert_eq!(parse_gmt_token(&format_gmt_token(time)), Some(time));
    }

    #[test]
    fn any_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,30}") {
        let _ = (ValidateNegotiateRequest::decode(&data), CopyChunkRequest::decode(&data));
        let _ = (SnapshotArray::decode(&data), ReparseData::decode(&data), SymlinkData::decode(&data));
        let _ = (decode_allocated_ranges(&data), decode_file_regions(&data), TrimRanges::decode(&data));
        let _ = (PipeWait::decode(&data), decode_nfs_symlink(&data), DuplicateExtents::decode(&data));
        decode_network_interfaces(&data).for_each(drop);
        let _ = parse_gmt_token(&text);
    }

    #[test]
    fn extents_survive(volatile in any::<u64>(), source_offset in any::<i64>(), byte_count in any::<i64>()) {
        let source = FileId { persistent: 1, volatile };
        let extents = DuplicateExtents { source, source_offset, target_offset: 0, byte_count };
        let mut out = Vec::new();
        extents.encode(&mut out);
        prop_assert_eq!(DuplicateExtents::decode(&out), Ok(extents));
    }
}
