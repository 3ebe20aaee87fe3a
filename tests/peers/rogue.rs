//! Malicious servers against our client and our mount: every call ends, and no answer has an effect where it must
//! not.

use std::future::Future;
use std::net::SocketAddr;
use std::process::Command as Program;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth::ntlm::compute;
use auth::{
    Acceptor, AcceptorConfig, AccountRecord, Accounts, Credentials, PreauthHash, SessionKeys,
    SigningAlgorithm, SigningKey, Step,
};
use client::smb::{ClientConnection, ClientTree, ConnectOptions, CreateParameters, Error, Pipe};
use rpc::InterfaceId;
use testkit::{need, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wire::create_context::CreateContextsRequest;
use wire::fscc::{Appended, DirectoryEntry, DirectoryWriter, FileInfoClass};
use wire::header::{Compound, Header};
use wire::ioctl::{FsctlCode, ReparseData, ReparseTag, ValidateNegotiateResponse};
use wire::layout::FixedLayout as _;
use wire::msg::{
    CloseResponse, CreateRequest, CreateResponse, EchoResponse, ErrorResponse, GlobalCapabilities,
    HashAlgorithmId, IoctlRequest, IoctlResponse, LockResponse, LogoffResponse, NegotiateContext,
    NegotiateContexts, NegotiateResponse, OutputResponse, QueryDirectoryRequest, ReadResponse, SecurityMode,
    SessionFlags, SessionSetupRequest, SessionSetupResponse, ShareType, TreeConnectResponse,
    TreeDisconnectResponse, U16List,
};
use wire::posix::POSIX_VERSION;
use wire::{
    AsyncId, Command, Dialect, FileAttributes, FileTime, Guid, HeaderFlags, NtStatus, TreeId, TreeOrAsync,
};

use crate::net_use::{LIMIT, Machine, NEEDS};

const PASSWORD: &str = "Wonder-Land 1";

/// The status that comes without a signature.
const IN_BETWEEN: NtStatus = NtStatus::FILE_CLOSED;

/// A body and its status, which replace a server's answer.
type Answer = (NtStatus, Vec<u8>);

/// The deviations of a server; `None` for a normal answer.
type Mischief = dyn Fn(&Header, &[u8]) -> Option<Answer> + Send + Sync;

/// A server of one share without files, whose root is a directory.
struct Rogue {
    address: SocketAddr,
}

struct Everybody;

impl Accounts for Everybody {
    fn nt_hash(&self, _domain: &str, user: &str) -> Option<AccountRecord> {
        let nt_hash = compute::nt_hash(PASSWORD);
        Some(AccountRecord {
            name: user.into(),
            nt_hash: Some(nt_hash),
            disabled: false,
            locked_out: false,
            outdated: None,
        })
    }
}

impl Rogue {
    async fn start(mischief: impl Fn(&Header, &[u8]) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self::granting(u16::MAX, mischief).await
    }

    /// As [`start`](Self::start), with SMB 3.1.1 and its POSIX extensions, which the share has not.
    async fn promising_posix(
        mischief: impl Fn(&Header, &[u8]) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::of(Dialect::SMB311, u16::MAX, mischief).await
    }

    /// As [`start`](Self::start), with at most `credits` credits after the NEGOTIATE.
    async fn granting(
        credits: u16,
        mischief: impl Fn(&Header, &[u8]) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::of(Dialect::SMB210, credits, mischief).await
    }

    async fn of(
        dialect: Dialect,
        credits: u16,
        mischief: impl Fn(&Header, &[u8]) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mischief: Arc<Mischief> = Arc::new(mischief);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a client");
                tokio::spawn(serve(stream, dialect, credits, Arc::clone(&mischief)));
            }
        });
        Self { address }
    }

    async fn connection(&self, request_timeout: Duration) -> Result<ClientConnection, Error> {
        let options = ConnectOptions { request_timeout, ..ConnectOptions::new()? };
        ClientConnection::connect(self.address, None, options).await
    }

    async fn tree(&self) -> ClientTree {
        let connection = self.connection(Duration::from_secs(20)).await.expect("connect");
        let session = connection.logon(Credentials::password("alice", "", PASSWORD)).await.expect("log on");
        session.tree_connect(r"\\127.0.0.1\data").await.expect("tree connect")
    }
}

