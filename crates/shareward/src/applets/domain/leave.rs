//! `shareward domain leave`.

use domain::tool::Account;
use server::config::remove_domain;

use super::{CONTROLLER, failed, join, login, member, preset};
use crate::administration;
use crate::cli::Words;
use crate::failure::Failure;
use crate::output::Console;
use crate::prompt::{self, DefaultAnswer, Preset};

pub(super) fn run(words: &Words, console: &mut Console) -> Result<(), Failure> {
    login::root()?;
    let preset = preset(words)?;
    let (path, settings, domain) = member(words)?;
    let computer = computer(&domain.keytab, &domain.realm).unwrap_or_else(|| settings.name.clone());
    let by_hand = format!(
        "install it with 'apt install adcli' (or 'dnf install adcli') and repeat this; or remove the account of {computer} \
         with the tools of the domain"
    );
    let tool = login::tool(words, &domain.realm, &by_hand)?;
    let warning = format!(
        "The account of {computer} in {} will be removed. Users of the domain cannot log on any more.\n",
        domain.realm
    );
    prompt::confirm(console, &warning, DefaultAnswer::No, preset)?;
    let login = login::login(words, console)?;
    let account = Account {
        realm: &domain.realm,
        controller: words.value(&CONTROLLER).or(domain.controllers.first().map(String::as_str)),
        unit: None,
        computer: &computer,
        host: &computer,
        keytab: &domain.keytab,
        state: &settings.state_directory,
    };
    let program = tool.kind().program();
    console.line(&format!("Removing the account of {computer} through '{program}' ..."));
    let done = administration::run(async { Ok(tool.leave(&account, &login).await) })?;
    done.map_err(|error| failed(&error, error.hint()))?;
    console.line(&format!("{computer} is no longer a member of {}.", domain.realm));
    let question = format!(
        "Do you want the keys of {} to be removed from {}? %1 ",
        domain.realm,
        domain.keytab.display()
    );
    if wants(console, &question, preset)? {
        let removed = domain::keytab::remove_realm(&domain.keytab, &domain.realm);
        let removed = removed.map_err(|error| failed(error, None))?;
        console.line(&format!("{removed} keys were removed from {}.", domain.keytab.display()));
    }
    if let Some(source) = &settings.source
        && let Some(text) = remove_domain(&source.text).map_err(|error| failed(error, None))?
    {
        let question = format!("Do you want [domain] to be removed from {}? %1 ", path.display());
        if wants(console, &question, preset)? {
            join::write(source, &text)?;
            console.line(&format!("{} was changed.", path.display()));
        }
    }
    Ok(())
}

/// The answer to a question; no if the answer is no.
fn wants(console: &mut Console, question: &str, preset: Preset) -> Result<bool, Failure> {
    match prompt::ask(console, "", question, DefaultAnswer::No, preset) {
        Ok(()) => Ok(true),
        Err(Failure::Declined) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// The name of the computer's account, from its keys.
fn computer(keytab: &std::path::Path, realm: &str) -> Option<String> {
    let principal = domain::keytab::machine_principal(keytab, realm).ok()?;
    let (account, _) = principal.rsplit_once('@')?;
    Some(account.strip_suffix('$')?.to_owned())
}
