//! `net use`: shares as directories, through FUSE and through the Linux kernel's client.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::peer::{KERNEL_CLIENT_NEEDS, KernelClient};
use testkit::{Output, Setup, Shareward, Subject, find, need, repository, run, shareward_binary};

pub(crate) const NEEDS: &[&str] = &["root", "/dev/fuse", "python3"];

/// The time limit for a command of this machine; some wait for the loss of a connection.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A client machine: its directories and its remembered connections.
pub(crate) struct Machine {
    root: PathBuf,
    port: u16,
    password: String,
}

impl Machine {
    pub(crate) fn new(scratch: &Path, port: u16, password: &str) -> Self {
        let root = fs::canonicalize(scratch).expect("the scratch directory").join("machine");
        for directory in ["state", "one", "two"] {
            fs::create_dir_all(root.join(directory)).expect("create a directory");
        }
        Self { root, port, password: password.into() }
    }

    pub(crate) fn of(subject: &Subject) -> Self {
        Self::new(&subject.scratch(), subject.port(), &subject.user("alice").password)
    }

    pub(crate) fn directory(&self, name: &str) -> String {
        self.root.join(name).to_str().expect("a plain name").to_owned()
    }

    pub(crate) fn net_use(&self, words: &[&str]) -> Output {
        let mut command = Command::new(shareward_binary());
        command.args(["net", "use"]).args(words).current_dir("/");
        command.env("XDG_STATE_HOME", self.root.join("state")).env("SHAREWARD_PASSWORD", &self.password);
        run(command, b"", LIMIT)
    }

    fn share(&self, name: &str) -> String {
        format!("//127.0.0.1:{}/{name}", self.port)
    }

    pub(crate) fn mount(&self, directory: &str, share: &str, more: &[&str]) -> Output {
        let (directory, share) = (self.directory(directory), self.share(share));
        let mut words = vec![directory.as_str(), share.as_str(), "/USER:alice", "--via", "fuse"];
        words.extend(more);
        self.net_use(&words)
    }

    /// The process behind a mount, as the mount reports it.
    fn process(&self, directory: &str) -> u32 {
        let told = self.net_use(&[&self.directory(directory), "--json"]).success().stdout;
        let pid = told.split("\"pid\": ").nth(1).expect("a process").trim_end_matches(['}', '\n', ' ']);
        pid.parse().expect("a number")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for name in ["one", "two"] {
            // Most tests leave nothing; the mounts of a failed one must not stay.
            let mut umount = Command::new("umount");
            let _ = umount.args(["-l", &self.directory(name)]).stderr(std::process::Stdio::null()).status();
        }
    }
}

fn is_mounted(directory: &str) -> bool {
    fs::read_to_string("/proc/self/mountinfo").expect("a mount table").contains(&format!(" {directory} "))
}

/// Waits for an expected event.
pub(crate) fn soon(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LIMIT, "{what}: not after {LIMIT:?}");
        std::thread::yield_now();
    }
}

#[test]
fn programs_find_a_file_system() {
    if !need(NEEDS) {
        return;
    }
    let mut setup = Setup::default();
    setup.shares[0].shows_symlinks = true;
    let subject = Subject::start(&setup);
    let machine = Machine::of(&subject);
    machine.mount("one", "data", &[]).success();
    machine.mount("two", "data", &[]).success();
    let (one, two) = (machine.directory("one"), machine.directory("two"));
    let mut python = Command::new("python3");
    python.arg("-B").arg(repository().join("tests/peers/mount.py")).args([&one, &two]);
    run(python, b"", Duration::from_secs(170)).success().says("ok: exerciser");
    let processes = [machine.process("one"), machine.process("two")];
    machine.net_use(&[&one, "/delete"]).success();
    machine.net_use(&[&two, "/delete"]).success();
    assert!(!is_mounted(&one) && !is_mounted(&two));
    for process in processes {
        soon("the process has ended", || !Path::new(&format!("/proc/{process}/exe")).exists());
    }
}

/// fsx: random reads, writes, truncations, holes and mappings of one file, each checked.
#[test]
fn fsx_finds_no_difference() {
    let Some(subject) = Subject::with(&[NEEDS, &["fsx"]].concat()) else { return };
    let machine = Machine::of(&subject);
    let one = machine.directory("one");
    machine.mount("one", "data", &[]).success();
    let mut fsx = Command::new(find("fsx").expect("it is needed"));
    fsx.arg("-f").arg(repository().join("tests/peers/kernel/fsx.toml")).args(["-N", "3000", "-S", "7", "-P"]);
    fsx.arg(&machine.root).arg(format!("{one}/tested"));
    run(fsx, b"", Duration::from_secs(170)).success();
    machine.net_use(&[&one, "/delete"]).success();
}