async fn serve(mut stream: TcpStream, dialect: Dialect, credits: u16, mischief: Arc<Mischief>) {
    let config = AcceptorConfig { netbios_name: "ROGUE".into(), ..AcceptorConfig::default() };
    let mut acceptor = Acceptor::new(config);
    let mut key = None;
    let mut preauth = PreauthHash::new();
    let mut prefix = [0; 4];
    // Until the client has had enough.
    while stream.read_exact(&mut prefix).await.is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(prefix) as usize];
        if stream.read_exact(&mut frame).await.is_err() {
            return;
        }
        for request in Compound::new(&frame) {
            let (header, message) = request.expect("a request");
            if header.command == Command::CANCEL {
                continue;
            }
            let introduces = matches!(header.command, Command::NEGOTIATE | Command::SESSION_SETUP);
            if introduces {
                preauth.update(&frame);
            }
            let (status, body) = mischief(&header, message)
                .unwrap_or_else(|| as_others(&header, message, &mut acceptor, &mut key, (dialect, &preauth)));
            let granted = if header.command == Command::NEGOTIATE {
                header.credits
            } else {
                header.credits.min(credits)
            };
            let mut answer = header.response(status, granted);
            answer.session_id.0 = 77;
            if status == NtStatus::PENDING {
                answer.flags |= HeaderFlags::ASYNC_COMMAND;
                answer.tree = TreeOrAsync::Async(AsyncId(9));
            }
            if header.command == Command::TREE_CONNECT {
                answer.tree = TreeOrAsync::Tree { process_id: 0, tree_id: TreeId(5) };
            }
            let mut message = answer.to_bytes().to_vec();
            message.extend_from_slice(&body);
            // Answers of a man in the middle have no signature.
            let unsigned = status == NtStatus::MORE_PROCESSING_REQUIRED || status == IN_BETWEEN;
            if let Some(key) = key.as_ref().filter(|_| !unsigned) {
                let key: &SigningKey = key;
                key.sign(&mut message).expect("sign");
            }
            if introduces {
                preauth.update(&message);
            }
            let length = u32::try_from(message.len()).expect("a length").to_be_bytes();
            if stream.write_all(&length).await.is_err() || stream.write_all(&message).await.is_err() {
                return;
            }
        }
    }
}

fn body(encode: impl FnOnce(&mut Vec<u8>, usize)) -> Answer {
    // Offsets in a body are counted from its header.
    let mut message = vec![0; Header::SIZE];
    encode(&mut message, 0);
    (NtStatus::SUCCESS, message.split_off(Header::SIZE))
}

fn refused(status: NtStatus) -> Answer {
    (status, body(|out, base| ErrorResponse::default().encode(out, base)).1)
}

