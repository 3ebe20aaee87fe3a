//! The requests of a case: valid except for the fields that its bytes set, and then changed by more of its bytes.

use wire::create_context::{
    AaplParts, AaplRequest, AaplServerCaps, AppInstanceVersion, CreateContextsRequest, DurableReconnectV2,
    DurableRequestV2, LeaseContext, LeaseFlags, LeaseV2,
};
use wire::msg::*;
use wire::{
    AccessMask, Command, FileAttributes, FileId, FileTime, Guid, Header, LeaseState, OplockLevel,
    ShareAccess, Utf16, utf16le,
};

use crate::input::Input;

/// A request's command, its body, and the bytes of payload that its credits are to pay for.
pub(super) struct Made {
    pub(super) command: Command,
    pub(super) body: Vec<u8>,
    pub(super) carries: u32,
}

/// A few names, so that they collide: a directory, its content, streams, variants of case, and invalid ones.
pub(super) const NAMES: &[&str] = &[
    "a",
    "A",
    "b",
    "d",
    "d\\x",
    "d\\y",
    "D\\X",
    "a:s",
    "b:s:$DATA",
    "d\\x:t",
    "e\\z",
    "",
    "d\\..\\a",
    "a*",
    "d\\",
    "long name with spaces.text",
    "a::$DATA",
    "d::$INDEX_ALLOCATION",
];

/// A CREATE, of a file of the share or, with `pipes`, of a pipe.
pub(super) fn create(input: &mut Input<'_>, pipes: bool, known: FileId) -> Made {
    const ACCESS: [u32; 10] =
        [0x1f_01ff, 0x12_019f, 0x1, 0x2, 0x80, 0x1_0000, 0x4, 0x0200_0000, 0x1000_0000, 0x10e_0180];
    let [name, access, sharing, disposition, options, more, contexts, choices] =
        [(); 8].map(|()| input.byte());
    // Half of them ask for nothing special.
    let contexts = if contexts & 0x80 == 0 { 0 } else { contexts << 1 };
    let name = match pipes {
        true => ["srvsvc", "wkssvc", "lsarpc", "shareward", "\\srvsvc", "none"][usize::from(name) % 6],
        false => NAMES[usize::from(name) % NAMES.len()],
    };
    let name = utf16le(name);
    let chosen = |bit: u8| contexts >> bit & 1 == 1;
    let key = guid(choices >> 4 & 3);
    let lease = LeaseContext {
        key,
        state: LeaseState(u32::from(choices & 7)),
        flags: if chosen(3) { LeaseFlags::PARENT_LEASE_KEY_SET } else { LeaseFlags::NONE },
        v2: (choices & 8 == 8).then(|| LeaseV2 { parent_key: guid(choices >> 6), epoch: 1 }),
    };
    let durable = DurableRequestV2 { timeout_ms: u32::from(more) << 10, flags: 0, create_guid: guid(more) };
    let reconnect = DurableReconnectV2 { file_id: known, create_guid: guid(more), flags: 0 };
    let apple = AaplRequest::ServerQuery { parts: AaplParts(7), client_caps: AaplServerCaps(7) };
    let attributes = if chosen(7) && chosen(6) { input.short_piece() } else { &[] };
    let wanted = CreateContextsRequest {
        extended_attributes: (chosen(7) && chosen(6)).then_some(attributes),
        durable_request: contexts & 6 == 2,
        durable_reconnect: (contexts & 0x0e == 4).then_some(known),
        allocation_size: (more == 0xa1).then_some(u64::from(choices) << 10),
        maximal_access: chosen(5).then_some(FileTime::NONE),
        timewarp: (more == 0xa2).then_some(FileTime::from_unix(1, 0)),
        query_on_disk_id: chosen(5),
        lease: chosen(4).then_some(lease),
        durable_request_v2: (contexts & 6 == 6).then_some(durable),
        durable_reconnect_v2: (contexts & 0x0e == 0x0c).then_some(reconnect),
        app_instance_id: (more & 0xf0 == 0xb0).then(|| guid(0xaa)),
        app_instance_version: (more & 0xf8 == 0xb8).then(|| AppInstanceVersion {
            padding: 0,
            high: 0,
            low: u64::from(more & 7),
        }),
        aapl: (more == 0xa3).then_some(apple),
        posix_mode: (more == 0xa4).then_some(0o644),
        ..CreateContextsRequest::default()
    };
    let mut encoded = Vec::new();
    let _ = wanted.encode(&mut encoded);
    let request = CreateRequest {
        requested_oplock_level: match chosen(4) {
            true => OplockLevel::LEASE,
            false => OplockLevel([0, 1, 8, 9][usize::from(choices & 3)]),
        },
        impersonation_level: ImpersonationLevel::IMPERSONATION,
        desired_access: AccessMask(ACCESS[usize::from(access) % ACCESS.len()]),
        file_attributes: FileAttributes(u32::from(access & 0xe0)),
        share_access: ShareAccess(u32::from(!sharing & 7)),
        create_disposition: CreateDisposition(if disposition < 0x80 {
            u32::from(disposition % 7)
        } else {
            3
        }),
        create_options: CreateOptions(match options & 0x0f {
            0..8 => 0,
            8 => 0x1,
            9 => 0x40,
            10 => 0x1000,
            11 => 0x1001,
            12 => 0x2,
            13 => 0x20_0000,
            14 => 0x100,
            _ => u32::from(more) << 4,
        }),
        name: Utf16::new(&name).unwrap_or_default(),
        contexts: CreateContexts(&encoded),
    };
    made(Request::Create(request), 0)
}

