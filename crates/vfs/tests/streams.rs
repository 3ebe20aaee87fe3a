//! Named streams in both stores, which must behave equally except for the size limit.
#![cfg(target_os = "linux")]

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use vfs::{
    Actor, Backend, EntryWanted, Error, Handle, LocalBackend, LocalOptions, Opened, RelativePath, Streams,
    Wanted,
};
use wire::FileAttributes;

/// The names of the directories of the server's own store and of Samba's depot.
const STORE: &str = ".shareward-streams";
const DEPOT: &str = ".streams";

/// A size that exceeds the space of ext4 for all attributes of a file.
const LARGE: usize = 5_000;

struct Share {
    directory: tempfile::TempDir,
    backend: LocalBackend,
    actor: Actor,
}

impl Share {
    fn new(streams: Streams) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let backend = backend(directory.path(), streams);
        Self { directory, backend, actor: Actor::Process }
    }

    fn disk(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self, name: &str) -> Opened {
        self.backend.create_file(&self.actor, &path(name), FileAttributes::NONE, Wanted::BOTH).unwrap()
    }

    fn make(&self, path: &RelativePath) -> vfs::Result<Opened> {
        self.backend.create_file(&self.actor, path, FileAttributes::NONE, Wanted::BOTH)
    }

    fn open(&self, path: &RelativePath) -> vfs::Result<Opened> {
        self.backend.open(&self.actor, path, Wanted::BOTH)
    }

    /// Creates a stream with this content.
    fn put(&self, path: &RelativePath, data: &[u8]) -> Opened {
        let made = self.make(path).unwrap();
        assert_eq!(made.handle.write_at(data, 0).unwrap(), data.len());
        made
    }

    /// The streams of a file by name, with their content; checks the listed sizes.
    fn streams(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let base = self.backend.open(&self.actor, &path(name), Wanted::NOTHING).unwrap();
        let mut found = BTreeMap::new();
        for stream in base.handle.streams().unwrap() {
            let opened = self.open(&of(name, &stream.name)).unwrap();
            let data = content(&*opened.handle);
            assert_eq!(data.len() as u64, stream.size, "{}", stream.name);
            assert!(found.insert(stream.name, data).is_none(), "listed twice");
        }
        found
    }

    /// The files in which streams are stored.
    fn kept(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut directories = vec![self.disk(STORE), self.disk(DEPOT)];
        while let Some(directory) = directories.pop() {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries.map(|entry| entry.unwrap().path()) {
                if entry.is_dir() { directories.push(entry) } else { files.push(entry) }
            }
        }
        files.sort();
        files
    }

    fn has_attribute(&self, name: &str, stream: &str) -> bool {
        let attribute = format!("user.DosStream.{stream}:$DATA");
        rustix::fs::getxattr(self.disk(name), attribute, &mut vec![0; 65_536][..]).is_ok()
    }
}

fn backend(directory: &Path, streams: Streams) -> LocalBackend {
    LocalBackend::open(directory, LocalOptions { streams, ..LocalOptions::default() }).unwrap()
}

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

fn of(file: &str, stream: &str) -> RelativePath {
    path(file).with_stream(stream).unwrap()
}

fn content(handle: &dyn Handle) -> Vec<u8> {
    let mut data = vec![0; usize::try_from(handle.size().unwrap()).unwrap()];
    let read = handle.read_at(&mut data, 0).unwrap();
    assert_eq!(read, data.len());
    data
}

fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn a_stream_that_outgrows_its_attribute_stays_the_same_for_all_handles() {
    let share = Share::new(Streams::Auto);
    let _base = share.file("f");
    let first = share.put(&of("f", "S"), b"small");
    let second = share.open(&of("f", "s")).unwrap();
    assert!(share.has_attribute("f", "S") && share.kept().is_empty());
    let data = noise(300_000);
    assert_eq!(second.handle.write_at(&data, 3).unwrap(), data.len());
    let expected = [b"sma", &data[..]].concat();
    assert_eq!(content(&*first.handle), expected);
    assert!(!share.has_attribute("f", "S"));
    assert_eq!(share.kept().len(), 1);
    assert_eq!(share.streams("f"), BTreeMap::from([(String::from("S"), expected)]));
    // The stream shrinks in its store; open handles continue to work.
    first.handle.set_size(2).unwrap();
    assert_eq!(second.handle.append(b"all", &|at| at == 2).unwrap(), Some(3));
    assert_eq!(second.handle.append(b"none", &|_| false).unwrap(), None);
    assert_eq!(content(&*first.handle), b"small");
    let again = share.backend.reopen(&share.actor, &first, Wanted::READ).unwrap();
    assert_eq!(content(&*again.handle), b"small");
    assert!(matches!(again.handle.write_at(b"x", 0), Err(Error::AccessDenied)));
    share.backend.remove(&share.actor, &of("f", "S"), &*first.handle).unwrap();
    assert!(share.kept().is_empty() && share.streams("f").is_empty());
    assert!(matches!(first.handle.read_at(&mut [0], 0), Err(Error::NotFound)));
}

#[test]
fn streams_can_be_sparse_and_large() {
    let share = Share::new(Streams::Auto);
    let _base = share.file("f");
    let stream = share.make(&of("f", "s")).unwrap();
    stream.handle.set_size(100 << 20).unwrap();
    stream.handle.write_at(b"end", 99 << 20).unwrap();
    let stat = stream.handle.stat().unwrap();
    assert_eq!(stat.size, 100 << 20);
    assert!(stat.allocation < 1 << 20, "{}", stat.allocation);
    assert_eq!(stream.handle.allocated_ranges(0..1 << 30).unwrap().len(), 1);
    stream.handle.zero(99 << 20..100 << 20).unwrap();
    let mut read = [1; 3];
    assert_eq!(stream.handle.read_at(&mut read, 99 << 20).unwrap(), 3);
    assert_eq!(read, [0; 3]);
    stream.handle.flush().unwrap();
    share.open(&path("f")).unwrap().handle.flush().unwrap();
    for size in [u64::MAX, 1 << 63] {
        assert!(matches!(stream.handle.set_size(size), Err(Error::InvalidArgument)), "{size}");
    }
}

#[test]
fn without_a_depot_attributes_limit_the_size_of_streams() {
    let share = Share::new(Streams::Attributes);
    let _base = share.file("f");
    let stream = share.put(&of("f", "s"), b"small");
    for refused in [
        stream.handle.write_at(&[0], 1 << 20).map(drop),
        stream.handle.set_size(1 << 20),
        stream.handle.allocate(1 << 20),
    ] {
        assert!(matches!(refused, Err(Error::Limitation)), "{refused:?}");
    }
    assert_eq!(content(&*stream.handle), b"small");
    // The directory of streams is not hidden then.
    let top = path(DEPOT);
    share.backend.create_directory(&share.actor, &top, FileAttributes::NONE).unwrap();
    assert!(share.open(&top).is_ok());
}

