//! The questions of `shareward init`.

use std::path::Path;

use super::{GUEST, LISTEN, Plan, UNIX_ACCOUNTS, add_share, add_user, listened};
use crate::cli::Words;
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, clean_line};
use crate::prompt::{self, DefaultAnswer, Preset};
use crate::setup;

/// The wrong answers that are accepted before giving up, so that a wrong file on standard input does not loop.
const TRIES_MAX: u32 = 3;

/// Asks for everything that the switches leave open.
pub(super) fn ask(mut plan: Plan, words: &Words, console: &mut Console) -> Result<Plan, Failure> {
    if plan.shares.is_empty() {
        console.talk("An empty answer takes the value in brackets.\n\n");
        share(&mut plan, console)?;
        while is_yes(console, "Share another directory?", DefaultAnswer::No)? {
            share(&mut plan, console)?;
        }
    }
    if plan.users.is_empty() {
        users(&mut plan, console)?;
    }
    if !words.has(&GUEST) {
        let question = "May everybody use the shares without a password, as a guest?";
        plan.guest = is_yes(console, question, DefaultAnswer::No)?;
    }
    if words.value(&LISTEN).is_none() {
        listen(&mut plan, console)?;
    }
    if setup::is_root() && !words.has(&UNIX_ACCOUNTS) {
        let missing: Vec<&str> =
            plan.users.iter().map(String::as_str).filter(|name| !setup::has_unix_account(name)).collect();
        if !missing.is_empty() {
            console.talk(&format!(
                "The server acts as the Unix user of the same name. There is none for: {}\n",
                clean_line(&missing.join(", "))
            ));
            let question = "Create these Unix accounts, without a login?";
            plan.unix_accounts = is_yes(console, question, DefaultAnswer::Yes)?;
        }
    }
    Ok(plan)
}

fn share(plan: &mut Plan, console: &mut Console) -> Result<(), Failure> {
    let default = if setup::is_root() { "/srv/share" } else { "~/Shared" };
    answered(console, &format!("Directory to share [{default}]: "), |console, answer| {
        let path = if answer.is_empty() { default } else { answer };
        let name = Path::new(path).file_name().map(|name| name.to_string_lossy().to_ascii_lowercase());
        let name = name.filter(|name| server::config::check_share_name(name).is_ok());
        let name = name.unwrap_or_else(|| String::from("share"));
        console.talk(&format!("Name of the share [{}]: ", clean_line(&name)));
        let Some(line) = console.answer() else { return Err(String::from("there is no answer")) };
        let given = line.trim();
        add_share(plan, if given.is_empty() { &name } else { given }, path)
    })
}

fn users(plan: &mut Plan, console: &mut Console) -> Result<(), Failure> {
    let question = "Users who may use the shares, separated by spaces [none]: ";
    answered(console, question, |_, answer| {
        answer.split([' ', ',']).filter(|name| !name.is_empty()).try_for_each(|name| add_user(plan, name))
    })
}

fn listen(plan: &mut Plan, console: &mut Console) -> Result<(), Failure> {
    let default = plan.listen.first().cloned().unwrap_or_else(|| String::from(":445"));
    let question = format!("Address and port to listen on; a port alone means all addresses [{default}]: ");
    answered(console, &question, |_, answer| {
        if !answer.is_empty() {
            let is_port = answer.chars().all(|c| c.is_ascii_digit());
            plan.listen = listened(&if is_port { format!(":{answer}") } else { answer.to_owned() })?;
        }
        Ok(())
    })
}

/// Asks until the answer is accepted.
fn answered(
    console: &mut Console,
    question: &str,
    mut accept: impl FnMut(&mut Console, &str) -> Result<(), String>,
) -> Result<(), Failure> {
    for _ in 0..TRIES_MAX {
        console.talk(question);
        let Some(line) = console.answer() else { break };
        match accept(console, line.trim()) {
            Ok(()) => return Ok(()),
            Err(error) => console.talk(&format!("{}\n", clean_line(&error))),
        }
    }
    Err(Numbered::new(messages::NO_RESPONSE_NUMBER).into())
}

fn is_yes(console: &mut Console, question: &str, default: DefaultAnswer) -> Result<bool, Failure> {
    match prompt::ask(console, "", &format!("{question} %1: "), default, Preset::Ask) {
        Ok(()) => Ok(true),
        Err(Failure::Declined) => Ok(false),
        Err(other) => Err(other),
    }
}
