//! `net start`, `net stop`, `net pause`, `net continue`: the Server service.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use client::Administration;
use control::{
    DrainPhase, DrainScope, EndDrain, NewDrain, Service, ServiceAction, ServiceState, SessionQuery, number,
};

use super::drain::{self, Asked, DRAIN, STRICT};
use super::{Applet, Family, Help, command_line};
use crate::administration;
use crate::cli::{self, Options, Switch, Words};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, clean_line};
use crate::prompt::{self, DefaultAnswer};
use crate::setup;

pub(super) static START: Applet = Applet {
    names: &["start"],
    family: Family::Net,
    summary: "Start the Server service, or show whether it runs",
    help: &START_HELP,
    run: start,
};

pub(super) static STOP: Applet = Applet {
    names: &["stop"],
    family: Family::Net,
    summary: "Stop the Server service",
    help: &STOP_HELP,
    run: |words, console| act(words, console, &STOPPING),
};

pub(super) static PAUSE: Applet = Applet {
    names: &["pause"],
    family: Family::Net,
    summary: "Make the Server service refuse new sessions",
    help: &PAUSE_HELP,
    run: |words, console| act(words, console, &PAUSING),
};

pub(super) static CONTINUE: Applet = Applet {
    names: &["continue"],
    family: Family::Net,
    summary: "Let a paused Server service accept new sessions again",
    help: &CONTINUE_HELP,
    run: |words, console| act(words, console, &CONTINUING),
};

static START_HELP: Help = Help {
    syntax: "\
NET START
[SERVER] [--config FILE] [--json] [--socket PATH]
",
    about: "\
Without arguments, shows which services run. With SERVER, starts the Server
service: through systemd if it manages this machine and has the unit
'shareward.service', otherwise as a background process that runs
'shareward serve' with the configuration file.

  SERVER        the service; LANMANSERVER and SHAREWARD mean the same
  --config      the configuration file; systemd is not used then

Exit codes: 0 success; the number of a system error up to 255, such as 5
(access denied); 2 for all others, such as 2182 (it is already running) or 2185
(no such service). The message contains the number.
",
};

static STOP_HELP: Help = Help {
    syntax: "\
NET STOP
SERVER [/DRAIN[:DEADLINE] [/STRICT]] [/YES | /NO] [--json]
[--socket PATH | --server NAME [--login USER] [--credentials FILE]
[--kerberos | --ntlm]]
",
    about: "\
Ends all sessions, closes their open files and stops the Server service. Asks
for confirmation if files are open.

  /DRAIN   wait until users have closed their files: new opens are refused,
           except those of users who have a file open. At DEADLINE (10m, 2h,
           18:00) the rest is closed; clients can write their changes first.
           The wait goes on in the server if this command is ended;
           'net continue server' cancels it
  /STRICT  refuse the opens of these users as well

Exit codes: 0 success; the number of a system error up to 255, such as 5
(access denied); 2 for all others, such as 3521 (it is not running). The
message contains the number.
",
};

static PAUSE_HELP: Help = Help {
    syntax: "\
NET PAUSE
SERVER [/DRAIN[:DEADLINE] [/STRICT]] [--json]
[--socket PATH | --server NAME [--login USER] [--credentials FILE]
[--kerberos | --ntlm]]
",
    about: "\
Makes the Server service refuse new sessions. Existing sessions continue. 'net
continue server' or a restart ends the pause.

  /DRAIN   refuse new opens instead of new sessions, and show who has files
           open; see 'net help stop'. The server does not stop
  /STRICT  refuse also the opens of users who have a file open

Exit codes: 0 success; the number of a system error up to 255, such as 5
(access denied); 2 for all others, such as 3521 (it is not running). The
message contains the number.
",
};

