use wire::NtStatus;

use super::*;
use crate::ndr::ContextHandle;

round_trips!();

/// The request that rpcclient sends for `lookupsids`, and Windows for the owner of a file: a quality of service,
/// which is ignored, is between the name and the access.
#[test]
fn a_quality_of_service_is_skipped() {
    let mut stub = vec![0, 0, 2, 0, b'\\', 0, 0, 0];
    for word in [24_u32, 0, 0, 0, 0, 0x0002_0004, 12] {
        stub.extend(word.to_le_bytes());
    }
    stub.extend([2, 0, 1, 0]);
    stub.extend(0x0200_0000_u32.to_le_bytes());
    let Ok(Request::OpenPolicy(request)) = Request::decode(6, &stub) else { panic!("not read") };
    assert_eq!(request.desired_access, 0x0200_0000);
}

/// The first request of Windows 11's editor for access lists.
#[test]
fn the_third_way_to_open_the_policy() {
    let mut stub = Vec::new();
    // The name, conformant and varying.
    for word in [0x0002_0000_u32, 3, 0, 3] {
        stub.extend(word.to_le_bytes());
    }
    stub.extend([b'\\', 0, b's', 0, 0, 0, 0, 0]);
    // The object's attributes, the access, the version, the union's arm.
    for word in [24_u32, 0, 0, 0, 0, 0, 0x0000_0801, 1, 1, 1, 1] {
        stub.extend(word.to_le_bytes());
    }
    let Ok(Request::OpenPolicy3(request)) = Request::decode(130, &stub) else { panic!("not read") };
    assert_eq!(request.system_name.as_deref(), Some("\\s"));
    assert_eq!(request.desired_access, 0x801);
    assert_eq!(request.revision, RevisionInfo::V1(RevisionInfo1 { revision: 1, supported_features: 1 }));

    let handle = ContextHandle { attributes: 0, uuid: [7; 16] };
    let answer = OpenPolicy3Response { revision: RevisionInfo::default(), handle, status: NtStatus::SUCCESS };
    let mut expected = Vec::new();
    for word in [1_u32, 1, 1, 0, 0] {
        expected.extend(word.to_le_bytes());
    }
    expected.extend([7; 16]);
    expected.extend([0; 4]);
    assert_eq!(Response::from(answer).encode(), expected);

    // An unknown version is for the server to refuse; it is not a fault.
    let arm = stub.len() - 16;
    stub[arm] = 2;
    stub[arm + 4] = 2;
    let Ok(Request::OpenPolicy3(request)) = Request::decode(130, &stub) else { panic!("not read") };
    assert_eq!(request.revision, RevisionInfo::Unknown(2));
}
