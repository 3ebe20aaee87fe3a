//! SESSION_SETUP: MS-SMB2 3.3.5.5.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use auth::kerberos::KerberosRefusal;
use auth::signing::{SigningAlgorithm, SigningKey};
use auth::{Claim, IdentityKind, Refusal, Step};
use parking_lot::MutexGuard;
use registry::{EndReason, SessionInfo, SessionState};
use wire::msg::{SessionFlags, SessionSetupFlags, SessionSetupRequest, SessionSetupResponse};
use wire::{Dialect, NtStatus, SessionId};

use super::logon_exchange::{Decision, Judged, LogonExchange};
use super::malformed;
use super::proven_logon::Proven;
use crate::core::audit::{Why, logon_refused, proven_logon_refused, taken_as_guest};
use crate::core::config::Encryption;
use crate::core::effects::SmbShell;
use crate::core::logon_user::NotBegun;
use crate::core::session::{Channel, PendingLogon, Session};
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
                logon_refused(
                    &connection.server,
                    &connection.peer,
                    claim.as_ref(),
                    method,
                    &Why::from(&reason),
                );
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
                        proven_logon_refused(&connection.server, &connection.peer, &done.identity, &why);
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
                        proven_logon_refused(&connection.server, &connection.peer, &done.identity, &why);
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
        Refusal::LogonHours => NtStatus::INVALID_LOGON_HOURS,
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
