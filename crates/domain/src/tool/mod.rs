//! Joining and leaving a domain through the programs that administrators know: `adcli`, or Samba's `net`.
//!
//! They make the computer's account and write its keys into a keytab. A password goes to them through a pipe or a file
//! in memory, never on a command line, and is never in what they print.

mod adcli;
mod samba;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use wire::eq_ignore_case;
use zeroize::Zeroizing;

/// The time for a program: it talks to controllers some dozen times.
const RUN_TIME: Duration = Duration::from_secs(120);

/// The configuration of Samba on this machine.
const SMB_CONF: &str = "/etc/samba/smb.conf";

/// A program that joins and leaves domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    kind: ToolKind,
    path: PathBuf,
}

/// The kinds of programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolKind {
    /// `adcli`, of the project realmd.
    Adcli,
    /// `net ads`, of Samba.
    Samba,
}

impl ToolKind {
    /// The name of the program, as it is typed.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Adcli => "adcli",
            Self::Samba => "net",
        }
    }
}

/// The proof that the caller may join computers.
#[derive(Debug)]
pub enum Login {
    /// A user of the domain with a password.
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// The Kerberos tickets of the caller.
    Tickets,
}

/// The account to make or to remove.
#[derive(Debug)]
pub struct Account<'a> {
    /// The realm, as `CORP.EXAMPLE`.
    pub realm: &'a str,
    /// The controller to use; `None` to have the program find one.
    pub controller: Option<&'a str>,
    /// The organizational unit for a new account, as `OU=servers,DC=corp,DC=example`.
    pub unit: Option<&'a str>,
    /// The computer's NetBIOS name.
    pub computer: &'a str,
    /// The computer's DNS name.
    pub host: &'a str,
    /// The keytab to write.
    pub keytab: &'a Path,
    /// A directory for the program's own data, which must outlive this call (`net` keeps the machine's password there).
    pub state: &'a Path,
}

/// The reason why a program did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program cannot be started, or not be given the password.
    #[error("cannot run {0}: {1}")]
    Run(String, std::io::Error),
    /// The program does not end.
    #[error("{0} did not end within {seconds} seconds", seconds = RUN_TIME.as_secs())]
    TimedOut(String),
    /// The program failed.
    #[error("{program} failed ({status}): {output}")]
    Failed {
        /// The program.
        program: String,
        /// The exit status.
        status: ExitStatus,
        /// The last lines that it printed.
        output: String,
    },
}

impl Error {
    /// Advice on how to go on, as far as the program's message shows the cause.
    pub fn hint(&self) -> Option<&'static str> {
        let Self::Failed { output, .. } = self else { return None };
        let output = output.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| output.contains(word));
        if has(&["preauthentication failed", "logon_failure", "password incorrect", "wrong password"]) {
            return Some("the password is wrong");
        }
        if has(&["client not found in kerberos", "no_such_user"]) {
            return Some("there is no such user in the domain; --user names another one");
        }
        if has(&["clock skew", "time_difference"]) {
            return Some("the clocks of this machine and the controller differ by more than five minutes");
        }
        if has(&["insufficient permissions", "access denied", "access_denied", "insufficient access"]) {
            return Some("the user may not add computers to the domain, or not there (see --ou)");
        }
        if has(&["couldn't discover", "failed to find dc", "no logon servers", "domain_controller_not_found"])
            || has(&["cannot contact any kdc", "couldn't find usable domain controller"])
        {
            return Some(
                "the DNS server in /etc/resolv.conf must know the domain, and a controller must be reachable",
            );
        }
        if has(&["no credentials cache", "no kerberos credentials", "credentials cache file"]) {
            return Some("there is no ticket: run 'kinit', or leave out --kerberos");
        }
        None
    }
}

impl Tool {
    /// The installed program of this kind, or the best one for the realm that is installed. That is adcli, which needs no
    /// configuration of its own; but if Samba on this machine is a member of the realm, its own program is better, because
    /// only that makes the secret that winbind needs.
    pub fn find(wanted: Option<ToolKind>, realm: &str) -> Option<Self> {
        let kinds = match wanted {
            Some(kind) => vec![kind],
            None if samba_is_member(realm) => vec![ToolKind::Samba, ToolKind::Adcli],
            None => vec![ToolKind::Adcli, ToolKind::Samba],
        };
        kinds.into_iter().find_map(|kind| {
            let path = installed(kind.program())?;
            // Our own `net` may come first in the path.
            let is_ours = kind == ToolKind::Samba && is_this_program(&path);
            (!is_ours).then_some(Self { kind, path })
        })
    }

    /// The kind.
    pub const fn kind(&self) -> ToolKind {
        self.kind
    }

