//! Byte-range locks of clients and of programs on the server's machine: a Python script that uses `lockf`.
//!
//! Samba does the same by `posix locking`, so its server passes, too.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use client::smb::{ClientTree, CreateParameters, Error, File, Response};
use testkit::{Setup, Subject, need, repository};
use wire::NtStatus;
use wire::msg::{LockElement, LockFlags};

use crate::scripted::{connected, tree};

const SHARED: LockFlags = LockFlags::SHARED_LOCK;
const EXCLUSIVE: LockFlags = LockFlags::EXCLUSIVE_LOCK;

/// A local program.
struct Program {
    python: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    file: PathBuf,
}

impl Program {
    /// A program that locks the file `f` of the share.
    fn start(subject: &Subject) -> Self {
        let mut python = Command::new("python3")
            .arg("-B")
            .arg(repository().join("tests/peers/host_locks.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let input = python.stdin.take().expect("its input");
        let output = BufReader::new(python.stdout.take().expect("its output"));
        Self { python, input, output, file: subject.share_dir("data").join("f") }
    }

    fn asks(&mut self, command: &str, rest: &str) {
        writeln!(self.input, "{command} {} {rest}", self.file.display()).expect("it listens");
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        line.trim_end().to_owned()
    }

    fn does(&mut self, command: &str, rest: &str) -> String {
        self.asks(command, rest);
        self.answer()
    }

    /// The bytes from the beginning on, as the program finds them: `.` for free, `s` for shared, `x` for exclusive.
    fn sees(&mut self, bytes: u32) -> String {
        (0..bytes)
            .map(|byte| match self.does("probe", &format!("{byte} 1")).as_str() {
                "free" => '.',
                "shared" => 's',
                "exclusive" => 'x',
                other => panic!("{other}"),
            })
            .collect()
    }

    /// Waits until it finds bytes so, and lets the clients of this process go on meanwhile.
    async fn comes_to_see(&mut self, expected: &str) {
        let begun = Instant::now();
        let bytes = u32::try_from(expected.len()).expect("a few");
        while self.sees(bytes) != expected {
            tokio::task::yield_now().await;
            assert!(begun.elapsed() < SOON, "it still sees {}", self.sees(bytes));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.python.kill().ok();
        self.python.wait().ok();
    }
}

const SOON: Duration = Duration::from_secs(30);

fn lock(offset: u64, length: u64, flags: LockFlags) -> LockElement {
    LockElement { offset, length, flags }
}

async fn lock_now(file: &File, offset: u64, length: u64, kind: LockFlags) -> Result<(), Error> {
    file.lock(&[lock(offset, length, kind | LockFlags::FAIL_IMMEDIATELY)]).await
}

async fn unlock(file: &File, offset: u64, length: u64) {
    file.lock(&[lock(offset, length, LockFlags::UNLOCK)]).await.expect("unlock");
}

async fn opened(tree: &ClientTree) -> File {
    tree.create(&CreateParameters::read_write("f")).await.expect("open")
}

fn subject() -> Option<Subject> {
    need(&["root", "python3"]).then(|| Subject::start(&Setup::default()))
}

fn is_not_granted(result: Result<(), Error>) -> bool {
    result.is_err_and(|error| error.is(NtStatus::LOCK_NOT_GRANTED))
}

#[tokio::test]
async fn a_program_sees_clients_locks_and_keeps_its_own() {
    let Some(subject) = subject() else { return };
    let data = tree(&subject, "alice", "data").await;
    let others = tree(&subject, "alice", "data").await;
    let (file, another) = (opened(&data).await, opened(&others).await);
    let mut program = Program::start(&subject);
    lock_now(&file, 0, 4, SHARED).await.expect("lock");
    lock_now(&file, 0, 4, SHARED).await.expect("lock it again");
    lock_now(&another, 2, 4, SHARED).await.expect("lock it as well");
    lock_now(&file, 8, 2, EXCLUSIVE).await.expect("lock");
    assert_eq!(program.sees(11), "ssssss..xx.");
    assert_eq!(program.does("lock", "8 1 shared"), "held");
    assert_eq!(program.does("lock", "6 2 exclusive"), "done");
    unlock(&file, 0, 4).await;
    assert_eq!(program.sees(11), "ssssssxxxx.", "one of two is left");
    unlock(&file, 0, 4).await;
    assert_eq!(program.sees(11), "..ssssxxxx.");

    // What is locked stays so when others close the file, the server's other descriptors among them.
    let third = opened(&data).await;
    lock_now(&third, 100, 1, EXCLUSIVE).await.expect("lock");
    third.close().await.expect("close");
    assert_eq!(program.does("touch", ""), "done");
    assert_eq!(
        program.sees(11),
        "..ssss..xx.",
        "only the program has lost what it had: so are lockf's locks"
    );

    another.close().await.expect("close");
    program.comes_to_see("........xx.").await;
    file.close().await.expect("close");
    program.comes_to_see("...........").await;
}

#[tokio::test]
async fn a_client_that_is_gone_has_no_locks() {
    let Some(subject) = subject() else { return };
    let (connection, data) = connected(&subject, "alice").await;
    let file = opened(&data).await;
    let mut program = Program::start(&subject);
    lock_now(&file, 0, 4, EXCLUSIVE).await.expect("lock");
    assert_eq!(program.sees(5), "xxxx.");
    connection.disconnect();
    program.comes_to_see(".....").await;
}

#[tokio::test]
async fn a_client_is_refused_what_a_program_has_locked_and_waits_for_it() {
    let Some(subject) = subject() else { return };
    let data = tree(&subject, "alice", "data").await;
    let file = opened(&data).await;
    let mut program = Program::start(&subject);
    assert_eq!(program.does("lock", "0 4 shared"), "done");
    assert_eq!(program.does("lock", "4 4 exclusive"), "done");
    lock_now(&file, 0, 4, SHARED).await.expect("shared beside shared");
    assert!(is_not_granted(lock_now(&file, 2, 1, EXCLUSIVE).await));
    assert!(is_not_granted(lock_now(&file, 3, 2, SHARED).await));
    assert!(is_not_granted(lock_now(&file, 7, 9, EXCLUSIVE).await));
    lock_now(&file, 8, 1, EXCLUSIVE).await.expect("beside it");

    let waits = file.submit_lock(&[lock(4, 2, EXCLUSIVE)]).await.expect("ask");
    assert!(waits.pending().await.is_some(), "it waits");
    assert_eq!(program.does("unlock", "4 4"), "done");
    let granted = waits.response_within(SOON).await.and_then(Response::success);
    granted.expect("it is granted");
    assert_eq!(program.sees(9), "ssssxx..x");

    // And the other way round: the program waits for the client.
    program.asks("wait", "4 1 exclusive");
    let cancelled = file.submit_lock(&[lock(0, 4, EXCLUSIVE)]).await.expect("ask");
    assert!(cancelled.pending().await.is_some(), "it waits for its own shared lock");
    data.connection().cancel(&cancelled).await.expect("cancel");
    let status = cancelled.response_within(SOON).await.expect("an answer").status();
    assert_eq!(status, NtStatus::CANCELLED);
    unlock(&file, 4, 2).await;
    assert_eq!(program.answer(), "done");
}

#[tokio::test]
async fn a_wait_for_a_program_ends_with_cancel_and_close() {
    let Some(subject) = subject() else { return };
    let data = tree(&subject, "alice", "data").await;
    let file = opened(&data).await;
    let mut program = Program::start(&subject);
    assert_eq!(program.does("lock", "0 4 exclusive"), "done");
    let waits = file.submit_lock(&[lock(0, 1, SHARED)]).await.expect("ask");
    assert!(waits.pending().await.is_some());
    data.connection().cancel(&waits).await.expect("cancel");
    assert_eq!(waits.response_within(SOON).await.expect("an answer").status(), NtStatus::CANCELLED);
    let waits = file.submit_lock(&[lock(0, 1, SHARED)]).await.expect("ask");
    assert!(waits.pending().await.is_some());
    file.close().await.expect("close");
    assert_eq!(waits.response_within(SOON).await.expect("an answer").status(), NtStatus::RANGE_NOT_LOCKED);
    assert_eq!(program.does("unlock", "0 4"), "done");
    assert_eq!(program.sees(4), "....");
}

#[tokio::test]
async fn an_open_that_cannot_write_has_shared_locks_on_the_machine() {
    let Some(subject) = subject() else { return };
    let data = tree(&subject, "alice", "data").await;
    opened(&data).await.close().await.expect("close");
    let file = data.create(&CreateParameters::open("f")).await.expect("open for reading");
    let mut program = Program::start(&subject);
    lock_now(&file, 0, 4, EXCLUSIVE).await.expect("lock");
    assert_eq!(program.sees(5), "ssss.");
    unlock(&file, 0, 4).await;
    assert_eq!(program.sees(5), ".....");
}
