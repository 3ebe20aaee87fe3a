//! Samba's smbtorture, one test per process.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::output::{Output, run};
use crate::paths::repository;
use crate::setup::User;

/// The result of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The test decided that it does not apply to this server.
    Skip,
    /// The test passed.
    Success,
    /// An assertion failed.
    Failure,
    /// smbtorture could not set the test up, or reported an error.
    Error,
    /// The test was still running at the time limit.
    Timeout,
    /// smbtorture died without a result, mostly because an answer lacked something it takes for granted.
    Crash,
}

impl Outcome {
    /// The name that tables use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Crash => "crash",
        }
    }

    /// True if the test did not fail.
    pub fn is_fine(self) -> bool {
        matches!(self, Self::Skip | Self::Success)
    }
}

/// One test's result.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The result.
    pub outcome: Outcome,
    /// The first reason that smbtorture gave, on one line.
    pub detail: String,
    /// Everything it printed.
    pub log: String,
    /// The running time.
    pub took: Duration,
}

/// The server to test: its port, share and user.
#[derive(Debug)]
pub struct TortureTarget<'a> {
    /// smbtorture.
    pub program: &'a Path,
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The share.
    pub share: &'a str,
    /// The account.
    pub user: &'a User,
    /// A writable directory for smbtorture's own files.
    pub scratch: &'a Path,
    /// True if the test may block its connections with iptables, because it has a network of its own.
    pub may_block: bool,
}

/// Lists the ids of all smb2 and rpc tests that an smbtorture has, as [`run_test`] takes them.
pub fn list(program: &Path) -> Vec<String> {
    let mut command = Command::new(program);
    command.args(["--configfile=/dev/null", "--list"]);
    let output = run(command, b"", Duration::from_secs(30));
    let mut ids: Vec<String> = Vec::new();
    for line in output.stdout.lines().filter(|line| line.starts_with("smb2.") || line.starts_with("rpc.")) {
        let id = short(line);
        if !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
    }
    ids
}

/// True if `selector` selects `id`: equal to it, above it, or a pattern with `*` and `?` that matches.
pub fn selects(selector: &str, id: &str) -> bool {
    let below = id.strip_prefix(selector).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    below || glob(selector.as_bytes(), id.as_bytes())
}

/// Runs one test, killing it after `limit`.
pub fn run_test(target: &TortureTarget<'_>, id: &str, limit: Duration) -> Verdict {
    let scratch = target.scratch.display();
    let mut command = Command::new(target.program);
    command.arg(format!("//127.0.0.1/{}", target.share)).arg("-p").arg(target.port.to_string());
    command.arg("-U").arg(target.user.credentials());
    command.args(["--configfile=/dev/null", "--format=subunit", "--use-kerberos=off"]);
    command.arg(format!("--basedir={scratch}"));
    for option in ["lock directory", "state directory", "cache directory", "private dir"] {
        command.arg(format!("--option={option}={scratch}"));
    }
    if target.may_block {
        let script = repository().join("tools/iptables-tagged.sh");
        command.arg("--option=torture:use_iptables=yes");
        command.arg(format!("--option=torture:iptables_command={} {}", script.display(), target.port));
    }
    let options = OPTIONS.iter().filter(|(test, _)| *test == id);
    command.args(options.map(|(_, option)| format!("--option={option}")));
    command.arg(format!("--maximum-runtime={}", limit.as_secs() + 30)).arg(id);
    command.current_dir(target.scratch).env("LC_ALL", "C");
    let output = run(command, b"", limit);
    judge(&output, limit)
}

/// The options that describe the server to tests, which otherwise expect another one.
const OPTIONS: &[(&str, &str)] = &[
    // For versions after Windows 7, this test expects that an open for SYNCHRONIZE alone is refused, but
    // smb2.sharemode and smb2.getinfo expect that it is granted.
    ("smb2.create.gentest", "torture:win7=yes"),
];

/// Removes everything in a directory but not the directory.
pub fn empty(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory {
            fs::remove_dir_all(path).ok()
        } else {
            fs::remove_file(path).ok()
        };
    }
}

