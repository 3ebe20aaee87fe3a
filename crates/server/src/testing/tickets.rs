//! Tests of sessions whose users have come with tickets.

mod pipes;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use auth::kerberos::testing::{Issued, PacSpec, RequestSpec, TicketSpec, acceptors_subkey, keytab};
use auth::kerberos::{Enctype, KerberosTime, Key};
use auth::users::UserDb;
use auth::{KerberosError, KerberosExchange, KerberosStep};
use client::smb::{ClientConnection, ClientTree, ConnectOptions, CreateParameters, LogonCredentials};
use client::{Begun, TicketError, TicketSource};
use parking_lot::Mutex;
use vfs::local::{LocalBackend, LocalOptions};
use wire::FileTime;
use wire::security::Sid;
use zeroize::Zeroizing;

use super::TestServer;
use crate::core::config::{Settings, parse};
use crate::core::server::Server;

const REALM: &str = "CORP.TEST";
const SERVICE: [&str; 2] = ["cifs", "files.corp.test"];
/// The life of tickets in seconds.
const LIFE: i64 = 600;

fn key(version: u32) -> Key {
    Key::new(Enctype::Aes256Sha1, &[version as u8; 32]).unwrap()
}

/// Writes the keys of these versions into the keytab.
fn write_keytab(directory: &Path, versions: &[u32]) {
    let keys: Vec<_> = versions.iter().map(|version| (*version, key(*version))).collect();
    let entries: Vec<_> = keys.iter().map(|(version, key)| (&SERVICE[..], REALM, *version, key)).collect();
    fs::write(directory.join("keytab"), keytab(&entries)).unwrap();
}

/// A server of the domain with the share `data` in this directory.
fn server(directory: &Path) -> TestServer {
    write_keytab(directory, &[1]);
    fs::create_dir(directory.join("data")).unwrap();
    restarted(directory)
}

/// A server as [`server`] has made one here before.
fn restarted(directory: &Path) -> TestServer {
    let data = directory.join("data");
    let mut defaults = Settings::conventional(false, |_| None);
    defaults.name = String::from("FILES");
    defaults.control_socket = None;
    defaults.state_directory = directory.join("state");
    let text = format!(
        "[domain]\nrealm = 'corp.test'\nids = 'rid'\nkeytab = '{}'\n[[share]]\nname = 'data'\npath = '{}'\n",
        directory.join("keytab").display(),
        data.display(),
    );
    let settings = parse(&text, Path::new("/"), defaults).unwrap();
    TestServer::start(settings, UserDb::default(), 1, |share| {
        Ok(Arc::new(LocalBackend::open(&share.path, LocalOptions::default())?))
    })
}

/// A user's tickets for the server.
struct Tickets {
    server: Arc<Server>,
    version: AtomicU32,
    /// The number of requests, which makes them differ.
    made: AtomicU32,
    /// The user has no more tickets after this many.
    most: AtomicU32,
    /// The time of the requests; `None` for that of the server.
    time: Option<FileTime>,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets")
    }
}

impl TicketSource for Tickets {
    fn begin(&self, host: &str) -> Result<Begun, TicketError> {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        if made >= self.most.load(Ordering::Relaxed) {
            return Err(TicketError::Address(host.to_owned()));
        }
        let now = self.time.unwrap_or_else(|| self.server.file_time());
        let version = self.version.load(Ordering::Relaxed);
        let end = KerberosTime(KerberosTime::of(now).0 + LIFE);
        // The SID of the test's machine is no domain's.
        let pac = PacSpec { domain_sid: Sid::of(5, [21, 7, 8, 9]), ..PacSpec::carol() };
        let spec = TicketSpec {
            end,
            pac: Some(pac),
            ..TicketSpec::new(&SERVICE, REALM, key(version), version, now)
        };
        let issued = spec.issue();
        let request = RequestSpec { microseconds: made, ..RequestSpec::new(&issued, now) };
        let token = request.token(&issued);
        Ok(Begun { exchange: Box::new(Exchange { issued, request, key: Mutex::new(None) }), token })
    }

    fn principal(&self) -> String {
        // The exchanges of a principal wait for each other in the whole process, and with a paused clock, time passes for
        // a test that waits for another one.
        format!("carol-{:p}@CORP.TEST", Arc::as_ptr(&self.server))
    }
}

struct Exchange {
    issued: Issued,
    request: RequestSpec,
    key: Mutex<Option<Key>>,
}

impl KerberosExchange for Exchange {
    fn step(&mut self, token: &[u8]) -> Result<KerberosStep, KerberosError> {
        let subkey = acceptors_subkey(token, &self.issued, &self.request).ok_or("a wrong reply")?;
        *self.key.lock() = subkey;
        Ok(KerberosStep::Done(None))
    }

    fn session_key(&mut self) -> Result<Zeroizing<Vec<u8>>, KerberosError> {
        let key = self.key.lock();
        Ok(Zeroizing::new(key.as_ref().ok_or("no key")?.as_bytes().to_vec()))
    }

    fn get_mic(&mut self, message: &[u8]) -> Result<Vec<u8>, KerberosError> {
        let key = self.key.lock();
        Ok(RequestSpec::mic(key.as_ref().ok_or("no key")?, true, message))
    }

    fn verify_mic(&mut self, message: &[u8], mic: &[u8]) -> Result<(), KerberosError> {
        let key = self.key.lock();
        let key = key.as_ref().ok_or("no key")?;
        if RequestSpec::is_acceptors_mic(key, true, message, mic) {
            Ok(())
        } else {
            Err("a wrong MIC".into())
        }
    }
}

fn tickets(server: &TestServer, most: u32) -> Arc<Tickets> {
    tickets_of(server, most, None)
}

