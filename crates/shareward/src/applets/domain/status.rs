//! `shareward domain status`.

use auth::kerberos::KerberosOptions;
use control::Timestamp;
use domain::ids::IdMap;
use domain::problems::{Expected, Problem, problems};
use domain::status::{Report, ServiceFault, WinbindState, check};
use serde::Serialize;
use server::config::{DomainSettings, IdRule, Settings};

use super::{member, membership};
use crate::administration;
use crate::applets::check::host_names;
use crate::cli::Words;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::output::{Console, clean_line, labelled, local_time};

/// The document of `--json`.
#[derive(Serialize)]
struct Status {
    realm: String,
    name: String,
    sid: Option<String>,
    controllers: Vec<Controller>,
    keytab: Keytab,
    /// True if a controller accepts the machine's key.
    secure_channel: bool,
    file_service: Option<FileService>,
    winbind: Winbind,
    ids: Ids,
    problems: Vec<Shown>,
}

#[derive(Serialize)]
struct Controller {
    host: String,
    reached: bool,
    milliseconds: Option<u64>,
    /// The controller's clock minus this machine's.
    clock_skew_ms: Option<i64>,
}

#[derive(Serialize)]
struct Keytab {
    path: String,
    machine: Option<String>,
    password_changed: Option<Timestamp>,
    principals: Vec<Principal>,
}

#[derive(Serialize)]
struct Principal {
    name: String,
    version: u32,
    encryption_types: Vec<String>,
}

#[derive(Serialize)]
struct FileService {
    name: String,
    /// `None` if the domain gives no ticket to try.
    accepts_tickets: Option<bool>,
}

#[derive(Serialize)]
struct Winbind {
    running: bool,
    domain: Option<String>,
    controller: Option<String>,
}

#[derive(Serialize)]
struct Ids {
    rule: &'static str,
    ranges: Vec<Range>,
    /// The ranges that are in use already.
    in_use: usize,
}

#[derive(Serialize)]
struct Range {
    domain: Option<String>,
    first: u32,
    last: u32,
}

#[derive(Serialize)]
struct Shown {
    severity: &'static str,
    problem: String,
    hint: String,
}

/// Checks the membership with the domain itself, and describes what is wrong.
pub(in crate::applets) fn examine(
    settings: &Settings,
    domain: &DomainSettings,
) -> Result<(Report, Vec<Problem>), Failure> {
    let options = KerberosOptions { rc4: domain.rc4, clock_skew: domain.clock_skew };
    let hosts = host_names(settings, &domain.realm);
    let of = membership(domain);
    let report = administration::run(async { Ok(check(&of, &hosts, options).await) })?;
    let expected = Expected {
        name: &domain.name,
        realm: &domain.realm,
        clock_skew: domain.clock_skew,
        rc4: domain.rc4,
        ntlm: domain.ntlm,
    };
    let problems = problems(&report, &expected);
    Ok((report, problems))
}

pub(super) fn run(words: &Words, console: &mut Console) -> Result<(), Failure> {
    let (_, settings, domain) = member(words)?;
    let (report, mut problems) = examine(&settings, &domain)?;
    let in_use = match IdMap::read(&settings.state_directory) {
        Ok(stored) => stored.map_or(0, |stored| stored.ranges.len()),
        Err(error) => {
            problems.push(Problem {
                is_error: true,
                what: error.to_string(),
                hint: String::from("without the map of Unix ids, users of the domain cannot log on"),
            });
            0
        }
    };
    let status = status(&domain, &report, problems, in_use);
    let is_wrong = status.problems.iter().any(|it| it.severity == "error");
    if console.json() {
        console.document("domain", &status)?;
    } else {
        console.write(&text(&status));
    }
    if is_wrong { Err(Failure::Reported(ExitCode::of_number(1))) } else { Ok(()) }
}

