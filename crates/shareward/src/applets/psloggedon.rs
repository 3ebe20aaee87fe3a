//! `psloggedon`: shows who is logged on at the machine itself and through its shares.

use std::io;

use client::Administration;
use control::{Logon, Session, SessionQuery, Timestamp, number};
use server::logons::UTMP;
use zeroize::Zeroizing;

use super::session::is_user_unknown;
use super::{Applet, Family, Help};
use crate::administration::{self, ServerTarget};
use crate::cli;
use crate::cli::plain::{Known, Line, Value, Wrong};
use crate::credentials::Protocol;
use crate::exit::ExitCode;
use crate::failure::{Failure, Numbered};
use crate::open_files;
use crate::output::{Console, clean_line, local_time};
use crate::programs::local_name;

pub(super) static APPLET: Applet = Applet {
    names: &["psloggedon"],
    family: Family::Own,
    summary: "Show who is logged on, like Sysinternals' psloggedon",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
PSLOGGEDON [-l] [-x] [-nobanner] [\\\\computer | username]
           [-server NAME,NAME] [-u USER [-p PASSWORD]] [-credentials FILE]
           [-kerberos | -ntlm]
",
    about: "\
Shows who is logged on at the machine itself, as 'who' does, and through its
shares, as 'net session' does. With a user name, shows where that user is
logged on.

  -l          show only logons at the machine itself
  -x          do not show times
  -nobanner   do not print the program's name and version
  \\\\computer  the machine to ask. In a shell, write //computer or quote it
  -server     several machines to ask, with commas between their names
  -u, -login  the user to log on to those machines as
  -p          the password. Other users of this machine can see it while the
              command runs
  -credentials
              a file with user name and password
  -kerberos   log on there only with a Kerberos ticket
  -ntlm       log on there only with a password, by NTLM

Logons at this machine itself are shown even if no server runs here.
Times are local.

Exit codes: 0 success; with a user name, 0 if the user is logged on and 1 if
not; the number of a system error up to 255, such as 5 (access denied); 2 for
all others.
",
};

const KNOWN: &[Known] = &[
    ("l", Value::None),
    ("x", Value::None),
    ("nobanner", Value::None),
    ("accepteula", Value::None),
    ("server", Value::Needed),
    ("login", Value::Needed),
    ("u", Value::Needed),
    ("p", Value::Needed),
    ("credentials", Value::Needed),
    ("kerberos", Value::None),
    ("ntlm", Value::None),
    ("socket", Value::Needed),
];

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let misused = |text: String| {
        let text = format!("{text}\n\n{}", HELP.syntax.trim_end());
        Failure::Exit { failure: Box::new(Failure::Plain(text)), code: 2 }
    };
    let line = Line::of(words, &['-'], KNOWN).map_err(|wrong| match wrong {
        Wrong::Unknown(word) => misused(format!("Unknown switch {}.", clean_line(&word))),
        Wrong::Lacks(name) => misused(format!("-{name} needs a value.")),
        Wrong::Twice(name) => misused(format!("-{name} is given twice.")),
    })?;
    let operands: Vec<&String> = line.operands.iter().filter(|word| *word != "-").collect();
    let (computer, user) = match operands.as_slice() {
        [] => (None, None),
        [word] if word.starts_with('\\') || word.starts_with("//") => {
            let name = cli::computer(word).map_err(|error| misused(error.explained()))?;
            (Some(name), None)
        }
        [user] => (None, Some((*user).clone())),
        _ => return Err(misused("Too many arguments.".to_owned())),
    };
    if computer.is_some() && line.has("server") {
        return Err(misused("Give either \\\\computer or -server, not both.".to_owned()));
    }
    if line.has("u") && line.has("login") {
        return Err(misused("-u and -login mean the same; give one of them.".to_owned()));
    }
    if computer.is_none() && !line.has("server") && (line.has("u") || line.has("p")) {
        return Err(misused("-u and -p require a computer or -server.".to_owned()));
    }
    if line.has("p") && !line.has("u") && !line.has("login") {
        return Err(misused("-p requires -u.".to_owned()));
    }
    let protocol = match (line.has("kerberos"), line.has("ntlm")) {
        (true, true) => return Err(misused("Give either -kerberos or -ntlm, not both.".to_owned())),
        (true, false) => Protocol::Kerberos,
        (false, true) => Protocol::Ntlm,
        (false, false) => Protocol::Any,
    };
    if !line.has("nobanner") {
        console.error(concat!(
            "\nPsLoggedOn of Shareward ",
            env!("CARGO_PKG_VERSION"),
            " - See who's logged on\n\n"
        ));
    }
    let target = ServerTarget {
        socket: line.value("socket").map(Into::into),
        server: computer.or_else(|| line.value("server").map(str::to_owned)),
        login: line.value("u").or(line.value("login")).map(str::to_owned),
        credentials: line.value("credentials").map(Into::into),
        password: line.value("p").map(|password| Zeroizing::new(password.to_owned())),
        protocol,
        ..ServerTarget::default()
    };
    let local_only = line.has("l");
    let machines = ask(&target, local_only)?;
    match user {
        Some(user) => find(&machines, &user, console),
        None => show(&machines, local_only, !line.has("x"), console),
    }
}

/// The answers of one machine.
struct Machine {
    name: String,
    local: Result<Vec<Logon>, Numbered>,
    shares: Result<Vec<Session>, Numbered>,
}

impl Machine {
    /// True if both queries failed for the same reason, which is then reported once.
    fn is_silent(&self) -> bool {
        match (&self.local, &self.shares) {
            (Err(local), Err(shares)) => local.explained() == shares.explained(),
            _ => false,
        }
    }
}

