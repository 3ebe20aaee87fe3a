//! The helper process that runs the commands of notices. The server's sandbox lets it execute no program, so this process
//! is started before the server enters the sandbox. It gets the list of commands at its start, and the server names one
//! of them by its number: a client that takes over the server cannot run other programs through the helper.
//!
//! It is two processes: the first one only starts the second one, which does the work, and starts it again if it dies. Both
//! have the server's pipes. If both die, nothing can start them again, because the server itself cannot; the server says so.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::Notice;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::NotDelivered;
use crate::core::config::{NoticeTarget, Settings};

/// The only argument of the helper process.
pub const HELPER_WORD: &str = "notice-helper";

/// The variable with the commands, for the second process. Only the same user and root can read it.
const COMMANDS_VARIABLE: &str = "SHAREWARD_NOTICE_COMMANDS";

/// A request to the helper, on a line.
#[derive(Debug, Serialize, Deserialize)]
struct Job {
    id: u64,
    /// The index of the command.
    command: usize,
    event: String,
    /// The notice in JSON, for standard input.
    notice: String,
}

/// An answer of the helper, on a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// A command has ended; with the reason of a failure.
    Done { id: u64, error: Option<String> },
    /// The process that runs the commands has died and is started again; what it was doing is lost.
    Restarted { reason: String },
}

/// The outcome of a command.
type Outcome = Result<(), NotDelivered>;

/// The deliveries that wait for the end of their command; `None` when the helper has ended.
type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Outcome>>>>>;

/// The server's end of the helper process, which ends when this is dropped.
pub(crate) struct Helper {
    commands: Vec<Vec<String>>,
    input: Arc<Mutex<ChildStdin>>,
    waiting: Waiting,
    last: Mutex<u64>,
    _child: Child,
}

/// A helper process that was started before the server's threads.
pub(crate) struct StartedHelper {
    commands: Vec<Vec<String>>,
    input: ChildStdin,
    output: ChildStdout,
    child: Child,
}

impl StartedHelper {
    /// Starts the helper if the settings have notices with commands. It must be called before the sandbox is entered.
    pub(crate) fn start(settings: &Settings) -> io::Result<Option<Self>> {
        let of = |target: &NoticeTarget| match target {
            NoticeTarget::Command(command) => Some(command.clone()),
            NoticeTarget::Webhook { .. } => None,
        };
        let mut commands: Vec<_> = settings.notices.iter().filter_map(|it| of(&it.target)).collect();
        let fence = settings.cluster.as_ref().map(|it| it.fence_command.clone());
        commands.extend(fence.filter(|it| !it.is_empty()));
        let address = settings.cluster.as_ref().map(|it| it.address_command.clone());
        commands.extend(address.filter(|it| !it.is_empty()));
        if commands.is_empty() {
            return Ok(None);
        }
        let mut command = Command::new(std::env::current_exe()?);
        // An interrupt at the terminal is for the server, which then ends the helper.
        command.arg(HELPER_WORD).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut line = serde_json::to_vec(&commands)?;
        line.push(b'\n');
        input.write_all(&line)?;
        Ok(Some(Self { commands, input, output, child }))
    }

    /// Begins to read the answers of the helper, on a thread of the server.
    pub(crate) fn attach(self) -> io::Result<Helper> {
        let Self { commands, input, output, child } = self;
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let answered = Arc::clone(&waiting);
        std::thread::Builder::new().name(String::from("notices")).spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                // A process that died may have left a part of a line.
                let Ok(answer) = serde_json::from_str(&line) else { continue };
                take_answer(&answered, answer);
            }
            // Those that wait learn that nobody answers. The server itself ends the helper when it stops.
            if answered.lock().take().is_none() {
                return;
            }
            tracing::error!(
                "the process that runs the commands of notices has ended; commands run again after a restart of the server"
            );
        })?;
        let input = Arc::new(Mutex::new(input));
        Ok(Helper { commands, input, waiting, last: Mutex::new(0), _child: child })
    }
}

