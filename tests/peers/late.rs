//! Errors that the file system reports only when a file is closed: they are not answered with success.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use client::smb::{ClientTree, CreateParameters, File};
use rustix::io::Errno;
use testkit::{Operation, Setup, Share, Shareward, StuckFs, Subject, need};
use wire::msg::CreateOptions;
use wire::{AccessMask, NtStatus};

use crate::scripted::tree;

/// A file that is deleted through a separate handle.
fn to_delete(name: &str) -> CreateParameters<'_> {
    CreateParameters {
        access: AccessMask::DELETE | AccessMask::READ_ATTRIBUTES,
        ..CreateParameters::open(name)
    }
}

/// Parameters for an open with delete-on-close.
fn on_close(name: &str) -> CreateParameters<'_> {
    CreateParameters { options: CreateOptions::DELETE_ON_CLOSE, ..to_delete(name) }
}

fn run(program: &str, words: &[&str], path: &Path) {
    let status = Command::new(program).args(words).arg(path).status().expect("a program");
    assert!(status.success(), "{program} {words:?} {}", path.display());
}

/// Immutable files and mounts that a test has made; dropping it reverts them.
#[derive(Default)]
struct Undone {
    immutable: Vec<PathBuf>,
    mounted: Vec<PathBuf>,
}

impl Undone {
    fn immutable(&mut self, path: PathBuf) {
        run("chattr", &["+i"], &path);
        self.immutable.push(path);
    }

    fn mount(&mut self, words: &[&str], path: PathBuf) {
        run("mount", words, &path);
        self.mounted.push(path);
    }
}

impl Drop for Undone {
    fn drop(&mut self) {
        for path in &self.immutable {
            run("chattr", &["-i"], path);
        }
        for path in &self.mounted {
            run("umount", &["-l"], path);
        }
    }
}

/// A server whose users are one Unix user, so that only the test's own conditions cause errors.
fn subject() -> Option<Subject> {
    need(&["root", "chattr", "mount", "umount"])
        .then(|| Subject::Shareward(Shareward::start(&Setup::default())))
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("chmod");
}

async fn make(data: &ClientTree, name: &str) {
    data.create(&CreateParameters::read_write(name)).await.expect("create").close().await.expect("close");
}

async fn make_directory(data: &ClientTree, directory: &Path, name: &str) -> PathBuf {
    let made = CreateParameters {
        disposition: wire::msg::CreateDisposition::CREATE,
        ..CreateParameters::directory(name)
    };
    data.create(&made).await.expect("mkdir").close().await.expect("close");
    open_to_all(&directory.join(name));
    directory.join(name)
}

/// The errors of both ways to delete a file, whichever request returns them.
async fn refusals(data: &ClientTree, name: &str) -> [NtStatus; 2] {
    let by_handle = match data.create(&to_delete(name)).await {
        Err(error) => error.status(),
        Ok(file) => {
            let refused = file.set_delete_on_close(true).await.err().and_then(|error| error.status());
            file.close().await.expect("close");
            refused
        }
    };
    let on_close = data.create(&on_close(name)).await.err().and_then(|error| error.status());
    [by_handle, on_close].map(|status| status.unwrap_or(NtStatus::SUCCESS))
}

/// Editors save in this way. The file to delete has no name left, and the file that has its name now is another one.
#[tokio::test]
async fn deleting_a_replaced_file_keeps_its_replacement() {
    let subject = Subject::start(&Setup::default());
    let directory = subject.share_dir("data");
    let data = tree(&subject, "alice", "data").await;
    for ask_first in [true, false] {
        make(&data, "saved").await;
        let file = data.create(&to_delete("saved")).await.expect("open");
        if ask_first {
            file.set_delete_on_close(true).await.expect("ask");
        }
        fs::write(directory.join("new"), "new").expect("write");
        fs::rename(directory.join("new"), directory.join("saved")).expect("rename");
        if !ask_first {
            file.set_delete_on_close(true).await.expect("ask");
        }
        file.close().await.expect("close");
        assert_eq!(fs::read_to_string(directory.join("saved")).expect("read"), "new");
        fs::remove_file(directory.join("saved")).expect("remove");
    }
}

