//! A client at the level of bytes: each test chooses signing, encryption and addresses of every message, and sees
//! every frame.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use auth::{
    Cipher, ClientStep, Credentials, Initiator, PreauthHash, SealingKey, SessionKeys, SigningAlgorithm,
    SigningKey,
};
use client::smb::CreateParameters;
use testkit::Subject;
use wire::header::{Command, Header, TransformHeader};
use wire::msg::{
    CipherId, CreateContexts, CreateRequest, CreateResponse, GlobalCapabilities, HashAlgorithmId,
    ImpersonationLevel, NegotiateContext, NegotiateContexts, NegotiateRequest, SecurityMode, SessionFlags,
    SessionSetupFlags, SessionSetupRequest, SessionSetupResponse, TreeConnectRequest, U16List,
};
use wire::{Dialect, FileId, Guid, MessageId, NtStatus, SessionId, TreeId, TreeOrAsync, Utf16, utf16le};

/// A connection.
pub(crate) struct Raw {
    socket: TcpStream,
    next: u64,
    dialect: Dialect,
    preauth: PreauthHash,
}

/// A session and its keys.
pub(crate) struct Keys {
    pub(crate) id: SessionId,
    pub(crate) flags: SessionFlags,
    /// `None` for guest and anonymous sessions.
    secrets: Option<Secrets>,
}

struct Secrets {
    signing: SigningKey,
    outward: Option<SealingKey>,
    inward: Option<SealingKey>,
}

