//! Tests of the record with bytes from Samba 4.17, and of decisions with a backend in memory.

use super::*;
use auth::IdentityKind;
use proptest::prelude::*;
use vfs::{Kind, MemBackend, PosixPermissions, Wanted};
use wire::security::{Ace, Acl};
use wire::{FileAttributes, FileTime};

/// The record that Samba wrote for a file of mode 0677, owner 1000, group 100, with entries for both in its ACL:
/// `O:S-1-22-1-1000G:S-1-22-2-100D:(A;;0x001f01ff;;;WD)`.
const SAMBAS: &str = "04000400000002000400020001009acf0077dca49ac5e82afa8efb7339ee2b00dbe45e66bbec32f897aec6e2\
     a8d30000000000000000000000000000000000000000000000000000000000000000706f7369785f61636c003c4c66de7e7add01d1f7\
     da9d67014f6fce32046930aa97ed52b1c411f2f0d5b5a32cfcfc42bd01c2000000000000000000000000000000000000000000000000\
     000000000000000001000480b4000000c400000000000000d4000000010200000000001601000000e8030000010200000000001602000\
     0006400000004001c000100000000001400ff011f00010100000000000100000000";

const SAMBAS_ACL: &str = "0200000001000600ffffffff02000600e803000004000700ffffffff080007006400000010000700ffffffff\
     20000700ffffffff";

/// The default ACL of a directory that Samba 4.17 hashed.
const DEFAULT_ACL: &str = "0200000001000700ffffffff02000700e903000004000700ffffffff080004000700000010000700ffffff\
     ff20000700ffffffff";
const DIRECTORY_ACL: &str = "0200000001000700ffffffff020007000000000004000700ffffffff080007000000000010000700ffff\
     ffff20000700ffffffff";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.bytes().filter_map(|digit| char::from(digit).to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn sambas_descriptor() -> SecurityDescriptor {
    let everyone = Ace::allow(Sid::WORLD, AccessMask::FILE_ALL, AceFlags::NONE);
    SecurityDescriptor::new(Sid::unix_user(1000), Sid::unix_group(100), Acl { aces: vec![everyone] })
}

#[test]
fn record_of_samba_is_read_and_current() {
    let record = record::decode(&bytes(SAMBAS)).unwrap();
    assert_eq!(record.descriptor, sambas_descriptor());
    let mut permissions = PosixPermissions {
        mode: 0o100_677,
        uid: 1000,
        gid: 100,
        access_acl: Some(bytes(SAMBAS_ACL)),
        default_acl: None,
    };
    assert_eq!(record.system_hash, Some(posix::hash(&permissions)));
    permissions.mode = 0o100_675;
    assert_ne!(record.system_hash, Some(posix::hash(&permissions)));
}

#[test]
fn records_equal_those_of_samba() {
    let sambas = bytes(SAMBAS);
    let hash = record::decode(&sambas).unwrap().system_hash.unwrap();
    let time = FileTime(u64::from_le_bytes(sambas[88..96].try_into().unwrap()));
    let mut ours = record::encode(&sambas_descriptor(), &hash, time).unwrap();
    // Only Samba uses the hash of the descriptor that it derives from permissions.
    ours[14..46].copy_from_slice(&sambas[14..46]);
    // Both revisions of ACLs can contain these entries. Samba made this record from text, for which it uses revision 4.
    let mut sambas = sambas;
    assert_eq!(std::mem::replace(&mut sambas[212], 2), 4);
    assert_eq!(ours, sambas);
}

#[test]
fn a_directory_is_hashed_with_its_default_acl() {
    let permissions = PosixPermissions {
        mode: 0o040_777,
        uid: 0,
        gid: 0,
        access_acl: Some(bytes(DIRECTORY_ACL)),
        default_acl: Some(bytes(DEFAULT_ACL)),
    };
    let sambas = "00000200040002000000000000000000\
        0000000000000000ff41000006000000060000000000000002000200070000000100010000000000000000000000000007000000000\
        00000040004000700000003000300000000000000000000000000070000000000000006000600070000000500050007000000060000\
        0000000000060000000000000002000200070000000100010000000000e90300000000000007000000000000000400040007000000\
        03000300000000000700000000000000040000000000000006000600070000000500050007000000";
    let sambas = bytes(sambas);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &sambas);
    assert_eq!(posix::hash(&permissions), digest.as_ref());
}

