//! The helper process that runs the commands of notices. The server's sandbox lets it execute no program, so this process
//! is started before the server enters the sandbox. It gets the list of commands at its start, and the server names one
//! of them by its number: a client that takes over the server cannot run other programs through the helper.

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
struct Done {
    id: u64,
    /// The reason of a failure.
    error: Option<String>,
}

/// The deliveries that wait for the end of their command; `None` when the helper has ended.
type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Option<String>>>>>>;

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
                let done = line.ok().and_then(|line| serde_json::from_str::<Done>(&line).ok());
                let Some(Done { id, error }) = done else { break };
                let sender = answered.lock().as_mut().and_then(|all| all.remove(&id));
                if let Some(sender) = sender {
                    // The delivery may have given up.
                    let _ = sender.send(error);
                }
            }
            // Those that wait learn that nobody answers.
            *answered.lock() = None;
        })?;
        let input = Arc::new(Mutex::new(input));
        Ok(Helper { commands, input, waiting, last: Mutex::new(0), _child: child })
    }
}

impl Helper {
    /// True if the helper can run the command.
    pub(super) fn knows(&self, command: &[String]) -> bool {
        self.commands.iter().any(|it| it == command)
    }

    /// Runs the command with the notice on its standard input, and waits for its end.
    pub(super) async fn run(&self, command: &[String], notice: &Notice) -> Result<(), NotDelivered> {
        let text = serde_json::to_string(notice).map_err(|error| NotDelivered::ForGood(error.to_string()))?;
        self.run_text(command, notice.event.name(), text).await.map_err(NotDelivered::ForGood)
    }

    /// Runs the command with a text on its standard input, and waits for its end. The error is the reason of a failure.
    pub(crate) async fn run_text(&self, command: &[String], event: &str, text: String) -> Result<(), String> {
        let for_good = |reason: &str| reason.to_owned();
        let place = self.commands.iter().position(|it| it == command);
        let place = place.ok_or_else(|| for_good("a new command runs only after a restart of the server"))?;
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut last = self.last.lock();
            *last = last.wrapping_add(1);
            *last
        };
        match self.waiting.lock().as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(for_good("the process that runs commands has ended")),
        };
        let job = Job { id, command: place, event: event.to_owned(), notice: text };
        let mut line = serde_json::to_vec(&job).map_err(|error| for_good(&error.to_string()))?;
        line.push(b'\n');
        let input = Arc::clone(&self.input);
        // The pipe is full while the helper has as many commands as it runs at the same time.
        let written = crate::core::blocking::run(move || input.lock().write_all(&line)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                return Err(for_good(&format!("the process that runs commands has ended: {error}")));
            }
            Err(_) => return Err(for_good("the server stops")),
        }
        match receiver.await {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(error),
            Err(_) => Err(for_good("the process that runs commands has ended")),
        }
    }
}

/// Runs the helper process: reads the commands and then requests from standard input, until that ends.
pub fn run_helper() -> io::Result<()> {
    let mut lines = io::stdin().lock().lines();
    let commands: Vec<Vec<String>> = match lines.next() {
        Some(line) => serde_json::from_str(&line?)?,
        None => return Ok(()),
    };
    let running = Arc::new((Mutex::new(0_usize), Condvar::new()));
    for line in lines {
        let job: Job = serde_json::from_str(&line?)?;
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
            answer(&Done { id: job.id, error });
            let (count, freed) = &*running;
            let mut now = count.lock();
            *now = now.saturating_sub(1);
            freed.notify_one();
        });
    }
    Ok(())
}

/// Writes an answer; if the server is gone, nobody needs it.
fn answer(done: &Done) {
    let Ok(mut line) = serde_json::to_vec(done) else { return };
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
