use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::cursor::Put;
use crate::header::{Command, HeaderFlags};
use crate::ids::{FileId, Guid, SessionId};
use crate::masks::{AccessMask, Dialect, FileAttributes, LeaseState, OplockLevel, ShareAccess};
use crate::status::NtStatus;
use crate::time::FileTime;
use crate::utf16::{Utf16, utf16le};

/// The offset of messages in the buffers of these tests: not 0, as in a compound.
const BASE: usize = 40;

fn message(header: &Header, body: impl FnOnce(&mut Vec<u8>, usize)) -> Vec<u8> {
    let mut out = vec![0xaa; BASE];
    header.encode(&mut out);
    body(&mut out, BASE);
    out.split_off(BASE)
}

fn request_message(command: Command, request: &Request<'_>) -> Vec<u8> {
    message(&Header { command, ..Header::default() }, |out, base| request.encode(out, base))
}

fn response_header(command: Command, status: NtStatus) -> Header {
    Header { command, status, flags: HeaderFlags::SERVER_TO_REDIR, ..Header::default() }
}

macro_rules! survives {
    ($type:ident, $value:expr) => {{
        let value = $value;
        let bytes = message(&Header::default(), |out, base| value.encode(out, base));
        prop_assert_eq!($type::decode(&bytes), Ok(value));
        for length in 0..bytes.len() {
            let _ = $type::decode(&bytes[..length]);
        }
    }};
}

fn file_id() -> impl Strategy<Value = FileId> {
    any::<(u64, u64)>().prop_map(|(persistent, volatile)| FileId { persistent, volatile })
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    ".{0,40}".prop_map(|text| utf16le(&text))
}

fn ids() -> impl Strategy<Value = Vec<u16>> {
    vec(any::<u16>(), 1..8)
}

fn times() -> impl Strategy<Value = [FileTime; 4]> {
    any::<[u64; 4]>().prop_map(|times| times.map(FileTime))
}

