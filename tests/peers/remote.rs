//! Our commands about servers on other machines: about Samba over MS-SRVS, and about our own over SMB.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use auth::Credentials;
use client::smb::{ClientConnection, ClientTree, ConnectOptions, CreateParameters, File};
use client::{Administration as _, Remote, SrvsClient};
use control::{CloseFile, ConnectionQuery, FileQuery, Session, SessionQuery};
use testkit::{Output, Samba, Setup, Share, Shareward, User, need, run, shareward_binary};
use wire::NtStatus;
use wire::msg::{CreateDisposition, CreateOptions};

/// The administrator. Without winbindd, Samba accepts only root.
pub(crate) const ROOT: (&str, &str) = ("root", "Adm1n-secret");
/// A user without rights.
pub(crate) const ALICE: (&str, &str) = ("alice", "Wonder-Land 1");

/// Another user without rights.
const BOB: (&str, &str) = ("bob", "b0b-the-Builder");

/// Longer than any command of these takes.
pub(crate) const COMMAND_MAX: Duration = Duration::from_secs(60);

pub(crate) fn setup() -> Setup {
    let user = |(name, password): (&str, &str), administrator| User {
        name: name.into(),
        password: password.into(),
        administrator,
    };
    let default = Setup::default();
    let share = |name: &str| Share { name: name.into(), ..default.shares[0].clone() };
    Setup {
        users: vec![user(ROOT, true), user(ALICE, false), user(BOB, false)],
        shares: vec![share("data"), share("Bücher")],
        ..default.clone()
    }
}

fn samba() -> Option<Samba> {
    if !need(&["root", "smbd", "net", "pdbedit", "unshare"]) {
        return None;
    }
    let samba = Samba::start(&setup());
    samba.make_administrator(ROOT.0);
    Some(samba)
}

/// Commands about other servers with their output, as on a terminal.
pub(crate) struct Transcript {
    pub(crate) text: String,
    hidden: Vec<(String, &'static str)>,
}

impl Transcript {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self { text: String::new(), hidden: vec![(format!(":{}", server.port()), ":PORT")] }
    }

    /// Replaces `text` with `shown`.
    pub(crate) fn hide(&mut self, text: impl Into<String>, shown: &'static str) {
        self.hidden.push((text.into(), shown));
    }

    /// Runs a command; its words are separated by spaces.
    pub(crate) fn run(&mut self, words: &str, (_, password): (&str, &str), input: &str) -> Output {
        let mut command = Command::new(shareward_binary());
        command.args(words.split(' ')).env("SHAREWARD_PASSWORD", password);
        self.note(words, run(command, input.as_bytes(), COMMAND_MAX))
    }

    /// Adds a command and its output.
    pub(crate) fn note(&mut self, words: &str, output: Output) -> Output {
        let exit = output.status.map_or("none".to_owned(), |status| status.to_string());
        let mut text = format!("$ net {words}\n{}", output.stdout);
        if !output.stderr.is_empty() {
            text.push_str(&format!("[stderr]\n{}", output.stderr));
        }
        text.push_str(&format!("[exit {exit}]\n\n"));
        for (hidden, shown) in &self.hidden {
            text = text.replace(hidden, shown);
        }
        self.text.push_str(&without_widths(&without_times(&text)));
        output
    }
}

/// The text with `HH:MM:SS` for every time of day or span.
fn without_times(text: &str) -> String {
    let mut shown: Vec<char> = text.chars().collect();
    let form = |part: &[char]| {
        part.iter().enumerate().all(|(at, it)| if at % 3 == 2 { *it == ':' } else { it.is_ascii_digit() })
    };
    for at in 0..shown.len().saturating_sub(7) {
        if form(&shown[at..at + 8]) {
            shown.splice(at..at + 8, "HH:MM:SS".chars());
        }
    }
    shown.into_iter().collect()
}

/// The text with single spaces, because column widths depend on the lengths of paths and numbers.
fn without_widths(text: &str) -> String {
    let line = |line: &str| line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    text.lines().map(|it| line(it) + "\n").collect()
}

/// Runs a command, its words separated by spaces.
fn net(words: &str, (_, password): (&str, &str), input: &str) -> Output {
    let mut command = Command::new(shareward_binary());
    command.args(words.split(' ')).env("SHAREWARD_PASSWORD", password);
    run(command, input.as_bytes(), COMMAND_MAX)
}

/// A client with a file open, which is left open.
pub(crate) struct Holder {
    connection: ClientConnection,
    pub(crate) file: File,
}

