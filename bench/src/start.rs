//! `--start`: the time from the start of a server to its first answer, with a thousand shares.
//!
//! The clock runs from the `exec` of the server's program, which a shell announces on a pipe, to the answer to a
//! NEGOTIATE. The processor time is that of all threads of the server until then, which other work on the machine
//! disturbs less.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use testkit::{Samba, Setup, Shareward, is_root};

use crate::options::Options;
use crate::report::{significant, spread};
use crate::{data, progress, say, servers};

/// Shares, beside the one of the other measurements.
const SHARES: usize = 1_000;

/// The goal for the time of our server.
const START_MAX: Duration = Duration::from_millis(50);

/// A server that does not answer after this time does not start.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Between two attempts to connect.
const ATTEMPT_EVERY: Duration = Duration::from_micros(200);

/// Measures and prints. Fails if a server does not start.
pub(crate) fn main(options: &Options) -> ExitCode {
    match measure(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            say(&format!("the starts cannot be measured: {reason}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), String> {
    if !is_root() {
        return Err("smbd needs root, and with it this".into());
    }
    let tree = data::make(&options.directory, 0).map_err(|error| error.to_string())?;
    let setup = with_shares(servers::setup(tree.path(), options), tree.path());
    progress("starting the servers for the first time");
    let mut ours = Shareward::start(&setup);
    ours.kill();
    let mut samba = Samba::start(&setup);
    samba.kill();
    let mut starts = [
        Start::of("shareward", ours.address(), &ours.configured_command(&["serve"])),
        Start::of("samba", samba.address(), &samba.server_command()),
    ];
    for _ in 0..options.rounds {
        for start in &mut starts {
            start.once().map_err(|error| format!("{}: {error}", start.name))?;
        }
    }
    say(&format!(
        "From the start to the first answer, with {SHARES} shares; the median of {} starts (min..max):\n\n\
         | server | time | processor time |\n|---|---:|---:|",
        options.rounds
    ));
    for start in &starts {
        let shown = |times: &[f64]| {
            spread(times.iter().copied()).map_or_else(
                || "-".into(),
                |it| {
                    format!(
                        "{} ms ({}..{})",
                        significant(it.median),
                        significant(it.min),
                        significant(it.max)
                    )
                },
            )
        };
        let is_ours = start.name == "shareward";
        let median = spread(start.times.iter().copied()).map_or(f64::INFINITY, |it| it.median);
        let is_late = is_ours && median > START_MAX.as_secs_f64() * 1e3;
        let missed = if is_late { ", above the goal" } else { "" };
        say(&format!("| {} | {}{missed} | {} |", start.name, shown(&start.times), shown(&start.processor)));
    }
    Ok(())
}

fn with_shares(mut setup: Setup, tree: &Path) -> Setup {
    let path = tree.join("small");
    for number in 0..SHARES {
        write!(setup.extra, "\n[[share]]\nname = \"share{number}\"\npath = \"{}\"\n", path.display()).ok();
        write!(setup.extra_samba, "\n[share{number}]\npath = {}\nread only = no\n", path.display()).ok();
    }
    setup
}

/// The starts of one server.
struct Start {
    name: &'static str,
    address: SocketAddr,
    program: OsString,
    arguments: Vec<OsString>,
    /// Milliseconds of each start.
    times: Vec<f64>,
    processor: Vec<f64>,
}

impl Start {
    /// A server that this command starts. The command has a script that makes the server's mounts and becomes it.
    fn of(name: &'static str, address: SocketAddr, command: &Command) -> Self {
        let announced = |argument: &OsStr| match argument.to_str() {
            Some(script) if script.contains("exec ") => script.replace("exec ", "printf . && exec ").into(),
            _ => argument.to_owned(),
        };
        let arguments = command.get_args().map(announced).collect();
        let program = command.get_program().to_owned();
        Self { name, address, program, arguments, times: Vec::new(), processor: Vec::new() }
    }

    /// Starts it, waits for the answer, and ends it.
    fn once(&mut self) -> std::io::Result<()> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = Running(command.spawn()?);
        let mut output = server.0.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        output.read_exact(&mut [0; 1])?;
        let begun = Instant::now();
        // The rest of the output is of no interest, but the pipe must not fill.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        while !self.answers() {
            if begun.elapsed() > ANSWER_MAX || server.0.try_wait()?.is_some() {
                return Err(std::io::Error::other("it does not answer"));
            }
            std::thread::sleep(ATTEMPT_EVERY);
        }
        self.times.push(begun.elapsed().as_secs_f64() * 1e3);
        self.processor.push(processor_milliseconds(server.0.id()));
        drop(server);
        // The next start needs the port.
        while TcpStream::connect(self.address).is_ok() {
            std::thread::sleep(ATTEMPT_EVERY);
        }
        Ok(())
    }

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<()> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(ANSWER_MAX))?;
            stream.write_all(&testkit::negotiate())?;
            stream.read_exact(&mut [0; 4])
        };
        ask().is_ok()
    }
}

/// A server with its children; dropping it ends them.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            kill_process_group(group, Signal::KILL).ok();
        }
        self.0.wait().ok();
    }
}

/// The processor time of all threads of a process (proc(5), `schedstat`) since its start, in milliseconds. The shell
/// before it is part of that: a millisecond.
fn processor_milliseconds(pid: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanoseconds = tasks.filter_map(|task| {
        let mut text = String::new();
        File::open(task.path().join("schedstat")).ok()?.read_to_string(&mut text).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e6
}