proptest! {
    #[test]
    fn negotiate_survives(
        (security_mode, capabilities, guid) in any::<(u16, u32, [u8; 16])>(),
        dialects in ids(),
        modern: bool,
        (hashes, salt, ciphers, signing) in (ids(), vec(any::<u8>(), 0..40), ids(), ids()),
        name in text(),
        other in vec(any::<u8>(), 0..20),
        token in vec(any::<u8>(), 0..100),
        sizes: [u32; 3],
    ) {
        let mut dialects = dialects;
        dialects.retain(|dialect| *dialect != Dialect::SMB311.0);
        dialects.push(if modern { Dialect::SMB311.0 } else { Dialect::SMB210.0 });
        let (mut a, mut b, mut c, mut d, mut e, mut f) = Default::default();
        let contexts = [
            NegotiateContext::PreauthIntegrity { hash_algorithms: U16List::build(hashes, &mut a), salt: &salt },
            NegotiateContext::Encryption { ciphers: U16List::build(ciphers, &mut b) },
            NegotiateContext::Posix { versions: &other },
            NegotiateContext::Other { context_type: NegotiateContextType(0x101), data: &other },
            NegotiateContext::NetName { name: Utf16::new(&name).unwrap() },
            NegotiateContext::Signing { algorithms: U16List::build(signing.clone(), &mut c) },
            NegotiateContext::Compression {
                flags: CompressionFlags::CHAINED,
                algorithms: U16List::build(signing.clone(), &mut d),
            },
            NegotiateContext::Transport { flags: TransportFlags(security_mode.into()) },
            NegotiateContext::RdmaTransform { transforms: U16List::build(signing, &mut e) },
        ];
        let list = if modern { NegotiateContexts::build(&contexts, &mut f) } else { NegotiateContexts::default() };
        if modern {
            let read: Result<Vec<_>, _> = list.iter().collect();
            prop_assert_eq!(read.as_deref(), Ok(contexts.as_slice()));
        }
        let mut dialect_bytes = Vec::new();
        survives!(NegotiateRequest, NegotiateRequest {
            security_mode: SecurityMode(security_mode),
            capabilities: GlobalCapabilities(capabilities),
            client_guid: Guid(guid),
            dialects: U16List::build(dialects, &mut dialect_bytes),
            contexts: list,
        });
        survives!(NegotiateResponse, NegotiateResponse {
            security_mode: SecurityMode(security_mode),
            dialect_revision: if modern { Dialect::SMB311 } else { Dialect::SMB300 },
            server_guid: Guid(guid),
            capabilities: GlobalCapabilities(capabilities),
            max_transact_size: sizes[0],
            max_read_size: sizes[1],
            max_write_size: sizes[2],
            system_time: FileTime(sizes[0].into()),
            server_start_time: FileTime(sizes[1].into()),
            security_buffer: &token,
            contexts: list,
        });
    }

    #[test]
    fn session_setup_survives(
        (flags, security_mode, capabilities, previous) in any::<(u8, u8, u32, u64)>(),
        token in vec(any::<u8>(), 0..200),
    ) {
        survives!(SessionSetupRequest, SessionSetupRequest {
            flags: SessionSetupFlags(flags),
            security_mode: SecurityMode(security_mode.into()),
            capabilities: GlobalCapabilities(capabilities),
            previous_session_id: SessionId(previous),
            security_buffer: &token,
        });
        survives!(SessionSetupResponse, SessionSetupResponse {
            session_flags: SessionFlags(flags.into()),
            security_buffer: &token,
        });
    }

    #[test]
    fn tree_connect_survives(
        path in text(),
        (flags, share_type, words) in any::<(u16, u8, [u32; 3])>(),
        extension in proptest::option::of(vec(any::<u8>(), 1..40)),
    ) {
        let mut flags = TreeConnectFlags(flags).without(TreeConnectFlags::EXTENSION_PRESENT);
        if extension.is_some() {
            flags |= TreeConnectFlags::EXTENSION_PRESENT;
        }
        let extension = extension.as_deref().map(|contexts| TreeConnectExtension { context_count: 1, contexts });
        survives!(TreeConnectRequest, TreeConnectRequest { flags, path: Utf16::new(&path).unwrap(), extension });
        survives!(TreeConnectResponse, TreeConnectResponse {
            share_type: ShareType(share_type),
            share_flags: ShareFlags(words[0]),
            capabilities: ShareCapabilities(words[1]),
            maximal_access: AccessMask(words[2]),
        });
    }

    #[test]
    fn create_survives(
        (oplock, words, sizes) in any::<(u8, [u32; 6], [u64; 2])>(),
        (name, file_id, times) in (text(), file_id(), times()),
        contexts in vec((vec(any::<u8>(), 1..20), vec(any::<u8>(), 0..60)), 0..6),
    ) {
        let mut chain = vec![0x55; 8];
        for (name, data) in &contexts {
            CreateContexts::append(&mut chain, 8, name, data);
        }
        let chain = CreateContexts(&chain[8..]);
        let read: Result<Vec<_>, _> = chain.iter().collect();
        let expected: Vec<_> = contexts.iter().map(|(name, data)| CreateContext { name, data }).collect();
        prop_assert_eq!(read, Ok(expected));
        for (name, _) in &contexts {
            prop_assert!(chain.find(name).is_some());
        }
        survives!(CreateRequest, CreateRequest {
            requested_oplock_level: OplockLevel(oplock),
            impersonation_level: ImpersonationLevel(words[0]),
            desired_access: AccessMask(words[1]),
            file_attributes: FileAttributes(words[2]),
            share_access: ShareAccess(words[3]),
            create_disposition: CreateDisposition(words[4]),
            create_options: CreateOptions(words[5]),
            name: Utf16::new(&name).unwrap(),
            contexts: chain,
        });
        survives!(CreateResponse, CreateResponse {
            oplock_level: OplockLevel(oplock),
            flags: CreateResponseFlags(oplock),
            create_action: CreateAction(words[0]),
            creation_time: times[0],
            last_access_time: times[1],
            last_write_time: times[2],
            change_time: times[3],
            allocation_size: sizes[0],
            end_of_file: sizes[1],
            file_attributes: FileAttributes(words[1]),
            file_id,
            contexts: chain,
        });
    }

    #[test]
    fn close_and_flush_survive((flags, sizes, attributes) in any::<(u16, [u64; 2], u32)>(), file_id in file_id(), times in times()) {
        survives!(CloseRequest, CloseRequest { flags: CloseFlags(flags), file_id });
        survives!(FlushRequest, FlushRequest { file_id });
        survives!(CloseResponse, CloseResponse {
            flags: CloseFlags(flags),
            creation_time: times[0],
            last_access_time: times[1],
            last_write_time: times[2],
            change_time: times[3],
            allocation_size: sizes[0],
            end_of_file: sizes[1],
            file_attributes: FileAttributes(attributes),
        });
    }

    #[test]
    fn read_and_write_survive(
        (bytes, words, offset) in any::<([u8; 2], [u32; 4], u64)>(),
        file_id in file_id(),
        data in vec(any::<u8>(), 0..200),
    ) {
        survives!(ReadRequest, ReadRequest {
            padding: bytes[0],
            flags: ReadFlags(bytes[1]),
            length: words[0],
            offset,
            file_id,
            minimum_count: words[1],
            channel: Channel(words[2]),
            remaining_bytes: words[3],
        });
        survives!(ReadResponse, ReadResponse { data_remaining: words[0], data: &data });
        survives!(WriteRequest, WriteRequest {
            offset,
            file_id,
            channel: Channel(words[0]),
            remaining_bytes: words[1],
            flags: WriteFlags(words[2]),
            data: &data,
        });
        survives!(WriteResponse, WriteResponse { count: words[0] });
    }

    #[test]
    fn lock_survives(lock_sequence: u32, file_id in file_id(), elements in vec(any::<(u64, u64, u32)>(), 1..20)) {
        let elements: Vec<_> = elements
            .into_iter()
            .map(|(offset, length, flags)| LockElement { offset, length, flags: LockFlags(flags) })
            .collect();
        let mut buffer = Vec::new();
        let locks = Locks::build(&elements, &mut buffer);
        prop_assert_eq!(locks.iter().collect::<Vec<_>>(), elements);
        survives!(LockRequest, LockRequest { lock_sequence, file_id, locks });
    }

    #[test]
    fn ioctl_survives(
        (ctl_code, flags, sizes) in any::<(u32, u32, [u32; 2])>(),
        file_id in file_id(),
        (input, output) in (vec(any::<u8>(), 0..50), vec(any::<u8>(), 0..50)),
    ) {
        survives!(IoctlRequest, IoctlRequest {
            ctl_code,
            file_id,
            max_input_response: sizes[0],
            max_output_response: sizes[1],
            flags: IoctlFlags(flags),
            input: &input,
            output: &output,
        });
        survives!(IoctlResponse, IoctlResponse { ctl_code, file_id, flags: IoctlFlags(flags), input: &input, output: &output });
    }

    #[test]
    fn queries_survive(
        (class, flags, words) in any::<(u8, u8, [u32; 4])>(),
        (file_id, name) in (file_id(), text()),
        buffer in vec(any::<u8>(), 0..100),
    ) {
        survives!(QueryDirectoryRequest, QueryDirectoryRequest {
            file_information_class: class,
            flags: QueryDirectoryFlags(flags),
            file_index: words[0],
            file_id,
            output_buffer_length: words[1],
            file_name: Utf16::new(&name).unwrap(),
        });
        survives!(ChangeNotifyRequest, ChangeNotifyRequest {
            flags: WatchFlags(flags.into()),
            output_buffer_length: words[0],
            file_id,
            completion_filter: CompletionFilter(words[1]),
        });
        survives!(QueryInfoRequest, QueryInfoRequest {
            info_type: InfoType(flags),
            file_info_class: class,
            output_buffer_length: words[0],
            additional_information: AdditionalInformation(words[1]),
            flags: QueryInfoFlags(words[2]),
            file_id,
            input_buffer: &buffer,
        });
        survives!(SetInfoRequest, SetInfoRequest {
            info_type: InfoType(flags),
            file_info_class: class,
            additional_information: AdditionalInformation(words[1]),
            file_id,
            buffer: &buffer,
        });
        survives!(OutputResponse, OutputResponse { output_buffer: &buffer });
    }

    #[test]
    fn breaks_survive((level, epoch, words, key) in any::<(u8, u16, [u32; 6], [u8; 16])>(), file_id in file_id()) {
        let oplock = OplockBreak { oplock_level: OplockLevel(level), file_id };
        let lease = LeaseBreak {
            flags: words[0],
            lease_key: Guid(key),
            lease_state: LeaseState(words[1]),
            lease_duration: words[2].into(),
        };
        let notification = LeaseBreakNotification {
            new_epoch: epoch,
            flags: LeaseBreakFlags(words[0]),
            lease_key: Guid(key),
            current_lease_state: LeaseState(words[1]),
            new_lease_state: LeaseState(words[2]),
            break_reason: words[3],
            access_mask_hint: AccessMask(words[4]),
            share_mask_hint: ShareAccess(words[5]),
        };
        survives!(OplockBreakRequest, OplockBreakRequest::Oplock(oplock));
        survives!(OplockBreakRequest, OplockBreakRequest::Lease(lease));
        survives!(OplockBreakResponse, OplockBreakResponse::Oplock(oplock));
        survives!(OplockBreakResponse, OplockBreakResponse::Lease(lease));
        survives!(OplockBreakResponse, OplockBreakResponse::LeaseNotification(notification));
    }

    #[test]
    fn errors_survive(
        contexts in vec((any::<u32>(), vec(any::<u8>(), 0..30)), 0..4),
        (unparsed, flags) in any::<(u16, u32)>(),
        (target, shown) in (text(), text()),
        addresses in vec(
            prop_oneof![
                any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
                any::<[u8; 16]>().prop_map(std::net::IpAddr::from),
            ],
            0..5,
        ),
    ) {
        let mut data = vec![0; 3];
        let contexts: Vec<_> =
            contexts.iter().map(|(id, data)| ErrorContext { error_id: ErrorId(*id), data }).collect();
        contexts.iter().for_each(|context| context.append(&mut data, 3));
        let response = ErrorResponse { error_context_count: contexts.len() as u8, error_data: &data[3..] };
        prop_assert_eq!(response.contexts().iter().collect::<Result<Vec<_>, _>>(), Ok(contexts));
        survives!(ErrorResponse, response);

        let link = SymlinkErrorResponse {
            unparsed_path_length: unparsed,
            flags: SymlinkFlags(flags),
            substitute_name: Utf16::new(&target).unwrap(),
            print_name: Utf16::new(&shown).unwrap(),
        };
        let mut data = Vec::new();
        link.encode(&mut data);
        prop_assert_eq!(SymlinkErrorResponse::decode(&data), Ok(link));
        for length in 0..data.len() {
            prop_assert!(SymlinkErrorResponse::decode(&data[..length]).is_err());
        }

        let redirect = ShareRedirect { addresses, share: Utf16::new(&target).unwrap() };
        let mut data = Vec::new();
        redirect.encode(&mut data);
        prop_assert_eq!(ShareRedirect::decode(&data), Ok(redirect));
    }
}

