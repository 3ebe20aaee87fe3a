//! Inputs to begin with: each kind of message as our encoders write it, and as others were seen to.

mod accounts;
mod opens;
mod samba;

use auth::{Acceptor, ClientStep, Credentials, Initiator, InitiatorOptions, Step};
use rpc::pdu::{Body, FIRST_FRAGMENT, HEADER_LEN, Header as PduHeader, LAST_FRAGMENT, WHOLE};
use rpc::{Association, ClientAssociation};
use wire::create_context::{
    AaplRequest, CreateContextsRequest, DurableRequestV2, LeaseContext, LeaseFlags, LeaseV2,
};
use wire::fscc::directory::{DirectoryEntry, DirectoryWriter};
use wire::fscc::file_info::{BasicInfo, DispositionInfoEx, EndOfFileInfo, FileInfoClass};
use wire::fscc::named_info::RenameInfo;
use wire::fscc::notify::{NotifyAction, NotifyEntry, encode_changes};
use wire::fscc::stream_info::{StreamEntry, encode_streams};
use wire::fscc::{ea, fs_info};
use wire::header::{Compound, CompressionHeader, HeaderFlags};
use wire::ioctl::*;
use wire::layout::FixedLayout;
use wire::msg::*;
use wire::posix::{FsPosixInfo, PosixAttributes, PosixInfo, PosixKind, PosixMode};
use wire::security::{Ace, AceBody, AceFlags, AceType, Acl, SecurityDescriptor, Sid};
use wire::{
    AccessMask, Command, FileId, FileTime, Guid, Header, LeaseState, SessionId, TransformHeader, Utf16,
    utf16le,
};

use crate::input::join;
use crate::logon::{Fixed, NOW, PASSWORD, Table, config};
use crate::replay::Random;

/// An input.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The target.
    pub target: &'static str,
    /// The file name.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// All seeds, grouped by kind.
pub fn seeds() -> Vec<Seed> {
    let mut all = Seeds(Vec::new());
    messages(&mut all);
    information(&mut all);
    control_codes(&mut all);
    descriptors(&mut all);
    texts(&mut all);
    samba::samba(&mut all);
    logons(&mut all);
    calls(&mut all);
    accounts::lookups(&mut all);
    accounts::accounts(&mut all);
    accounts::witness(&mut all);
    for (target, name, bytes) in crate::cluster::seeds() {
        all.add(target, name, bytes);
    }
    json(&mut all);
    servers(&mut all);
    opens::opens(&mut all);
    operations(&mut all);
    network(&mut all);
    all.0
}

struct Seeds(Vec<Seed>);

impl Seeds {
    fn add(&mut self, target: &'static str, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push(Seed { target, name: name.into(), bytes: bytes.into() });
    }

    fn frame(&mut self, name: impl Into<String>, message: &[u8]) {
        let prefix = wire::frame::encode_prefix(message.len()).unwrap_or_default();
        self.add("smb_frame", name, [prefix.as_slice(), message].concat());
    }

    /// A message as a frame, and its body by its command.
    fn message(&mut self, name: &str, message: &[u8]) {
        if let Ok(header) = Header::decode(message) {
            let kind = crate::smb::kind_of(&header);
            self.add("smb_body", name, [kind.as_slice(), &message[Header::SIZE..]].concat());
        }
        self.frame(name, message);
    }

    /// A buffer of an information class; the answer made of it may have 1 KiB.
    fn information(&mut self, name: &str, data: &[u8]) {
        self.add("fscc", name, [&[0, 4], data].concat());
    }
}

