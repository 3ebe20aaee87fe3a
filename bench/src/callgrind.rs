//! Our server under callgrind, valgrind's counter of instructions: its counts are the same on a busy machine and on an
//! idle one, and no processor has to support them.
//!
//! Valgrind interprets the server's own code, so what the kernel does is not counted, and the code for AES is the one
//! for processors without AVX-512. The server runs as it is deployed, but for its sandbox: valgrind has no seccomp(2),
//! and its files would be out of reach.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use client::smb::{ClientConnection, Error};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::say;

/// The argument with which this program becomes the command that follows, from which the kernel hides the auxiliary
/// vector of the process: it is valgrind's, and `rustix` would look at memory that the server does not have.
pub(crate) const WITHOUT_AUXILIARY_VECTOR: &str = "--without-auxiliary-vector";

/// PR_GET_AUXV of prctl(2), since Linux 6.4. Without it, `rustix` reads /proc/self/auxv, which valgrind answers.
const PR_GET_AUXV: u64 = 0x4155_5856;

/// Between two requests to the server while callgrind is to do something: it looks for commands only while the server
/// runs.
const POKE_EVERY: Duration = Duration::from_millis(25);

/// The debugger's program sends its command within this time.
const SEND_MAX: Duration = Duration::from_secs(2);

/// Callgrind does a command after this time, or not at all.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// Runs the command in place of this program.
pub(crate) fn run(command: &[String]) -> ExitCode {
    let Some((program, arguments)) = command.split_first() else {
        say("no command to run");
        return ExitCode::from(2);
    };
    if let Err(error) = hide_auxiliary_vector() {
        say(&format!("the auxiliary vector cannot be hidden: {error}"));
        return ExitCode::FAILURE;
    }
    let error = Command::new(program).args(arguments).exec();
    say(&format!("{program}: {error}"));
    ExitCode::FAILURE
}

fn hide_auxiliary_vector() -> Result<(), Box<dyn std::error::Error>> {
    let is_it = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, PR_GET_AUXV)?;
    let rules = [(libc::SYS_prctl, vec![SeccompRule::new(vec![is_it])?])].into();
    let refused = SeccompAction::Errno(libc::EINVAL.unsigned_abs());
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)?.try_into()?;
    Ok(seccompiler::apply_filter(&filter)?)
}

/// The programs of valgrind, and the files of a run.
pub(crate) struct Callgrind {
    /// The root of another system; `None` for this one.
    root: Option<PathBuf>,
    files: TempDir,
}

impl Callgrind {
    /// Finds valgrind below `root`, or the installed one.
    pub(crate) fn find(root: Option<&Path>) -> Result<Self, String> {
        let root = root.map(std::path::absolute).transpose().map_err(|error| error.to_string())?;
        let files = tempfile::tempdir().map_err(|error| error.to_string())?;
        let found = Self { root, files };
        let (program, environment) = found.valgrind();
        let version = Command::new(program).arg("--version").envs(environment).output();
        match version.map(|output| output.status.success()) {
            Ok(true) => Ok(found),
            Ok(false) | Err(_) => Err("there is no valgrind to count instructions with".into()),
        }
    }

    fn valgrind(&self) -> (PathBuf, Option<(&'static str, PathBuf)>) {
        let Some(root) = &self.root else { return ("valgrind".into(), None) };
        (root.join("usr/bin/valgrind"), Some(("VALGRIND_LIB", root.join("usr/libexec/valgrind"))))
    }

    /// A program that is `server`, and serves under callgrind.
    pub(crate) fn wrapped(&self, server: &Path) -> io::Result<PathBuf> {
        let (valgrind, environment) = self.valgrind();
        let environment = environment.map(|(name, value)| format!("{name}='{}' ", value.display()));
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = serve ] || exec '{server}' \"$@\"\n\
             {environment}exec '{this}' {WITHOUT_AUXILIARY_VECTOR} '{valgrind}' --tool=callgrind \
             --callgrind-out-file='{out}' '{server}' \"$@\"\n",
            environment = environment.unwrap_or_default(),
            this = std::env::current_exe()?.display(),
            valgrind = valgrind.display(),
            out = self.files.path().join(OUT).display(),
            server = server.display(),
        );
        let path = self.files.path().join("server");
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// The instructions of the server with this process id during the work and for the time `settle` after it. The
    /// connection is to the server.
    pub(crate) async fn count<T>(
        &self,
        pid: u32,
        connection: &ClientConnection,
        settle: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<(f64, T), Error> {
        tokio::time::sleep(settle).await;
        self.command(pid, "zero", connection).await?;
        let result = work.await?;
        tokio::time::sleep(settle).await;
        self.command(pid, "dump", connection).await?;
        Ok((self.total().map_err(Error::Io)?, result))
    }

    /// The count that callgrind has written, which is removed. Each process numbers its files.
    fn total(&self) -> io::Result<f64> {
        for entry in fs::read_dir(self.files.path())? {
            let path = entry?.path();
            if !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(OUT_DOT)) {
                continue;
            }
            let text = fs::read_to_string(&path)?;
            fs::remove_file(&path)?;
            let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
            if let Some(total) = total {
                return Ok(total);
            }
        }
        Err(io::Error::other("callgrind counted nothing"))
    }

    /// Gives callgrind a command and lets the server work until it is done.
    async fn command(&self, pid: u32, name: &str, connection: &ClientConnection) -> Result<(), Error> {
        let mut command = match &self.root {
            None => tokio::process::Command::new("vgdb"),
            Some(root) => {
                // With the libraries of its system, which are newer than those of this one.
                let mut command = tokio::process::Command::new(root.join("lib64/ld-linux-x86-64.so.2"));
                command.arg("--library-path").arg(root.join("usr/lib/x86_64-linux-gnu"));
                command.arg(root.join("usr/bin/vgdb"));
                command
            }
        };
        // Without ptrace(2), which leaves the server stopped.
        command.arg("--max-invoke-ms=0").arg(format!("--pid={pid}")).arg(name);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(Error::Io)?;
        let (asked, refused) = (Instant::now(), Error::Unable("callgrind does not do what it is asked"));
        // The work of the server before it gets the command would count.
        let mut messages = child.stderr.take().map(|stderr| BufReader::new(stderr).lines());
        let is_sent = async {
            while let Some(line) = messages.as_mut()?.next_line().await.ok()? {
                if line.starts_with("sending command") {
                    return Some(());
                }
            }
            None
        };
        tokio::time::timeout(SEND_MAX, is_sent).await.ok();
        loop {
            connection.echo().await?;
            match tokio::time::timeout(POKE_EVERY, child.wait()).await {
                Ok(Ok(status)) if status.success() => return Ok(()),
                Ok(Ok(_)) => return Err(refused),
                Ok(Err(error)) => return Err(Error::Io(error)),
                Err(_) if asked.elapsed() > COMMAND_MAX => {
                    return Err(Error::Unable("callgrind does not answer"));
                }
                Err(_) => {}
            }
        }
    }
}

/// The name of the files with counts.
const OUT: &str = "counts";

/// The begin of the names of dumps.
const OUT_DOT: &[u8] = b"counts.";