#[tokio::test]
async fn a_delete_that_is_known_to_fail_is_refused_at_set_info() {
    let Some(subject) = subject() else { return };
    let (directory, mut undone) = (subject.share_dir("data"), Undone::default());
    let data = tree(&subject, "alice", "data").await;
    for name in ["kept", "streamed", "source"] {
        make(&data, name).await;
    }
    make(&data, "streamed:more").await;
    for name in ["closed", "still", "mounted", "frozen"] {
        make_directory(&data, &directory, name).await;
    }
    make(&data, r"closed\inside").await;
    undone.mount(&["-t", "tmpfs", "none"], directory.join("mounted"));
    undone.mount(&["-t", "tmpfs", "none"], directory.join("frozen"));
    fs::write(directory.join("frozen/f"), "text").expect("write");
    open_to_all(&directory.join("frozen"));
    open_to_all(&directory.join("frozen/f"));
    run("mount", &["-o", "remount,ro"], &directory.join("frozen"));
    for name in ["kept", "streamed", "closed", "still"] {
        undone.immutable(directory.join(name));
    }
    let (denied, cannot) = (NtStatus::ACCESS_DENIED, NtStatus::CANNOT_DELETE);
    for (name, expected) in [
        ("kept", &[cannot, denied][..]),
        ("streamed:more", &[cannot, denied]),
        ("still", &[cannot, denied]),
        (r"closed\inside", &[denied]),
        ("mounted", &[cannot]),
        (r"frozen\f", &[NtStatus::MEDIA_WRITE_PROTECTED, denied]),
    ] {
        for status in refusals(&data, name).await {
            assert!(expected.contains(&status), "{name}: {status}");
        }
        let file = directory.join(name.replace('\\', "/").split(':').next().expect("a name"));
        assert!(file.exists(), "{name}");
    }
    for status in refusals(&data, "").await {
        assert!([cannot, denied].contains(&status), "the share's own directory: {status}");
    }
    assert_eq!(refusals(&data, "source").await, [NtStatus::SUCCESS, NtStatus::OBJECT_NAME_NOT_FOUND]);
}

