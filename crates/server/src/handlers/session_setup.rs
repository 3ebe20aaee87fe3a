//! SESSION_SETUP: MS-SMB2 3.3.5.5.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use auth::kdf::SessionKeys;
use auth::preauth::PreauthHash;
use auth::sealing::SealingKey;
use auth::signing::SigningKey;
use auth::{Acceptor, IdentityKind, Refusal, Step};
use registry::EndReason;
use wire::msg::{SecurityMode, SessionFlags, SessionSetupFlags, SessionSetupRequest, SessionSetupResponse};
use wire::{Dialect, NtStatus, SessionId};

use super::malformed;
use super::negotiate::Negotiated;
use crate::config::{Encryption, Settings, Signing};
use crate::connection::{AnswerBuilder, Connection, Outcome, Request};
use crate::limits;
use crate::session::{Established, Logon, SealingKeys, Session, User};

/// Handles SESSION_SETUP.
pub(crate) fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let connection = request.connection;
    let server = &connection.server;
    let negotiated = connection.negotiated.get().ok_or(NtStatus::INVALID_PARAMETER)?;
    let setup = SessionSetupRequest::decode(request.message).map_err(malformed)?;
    let settings = server.settings();
    // 3.3.5.5, steps 1 and 2.
    if settings.encryption == Encryption::Required && negotiated.cipher.is_none() {
        return Err(NtStatus::ACCESS_DENIED);
    }
    if setup.flags.contains(SessionSetupFlags::BINDING) {
        return Err(refuse_binding(request, negotiated));
    }
    let session = if request.header.session_id == SessionId(0) {
        create(connection)?
    } else {
        connection.session(request.header.session_id).ok_or(NtStatus::USER_SESSION_DELETED)?
    };
    request.session = Some(Arc::clone(&session));
    request.header.session_id = session.id();
    request.chain.session_id = session.id();
    check_repeated(request, &session)?;

    let mut logon = session.logon.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let exchange = logon.get_or_insert_with(|| Logon {
        acceptor: Acceptor::new(server.acceptor_config()),
        preauth: connection.preauth().clone(),
        rounds: 0,
    });
    exchange.preauth.update(request.message);
    exchange.rounds += 1;
    let step = if exchange.rounds > limits::MAX_LOGON_ROUNDS {
        Step::Refused { reason: Refusal::OutOfOrder, token: None }
    } else {
        exchange.acceptor.step(setup.security_buffer, &*server.accounts(), server.file_time())
    };
    let base = answer.base();
    match step {
        Step::Continue(token) => {
            SessionSetupResponse { session_flags: SessionFlags::NONE, security_buffer: &token }
                .encode(answer.body(), base);
            Ok(NtStatus::MORE_PROCESSING_REQUIRED)
        }
        Step::Refused { reason, .. } => {
            *logon = None;
            drop(logon);
            tracing::info!(conn = connection.id.0, peer = %connection.peer, %reason, "logon refused");
            server.statistics.password_errors.fetch_add(1, Ordering::Relaxed);
            if session.established().is_none() {
                end(connection, &session, EndReason::LogonFailed);
            }
            Err(status_of(reason))
        }
        Step::Done(done) => {
            let preauth = exchange.preauth.clone();
            *logon = None;
            drop(logon);
            let flags = match finish(connection, negotiated, &session, &done, &preauth, &settings, &setup) {
                Ok(flags) => flags,
                Err(status) => {
                    if session.established().is_none() {
                        end(connection, &session, EndReason::LogonFailed);
                    }
                    return Err(status);
                }
            };
            SessionSetupResponse { session_flags: flags, security_buffer: &done.token }
                .encode(answer.body(), base);
            if session.established().is_some_and(|it| it.signing.is_some()) {
                request.signer = Some(session);
            }
            Ok(NtStatus::SUCCESS)
        }
    }
}

