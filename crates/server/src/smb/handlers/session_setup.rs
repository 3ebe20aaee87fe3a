//! SESSION_SETUP: MS-SMB2 3.3.5.5.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use auth::kdf::{SessionKeys, channel_signing_key};
use auth::kerberos::KerberosRefusal;
use auth::preauth::PreauthHash;
use auth::sealing::SealingKey;
use auth::signing::{SigningAlgorithm, SigningKey};
use auth::{Claim, IdentityKind, Refusal, Step};
use parking_lot::MutexGuard;
use registry::{BindError, EndReason, EstablishError, SessionInfo, SessionState, Standing};
use wire::msg::{SecurityMode, SessionFlags, SessionSetupFlags, SessionSetupRequest, SessionSetupResponse};
use wire::{Dialect, NtStatus, SessionId};

use super::logon_exchange::{Decision, Judged, LogonExchange};
use super::malformed;
use crate::core::audit::{Why, logon_granted, logon_refused, proven_logon_refused, taken_as_guest};
use crate::core::config::{Encryption, GUEST_ACCOUNT, Settings, Signing};
use crate::core::domain::NotAdmitted;
use crate::core::effects::SmbShell;
use crate::core::roles::Roles;
use crate::core::server::Server;
use crate::core::session::{Channel, Established, PendingLogon, SealingKeys, Session, User};
use crate::smb::connection::{AnswerBuilder, Negotiated, Outcome, Request, SmbConnection};

