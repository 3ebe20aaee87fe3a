use proptest::prelude::*;

use super::*;
use crate::masks::AccessMask;
use crate::msg::info::AdditionalInformation;

const USER: Sid = Sid::of_domain([1, 2, 3], 1000);
const OTHER: Sid = Sid::of_domain([1, 2, 3], 1001);
const GROUP: Sid = Sid::of_domain([1, 2, 3], 513);

fn sd(owner: Sid, aces: Vec<Ace>) -> SecurityDescriptor {
    SecurityDescriptor::new(owner, GROUP, Acl { aces })
}

fn allow(sid: Sid, mask: AccessMask) -> Ace {
    Ace::allow(sid, mask, AceFlags::NONE)
}

fn deny(sid: Sid, mask: AccessMask) -> Ace {
    Ace::deny(sid, mask, AceFlags::NONE)
}

fn check(descriptor: &SecurityDescriptor, desired: AccessMask) -> Result<AccessMask, AccessDenied> {
    access_check(&[USER, GROUP, Sid::WORLD], Privileges::NONE, descriptor, desired)
}

#[test]
fn sid_text() {
    for (text, sid) in [
        ("S-1-1-0", Sid::WORLD),
        ("S-1-5-32-544", Sid::ADMINISTRATORS),
        ("S-1-5-21-1-2-3-1000", USER),
        ("S-1-22-1-0", Sid::unix_user(0)),
    ] {
        assert_eq!(text.parse(), Ok(sid));
        assert_eq!(sid.to_string(), text);
    }
    assert_eq!("S-1-0x0123456789ab-7".parse::<Sid>().unwrap().to_string(), "S-1-0x0123456789ab-7");
    for text in [
        "",
        "S-1",
        "S-1-",
        "S-2-1-0",
        "S-1-5-",
        "S-1-5-+1",
        "S-1-5-4294967296",
        "S-1-281474976710656",
        "S-1-0x",
    ] {
        assert!(text.parse::<Sid>().is_err(), "{text}");
    }
    let many = format!("S-1-5{}", "-1".repeat(16));
    assert!(many.parse::<Sid>().is_err());
}

#[test]
fn sid_bytes() {
    let mut out = Vec::new();
    Sid::ADMINISTRATORS.encode(&mut out);
    assert_eq!(out, [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0]);
    assert_eq!(out.len(), Sid::ADMINISTRATORS.size());
    assert_eq!(USER.split_rid(), Some((Sid::of(5, [21, 1, 2, 3]), 1000)));
    assert!(Sid::decode(&[1, 16, 0, 0, 0, 0, 0, 5]).is_err());
}

/// A descriptor with owner, group and one entry, as `smbcacls`' library and Windows send it.
#[test]
fn descriptor_bytes() {
    let descriptor = SecurityDescriptor::new(
        Sid::SYSTEM,
        Sid::SYSTEM,
        Acl { aces: vec![Ace::allow(Sid::WORLD, AccessMask::FILE_ALL, AceFlags(3))] },
    );
    let golden: &[u8] = &[
        1, 0, 0x04, 0x80, 20, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 44, 0, 0, 0, // header
        1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0, // owner, group
        2, 0, 28, 0, 1, 0, 0, 0, 0, 3, 20, 0, 0xff, 1, 0x1f, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0,
        0, // dacl
    ];
    let mut out = Vec::new();
    descriptor.encode(&mut out).unwrap();
    assert_eq!(out, golden);
    assert_eq!(SecurityDescriptor::decode(golden), Ok(descriptor));
}

#[test]
fn too_large_lists_are_refused() {
    let acl = Acl { aces: vec![allow(USER, AccessMask::READ_DATA); 2000] };
    assert_eq!(acl.encode(&mut Vec::new()), Err(TooLarge));
}

#[test]
fn lists_of_any_revision_are_read() {
    let acl = Acl { aces: vec![allow(USER, AccessMask::READ_DATA)] };
    let mut bytes = Vec::new();
    acl.encode(&mut bytes).unwrap();
    for (revision, read) in [(1, false), (2, true), (3, true), (4, true), (5, false)] {
        bytes[0] = revision;
        assert_eq!(Acl::decode(&bytes).is_ok_and(|it| it == acl), read, "{revision}");
    }
}

#[test]
fn null_dacl_grants_all_and_empty_dacl_nothing() {
    let null = SecurityDescriptor { control: SdControl::DACL_PRESENT, ..Default::default() };
    assert_eq!(check(&null, AccessMask::MAXIMUM_ALLOWED), Ok(AccessMask::FILE_ALL));
    let empty = sd(OTHER, vec![]);
    assert_eq!(
        check(&empty, AccessMask::READ_DATA),
        Err(AccessDenied::Dacl { missing: AccessMask::READ_DATA })
    );
    assert_eq!(check(&empty, AccessMask::MAXIMUM_ALLOWED), Ok(AccessMask::NONE));
}

