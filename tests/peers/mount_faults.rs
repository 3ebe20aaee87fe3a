//! The mount with failing requests and concurrent changes by others: no data is lost without an error.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::{Samba, Setup, Shareward, Subject, is_root, need, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wire::Command as Smb;
use wire::header::Header;

use crate::net_use::{LIMIT, Machine, NEEDS};

/// Our server and Samba's, as far as they are here.
pub(crate) fn servers() -> Vec<Subject> {
    if !need(NEEDS) {
        return Vec::new();
    }
    let mut servers = vec![Subject::Shareward(Shareward::start(&Setup::default()))];
    if need(&["smbd", "pdbedit", "unshare"]) && is_root() {
        // No streams and no ACLs are needed, and the modules for them are a package of their own. With POSIX locks 4.17
        // keeps a shared lock of one open for as long as another open has the same (docs/net-use.md).
        let extra_samba = "vfs objects =\nposix locking = no\n".into();
        servers.push(Subject::Samba(Samba::start(&Setup { extra_samba, ..Setup::default() })));
    }
    servers
}

/// Runs a program in a directory of a mount.
fn python(program: &str, words: &[&str]) {
    let mut python = Command::new("python3");
    python.args(["-c", program]).args(words);
    run(python, b"", LIMIT).success();
}

#[test]
fn an_open_file_survives_a_lookup_in_another_case() {
    for subject in servers() {
        let machine = Machine::of(&subject);
        let one = machine.directory("one");
        machine.mount("one", "data", &[]).success();
        fs::write(format!("{one}/Report"), "text").expect("write");
        let mut open = fs::File::open(format!("{one}/REPORT")).expect("the server finds it in any case");
        fs::rename(format!("{one}/Report"), format!("{one}/REPORT")).expect("rename");
        let names = || {
            let listed = fs::read_dir(subject.share_dir("data")).expect("list");
            listed.map(|entry| entry.expect("an entry").file_name().into_string().expect("plain")).collect()
        };
        let shown: Vec<String> = names();
        assert_eq!(shown, ["REPORT"]);
        let mut text = String::new();
        open.read_to_string(&mut text).expect("read");
        assert_eq!(text, "text");
        drop(open);
        assert_eq!(fs::read_to_string(format!("{one}/REPORT")).expect("read"), "text");
        let shown: Vec<String> = names();
        assert_eq!(shown, ["REPORT"]);
        machine.net_use(&[&one, "/delete"]).success();
    }
}

/// The point at which a rename request is lost: before or after the server executed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    Request,
    Answer,
}

/// Passes connections on to a server, all but one SET_INFO, of which the request or the answer is lost with the
/// connection.
async fn losing(server: SocketAddr, which: usize, lost: Lost) -> (SocketAddr, Arc<AtomicUsize>) {
    losing_for(server, which, lost, Arc::new(AtomicBool::new(false))).await
}

/// As [`losing`], with a server that stays unreachable while `away` is true.
async fn losing_for(
    server: SocketAddr,
    which: usize,
    lost: Lost,
    away: Arc<AtomicBool>,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let place = listener.local_addr().expect("an address");
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.expect("a client");
            if count.load(Ordering::SeqCst) >= which && away.load(Ordering::SeqCst) {
                continue;
            }
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let server = TcpStream::connect(server).await.expect("the server");
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let answers = tokio::spawn(async move {
                    tokio::io::copy(&mut from_server, &mut to_client).await.ok();
                });
                let mut prefix = [0; 4];
                while from_client.read_exact(&mut prefix).await.is_ok() {
                    let mut message = vec![0; u32::from_be_bytes(prefix) as usize];
                    from_client.read_exact(&mut message).await.expect("a message");
                    let header = Header::decode(&message);
                    let renames = header.is_ok_and(|header| header.command == Smb::SET_INFO);
                    let cut = renames && count.fetch_add(1, Ordering::SeqCst) + 1 == which;
                    if cut && lost == Lost::Answer {
                        answers.abort();
                    }
                    if !cut || lost == Lost::Answer {
                        to_server.write_all(&prefix).await.expect("pass on");
                        to_server.write_all(&message).await.expect("pass on");
                    }
                    if cut {
                        // The server reads the data that was sent before the end of the stream.
                        to_server.shutdown().await.ok();
                        answers.abort();
                        return;
                    }
                }
                answers.abort();
            });
        }
    });
    (place, seen)
}

