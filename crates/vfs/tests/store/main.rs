//! The server's own store of named streams: streams are found after changes of files, shares and disks, and only the
//! server has access.
#![cfg(target_os = "linux")]

mod disks;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use vfs::{Actor, Backend, Error, LocalBackend, LocalOptions, Opened, RelativePath, Result, Streams, Wanted};
use wire::FileAttributes;

const STORE: &str = ".shareward-streams";
/// A size that exceeds the space of ext4 for all attributes of a file.
const LARGE: usize = 5_000;

/// A share that is a directory, used by one user.
struct Share(LocalBackend, Actor);

impl Share {
    fn of(directory: &Path) -> Self {
        Self::with(directory, Streams::Auto)
    }

    fn with(directory: &Path, streams: Streams) -> Self {
        let options = LocalOptions { streams, ..LocalOptions::default() };
        Self(LocalBackend::open(directory, options).unwrap(), Actor::Process)
    }

    fn file(&self, name: &str) -> Opened {
        self.0.create_file(&self.1, &path(name), FileAttributes::NONE, Wanted::BOTH).unwrap()
    }

    fn make(&self, name: &str, data: &[u8]) -> Result<Opened> {
        let made = self.0.create_file(&self.1, &path(name), FileAttributes::NONE, Wanted::BOTH)?;
        if made.handle.write_at(data, 0)? < data.len() {
            return Err(Error::NoSpace);
        }
        Ok(made)
    }

    fn put(&self, name: &str, data: &[u8]) -> Opened {
        self.make(name, data).unwrap()
    }

    fn open(&self, name: &str) -> Result<Opened> {
        self.0.open(&self.1, &path(name), Wanted::BOTH)
    }

    fn get(&self, name: &str) -> Result<Vec<u8>> {
        let opened = self.open(name)?;
        let mut data = vec![0; usize::try_from(opened.handle.size()?).unwrap()];
        assert_eq!(opened.handle.read_at(&mut data, 0)?, data.len());
        Ok(data)
    }

    fn remove(&self, name: &str) {
        let opened = self.0.open(&self.1, &path(name), Wanted::NOTHING).unwrap();
        self.0.remove(&self.1, &path(name), &*opened.handle).unwrap();
    }

    fn names(&self, name: &str) -> Vec<String> {
        let opened = self.0.open(&self.1, &path(name), Wanted::NOTHING).unwrap();
        opened.handle.streams().unwrap().into_iter().map(|stream| stream.name).collect()
    }
}

/// `f:s` is the stream `s` of `f`.
fn path(text: &str) -> RelativePath {
    match text.split_once(':') {
        Some((file, stream)) => RelativePath::new(file).unwrap().with_stream(stream).unwrap(),
        None => RelativePath::new(text).unwrap(),
    }
}

fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn tree(names: &[&str]) -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    for name in names {
        fs::create_dir_all(top.path().join(name)).unwrap();
    }
    top
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn run(program: &str, arguments: &[&str], paths: &[&Path]) -> bool {
    Command::new(program).args(arguments).args(paths).status().is_ok_and(|status| status.success())
}

/// The entries of the store of a directory.
fn entries(home: &Path) -> usize {
    fs::read_dir(home.join(STORE)).map_or(0, Iterator::count)
}

fn mark(file: &Path) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    let length = rustix::fs::getxattr(file, "user.ShwStreams", &mut *value).ok()?;
    value.truncate(length);
    Some(value)
}

