//! Messages that Samba's client, its torture tests and its server exchanged, one of each kind (command, status,
//! structure). All of them must decode.

use std::collections::BTreeSet;

use wire::header::Compound;
use wire::msg::{Body, Request, Response, decode_any};
use wire::{Command, Header};

#[test]
fn every_message_decodes_and_encodes_again() {
    for frame in frames() {
        for message in Compound::new(&frame) {
            let (_, message) = message.unwrap();
            let (header, body) = decode_any(message).unwrap_or_else(|error| {
                panic!("{error}: {:?} {:02x?}", Header::decode(message), &message[Header::SIZE..])
            });
            let mut again = Vec::new();
            header.encode(&mut again);
            match &body {
                Body::Request(request) => request.encode(&mut again, 0),
                Body::Response(response) => response.encode(&mut again, 0),
            }
            assert_eq!(decode_any(&again), Ok((header, body)));
        }
    }
}

#[test]
fn the_messages_cover_the_protocol() {
    let mut requests = BTreeSet::new();
    let mut responses = BTreeSet::new();
    let mut errors = 0;
    let mut contexts = BTreeSet::new();
    for frame in frames() {
        match decode_any(&frame).unwrap() {
            (_, Body::Response(Response::Error(_))) => errors += 1,
            (header, Body::Response(_)) => _ = responses.insert(header.command),
            (header, Body::Request(request)) => {
                requests.insert(header.command);
                if let Request::Create(create) = request {
                    contexts.extend(create.contexts.iter().map(|context| context.unwrap().name.to_vec()));
                }
            }
        }
    }
    for command in [
        Command::NEGOTIATE,
        Command::TREE_CONNECT,
        Command::CREATE,
        Command::CLOSE,
        Command::READ,
        Command::WRITE,
        Command::LOCK,
        Command::IOCTL,
        Command::QUERY_DIRECTORY,
        Command::CHANGE_NOTIFY,
        Command::QUERY_INFO,
        Command::SET_INFO,
        Command::OPLOCK_BREAK,
    ] {
        assert!(requests.contains(&command), "{command:?}");
        assert!(responses.contains(&command), "{command:?}");
    }
    assert!(errors >= 10, "{errors}");
    assert!(contexts.contains(b"RqLs".as_slice()), "{contexts:?}");
}

fn frames() -> Vec<Vec<u8>> {
    include_str!("frames/samba.hex").lines().map(unhex).collect()
}

fn unhex(line: &str) -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).unwrap() as u8;
    line.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
