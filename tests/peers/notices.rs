//! Notices to webhooks and commands.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use client::smb::{CreateParameters, File};
use serde_json::Value;
use testkit::peer::smbclient;
use testkit::{Setup, Shareward, Subject, need};

use crate::scripted::tree;

/// The time in which a notice arrives on a busy machine.
const SOON: Duration = Duration::from_secs(30);

const SECRET: &str = "a secret of 20 bytes";

/// A request as the listener gets it.
struct Posted {
    head: Vec<(String, String)>,
    body: String,
}

impl Posted {
    fn header(&self, name: &str) -> &str {
        let found = self.head.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no header {name}"))
    }

    /// The notice, after its signature is checked.
    fn notice(&self) -> Value {
        let signed = format!("{}.{}", self.header("shareward-timestamp"), self.body);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
        let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(self.header("shareward-signature"), format!("sha256={digits}"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        let at: u64 = self.header("shareward-timestamp").parse().expect("seconds");
        assert!(now.as_secs().abs_diff(at) < 60, "{at}");
        let notice: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(self.header("shareward-event"), notice["event"]);
        assert_eq!(self.header("shareward-delivery"), notice["id"].to_string());
        notice
    }
}

/// Answers requests with these statuses in turn, the last one for ever.
fn listen(listener: TcpListener, statuses: Vec<u16>) -> Receiver<Posted> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let status = statuses.get(index).or(statuses.last()).copied().unwrap_or(200);
            let Ok(stream) = stream else { return };
            if sender.send(take(stream, status)).is_err() {
                return;
            }
        }
    });
    receiver
}

fn take(stream: TcpStream, status: u16) -> Posted {
    let mut reader = BufReader::new(&stream);
    let (mut line, mut head) = (String::new(), Vec::new());
    reader.read_line(&mut line).expect("a request");
    assert!(line.starts_with("POST /hook?token=x HTTP/1.1"), "{line}");
    loop {
        line.clear();
        reader.read_line(&mut line).expect("a header");
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        head.push((name.to_owned(), value.to_owned()));
    }
    let posted = Posted { head, body: String::new() };
    let mut body = vec![0; posted.header("content-length").parse().expect("a length")];
    reader.read_exact(&mut body).expect("the body");
    (&stream)
        .write_all(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").as_bytes())
        .expect("answer");
    Posted { body: String::from_utf8(body).expect("text"), ..posted }
}

/// Files beside the tests that the server's user can read.
fn place() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(place.path(), Permissions::from_mode(0o777)).expect("permissions");
    let secret = place.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).expect("write");
    (place, secret)
}

fn start(notices: &str, extra: &str) -> Subject {
    let setup = Setup { extra: format!("{extra}\n{notices}"), ..Setup::default() };
    Subject::Shareward(Shareward::start(&setup))
}

fn of(subject: &Subject) -> &Shareward {
    let Subject::Shareward(server) = subject else { panic!("the server is ours") };
    server
}

async fn open(subject: &Subject, name: &str) -> File {
    let tree = tree(subject, "alice", "data").await;
    tree.create(&CreateParameters::read_write(name)).await.expect("create")
}

fn json(server: &Shareward, words: &[&str]) -> Value {
    let said = server.net(&[words, &["--json"]].concat()).success();
    serde_json::from_str(&said.stdout).expect("JSON")
}

