//! The control API over `\PIPE\shareward`: HTTP in plain reads and writes, under the session's identity.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use auth::Credentials;
use client::smb::{ClientConnection, ClientTree, ConnectOptions, CreateParameters, File, write_part};
use testkit::{Setup, Shareward};
use wire::msg::{CreateDisposition, WriteResponse};
use wire::{AccessMask, NtStatus, ShareAccess};

pub(crate) async fn tree(
    server: SocketAddr,
    setup: &Setup,
    user: &str,
    share: &str,
) -> (ClientConnection, ClientTree) {
    let options = ConnectOptions::new().expect("options");
    let connection = ClientConnection::connect(server, None, options).await.expect("connect");
    let user = setup.user(user);
    let credentials = Credentials::password(&user.name, "", &user.password);
    let session = connection.logon(credentials).await.expect("log on");
    let tree = session.tree_connect(&format!(r"\\127.0.0.1\{share}")).await.expect("tree connect");
    (connection, tree)
}

pub(crate) async fn pipe(tree: &ClientTree) -> File {
    let parameters = CreateParameters {
        access: AccessMask::FILE_GENERIC_READ | AccessMask::FILE_GENERIC_WRITE,
        share: ShareAccess::READ | ShareAccess::WRITE,
        disposition: CreateDisposition::OPEN,
        ..CreateParameters::open("shareward")
    };
    tree.create(&parameters).await.expect("the pipe")
}

pub(crate) fn get(address: &str) -> Vec<u8> {
    format!("GET {address} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()
}

/// Reads a whole answer: its header and its body.
pub(crate) async fn answer(pipe: &File) -> (u16, String) {
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
                return (status, body.to_owned());
            }
        }
        let bytes = pipe.read(0, 65_536).await.expect("read");
        text.push_str(std::str::from_utf8(&bytes).expect("text"));
    }
}

#[tokio::test]
async fn a_pipe_takes_split_and_successive_requests() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let (_connection, tree) = tree(server.address(), &setup, "admin", "IPC$").await;
    let pipe = pipe(&tree).await;
    for byte in get("/v1/server").chunks(7) {
        pipe.write(0, byte.to_vec()).await.expect("write");
    }
    let (status, body) = answer(&pipe).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("TESTED"), "{body}");
    pipe.write(0, get("/v1/files")).await.expect("write");
    let (status, body) = answer(&pipe).await;
    assert_eq!(status, 200);
    let listed = |body: &str| body.matches(r#""path":"shareward""#).count();
    assert_eq!(listed(&body), 0, "the pipe of the request is a part of it: {body}");
    let _other = self::pipe(&tree).await;
    pipe.write(0, get("/v1/files")).await.expect("write");
    let (_, body) = answer(&pipe).await;
    assert_eq!(listed(&body), 1, "{body}");
    pipe.close().await.expect("close");
}