/// The older versions, in bytes from Samba's own marshalling.
#[test]
fn older_versions_are_read() {
    let descriptor = "010200000000001601000000e80300000102000000000016020000006400000004001c0001000000000014\
        00ff011f00010100000000000100000000";
    let heads = [
        "0100010000000200010004801c0000002c000000000000003c000000",
        "020002000000020004000200000102030405060708090a0b0c0d0e0f0100048030000000400000000000000050000000",
        "0300030000000200040002000100000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021222324\
         25262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f0000010004806400000074000000000000008400000 0",
    ];
    for head in heads {
        let record = record::decode(&bytes(&format!("{head}{descriptor}"))).unwrap();
        assert_eq!(record, record::Record { descriptor: sambas_descriptor(), system_hash: None });
    }
}

proptest! {
    #[test]
    fn malformed_records_are_refused(data in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..232) {
        let _ = record::decode(&data);
        let sambas = bytes(SAMBAS);
        prop_assert!(record::decode(&sambas[..cut.min(sambas.len() - 1)]).is_err());
    }
}

/// The owner and group of the file of [`stat`].
const UNIX_OWNERS: (Sid, Sid) = (Sid::unix_user(1000), Sid::unix_group(100));

fn stat(mode: u32) -> Stat {
    Stat {
        reparse_tag: 0,
        device: 1,
        inode: 2,
        size: 0,
        allocation: 0,
        links: 1,
        kind: Kind::File,
        created: FileTime::NONE,
        accessed: FileTime::NONE,
        modified: FileTime::NONE,
        changed: FileTime::NONE,
        attributes: FileAttributes::NORMAL,
        mode,
        uid: 1000,
        gid: 100,
    }
}

/// For all permission bits and all users, the derived descriptor grants the rights that POSIX grants.
#[test]
fn derived_descriptor_grants_the_rights_of_permission_bits() {
    let data = AccessMask::READ_DATA | AccessMask::WRITE_DATA;
    for mode in 0..0o1000_u32 {
        let descriptor = posix::describe(&stat(mode), UNIX_OWNERS, &Token::default(), None);
        for (sids, shift) in [
            (vec![Sid::unix_user(1000), Sid::unix_group(100), Sid::WORLD], 6),
            (vec![Sid::unix_user(1000), Sid::WORLD], 6),
            (vec![Sid::unix_user(1), Sid::unix_group(100), Sid::WORLD], 3),
            (vec![Sid::unix_user(1), Sid::unix_group(1), Sid::WORLD], 0),
        ] {
            let granted =
                access_check(&sids, Privileges::NONE, &descriptor, AccessMask::MAXIMUM_ALLOWED).unwrap();
            let mut expected = AccessMask::NONE;
            if mode >> shift & 4 != 0 {
                expected |= AccessMask::READ_DATA;
            }
            if mode >> shift & 2 != 0 {
                expected |= AccessMask::WRITE_DATA;
            }
            assert_eq!(granted & data, expected, "{mode:o} {sids:?}");
        }
    }
}

/// An ACL in the kernel's format.
fn posix_acl(entries: &[(u16, u16, u32)]) -> PosixPermissions {
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        acl.extend_from_slice(&tag.to_le_bytes());
        acl.extend_from_slice(&permissions.to_le_bytes());
        acl.extend_from_slice(&id.to_le_bytes());
    }
    PosixPermissions { access_acl: Some(acl), ..PosixPermissions::default() }
}

proptest! {
    /// For any ACL and any user, the derived descriptor grants the rights that the algorithm of acl(5) grants.
    #[test]
    fn derived_descriptor_grants_the_rights_of_the_acl(bits in proptest::array::uniform8(0u16..8), who in 0usize..6) {
        let [owner, ann, bob, group, staff, crew, mask, other] = bits;
        let acl = posix_acl(&[
            (0x01, owner, u32::MAX), (0x02, ann, 1), (0x02, bob, 2), (0x04, group, u32::MAX), (0x08, staff, 7),
            (0x08, crew, 8), (0x10, mask, u32::MAX), (0x20, other, u32::MAX),
        ]);
        let descriptor = posix::describe(&stat(0o640), UNIX_OWNERS, &Token::default(), Some(&acl));
        let (uid, gids): (u32, &[u32]) = match who {
            0 => (1000, &[100, 7]),
            1 => (1, &[100, 7]),
            2 => (2, &[]),
            3 => (3, &[100]),
            4 => (3, &[100, 7, 8]),
            _ => (3, &[55]),
        };
        let of_groups = [(100, group), (7, staff), (8, crew)];
        let matching = || of_groups.iter().filter(|(gid, _)| gids.contains(gid)).map(|(_, bits)| bits & mask);
        for (bit, right) in [(4, AccessMask::READ_DATA), (2, AccessMask::WRITE_DATA)] {
            let expected = match uid {
                1000 => owner & bit != 0,
                1 => ann & mask & bit != 0,
                2 => bob & mask & bit != 0,
                _ if matching().next().is_some() => matching().any(|bits| bits & bit != 0),
                _ => other & bit != 0,
            };
            let mut sids = vec![Sid::unix_user(uid), Sid::WORLD];
            sids.extend(gids.iter().copied().map(Sid::unix_group));
            let granted =
                access_check(&sids, Privileges::NONE, &descriptor, AccessMask::MAXIMUM_ALLOWED).unwrap();
            prop_assert_eq!(granted.contains(right), expected, "{:?} {} {:?}", bits, uid, gids);
        }
    }
}

