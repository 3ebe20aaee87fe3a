//! `shareward check`: checks a configuration.

mod domain;

pub(super) use domain::host_names;

use auth::UserDb;
use server::config::{GUEST_ACCOUNT, Grantee, NoticeTarget, Settings, check_state};

use self::domain::Meant;
use super::{Applet, Family, Help};
use crate::cli;
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::open_files::number;
use crate::output::{Console, clean_line, local_time};
use crate::setup;

pub(super) static APPLET: Applet = Applet {
    names: &["check"],
    family: Family::Own,
    summary: "Check a configuration file",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD CHECK
[FILE]
",
    about: "\
Checks a configuration file and the users file that it names. Reports every
error with its line and column, and everything that would not work: shared
directories, users, groups and Unix accounts that do not exist; with [domain],
a keytab without a usable key of this host, and ranges of ids with local users;
and which restrictions of the setting 'sandbox' this machine does not have.
Users and groups of the domain are not looked up. A missing directory does not
keep the server from starting; the share becomes usable once the directory
exists.

  FILE  the configuration file; by default, the one that 'shareward serve'
        reads

Exit codes: 0 no problem was found; 1 at least one was; 2 the command line is
wrong.
",
};

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let words = cli::parse_paths(words, &[setup::CONFIG]).map_err(usage)?;
    let named = match (words.operands.as_slice(), words.value(&setup::CONFIG)) {
        ([], named) => named,
        ([file], None) => Some(file.as_str()),
        _ => return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
    };
    let path = setup::config_path(named);
    let settings = setup::read(&path)?;
    let (users, warning) = setup::users(&settings.users_file)?;
    let found = problems(&settings, &users);
    let lacks =
        server::try_sandbox(&settings).shortcomings().into_iter().map(|lack| format!("sandbox: {lack}"));
    for warning in warning.into_iter().chain(found.warnings).chain(lacks) {
        console.error(&format!("warning: {warning}\n"));
    }
    if settings.history.enabled
        && let Err(error @ (journal::Error::Newer { .. } | journal::Error::Damaged { .. })) =
            journal::Reader::open(&settings.state_directory)
    {
        console.error(&format!("warning: history: {}\n", clean_line(&error.to_string())));
    }
    if !found.wrong.is_empty() {
        let lines: Vec<String> = found.wrong.iter().map(Problem::line).collect();
        return Err(Failure::Plain(lines.join("\n")));
    }
    console.line(&format!(
        "{}: no problems found ({}, {})",
        path.display(),
        number(settings.shares.len(), "share", "shares"),
        number(users.users().count(), "user", "users")
    ));
    Ok(())
}

/// Something in a configuration that will not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The description, which names the setting.
    pub(super) what: String,
    /// The command that mends it, if there is one.
    pub(super) fix: Option<String>,
    /// The change that can be made instead.
    instead: Option<&'static str>,
}

impl Problem {
    fn new(what: String) -> Self {
        Self { what, fix: None, instead: None }
    }

    /// The problem on one line, with its remedy.
    fn line(&self) -> String {
        let fix = self.fix.as_ref().map(|fix| format!("; create one with '{fix}'")).unwrap_or_default();
        let instead = self.instead.map(|instead| format!(", or {instead}")).unwrap_or_default();
        format!("{}{fix}{instead}", self.what)
    }
}

/// The problems of a configuration.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The problems that certainly keep something from working.
    pub(super) wrong: Vec<Problem>,
    /// The things that may not be meant so.
    pub(super) warnings: Vec<String>,
}

/// Checks settings and accounts, as far as that is possible without the network.
pub(super) fn problems(settings: &Settings, users: &UserDb) -> Found {
    let mut wrong = Vec::new();
    // The directories of others depend on the user.
    for share in settings.shares.iter().filter(|share| !share.has_variables()) {
        match std::fs::metadata(&share.path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => wrong.push(format!("share {}: {} is not a directory", share.name, share.path.display())),
            Err(error) => wrong.push(format!("share {}: {}: {error}", share.name, share.path.display())),
        }
    }
    wrong.extend(wrong_names(settings, users));
    wrong.extend(forced_identities(settings));
    wrong.extend(console_files(settings));
    wrong.extend(notices(settings));
    let mut wrong: Vec<Problem> = wrong.into_iter().map(Problem::new).collect();
    wrong.extend(without_unix_account(settings, users));
    wrong.extend(check_state(&settings.state_directory).err().map(Problem::new));
    let of_domain = domain::check(settings, users);
    wrong.extend(of_domain.wrong.into_iter().map(Problem::new));
    let mut warnings = of_domain.warnings;
    warnings.extend(unknown_interfaces(settings));
    Found { wrong, warnings }
}

/// The network interfaces of `leave_out` that the machine does not have: the server would announce itself where it should be
/// silent, if the name is misspelled.
fn unknown_interfaces(settings: &Settings) -> Vec<String> {
    let names = settings.discovery.leave_out.iter();
    let unknown = names.filter(|name| nix::net::if_::if_nametoindex(name.as_str()).is_err());
    unknown
        .map(|name| format!("discovery: leave_out {name}: there is no such network interface now"))
        .collect()
}

