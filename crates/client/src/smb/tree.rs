//! Tree connects (MS-SMB2 3.2.4.2.4, 3.2.5.5).

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use wire::ioctl::FsctlCode;
use wire::msg::{
    ErrorId, ErrorResponse, IoctlFlags, IoctlRequest, IoctlResponse, LeaseBreak, OplockBreak, ShareFlags,
    ShareRedirect, TreeConnectFlags, TreeConnectRequest, TreeConnectResponse, TreeDisconnectRequest,
};
use wire::{Command, Dialect, FileId, Guid, LeaseState, NtStatus, OplockLevel, TreeId, Utf16, utf16le};

use super::connection::ClientConnection;
use super::error::Error;
use super::file::{CreateParameters, File, at_most};
use super::negotiate::{validate, validation_request};
use super::request::{Part, Response, Scope};
use super::session::ClientSession;

/// A tree connect. Clones are the same tree connect; dropping them does not disconnect it.
#[derive(Clone)]
pub struct ClientTree {
    session: ClientSession,
    scope: Scope,
    /// The server's answer with the share's properties.
    pub share: TreeConnectResponse,
}

/// The place of a share: here, or at another server.
#[derive(Debug)]
pub enum SharePlace {
    /// The server serves it: the tree connect.
    Here(ClientTree),
    /// Another server owns it, at one of these addresses; there are some.
    At(Vec<IpAddr>),
}

impl ClientTree {
    pub(crate) async fn connect(session: &ClientSession, path: &str) -> Result<Self, Error> {
        let answer = ask(session, path, TreeConnectFlags::NONE).await?;
        Self::connected(session, &answer.success()?).await
    }

    /// As [`Self::connect`], as a client that follows share redirects (MS-SMB2 3.2.5.5). Servers lead to others with 3.1.1
    /// only.
    pub(crate) async fn find(session: &ClientSession, path: &str) -> Result<SharePlace, Error> {
        let follows = session.connection().negotiated()?.dialect >= Dialect::SMB311;
        let flags = if follows { TreeConnectFlags::REDIRECT_TO_OWNER } else { TreeConnectFlags::NONE };
        let answer = ask(session, path, flags).await?;
        if follows
            && answer.status() == NtStatus::BAD_NETWORK_NAME
            && let Some(addresses) = redirect(&answer)
        {
            return Ok(SharePlace::At(addresses));
        }
        Ok(SharePlace::Here(Self::connected(session, &answer.success()?).await?))
    }

    async fn connected(session: &ClientSession, answer: &Response) -> Result<Self, Error> {
        let connection = session.connection();
        let dialect = connection.negotiated()?.dialect;
        let share = TreeConnectResponse::decode(&answer.message)?;
        let tree_id = answer.header.tree_id().ok_or(Error::Protocol("a tree connect has no id"))?;
        let mut scope = session.scope().clone().tree(tree_id);
        if share.share_flags.contains(ShareFlags::ENCRYPT_DATA) {
            if !session.can_seal() {
                return Err(Error::Unable(
                    "the share requires encryption, which this session does not support",
                ));
            }
            scope.sealed = true;
        }
        let tree = Self { session: session.clone(), scope, share };
        // 3.1.1 uses the preauthentication hash instead. Guest and anonymous sessions have no key to verify with.
        if dialect < Dialect::SMB311
            && session.has_key()
            && let Err(error) = tree.validate_negotiation().await
        {
            // MS-SMB2 3.2.5.14.12.
            connection.disconnect();
            return Err(error);
        }
        Ok(tree)
    }

    /// The session it is of.
    pub const fn session(&self) -> &ClientSession {
        &self.session
    }

    /// The connection it is over.
    pub const fn connection(&self) -> &ClientConnection {
        self.session.connection()
    }

    /// `TreeId`.
    pub const fn id(&self) -> TreeId {
        self.scope.tree_id
    }

    /// Requests under this tree connect, as they are protected.
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Sends a request under this tree connect; a status that is no success is [`Error::Status`].
    pub async fn request(&self, part: Part) -> Result<Response, Error> {
        self.connection().request(&self.scope, part).await?.success()
    }

    /// Opens or creates a file.
    pub async fn create(&self, parameters: &CreateParameters<'_>) -> Result<File, Error> {
        File::create(self, parameters).await
    }

    /// IOCTL with a control code of MS-FSCC 2.3: the output. Truncated output is a success here.
    pub async fn ioctl(
        &self,
        file: FileId,
        code: FsctlCode,
        input: &[u8],
        max_output: u32,
    ) -> Result<Bytes, Error> {
        let answer = self.ioctl_scoped(&self.scope, file, code, input, max_output).await?;
        at_most(max_output, output(&answer.success_or(&[NtStatus::BUFFER_OVERFLOW])?)?)
    }

