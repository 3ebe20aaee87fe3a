//! Makes connections.

use std::ffi::CString;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::ToSocketAddrs as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use client::smb::Error;
use mount::{ConnectError, ShareAddress, Via};
use rustix::mount::MountFlags;
use wire::NtStatus;
use zeroize::Zeroizing;

use super::operand::{Local, Operand, conventional};
use super::remembered::{Remembered, RememberedConnection};
use super::serve::{self, Order};
use super::{ALLOW_OTHERS, FOREGROUND, READ_ONLY, USER, VIA};
use crate::administration;
use crate::cli::{self, Words};
use crate::credentials::{self, Credentials, Proof, Protocol, Wanted};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;
use crate::setup;

/// The parameters of a connection.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// `None` for the default directory.
    directory: Option<PathBuf>,
    target: ShareAddress,
    user: Option<String>,
    password: Option<String>,
    credentials: Option<PathBuf>,
    protocol: Protocol,
    via: Option<Via>,
    read_only: bool,
    allow_others: bool,
    foreground: bool,
}

impl Asked {
    /// The parameters on the command line.
    pub(super) fn of(
        words: &Words,
        local: Option<&Local>,
        target: &ShareAddress,
        password: &[Operand],
    ) -> Result<Self, Numbered> {
        let directory = match local {
            Some(Local::Directory(directory)) => Some(directory.clone()),
            Some(Local::Any) | None => None,
        };
        let password = match password {
            [Operand::Password(password)] => Some(password.clone()),
            _ => None,
        };
        let via = match words.value(&VIA).map(str::to_ascii_lowercase).as_deref() {
            None => None,
            Some("cifs") => Some(Via::Cifs),
            Some("fuse") => Some(Via::Fuse),
            Some(_) => return Err(Numbered::new(messages::VALUE_OF_OPTION_NUMBER).about("--via")),
        };
        let foreground = words.has(&FOREGROUND);
        if foreground && via == Some(Via::Cifs) {
            return Err(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER));
        }
        Ok(Self {
            directory,
            target: target.clone(),
            user: words.value(&USER).map(str::to_owned),
            password,
            credentials: words.value(&cli::CREDENTIALS).map(PathBuf::from),
            protocol: cli::protocol(words)?,
            via: if foreground { Some(Via::Fuse) } else { via },
            read_only: words.has(&READ_ONLY),
            allow_others: words.has(&ALLOW_OTHERS),
            foreground,
        })
    }

    fn remembered(kept: &RememberedConnection) -> Self {
        Self {
            directory: Some(kept.directory.clone()),
            target: kept.target.clone(),
            user: kept.user.clone(),
            password: None,
            credentials: kept.credentials.clone(),
            protocol: kept.protocol,
            via: kept.via,
            read_only: kept.read_only,
            allow_others: kept.allow_others,
            foreground: false,
        }
    }
}

/// Makes a connection, and remembers it if the command line or the default says so.
pub(super) fn connection(
    asked: Asked,
    persistent: Option<bool>,
    remembered: &mut Remembered,
    console: &mut Console,
) -> Result<(), Failure> {
    let persistent = persistent.unwrap_or(remembered.by_default());
    if let Some(directory) = &asked.directory
        && remembered.of_directory(directory).is_some_and(|kept| kept.target != asked.target)
    {
        return Err(Numbered::new(ALREADY_ASSIGNED)
            .hint("another remembered connection uses this directory")
            .into());
    }
    let mut keep = None;
    if persistent {
        let credentials = asked.credentials.as_deref().map(std::path::absolute).transpose();
        let credentials = credentials.map_err(|error| {
            Failure::Plain(format!("cannot resolve the path of the credentials file: {error}"))
        })?;
        keep = Some(RememberedConnection {
            directory: match &asked.directory {
                Some(directory) => directory.clone(),
                None => no_directory(&asked.target)?,
            },
            target: asked.target.clone(),
            user: asked.user.clone(),
            credentials,
            protocol: asked.protocol,
            via: asked.via,
            read_only: asked.read_only,
            allow_others: asked.allow_others,
        });
    }
    let made = make(&asked, console, |console, directory| {
        if let Some(keep) = keep {
            remembered.add(keep)?;
        }
        if console.json() {
            let all = super::show::all(remembered)?;
            let made = all.into_iter().find(|connection| connection.local == directory);
            return console.document("connection", &made);
        }
        if asked.directory.is_none() {
            let text = format!("{} is now connected to {}.\n", serve::shown(directory), asked.target);
            console.line(&text);
        }
        console.line(&format!("{}\n", messages::COMPLETED));
        Ok(())
    });
    made.map(|_| ())
}

