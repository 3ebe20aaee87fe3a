//! Sessions: SESSION_SETUP (MS-SMB2 3.2.4.2.3, 3.2.5.3) and LOGOFF.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use auth::{ClientStep, Credentials, Initiator, InitiatorOptions, PreauthHash, SessionKeys};
use wire::msg::{LogoffRequest, SessionFlags, SessionSetupFlags, SessionSetupRequest, SessionSetupResponse};
use wire::{Command, Dialect, NtStatus, SessionId};
use zeroize::Zeroizing;

use super::connection::ClientConnection;
use super::credentials::LogonCredentials;
use super::error::Error;
use super::limits::LOGON_ROUNDS_MAX;
use super::options::LogonOptions;
use super::protection::SessionState;
use super::renewal::Renewal;
use super::request::{Part, Response, Scope};
use super::tree::{ClientTree, SharePlace};
use crate::tickets;

/// A logged-on session. Clones are the same session; dropping them does not log off.
#[derive(Clone)]
pub struct ClientSession {
    connection: ClientConnection,
    state: Arc<SessionState>,
    scope: Scope,
    /// True if the negotiation was validated, which dialects before 3.1.1 require once per session.
    pub(crate) validated: Arc<AtomicBool>,
}

impl ClientConnection {
    /// Logs on.
    pub async fn logon(&self, credentials: impl Into<LogonCredentials>) -> Result<ClientSession, Error> {
        self.logon_with(credentials, LogonOptions::default()).await
    }

    /// Logs on anonymously: a session without keys, neither signed nor encrypted.
    pub async fn logon_anonymous(&self) -> Result<ClientSession, Error> {
        let mut initiator = Initiator::new(Credentials::anonymous(), self.options().server_name.clone());
        let logon = exchange(self, &mut initiator, Scope::default(), SessionId(0)).await?;
        self.session(SessionState::keyless(logon.id, logon.flags))
    }

    /// As [`logon`](Self::logon) with options.
    pub async fn logon_with(
        &self,
        credentials: impl Into<LogonCredentials>,
        options: LogonOptions,
    ) -> Result<ClientSession, Error> {
        let credentials = credentials.into();
        let negotiated = self.negotiated()?;
        let anonymous = credentials.is_anonymous();
        let mut initiator = self.initiator(&credentials, options.initiator).await?;
        let logon = exchange(self, &mut initiator, Scope::default(), options.previous_session_id).await;
        let logon = logon.map_err(|error| credentials.explain(error, &initiator))?;
        let keyless = logon.flags.intersects(SessionFlags::IS_GUEST | SessionFlags::IS_NULL);
        if keyless && !anonymous && !options.accept_guest {
            // MS-SMB2 3.2.5.3.1 lets it fail if signing is required. A caller that gives a password expects a check,
            // and any machine could answer in place of a server that proves nothing.
            self.disconnect();
            return Err(Error::MadeGuest);
        }
        let mut state = match logon.session_key {
            Some(key) if !keyless => {
                let keys = SessionKeys::derive(negotiated.dialect, &key, &logon.preauth, negotiated.cipher);
                SessionState::new(logon.id, logon.flags, negotiated, &keys)?
            }
            _ if keyless => SessionState::keyless(logon.id, logon.flags),
            _ => return Err(Error::Protocol("the server ended the logon early")),
        };
        if let Some(key) = &state.signing {
            let must = negotiated.dialect == Dialect::SMB311 || negotiated.signing_required;
            if must && !logon.answer.header.is_signed() {
                return Err(Error::Protocol("the last answer of the logon is not signed"));
            }
            if logon.answer.header.is_signed() {
                key.verify(&logon.answer.message)?;
            }
        }
        state.renewal = state.signing.is_some().then(|| Renewal::new(credentials));
        self.session(state)
    }

    /// The beginning of a logon: with a ticket if there is one for the server, else with NTLM if that may be used.
    pub(super) async fn initiator(
        &self,
        credentials: &LogonCredentials,
        options: InitiatorOptions,
    ) -> Result<Initiator, Error> {
        let target = self.options().server_name.as_str();
        let mut missing = Error::NoKerberos;
        if let Some(tickets) = &credentials.tickets
            && self.negotiated()?.kerberos
        {
            match tickets::begin(tickets, target).await {
                Ok(begun) => {
                    let fallback = credentials.ntlm.clone();
                    let initiator = Initiator::with_kerberos(begun.exchange, begun.token, fallback, target);
                    return Ok(initiator.with_options(options));
                }
                Err(error) if error.is_final() => return Err(error.into()),
                Err(error) => missing = error.into(),
            }
        }
        let ntlm = credentials.ntlm.clone().ok_or(missing)?;
        Ok(Initiator::new(ntlm, target).with_options(options))
    }