#[test]
fn the_owner_may_read_and_write_the_dacl() {
    let empty = sd(USER, vec![]);
    let implicit = AccessMask::READ_CONTROL | AccessMask::WRITE_DAC;
    assert_eq!(check(&empty, AccessMask::MAXIMUM_ALLOWED), Ok(implicit));
    let limited = sd(USER, vec![allow(Sid::OWNER_RIGHTS, AccessMask::READ_CONTROL)]);
    assert_eq!(check(&limited, AccessMask::MAXIMUM_ALLOWED), Ok(AccessMask::READ_CONTROL));
    let denied = sd(USER, vec![deny(USER, implicit)]);
    assert_eq!(check(&denied, implicit), Ok(implicit));
}

#[test]
fn the_first_entry_for_a_right_decides() {
    let both = AccessMask::READ_DATA | AccessMask::WRITE_DATA;
    let deny_first = sd(OTHER, vec![deny(GROUP, AccessMask::WRITE_DATA), allow(USER, both)]);
    assert_eq!(check(&deny_first, AccessMask::READ_DATA), Ok(AccessMask::READ_DATA));
    assert_eq!(check(&deny_first, both), Err(AccessDenied::Dacl { missing: AccessMask::WRITE_DATA }));
    let allow_first = sd(OTHER, vec![allow(USER, both), deny(GROUP, AccessMask::WRITE_DATA)]);
    assert_eq!(check(&allow_first, both), Ok(both));
    let for_others = sd(OTHER, vec![deny(OTHER, both), allow(Sid::WORLD, both)]);
    assert_eq!(check(&for_others, both), Ok(both));
    let inherit_only = sd(OTHER, vec![Ace::allow(USER, both, AceFlags::INHERIT_ONLY)]);
    assert!(check(&inherit_only, both).is_err());
}

#[test]
fn generic_rights_are_mapped_on_both_sides() {
    let generic = sd(OTHER, vec![allow(USER, AccessMask::GENERIC_READ)]);
    assert_eq!(check(&generic, AccessMask::GENERIC_READ), Ok(AccessMask::FILE_GENERIC_READ));
    assert!(check(&generic, AccessMask::GENERIC_ALL).is_err());
    assert_eq!(AccessMask::GENERIC_ALL.map_generic(), AccessMask::FILE_ALL);
}

#[test]
fn maximum_allowed_still_requires_the_other_requested_rights() {
    let read = sd(OTHER, vec![allow(USER, AccessMask::FILE_GENERIC_READ)]);
    assert_eq!(check(&read, AccessMask::MAXIMUM_ALLOWED), Ok(AccessMask::FILE_GENERIC_READ));
    let more = AccessMask::MAXIMUM_ALLOWED | AccessMask::WRITE_DATA;
    assert_eq!(check(&read, more), Err(AccessDenied::Dacl { missing: AccessMask::WRITE_DATA }));
}

#[test]
fn privileges() {
    let empty = sd(OTHER, vec![]);
    let with = |privileges, desired| access_check(&[USER], privileges, &empty, desired);
    assert_eq!(
        with(Privileges::NONE, AccessMask::ACCESS_SYSTEM_SECURITY),
        Err(AccessDenied::PrivilegeNotHeld)
    );
    assert!(with(Privileges::SECURITY, AccessMask::ACCESS_SYSTEM_SECURITY).is_ok());
    assert!(with(Privileges::TAKE_OWNERSHIP, AccessMask::WRITE_OWNER).is_ok());
    assert!(with(Privileges::BACKUP, AccessMask::FILE_GENERIC_READ).is_ok());
    assert!(with(Privileges::BACKUP, AccessMask::WRITE_DATA).is_err());
    assert!(with(Privileges::RESTORE, AccessMask::FILE_GENERIC_WRITE).is_ok());
}

