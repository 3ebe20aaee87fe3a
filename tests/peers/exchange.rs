//! Names whose files change during a request: exchanged by a local process, linked, or marked for deletion. The
//! server acts on the file that it checked, as the user of the request.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use client::smb::{ClientTree, CreateParameters, Error, File};
use rustix::fs::{CWD, RenameFlags};
use testkit::{RunAs, Setup, Subject, need};
use wire::fscc::FileInfoClass;
use wire::fscc::named_info::RenameInfo;
use wire::msg::{AdditionalInformation, CreateDisposition, CreateOptions, InfoType};
use wire::security::{Ace, AceFlags, Acl, SecurityDescriptor, Sid};
use wire::utf16::utf16le;
use wire::{AccessMask, NtStatus, Utf16};

use crate::scripted::tree;

/// The most attempts of an operation, and their time limit.
const TRIES: usize = 600;
const TIME: Duration = Duration::from_secs(6);

/// A server of root with the Unix users alice and bob; `None` if this machine cannot run one.
fn subject() -> Option<Subject> {
    need(&["root", "unshare"])
        .then(|| Subject::start(&Setup { run_as: RunAs::Root, ..Setup::default() }))
        .filter(|subject| !subject.is_samba())
}

/// Files of a share whose owners are Unix users.
struct Place {
    directory: PathBuf,
    alice: u32,
    bob: u32,
}

impl Place {
    async fn new(subject: &Subject) -> Self {
        let directory = subject.share_dir("data");
        let mut ids = [0; 2];
        for (id, user) in ids.iter_mut().zip(["alice", "bob"]) {
            let share = tree(subject, user, "data").await;
            let made = share.create(&CreateParameters::read_write(user)).await.expect("create");
            made.close().await.expect("close");
            *id = fs::metadata(directory.join(user)).expect("the file").uid();
            fs::remove_file(directory.join(user)).expect("remove");
        }
        assert!(ids[0] != ids[1] && !ids.contains(&0));
        Self { directory, alice: ids[0], bob: ids[1] }
    }

    fn disk(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn give(&self, name: &str, owner: u32, mode: u32) {
        chown(self.disk(name), Some(owner), Some(owner)).expect("chown");
        fs::set_permissions(self.disk(name), PermissionsExt::from_mode(mode)).expect("chmod");
    }

    fn file(&self, name: &str, owner: u32, mode: u32) {
        fs::write(self.disk(name), name).expect("write");
        self.give(name, owner, mode);
    }

    fn directory(&self, name: &str, owner: u32, mode: u32) {
        fs::create_dir(self.disk(name)).expect("mkdir");
        self.give(name, owner, mode);
    }

    fn names(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.disk(name)).expect("a directory");
        entries.map(|it| it.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
    }

    /// Exchanges two names until the returned value is dropped.
    fn exchange(&self, one: &str, other: &str) -> Exchange {
        let (one, other) = (self.disk(one), self.disk(other));
        let done = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicU32::new(0));
        let (is_done, counted) = (Arc::clone(&done), Arc::clone(&rounds));
        let thread = std::thread::spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).expect("exchange");
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Exchange { done, rounds, thread: Some(thread), start: Instant::now() }
    }
}

struct Exchange {
    done: Arc<AtomicBool>,
    rounds: Arc<AtomicU32>,
    thread: Option<std::thread::JoinHandle<()>>,
    start: Instant,
}

impl Exchange {
    fn is_over(&self) -> bool {
        self.start.elapsed() >= TIME
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the names could not be exchanged");
        }
        if !std::thread::panicking() {
            assert!(self.rounds.load(Ordering::Relaxed) > 0, "nothing was exchanged");
        }
    }
}

async fn set_owner(file: &File, uid: u32) -> Result<(), Error> {
    let owner = SecurityDescriptor::new(Sid::unix_user(uid), Sid::WORLD, Acl { aces: Vec::new() });
    let mut bytes = Vec::new();
    owner.encode(&mut bytes).expect("small");
    file.set_info(InfoType::SECURITY, 0, AdditionalInformation::OWNER, &bytes).await
}

/// Restricts adding to a directory to its owner by its descriptor.
async fn close_to_others(share: &ClientTree, name: &str, owner: u32) {
    let access = AccessMask::WRITE_DAC | AccessMask::READ_CONTROL;
    let open =
        share.create(&CreateParameters { access, ..CreateParameters::open(name) }).await.expect("open");
    let aces = vec![
        Ace::allow(Sid::unix_user(owner), AccessMask::FILE_ALL, AceFlags::NONE),
        Ace::allow(Sid::WORLD, AccessMask::FILE_GENERIC_READ, AceFlags::NONE),
    ];
    let mut bytes = Vec::new();
    let descriptor = SecurityDescriptor::new(Sid::unix_user(owner), Sid::WORLD, Acl { aces });
    descriptor.encode(&mut bytes).expect("small");
    open.set_info(InfoType::SECURITY, 0, AdditionalInformation::DACL, &bytes).await.expect("set the DACL");
    open.close().await.expect("close");
}