    /// Acknowledges an oplock break, down to `level` (MS-SMB2 2.2.24.1).
    pub async fn acknowledge_oplock(&self, file: FileId, level: OplockLevel) -> Result<OplockBreak, Error> {
        let body = OplockBreak { oplock_level: level, file_id: file };
        let part = Part::new(Command::OPLOCK_BREAK, |out, base| body.encode(out, base));
        Ok(OplockBreak::decode(&self.request(part).await?.message)?)
    }

    /// Acknowledges a lease break, down to `state` (MS-SMB2 2.2.24.2). The lease need not belong to this tree
    /// connect, but Samba requires one.
    pub async fn acknowledge_lease(&self, key: Guid, state: LeaseState) -> Result<LeaseBreak, Error> {
        let body = LeaseBreak { lease_key: key, lease_state: state, ..LeaseBreak::default() };
        let part = Part::new(Command::OPLOCK_BREAK, |out, base| body.encode(out, base));
        Ok(LeaseBreak::decode(&self.request(part).await?.message)?)
    }

    /// TREE_DISCONNECT.
    pub async fn disconnect(&self) -> Result<(), Error> {
        let part = Part::new(Command::TREE_DISCONNECT, |out, base| TreeDisconnectRequest.encode(out, base));
        self.request(part).await.map(|_| ())
    }

    pub(crate) async fn ioctl_scoped(
        &self,
        scope: &Scope,
        file: FileId,
        code: FsctlCode,
        input: &[u8],
        max_output: u32,
    ) -> Result<Response, Error> {
        let body = IoctlRequest {
            ctl_code: code.0,
            file_id: file,
            max_output_response: max_output,
            flags: IoctlFlags::IS_FSCTL,
            input,
            ..IoctlRequest::default()
        };
        let carried = max_output.max(u32::try_from(input.len()).unwrap_or(u32::MAX));
        let part = Part::new(Command::IOCTL, |out, base| body.encode(out, base)).carrying(carried);
        self.connection().request(scope, part).await
    }

    /// Checks that the NEGOTIATE was not tampered with (MS-SMB2 3.2.5.5, 3.2.5.14.12), once per session.
    ///
    /// The answer is always signed or encrypted. A server that knows 3.x compares the request with the client's real
    /// offer. A server that does not, refuses the code; a signed refusal can only be the server's own, so that 2.0.2
    /// or 2.1 were not forced on a better server. STATUS_ACCESS_DENIED and every other status end the connection.
    async fn validate_negotiation(&self) -> Result<(), Error> {
        if self.session.validated.load(Ordering::Relaxed) {
            return Ok(());
        }
        let input = validation_request(self.connection().options());
        let scope = self.scope.clone().signed(true);
        let nothing = FileId::RELATED;
        let answer =
            self.ioctl_scoped(&scope, nothing, FsctlCode::VALIDATE_NEGOTIATE_INFO, &input, 24).await?;
        // The answers of servers that do not know the code. `FILE_CLOSED` comes from those that look up the file
        // first.
        let unknown = [
            NtStatus::FILE_CLOSED,
            NtStatus::INVALID_DEVICE_REQUEST,
            NtStatus::NOT_SUPPORTED,
            NtStatus::INVALID_PARAMETER,
        ];
        if !unknown.contains(&answer.status()) {
            validate(self.connection().negotiated()?, &output(&answer.success()?)?)?;
        }
        self.session.validated.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Sends a TREE_CONNECT.
async fn ask(session: &ClientSession, path: &str, flags: TreeConnectFlags) -> Result<Response, Error> {
    let dialect = session.connection().negotiated()?.dialect;
    let name = utf16le(path);
    let body = TreeConnectRequest { flags, path: Utf16::new(&name)?, ..TreeConnectRequest::default() };
    let part = Part::new(Command::TREE_CONNECT, |out, base| body.encode(out, base));
    // MS-SMB2 3.2.4.1.1: with 3.1.1 a TREE_CONNECT is always signed.
    let signed = session.scope().signed || (dialect == Dialect::SMB311 && session.has_key());
    session.connection().request(&session.scope().clone().signed(signed), part).await
}

/// The addresses to which a refusal leads. `None` if there are none.
fn redirect(answer: &Response) -> Option<Vec<IpAddr>> {
    let error = ErrorResponse::decode(&answer.message).ok()?;
    let mut contexts = error.contexts().iter().flatten();
    let context = contexts.find(|it| it.error_id == ErrorId::SHARE_REDIRECT)?;
    let addresses = ShareRedirect::decode(context.data).ok()?.addresses;
    (!addresses.is_empty()).then_some(addresses)
}

impl fmt::Debug for ClientTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("id", &self.id()).field("share", &self.share).finish_non_exhaustive()
    }
}

/// The output of an IOCTL's answer.
pub(crate) fn output(answer: &Response) -> Result<Bytes, Error> {
    Ok(answer.message.slice_ref(IoctlResponse::decode(&answer.message)?.output))
}