/// Makes the remembered connections that are missing. Reports each failure; the command fails with the first.
pub(super) fn restore(remembered: &Remembered, console: &mut Console) -> Result<(), Failure> {
    let mounted = super::show::all(remembered)?;
    let missing: Vec<_> = mounted.into_iter().filter(|connection| connection.via.is_none()).collect();
    let mut first = None;
    for kept in remembered.connections().iter() {
        if missing.iter().all(|connection| connection.local != kept.directory) {
            continue;
        }
        let outcome = make(&Asked::remembered(kept), console, |_, _| Ok(()));
        if let Err(failure) = outcome {
            console.error(&format!(
                "{} could not be connected to {}.\n",
                serve::shown(&kept.directory),
                kept.target
            ));
            first.get_or_insert(failure);
        }
    }
    match first {
        Some(failure) => Err(failure),
        None => {
            console.line(&format!("{}\n", messages::COMPLETED));
            Ok(())
        }
    }
}

fn make(
    asked: &Asked,
    console: &mut Console,
    made: impl FnOnce(&mut Console, &Path) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let directory = directory(asked)?;
    let wanted = Wanted {
        user: asked.user.as_deref(),
        password: asked.password.as_deref(),
        file: asked.credentials.as_deref(),
        protocol: asked.protocol,
    };
    let credentials = match credentials::ticket(&wanted, &asked.target.host, &mut false, console)? {
        Some(credentials) => credentials,
        None => credentials::obtain(&wanted, console)?,
    };
    // The server checks the credentials here, whatever mounts the share, so that its refusals have their numbers.
    administration::run(async {
        let tree = serve::connect(&asked.target, &credentials).await.map_err(connect_failure)?;
        // The connection is closed anyway; a failed logoff has no consequence.
        let _ = tree.session().logoff().await;
        Ok(())
    })?;
    if by_kernel(asked, &credentials, &directory)? {
        return made(console, &directory);
    }
    let order = Order {
        read_only: asked.read_only,
        allow_others: asked.allow_others,
        ..Order::new(asked.target.clone(), directory.clone(), &credentials)
    };
    if asked.foreground {
        let mut told = Ok(());
        serve::here(&order, || {
            told = made(console, &directory).and_then(|()| console.finish());
        })?;
        return told;
    }
    by_fuse(&order)?;
    made(console, &directory)
}

/// The directory, after checking that it exists and is not connected.
fn directory(asked: &Asked) -> Result<PathBuf, Failure> {
    let directory = match &asked.directory {
        Some(directory) => directory.clone(),
        None => {
            let directory = no_directory(&asked.target)?;
            let made = std::fs::create_dir_all(&directory);
            made.map_err(|error| Failure::Plain(format!("cannot create {}: {error}", directory.display())))?;
            directory
        }
    };
    let mounted =
        mount::mounted().map_err(|error| Failure::Plain(format!("cannot read the mount table: {error}")))?;
    if mounted.iter().any(|mounted| mounted.directory == directory) {
        return Err(Numbered::new(ALREADY_ASSIGNED).into());
    }
    match std::fs::metadata(&directory) {
        Ok(metadata) if metadata.is_dir() => Ok(directory),
        Ok(_) => Err(Numbered::new(INVALID_DIRECTORY).into()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(Numbered::new(ACCESS_DENIED).into())
        }
        Err(_) => {
            Err(Numbered::new(PATH_NOT_FOUND).hint("the directory does not exist; create it first").into())
        }
    }
}

/// The default directory of a share.
fn no_directory(target: &ShareAddress) -> Result<PathBuf, Failure> {
    conventional(target).ok_or_else(|| {
        Numbered::new(PATH_NOT_FOUND).hint("XDG_RUNTIME_DIR is not set; name a directory to connect").into()
    })
}

/// Mounts through the kernel's client if that is selected or available. Returns false if it is not.
fn by_kernel(asked: &Asked, credentials: &Credentials, directory: &Path) -> Result<bool, Failure> {
    let chosen = asked.via == Some(Via::Cifs);
    if asked.via == Some(Via::Fuse) || (!chosen && !setup::is_root()) {
        return Ok(false);
    }
    let identity = match (identity_option(credentials), chosen) {
        (Ok(identity), _) => identity,
        (Err(_), false) => return Ok(false),
        (Err(hint), true) => return Err(Numbered::new(NOT_SUPPORTED).hint(hint).into()),
    };
    match mount_cifs(asked, &identity, directory) {
        Ok(()) => Ok(true),
        // The kernel does not have this file system; FUSE is used instead.
        Err(rustix::io::Errno::NODEV) if !chosen => Ok(false),
        Err(rustix::io::Errno::PERM) if !chosen => Ok(false),
        // The helper found no ticket, perhaps because the cache is of a kind that only this user's processes have.
        Err(rustix::io::Errno::NOKEY) if !chosen => Ok(false),
        Err(rustix::io::Errno::NODEV) => {
            Err(Numbered::new(NOT_SUPPORTED).hint("this kernel does not support cifs; use --via fuse").into())
        }
        Err(error) => Err(mount_failure(directory, &error.into())),
    }
}