#[tokio::test]
async fn a_failing_delete_fails_the_close() {
    let Some(subject) = subject() else { return };
    let Subject::Shareward(server) = &subject else { panic!("not our server") };
    let (directory, mut undone) = (subject.share_dir("data"), Undone::default());
    let data = tree(&subject, "alice", "data").await;
    for (name, parameters) in [("first", to_delete("first")), ("second", on_close("second"))] {
        make(&data, name).await;
        let (file, other): (File, File) = (
            data.create(&parameters).await.expect("open"),
            data.create(&to_delete(name)).await.expect("open"),
        );
        if name == "first" {
            file.set_delete_on_close(true).await.expect("nothing is known against it");
        }
        undone.immutable(directory.join(name));
        file.close().await.expect("others have it open");
        let refused = other.close().await.expect_err("the delete is refused");
        assert!(refused.is(NtStatus::ACCESS_DENIED), "{refused}");
        assert!(directory.join(name).exists());
        // The file can be used normally again.
        data.create(&CreateParameters::open(name)).await.expect("open").close().await.expect("close");
    }

    // A directory that others fill while it is to go.
    let filled = make_directory(&data, &directory, "filled").await;
    let handle = data.create(&to_delete("filled")).await.expect("open");
    handle.set_delete_on_close(true).await.expect("it is empty");
    fs::write(filled.join("f"), "text").expect("write");
    let refused = handle.close().await.expect_err("it is not empty any more");
    assert!(refused.is(NtStatus::DIRECTORY_NOT_EMPTY), "{refused}");
    // FILE_DELETE_ON_CLOSE asks nothing of a directory, as with Windows.
    data.create(&on_close("filled")).await.expect("open").close().await.expect("close");
    assert!(filled.join("f").exists());

    // No client is connected to get the error; the log has it.
    make(&data, "lost").await;
    let file = data.create(&to_delete("lost")).await.expect("open");
    file.set_delete_on_close(true).await.expect("delete");
    undone.immutable(directory.join("lost"));
    data.connection().disconnect();
    let begun = Instant::now();
    let line = loop {
        let log = server.log();
        if let Some(line) = log.lines().find(|line| line.contains("WARN") && line.contains("lost")) {
            break line.to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for part in ["data", "lost", "alice", "ACCESS_DENIED"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(directory.join("lost").exists());
}

/// If a stream is larger than the file system's limit for attributes, and attributes are all that the share has, the error
/// is not DISK_FULL.
#[tokio::test]
async fn a_stream_that_is_too_large_is_not_reported_as_a_full_disk() {
    let setup = Setup { extra_share: "streams = \"xattr\"".into(), ..Setup::default() };
    let subject = Subject::start(&setup);
    let data = tree(&subject, "alice", "data").await;
    make(&data, "f").await;
    let stream = data.create(&CreateParameters::read_write("f:s")).await.expect("create");
    stream.write(0, vec![b'x'; 100]).await.expect("a small one fits everywhere");
    // ext4 has 4 KiB for it, XFS and Btrfs have 64.
    for bytes in [8000, 70_000] {
        match stream.write(0, vec![b'y'; bytes]).await {
            Ok(written) => assert!(bytes == 8000 && written == 8000, "{written} of {bytes}"),
            Err(error) => assert!(error.is(NtStatus::FILE_SYSTEM_LIMITATION), "{error}"),
        }
    }
    let kept = stream.read(0, 100).await.expect("read");
    assert!(kept.iter().all(|byte| *byte == b'x' || *byte == b'y') && kept.len() == 100);
    stream.close().await.expect("close");
}

/// A share on a file system whose calls can be made to fail.
fn failing() -> Option<(Subject, StuckFs, tempfile::TempDir)> {
    if !need(&["root", "/dev/fuse", "umount"]) {
        return None;
    }
    let top = tempfile::Builder::new().prefix("shareward-late.").tempdir().expect("a directory");
    open_to_all(top.path());
    fs::create_dir(top.path().join("data")).expect("a directory");
    open_to_all(&top.path().join("data"));
    let files = StuckFs::mount(&top.path().join("data"));
    let share = Share {
        name: "data".into(),
        encrypted: false,
        read_only: false,
        hides_unreadable: false,
        shows_symlinks: false,
    };
    let setup = Setup { shares: vec![share], tree: Some(top.path().to_owned()), ..Setup::default() };
    Some((Subject::Shareward(Shareward::start(&setup)), files, top))
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_flush_and_close_are_reported() {
    let Some((subject, files, _top)) = failing() else { return };
    let data = tree(&subject, "alice", "data").await;
    for (operation, errno, status) in [
        (Operation::Sync, Errno::IO, NtStatus::UNEXPECTED_IO_ERROR),
        (Operation::Sync, Errno::DQUOT, NtStatus::DISK_FULL),
        (Operation::Flush, Errno::NOSPC, NtStatus::DISK_FULL),
        (Operation::Flush, Errno::DQUOT, NtStatus::DISK_FULL),
        (Operation::Flush, Errno::IO, NtStatus::UNEXPECTED_IO_ERROR),
        (Operation::Unlink, Errno::BUSY, NtStatus::SHARING_VIOLATION),
        (Operation::Unlink, Errno::ROFS, NtStatus::MEDIA_WRITE_PROTECTED),
    ] {
        let parameters =
            CreateParameters { access: AccessMask::FILE_ALL, ..CreateParameters::read_write("f") };
        let file = data.create(&parameters).await.expect("create");
        file.write(0, vec![b'x'; 4096]).await.expect("write");
        files.fail(operation, errno.raw_os_error());
        if operation == Operation::Unlink {
            file.set_delete_on_close(true).await.expect("delete");
        }
        let flushed = file.flush().await;
        let closed = file.close().await;
        files.release();
        let told = if operation == Operation::Sync { flushed } else { closed };
        let told = told.expect_err("the file system has refused it");
        assert!(told.is(status), "{operation:?} with {errno}: {told}");
        // One that has written nothing has nothing to lose.
        let reader = data.create(&CreateParameters::open("f")).await.expect("open");
        files.fail(Operation::Flush, Errno::IO.raw_os_error());
        reader.close().await.expect("close");
        files.release();
    }
    data.connection().disconnect();
}
