//! A logon with a name and a password that the server receives itself, as from the web console.
//!
//! The server plays the client's part of NTLM with the password, so that the same acceptor decides as for clients of
//! SMB: the users file, its rules, or a controller of the domain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use auth::initiator::{ClientStep, Credentials, Initiator, InitiatorOptions};
use auth::{Acceptor, Claim, IdentityKind, Logon, PassThrough, Refusal, Step};
use tokio::time::Instant;
use wire::NtStatus;

use crate::core::audit::{Why, account_locked, logon_granted, logon_refused, proven_logon_refused};
use crate::core::config::Settings;
use crate::core::guesses::{Attempt, Origin, Spent, Turn};
use crate::core::limits;
use crate::core::logon_user::{account_tried, user_of};
use crate::core::server::Server;
use crate::core::session::User;

/// The reason why a logon at the console is refused, as the user may know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogonRefused {
    /// The name or the password is wrong.
    #[error("The user name or the password is incorrect.")]
    Wrong,
    /// The ticket is not accepted.
    #[error("The ticket is not accepted; the server's log has the reason.")]
    Ticket,
    /// The client's clock and the server's differ by more than a ticket allows.
    #[error("The clocks of this computer and of the server differ too much for a ticket.")]
    Clock,
    /// The account is locked after too many wrong passwords.
    #[error("The account is locked after too many wrong passwords.")]
    LockedOut,
    /// The password is right but the account is disabled.
    #[error("The account is disabled.")]
    Disabled,
    /// The password is right but the account has expired.
    #[error("The account has expired.")]
    AccountExpired,
    /// The password is right but the account may not log on at this hour of the week.
    #[error("The account may not log on at this time.")]
    LogonHours,
    /// The password is right but must be changed first.
    #[error("The password has expired or must be changed before the next logon.")]
    PasswordExpired,
    /// The user may not log on here.
    #[error("The user may not log on at this server.")]
    NotGranted,
    /// There were too many attempts.
    #[error("There are too many attempts at the moment. Try again later.")]
    TooMany,
    /// No controller of the domain can be reached.
    #[error("There are currently no logon servers available to service the logon request.")]
    NoLogonServers,
    /// The server failed.
    #[error("An internal error occurred.")]
    Internal,
}

impl LogonRefused {
    /// The number of the error (MS-ERREF 2.2).
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Wrong | Self::Ticket => 1326,
            Self::Clock => 1398,
            Self::LockedOut => 1909,
            Self::Disabled => 1331,
            Self::AccountExpired => 1793,
            Self::LogonHours => 1328,
            Self::PasswordExpired => 1330,
            Self::NotGranted => 1385,
            Self::TooMany => 170,
            Self::NoLogonServers => 1311,
            Self::Internal => 1359,
        }
    }
}

/// Logs a user on. The logon waits until an attempt is permitted, and a refusal is delayed, as for clients of SMB.
/// Guests and anonymous callers are refused.
pub(crate) async fn log_on(
    server: &Arc<Server>,
    name: &str,
    password: &str,
    peer: SocketAddr,
) -> Result<Visitor, LogonRefused> {
    let refusing = Refusing { server, peer };
    let settings = server.settings();
    let exchange = Exchange::begin(server, &settings, name, password)?;
    let claim = exchange.claim.clone();
    let logon = match decide(server, exchange, peer).await {
        Ok(logon) if logon.identity.kind == IdentityKind::User => logon,
        Ok(_) => return Err(refusing.because(&claim, &Refusal::NoSuchUser).await),
        Err(NotDecided::Refused(reason)) => return Err(refusing.because(&claim, &reason).await),
        Err(NotDecided::TooMany) => {
            refusing.write(&claim, &Why::from("too many attempts at a password at the same time"));
            return Err(LogonRefused::TooMany);
        }
    };
    admit(server, &settings, logon.identity, peer).await
}

/// Begins the visit of a user who has proved to be one, if the settings let the user in.
pub(super) async fn admit(
    server: &Arc<Server>,
    settings: &Arc<Settings>,
    identity: auth::Identity,
    peer: SocketAddr,
) -> Result<Visitor, LogonRefused> {
    let (of, with) = (Arc::clone(server), Arc::clone(settings));
    // The name service may hang.
    let bulkhead = Some(Arc::clone(&server.capacity.logons));
    let found =
        crate::core::blocking::run_behind(bulkhead, move || (user_of(&of, &with, &identity), identity));
    let (found, identity) = found.await.map_err(|_| LogonRefused::Internal)?;
    match found {
        Ok(user) => {
            if server.logons.granted_log.has_room(peer.ip(), server.now()) {
                // There is no session of SMB.
                logon_granted(&peer, &identity, 0);
            }
            let mark = PasswordMark::of(server, &user);
            Ok(Visitor { user: Arc::new(user), mark })
        }
        Err(not_begun) => {
            if server.logons.log.has_room(peer.ip(), server.now()) {
                proven_logon_refused(server, &peer, &identity, &not_begun.why);
            }
            tokio::time::sleep(limits::REFUSED_LOGON_DELAY).await;
            Err(if not_begun.status == NtStatus::LOGON_TYPE_NOT_GRANTED {
                LogonRefused::NotGranted
            } else {
                LogonRefused::Wrong
            })
        }
    }
}

