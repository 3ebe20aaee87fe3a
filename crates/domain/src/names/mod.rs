//! The owners of SIDs, and the SIDs of names, as the domain's controllers know them; through winbind if no controller
//! answers the machine itself.
//!
//! [`Directory`] keeps one session with a controller, over which questions are asked one after the other. It does not
//! remember answers. A controller that is gone or hangs costs a caller the time that it gives, and for some seconds
//! afterwards all callers get the error at once.

mod lsat;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Tickets;
use client::smb::LogonCredentials;
use tokio::sync::Mutex;
use wire::eq_ignore_case;
use wire::security::Sid;

pub(crate) use lsat::connect;
pub use lsat::{DomainInfo, LsatError, LsatSession};

use crate::winbind::Winbind;
use crate::{Named, controllers, keytab};

/// The place of the machine's tickets: in the memory of this process.
const CACHE: &str = "MEMORY:shareward-machine";

/// The time in which a controller that failed is not asked first.
const AVOIDED: Duration = Duration::from_secs(60);

/// The time after a failure in which no controller is asked.
const SILENCE: Duration = Duration::from_secs(10);

/// The time after which an idle session is not used any more: a controller may have forgotten it, and a network in
/// between too, which would be noticed late.
const IDLE: Duration = Duration::from_secs(120);

/// The controllers that are tried for one question.
const TRIES: usize = 3;

/// The knowledge that a member needs to ask its domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The Kerberos realm, as `CORP.EXAMPLE`.
    pub realm: String,
    /// The file with the machine's keys.
    pub keytab: PathBuf,
    /// The host names of the controllers; if empty, they are found by DNS.
    pub controllers: Vec<String>,
}

impl Membership {
    /// The controllers in the order in which they are to be tried. Asks the DNS if the settings name none.
    pub async fn controllers(&self) -> Result<Vec<String>, controllers::NotFound> {
        if self.controllers.is_empty() {
            controllers::find(&self.realm).await
        } else {
            Ok(self.controllers.clone())
        }
    }

    /// The machine's own credentials for the controllers: tickets by the key in its keytab, which only a controller of
    /// the realm's domain takes. Reads the keytab.
    pub fn credentials(&self) -> Result<LogonCredentials, keytab::Error> {
        let principal = keytab::machine_principal(&self.keytab, &self.realm)?;
        let keytab = format!("FILE:{}", self.keytab.display());
        let tickets = Tickets::for_controllers(&principal, &keytab, CACHE, &self.realm);
        Ok(LogonCredentials::with_tickets(tickets, None))
    }
}

/// The names of a member's domain and of the domains that it trusts.
pub struct Directory {
    membership: Arc<Membership>,
    winbind: Winbind,
    session: Mutex<Session>,
}

#[derive(Default)]
struct Session {
    open: Option<Open>,
    /// The controller that failed last.
    avoided: Option<(String, Instant)>,
    /// The last failure, if no controller has answered since.
    failure: Option<(String, Instant)>,
}

/// A session with a controller.
struct Open {
    session: LsatSession,
    /// The controller's domain.
    own: DomainInfo,
    used: Instant,
}

