//! `shareward doctor`: the machine's obstacles to a server.

mod access;
mod disk;
mod firewall;
mod limits;
mod ports;
mod unit;

use std::path::{Path, PathBuf};
use std::process::Command;

use auth::UserDb;
use serde::Serialize;
use server::config::Settings;

use super::{Applet, Family, Help, check, domain};
use crate::cli::{self, JSON};
use crate::exit::ExitCode;
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::open_files::number;
use crate::output::{Console, clean_line};
use crate::setup;

pub(super) static APPLET: Applet = Applet {
    names: &["doctor"],
    family: Family::Own,
    summary: "Look for obstacles on this machine and say what to change",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD DOCTOR
[--config FILE] [--json]
",
    about: "\
Looks for obstacles to the server on this machine. It changes nothing.

  configuration  everything that 'shareward check' reports
  ports          the port is free, or this server has it
  firewall       rules of nftables or iptables that drop the port
  access         the permissions along each share's path, for each user who may
                 connect, tried as this user
  disk           extended attributes, ACLs, reflinks, case and space of the
                 shares' file systems
  unit           the systemd unit does not hide the shares
  limits         file descriptors, watches for changes
  clock          the clock is synchronized
  domain         with [domain]: controllers, clocks and keys

For each finding it prints the reason why it matters and the command that mends
it. Root sees the most; without root, only the caller's own access is tried.

  --config  The configuration file, instead of the one that 'shareward serve'
            reads.

Exit codes: 0 no errors were found, but maybe warnings; 1 at least one error; 2
the command line is wrong.
",
};

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// Something does not work.
    Error,
    /// Something may not work, or works less well.
    Warning,
    /// Nothing has to be done.
    Ok,
}

/// One result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    area: &'static str,
    severity: Severity,
    /// The state.
    what: String,
    /// The reason why it matters.
    why: Option<String>,
    /// The command that mends it.
    fix: Option<String>,
}

impl Finding {
    fn ok(area: &'static str, what: String) -> Self {
        Self { area, severity: Severity::Ok, what, why: None, fix: None }
    }

    fn error(area: &'static str, what: String, why: &str, fix: impl Into<Option<String>>) -> Self {
        Self { area, severity: Severity::Error, what, why: Some(why.to_owned()), fix: fix.into() }
    }

    fn warning(area: &'static str, what: String, why: &str, fix: impl Into<Option<String>>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(area, what, why, fix) }
    }
}

/// The document of `--json`.
#[derive(Serialize)]
struct Report {
    config: String,
    findings: Vec<Finding>,
}

/// The server that is examined.
struct Examined {
    settings: Settings,
    users: UserDb,
    /// True if these are the settings of the systemd unit.
    is_service: bool,
}

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let words = cli::parse_paths(words, &[setup::CONFIG, JSON]).map_err(usage)?;
    if words.has(&JSON) {
        console.set_json();
    }
    if !words.operands.is_empty() {
        return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)));
    }
    let path = setup::config_path(words.value(&setup::CONFIG));
    let mut findings = Vec::new();
    let settings = configuration(&path, &mut findings);
    let users = accounts(&settings, &mut findings);
    let is_service = path == Path::new(SERVICE_CONFIG);
    let examined = Examined { settings, users, is_service };
    problems(&examined, &mut findings);
    let proc = Path::new("/proc");
    findings.extend(ports::examine(&examined.settings, proc));
    findings.extend(firewall::examine(&examined.settings));
    findings.extend(access::examine(&examined));
    findings.extend(disk::examine(&examined.settings));
    if examined.is_service {
        findings.extend(unit::examine(&examined.settings, Path::new("/")));
    }
    findings.extend(limits::examine(proc));
    findings.extend(clock());
    findings.extend(of_domain(&examined.settings));
    let report = Report { config: path.display().to_string(), findings };
    if console.json() {
        console.document("doctor", &report)?;
    } else {
        console.write(&text(&report));
    }
    let has_errors = report.findings.iter().any(|it| it.severity == Severity::Error);
    if has_errors { Err(Failure::Reported(ExitCode::of_number(1))) } else { Ok(()) }
}

/// The settings to examine; the defaults if the configuration cannot be used.
fn configuration(path: &Path, findings: &mut Vec<Finding>) -> Settings {
    if !path.exists() {
        findings.push(Finding::error(
            CONFIGURATION,
            format!("there is no {}", path.display()),
            "without a configuration, the server shares nothing",
            String::from("shareward init"),
        ));
        return setup::defaults();
    }
    match setup::read(path) {
        Ok(settings) => settings,
        Err(failure) => {
            let text = match failure {
                Failure::Plain(text) => text,
                other => format!("{other:?}"),
            };
            findings.push(Finding::error(
                CONFIGURATION,
                text,
                "the server does not start with this configuration; the rest is examined with the defaults",
                format!("edit {}, then: shareward check", path.display()),
            ));
            setup::defaults()
        }
    }
}

fn accounts(settings: &Settings, findings: &mut Vec<Finding>) -> UserDb {
    match setup::users(&settings.users_file) {
        Ok((users, warning)) => {
            if let Some(warning) = warning {
                let fix = format!("chmod 600 {}", shell_word(&settings.users_file.display().to_string()));
                let why = "the hashes in this file are as good as passwords";
                findings.push(Finding::warning(CONFIGURATION, warning, why, fix));
            }
            users
        }
        Err(Failure::Plain(text)) => {
            let why = "without its users file the server does not start";
            findings.push(Finding::error(CONFIGURATION, text, why, None));
            UserDb::default()
        }
        Err(_) => UserDb::default(),
    }
}