/// The rights of a user to `d/f` if the directory and the file have these entries for everyone.
fn permitted(directory: AccessMask, file: AccessMask) -> AccessMask {
    let backend = MemBackend::new();
    let actor = Actor::user(1, 1, Vec::new());
    let allow = |rights| {
        let aces = vec![Ace::allow(Sid::WORLD, rights, AceFlags::NONE)];
        SecurityDescriptor::new(Sid::SYSTEM, Sid::SYSTEM, Acl { aces })
    };
    let path = |text: &str| RelativePath::new(text).unwrap();
    let made = backend.create_directory(&actor, &path("d"), FileAttributes::NONE).unwrap();
    store(&*made.handle, &allow(directory)).unwrap();
    let made = backend.create_file(&actor, &path("d/f"), FileAttributes::NONE, Wanted::BOTH).unwrap();
    store(&*made.handle, &allow(file)).unwrap();
    let token = Token::new(IdentityKind::User, &actor, &[], false);
    let subject = Subject { backend: &backend, actor: &actor, token: &token, for_backup: false };
    subject.permitted(&path("d/f"), &*made.handle, &made.stat, AccessMask::MAXIMUM_ALLOWED)
}

#[test]
fn a_file_can_be_deleted_by_its_own_right_or_the_directorys() {
    let delete = |directory, file| permitted(directory, file).contains(AccessMask::DELETE);
    assert!(!delete(AccessMask::READ_DATA, AccessMask::READ_DATA));
    assert!(delete(AccessMask::DELETE_CHILD, AccessMask::READ_DATA));
    assert!(delete(AccessMask::READ_DATA, AccessMask::DELETE));
}

#[test]
fn read_attributes_is_granted_without_an_entry() {
    assert_eq!(permitted(AccessMask::NONE, AccessMask::NONE), AccessMask::READ_ATTRIBUTES);
}

/// A file in memory.
struct Scene {
    backend: MemBackend,
    made: vfs::Opened,
}

impl Scene {
    fn new(owner: &Actor) -> Self {
        let backend = MemBackend::new();
        let path = RelativePath::new("f").unwrap();
        let made = backend.create_file(owner, &path, FileAttributes::NONE, Wanted::BOTH).unwrap();
        Self { backend, made }
    }

    fn permitted(&self, actor: &Actor, token: &Token) -> AccessMask {
        let subject = Subject { backend: &self.backend, actor, token, for_backup: false };
        let path = RelativePath::new("f").unwrap();
        subject.permitted(&path, &*self.made.handle, &self.made.stat, AccessMask::MAXIMUM_ALLOWED)
    }
}

#[test]
fn unreadable_descriptor_refuses_access_except_to_replace_it() {
    let (ann, bob) = (Actor::user(1, 1, Vec::new()), Actor::user(2, 2, Vec::new()));
    let token = |actor: &Actor, administrator| Token::new(IdentityKind::User, actor, &[], administrator);
    let scene = Scene::new(&ann);
    let handle = &*scene.made.handle;
    assert!(scene.permitted(&bob, &token(&bob, false)).contains(AccessMask::READ_DATA), "permission bits");
    let sambas = bytes(SAMBAS);
    for record in [&sambas[..sambas.len() - 1], b"", &[9, 0, 9, 0, 1, 0, 0, 0]] {
        handle.set_security_record(record).unwrap();
        assert_eq!(scene.permitted(&bob, &token(&bob, false)), AccessMask::NONE);
        let data = AccessMask::READ_DATA | AccessMask::WRITE_DATA | AccessMask::DELETE;
        for owner in [scene.permitted(&ann, &token(&ann, false)), scene.permitted(&bob, &token(&bob, true))] {
            assert!(
                owner.contains(AccessMask::READ_CONTROL | AccessMask::WRITE_DAC) && !owner.intersects(data)
            );
        }
        let is_listed = |actor: &Actor, token: &Token| {
            Subject { backend: &scene.backend, actor, token, for_backup: false }.may_see(handle)
        };
        assert!(!is_listed(&bob, &token(&bob, false)) && is_listed(&ann, &token(&ann, false)));
        let told = descriptor(handle, &token(&ann, false));
        assert_eq!(told, Err(NtStatus::INVALID_SECURITY_DESCR));
        let everyone = Ace::allow(Sid::WORLD, AccessMask::FILE_ALL, AceFlags::NONE);
        let new = SecurityDescriptor::new(Sid::WORLD, Sid::WORLD, Acl { aces: vec![everyone] });
        replace(Machine([1, 2, 3]), &token(&ann, false), handle, AdditionalInformation::DACL, &new).unwrap();
        assert!(scene.permitted(&bob, &token(&bob, false)).contains(AccessMask::READ_DATA), "repaired");
        assert_eq!(descriptor(handle, &token(&ann, false)).unwrap().owner, Some(Sid::unix_user(1)));
    }
}