/// Handles SESSION_SETUP. A logon with a password waits until an attempt is permitted, and a refusal is
/// delayed (`InvalidAuthenticationDelayTimeInMs` in Windows); later requests of the connection continue
/// meanwhile.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let connection = request.connection;
    let server = &connection.server;
    let negotiated = connection.negotiated.get().ok_or(NtStatus::INVALID_PARAMETER)?;
    let setup = SessionSetupRequest::decode(request.message).map_err(malformed)?;
    let settings = server.settings();
    // 3.3.5.5, steps 1 and 2.
    if settings.encryption == Encryption::Required && negotiated.cipher.is_none() {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let binds = setup.flags.contains(SessionSetupFlags::BINDING);
    let session = if binds {
        to_bind(request, negotiated)?
    } else if request.header.session_id == SessionId(0) {
        // 3.3.5.2.4: signed, but without a session.
        if request.header.is_signed() {
            return Err(NtStatus::USER_SESSION_DELETED);
        }
        create(connection)?
    } else if let Some(session) = connection.session(request.header.session_id) {
        session
    } else {
        sign_refusal(request);
        return Err(NtStatus::USER_SESSION_DELETED);
    };
    request.session = Some(Arc::clone(&session));
    request.header.session_id = session.id();
    request.chain.session_id = session.id();
    if !binds {
        check_repeated(request, &session)?;
    }

    let logon = LogonExchange { connection, session: &session, binds, token: setup.security_buffer };
    let claim = logon.claim();
    // An attempt at a password may have to wait, before or after it is checked.
    let place = match claim.is_some() {
        true => Some(connection.hold_back().ok_or(NtStatus::INSUFFICIENT_RESOURCES)?),
        false => None,
    };
    let Decision { judged, preauth, ticket_holder } =
        logon.judge_in_turn(request.message, claim.as_ref(), place.as_ref()).await?;
    let claim = claim.or(ticket_holder);
    request.held_back =
        !matches!(judged, Judged::Step(Step::Continue(_) | Step::Again { .. } | Step::Done(_)));
    let base = answer.base();
    match judged {
        Judged::Step(Step::Continue(token)) => {
            SessionSetupResponse { session_flags: SessionFlags::NONE, security_buffer: &token }
                .encode(answer.body(), base);
            Ok(NtStatus::MORE_PROCESSING_REQUIRED)
        }
        Judged::Step(Step::Again { reason, token }) => {
            if connection.has_log_room() {
                let method = method_of(&reason, claim.as_ref());
                logon_refused(&connection.peer, claim.as_ref(), method, &Why::from(&reason));
            }
            SessionSetupResponse { session_flags: SessionFlags::NONE, security_buffer: &token }
                .encode(answer.body(), base);
            Ok(NtStatus::MORE_PROCESSING_REQUIRED)
        }
        Judged::Step(Step::Refused { reason, .. }) => {
            if reason.is_wrong_guess() {
                server.statistics.password_errors.fetch_add(1, Ordering::Relaxed);
            }
            let method = method_of(&reason, claim.as_ref());
            Err(logon.refuse(claim.as_ref(), method, &Why::from(&reason), status_of(&reason), place).await)
        }
        // The exchange has had the controller's decision.
        Judged::Step(Step::PassThrough(_)) => Err(NtStatus::INTERNAL_ERROR),
        Judged::Locked => {
            server.statistics.password_errors.fetch_add(1, Ordering::Relaxed);
            let status = NtStatus::ACCOUNT_LOCKED_OUT;
            Err(logon.refuse(claim.as_ref(), "NTLM", &Why::from(&Refusal::LockedOut), status, place).await)
        }
        Judged::OutOfPatience => {
            let why = Why::from("too many attempts at a password at the same time");
            Err(logon.refuse(claim.as_ref(), "NTLM", &why, NtStatus::LOGON_FAILURE, None).await)
        }
        Judged::Step(Step::Done(done)) => {
            let proven = Proven {
                connection,
                negotiated,
                session: &session,
                logon: &done,
                preauth: &preauth,
                settings: &settings,
                setup: &setup,
            };
            if binds {
                request.signer = Some(proven.bind().inspect_err(|status| {
                    if connection.has_log_room() {
                        let why = Why::from(format!("{status}").as_str());
                        proven_logon_refused(&connection.peer, &done.identity, &why);
                    }
                })?);
                proven.log_granted();
                SessionSetupResponse { session_flags: SessionFlags::NONE, security_buffer: &done.token }
                    .encode(answer.body(), base);
                return Ok(NtStatus::SUCCESS);
            }
            let flags = match proven.finish() {
                Ok(flags) => flags,
                Err(NotBegun { status, why }) => {
                    if connection.has_log_room() {
                        proven_logon_refused(&connection.peer, &done.identity, &why);
                    }
                    if session.user().is_none() {
                        end(connection, &session, EndReason::LogonFailed);
                    }
                    return Err(status);
                }
            };
            match done.identity.kind {
                IdentityKind::Guest if connection.has_log_room() => {
                    taken_as_guest(&connection.peer, claim.as_ref());
                }
                IdentityKind::Guest => {}
                IdentityKind::User | IdentityKind::Anonymous => proven.log_granted(),
            }
            SessionSetupResponse { session_flags: flags, security_buffer: &done.token }
                .encode(answer.body(), base);
            // An anonymous user may sign and encrypt, but need not, because the keys are publicly known.
            let is_user = done.identity.kind == IdentityKind::User;
            let channel = connection.channel(session.id()).filter(|_| is_user);
            request.signer = channel.and_then(|channel| channel.signing);
            Ok(NtStatus::SUCCESS)
        }
    }
}

/// Adds an interim answer to the logon's preauthentication hash.
pub(crate) fn answered(request: &Request<'_>, message: &[u8], signer: Option<&SigningKey>) {
    let Some(session) = &request.session else { return };
    let mut logons = logons(request.connection);
    let Some(logon) = logons.get_mut(&session.id()) else { return };
    match signer {
        // The hash covers the bytes on the wire.
        Some(key) => {
            let mut signed = message.to_vec();
            if let Err(error) = key.sign(&mut signed) {
                // The client's hash will differ, and the logon will fail.
                tracing::warn!(%error, "cannot sign an answer for the preauthentication hash; the logon will fail");
            }
            logon.preauth.update(&signed);
        }
        None => logon.preauth.update(message),
    }
}