fn messages(all: &mut Seeds) {
    // The messages of Samba and its client, one of each kind.
    for (number, line) in include_str!("../../wire/tests/frames/samba.hex").lines().enumerate() {
        let frame = unhex(line);
        for (part, (header, message)) in Compound::new(&frame).flatten().enumerate() {
            let whose = if header.is_response() { "response" } else { "request" };
            let name = format!("samba-{:02}-{whose}-{number:03}-{part}", header.command.0);
            all.message(&name, message);
            if let Ok(Request::Ioctl(ioctl)) = Request::decode(header.command, message) {
                all.add("ioctl", name.clone(), ioctl.input);
            }
            if let Ok(Request::SetInfo(set)) = Request::decode(header.command, message) {
                all.information(&name, set.buffer);
            }
            if let Ok(Response::QueryInfo(info)) = Response::decode(&header, message) {
                all.information(&name, info.output_buffer);
            }
        }
    }
    let file_id = FileId { persistent: 7, volatile: 9 };
    let request = |command, body: Request<'_>| {
        let mut message =
            Header { command, session_id: SessionId(1), ..Header::default() }.to_bytes().to_vec();
        body.encode(&mut message, 0);
        message
    };
    let token = Acceptor::offer(false);
    let setup = SessionSetupRequest { security_buffer: &token, ..SessionSetupRequest::default() };
    let close = CloseRequest { flags: CloseFlags::NONE, file_id };
    let create = create_message();
    for (name, command, body) in [
        ("session-setup", Command::SESSION_SETUP, Request::SessionSetup(setup)),
        ("logoff", Command::LOGOFF, Request::Logoff(LogoffRequest)),
        ("tree-disconnect", Command::TREE_DISCONNECT, Request::TreeDisconnect(TreeDisconnectRequest)),
        ("close", Command::CLOSE, Request::Close(close)),
        ("flush", Command::FLUSH, Request::Flush(FlushRequest { file_id })),
        ("cancel", Command::CANCEL, Request::Cancel(CancelRequest)),
        ("echo", Command::ECHO, Request::Echo(EchoRequest)),
    ] {
        all.message(name, &request(command, body));
    }
    all.message("create-contexts", &create);
    let mut compound = create;
    compound.resize(compound.len().next_multiple_of(8), 0);
    let next = (compound.len() as u32).to_le_bytes();
    compound[Header::NEXT_COMMAND_OFFSET..][..4].copy_from_slice(&next);
    let related =
        Header { command: Command::CLOSE, flags: HeaderFlags::RELATED_OPERATIONS, ..Header::default() };
    compound.extend(related.to_bytes());
    let start = compound.len() - Header::SIZE;
    close.encode(&mut compound, start);
    all.frame("compound", &compound);
    let mut sealed =
        TransformHeader { session_id: SessionId(1), ..TransformHeader::default() }.to_bytes().to_vec();
    sealed.extend([0; 64]);
    all.frame("sealed", &sealed);
    all.frame("compressed", &[CompressionHeader::PROTOCOL_ID.as_slice(), &[1; 28]].concat());
    let mut smb1 = Vec::new();
    wire::smb1::encode_negotiate(&[b"NT LM 0.12", b"SMB 2.002", b"SMB 2.???"], &mut smb1);
    all.frame("smb1-negotiate", &smb1);
}

/// A CREATE with as many contexts as fit together.
fn create_message() -> Vec<u8> {
    let mut attributes = Vec::new();
    let entry = ea::EaEntry { flags: 0, name: b"NAME", value: b"value" };
    let _ = ea::encode_eas([entry], &mut attributes, 100);
    let contexts = CreateContextsRequest {
        extended_attributes: Some(&attributes),
        security_descriptor: Some(descriptor()),
        allocation_size: Some(4096),
        maximal_access: Some(FileTime::NONE),
        timewarp: Some(FileTime(1)),
        query_on_disk_id: true,
        lease: Some(LeaseContext {
            key: Guid([3; 16]),
            state: LeaseState(7),
            flags: LeaseFlags::NONE,
            v2: Some(LeaseV2::default()),
        }),
        durable_request_v2: Some(DurableRequestV2::default()),
        app_instance_id: Some(Guid([4; 16])),
        aapl: Some(AaplRequest::ResolveId { file_id: 5 }),
        posix_mode: Some(0o644),
        ..CreateContextsRequest::default()
    };
    let mut chain = Vec::new();
    contexts.encode(&mut chain).unwrap();
    let name = utf16le("dir\\file.txt:stream");
    let create = CreateRequest {
        requested_oplock_level: wire::OplockLevel(0xff),
        desired_access: AccessMask::FILE_ALL,
        name: Utf16::new(&name).unwrap(),
        contexts: CreateContexts(&chain),
        ..CreateRequest::default()
    };
    let mut message = Header { command: Command::CREATE, ..Header::default() }.to_bytes().to_vec();
    create.encode(&mut message, 0);
    message
}

