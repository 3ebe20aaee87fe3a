//! Messages of SMB2, the NEGOTIATE of SMB1, and their framing.

use wire::create_context::{CreateContextsRequest, CreateContextsResponse};
use wire::frame::{self, decode_prefix, encode_prefix};
use wire::fscc::{Pattern, SmbPath, ea};
use wire::header::{Compound, CompressionHeader, HeaderFlags};
use wire::limits::{COMPOUND_MAX, CREATE_CONTEXTS_MAX, FRAME_SIZE_MAX};
use wire::msg::{
    Body, CreateContexts, ErrorId, InfoType, Request, Response, ShareRedirect, SymlinkErrorResponse,
    WriteRequest, decode_any,
};
use wire::smb1::Smb1Negotiate;
use wire::{Command, Header, NtStatus, PacketKind, TransformHeader};

/// A frame from the network: its prefix, and then a compound or another kind of message.
pub fn smb_frame(data: &[u8]) {
    let Some((prefix, frame)) = data.split_first_chunk() else { return };
    if let Ok(length) = decode_prefix(*prefix, FRAME_SIZE_MAX) {
        assert!(length <= FRAME_SIZE_MAX && FRAME_SIZE_MAX <= frame::LENGTH_MAX);
        assert_eq!(encode_prefix(length), Ok(*prefix));
    }
    let _ = CompressionHeader::decode(frame);
    let _ = Smb1Negotiate::decode(frame);
    if let Ok(transform) = TransformHeader::decode(frame) {
        assert_eq!(PacketKind::of(frame), Ok(PacketKind::Encrypted));
        assert_eq!(TransformHeader::decode(&transform.to_bytes()), Ok(transform));
    }
    let mut messages = 0;
    let mut bytes = 0;
    for message in Compound::new(frame) {
        messages += 1;
        let Ok((header, message)) = message else { break };
        bytes += message.len();
        assert_eq!(Header::decode(&header.to_bytes()), Ok(header));
        examine(message);
    }
    assert!(messages <= COMPOUND_MAX + 1 && bytes <= frame.len());
}

/// The body of a message after two bytes that select the command and the sender.
pub fn smb_body(data: &[u8]) {
    let [command, kind, body @ ..] = data else { return };
    let mut message = header(*command, *kind).to_bytes().to_vec();
    message.extend_from_slice(body);
    examine(&message);
}

/// The header that the two bytes of [`smb_body`] stand for.
fn header(command: u8, kind: u8) -> Header {
    let statuses = [
        NtStatus::SUCCESS,
        NtStatus::MORE_PROCESSING_REQUIRED,
        NtStatus::BUFFER_OVERFLOW,
        NtStatus::INVALID_PARAMETER,
    ];
    Header {
        command: Command(u16::from(command % 20)),
        flags: if kind & 1 == 1 { HeaderFlags::SERVER_TO_REDIR } else { HeaderFlags::NONE },
        status: statuses[usize::from(kind >> 1) % statuses.len()],
        ..Header::default()
    }
}

/// The two bytes of [`smb_body`] that come nearest to this header.
pub(crate) fn kind_of(wanted: &Header) -> [u8; 2] {
    let command = wanted.command.0 as u8;
    let whose = u8::from(wanted.is_response());
    let kind =
        (0..4).map(|status| status << 1 | whose).find(|kind| header(command, *kind).status == wanted.status);
    // Any other status is an error.
    [command, kind.unwrap_or(3 << 1 | whose)]
}

