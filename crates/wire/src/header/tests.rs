use proptest::prelude::*;

use super::*;

/// MS-SMB2 4.1: a NEGOTIATE request of a client that has no session yet.
const NEGOTIATE: [u8; 64] = [
    0xfe, b'S', b'M', b'B', 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0,
    0, //
    0xff, 0xfe, 0, 0, 5, 0, 0, 0, 9, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

fn message(next_command: u32, length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    Header { next_command, ..Header::default() }.encode(&mut out);
    out.resize(length, 0);
    out
}

#[test]
fn fields_stand_where_the_specification_puts_them() {
    let header = Header::decode(&NEGOTIATE).unwrap();
    assert_eq!(header.command, Command::NEGOTIATE);
    assert_eq!(header.credits, 1);
    assert_eq!(header.message_id, MessageId(7));
    assert_eq!(header.tree, TreeOrAsync::Tree { process_id: 0xfeff, tree_id: TreeId(5) });
    assert_eq!(header.session_id, SessionId(0x0400_0000_0009));
    assert_eq!(header.to_bytes(), NEGOTIATE);
    let bytes = header.to_bytes();
    assert_eq!(bytes[Header::CREDITS_OFFSET], 1);
    assert_eq!(bytes[Header::SIGNATURE], [0; 16]);
}

#[test]
fn the_first_four_bytes_determine_the_kind() {
    assert_eq!(PacketKind::of(&NEGOTIATE), Ok(PacketKind::Smb2));
    assert_eq!(PacketKind::of(b"\xffSMB"), Ok(PacketKind::Smb1));
    assert_eq!(PacketKind::of(b"\xfdSMB"), Ok(PacketKind::Encrypted));
    assert_eq!(PacketKind::of(b"\xfcSMB"), Ok(PacketKind::Compressed));
    assert_eq!(PacketKind::of(b"\xfbSMB"), Err(DecodeError::ProtocolId));
    assert_eq!(PacketKind::of(b"\xfeSM"), Err(DecodeError::Truncated));
}

#[test]
fn a_response_header_keeps_the_requests_ids() {
    let request = Header {
        flags: HeaderFlags::SIGNED | HeaderFlags::RELATED_OPERATIONS,
        status: NtStatus(5),
        next_command: 80,
        signature: [7; 16],
        ..Header::decode(&NEGOTIATE).unwrap()
    };
    let response = request.response(NtStatus::FILE_CLOSED, 3);
    assert_eq!(request.channel_sequence(), 5);
    assert!(response.is_response() && response.is_related() && !response.is_signed());
    assert_eq!((response.status, response.credits), (NtStatus::FILE_CLOSED, 3));
    assert_eq!((response.message_id, response.tree), (request.message_id, request.tree));
    assert_eq!((response.next_command, response.signature), (0, [0; 16]));
}

#[test]
fn a_compound_is_cut_at_its_next_commands() {
    let mut frame = message(72, 72);
    frame.extend(message(64, 64));
    frame.extend(message(0, 70));
    let lengths: Vec<_> = Compound::new(&frame).map(|message| message.unwrap().1.len()).collect();
    assert_eq!(lengths, [72, 64, 70]);
}

#[test]
fn a_broken_compound_ends_with_its_error() {
    let refusal = |frame: &[u8]| {
        let mut compound = Compound::new(frame);
        let error = compound.find_map(Result::err);
        assert!(compound.next().is_none());
        error
    };
    assert_eq!(refusal(&message(65, 256)), Some(DecodeError::Misaligned));
    assert_eq!(refusal(&message(8, 256)), Some(DecodeError::OffsetOutOfRange));
    assert_eq!(refusal(&message(256, 256)), Some(DecodeError::OffsetOutOfRange));
    assert_eq!(refusal(&message(264, 256)), Some(DecodeError::OffsetOutOfRange));
    assert_eq!(refusal(&message(200, 256)), Some(DecodeError::Truncated));
    let endless: Vec<u8> = (0..=COMPOUND_MAX).flat_map(|_| message(64, 64)).collect();
    assert_eq!(refusal(&endless), Some(DecodeError::TooMany));
}

proptest! {
    #[test]
    fn headers_survive(mut bytes: [u8; 64]) {
        bytes[..6].copy_from_slice(&NEGOTIATE[..6]);
        let header = Header::decode(&bytes).unwrap();
        prop_assert_eq!(header.async_id().is_some(), header.flags.contains(HeaderFlags::ASYNC_COMMAND));
        prop_assert_eq!(header.to_bytes(), bytes);
    }

    #[test]
    fn transform_headers_survive(signature: [u8; 16], nonce: [u8; 16], original_message_size: u32, flags: u16, id: u64) {
        let header = TransformHeader { signature, nonce, original_message_size, flags, session_id: SessionId(id) };
        let bytes = header.to_bytes();
        prop_assert_eq!(TransformHeader::decode(&bytes), Ok(header));
        prop_assert_eq!(&bytes[TransformHeader::SIGNATURE], signature);
        prop_assert_eq!(&bytes[TransformHeader::AUTHENTICATED][..16], nonce);
    }

    #[test]
    fn nothing_panics(bytes: Vec<u8>) {
        let _ = PacketKind::of(&bytes);
        let _ = Header::decode(&bytes);
        let _ = TransformHeader::decode(&bytes);
        let _ = CompressionHeader::decode(&bytes);
        let _ = Compound::new(&bytes).count();
        let _ = crate::smb1::Smb1Negotiate::decode(&bytes);
    }
}
