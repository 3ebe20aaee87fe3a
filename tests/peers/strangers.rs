//! Clients without a logon, in any number: they make room for each other, their resources are limited, and clients
//! with credentials can still log on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process;
use std::time::{Duration, Instant};

use auth::{ClientStep, Credentials, Initiator};
use client::smb::{ClientConnection, ClientSession, ConnectOptions, CreateParameters, Part, Scope};

use testkit::{Setup, Shareward, Subject, run, shareward_binary};
use wire::header::{Command, Header};
use wire::msg::{EchoRequest, SessionSetupRequest, TreeConnectRequest};
use wire::{NtStatus, SessionId, Utf16};

use crate::hostile::Neighbour;
use crate::scripted::tree;

/// The limit of descriptors, of which connections get a part.
const DESCRIPTORS: u32 = 4_096;
const CONNECTIONS: usize = 512;

/// Addresses that strangers come from.
const HOSTS: u8 = 8;

fn small() -> Setup {
    Setup { descriptors: Some(DESCRIPTORS), ..Setup::default() }
}

/// Memory of the server that is in use, MiB.
fn resident(server: &Shareward) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// A client with a new connection, from one of several addresses.
async fn stranger(server: SocketAddr, number: usize) -> ClientConnection {
    let host = u8::try_from(number % usize::from(HOSTS)).expect("small") + 2;
    let local = SocketAddr::from(([127, 0, 0, host], 0));
    let options = ConnectOptions::new().expect("options");
    ClientConnection::connect(server, Some(local), options).await.expect("connect")
}

/// Sends the first message of a logon with a given token, and returns the status.
async fn begin(connection: &ClientConnection, token: &[u8]) -> NtStatus {
    let request = SessionSetupRequest { security_buffer: token, ..SessionSetupRequest::default() };
    let part = Part::new(Command::SESSION_SETUP, |out, base| request.encode(out, base));
    match connection.request(&Scope::default(), part).await {
        Ok(response) => response.status(),
        Err(_) => NtStatus::CONNECTION_DISCONNECTED,
    }
}

fn first_token() -> Vec<u8> {
    match Initiator::new(Credentials::password("bob", "", "x"), "server").step(None) {
        Ok(ClientStep::Token(token)) => token,
        other => panic!("no token: {other:?}"),
    }
}

/// Announces a frame and sends a part of it.
fn half_a_frame(server: SocketAddr, announced: usize, sent: usize) -> TcpStream {
    let mut socket = TcpStream::connect(server).expect("connect");
    let length = u32::try_from(announced).expect("a length").to_be_bytes();
    // The server may have dropped it already.
    let _ = socket.write_all(&length).and_then(|()| socket.write_all(&vec![0xfe; sent]));
    socket
}

async fn tree_connects(session: &ClientSession) -> usize {
    let path: Vec<u8> = r"\\x\IPC$".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let request = TreeConnectRequest { path: Utf16::new(&path).expect("text"), ..Default::default() };
    for count in 0.. {
        let part = Part::new(Command::TREE_CONNECT, |out, base| request.encode(out, base));
        match session.connection().request(session.scope(), part).await {
            Ok(response) if response.status().is_success() => {}
            _ => return count,
        }
    }
    unreachable!()
}

#[tokio::test]
async fn an_administrator_logs_on_when_strangers_have_filled_everything() {
    let server = Shareward::start(&small());
    let (address, before) = (server.address(), resident(&server));
    // An existing connection, which stays.
    let subject = Subject::Shareward(server);
    let neighbour = Neighbour::beside(&subject).await;
    let Subject::Shareward(server) = &subject else { unreachable!() };

    // Connections, idle ones and ones with a part of a large frame.
    let mut idle: Vec<_> = (0..CONNECTIONS).map(|_| TcpStream::connect(address).expect("connect")).collect();
    idle.extend((0..CONNECTIONS).map(|_| half_a_frame(address, 128 * 1024, 100 * 1024)));
    neighbour.goes_on().await;
    let with_halves = resident(server);

    // Sessions in progress; one of the allowed ones begins with a token that is too large to be stored.
    let token = first_token();
    let mut strangers = Vec::new();
    let mut begun = 0;
    for number in 0..96 {
        let connection = stranger(address, number).await;
        let large = [&token[..12], &[0xff; 60_000][..]].concat();
        assert!(begin(&connection, &large).await.is_error());
        while begin(&connection, &token).await == NtStatus::MORE_PROCESSING_REQUIRED {
            begun += 1;
        }
        strangers.push(connection);
    }
    assert!(begun > 4_096, "{begun} sessions in progress");
    neighbour.goes_on().await;

    // Tree connects of anonymous sessions.
    let mut trees = 0;
    for number in 0..64 {
        let connection = stranger(address, number).await;
        let session = connection.logon_anonymous().await.expect("an anonymous session");
        let count = tree_connects(&session).await;
        assert!(count <= 64, "{count} tree connects of one connection");
        trees += count;
        strangers.push(connection);
    }
    neighbour.goes_on().await;
    let after = resident(server);

    // And more connections, so that none is left.
    idle.extend((0..CONNECTIONS).map(|_| TcpStream::connect(address).expect("connect")));

    let words = format!("session --server {address} --login admin");
    let mut command = process::Command::new(shareward_binary());
    command.args(words.split(' ')).env("SHAREWARD_PASSWORD", &server.setup().user("admin").password);
    run(command, b"", Duration::from_secs(60)).success().says("alice");
    server.net(&["session"]).success().says("alice");
    // Users can log on as well, and the existing connection works.
    tree(&subject, "bob", "data").await;
    neighbour.goes_on().await;
    eprintln!(
        "{before} MiB, {with_halves} with half frames, {after} with {begun} sessions and {trees} tree connects"
    );
    assert!(with_halves < before + 48, "{before} MiB became {with_halves}");
    assert!(after < before + 80, "{before} MiB became {after}");
    drop((idle, strangers));
}