#[test]
fn a_stream_is_the_same_through_all_shares_of_its_file() {
    let top = tree(&["inner"]);
    let (outer, inner) = (Share::of(top.path()), Share::of(&top.path().join("inner")));
    let small_only = Share::with(top.path(), Streams::Attributes);
    inner.file("f");
    let first = inner.put("f:one", &noise(LARGE));
    assert_eq!(outer.get("inner/f:ONE").unwrap(), noise(LARGE));
    assert_eq!(small_only.get("inner/f:one").unwrap(), noise(LARGE));
    outer.put("inner/f:two", &noise(3 * LARGE));
    outer.file("inner/g");
    outer.put("inner/g:three", &noise(LARGE));
    for (share, prefix) in [(&outer, "inner/"), (&inner, ""), (&small_only, "inner/")] {
        assert_eq!(share.names(&format!("{prefix}f")), ["one", "two"]);
        assert_eq!(share.names(&format!("{prefix}g")), ["three"]);
        assert_eq!(share.get(&format!("{prefix}g:three")).unwrap(), noise(LARGE));
    }
    // All handles refer to one stream, and a removal affects all of them.
    let second = outer.open("inner/f:one").unwrap();
    let base = outer.open("inner/f").unwrap();
    outer.0.rename(&outer.1, &*base.handle, &path("inner/f:one"), &path("inner/f:four"), false).unwrap();
    second.handle.write_at(b"again", 0).unwrap();
    let mut read = [0; 5];
    first.handle.read_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"again");
    assert_eq!(inner.names("f"), ["four", "two"]);
    outer.remove("inner/f");
    inner.remove("g");
    for directory in [top.path().to_owned(), top.path().join("inner")] {
        assert_eq!(entries(&directory), 0, "nothing stays");
    }
}

#[test]
fn streams_follow_a_file_that_is_moved_between_shares() {
    let top = tree(&["a", "b/deep"]);
    let disk = |name: &str| top.path().join(name);
    let (a, b) = (Share::of(&disk("a")), Share::of(&disk("b")));
    a.file("f");
    a.put("f:s", &noise(LARGE));
    drop(a);
    fs::rename(disk("a/f"), disk("b/deep/f")).unwrap();
    // The previous share of the file is closed, and later its directory is renamed.
    assert_eq!(b.get("deep/f:s").unwrap(), noise(LARGE));
    assert_eq!((entries(&disk("a")), entries(&disk("b"))), (0, 1));
    fs::rename(disk("a"), disk("elsewhere")).unwrap();
    assert_eq!(b.names("deep/f"), ["s"]);
    // Through an outer share that contains both.
    let outer = Share::of(top.path());
    fs::create_dir(disk("c")).unwrap();
    let moved = outer.open("b/deep/f").unwrap();
    outer.0.rename(&outer.1, &*moved.handle, &path("b/deep/f"), &path("c/f"), false).unwrap();
    assert_eq!(outer.get("c/f:s").unwrap(), noise(LARGE));
    let c = Share::of(&disk("c"));
    assert_eq!(c.get("f:s").unwrap(), noise(LARGE));
    c.put("f:t", &noise(LARGE));
    assert_eq!(outer.names("c/f"), ["s", "t"]);
}

#[test]
fn a_copied_file_has_its_own_streams() {
    let top = tree(&["a", "b"]);
    let share = Share::of(&top.path().join("a"));
    share.file("f");
    share.put("f:s", &noise(LARGE));
    share.put("f:small", b"small");
    let (from, to) = (top.path().join("a/f"), top.path().join("a/g"));
    if !run("cp", &["--archive"], &[&from, &to]) {
        return eprintln!("skipped: no cp");
    }
    // Streams in attributes are copied; the others do not appear in the copy.
    assert_eq!(share.names("g"), ["small"]);
    share.put("g:t", &noise(2 * LARGE));
    assert_eq!(
        (share.names("f"), share.names("g")),
        (vec!["s".into(), "small".into()], vec!["small".into(), "t".into()])
    );
    fs::remove_file(&from).unwrap();
    assert_eq!(share.get("g:t").unwrap(), noise(2 * LARGE));
    // The copied mark is corrected to the place of the copy's own streams.
    let other = Share::of(&top.path().join("b"));
    fs::rename(&to, top.path().join("b/g")).unwrap();
    assert_eq!(other.get("g:t").unwrap(), noise(2 * LARGE));
}

#[test]
fn a_new_file_with_an_old_inode_number_has_no_streams() {
    let top = tree(&[]);
    let share = Share::of(top.path());
    share.file("old");
    share.put("old:s", &noise(LARGE));
    let inode = fs::metadata(top.path().join("old")).unwrap().ino();
    fs::remove_file(top.path().join("old")).unwrap();
    for number in 0..200 {
        let name = top.path().join(number.to_string());
        fs::write(&name, "").unwrap();
        if fs::metadata(&name).unwrap().ino() == inode {
            let mark = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&name, "user.ShwStreams", b"", mark).unwrap();
            assert!(share.names(&number.to_string()).is_empty());
            share.put(&format!("{number}:own"), &noise(LARGE));
            assert_eq!(share.names(&number.to_string()), ["own"]);
            return;
        }
    }
    eprintln!("skipped: the file system gives no inode number a second time");
}