/// Puts an interim answer into the logon's preauthentication hash.
pub(crate) fn answered(request: &Request<'_>, message: &[u8]) {
    let Some(session) = &request.session else { return };
    let mut logon = session.logon.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(logon) = logon.as_mut() {
        logon.preauth.update(message);
    }
}

/// A session of one connection only, until it can be bound to others (MS-SMB2 3.3.5.5, step 4).
fn refuse_binding(request: &Request<'_>, negotiated: &Negotiated) -> NtStatus {
    if negotiated.dialect >= Dialect::SMB300 && request.connection.session(request.header.session_id).is_none() {
        return NtStatus::USER_SESSION_DELETED;
    }
    NtStatus::REQUEST_NOT_ACCEPTED
}

/// A new session, with nobody logged on (MS-SMB2 3.3.5.5.1).
fn create(connection: &Connection) -> Result<Arc<Session>, NtStatus> {
    let server = &connection.server;
    let attach = |id, global_id, shared: &Arc<_>| Arc::new(Session::new(id, global_id, Arc::clone(shared)));
    let session = server
        .registry
        .lock("session_setup")
        .create_session(connection.id, attach, server.now())
        .map_err(crate::status::of_limit)?
        .attached;
    connection.remember_session(Arc::clone(&session));
    Ok(session)
}

/// A repeated logon must come from who holds the key (MS-SMB2 3.3.5.5, step 6).
fn check_repeated(request: &mut Request<'_>, session: &Arc<Session>) -> Result<(), NtStatus> {
    let Some(established) = session.established() else { return Ok(()) };
    if request.sealed {
        return Ok(());
    }
    if request.header.is_signed() {
        if !session.verify(request.message) {
            return Err(NtStatus::ACCESS_DENIED);
        }
        request.signer = Some(Arc::clone(session));
    } else if established.must_sign {
        return Err(NtStatus::ACCESS_DENIED);
    }
    Ok(())
}

/// What follows a successful exchange (MS-SMB2 3.3.5.5.3).
fn finish(
    connection: &Connection,
    negotiated: &Negotiated,
    session: &Arc<Session>,
    logon: &auth::Logon,
    preauth: &PreauthHash,
    settings: &Settings,
    setup: &SessionSetupRequest<'_>,
) -> Result<SessionFlags, NtStatus> {
    let identity = &logon.identity;
    let user = user_of(settings, identity)?;
    let mut flags = match identity.kind {
        IdentityKind::User => SessionFlags::NONE,
        IdentityKind::Guest => SessionFlags::IS_GUEST,
        IdentityKind::Anonymous => SessionFlags::IS_NULL,
    };
    if session.established().is_none() {
        let established = establish(negotiated, identity.kind, &logon.session_key, preauth, settings, setup)?;
        if established.must_seal {
            flags |= SessionFlags::ENCRYPT_DATA;
        }
        session.establish(established);
    } else if session.seals() {
        flags |= SessionFlags::ENCRYPT_DATA;
    }
    let established = session.established().ok_or(NtStatus::INTERNAL_ERROR)?;
    let facts = registry::Identity {
        user: user.name.as_str().into(),
        domain: identity.domain.as_str().into(),
        flags: registry::SessionFlags {
            anonymous: identity.kind == IdentityKind::Anonymous,
            guest: identity.kind == IdentityKind::Guest,
            encrypted: established.must_seal,
            signed: established.must_sign,
        },
    };
    let server = &connection.server;
    tracing::info!(session = session.global_id().value(), "session valid");
    session.set_user(user);
    let mut registry = server.registry.lock("session_valid");
    registry
        .session_valid(session.id(), facts, None, server.now())
        .map_err(|_| NtStatus::USER_SESSION_DELETED)?;
    let replaced = registry.replace_previous_session(session.id(), setup.previous_session_id, server.now());
    drop(registry);
    server.apply(replaced);
    connection.set_authenticated();
    Ok(flags)
}

