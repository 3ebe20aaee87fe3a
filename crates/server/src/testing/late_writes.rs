//! Tests of writes that happen while another client's CREATE is in progress.

use std::sync::mpsc;

use client::smb::CreateParameters;
use tokio::sync::oneshot;
use wire::OplockLevel;
use wire::msg::CreateDisposition;

use super::failing_files::World;

/// Pauses the next call of that name after it has taken effect; the results tell its arrival, and let it go.
fn held(world: &World, call: &'static str) -> (oneshot::Receiver<()>, mpsc::Sender<()>) {
    let (arrival, arrived) = oneshot::channel();
    let (go, may_go) = mpsc::channel::<()>();
    world.faults.after(call, move || {
        arrival.send(()).unwrap();
        may_go.recv().unwrap();
    });
    (arrived, go)
}

/// The client takes what the answer says for the state from the grant on, and is not told about writes before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_client_that_may_cache_is_told_the_state_at_the_grant() {
    let world = World::new(31);
    let (_one, tree) = world.client().await;
    let (_other, others) = world.client().await;
    let writer = tree.create(&CreateParameters::read_write("f")).await.unwrap();

    let (arrived, go) = held(&world, "open");
    let opening = tokio::spawn(async move {
        let asked = CreateParameters { oplock: OplockLevel::LEVEL_II, ..CreateParameters::open("f") };
        others.create(&asked).await
    });
    arrived.await.unwrap();
    writer.write(0, b"written".to_vec()).await.unwrap();
    go.send(()).unwrap();
    let opened = opening.await.unwrap().unwrap();
    assert_eq!(opened.created.oplock, OplockLevel::LEVEL_II);
    assert_eq!(opened.created.end_of_file, 7);
}

/// A new file can be opened by others before its own CREATE is admitted.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_creator_that_may_cache_is_told_the_state_at_the_grant() {
    let world = World::new(32);
    let (_one, tree) = world.client().await;
    let (_other, others) = world.client().await;

    let (arrived, go) = held(&world, "make_file_in");
    let making = tokio::spawn(async move {
        let asked = CreateParameters {
            oplock: OplockLevel::LEVEL_II,
            disposition: CreateDisposition::CREATE,
            ..CreateParameters::read_write("f")
        };
        others.create(&asked).await
    });
    arrived.await.unwrap();
    let asked =
        CreateParameters { disposition: CreateDisposition::OPEN, ..CreateParameters::read_write("f") };
    let writer = tree.create(&asked).await.unwrap();
    writer.write(0, b"written".to_vec()).await.unwrap();
    go.send(()).unwrap();
    let made = making.await.unwrap().unwrap();
    assert_eq!(made.created.oplock, OplockLevel::LEVEL_II);
    assert_eq!(made.created.end_of_file, 7);
}