/// The problems that `shareward check` reports.
fn problems(examined: &Examined, findings: &mut Vec<Finding>) {
    let Examined { settings, users, .. } = examined;
    let found = check::problems(settings, users);
    let is_fine = findings.is_empty() && found.wrong.is_empty();
    for problem in found.wrong {
        let why = if problem.fix.is_some() {
            "a session acts as the Unix user of the same name, so this user cannot log on"
        } else {
            "this part of the configuration has no effect until it is mended"
        };
        findings.push(Finding::error(CONFIGURATION, problem.what, why, problem.fix));
    }
    for warning in found.warnings {
        findings.push(Finding::warning(CONFIGURATION, warning, "it may not be what is wanted", None));
    }
    let can_anybody = users.users().any(|user| user.is_enabled()) || settings.domain.is_some();
    if !can_anybody && !settings.shares.iter().any(|share| share.guest) {
        findings.push(Finding::warning(
            CONFIGURATION,
            format!("{} has no enabled users", settings.users_file.display()),
            "nobody can log on",
            String::from("shareward user add NAME"),
        ));
    }
    if settings.shares.is_empty() {
        findings.push(Finding::warning(
            CONFIGURATION,
            String::from("there are no shares"),
            "clients have nothing to connect to",
            String::from("net share NAME=DIRECTORY /grant:Everyone,CHANGE"),
        ));
    }
    if is_fine {
        let shares = number(settings.shares.len(), "share", "shares");
        let users = number(users.users().count(), "user", "users");
        findings.push(Finding::ok(CONFIGURATION, format!("{shares}, {users}")));
    }
}

/// The state of the clock, as systemd knows it.
fn clock() -> Option<Finding> {
    let told = output("timedatectl", &["show", "--property=NTPSynchronized", "--value"])?;
    let fix = String::from("timedatectl set-ntp true");
    let why =
        "Kerberos refuses tickets if clocks differ by more than five minutes, and files get wrong times";
    match told.trim() {
        "yes" => Some(Finding::ok(CLOCK, String::from("synchronized"))),
        "no" => Some(Finding::warning(CLOCK, String::from("the clock is not synchronized"), why, fix)),
        _ => None,
    }
}

/// The findings of `shareward domain status`.
fn of_domain(settings: &Settings) -> Vec<Finding> {
    let Some(member) = &settings.domain else { return Vec::new() };
    let problems = match domain::status::examine(settings, member) {
        Ok((_, problems)) => problems,
        Err(_) => {
            let what = String::from("the domain cannot be examined");
            return vec![Finding::error(DOMAIN, what, "its users cannot log on", None)];
        }
    };
    if problems.is_empty() {
        return vec![Finding::ok(DOMAIN, format!("member of {}", member.realm))];
    }
    let finding = |it: ::domain::problems::Problem| Finding {
        area: DOMAIN,
        severity: if it.is_error { Severity::Error } else { Severity::Warning },
        what: it.what,
        why: None,
        fix: Some(it.hint),
    };
    problems.into_iter().map(finding).collect()
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Ok => "ok",
        };
        for (at, line) in finding.what.lines().enumerate() {
            let line = clean_line(line);
            let start = if at == 0 { format!("{severity}: {}: ", finding.area) } else { String::from("  ") };
            text += &format!("{start}{line}\n");
        }
        for (label, value) in [("why", &finding.why), ("fix", &finding.fix)] {
            if let Some(value) = value {
                text += &format!("  {label}: {}\n", clean_line(value));
            }
        }
    }
    let count = |severity| report.findings.iter().filter(|it| it.severity == severity).count();
    let errors = number(count(Severity::Error), "error", "errors");
    let warnings = number(count(Severity::Warning), "warning", "warnings");
    text + &format!("\n{}: {errors}, {warnings}\n", report.config)
}

/// The output of a program; `None` if it does not exist or fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(find(program)?).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The path of a program of the system.
fn find(program: &str) -> Option<PathBuf> {
    let directories = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    directories.iter().map(|it| Path::new(it).join(program)).find(|it| it.is_file())
}

/// A word for a shell, with quotes if it needs them.
fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The configuration of the systemd unit.
const SERVICE_CONFIG: &str = "/etc/shareward/shareward.toml";

const CONFIGURATION: &str = "configuration";
const CLOCK: &str = "clock";
const DOMAIN: &str = "domain";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell_are_quoted_if_needed() {
        for (word, quoted) in [
            ("/srv/data", "/srv/data"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(word), quoted);
        }
    }

    #[test]
    fn findings_have_reason_and_command() {
        let findings = vec![
            Finding::error("ports", String::from("port 445 is taken\nby smbd"), "only one can", None),
            Finding::warning("disk", String::from("full"), "no room", String::from("rm x")),
            Finding::ok("clock", String::from("synchronized")),
        ];
        let report = Report { config: String::from("/etc/x"), findings };
        assert_eq!(
            text(&report),
            "error: ports: port 445 is taken\n  by smbd\n  why: only one can\nwarning: disk: full\n  why: no room\n  \
             fix: rm x\nok: clock: synchronized\n\n/etc/x: 1 error, 1 warning\n"
        );
    }
}
