//! Checks of a membership: the controllers, the clocks, the keys and the machine's account.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use auth::kerberos::{Enctype, KerberosOptions, KerberosService, Keytab, UsedAuthenticators};
use auth::{Acceptor, AcceptorConfig, AccountRecord, Accounts, Step};
use client::{TicketSource, Tickets};
use wire::FileTime;

use crate::keytab;
use crate::names::{DomainInfo, LsatSession, Membership, connect};
use crate::winbind::{self, Winbind};

/// The controllers that are checked: enough to see whether the domain can be reached.
const CONTROLLERS: usize = 3;

/// The time for all questions to one controller, and for tickets.
const CONTROLLER_TIME: Duration = Duration::from_secs(15);

/// The time for winbind's answers.
const WINBIND_TIME: Duration = Duration::from_secs(5);

/// The state of a membership.
#[derive(Debug)]
pub struct Report {
    /// The controllers that were asked, or the reason why none was found.
    pub controllers: Result<Vec<Controller>, String>,
    /// The keys of the realm, or the reason why there are none.
    pub keys: Result<Keys, String>,
    /// The domain as a controller described it after the machine had logged on with its key; or the reason why not.
    pub channel: Result<DomainInfo, String>,
    /// The result of a client's logon with a ticket for the file service: the service's principal and the reason of a
    /// refusal; `None` if it could not be tried.
    pub service: Option<Service>,
    /// winbindd.
    pub winbind: WinbindState,
}

/// A controller.
#[derive(Clone, Debug)]
pub struct Controller {
    /// The host name.
    pub host: String,
    /// The time until the end of the SMB negotiation, or the reason why there was none.
    pub reached: Result<Duration, String>,
    /// The controller's clock minus this machine's, in milliseconds.
    pub skew_ms: Option<i64>,
}

/// The keys in a keytab, of one realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The principal by which the machine logs on.
    pub machine: String,
    /// The principals with their keys, by name and version, newest first.
    pub principals: Vec<Principal>,
    /// The time of the newest key, in seconds since 1970. That is when the machine's password was changed, unless the
    /// keytab was made later.
    pub newest: u32,
}

/// The keys of a principal that have one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name, as `cifs/files.corp.example@CORP.EXAMPLE`.
    pub name: String,
    /// The version (kvno).
    pub version: u32,
    /// The names of the encryption types, strongest first.
    pub encryption_types: Vec<String>,
    /// The time at which the keys were written, in seconds since 1970.
    pub time: u32,
}

/// The check of the file service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The service that the ticket was for, as `cifs/files.corp.example`.
    pub name: String,
    /// The outcome.
    pub result: Result<(), ServiceFault>,
}

/// The reason why the check of the file service failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceFault {
    /// There is no ticket, so nothing is known about the keys.
    NoTicket(String),
    /// The ticket is refused with the keys of the keytab, or the keytab has no key for the server's names.
    Refused(String),
}

/// The state of winbind.
#[derive(Clone, Debug)]
pub enum WinbindState {
    /// No winbindd runs, or it cannot be asked.
    Absent(winbind::Error),
    /// A winbindd runs.
    Running {
        /// The process.
        running: winbind::Running,
        /// The controller that it uses, or the reason why it has none.
        controller: Result<String, winbind::Refusal>,
    },
}