#[test]
fn simple_messages_survive() {
    for (command, request) in [
        (Command::LOGOFF, Request::Logoff(LogoffRequest)),
        (Command::TREE_DISCONNECT, Request::TreeDisconnect(TreeDisconnectRequest)),
        (Command::CANCEL, Request::Cancel(CancelRequest)),
        (Command::ECHO, Request::Echo(EchoRequest)),
    ] {
        let bytes = request_message(command, &request);
        assert_eq!(bytes.len(), 68);
        assert_eq!(decode_any(&bytes).unwrap().1, Body::Request(request));
    }
    let body = Response::SetInfo(SetInfoResponse);
    let bytes =
        message(&response_header(Command::SET_INFO, NtStatus::SUCCESS), |out, base| body.encode(out, base));
    assert_eq!(bytes.len(), 66);
    assert_eq!(decode_any(&bytes).unwrap().1, Body::Response(body));
}

#[test]
fn read_prefix_is_what_encode_writes() {
    let data = [1, 2, 3];
    let whole = message(&Header::default(), |out, base| {
        ReadResponse { data_remaining: 0, data: &data }.encode(out, base)
    });
    assert_eq!(whole[Header::SIZE..ReadResponse::DATA_OFFSET], ReadResponse::prefix(3));
    assert_eq!(whole[ReadResponse::DATA_OFFSET..], data);
}

