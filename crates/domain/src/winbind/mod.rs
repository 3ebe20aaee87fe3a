//! Samba's winbind, as far as it runs on this machine: logons with NTLM that a domain controller decides, and names.
//!
//! A user of the domain who comes with NTLM proves to know a secret that only the domain's controllers have. winbindd
//! has a secure channel to one (MS-NRPC 3.2) and passes the challenge and the response through it. Its client library,
//! libwbclient, is loaded at run time: a machine without it works, and refuses such logons with a reason.
//!
//! The library's calls block while winbindd asks a controller, which may take long, and have no deadline. So each call
//! runs on a thread of its own. There are [`LOGON_THREADS`] of them for logons and [`OTHER_THREADS`] for all else; a
//! call that hangs keeps its thread, the caller goes on when its time is over, and names do not take away the threads
//! of logons.
//!
//! winbindd accepts logons only from processes that may open its directory `winbindd_privileged`: root and the group
//! `winbindd_priv`.

mod calls;
mod native;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use auth::DomainUser;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use wire::NtStatus;
use wire::security::Sid;
use zeroize::Zeroizing;

use calls::Context;

use crate::Named;

/// The logons that winbindd decides at a time. It has one process for each domain, which decides them one by one: more
/// would only wait there.
pub const LOGON_THREADS: usize = 16;

/// The other calls at a time.
pub const OTHER_THREADS: usize = 4;

/// The connections to winbindd that are kept for the next call; winbindd has 200 for all its clients.
const IDLE_CONTEXTS: usize = 4;

/// The client of winbindd. Clones share the threads and connections.
#[derive(Clone)]
pub struct Winbind {
    shared: Arc<Shared>,
}

struct Shared {
    logons: Arc<Semaphore>,
    others: Arc<Semaphore>,
    idle: Mutex<Vec<Context>>,
}

/// The running winbindd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The version of Samba.
    pub version: String,
    /// The NetBIOS name of this machine.
    pub host: String,
    /// The NetBIOS name of the domain that the machine is a member of.
    pub domain: String,
    /// The DNS name of that domain.
    pub dns_domain: String,
}

/// A logon with NTLM for a controller to decide.
pub struct NtlmLogon {
    /// The user as the client named it (MS-NLMP 2.2.1.3, `UserName`).
    pub user: String,
    /// The domain as the client named it (`DomainName`).
    pub domain: String,
    /// The client's computer (`Workstation`).
    pub workstation: String,
    /// The server's challenge (MS-NLMP 2.2.1.2).
    pub challenge: [u8; 8],
    /// The client's `NtChallengeResponse`.
    pub nt_response: Vec<u8>,
    /// The client's `LmChallengeResponse`; may be empty.
    pub lm_response: Vec<u8>,
}

/// A logon that a controller granted.
pub struct PassedThrough {
    /// The session base key (MS-NLMP 3.3.2), from which the session's keys are made.
    pub session_base_key: Zeroizing<[u8; 16]>,
    /// The user.
    pub user: DomainUser,
}

impl fmt::Debug for PassedThrough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassedThrough").field("user", &self.user).finish_non_exhaustive()
    }
}

/// winbind cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The client library is not installed.
    #[error("libwbclient cannot be loaded ({0}); install libwbclient0")]
    NoLibrary(String),
    /// No winbindd runs.
    #[error("winbindd is not running")]
    NotRunning,
    /// All threads wait for winbindd.
    #[error("winbindd does not answer earlier requests")]
    Busy,
    /// No answer came in time.
    #[error("winbindd does not answer in time")]
    TimedOut,
    /// Another error.
    #[error("{0}")]
    Failed(String),
}