/// The problems with the files of `[console]` and `[metrics]`.
fn console_files(settings: &Settings) -> Vec<String> {
    let mut wrong = Vec::new();
    if !settings.console.listen.is_empty() {
        match server::Certificate::given(settings) {
            Some(Ok(certificate)) if certificate.has_expired(control::Timestamp::now().0 / 1000) => {
                let end = local_time(control::Timestamp(certificate.expires.saturating_mul(1000)));
                wrong.push(format!("console: the certificate expired on {end}"));
            }
            Some(Err(error)) => wrong.push(format!("console: {error}")),
            Some(Ok(_)) | None => {}
        }
    }
    let token = settings.metrics.token_file.as_deref().map(server::read_token);
    wrong.extend(token.and_then(Result::err).map(|error| format!("metrics: {error}")));
    wrong
}

/// The users, groups and shares that the configuration names but that do not exist.
fn wrong_names(settings: &Settings, users: &UserDb) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut user = |what: &str, name: &str| {
        let Meant::Local(name) = domain::user(settings, users, name) else { return };
        if users.user(name).is_none() {
            let hint = match name.strip_prefix(['@', '+', '&']) {
                Some(group) => {
                    format!("; for a Unix group: grants = [{{ group = {group:?}, right = \"change\" }}]")
                }
                None => String::new(),
            };
            wrong.push(format!("{what} {name} is not in {}{hint}", settings.users_file.display()));
        }
    };
    for name in &settings.administrators {
        user("administrator", name);
    }
    for role in &settings.roles {
        for name in &role.users {
            user("role: user", name);
        }
    }
    for share in &settings.shares {
        for name in &share.users {
            user(&format!("share {}: user", share.name), name);
        }
        for grant in share.grants.iter().filter(|grant| !grant.is_for_everyone()) {
            if let Grantee::User(name) = &grant.who {
                user(&format!("share {}: grant: user", share.name), name);
            }
        }
    }
    let mut group = |what: &str, name: &str| {
        let Meant::Local(name) = domain::group(settings, name) else { return };
        if !matches!(nix::unistd::Group::from_name(name), Ok(Some(_))) {
            wrong.push(format!("{what} {name}: there is no such Unix group"));
        }
    };
    for role in &settings.roles {
        for name in &role.groups {
            group("role: group", name);
        }
    }
    for share in &settings.shares {
        for grant in &share.grants {
            if let Grantee::Group(name) = &grant.who {
                group(&format!("share {}: grant: group", share.name), name);
            }
        }
    }
    for name in settings.roles.iter().flat_map(|role| &role.shares) {
        if !settings.shares.iter().any(|share| wire::eq_ignore_case(&share.name, name)) {
            wrong.push(format!("role: share {name}: there is no such share"));
        }
    }
    wrong
}

/// The Unix users and groups that shares impose on their users but that do not exist.
fn forced_identities(settings: &Settings) -> Vec<String> {
    let mut wrong = Vec::new();
    for share in &settings.shares {
        if let Some(name) = &share.files.force_user {
            match nix::unistd::User::from_name(name) {
                Ok(Some(user)) if user.uid.is_root() && name != "root" => {
                    wrong.push(format!("share {}: force_user {name} has the uid of root", share.name));
                }
                Ok(Some(_)) => {}
                _ => {
                    wrong.push(format!("share {}: force_user {name}: there is no such Unix user", share.name))
                }
            }
        }
        if let Some(group) = &share.files.force_group
            && !matches!(nix::unistd::Group::from_name(&group.name), Ok(Some(_)))
        {
            let name = &group.name;
            wrong.push(format!("share {}: force_group {name}: there is no such Unix group", share.name));
        }
    }
    wrong
}

/// The programs, keys and certificates of notices that cannot be used.
fn notices(settings: &Settings) -> Vec<String> {
    let mut wrong = Vec::new();
    for notice in &settings.notices {
        match &notice.target {
            NoticeTarget::Command(command) => {
                let program = command.first().map_or("", String::as_str);
                let is_program = rustix::fs::access(program, rustix::fs::Access::EXEC_OK).is_ok()
                    && std::fs::metadata(program).is_ok_and(|it| it.is_file());
                if !is_program {
                    wrong.push(format!("notice: command {program} cannot be executed"));
                }
            }
            NoticeTarget::Webhook { url, secret_file, ca_file } => {
                let needed = [Some(secret_file), Some(ca_file).filter(|_| url.scheme_str() == Some("https"))];
                for file in needed.into_iter().flatten() {
                    if let Err(error) = std::fs::File::open(file) {
                        wrong.push(format!("notice: {}: {error}", file.display()));
                    }
                }
            }
        }
        for name in &notice.shares {
            if !settings.shares.iter().any(|share| wire::eq_ignore_case(&share.name, name)) {
                wrong.push(format!("notice: share {name}: there is no such share"));
            }
        }
    }
    wrong
}

/// The users who may log on but have no Unix account to act as.
fn without_unix_account(settings: &Settings, users: &UserDb) -> Vec<Problem> {
    if !settings.unix_identities {
        return Vec::new();
    }
    let names = users.users().filter(|user| user.is_enabled()).map(|user| user.name.as_str());
    let mut wrong: Vec<_> = names
        .filter(|name| !setup::has_unix_account(name))
        .map(|name| Problem {
            what: format!("user {name} has no Unix account"),
            fix: Some(format!("useradd {name}")),
            instead: Some("set unix_identities = false"),
        })
        .collect();
    if settings.shares.iter().any(|share| share.guest) && !setup::has_unix_account(GUEST_ACCOUNT) {
        wrong.push(Problem {
            fix: Some(format!("useradd --system {GUEST_ACCOUNT}")),
            ..Problem::new(format!("guests act as the Unix user {GUEST_ACCOUNT}, which does not exist"))
        });
    }
    wrong
}