fn ask(target: &ServerTarget, local_only: bool) -> Result<Vec<Machine>, Failure> {
    let servers = administration::all_of(target)?;
    let here = target.server.is_none();
    administration::run(async {
        let asked = servers.ask(async |server: &dyn Administration| {
            let local = match server.logons().await {
                Err(error) if here && is_no_answer(&error) => own_logons().map_err(|reason| {
                    let hint = format!("cannot read this machine's own logons: {UTMP}: {reason}");
                    Numbered::from(error).hint(hint)
                }),
                answer => answer.map_err(Numbered::from),
            };
            let shares = match local_only {
                true => Ok(Vec::new()),
                false => server.sessions(&SessionQuery::default()).await.map_err(Numbered::from),
            };
            Ok((local, shares))
        });
        let mut machines = Vec::new();
        for (server, answer) in asked.await {
            let (local, shares) = answer?;
            let name = wire::names::upper(&server.name.clone().unwrap_or_else(local_name));
            machines.push(Machine { name, local, shares });
        }
        Ok(machines)
    })
}

/// The logons at this machine, from its own records.
fn own_logons() -> io::Result<Vec<Logon>> {
    Ok(server::logons::current()?.into_iter().map(Logon::from).collect())
}

/// True if the server cannot answer, so that this machine's own records are read instead.
fn is_no_answer(error: &client::Error) -> bool {
    matches!(error.number(), number::SERVER_NOT_STARTED | number::NOT_SUPPORTED | number::ACCESS_DENIED)
}

fn show(machines: &[Machine], local_only: bool, times: bool, console: &mut Console) -> Result<(), Failure> {
    let mut first: Option<ExitCode> = None;
    for (index, machine) in machines.iter().enumerate() {
        if machines.len() > 1 {
            let before = if index > 0 { "\n" } else { "" };
            console.line(&format!("{before}\\\\{}\n", clean_line(&machine.name)));
        }
        match &machine.local {
            Ok(logons) if logons.is_empty() => console.line("No one is logged on locally."),
            Ok(logons) => {
                console.line("Users logged on locally:");
                for logon in logons {
                    let name = name(logon.domain.as_deref(), &logon.user);
                    console.line(&shown(logon.since.filter(|_| times), times, &name));
                }
            }
            Err(error) => {
                console.line("Unable to query local logons");
                report_error(machine, error, &mut first, console);
            }
        }
        if local_only {
            continue;
        }
        console.line("");
        match &machine.shares {
            Ok(sessions) if sessions.is_empty() => console.line("No one is logged on via resource shares."),
            Ok(sessions) => {
                console.line("Users logged on via resource shares:");
                for session in sessions {
                    let name = session_name(session);
                    console.line(&shown(session.connected_at.filter(|_| times), times, &name));
                }
            }
            Err(error) => {
                console.line("Unable to query resource logons");
                if !machine.is_silent() {
                    report_error(machine, error, &mut first, console);
                }
            }
        }
    }
    first.map_or(Ok(()), |code| Err(Failure::Reported(code)))
}

fn report_error(machine: &Machine, error: &Numbered, first: &mut Option<ExitCode>, console: &mut Console) {
    console.error(&format!("{}: {}\n", clean_line(&machine.name), error.explained()));
    first.get_or_insert(error.exit_code());
}

fn shown(since: Option<Timestamp>, times: bool, name: &str) -> String {
    if !times {
        return format!("     {}", clean_line(name));
    }
    let since = since.map_or_else(|| String::from("<unknown time>"), local_time);
    format!("     {since:<27}{}", clean_line(name))
}

fn name(domain: Option<&str>, user: &str) -> String {
    match domain.filter(|domain| !domain.is_empty()) {
        _ if user.is_empty() => "(anonymous)".to_owned(),
        Some(domain) if !user.contains('\\') => format!("{domain}\\{user}"),
        _ => user.to_owned(),
    }
}

/// The user of a session; its computer if another make of server does not report the user.
fn session_name(session: &Session) -> String {
    if is_user_unknown(session) {
        open_files::by("(unknown)", Some(&session.computer))
    } else {
        name(session.domain.as_deref(), &session.user)
    }
}

fn find(machines: &[Machine], wanted: &str, console: &mut Console) -> Result<(), Failure> {
    let mut found = false;
    let mut first: Option<ExitCode> = None;
    for machine in machines {
        let mut print_found = |name: &str, how: &str| {
            found = true;
            console.line(&clean_line(&format!("{name} logged onto {} {how}.", machine.name)));
        };
        for logon in machine.local.iter().flatten() {
            if is_user(wanted, logon.domain.as_deref(), &logon.user) {
                print_found(&name(logon.domain.as_deref(), &logon.user), "locally");
            }
        }
        for session in machine.shares.iter().flatten() {
            if is_user(wanted, session.domain.as_deref(), &session.user) {
                print_found(&name(session.domain.as_deref(), &session.user), "via resource shares");
            }
        }
        let shares = machine.shares.as_ref().err().filter(|_| !machine.is_silent());
        for error in machine.local.as_ref().err().into_iter().chain(shares) {
            report_error(machine, error, &mut first, console);
        }
    }
    match (found, first) {
        (true, _) => Ok(()),
        (false, Some(code)) => Err(Failure::Reported(code)),
        (false, None) => {
            console.line(&clean_line(&format!("{wanted} is not logged on.")));
            Err(Failure::Reported(ExitCode::System(1)))
        }
    }
}

fn is_user(wanted: &str, domain: Option<&str>, user: &str) -> bool {
    let query = SessionQuery { user: Some(wanted.to_owned()), ..SessionQuery::default() };
    let session = Session { user: user.to_owned(), domain: domain.map(str::to_owned), ..Session::default() };
    !user.is_empty() && query.matches(&session)
}