fn await_that(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < SOON, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn webhook_gets_signed_notices_and_is_tried_again() {
    let (_place, secret) = place();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let notices = format!(
        "[[notice]]\nevents = ['close_announced', 'closed', 'drain_begun', 'drain_done', 'drain_ended']\n\
         url = 'http://{address}/hook?token=x'\nsecret_file = {secret:?}\n"
    );
    // The strict sandbox permits connections to the ports of the settings only.
    let subject = start(&notices, "sandbox = 'strict'");
    let server = of(&subject);
    let posted = listen(listener, vec![503, 200]);
    let file = open(&subject, "report.docx").await;
    let id = json(server, &["file", "--path", "report"])["files"][0]["id"].to_string();
    server.net(&["file", &id, "/close", "/notice:1h", "Please save."]).success();
    let [first, second] = [0, 1].map(|_| posted.recv_timeout(SOON).expect("a request"));
    assert_eq!(first.body, second.body, "the second attempt is the same notice");
    let notice = second.notice();
    assert_eq!(notice["event"], "close_announced");
    assert_eq!((&notice["user"], &notice["path"]), (&"alice".into(), &"report.docx".into()));
    assert_eq!((&notice["text"], &notice["server"]), (&"Please save.".into(), &"TESTED".into()));
    assert!(notice["deadline"].is_string() && notice["computer"] == "127.0.0.1", "{notice}");
    server.net(&["share", "data", "/drain:1s", "/strict"]).success();
    let next = || posted.recv_timeout(SOON).expect("a request").notice();
    let begun = next();
    assert_eq!(
        (&begun["event"], &begun["count"], &begun["users"][0]),
        (&"drain_begun".into(), &1.into(), &"alice".into())
    );
    let done = next();
    assert_eq!((&done["event"], &done["count"]), (&"drain_done".into(), &1.into()));
    server.net(&["share", "data", "/undrain"]).success();
    assert_eq!(next()["event"], "drain_ended");
    drop(file);
    await_that("they are not counted", || {
        json(server, &["config", "server"])["settings"]["notices"][0]["delivered"] == 4
    });
    server.net(&["config", "server"]).success().says("4 delivered, 0 queued, 0 failed, 0 dropped");
}

#[test]
fn refusals_of_chosen_paths_and_failed_logons_are_reported() {
    if !need(&["smbclient"]) {
        return;
    }
    let (_place, secret) = place();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let webhook = format!("url = 'http://{address}/hook?token=x'\nsecret_file = {secret:?}\n");
    let notices = format!(
        "[[notice]]\nevents = ['refused']\nshares = ['DATA']\npaths = ['*.db']\n{webhook}\n\
         [[notice]]\nevents = ['logon_failures']\nfailures = 3\nwithin = 600\n{webhook}"
    );
    let subject = start(&notices, "");
    let posted = listen(listener, vec![204]);
    let server = of(&subject);
    for share in ["data", "other"] {
        server.net(&["share", share, "/drain"]).success();
        for name in ["a.txt", "b.db"] {
            let put = format!("put /etc/hostname {name}");
            let said = smbclient(&subject, subject.user("alice"), share, &[], &put);
            assert!(said.text().contains("SHARING_PAUSED"), "{said}");
        }
    }
    let notice = posted.recv_timeout(SOON).expect("a request").notice();
    assert_eq!((&notice["event"], &notice["reason"]), (&"refused".into(), &"draining".into()));
    assert_eq!((&notice["share"], &notice["path"]), (&"data".into(), &"b.db".into()));
    let wrong = testkit::User { password: String::from("wrong"), ..subject.user("alice").clone() };
    for _ in 0..3 {
        smbclient(&subject, &wrong, "data", &[], "ls");
    }
    let notice = posted.recv_timeout(SOON).expect("a request").notice();
    assert_eq!((&notice["event"], &notice["count"]), (&"logon_failures".into(), &3.into()));
}

/// A script for `command`.
fn script(place: &Path, name: &str, text: &str) -> PathBuf {
    let path = place.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("write");
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("permissions");
    path
}

#[tokio::test]
async fn command_gets_notices_although_the_sandbox_executes_nothing() {
    let (place, _secret) = place();
    let written = place.path().join("written");
    let hook = script(
        place.path(),
        "hook",
        &format!(
            "cat > {0}.new; echo \" $SHAREWARD_EVENT $1\" >> {0}.new; mv {0}.new {0}",
            written.display()
        ),
    );
    let fails = script(place.path(), "fails", "echo 'no mail today' >&2; exit 3");
    let notices = format!(
        "[[notice]]\nevents = ['closed']\ncommand = [{hook:?}, '$(id)']\n\
         [[notice]]\nevents = ['closed']\ncommand = [{fails:?}]\n"
    );
    for sandbox in ["on", "strict"] {
        let subject = start(&notices, &format!("sandbox = '{sandbox}'"));
        let server = of(&subject);
        let file = open(&subject, "x").await;
        let id = json(server, &["file", "--path", "x"])["files"][0]["id"].to_string();
        server.net(&["file", &id, "/close"]).success();
        await_that("the command has not run", || written.exists());
        let text = std::fs::read_to_string(&written).expect("the file");
        let (json_text, rest) = text.rsplit_once(" closed").expect("the event");
        assert_eq!(rest.trim(), "$(id)", "arguments are not for a shell");
        let notice: Value = serde_json::from_str(json_text).expect("JSON");
        assert_eq!((&notice["event"], &notice["outcome"]), (&"closed".into(), &"clean".into()));
        await_that("the failure is not in the log", || server.log().contains("no mail today"));
        let states = json(server, &["config", "server"]);
        assert_eq!(states["settings"]["notices"][1]["failed"], 1, "{states}");
        // The server itself still executes nothing; a new command waits for a restart.
        let config = std::fs::read_to_string(server.config()).expect("the configuration");
        std::fs::write(server.config(), config.replace("'$(id)'", "'other'")).expect("write");
        std::fs::remove_file(&written).expect("remove");
        server.signal("HUP");
        await_that("no warning", || server.log().contains("runs only after a restart"));
        let problem = json(server, &["config", "server"])["settings"]["notices"][0]["problem"].clone();
        assert!(problem.as_str().is_some_and(|it| it.contains("after a restart")), "{problem}");
        let helpers = helpers_of(server.pid());
        assert_eq!(helpers.len(), 2, "the helper runs");
        drop(file);
        drop(subject);
        await_that("the helper outlives the server", || {
            helpers.iter().all(|pid| !Path::new(&format!("/proc/{pid}/exe")).exists())
        });
    }
}

#[test]
fn helper_that_dies_is_started_again_and_its_notice_delivered() {
    let (place, _secret) = place();
    let (begun, written) = (place.path().join("begun"), place.path().join("written"));
    // The first one does not come to an end.
    let hook = script(
        place.path(),
        "hook",
        &format!(
            "if mkdir {}; then exec sleep 300; fi; echo $SHAREWARD_EVENT >> {}",
            begun.display(),
            written.display()
        ),
    );
    let notices = format!("[[notice]]\nevents = ['drain_begun', 'drain_ended']\ncommand = [{hook:?}]\n");
    let subject = start(&notices, "sandbox = 'strict'");
    let server = of(&subject);
    await_that("the helper does not run", || helpers_of(server.pid()).len() == 2);
    let [first, second] = helpers_of(server.pid())[..] else { panic!("two processes") };
    server.net(&["share", "data", "/drain"]).success();
    await_that("the command has not begun", || begun.exists());
    kill(second);
    let has = |words: &[&str]| {
        let text = std::fs::read_to_string(&written).unwrap_or_default();
        text.split_whitespace().eq(words.iter().copied())
    };
    await_that("the notice is not delivered again", || has(&["drain_begun"]));
    assert!(server.log().contains("died and is started again"), "{}", server.log());
    server.net(&["share", "data", "/undrain"]).success();
    await_that("the helper does not go on", || has(&["drain_begun", "drain_ended"]));
    // The command has written its line before the server knows that it has ended.
    let state = || json(server, &["config", "server"])["settings"]["notices"][0].clone();
    await_that("the notices do not count as delivered", || state()["delivered"] == 2);
    assert_eq!(state()["problem"], Value::Null, "{}", state());

    // Without the first process, the second one goes on. Without both, the server says so.
    kill(first);
    server.net(&["share", "data", "/drain"]).success();
    await_that("the second process does not go on", || has(&["drain_begun", "drain_ended", "drain_begun"]));
    await_that("no second process", || !processes_with("notice-helper", server.pid()).is_empty());
    for process in processes_with("notice-helper", server.pid()) {
        kill(process);
    }
    await_that("the log does not have it", || server.log().contains("commands run again after a restart"));
    server.net(&["config", "server"]).success().says("needs a restart of the server");
}

#[test]
fn webhook_on_a_new_port_needs_a_restart_under_the_strict_sandbox() {
    let (_place, secret) = place();
    let old = TcpListener::bind("127.0.0.1:0").expect("a port");
    let new = TcpListener::bind("127.0.0.1:0").expect("a port");
    let [old_port, port] = [&old, &new].map(|it| it.local_addr().expect("an address").port());
    let notice = |port: u16| {
        format!(
            "[[notice]]\nevents = ['drain_begun']\nurl = 'http://127.0.0.1:{port}/hook?token=x'\nsecret_file = {secret:?}\n"
        )
    };
    let mut subject = start(&notice(old_port), "sandbox = 'strict'");
    let Subject::Shareward(server) = &mut subject else { panic!("the server is ours") };
    if json(server, &["config", "server"])["settings"]["sandbox"]["landlock"]
        .as_str()
        .is_some_and(|it| it.starts_with("none"))
    {
        return testkit::skip("the kernel has no Landlock");
    }
    let config = std::fs::read_to_string(server.config()).expect("the configuration");
    std::fs::write(server.config(), config.replace(&format!(":{old_port}/"), &format!(":{port}/")))
        .expect("write");
    server.signal("HUP");
    await_that("the reload is not refused", || {
        server.log().contains("the previous one stays in force")
            && server.log().contains(&format!("port {port} "))
    });
    let posted = listen(old, vec![200]);
    server.net(&["share", "data", "/drain"]).success();
    assert_eq!(posted.recv_timeout(SOON).expect("a request").notice()["event"], "drain_begun");
    server.restart();
    let posted = listen(new, vec![200]);
    server.net(&["share", "other", "/drain"]).success();
    assert_eq!(posted.recv_timeout(SOON).expect("a request").notice()["share"], "other");
}

fn kill(process: u32) {
    let said = Command::new("kill").args(["-9", &process.to_string()]).status();
    assert!(said.expect("kill").success());
}

/// The processes of the helper: the child of the server, and its child.
fn helpers_of(server: u32) -> Vec<u32> {
    let first = helper_of(server);
    first.into_iter().chain(first.and_then(helper_of)).collect()
}

/// The processes with this argument that write to a pipe of the server, also if their parent has gone.
fn processes_with(argument: &str, server: u32) -> Vec<u32> {
    let exe = std::fs::read_link(format!("/proc/{server}/exe")).expect("the executable");
    let ends = pipes_of(server);
    let all = std::fs::read_dir("/proc").expect("processes").flatten();
    let numbers = all.filter_map(|it| it.file_name().to_str().and_then(|it| it.parse::<u32>().ok()));
    numbers
        .filter(|pid| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let has_argument = words.split(|it| *it == 0).any(|it| it == argument.as_bytes());
            has_argument
                && std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|it| it == exe)
                && std::fs::read_link(format!("/proc/{pid}/fd/1")).is_ok_and(|it| ends.contains(&it))
        })
        .collect()
}