/// The session that a request binds to its connection, if that is allowed (MS-SMB2 3.3.5.5, step 4).
fn to_bind(request: &mut Request<'_>, negotiated: &Negotiated) -> Result<Arc<Session>, NtStatus> {
    if let Some(channel) = request.connection.channel(request.header.session_id) {
        check_signature(request, &channel)?;
        return Err(NtStatus::REQUEST_NOT_ACCEPTED);
    }
    let found = session_elsewhere(request).ok_or(NtStatus::USER_SESSION_DELETED)?;
    let session = found.attached;
    let established = session.established().ok_or(NtStatus::REQUEST_NOT_ACCEPTED)?;
    if !request.header.is_signed() {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let is_users = session.user().is_some_and(|user| user.kind == IdentityKind::User);
    let key = established.signing.as_ref().filter(|_| is_users).ok_or(NtStatus::NOT_SUPPORTED)?;
    if request.signer.is_none() {
        return Err(NtStatus::ACCESS_DENIED);
    }
    // The order of the checks is that of Windows. As in Windows, the client's GUID may differ between
    // channels, which MS-SMB2 leaves to the server.
    match (key.algorithm(), negotiated.signing) {
        (SigningAlgorithm::AesGmac, SigningAlgorithm::AesGmac) => {}
        (SigningAlgorithm::AesGmac, _) => return Err(REQUEST_OUT_OF_SEQUENCE),
        (_, SigningAlgorithm::AesGmac) => return Err(NtStatus::NOT_SUPPORTED),
        _ => {}
    }
    if negotiated.dialect < Dialect::SMB300 {
        return Err(NtStatus::REQUEST_NOT_ACCEPTED);
    }
    if established.dialect != negotiated.dialect || established.cipher != negotiated.cipher {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    match found.state {
        SessionState::InProgress => Err(NtStatus::REQUEST_NOT_ACCEPTED),
        SessionState::Expired => Err(NtStatus::NETWORK_SESSION_EXPIRED),
        SessionState::Valid => Ok(session),
    }
}

/// Prepares the refusal of a request for a session that has ended or belongs to another connection. It is
/// signed only if the request proves possession of the key; otherwise two messages could be signed with the
/// same nonce.
pub(crate) fn sign_refusal(request: &mut Request<'_>) {
    let channel = request.connection.channel_for_keys(request.header.session_id);
    match channel.filter(|_| request.header.is_signed()) {
        Some(channel) => request.signer = channel.verify(request.message),
        None => drop(session_elsewhere(request)),
    }
}

/// A session of another connection, and its key if the request is signed with it.
fn session_elsewhere(request: &mut Request<'_>) -> Option<SessionInfo<SmbShell>> {
    let found = request.connection.server.registry.lock("bind").session(request.header.session_id)?;
    if request.header.is_signed() {
        request.signer = session_key(&found.attached, request.message);
    }
    Some(found)
}

pub(super) fn logons(connection: &SmbConnection) -> MutexGuard<'_, HashMap<SessionId, PendingLogon>> {
    connection.logons.lock()
}

/// Creates a session without a user (MS-SMB2 3.3.5.5.1).
fn create(connection: &SmbConnection) -> Result<Arc<Session>, NtStatus> {
    let server = &connection.server;
    let attach = |id, global_id, shared: &Arc<_>| Arc::new(Session::new(id, global_id, Arc::clone(shared)));
    let created = server.registry.lock("session_setup").create_session(connection.id, attach, server.now());
    let (info, effects) = created.map_err(crate::core::status::of_limit)?;
    server.apply(effects);
    // The session has a deadline.
    server.signals.timeouts_changed.notify_one();
    let session = info.attached;
    connection.remember_session(Channel { session: Arc::clone(&session), signing: None });
    Ok(session)
}

/// Checks that a repeated logon proves possession of the key (MS-SMB2 3.3.5.5, step 6).
fn check_repeated(request: &mut Request<'_>, session: &Arc<Session>) -> Result<(), NtStatus> {
    if request.sealed {
        return Ok(());
    }
    let Some(established) = session.established() else {
        // There is no signing key yet.
        return if request.header.is_signed() { Err(NtStatus::ACCESS_DENIED) } else { Ok(()) };
    };
    let channel = request.connection.channel(session.id()).ok_or(NtStatus::USER_SESSION_DELETED)?;
    if request.header.is_signed() {
        return check_signature(request, &channel);
    }
    // Clients never encrypt a logon (3.2.4.1.8), but they have the signing key.
    if established.must_sign || established.must_seal { Err(NtStatus::ACCESS_DENIED) } else { Ok(()) }
}

/// Checks that a logon on a channel is signed with the channel's key (MS-SMB2 3.3.5.2.4). If it is signed
/// with the session's key instead, the refusal is signed with that.
fn check_signature(request: &mut Request<'_>, channel: &Channel) -> Result<(), NtStatus> {
    if let Some(key) = channel.verify(request.message) {
        request.signer = Some(key);
        return Ok(());
    }
    request.signer = session_key(&channel.session, request.message);
    Err(NtStatus::ACCESS_DENIED)
}

/// `Session.SigningKey`, if the message is signed with it.
fn session_key(session: &Session, message: &[u8]) -> Option<Arc<SigningKey>> {
    let key = session.established().and_then(|it| it.signing.as_ref())?;
    key.verify(message).is_ok().then(|| Arc::clone(key))
}

/// The reason why a successful authentication does not lead to a session.
struct NotBegun {
    /// The status for the client.
    status: NtStatus,
    /// The reason for the log.
    why: Why,
}

impl From<NtStatus> for NotBegun {
    fn from(status: NtStatus) -> Self {
        Self { status, why: Why::from(status.to_string().as_str()) }
    }
}

/// A logon whose user is authenticated, before it becomes a session.
struct Proven<'a> {
    connection: &'a SmbConnection,
    negotiated: &'a Negotiated,
    session: &'a Arc<Session>,
    logon: &'a auth::Logon,
    preauth: &'a PreauthHash,
    settings: &'a Arc<Settings>,
    setup: &'a SessionSetupRequest<'a>,
}