#[test]
fn sealed_and_read_only_shares() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    let machine = Machine::of(&subject);
    let one = machine.directory("one");
    machine.mount("one", "sealed", &[]).success();
    fs::write(format!("{one}/secret"), "text").expect("write");
    machine.net_use(&[&one, "/delete"]).success();
    machine.mount("one", "sealed", &["--read-only"]).success();
    assert_eq!(fs::read_to_string(format!("{one}/secret")).expect("read"), "text");
    let refused = fs::write(format!("{one}/secret"), "other").expect_err("the mount is read-only");
    assert_eq!(refused.kind(), io::ErrorKind::ReadOnlyFilesystem);
    machine.net_use(&[&one, "/delete"]).success();
}

#[test]
fn refusals_have_the_numbers_of_net() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    let machine = Machine::of(&subject);
    let (one, share) = (machine.directory("one"), machine.share("data"));
    let exits = |output: Output, status: i32, text: &str| {
        assert_eq!(output.status, Some(status), "{output}");
        output.says(text);
    };
    exits(machine.net_use(&[&one, &share, "wrong", "/USER:alice"]), 2, "System error 1326");
    exits(machine.net_use(&[&one, &machine.share("nothing"), "/USER:alice"]), 67, "System error 67");
    exits(machine.net_use(&[&one, &machine.share("IPC$"), "/USER:alice"]), 66, "System error 66");
    exits(machine.net_use(&[&one, "//127.0.0.1:1/data", "/USER:alice"]), 53, "System error 53");
    exits(machine.net_use(&[&one, "//no-such-host.invalid/data", "/USER:alice"]), 53, "System error 53");
    exits(machine.net_use(&[&machine.directory("three"), &share, "/USER:alice"]), 3, "System error 3");
    exits(machine.net_use(&[&one, "/delete"]), 2, "NET HELPMSG 2250");
    machine.mount("one", "data", &[]).success();
    exits(machine.mount("one", "data", &[]), 85, "System error 85");
    machine.net_use(&[&one, "/delete"]).success();
}

#[test]
fn deleting_a_connection_with_open_files_asks_first() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    let machine = Machine::of(&subject);
    let one = machine.directory("one");
    machine.mount("one", "data", &[]).success();
    fs::write(format!("{one}/f"), "text").expect("write");
    let mut file = fs::File::open(format!("{one}/f")).expect("open");
    machine.net_use(&[&one]).success().says("# Opens           1");
    machine.net_use(&[&one, "/delete", "/no"]).failure();
    machine.net_use(&[&one, "/delete"]).failure().says("There are open files and/or").says("(Y/N) [N]: ");
    assert!(is_mounted(&one));
    let process = machine.process("one");
    machine.net_use(&[&one, "/delete", "/yes"]).success();
    assert!(!is_mounted(&one));
    soon("the process has ended", || !Path::new(&format!("/proc/{process}/exe")).exists());
    file.read_to_end(&mut Vec::new()).expect_err("the file was forced closed");
}

#[test]
fn a_lost_server_is_an_error_without_waiting() {
    if !need(NEEDS) {
        return;
    }
    let server = Shareward::start(&Setup::default());
    let password = &server.setup().user("alice").password;
    let machine = Machine::new(&server.scratch(), server.address().port(), password);
    let one = machine.directory("one");
    machine.mount("one", "data", &[]).success();
    fs::write(format!("{one}/f"), "text").expect("write");
    let mut file = fs::File::open(format!("{one}/f")).expect("open");
    // An administrator ends the session: the next call logs on again, and the open file is opened again.
    server.net(&["session", "/delete", "/yes"]).success();
    soon("the connection is made again", || fs::read(format!("{one}/f")).is_ok_and(|data| data == b"text"));
    let mut text = String::new();
    file.read_to_string(&mut text).expect("the file was opened again");
    assert_eq!(text, "text");
    server.signal("KILL");
    soon("the server has ended", || !server.answers());
    let started = Instant::now();
    let error = fs::read(format!("{one}/f")).expect_err("the server is gone");
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    machine.net_use(&[&one]).success().says("Disconnected");
    drop(file);
    machine.net_use(&[&one, "/delete", "/yes"]).success();
    assert!(!is_mounted(&one));
}

#[test]
fn remembered_connections_are_restored() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    let machine = Machine::of(&subject);
    let one = machine.directory("one");
    let file = machine.directory("credentials");
    fs::write(&file, format!("username=alice\npassword={}\n", machine.password)).expect("write");
    let words =
        [one.as_str(), &machine.share("data"), "--via", "fuse", "--credentials", &file, "/PERSISTENT:YES"];
    // Others could read it.
    run(chmod(&file, "644"), b"", LIMIT).success();
    machine.net_use(&words).failure().says("0644").says("chmod 600");
    run(chmod(&file, "600"), b"", LIMIT).success();
    machine.net_use(&words).success();
    // The list command of another test may be looking at it.
    soon("it is unmounted", || run(umount(&one), b"", LIMIT).status == Some(0));
    machine.net_use(&[&one]).success().says("Unavailable");
    machine.net_use(&["--restore"]).success();
    assert!(is_mounted(&one));
    machine.net_use(&[&one]).success().says("OK");
    machine.net_use(&[&one, "/delete"]).success();
    machine.net_use(&[&one]).failure().says("2250");
}

