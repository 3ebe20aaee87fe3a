//! The access that the kernel grants, asked in one step with an open and only as far as it matters.
#![cfg(target_os = "linux")]

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use vfs::{
    Actor, Backend, Error, LocalBackend, LocalOptions, New, OpenHow, Opened, Permits, RelativePath, Wanted,
};
use wire::{AccessMask, FileAttributes};

struct Share {
    root: tempfile::TempDir,
    backend: Arc<LocalBackend>,
}

impl Share {
    /// A share that everybody can change; `None` if the test does not run as root.
    fn new() -> Option<Self> {
        testkit::need(&["root"]).then(|| {
            let root = tempfile::tempdir().unwrap();
            std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o777)).unwrap();
            let backend = Arc::new(LocalBackend::open(root.path(), LocalOptions::default()).unwrap());
            Self { root, backend }
        })
    }

    fn disk(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn set_mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.disk(name), PermissionsExt::from_mode(mode)).unwrap();
    }

    fn open(&self, actor: &Actor, name: &str, wanted: Wanted, asked: AccessMask) -> Result<Opened, Error> {
        self.backend.open_asking(actor, &path(name), OpenHow { wanted, link: false }, asked)
    }
}

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

const OWNER: u32 = 65533;
const GROUP: u32 = 4711;

/// Users of different kinds, in an order in which each has other groups than the one before.
fn actors() -> [Actor; 6] {
    [
        Actor::user(OWNER, 65533, vec![]),
        Actor::user(65531, 65531, vec![GROUP]),
        Actor::user(65532, 65532, vec![]),
        Actor::user(65532, GROUP, vec![65530]),
        Actor::user(65532, 65532, vec![65530, GROUP]),
        Actor::Process,
    ]
}