fn information(all: &mut Seeds) {
    let fixed = |info: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        info(&mut out);
        out
    };
    all.information("basic", &fixed(&|out| BasicInfo::default().encode(out)));
    all.information("disposition-ex", &fixed(&|out| DispositionInfoEx::default().encode(out)));
    all.information("end-of-file", &fixed(&|out| EndOfFileInfo::default().encode(out)));
    all.information("fs-label", &fixed(&|out| fs_info::encode_fs_label("label", out)));
    let name = utf16le("dir\\new");
    let rename = RenameInfo { replace_if_exists: true, root_directory: 0, name: Utf16::new(&name).unwrap() };
    all.information("rename", &fixed(&|out| rename.encode(out)));
    let attributes = [("A", "1"), ("LONGER", "value of it")];
    let entries = attributes.map(|(name, value)| ea::EaEntry {
        flags: 0,
        name: name.as_bytes(),
        value: value.as_bytes(),
    });
    all.information("attributes", &fixed(&|out| _ = ea::encode_eas(entries, out, 1000)));
    let afp_info = wire::apple::AfpInfo { backup_time: 1, finder_info: [2; 32], prodos_info: [3; 6] };
    all.add("fscc", "afp-info", fixed(&|out| afp_info.encode(out)));
    let stream = |name, size| StreamEntry { name, size, allocation_size: 4096 };
    let streams = [stream("::$DATA", 3), stream(":other:$DATA", 0)];
    all.information("streams", &fixed(&|out| _ = encode_streams(streams, out, 1000)));
    let change = |action, name| NotifyEntry { action: NotifyAction(action), name };
    let changes = [change(1, "new"), change(4, "dir\\from"), change(5, "dir\\to")];
    all.information("changes", &fixed(&|out| _ = encode_changes(changes, out, 1000)));
    let posix = PosixAttributes {
        links: 2,
        mode: PosixMode::new(PosixKind::Directory, 0o1755),
        owner: Sid::unix_user(1000),
        group: Sid::unix_group(100),
        ..PosixAttributes::default()
    };
    all.information("posix", &fixed(&|out| PosixInfo { posix, ..PosixInfo::default() }.encode(out)));
    all.information("fs-posix", &fixed(&|out| FsPosixInfo::default().encode(out)));
    for class in (0..=255).map(FileInfoClass) {
        let mut out = Vec::new();
        let Some(mut writer) = DirectoryWriter::new(class, &mut out, 1000) else { continue };
        for name in [".", "..", "File with a long name.txt"] {
            let _ = writer.append(&DirectoryEntry {
                name,
                short_name: "FILE~1.TXT",
                posix: Some(posix),
                ..DirectoryEntry::default()
            });
        }
        all.information(&format!("listing-{}", class.0), &out);
    }
}