/// A request that works on an open.
pub(super) fn on_open(input: &mut Input<'_>, file_id: FileId, key: &[u8]) -> Made {
    let [kind, choice, place] = [(); 3].map(|()| input.byte());
    let offset = if place == 0xff { u64::MAX } else { u64::from(place) << (choice >> 6 << 2) };
    let length = u32::from(choice) << 4;
    match kind % 16 {
        0 | 1 => made(Request::Close(CloseRequest { flags: CloseFlags(u16::from(choice & 1)), file_id }), 0),
        2 => made(Request::Flush(FlushRequest { file_id }), 0),
        3 | 4 => {
            let body = ReadRequest { padding: 0x50, length, offset, file_id, ..ReadRequest::default() };
            made(Request::Read(body), length)
        }
        5 | 6 => {
            let body = WriteRequest { offset, file_id, data: input.short_piece(), ..WriteRequest::default() };
            made(Request::Write(WriteRequest { flags: WriteFlags(u32::from(choice & 1)), ..body }), 0)
        }
        7 | 8 => {
            let element = |at: u8| LockElement {
                offset: u64::from(at & 7),
                length: u64::from(at >> 3 & 3),
                flags: LockFlags([1, 2, 4, 0x11, 0x12, 3][usize::from(choice) % 6]),
            };
            let elements: Vec<_> =
                [place, input.byte()].map(element).into_iter().take(1 + usize::from(choice >> 7)).collect();
            let mut buffer = Vec::new();
            let locks = Locks::build(&elements, &mut buffer);
            made(Request::Lock(LockRequest { lock_sequence: u32::from(input.byte()), file_id, locks }), 0)
        }
        9 | 10 => ioctl(input, file_id, key),
        11 => {
            let name = utf16le(["*", "", "a", "?", "d*", "*.*", "<.t"][usize::from(place) % 7]);
            let body = QueryDirectoryRequest {
                file_information_class: [1, 2, 3, 12, 37, 38, 60, 63, 78, 80][usize::from(choice) % 10],
                flags: QueryDirectoryFlags(place >> 4),
                file_index: 0,
                file_id,
                output_buffer_length: length.max(64),
                file_name: Utf16::new(&name).unwrap_or_default(),
            };
            made(Request::QueryDirectory(body), length)
        }
        12 => {
            let body = ChangeNotifyRequest {
                flags: WatchFlags(u16::from(choice & 1)),
                output_buffer_length: length,
                file_id,
                completion_filter: CompletionFilter(0x17f | u32::from(place) << 4),
            };
            made(Request::ChangeNotify(body), length)
        }
        13 => {
            let body = QueryInfoRequest {
                info_type: InfoType(1 + place % 4),
                file_info_class: choice & 0x7f,
                output_buffer_length: 1024,
                additional_information: AdditionalInformation(u32::from(place >> 2)),
                file_id,
                input_buffer: if place & 0x80 == 0 { &[] } else { input.short_piece() },
                ..QueryInfoRequest::default()
            };
            made(Request::QueryInfo(body), 1024)
        }
        _ => set_info(input, file_id, choice, place),
    }
}