fn status(domain: &DomainSettings, report: &Report, problems: Vec<Problem>, in_use: usize) -> Status {
    let keys = report.keys.as_ref().ok();
    let controllers = report.controllers.as_deref().unwrap_or_default().iter().map(|it| Controller {
        host: it.host.clone(),
        reached: it.reached.is_ok(),
        milliseconds: it.reached.as_ref().ok().and_then(|time| u64::try_from(time.as_millis()).ok()),
        clock_skew_ms: it.skew_ms,
    });
    let principals = keys.into_iter().flat_map(|keys| &keys.principals).map(|it| Principal {
        name: it.name.clone(),
        version: it.version,
        encryption_types: it.encryption_types.clone(),
    });
    let winbind = match &report.winbind {
        WinbindState::Absent(_) => Winbind { running: false, domain: None, controller: None },
        WinbindState::Running { running, controller } => Winbind {
            running: true,
            domain: Some(running.domain.clone()),
            controller: controller.as_ref().ok().cloned(),
        },
    };
    let ranges = domain.id_ranges.iter().map(|range| Range {
        domain: Some(range.domain.clone()).filter(|name| !name.is_empty()),
        first: range.first,
        last: range.last,
    });
    Status {
        realm: domain.realm.clone(),
        name: domain.name.clone(),
        sid: report.channel.as_ref().ok().map(|it| it.sid.to_string()),
        controllers: controllers.collect(),
        keytab: Keytab {
            path: domain.keytab.display().to_string(),
            machine: keys.map(|keys| keys.machine.clone()),
            password_changed: keys.map(|keys| Timestamp(i64::from(keys.newest).saturating_mul(1000))),
            principals: principals.collect(),
        },
        secure_channel: report.channel.is_ok(),
        file_service: report.service.as_ref().map(|service| FileService {
            name: service.name.clone(),
            accepts_tickets: match service.result {
                Ok(()) => Some(true),
                Err(ServiceFault::Refused(_)) => Some(false),
                Err(ServiceFault::NoTicket(_)) => None,
            },
        }),
        winbind,
        ids: Ids {
            rule: match domain.ids {
                IdRule::Auto => "auto",
                IdRule::NameService => "nss",
                IdRule::Rid => "rid",
                IdRule::Autorid => "autorid",
            },
            ranges: ranges.collect(),
            in_use,
        },
        problems: problems
            .into_iter()
            .map(|it| Shown {
                severity: if it.is_error { "error" } else { "warning" },
                problem: it.what,
                hint: it.hint,
            })
            .collect(),
    }
}

const WIDTH: usize = 20;

fn text(status: &Status) -> String {
    let line = |label: &str, value: &str| labelled(WIDTH, label, value);
    let mut text = line("Domain", &format!("{} ({})", status.name, status.realm));
    if let Some(sid) = &status.sid {
        text += &line("SID", sid);
    }
    for controller in &status.controllers {
        text += &line("Controller", &controller_text(controller));
    }
    let channel = match (&status.keytab.machine, status.secure_channel) {
        (Some(machine), true) => format!("works: {machine} can log on"),
        _ => String::from("does not work"),
    };
    text += &line("Secure channel", &channel);
    if let Some(service) = &status.file_service {
        let outcome = match service.accepts_tickets {
            Some(true) => "are accepted",
            Some(false) => "are refused",
            None => "cannot be had",
        };
        text += &line("File service", &format!("tickets for {} {outcome}", service.name));
    }
    if let Some(changed) = status.keytab.password_changed {
        text += &line("Password changed", &local_time(changed));
    }
    text += &line("Keytab", &status.keytab.path);
    for principal in &status.keytab.principals {
        let types = principal.encryption_types.join(", ");
        text += &format!(
            "  {} (version {}: {})\n",
            clean_line(&principal.name),
            principal.version,
            clean_line(&types)
        );
    }
    let winbind = match (&status.winbind.domain, &status.winbind.controller) {
        (None, _) => String::from("not running"),
        (Some(domain), Some(controller)) => format!("running, member of {domain}, uses {controller}"),
        (Some(domain), None) => format!("running, member of {domain}, without a controller"),
    };
    text += &line("winbind", &winbind);
    let mut ids = status.ids.rule.to_owned();
    for range in &status.ids.ranges {
        ids += &match &range.domain {
            Some(domain) => format!(", {domain} {}-{}", range.first, range.last),
            None => format!(", {}-{}", range.first, range.last),
        };
    }
    text += &line(
        "Unix ids",
        &format!("{ids} ({} in use)", crate::open_files::number(status.ids.in_use, "range", "ranges")),
    );
    for problem in &status.problems {
        text += &format!(
            "\n{}: {}\nhint: {}\n",
            problem.severity,
            clean_line(&problem.problem),
            clean_line(&problem.hint)
        );
    }
    if status.problems.is_empty() {
        text += "\nNo problems were found.\n";
    }
    text
}

fn controller_text(controller: &Controller) -> String {
    let Some(milliseconds) = controller.milliseconds else {
        return format!("{}, not reached", controller.host);
    };
    let clock = match controller.clock_skew_ms {
        None => String::new(),
        Some(skew) => {
            let direction = if skew > 0 { "ahead" } else { "behind" };
            let (seconds, rest) = (skew.unsigned_abs() / 1000, skew.unsigned_abs() % 1000 / 100);
            match (seconds, rest) {
                (0, 0) => String::from(", the same time"),
                _ => format!(", clock {seconds}.{rest} seconds {direction}"),
            }
        }
    };
    format!("{}, reached in {milliseconds} ms{clock}", controller.host)
}
