//! `shareward check`: whether a configuration is good.

use auth::UserDb;
use server::config::{GUEST_ACCOUNT, Grantee, Settings, check_state};

use super::{Applet, Family, Help};
use crate::cli;
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;
use crate::setup;

pub(super) static APPLET: Applet = Applet {
    names: &["check"],
    family: Family::Own,
    summary: "checks a configuration file",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD CHECK
[FILE]
",
    about: "\
Reads a configuration file and the users file it names, and says all that is
wrong: in the file with line and column, and what would not work, as shared
directories, users, groups and Unix accounts that are not there. A server runs
without a directory that is not there: its share can be used once it is.
Without FILE, it is the conventional one that `shareward serve` reads.

Exit codes: 0 good; 1 something is wrong.
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
    let mut wrong = Vec::new();
    for share in &settings.shares {
        match std::fs::metadata(&share.path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => wrong.push(format!("share {}: {} is no directory", share.name, share.path.display())),
            Err(error) => wrong.push(format!("share {}: {}: {error}", share.name, share.path.display())),
        }
    }
    wrong.extend(wrong_names(&settings, &users));
    wrong.extend(without_unix_account(&settings, &users));
    wrong.extend(check_state(&settings.state_directory).err());
    if let Some(warning) = warning {
        console.error(&format!("warning: {warning}\n"));
    }
    if !wrong.is_empty() {
        return Err(Failure::Plain(wrong.join("\n")));
    }
    console.line(&format!(
        "{}: good ({} shares, {} users)",
        path.display(),
        settings.shares.len(),
        users.users().count()
    ));
    Ok(())
}

/// Users, groups and shares that are named in the configuration and are not there.
fn wrong_names(settings: &Settings, users: &UserDb) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut user = |what: &str, name: &str| {
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
        if !settings.shares.iter().any(|share| share.name.eq_ignore_ascii_case(name)) {
            wrong.push(format!("role: share {name}: there is no such share"));
        }
    }
    wrong
}

/// Users who may log on and have no Unix account to act as.
fn without_unix_account(settings: &Settings, users: &UserDb) -> Vec<String> {
    if !settings.unix_identities {
        return Vec::new();
    }
    let names = users.users().filter(|user| user.is_enabled()).map(|user| user.name.as_str());
    let mut wrong: Vec<_> = names
        .filter(|name| !setup::has_unix_account(name))
        .map(|name| {
            format!(
                "user {name} has no Unix account; 'useradd {name}' makes one, or set unix_identities = false"
            )
        })
        .collect();
    if settings.shares.iter().any(|share| share.guest) && !setup::has_unix_account(GUEST_ACCOUNT) {
        wrong.push(format!("guests act as the Unix user {GUEST_ACCOUNT}, who does not exist"));
    }
    wrong
}