#[test]
fn only_the_server_has_access_to_the_store() {
    let top = tree(&["private"]);
    let mut share = Share::of(top.path());
    fs::set_permissions(top.path(), PermissionsExt::from_mode(0o777)).unwrap();
    if is_root() {
        share.1 = Actor::user(64_201, 64_201, vec![]);
        std::os::unix::fs::chown(top.path().join("private"), Some(64_201), Some(64_201)).unwrap();
    }
    fs::set_permissions(top.path().join("private"), PermissionsExt::from_mode(0o700)).unwrap();
    let base = share.file("private/f");
    share.put("private/f:s", &noise(LARGE));
    let own = rustix::process::geteuid().as_raw();
    let mut found = Vec::new();
    let mut directories = vec![top.path().join(STORE)];
    while let Some(directory) = directories.pop() {
        let stat = fs::metadata(&directory).unwrap();
        assert_eq!((stat.uid(), stat.mode() & 0o777), (own, 0o700), "{directory:?}");
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { directories.push(entry) } else { found.push(entry) }
        }
    }
    let [stream] = &found[..] else { panic!("{found:?}") };
    let stat = || fs::metadata(stream).unwrap();
    // The stream counts for the quota of the file's owner.
    assert_eq!(
        (stat().uid(), stat().mode() & 0o777),
        (base.handle.posix_permissions().unwrap().unwrap().uid, 0o600)
    );
    if is_root() {
        base.handle.set_owner(64_202).unwrap();
        assert_eq!(stat().uid(), 64_202);
        let other = share.0.open(&Actor::user(64_203, 64_203, vec![]), &path("private/f:s"), Wanted::READ);
        assert!(matches!(other.map(drop), Err(Error::AccessDenied)));
    }
}

