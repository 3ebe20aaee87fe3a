//! Security descriptors and access checks.

use wire::AccessMask;
use wire::msg::AdditionalInformation;
use wire::security::{Acl, Privileges, SecurityDescriptor, Sid, access_check, inherit};

use crate::input::Input;

/// A mask of rights and a descriptor; the same bytes also as a list, a SID and a SID's text.
pub fn security(data: &[u8]) {
    let mut input = Input(data);
    let desired = AccessMask(u32::from(input.u16()) | u32::from(input.u16()) << 16);
    descriptor(input.0);
    if let Ok(sid) = Sid::decode(input.0) {
        assert_eq!(sid.to_string().parse(), Ok(sid));
    }
    if let Ok(text) = std::str::from_utf8(input.0)
        && let Ok(sid) = text.parse::<Sid>()
    {
        assert_eq!(sid.to_string().parse(), Ok(sid), "{text:?}");
    }
    if let Ok(list) = Acl::decode(input.0) {
        let mut again = Vec::new();
        if list.encode(&mut again).is_ok() {
            assert_eq!(Acl::decode(&again).as_ref(), Ok(&list));
        }
    }
    if let Ok(descriptor) = SecurityDescriptor::decode(input.0) {
        decide(&descriptor, desired);
    }
}

/// A decoded descriptor encodes to the same meaning.
pub(crate) fn descriptor(data: &[u8]) {
    let Ok(descriptor) = SecurityDescriptor::decode(data) else { return };
    let mut again = Vec::new();
    if descriptor.encode(&mut again).is_ok() {
        assert_eq!(SecurityDescriptor::decode(&again).as_ref(), Ok(&descriptor));
    }
}

fn decide(descriptor: &SecurityDescriptor, desired: AccessMask) {
    let sids: Vec<Sid> = descriptor.owner.into_iter().chain(descriptor.group).collect();
    let nobody = access_check(&[], Privileges::NONE, descriptor, desired);
    let owner = access_check(&sids, Privileges::NONE, descriptor, desired);
    let wanted = desired.without(AccessMask::MAXIMUM_ALLOWED).map_generic();
    for granted in [nobody, owner].into_iter().flatten() {
        assert!(granted.contains(wanted), "less than was asked for");
        if !desired.contains(AccessMask::MAXIMUM_ALLOWED) {
            assert_eq!(granted, wanted, "more than was asked for");
        }
    }
    let someone = "S-1-5-21-1-2-3-1000".parse().unwrap();
    for is_directory in [false, true] {
        let child = inherit(Some(descriptor), None, is_directory, someone, someone);
        let made = inherit(Some(descriptor), Some(descriptor), is_directory, someone, someone);
        for descriptor in [child, made] {
            let mut bytes = Vec::new();
            if descriptor.encode(&mut bytes).is_ok() {
                assert_eq!(SecurityDescriptor::decode(&bytes), Ok(descriptor));
            }
        }
    }
    let all = AdditionalInformation(u32::MAX);
    let _ = descriptor.replaced(&descriptor.selected(all), all);
}
