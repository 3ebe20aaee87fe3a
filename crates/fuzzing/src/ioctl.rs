//! The requests and answers of control codes.

use wire::ioctl::*;
use wire::layout::FixedLayout;

use crate::fscc::fixed;

/// The input or output of any control code.
pub fn ioctl(data: &[u8]) {
    payload(data);
    fixed::<ResumeKeyResponse>(data);
    fixed::<CopyChunk>(data);
    fixed::<CopyChunkResponse>(data);
    fixed::<ValidateNegotiateResponse>(data);
    fixed::<ResiliencyRequest>(data);
    fixed::<ObjectIdBuffer>(data);
    fixed::<IntegrityInformation>(data);
    fixed::<SetIntegrityInformation>(data);
    fixed::<FileRegionsQuery>(data);
    fixed::<PipePeek>(data);
    let _ = decode_network_interfaces(data).count();
    let _ = SnapshotArray::decode(data);
}

pub(crate) fn payload(data: &[u8]) {
    let mut again = Vec::new();
    if let Ok(request) = CopyChunkRequest::decode(data) {
        request.encode(&mut again);
        assert_eq!(CopyChunkRequest::decode(&again).as_ref(), Ok(&request));
        again.clear();
    }
    if let Ok(request) = ValidateNegotiateRequest::decode(data) {
        request.encode(&mut again);
        assert_eq!(ValidateNegotiateRequest::decode(&again).as_ref(), Ok(&request));
        again.clear();
    }
    if let Ok(trim) = TrimRanges::decode(data) {
        trim.encode(&mut again);
        assert_eq!(TrimRanges::decode(&again).as_ref(), Ok(&trim));
        again.clear();
    }
    if let Ok(reparse) = ReparseData::decode(data) {
        reparse.encode(&mut again);
        assert_eq!(ReparseData::decode(&again).as_ref(), Ok(&reparse));
        again.clear();
    }
    if let Ok(symlink) = SymlinkData::decode(data) {
        let _ = (symlink.substitute_name.to_text(), symlink.print_name.to_text());
    }
    let _ = decode_nfs_symlink(data);
    let _ = SetSparse::decode(data);
    let _ = PipeWait::decode(data).map(|wait| wait.name.to_text());
    fixed::<DuplicateExtents>(data);
    fixed::<ZeroData>(data);
    if let Ok(zero) = ZeroData::decode(data)
        && let Some((offset, length)) = zero.range()
    {
        assert!(offset.checked_add(length).is_some());
    }
    if let Ok(ranges) = decode_allocated_ranges(data) {
        assert_eq!(ranges.len(), data.len() / AllocatedRange::SIZE);
    }
    let _ = decode_file_regions(data);
}