static CONTINUE_HELP: Help = Help {
    syntax: "\
NET CONTINUE
SERVER [--json]
[--socket PATH | --server NAME [--login USER] [--credentials FILE]
[--kerberos | --ntlm]]
",
    about: "\
Makes a paused or drained Server service accept new sessions and opens again.

Exit codes: 0 success; the number of a system error up to 255, such as 5
(access denied); 2 for all others, such as 3521 (it is not running). The
message contains the number.
",
};

struct Act {
    action: ServiceAction,
    help: &'static Help,
    switches: &'static [Switch],
    /// The message at the beginning of an action that takes time.
    begun: Option<&'static str>,
    done: &'static str,
}

static STOPPING: Act = Act {
    action: ServiceAction::Stop,
    help: &STOP_HELP,
    switches: &[cli::YES, cli::NO, DRAIN, STRICT],
    begun: Some("The Server service is stopping."),
    done: "The Server service was stopped successfully.",
};

static PAUSING: Act = Act {
    action: ServiceAction::Pause,
    help: &PAUSE_HELP,
    switches: &[cli::YES, cli::NO, DRAIN, STRICT],
    begun: None,
    done: "The Server service was paused successfully.",
};

static CONTINUING: Act = Act {
    action: ServiceAction::Continue,
    help: &CONTINUE_HELP,
    switches: &[cli::YES, cli::NO],
    begun: None,
    done: "The Server service was continued successfully.",
};

fn act(words: &[String], console: &mut Console, act: &'static Act) -> Result<(), Failure> {
    let (words, options) = command_line(cli::parse(words, &cli::asking(act.switches)), act.help, console)?;
    named(&words, act.help)?.ok_or_else(|| Failure::Usage {
        error: Numbered::new(messages::ARGUMENT_COUNT_NUMBER),
        help: act.help,
    })?;
    let drain = drain::asked(&words).map_err(|error| Failure::Usage { error, help: act.help })?;
    let server = administration::of(&options.target)?;
    if let Some(Asked::Begin(new)) = drain {
        // The state of a service that does not run is reported as such.
        administration::run(async { Ok(server.service().await) })?.map_err(not_running)?;
        let new = NewDrain { then_stop: act.action == ServiceAction::Stop, ..new };
        if !new.then_stop {
            return drain::carry_out(&*server, &Asked::Begin(new), &EndDrain::default(), console);
        }
        return stop_when_drained(&*server, &new, act, console);
    }
    if act.action == ServiceAction::Stop {
        // The user is not asked about an action that is impossible.
        administration::run(async { Ok(server.service().await) })?.map_err(not_running)?;
        warn(&*server, &options, console)?;
    }
    if let Some(begun) = act.begun {
        console.talk(&format!("{begun}\n"));
    }
    let service = administration::run(async { Ok(server.control_service(act.action).await) })?;
    let service = service.map_err(not_running)?;
    if act.action == ServiceAction::Stop {
        await_end(&*server)?;
    }
    if options.json {
        return console.document("service", &service);
    }
    console.line(&format!("{}\n", act.done));
    Ok(())
}

/// Drains the server, shows who is left until nobody is, and waits for the end.
fn stop_when_drained(
    server: &dyn Administration,
    new: &NewDrain,
    act: &Act,
    console: &mut Console,
) -> Result<(), Failure> {
    let begun = administration::run(async { Ok(server.begin_drain(new).await?) })?;
    console.talk(&format!("{}.\n", drain::sentence(&begun)));
    loop {
        let drains = administration::run(async { Ok(server.drains().await) })?;
        // A server that does not answer is about to end.
        let Ok(drains) = drains else { break };
        let Some(drain) = drains.iter().find(|it| it.scope == DrainScope::Server) else {
            console.progress("");
            return Err(Failure::Plain(String::from("the drain was ended; the server goes on")));
        };
        if drain.phase == DrainPhase::Done {
            break;
        }
        console.progress(&format!("{} ...", drain::sentence(drain)));
        std::thread::sleep(DRAIN_POLL);
    }
    console.progress("");
    await_end(server)?;
    if console.json() {
        return console.document("service", &Service { state: ServiceState::Stopping });
    }
    console.line(&format!("{}\n", act.done));
    Ok(())
}