#[test]
fn a_store_made_by_another_user_is_ignored() {
    let top = tree(&["elsewhere"]);
    let store = top.path().join(STORE);
    let refused = || {
        let share = Share::of(top.path());
        let name = format!("f{}", fs::read_dir(top.path()).unwrap().count());
        share.file(&name);
        share.put(&format!("{name}:small"), b"small");
        let made = share.make(&format!("{name}:s"), &noise(LARGE)).map(drop);
        assert!(matches!(made, Err(Error::Limitation)), "{made:?}");
        assert_eq!(share.get(&format!("{name}:small")).unwrap(), b"small");
    };
    fs::create_dir(&store).unwrap();
    fs::set_permissions(&store, PermissionsExt::from_mode(0o711)).unwrap();
    refused();
    if is_root() {
        fs::set_permissions(&store, PermissionsExt::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(&store, Some(64_201), None).unwrap();
        refused();
    }
    fs::remove_dir(&store).unwrap();
    fs::write(&store, "").unwrap();
    refused();
    fs::remove_file(&store).unwrap();
    symlink("elsewhere", &store).unwrap();
    refused();
    assert_eq!(fs::read_dir(top.path().join("elsewhere")).unwrap().count(), 0);
}

#[test]
fn a_stream_with_several_links_is_usable() {
    for streams in [Streams::Auto, Streams::Depot] {
        let top = tree(&[]);
        let share = Share::with(top.path(), streams);
        share.file("f");
        share.put("f:s", &noise(LARGE));
        let found = Command::new("find").arg(top.path()).args(["-name", ":s:$DATA"]).output().unwrap();
        let stream = PathBuf::from(String::from_utf8(found.stdout).unwrap().trim_end());
        // Backups with hard links do this.
        fs::hard_link(stream, top.path().join("link")).unwrap();
        assert_eq!(share.get("f:s").unwrap(), noise(LARGE), "{streams:?}");
        share.remove("f:s");
        assert!(share.names("f").is_empty());
    }
}

#[test]
fn no_stream_moves_for_an_attribute_that_cannot_fit() {
    let top = tree(&[]);
    let share = Share::of(top.path());
    let base = share.file("f");
    share.put("f:s", &noise(2_000));
    let refused = base.handle.set_xattr("note", &noise(60_000));
    if refused.is_ok() {
        return eprintln!("skipped: the file system has room for that much");
    }
    assert!(matches!(refused, Err(Error::Limitation)), "{refused:?}");
    assert!(!top.path().join(STORE).exists());
    base.handle.set_xattr("note", &noise(3_000)).unwrap();
    assert!(top.path().join(STORE).exists());
    assert_eq!(share.get("f:s").unwrap(), noise(2_000));
}

#[test]
fn nothing_but_the_empty_store_stays_of_streams_that_are_removed() {
    let top = tree(&["d"]);
    let share = Share::of(top.path());
    for name in ["f", "d", ""] {
        if name == "f" {
            share.file(name);
        }
        share.put(&format!("{name}:s"), &noise(LARGE));
        share.put(&format!("{name}:t"), &noise(LARGE));
        share.remove(&format!("{name}:s"));
        assert_eq!(share.names(name), ["t"]);
        share.remove(&format!("{name}:t"));
        assert_eq!(entries(top.path()), 0, "{name}");
        let disk = top.path().join(name);
        assert!(rustix::fs::getxattr(disk, "user.ShwStreams", &mut [0; 256][..]).is_err(), "{name}");
    }
    share.put("f:s", &noise(LARGE));
    assert_eq!(share.get("f:s").unwrap(), noise(LARGE));
}

#[test]
fn concurrent_creations_and_removals_of_streams_are_independent() {
    let top = tree(&[]);
    let share = Share::of(top.path());
    std::thread::scope(|scope| {
        for name in ["f", "g", "h"] {
            let share = &share;
            scope.spawn(move || {
                share.file(name);
                for _ in 0..300 {
                    share.put(&format!("{name}:s"), &noise(LARGE));
                    share.remove(&format!("{name}:s"));
                }
            });
        }
    });
    assert_eq!(entries(top.path()), 0);
}

#[test]
fn files_that_the_server_cannot_read_are_usable() {
    let top = tree(&[]);
    if is_root() {
        // The test again as another user, whose rights have limits.
        fs::set_permissions(top.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let own = std::env::current_exe().unwrap();
        let test = top.path().join("test");
        fs::copy(own, &test).unwrap();
        let test = test.to_str().unwrap();
        let arguments = ["--reuid=64201", "--regid=64201", "--clear-groups", "env"];
        let temporary = format!("TMPDIR={}", top.path().display());
        let mut again = Command::new("setpriv");
        again.args(arguments).args([
            &temporary,
            test,
            "--exact",
            "files_that_the_server_cannot_read_are_usable",
        ]);
        match again.status() {
            Ok(status) => assert!(status.success()),
            Err(error) => eprintln!("skipped: {error}"),
        }
        return;
    }
    let share = Share::of(top.path());
    share.file("g");
    share.put("g:s", &noise(LARGE));
    for name in ["f", "g"] {
        fs::write(top.path().join(name), "data").unwrap();
        fs::set_permissions(top.path().join(name), PermissionsExt::from_mode(0o200)).unwrap();
        let opened = share.0.open(&share.1, &path(name), Wanted { read: false, write: true }).unwrap();
        opened.handle.flush().unwrap();
        opened.handle.set_size(0).unwrap();
        let changed =
            || fs::metadata(top.path().join(name)).map(|stat| (stat.ctime(), stat.ctime_nsec())).unwrap();
        let before = changed();
        assert_eq!(opened.handle.streams().unwrap().len(), usize::from(name == "g"));
        assert_eq!(changed(), before, "the mark is left alone");
        opened.handle.set_permissions(0).unwrap();
        opened.handle.set_permissions(0o600).unwrap();
    }
    assert_eq!(share.get("g:s").unwrap(), noise(LARGE));
}

#[test]
fn a_file_is_never_without_its_streams_while_they_move() {
    let top = tree(&["a", "b"]);
    let disk = |name: &str| top.path().join(name);
    let (a, b) = (Share::of(&disk("a")), Share::of(&disk("b")));
    a.file("f");
    a.put("f:s", &noise(LARGE));
    let held = fs::File::open(disk("a/f")).unwrap();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let marks = scope.spawn(|| {
            let mut lost = 0;
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                let mark = rustix::fs::fgetxattr(&held, "user.ShwStreams", &mut [0; 1024][..]);
                lost += usize::from(mark.is_err());
            }
            lost
        });
        let mut missing = 0;
        for _ in 0..200 {
            for (from, to, share) in [("a/f", "b/f", &b), ("b/f", "a/f", &a)] {
                fs::rename(disk(from), disk(to)).unwrap();
                let two = [scope.spawn(|| share.names("f")), scope.spawn(|| share.names("f"))];
                missing += two.into_iter().filter_map(|it| it.join().ok()).filter(|it| it != &["s"]).count();
            }
        }
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!((marks.join().unwrap(), missing), (0, 0));
    });
}