/// A connection without a logon is dropped for a newer one of the same address, and not one of another.
#[tokio::test]
async fn the_oldest_idle_connection_of_an_address_is_dropped() {
    let server = Shareward::start(&small());
    let address = server.address();
    let elsewhere = stranger(address, 0).await;
    let mut oldest = TcpStream::connect(address).expect("connect");
    let idle: Vec<_> = (0..CONNECTIONS).map(|_| TcpStream::connect(address).expect("connect")).collect();
    oldest.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    let began = Instant::now();
    match oldest.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        other => panic!("it is not closed: {other:?}"),
    }
    assert!(began.elapsed() < Duration::from_secs(15), "not before its time is over: {:?}", began.elapsed());
    elsewhere.echo().await.expect("the other address's connection is there");
    drop(idle);
}

#[tokio::test]
async fn an_anonymous_session_does_not_lift_the_limits_of_strangers() {
    let subject = Subject::start(&Setup::default());
    let options = ConnectOptions::new().expect("options");
    let connection = ClientConnection::connect(subject.address(), None, options).await.expect("connect");
    let session = connection.logon_anonymous().await.expect("an anonymous session");
    assert!(session.id() != SessionId(0));
    connection.echo().await.expect("echo");
    // An ECHO in a frame that is as large as only users may send.
    let message_id = connection.take_message_ids(1).await.expect("a message id");
    let header = Header { command: Command::ECHO, message_id, credits: 1, ..Header::default() };
    let mut message = header.to_bytes().to_vec();
    EchoRequest.encode(&mut message, 0);
    message.resize(200 * 1024, 0);
    connection.raw_send(&message).await.expect("send");
    assert!(connection.echo().await.is_err(), "the connection goes on");
    // A user may.
    let tree = tree(&subject, "bob", "data").await;
    let file = tree.create(&CreateParameters::read_write("large")).await.expect("create");
    assert_eq!(file.write(0, vec![7; 200 * 1024]).await.expect("write"), 200 * 1024);
}

/// The time until a connection needs a logon, with allowance for a busy machine.
const LOGON_TIME: Duration = Duration::from_secs(45 + 30);

#[tokio::test]
async fn an_anonymous_session_stays_only_with_a_share_that_takes_guests() {
    let extra = "\n[[share]]\nname = \"public\"\npath = \"shares/other\"\nguest = true\n";
    let subject = Subject::Shareward(Shareward::start(&Setup { extra: extra.into(), ..Setup::default() }));
    let idle = stranger(subject.address(), 0).await;
    let browser = stranger(subject.address(), 0).await;
    let session = browser.logon_anonymous().await.expect("an anonymous session");
    session.tree_connect(r"\\127.0.0.1\IPC$").await.expect("tree connect");
    session.tree_connect(r"\\127.0.0.1\data").await.expect_err("it does not take guests");
    let guest = stranger(subject.address(), 0).await;
    let session = guest.logon_anonymous().await.expect("an anonymous session");
    let public = session.tree_connect(r"\\127.0.0.1\public").await.expect("tree connect");
    let file = public.create(&CreateParameters::read_write("from nobody")).await.expect("create");
    let user = tree(&subject, "bob", "data").await;

    let began = Instant::now();
    while !(idle.has_ended() && browser.has_ended()) {
        assert!(began.elapsed() < LOGON_TIME, "idle: {}, browser: {}", idle.has_ended(), browser.has_ended());
        // A client that sends requests all the time has no more time.
        let _ = tokio::join!(idle.echo(), browser.echo(), tokio::time::sleep(Duration::from_millis(200)));
    }
    let large = vec![7; 1024 * 1024];
    assert_eq!(file.write(0, large).await.expect("write"), 1024 * 1024);
    user.connection().echo().await.expect("a user's connection goes on");
}