#[test]
fn replacing_parts_keeps_the_others() {
    let old = sd(OTHER, vec![allow(OTHER, AccessMask::READ_DATA)]);
    let mut new = sd(USER, vec![allow(USER, AccessMask::GENERIC_READ)]);
    new.control |= SdControl::DACL_AUTO_INHERITED | SdControl::DACL_PROTECTED;
    let owner_only = old.replaced(&new, AdditionalInformation::OWNER);
    assert_eq!((owner_only.owner, &owner_only.dacl), (Some(USER), &old.dacl));
    let dacl_only = old.replaced(&new, AdditionalInformation::DACL);
    assert_eq!(dacl_only.owner, Some(OTHER));
    assert_eq!(dacl_only.dacl.unwrap().aces, [allow(USER, AccessMask::FILE_GENERIC_READ)]);
    assert!(dacl_only.control.contains(SdControl::DACL_PROTECTED));
    assert!(!dacl_only.control.contains(SdControl::DACL_AUTO_INHERITED));
    new.control |= SdControl::DACL_AUTO_INHERIT_REQ;
    let inherited = old.replaced(&new, AdditionalInformation::DACL).control;
    assert!(inherited.contains(SdControl::DACL_AUTO_INHERITED));
    assert!(!inherited.contains(SdControl::DACL_AUTO_INHERIT_REQ));
    let selected = old.selected(AdditionalInformation::OWNER | AdditionalInformation::GROUP);
    assert_eq!((selected.owner, selected.dacl), (Some(OTHER), None));
}

const READ: AccessMask = AccessMask::READ_DATA;
const OI: AceFlags = AceFlags::OBJECT_INHERIT;
const CI: AceFlags = AceFlags::CONTAINER_INHERIT;
const NP: AceFlags = AceFlags::NO_PROPAGATE_INHERIT;
const IO: AceFlags = AceFlags::INHERIT_ONLY;

fn child_aces(ace: Ace, is_directory: bool) -> Vec<Ace> {
    let parent = sd(OTHER, vec![ace]);
    inherit(Some(&parent), None, is_directory, USER, GROUP).dacl.unwrap().aces
}

#[test]
fn inheritance_by_flags() {
    let full = |sid| allow(sid, AccessMask::FILE_ALL);
    let default = || vec![full(USER), full(Sid::SYSTEM)];
    for (parent, file, directory) in [
        (AceFlags::NONE, None, None),
        (OI, Some(AceFlags::NONE), Some(OI | IO)),
        (CI, None, Some(CI)),
        (OI | CI, Some(AceFlags::NONE), Some(OI | CI)),
        (OI | NP, Some(AceFlags::NONE), None),
        (CI | NP, None, Some(AceFlags::NONE)),
        (OI | CI | NP, Some(AceFlags::NONE), Some(AceFlags::NONE)),
        (OI | IO, Some(AceFlags::NONE), Some(OI | IO)),
        (CI | IO, None, Some(CI)),
        (OI | CI | IO, Some(AceFlags::NONE), Some(OI | CI)),
    ] {
        let ace = Ace::allow(OTHER, READ, parent);
        let expected = |flags: Option<AceFlags>| {
            flags.map_or_else(default, |flags| vec![Ace::allow(OTHER, READ, flags)])
        };
        assert_eq!(child_aces(ace.clone(), false), expected(file), "file, {parent:?}");
        assert_eq!(child_aces(ace, true), expected(directory), "directory, {parent:?}");
    }
}

#[test]
fn placeholders_are_resolved_and_passed_on() {
    let creator = Ace::allow(Sid::CREATOR_OWNER, AccessMask::GENERIC_READ, OI | CI);
    assert_eq!(child_aces(creator.clone(), false), [allow(USER, AccessMask::FILE_GENERIC_READ)]);
    assert_eq!(
        child_aces(creator, true),
        [
            allow(USER, AccessMask::FILE_GENERIC_READ),
            Ace::allow(Sid::CREATOR_OWNER, AccessMask::GENERIC_READ, OI | CI | IO),
        ]
    );
    let group = Ace::allow(Sid::CREATOR_GROUP, READ, OI);
    assert_eq!(child_aces(group, false), [allow(GROUP, READ)]);
}

#[test]
fn automatic_inheritance_marks_and_merges() {
    let mut parent = sd(OTHER, vec![Ace::allow(OTHER, READ, OI | CI)]);
    parent.control |= SdControl::DACL_AUTO_INHERITED;
    let inherited = Ace::allow(OTHER, READ, AceFlags::INHERITED);
    let file = inherit(Some(&parent), None, false, USER, GROUP);
    assert!(file.control.contains(SdControl::DACL_AUTO_INHERITED));
    assert_eq!(file.dacl.unwrap().aces, core::slice::from_ref(&inherited));

    let mut creator = sd(USER, vec![allow(USER, READ), Ace::allow(GROUP, READ, AceFlags::INHERITED)]);
    let merged = inherit(Some(&parent), Some(&creator), false, OTHER, GROUP);
    assert_eq!(merged.owner, Some(USER));
    assert_eq!(merged.dacl.unwrap().aces, [allow(USER, READ), inherited]);

    creator.control |= SdControl::DACL_PROTECTED;
    let protected = inherit(Some(&parent), Some(&creator), false, OTHER, GROUP);
    assert!(protected.control.contains(SdControl::DACL_PROTECTED));
    assert_eq!(protected.dacl.unwrap().aces, [allow(USER, READ), allow(GROUP, READ)]);
}

