//! Tests of behaviour that only the local backend has.
#![cfg(target_os = "linux")]

use rustix::fs::{CWD, Mode};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use vfs::{
    Actor, Backend, Capabilities, Entry, EntryWanted, Error, Kind, LocalBackend, LocalOptions, RelativePath,
    SymlinkTarget, Wanted,
};
use wire::{AccessMask, FileAttributes};

struct Share {
    outer: tempfile::TempDir,
    backend: LocalBackend,
}

impl Share {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        std::fs::set_permissions(outer.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::create_dir(outer.path().join("share")).unwrap();
        std::fs::write(outer.path().join("secret"), "secret").unwrap();
        let backend = LocalBackend::open(&outer.path().join("share"), LocalOptions::default()).unwrap();
        Self { outer, backend }
    }

    fn disk(&self, name: impl AsRef<Path>) -> std::path::PathBuf {
        self.outer.path().join("share").join(name)
    }

    fn open(&self, text: &str, wanted: Wanted) -> Result<vfs::Opened, Error> {
        self.backend.open(&Actor::Process, &path(text), wanted)
    }

    fn entries(&self, text: &str) -> Vec<Entry> {
        let mut cursor = self.open(text, Wanted::READ).unwrap().handle.read_directory().unwrap();
        let mut entries = Vec::new();
        while let Some(entry) = cursor.next(&mut |_| EntryWanted::Stat).unwrap() {
            entries.push(entry);
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries.split_off(2)
    }
}

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

fn content(opened: &vfs::Opened) -> Vec<u8> {
    let mut buffer = [0; 64];
    let read = opened.handle.read_at(&mut buffer, 0).unwrap();
    buffer[..read].to_vec()
}

#[test]
fn capabilities_below_a_mount_are_those_of_its_file_system() {
    let backend = LocalBackend::open(Path::new("/"), LocalOptions::default()).unwrap();
    let at = |name: &str| {
        let opened = backend.open(&Actor::Process, &path(name), Wanted::NOTHING).unwrap();
        (backend.capabilities_at(&*opened.handle).unwrap(), backend.volume(&*opened.handle).unwrap())
    };
    assert_eq!(at("").0, backend.capabilities());
    let kept = Capabilities::SECURITY | Capabilities::STREAMS | Capabilities::XATTR | Capabilities::SPARSE;
    for name in ["proc", "proc/version"] {
        let (capabilities, volume) = at(name);
        assert!(!capabilities.intersects(kept | Capabilities::BLOCK_CLONES), "{name}: {capabilities:?}");
        let longest = rustix::fs::statvfs(format!("/{name}")).unwrap().f_namemax.min(255);
        assert_eq!(u64::from(volume.component_units_max), longest, "{name}");
    }
}

#[test]
fn no_path_leads_out_of_the_share() {
    let share = Share::new();
    std::fs::create_dir(share.disk("d")).unwrap();
    std::fs::write(share.disk("d/f"), "inside").unwrap();
    symlink(share.outer.path().join("secret"), share.disk("absolute")).unwrap();
    symlink("../secret", share.disk("up")).unwrap();
    symlink("..", share.disk("up-directory")).unwrap();
    symlink("/proc/self/root", share.disk("magic")).unwrap();
    symlink("nothing", share.disk("dangling")).unwrap();
    symlink("circle", share.disk("circle")).unwrap();
    symlink("../d/f", share.disk("d/back")).unwrap();
    symlink("d", share.disk("link")).unwrap();

    for name in
        ["absolute", "up", "up-directory", "up-directory/secret", "UP-Directory/secret", "magic", "magic/etc"]
    {
        for wanted in [Wanted::NOTHING, Wanted::READ, Wanted::BOTH] {
            assert!(matches!(share.open(name, wanted), Err(Error::AccessDenied)), "{name}");
        }
    }
    let create = |name: &str| {
        share.backend.create_file(&Actor::Process, &path(name), FileAttributes::NONE, Wanted::BOTH).err()
    };
    assert!(matches!(create("up"), Some(Error::Exists)));
    assert!(matches!(create("dangling"), Some(Error::Exists)));
    assert!(matches!(create("up-directory/new"), Some(Error::AccessDenied)));
    assert!(!share.outer.path().join("new").exists());
    let inside = share.open("d/f", Wanted::NOTHING).unwrap();
    for to in ["up-directory/stolen", "magic/stolen"] {
        let rename = share.backend.rename(&Actor::Process, &*inside.handle, &path("d/f"), &path(to), true);
        assert!(matches!(rename, Err(Error::AccessDenied)));
        let link = share.backend.link(&Actor::Process, &*inside.handle, &path(to), true);
        assert!(matches!(link, Err(Error::AccessDenied)));
    }
    assert!(matches!(share.open("dangling", Wanted::NOTHING), Err(Error::NotFound)));
    assert!(matches!(share.open("circle", Wanted::NOTHING), Err(Error::Loop)));

    for name in ["d/back", "link/back", "LINK/f", "link/f"] {
        assert_eq!(content(&share.open(name, Wanted::READ).unwrap()), b"inside", "{name}");
    }
    assert_eq!(share.open("LINK/F", Wanted::READ).unwrap().path, "link/f");
    let names: Vec<_> =
        share.entries("").into_iter().map(|entry| (entry.name, entry.stat.unwrap().kind)).collect();
    assert_eq!(names, [("d".to_owned(), Kind::Directory), ("link".to_owned(), Kind::Directory)]);
    assert_eq!(share.entries("d")[0].stat.as_ref().unwrap().size, 6);
}

/// The listed directory, or one above it, may have been renamed since it was opened.
#[test]
fn listed_symlinks_are_followed_from_the_renamed_directory() {
    let share = Share::new();
    std::fs::create_dir_all(share.disk("above/d")).unwrap();
    std::fs::write(share.disk("above/f"), "text").unwrap();
    symlink("../f", share.disk("above/d/link")).unwrap();
    let directory = share.open("above/d", Wanted::READ).unwrap().handle;
    std::fs::rename(share.disk("above"), share.disk("moved")).unwrap();
    let entries = || {
        let mut cursor = directory.read_directory().unwrap();
        let mut names = Vec::new();
        while let Some(entry) = cursor.next(&mut |_| EntryWanted::Stat).unwrap() {
            names.push(entry.name);
        }
        names
    };
    assert!(!entries().contains(&"link".to_owned()), "it leads nowhere from where the directory was");
    directory.moved(&path("moved/d"));
    assert!(entries().contains(&"link".to_owned()));
}

#[test]
fn removing_a_symlink_keeps_its_target() {
    let share = Share::new();
    std::fs::write(share.disk("target"), "x").unwrap();
    symlink("target", share.disk("link")).unwrap();
    let opened = share.open("link", Wanted::NOTHING).unwrap();
    share.backend.rename(&Actor::Process, &*opened.handle, &path("link"), &path("moved"), false).unwrap();
    assert!(share.disk("moved").is_symlink());
    share.backend.remove(&Actor::Process, &path("moved"), &*opened.handle).unwrap();
    assert!(share.disk("target").exists() && !share.disk("moved").is_symlink());
}

#[test]
fn swapped_symlinks_never_lead_out_of_the_share() {
    let share = Share::new();
    std::fs::create_dir(share.disk("real")).unwrap();
    std::fs::write(share.disk("real/secret"), "inside").unwrap();
    symlink("..", share.disk("trap")).unwrap();
    std::fs::rename(share.disk("real"), share.disk("door")).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (door, trap) = (share.disk("door"), share.disk("trap"));
            while !done.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(CWD, &door, CWD, &trap, rustix::fs::RenameFlags::EXCHANGE).unwrap();
            }
        });
        let mut opened = 0;
        for number in 0..20_000 {
            match share.open("door/secret", Wanted::READ) {
                Ok(file) => {
                    assert_eq!(content(&file), b"inside");
                    opened += 1;
                }
                Err(Error::AccessDenied | Error::NotFound | Error::PathNotFound | Error::Busy) => {}
                Err(error) => panic!("{error:?}"),
            }
            if number % 100 == 0 {
                let made = share.backend.create_file(
                    &Actor::Process,
                    &path(&format!("DOOR/new {number}")),
                    FileAttributes::NONE,
                    Wanted::NOTHING,
                );
                drop(made);
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(opened > 0);
    });
    let outside: Vec<_> =
        std::fs::read_dir(share.outer.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(outside.len(), 2, "{outside:?}");
}

