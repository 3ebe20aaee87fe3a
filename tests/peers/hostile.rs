//! Malicious and broken clients: each gets a refusal, and other clients are not affected.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use client::smb::{ClientTree, CreateParameters, File};
use testkit::{Setup, Subject};
use wire::header::{Command, Header};
use wire::msg::EchoRequest;
use wire::{MessageId, NtStatus, Put};

use crate::scripted::{address, connected};

/// A client that minds its own business.
pub(crate) struct Neighbour {
    tree: ClientTree,
    file: File,
}

impl Neighbour {
    pub(crate) async fn beside(subject: &Subject) -> Self {
        let (_, tree) = connected(subject, "alice").await;
        let file = tree.create(&CreateParameters::read_write("neighbour.txt")).await.expect("create");
        assert_eq!(file.write(0, b"still here".to_vec()).await.expect("write"), 10);
        Self { tree, file }
    }

    pub(crate) async fn goes_on(&self) {
        assert_eq!(&self.file.read(0, 64).await.expect("read")[..], b"still here");
        let again = self.tree.create(&CreateParameters::open("neighbour.txt")).await.expect("open again");
        again.close().await.expect("close");
    }
}

/// Sends bytes and returns true if the server then ends the connection.
fn is_hung_up_on(server: SocketAddr, bytes: &[u8]) -> bool {
    let mut socket = TcpStream::connect(server).expect("connect");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    // The server may hang up before it has read everything.
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a length");
    [&length.to_be_bytes(), message].concat()
}

#[tokio::test]
async fn garbage_ends_the_connection() {
    let subject = Subject::start(&Setup::default());
    let neighbour = Neighbour::beside(&subject).await;
    let server = address(&subject);
    let noise: Vec<u8> = (0..4000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let before_negotiate = Header { command: Command::ECHO, ..Header::default() }.to_bytes();
    for bytes in [
        noise.clone(),
        framed(&noise),
        framed(b"\xfeSMB"),
        framed(b"\xfdSMB-and-nothing-sealed"),
        framed(b"\xffSMBs"),
        framed(&before_negotiate),
        // The largest frame that can be announced.
        [&[0x00, 0xff, 0xff, 0xff][..], &noise].concat(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
    ] {
        assert!(is_hung_up_on(server, &bytes), "{:02x?}", &bytes[..bytes.len().min(16)]);
        neighbour.goes_on().await;
    }
}

#[tokio::test]
async fn incomplete_frames_take_no_memory() {
    let subject = Subject::start(&Setup::default());
    let neighbour = Neighbour::beside(&subject).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        let mut socket = TcpStream::connect(address(&subject)).expect("connect");
        socket.write_all(&[0, 0, 1, 0, 0xfe, b'S']).expect("half a frame");
        silent.push(socket);
    }
    neighbour.goes_on().await;
    drop(silent);
    neighbour.goes_on().await;
}

#[tokio::test]
async fn a_compound_of_a_thousand_parts_ends_its_connection() {
    let subject = Subject::start(&Setup::default());
    let neighbour = Neighbour::beside(&subject).await;
    let (connection, _) = connected(&subject, "bob").await;
    let mut compound = Vec::new();
    for part in 0..1000 {
        let base = compound.len();
        let header =
            Header { command: Command::ECHO, message_id: MessageId(1000 + part), ..Header::default() };
        header.encode(&mut compound);
        EchoRequest.encode(&mut compound, base);
        if part < 999 {
            compound.pad_to(base, 8);
            let next = u32::try_from(compound.len() - base).expect("a length");
            compound.patch_u32(base + Header::NEXT_COMMAND_OFFSET, next);
        }
    }
    connection.raw_send(&compound).await.expect("send");
    assert!(connection.echo().await.is_err(), "the connection goes on");
    neighbour.goes_on().await;
}

#[tokio::test]
async fn the_number_of_opens_is_limited_and_leaves_room_for_others() {
    let subject = Subject::start(&Setup::default());
    let neighbour = Neighbour::beside(&subject).await;
    let (_greedy, tree) = connected(&subject, "bob").await;
    let made = tree.create(&CreateParameters::read_write("wanted.txt")).await.expect("create");
    let mut opens = vec![made];
    let refusal = loop {
        match tree.create(&CreateParameters::open("wanted.txt")).await {
            Ok(open) => opens.push(open),
            Err(error) => break error,
        }
        assert!(opens.len() <= MORE_THAN_ANY_SESSION_MAY, "no end of opens");
    };
    assert!(refusal.is(NtStatus::TOO_MANY_OPENED_FILES), "{refusal}");
    neighbour.goes_on().await;
    // A released open can be replaced.
    opens.pop().expect("an open").close().await.expect("close");
    tree.create(&CreateParameters::open("wanted.txt")).await.expect("one more after one less");
}

/// The registry's limit for one session, with something to spare.
const MORE_THAN_ANY_SESSION_MAY: usize = 70_000;