fn set_info(input: &mut Input<'_>, file_id: FileId, choice: u8, place: u8) -> Made {
    let number = u64::from(place) << (choice >> 4);
    let (info_type, class, buffer) = match choice % 12 {
        0..2 => {
            let name = utf16le(NAMES[usize::from(place) % NAMES.len()]);
            let length = u32::try_from(name.len()).unwrap_or_default().to_le_bytes();
            let class = if choice & 0x80 == 0 { 10 } else { 11 };
            (1, class, [&[choice >> 4 & 1, 0, 0, 0, 0, 0, 0, 0], &[0; 8][..], &length, &name].concat())
        }
        2 => (1, 13, vec![place & 1]),
        3 => (1, 64, vec![place & 0x1f, 0, 0, 0]),
        4 => (1, 20, number.to_le_bytes().to_vec()),
        5 => (1, 19, number.to_le_bytes().to_vec()),
        6 => {
            let times = [u64::from(place), u64::MAX, u64::MAX - 1, 0].map(u64::to_le_bytes).concat();
            (1, 4, [&times, &[place & 0x27, 0, 0, 0, 0, 0, 0, 0][..]].concat())
        }
        7 => (1, 14, number.to_le_bytes().to_vec()),
        8 => (1, 15, input.short_piece().to_vec()),
        9 => (3, 0, input.short_piece().to_vec()),
        10 => (1, 40, input.short_piece().to_vec()),
        _ => (1 + (place & 3), input.byte(), input.short_piece().to_vec()),
    };
    let body = SetInfoRequest {
        info_type: InfoType(info_type),
        file_info_class: class,
        additional_information: AdditionalInformation(u32::from(place >> 4)),
        file_id,
        buffer: &buffer,
    };
    made(Request::SetInfo(body), 0)
}