impl Proven<'_> {
    /// Binds a session to the connection, after its user has authenticated here, too (MS-SMB2 3.3.5.5.2,
    /// 3.3.5.5.3).
    fn bind(&self) -> Result<Arc<SigningKey>, NtStatus> {
        let Self { connection, negotiated, session, logon, .. } = self;
        let user = session.user().ok_or(NtStatus::USER_SESSION_DELETED)?;
        if logon.identity.kind != IdentityKind::User || user.kind != IdentityKind::User {
            return Err(NtStatus::NOT_SUPPORTED);
        }
        let is_same = match (&user.domain, &logon.identity.domain_user) {
            // A trusted domain could give a user the name of another.
            (Some(known), Some(proven)) => known.sid == proven.sid,
            (None, None) => wire::eq_ignore_case(&user.name, &logon.identity.user),
            _ => false,
        };
        if !is_same {
            return Err(NtStatus::ACCESS_DENIED);
        }
        let key = channel_signing_key(negotiated.dialect, &logon.session_key.first_16(), self.preauth);
        let key = SigningKey::new(negotiated.signing, &key).map_err(|_| NtStatus::INTERNAL_ERROR)?;
        let key = Arc::new(key);
        connection
            .remember_session(Channel { session: Arc::clone(session), signing: Some(Arc::clone(&key)) });
        let bound = connection.server.registry.lock("bind").bind_session(session.id(), connection.id);
        if let Err(error) = bound {
            connection.forget_session(session.id());
            return Err(match error {
                BindError::NotFound => NtStatus::USER_SESSION_DELETED,
                BindError::LimitReached(limit) => crate::core::status::of_limit(limit),
            });
        }
        tracing::info!(session = session.global_id().value(), conn = connection.id.0, "session bound");
        connection.raise_standing(Standing::User);
        Ok(key)
    }

    /// Records the logon in the log.
    fn log_granted(&self) {
        let Self { connection, session, logon, .. } = self;
        if connection.has_log_room_for_granted() {
            logon_granted(&connection.peer, &logon.identity, session.global_id().value());
        }
    }

    /// Makes the session valid, for the first time or again (MS-SMB2 3.3.5.5.3).
    fn finish(&self) -> Result<SessionFlags, NotBegun> {
        let identity = &self.logon.identity;
        let user = user_of(&self.connection.server, self.settings, identity)?;
        // The keys remain those of the first logon. Keys of an anonymous session are publicly known and
        // cannot protect a user.
        let keys_of = self.session.established().map(|it| it.kind);
        if identity.kind == IdentityKind::User && keys_of.is_some_and(|kind| kind != IdentityKind::User) {
            return Err(NtStatus::ACCESS_DENIED.into());
        }
        if self.session.established().is_none() {
            self.settle_keys(&user)?;
        }
        self.enter(user)?;
        let kind = match identity.kind {
            IdentityKind::User => SessionFlags::NONE,
            IdentityKind::Guest => SessionFlags::IS_GUEST,
            IdentityKind::Anonymous => SessionFlags::IS_NULL,
        };
        Ok(if self.session.seals() { kind | SessionFlags::ENCRYPT_DATA } else { kind })
    }

    /// Derives and sets the session's keys.
    fn settle_keys(&self, user: &User) -> Result<(), NotBegun> {
        // Existing sessions continue, and an administrator can end the pause.
        if self.connection.server.running.is_paused() && !user.administrator {
            let remedy = Some("'net continue server' ends the pause");
            let why = Why { reason: String::from("the server is paused"), remedy };
            return Err(NotBegun { status: NtStatus::SHARING_PAUSED, why });
        }
        let established = self.established()?;
        let signing = established.signing.clone();
        if !self.session.establish(established) {
            return Err(NtStatus::INTERNAL_ERROR.into());
        }
        self.connection.remember_session(Channel { session: Arc::clone(self.session), signing });
        Ok(())
    }

    /// Makes the session valid in the registry and sets its user.
    fn enter(&self, user: User) -> Result<(), NtStatus> {
        let Self { connection, session, settings, .. } = self;
        let (server, identity) = (&connection.server, &self.logon.identity);
        let established = session.established().ok_or(NtStatus::INTERNAL_ERROR)?;
        let facts = registry::Identity {
            user: user.name.as_str().into(),
            domain: identity.domain.as_str().into(),
            sid: user.sid(),
            flags: registry::SessionFlags {
                anonymous: identity.kind == IdentityKind::Anonymous,
                guest: identity.kind == IdentityKind::Guest,
                encrypted: established.must_seal,
                signed: established.must_sign,
                administrator: user.administrator || may_administer(server, settings, &user),
            },
        };
        let standing = facts.standing();
        let mut registry = server.registry.lock("session_valid");
        let mut effects =
            registry.session_valid(session.id(), facts, None, server.now()).map_err(|error| match error {
                EstablishError::NotFound => NtStatus::USER_SESSION_DELETED,
                EstablishError::LimitReached(limit) => crate::core::status::of_limit(limit),
            })?;
        if let Some(expires) = self.logon.expires {
            // The session was found a moment ago, under the same hold of the lock.
            let _ = registry.set_expiration(session.id(), server.deadline_of(expires));
        }
        let previous = self.setup.previous_session_id;
        effects.merge(registry.replace_previous_session(session.id(), previous, server.now()));
        drop(registry);
        session.set_expiration(self.logon.expires);
        if self.logon.expires.is_some() {
            // The session has a deadline.
            server.signals.timeouts_changed.notify_one();
        }
        server.act_for(session, user, settings);
        tracing::info!(session = session.global_id().value(), "session valid");
        server.apply(effects);
        // An anonymous user has the standing of a stranger until a share accepts guests.
        connection.raise_standing(standing);
        Ok(())
    }

    /// The keys of the session and its required protection.
    fn established(&self) -> Result<Established, NotBegun> {
        let Self { negotiated, settings, .. } = self;
        let kind = self.logon.identity.kind;
        if kind != IdentityKind::User {
            // Without a password there is no secret from which keys could be derived.
            let must_sign = settings.signing == Signing::Required;
            if must_sign || settings.encryption == Encryption::Required {
                let reason = "guests and anonymous callers have no keys to sign with, and the settings require signing or encryption";
                return Err(NotBegun { status: NtStatus::ACCESS_DENIED, why: Why::from(reason) });
            }
        }
        if kind == IdentityKind::Guest {
            return Ok(Established {
                dialect: negotiated.dialect,
                cipher: None,
                signing: None,
                sealing: None,
                must_sign: false,
                must_seal: false,
                kind,
            });
        }
        let failed = |_| NotBegun::from(NtStatus::INTERNAL_ERROR);
        let keys = SessionKeys::derive(
            negotiated.dialect,
            self.logon.session_key.full(),
            self.preauth,
            negotiated.cipher,
        );
        let signing =
            SigningKey::new(negotiated.signing, &keys.signing).map_err(|_| NtStatus::INTERNAL_ERROR)?;
        let sealing = match (negotiated.cipher, &keys.server_to_client, &keys.client_to_server) {
            (Some(cipher), Some(outgoing), Some(incoming)) => Some(SealingKeys {
                outgoing: SealingKey::new(cipher, outgoing.as_bytes()).map_err(failed)?,
                incoming: SealingKey::new(cipher, incoming.as_bytes()).map_err(failed)?,
            }),
            _ => None,
        };
        let is_user = kind == IdentityKind::User;
        let must_seal = is_user && settings.encryption == Encryption::Required;
        if must_seal && sealing.is_none() {
            let remedy = Some("the client must use SMB 3.0 or later");
            let reason = String::from("the settings require encryption, which the client does not support");
            return Err(NotBegun { status: NtStatus::ACCESS_DENIED, why: Why { reason, remedy } });
        }
        Ok(Established {
            dialect: negotiated.dialect,
            cipher: negotiated.cipher,
            signing: Some(Arc::new(signing)),
            sealing,
            // The value that NEGOTIATE put into `Connection.ShouldSign`.
            must_sign: is_user
                && (settings.signing == Signing::Required
                    || (self.setup.security_mode | negotiated.client_security_mode)
                        .contains(SecurityMode::SIGNING_REQUIRED)),
            must_seal,
            kind,
        })
    }
}

