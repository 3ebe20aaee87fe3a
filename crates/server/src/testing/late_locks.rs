//! Tests of locks that are granted while another request is in progress.

use std::sync::mpsc;

use client::smb::CreateParameters;
use tokio::sync::oneshot;
use wire::NtStatus;
use wire::ioctl::FsctlCode;
use wire::msg::{LockElement, LockFlags};

use super::failing_files::World;

/// The bytes of a chunk.
const CHUNK: u32 = 1_000;

/// MS-SMB2 3.3.5.15.6 copies chunk by chunk, each as a separate read and write.
#[tokio::test]
async fn copychunk_respects_locks_granted_between_chunks() {
    for locks_target in [true, false] {
        let world = World::new(7);
        let (_one, tree) = world.client().await;
        let (_other, others) = world.client().await;
        let file = tree.create(&CreateParameters::read_write("f")).await.unwrap();
        file.write(0, vec![b'a'; 2 * CHUNK as usize]).await.unwrap();
        let key = file.ioctl(FsctlCode::SRV_REQUEST_RESUME_KEY, &[], 32).await.unwrap();
        let chunk = |number: u32| {
            let (from, to) = (u64::from(number * CHUNK), u64::from((2 + number) * CHUNK));
            [&from.to_le_bytes()[..], &to.to_le_bytes(), &CHUNK.to_le_bytes(), &[0; 4]].concat()
        };
        let input = [&key[..24], &[2, 0, 0, 0, 0, 0, 0, 0], &chunk(0), &chunk(1)].concat();

        // The first chunk waits until the lock that the second one conflicts with is granted.
        let (arrived, has_arrived) = oneshot::channel();
        let (go, may_go) = mpsc::channel();
        world.faults.before("write_at", move || {
            arrived.send(()).unwrap();
            may_go.recv().unwrap();
        });
        let lock = async {
            has_arrived.await.unwrap();
            let others = others.create(&CreateParameters::read_write("f")).await.unwrap();
            let offset = u64::from(if locks_target { 3 * CHUNK } else { CHUNK });
            let flags = LockFlags::EXCLUSIVE_LOCK | LockFlags::FAIL_IMMEDIATELY;
            others.lock(&[LockElement { offset, length: CHUNK.into(), flags }]).await.unwrap();
            go.send(()).unwrap();
            others
        };
        let (copied, _others) = tokio::join!(file.ioctl(FsctlCode::SRV_COPYCHUNK, &input, 12), lock);
        let error = copied.unwrap_err();
        assert!(error.is(NtStatus::FILE_LOCK_CONFLICT), "{error}");
        assert_eq!(world.content("f").len(), 3 * CHUNK as usize, "only the first");
    }
}
