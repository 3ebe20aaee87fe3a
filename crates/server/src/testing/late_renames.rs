//! Tests of renames that happen between another request's lookup of a name and its use.

use std::sync::mpsc;
use std::time::Duration;

use client::smb::{Break, ClientTree, CreateParameters, Error, File};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use wire::fscc::FileInfoClass;
use wire::msg::{AdditionalInformation, CreateDisposition, CreateOptions, InfoType};
use wire::{AccessMask, NtStatus, OplockLevel, ShareAccess, utf16le};

use super::failing_files::World;

/// A call of the file system that is paused.
struct Held {
    arrived: oneshot::Receiver<()>,
    go: mpsc::Sender<()>,
}

impl Held {
    /// Pauses the next call of that name after it has taken effect.
    fn after(world: &World, call: &'static str) -> Self {
        let (arrival, arrived) = oneshot::channel();
        let (go, may_go) = mpsc::channel::<()>();
        world.faults.after(call, move || {
            arrival.send(()).unwrap();
            may_go.recv().unwrap();
        });
        Self { arrived, go }
    }

    async fn arrived(&mut self) {
        (&mut self.arrived).await.unwrap();
    }

    fn go(self) {
        self.go.send(()).unwrap();
    }
}

async fn make_directory(tree: &ClientTree, name: &str) -> File {
    let parameters = CreateParameters {
        disposition: CreateDisposition::OPEN_IF,
        options: CreateOptions::DIRECTORY_FILE,
        access: AccessMask::FILE_ALL,
        ..CreateParameters::open(name)
    };
    tree.create(&parameters).await.unwrap()
}

async fn make_file(tree: &ClientTree, name: &str) -> File {
    tree.create(&CreateParameters::read_write(name)).await.unwrap()
}

async fn rename(file: &File, to: &str) -> Result<(), Error> {
    rename_or_replace(file, to, false).await
}

