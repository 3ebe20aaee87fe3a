//! User names and passwords for servers on other machines.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use client::smb::LogonCredentials;
use client::{ErrorKind, TicketError, TicketSource as _, Tickets};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;

/// The environment variable that holds the password, for scripts.
pub(crate) const PASSWORD_VARIABLE: &str = "SHAREWARD_PASSWORD";

/// The protocols that a logon may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// Kerberos if there is a ticket for the server, else NTLM.
    #[default]
    Any,
    /// `--kerberos`: only Kerberos.
    Kerberos,
    /// `--ntlm`: only NTLM.
    Ntlm,
}

impl Protocol {
    /// True if no protocol is demanded.
    pub(crate) const fn is_any(&self) -> bool {
        matches!(self, Self::Any)
    }
}

/// The parts of a command line that say who logs on, and how.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// The user: `name`, `domain\name` or `name@domain`.
    pub(crate) user: Option<&'a str>,
    /// The password; `*` asks for it.
    pub(crate) password: Option<&'a str>,
    /// The credentials file.
    pub(crate) file: Option<&'a Path>,
    /// The protocols that may be used.
    pub(crate) protocol: Protocol,
}

/// A user's name, and its password or tickets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The name; of tickets the principal, as `carol@CORP.EXAMPLE`.
    pub(crate) user: String,
    /// The domain; empty if none was given.
    pub(crate) domain: String,
    /// The password or the tickets.
    pub(crate) proof: Proof,
}

/// The proof of a user's name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A password, which may be empty, for NTLM alone.
    Password(Zeroizing<String>),
    /// A password for Kerberos, as this principal; then for NTLM if that may follow.
    TicketByPassword {
        /// The password.
        password: Zeroizing<String>,
        /// The principal, as the user gave it or as the domain means it.
        principal: String,
        /// True if NTLM may follow.
        ntlm: bool,
    },
    /// The tickets of the user who runs this.
    Ticket,
}

/// Returns the tickets of the user who runs this for a server: those of the wanted user, or those that the Kerberos
/// library chooses if none is named. `None` if a password is given or there is no ticket.
///
/// Sets `unreachable` if no key distribution center answers, and does not ask again then: each attempt takes many
/// seconds.
///
/// An error if only Kerberos may be used, nobody is named whose password could be asked for, and there is no ticket.
pub(crate) fn ticket(
    wanted: &Wanted<'_>,
    host: &str,
    unreachable: &mut bool,
    console: &mut Console,
) -> Result<Option<Credentials>, Failure> {
    let has_password = wanted.password.is_some() || std::env::var_os(PASSWORD_VARIABLE).is_some();
    if *unreachable || wanted.protocol == Protocol::Ntlm || wanted.file.is_some() || has_password {
        return Ok(None);
    }
    let principal = match wanted.user.map(split) {
        None => None,
        Some((domain, name)) => match principal(domain.as_deref(), &name) {
            Some(principal) => Some(principal),
            // A domain that is not one of Kerberos, so far as this machine knows.
            None => return Ok(None),
        },
    };
    match Tickets::of_user(host, principal.as_deref()) {
        Ok(tickets) => {
            Ok(Some(Credentials { user: tickets.principal(), domain: String::new(), proof: Proof::Ticket }))
        }
        Err(error) if wanted.protocol == Protocol::Kerberos && wanted.user.is_none() => {
            Err(Numbered::new(error.number()).hint(format!("{host}: {}", error.advice())).into())
        }
        Err(error) => {
            *unreachable = error.kind() == ErrorKind::Unreachable;
            let silent = matches!(error, TicketError::Address(_))
                || matches!(error.kind(), ErrorKind::NoTicket | ErrorKind::NoLibrary);
            if !silent {
                console.error(&format!("note: no Kerberos ticket for {host}: {}\n", error.advice()));
            }
            Ok(None)
        }
    }
}

