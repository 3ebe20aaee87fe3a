//! `shareward serve`: the Server service.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use auth::{Random, SystemRandom, UserDb};
use server::config::{SMB_PORT, Settings, ShareSettings, check_share_name, listen_addresses};
use server::{Service, Sockets, StartError};
use tokio::signal::unix::{SignalKind, signal};

use super::{Applet, Family, Help};
use crate::cli::{self, Switch, Takes, Words};
use crate::failure::Failure;
use crate::output::Console;
use crate::setup;

pub(super) static APPLET: Applet =
    Applet { names: &["serve"], family: Family::Own, summary: "Run the server", help: &HELP, run };

static HELP: Help = Help {
    syntax: "\
SHAREWARD SERVE
[DIRECTORY] [--config FILE] [--listen ADDRESS[:PORT],...] [--socket PATH]
",
    about: "\
Serves the shares of a configuration file, or one directory.

  DIRECTORY     Share only this directory, for one user whose name and password
                are generated and printed once. No configuration is read or
                written: changes made by 'shareward net share' and other
                commands are lost when the server stops.
  --config      The configuration file. Default: /etc/shareward/shareward.toml
                for root, ~/.config/shareward/shareward.toml for others.
  --listen      Addresses to listen on, instead of those in the configuration:
                127.0.0.1, [::1]:4450, :4450, ...
  --socket      Path of the control socket, instead of the one in the
                configuration.

SIGTERM and SIGINT stop the server: it flushes files and disconnects clients.
SIGHUP makes it read the configuration and the users again.
The environment variable SHAREWARD_LOG sets the log level (info, debug, ...).
",
};

const LISTEN: Switch = Switch::own("LISTEN", Takes::Value);

/// The settings and users to start the server with.
struct Plan {
    settings: Settings,
    users: UserDb,
    /// The file to read again on SIGHUP; `None` for a single directory.
    config: Option<PathBuf>,
    /// The generated user and password.
    made_user: Option<(String, String)>,
}

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let words = cli::parse_paths(words, &[setup::CONFIG, LISTEN, cli::SOCKET]).map_err(usage)?;
    let plan = match words.operands.as_slice() {
        [] => configured(&words, console)?,
        [directory] => single_directory(Path::new(directory), &words)?,
        _ => return Err(usage(crate::failure::Numbered::new(crate::messages::ARGUMENT_COUNT_NUMBER))),
    };
    raise_descriptor_limit();
    restrict_umask();
    start_log();
    let sockets = Sockets::open(&plan.settings)?;
    // The restrictions hold for the threads that are started from here on.
    let sandbox = server::enter_sandbox(&plan.settings);
    let runtime =
        server::Runtime::start().map_err(|error| Failure::Plain(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(serve(plan, sockets, sandbox, &words, console));
    runtime.shut_down();
    outcome
}

/// Makes sure that others never have more rights to a new file than its mode gives them, not even for the moment before
/// the file gets that mode. An ordinary user's own umask stays.
fn restrict_umask() {
    if rustix::process::geteuid().is_root() {
        let before = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
        rustix::process::umask(before | rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    }
}

async fn serve(
    plan: Plan,
    sockets: Sockets,
    sandbox: sandbox::Report,
    words: &Words,
    console: &mut Console,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Plain(format!("cannot wait for signals: {error}"));
    // Before the first client connects, so that a signal to stop is never handled by the default action.
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    let shares: Vec<_> = plan.settings.shares.iter().map(|share| share.name.clone()).collect();
    let service = Service::start_on(sockets, plan.settings, plan.users, sandbox)?;
    for address in service.addresses() {
        console.error(&timed(&format!("listening on {address}")));
    }
    let certificate = service.console_certificate();
    let scheme = if certificate.is_some() { "https" } else { "http" };
    for address in service.console_addresses() {
        console.error(&timed(&format!("web console on {scheme}://{address}/")));
    }
    if let Some(certificate) = certificate {
        console.error(&timed(&format!("web console's certificate: SHA-256 {}", certificate.fingerprint)));
    }
    for address in service.metrics_addresses() {
        console.error(&timed(&format!("metrics on http://{address}/metrics")));
    }
    console.error(&timed(&format!("shares: {}", shares.join(", "))));
    if let Some((user, password)) = plan.made_user {
        console.line(&format!("user      {user}"));
        console.line(&format!("password  {password}"));
    }
    console.finish()?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = service.stop_asked() => break,
            _ = hang_up.recv() => match &plan.config {
                Some(path) => reload(&service, path, words, console),
                None => console.error(&timed("SIGHUP ignored: there is no configuration file")),
            },
        }
    }
    console.error(&timed("stopping"));
    service.stop().await;
    Ok(())
}