async fn new_name(file: &File, class: FileInfoClass, name: &str, replace: bool) -> Result<(), Error> {
    let name = utf16le(name);
    let info =
        RenameInfo { replace_if_exists: replace, root_directory: 0, name: Utf16::new(&name).expect("even") };
    let mut bytes = Vec::new();
    info.encode(&mut bytes);
    file.set_info(InfoType::FILE, class.0, AdditionalInformation::NONE, &bytes).await
}

/// The access to one file must not be used on another: MAXIMUM_ALLOWED is computed from the opened file.
#[tokio::test]
async fn the_maximum_allowed_of_one_file_is_not_granted_on_another() {
    let Some(subject) = subject() else { return };
    let place = Place::new(&subject).await;
    place.file("mine", place.bob, 0o600);
    place.file("hers", place.alice, 0o666);
    symlink("hers", place.disk("trap")).expect("symlink");
    let share = tree(&subject, "bob", "data").await;
    let exchange = place.exchange("mine", "trap");
    let mut given = 0;
    for _ in 0..TRIES {
        if exchange.is_over() {
            break;
        }
        let open = CreateParameters { access: AccessMask::MAXIMUM_ALLOWED, ..CreateParameters::open("mine") };
        let Ok(open) = share.create(&open).await else { continue };
        given += usize::from(set_owner(&open, place.bob).await.is_ok());
        let hers = fs::metadata(place.disk("hers")).expect("her file");
        assert_eq!(hers.uid(), place.alice, "after {given} of his own");
        open.close().await.expect("close");
    }
    drop(exchange);
    assert!(given > 0);
}

/// The directory whose descriptor is checked is the one in which the file is created.
#[tokio::test]
async fn creating_in_a_directory_needs_its_descriptors_permission() {
    let Some(subject) = subject() else { return };
    let place = Place::new(&subject).await;
    place.directory("door", place.bob, 0o777);
    place.directory("closed", place.alice, 0o777);
    place.directory("work", place.bob, 0o777);
    close_to_others(&tree(&subject, "alice", "data").await, "closed", place.alice).await;
    symlink("closed", place.disk("trap")).expect("symlink");
    let share = tree(&subject, "bob", "data").await;
    let refused = share.create(&CreateParameters::read_write(r"closed\x")).await;
    assert!(refused.is_err_and(|error| error.is(NtStatus::ACCESS_DENIED)), "the descriptor alone forbids it");

    let exchange = place.exchange("door", "trap");
    let mut made = [0; 4];
    for number in 0..TRIES {
        if exchange.is_over() {
            break;
        }
        let verb = number % made.len();
        let name = format!(r"door\{number}");
        let done = match verb {
            0 => share.create(&CreateParameters::read_write(&name)).await.map(drop),
            1 => {
                let create = CreateParameters {
                    disposition: CreateDisposition::CREATE,
                    ..CreateParameters::directory(&name)
                };
                share.create(&create).await.map(drop)
            }
            _ => {
                let from = CreateParameters::read_write(r"work\f");
                let from = share.create(&from).await.expect("create");
                let class = if verb == 2 { FileInfoClass::LINK } else { FileInfoClass::RENAME };
                let done = new_name(&from, class, &name, false).await;
                from.close().await.expect("close");
                done
            }
        };
        made[verb] += usize::from(done.is_ok());
        assert_eq!(place.names("closed"), [""; 0], "{name}");
    }
    drop(exchange);
    assert!(made.iter().all(|made| *made > 0), "{made:?}");
}

/// A stream is part of its file: creating one gives no additional access to the file.
#[tokio::test]
async fn a_new_stream_gives_no_right_to_its_file() {
    let Some(subject) = subject() else { return };
    let place = Place::new(&subject).await;
    place.file("hers", place.alice, 0o666);
    let share = tree(&subject, "bob", "data").await;
    let stream = |name: &'static str, access| CreateParameters {
        access,
        disposition: CreateDisposition::OPEN_IF,
        ..CreateParameters::open(name)
    };
    for access in [AccessMask::WRITE_OWNER, AccessMask::WRITE_DAC | AccessMask::WRITE_DATA] {
        let made = share.create(&stream("hers:one", access)).await;
        assert!(made.is_err_and(|error| error.is(NtStatus::ACCESS_DENIED)), "{access:?}");
    }
    let made = share.create(&stream("hers:two", AccessMask::MAXIMUM_ALLOWED)).await.expect("may write");
    made.write(0, &b"text"[..]).await.expect("write");
    let taken = set_owner(&made, place.bob).await;
    assert!(taken.is_err_and(|error| error.is(NtStatus::ACCESS_DENIED)));
    assert_eq!(fs::metadata(place.disk("hers")).expect("her file").uid(), place.alice);
}