/// Returns the credentials by password, and asks for what is missing.
///
/// The user is the wanted one, else the one in the file, else the user who runs this. The password is the given one
/// unless it is `*`, which asks for it; else the one in the file, else [`PASSWORD_VARIABLE`], else the command asks for
/// it: without echo on a terminal, otherwise as a line of standard input.
pub(crate) fn obtain(wanted: &Wanted<'_>, console: &mut Console) -> Result<Credentials, Failure> {
    let variable = std::env::var(PASSWORD_VARIABLE).ok().map(Zeroizing::new);
    obtain_with(wanted, variable, console)
}

fn obtain_with(
    wanted: &Wanted<'_>,
    variable: Option<Zeroizing<String>>,
    console: &mut Console,
) -> Result<Credentials, Failure> {
    let kept = wanted.file.map(read).transpose()?.unwrap_or_default();
    let (domain, name) = match wanted.user.map(split) {
        Some((domain, name)) => (domain.or(kept.domain), name),
        None => match kept.user {
            Some(name) => (kept.domain, name),
            None => (kept.domain, login_name()),
        },
    };
    let password = match wanted.password {
        Some("*") => None,
        Some(given) => Some(Zeroizing::new(given.to_owned())),
        None => kept.password.or(variable),
    };
    let password = match password {
        Some(password) => password,
        None => ask(&name, console)?,
    };
    let proof = match wanted.protocol {
        Protocol::Ntlm => Proof::Password(password),
        // A plain name may be an account of the server itself, which has nothing to do with this machine's realm.
        Protocol::Any if domain.is_none() && !name.contains('@') => Proof::Password(password),
        Protocol::Any => match principal(domain.as_deref(), &name) {
            Some(principal) => Proof::TicketByPassword { password, principal, ntlm: true },
            None => Proof::Password(password),
        },
        Protocol::Kerberos => {
            let Some(principal) = principal(domain.as_deref(), &name) else {
                let domain = domain.unwrap_or_default();
                let hint = format!("krb5.conf does not name the realm of {domain}; write USER@REALM");
                return Err(Numbered::new(NO_SUCH_DOMAIN).hint(hint).into());
            };
            Proof::TicketByPassword { password, principal, ntlm: false }
        }
    };
    Ok(Credentials { user: name, domain: domain.unwrap_or_default(), proof })
}

/// The principal of a user: a name with a realm, or without one as the default realm's. The NetBIOS name of a domain is
/// that of the default realm if it is the realm's first part, as CORP is of CORP.EXAMPLE; the name of another domain
/// says nothing about a realm, unless it has dots itself.
fn principal(domain: Option<&str>, name: &str) -> Option<String> {
    principal_in(domain, name, || client::default_realm().ok())
}

fn principal_in(
    domain: Option<&str>,
    name: &str,
    default_realm: impl FnOnce() -> Option<String>,
) -> Option<String> {
    match domain.filter(|domain| !domain.is_empty()) {
        None => match name.rsplit_once('@') {
            Some((user, realm)) => Some(format!("{user}@{}", realm.to_ascii_uppercase())),
            None => Some(name.to_owned()),
        },
        Some(domain) if domain.contains('.') => Some(format!("{name}@{}", domain.to_ascii_uppercase())),
        Some(domain) => {
            let realm = default_realm()?;
            let first = realm.split('.').next().unwrap_or_default();
            first.eq_ignore_ascii_case(domain).then(|| format!("{name}@{realm}"))
        }
    }
}

impl Credentials {
    /// The credentials in the form that the logon takes.
    pub(crate) fn logon(&self) -> LogonCredentials {
        let ntlm = |password: &str| auth::Credentials::password(&*self.user, &*self.domain, password);
        match &self.proof {
            Proof::Password(password) => ntlm(password).into(),
            Proof::TicketByPassword { password, principal, ntlm: may } => LogonCredentials::with_tickets(
                Tickets::with_password(principal, password),
                may.then(|| ntlm(password)),
            ),
            Proof::Ticket => LogonCredentials::with_tickets(Tickets::of_principal(&self.user), None),
        }
    }
}

impl Default for Proof {
    fn default() -> Self {
        Self::Password(Zeroizing::default())
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password",
            Self::TicketByPassword { .. } => "TicketByPassword",
            Self::Ticket => "Ticket",
        })
    }
}