fn control_codes(all: &mut Seeds) {
    let mut add = |name: &str, write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        all.add("ioctl", name, out);
    };
    let chunk = CopyChunk { source_offset: 0, target_offset: 4096, length: 512 };
    add("copychunk", &|out| CopyChunkRequest { source_key: [5; 24], chunks: vec![chunk; 3] }.encode(out));
    add("symlink", &|out| {
        let mut data = Vec::new();
        SymlinkData { substitute_name: r"..\a", print_name: r"..\a", relative: true }.encode(&mut data);
        ReparseData { tag: ReparseTag::SYMLINK, guid: None, data: &data }.encode(out);
    });
    add("reparse-point", &|out| {
        ReparseData { tag: ReparseTag(0x77), guid: Some(Guid([3; 16])), data: b"data" }.encode(out);
    });
    add("nfs-fifo", &|out| {
        ReparseData { tag: ReparseTag::NFS, guid: None, data: b"FIFO\0\0\0\0" }.encode(out);
    });
    add("zero-data", &|out| ZeroData::default().encode(out));
    add("duplicate-extents", &|out| DuplicateExtents::default().encode(out));
    add("object-id", &|out| ObjectIdBuffer::default().encode(out));
    add("allocated-ranges", &|out| _ = encode_allocated_ranges([AllocatedRange::default(); 3], out, 100));
    add("file-regions", &|out| _ = encode_file_regions(&[FileRegion::default(); 2], out, 100));
    add("snapshots", &|out| _ = encode_snapshots(&[FileTime(0x01d0_0000_0000_0000)], out, 200));
    add("pipe-wait", &|out| {
        out.extend([&[0; 8], [12, 0, 0, 0].as_slice(), &[1, 0], &utf16le("srvsvc")].concat())
    });
    add("network-interfaces", &|out| {
        let interface = NetworkInterface {
            index: 1,
            capability: InterfaceCapability::NONE,
            link_speed: 1_000_000_000,
            address: std::net::IpAddr::from([192, 0, 2, 1]),
            scope_id: 0,
        };
        _ = encode_network_interfaces(&[interface; 2], out, 1000);
    });
}

fn descriptor() -> SecurityDescriptor {
    let sid = |text: &str| text.parse::<Sid>().unwrap();
    let ace = |kind, flags: u8, mask, who: &str| Ace {
        kind,
        flags: AceFlags(flags),
        body: AceBody::Principal { mask: AccessMask(mask), sid: sid(who), data: Vec::new() },
    };
    let aces = vec![
        ace(AceType::ACCESS_DENIED, 0, 0x0001_0000, "S-1-5-32-546"),
        ace(AceType::ACCESS_ALLOWED, 3, 0x001f_01ff, "S-1-5-21-1-2-3-1000"),
        ace(AceType::ACCESS_ALLOWED, 0x0b, 0x1000_0000, "S-1-3-0"),
    ];
    SecurityDescriptor::new(sid("S-1-5-21-1-2-3-1000"), sid("S-1-5-21-1-2-3-513"), Acl { aces })
}

fn descriptors(all: &mut Seeds) {
    let mut bytes = Vec::new();
    descriptor().encode(&mut bytes).unwrap();
    for (name, mask) in [("maximum", 0x0200_0000_u32), ("read", 0x8000_0000), ("sacl", 0x0100_0000)] {
        all.add("security", name, [&mask.to_le_bytes(), bytes.as_slice()].concat());
    }
    let text = |text: &str| [&[0; 4], text.as_bytes()].concat();
    all.add("security", "sid-text", text("S-1-5-21-1-2-3-1000"));
    all.add("security", "sid-text-hex", text("S-1-0x10000000000-1"));
    let mut sid = vec![0; 4];
    "S-1-5-32-544".parse::<Sid>().unwrap().encode(&mut sid);
    all.add("security", "sid", sid);
}