/// MS-FSA 2.1.5.5: the link that the open was opened by is deleted, and no other one of the file's.
#[tokio::test]
async fn delete_on_close_removes_the_link_that_was_opened() {
    let Some(subject) = subject() else { return };
    let place = Place::new(&subject).await;
    let (alice, bob) = (tree(&subject, "alice", "data").await, tree(&subject, "bob", "data").await);
    for by_disposition in [false, true] {
        place.file("one", place.bob, 0o666);
        fs::hard_link(place.disk("one"), place.disk("two")).expect("link");
        let options = if by_disposition { CreateOptions::NONE } else { CreateOptions::DELETE_ON_CLOSE };
        let access = AccessMask::DELETE | AccessMask::READ_DATA;
        let one = CreateParameters { access, options, ..CreateParameters::open("one") };
        let one = bob.create(&one).await.expect("open");
        let two = alice.create(&CreateParameters::open("two")).await.expect("open by the other link");
        if by_disposition {
            one.set_delete_on_close(true).await.expect("set");
            alice.create(&CreateParameters::open("one")).await.map(drop).expect_err("a delete is pending");
            alice.create(&CreateParameters::open("two")).await.map(drop).expect("none is of this link");
        }
        one.close().await.expect("close");
        assert!(!place.disk("one").exists() && place.disk("two").exists(), "{by_disposition}");
        two.close().await.expect("close");
        assert!(place.disk("two").exists(), "{by_disposition}");
        fs::remove_file(place.disk("two")).expect("remove");
    }
}

/// The deletion uses the rights of the user who requested it, regardless of the last close.
#[tokio::test]
async fn delete_on_close_uses_the_rights_of_the_requester() {
    let Some(subject) = subject() else { return };
    let place = Place::new(&subject).await;
    place.directory("his", place.bob, 0o755);
    let (alice, bob) = (tree(&subject, "alice", "data").await, tree(&subject, "bob", "data").await);
    place.file("his/f", place.bob, 0o666);
    let access = AccessMask::DELETE | AccessMask::READ_DATA;
    let asks =
        bob.create(&CreateParameters { access, ..CreateParameters::open(r"his\f") }).await.expect("open");
    let last = alice.create(&CreateParameters::open(r"his\f")).await.expect("open");
    asks.set_delete_on_close(true).await.expect("set");
    asks.close().await.expect("close");
    bob.disconnect().await.expect("disconnect");
    assert!(place.disk("his/f").exists());
    last.close().await.expect("close");
    assert!(!place.disk("his/f").exists(), "she may not, but he may");
}

/// MS-FSA 2.1.5.15.6: a file that is marked for deletion gets no new name, and its content is removed.
#[tokio::test]
async fn a_file_marked_for_deletion_gets_no_new_link() {
    let Some(subject) = Subject::with(&[]) else { return };
    let share = tree(&subject, "alice", "data").await;
    let directory = subject.share_dir("data");
    fs::write(directory.join("target"), "stays").expect("write");
    let create = CreateParameters { options: CreateOptions::NONE, ..CreateParameters::read_write("f") };
    let open = share.create(&create).await.expect("create");
    open.write(0, &b"secret"[..]).await.expect("write");
    open.set_delete_on_close(true).await.expect("set");
    for (name, replace) in [("kept", false), ("target", true)] {
        let linked = new_name(&open, FileInfoClass::LINK, name, replace).await;
        assert!(linked.is_err_and(|error| error.is(NtStatus::ACCESS_DENIED)), "{name}");
    }
    open.set_delete_on_close(false).await.expect("take it back");
    new_name(&open, FileInfoClass::LINK, "linked", false).await.expect("link");
    open.set_delete_on_close(true).await.expect("set");
    open.close().await.expect("close");
    assert!(!directory.join("f").exists() && !directory.join("kept").exists());
    assert_eq!(fs::read(directory.join("linked")).expect("the other link"), b"secret");
    assert_eq!(fs::read(directory.join("target")).expect("the target"), b"stays");
}

/// A directory that is marked for deletion accepts no new entries, which would prevent the deletion.
#[tokio::test]
async fn a_directory_marked_for_deletion_accepts_no_entries() {
    let Some(subject) = Subject::with(&[]) else { return };
    let share = tree(&subject, "alice", "data").await;
    let made = CreateParameters {
        disposition: CreateDisposition::CREATE,
        access: AccessMask::FILE_ALL,
        ..CreateParameters::directory("d")
    };
    let made = share.create(&made).await.expect("create");
    made.set_delete_on_close(true).await.expect("set");
    for options in [CreateOptions::DIRECTORY_FILE, CreateOptions::NON_DIRECTORY_FILE] {
        let child = CreateParameters {
            options,
            disposition: CreateDisposition::CREATE,
            ..CreateParameters::read_write(r"d\child")
        };
        let refused = share.create(&child).await;
        assert!(refused.is_err_and(|error| error.is(NtStatus::DELETE_PENDING)));
    }
    made.close().await.expect("close");
    assert!(!subject.share_dir("data").join("d").exists());
}