fn as_others(
    header: &Header,
    message: &[u8],
    acceptor: &mut Acceptor,
    key: &mut Option<SigningKey>,
    (dialect, preauth): (Dialect, &PreauthHash),
) -> Answer {
    match header.command {
        Command::NEGOTIATE => {
            let token = Acceptor::offer(false);
            let (mut hashes, mut list) = (Vec::new(), Vec::new());
            let hash_algorithms = U16List::build([HashAlgorithmId::SHA_512.0], &mut hashes);
            let contexts = [
                NegotiateContext::PreauthIntegrity { hash_algorithms, salt: b"salt" },
                NegotiateContext::Posix { versions: &POSIX_VERSION },
            ];
            let contexts: &[_] = if dialect == Dialect::SMB311 { &contexts } else { &[] };
            let response = NegotiateResponse {
                security_mode: SecurityMode::SIGNING_ENABLED,
                dialect_revision: dialect,
                contexts: NegotiateContexts::build(contexts, &mut list),
                capabilities: GlobalCapabilities::LARGE_MTU,
                max_transact_size: 1 << 20,
                max_read_size: 1 << 20,
                max_write_size: 1 << 20,
                security_buffer: &token,
                ..NegotiateResponse::default()
            };
            body(|out, base| response.encode(out, base))
        }
        Command::SESSION_SETUP => {
            let request = SessionSetupRequest::decode(message).expect("a SESSION_SETUP");
            let now = FileTime::from_unix(1_800_000_000, 0);
            let (status, token) = match acceptor.step(request.security_buffer, &Everybody, now) {
                Step::Continue(token) | Step::Again { token, .. } => {
                    (NtStatus::MORE_PROCESSING_REQUIRED, token)
                }
                Step::Done(logon) => {
                    let keys = SessionKeys::derive(dialect, logon.session_key.full(), preauth, None);
                    let algorithm = match dialect {
                        Dialect::SMB311 => SigningAlgorithm::AesCmac,
                        _ => SigningAlgorithm::HmacSha256,
                    };
                    *key = SigningKey::new(algorithm, &keys.signing).ok();
                    (NtStatus::SUCCESS, logon.token)
                }
                Step::Refused { .. } | Step::PassThrough(_) => return refused(NtStatus::LOGON_FAILURE),
            };
            let response =
                SessionSetupResponse { session_flags: SessionFlags::NONE, security_buffer: &token };
            (status, body(|out, base| response.encode(out, base)).1)
        }
        Command::TREE_CONNECT => {
            let response =
                TreeConnectResponse { share_type: ShareType::DISK, ..TreeConnectResponse::default() };
            body(|out, base| response.encode(out, base))
        }
        Command::CREATE => {
            let request = CreateRequest::decode(message).expect("a CREATE");
            created(FileAttributes::NORMAL, if request.name.is_empty() { None } else { Some(5) })
        }
        Command::CLOSE => body(|out, base| CloseResponse::default().encode(out, base)),
        Command::LOCK => body(|out, base| LockResponse.encode(out, base)),
        Command::ECHO => body(|out, base| EchoResponse.encode(out, base)),
        Command::LOGOFF => body(|out, base| LogoffResponse.encode(out, base)),
        Command::TREE_DISCONNECT => body(|out, base| TreeDisconnectResponse.encode(out, base)),
        _ => refused(NtStatus::NOT_SUPPORTED),
    }
}

/// A file of that size, or a directory.
fn created(file_attributes: FileAttributes, size: Option<u64>) -> Answer {
    let response = CreateResponse {
        creation_time: FileTime::from_unix(1_700_000_000, 0),
        file_attributes: if size.is_none() { FileAttributes::DIRECTORY } else { file_attributes },
        end_of_file: size.unwrap_or_default(),
        file_id: wire::FileId { persistent: 1, volatile: 2 },
        ..CreateResponse::default()
    };
    body(|out, base| response.encode(out, base))
}

/// Entries of these names and sizes, once or again and again.
fn listed(message: &[u8], entries: &[(&str, u64)], again: bool) -> Answer {
    let request = QueryDirectoryRequest::decode(message).expect("a QUERY_DIRECTORY");
    let max = usize::try_from(request.output_buffer_length).expect("a length");
    let mut buffer = Vec::new();
    let class = FileInfoClass(request.file_information_class);
    let mut writer = DirectoryWriter::new(class, &mut buffer, max).expect("a class of entries");
    'full: for _ in 0..max {
        for (name, size) in entries {
            let entry = DirectoryEntry { name, size: *size, ..DirectoryEntry::default() };
            if writer.append(&entry) == Appended::Full {
                break 'full;
            }
        }
        if !again {
            break;
        }
    }
    body(|out, base| OutputResponse { output_buffer: &buffer }.encode(out, base))
}

/// Fails if `work` does not end, so that the test does not hang.
async fn ends<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("a hostile server must not keep anybody for ever")
}

/// A mount of a rogue's share, and a program in it.
async fn in_a_mount(rogue: &Rogue, program: &'static str) {
    let port = rogue.address.port();
    let work = tokio::task::spawn_blocking(move || {
        let scratch = tempfile::tempdir().expect("a directory");
        let machine = Machine::new(scratch.path(), port, PASSWORD);
        machine.mount("one", "data", &[]).success();
        let one = machine.directory("one");
        let mut python = Program::new("python3");
        python.args(["-c", &format!("{PROLOGUE}{program}"), &one]);
        let output = run(python, b"", LIMIT);
        machine.net_use(&[&one, "/delete", "/yes"]).success();
        output.success();
    });
    work.await.expect("the program and the mount come to an end");
}

const PROLOGUE: &str = r#"
import errno, fcntl, os, sys
os.chdir(sys.argv[1])
def fails(expected, call, *words):
    try: done = call(*words)
    except OSError as error: assert error.errno == expected, (call, words, error)
    else: raise AssertionError("%s%r: %r" % (call.__name__, words, done))