/// A service that does not run has another number in NET if the command is about the service itself.
fn not_running(error: client::Error) -> Failure {
    if error.number() == number::SERVER_NOT_STARTED {
        let about = Numbered::new(SERVICE_NOT_STARTED_NUMBER).about("Server");
        return match error.hint() {
            Some(hint) => about.hint(hint).into(),
            None => about.into(),
        };
    }
    error.into()
}

fn warn(server: &dyn Administration, options: &Options, console: &mut Console) -> Result<(), Failure> {
    let query = SessionQuery::default();
    let sessions = administration::run(async { Ok(server.sessions(&query).await) })?.map_err(not_running)?;
    let mut computers: Vec<String> = Vec::new();
    for session in sessions.iter().filter(|session| session.opens != Some(0)) {
        let name = clean_line(&control::address::display(&session.computer));
        if !computers.contains(&name) {
            computers.push(name);
        }
    }
    if computers.is_empty() {
        return Ok(());
    }
    let names: String = computers.iter().map(|name| format!("{:20}{name}\n", "")).collect();
    let text = format!("{}\n\n{names}\n", messages::SESSIONS_WITH_FILES);
    prompt::confirm(console, &text, DefaultAnswer::No, options.preset)
}

/// Waits until the server no longer answers; only then has it stopped.
fn await_end(server: &dyn Administration) -> Result<(), Failure> {
    let deadline = Instant::now() + STOP_TIME_MAX;
    administration::run(async {
        loop {
            match server.service().await {
                Err(_gone) => return Ok(()),
                Ok(_) if Instant::now() >= deadline => {
                    return Err(Numbered::new(number::SERVICE_CTL_TIMEOUT).into());
                }
                Ok(_) => tokio::time::sleep(POLL).await,
            }
        }
    })
}

fn start(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let sorted = cli::parse(words, &[setup::CONFIG, cli::JSON, cli::SOCKET]);
    let (words, options) = command_line(sorted, &START_HELP, console)?;
    let server = administration::of(&options.target)?;
    let running = administration::run(async { Ok(server.service().await) })?;
    if named(&words, &START_HELP)?.is_none() {
        return show(running, &options, console);
    }
    match running {
        Ok(_) => return Err(Numbered::new(number::SERVICE_INSTALLED).into()),
        Err(error) if error.number() == number::SERVER_NOT_STARTED => {}
        // The server answers, even if it refuses access.
        Err(error) if error.number() == number::ACCESS_DENIED => return Err(error.into()),
        Err(_) => return Err(Numbered::new(number::SERVICE_INSTALLED).into()),
    }
    console.talk("The Server service is starting.\n");
    let systemd = words.value(&setup::CONFIG).is_none()
        && options.target.socket.is_none()
        && Path::new("/run/systemd/system").is_dir()
        && UNIT_DIRECTORIES.iter().any(|directory| Path::new(directory).join(UNIT).is_file());
    let service = if systemd {
        by_systemd()?;
        await_start(&*server, None)?
    } else {
        let (child, log) = in_background(&words)?;
        await_start(&*server, Some((child, &log)))?
    };
    if options.json {
        return console.document("service", &service);
    }
    console.line("The Server service was started successfully.\n");
    Ok(())
}

