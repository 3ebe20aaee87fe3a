//! Directories so long that their names are kept in memory, with other programs that change them meanwhile.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use vfs::limits::SCANNED_NAMES_MAX;
use vfs::local::wire_name;
use vfs::short_name::{other_short_name, stands_for};
use vfs::{
    Actor, Backend, EntryWanted, Error, Forms, LocalBackend, LocalOptions, Opened, RelativePath, Wanted,
};
use wire::FileAttributes;

fn share(directory: &Path, forms: Forms) -> LocalBackend {
    LocalBackend::open(directory, LocalOptions { forms, ..LocalOptions::default() }).unwrap()
}

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

fn make(backend: &LocalBackend, name: &str) -> Result<Opened, Error> {
    backend.create_file(&Actor::Process, &path(name), FileAttributes::NONE, Wanted::NOTHING)
}

/// The spelling of the file that a client finds under a name.
fn found(backend: &LocalBackend, name: &str) -> Option<String> {
    match backend.open(&Actor::Process, &path(name), Wanted::NOTHING) {
        Ok(opened) => Some(opened.path),
        Err(Error::NotFound) => None,
        Err(error) => panic!("{name}: {error:?}"),
    }
}

/// The spelling that a search of the whole directory finds.
fn expected(directory: &Path, forms: Forms, wanted: &str) -> Option<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_vec());
    let names: BTreeSet<String> = names.map(|name| wire_name(&name)).collect();
    names
        .get(wanted)
        .or_else(|| names.iter().find(|name| vfs::fold::equal_in(forms, name, wanted)))
        .or_else(|| names.iter().find(|name| other_short_name(wanted).is_none() && stands_for(wanted, name)))
        .cloned()
}

/// True if the kernel reports all changes on the file system of temporary files. Otherwise, the test is skipped.
fn are_changes_reported() -> bool {
    let is_reported = vfs::local::are_changes_reported(&std::env::temp_dir()).unwrap();
    if !is_reported {
        testkit::skip("the kernel does not report all changes on the file system of temporary files");
    }
    is_reported
}

fn fill(directory: &Path) {
    for number in 0..=SCANNED_NAMES_MAX {
        fs::write(directory.join(format!("other {number}")), "").unwrap();
    }
}

