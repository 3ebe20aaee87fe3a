//! Signed and encrypted messages in a Kerberos context (RFC 4121 4.2), from any sender and from one with the key.

use std::ops::Range;

use auth::kerberos::testing::{ClientSeal, RequestSpec, TicketSpec, keytab, third_leg};
use auth::kerberos::{
    Enctype, KerberosOptions, KerberosSeal, KerberosService, Key, Keytab, UsedAuthenticators,
};
use auth::{Acceptor, AcceptorConfig, MessageContext, Step};

use crate::input::{Input, join};
use crate::logon::{Fixed, NOW, Table, config};

/// A byte for the type of the keys and one for the sender, the part that is encrypted, then pieces: the message, and a token
/// or what a sender with the key writes in front of the message and behind it.
pub fn wrap(data: &[u8]) {
    let mut input = Input(data);
    let enctype = ENCTYPES[usize::from(input.byte()) % ENCTYPES.len()];
    let sender = input.byte() % 4;
    let start = usize::from(input.byte());
    let part = start..start.saturating_add(usize::from(input.byte()));
    let mut message = input.piece().to_vec();
    let (front, behind) = (input.piece(), input.piece());
    let (mut server, mut client) = context(enctype);
    let original = message.clone();
    match sender {
        0 => {
            server.open_part(&mut message, part, front);
        }
        1 => {
            server.verify(&message, front);
        }
        2 => with_key(&mut server, &client, &mut message, part, (front, behind)),
        _ => {
            let whole = 0..message.len();
            let token = server.seal_part(&mut message, whole, &mut Fixed).expect("random bytes");
            assert_eq!(token.len(), server.seal_len());
            assert!(client.open(&mut message, &token));
            assert_eq!(message, original);
            // A part that is out of range is the whole message.
            server.seal_part(&mut message, part, &mut Fixed).expect("random bytes");
        }
    }
    assert_eq!(message.len(), original.len());
}

/// A client with the key chooses the header in front, and the padding and the header that are encrypted behind the message.
fn with_key(
    server: &mut KerberosSeal,
    client: &ClientSeal,
    message: &mut [u8],
    part: Range<usize>,
    (front, behind): (&[u8], &[u8]),
) {
    let original = message.to_vec();
    let token = client.seal_between(front, message, behind);
    let whole = 0..message.len();
    let is_whole = part.end > message.len();
    if server.open_part(message, if is_whole { whole } else { part }, &token) {
        // An accepted token ends with a copy of its header, with no more than a block of padding before it.
        let header = behind.get(behind.len().saturating_sub(16)..).unwrap_or_default();
        assert_eq!((&front[..6], &front[8..]), (&header[..6], &header[8..]));
        assert!(behind.len() <= 32);
        if is_whole {
            assert_eq!(message, original);
        }
    }
}

const ENCTYPES: [Enctype; 4] =
    [Enctype::Aes128Sha1, Enctype::Aes256Sha1, Enctype::Aes128Sha256, Enctype::Aes256Sha384];

/// Both ends of a context.
fn context(enctype: Enctype) -> (KerberosSeal, ClientSeal) {
    const SERVICE: [&str; 2] = ["cifs", "files.corp.test"];
    const REALM: &str = "CORP.TEST";
    let key = Key::new(Enctype::Aes128Sha256, &[7; 16]).expect("the length of its keys");
    let keytab = Keytab::parse(&keytab(&[(&SERVICE, REALM, 1, &key)])).expect("a keytab");
    let service = KerberosService::new(keytab, KerberosOptions::default(), UsedAuthenticators::default());
    let config = AcceptorConfig { kerberos: Some(service.into()), ..config() };
    let mut acceptor = Acceptor::with_random(config, Box::new(Fixed)).for_rpc();
    let spec = TicketSpec { session_enctype: enctype, ..TicketSpec::new(&SERVICE, REALM, key, 1, NOW) };
    let issued = spec.issue();
    let request = RequestSpec::new(&issued, NOW).for_rpc();
    let Step::Continue(reply) = acceptor.step(&request.ap_req(&issued), &Table, NOW) else {
        panic!("a reply to a good request");
    };
    let (last, client) = third_leg(&reply, &issued, &request).expect("an answer to the request");
    let Step::Done(logon) = acceptor.step(&last, &Table, NOW) else { panic!("a logon with a good ticket") };
    let MessageContext::Kerberos(server) = logon.messages else { panic!("a context of Kerberos") };
    (*server, client)
}

/// The seeds: for each type of key the messages that a client sends.
pub(crate) fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let message = b"a message of more than a block";
    for (number, enctype) in ENCTYPES.into_iter().enumerate() {
        let mut add = |name: &str, sender: u8, pieces: &[&[u8]]| {
            let head = [number as u8, sender, 0, message.len() as u8];
            seeds.push((format!("{enctype}-{name}"), [&head[..], &join(pieces.iter().copied())].concat()));
        };
        let (_, mut client) = context(enctype);
        let mut sealed = *message;
        let token = client.seal(&mut sealed, 16);
        add("sealed", 0, &[&sealed, &token]);
        let (_, mut client) = context(enctype);
        add("signed", 1, &[message, &client.sign(message)]);
        // The header of the token, and what is encrypted behind the message: padding and the header without the rotation.
        let front = &token[..16];
        let mut header = front.to_vec();
        header[6..8].fill(0);
        add("with-the-key", 2, &[message, front, &[&[0xff; 16], header.as_slice()].concat()]);
        add("of-the-server", 3, &[message]);
    }
    seeds
}