#[test]
fn prefixes_put_their_buffers_at_the_offsets_they_name() {
    let bytes = message(&Header::default(), |out, _| {
        OutputResponse::encode_prefix(2, out);
        out.put_bytes(&[8, 9]);
    });
    assert_eq!(OutputResponse::decode(&bytes).unwrap().output_buffer, [8, 9]);
    assert_eq!(bytes[OutputResponse::OUTPUT_OFFSET..], [8, 9]);
    let bytes = message(&Header::default(), |out, _| {
        IoctlResponse::encode_prefix(7, FileId::RELATED, 2, out);
        out.put_bytes(&[8, 9]);
    });
    assert_eq!(IoctlResponse::decode(&bytes).unwrap().output, [8, 9]);
    assert_eq!(bytes[IoctlResponse::OUTPUT_OFFSET..], [8, 9]);
    let write = WriteRequest { data: &[8, 9], ..WriteRequest::default() };
    let bytes = message(&Header::default(), |out, base| write.encode(out, base));
    assert_eq!(bytes[WriteRequest::DATA_OFFSET..], [8, 9]);
}

#[test]
fn empty_lists_and_foreign_offsets_are_refused() {
    let empty_lock = message(&Header::default(), |out, base| LockRequest::default().encode(out, base));
    assert_eq!(LockRequest::decode(&empty_lock), Err(DecodeError::Empty));
    let no_dialect = message(&Header::default(), |out, base| NegotiateRequest::default().encode(out, base));
    assert_eq!(NegotiateRequest::decode(&no_dialect), Err(DecodeError::Empty));

    let write = WriteRequest { data: &[1; 8], ..WriteRequest::default() };
    let good = message(&Header::default(), |out, base| write.encode(out, base));
    for (offset, length, expected) in [
        (112_u16, 9_u32, DecodeError::OffsetOutOfRange),
        (111, 8, DecodeError::OffsetOutOfRange),
        (0, 8, DecodeError::OffsetOutOfRange),
        (0x101, 0, DecodeError::OffsetOutOfRange),
        (112, u32::MAX, DecodeError::OffsetOutOfRange),
    ] {
        let mut bad = good.clone();
        bad.patch_u16(66, offset);
        bad.patch_u32(68, length);
        assert_eq!(WriteRequest::decode(&bad), Err(expected), "{offset} {length}");
    }
    let mut nothing = good;
    nothing.patch_u16(66, 0);
    nothing.patch_u32(68, 0);
    assert!(WriteRequest::decode(&nothing).unwrap().data.is_empty());
}