#[derive(Clone, Debug)]
enum Change {
    Create(&'static str),
    Directory(&'static str),
    Remove(&'static str),
    Rename(&'static str, &'static str),
    Exchange(&'static str, &'static str),
    Link(&'static str, &'static str),
    MoveIn(&'static str),
    MoveOut(&'static str),
}

/// Spellings of a few names. The last ones have derived short names.
const NAMES: [&str; 12] = [
    "a",
    "A",
    "ab",
    "aB",
    "Ab",
    "é",
    "É",
    "e\u{301}",
    "E\u{301}",
    "a long name.txt",
    "A LONG name.txt",
    "another long name",
];

fn name() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&NAMES)
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => name().prop_map(Change::Create),
        1 => name().prop_map(Change::Directory),
        3 => name().prop_map(Change::Remove),
        2 => (name(), name()).prop_map(|(from, to)| Change::Rename(from, to)),
        2 => (name(), name()).prop_map(|(one, other)| Change::Exchange(one, other)),
        1 => (name(), name()).prop_map(|(from, to)| Change::Link(from, to)),
        1 => name().prop_map(Change::MoveIn),
        1 => name().prop_map(Change::MoveOut),
    ]
}

/// A change by another program, which may fail.
fn change_outside(directory: &Path, elsewhere: &Path, change: &Change) {
    let at = |name: &str| directory.join(name);
    match change {
        Change::Create(name) => drop(fs::write(at(name), "")),
        Change::Directory(name) => drop(fs::create_dir(at(name))),
        Change::Remove(name) => drop(fs::remove_file(at(name)).or_else(|_| fs::remove_dir(at(name)))),
        Change::Rename(from, to) => drop(fs::rename(at(from), at(to))),
        Change::Exchange(one, other) => {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            let _ = rustix::fs::renameat_with(rustix::fs::CWD, at(one), rustix::fs::CWD, at(other), flags);
        }
        Change::Link(from, to) => drop(fs::hard_link(at(from), at(to))),
        Change::MoveIn(name) => {
            fs::write(elsewhere.join("in"), "").unwrap();
            drop(fs::rename(elsewhere.join("in"), at(name)));
        }
        Change::MoveOut(name) => drop(fs::rename(at(name), elsewhere.join("out"))),
    }
}

/// A change through the share, which may fail.
fn change_through(backend: &LocalBackend, change: &Change) {
    let actor = &Actor::Process;
    let open = |name: &str| backend.open(actor, &path(name), Wanted::NOTHING);
    match change {
        Change::Create(name) | Change::MoveIn(name) => drop(make(backend, name)),
        Change::Directory(name) => {
            drop(backend.create_directory(actor, &path(name), FileAttributes::NONE));
        }
        Change::Remove(name) | Change::MoveOut(name) => {
            if let Ok(opened) = open(name) {
                drop(backend.remove(actor, &path(&opened.path), &*opened.handle));
            }
        }
        Change::Rename(from, to) | Change::Exchange(from, to) => {
            if let Ok(opened) = open(from) {
                drop(backend.rename(actor, &*opened.handle, &path(&opened.path), &path(to), true));
            }
        }
        Change::Link(from, to) => {
            if let Ok(opened) = open(from) {
                drop(backend.link(actor, &*opened.handle, &path(to), true));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The server and another program change a directory in turn; after each change, a client finds what is there.
    #[test]
    fn names_are_those_on_disk_after_each_change(
        changes in proptest::collection::vec((any::<bool>(), any::<bool>(), change(), name()), 1..60),
    ) {
        if !are_changes_reported() {
            return Ok(());
        }
        let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fill(directory.path());
        let [exact, any] = [Forms::Exact, Forms::Any].map(|forms| (forms, share(directory.path(), forms)));
        for (number, (is_outside, is_exact, change, wanted)) in changes.iter().enumerate() {
            let (forms, backend) = if *is_exact { &exact } else { &any };
            match is_outside {
                true => change_outside(directory.path(), elsewhere.path(), change),
                false => change_through(backend, change),
            }
            let short = other_short_name(wanted).unwrap_or_default();
            for wanted in [*wanted, &wanted.to_uppercase(), &short] {
                if !wanted.is_empty() {
                    let right = expected(directory.path(), *forms, wanted);
                    prop_assert_eq!(found(backend, wanted), right, "{} in {:?}, change {}", wanted, forms, number);
                }
            }
        }
    }
}

/// Another program changes the directory while it is scanned for the first time and while the server changes it. When
/// both have finished, a client finds what is there.
#[test]
fn names_are_those_on_disk_after_concurrent_changes() {
    if !are_changes_reported() {
        return;
    }
    for round in 0..4 {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let count = 400;
        (0..count).for_each(|number| fs::write(at(&format!("Foreign {number}")), "").unwrap());
        let backend = share(directory.path(), Forms::Exact);
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let mut number = round;
                while !is_done.load(Ordering::Relaxed) {
                    let (old, new) = (format!("Foreign {number}"), format!("FOREIGN {number}"));
                    match number % 4 {
                        0 => drop(fs::rename(at(&old), at(&new))),
                        1 => drop(fs::remove_file(at(&old))),
                        2 => drop(fs::write(at(&new), "")),
                        _ => drop(fs::write(at(&old), "")),
                    }
                    number = (number + 7) % count;
                }
            });
            let own: Vec<_> = (0..2)
                .map(|thread| {
                    let (backend, at) = (&backend, &at);
                    scope.spawn(move || {
                        for number in 0..200 {
                            let name = format!("Own {thread} {number}");
                            make(backend, &name).unwrap();
                            assert_eq!(found(backend, &name.to_uppercase()), Some(name.clone()));
                            if number % 3 == 0 {
                                fs::remove_file(at(&name)).unwrap();
                                assert_eq!(found(backend, &name.to_uppercase()), None);
                            }
                        }
                    })
                })
                .collect();
            own.into_iter().for_each(|thread| thread.join().unwrap());
            is_done.store(true, Ordering::Relaxed);
            other.join().unwrap();
        });
        for number in 0..count {
            let wanted = format!("foreign {number}");
            let right = expected(directory.path(), Forms::Exact, &wanted);
            assert_eq!(found(&backend, &wanted), right, "{wanted}, round {round}");
        }
    }
}

/// The kernel reports an exchange of two names as two renames, of which the first replaces the second name.
#[test]
fn names_that_another_program_exchanges_are_still_there() {
    if !are_changes_reported() {
        return;
    }
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(directory.path());
    let at = |name: &str| directory.path().join(name);
    for name in [at("One"), at("Two"), at("Three"), elsewhere.path().join("Four")] {
        fs::write(name, "").unwrap();
    }
    let backend = share(directory.path(), Forms::Exact);
    assert_eq!(found(&backend, "ONE").as_deref(), Some("One"));
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    for (one, other) in [(at("One"), at("Two")), (elsewhere.path().join("Four"), at("Three"))] {
        rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, flags).unwrap();
    }
    for name in ["One", "Two", "Three"] {
        assert_eq!(found(&backend, &name.to_uppercase()).as_deref(), Some(name));
        assert!(matches!(make(&backend, &name.to_lowercase()), Err(Error::Exists)), "{name}");
    }
    assert_eq!(found(&backend, "FOUR"), None);
}