/// Answers for some rights agree with the complete answer, whatever was asked and however the file was opened. All users
/// come on the same thread, one after the other.
#[test]
fn partial_answers_agree_with_the_complete_one() {
    let Some(share) = Share::new() else { return };
    std::fs::write(share.disk("file"), "content").unwrap();
    std::fs::create_dir(share.disk("directory")).unwrap();
    let questions = [
        AccessMask::READ_ATTRIBUTES,
        AccessMask::READ_DATA,
        AccessMask::FILE_GENERIC_READ,
        AccessMask::READ_EA,
        AccessMask::APPEND_DATA,
        AccessMask::FILE_GENERIC_WRITE,
        AccessMask::FILE_GENERIC_READ | AccessMask::FILE_GENERIC_WRITE,
        AccessMask::EXECUTE,
        AccessMask::FILE_GENERIC_EXECUTE,
        AccessMask::DELETE,
        AccessMask::DELETE_CHILD,
        AccessMask::WRITE_DAC | AccessMask::READ_CONTROL,
        AccessMask::WRITE_OWNER,
        AccessMask::WRITE_ATTRIBUTES,
        AccessMask::MAXIMUM_ALLOWED,
        AccessMask::FILE_ALL,
    ];
    let mut compared = 0;
    for name in ["file", "directory"] {
        chown(share.disk(name), Some(OWNER), Some(GROUP)).unwrap();
        for mode in [0o000, 0o700, 0o600, 0o440, 0o070, 0o050, 0o007, 0o1777, 0o222, 0o751] {
            share.set_mode(name, mode);
            for actor in &actors() {
                for wanted in [Wanted::NOTHING, Wanted::READ, Wanted::WRITE, Wanted::BOTH] {
                    for asked in questions {
                        let opened = match share.open(actor, name, wanted, asked) {
                            Ok(opened) => opened,
                            Err(Error::AccessDenied) => continue,
                            Err(error) => panic!("{error}"),
                        };
                        let (handle, stat) = (&opened.handle, &opened.stat);
                        let complete = handle.maximal_access(actor);
                        let everything = asked.contains(AccessMask::MAXIMUM_ALLOWED);
                        let exact = if everything { AccessMask::FILE_ALL } else { asked };
                        for permits in [opened.permits, Permits::default()] {
                            let granted = handle.granted_access(actor, stat, asked, permits);
                            let what = (name, mode, actor, wanted, asked, permits);
                            assert_eq!(granted & exact, complete & exact, "{what:?}");
                            assert!(complete.contains(granted), "{what:?}: {granted:?}");
                        }
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 2000, "{compared}");
}

/// A user who may not read a file gets no answer of another user on the same thread, also after a change of the groups.
#[test]
fn permits_belong_to_the_user_of_the_open() {
    let Some(share) = Share::new() else { return };
    std::fs::write(share.disk("f"), "content").unwrap();
    chown(share.disk("f"), Some(OWNER), Some(GROUP)).unwrap();
    share.set_mode("f", 0o640);
    let (member, former) = (Actor::user(65531, 65531, vec![GROUP]), Actor::user(65531, 65531, vec![]));
    for _ in 0..3 {
        let opened = share.open(&member, "f", Wanted::READ, AccessMask::READ_DATA).unwrap();
        assert_eq!(opened.permits.read, Some(true));
        assert!(share.open(&former, "f", Wanted::READ, AccessMask::READ_DATA).is_err());
        let opened = share.open(&former, "f", Wanted::NOTHING, AccessMask::READ_DATA).unwrap();
        assert_eq!(opened.permits.read, Some(false));
        let opened = share.open(&former, "f", Wanted::NOTHING, AccessMask::NONE).unwrap();
        assert_eq!(opened.permits, Permits::default(), "nobody asked");
    }
}

/// A file is opened while its creator still sets its permissions: what the kernel has said before does not count.
#[test]
fn permits_of_an_incomplete_file_are_forgotten() {
    let Some(share) = Share::new() else { return };
    let other = Actor::user(65532, 65532, vec![]);
    let new = New { attributes: FileAttributes::NONE, mode: Some(0o666) };
    let (backend, disk) = (Arc::clone(&share.backend), share.disk("f"));
    let (answer, answered) = mpsc::channel();
    let complete = |_: &Opened| {
        let (backend, other, answer) = (Arc::clone(&backend), other.clone(), answer.clone());
        let (begin, begun) = mpsc::channel();
        std::thread::spawn(move || {
            begin.send(rustix::thread::gettid()).unwrap();
            let how = OpenHow { wanted: Wanted::READ, link: false };
            answer.send(backend.open_asking(&other, &path("f"), how, AccessMask::MAXIMUM_ALLOWED)).unwrap();
        });
        let thread = begun.recv().unwrap();
        wait_until_asleep(thread.as_raw_nonzero().get());
        std::fs::set_permissions(&disk, PermissionsExt::from_mode(0o600)).unwrap();
        Ok(())
    };
    let parent = share.backend.parent(&Actor::Process, &path("f")).unwrap();
    share.backend.make_file_in(&Actor::Process, &parent, new, Wanted::BOTH, &complete).unwrap();
    let opened = answered.recv_timeout(SOON).expect("the open ends").expect("it was permitted when it began");
    assert_eq!(opened.permits, Permits::default());
    let (handle, stat) = (&opened.handle, &opened.stat);
    let granted = handle.granted_access(&other, stat, AccessMask::MAXIMUM_ALLOWED, opened.permits);
    assert!(!granted.intersects(AccessMask::READ_DATA | AccessMask::WRITE_DATA), "{granted:?}");
}

/// Waits until a thread of this process sleeps, as it does when it waits for another.
fn wait_until_asleep(thread: i32) {
    let started = Instant::now();
    loop {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
        if stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')) {
            return;
        }
        assert!(started.elapsed() < SOON, "the thread does not wait: {stat}");
        std::thread::yield_now();
    }
}

const SOON: Duration = Duration::from_secs(20);

/// The kernel's answer about the directory says it for users; for the process, which passes every check, the mount is asked.
#[test]
fn a_read_only_mount_is_the_reason_against_a_removal() {
    let Some(share) = Share::new() else { return };
    if !testkit::need(&["mount", "umount"]) {
        return;
    }
    let mount = |arguments: &[&str]| {
        let done = Command::new("mount").args(arguments).status();
        assert!(done.unwrap().success(), "{arguments:?}");
    };
    let place = share.disk("place").display().to_string();
    std::fs::create_dir(&place).unwrap();
    chown(&place, Some(OWNER), Some(GROUP)).unwrap();
    std::fs::write(share.disk("place/file"), "content").unwrap();
    mount(&["--bind", &place, &place]);
    let mounted = Mounted(place.clone());
    let backend = LocalBackend::open(share.disk("place").as_path(), LocalOptions::default()).unwrap();
    let owner = Actor::user(OWNER, GROUP, vec![]);
    let other = Actor::user(OWNER + 1, GROUP + 1, vec![]);
    let asked = |actor: &Actor| {
        let opened = backend.open(&Actor::Process, &path("file"), Wanted::NOTHING).unwrap();
        backend.check_removable(actor, &path("file"), &*opened.handle)
    };
    assert!(asked(&owner).is_ok() && asked(&Actor::Process).is_ok());
    assert!(matches!(asked(&other), Err(Error::AccessDenied)));
    mount(&["-o", "remount,bind,ro", &place]);
    for actor in [&owner, &other, &Actor::Process] {
        assert!(matches!(asked(actor), Err(Error::ReadOnly)), "{actor:?}");
    }
    drop((backend, mounted));
}

/// A mount, until it is dropped.
struct Mounted(String);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