/// smbtorture lists `suite.case.test`; an SMB2 case of one test repeats its name, and is run by the shorter one.
fn short(listed: &str) -> &str {
    match listed.rsplit_once('.') {
        Some((front, last)) if front.contains('.') && front.ends_with(&format!(".{last}")) => front,
        _ => listed,
    }
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|skipped| glob(rest, &text[skipped..])),
        (Some((b'?', rest)), Some((_, tail))) => glob(rest, tail),
        (Some((a, rest)), Some((b, tail))) => a == b && glob(rest, tail),
        _ => false,
    }
}

fn judge(output: &Output, limit: Duration) -> Verdict {
    let (outcome, detail) = match reported(&output.stdout) {
        Some((outcome, detail)) if output.timed_out => (outcome, format!("[hung after result] {detail}")),
        Some(reported) => reported,
        None if output.timed_out => (Outcome::Timeout, format!("no result in {} s", limit.as_secs())),
        None => (Outcome::Crash, last_words(output)),
    };
    Verdict { outcome, detail, log: output.to_string(), took: output.took }
}

/// Parses subunit lines. If a case reports several tests, the worst result counts.
fn reported(stdout: &str) -> Option<(Outcome, String)> {
    let mut worst: Option<(Outcome, Vec<String>)> = None;
    let mut grabbing = false;
    for line in stdout.lines() {
        let outcome = match line.split_once(": ").map(|(word, _)| word) {
            Some("success" | "xfail") => Some(Outcome::Success),
            Some("failure" | "uxsuccess") => Some(Outcome::Failure),
            Some("error") => Some(Outcome::Error),
            Some("skip") => Some(Outcome::Skip),
            _ => None,
        };
        if let Some(outcome) = outcome {
            grabbing = worst.as_ref().is_none_or(|(known, _)| outcome > *known);
            if grabbing {
                worst = Some((outcome, Vec::new()));
                grabbing = line.ends_with('[');
            }
        } else if line.starts_with(']') {
            grabbing = false;
        } else if grabbing && !line.trim().is_empty() {
            worst.as_mut().expect("grabbing follows a result").1.push(clean(line));
        }
    }
    worst.map(|(outcome, lines)| (outcome, lines.join(" | ").chars().take(300).collect()))
}

fn clean(line: &str) -> String {
    line.replace(['\t', '\r'], " ").replace("../../source4/torture/", "").replace("source4/torture/", "")
}

fn last_words(output: &Output) -> String {
    let text = output.text();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with("time: ") && !line.starts_with("test: "))
        .collect();
    let telling = lines.iter().rev().find(|line| line.contains("PANIC") || line.contains("assert"));
    let line = telling.or(lines.last()).copied().unwrap_or_default();
    format!("exit {:?}: {}", output.status, clean(line).chars().take(250).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_suites_tests_or_globs() {
        assert!(selects("smb2.lock", "smb2.lock.contend"));
        assert!(selects("smb2.lock.contend", "smb2.lock.contend"));
        assert!(selects("smb2.lease.v2_*", "smb2.lease.v2_epoch1"));
        assert!(!selects("smb2.lock", "smb2.lockout"));
        assert!(!selects("smb2.read", "smb2.rename.read"));
        assert!(selects("smb2.replay.dhv2-pending*-windows", "smb2.replay.dhv2-pending1n-vs-oplock-windows"));
    }

    #[test]
    fn repeated_last_names_are_dropped() {
        assert_eq!(short("smb2.connect.connect"), "smb2.connect");
        assert_eq!(short("smb2.lock.lock.lock"), "smb2.lock.lock");
        assert_eq!(short("smb2.lock.contend"), "smb2.lock.contend");
    }

    #[test]
    fn the_worst_result_counts_with_its_reason() {
        let text = "test: a\nsuccess: a\ntest: b\nfailure: b [\n../../source4/torture/smb2/x.c:1: was\n]\nskip: c [\nno\n]\n";
        assert_eq!(reported(text), Some((Outcome::Failure, "smb2/x.c:1: was".into())));
        assert_eq!(reported("test: a\n"), None);
    }
}