fn texts(all: &mut Seeds) {
    for (number, text) in [
        "*.txt\nSome.File.txt",
        "<.t>t\na.b.txt",
        "a*b?c\"d\nAxbycd",
        "*\ndir\\file:stream:$DATA",
        "file.txt\nFILE.TXT",
        "stra\u{df}e\n\u{1f980}\\dir\\::$INDEX_ALLOCATION",
        "@GMT-2026.03.01-09.30.00\n@GMT-2026.03.01-09.30.00\\file",
        "",
    ]
    .into_iter()
    .enumerate()
    {
        all.add("names", format!("pair-{number}"), text);
    }
    all.add("config", "example", include_str!("../../../packaging/shareward.toml"));
    all.add("config", "minimal", "[[share]]\nname = \"data\"\npath = \"/srv/data\"\n");
    all.add(
        "config",
        "everything",
        "[server]\nname = \"SERVER\"\ncomment = \"c\"\nlisten = [\"127.0.0.1\", \"[::1]:4450\", \":445\"]\n\
         users_file = \"users\"\ncontrol_socket = \"s\"\nstate_dir = \"/var/lib/x\"\nadministrators = [\"a\"]\n\
         signing = \"required\"\nencryption = \"off\"\nmin_dialect = \"2.1\"\nmax_dialect = \"3.1.1\"\n\
         unix_identities = false\n\n[[share]]\nname = \"a\"\npath = \"a\"\nremark = \"r\"\nread_only = true\n\
         guest = true\nencrypt = true\nhidden = true\nmax_users = 3\nusers = [\"a\", \"b\"]\n",
    );
    all.add(
        "config",
        "commented",
        "# a\n[server] # b\ncomment = 'c' # d\nhidden = true\nautodisconnect = 15\n\n# e\n[[share]] # f\nname = \"a\"\npath = \"/\"\n\
         caching = \"none\" # g\nautodisconnect = 5\ngrants = [{ user = \"Everyone\", right = \"read\" }, # h\n]\n",
    );
    all.add(
        "logons",
        "logind",
        "UID=1000\nUSER=ann\nTTY=pts/0\nCLASS=user\nREMOTE_HOST=192.0.2.1\nREALTIME=951826265000000\n",
    );
    let mut record = [0; 400];
    for (at, bytes) in [
        (0, &b"\x07"[..]),
        (4, b"\x01"),
        (8, b"pts/0"),
        (44, b"ann"),
        (76, b"192.0.2.1"),
        (340, b"\x01\x02\x03\x04"),
    ] {
        record[at..at + bytes.len()].copy_from_slice(bytes);
    }
    all.add("logons", "utmp", &record[..384]);
    all.add("config", "wrong", "[server]\nname = 3\nnmae = \"x\"\n[[share]]\n");
    const HASH: &str = "8846F7EAEE8FB117AD06BDD830B7586C";
    let none = "X".repeat(32);
    all.add("users", "two", format!("# comment\nalice:1000:{none}:{HASH}:[U          ]:LCT-5F000000:\r\nbob:1001:{none}:{HASH}:[UD         ]:LCT-00000000:Bob:\n"));
    all.add("users", "no-password", format!("guest:65534:{none}:{none}:[NU         ]:LCT-00000000:\n"));
    all.add(
        "users",
        "old-format",
        format!("alice:0:{none}:NO PASSWORD{}:Alice:/home/alice:/bin/sh", "X".repeat(21)),
    );
    all.add(
        "users",
        "rules",
        format!(
            "alice:1000:{none}:{HASH}:[U          ]:LCT-5F000000:shareward expires=1900000000 fixed old={HASH},{HASH}:Alice\n\
             bob:1001:{none}:{HASH}:[U          ]:LCT-FFFFFFFF:shareward expires=9223372036854775807:\n"
        ),
    );
    all.add("users", "last-line-open", format!("\n\nalice:1000:{none}:{HASH}:[U]:LCT-5F000000:"));
}

