//! Tests of RPC pipes whose messages are protected with tickets, over sessions with tickets.

use auth::kerberos::KerberosTime;
use auth::kerberos::testing::{Issued, PacSpec, RequestSpec, TicketSpec, third_leg};
use client::smb::{ClientTree, CreateParameters, Error, File};
use futures_util::future::join_all;
use rpc::ClientAssociation;
use rpc::pdu::PacketType;
use wire::msg::CreateDisposition;
use wire::security::Sid;
use wire::{AccessMask, FileTime, NtStatus, ShareAccess};

use super::{LIFE, REALM, SERVICE, connect_to, key, server, tickets};

/// Longer than each answer here.
const READ_MAX: u32 = 4096;

async fn pipe(tree: &ClientTree) -> File {
    let parameters = CreateParameters {
        access: AccessMask::FILE_GENERIC_READ | AccessMask::FILE_GENERIC_WRITE,
        share: ShareAccess::READ | ShareAccess::WRITE,
        disposition: CreateDisposition::OPEN,
        ..CreateParameters::open(rpc::srvsvc::ENDPOINT.pipe)
    };
    tree.create(&parameters).await.unwrap()
}

/// A ticket of this user, and a request for RPC with it; the number makes requests differ.
fn request(user: &str, number: u32, now: FileTime) -> (Issued, RequestSpec) {
    let pac = PacSpec {
        name: user.to_owned(),
        domain_sid: Sid::of(5, [21, 7, 8, 9]),
        client_info_name: None,
        principal: None,
        ..PacSpec::carol()
    };
    let spec = TicketSpec {
        client: user.to_owned(),
        end: KerberosTime(KerberosTime::of(now).0 + LIFE),
        pac: Some(pac),
        ..TicketSpec::new(&SERVICE, REALM, key(1), 1, now)
    };
    let issued = spec.issue();
    let request = RequestSpec { microseconds: number, ..RequestSpec::new(&issued, now) }.for_rpc();
    (issued, request)
}

/// A bind, or an alter_context with the same contents, with a token of Kerberos for encrypted messages.
fn with_token(kind: PacketType, token: &[u8]) -> Vec<u8> {
    let mut pdu = ClientAssociation::new(rpc::srvsvc::INTERFACE).bind();
    assert_eq!(pdu.len() % 4, 0);
    pdu[2] = kind.0;
    pdu.extend([16, 6, 0, 0, 1, 0, 0, 0]);
    pdu.extend(token);
    let (length, token) = (pdu.len() as u16, token.len() as u16);
    pdu[8..10].copy_from_slice(&length.to_le_bytes());
    pdu[10..12].copy_from_slice(&token.to_le_bytes());
    pdu
}

/// The kind of an answer, and its token.
async fn answer(pipe: &File) -> (PacketType, Vec<u8>) {
    let pdu = pipe.read(0, READ_MAX).await.unwrap();
    let token = usize::from(u16::from_le_bytes([pdu[10], pdu[11]]));
    (PacketType(pdu[2]), pdu[pdu.len() - token..].to_vec())
}

/// Binds, and ends the logon within the pipe.
async fn logon(pipe: &File, user: &str, now: FileTime) -> Result<PacketType, Error> {
    let (issued, request) = request(user, 1, now);
    pipe.write(0, with_token(PacketType::BIND, &request.ap_req(&issued))).await?;
    let (kind, token) = answer(pipe).await;
    assert_eq!(kind, PacketType::BIND_ACK);
    let (last, _) = third_leg(&token, &issued, &request).unwrap();
    pipe.write(0, with_token(PacketType::ALTER_CONTEXT, &last)).await?;
    Ok(answer(pipe).await.0)
}

#[tokio::test]
async fn messages_of_a_pipe_are_protected_with_a_ticket_of_the_sessions_user() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path());
    let tree = connect_to(&server, &tickets(&server, 1), "IPC$").await.unwrap();
    let now = server.server.file_time();
    let own = logon(&pipe(&tree).await, "carol", now).await.unwrap();
    assert_eq!(own, PacketType::ALTER_CONTEXT_RESPONSE);
    let other = logon(&pipe(&tree).await, "dave", now).await.unwrap_err();
    assert_eq!(other.status(), Some(NtStatus::PIPE_DISCONNECTED), "{other}");
}

/// The parts of a PDU that may be one of a logon are processed elsewhere, and a client need not wait for the answer to
/// one write before the next.
#[tokio::test]
async fn writes_that_do_not_wait_for_each_other_are_processed_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path());
    let tree = connect_to(&server, &tickets(&server, 1), "IPC$").await.unwrap();
    let now = server.server.file_time();
    for number in 1..=10 {
        let pipe = pipe(&tree).await;
        let (issued, request) = request("carol", number, now);
        let bind = with_token(PacketType::BIND, &request.ap_req(&issued));
        let parts = bind.chunks(bind.len().div_ceil(20)).map(|part| pipe.write(0, part.to_vec()));
        for written in join_all(parts).await {
            written.unwrap();
        }
        assert_eq!(answer(&pipe).await.0, PacketType::BIND_ACK);
    }
}