#[test]
fn concurrent_connections_are_all_remembered() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    let machine = Machine::of(&subject);
    for _ in 0..3 {
        std::thread::scope(|threads| {
            for directory in ["one", "two"] {
                let machine = &machine;
                threads.spawn(move || machine.mount(directory, "data", &["/PERSISTENT:YES"]).success());
            }
        });
        for directory in ["one", "two"] {
            let directory = machine.directory(directory);
            machine.net_use(&[&directory, "--json"]).success().says("\"persistent\": true");
            machine.net_use(&[&directory, "/delete"]).success();
            machine.net_use(&[&directory]).failure().says("2250");
        }
    }
}

/// In a separate view of the machine, in which every user may open `/dev/fuse`, as on a machine with udev: an
/// ordinary user connects with `fusermount3`, and only this user has access.
#[test]
fn an_ordinary_user_connects() {
    let Some(subject) = Subject::with(&[NEEDS, &["fusermount3", "unshare", "setpriv", "mknod"]].concat())
    else {
        return;
    };
    // The programs of a build are below a home directory that other users may not enter.
    let home =
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().expect("a home");
    fs::copy(shareward_binary(), home.path().join("shareward")).expect("install the program");
    fs::create_dir(home.path().join("share")).expect("create a directory");
    fs::create_dir(home.path().join("state")).expect("create a directory");
    let script = r#"
set -eu
cd "$1"
chown -R 65534:65534 share state
mknod fuse c 10 229
mount --bind fuse /dev/fuse
ordinary="setpriv --reuid 65534 --regid 65534 --clear-groups"
chmod 600 fuse
$ordinary ./shareward use "$1/share" "$2" /USER:alice --via fuse && exit 1 || test $? = 5
chmod 666 fuse
$ordinary sh -eu -s "$1" "$2" <<'END'
./shareward use "$1/share" "$2" /USER:alice
echo text >share/file
test "$(cat share/file)" = text
test "$(stat -c %u share/file)" = 65534
./shareward use
./shareward use "$1/share" /delete
test ! -e share/file
END
$ordinary ./shareward use "$1/share" "$2" /USER:alice
# An ordinary user's files are closed to root too, and the list says that it is there.
cat share/file 2>/dev/null && exit 1
./shareward use
$ordinary ./shareward use "$1/share" /delete
echo all done
"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(home.path());
    command.arg(format!("//127.0.0.1:{}/data", subject.port()));
    command.env("XDG_STATE_HOME", home.path().join("state"));
    command.env("SHAREWARD_PASSWORD", &subject.user("alice").password);
    let output = run(command, b"", LIMIT).success();
    output.says("all done").says("you are not permitted to open /dev/fuse").says("OK ");
}

/// In the virtual machine the kernel has its own client, which is used.
#[test]
fn through_the_kernels_client() {
    let Some(subject) = Subject::with(KERNEL_CLIENT_NEEDS) else { return };
    let script = format!(
        r#"
set -eu
mkdir -p "$TMPDIR/share" "$TMPDIR/state"
export XDG_STATE_HOME="$TMPDIR/state" SHAREWARD_PASSWORD="$KC_PASS"
net_use() {{ {binary:?} net use "$@"; }}
modprobe cifs 2>/dev/null || :
net_use "$TMPDIR/share" "//$KC_SERVER/data" /USER:alice
grep " $TMPDIR/share cifs " /proc/mounts | grep -v -F "$KC_PASS"
echo text >"$TMPDIR/share/file"
test "$(cat "$TMPDIR/share/file")" = text
net_use
net_use "$TMPDIR/share" "//$KC_SERVER/data" /USER:alice && exit 1 || test $? = 85
net_use "$TMPDIR/share" /delete
! grep -q " $TMPDIR/share cifs " /proc/mounts
net_use "$TMPDIR/share" "//$KC_SERVER/data" wrong /USER:alice --via cifs && exit 1 || test $? = 2
echo all done
"#,
        binary = shareward_binary()
    );
    let output = KernelClient::new(&subject, "none").run(&script, &[]);
    output.success().says("all done").says("OK ").says(r"\\10.213.0.1\data");
}

fn chmod(file: &str, mode: &str) -> Command {
    let mut command = Command::new("chmod");
    command.args([mode, file]);
    command
}

fn umount(directory: &str) -> Command {
    let mut command = Command::new("umount");
    command.arg(directory);
    command
}