/// True if a role lets the user administer the server, as in [`Caller`](crate::core::caller::Caller).
fn may_administer(server: &Server, settings: &Settings, user: &User) -> bool {
    Roles::administers(&settings.roles, &server.member(settings, user))
}

/// The user with the permissions that apply, and with the administrator flag.
fn user_of(server: &Server, settings: &Settings, identity: &auth::Identity) -> Result<User, NotBegun> {
    if let Some(user) = &identity.domain_user {
        return server.domain_user(settings, user).map_err(|reason| NotBegun {
            status: match reason {
                NotAdmitted::NotGranted(_) => NtStatus::LOGON_TYPE_NOT_GRANTED,
                NotAdmitted::Unknown(_) => NtStatus::LOGON_FAILURE,
            },
            why: Why::from(reason.to_string().as_str()),
        });
    }
    let is_user = identity.kind == IdentityKind::User;
    if is_user && settings.domain.is_some() && identity.user.contains(['\\', '@']) {
        let reason = "the account in the users file has a name as only users of a domain have";
        return Err(NotBegun { status: NtStatus::LOGON_FAILURE, why: Why::from(reason) });
    }
    let actor = if settings.unix_identities {
        let account = if is_user { identity.user.as_str() } else { GUEST_ACCOUNT };
        crate::core::identity::actor_of(account).ok_or_else(|| NotBegun {
            status: NtStatus::LOGON_FAILURE,
            why: if is_user {
                Why {
                    reason: String::from("the user has no Unix account"),
                    remedy: Some("'useradd NAME' creates one; or set unix_identities = false"),
                }
            } else {
                Why {
                    reason: format!("the Unix user {account}, which guests need, does not exist"),
                    remedy: Some("'useradd --system nobody' creates it"),
                }
            },
        })?
    } else {
        vfs::Actor::Process
    };
    let name = if identity.kind == IdentityKind::Anonymous { String::new() } else { identity.user.clone() };
    Ok(server.user_with(settings, name, identity.kind, actor, None))
}