/// A user who has logged on at the console.
pub(crate) struct Visitor {
    /// The user.
    pub(crate) user: Arc<User>,
    /// `None` for users of domains.
    mark: Option<PasswordMark>,
}

impl Visitor {
    /// True if the user may continue: the account still has the same password, and may still log on.
    pub(crate) fn may_continue(&self, server: &Server) -> bool {
        if self.user.domain.is_some() {
            return !server.is_expelled(&server.settings(), &self.user);
        }
        server.refresh_accounts();
        let accounts = server.accounts();
        let account = accounts.user(&self.user.name).filter(|account| account.is_enabled());
        account.is_some_and(|account| account.nt_hash.map(PasswordMark) == self.mark)
    }
}

/// The password of an account at the time of a logon, to notice a change.
#[derive(Clone, Copy, PartialEq, Eq)]
struct PasswordMark([u8; 16]);

impl PasswordMark {
    /// The mark of a user's current password; `None` for users of domains.
    fn of(server: &Server, user: &User) -> Option<Self> {
        let accounts = server.accounts();
        accounts.user(&user.name).filter(|_| user.domain.is_none())?.nt_hash.map(Self)
    }
}

/// Both sides of an exchange before its last message is judged.
struct Exchange {
    acceptor: Acceptor,
    /// The AUTHENTICATE message (MS-NLMP 2.2.1.3).
    last: Vec<u8>,
    claim: Claim,
}

impl Exchange {
    /// Exchanges all messages but the last.
    fn begin(server: &Server, settings: &Settings, name: &str, password: &str) -> Result<Self, LogonRefused> {
        let (domain, user) = name.split_once('\\').unwrap_or(("", name));
        // An empty name would be the anonymous logon.
        if user.is_empty() {
            return Err(LogonRefused::Wrong);
        }
        let config = auth::AcceptorConfig {
            allow_anonymous: false,
            guest_for_unknown: false,
            ..settings.acceptor_config()
        };
        let now = server.file_time();
        let mut acceptor = Acceptor::new(config);
        let options = InitiatorOptions { raw_ntlmssp: true, now, ..InitiatorOptions::default() };
        let credentials = Credentials::password(user, domain, password);
        let mut initiator = Initiator::new(credentials, settings.dns_name()).with_options(options);
        let failed = |_| LogonRefused::Internal;
        let ClientStep::Token(first) = initiator.step(None).map_err(failed)? else {
            return Err(LogonRefused::Internal);
        };
        let accounts = server.accounts();
        let accounts = accounts.at(now, server.password_age_max());
        let Step::Continue(challenge) = acceptor.step(&first, &accounts, now) else {
            return Err(LogonRefused::Internal);
        };
        let ClientStep::Token(last) = initiator.step(Some(&challenge)).map_err(failed)? else {
            return Err(LogonRefused::Internal);
        };
        let claim = acceptor.claim(&last).ok_or(LogonRefused::Internal)?;
        Ok(Self { acceptor, last, claim })
    }
}

/// The reason why there is no decision for the user.
enum NotDecided {
    Refused(Refusal),
    /// An attempt was not permitted in time, so the password was not checked.
    TooMany,
}

/// Judges the last message as soon as an attempt is permitted, and records the result.
async fn decide(
    server: &Arc<Server>,
    mut exchange: Exchange,
    peer: SocketAddr,
) -> Result<Box<Logon>, NotDecided> {
    let patience = Instant::now() + limits::GUESS_PATIENCE;
    let origin = Origin::of(peer.ip());
    server.refresh_accounts();
    loop {
        let wait = match turned(server, &mut exchange, origin, peer) {
            Turned::Decided(decided) => return decided,
            Turned::Wait(wait) => wait,
            Turned::PassOn { request, attempt, spent } => {
                let decided = server.decided_by_controller(*request).await;
                return match exchange.acceptor.passed_through(decided) {
                    Step::Done(logon) => {
                        let mut guesses = server.logons.guesses();
                        guesses.accepted(&attempt, server.now());
                        guesses.give_back(spent, server.now());
                        Ok(logon)
                    }
                    Step::Refused { reason, .. } => Err(NotDecided::Refused(reason)),
                    _ => Err(NotDecided::Refused(Refusal::OutOfOrder)),
                };
            }
        };
        if Instant::now() + wait > patience {
            return Err(NotDecided::TooMany);
        }
        tokio::time::sleep(wait).await;
    }
}