fn establish(
    negotiated: &Negotiated,
    kind: IdentityKind,
    session_key: &[u8; 16],
    preauth: &PreauthHash,
    settings: &Settings,
    setup: &SessionSetupRequest<'_>,
) -> Result<Established, NtStatus> {
    if kind != IdentityKind::User {
        // There is no secret to derive keys from.
        let must_sign = settings.signing == Signing::Required;
        if must_sign || settings.encryption == Encryption::Required {
            return Err(NtStatus::ACCESS_DENIED);
        }
        return Ok(Established { signing: None, sealing: None, must_sign: false, must_seal: false });
    }
    let failed = |_| NtStatus::INTERNAL_ERROR;
    let keys = SessionKeys::derive(negotiated.dialect, session_key, preauth, negotiated.cipher);
    let signing = SigningKey::new(negotiated.signing, &keys.signing).map_err(|_| NtStatus::INTERNAL_ERROR)?;
    let sealing = match (negotiated.cipher, &keys.server_to_client, &keys.client_to_server) {
        (Some(cipher), Some(outgoing), Some(incoming)) => Some(SealingKeys {
            outgoing: SealingKey::new(cipher, outgoing.as_bytes()).map_err(failed)?,
            incoming: SealingKey::new(cipher, incoming.as_bytes()).map_err(failed)?,
        }),
        _ => None,
    };
    let must_seal = settings.encryption == Encryption::Required;
    if must_seal && sealing.is_none() {
        return Err(NtStatus::ACCESS_DENIED);
    }
    Ok(Established {
        signing: Some(signing),
        sealing,
        must_sign: settings.signing == Signing::Required
            || setup.security_mode.contains(SecurityMode::SIGNING_REQUIRED),
        must_seal,
    })
}

/// Whose permissions apply, and whether the user is an administrator.
fn user_of(settings: &Settings, identity: &auth::Identity) -> Result<User, NtStatus> {
    let is_user = identity.kind == IdentityKind::User;
    let actor = if settings.unix_identities {
        let account = if is_user { identity.user.as_str() } else { GUEST_ACCOUNT };
        crate::identity::actor_of(account).ok_or_else(|| {
            tracing::warn!("a user of the users file has no Unix account; see unix_identities");
            NtStatus::LOGON_FAILURE
        })?
    } else {
        vfs::Actor::Process
    };
    let administrator =
        is_user && settings.administrators.iter().any(|name| name.eq_ignore_ascii_case(&identity.user));
    let name = if identity.kind == IdentityKind::Anonymous { String::new() } else { identity.user.clone() };
    Ok(User { name, kind: identity.kind, actor, administrator })
}

fn end(connection: &Connection, session: &Session, reason: EndReason) {
    let server = &connection.server;
    let ended = server.registry.lock("session_failed").close_session(session.id(), reason, server.now());
    if let Ok(effects) = ended {
        server.apply(effects);
    }
}

/// What the client hears (MS-SMB2 3.3.5.5.3: the error of the authentication). Whether it was the
/// name or the password is not told.
fn status_of(reason: Refusal) -> NtStatus {
    match reason {
        Refusal::AnonymousNotAllowed => NtStatus::ACCESS_DENIED,
        Refusal::Disabled => NtStatus::ACCOUNT_DISABLED,
        Refusal::LockedOut => NtStatus::ACCOUNT_LOCKED_OUT,
        Refusal::Internal => NtStatus::INTERNAL_ERROR,
        Refusal::Malformed | Refusal::OutOfOrder => NtStatus::INVALID_PARAMETER,
        Refusal::BadMic
        | Refusal::NoCommonMechanism
        | Refusal::NoSuchUser
        | Refusal::NotNtlmV2
        | Refusal::StaleResponse
        | Refusal::WrongPassword => NtStatus::LOGON_FAILURE,
    }
}

/// The Unix account of guests and anonymous callers.
const GUEST_ACCOUNT: &str = "nobody";
