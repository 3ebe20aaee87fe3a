//! `shareward check`: whether a configuration is good.

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
Reads a configuration file and the users file it names, looks whether the
shared directories are there, and says what is wrong with line and column. A
server runs without a directory that is not there: its share can be used once
it is.
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
    for name in &settings.administrators {
        if users.user(name).is_none() {
            wrong.push(format!("administrator {name} is not in {}", settings.users_file.display()));
        }
    }
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