#[test]
fn broken_context_chains_are_refused() {
    let mut chain = Vec::new();
    CreateContexts::append(&mut chain, 0, b"MxAc", &[]);
    CreateContexts::append(&mut chain, 0, b"QFid", &[1; 8]);
    assert_eq!(CreateContexts(&chain).find(b"QFid"), Some([1; 8].as_slice()));
    for (position, value, expected) in [
        (0, 12_u16, DecodeError::Misaligned),
        (0, 8, DecodeError::BrokenChain),
        (0, 0x8000, DecodeError::BrokenChain),
        (4, 8, DecodeError::OffsetOutOfRange),
        (6, 0, DecodeError::Empty),
        (6, 90, DecodeError::OffsetOutOfRange),
        (12, 1, DecodeError::OffsetOutOfRange),
    ] {
        let mut bad = chain.clone();
        bad.patch_u16(position, value);
        let read: Result<Vec<_>, _> = CreateContexts(&bad).iter().collect();
        assert_eq!(read, Err(expected), "{position} {value}");
    }
    let mut endless = Vec::new();
    for _ in 0..=crate::limits::CREATE_CONTEXTS_MAX {
        CreateContexts::append(&mut endless, 0, b"MxAc", &[]);
    }
    assert_eq!(CreateContexts(&endless).iter().last(), Some(Err(DecodeError::TooMany)));
}

#[test]
fn statuses_distinguish_errors_from_answers() {
    let error = ErrorResponse::default();
    let output = OutputResponse { output_buffer: &[1; 4] };
    let setup = SessionSetupResponse { security_buffer: &[1; 4], ..SessionSetupResponse::default() };
    let copied = IoctlResponse { output: &[1; 12], ..IoctlResponse::default() };
    for (command, status, expected) in [
        (Command::CHANGE_NOTIFY, NtStatus::PENDING, Response::Error(error)),
        (Command::QUERY_INFO, NtStatus::BUFFER_OVERFLOW, Response::QueryInfo(output)),
        (Command::QUERY_INFO, NtStatus::BUFFER_TOO_SMALL, Response::Error(error)),
        (Command::QUERY_DIRECTORY, NtStatus::NO_MORE_FILES, Response::Error(error)),
        (Command::SESSION_SETUP, NtStatus::MORE_PROCESSING_REQUIRED, Response::SessionSetup(setup)),
        (Command::SESSION_SETUP, NtStatus::LOGON_FAILURE, Response::Error(error)),
        (Command::IOCTL, NtStatus::INVALID_PARAMETER, Response::Ioctl(copied)),
        (Command::IOCTL, NtStatus::INVALID_PARAMETER, Response::Error(error)),
    ] {
        let bytes = message(&response_header(command, status), |out, base| expected.encode(out, base));
        assert_eq!(decode_any(&bytes).unwrap().1, Body::Response(expected), "{command:?} {status}");
    }
}