/// A question to a controller.
#[derive(Clone, Copy)]
enum Question<'a> {
    Names(&'a [Sid]),
    Owners(&'a [String]),
}

/// The answers in the order of the question; the error says why nobody could be asked.
type Answers = Result<Vec<Option<Named>>, String>;

impl Directory {
    /// The names that this member can ask for. Nothing is asked yet.
    pub fn new(membership: Membership) -> Self {
        Self { membership: Arc::new(membership), winbind: Winbind::new(), session: Mutex::default() }
    }

    /// The owners of SIDs, in the same order; `None` for those that nobody has. Waits at most for `wait`. An error if
    /// nobody could be asked.
    pub async fn names_of(&self, sids: &[Sid], wait: Duration) -> Answers {
        let begun = Instant::now();
        let reason = match self.ask(Question::Names(sids), wait).await {
            Ok(found) => return Ok(found),
            Err(reason) => reason,
        };
        let mut found = Vec::with_capacity(sids.len());
        for sid in sids {
            let asked = self.winbind.name_of(*sid, left(begun, wait)).await;
            found.push(asked.map_err(|error| format!("{reason}; winbind: {error}"))?);
        }
        Ok(found)
    }

    /// The owners of names such as `CORP\carol` and `carol@corp.example`, in the same order, spelled as the domain does.
    /// Otherwise as [`names_of`](Self::names_of).
    pub async fn owners_of(&self, names: &[String], wait: Duration) -> Answers {
        let begun = Instant::now();
        let reason = match self.ask(Question::Owners(names), wait).await {
            Ok(found) => return Ok(found),
            Err(reason) => reason,
        };
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let (domain, plain) = name.split_once('\\').unwrap_or(("", name));
            let asked = self.winbind.sid_of(domain, plain, left(begun, wait)).await;
            let owner = asked.map_err(|error| format!("{reason}; winbind: {error}"))?;
            // The answer repeats the name of the question.
            found.push(match owner {
                Some(owner) => {
                    self.winbind.name_of(owner.sid, left(begun, wait)).await.unwrap_or(Some(owner))
                }
                None => None,
            });
        }
        Ok(found)
    }

    /// The owner of a SID; `None` if nobody has it. As [`names_of`](Self::names_of).
    pub async fn name_of(&self, sid: Sid, wait: Duration) -> Result<Option<Named>, String> {
        Ok(self.names_of(&[sid], wait).await?.pop().flatten())
    }

    /// The owner of a name. As [`owners_of`](Self::owners_of).
    pub async fn owner_of(&self, name: &str, wait: Duration) -> Result<Option<Named>, String> {
        Ok(self.owners_of(&[name.to_owned()], wait).await?.pop().flatten())
    }

    async fn ask(&self, question: Question<'_>, wait: Duration) -> Answers {
        let asked = async {
            let mut session = self.session.lock().await;
            if let Some((reason, _)) = session.failure.as_ref().filter(|(_, at)| at.elapsed() < SILENCE) {
                return Err(reason.clone());
            }
            // If the caller does not wait long enough, the next one does not wait for the same.
            session.failure = Some((String::from("no domain controller answers in time"), Instant::now()));
            let answer = self.ask_over(&mut session, question).await;
            session.failure = answer.as_ref().err().map(|reason| (reason.clone(), Instant::now()));
            answer
        };
        let timed_out = |_| Err(String::from("no domain controller answers in time"));
        tokio::time::timeout(wait, asked).await.unwrap_or_else(timed_out)
    }

    /// Asks over the session; once more over a new one if that was old and has broken.
    async fn ask_over(&self, session: &mut Session, question: Question<'_>) -> Answers {
        // The session is taken out of its place, because a question that is cancelled half-way leaves it in an unknown
        // state.
        if let Some(mut old) = session.open.take().filter(|old| old.used.elapsed() < IDLE)
            && let Ok(answer) = put(&mut old, question).await
        {
            session.open = Some(old);
            return Ok(answer);
        }
        let mut new = self.connect(session).await?;
        match put(&mut new, question).await {
            Ok(answer) => {
                session.open = Some(new);
                Ok(answer)
            }
            Err(error) => {
                session.avoided = Some((new.session.controller().to_owned(), Instant::now()));
                Err(error.to_string())
            }
        }
    }

    async fn connect(&self, session: &mut Session) -> Result<Open, String> {
        let membership = Arc::clone(&self.membership);
        let credentials = tokio::task::spawn_blocking(move || membership.credentials()).await;
        let credentials = credentials.map_err(|error| error.to_string())?;
        let credentials = credentials.map_err(|error| error.to_string())?;
        let mut hosts = self.membership.controllers().await.map_err(|error| error.to_string())?;
        session.avoided = session.avoided.take().filter(|(_, since)| since.elapsed() < AVOIDED);
        if let Some((avoided, _)) = &session.avoided {
            hosts.sort_by_key(|host| host == avoided);
        }
        let mut reason = String::from("the domain has no controllers");
        for host in hosts.into_iter().take(TRIES) {
            // If the caller gives up, another controller is the next one's first.
            let before = session.avoided.replace((host.clone(), Instant::now()));
            match open(&host, credentials.clone()).await {
                Ok(new) if eq_ignore_case(&new.own.dns_name, &self.membership.realm) => {
                    session.avoided = before.filter(|(avoided, _)| *avoided != host);
                    return Ok(new);
                }
                Ok(new) => {
                    let (realm, other) = (&self.membership.realm, new.own.dns_name);
                    reason = format!("{host} is a controller of {other}, not of {realm}");
                }
                Err(error) => reason = error.to_string(),
            }
        }
        Err(reason)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("membership", &self.membership).finish_non_exhaustive()
    }
}