"#;

/// The extensions can be an option of each share (Samba's are).
#[tokio::test]
async fn a_mount_of_a_share_without_the_extensions_asks_for_no_modes() {
    if !need(NEEDS) {
        return;
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let rogue = Rogue::promising_posix(move |header, message| {
        if header.command == Command::CREATE {
            let request = CreateRequest::decode(message).expect("a CREATE");
            let contexts = CreateContextsRequest::decode(request.contexts).expect("contexts");
            count.fetch_add(usize::from(contexts.posix_mode.is_some()), Ordering::Relaxed);
        }
        None
    })
    .await;
    in_a_mount(
        &rogue,
        r#"
assert os.stat("f").st_mode & 0o7777 == 0o755
mounted = [line for line in open("/proc/self/mountinfo") if " %s " % os.getcwd() in line]
# The kernel checks what is shown, as with any server without modes.
assert "default_permissions" in mounted[0], mounted
"#,
    )
    .await;
    // `net use` asks with one connection, and the mount with another.
    assert!(asked.load(Ordering::Relaxed) <= 2, "{asked:?}");
}

#[tokio::test]
async fn an_endless_listing_is_aborted() {
    let endless = Rogue::start(|header, message| {
        (header.command == Command::QUERY_DIRECTORY).then(|| listed(message, &[(".", 0)], true))
    })
    .await;
    let empty = Rogue::start(|header, _| {
        let nothing = OutputResponse { output_buffer: &[] };
        (header.command == Command::QUERY_DIRECTORY).then(|| body(|out, base| nothing.encode(out, base)))
    })
    .await;
    let large = Rogue::start(|header, _| {
        let much = vec![0; 2 << 20];
        let much = OutputResponse { output_buffer: &much };
        (header.command == Command::QUERY_DIRECTORY).then(|| body(|out, base| much.encode(out, base)))
    })
    .await;
    for (rogue, broken) in [(&endless, false), (&empty, true), (&large, true)] {
        let tree = rogue.tree().await;
        let root = tree.create(&CreateParameters::directory("")).await.expect("open");
        let error = ends(root.list(FileInfoClass::ID_BOTH_DIRECTORY, "*").all(10_000)).await;
        let error = error.expect_err("there is no such directory");
        assert_eq!(matches!(error, Error::Protocol(_)), broken, "{error}");
    }
    if need(NEEDS) {
        in_a_mount(&endless, "fails(errno.EFBIG, os.listdir, '.')").await;
        in_a_mount(&empty, "fails(errno.EIO, os.listdir, '.')").await;
        in_a_mount(&large, "fails(errno.EIO, os.listdir, '.')").await;
    }
}

#[tokio::test]
async fn invalid_names_and_sizes_are_not_shown() {
    if !need(NEEDS) {
        return;
    }
    let long = "x".repeat(300);
    let names = [".", "..", "good", "a/b", r"..\b", r"a\b", "nul\0", "\u{f029}", ".\u{f029}", long.leak()];
    let answered = AtomicUsize::new(0);
    let rogue = Rogue::start(move |header, message| match header.command {
        Command::QUERY_DIRECTORY if answered.fetch_add(1, Ordering::SeqCst) % 2 == 1 => {
            Some(refused(NtStatus::NO_MORE_FILES))
        }
        Command::QUERY_DIRECTORY => Some(listed(message, &names.map(|name| (name, 5)), false)),
        Command::CREATE => {
            let request = CreateRequest::decode(message).expect("a CREATE");
            let name = request.name.to_text();
            (name == "huge").then(|| created(FileAttributes::NORMAL, Some(1 << 63)))
        }
        _ => None,
    })
    .await;
    in_a_mount(&rogue, "assert os.listdir('.') == ['good']\nfails(errno.EIO, os.stat, 'huge')").await;
    let sizes = Rogue::start(|header, message| {
        let entries = [("good", 5), ("huge", u64::MAX)];
        (header.command == Command::QUERY_DIRECTORY).then(|| listed(message, &entries, false))
    })
    .await;
    in_a_mount(&sizes, "fails(errno.EIO, os.listdir, '.')").await;
}

#[tokio::test]
async fn an_unsigned_refusal_of_validation_ends_the_connection() {
    for (status, is_confirmed) in [
        (NtStatus::NOT_SUPPORTED, true),
        (NtStatus::INVALID_DEVICE_REQUEST, true),
        (IN_BETWEEN, false),
        (NtStatus::ACCESS_DENIED, false),
        (NtStatus::IO_TIMEOUT, false),
    ] {
        let rogue =
            Rogue::start(move |header, _| (header.command == Command::IOCTL).then(|| refused(status))).await;
        let connection = rogue.connection(Duration::from_secs(20)).await.expect("connect");
        let session = connection.logon(Credentials::password("alice", "", PASSWORD)).await.expect("log on");
        let tree = ends(session.tree_connect(r"\\127.0.0.1\data")).await;
        assert_eq!(tree.is_ok(), is_confirmed, "{status}: {tree:?}");
        assert_eq!(connection.has_ended(), !is_confirmed, "{status}");
    }
    // The confirmation must match the negotiation.
    let rogue = Rogue::start(|header, _| {
        (header.command == Command::IOCTL).then(|| {
            let mut output = Vec::new();
            let said = ValidateNegotiateResponse {
                capabilities: GlobalCapabilities::LARGE_MTU.0,
                server_guid: Guid::default(),
                security_mode: SecurityMode::SIGNING_ENABLED.0,
                dialect: Dialect::SMB302.0,
            };
            said.encode(&mut output);
            let code = FsctlCode::VALIDATE_NEGOTIATE_INFO.0;
            let response = IoctlResponse { ctl_code: code, output: &output, ..IoctlResponse::default() };
            body(|out, base| response.encode(out, base))
        })
    })
    .await;
    let connection = rogue.connection(Duration::from_secs(20)).await.expect("connect");
    let session = connection.logon(Credentials::password("alice", "", PASSWORD)).await.expect("log on");
    ends(session.tree_connect(r"\\127.0.0.1\data")).await.expect_err("the server would have chosen another");
}

#[tokio::test]
async fn an_invalid_link_target_is_an_error() {
    if !need(NEEDS) {
        return;
    }
    let targets = Arc::new(AtomicUsize::new(0));
    let rogue = Rogue::start(move |header, message| match header.command {
        Command::CREATE => {
            let request = CreateRequest::decode(message).expect("a CREATE");
            (!request.name.is_empty()).then(|| created(FileAttributes::REPARSE_POINT, Some(0)))
        }
        Command::IOCTL => {
            let code = IoctlRequest::decode(message).expect("an IOCTL").ctl_code;
            if code != FsctlCode::GET_REPARSE_POINT.0 {
                return None;
            }
            // WSL stores the target unchanged.
            let target = match targets.fetch_add(1, Ordering::SeqCst) {
                0 => b"a\0b".to_vec(),
                1 => Vec::new(),
                _ => vec![b'x'; 5000],
            };
            let (mut data, mut output) = (vec![2, 0, 0, 0], Vec::new());
            data.extend(target);
            ReparseData { tag: ReparseTag::LX_SYMLINK, guid: None, data: &data }.encode(&mut output);
            let response = IoctlResponse { ctl_code: code, output: &output, ..IoctlResponse::default() };
            Some(body(|out, base| response.encode(out, base)))
        }
        _ => None,
    })
    .await;
    in_a_mount(
        &rogue,
        "fails(errno.EIO, os.lstat, 'zero')\nfails(errno.EIO, os.lstat, 'empty')\n\
         assert not os.path.islink('long')",
    )
    .await;
}

#[tokio::test]
async fn an_answer_larger_than_requested_is_refused() {
    let rogue = Rogue::start(|header, _| match header.command {
        Command::READ => {
            let data = vec![7; 2 << 20];
            let (status, mut answer) = body(|out, _| ReadResponse::encode_prefix(2 << 20, out));
            answer.extend_from_slice(&data);
            Some((status, answer))
        }
        Command::QUERY_INFO => {
            let mut answer = Vec::new();
            wire::msg::OutputResponse::encode_prefix(1 << 20, &mut answer);
            answer.resize(answer.len() + (1 << 20), 0);
            Some((NtStatus::SUCCESS, answer))
        }
        _ => None,
    })
    .await;
    let tree = rogue.tree().await;
    let file = tree.create(&CreateParameters::open("f")).await.expect("open");
    let error = ends(file.read(0, 4096)).await.map(|data| data.len()).expect_err("it is too much");
    assert!(matches!(error, Error::Protocol(_)), "{error}");
    if need(NEEDS) {
        in_a_mount(&rogue, "fails(errno.EIO, lambda: open('f', 'rb').read())").await;
    }
}

#[tokio::test]
async fn endless_logons_and_binds_are_aborted() {
    let rounds = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&rounds);
    let rogue = Rogue::start(move |header, _| {
        (header.command == Command::SESSION_SETUP).then(|| {
            counted.fetch_add(1, Ordering::SeqCst);
            refused(NtStatus::MORE_PROCESSING_REQUIRED)
        })
    })
    .await;
    let connection = rogue.connection(Duration::from_secs(20)).await.expect("connect");
    let logon = ends(connection.logon(Credentials::password("alice", "", PASSWORD))).await;
    logon.expect_err("nobody has logged on");
    assert!(rounds.load(Ordering::SeqCst) < 10);

    let fragment = |code, output: &[u8]| {
        let response = IoctlResponse { ctl_code: code, output, ..IoctlResponse::default() };
        (NtStatus::BUFFER_OVERFLOW, body(|out, base| response.encode(out, base)).1)
    };
    let rogue = Rogue::start(move |header, message| match header.command {
        Command::IOCTL => {
            let code = IoctlRequest::decode(message).expect("an IOCTL").ctl_code;
            (code == FsctlCode::PIPE_TRANSCEIVE.0).then(|| fragment(code, &[5; 1000]))
        }
        Command::READ => {
            let (_, mut answer) = body(|out, _| ReadResponse::encode_prefix(1000, out));
            answer.resize(answer.len() + 1000, 5);
            Some((NtStatus::BUFFER_OVERFLOW, answer))
        }
        _ => None,
    })
    .await;
    let tree = rogue.tree().await;
    let bound = ends(Pipe::open(&tree, "srvsvc", InterfaceId::NDR20)).await;
    assert!(matches!(bound, Err(Error::Protocol(_))), "{bound:?}");
}