/// The content of a credentials file.
#[derive(Default, PartialEq, Eq)]
struct Kept {
    user: Option<String>,
    domain: Option<String>,
    password: Option<Zeroizing<String>>,
}

/// Reads a credentials file in the format of mount.cifs(8). Refuses a file that other users can read or change.
fn read(path: &Path) -> Result<Kept, Failure> {
    let shown = path.display();
    let unreadable = |error: io::Error| Failure::Plain(format!("cannot read {shown}: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_file() {
        return Err(Failure::Plain(format!("{shown} is not a file")));
    }
    if mode & 0o077 != 0 {
        return Err(Failure::Plain(format!(
            "{shown} contains a password, but other users can read or change it (its mode is {mode:04o})\n\n\
             hint: chmod 600 {shown}"
        )));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    parse(&text)
        .map_err(|line| Failure::Plain(format!("{shown}:{line}: expected username=, password= or domain=")))
}

/// Parses the file's content. An error is the number of the line.
fn parse(text: &str) -> Result<Kept, usize> {
    let mut kept = Kept::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(index + 1)?;
        // A password may end with spaces.
        match key.trim_end().to_ascii_lowercase().as_str() {
            "username" | "user" => {
                let (domain, name) = split(value.trim());
                kept.user = Some(name);
                kept.domain = domain.or(kept.domain);
            }
            "password" | "pass" => kept.password = Some(Zeroizing::new(value.to_owned())),
            "domain" | "dom" | "workgroup" => kept.domain = Some(value.trim().to_owned()),
            _ => return Err(index + 1),
        }
    }
    Ok(kept)
}

/// Splits `domain\name`. `name@domain` stays as it is, because the server splits it.
fn split(user: &str) -> (Option<String>, String) {
    match user.split_once(['\\', '/']) {
        Some((domain, name)) => (Some(domain.to_owned()), name.to_owned()),
        None => (None, user.to_owned()),
    }
}

fn ask(name: &str, console: &mut Console) -> Result<Zeroizing<String>, Failure> {
    let question = messages::insert(messages::PASSWORD_QUESTION, &crate::output::clean_line(name));
    let answer = console
        .secret(&question)
        .map_err(|error| Failure::Plain(format!("cannot read the password: {error}")))?;
    answer.map(Zeroizing::new).ok_or_else(|| {
        let hint = format!(
            "give the password with --credentials FILE, in {PASSWORD_VARIABLE}, at a terminal, or on standard input"
        );
        Numbered::new(messages::NO_RESPONSE_NUMBER).hint(hint).into()
    })
}

/// The name of the user who runs this.
fn login_name() -> String {
    let account = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    account.map(|account| account.name).unwrap_or_default()
}

/// ERROR_NO_SUCH_DOMAIN.
const NO_SUCH_DOMAIN: u32 = 1355;

/// The most bytes of a credentials file that are read; the file has three short lines.
const FILE_BYTES_MAX: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    fn credentials(domain: &str, user: &str, password: &str) -> Credentials {
        Credentials {
            user: user.into(),
            domain: domain.into(),
            proof: Proof::Password(Zeroizing::new(password.into())),
        }
    }

    fn refusal(outcome: Result<Credentials, Failure>) -> String {
        match outcome {
            Err(Failure::Plain(text)) => text,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn arguments_precede_the_file_the_environment_and_the_prompt() {
        let (_kept, path) = file("username=OFFICE\\alice\npassword= a=b \n", 0o600);
        let file = Some(path.as_path());
        let variable = || Some(Zeroizing::new(String::from("V")));
        for (user, password, file, variable, input, expected) in [
            (None, None, file, variable(), "", credentials("OFFICE", "alice", " a=b ")),
            (Some("bob"), None, file, None, "", credentials("OFFICE", "bob", " a=b ")),
            (Some("LAB\\bob"), Some("P"), file, variable(), "", credentials("LAB", "bob", "P")),
            (Some("bob@lab"), None, None, variable(), "asked\n", credentials("", "bob@lab", "V")),
            (Some("bob"), Some("*"), file, variable(), "asked \r\n", credentials("OFFICE", "bob", "asked ")),
            (Some("bob"), None, None, None, "\n", credentials("", "bob", "")),
            (Some("bob"), Some(""), None, None, "asked\n", credentials("", "bob", "")),
        ] {
            let (mut console, _) = Console::memory(input);
            let wanted = Wanted { user, password, file, protocol: Protocol::Ntlm };
            assert_eq!(obtain_with(&wanted, variable, &mut console).unwrap(), expected);
        }
    }

    #[test]
    fn a_missing_password_names_the_ways_to_give_one() {
        let (mut console, shown) = Console::memory("");
        let wanted = Wanted { user: Some("bob"), ..Wanted::default() };
        let outcome = obtain_with(&wanted, None, &mut console);
        assert!(matches!(outcome, Err(Failure::Numbered(_))), "{outcome:?}");
        assert!(shown.text().contains("bob"));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        for mode in [0o644, 0o640, 0o602, 0o666, 0o610] {
            let (_kept, path) = file("username=a\npassword=b\n", mode);
            let (mut console, _) = Console::memory("");
            let text =
                refusal(obtain_with(&Wanted { file: Some(&path), ..Wanted::default() }, None, &mut console));
            assert!(text.contains(&format!("{mode:04o}")) && text.contains("chmod 600"), "{text}");
        }
        for mode in [0o600, 0o400] {
            let (_kept, path) = file("username=a\npassword=b\n", mode);
            let (mut console, _) = Console::memory("");
            assert!(
                obtain_with(&Wanted { file: Some(&path), ..Wanted::default() }, None, &mut console).is_ok()
            );
        }
    }

    #[test]
    fn an_unknown_line_is_reported_with_its_number() {
        let (_kept, path) = file("# mine\n\nusername=a\nsecret=b\n", 0o600);
        let (mut console, _) = Console::memory("");
        assert!(
            refusal(obtain_with(&Wanted { file: Some(&path), ..Wanted::default() }, None, &mut console))
                .contains("credentials:4:")
        );
    }

    #[test]
    fn names_with_a_domain_of_kerberos_are_principals() {
        let realm = || Some(String::from("CORP.EXAMPLE"));
        for (domain, name, expected) in [
            (None, "carol", Some("carol")),
            (None, "carol@corp.example", Some("carol@CORP.EXAMPLE")),
            (Some(""), "carol", Some("carol")),
            (Some("corp"), "carol", Some("carol@CORP.EXAMPLE")),
            (Some("lab.example"), "carol", Some("carol@LAB.EXAMPLE")),
            (Some("NAS"), "carol", None),
        ] {
            assert_eq!(principal_in(domain, name, realm).as_deref(), expected, "{domain:?} {name}");
        }
        assert_eq!(principal_in(Some("corp"), "carol", || None), None);
    }

    #[test]
    fn a_plain_name_with_a_password_uses_kerberos_only_if_it_is_demanded() {
        let proof = |user, protocol| {
            let wanted = Wanted { user: Some(user), password: Some("x"), file: None, protocol };
            obtain_with(&wanted, None, &mut Console::memory("").0).unwrap().proof
        };
        let password = || Zeroizing::new(String::from("x"));
        assert_eq!(proof("carol", Protocol::Any), Proof::Password(password()));
        for (user, principal, protocol, ntlm) in [
            ("carol", "carol", Protocol::Kerberos, false),
            ("carol@corp.example", "carol@CORP.EXAMPLE", Protocol::Any, true),
            ("carol@corp.example", "carol@CORP.EXAMPLE", Protocol::Kerberos, false),
        ] {
            let expected =
                Proof::TicketByPassword { password: password(), principal: principal.into(), ntlm };
            assert_eq!(proof(user, protocol), expected, "{user}");
        }
        assert_eq!(proof("carol@corp.example", Protocol::Ntlm), Proof::Password(password()));
    }

    #[test]
    fn passwords_are_not_shown() {
        assert!(!format!("{:?}", credentials("D", "u", "secret")).contains("secret"));
    }
}