    /// Makes the computer's account, with `cifs/` and `host/` as its services, and writes its keys into the keytab.
    /// Returns what the program printed.
    pub async fn join(&self, account: &Account<'_>, login: &Login) -> Result<String, Error> {
        match self.kind {
            ToolKind::Adcli => adcli::join(self, account, login).await,
            ToolKind::Samba => samba::join(self, account, login).await,
        }
    }

    /// Removes the computer's account. Returns what the program printed.
    pub async fn leave(&self, account: &Account<'_>, login: &Login) -> Result<String, Error> {
        match self.kind {
            ToolKind::Adcli => adcli::leave(self, account, login).await,
            ToolKind::Samba => samba::leave(self, account, login).await,
        }
    }

    /// Runs the program with these arguments and input.
    async fn run(&self, command: &mut Command, input: &[u8]) -> Result<String, Error> {
        let program = self.path.display().to_string();
        let failed = |error| Error::Run(program.clone(), error);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The messages are compared with words.
            .env("LC_ALL", "C")
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let run = async {
            if let Some(mut stdin) = child.stdin.take()
                && let Err(error) = stdin.write_all(input).await
                // It has ended already, and says why.
                && error.kind() != std::io::ErrorKind::BrokenPipe
            {
                return Err(error);
            }
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(RUN_TIME, run).await;
        let output = output.map_err(|_| Error::TimedOut(program.clone()))?.map_err(failed)?;
        let text = [output.stderr, output.stdout].concat();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if output.status.success() {
            return Ok(lines.join("\n"));
        }
        let last = lines.get(lines.len().saturating_sub(LINES_SHOWN)..).unwrap_or_default();
        Err(Error::Failed { program, status: output.status, output: last.join("; ") })
    }

    fn command(&self) -> Command {
        Command::new(&self.path)
    }
}

/// The lines of a failed program that are shown: the reason is at the end.
const LINES_SHOWN: usize = 4;

/// The place of a program. Root's path may lack the directories of administrators' programs.
fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    let more = ["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|directory| directory.join(program))
        .find(|it| is_program(it))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn is_this_program(path: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    std::env::current_exe().ok().and_then(|own| real(&own)).is_some_and(|own| real(path) == Some(own))
}

/// True if Samba on this machine is configured as a member of the realm: then winbind takes the machine's password from
/// Samba's own store, and the join has to put it there.
fn samba_is_member(realm: &str) -> bool {
    std::fs::read_to_string(SMB_CONF).is_ok_and(|text| names_realm(&text, realm))
}

fn names_realm(text: &str, realm: &str) -> bool {
    let value = |wanted: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
        let mut pairs = lines.filter_map(|line| line.split_once('='));
        // Names of parameters ignore case and spaces (smb.conf(5)).
        let name = |name: &str| name.split_whitespace().collect::<String>();
        pairs.rfind(|(key, _)| eq_ignore_case(&name(key), wanted)).map(|(_, value)| value.trim().to_owned())
    };
    value("security").is_some_and(|it| eq_ignore_case(&it, "ads"))
        && value("realm").is_some_and(|it| eq_ignore_case(&it, realm))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn member_is_recognized_by_its_configuration() {
        let text = "[global]\n  Security = ADS\n  # realm = OTHER.EXAMPLE\n realm=corp.example\n";
        assert!(names_realm(text, "CORP.EXAMPLE"));
        assert!(!names_realm(text, "OTHER.EXAMPLE"));
        assert!(!names_realm("realm = corp.example\nsecurity = user\n", "CORP.EXAMPLE"));
    }

    #[test]
    fn messages_have_hints() {
        let failed = |output: &str| Error::Failed {
            program: String::from("adcli"),
            status: ExitStatus::from_raw(256),
            output: output.to_owned(),
        };
        assert_eq!(
            failed("Couldn't authenticate: Preauthentication failed").hint(),
            Some("the password is wrong")
        );
        assert!(failed("Clock skew too great").hint().is_some());
        assert_eq!(failed("something else").hint(), None);
    }

    #[tokio::test]
    async fn failed_program_says_its_last_lines() {
        let Some(path) = installed("sh") else { return };
        let tool = Tool { kind: ToolKind::Adcli, path };
        let script = "read line; echo \"got $line\" >&2; exit 3";
        let run = tool.run(tool.command().args(["-c", script]), b"word\n").await;
        match run {
            Err(Error::Failed { status, output, .. }) => {
                assert_eq!((status.code(), output.as_str()), (Some(3), "got word"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(tool.run(tool.command().args(["-c", "cat"]), b"a\n\nb").await.unwrap(), "a\nb");
    }
}