/// The options of the kernel's client for the user, with signing as in mounts through FUSE; an error is the reason why
/// that client cannot log on so.
fn identity_option(credentials: &Credentials) -> Result<Zeroizing<String>, &'static str> {
    // A comma in a value is written twice.
    let value = |text: &str| text.replace(',', ",,");
    let password = match &credentials.proof {
        Proof::Ticket => {
            // The kernel asks it for the ticket, by the request-key program of keyutils.
            if !["/usr/sbin/cifs.upcall", "/sbin/cifs.upcall"].iter().any(|helper| Path::new(helper).exists())
            {
                return Err(
                    "tickets for the kernel's client need cifs.upcall: install cifs-utils and keyutils",
                );
            }
            let uid = rustix::process::getuid().as_raw();
            let user = value(&credentials.user);
            return Ok(Zeroizing::new(format!("sec=krb5i,cruid={uid},username={user}")));
        }
        Proof::TicketByPassword { ntlm: false, .. } => {
            return Err("the kernel's client takes tickets from a cache only; get one with 'kinit'");
        }
        Proof::TicketByPassword { password, .. } | Proof::Password(password) => password,
    };
    let mut data =
        Zeroizing::new(format!("sign,username={},password={}", value(&credentials.user), value(password)));
    if !credentials.domain.is_empty() {
        data.push_str(&format!(",domain={}", value(&credentials.domain)));
    }
    Ok(data)
}

/// Calls mount(2) as mount.cifs(8) does. The password is in the call only, not on a command line.
fn mount_cifs(asked: &Asked, identity: &str, directory: &Path) -> Result<(), rustix::io::Errno> {
    let target = &asked.target;
    let address = (target.host.as_str(), target.port).to_socket_addrs();
    let address = address.ok().and_then(|mut found| found.next()).ok_or(rustix::io::Errno::HOSTUNREACH)?;
    let mut data = Zeroizing::new(format!("ip={},port={},{identity}", address.ip(), target.port));
    if !asked.allow_others {
        data.push_str(",file_mode=0700,dir_mode=0700");
    }
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    if asked.read_only {
        flags |= MountFlags::RDONLY;
    }
    let data = CString::new(data.as_bytes()).map_err(|_| rustix::io::Errno::INVAL)?;
    let source = ShareAddress { port: ShareAddress::PORT, ..target.clone() }.source();
    rustix::mount::mount(source, directory, "cifs", flags, Some(data.as_c_str()))
}

/// Starts the process that serves the connection, and waits until the share is mounted.
fn by_fuse(order: &Order) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Plain(format!("cannot start the connection's process: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let mut child = Command::new(program)
        .args(["use", "--serve-mount-from-stdin", "--json"])
        .env_remove(credentials::PASSWORD_VARIABLE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        let text = Zeroizing::new(serde_json::to_vec(order).map_err(|error| failed(error.into()))?);
        // A process that does not read reports the reason below.
        let _ = stdin.write_all(&text);
    }
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).take(ANSWER_BYTES_MAX).read_line(&mut line).map_err(failed)?;
    }
    if line.trim_end() == serve::READY {
        return Ok(());
    }
    let mut text = String::new();
    if let Some(stderr) = child.stderr.take() {
        stderr.take(ANSWER_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    }
    // It reports the reason on standard error.
    let _ = child.wait();
    Err(reported_failure(&text))
}

/// The failure that the process reported.
fn reported_failure(text: &str) -> Failure {
    #[derive(serde::Deserialize)]
    struct Document {
        error: control::Error,
    }
    match serde_json::from_str::<Document>(text) {
        Ok(Document { error }) => {
            let numbered = Numbered::new(error.code);
            match error.hint {
                Some(hint) => numbered.hint(hint).into(),
                None => numbered.into(),
            }
        }
        Err(_) => Failure::Plain(text.trim_end().to_owned()),
    }
}