pub(super) fn end(connection: &SmbConnection, session: &Session, reason: EndReason) {
    let server = &connection.server;
    let ended = server.registry.lock("session_failed").close_session(session.id(), reason, server.now());
    if let Ok(effects) = ended {
        server.apply(effects);
    }
}

/// The name of the protocol of a refused logon.
const fn method_of(reason: &Refusal, claim: Option<&Claim>) -> &'static str {
    match (reason, claim) {
        (Refusal::Kerberos(_), _) => "Kerberos",
        (_, Some(_)) => "NTLM",
        (_, None) => "SPNEGO",
    }
}

/// The status for the client (MS-SMB2 3.3.5.5.3: the error of the authentication). It does not disclose
/// whether the name or the password was wrong.
fn status_of(reason: &Refusal) -> NtStatus {
    match reason {
        Refusal::AnonymousNotAllowed => NtStatus::ACCESS_DENIED,
        Refusal::AccountExpired => NtStatus::ACCOUNT_EXPIRED,
        Refusal::Disabled => NtStatus::ACCOUNT_DISABLED,
        Refusal::MustChangePassword => NtStatus::PASSWORD_MUST_CHANGE,
        Refusal::PasswordExpired => NtStatus::PASSWORD_EXPIRED,
        Refusal::LockedOut => NtStatus::ACCOUNT_LOCKED_OUT,
        Refusal::Internal => NtStatus::INTERNAL_ERROR,
        Refusal::Malformed | Refusal::OutOfOrder => NtStatus::INVALID_PARAMETER,
        Refusal::Kerberos(reason) => status_of_ticket(reason),
        Refusal::Domain { status, .. } => *status,
        Refusal::BadBindings
        | Refusal::BadMic
        | Refusal::DomainNtlm
        | Refusal::NoCommonMechanism
        | Refusal::NoSuchUser
        | Refusal::NotAGuest
        | Refusal::NotNtlmV2
        | Refusal::WrongPassword => NtStatus::LOGON_FAILURE,
    }
}

/// The status for a ticket that is not accepted, as Windows has them.
const fn status_of_ticket(reason: &KerberosRefusal) -> NtStatus {
    match reason {
        KerberosRefusal::Skew { .. } | KerberosRefusal::NotYetValid { .. } => TIME_DIFFERENCE_AT_DC,
        KerberosRefusal::TokenMalformed => NtStatus::INVALID_PARAMETER,
        KerberosRefusal::ReplaysFull => NtStatus::INSUFFICIENT_RESOURCES,
        _ => NtStatus::LOGON_FAILURE,
    }
}

/// STATUS_TIME_DIFFERENCE_AT_DC (MS-ERREF 2.3.1): the clocks of client and server differ too much.
const TIME_DIFFERENCE_AT_DC: NtStatus = NtStatus(0xc000_0133);

/// STATUS_REQUEST_OUT_OF_SEQUENCE (MS-ERREF 2.3.1): the status in Windows if only the signing algorithms do
/// not match.
const REQUEST_OUT_OF_SEQUENCE: NtStatus = NtStatus(0xc000_042a);