/// Checks that a message that decodes, encodes to one that decodes to the same value: no field is lost, and no offset
/// is accepted that could not have been written.
fn check_stable(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok((header, body)) = decode_any(bytes) else { return Ok(()) };
    let again = message(&header, |out, base| match &body {
        Body::Request(request) => request.encode(out, base),
        Body::Response(response) => response.encode(out, base),
    });
    prop_assert_eq!(decode_any(&again), Ok((header, body)));
    Ok(())
}

/// One message of each kind.
fn samples() -> Vec<Vec<u8>> {
    let (mut a, mut b, mut c, mut d, mut chain, mut data) = Default::default();
    let contexts = NegotiateContexts::build(
        &[
            NegotiateContext::PreauthIntegrity {
                hash_algorithms: U16List::build([1], &mut a),
                salt: &[7; 32],
            },
            NegotiateContext::Encryption { ciphers: U16List::build([2, 1, 4], &mut b) },
            NegotiateContext::Transport { flags: TransportFlags::NONE },
        ],
        &mut c,
    );
    let dialects = U16List::build([0x202, 0x210, 0x300, 0x302, 0x311], &mut d);
    let name = utf16le("directory\\file.txt");
    let name = Utf16::new(&name).unwrap();
    CreateContexts::append(&mut chain, 0, b"MxAc", &[]);
    CreateContexts::append(&mut chain, 0, b"RqLs", &[9; 52]);
    let chain = CreateContexts(&chain);
    let mut elements = Vec::new();
    let locks = Locks::build(
        &[LockElement { offset: 1, length: 2, flags: LockFlags::EXCLUSIVE_LOCK }; 3],
        &mut elements,
    );
    ErrorContext { error_id: ErrorId::DEFAULT, data: &[1; 5] }.append(&mut data, 0);
    let buffer = [3_u8; 60];
    let extension = Some(TreeConnectExtension { context_count: 1, contexts: &buffer });
    let requests = [
        (
            Command::NEGOTIATE,
            Request::Negotiate(NegotiateRequest { dialects, contexts, ..Default::default() }),
        ),
        (
            Command::SESSION_SETUP,
            Request::SessionSetup(SessionSetupRequest { security_buffer: &buffer, ..Default::default() }),
        ),
        (Command::LOGOFF, Request::Logoff(LogoffRequest)),
        (
            Command::TREE_CONNECT,
            Request::TreeConnect(TreeConnectRequest { path: name, ..Default::default() }),
        ),
        (
            Command::TREE_CONNECT,
            Request::TreeConnect(TreeConnectRequest { path: name, extension, ..Default::default() }),
        ),
        (Command::CREATE, Request::Create(CreateRequest { name, contexts: chain, ..Default::default() })),
        (Command::CLOSE, Request::Close(CloseRequest::default())),
        (Command::FLUSH, Request::Flush(FlushRequest::default())),
        (Command::READ, Request::Read(ReadRequest::default())),
        (Command::WRITE, Request::Write(WriteRequest { data: &buffer, ..Default::default() })),
        (Command::LOCK, Request::Lock(LockRequest { locks, ..Default::default() })),
        (
            Command::IOCTL,
            Request::Ioctl(IoctlRequest { input: &buffer, output: &buffer, ..Default::default() }),
        ),
        (
            Command::QUERY_DIRECTORY,
            Request::QueryDirectory(QueryDirectoryRequest { file_name: name, ..Default::default() }),
        ),
        (Command::CHANGE_NOTIFY, Request::ChangeNotify(ChangeNotifyRequest::default())),
        (
            Command::QUERY_INFO,
            Request::QueryInfo(QueryInfoRequest { input_buffer: &buffer, ..Default::default() }),
        ),
        (Command::SET_INFO, Request::SetInfo(SetInfoRequest { buffer: &buffer, ..Default::default() })),
        (Command::OPLOCK_BREAK, Request::OplockBreak(OplockBreakRequest::Oplock(OplockBreak::default()))),
        (Command::OPLOCK_BREAK, Request::OplockBreak(OplockBreakRequest::Lease(LeaseBreak::default()))),
    ];
    let negotiated = NegotiateResponse {
        dialect_revision: Dialect::SMB311,
        security_buffer: &buffer,
        contexts,
        ..Default::default()
    };
    let notification = OplockBreakResponse::LeaseNotification(LeaseBreakNotification::default());
    let error = ErrorResponse { error_context_count: 1, error_data: &data };
    let responses = [
        (Command::NEGOTIATE, Response::Negotiate(negotiated)),
        (
            Command::SESSION_SETUP,
            Response::SessionSetup(SessionSetupResponse { security_buffer: &buffer, ..Default::default() }),
        ),
        (Command::TREE_CONNECT, Response::TreeConnect(TreeConnectResponse::default())),
        (Command::CREATE, Response::Create(CreateResponse { contexts: chain, ..Default::default() })),
        (Command::CLOSE, Response::Close(CloseResponse::default())),
        (Command::READ, Response::Read(ReadResponse { data_remaining: 0, data: &buffer })),
        (Command::WRITE, Response::Write(WriteResponse { count: 1 })),
        (Command::IOCTL, Response::Ioctl(IoctlResponse { output: &buffer, ..Default::default() })),
        (Command::QUERY_INFO, Response::QueryInfo(OutputResponse { output_buffer: &buffer })),
        (Command::OPLOCK_BREAK, Response::OplockBreak(notification)),
        (
            Command::SERVER_TO_CLIENT_NOTIFICATION,
            Response::Notification(ServerToClientNotification::default()),
        ),
    ];
    let failed = response_header(Command::CREATE, NtStatus::STOPPED_ON_SYMLINK);
    requests
        .iter()
        .map(|(command, request)| request_message(*command, request))
        .chain(responses.iter().map(|(command, response)| {
            message(&response_header(*command, NtStatus::SUCCESS), |out, base| response.encode(out, base))
        }))
        .chain([message(&failed, |out, base| error.encode(out, base))])
        .collect()
}