/// The error of NET for a connection that cannot be made.
pub(super) fn connect_failure(error: ConnectError) -> Failure {
    let (number, hint) = match &error {
        ConnectError::UnknownHost(_) | ConnectError::Unreachable(..) => {
            (BAD_NETPATH, Some(error.to_string()))
        }
        ConnectError::Logon(error) => number_of(error, LOGON),
        ConnectError::Share(error) => number_of(error, SHARE),
        ConnectError::NotDisk => (BAD_DEV_TYPE, Some(String::from("only disk shares can be connected"))),
    };
    let numbered = Numbered::new(number);
    match hint {
        Some(hint) => numbered.hint(hint).into(),
        None => numbered.into(),
    }
}

fn number_of(error: &Error, table: &[(NtStatus, u32)]) -> (u32, Option<String>) {
    match error {
        Error::MadeGuest => return (GUEST_LOGON_BLOCKED, Some(error.to_string())),
        Error::Ticket(error) => return (error.number(), Some(error.advice())),
        Error::NoKerberos => return (NOT_SUPPORTED, Some(error.to_string())),
        _ => {}
    }
    let known = error.status().and_then(|status| table.iter().find(|(known, _)| *known == status));
    match known {
        Some((_, number)) => (*number, matches!(error, Error::TicketRefused(..)).then(|| error.to_string())),
        None => (UNEXPECTED, Some(error.to_string())),
    }
}

/// The error of NET for a mount that the system refuses.
pub(super) fn mount_failure(directory: &Path, error: &io::Error) -> Failure {
    let (number, hint) = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NOENT | rustix::io::Errno::NODEV) => {
            (NOT_SUPPORTED, format!("this system has no usable {FUSE_DEVICE} ({error})"))
        }
        Some(rustix::io::Errno::BUSY) => (ALREADY_ASSIGNED, error.to_string()),
        Some(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {
            let opens = std::fs::File::options().read(true).write(true).open(FUSE_DEVICE);
            let what = match opens {
                Err(refusal) => format!("open {FUSE_DEVICE} ({refusal})"),
                Ok(_) => format!("mount on {} ({error})", directory.display()),
            };
            (ACCESS_DENIED, format!("you are not permitted to {what}"))
        }
        Some(
            rustix::io::Errno::HOSTUNREACH | rustix::io::Errno::CONNREFUSED | rustix::io::Errno::HOSTDOWN,
        ) => (BAD_NETPATH, error.to_string()),
        _ => (UNEXPECTED, format!("{} cannot be mounted: {error}", directory.display())),
    };
    Numbered::new(number).hint(hint).into()
}

/// Every user may open it if udev set its mode, but not in every container.
const FUSE_DEVICE: &str = "/dev/fuse";

const LOGON: &[(NtStatus, u32)] = &[
    (NtStatus::LOGON_FAILURE, 1326),
    (NtStatus::WRONG_PASSWORD, 1326),
    (NtStatus::NO_SUCH_USER, 1326),
    (NtStatus::ACCESS_DENIED, ACCESS_DENIED),
    (NtStatus::INVALID_LOGON_HOURS, 1328),
    (NtStatus::INVALID_WORKSTATION, 1329),
    (NtStatus::PASSWORD_EXPIRED, 1330),
    (NtStatus::ACCOUNT_DISABLED, 1331),
    (NtStatus::LOGON_TYPE_NOT_GRANTED, 1385),
    (NtStatus::PASSWORD_MUST_CHANGE, 1907),
    (NtStatus::ACCOUNT_LOCKED_OUT, 1909),
    (NtStatus::REQUEST_NOT_ACCEPTED, 71),
    (NtStatus::TOO_MANY_SESSIONS, 69),
];

const SHARE: &[(NtStatus, u32)] = &[
    (NtStatus::BAD_NETWORK_NAME, 67),
    (NtStatus::ACCESS_DENIED, ACCESS_DENIED),
    (NtStatus::NETWORK_ACCESS_DENIED, 65),
    (NtStatus::BAD_DEVICE_TYPE, BAD_DEV_TYPE),
    (NtStatus::REQUEST_NOT_ACCEPTED, 71),
];

const PATH_NOT_FOUND: u32 = 3;
const ACCESS_DENIED: u32 = 5;
const NOT_SUPPORTED: u32 = 50;
const BAD_NETPATH: u32 = 53;
const UNEXPECTED: u32 = 59;
const BAD_DEV_TYPE: u32 = 66;
const ALREADY_ASSIGNED: u32 = 85;
const INVALID_DIRECTORY: u32 = 267;
/// ERROR_SMB_GUEST_LOGON_BLOCKED.
const GUEST_LOGON_BLOCKED: u32 = 1272;

/// The most bytes that are read from the process: `ready`, or the document of an error.
const ANSWER_BYTES_MAX: u64 = 16 << 10;