#[test]
fn create_fails_in_directory_with_unreadable_descriptor() {
    let backend = MemBackend::new();
    let actor = Actor::user(1, 1, Vec::new());
    let path = |text: &str| RelativePath::new(text).unwrap();
    let made = backend.create_directory(&actor, &path("d"), FileAttributes::NONE).unwrap();
    made.handle.set_security_record(b"no record").unwrap();
    let token = Token::new(IdentityKind::User, &actor, &[], false);
    let subject = Subject { backend: &backend, actor: &actor, token: &token, for_backup: false };
    let parent = backend.parent(&actor, &path("d/f")).unwrap();
    assert!(matches!(subject.may_create(&parent, false), Err(vfs::Error::AccessDenied)));
}

#[test]
fn descriptor_stays_in_force_when_the_kernel_clears_special_bits() {
    let permissions = |mode: u32| PosixPermissions { mode: 0o100_000 | mode, ..PosixPermissions::default() };
    for before in [0o755, 0o4_755, 0o2_755, 0o6_755, 0o1_755] {
        let hash = posix::hash(&permissions(before));
        assert!(posix::is_hash_of(&hash, &permissions(0o755)), "{before:o}");
        assert!(posix::is_hash_of(&hash, &permissions(before)));
        assert!(
            !posix::is_hash_of(&hash, &permissions(0o754)),
            "a chmod by another program invalidates the descriptor"
        );
        assert!(!posix::is_hash_of(&hash, &PosixPermissions { uid: 7, ..permissions(0o755) }));
    }
}

#[test]
fn users_who_share_a_unix_user_do_not_own_each_others_files() {
    let machine = Machine([1, 2, 3]);
    let user = |name| {
        let own = machine.user(name, 0);
        Token::new(IdentityKind::User, &Actor::Process, &[own, domain_users(own).unwrap()], false)
    };
    let (ann, bob) = (user("ann, who has no account"), user("bob, who has no account"));
    let mut scene = Scene::new(&Actor::Process);
    let uid = nix::unistd::geteuid().as_raw();
    scene.made.stat.uid = uid;
    let everyone = AccessMask::WRITE_DAC | AccessMask::READ_DATA;
    assert!(
        scene.permitted(&Actor::Process, &bob).contains(everyone),
        "without a descriptor the file belongs to the user who asks"
    );
    assert!(!bob.is(Sid::unix_user(uid)) && !bob.may_give(ann.owner_of(&scene.made.stat)));
    // The first descriptor is inherited, or set by the first user that does so.
    let private = SecurityDescriptor::new(Sid::WORLD, Sid::WORLD, Acl { aces: Vec::new() });
    let handle = &*scene.made.handle;
    let made = endow(handle, &scene.made.stat, &ann, None, None).unwrap();
    assert_eq!(made, None, "nothing to inherit");
    let stat = scene.made.stat.clone();
    store(handle, &made_up_of(&stat, &ann).replaced(&private, AdditionalInformation::DACL)).unwrap();
    let bobs = scene.permitted(&Actor::Process, &bob);
    assert!(!bobs.intersects(everyone | AccessMask::WRITE_OWNER | AccessMask::READ_CONTROL), "{bobs:?}");
    let anns = scene.permitted(&Actor::Process, &ann);
    assert!(anns.contains(AccessMask::READ_CONTROL | AccessMask::WRITE_DAC));
}

fn made_up_of(stat: &Stat, token: &Token) -> SecurityDescriptor {
    posix::describe(stat, (token.owner_of(stat), token.group_of(stat)), token, None)
}