/// The reason why a logon with NTLM was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// winbind cannot be asked.
    #[error("cannot be passed to a domain controller: {0}")]
    Unavailable(#[from] Error),
    /// This process may not open `winbindd_privileged`.
    #[error("winbindd accepts logons only from root and members of the group winbindd_priv")]
    NotPrivileged,
    /// The account does not exist.
    #[error("no such user")]
    NoSuchUser,
    /// The password is wrong.
    #[error("wrong password")]
    WrongPassword,
    /// The account is locked out.
    #[error("the account is locked out")]
    LockedOut,
    /// The account is disabled.
    #[error("the account is disabled")]
    Disabled,
    /// The account has expired.
    #[error("the account has expired")]
    AccountExpired,
    /// The password has expired or must be changed.
    #[error("the password has expired or must be changed")]
    PasswordExpired,
    /// The account may not log on now, from this computer, or in this way.
    #[error("a policy of the domain forbids this logon ({0})")]
    Policy(NtStatus),
    /// winbind reaches no controller of the user's domain.
    #[error("no domain controller can be reached")]
    NoController,
    /// The domain does not exist or is not trusted.
    #[error("no such domain, or it is not trusted")]
    NoSuchDomain,
    /// The secure channel of this machine is broken.
    #[error("the machine's own password is not accepted by the domain ({0})")]
    Channel(NtStatus),
    /// The controller made the user a guest.
    #[error("the domain takes the user for a guest")]
    Guest,
    /// The answer lacks what it must have.
    #[error("the answer of winbindd is incomplete")]
    BadAnswer,
    /// Another status of the controller.
    #[error("the domain controller refuses with {0}")]
    Status(NtStatus),
}

impl Refusal {
    /// The reason that a controller's status means (MS-ERREF 2.3.1, MS-NRPC 3.5.4.5.1).
    fn of_status(status: NtStatus) -> Self {
        // Those that no other part of the server uses.
        const NO_LOGON_SERVERS: NtStatus = NtStatus(0xc000_005e);
        const NO_TRUST_LSA_SECRET: NtStatus = NtStatus(0xc000_018a);
        const NO_TRUST_SAM_ACCOUNT: NtStatus = NtStatus(0xc000_018b);
        const TRUSTED_RELATIONSHIP_FAILURE: NtStatus = NtStatus(0xc000_018d);
        const CANT_ACCESS_DOMAIN_INFO: NtStatus = NtStatus(0xc000_00da);
        const DOMAIN_CONTROLLER_NOT_FOUND: NtStatus = NtStatus(0xc000_0233);
        match status {
            NtStatus::NO_SUCH_USER => Self::NoSuchUser,
            NtStatus::WRONG_PASSWORD | NtStatus::LOGON_FAILURE => Self::WrongPassword,
            NtStatus::ACCOUNT_LOCKED_OUT => Self::LockedOut,
            NtStatus::ACCOUNT_DISABLED => Self::Disabled,
            NtStatus::ACCOUNT_EXPIRED => Self::AccountExpired,
            NtStatus::PASSWORD_EXPIRED | NtStatus::PASSWORD_MUST_CHANGE => Self::PasswordExpired,
            NtStatus::ACCOUNT_RESTRICTION
            | NtStatus::INVALID_LOGON_HOURS
            | NtStatus::INVALID_WORKSTATION
            | NtStatus::LOGON_TYPE_NOT_GRANTED => Self::Policy(status),
            NO_LOGON_SERVERS
            | DOMAIN_CONTROLLER_NOT_FOUND
            | CANT_ACCESS_DOMAIN_INFO
            | NtStatus::IO_TIMEOUT => Self::NoController,
            NtStatus::NO_SUCH_DOMAIN | NtStatus::TRUSTED_DOMAIN_FAILURE => Self::NoSuchDomain,
            NO_TRUST_LSA_SECRET | NO_TRUST_SAM_ACCOUNT | TRUSTED_RELATIONSHIP_FAILURE => {
                Self::Channel(status)
            }
            NtStatus::ACCESS_DENIED => Self::NotPrivileged,
            _ => Self::Status(status),
        }
    }

    /// True if the name or the password was wrong, as in an attempt to guess them.
    pub const fn is_wrong_guess(&self) -> bool {
        matches!(self, Self::NoSuchUser | Self::WrongPassword)
    }

    /// True if the user may be right, but nobody could be asked.
    pub const fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::NotPrivileged
                | Self::NoController
                | Self::Channel(_)
                | Self::BadAnswer
        )
    }
}

impl Default for Winbind {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Winbind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Winbind").finish_non_exhaustive()
    }
}

