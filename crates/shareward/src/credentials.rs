//! User names and passwords for servers on other machines.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;

/// The environment variable that holds the password, for scripts.
pub(crate) const PASSWORD_VARIABLE: &str = "SHAREWARD_PASSWORD";

/// A user's name and password.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The name.
    pub(crate) user: String,
    /// The domain; empty if none was given.
    pub(crate) domain: String,
    /// The password, which may be empty.
    pub(crate) password: Zeroizing<String>,
}

/// Returns the credentials for a server, and asks for what is missing.
///
/// The user is `user` (`name`, `domain\name` or `name@domain`), else the one in the file, else the user who runs
/// this. The password is `password` unless it is `*`, which asks for it; else the one in the file, else
/// [`PASSWORD_VARIABLE`], else the command asks for it: without echo on a terminal, otherwise as a line of standard
/// input.
pub(crate) fn obtain(
    user: Option<&str>,
    password: Option<&str>,
    file: Option<&Path>,
    console: &mut Console,
) -> Result<Credentials, Failure> {
    let variable = std::env::var(PASSWORD_VARIABLE).ok().map(Zeroizing::new);
    obtain_with(user, password, file, variable, console)
}

fn obtain_with(
    user: Option<&str>,
    password: Option<&str>,
    file: Option<&Path>,
    variable: Option<Zeroizing<String>>,
    console: &mut Console,
) -> Result<Credentials, Failure> {
    let kept = file.map(read).transpose()?.unwrap_or_default();
    let (domain, name) = match user.map(split) {
        Some((domain, name)) => (domain.or(kept.domain), name),
        None => match kept.user {
            Some(name) => (kept.domain, name),
            None => (kept.domain, login_name()),
        },
    };
    let password = match password {
        Some("*") => None,
        Some(given) => Some(Zeroizing::new(given.to_owned())),
        None => kept.password.or(variable),
    };
    let password = match password {
        Some(password) => password,
        None => ask(&name, console)?,
    };
    Ok(Credentials { user: name, domain: domain.unwrap_or_default(), password })
}

impl Credentials {
    /// The credentials in the form that the logon takes.
    pub(crate) fn logon(&self) -> auth::Credentials {
        auth::Credentials::password(&*self.user, &*self.domain, &self.password)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, domain, .. } = self;
        f.debug_struct("Credentials").field("user", user).field("domain", domain).finish_non_exhaustive()
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
        Credentials { user: user.into(), domain: domain.into(), password: Zeroizing::new(password.into()) }
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
            assert_eq!(obtain_with(user, password, file, variable, &mut console).unwrap(), expected);
        }
    }

    #[test]
    fn a_missing_password_names_the_ways_to_give_one() {
        let (mut console, shown) = Console::memory("");
        let outcome = obtain_with(Some("bob"), None, None, None, &mut console);
        assert!(matches!(outcome, Err(Failure::Numbered(_))), "{outcome:?}");
        assert!(shown.text().contains("bob"));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        for mode in [0o644, 0o640, 0o602, 0o666, 0o610] {
            let (_kept, path) = file("username=a\npassword=b\n", mode);
            let (mut console, _) = Console::memory("");
            let text = refusal(obtain_with(None, None, Some(&path), None, &mut console));
            assert!(text.contains(&format!("{mode:04o}")) && text.contains("chmod 600"), "{text}");
        }
        for mode in [0o600, 0o400] {
            let (_kept, path) = file("username=a\npassword=b\n", mode);
            let (mut console, _) = Console::memory("");
            assert!(obtain_with(None, None, Some(&path), None, &mut console).is_ok());
        }
    }

    #[test]
    fn an_unknown_line_is_reported_with_its_number() {
        let (_kept, path) = file("# mine\n\nusername=a\nsecret=b\n", 0o600);
        let (mut console, _) = Console::memory("");
        assert!(refusal(obtain_with(None, None, Some(&path), None, &mut console)).contains("credentials:4:"));
    }

    #[test]
    fn passwords_are_not_shown() {
        assert!(!format!("{:?}", credentials("D", "u", "secret")).contains("secret"));
    }
}