/// The result of a turn.
enum Turned {
    Decided(Result<Box<Logon>, NotDecided>),
    /// A controller has to decide. Until then, the attempt counts as one with a wrong password.
    PassOn {
        request: Box<PassThrough>,
        attempt: Attempt,
        spent: Spent,
    },
    /// The attempt has to wait.
    Wait(Duration),
}

/// Judges the last message if an attempt is permitted now. The table of guesses stays locked until the result is
/// recorded, so that no other attempt comes in between.
fn turned(server: &Server, exchange: &mut Exchange, origin: Origin, peer: SocketAddr) -> Turned {
    let mut guesses = server.logons.guesses();
    let attempt = guesses.attempt(&account_tried(server, &exchange.claim), origin);
    match guesses.turn(&attempt, server.now()) {
        Turn::Now => {}
        Turn::Locked => return Turned::Decided(Err(NotDecided::Refused(Refusal::LockedOut))),
        Turn::In(wait) => return Turned::Wait(wait),
    }
    let (accounts, now) = (server.accounts(), server.file_time());
    let accounts = accounts.at(now, server.password_age_max());
    Turned::Decided(match exchange.acceptor.step(&exchange.last, &accounts, now) {
        Step::Done(logon) => {
            guesses.accepted(&attempt, server.now());
            Ok(logon)
        }
        Step::Refused { reason, .. } => {
            let policy = server.settings().lockout;
            if guesses.refused(&attempt, reason.is_wrong_guess(), policy, server.now()) {
                account_locked(&exchange.claim.user, &peer.ip().to_canonical().to_string());
            }
            Err(NotDecided::Refused(reason))
        }
        Step::PassThrough(request) => {
            let spent = guesses.spent(&attempt, server.now());
            return Turned::PassOn { request, attempt, spent };
        }
        Step::Continue(_) | Step::Again { .. } => Err(NotDecided::Refused(Refusal::OutOfOrder)),
    })
}

/// The refusal of a logon.
struct Refusing<'a> {
    server: &'a Server,
    peer: SocketAddr,
}

impl Refusing<'_> {
    fn write(&self, claim: &Claim, why: &Why) {
        if self.server.logons.log.has_room(self.peer.ip(), self.server.now()) {
            logon_refused(self.server, &self.peer, Some(claim), "console", why);
        }
    }

    /// Records the refusal, and returns when the answer may be sent.
    async fn because(&self, claim: &Claim, reason: &Refusal) -> LogonRefused {
        if reason.is_wrong_guess() || *reason == Refusal::LockedOut {
            self.server.statistics.password_errors.fetch_add(1, Ordering::Relaxed);
        }
        self.write(claim, &Why::from(reason));
        tokio::time::sleep(limits::REFUSED_LOGON_DELAY).await;
        match reason {
            Refusal::LockedOut => LogonRefused::LockedOut,
            Refusal::Disabled => LogonRefused::Disabled,
            Refusal::AccountExpired => LogonRefused::AccountExpired,
            Refusal::LogonHours => LogonRefused::LogonHours,
            Refusal::MustChangePassword | Refusal::PasswordExpired => LogonRefused::PasswordExpired,
            Refusal::Internal | Refusal::OutOfOrder => LogonRefused::Internal,
            Refusal::Domain { status: NO_LOGON_SERVERS, .. } => LogonRefused::NoLogonServers,
            Refusal::Domain { status: NtStatus::PASSWORD_EXPIRED, .. } => LogonRefused::PasswordExpired,
            Refusal::Domain { status: NtStatus::ACCOUNT_EXPIRED, .. } => LogonRefused::AccountExpired,
            Refusal::Domain { status: NtStatus::INVALID_LOGON_HOURS, .. } => LogonRefused::LogonHours,
            _ => LogonRefused::Wrong,
        }
    }
}

/// STATUS_NO_LOGON_SERVERS (MS-ERREF 2.3.1).
const NO_LOGON_SERVERS: NtStatus = NtStatus(0xc000_005e);

#[cfg(test)]
impl Visitor {
    /// A user of this name without rights.
    pub(crate) fn for_tests(name: &str) -> Self {
        let user = User {
            name: name.to_owned(),
            kind: IdentityKind::User,
            actor: vfs::Actor::Process,
            domain: None,
            token: crate::core::security::Token::default(),
            administrator: false,
        };
        Self { user: Arc::new(user), mark: None }
    }
}