#[test]
fn samples_are_valid_and_stable() {
    for sample in samples() {
        assert!(decode_any(&sample).is_ok(), "{:?}", Header::decode(&sample));
        check_stable(&sample).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn mutated_messages_never_panic(
        sample in any::<proptest::sample::Index>(),
        changes in vec((any::<proptest::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(0xff), 0..130_u8]), 0..6),
        length in proptest::option::weighted(0.3, any::<proptest::sample::Index>()),
    ) {
        let samples = samples();
        let mut bytes = sample.get(&samples).clone();
        for (index, value) in changes {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len()));
        }
        check_stable(&bytes)?;
    }

    #[test]
    fn arbitrary_bodies_never_panic(command in 0..0x15_u16, response: bool, status in prop_oneof![Just(0), any::<u32>()], size in 0..100_u16, body in vec(any::<u8>(), 0..200)) {
        let flags = if response { HeaderFlags::SERVER_TO_REDIR } else { HeaderFlags::NONE };
        let header = Header { command: Command(command), flags, status: NtStatus(status), ..Header::default() };
        let bytes = message(&header, |out, _| {
            out.put_u16(size);
            out.put_bytes(&body);
        });
        check_stable(&bytes)?;
        let _ = decode_any(&body);
        let _ = SymlinkErrorResponse::decode(&body);
        let _ = ShareRedirect::decode(&body);
        let _ = CreateContexts(&body).iter().count();
    }
}

#[test]
fn the_disposition_of_a_create_is_read_alone() {
    let request = CreateRequest {
        create_disposition: CreateDisposition::OVERWRITE_IF,
        desired_access: AccessMask(u32::MAX),
        create_options: CreateOptions(u32::MAX),
        ..CreateRequest::default()
    };
    let mut message = vec![0; Header::SIZE];
    request.encode(&mut message, 0);
    assert_eq!(CreateRequest::disposition_of(&message), Ok(CreateDisposition::OVERWRITE_IF));
    assert!(CreateRequest::disposition_of(message.get(..Header::SIZE + 40).unwrap()).is_err());
}