/// The protection of a message.
#[derive(Clone, Copy)]
pub(crate) enum Protection<'a> {
    Clear,
    Signed(&'a Keys),
    Sealed(&'a Keys),
    /// Sealed, with these `Flags` in the transform header.
    SealedWithFlags(&'a Keys, u16),
}

/// A received message.
pub(crate) struct Received {
    pub(crate) header: Header,
    pub(crate) message: Vec<u8>,
    pub(crate) sealed: bool,
}

impl Raw {
    /// A new connection.
    pub(crate) fn connect(subject: &Subject) -> Self {
        let socket = TcpStream::connect(subject.address()).expect("connect");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        Self { socket, next: 0, dialect: Dialect::SMB202, preauth: PreauthHash::default() }
    }

    /// A connection that speaks `dialect`, its client's signing mode being `mode`.
    pub(crate) fn speaking(subject: &Subject, dialect: Dialect, mode: SecurityMode) -> Self {
        let mut raw = Self::connect(subject);
        assert_eq!(raw.negotiate(dialect, mode, false), NtStatus::SUCCESS);
        raw
    }

    pub(crate) fn negotiate(&mut self, dialect: Dialect, mode: SecurityMode, says_signed: bool) -> NtStatus {
        let (mut dialects, mut hashes, mut ciphers, mut list) = (vec![], vec![], vec![], vec![]);
        let contexts = [
            NegotiateContext::PreauthIntegrity {
                hash_algorithms: U16List::build([HashAlgorithmId::SHA_512.0], &mut hashes),
                salt: &[7; 32],
            },
            NegotiateContext::Encryption { ciphers: U16List::build([CipherId::AES_128_GCM.0], &mut ciphers) },
        ];
        let is_311 = dialect == Dialect::SMB311;
        let body = NegotiateRequest {
            security_mode: mode,
            capabilities: GlobalCapabilities::ENCRYPTION
                | GlobalCapabilities::LEASING
                | GlobalCapabilities::LARGE_MTU,
            client_guid: Guid([0x5a; 16]),
            dialects: U16List::build([dialect.0], &mut dialects),
            contexts: NegotiateContexts::build(if is_311 { &contexts } else { &[] }, &mut list),
        };
        let mut message =
            self.message(Command::NEGOTIATE, SessionId(0), TreeId(0), |out, base| body.encode(out, base));
        if says_signed {
            message[Header::FLAGS_OFFSET] |= 0x08;
        }
        self.dialect = dialect;
        let mut preauth = self.preauth;
        preauth.update(&message);
        self.send(message, Protection::Clear);
        let heard = self.receive(&[]).expect("an answer");
        if heard.header.status.is_success() {
            preauth.update(&heard.message);
            self.preauth = preauth;
        }
        heard.header.status
    }

    /// Logs on with `mode` in the SESSION_SETUP.
    pub(crate) fn logon(&mut self, credentials: Credentials, mode: SecurityMode) -> Result<Keys, NtStatus> {
        self.logon_instead_of(credentials, mode, SessionId(0))
    }

    /// As [`Self::logon`] with a previous session.
    pub(crate) fn logon_instead_of(
        &mut self,
        credentials: Credentials,
        mode: SecurityMode,
        previous: SessionId,
    ) -> Result<Keys, NtStatus> {
        self.exchange(SessionId(0), credentials, mode, previous)
    }

    /// Logs on to an existing session again.
    pub(crate) fn logon_again(&mut self, id: SessionId, credentials: Credentials) -> Result<Keys, NtStatus> {
        self.exchange(id, credentials, SecurityMode::SIGNING_ENABLED, SessionId(0))
    }

    fn exchange(
        &mut self,
        mut id: SessionId,
        credentials: Credentials,
        mode: SecurityMode,
        previous: SessionId,
    ) -> Result<Keys, NtStatus> {
        let mut initiator = Initiator::new(credentials, "localhost");
        let mut preauth = self.preauth;
        let mut step = initiator.step(None).expect("a token");
        loop {
            let ClientStep::Token(token) = &step else { panic!("the server goes on") };
            let message = self.session_setup(id, mode, previous, token);
            preauth.update(&message);
            self.send(message, Protection::Clear);
            let heard = self.receive(&[]).expect("an answer");
            id = heard.header.session_id;
            let status = heard.header.status;
            if status != NtStatus::SUCCESS && status != NtStatus::MORE_PROCESSING_REQUIRED {
                return Err(status);
            }
            let answer = SessionSetupResponse::decode(&heard.message).expect("SESSION_SETUP");
            if status == NtStatus::SUCCESS {
                let flags = answer.session_flags;
                if flags.intersects(SessionFlags::IS_GUEST | SessionFlags::IS_NULL) {
                    return Ok(Keys { id, flags, secrets: None });
                }
                let ClientStep::Done { session_key: key } =
                    initiator.step(Some(answer.security_buffer)).expect("the last token")
                else {
                    panic!("the client goes on");
                };
                return Ok(Keys { id, flags, secrets: Some(self.secrets(&key, &preauth)) });
            }
            preauth.update(&heard.message);
            step = initiator.step(Some(answer.security_buffer)).expect("a token");
        }
    }

    /// Begins a logon and leaves it at that.
    pub(crate) fn begin_logon(&mut self, credentials: Credentials) -> SessionId {
        let mut initiator = Initiator::new(credentials, "localhost");
        let ClientStep::Token(token) = initiator.step(None).expect("a token") else { panic!("done already") };
        let message = self.session_setup(SessionId(0), SecurityMode::SIGNING_ENABLED, SessionId(0), &token);
        let heard = self.ask(message, Protection::Clear);
        assert_eq!(heard.header.status, NtStatus::MORE_PROCESSING_REQUIRED);
        heard.header.session_id
    }

    fn secrets(&self, key: &[u8], preauth: &PreauthHash) -> Secrets {
        let cipher = match self.dialect {
            Dialect::SMB311 => Some(Cipher::Aes128Gcm),
            Dialect::SMB300 | Dialect::SMB302 => Some(Cipher::Aes128Ccm),
            _ => None,
        };
        let algorithm =
            if cipher.is_some() { SigningAlgorithm::AesCmac } else { SigningAlgorithm::HmacSha256 };
        let keys = SessionKeys::derive(self.dialect, key, preauth, cipher);
        let sealing = |key: &Option<auth::CipherKey>| {
            cipher
                .zip(key.as_ref())
                .map(|(cipher, key)| SealingKey::new(cipher, key.as_bytes()).expect("a key"))
        };
        Secrets {
            signing: SigningKey::new(algorithm, &keys.signing).expect("a key"),
            outward: sealing(&keys.client_to_server),
            inward: sealing(&keys.server_to_client),
        }
    }

    /// A SESSION_SETUP.
    pub(crate) fn session_setup(
        &mut self,
        id: SessionId,
        mode: SecurityMode,
        previous: SessionId,
        token: &[u8],
    ) -> Vec<u8> {
        let body = SessionSetupRequest {
            flags: SessionSetupFlags::NONE,
            security_mode: mode,
            capabilities: GlobalCapabilities::NONE,
            previous_session_id: previous,
            security_buffer: token,
        };
        self.message(Command::SESSION_SETUP, id, TreeId(0), |out, base| body.encode(out, base))
    }

    /// A message with the next message id.
    pub(crate) fn message(
        &mut self,
        command: Command,
        session_id: SessionId,
        tree_id: TreeId,
        body: impl FnOnce(&mut Vec<u8>, usize),
    ) -> Vec<u8> {
        let header = Header {
            command,
            credits: 64,
            credit_charge: u16::from(self.dialect >= Dialect::SMB210),
            message_id: MessageId(self.next),
            tree: TreeOrAsync::Tree { process_id: 0, tree_id },
            session_id,
            ..Header::default()
        };
        // A CANCEL has the id of another.
        self.next += u64::from(command != Command::CANCEL);
        let mut message = header.to_bytes().to_vec();
        body(&mut message, 0);
        message
    }

    /// Sends a message in a separate frame.
    pub(crate) fn send(&mut self, message: Vec<u8>, protection: Protection<'_>) {
        let frame = framed(message, protection);
        self.send_bytes(&frame);
    }

    /// Sends frames with one call.
    pub(crate) fn send_bytes(&mut self, frames: &[u8]) {
        self.socket.write_all(frames).expect("send");
    }

    /// The message in the next frame, decrypted with the keys of its session; `None` if the server has ended the
    /// connection.
    pub(crate) fn receive(&mut self, keys: &[&Keys]) -> Option<Received> {
        let mut length = [0; 4];
        match self.socket.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                return None;
            }
            Err(error) => panic!("neither an answer nor the end: {error}"),
        }
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        self.socket.read_exact(&mut message).expect("a whole frame");
        let sealed = message.starts_with(&TransformHeader::PROTOCOL_ID);
        if sealed {
            let (head, payload) =
                message.split_first_chunk_mut::<{ TransformHeader::SIZE }>().expect("a header");
            let id = TransformHeader::decode(head).expect("a transform header").session_id;
            let key = keys.iter().find(|keys| keys.id == id).and_then(|keys| keys.secrets.as_ref());
            key.and_then(|it| it.inward.as_ref())
                .expect("a key")
                .open_in_place(head, payload)
                .expect("sealed for us");
            message.drain(..TransformHeader::SIZE);
        }
        Some(Received { header: Header::decode(&message).expect("a header"), message, sealed })
    }

    /// Sends a request and returns its answer, skipping other messages.
    pub(crate) fn ask(&mut self, message: Vec<u8>, protection: Protection<'_>) -> Received {
        self.try_ask(message, protection).expect("an answer")
    }

    /// As [`Self::ask`]; `None` if the server ends the connection instead.
    pub(crate) fn try_ask(&mut self, message: Vec<u8>, protection: Protection<'_>) -> Option<Received> {
        let id = Header::decode(&message).expect("a header").message_id;
        self.send(message, protection);
        let keys: Vec<&Keys> = protection.keys().into_iter().collect();
        self.answer_to(id, &keys)
    }

    /// The final answer to a request.
    pub(crate) fn answer_to(&mut self, id: MessageId, keys: &[&Keys]) -> Option<Received> {
        loop {
            let heard = self.receive(keys)?;
            if heard.header.message_id == id && heard.header.status != NtStatus::PENDING {
                return Some(heard);
            }
        }
    }

    /// A TREE_CONNECT.
    pub(crate) fn tree_connect(&mut self, session: SessionId, share: &str) -> Vec<u8> {
        self.tree_connect_path(session, &format!(r"\\127.0.0.1\{share}"))
    }

    /// A TREE_CONNECT with any path.
    pub(crate) fn tree_connect_path(&mut self, session: SessionId, path: &str) -> Vec<u8> {
        let path = utf16le(path);
        let body =
            TreeConnectRequest { path: Utf16::new(&path).expect("a path"), ..TreeConnectRequest::default() };
        self.message(Command::TREE_CONNECT, session, TreeId(0), |out, base| body.encode(out, base))
    }

    /// Connects to a share.
    pub(crate) fn tree(&mut self, keys: &Keys, share: &str, protection: Protection<'_>) -> TreeId {
        let message = self.tree_connect(keys.id, share);
        let heard = self.ask(message, protection);
        assert_eq!(heard.header.status, NtStatus::SUCCESS, "TREE_CONNECT");
        heard.header.tree_id().expect("a tree id")
    }

    /// A CREATE.
    pub(crate) fn create(
        &mut self,
        session: SessionId,
        tree: TreeId,
        parameters: &CreateParameters<'_>,
    ) -> Vec<u8> {
        let name = utf16le(parameters.name);
        let mut contexts = Vec::new();
        parameters.contexts.encode(&mut contexts).expect("contexts");
        let body = CreateRequest {
            requested_oplock_level: parameters.oplock,
            impersonation_level: ImpersonationLevel::IMPERSONATION,
            desired_access: parameters.access,
            file_attributes: parameters.attributes,
            share_access: parameters.share,
            create_disposition: parameters.disposition,
            create_options: parameters.options,
            name: Utf16::new(&name).expect("a name"),
            contexts: CreateContexts(&contexts),
        };
        self.message(Command::CREATE, session, tree, |out, base| body.encode(out, base))
    }

    /// Opens a file.
    pub(crate) fn open(
        &mut self,
        keys: &Keys,
        tree: TreeId,
        parameters: &CreateParameters<'_>,
        protection: Protection<'_>,
    ) -> FileId {
        let message = self.create(keys.id, tree, parameters);
        let heard = self.ask(message, protection);
        assert_eq!(heard.header.status, NtStatus::SUCCESS, "CREATE {}", parameters.name);
        CreateResponse::decode(&heard.message).expect("CREATE").file_id
    }
}