#[test]
fn a_rename_over_an_open_file_is_atomic_when_the_connection_is_lost() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for subject in servers() {
        for lost in [Lost::Request, Lost::Answer] {
            // One more than there are requests, so that the last time nothing is lost.
            for which in 1.. {
                let scene = format!("{lost:?} {which} of {subject:?}");
                let (place, seen) = runtime.block_on(losing(subject.address(), which, lost));
                let scratch = tempfile::tempdir().expect("a directory");
                let machine = Machine::new(scratch.path(), place.port(), &subject.user("alice").password);
                let one = machine.directory("one");
                machine.mount("one", "data", &[]).success();
                let (source, target) = (format!("{one}/source"), format!("{one}/target"));
                fs::write(&source, "new").expect("write");
                fs::write(&target, "old").expect("write");
                let open = fs::File::open(&target).expect("open");
                let before = seen.load(Ordering::SeqCst);
                assert_eq!(before, 0, "{scene}: only renames are lost");
                let renamed = fs::rename(&source, &target);
                let requests = seen.load(Ordering::SeqCst);
                drop(open);
                let directory = subject.share_dir("data");
                let there = |name: &str| fs::read_to_string(directory.join(name)).ok();
                match (there("source").as_deref(), there("target").as_deref()) {
                    (Some("new"), Some("old")) => assert!(renamed.is_err(), "{scene}"),
                    // The rename was done, but its answer may have been lost.
                    (None, Some("new")) => {}
                    (source, target) => panic!("{scene}: {renamed:?}, {source:?}, {target:?}"),
                }
                if requests < which {
                    renamed.expect("nothing was lost");
                    assert_eq!(fs::read_dir(&one).expect("list").count(), 1, "{scene}");
                }
                machine.net_use(&[&one, "/delete", "/yes"]).success();
                for name in fs::read_dir(&directory).expect("list") {
                    fs::remove_file(name.expect("an entry").path()).ok();
                }
                if requests < which {
                    assert!(requests > 3, "{scene}: it takes more than {requests} to replace what is open");
                    break;
                }
            }
        }
    }
}