fn ioctl(input: &mut Input<'_>, file_id: FileId, key: &[u8]) -> Made {
    const CODES: [u32; 20] = [
        0x0014_0078, // SRV_REQUEST_RESUME_KEY
        0x0014_40f2, // SRV_COPYCHUNK
        0x0014_80f2, // SRV_COPYCHUNK_WRITE
        0x0011_c017, // PIPE_TRANSCEIVE
        0x0011_400c, // PIPE_PEEK
        0x0011_0018, // PIPE_WAIT
        0x0014_01d4, // LMR_REQUEST_RESILIENCY
        0x0014_0204, // VALIDATE_NEGOTIATE_INFO
        0x0014_01fc, // QUERY_NETWORK_INTERFACE_INFO
        0x0009_80c8, // SET_ZERO_DATA
        0x0009_40cf, // QUERY_ALLOCATED_RANGES
        0x0009_00c4, // SET_SPARSE
        0x0009_8344, // DUPLICATE_EXTENTS_TO_FILE
        0x0009_00a8, // GET_REPARSE_POINT
        0x0009_00a4, // SET_REPARSE_POINT
        0x0009_00c0, // CREATE_OR_GET_OBJECT_ID
        0x0009_009c, // GET_OBJECT_ID
        0x0009_8208, // FILE_LEVEL_TRIM
        0x0014_4064, // SRV_ENUMERATE_SNAPSHOTS
        0x0009_0284, // QUERY_FILE_REGIONS
    ];
    let [code, choice] = [(); 2].map(|()| input.byte());
    let ctl_code = CODES[usize::from(code) % CODES.len()];
    let number = |value: u8| u64::from(value).to_le_bytes();
    let bytes = match code as usize % CODES.len() {
        1 | 2 => {
            let chunk =
                [&number(choice & 15)[..], &number(choice >> 4), &[choice, 0, 0, 0, 0, 0, 0, 0]].concat();
            [&resized(key, 24)[..], &[1, 0, 0, 0, 0, 0, 0, 0], &chunk].concat()
        }
        6 => vec![choice, choice & 1, 0, 0, 0, 0, 0, 0],
        9 | 10 => [number(choice & 15), number(choice)].concat(),
        11 => vec![choice & 1],
        12 => {
            let id = [file_id.persistent.to_le_bytes(), file_id.volatile.to_le_bytes()].concat();
            [&id[..], &number(0), &number(choice), &number(choice & 15)].concat()
        }
        _ => input.short_piece().to_vec(),
    };
    let body = IoctlRequest {
        ctl_code,
        file_id: if choice == 0xff { FileId::RELATED } else { file_id },
        max_output_response: u32::from(choice) << 4,
        flags: IoctlFlags::IS_FSCTL,
        input: &bytes,
        ..IoctlRequest::default()
    };
    made(Request::Ioctl(body), u32::from(choice) << 4)
}

fn resized(bytes: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(length, 0);
    bytes
}

/// Any command with any body.
pub(super) fn anything(input: &mut Input<'_>) -> Made {
    let command = Command(u16::from(input.byte() % 20));
    Made { command, carries: u32::from(input.byte()) << 10, body: input.short_piece().to_vec() }
}

pub(super) fn made(request: Request<'_>, carries: u32) -> Made {
    let mut message = vec![0; Header::SIZE];
    request.encode(&mut message, 0);
    Made { command: command(&request), body: message.split_off(Header::SIZE), carries }
}

fn command(request: &Request<'_>) -> Command {
    match request {
        Request::Negotiate(_) => Command::NEGOTIATE,
        Request::SessionSetup(_) => Command::SESSION_SETUP,
        Request::Logoff(_) => Command::LOGOFF,
        Request::TreeConnect(_) => Command::TREE_CONNECT,
        Request::TreeDisconnect(_) => Command::TREE_DISCONNECT,
        Request::Create(_) => Command::CREATE,
        Request::Close(_) => Command::CLOSE,
        Request::Flush(_) => Command::FLUSH,
        Request::Read(_) => Command::READ,
        Request::Write(_) => Command::WRITE,
        Request::Lock(_) => Command::LOCK,
        Request::Ioctl(_) => Command::IOCTL,
        Request::Cancel(_) => Command::CANCEL,
        Request::Echo(_) => Command::ECHO,
        Request::QueryDirectory(_) => Command::QUERY_DIRECTORY,
        Request::ChangeNotify(_) => Command::CHANGE_NOTIFY,
        Request::QueryInfo(_) => Command::QUERY_INFO,
        Request::SetInfo(_) => Command::SET_INFO,
        Request::OplockBreak(_) => Command::OPLOCK_BREAK,
    }
}

/// Changes the body as the case says: usually not at all, sometimes a few bytes.
pub(super) fn changed(input: &mut Input<'_>, mut made: Made) -> Made {
    for _ in 0..input.byte().saturating_sub(UNCHANGED) % 4 {
        let [at, value] = [input.byte(), input.byte()];
        if let Some(byte) = made.body.get_mut(usize::from(at)) {
            *byte = value;
        }
    }
    made
}

pub(super) fn guid(number: u8) -> Guid {
    Guid([number; 16])
}

/// Up to this value, the byte for the number of changes means none.
const UNCHANGED: u8 = 0xc0;