fn reload(service: &Service, path: &Path, words: &Words, console: &mut Console) {
    let mut warning = None;
    let read = || {
        let settings = with_switches(setup::read(path)?, words)?;
        if let Some(reason) = service.out_of_reach(&settings) {
            return Err(Failure::Plain(reason));
        }
        let (users, of_users) = setup::users(&settings.users_file)?;
        warning = of_users;
        Ok((settings, users))
    };
    match service.reload(read) {
        Ok(()) => {
            if let Some(warning) = warning {
                console.error(&timed(&format!("warning: {warning}")));
            }
            console.error(&timed("configuration read again"));
        }
        Err(Failure::Plain(text)) => console
            .error(&timed(&format!("configuration not reloaded, the previous one stays in force: {text}"))),
        Err(other) => console.error(&timed(&format!(
            "configuration not reloaded, the previous one stays in force: {other:?}"
        ))),
    }
}

/// A line that starts with the time, like those of the log.
fn timed(text: &str) -> String {
    format!("{} {text}\n", control::Timestamp::now())
}

fn configured(words: &Words, console: &mut Console) -> Result<Plan, Failure> {
    let path = setup::config_path(words.value(&setup::CONFIG));
    let settings = with_switches(setup::read(&path)?, words)?;
    let (users, warning) = setup::users(&settings.users_file)?;
    if let Some(warning) = warning {
        console.error(&format!("warning: {warning}\n"));
    }
    if users.users().next().is_none() {
        console.error(&format!(
            "warning: {} has no users; add one with `shareward user add NAME`\n",
            settings.users_file.display()
        ));
    }
    Ok(Plan { settings, users, config: Some(path), made_user: None })
}

fn single_directory(directory: &Path, words: &Words) -> Result<Plan, Failure> {
    let path = std::fs::canonicalize(directory)
        .map_err(|error| Failure::Plain(format!("cannot share {}: {error}", directory.display())))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = if check_share_name(&name).is_ok() { name } else { String::from("data") };
    let user = login_name();
    let password = made_password()?;
    let mut users = UserDb::default();
    let uid = rustix::process::getuid().as_raw();
    users
        .add(&user, uid, &password, auth::users::now())
        .map_err(|error| Failure::Plain(format!("cannot create the user {user}: {error}")))?;
    let mut settings = with_switches(setup::defaults(), words)?;
    settings.administrators = vec![user.clone()];
    settings.shares = vec![ShareSettings::new(name, path)];
    Ok(Plan { settings, users, config: None, made_user: Some((user, password)) })
}

fn with_switches(mut settings: Settings, words: &Words) -> Result<Settings, Failure> {
    if let Some(list) = words.value(&LISTEN) {
        settings.listen.clear();
        for text in list.split(',') {
            settings.listen.extend(listen_addresses(text).map_err(Failure::Plain)?);
        }
    }
    if let Some(socket) = words.value(&cli::SOCKET) {
        settings.control_socket = Some(PathBuf::from(socket));
    }
    Ok(settings)
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let hint = match &error {
            StartError::Listen { address, error } if error.kind() == std::io::ErrorKind::PermissionDenied => {
                format!(
                    "\n\nhint: port {} requires root or CAP_NET_BIND_SERVICE; for another port, use --listen :4450",
                    address.port()
                )
            }
            StartError::Listen { address, error } if error.kind() == std::io::ErrorKind::AddrInUse => {
                let who = if address.port() == SMB_PORT { " (possibly Samba)" } else { "" };
                format!("\n\nhint: another server{who} uses this address; choose another one with --listen")
            }
            _ => String::new(),
        };
        Self::Plain(format!("{error}{hint}"))
    }
}

/// The user who runs this, or who called sudo.
fn login_name() -> String {
    let by_id = || nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map(|user| user.name);
    std::env::var("SUDO_USER").ok().or_else(by_id).unwrap_or_else(|| String::from("owner"))
}

/// A password of 80 random bits, in letters and digits that look different from each other.
pub(super) fn made_password() -> Result<String, Failure> {
    let mut random = [0; 16];
    SystemRandom
        .fill(&mut random)
        .map_err(|_| Failure::Plain(String::from("cannot get random bytes from the system")))?;
    Ok(random.iter().map(|byte| PASSWORD_LETTERS[usize::from(byte % 32)] as char).collect())
}

/// Raises the limit of file descriptors to its maximum; each open file takes one.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If the system refuses, the current limit stays, and the registry derives its limits from it.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn start_log() {
    use tracing_subscriber::EnvFilter;
    let filter =
        EnvFilter::try_from_env("SHAREWARD_LOG").unwrap_or_else(|_| EnvFilter::new("warn,audit=info"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
}

const PASSWORD_LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