fn show(
    running: Result<Service, client::Error>,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let state = match running {
        Ok(service) => Some(service.state),
        Err(error) if error.number() == number::SERVER_NOT_STARTED => None,
        Err(error) => return Err(error.into()),
    };
    if options.json {
        return console
            .document("services", &state.map(|state| Service { state }).into_iter().collect::<Vec<_>>());
    }
    let Some(state) = state else {
        console.line(&format!("{}\n", messages::NO_ENTRIES));
        return Ok(());
    };
    let note = match state {
        ServiceState::Running => "",
        ServiceState::Paused => " (paused)",
        ServiceState::Stopping => " (stopping)",
    };
    console.line(&format!("These services are started:\n\n   Server{note}\n"));
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

fn by_systemd() -> Result<(), Failure> {
    let output = Command::new("systemctl").args(["start", UNIT]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| Failure::Plain(format!("cannot run systemctl: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Numbered::new(number::SERVICE_CTL_TIMEOUT).hint(said.trim().to_owned()).into())
}

/// Starts `shareward serve` in a separate session, with its output in a log file in the state directory.
fn in_background(words: &Words) -> Result<(std::process::Child, std::path::PathBuf), Failure> {
    let plain = |what: &str, error: std::io::Error| Failure::Plain(format!("cannot {what}: {error}"));
    let config = setup::config_path(words.value(&setup::CONFIG));
    let settings = setup::read(&config)?;
    std::fs::create_dir_all(&settings.state_directory)
        .map_err(|error| plain("create the state directory", error))?;
    let log = settings.state_directory.join("server.log");
    let file = std::fs::File::options().create(true).append(true).open(&log);
    let file = file.map_err(|error| plain(&format!("write {}", log.display()), error))?;
    let also = file.try_clone().map_err(|error| plain("duplicate the log file's descriptor", error))?;
    let program = std::env::current_exe().map_err(|error| plain("find this program", error))?;
    let mut command = Command::new("setsid");
    command.arg(program).arg("serve").arg("--config").arg(&config);
    if let Some(socket) = words.value(&cli::SOCKET) {
        command.env("SHAREWARD_SOCKET", socket);
    }
    let child = command.stdin(Stdio::null()).stdout(file).stderr(also).spawn();
    Ok((child.map_err(|error| plain("start the server", error))?, log))
}

fn await_start(
    server: &dyn Administration,
    mut child: Option<(std::process::Child, &Path)>,
) -> Result<Service, Failure> {
    let deadline = Instant::now() + START_TIME_MAX;
    administration::run(async {
        loop {
            if let Ok(service) = server.service().await {
                return Ok(service);
            }
            if let Some((child, log)) = &mut child
                && let Ok(Some(status)) = child.try_wait()
            {
                return Err(Numbered::new(SERVICE_ERROR_NUMBER)
                    .hint(format!("the server ended with {status}; see {}", log.display()))
                    .into());
            }
            if Instant::now() >= deadline {
                return Err(Numbered::new(number::SERVICE_CTL_TIMEOUT).into());
            }
            tokio::time::sleep(POLL).await;
        }
    })
}

/// `Some` if the operand names the service, `None` without an operand.
fn named(words: &Words, help: &'static Help) -> Result<Option<()>, Failure> {
    match words.operands.as_slice() {
        [] => Ok(None),
        [name] if ["server", "lanmanserver", "shareward"].contains(&name.to_ascii_lowercase().as_str()) => {
            Ok(Some(()))
        }
        [_] => Err(Numbered::new(number::BAD_SERVICE_NAME).into()),
        _ => Err(Failure::Usage { error: Numbered::new(messages::ARGUMENT_COUNT_NUMBER), help }),
    }
}

const UNIT: &str = "shareward.service";
const UNIT_DIRECTORIES: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// The time that a server may take to answer; it reads its files and binds its addresses.
const START_TIME_MAX: Duration = Duration::from_secs(15);

/// The time that a server may take to close everything, as in the unit (TimeoutStopSec).
const STOP_TIME_MAX: Duration = Duration::from_secs(30);

/// The interval of looks at a drain.
const DRAIN_POLL: Duration = Duration::from_millis(500);

const POLL: Duration = Duration::from_millis(50);

const SERVICE_NOT_STARTED_NUMBER: u32 = 3521;
const SERVICE_ERROR_NUMBER: u32 = 3534;
