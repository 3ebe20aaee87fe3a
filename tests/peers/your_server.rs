//! The commands on servers of other makes on this machine: a real Samba, and copies of the files of the kernel's NFS
//! server and of ksmbd.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{Output, Samba, need, run, shareward_binary};
use wire::msg::{LockElement, LockFlags};

use crate::remote::{ALICE, COMMAND_MAX, Holder, ROOT, Transcript, setup};

/// Runs `shareward` with these words, separated by spaces, where Samba's users have accounts.
fn net(samba: &Samba, words: &str) -> Output {
    let mut command = samba.within(&shareward_binary());
    command.args(words.split(' ')).env("SHAREWARD_PASSWORD", ROOT.1).env("TZ", "UTC");
    run(command, b"", COMMAND_MAX)
}

/// An smbclient that has opened a file and waits.
struct Smbclient(Child);

impl Smbclient {
    fn open(samba: &Samba, file: &str) -> Self {
        let mut command = samba.tool("smbclient");
        command.args([
            "//127.0.0.1/Bücher",
            "-p",
            &samba.address().port().to_string(),
            "-U",
            "bob%b0b-the-Builder",
        ]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start smbclient");
        writeln!(child.stdin.as_mut().expect("piped"), "open {file}").expect("write to smbclient");
        Self(child)
    }
}

impl Drop for Smbclient {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Repeats a command until its output has the text.
fn until(samba: &Samba, words: &str, has: impl Fn(&str) -> bool) -> Output {
    let end = Instant::now() + COMMAND_MAX;
    loop {
        let output = net(samba, words);
        if has(&output.stdout) {
            return output;
        }
        assert!(Instant::now() < end, "{words}: {}", output.text());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The numbers that follow `"id": ` in JSON.
fn ids(json: &Output) -> Vec<String> {
    let parts = json.stdout.split("\"id\": ").skip(1);
    parts.map(|part| part.chars().take_while(char::is_ascii_digit).collect()).collect()
}

fn samba() -> Option<Samba> {
    need(&["root", "smbd", "smbstatus", "smbcontrol", "smbclient", "testparm", "pdbedit", "unshare"])
        .then(|| Samba::start(&setup()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_local_samba_shows_its_opens_and_ends_them() {
    let Some(samba) = samba() else { return };
    let at = format!("--server samba:{}", samba.config().display());
    fs::write(samba.share_dir("Bücher").join("other.txt"), "text").expect("a file");
    let holder = Holder::open(samba.address(), ALICE, "data", r"plan\kept.txt").await;
    let lock = LockElement { offset: 0, length: 10, flags: LockFlags::EXCLUSIVE_LOCK };
    holder.file.lock(&[lock]).await.expect("lock");
    let _bob = Smbclient::open(&samba, "other.txt");
    until(&samba, &format!("file {at}"), |text| text.contains("other.txt"));

    let mut transcript = Transcript::new(samba.address());
    transcript.hide(samba.config().display().to_string(), "CONFIG");
    transcript.hide(samba.share_dir("data").parent().expect("a parent").display().to_string(), "SHARES");
    let kept = ids(&net(&samba, &format!("file --json --path kept.txt {at}"))).pop().expect("an open");
    let other = ids(&net(&samba, &format!("file --json --path other.txt {at}"))).pop().expect("an open");
    let alice = ids(&net(&samba, &format!("session --json --user alice {at}"))).pop().expect("a session");
    let bob = ids(&net(&samba, &format!("session --json --user bob {at}"))).pop().expect("a session");
    for (id, shown) in [(&kept, "KEPT"), (&other, "OTHER"), (&alice, "ALICE"), (&bob, "BOB")] {
        transcript.hide(id.clone(), shown);
    }
    let path = samba.share_dir("data").join("plan");
    let mut note = |words: &str| transcript.note(words, net(&samba, words));
    note(&format!("session --user alice {at}"));
    note(&format!("session --user bob --verbose /list {at}"));
    note(&format!("file --path kept.txt {at}"));
    note(&format!("file {kept} --verbose {at}"));
    note(&format!("file --share Bücher --json {at}"));
    note(&format!("file --locked --csv {at}"));
    note(&format!("who {} {at}", path.display()));
    note(&format!("wait {} --timeout 0 {at}", path.join("kept.txt").display()));
    note(&format!("file --idle 1h {at}"));

    // Closing asks for a logon, and closes this open only.
    note(&format!("file {kept} /close /y {at}")).failure();
    assert!(!holder.has_lost_its_file().await);
    let as_alice = format!("file {kept} /close /y {at} --login alice");
    let mut command = samba.within(&shareward_binary());
    command.args(as_alice.split(' ')).env("SHAREWARD_PASSWORD", ALICE.1);
    transcript.note(&as_alice, run(command, b"", COMMAND_MAX)).failure();
    assert!(!holder.has_lost_its_file().await);
    let mut note = |words: &str| transcript.note(words, net(&samba, words));
    note(&format!("file {kept} /close /y {at} --login root")).success();
    assert!(holder.has_lost_its_file().await);
    note(&format!("file {kept} /close /y {at} --login root")).failure();
    note(&format!("wait {} --timeout 0 {at}", path.join("kept.txt").display())).success();

    // Bob's session ends, and alice's does not.
    note(&format!("session --id {bob} /delete /y {at}")).success();
    until(&samba, &format!("file {at}"), |text| !text.contains("other.txt"));
    note(&format!("session --id {bob} /delete /y {at}"));
    assert_eq!(ids(&net(&samba, &format!("session --json {at}"))), [alice]);
    insta::assert_snapshot!(without_dates(&transcript.text));
}

/// The text with `TIME` for each date and time, whose digits of seconds the transcript has hidden.
fn without_dates(text: &str) -> String {
    const DATE: usize = "2026-03-01T".len();
    let mut parts = text.split("HH:MM:SS");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let start = whole.len().saturating_sub(DATE);
        let is_date =
            whole.get(start..).is_some_and(|date| date.starts_with("20") && date.matches('-').count() == 2);
        let milliseconds = part.strip_prefix('.').and_then(|rest| rest.get(3..)?.strip_prefix('Z'));
        if is_date {
            whole.truncate(start);
        }
        whole.push_str("TIME");
        whole.push_str(milliseconds.unwrap_or(part));
    }
    whole
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_local_samba_is_watched_and_asked_by_the_programs() {
    let Some(samba) = samba() else { return };
    let at = format!("samba:{}", samba.config().display());
    let holder = Holder::open(samba.address(), ALICE, "data", "kept.txt").await;
    net(&samba, &format!("openfiles /query /fo csv /v /s {at}")).success().says("kept.txt").says("alice");
    net(&samba, &format!("session --ndjson --server {at}")).success().says(r#""make":"samba""#);
    let watched = net(&samba, &format!("file --watch --for 1s --server {at}")).success();
    assert!(
        watched.stdout.contains("present") && watched.stdout.contains("alice from 127.0.0.1"),
        "{}",
        watched.stdout
    );
    drop(holder);
    until(&samba, &format!("file --server {at}"), |text| text.contains("no entries"));
}

#[test]
fn a_user_without_rights_gets_access_denied() {
    let Some(samba) = samba() else { return };
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(shareward_binary());
    command.args(["session", "--server", &format!("samba:{}", samba.config().display())]).current_dir("/");
    run(command, b"", COMMAND_MAX).failure().says("System error 5").says("as root");
}

const INFO: &str = "clientid: 0x1\naddress: \"192.0.2.7:883\"\nstatus: confirmed\nseconds from last renew: 12\n\
    name: \"Linux NFSv4.2 desk7\"\nminor version: 2\n";

const STATES: &str = "- 0x00000001aa: { type: open, access: rw, deny: --, superblock: \"fd:10:13649\", filename: \"plan/a.txt\" }\n\
    - 0x00000001bb: { type: deleg, access: r, superblock: \"fd:10:13650\", filename: \"plan/b.txt\" }\n";

fn nfs_tree(root: &Path) {
    let client = root.join("clients/3");
    fs::create_dir_all(&client).expect("a directory");
    for (path, text) in [("info", INFO), ("states", STATES), ("ctl", "")] {
        fs::write(client.join(path), text).expect("a file");
    }
    fs::write(root.join("threads"), "8\n").expect("a file");
}

fn ksmbd_tree(root: &Path) {
    fs::create_dir_all(root.join("sessions")).expect("a directory");
    let session = "client              \t192.0.2.9\nuser                \tcarol\nid                  \t5\n\
        signing             \taes-gmac\t\nshare               \tdata\t       2 disk \n";
    fs::write(root.join("sessions/5"), session).expect("a file");
    let files = "#<tree id>  <pid>\n0x2        0x4       0         0x1        OPLOCK_BATCH   \n 0x0012019f 0x00000003 c.txt\n";
    fs::write(root.join("files"), files).expect("a file");
}

#[test]
fn copies_of_the_kernels_files_are_listed() {
    let root = tempfile::tempdir().expect("a directory");
    nfs_tree(&root.path().join("nfsd"));
    ksmbd_tree(&root.path().join("ksmbd"));
    let mut transcript = Transcript::new(([127, 0, 0, 1], 1).into());
    transcript.hide(root.path().display().to_string(), "ROOT");
    let nfs = format!("nfs:{}/nfsd", root.path().display());
    let ksmbd = format!("ksmbd:{}/ksmbd", root.path().display());
    let mut note = |words: &str| transcript.run(words, ROOT, "");
    note(&format!("session --server {nfs},{ksmbd}"));
    note(&format!("session --json --server {nfs}"));
    note(&format!("file --verbose --server {nfs},{ksmbd}"));
    note(&format!("file --user carol --csv --server {ksmbd}"));
    note(&format!("file --user carol --server {nfs}"));
    note(&format!("file 4 /close /y --server {ksmbd}"));
    note(&format!("session --id 5 /delete /y --server {ksmbd}"));
    note(&format!("session --id 3 /delete /y --server {nfs}"));
    note(&format!("session --server ksmbd:{}/none", root.path().display()));
    note(&format!("who /srv/c.txt --server {ksmbd}"));
    assert_eq!(fs::read_to_string(root.path().join("nfsd/clients/3/ctl")).expect("ctl"), "expire\n");
    insta::assert_snapshot!(transcript.text);
}

/// In namespaces of their own, so that no server of this machine is there, and with a copy of the NFS server's files.
#[test]
fn a_kernel_server_is_found_by_itself() {
    if !need(&["root", "unshare"]) || !Path::new("/proc/fs/nfsd").is_dir() {
        return;
    }
    let root = tempfile::tempdir().expect("a directory");
    nfs_tree(root.path());
    let script = "mount --bind \"$1\" /proc/fs/nfsd && shift && exec \"$@\"";
    let found = |words: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--propagation", "private", "sh", "-c", script, "sh"]);
        command.arg(root.path()).arg(shareward_binary()).args(words.split(' '));
        // No Shareward of this machine is meant.
        command.env_remove("SHAREWARD_SOCKET").env_remove("XDG_RUNTIME_DIR");
        run(command, b"", COMMAND_MAX)
    };
    if Path::new(control::socket_paths::SYSTEM_SOCKET).exists() {
        return testkit::skip("a Shareward server runs on this machine");
    }
    found("session").success().says(r"\\192.0.2.7").says("Linux NFSv4.2 desk7");
    found("file --json").success().says(r#""make": "nfs""#);
    found("openfiles /query").success().says("a.txt").says("(unknown)");
    found("psfile a.txt").success().says("plan\\a.txt").says("(unknown)");
    found("psloggedon").success().says("(unknown) from 192.0.2.7");
    found("net config server").failure().says("2114");
    fs::write(root.path().join("threads"), "0\n").expect("a file");
    found("session").failure().says("2114").says("'shareward serve' starts a server");
}