#[test]
fn an_incomplete_rename_is_finished_or_undone_after_reconnecting() {
    if !need(NEEDS) {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let subject = Subject::start(&Setup::default());
    let password = subject.user("alice").password.clone();
    // The second request gives the target another name, the third is the rename, the fourth hides the target and the
    // fifth deletes it.
    let cases = [
        (2, Lost::Answer),
        (3, Lost::Request),
        (3, Lost::Answer),
        (4, Lost::Request),
        (4, Lost::Answer),
        (5, Lost::Request),
    ];
    let half_done = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for (which, lost) in cases {
            let (subject, runtime, password, half_done) = (&subject, &runtime, &password, &half_done);
            threads.spawn(move || {
                let scene = format!("{lost:?} {which}");
                let directory = subject.share_dir("data").join(&scene);
                fs::create_dir(&directory).expect("create a directory");
                let all = fs::Permissions::from_mode(0o777);
                fs::set_permissions(&directory, all).expect("permissions");
                let away = Arc::new(AtomicBool::new(true));
                let (place, _) =
                    runtime.block_on(losing_for(subject.address(), which, lost, Arc::clone(&away)));
                let scratch = tempfile::tempdir().expect("a directory");
                let machine = Machine::new(scratch.path(), place.port(), password);
                let one = machine.directory("one");
                machine.mount("one", "data", &[]).success();
                let (source, target) = (format!("{one}/{scene}/source"), format!("{one}/{scene}/target"));
                fs::write(&source, "new").expect("write");
                fs::write(&target, "old").expect("write");
                let open = fs::File::open(&target).expect("open");
                let renamed = fs::rename(&source, &target);
                let names = || {
                    let listed = fs::read_dir(&directory).expect("list");
                    let names =
                        listed.map(|it| it.expect("an entry").file_name().into_string().expect("text"));
                    let mut names: Vec<_> = names.collect();
                    names.sort();
                    names
                };
                half_done.fetch_add(
                    usize::from(names().iter().any(|name| name.starts_with(".shareward-replaced-"))),
                    Ordering::SeqCst,
                );
                drop(open);
                away.store(false, Ordering::SeqCst);
                let began = Instant::now();
                let there = |name: &str| fs::read_to_string(directory.join(name)).ok();
                loop {
                    let names = names();
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    match (&names[..], there("source").as_deref(), there("target").as_deref()) {
                        (["source", "target"], Some("new"), Some("old")) => {
                            assert!(renamed.is_err(), "{scene}");
                            break;
                        }
                        (["target"], None, Some("new")) => break,
                        _ => assert!(began.elapsed() < LIMIT, "{scene}: {renamed:?}, {names:?}"),
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
                machine.net_use(&[&one, "/delete", "/yes"]).success();
            });
        }
    });
    assert!(half_done.into_inner() >= 3, "what is to be finished has to be unfinished before");
}

#[test]
fn a_refused_rename_keeps_its_target() {
    if !need(&[NEEDS, &["mount", "umount"]].concat()) {
        return;
    }
    let subject = Subject::start(&Setup::default());
    let machine = Machine::of(&subject);
    let one = machine.directory("one");
    let inside = subject.share_dir("data").join("inside");
    fs::create_dir(&inside).expect("create a directory");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "mode=777", "tmpfs"]).arg(&inside);
    run(mount, b"", LIMIT).success();
    let outcome = std::panic::catch_unwind(|| {
        machine.mount("one", "data", &[]).success();
        for read_only in [false, true] {
            let target = format!("{one}/inside/target");
            fs::write(&target, "old").expect("write");
            fs::write(format!("{one}/source"), "new").expect("write");
            let open = (!read_only).then(|| fs::File::open(&target).expect("open"));
            if read_only {
                let mut permissions = fs::metadata(&target).expect("stat").permissions();
                permissions.set_readonly(true);
                fs::set_permissions(&target, permissions).expect("chmod");
            }
            let refused = fs::rename(format!("{one}/source"), &target).expect_err("another file system");
            assert_eq!(refused.kind(), io::ErrorKind::CrossesDevices, "{refused}");
            drop(open);
            assert_eq!(fs::read_to_string(&target).expect("read"), "old");
            assert_eq!(fs::read_to_string(format!("{one}/source")).expect("read"), "new");
            assert_eq!(fs::read_dir(&inside).expect("list").count(), 1);
            fs::remove_file(&target).expect("remove");
        }
        machine.net_use(&[&one, "/delete"]).success();
    });
    let mut umount = Command::new("umount");
    umount.arg("-l").arg(&inside);
    run(umount, b"", LIMIT).success();
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn read_only_files_and_directories_are_replaced_and_removed() {
    for subject in servers() {
        let machine = Machine::of(&subject);
        machine.mount("one", "data", &[]).success();
        python(
            r#"
import os, sys
os.chdir(sys.argv[1])
def write(name, text):
    with open(name, "w") as file: file.write(text)
# Read-only, and open: both removed and replaced.
write("gone", "text"); os.chmod("gone", 0o555)
with open("gone") as file:
    os.unlink("gone")
    assert os.listdir(".") == [] and file.read() == "text"
write("target", "old"); os.chmod("target", 0o555); write("source", "new")
with open("target") as file:
    os.rename("source", "target")
    assert os.listdir(".") == ["target"] and file.read() == "old" and open("target").read() == "new"
os.unlink("target")
write("target", "old"); os.chmod("target", 0o555); write("source", "new")
os.rename("source", "target")
assert os.listdir(".") == ["target"] and open("target").read() == "new"
os.unlink("target")
# A directory replaces an empty one only.
os.mkdir("a"); os.mkdir("b"); write("b/kept", "text")
try: os.rename("a", "b")
except OSError as error: assert error.errno == 39, error
else: raise AssertionError("b is not empty")
assert sorted(os.listdir(".")) == ["a", "b"] and os.listdir("b") == ["kept"]
os.rename("b", "a")
assert os.listdir(".") == ["a"] and os.listdir("a") == ["kept"]
os.unlink("a/kept"); os.rmdir("a")
"#,
            &[&machine.directory("one")],
        );
        machine.net_use(&[&machine.directory("one"), "/delete"]).success();
    }
}