#[test]
fn streams_move_only_for_a_share_that_can_change_a_file_that_no_other_has() {
    let top = tree(&["a", "b"]);
    let disk = |name: &str| top.path().join(name);
    let a = Share::of(&disk("a"));
    a.file("f");
    a.put("f:s", &noise(LARGE));
    let state = || {
        let stat = fs::metadata(disk("b/f")).unwrap();
        (stat.ctime(), stat.ctime_nsec(), entries(&disk("a")), entries(&disk("b")))
    };
    // A name in both.
    fs::hard_link(disk("a/f"), disk("b/f")).unwrap();
    let before = state();
    for _ in 0..2 {
        assert_eq!(
            (a.names("f"), Share::of(&disk("b")).names("f")),
            (vec!["s".to_owned()], vec!["s".to_owned()])
        );
    }
    assert_eq!(state(), before);
    fs::remove_file(disk("a/f")).unwrap();
    let before = state();
    assert_eq!(Share::with(&disk("b"), Streams::Attributes).names("f"), ["s"]);
    let options = LocalOptions { read_only: true, ..LocalOptions::default() };
    let read_only = Share(LocalBackend::open(&disk("b"), options).unwrap(), Actor::Process);
    assert_eq!(read_only.names("f"), ["s"]);
    assert_eq!(state(), before);
    assert_eq!(Share::of(&disk("b")).names("f"), ["s"]);
    assert_eq!((entries(&disk("a")), entries(&disk("b"))), (0, 1));
}

#[test]
fn names_that_a_file_system_can_take_for_the_store_are_refused() {
    let top = tree(&["x"]);
    let share = Share::of(top.path());
    let depot = Share::with(top.path(), Streams::Depot);
    for name in [
        ".Shareward-STREAMS",
        ".\u{17f}hareward-streams",
        "x/.shareward-\u{fb06}reams/y",
        ".share\u{200d}ward-streams",
    ] {
        let refused = share.open(name).map(drop);
        assert!(matches!(refused, Err(Error::AccessDenied)), "{name}: {refused:?}");
    }
    for name in [".\u{17f}treams", ".\u{fb05}reams", ".streams\u{ad}"] {
        assert!(matches!(depot.open(name).map(drop), Err(Error::AccessDenied)), "{name}");
        assert!(matches!(share.open(name).map(drop), Err(Error::NotFound)), "{name}");
    }
    share.file(".\u{17f}hareward-streams2");
}

#[test]
fn an_empty_store_does_not_prevent_the_removal_of_its_directory() {
    let top = tree(&["inner"]);
    let (outer, inner) = (Share::of(top.path()), Share::of(&top.path().join("inner")));
    inner.file("f");
    inner.put("f:s", &noise(LARGE));
    inner.remove("f");
    assert!(top.path().join("inner").join(STORE).exists());
    let directory = outer.0.open(&outer.1, &path("inner"), Wanted::NOTHING).unwrap();
    assert!(outer.0.is_empty_directory(&*directory.handle).unwrap());
    outer.remove("inner");
    assert!(!top.path().join("inner").exists());
}