/// Checks a membership. `hosts` are the names by which clients call this server; the first one that the keytab has is
/// tried. Reads the keytab and talks to controllers: the time is bounded by about a minute.
pub async fn check(membership: &Membership, hosts: &[String], options: KerberosOptions) -> Report {
    let path = membership.keytab.clone();
    let keytab = tokio::task::spawn_blocking(move || keytab::read(&path)).await;
    let keytab = match keytab {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let keys = keytab.as_ref().map_err(Clone::clone).and_then(|keytab| {
        keys(keytab, &membership.realm).ok_or_else(|| {
            format!("{} has no key of the realm {}", membership.keytab.display(), membership.realm)
        })
    });
    let found = membership.controllers().await.map_err(|error| error.to_string());
    let mut channel = Err(String::from("no controller was reached"));
    let controllers = match found {
        Err(reason) => {
            channel = Err(reason.clone());
            Err(reason)
        }
        Ok(found) => {
            let mut checked = Vec::new();
            for host in found.into_iter().take(CONTROLLERS) {
                checked.push(check_controller(&host, membership, &mut channel).await);
            }
            Ok(checked)
        }
    };
    let service = match (&keys, keytab) {
        (Ok(keys), Ok(keytab)) => check_service(membership, keys, keytab, hosts, options).await,
        _ => None,
    };
    Report { controllers, keys, channel, service, winbind: check_winbind().await }
}

/// Reaches a controller, and logs on with the machine's key unless another one has accepted it already.
async fn check_controller(
    host: &str,
    membership: &Membership,
    channel: &mut Result<DomainInfo, String>,
) -> Controller {
    let begun = Instant::now();
    let connected = connect(host).await;
    let reached = begun.elapsed();
    let connection = match connected {
        Ok(connection) => connection,
        Err(error) => {
            let reached = Err(error.to_string());
            return Controller { host: host.to_owned(), reached, skew_ms: None };
        }
    };
    let skew_ms = connection.negotiated().ok().and_then(|it| skew_ms(it.system_time, reached));
    if channel.is_ok() {
        connection.disconnect();
    } else {
        let log_on = async {
            let membership = membership.clone();
            let credentials = tokio::task::spawn_blocking(move || membership.credentials()).await;
            let credentials = credentials.map_err(|error| error.to_string())?;
            let credentials = credentials.map_err(|error| error.to_string())?;
            let mut session =
                LsatSession::over(connection, host, credentials).await.map_err(|error| error.to_string())?;
            let domain = session.domain().await.map_err(|error| error.to_string())?;
            session.close().await;
            Ok(domain)
        };
        let timed_out = |_| Err(format!("{host} does not answer in time"));
        *channel = tokio::time::timeout(CONTROLLER_TIME, log_on).await.unwrap_or_else(timed_out);
    }
    Controller { host: host.to_owned(), reached: Ok(reached), skew_ms }
}

/// The difference of the clocks, if the controller took its time in the middle of the exchange.
fn skew_ms(theirs: FileTime, exchange: Duration) -> Option<i64> {
    let ours = SystemTime::now().checked_sub(exchange.checked_div(2)?)?;
    let since_epoch = ours.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let ours = i64::try_from(since_epoch.as_millis()).ok()?;
    // 100 nanoseconds since 1601 (MS-DTYP 2.3.3).
    let theirs = i64::try_from(theirs.0 / 10_000).ok()?.checked_sub(EPOCH_MS)?;
    theirs.checked_sub(ours)
}

/// The milliseconds from 1601 to 1970.
const EPOCH_MS: i64 = 11_644_473_600_000;

/// The keys of a realm; `None` if there are none.
pub fn keys(keytab: &Keytab, realm: &str) -> Option<Keys> {
    let mut principals: BTreeMap<(String, u32), (Vec<i32>, u32)> = BTreeMap::new();
    for entry in keytab.entries().iter().filter(|entry| wire::eq_ignore_case(&entry.realm, realm)) {
        let (types, time) = principals.entry((entry.principal(), entry.version)).or_default();
        if !types.contains(&entry.enctype) {
            types.push(entry.enctype);
        }
        *time = entry.time.max(*time);
    }
    let machine = keytab::choose(keytab.entries().iter().map(|entry| entry.principal()), realm)?;
    let newest = principals.values().map(|(_, time)| *time).max()?;
    let mut principals: Vec<Principal> = principals
        .into_iter()
        .map(|((name, version), (mut types, time))| {
            types.sort_by_key(|number| strength(*number));
            let encryption_types = types.into_iter().map(enctype_name).collect();
            Principal { name, version, encryption_types, time }
        })
        .collect();
    principals.sort_by(|one, other| one.name.cmp(&other.name).then(other.version.cmp(&one.version)));
    Some(Keys { machine, principals, newest })
}

/// The place of an encryption type in lists: AES-256 first, what is unknown last.
fn strength(number: i32) -> usize {
    const ORDER: [i32; 5] = [20, 18, 19, 17, 23];
    ORDER.iter().position(|it| *it == number).unwrap_or(ORDER.len())
}

fn enctype_name(number: i32) -> String {
    Enctype::from_number(number).map_or_else(|| format!("type {number}"), |it| it.name().to_owned())
}

/// Logs on to the file service as a client would: with a ticket that the controller gives the machine for its own
/// service. So the key that the controller uses is compared with those in the keytab.
async fn check_service(
    membership: &Membership,
    keys: &Keys,
    keytab: Keytab,
    hosts: &[String],
    options: KerberosOptions,
) -> Option<Service> {
    let host = hosts.iter().find(|host| {
        let has = |kind: &str, principal: &Principal| {
            wire::eq_ignore_case(&principal.name, &format!("{kind}/{host}@{}", membership.realm))
        };
        keys.principals.iter().any(|it| has("cifs", it) || has("host", it))
    });
    let name = |host: &str| format!("cifs/{host}");
    let Some(host) = host.cloned() else {
        let names: Vec<_> = hosts.iter().map(|host| name(host)).collect();
        let reason = format!("the keytab has no key for {}", names.join(" or "));
        return Some(Service { name: names.first()?.clone(), result: Err(ServiceFault::Refused(reason)) });
    };
    let tickets = Tickets::from_keytab(
        &keys.machine,
        &format!("FILE:{}", membership.keytab.display()),
        "MEMORY:shareward-status",
    );
    let of = host.clone();
    let begin = tokio::task::spawn_blocking(move || tickets.begin(&of));
    let begun = match tokio::time::timeout(CONTROLLER_TIME, begin).await {
        Ok(Ok(begun)) => begun.map_err(|error| error.advice()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(String::from("no key distribution center answers in time")),
    };
    let result = begun.map_err(ServiceFault::NoTicket).and_then(|begun| {
        let kerberos = Some(KerberosService::new(keytab, options, UsedAuthenticators::default()).into());
        let mut acceptor = Acceptor::new(AcceptorConfig { kerberos, ..AcceptorConfig::default() });
        match acceptor.step(&begun.token, &NoAccounts, now()) {
            Step::Done(_) => Ok(()),
            Step::Continue(_) | Step::PassThrough(_) => {
                Err(ServiceFault::Refused(String::from("the logon did not end")))
            }
            Step::Again { reason, .. } | Step::Refused { reason, .. } => {
                Err(ServiceFault::Refused(reason.to_string()))
            }
        }
    });
    Some(Service { name: name(&host), result })
}

struct NoAccounts;

impl Accounts for NoAccounts {
    fn nt_hash(&self, _domain: &str, _user: &str) -> Option<AccountRecord> {
        None
    }
}

fn now() -> FileTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let units = u64::try_from(since_epoch.as_nanos() / 100).unwrap_or_default();
    FileTime(units.saturating_add(EPOCH_MS.unsigned_abs().saturating_mul(10_000)))
}

async fn check_winbind() -> WinbindState {
    let winbind = Winbind::new();
    match winbind.running(WINBIND_TIME).await {
        Err(error) => WinbindState::Absent(error),
        Ok(running) => {
            let controller = winbind.controller(WINBIND_TIME).await;
            WinbindState::Running { running, controller }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_theirs_minus_ours() {
        let later = FileTime(now().0 + 300 * 10_000_000);
        let skew = skew_ms(later, Duration::ZERO).unwrap();
        assert!((299_000..=300_000).contains(&skew), "{skew}");
        assert_eq!(skew_ms(FileTime(u64::MAX), Duration::ZERO).map(|skew| skew > 0), Some(true));
    }
}