impl Winbind {
    /// A client. The library is loaded with the first call.
    pub fn new() -> Self {
        let shared = Shared {
            logons: Arc::new(Semaphore::new(LOGON_THREADS)),
            others: Arc::new(Semaphore::new(OTHER_THREADS)),
            idle: Mutex::new(Vec::new()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The running winbindd and its domain. Fails if there is none.
    pub async fn running(&self, wait: Duration) -> Result<Running, Error> {
        self.ask(&self.shared.others, wait, Context::running).await?
    }

    /// The name of the controller that winbindd has a secure channel to, after it has used that.
    pub async fn controller(&self, wait: Duration) -> Result<String, Refusal> {
        self.ask(&self.shared.others, wait, Context::controller).await?
    }

    /// The owner of a SID; `None` if winbindd and the controllers do not know it.
    pub async fn name_of(&self, sid: Sid, wait: Duration) -> Result<Option<Named>, Error> {
        self.ask(&self.shared.others, wait, move |context| context.name_of(sid)).await?
    }

    /// The user or group of a domain with this name; `None` if there is none. The names are those of the question.
    pub async fn sid_of(&self, domain: &str, name: &str, wait: Duration) -> Result<Option<Named>, Error> {
        let (domain, name) = (domain.to_owned(), name.to_owned());
        self.ask(&self.shared.others, wait, move |context| context.sid_of(&domain, &name)).await?
    }

    /// Has a controller decide about a logon. A controller counts wrong passwords: an attempt is made once.
    pub async fn authenticate(&self, logon: NtlmLogon, wait: Duration) -> Result<PassedThrough, Refusal> {
        self.ask(&self.shared.logons, wait, move |context| context.authenticate(&logon)).await?
    }

    /// Makes a call on a thread of its own. Waits for a free thread and for the answer, together for `wait`.
    async fn ask<T: Send + 'static>(
        &self,
        threads: &Arc<Semaphore>,
        wait: Duration,
        call: impl FnOnce(&mut Context) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let deadline = Instant::now().checked_add(wait).ok_or(Error::TimedOut)?;
        let permit = tokio::time::timeout_at(deadline, Arc::clone(threads).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(Error::Busy) };
        let (answer, answered) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let context = shared.idle.lock().pop().map_or_else(Context::new, Ok);
            let result = context.map(|mut context| {
                let result = call(&mut context);
                let mut idle = shared.idle.lock();
                if idle.len() < IDLE_CONTEXTS {
                    idle.push(context);
                }
                result
            });
            // The permit is that of the thread: a call that hangs keeps it.
            drop(permit);
            // A caller that no longer waits does not need it.
            _ = answer.send(result);
        };
        std::thread::Builder::new()
            .name(String::from("winbind"))
            .spawn(work)
            .map_err(|error| Error::Failed(format!("cannot start a thread: {error}")))?;
        match tokio::time::timeout_at(deadline, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::Failed(String::from("the call ended without an answer"))),
            Err(_) => Err(Error::TimedOut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_controllers_have_reasons() {
        for (status, reason) in [
            (NtStatus::WRONG_PASSWORD, Refusal::WrongPassword),
            (NtStatus::NO_SUCH_USER, Refusal::NoSuchUser),
            (NtStatus::ACCOUNT_LOCKED_OUT, Refusal::LockedOut),
            (NtStatus(0xc000_005e), Refusal::NoController),
            (NtStatus::ACCESS_DENIED, Refusal::NotPrivileged),
            (NtStatus(0xc000_0999), Refusal::Status(NtStatus(0xc000_0999))),
        ] {
            assert_eq!(Refusal::of_status(status), reason);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_hang_hold_up_neither_the_caller_nor_logons() {
        let winbind = Winbind::new();
        let (release, hold) = std::sync::mpsc::channel::<()>();
        let hold = Arc::new(Mutex::new(hold));
        let wait = Duration::from_secs(1);
        for _ in 0..OTHER_THREADS {
            let hold = Arc::clone(&hold);
            let hung = winbind.ask(&winbind.shared.others, wait, move |_| _ = hold.lock().recv()).await;
            if let Err(Error::NoLibrary(reason)) = &hung {
                eprintln!("skipped: no libwbclient: {reason}");
                return;
            }
            assert_eq!(hung, Err(Error::TimedOut));
        }
        assert_eq!(winbind.ask(&winbind.shared.others, wait, |_| ()).await, Err(Error::Busy));
        tokio::time::resume();
        let logon = winbind.ask(&winbind.shared.logons, Duration::from_secs(60), |_| 1).await;
        assert_eq!(logon, Ok(1));
        drop(release);
        // The threads are free again.
        assert_eq!(winbind.ask(&winbind.shared.others, Duration::from_secs(60), |_| 2).await, Ok(2));
    }
}
