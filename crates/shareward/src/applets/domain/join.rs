//! `shareward domain join`.

use std::path::{Path, PathBuf};

use domain::names::{DomainInfo, LsatSession, Membership};
use domain::tool::Account;
use server::config::{JoinedDomain, Settings, Source, set_domain};

use super::{CONTROLLER, DEFAULT_KEYTAB, KEYTAB, OU, failed, login, preset, settings};
use crate::administration;
use crate::applets::check::host_names;
use crate::cli::Words;
use crate::failure::Failure;
use crate::output::Console;
use crate::prompt::{self, DefaultAnswer};
use crate::setup;

pub(super) fn run(realm: &str, words: &Words, console: &mut Console) -> Result<(), Failure> {
    login::root()?;
    let preset = preset(words)?;
    let (path, settings) = settings(words)?;
    let realm = realm.trim_end_matches('.').to_ascii_uppercase();
    let keytab = match (words.value(&KEYTAB), &settings.domain) {
        (Some(keytab), _) => std::path::absolute(keytab).map_err(|error| failed(error, None))?,
        (None, Some(domain)) => domain.keytab.clone(),
        (None, None) => PathBuf::from(DEFAULT_KEYTAB),
    };
    // A sound text for the settings is known before anything is changed.
    let mut joined = JoinedDomain {
        name: realm.split('.').next().unwrap_or_default().to_owned(),
        realm,
        keytab: (keytab != Path::new(DEFAULT_KEYTAB)).then(|| keytab.clone()),
        controllers: words.value(&CONTROLLER).map(str::to_owned).into_iter().collect(),
    };
    let text = settings.source.as_ref().map(|source| source.text.to_string()).unwrap_or_default();
    changed(&text, &path, &joined)?;
    let host = host_names(&settings, &joined.realm).swap_remove(0);
    let computer = wire::names::upper(&settings.name);
    let tool = login::tool(words, &joined.realm, &by_hand(&joined.realm, &computer, &host, &keytab))?;
    let login = login::login(words, console)?;
    let account = Account {
        realm: &joined.realm,
        controller: words.value(&CONTROLLER),
        unit: words.value(&OU),
        computer: &computer,
        host: &host,
        keytab: &keytab,
        state: &settings.state_directory,
    };
    let program = tool.kind().program();
    console.line(&format!("Joining {} as {computer} through '{program}' ...", joined.realm));
    let done = administration::run(async { Ok(tool.join(&account, &login).await) })?;
    done.map_err(|error| failed(&error, error.hint()))?;
    drop(login);
    let membership = Membership {
        realm: joined.realm.clone(),
        keytab: keytab.clone(),
        controllers: joined.controllers.clone(),
    };
    let (controller, domain) = administration::run(async { Ok(try_key(&membership).await) })?.map_err(|reason| {
        let what = format!("the account was made, but the machine cannot log on with its key: {reason}");
        failed(what, Some("a new account may take a while to reach all controllers: try 'shareward domain status' later"))
    })?;
    joined.name = wire::names::upper(&domain.name);
    console.line(&format!("{computer} is a member of {} ({}).", joined.name, domain.dns_name));
    console.line(&format!("Its keys are in {}; {controller} accepts them.", keytab.display()));
    write_settings(&path, &settings, &joined, preset, console)
}

/// Logs on at a controller with the new key, as the server does later. Returns the controller and its domain.
async fn try_key(membership: &Membership) -> Result<(String, DomainInfo), String> {
    let of = membership.clone();
    let credentials = tokio::task::spawn_blocking(move || of.credentials()).await;
    let credentials = credentials.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let mut reason = String::from("the domain has no controllers");
    for host in membership.controllers().await.map_err(|error| error.to_string())? {
        let tried = async {
            let mut session = LsatSession::connect(&host, credentials.clone()).await?;
            let domain = session.domain().await?;
            session.close().await;
            Ok::<_, domain::names::LsatError>(domain)
        };
        match tried.await {
            Ok(domain) => return Ok((host, domain)),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

/// The text of the configuration with the domain. Fails if the settings would be wrong.
fn changed(text: &str, path: &Path, joined: &JoinedDomain) -> Result<String, Failure> {
    let new = set_domain(text, joined).map_err(|error| failed(error, None))?;
    let base = path.parent().unwrap_or(Path::new("/"));
    match server::config::parse(&new, base, setup::defaults()) {
        Ok(_) => Ok(new),
        Err(errors) => {
            let lines: Vec<_> = errors.iter().map(|error| format!("{}:{error}", path.display())).collect();
            Err(Failure::Plain(format!("the settings for this domain would be wrong:\n{}", lines.join("\n"))))
        }
    }
}

fn write_settings(
    path: &Path,
    settings: &Settings,
    joined: &JoinedDomain,
    preset: prompt::Preset,
    console: &mut Console,
) -> Result<(), Failure> {
    let lines = changed("", path, joined)?;
    let Some(source) = &settings.source else {
        console.line(&format!("\nThere is no {}. Write this into the configuration:\n", path.display()));
        console.write(&lines);
        return Ok(());
    };
    let new = changed(&source.text, path, joined)?;
    if *source.text == *new {
        console.line(&format!("{} has this domain already.", path.display()));
        return Ok(());
    }
    let warning = format!("\nThese settings are to be in {}:\n\n{lines}\n", path.display());
    let question = "Do you want them to be written there? %1 ";
    match prompt::ask(console, &warning, question, DefaultAnswer::Yes, preset) {
        Ok(()) => {}
        Err(Failure::Declined) => {
            console.line("The configuration was not changed.");
            return Ok(());
        }
        Err(failure) => return Err(failure),
    }
    write(source, &new)?;
    console.line(&format!(
        "{} was changed. A running server takes it with 'systemctl reload shareward', or SIGHUP.",
        path.display()
    ));
    Ok(())
}

/// Replaces the configuration file.
pub(super) fn write(source: &Source, text: &str) -> Result<(), Failure> {
    let path = source.path.display();
    source.replace(text).map(|_| ()).map_err(|error| failed(format!("cannot change {path}: {error}"), None))
}

fn by_hand(realm: &str, computer: &str, host: &str, keytab: &Path) -> String {
    let keytab = keytab.display();
    format!(
        "install it with 'apt install adcli' (or 'dnf install adcli') and repeat this. Or make the keys on another machine: \
         on a domain controller with Windows, 'ktpass /princ cifs/{host}@{realm} /mapuser {computer}$@{realm} /crypto \
         AES256-SHA1 /ptype KRB5_NT_PRINCIPAL /pass * /out krb5.keytab', and copy the file to {keytab}; then write [domain] \
         with realm = \"{realm}\" into the configuration"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_with_the_name_of_the_server_is_refused_before_anything_is_made() {
        let joined = JoinedDomain {
            realm: String::from("CORP.EXAMPLE"),
            name: String::from("CORP"),
            keytab: None,
            controllers: Vec::new(),
        };
        let path = Path::new("/etc/x.toml");
        changed("[server]\nname = \"FILES\"\n", path, &joined).unwrap();
        let refused = changed("[server]\nname = \"CORP\"\n", path, &joined).unwrap_err();
        assert!(matches!(refused, Failure::Plain(text) if text.contains("/etc/x.toml:")));
    }
}