impl Holder {
    pub(crate) async fn open(
        server: SocketAddr,
        (user, password): (&str, &str),
        share: &str,
        path: &str,
    ) -> Self {
        let connection = ClientConnection::connect(server, None, ConnectOptions::new().expect("options"))
            .await
            .expect("connect");
        let session = connection.logon(Credentials::password(user, "", password)).await.expect("log on");
        let tree: ClientTree =
            session.tree_connect(&format!(r"\\127.0.0.1\{share}")).await.expect("tree connect");
        if let Some((directory, _)) = path.rsplit_once('\\') {
            let parameters = CreateParameters {
                disposition: CreateDisposition::OPEN_IF,
                options: CreateOptions::DIRECTORY_FILE,
                ..CreateParameters::directory(directory)
            };
            tree.create(&parameters).await.expect("the directory").close().await.expect("close");
        }
        let parameters = CreateParameters {
            disposition: CreateDisposition::OPEN_IF,
            ..CreateParameters::read_write(path)
        };
        let file = tree.create(&parameters).await.expect("the file");
        Self { connection, file }
    }

    /// True if the file was closed on the server. The client continues.
    pub(crate) async fn has_lost_its_file(&self) -> bool {
        self.connection.echo().await.expect("the connection is alive");
        self.file.read(0, 1).await.is_err_and(|error| error.is(NtStatus::FILE_CLOSED))
    }

    /// True if the session or its connection has ended.
    pub(crate) async fn has_lost_its_session(&self) -> bool {
        let read = self.file.read(0, 1).await;
        read.is_err_and(|error| error.is(NtStatus::USER_SESSION_DELETED) || error.status().is_none())
    }
}