fn logons(all: &mut Seeds) {
    let default = InitiatorOptions { now: NOW, workstation: "DESK".into(), ..InitiatorOptions::default() };
    let raw = InitiatorOptions { raw_ntlmssp: true, ..default.clone() };
    let late = InitiatorOptions { optimistic_token: false, ..default.clone() };
    let kerberos = InitiatorOptions { offer_kerberos_first: true, ..default.clone() };
    let user = |name: &str| Credentials::password(name, "DOM", PASSWORD);
    for (name, settings, credentials, options) in [
        ("spnego", 0, user("alice"), &default),
        ("raw", 4, user("alice"), &raw),
        ("two-rounds", 16, user("alice"), &late),
        ("kerberos-first", 8, user("alice"), &kerberos),
        ("disabled", 0, user("disabled"), &default),
        ("guest", 2, user("nobody"), &default),
        ("anonymous", 1, Credentials::anonymous(), &default),
    ] {
        let mut acceptor = Acceptor::with_random(config(), Box::new(Fixed));
        let mut initiator =
            Initiator::new(credentials, "server").with_options(options.clone()).with_random(Box::new(Fixed));
        let (mut sent, mut answered) = (Vec::new(), Vec::new());
        let mut answer = None;
        while let Ok(ClientStep::Token(token)) = initiator.step(answer.as_deref()) {
            let step = acceptor.step(&token, &Table, NOW);
            sent.push(token);
            answer = match step {
                Step::Continue(token) | Step::Again { token, .. } => Some(token),
                Step::Done(logon) => Some(logon.token),
                Step::Refused { token, .. } => token,
                Step::PassThrough(_) => None,
            };
            answered.extend(answer.clone());
            if sent.len() == 4 || answer.is_none() {
                break;
            }
        }
        for (round, token) in sent.iter().enumerate() {
            all.add("tokens", format!("{name}-client-{round}"), token.as_slice());
        }
        for (round, token) in answered.iter().enumerate() {
            all.add("tokens", format!("{name}-server-{round}"), token.as_slice());
        }
        let with = |tokens: &[Vec<u8>]| [vec![settings], join(tokens.iter().map(Vec::as_slice))].concat();
        all.add("logon", name, with(&sent));
        all.add("logon", format!("{name}-answers"), with(&answered));
    }
    all.add("tokens", "offer", Acceptor::offer(false));
    for (name, bytes) in crate::tickets::seeds() {
        all.add("tickets", name, bytes);
    }
}

/// Messages of the local network and of name servers, and those of a Kerberos context.
fn network(all: &mut Seeds) {
    for (name, bytes) in crate::dns::seeds() {
        all.add("dns", name, bytes);
    }
    for (name, bytes) in crate::soap::seeds() {
        all.add("soap", name, bytes);
    }
    for (name, bytes) in crate::wrap::seeds() {
        all.add("wrap", name, bytes);
    }
}

fn calls(all: &mut Seeds) {
    let stubs = include_str!("../../rpc/tests/fixtures/stubs.txt");
    let client = ClientAssociation::new(rpc::srvsvc::INTERFACE);
    let bind = client.bind();
    let ack = {
        let mut server = Association::new(rpc::srvsvc::ENDPOINT);
        let _ = server.receive(&bind);
        let _ = server.next_call();
        match server.read(usize::MAX) {
            rpc::ReadOutcome::Data { bytes, .. } => bytes,
            rpc::ReadOutcome::Empty => Vec::new(),
        }
    };
    for line in stubs.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [interface, direction, opnum, level, stub] = words.as_slice() else { continue };
        let (opnum, stub) = (opnum.parse::<u16>().unwrap(), unhex(stub));
        let answer = *direction == "response";
        let name = format!("{opnum:02}-{level}-{direction}");
        let (target, opnums) = match *interface {
            "srvsvc" => ("srvsvc", rpc::srvsvc::Request::OPNUMS),
            _ => ("wkssvc", rpc::wkssvc::Request::OPNUMS),
        };
        let index = opnums.iter().position(|known| *known == opnum).unwrap() as u8;
        all.add(target, name.clone(), [&[index, u8::from(answer)], stub.as_slice()].concat());
        if target != "srvsvc" {
            continue;
        }
        if answer {
            let half = stub.len() / 2;
            let part = |flags, stub| {
                let response = rpc::pdu::Response { context_id: 0, alloc_hint: stub_len(stub), stub };
                Body::Response(response).encode(2, flags)
            };
            let parts = [part(FIRST_FRAGMENT, &stub[..half]), part(LAST_FRAGMENT, &stub[half..])];
            let pieces = [ack.as_slice()].into_iter().chain(parts.iter().map(Vec::as_slice));
            all.add("rpc_client", name, join(pieces));
        } else {
            let request =
                rpc::pdu::Request { context_id: 0, opnum, alloc_hint: stub_len(&stub), stub: &stub };
            let request = Body::Request(request).encode(2, WHOLE);
            let (head, tail) = request.split_at(HEADER_LEN - 1);
            all.add("rpc_server", name, join([bind.as_slice(), head, tail]));
        }
    }
    for (name, kind) in [("orphaned", 19_u8), ("cancel", 18), ("auth3", 16), ("shutdown", 17), ("alter", 14)]
    {
        let mut pdu = bind.clone();
        pdu[2] = kind;
        if let Some(Ok(header)) = pdu.first_chunk().map(PduHeader::decode)
            && header.len() == pdu.len()
        {
            all.add("rpc_server", name, join([bind.as_slice(), &pdu]));
        }
    }
}