fn tickets_of(server: &TestServer, most: u32, time: Option<FileTime>) -> Arc<Tickets> {
    Arc::new(Tickets {
        time,
        server: Arc::clone(&server.server),
        version: AtomicU32::new(1),
        made: AtomicU32::new(0),
        most: AtomicU32::new(most),
    })
}

async fn connect(server: &TestServer, tickets: &Arc<Tickets>) -> Result<ClientTree, client::smb::Error> {
    connect_to(server, tickets, "data").await
}

async fn connect_to(
    server: &TestServer,
    tickets: &Arc<Tickets>,
    share: &str,
) -> Result<ClientTree, client::smb::Error> {
    let (from, to) = tokio::io::split(server.connect());
    let connection = ClientConnection::over(from, to, ConnectOptions::new().unwrap());
    connection.negotiate().await?;
    let tickets: Arc<dyn TicketSource> = Arc::clone(tickets) as _;
    let session = connection.logon(LogonCredentials::with_tickets(tickets, None)).await?;
    session.tree_connect(&format!(r"\\files.corp.test\{share}")).await
}

/// The user of the only session.
fn user(server: &TestServer) -> String {
    let registry = server.server.registry.lock("sessions");
    let (id, _) = registry.sessions_after(None, 1).remove(0);
    registry.session_by_global_id(id).unwrap().identity.user.to_string()
}

async fn pass(seconds: i64) {
    tokio::time::advance(Duration::from_secs(seconds.unsigned_abs())).await;
    // The task of the registry's deadlines runs.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn session_expires_with_its_ticket_and_a_new_one_continues_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path());
    let tickets = tickets(&server, u32::MAX);
    let tree = connect(&server, &tickets).await.unwrap();
    assert_eq!(user(&server), "CORP\\carol");
    let file = tree.create(&CreateParameters::read_write("a")).await.unwrap();
    file.write(0, b"before".to_vec()).await.unwrap();
    pass(LIFE - 5).await;
    file.write(0, b"within".to_vec()).await.unwrap();
    assert_eq!(tickets.made.load(Ordering::Relaxed), 1);
    pass(6).await;
    file.write(0, b"behind".to_vec()).await.unwrap();
    assert_eq!(tickets.made.load(Ordering::Relaxed), 2, "the client has authenticated again");
    assert_eq!((server.counts().sessions, server.counts().opens), (1, 1));
    assert_eq!(fs::read(directory.path().join("data/a")).unwrap(), b"behind");
    server.check().unwrap();
}

/// MS-SMB2 3.3.5.2.9.
#[tokio::test(start_paused = true)]
async fn expired_session_can_only_close_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path());
    let tickets = tickets(&server, 1);
    let tree = connect(&server, &tickets).await.unwrap();
    let file = tree.create(&CreateParameters::read_write("a")).await.unwrap();
    pass(LIFE + 1).await;
    // The client has no other ticket to renew the session with.
    for refused in [
        file.write(0, b"behind".to_vec()).await.err(),
        tree.create(&CreateParameters::read_write("b")).await.err(),
    ] {
        use client::smb::Error;
        assert!(matches!(refused, Some(Error::Ticket(_) | Error::SessionExpired)), "{refused:?}");
    }
    assert!(tickets.made.load(Ordering::Relaxed) > 1, "the server has answered that the session has expired");
    assert_eq!(fs::read(directory.path().join("data/a")).unwrap(), b"");
    assert_eq!(server.counts().opens, 1);
    file.close().await.unwrap();
    assert_eq!(server.counts().opens, 0);
    server.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn new_keys_of_the_keytab_are_taken_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path());
    let tickets = tickets(&server, u32::MAX);
    connect(&server, &tickets).await.unwrap();
    tickets.version.store(2, Ordering::Relaxed);
    assert!(connect(&server, &tickets).await.is_err(), "the server does not have the key yet");
    write_keytab(directory.path(), &[1, 2]);
    connect(&server, &tickets).await.unwrap();
    // Tickets of the older key are valid until they end.
    tickets.version.store(1, Ordering::Relaxed);
    connect(&server, &tickets).await.unwrap();
    // A keytab that is being written, or that is gone, changes nothing.
    for bytes in [b"".as_slice(), &[5, 2, 0, 0, 1]] {
        fs::write(directory.path().join("keytab"), bytes).unwrap();
        connect(&server, &tickets).await.unwrap();
    }
    fs::remove_file(directory.path().join("keytab")).unwrap();
    connect(&server, &tickets).await.unwrap();
}

/// A request that was recorded on the network is of no use after a restart, nor after the keys have moved.
#[tokio::test(start_paused = true)]
async fn request_is_not_accepted_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let first = server(directory.path());
    let time = first.server.file_time();
    connect(&first, &tickets_of(&first, 1, Some(time))).await.unwrap();
    drop(first);
    let second = restarted(directory.path());
    let is_accepted = async |made: u32| {
        let tickets = tickets_of(&second, u32::MAX, Some(time));
        tickets.made.store(made, Ordering::Relaxed);
        let logon = connect(&second, &tickets).await;
        logon.is_ok()
    };
    assert!(!is_accepted(0).await, "a request from before the restart");
    assert!(is_accepted(1).await);
    assert!(!is_accepted(1).await);
    let copy = directory.path().join("other.keytab");
    fs::copy(directory.path().join("keytab"), &copy).unwrap();
    let mut settings = Settings::clone(&second.server.settings());
    settings.domain.as_mut().unwrap().keytab = copy;
    second.server.reload(|| Ok::<_, ()>((settings, UserDb::default()))).unwrap();
    assert!(!is_accepted(1).await, "a request from before the change of the keytab");
    assert!(is_accepted(2).await);
}