/// Passes an answer to the deliveries that it is for.
fn take_answer(waiting: &Waiting, answer: Answer) {
    let mut waiting = waiting.lock();
    let Some(all) = waiting.as_mut() else { return };
    match answer {
        Answer::Done { id, error } => {
            if let Some(sender) = all.remove(&id) {
                // The delivery may have given up.
                let _ = sender.send(error.map_or(Ok(()), |error| Err(NotDelivered::ForGood(error))));
            }
        }
        Answer::Restarted { reason } => {
            tracing::warn!(reason, "the process that runs the commands of notices died and is started again");
            for (_, sender) in all.drain() {
                let reason = String::from("the process that runs commands has died");
                let _ = sender.send(Err(NotDelivered::ForNow(reason)));
            }
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        *self.waiting.lock() = None;
    }
}

impl Helper {
    /// The reason why the command cannot run before the server is restarted; `None` if it can.
    pub(super) fn problem(&self, command: &[String]) -> Option<&'static str> {
        match self.commands.iter().any(|it| it == command) {
            false => Some(NEW_COMMAND),
            true => self.waiting.lock().is_none().then_some(HELPER_ENDED),
        }
    }

    /// Runs the command with the notice on its standard input, and waits for its end.
    pub(super) async fn run(&self, command: &[String], notice: &Notice) -> Result<(), NotDelivered> {
        let text = serde_json::to_string(notice).map_err(|error| NotDelivered::ForGood(error.to_string()))?;
        self.try_to_run(command, notice.event.name(), text).await
    }

    /// Runs the command with a text on its standard input, and waits for its end. The error is the reason of a failure.
    pub(crate) async fn run_text(&self, command: &[String], event: &str, text: String) -> Result<(), String> {
        let ran = self.try_to_run(command, event, text).await;
        ran.map_err(|(NotDelivered::ForNow(reason) | NotDelivered::ForGood(reason))| reason)
    }

    async fn try_to_run(&self, command: &[String], event: &str, text: String) -> Result<(), NotDelivered> {
        let for_good = |reason: &str| NotDelivered::ForGood(reason.to_owned());
        let place = self.commands.iter().position(|it| it == command);
        let place = place.ok_or_else(|| for_good(NEW_COMMAND))?;
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut last = self.last.lock();
            *last = last.wrapping_add(1);
            *last
        };
        match self.waiting.lock().as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(for_good(HELPER_ENDED)),
        };
        let job = Job { id, command: place, event: event.to_owned(), notice: text };
        let mut line = serde_json::to_vec(&job).map_err(|error| for_good(&error.to_string()))?;
        line.push(b'\n');
        let input = Arc::clone(&self.input);
        // The pipe is full while the helper has as many commands as it runs at the same time.
        let written = crate::core::blocking::run(move || input.lock().write_all(&line)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(for_good(&format!("{HELPER_ENDED}: {error}"))),
            Err(_) => return Err(for_good("the server stops")),
        }
        receiver.await.unwrap_or_else(|_| Err(for_good(HELPER_ENDED)))
    }
}

/// Runs the helper process, until standard input ends.
pub fn run_helper() -> io::Result<()> {
    match std::env::var(COMMANDS_VARIABLE) {
        Ok(commands) => run_commands(&serde_json::from_str::<Vec<Vec<String>>>(&commands)?),
        Err(_) => keep_running(),
    }
}