impl<'a> Protection<'a> {
    fn keys(self) -> Option<&'a Keys> {
        match self {
            Self::Clear => None,
            Self::Signed(keys) | Self::Sealed(keys) | Self::SealedWithFlags(keys, _) => Some(keys),
        }
    }
}

/// A frame of one message.
pub(crate) fn framed(mut message: Vec<u8>, protection: Protection<'_>) -> Vec<u8> {
    let secrets = protection.keys().map(|keys| keys.secrets.as_ref().expect("keys"));
    match (protection, secrets) {
        (Protection::Signed(_), Some(secrets)) => secrets.signing.sign(&mut message).expect("sign"),
        (Protection::Sealed(keys), Some(secrets)) => {
            seal(&mut message, keys.id, secrets, TransformHeader::ENCRYPTED)
        }
        (Protection::SealedWithFlags(keys, flags), Some(secrets)) => {
            seal(&mut message, keys.id, secrets, flags)
        }
        _ => {}
    }
    let length = u32::try_from(message.len()).expect("a length");
    [&length.to_be_bytes(), &message[..]].concat()
}

fn seal(message: &mut Vec<u8>, id: SessionId, secrets: &Secrets, flags: u16) {
    let original_message_size = u32::try_from(message.len()).expect("a length");
    let header =
        TransformHeader { original_message_size, flags, session_id: id, ..TransformHeader::default() };
    let mut header = header.to_bytes();
    secrets.outward.as_ref().expect("a cipher").seal_in_place(&mut header, message).expect("seal");
    message.splice(..0, header);
}

/// The credentials of a user of the subject.
pub(crate) fn credentials(subject: &Subject, name: &str) -> Credentials {
    let user = subject.user(name);
    Credentials::password(&user.name, "", &user.password)
}