/// The pipes that a process has open.
fn pipes_of(process: u32) -> Vec<PathBuf> {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).expect("descriptors").flatten();
    let targets = open.filter_map(|it| std::fs::read_link(it.path()).ok());
    targets.filter(|it| it.to_string_lossy().starts_with("pipe:")).collect()
}

/// The first child of a process.
fn helper_of(server: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

#[test]
fn command_that_hangs_does_not_delay_closes_and_others() {
    let (place, _secret) = place();
    let written = place.path().join("written");
    let hangs = script(place.path(), "hangs", "exec sleep 300");
    let hook = script(place.path(), "hook", &format!("echo x >> {}", written.display()));
    let notices = format!(
        "[[notice]]\nevents = ['drain_begun']\ncommand = [{hangs:?}]\n\
         [[notice]]\nevents = ['drain_begun']\ncommand = [{hook:?}]\n"
    );
    let subject = start(&notices, "");
    let server = of(&subject);
    for _ in 0..3 {
        server.net(&["share", "data", "/drain"]).success();
    }
    await_that("the other command waits", || {
        std::fs::read_to_string(&written).is_ok_and(|it| it.lines().count() == 3)
    });
}

#[test]
fn https_receivers_are_verified() {
    if !need(&["openssl", "python3"]) {
        return;
    }
    let (place, secret) = place();
    let path = |name: &str| place.path().join(name);
    // A certificate of an authority is none of a server.
    let request = "[req]\ndistinguished_name = dn\nx509_extensions = v3\nprompt = no\n[dn]\nCN = localhost\n\
                   [v3]\nsubjectAltName = DNS:localhost\nbasicConstraints = critical, CA:FALSE\n";
    std::fs::write(path("request"), request).expect("write");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-config"])
        .arg(path("request"))
        .arg("-keyout")
        .arg(path("key.pem"))
        .arg("-out")
        .arg(path("cert.pem"))
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl").success());
    let receiver = format!(
        "import http.server, ssl, sys\n\
         class Hook(http.server.BaseHTTPRequestHandler):\n\
         \tdef do_POST(self):\n\
         \t\topen({:?}, 'ab').write(self.rfile.read(int(self.headers['content-length'])) + b'\\n')\n\
         \t\tself.send_response(200); self.end_headers()\n\
         server = http.server.HTTPServer(('127.0.0.1', 0), Hook)\n\
         context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
         context.load_cert_chain({:?}, {:?})\n\
         server.socket = context.wrap_socket(server.socket, server_side=True)\n\
         print(server.server_address[1], flush=True)\n\
         server.serve_forever()\n",
        path("got"),
        path("cert.pem"),
        path("key.pem")
    );
    let mut python = Command::new("python3")
        .args(["-c", &receiver])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3");
    let mut port = String::new();
    BufReader::new(python.stdout.take().expect("stdout")).read_line(&mut port).expect("a port");
    let url = format!("https://localhost:{}/x", port.trim());
    let notice = |events: &str, more: &str| {
        format!("[[notice]]\nevents = ['{events}']\nurl = '{url}'\nsecret_file = {secret:?}\n{more}\n")
    };
    let trusted = format!("ca_file = {:?}", path("cert.pem"));
    let notices = notice("drain_begun", &trusted) + &notice("drain_ended", "");
    let subject = start(&notices, "sandbox = 'strict'");
    let server = of(&subject);
    server.net(&["share", "data", "/drain"]).success();
    await_that("nothing is received", || {
        std::fs::read_to_string(path("got")).is_ok_and(|it| it.contains("drain_begun"))
    });
    // The authorities of the system did not sign the certificate.
    server.net(&["share", "data", "/undrain"]).success();
    thread::sleep(Duration::from_secs(1));
    assert!(!std::fs::read_to_string(path("got")).expect("the file").contains("drain_ended"));
    assert_eq!(json(server, &["config", "server"])["settings"]["notices"][1]["delivered"], 0);
    python.kill().expect("kill");
    python.wait().expect("wait");
}