/// A program that pauses at marked points.
struct Stepwise {
    child: Child,
    says: BufReader<std::process::ChildStdout>,
}

impl Stepwise {
    fn start(program: &str, words: &[&str]) -> Self {
        let mut python = Command::new("python3");
        python.args(["-c", program]).args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().expect("python3");
        let says = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, says }
    }

    fn says(&mut self, expected: &str) {
        let mut line = String::new();
        self.says.read_line(&mut line).expect("a line");
        assert_eq!(line.trim_end(), expected);
    }

    fn go_on(&mut self) {
        self.child.stdin.as_mut().expect("a pipe").write_all(b"\n").expect("the program listens");
    }
}

#[test]
fn fsync_fails_once_for_each_open_after_a_restart_of_the_server() {
    if !need(NEEDS) {
        return;
    }
    let mut server = Shareward::start(&Setup::default());
    let password = server.setup().user("alice").password.clone();
    let machine = Machine::new(&server.scratch(), server.address().port(), &password);
    let one = machine.directory("one");
    machine.mount("one", "data", &[]).success();
    let mut program = Stepwise::start(
        r#"
import errno, os, sys
os.chdir(sys.argv[1])
def fails(call, *words):
    try: call(*words)
    except OSError as error: assert error.errno == errno.EIO, (call, error)
    else: raise AssertionError("%s%r: nothing was lost" % (call.__name__, words))
def wait(word):
    print(word, flush=True)
    sys.stdin.readline()
first, second = os.open("f", os.O_CREAT | os.O_RDWR), os.open("f", os.O_RDWR)
reader, closed = os.open("f", os.O_RDONLY), os.open("f", os.O_RDWR)
safe = os.open("safe", os.O_CREAT | os.O_RDWR)
directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
os.fsync(directory)
os.write(safe, b"flushed"); os.fsync(safe)
os.write(first, b"text"); os.ftruncate(first, 3)
# Nobody knows of a loss yet, and a reader can have it made safe, too.
os.mkdir("made")
wait("written")
fails(os.fsync, first)
os.fsync(first)
fails(os.fsync, second)
fails(os.fsync, reader)
os.fsync(second); os.fsync(reader)
fails(os.close, closed)
os.fsync(safe); os.close(safe)
fails(os.fsync, directory)
os.fsync(directory)
late = os.open("f", os.O_RDWR)
os.fsync(late)
os.pwrite(first, b"more", 0)
os.fsync(reader)
wait("flushed")
os.fsync(first); os.fsync(second); os.fsync(late)
os.pwrite(late, b"lost", 0)
os.close(late)
wait("closed")
# Whoever opens it next is told, since nobody was.
next = os.open("f", os.O_RDWR)
fails(os.fsync, next)
os.fsync(next)
wait("done")
"#,
        &[&one],
    );
    for step in ["written", "flushed", "closed"] {
        program.says(step);
        server.restart();
        program.go_on();
    }
    program.says("done");
    program.go_on();
    assert!(program.child.wait().expect("an end").success());
    machine.net_use(&[&one, "/delete"]).success();
}