#[test]
fn null_dacl_of_the_creator_stays() {
    let creator = SecurityDescriptor { control: SdControl::DACL_PRESENT, ..Default::default() };
    let child = inherit(Some(&sd(OTHER, vec![])), Some(&creator), false, USER, GROUP);
    assert_eq!(child.dacl, None);
    assert!(child.control.contains(SdControl::DACL_PRESENT));
    assert_eq!(check(&child, AccessMask::FILE_ALL), Ok(AccessMask::FILE_ALL));
}

fn any_sid() -> impl Strategy<Value = Sid> {
    (0u64..1 << 48, proptest::collection::vec(any::<u32>(), 0..=15)).prop_map(|(authority, subs)| {
        let text = subs.iter().map(|sub| format!("-{sub}")).collect::<String>();
        format!("S-1-{authority:#x}{text}").parse().unwrap()
    })
}

fn any_ace() -> impl Strategy<Value = Ace> {
    let data = proptest::collection::vec(any::<u32>(), 0..4)
        .prop_map(|words| words.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    (0u8..0x15, any::<u8>(), any::<u32>(), any_sid(), data).prop_map(|(kind, flags, mask, sid, data)| {
        let kind = AceType(kind);
        let body = if kind.has_principal() {
            AceBody::Principal { mask: AccessMask(mask), sid, data }
        } else {
            AceBody::Opaque(data)
        };
        Ace { kind, flags: AceFlags(flags), body }
    })
}

fn any_acl() -> impl Strategy<Value = Acl> {
    proptest::collection::vec(any_ace(), 0..6).prop_map(|aces| Acl { aces })
}

prop_compose! {
    fn any_descriptor()(
        control in any::<u16>(),
        owner in proptest::option::of(any_sid()),
        group in proptest::option::of(any_sid()),
        sacl in proptest::option::of(any_acl()),
        dacl in proptest::option::of(any_acl()),
    ) -> SecurityDescriptor {
        let mut control = SdControl(control) | SdControl::SELF_RELATIVE;
        if dacl.is_some() {
            control |= SdControl::DACL_PRESENT;
        }
        if sacl.is_some() {
            control |= SdControl::SACL_PRESENT;
        }
        SecurityDescriptor { control, owner, group, sacl, dacl }
    }
}

proptest! {
    #[test]
    fn sids_survive_text_and_bytes(sid in any_sid()) {
        prop_assert_eq!(sid.to_string().parse::<Sid>(), Ok(sid));
        let mut out = Vec::new();
        sid.encode(&mut out);
        prop_assert_eq!(Sid::decode(&out), Ok(sid));
    }

    #[test]
    fn descriptors_survive(descriptor in any_descriptor(), junk in proptest::collection::vec(any::<u8>(), 0..9)) {
        let mut out = junk.clone();
        descriptor.encode(&mut out).unwrap();
        prop_assert_eq!(SecurityDescriptor::decode(&out[junk.len()..]), Ok(descriptor));
    }

    #[test]
    fn damage_never_panics(
        descriptor in any_descriptor(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        keep in any::<proptest::sample::Index>(),
    ) {
        let mut out = Vec::new();
        descriptor.encode(&mut out).unwrap();
        for (place, byte) in damage {
            let place = place.index(out.len());
            out[place] = byte;
        }
        out.truncate(keep.index(out.len() + 1));
        if let Ok(decoded) = SecurityDescriptor::decode(&out) {
            let _ = check(&decoded, AccessMask::MAXIMUM_ALLOWED);
            let _ = inherit(Some(&decoded), Some(&decoded), true, USER, GROUP);
        }
    }

    #[test]
    fn a_grant_is_within_the_maximum(descriptor in any_descriptor(), desired in 0u32..0x20_0000) {
        let desired = AccessMask(desired);
        let maximum = check(&descriptor, AccessMask::MAXIMUM_ALLOWED).unwrap();
        match check(&descriptor, desired) {
            Ok(granted) => {
                prop_assert_eq!(granted, desired);
                prop_assert!(maximum.contains(desired));
            }
            Err(_) => prop_assert!(!maximum.contains(desired)),
        }
    }
}