#[test]
fn a_symlink_in_place_of_the_depot_is_not_followed() {
    for (streams, name) in [(Streams::Auto, STORE), (Streams::Depot, DEPOT)] {
        let share = Share::new(streams);
        let elsewhere = tempfile::tempdir().unwrap();
        fs::set_permissions(elsewhere.path(), PermissionsExt::from_mode(0o700)).unwrap();
        symlink(elsewhere.path(), share.disk(name)).unwrap();
        let _base = share.file("f");
        let put = share.make(&of("f", "s")).and_then(|made| made.handle.write_at(&noise(100_000), 0));
        assert!(matches!(put, Err(Error::Limitation)), "{put:?}");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}

#[test]
fn streams_move_to_the_depot_to_make_space_for_extended_attributes() {
    let share = Share::new(Streams::Auto);
    let base = share.file("f");
    let (large, small) = (noise(3_300), noise(200));
    let opened = share.put(&of("f", "large"), &large);
    share.put(&of("f", "small"), &small);
    if !share.has_attribute("f", "large") {
        testkit::skip("the file system has no room for an attribute of 3300 bytes");
        return;
    }
    base.handle.set_security_record(&noise(900)).unwrap();
    base.handle.set_xattr("note", &noise(900)).unwrap();
    assert_eq!(base.handle.security_record().unwrap(), Some(noise(900)));
    assert_eq!(content(&*opened.handle), large);
    let expected = [("large", large), ("small", small)].map(|(name, data)| (String::from(name), data));
    assert_eq!(share.streams("f"), BTreeMap::from(expected));
}

#[test]
fn streams_are_renamed_and_replaced_across_both_stores() {
    for (from, to) in [(10, LARGE), (LARGE, 10), (LARGE, LARGE), (10, 10)] {
        let share = Share::new(Streams::Auto);
        let base = share.file("f");
        let (source, target) = (noise(from), noise(to));
        let moved = share.put(&of("f", "from"), &source);
        let replaced = share.put(&of("f", "TO"), &target);
        let rename = |replace| {
            share.backend.rename(&share.actor, &*moved.handle, &of("f", "FROM"), &of("f", "to"), replace)
        };
        assert!(matches!(rename(false), Err(Error::Exists)));
        assert_eq!(share.streams("f").len(), 2);
        rename(true).unwrap();
        assert_eq!(share.streams("f"), BTreeMap::from([(String::from("to"), source.clone())]), "{from} {to}");
        assert!(matches!(replaced.handle.read_at(&mut [0], 0), Err(Error::NotFound)));
        moved.handle.write_at(b"more", from as u64).unwrap();
        assert_eq!(share.streams("f")["to"].len(), from + 4);
        // The stream becomes the file's data.
        share.backend.rename(&share.actor, &*moved.handle, &of("f", "to"), &path("f"), false).unwrap();
        assert_eq!(content(&*base.handle), [&source[..], b"more"].concat());
        assert_eq!(content(&*moved.handle), content(&*base.handle));
        assert!(share.streams("f").is_empty() && share.kept().is_empty());
    }
}

#[test]
fn streams_are_removed_with_the_last_name_of_their_file() {
    let share = Share::new(Streams::Depot);
    let remove = |name: &str| {
        let opened = share.backend.open(&share.actor, &path(name), Wanted::NOTHING).unwrap();
        share.backend.remove(&share.actor, &path(name), &*opened.handle).unwrap();
    };
    let file = share.file("f");
    share.put(&of("f", "s"), b"data");
    share.backend.link(&share.actor, &*file.handle, &path("g"), false).unwrap();
    share.backend.rename(&share.actor, &*file.handle, &path("f"), &path("h"), false).unwrap();
    remove("h");
    assert_eq!(share.streams("g")["s"], b"data");
    remove("g");
    assert!(share.kept().is_empty());

    share.file("replaced");
    share.put(&of("replaced", "s"), b"gone");
    let by = share.file("by");
    share.put(&of("by", "t"), b"kept");
    share.backend.rename(&share.actor, &*by.handle, &path("by"), &path("replaced"), true).unwrap();
    assert_eq!(share.streams("replaced"), BTreeMap::from([(String::from("t"), b"kept".to_vec())]));
    assert_eq!(share.kept().len(), 1);
    share.file("linked");
    share.put(&of("linked", "s"), b"gone");
    share.backend.link(&share.actor, &*by.handle, &path("linked"), true).unwrap();
    assert_eq!(share.kept().len(), 1);

    share.backend.create_directory(&share.actor, &path("d"), FileAttributes::NONE).unwrap();
    share.put(&of("d", "s"), b"data");
    assert_eq!(share.streams("d")["s"], b"data");
    remove("d");
    assert_eq!(share.kept().len(), 1);
}

/// Creates a file that reuses an inode number, if the file system does that. It is younger than `place` by
/// the file system's clock.
fn successor(share: &Share, inode: u64, place: &Path) -> Option<()> {
    let born = |path: &Path| fs::metadata(path).unwrap().created().ok();
    let probe = share.disk(DEPOT).join("probe");
    loop {
        fs::write(&probe, "").unwrap();
        let is_younger = born(&probe)? > born(place)?;
        fs::remove_file(&probe).unwrap();
        if is_younger {
            break;
        }
    }
    for number in 0..200 {
        fs::write(share.disk(format!("{number}")), "").unwrap();
        if fs::metadata(share.disk(format!("{number}"))).unwrap().ino() == inode {
            fs::rename(share.disk(format!("{number}")), share.disk("new")).unwrap();
            return Some(());
        }
    }
    None
}

#[test]
fn a_new_file_does_not_get_the_streams_of_a_removed_one() {
    for samba_made in [false, true] {
        let share = Share::new(Streams::Depot);
        drop(share.file("old"));
        drop(share.put(&of("old", "s"), b"secret"));
        let [kept] = &share.kept()[..] else { panic!("one file") };
        if samba_made {
            rustix::fs::removexattr(kept.parent().unwrap(), "user.StreamsOf").unwrap();
            assert_eq!(share.streams("old")["s"], b"secret");
        }
        let inode = fs::metadata(share.disk("old")).unwrap().ino();
        // A local process removes the file, and a copy has its attribute.
        fs::remove_file(share.disk("old")).unwrap();
        let place = kept.parent().unwrap();
        let Some(()) = successor(&share, inode, place) else {
            testkit::skip("the file system does not reuse inode numbers");
            return;
        };
        rustix::fs::setxattr(share.disk("new"), "user.SAMBA_STREAMS", b"1", rustix::fs::XattrFlags::empty())
            .unwrap();
        assert!(share.streams("new").is_empty(), "samba: {samba_made}");
        share.put(&of("new", "t"), b"own");
        assert_eq!(share.streams("new"), BTreeMap::from([(String::from("t"), b"own".to_vec())]));
        // The orphaned stream is preserved for the administrator.
        let lost = share.kept().into_iter().filter(|file| file.to_string_lossy().contains("lost-"));
        assert_eq!(lost.map(|file| fs::read(file).unwrap()).collect::<Vec<_>>(), [b"secret"]);
    }
}

#[test]
fn an_interrupted_move_between_the_stores_counts_as_done() {
    for streams in [Streams::Auto, Streams::Depot] {
        let share = Share::new(streams);
        let base = share.file("f");
        drop(share.put(&of("f", "s"), &noise(LARGE)));
        // The attribute is removed when the file is complete.
        let put = || {
            let attribute = "user.DosStream.s:$DATA";
            rustix::fs::setxattr(share.disk("f"), attribute, b"before\0", rustix::fs::XattrFlags::empty())
                .unwrap();
        };
        put();
        assert_eq!(share.streams("f"), BTreeMap::from([(String::from("s"), noise(LARGE))]));
        let opened = share.open(&of("f", "S")).unwrap();
        opened.handle.write_at(b"more", LARGE as u64).unwrap();
        assert_eq!(content(&*share.open(&of("f", "s")).unwrap().handle).len(), LARGE + 4);
        share.backend.rename(&share.actor, &*base.handle, &of("f", "s"), &of("f", "t"), true).unwrap();
        assert_eq!(share.streams("f").into_keys().collect::<Vec<_>>(), ["t"]);
        share.backend.rename(&share.actor, &*base.handle, &of("f", "t"), &of("f", "s"), true).unwrap();
        put();
        share.backend.remove(&share.actor, &of("f", "s"), &*opened.handle).unwrap();
        assert!(share.streams("f").is_empty() && share.kept().is_empty(), "{streams:?}");
    }
}

#[test]
fn the_directory_of_streams_in_sambas_layout_is_hidden_from_clients() {
    let share = Share::new(Streams::Depot);
    fs::create_dir(share.disk("d")).unwrap();
    symlink(".", share.disk("loop")).unwrap();
    let denied = |text: &str| {
        let path = path(text);
        let results = [
            share.backend.open(&share.actor, &path, Wanted::NOTHING).map(drop),
            share.backend.open_link(&share.actor, &path, Wanted::READ).map(drop),
            share.backend.parent(&share.actor, &path).map(drop),
            share.backend.create_directory(&share.actor, &path, FileAttributes::NONE).map(drop),
            share.make(&path).map(drop),
        ];
        for result in results {
            assert!(matches!(result, Err(Error::AccessDenied)), "{text}: {result:?}");
        }
        let mine = share.file("mine");
        let renamed = share.backend.rename(&share.actor, &*mine.handle, &self::path("mine"), &path, true);
        assert!(matches!(renamed, Err(Error::AccessDenied)), "{text}: {renamed:?}");
        share.backend.remove(&share.actor, &self::path("mine"), &*mine.handle).unwrap();
    };
    // Before the directory exists, and then with it.
    denied(".streams");
    share.file("f");
    share.put(&of("f", "s"), &noise(LARGE));
    assert!(share.disk(DEPOT).is_dir());
    for text in [".streams", ".STREAMS", ".Streams/95", "loop/.streams", "loop/.STREAMS/x"] {
        denied(text);
    }
    let root = share.backend.open(&share.actor, &RelativePath::root(), Wanted::READ).unwrap();
    let mut cursor = root.handle.read_directory().unwrap();
    let mut names = Vec::new();
    while let Some(entry) = cursor.next(&mut |_| EntryWanted::Name).unwrap() {
        names.push(entry.name);
    }
    names.sort();
    assert_eq!(names, [".", "..", "d", "f", "loop"]);
    // In other directories it is an ordinary name.
    share.backend.create_directory(&share.actor, &path("d/.streams"), FileAttributes::NONE).unwrap();
    assert!(share.open(&path("d/.STREAMS")).is_ok());
}

/// This applies to all shares and settings, because the directory can belong to another share.
#[test]
fn the_store_of_streams_is_hidden_from_clients_of_all_shares() {
    let share = Share::new(Streams::Auto);
    fs::create_dir(share.disk("d")).unwrap();
    symlink(".", share.disk("loop")).unwrap();
    let inner = backend(&share.disk("d"), Streams::Auto);
    inner.create_file(&share.actor, &path("f"), FileAttributes::NONE, Wanted::BOTH).unwrap();
    let stream = inner.create_file(&share.actor, &of("f", "s"), FileAttributes::NONE, Wanted::BOTH).unwrap();
    stream.handle.write_at(&noise(LARGE), 0).unwrap();
    assert!(share.disk("d").join(STORE).is_dir());
    for streams in [Streams::Attributes, Streams::Auto, Streams::Depot] {
        let backend = backend(share.directory.path(), streams);
        for text in [".shareward-streams", "d/.shareward-streams", "loop/d/.SHAREWARD-streams/x"] {
            let opened = backend.open(&share.actor, &path(text), Wanted::NOTHING).map(drop);
            assert!(matches!(opened, Err(Error::AccessDenied)), "{text}: {opened:?}");
            let made = backend.create_directory(&share.actor, &path(text), FileAttributes::NONE).map(drop);
            assert!(matches!(made, Err(Error::AccessDenied)), "{text}: {made:?}");
        }
        assert!(backend.open(&share.actor, &path("d/SHAREW~1"), Wanted::NOTHING).is_err());
        let directory = backend.open(&share.actor, &path("d"), Wanted::READ).unwrap();
        let mut cursor = directory.handle.read_directory().unwrap();
        let mut names = Vec::new();
        while let Some(entry) = cursor.next(&mut |_| EntryWanted::Name).unwrap() {
            names.push(entry.name);
        }
        assert_eq!(names, [".", "..", "f"]);
    }
    let base = share.open(&path("d/f")).unwrap();
    assert!(base.handle.xattrs().unwrap().is_empty());
    assert!(base.handle.set_xattr("shwstreams", b"x").is_err());
}

/// Two users, if the server can act for them.
fn two_users() -> Option<[Actor; 2]> {
    testkit::need(&["root"]).then(|| [64_201, 64_202].map(|uid| Actor::user(uid, uid, vec![])))
}

#[test]
fn a_stream_has_the_owner_and_mode_of_its_file() {
    let Some([alice, bob]) = two_users() else { return };
    let mut share = Share::new(Streams::Depot);
    share.actor = alice;
    let base = share.file("f");
    share.put(&of("f", "s"), &noise(LARGE));
    let [kept] = &share.kept()[..] else { panic!("one file") };
    let owner = |path: &Path| fs::symlink_metadata(path).map(|stat| (stat.uid(), stat.gid())).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((owner(kept), owner(kept.parent().unwrap())), ((64_201, 64_201), (64_201, 64_201)));
    assert_eq!((mode(kept), mode(&share.disk(DEPOT))), (mode(&share.disk("f")), 0o1777));
    base.handle.set_permissions(0o600).unwrap();
    assert_eq!(mode(kept), 0o600);
    let refused = share.backend.open(&bob, &of("f", "s"), Wanted::READ);
    assert!(matches!(refused.map(drop), Err(Error::AccessDenied)));
    let refused = share.backend.remove(&bob, &of("f", "s"), &*base.handle);
    assert!(matches!(refused, Err(Error::AccessDenied)));
    base.handle.set_owner(64_202).unwrap();
    assert_eq!(owner(kept).0, 64_202);
    let opened = share.backend.open(&bob, &of("f", "s"), Wanted::BOTH).unwrap();
    assert_eq!(content(&*opened.handle), noise(LARGE));
}

#[test]
fn files_moved_into_the_depot_do_not_become_readable() {
    let Some([alice, bob]) = two_users() else { return };
    let mut share = Share::new(Streams::Depot);
    share.actor = bob.clone();
    let base = share.file("mine");
    share.put(&of("mine", "s"), b"bob's");
    let [kept] = &share.kept()[..] else { panic!("one file") };
    let place = kept.parent().unwrap().to_path_buf();
    share.actor = alice;
    share.file("secret").handle.set_permissions(0o600).unwrap();
    fs::write(share.disk("secret"), "alice's").unwrap();
    share.actor = bob;
    // A user who may rename the file in its directory can do this.
    fs::rename(share.disk("secret"), place.join(":moved:$DATA")).unwrap();
    fs::write(share.disk("roots"), "root's").unwrap();
    fs::set_permissions(share.disk("roots"), PermissionsExt::from_mode(0o600)).unwrap();
    fs::hard_link(share.disk("roots"), place.join(":linked:$DATA")).unwrap();
    symlink(share.disk("roots"), place.join(":symlink:$DATA")).unwrap();
    for name in ["moved", "linked", "symlink"] {
        for wanted in [Wanted::READ, Wanted::WRITE] {
            let opened = share.backend.open(&share.actor, &of("mine", name), wanted);
            assert!(matches!(opened.map(drop), Err(Error::AccessDenied | Error::NotFound)), "{name}");
        }
    }
    // Samba leaves streams of her file in a directory of his that he created: they must not give access to
    // her files.
    std::os::unix::fs::chown(share.disk("mine"), Some(64_201), None).unwrap();
    base.handle.set_permissions(0o666).unwrap();
    let opened = share.backend.open(&share.actor, &of("mine", "moved"), Wanted::READ);
    assert!(matches!(opened.map(drop), Err(Error::AccessDenied)));
    assert_eq!(fs::metadata(place.join(":moved:$DATA")).unwrap().mode() & 0o777, 0o600);
    std::os::unix::fs::chown(share.disk("mine"), Some(64_202), None).unwrap();
    base.handle.set_permissions(0o666).unwrap();
    base.handle.set_owner(64_202).unwrap();
    assert_eq!(fs::metadata(share.disk("roots")).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(place.join(":moved:$DATA")).unwrap().uid(), 64_201);
    assert_eq!(fs::read(share.disk("roots")).unwrap(), b"root's");
}

#[derive(Clone, Debug)]
enum Step {
    Write { stream: u8, second: bool, at: u16, length: u16 },
    Resize { stream: u8, second: bool, size: u16 },
    Append { stream: u8, second: bool, length: u16 },
    Remove(u8),
    Rename { from: u8, to: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let (stream, length) = (0..3_u8, 0..9_000_u16);
    prop_oneof![
        4 => (stream.clone(), any::<bool>(), length.clone(), length.clone())
            .prop_map(|(stream, second, at, length)| Step::Write { stream, second, at, length }),
        2 => (stream.clone(), any::<bool>(), length.clone())
            .prop_map(|(stream, second, size)| Step::Resize { stream, second, size }),
        2 => (stream.clone(), any::<bool>(), length)
            .prop_map(|(stream, second, length)| Step::Append { stream, second, length }),
        1 => stream.clone().prop_map(Step::Remove),
        1 => (stream.clone(), stream).prop_map(|(from, to)| Step::Rename { from, to }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn both_stores_behave_like_a_byte_array(
        streams in prop_oneof![Just(Streams::Auto), Just(Streams::Depot)],
        steps in proptest::collection::vec(step(), 1..25),
    ) {
        let share = Share::new(streams);
        let base = share.file("f");
        let name = |number: u8| format!("s{number}");
        let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut handles: BTreeMap<u8, [Opened; 2]> = BTreeMap::new();
        for (index, step) in steps.into_iter().enumerate() {
            let data = |length: u16| noise(length.into()).iter().map(|b| b ^ index as u8).collect::<Vec<_>>();
            if let Step::Write { stream, .. } | Step::Resize { stream, .. } | Step::Append { stream, .. } = step
                && !handles.contains_key(&stream)
            {
                let path = of("f", &name(stream));
                handles.insert(stream, [share.make(&path).unwrap(), share.open(&path).unwrap()]);
                model.insert(name(stream), Vec::new());
            }
            let handle = |stream: u8, second: bool| &handles[&stream][usize::from(second)].handle;
            match step {
                Step::Write { stream, second, at, length } => {
                    let written = handle(stream, second).write_at(&data(length), at.into()).unwrap();
                    prop_assert_eq!(written, usize::from(length));
                    let bytes = model.get_mut(&name(stream)).unwrap();
                    if length > 0 {
                        let end = usize::from(at) + usize::from(length);
                        bytes.resize(bytes.len().max(end), 0);
                        bytes[at.into()..end].copy_from_slice(&data(length));
                    }
                }
                Step::Resize { stream, second, size } => {
                    handle(stream, second).set_size(size.into()).unwrap();
                    model.get_mut(&name(stream)).unwrap().resize(size.into(), 0);
                }
                Step::Append { stream, second, length } => {
                    handle(stream, second).append(&data(length), &|_| true).unwrap();
                    model.get_mut(&name(stream)).unwrap().extend(data(length));
                }
                Step::Remove(stream) => {
                    if handles.remove(&stream).is_some() {
                        share.backend.remove(&share.actor, &of("f", &name(stream)), &*base.handle).unwrap();
                        model.remove(&name(stream));
                    }
                }
                Step::Rename { from, to } => {
                    let (old, new) = (of("f", &name(from)), of("f", &name(to)));
                    let renamed = share.backend.rename(&share.actor, &*base.handle, &old, &new, true);
                    prop_assert_eq!(renamed.is_ok(), handles.contains_key(&from));
                    if from != to && let Some(moved) = handles.remove(&from) {
                        handles.insert(to, moved);
                        let data = model.remove(&name(from)).unwrap();
                        model.insert(name(to), data);
                    }
                }
            }
            for (stream, both) in &handles {
                for opened in both {
                    prop_assert_eq!(&content(&*opened.handle), &model[&name(*stream)]);
                }
            }
        }
        prop_assert_eq!(share.streams("f"), model);
        drop(handles);
        share.backend.remove(&share.actor, &path("f"), &*base.handle).unwrap();
        prop_assert!(share.kept().is_empty());
    }
}