fn examine(message: &[u8]) {
    if let Ok((header, body)) = decode_any(message) {
        let mut again = Vec::new();
        header.encode(&mut again);
        match &body {
            Body::Request(request) => request.encode(&mut again, 0),
            Body::Response(response) => response.encode(&mut again, 0),
        }
        assert_eq!(decode_any(&again), Ok((header, body)));
    }
    // As the server and the client parse them: without decoding everything first.
    let Ok(header) = Header::decode(message) else { return };
    if let Ok(request) = Request::decode(header.command, message) {
        examine_request(&request);
    }
    // A WRITE of which the server has not read the data means the same.
    if let Some((head, data)) = message.split_at_checked(WriteRequest::DATA_OFFSET)
        && let Ok(write) = WriteRequest::decode_without_data(head, data.len())
    {
        assert_eq!(WriteRequest::decode(message), Ok(WriteRequest { data, ..write }));
    }
    if let Ok(response) = Response::decode(&header, message) {
        examine_response(&response);
    }
}

fn examine_request(request: &Request<'_>) {
    match request {
        Request::Negotiate(negotiate) => {
            let _ = negotiate.dialects.iter().count();
            let _ = negotiate.contexts.iter().count();
        }
        Request::TreeConnect(connect) => {
            let _ = connect.path.to_text();
        }
        Request::Create(create) => {
            let _ = SmbPath::parse(&create.name.to_text());
            examine_contexts(create.contexts);
            if let Ok(contexts) = CreateContextsRequest::decode(create.contexts) {
                let mut again = Vec::new();
                if contexts.encode(&mut again).is_ok() {
                    assert_eq!(CreateContextsRequest::decode(CreateContexts(&again)).as_ref(), Ok(&contexts));
                }
                let _ = ea::decode_eas(contexts.extended_attributes.unwrap_or_default()).count();
            }
        }
        Request::Lock(lock) => {
            let _ = lock.locks.iter().count();
        }
        Request::QueryDirectory(query) => {
            let pattern = Pattern::new(&query.file_name.to_text());
            let _ = pattern.map(|pattern| pattern.matches("Any.Name.txt"));
        }
        Request::Ioctl(ioctl) => crate::ioctl::payload(ioctl.input),
        Request::SetInfo(set) if set.info_type == InfoType::SECURITY => {
            crate::security::descriptor(set.buffer)
        }
        Request::SetInfo(set) => crate::fscc::information(set.buffer),
        Request::QueryInfo(query) => crate::fscc::information(query.input_buffer),
        _ => {}
    }
}

fn examine_response(response: &Response<'_>) {
    match response {
        Response::Negotiate(negotiate) => {
            let _ = negotiate.contexts.iter().count();
        }
        Response::Create(create) => {
            examine_contexts(create.contexts);
            if let Ok(contexts) = CreateContextsResponse::decode(create.contexts) {
                let mut again = Vec::new();
                contexts.encode(&mut again);
                assert_eq!(CreateContextsResponse::decode(CreateContexts(&again)).as_ref(), Ok(&contexts));
            }
        }
        Response::Error(error) => {
            for context in error.contexts().iter().flatten() {
                if context.error_id == ErrorId::DEFAULT
                    && let Ok(symlink) = SymlinkErrorResponse::decode(context.data)
                {
                    let mut again = Vec::new();
                    symlink.encode(&mut again);
                    assert_eq!(SymlinkErrorResponse::decode(&again).as_ref(), Ok(&symlink));
                }
                if context.error_id == ErrorId::SHARE_REDIRECT
                    && let Ok(redirect) = ShareRedirect::decode(context.data)
                {
                    let mut again = Vec::new();
                    redirect.encode(&mut again);
                    assert_eq!(ShareRedirect::decode(&again).as_ref(), Ok(&redirect));
                }
            }
        }
        Response::QueryDirectory(listing) => crate::fscc::information(listing.output_buffer),
        Response::QueryInfo(information) => crate::fscc::information(information.output_buffer),
        Response::Ioctl(ioctl) => crate::ioctl::payload(ioctl.output),
        _ => {}
    }
}

fn examine_contexts(contexts: CreateContexts<'_>) {
    let mut count = 0;
    for context in contexts.iter() {
        count += 1;
        if let Ok(context) = context {
            assert!(contexts.find(context.name).is_some());
        }
    }
    assert!(count <= CREATE_CONTEXTS_MAX + 1);
}