#[tokio::test]
async fn the_rights_are_those_of_the_session() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let (_connection, tree) = tree(server.address(), &setup, "alice", "IPC$").await;
    let pipe = pipe(&tree).await;
    pipe.write(0, get("/v1/settings-of-nobody")).await.expect("write");
    assert_eq!(answer(&pipe).await.0, 404);
    pipe.write(0, get("/v1/sessions")).await.expect("write");
    let (status, body) = answer(&pipe).await;
    assert_eq!(status, 403);
    assert!(body.contains(r#""code":5"#), "{body}");
}

#[tokio::test]
async fn a_read_waits_for_its_answer_and_ends_with_the_pipe() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let (connection, tree) = tree(server.address(), &setup, "admin", "IPC$").await;
    let first = pipe(&tree).await;
    let reading = {
        let first = first.clone();
        tokio::spawn(async move { first.read(0, 4096).await })
    };
    // Answered only after the read has been taken and put off.
    connection.echo().await.expect("echo");
    first.write(0, get("/v1/clock-or-not")).await.expect("write");
    let bytes = tokio::time::timeout(Duration::from_secs(10), reading).await.expect("in time");
    assert!(bytes.expect("joined").expect("read").starts_with(b"HTTP/1.1 404"));

    let second = pipe(&tree).await;
    let reading = {
        let second = second.clone();
        tokio::spawn(async move { second.read(0, 4096).await })
    };
    connection.echo().await.expect("echo");
    second.close().await.expect("close");
    let ended =
        tokio::time::timeout(Duration::from_secs(10), reading).await.expect("in time").expect("joined");
    assert!(ended.is_err(), "{ended:?}");

    let third = pipe(&tree).await;
    third.write(0, b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n".to_vec()).await.expect("write");
    let broken = loop {
        if let Err(error) = third.read(0, 4096).await {
            break error;
        }
    };
    assert!(broken.is(NtStatus::PIPE_BROKEN), "{broken:?}");
}

#[tokio::test]
async fn unread_answers_do_not_block_the_connection() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let (connection, tree) = tree(server.address(), &setup, "admin", "IPC$").await;
    let pipe = pipe(&tree).await;
    let asking = {
        let pipe = pipe.clone();
        tokio::spawn(async move {
            loop {
                if pipe.write(0, get("/v1/files").repeat(1000)).await.is_err() {
                    return;
                }
            }
        })
    };
    // The connection goes on, whatever becomes of the writes.
    for _ in 0..50 {
        connection.echo().await.expect("echo");
    }
    pipe.close().await.expect("close");
    tokio::time::timeout(Duration::from_secs(10), asking).await.expect("in time").expect("joined");
}

/// A cancelled write reports the number of bytes that the server took: the rest of a request may follow.
#[tokio::test]
async fn a_cancelled_write_reports_the_bytes_taken() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let (connection, tree) = tree(server.address(), &setup, "admin", "IPC$").await;
    let pipe = pipe(&tree).await;
    // Answers that the client does not read, until the server accepts no more.
    let mut taken = Vec::new();
    loop {
        let bytes = get("/v1/files").repeat(1000);
        let length = u32::try_from(bytes.len()).expect("a length");
        let part = write_part(pipe.id(), 0, bytes.into());
        let request = connection.submit(tree.scope(), part).await.expect("write");
        if request.pending().await.is_some() {
            connection.cancel(&request).await.expect("cancel");
        }
        let answer = request.response().await.expect("an answer");
        if answer.status() == NtStatus::CANCELLED {
            break;
        }
        assert_eq!(answer.status(), NtStatus::SUCCESS);
        let count = WriteResponse::decode(&answer.message).expect("WRITE").count;
        assert!(count > 0 && count <= length);
        taken.push((count, length));
        assert!(taken.len() < 1000, "the server takes everything");
    }
    assert!(taken.iter().any(|(count, length)| count < length), "{taken:?}");
}

/// A user who opens many pipes gets some of them served, and leaves room for others.
#[tokio::test]
async fn one_user_cannot_use_all_places() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let (_connection, tree_of_bob) = tree(server.address(), &setup, "bob", "IPC$").await;
    let mut served = Vec::new();
    let refusal = loop {
        let pipe = pipe(&tree_of_bob).await;
        match pipe.write(0, get("/v1/clock")).await {
            Ok(_) => served.push(pipe),
            Err(error) => break error,
        }
        assert!(served.len() < 200, "no end of pipes");
    };
    assert!(refusal.is(NtStatus::PIPE_NOT_AVAILABLE), "{refusal}");
    for user in ["alice", "admin"] {
        let (_connection, tree) = tree(server.address(), &setup, user, "IPC$").await;
        let pipe = pipe(&tree).await;
        pipe.write(0, get("/v1/clock")).await.expect("write");
        assert_eq!(answer(&pipe).await.0, 200, "{user}");
    }
    // A released place can be used again, as soon as the task that had it has ended.
    served.pop().expect("a pipe").close().await.expect("close");
    let released = Instant::now();
    let again = loop {
        let pipe = pipe(&tree_of_bob).await;
        match pipe.write(0, get("/v1/clock")).await {
            Ok(_) => break pipe,
            Err(error) => assert!(error.is(NtStatus::PIPE_NOT_AVAILABLE), "{error}"),
        }
        assert!(released.elapsed() < Duration::from_secs(10), "the place is not released");
    };
    assert_eq!(answer(&again).await.0, 200);
}