async fn open(host: &str, credentials: LogonCredentials) -> Result<Open, LsatError> {
    let mut session = LsatSession::connect(host, credentials).await?;
    let own = session.domain().await?;
    Ok(Open { session, own, used: Instant::now() })
}

async fn put(open: &mut Open, question: Question<'_>) -> Result<Vec<Option<Named>>, LsatError> {
    let mut found = match question {
        Question::Names(sids) => open.session.names_of(sids).await?,
        Question::Owners(names) => open.session.owners_of(names).await?,
    };
    for named in &mut found {
        *named = named.take().filter(|named| is_consistent(named, &open.own));
    }
    open.used = Instant::now();
    Ok(found)
}

/// True if both the name and the SID are of the controller's own domain, or neither: another domain, whose answer a
/// controller passes on, has no say about this one.
fn is_consistent(named: &Named, own: &DomainInfo) -> bool {
    let has_sid = named.sid == own.sid || named.sid.split_rid().is_some_and(|(domain, _)| domain == own.sid);
    has_sid == eq_ignore_case(&named.domain, &own.name)
}

fn left(begun: Instant, wait: Duration) -> Duration {
    wait.saturating_sub(begun.elapsed()).max(WINBIND_TIME_MIN)
}

/// winbind answers from its cache, so that it gets a moment even if the controllers have used up the time.
const WINBIND_TIME_MIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NamedKind;

    /// A member with a key of no use.
    fn silent_member(scratch: &std::path::Path, controllers: &[&str]) -> Directory {
        let keytab = scratch.join("krb5.keytab");
        let mut bytes = vec![5, 2];
        let mut record = vec![0, 1];
        for text in ["CORP.EXAMPLE", "FILES$"] {
            record.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            record.extend(text.as_bytes());
        }
        record.extend([0, 0, 0, 1, 0, 0, 0, 9, 2, 0, 99, 0, 1, 7]);
        bytes.extend(u32::try_from(record.len()).unwrap().to_be_bytes());
        bytes.extend(record);
        std::fs::write(&keytab, bytes).unwrap();
        let controllers = controllers.iter().map(|it| (*it).to_owned()).collect();
        Directory::new(Membership { realm: String::from("CORP.EXAMPLE"), keytab, controllers })
    }

    #[tokio::test]
    async fn failure_is_reported_at_once_for_a_while() {
        let scratch = tempfile::tempdir().unwrap();
        // No machine has a name in this domain (RFC 6761 6.4).
        let directory = silent_member(scratch.path(), &["host.invalid"]);
        let wait = Duration::from_millis(200);
        let first = directory.ask(Question::Names(&[Sid::WORLD]), wait).await.unwrap_err();
        assert!(!first.is_empty());
        let begun = Instant::now();
        directory.ask(Question::Names(&[Sid::WORLD]), Duration::from_secs(60)).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5), "the second caller waits for the same controller");
    }

    #[test]
    fn a_controller_speaks_of_its_own_domain_with_the_sid_of_it() {
        let own = DomainInfo {
            name: String::from("CORP"),
            dns_name: String::from("corp.example"),
            forest: String::from("corp.example"),
            sid: "S-1-5-21-1-2-3".parse().unwrap(),
        };
        let consistent = |sid: &str, domain: &str, kind| {
            let (domain, name) = (domain.to_owned(), String::from("x"));
            is_consistent(&Named { sid: sid.parse().unwrap(), domain, name, kind }, &own)
        };
        assert!(consistent("S-1-5-21-1-2-3-1104", "Corp", NamedKind::User));
        assert!(consistent("S-1-5-21-1-2-3", "CORP", NamedKind::Domain));
        assert!(consistent("S-1-5-21-7-8-9-1104", "OTHER", NamedKind::Group));
        assert!(consistent("S-1-5-32-544", "BUILTIN", NamedKind::Alias));
        assert!(!consistent("S-1-5-21-7-8-9-1104", "CORP", NamedKind::Group));
        assert!(!consistent("S-1-5-21-1-2-3-1104", "OTHER", NamedKind::User));
        assert!(!consistent("S-1-5-32-544", "CORP", NamedKind::Alias));
    }

    #[tokio::test]
    async fn missing_keytab_is_the_reason() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = silent_member(scratch.path(), &["host.invalid"]);
        std::fs::remove_file(scratch.path().join("krb5.keytab")).unwrap();
        let reason =
            directory.ask(Question::Names(&[Sid::WORLD]), Duration::from_secs(60)).await.unwrap_err();
        assert!(reason.contains("krb5.keytab"), "{reason}");
    }
}