/// The ids in the table of `net file`.
fn ids(output: &Output) -> Vec<String> {
    let first = output.stdout.lines().filter_map(|line| line.split(' ').next());
    first.filter(|word| word.parse::<u32>().is_ok()).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn samba_closes_a_file() {
    let Some(samba) = samba() else { return };
    let at = format!("--server root@{}", samba.address());
    let holder = Holder::open(samba.address(), ALICE, "data", "kept.txt").await;
    let other = Holder::open(samba.address(), ALICE, "data", "other.txt").await;
    let files = net(&format!("file {at} --path kept.txt"), ROOT, "").success();
    let id = ids(&files).pop().expect("a file");
    net(&format!("file {id} /close /y {at}"), ROOT, "").success();
    assert!(holder.has_lost_its_file().await);
    assert!(!other.has_lost_its_file().await);
    net(&format!("file {at} --path kept.txt"), ROOT, "").success().says("no entries");
    net(&format!("file {id} /close /y {at}"), ROOT, "").failure().says("2314");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ending_a_session_on_samba_warns_about_the_others() {
    let Some(samba) = samba() else { return };
    let at = format!("--server root@{}", samba.address());
    let holder = Holder::open(samba.address(), ALICE, "data", "kept.txt").await;
    let end = format!("session //127.0.0.1 --user alice /delete {at}");
    for answer in ["n\n", ""] {
        net(&end, ROOT, answer).failure().says("all sessions of that computer's connection");
        assert!(!holder.has_lost_its_session().await);
    }
    net(&end, ROOT, "y\n").success();
    assert!(holder.has_lost_its_session().await);
    net(&end, ROOT, "").failure().says("2312");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_password_is_read_from_standard_input() {
    let server = Shareward::start(&setup());
    let words = format!("session --user root --server {} --login root", server.address());
    let asked = |input: &str| {
        let mut command = Command::new(shareward_binary());
        command.args(words.split(' ')).env_remove("SHAREWARD_PASSWORD");
        run(command, input.as_bytes(), COMMAND_MAX)
    };
    let told = asked("Adm1n-secret\n").success();
    assert!(told.stderr.contains("root") && !told.stdout.contains("assword"), "{told}");
    asked("wrong\n").failure().says("1326");
    asked("").failure().says("3757");
}

/// A port of `::1` that leads to a server at 127.0.0.1.
fn forwarded(server: SocketAddr) -> Option<SocketAddr> {
    let listener = TcpListener::bind("[::1]:0").ok()?;
    let address = listener.local_addr().ok()?;
    std::thread::spawn(move || {
        for from in listener.incoming().flatten() {
            let to = TcpStream::connect(server).expect("the server");
            let pairs =
                [(from.try_clone().expect("a socket"), to.try_clone().expect("a socket")), (to, from)];
            for (mut from, mut to) in pairs {
                std::thread::spawn(move || {
                    let mut buffer = vec![0; 65_536];
                    while let Ok(got @ 1..) = from.read(&mut buffer) {
                        if to.write_all(&buffer[..got]).is_err() {
                            break;
                        }
                    }
                    to.shutdown(std::net::Shutdown::Both).ok();
                });
            }
        }
    });
    Some(address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn our_own_server_over_smb() {
    let server = Shareward::start(&setup());
    let at = format!("--server root@{}", server.address());
    let holder = Holder::open(server.address(), ALICE, "Bücher", r"été\報告.txt").await;
    let files = net(&format!("file --share Bücher --path *.txt {at}"), ROOT, "").success();
    let id = ids(&files).pop().expect("a file");
    net(&format!("file {id} /close --server bob@{}", server.address()), BOB, "").failure().says("error 5 ");
    assert!(!holder.has_lost_its_file().await);
    net(&format!("file {id} /close /y {at}"), ROOT, "").success();
    assert!(holder.has_lost_its_file().await);
    net(&format!("session //127.0.0.1 --user alice /delete {at}"), ROOT, "").success();
    assert!(holder.has_lost_its_session().await);
    if let Some(forwarded) = forwarded(server.address()) {
        net(&format!("session --server root@{forwarded}"), ROOT, "").success();
    }
}

/// Our own server as one that has only MS-SRVS.
#[tokio::test]
async fn our_own_server_over_ms_srvs() {
    let server = Shareward::start(&setup());
    let holder = Holder::open(server.address(), ALICE, "Bücher", r"été\報告.txt").await;
    let place = server.address().to_string().parse().expect("a place");
    let remote = Remote::new(place, Credentials::password(ROOT.0, "", ROOT.1));
    let client = SrvsClient::new(remote);

    let alice =
        SessionQuery { user: Some("ALICE".into()), share: Some("bücher".into()), ..Default::default() };
    let sessions = client.sessions(&alice).await.expect("sessions");
    let [session] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!(
        (session.computer.as_str(), session.user.as_str(), session.opens),
        ("127.0.0.1", "alice", Some(1))
    );
    assert!(session.idle_seconds.is_some_and(|idle| idle < 60) && session.guest == Some(false));
    assert_eq!(client.ending_warning(&[]), None);

    let query = FileQuery {
        client: Some("127.0.0.1".into()),
        share: Some("Bücher".into()),
        path: Some("報告*".into()),
        writing: Some(true),
        ..FileQuery::default()
    };
    let files = client.files(&query).await.expect("files");
    let [file] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!((file.path.as_str(), file.user.as_str()), (r"été\報告.txt", "alice"));
    assert_eq!(client.file(file.id).await.expect("the file").path, file.path);

    let connections = client.connections(&ConnectionQuery::default()).await.expect("connections");
    assert!(connections.iter().any(|it| {
        it.share == "Bücher" && it.user == "alice" && it.computer.as_deref() == Some("127.0.0.1")
    }));
    let shares = client.shares().await.expect("shares");
    assert!(shares.iter().any(|it| it.name == "Bücher" && it.path.is_some() && it.uses == Some(1)));
    assert_eq!(client.share("nothing").await.expect_err("no share").number(), 2310);
    assert_eq!(client.server().await.expect("the server").name, "TESTED");
    assert!(client.statistics().await.expect("counters").sessions_accepted >= Some(2));
    let clock = client.clock().await.expect("the clock");
    assert!((clock.now.0 - control::Timestamp::now().0).abs() < 60_000);
    assert_eq!(clock.offset_minutes, Some(0));

    let wrong = CloseFile { expect_user: Some("bob".into()), ..CloseFile::default() };
    assert_eq!(client.close_file(file.id, &wrong).await.expect_err("not bob's").number(), 2314);
    client.close_file(file.id, &CloseFile::default()).await.expect("close");
    assert!(holder.has_lost_its_file().await);
    assert_eq!(client.close_file(file.id, &wrong).await.expect_err("closed").number(), 2314);
    client.end_session(session).await.expect("end");
    assert!(holder.has_lost_its_session().await);
    assert_eq!(client.end_session(session).await.expect_err("ended").number(), 2312);

    // The session that asks can end itself, and the next question takes another.
    let own = Session { computer: "127.0.0.1".into(), user: "root".into(), ..Session::default() };
    client.end_session(&own).await.expect("end");
    assert_eq!(client.sessions(&SessionQuery::default()).await.expect("sessions").len(), 1);
}