fn stub_len(stub: &[u8]) -> u32 {
    u32::try_from(stub.len()).unwrap_or(u32::MAX)
}

fn json(all: &mut Seeds) {
    use control::*;
    let mut add = |name: &str, kind: u8, text: &str| {
        all.add("control", name, [&[kind], text.as_bytes()].concat());
    };
    add("sessions-filters", 0, "user=DOM%5Cj%C3%B6rg&client=%5B::1%5D&after=7&limit=10");
    add("files-filters", 1, "user=a+b&share=data&path=a%2Bb%3Dc%25&after=18446744073709551615");
    add("connections-filters", 2, "share=data&limit=0");
    add("refusals-filters", 3, "path=x&client=\\\\host");
    add("close-sessions", 4, r#"{"computer":"\\\\host","user":null}"#);
    let session = Session { id: Some(1), connected_at: Some(Timestamp(0)), ..Session::default() };
    let file =
        OpenFile { id: 1, path: r"a\b".into(), access: Some(Access::new(3, vec![])), ..OpenFile::default() };
    let written = [
        serde_json::to_string(&Page::new(vec![session], Some(1))),
        serde_json::to_string(&Page::new(vec![file], None)),
        serde_json::to_string(&Page::whole(vec![Share::default()])),
        serde_json::to_string(&Page::whole(vec![Connection::default()])),
        serde_json::to_string(&Page::whole(vec![Refusal::default()])),
        serde_json::to_string(&ServerInfo::default()),
        serde_json::to_string(&Error::new(2314, "Gone.")),
    ];
    for (kind, text) in (5..).zip(written) {
        add(&format!("json-{kind}"), kind, &text.unwrap());
    }
    add("time", 12, "2026-03-01T11:30:00.250999+02:00");
    add("leap", 12, "2024-02-29 23:59:60Z");
    add("address", 14, r"\\[fe80::1%eth0]");
    add("mapped", 14, "::ffff:192.0.2.1");
    add("name", 14, "host.example");
}

fn servers(all: &mut Seeds) {
    for (name, text) in [
        ("list", r"\\FILES,alice@nas:1445 ,, [::1],LAB\bob@example.org@nas"),
        ("addresses", "::1,fe80::1%eth0,[2001:db8::7]:8445,10.0.0.1:445,10.0.0.1%1"),
        ("files", "@/etc/servers,@,first,@last"),
        ("lines", "# ours\n\nfiles # the old one\nalice@nas:1445\r\n"),
        ("wrong", "a b,alice@,a:b,[::1,10.0.0.1%a:b:c"),
    ] {
        all.add("servers", name, text);
    }
}

fn operations(all: &mut Seeds) {
    for number in 0..16 {
        let mut random = Random(1000 + number);
        let length = 40 * (1 + random.below(16));
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        all.add("registry", format!("random-{number:02}"), bytes);
        let bytes: Vec<u8> = (0..100 * (1 + number)).map(|_| random.next() as u8).collect();
        all.add("connection", format!("random-{number:02}"), bytes);
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect()
}