async fn rename_or_replace(file: &File, to: &str, replaces: bool) -> Result<(), Error> {
    let target = utf16le(to);
    let length = u32::try_from(target.len()).unwrap().to_le_bytes();
    let buffer = [&[u8::from(replaces)][..], &[0; 15], &length, &target].concat();
    file.set_info(InfoType::FILE, FileInfoClass::RENAME.0, AdditionalInformation::NONE, &buffer).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_create_overtaken_by_a_rename_does_not_open_the_old_name() {
    let world = World::new(21);
    let (_one, tree) = world.client().await;
    let (_other, others) = world.client().await;
    let directory = make_directory(&tree, "d").await;
    make_file(&tree, r"d\f").await.close().await.unwrap();

    let mut held = Held::after(&world, "open");
    let opening = tokio::spawn(async move { others.create(&CreateParameters::open(r"d\f")).await });
    held.arrived().await;
    rename(&directory, "e").await.unwrap();
    held.go();
    let error = opening.await.unwrap().unwrap_err();
    assert!(error.is(NtStatus::OBJECT_PATH_NOT_FOUND), "{error}");
    assert_eq!(world.open_paths(), ["e"]);
}

/// Otherwise the writes of the client that has looked up the old file would be acknowledged and lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_file_that_is_replaced_after_its_look_up_is_looked_up_again() {
    let world = World::new(26);
    let (_one, tree) = world.client().await;
    let (_other, others) = world.client().await;
    make_file(&tree, "b").await.close().await.unwrap();
    let new = make_file(&tree, "a").await;
    new.write(0, b"new".to_vec()).await.unwrap();

    let mut held = Held::after(&world, "open");
    let opening = tokio::spawn(async move { others.create(&CreateParameters::read_write("b")).await });
    held.arrived().await;
    rename_or_replace(&new, "b", true).await.unwrap();
    new.close().await.unwrap();
    held.go();
    let opened = opening.await.unwrap().unwrap();
    assert_eq!(opened.created.end_of_file, 3);
    assert_eq!(world.open_paths(), ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_file_that_is_removed_after_its_look_up_is_not_opened() {
    let world = World::new(27);
    let (_one, tree) = world.client().await;
    let (_other, others) = world.client().await;
    let file = make_file(&tree, "f").await;

    let mut held = Held::after(&world, "open");
    let opening = tokio::spawn(async move { others.create(&CreateParameters::open("f")).await });
    held.arrived().await;
    file.set_delete_on_close(true).await.unwrap();
    file.close().await.unwrap();
    held.go();
    let error = opening.await.unwrap().unwrap_err();
    assert!(error.is(NtStatus::OBJECT_NAME_NOT_FOUND), "{error}");
    assert!(world.open_paths().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_file_created_during_a_rename_of_its_directory_has_the_new_path() {
    let world = World::new(22);
    let (_one, tree) = world.client().await;
    let (_other, others) = world.client().await;
    let directory = make_directory(&tree, "d").await;

    let mut held = Held::after(&world, "make_file_in");
    let making = tokio::spawn(async move {
        let parameters = CreateParameters {
            disposition: CreateDisposition::CREATE,
            ..CreateParameters::read_write(r"d\new")
        };
        others.create(&parameters).await
    });
    held.arrived().await;
    rename(&directory, "e").await.unwrap();
    held.go();
    let made = making.await.unwrap().unwrap();
    assert_eq!(world.open_paths(), ["e", r"e\new"]);
    made.set_delete_on_close(true).await.unwrap();
    made.close().await.unwrap();
    assert!(world.real(r"e\new").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_rename_into_a_directory_that_was_renamed_fails() {
    let world = World::new(23);
    let (_one, tree) = world.client().await;
    let (_other, others) = world.client().await;
    let directory = make_directory(&tree, "d").await;
    let file = make_file(&others, "f").await;

    let mut held = Held::after(&world, "parent");
    let moving = tokio::spawn(async move { (rename(&file, r"d\f").await, file) });
    held.arrived().await;
    rename(&directory, "e").await.unwrap();
    directory.close().await.unwrap();
    held.go();
    let (moved, _file) = moving.await.unwrap();
    let error = moved.unwrap_err();
    assert!(error.is(NtStatus::OBJECT_PATH_NOT_FOUND), "{error}");
    assert_eq!(world.open_paths(), ["f"]);
    assert!(world.real("f").is_some() && world.real(r"e\f").is_none());
}

/// The file system has the new name before the registry does.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_stream_being_renamed_is_not_opened_by_its_new_name() {
    let world = World::new(24);
    let (_one, tree) = world.client().await;
    let (_other, others) = world.client().await;
    make_file(&tree, "f").await.close().await.unwrap();
    let exclusive = CreateParameters { share: ShareAccess::NONE, ..CreateParameters::read_write("f:a") };
    let stream = tree.create(&exclusive).await.unwrap();

    let mut held = Held::after(&world, "rename_in");
    let moving = tokio::spawn(async move { (rename(&stream, ":c").await, stream) });
    held.arrived().await;
    let opened = others.create(&CreateParameters::open("f:c")).await;
    assert!(opened.as_ref().is_err_and(|error| error.is(NtStatus::SHARING_VIOLATION)), "{:?}", opened.err());
    held.go();
    let (moved, _stream) = moving.await.unwrap();
    moved.unwrap();
    let opened = others.create(&CreateParameters::open("f:c")).await;
    assert!(opened.is_err_and(|error| error.is(NtStatus::SHARING_VIOLATION)), "it is open, not shared");
    assert_eq!(world.open_paths(), ["f:c"]);
}

/// Each holder of a cached handle takes half a minute to close it, which is within the time of a break.
#[tokio::test(start_paused = true)]
async fn cached_handles_below_a_renamed_directory_are_broken_in_parallel() {
    const LATE: Duration = Duration::from_secs(30);
    let world = World::new(25);
    let (holder, tree) = world.client().await;
    let (_other, others) = world.client().await;
    let directory = make_directory(&others, "d").await;
    let mut files = Vec::new();
    for number in 0..4 {
        let name = format!(r"d\{number}");
        let cached = CreateParameters { oplock: OplockLevel::BATCH, ..CreateParameters::read_write(&name) };
        files.push(tree.create(&cached).await.unwrap());
    }
    let mut breaks = holder.breaks();
    let closing = tokio::spawn(async move {
        for _ in 0..4 {
            let Some(Break::Oplock(oplock)) = breaks.next().await.unwrap() else { panic!("no break") };
            let file = files.iter().find(|file| file.id() == oplock.file_id).unwrap().clone();
            tokio::spawn(async move {
                sleep(LATE).await;
                file.close().await.unwrap();
            });
        }
    });
    let started = Instant::now();
    rename(&directory, "e").await.unwrap();
    closing.await.unwrap();
    assert!(started.elapsed() < LATE * 2, "{:?}", started.elapsed());
    assert_eq!(world.open_paths(), ["e"]);
}