    fn session(&self, state: SessionState) -> Result<ClientSession, Error> {
        let wanted = self.options().seal || self.options().seal_if_possible && state.can_seal();
        let sealed = wanted || state.flags.contains(SessionFlags::ENCRYPT_DATA);
        if sealed && !state.can_seal() {
            return Err(Error::Unable("the session requires encryption, which the server does not support"));
        }
        let state = Arc::new(state);
        self.shared().add_session(Arc::clone(&state))?;
        let has_channels = self.negotiated()?.dialect >= Dialect::SMB300;
        let scope = Scope {
            channel_sequence: if has_channels { self.options().channel_sequence } else { 0 },
            session_id: state.id,
            signed: self.negotiated()?.signing_required && state.signing.is_some(),
            sealed,
            state: Some(Arc::clone(&state)),
            ..Scope::default()
        };
        Ok(ClientSession { connection: self.clone(), state, scope, validated: Arc::default() })
    }
}

impl ClientSession {
    /// The connection it is over.
    pub const fn connection(&self) -> &ClientConnection {
        &self.connection
    }

    /// `SessionId`.
    pub fn id(&self) -> SessionId {
        self.state.id
    }

    /// `SessionFlags`: guest, anonymous, encrypted.
    pub fn flags(&self) -> SessionFlags {
        self.state.flags
    }

    /// Requests of this session, as they are protected.
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The reason why the expired session could not be renewed; `None` unless the last attempt failed.
    pub fn trouble(&self) -> Option<String> {
        self.state.renewal.as_ref().and_then(Renewal::trouble)
    }

    /// True if its messages can be signed.
    pub(crate) fn has_key(&self) -> bool {
        self.state.signing.is_some()
    }

    /// True if its messages can be encrypted.
    pub(crate) fn can_seal(&self) -> bool {
        self.state.can_seal()
    }

    /// Connects to the share of a path `\\server\share`.
    pub async fn tree_connect(&self, path: &str) -> Result<ClientTree, Error> {
        ClientTree::connect(self, path).await
    }

    /// Connects to the share of a path `\\server\share`, or learns which server has it, to which the caller then connects.
    pub async fn find_share(&self, path: &str) -> Result<SharePlace, Error> {
        ClientTree::find(self, path).await
    }

    /// LOGOFF: ends the session with everything in it.
    pub async fn logoff(&self) -> Result<(), Error> {
        let part = Part::new(Command::LOGOFF, |out, base| LogoffRequest.encode(out, base));
        let answer = self.connection.request(&self.scope, part).await?.success();
        if answer.is_ok() {
            self.connection.shared().remove_session(self.state.id);
        }
        answer.map(|_| ())
    }
}

impl fmt::Debug for ClientSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.state.id).field("flags", &self.state.flags).finish()
    }
}

/// The result of a logon.
pub(super) struct Logon {
    id: SessionId,
    pub(super) flags: SessionFlags,
    pub(super) session_key: Option<Zeroizing<Vec<u8>>>,
    preauth: PreauthHash,
    answer: Response,
}

/// Exchanges tokens until the server accepts or refuses: in the scope's session, or in a new one.
pub(super) async fn exchange(
    connection: &ClientConnection,
    initiator: &mut Initiator,
    mut scope: Scope,
    previous_session_id: SessionId,
) -> Result<Logon, Error> {
    let mut preauth = connection.negotiated()?.preauth;
    let mut step = initiator.step(None)?;
    for _ in 0..LOGON_ROUNDS_MAX {
        let ClientStep::Token(token) = &step else {
            return Err(Error::Protocol("the server goes on with a logon that is complete"));
        };
        let body = SessionSetupRequest {
            flags: SessionSetupFlags::NONE,
            security_mode: connection.options().security_mode(),
            capabilities: connection.options().sent_capabilities(),
            previous_session_id,
            security_buffer: token,
        };
        let part = Part::new(Command::SESSION_SETUP, |out, base| body.encode(out, base));
        let in_flight = connection.submit_tapped(&scope, part, |message| preauth.update(message)).await?;
        let answer = in_flight.only_response().await?;
        let answer = answer.success_or(&[NtStatus::MORE_PROCESSING_REQUIRED])?;
        let body = SessionSetupResponse::decode(&answer.message)?;
        scope.session_id = answer.header.session_id;
        if answer.status() == NtStatus::MORE_PROCESSING_REQUIRED {
            preauth.update(&answer.message);
            step = initiator.step(Some(body.security_buffer))?;
            continue;
        }
        let flags = body.session_flags;
        let session_key = match initiator.step(Some(body.security_buffer)) {
            Ok(ClientStep::Done { session_key }) => Some(session_key),
            // Guest and anonymous logons share no secret with the server, so its last token proves nothing.
            Ok(ClientStep::Token(_)) | Err(_)
                if flags.intersects(SessionFlags::IS_GUEST | SessionFlags::IS_NULL) =>
            {
                None
            }
            Ok(ClientStep::Token(_)) => None,
            Err(error) => return Err(error.into()),
        };
        return Ok(Logon { id: answer.header.session_id, flags, session_key, preauth, answer });
    }
    Err(Error::Protocol("the logon takes too many rounds"))
}