#[tokio::test]
async fn waiting_for_credits_and_answers_is_limited() {
    let wait = Duration::from_millis(300);
    let rogue = Rogue::granting(0, |_, _| None).await;
    let connection = rogue.connection(wait).await.expect("connect");
    // The credits of the NEGOTIATE are used up.
    let outcome = ends(async {
        loop {
            if let Err(error) = connection.echo().await {
                return error;
            }
        }
    });
    assert!(matches!(outcome.await, Error::TimedOut(_)));

    let rogue =
        Rogue::start(|header, _| (header.command == Command::ECHO).then(|| refused(NtStatus::PENDING))).await;
    let connection = rogue.connection(wait).await.expect("connect");
    assert!(ends(connection.echo()).await.is_err());
}

#[tokio::test]
async fn a_failed_unlock_is_repeated() {
    if !need(NEEDS) {
        return;
    }
    let unlocks: Arc<Mutex<Vec<bool>>> = Arc::default();
    let seen = Arc::clone(&unlocks);
    let rogue = Rogue::start(move |header, message| {
        if header.command != Command::LOCK {
            return None;
        }
        let request = wire::msg::LockRequest::decode(message).expect("a LOCK");
        let unlock = request.locks.iter().any(|lock| lock.flags.contains(wire::msg::LockFlags::UNLOCK));
        if !unlock {
            return None;
        }
        let mut seen = seen.lock().expect("a list");
        let fails = seen.is_empty();
        seen.push(fails);
        fails.then(|| refused(NtStatus::INSUFFICIENT_RESOURCES))
    })
    .await;
    in_a_mount(
        &rogue,
        "file = os.open('f', os.O_RDWR)\n\
         fcntl.lockf(file, fcntl.LOCK_EX, 10, 0)\n\
         fails(errno.ENOMEM, fcntl.lockf, file, fcntl.LOCK_UN, 10, 0)\n\
         fcntl.lockf(file, fcntl.LOCK_UN, 10, 0)\n",
    )
    .await;
    assert_eq!(*unlocks.lock().expect("a list"), [true, false]);
}