#[test]
fn special_files_never_block() {
    let share = Share::new();
    rustix::fs::mkfifoat(CWD, share.disk("fifo"), Mode::from_raw_mode(0o666)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(share.disk("socket")).unwrap();
    for name in ["fifo", "socket"] {
        for wanted in [Wanted::READ, Wanted::WRITE, Wanted::BOTH] {
            assert!(matches!(share.open(name, wanted), Err(Error::AccessDenied)), "{name} {wanted:?}");
        }
        let opened = share.open(name, Wanted::NOTHING).unwrap();
        assert_eq!((opened.stat.kind, opened.stat.size), (Kind::Other, 0));
        assert!(opened.handle.read_at(&mut [0; 1], 0).is_err());
        assert!(opened.handle.set_attributes(FileAttributes::HIDDEN).is_err());
        assert!(
            share.backend.open(&Actor::Process, &path(name).with_stream("s").unwrap(), Wanted::READ).is_err()
        );
        share.backend.remove(&Actor::Process, &path(name), &*opened.handle).unwrap();
    }
}

#[test]
fn names_that_windows_forbids_are_listed_opened_and_created() {
    let share = Share::new();
    let odd: [&[u8]; 7] = [b"caf\xe9", b"a:b", b"end.", b"end ", b"q?*\"<>|\\", b"line\nbreak", b"\xff\xfe"];
    for name in odd {
        std::fs::write(share.disk(OsStr::from_bytes(name)), name).unwrap();
    }
    let entries = share.entries("");
    assert_eq!(entries.len(), odd.len());
    let mut seen = Vec::new();
    for entry in entries {
        let opened = share.open(&entry.name, Wanted::READ).unwrap();
        assert_eq!(opened.path, entry.name);
        seen.push(content(&opened));
    }
    seen.sort();
    let mut expected = odd.map(<[u8]>::to_vec);
    expected.sort();
    assert_eq!(seen, expected);
    assert_eq!(content(&share.open("END.", Wanted::READ).unwrap()), b"end.");
    assert_eq!(share.open("CAF\u{efe9}", Wanted::NOTHING).unwrap().path, "caf\u{efe9}");
    let made = share.backend.create_file(
        &Actor::Process,
        &path("new\u{f022}\u{efe9}\u{f029}"),
        FileAttributes::NONE,
        Wanted::NOTHING,
    );
    assert_eq!(made.unwrap().path, "new\u{f022}\u{efe9}\u{f029}");
    assert!(share.disk(OsStr::from_bytes(b"new:\xe9.")).exists());
    for evil in ["\u{f029}", ".\u{f029}"] {
        assert!(matches!(share.open(evil, Wanted::NOTHING), Err(Error::InvalidName)));
        assert!(matches!(share.open(&format!("{evil}/secret"), Wanted::READ), Err(Error::InvalidName)));
    }
}

#[test]
fn an_exact_match_is_preferred_and_other_choices_are_stable() {
    let share = Share::new();
    for name in ["readme", "README", "Readme"] {
        std::fs::write(share.disk(name), name).unwrap();
        assert_eq!(share.open(name, Wanted::NOTHING).unwrap().path, name);
    }
    assert_eq!(share.open("rEADME", Wanted::NOTHING).unwrap().path, "README");
    let opened = share.open("readme", Wanted::NOTHING).unwrap();
    share.backend.remove(&Actor::Process, &path("readme"), &*opened.handle).unwrap();
    assert!(!share.disk("readme").exists() && share.disk("README").exists() && share.disk("Readme").exists());
}

#[test]
fn cached_names_follow_changes_of_the_directory() {
    let share = Share::new();
    let make = |name: &str| {
        share.backend.create_file(&Actor::Process, &path(name), FileAttributes::NONE, Wanted::NOTHING)
    };
    for number in 0..500 {
        make(&format!("File {number}")).unwrap();
    }
    for number in 0..500 {
        assert!(matches!(make(&format!("FILE {number}")), Err(Error::Exists)));
    }
    let opened = share.open("FILE 7", Wanted::NOTHING).unwrap();
    assert_eq!(opened.path, "File 7");
    share.backend.rename(&Actor::Process, &*opened.handle, &path("file 7"), &path("Other"), false).unwrap();
    assert!(matches!(share.open("FILE 7", Wanted::NOTHING), Err(Error::NotFound)));
    assert_eq!(share.open("OTHER", Wanted::NOTHING).unwrap().path, "Other");
    share.backend.remove(&Actor::Process, &path("OTHER"), &*opened.handle).unwrap();
    assert!(matches!(share.open("OTHER", Wanted::NOTHING), Err(Error::NotFound)));
    make("OTHER").unwrap();
    assert_eq!(share.open("oTHER", Wanted::NOTHING).unwrap().path, "OTHER");
    // A change by another program is noticed by the directory's times (set explicitly, for file systems with
    // coarse clocks).
    std::fs::write(share.disk("Foreign"), "").unwrap();
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
    std::fs::File::open(share.disk("")).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(share.open("FOREIGN", Wanted::NOTHING).unwrap().path, "Foreign");
    // If another program creates a second spelling, both can be opened, and the first one is found for a
    // third spelling.
    std::fs::write(share.disk("FOREIGN"), "").unwrap();
    std::fs::File::open(share.disk(""))
        .unwrap()
        .set_modified(long_ago + std::time::Duration::from_secs(1))
        .unwrap();
    assert_eq!(share.open("foreign", Wanted::NOTHING).unwrap().path, "FOREIGN");
    assert_eq!(share.open("Foreign", Wanted::NOTHING).unwrap().path, "Foreign");
}

#[test]
fn a_file_created_under_the_short_name_gets_its_long_name_back() {
    let share = Share::new();
    let long = "A long name.txt";
    let short = vfs::short_name::short_name(long).unwrap();
    let make = |name: &str| {
        share.backend.create_file(&Actor::Process, &path(name), FileAttributes::NONE, Wanted::NOTHING)
    };
    let made = make(long).unwrap();
    share.backend.remove(&Actor::Process, &path(&short), &*made.handle).unwrap();
    assert_eq!(make(&short.to_lowercase()).unwrap().path, long);
    assert!(share.disk(long).exists());
    // The name is restored only once, and not if it is taken.
    let again = share.open(long, Wanted::NOTHING).unwrap();
    share.backend.rename(&Actor::Process, &*again.handle, &path(long), &path("other"), false).unwrap();
    std::fs::write(share.disk("x"), "").unwrap();
    assert_eq!(make(&short).unwrap().path, long);
    let again = share.open(long, Wanted::NOTHING).unwrap();
    share.backend.remove(&Actor::Process, &path(long), &*again.handle).unwrap();
    assert!(matches!(share.open(&short, Wanted::NOTHING), Err(Error::NotFound)));
}

#[test]
fn attributes_are_stored_as_samba_stores_them() {
    let share = Share::new();
    let made = share
        .backend
        .create_file(&Actor::Process, &path("f"), FileAttributes::SYSTEM, Wanted::NOTHING)
        .unwrap();
    let mut record = [0; 256];
    let length = rustix::fs::getxattr(share.disk("f"), "user.DOSATTRIB", &mut record).unwrap();
    let mut expected = vec![0, 0, 5, 0, 5, 0, 0, 0, 0x11, 0, 0, 0, 0x24, 0, 0, 0];
    expected.extend_from_slice(&made.stat.created.0.to_le_bytes());
    assert_eq!(&record[..length], expected);
    for name in ["DOSATTRIB", "dosattrib", "DosStream.x:$DATA", "SAMBA_PAI"] {
        assert!(matches!(made.handle.xattr(name), Err(Error::AccessDenied)));
        assert!(matches!(made.handle.set_xattr(name, b"forged"), Err(Error::AccessDenied)));
        assert!(matches!(made.handle.remove_xattr(name), Err(Error::AccessDenied)));
    }
    assert!(made.handle.xattrs().unwrap().is_empty());

    std::fs::write(share.disk("plain"), "").unwrap();
    std::fs::set_permissions(share.disk("plain"), PermissionsExt::from_mode(0o444)).unwrap();
    let plain = share.open("plain", Wanted::NOTHING).unwrap();
    assert_eq!(plain.stat.attributes, FileAttributes::ARCHIVE | FileAttributes::READONLY);
    let stream = path("f").with_stream("s").unwrap();
    let stream =
        share.backend.create_file(&Actor::Process, &stream, FileAttributes::NONE, Wanted::BOTH).unwrap();
    stream.handle.write_at(b"hi", 0).unwrap();
    let length = rustix::fs::getxattr(share.disk("f"), "user.DosStream.s:$DATA", &mut record).unwrap();
    assert_eq!(&record[..length], b"hi\0");
    assert!(matches!(stream.handle.set_size(u64::MAX), Err(Error::InvalidArgument)));
}

#[test]
fn allocated_ranges_leave_out_holes() {
    let share = Share::new();
    let made =
        share.backend.create_file(&Actor::Process, &path("f"), FileAttributes::NONE, Wanted::BOTH).unwrap();
    made.handle.write_at(&[1; 4096], 0).unwrap();
    made.handle.write_at(&[1; 4096], 1 << 20).unwrap();
    let size = (1 << 20) + 4096;
    let ranges = made.handle.allocated_ranges(0..u64::MAX >> 1).unwrap();
    assert_eq!(ranges, [0..4096, 1 << 20..size]);
    made.handle.zero(0..4096).unwrap();
    assert_eq!(made.handle.allocated_ranges(0..size).unwrap(), ranges[1..]);
    assert_eq!(made.handle.allocated_ranges(4096..8192).unwrap(), []);
}

#[test]
fn try_read_at_returns_cached_data() {
    let share = Share::new();
    std::fs::write(share.disk("f"), vec![7; 100_000]).unwrap();
    let opened = share.open("f", Wanted::READ).unwrap();
    let mut buffer = vec![0; 200_000];
    assert_eq!(opened.handle.read_at(&mut buffer, 0).unwrap(), 100_000);
    if let Some(read) = opened.handle.try_read_at(&mut buffer, 0).unwrap() {
        assert_eq!(read, 100_000);
    }
    assert!(opened.handle.as_fd().is_some());
    assert!(share.open("f", Wanted::WRITE).unwrap().handle.as_fd().is_none());
    assert!(share.open("", Wanted::READ).unwrap().handle.as_fd().is_none());
}

/// Needs root: the file system must see the user.
#[test]
fn the_permissions_of_the_acting_user_apply() {
    if !testkit::need(&["root"]) {
        return;
    }
    let share = Share::new();
    let nobody = Actor::user(65534, 65534, vec![]);
    let member = Actor::user(65533, 65533, vec![4711]);
    std::fs::write(share.disk("mine"), "root's").unwrap();
    std::fs::set_permissions(share.disk("mine"), PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(share.disk("group"), "group's").unwrap();
    std::os::unix::fs::chown(share.disk("group"), None, Some(4711)).unwrap();
    std::fs::set_permissions(share.disk("group"), PermissionsExt::from_mode(0o060)).unwrap();
    std::fs::set_permissions(share.disk(""), PermissionsExt::from_mode(0o777)).unwrap();

    let open = |actor: &Actor, name: &str, wanted| share.backend.open(actor, &path(name), wanted);
    for wanted in [Wanted::READ, Wanted::WRITE, Wanted::BOTH] {
        for (actor, name, may) in [
            (&nobody, "mine", false),
            (&nobody, "MINE", false),
            (&nobody, "group", false),
            (&member, "mine", false),
            (&member, "group", true),
            (&Actor::Process, "mine", true),
            (&Actor::Process, "group", true),
        ] {
            assert_eq!(open(actor, name, wanted).is_ok(), may, "{actor:?} {name} {wanted:?}");
        }
    }
    let mine = open(&nobody, "mine", Wanted::NOTHING).unwrap().handle;
    let access = mine.maximal_access(&nobody);
    assert!(access.contains(AccessMask::READ_ATTRIBUTES));
    let is_removable = |actor: &Actor, name: &str, handle: &dyn vfs::Handle| {
        share.backend.directory_of(actor, &path(name), handle).map(|found| found.is_removable)
    };
    assert!(is_removable(&nobody, "mine", &*mine).unwrap());
    assert!(
        !access.intersects(AccessMask::READ_DATA | AccessMask::WRITE_DATA | AccessMask::WRITE_ATTRIBUTES)
    );
    assert_eq!(mine.maximal_access(&Actor::Process), AccessMask::FILE_ALL);
    let group = open(&member, "group", Wanted::BOTH).unwrap().handle;
    assert!(group.maximal_access(&member).contains(AccessMask::READ_DATA | AccessMask::WRITE_DATA));
    assert!(!group.maximal_access(&member).contains(AccessMask::EXECUTE));

    let made = share.backend.create_file(&nobody, &path("new"), FileAttributes::NONE, Wanted::BOTH).unwrap();
    assert_eq!((made.stat.uid, made.stat.gid), (65534, 65534));
    assert!(made.handle.maximal_access(&nobody).contains(AccessMask::WRITE_DAC));
    assert!(is_removable(&nobody, "NEW", &*made.handle).unwrap());
    assert!(matches!(is_removable(&nobody, "mine", &*made.handle), Err(Error::Replaced)));
    assert!(matches!(is_removable(&nobody, "none", &*made.handle), Err(Error::NotFound)));
    made.handle.set_attributes(FileAttributes::HIDDEN).unwrap();
    let linked = share.backend.link(
        &nobody,
        &*open(&nobody, "new", Wanted::NOTHING).unwrap().handle,
        &path("new2"),
        false,
    );
    assert!(linked.is_ok(), "{linked:?}");
    let d = share.backend.create_directory(&nobody, &path("d"), FileAttributes::HIDDEN).unwrap();
    assert_eq!(std::fs::metadata(share.disk("d")).unwrap().uid(), 65534);
    assert_eq!(d.stat.uid, 65534);
    let stream = path("mine").with_stream("s").unwrap();
    assert!(share.backend.create_file(&nobody, &stream, FileAttributes::NONE, Wanted::BOTH).is_err());
    share.backend.create_file(&Actor::Process, &stream, FileAttributes::NONE, Wanted::BOTH).unwrap();
    assert!(share.backend.open(&nobody, &stream, Wanted::READ).is_err());
    assert!(share.backend.open(&nobody, &stream, Wanted::NOTHING).is_ok());

    // Without write access to the directory: no creating, renaming or removing.
    std::fs::set_permissions(share.disk(""), PermissionsExt::from_mode(0o755)).unwrap();
    let denied = share.backend.create_file(&nobody, &path("no"), FileAttributes::NONE, Wanted::BOTH);
    assert!(matches!(denied, Err(Error::AccessDenied)));
    let denied = share.backend.rename(&nobody, &*made.handle, &path("new"), &path("no"), false);
    assert!(matches!(denied, Err(Error::AccessDenied)));
    assert!(matches!(share.backend.remove(&nobody, &path("new"), &*made.handle), Err(Error::AccessDenied)));
    assert!(!is_removable(&nobody, "new", &*made.handle).unwrap());
    assert!(rustix::process::geteuid().is_root());
    assert!(rustix::process::getegid().is_root());
}

/// Needs root: READONLY is respected although the actor cannot read the file.
#[test]
fn readonly_protects_from_users_who_cannot_read_the_file() {
    if !testkit::need(&["root"]) {
        return;
    }
    let share = Share::new();
    std::fs::set_permissions(share.disk(""), PermissionsExt::from_mode(0o777)).unwrap();
    let nobody = Actor::user(65534, 65534, vec![]);
    let target = share
        .backend
        .create_file(&Actor::Process, &path("t"), FileAttributes::READONLY, Wanted::BOTH)
        .unwrap();
    std::fs::set_permissions(share.disk("t"), PermissionsExt::from_mode(0o600)).unwrap();
    let made = share.backend.create_file(&nobody, &path("new"), FileAttributes::NONE, Wanted::BOTH).unwrap();
    let rename = || share.backend.rename(&nobody, &*made.handle, &path("new"), &path("t"), true);
    let link = || share.backend.link(&nobody, &*made.handle, &path("t"), true);
    assert!(matches!(rename(), Err(Error::AccessDenied)));
    assert!(matches!(link(), Err(Error::AccessDenied)));
    target.handle.set_attributes(FileAttributes::NORMAL).unwrap();
    link().unwrap();
    assert_eq!(std::fs::read_dir(share.disk("")).unwrap().count(), 2, "no temporary name stays");
    assert_eq!(target.handle.stat().unwrap().links, 0);
}

/// Needs root: a write as a user clears set-id bits, as the kernel does for the user.
#[test]
fn a_write_as_a_user_clears_set_id_bits() {
    if !testkit::need(&["root"]) {
        return;
    }
    type Change = fn(&dyn vfs::Handle) -> bool;
    let changes: [(&str, Change); 8] = [
        ("write", |file| file.write_at(b"y", 0).is_ok()),
        ("append", |file| file.append(b"y", &|_| true).is_ok()),
        ("cut off", |file| file.set_size(1).is_ok()),
        ("grow", |file| file.set_size(100).is_ok()),
        ("allocate", |file| file.allocate(1 << 16).is_ok()),
        ("zero", |file| file.zero(0..1).is_ok()),
        ("zero a sparse file", |file| file.set_sparse(true).is_ok() && file.zero(0..1).is_ok()),
        // If the file system does not support it, it is refused after the bits are cleared.
        ("clone", |file| !matches!(file.duplicate_extents(file, 0..4096, 4096), Err(Error::AccessDenied))),
    ];
    let share = Share::new();
    let set_ids = || std::fs::set_permissions(share.disk("tool"), PermissionsExt::from_mode(0o6777)).unwrap();
    let nobody = Actor::user(65534, 65534, vec![]);
    for (what, change) in changes {
        for is_open_before in [false, true] {
            std::fs::write(share.disk("tool"), "x").unwrap();
            let open = |actor| share.backend.open(actor, &path("tool"), Wanted::BOTH).unwrap().handle;
            let before = is_open_before.then(|| open(&nobody));
            set_ids();
            let handle = before.unwrap_or_else(|| open(&nobody));
            assert_eq!(handle.stat().unwrap().mode, 0o6777, "opening changes nothing");
            assert!(change(&*handle), "{what}");
            assert_eq!(handle.stat().unwrap().mode, 0o777, "{what}, open before: {is_open_before}");
            set_ids();
            assert!(change(&*handle), "{what}");
            assert_eq!(handle.stat().unwrap().mode, 0o777, "{what}, again");
            set_ids();
            assert!(change(&*open(&Actor::Process)), "{what}");
            assert_eq!(handle.stat().unwrap().mode, 0o6777, "{what}, by root");
        }
    }
    // A stream that becomes the file's data.
    std::fs::write(share.disk("tool"), "").unwrap();
    let stream = path("tool").with_stream("s").unwrap();
    let made = share.backend.create_file(&nobody, &stream, FileAttributes::NONE, Wanted::BOTH).unwrap();
    made.handle.write_at(b"evil", 0).unwrap();
    set_ids();
    share.backend.rename(&nobody, &*made.handle, &stream, &path("tool"), false).unwrap();
    assert_eq!(std::fs::read(share.disk("tool")).unwrap(), b"evil");
    assert_eq!(std::fs::metadata(share.disk("tool")).unwrap().mode() & 0o7777, 0o777);
}

#[test]
fn a_symlink_that_is_not_followed_stops_every_path() {
    let outer = tempfile::tempdir().unwrap();
    let options = LocalOptions { follow_symlinks: false, ..LocalOptions::default() };
    let backend = LocalBackend::open(outer.path(), options).unwrap();
    let actor = Actor::Process;
    std::fs::create_dir(outer.path().join("d")).unwrap();
    std::fs::write(outer.path().join("d/f"), "inside").unwrap();
    symlink("d", outer.path().join("link")).unwrap();
    symlink("/etc", outer.path().join("out")).unwrap();

    for name in ["link", "LINK", "link/f", "Link/F", "out", "out/passwd"] {
        let opened = backend.open(&actor, &path(name), Wanted::READ);
        assert!(matches!(opened, Err(Error::Loop)), "{name}");
    }
    let first = |name: &str| backend.first_symlink(&actor, &path(name));
    let link = first("Link/F").unwrap().unwrap();
    assert_eq!((link.components_behind, link.target), (1, SymlinkTarget::Relative("d".into())));
    assert!(matches!(first("out/passwd"), Err(Error::AccessDenied)));
    assert_eq!(first("d/f").unwrap(), None);

    let link = backend.open_link(&actor, &path("LINK"), Wanted::NOTHING).unwrap();
    assert_eq!((link.path.as_str(), link.stat.kind), ("link", Kind::Symlink));
    assert_eq!(link.stat.attributes, FileAttributes::REPARSE_POINT | FileAttributes::DIRECTORY);
    backend.rename(&actor, &*link.handle, &path("link"), &path("moved"), false).unwrap();
    backend.remove(&actor, &path("moved"), &*link.handle).unwrap();
    assert!(outer.path().join("d/f").exists());

    for (made, target, refusal) in [("new", "d/f", None), ("evil", "../x", Some(()))] {
        let file = backend.create_file(&actor, &path(made), FileAttributes::NONE, Wanted::NOTHING).unwrap();
        let result = backend.make_symlink(&actor, &path(made), &*file.handle, target);
        assert_eq!(result.is_err().then_some(()), refusal, "{target}");
        assert_eq!(outer.path().join(made).is_symlink(), refusal.is_none());
    }
    let full = backend.open(&actor, &path("d/f"), Wanted::BOTH).unwrap();
    assert!(backend.make_symlink(&actor, &path("d/f"), &*full.handle, "f").is_err(), "it has data");
    let names: Vec<_> = std::fs::read_dir(outer.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "nothing temporary stays: {names:?}");
}