/// The server exchanges names when it replaces an empty file with a symlink.
#[test]
fn a_new_symlink_is_found_in_another_case() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let options = LocalOptions { follow_symlinks: false, ..LocalOptions::default() };
    let backend = LocalBackend::open(directory.path(), options).unwrap();
    let made = make(&backend, "Link").unwrap();
    assert_eq!(found(&backend, "LINK").as_deref(), Some("Link"));
    backend.make_symlink(&Actor::Process, &path("Link"), &*made.handle, "other 1").unwrap();
    let link = backend.open_link(&Actor::Process, &path("LINK"), Wanted::NOTHING).unwrap();
    assert_eq!(link.path, "Link");
    assert!(matches!(make(&backend, "lINK"), Err(Error::Exists | Error::Loop)));
    assert!(!directory.path().join("lINK").exists());
}

/// The kernel's queue of changes overflows.
#[test]
fn names_are_read_again_if_the_kernel_has_lost_changes() {
    if !are_changes_reported() {
        return;
    }
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
    let Some(reports_max) = queue.ok().and_then(|text| text.trim().parse::<usize>().ok()) else {
        return testkit::skip("the kernel has no inotify");
    };
    if reports_max > 50_000 {
        return testkit::skip("fs.inotify.max_queued_events is more than 50,000");
    }
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    fs::write(directory.path().join("Before"), "").unwrap();
    let backend = share(directory.path(), Forms::Exact);
    assert_eq!(found(&backend, "BEFORE").as_deref(), Some("Before"));
    // Each of them is two changes.
    for number in 0..=reports_max / 2 {
        let name = directory.path().join(format!("passing {}", number % 2));
        fs::write(&name, "").unwrap();
        fs::remove_file(&name).unwrap();
    }
    fs::rename(directory.path().join("Before"), directory.path().join("After")).unwrap();
    assert_eq!(found(&backend, "AFTER").as_deref(), Some("After"));
    assert_eq!(found(&backend, "BEFORE"), None);
    assert!(matches!(make(&backend, "aFTER"), Err(Error::Exists)));
}

#[test]
fn a_listing_continues_behind_the_entry_at_which_it_paused() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let backend = share(directory.path(), Forms::Exact);
    let root = backend.open(&Actor::Process, &path(""), Wanted::READ).unwrap();
    let mut cursor = root.handle.read_directory().unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..SCANNED_NAMES_MAX + 3 {
        let paused = cursor.next(&mut |name| {
            assert!(seen.insert(name.to_owned()), "{name} twice");
            EntryWanted::SkipAndPause
        });
        assert_eq!(paused.unwrap(), None);
    }
    assert_eq!(cursor.next(&mut |_| EntryWanted::Name).unwrap(), None);
    // With `.` and `..`.
    assert_eq!(seen.len(), SCANNED_NAMES_MAX + 3);
}

/// A mounted directory, until this is dropped.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        run("umount", &["-l"], self.0);
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    let status = Command::new(program).args(arguments).arg(path).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// In a directory with case folding, the kernel finds names in another case, and the server finds short names.
#[test]
fn a_directory_with_case_folding_has_one_spelling_of_a_name() {
    let top = tempfile::tempdir().unwrap();
    if !run("mount", &["-t", "tmpfs", "-o", "casefold", "tmpfs"], top.path()) {
        return testkit::skip(
            "tmpfs cannot be mounted with case folding (root, Linux 6.13 with CONFIG_UNICODE)",
        );
    }
    let directory = top.path().join("directory");
    fs::create_dir(&directory).unwrap();
    let _mounted = Mounted(top.path());
    if run("chattr", &["+F"], &directory) {
        fill(&directory);
        fs::write(directory.join("A long name.txt"), "").unwrap();
        let backend = share(&directory, Forms::Exact);
        for name in ["a long name.TXT", &other_short_name("A long name.txt").unwrap()] {
            assert!(found(&backend, name).is_some(), "{name}");
        }
        assert_eq!(found(&backend, "another name"), None);
        assert!(matches!(make(&backend, "A LONG NAME.txt"), Err(Error::Exists)));
    } else {
        testkit::skip("there is no chattr that sets case folding");
    }
}

/// A directory of the same name, perhaps with the same inode number, has other names.
#[test]
fn a_new_directory_does_not_have_the_names_of_the_old_one() {
    let top = tempfile::tempdir().unwrap();
    let backend = share(top.path(), Forms::Exact);
    for round in 0..4 {
        let directory = top.path().join("directory");
        fs::create_dir(&directory).unwrap();
        fill(&directory);
        fs::write(directory.join(format!("Name {round}")), "").unwrap();
        for wanted in 0..4 {
            let found =
                backend.open(&Actor::Process, &path(&format!("directory/NAME {wanted}")), Wanted::NOTHING);
            assert_eq!(found.is_ok(), wanted == round, "{wanted} in round {round}");
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
