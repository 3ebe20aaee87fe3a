//! From an authenticated user to a session: MS-SMB2 3.3.5.5.2 and 3.3.5.5.3.

use std::sync::Arc;

use auth::IdentityKind;
use auth::kdf::{SessionKeys, channel_signing_key};
use auth::preauth::PreauthHash;
use auth::sealing::SealingKey;
use auth::signing::SigningKey;
use registry::{BindError, EstablishError, Standing};
use wire::NtStatus;
use wire::msg::{SecurityMode, SessionFlags, SessionSetupRequest};

use crate::core::audit::{Why, logon_granted};
use crate::core::config::{Encryption, Settings, Signing};
use crate::core::logon_user::{NotBegun, user_of};
use crate::core::roles::Roles;
use crate::core::server::Server;
use crate::core::session::{Channel, Established, SealingKeys, Session, User};
use crate::smb::connection::{Negotiated, SmbConnection};

/// A logon whose user is authenticated, before it becomes a session.
pub(super) struct Proven<'a> {
    pub(super) connection: &'a SmbConnection,
    pub(super) negotiated: &'a Negotiated,
    pub(super) session: &'a Arc<Session>,
    pub(super) logon: &'a auth::Logon,
    pub(super) preauth: &'a PreauthHash,
    pub(super) settings: &'a Arc<Settings>,
    pub(super) setup: &'a SessionSetupRequest<'a>,
}

impl Proven<'_> {
    /// Binds a session to the connection, after its user has authenticated here, too (MS-SMB2 3.3.5.5.2,
    /// 3.3.5.5.3).
    pub(super) fn bind(&self) -> Result<Arc<SigningKey>, NtStatus> {
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
    pub(super) fn log_granted(&self) {
        let Self { connection, session, logon, .. } = self;
        if connection.has_log_room_for_granted() {
            logon_granted(&connection.peer, &logon.identity, session.global_id().value());
        }
    }

    /// Makes the session valid, for the first time or again (MS-SMB2 3.3.5.5.3).
    pub(super) fn finish(&self) -> Result<SessionFlags, NotBegun> {
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
            let remedy = Some("'shareward net continue server' ends the pause");
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