/// Reads the commands from standard input and runs the process for them, again whenever it dies.
fn keep_running() -> io::Result<()> {
    let commands = first_line()?;
    if commands.is_empty() {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    loop {
        // It has the same standard input and output.
        let status = Command::new(&program).arg(HELPER_WORD).env(COMMANDS_VARIABLE, &commands).status()?;
        if status.success() {
            return Ok(());
        }
        answer(&Answer::Restarted { reason: status.to_string() });
        std::thread::sleep(RESTART_PAUSE);
    }
}

/// The first line of standard input, of which nothing else is read: the rest is for another process.
fn first_line() -> io::Result<String> {
    let mut line = Vec::new();
    let input = io::stdin();
    loop {
        let mut byte = [0];
        if rustix::io::read(&input, &mut byte)? == 0 || byte == *b"\n" {
            return String::from_utf8(line).map_err(io::Error::other);
        }
        line.extend(byte);
    }
}

/// Reads requests from standard input and runs their commands, until it ends.
fn run_commands(commands: &[Vec<String>]) -> io::Result<()> {
    let running = Arc::new((Mutex::new(0_usize), Condvar::new()));
    for line in io::stdin().lock().lines() {
        // A process that died may have read the first part of a line. The server sends that request again.
        let Ok(job) = serde_json::from_str::<Job>(&line?) else { continue };
        let command = commands.get(job.command).cloned();
        let (count, freed) = &*running;
        let mut now = count.lock();
        while *now >= COMMANDS_AT_ONCE {
            freed.wait(&mut now);
        }
        *now = now.saturating_add(1);
        drop(now);
        let running = Arc::clone(&running);
        std::thread::spawn(move || {
            let error = match command {
                Some(command) => run_command(&command, &job).err(),
                None => Some(String::from("there is no such command")),
            };
            answer(&Answer::Done { id: job.id, error });
            let (count, freed) = &*running;
            let mut now = count.lock();
            *now = now.saturating_sub(1);
            freed.notify_one();
        });
    }
    Ok(())
}

/// Writes an answer; if the server is gone, nobody needs it.
fn answer(answer: &Answer) {
    let Ok(mut line) = serde_json::to_vec(answer) else { return };
    line.push(b'\n');
    let mut output = io::stdout().lock();
    let _ = output.write_all(&line).and_then(|()| output.flush());
}

/// Runs a command to its end, or for [`COMMAND_TIME_MAX`].
fn run_command(command: &[String], job: &Job) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("the command is empty")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("SHAREWARD_EVENT", &job.event)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Its children end with it when its time is over.
        .process_group(0);
    let mut child = command.spawn().map_err(|error| format!("cannot run {program}: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        let notice = job.notice.clone();
        // A command need not read it, and one that hangs must not hang this thread.
        std::thread::spawn(move || input.write_all(notice.as_bytes()));
    }
    let (said, heard) = std::sync::mpsc::channel();
    if let Some(output) = child.stderr.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = output.take(SAID_MAX).read_to_end(&mut bytes);
            let text = String::from_utf8_lossy(&bytes).trim().replace(|it: char| it.is_control(), " ");
            // The command may be over since long, if its children keep the pipe.
            let _ = said.send(text);
        });
    }
    let deadline = Instant::now() + COMMAND_TIME_MAX;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(POLL),
            Ok(None) => {
                let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
                if let Some(group) = group {
                    // If it has just ended, there is nothing to kill.
                    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                }
                let _ = child.wait();
                return Err(format!("{program} was killed: it ran for {} s", COMMAND_TIME_MAX.as_secs()));
            }
            Err(error) => return Err(format!("cannot wait for {program}: {error}")),
        }
    };
    if status.success() {
        return Ok(());
    }
    let said = heard.recv_timeout(SAID_TIME).ok().filter(|it| !it.is_empty());
    Err(format!("{program} ended with {status}{}", said.map(|it| format!(": {it}")).unwrap_or_default()))
}

/// The reason why a command does not run: the helper was started without it.
pub(super) const NEW_COMMAND: &str = "a new command runs only after a restart of the server";

/// The reason why no command runs.
const HELPER_ENDED: &str = "the process that runs commands has ended; it needs a restart of the server";

/// The pause before a helper that died is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The commands that run at the same time: enough that one that hangs does not delay the others.
const COMMANDS_AT_ONCE: usize = 4;

/// The time for a command, which sends a message.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(30);

/// The bytes of a command's errors in the log.
const SAID_MAX: u64 = 500;

/// The time to wait for these after the command has ended.
const SAID_TIME: Duration = Duration::from_millis(200);

/// The interval of looks at a command.
const POLL: Duration = Duration::from_millis(20);