#[test]
fn appends_and_locks_exclude_each_other() {
    for subject in servers() {
        let machine = Machine::of(&subject);
        machine.mount("one", "data", &[]).success();
        machine.mount("two", "data", &[]).success();
        python(
            r#"
import errno, fcntl, os, sys, threading, time
here, there = (os.path.join(directory, "log") for directory in sys.argv[1:])
def size(): return os.stat(here).st_size
def read(name):
    # What appends is not cached.
    with open(os.open(name, os.O_RDONLY | os.O_APPEND), "rb") as file: return file.read()
file = os.open(here, os.O_CREAT | os.O_RDWR | os.O_APPEND)
# What the process has locked it appends to, through any of its opens, and to part of it.
fcntl.lockf(file, fcntl.LOCK_EX, 3, 0)
assert os.write(file, b"12345") == 5
other = os.open(here, os.O_WRONLY | os.O_APPEND)
fcntl.lockf(file, fcntl.LOCK_EX, 0, 0)
assert os.write(other, b"678") == 3
# What somebody else has locked is waited for.
far = os.open(there, os.O_WRONLY | os.O_APPEND)
waiting = threading.Thread(target=os.write, args=(far, b"90"))
waiting.start()
waiting.join(0.5)
assert waiting.is_alive() and size() == 8
fcntl.lockf(file, fcntl.LOCK_UN, 0, 0)
waiting.join(20)
assert not waiting.is_alive()
assert read(here) == b"1234567890" == read(there)
# An open that becomes an append's.
late = os.open(here, os.O_RDWR)
assert os.read(late, 3) == b"123"
fcntl.fcntl(late, fcntl.F_SETFL, os.O_APPEND)
assert os.write(far, b"a") == 1 and os.write(late, b"b") == 1
assert read(here) == b"1234567890ab" == read(there)
os.lseek(late, 0, os.SEEK_SET)
assert os.read(late, 100) == b"1234567890ab"
# More than one request carries.
large = os.urandom(3 << 20)
written = 0
while written < len(large): written += os.write(far, large[written:])
assert read(here) == b"1234567890ab" + large == read(there)
"#,
            &[&machine.directory("one"), &machine.directory("two")],
        );
        machine.net_use(&[&machine.directory("one"), "/delete"]).success();
        machine.net_use(&[&machine.directory("two"), "/delete"]).success();
    }
}

#[test]
fn concurrent_appends_of_two_clients_are_all_kept() {
    for subject in servers() {
        let machine = Machine::of(&subject);
        machine.mount("one", "data", &[]).success();
        machine.mount("two", "data", &[]).success();
        let (one, two) = (machine.directory("one"), machine.directory("two"));
        let file = subject.share_dir("data").join("log");
        let append = |directory: &str| {
            let mut options = fs::OpenOptions::new();
            options.append(true).create(true).open(format!("{directory}/log")).expect("open")
        };
        // Each has its own idea of how long the file is.
        let (first, second) = (append(&one), append(&two));
        for (mut file, line) in [(&first, "one\n"), (&second, "two\n"), (&first, "three\n")] {
            file.write_all(line.as_bytes()).expect("write");
        }
        assert_eq!(fs::read_to_string(format!("{one}/log")).expect("read"), "one\ntwo\nthree\n");
        assert_eq!(fs::read_to_string(format!("{two}/log")).expect("read"), "one\ntwo\nthree\n");
        // Both at the same time, some with a lock on the whole file and some without.
        let program = r#"
import fcntl, os, sys
name = sys.argv[2]
file = os.open(sys.argv[1] + "/log", os.O_WRONLY | os.O_APPEND)
for number in range(100):
    line = ("%s %d %s\n" % (name, number, "x" * (number % 50))).encode()
    if number % 4 == 0: fcntl.flock(file, fcntl.LOCK_EX)
    assert os.write(file, line) == len(line)
    if number % 4 == 0: fcntl.flock(file, fcntl.LOCK_UN)
os.fsync(file)
os.close(file)
"#;
        std::thread::scope(|threads| {
            for (directory, name) in [(&one, "a"), (&one, "b"), (&two, "c"), (&two, "d")] {
                threads.spawn(move || python(program, &[directory, name]));
            }
        });
        let text = fs::read_to_string(&file).expect("read");
        for name in ["a", "b", "c", "d"] {
            let own: Vec<&str> = text.lines().filter(|line| line.starts_with(&format!("{name} "))).collect();
            let expected: Vec<String> =
                (0..100).map(|number| format!("{name} {number} {}", "x".repeat(number % 50))).collect();
            assert_eq!(own, expected, "{subject:?}");
        }
        assert_eq!(text.lines().count(), 403);
        drop((first, second));
        machine.net_use(&[&one, "/delete"]).success();
        machine.net_use(&[&two, "/delete"]).success();
    }
}
