//! The options on the command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::cases::Case;

/// The options of the benchmark.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Fewer cases, for a shorter time.
    pub(crate) quick: bool,
    /// Only cases whose name contains one of these.
    pub(crate) only: Vec<String>,
    /// Rounds, each on both servers.
    pub(crate) rounds: usize,
    /// The duration of a load.
    pub(crate) load: Duration,
    /// Connections at the same time.
    pub(crate) connections: usize,
    /// Connections of which each is active now and then.
    pub(crate) clients: usize,
    /// Threads of the load generator.
    pub(crate) threads: usize,
    /// The parent of the directory tree.
    pub(crate) directory: PathBuf,
    /// The file for the figures; by default in the build directory.
    pub(crate) json: Option<PathBuf>,
    /// The binary of another shareward to compare with, instead of Samba.
    pub(crate) against: Option<PathBuf>,
    /// The figures of an earlier run to compare with.
    pub(crate) compare: Option<PathBuf>,
    /// The file for the chart.
    pub(crate) chart: Option<PathBuf>,
    /// The root of another system whose Samba is the peer; `None` for the installed one.
    pub(crate) samba: Option<PathBuf>,
    /// True if our server runs as an ordinary user instead of as root, which smbd requires.
    pub(crate) ordinary: bool,
    /// True to compare the acceptors of Kerberos only.
    pub(crate) acceptors: bool,
    /// True to measure the history only.
    pub(crate) history: bool,
    /// True to measure scrapes of the metrics only.
    pub(crate) scrape: bool,
    /// True if the other binary has no history.
    pub(crate) against_without_history: bool,
    /// True to measure also in directories of a million entries.
    pub(crate) million: bool,
    /// True to list the cases only.
    pub(crate) list: bool,
}

const USAGE: &str =
    "usage: bench [--quick] [--only NAME]... [--list] [--rounds N] [--seconds S] [--connections N]
             [--threads N] [--clients N] [--dir DIRECTORY] [--json FILE] [--ordinary] [--samba ROOT]
             [--compare FILE] [--chart FILE]
             [--against BINARY [--without-history]] [--acceptors] [--history] [--scrape] [--million]

  --quick        fewer cases and shorter, about a minute
  --only NAME    only cases whose name contains NAME
  --list         list the cases and exit
  --rounds N     rounds, each on both servers (7; quick: 3)
  --seconds S    how long each load lasts (1.5; quick: 0.5)
  --connections  connections at the same time (4)
  --clients N    connections around the quiet client (1000; quick: 100)
  --threads N    threads of the load generator (half of the processors)
  --dir          where the directory tree is made (the temporary directory)
  --json FILE    where the figures go (bench.json in the build directory)
  --compare FILE hold the ratios against those of an earlier run, which --json wrote
  --chart FILE   write a chart of the processor time (SVG)
  --against      another binary of shareward to compare with, instead of Samba
  --samba ROOT   the root of another system, whose Samba is the peer instead of the installed one
  --acceptors    only the time that our acceptor of Kerberos and MIT's take for an AP-REQ
  --without-history  the other binary records no history
  --history      only the history: the cost of an entry, and searches among ten million
  --scrape       only the time of a scrape of the metrics, with up to 100,000 opens
  --million      also the cases in directories of a million entries
  --ordinary     our server runs as an ordinary user; smbd is always root's";

/// Rounds at most, each being some seconds per case.
const ROUNDS_MAX: usize = 100;
/// Seconds of one load at most.
const SECONDS_MAX: f64 = 60.0;
/// The most connections around the quiet client: Samba has a process for each.
const CLIENTS_MAX: usize = 10_000;
/// The most connections; each has its own files.
const CONNECTIONS_MAX: usize = 64;

impl Options {
    /// The name of the server to compare with.
    pub(crate) fn peer(&self) -> &'static str {
        if self.against.is_some() { "other binary" } else { "samba" }
    }

    /// The options, or the text to print instead.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let quick = arguments.iter().any(|argument| argument == "--quick");
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut options = Self {
            quick,
            only: Vec::new(),
            rounds: if quick { 3 } else { 7 },
            load: Duration::from_secs_f64(if quick { 0.5 } else { 1.5 }),
            connections: 4,
            clients: if quick { 100 } else { 1000 },
            threads: (processors / 2).max(1),
            directory: std::env::temp_dir(),
            json: None,
            against: None,
            compare: None,
            chart: None,
            samba: None,
            ordinary: false,
            acceptors: false,
            history: false,
            scrape: false,
            against_without_history: false,
            million: false,
            list: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--quick" => {}
                "--acceptors" => options.acceptors = true,
                "--history" => options.history = true,
                "--scrape" => options.scrape = true,
                "--without-history" => options.against_without_history = true,
                "--list" => options.list = true,
                "--million" => options.million = true,
                "--ordinary" => options.ordinary = true,
                "--against" => options.against = Some(value()?.into()),
                "--compare" => options.compare = Some(value()?.into()),
                "--chart" => options.chart = Some(value()?.into()),
                "--samba" => options.samba = Some(value()?.into()),
                "--only" => options.only.push(value()?.clone()),
                "--rounds" => options.rounds = number(value()?, 1, ROUNDS_MAX)?,
                "--connections" => options.connections = number(value()?, 1, CONNECTIONS_MAX)?,
                "--clients" => options.clients = number(value()?, 1, CLIENTS_MAX)?,
                "--threads" => options.threads = number(value()?, 1, 64)?,
                "--dir" => options.directory = value()?.into(),
                "--json" => options.json = Some(value()?.into()),
                "--seconds" => {
                    let seconds: f64 = value()?.parse().map_err(|_| USAGE.to_owned())?;
                    if !(0.01..=SECONDS_MAX).contains(&seconds) {
                        return Err(format!("between 0.01 and {SECONDS_MAX} seconds\n{USAGE}"));
                    }
                    options.load = Duration::from_secs_f64(seconds);
                }
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }

    /// True if the case is to be measured.
    pub(crate) fn wants_case(&self, case: &Case) -> bool {
        self.wants(case.name, case.quick) && (self.million || !case.needs_million())
    }

    /// True if a case of this name is asked for.
    fn wants(&self, name: &str, quick: bool) -> bool {
        if self.only.is_empty() {
            quick || !self.quick
        } else {
            self.only.iter().any(|part| name.contains(part.as_str()))
        }
    }
}

fn number(text: &str, min: usize, max: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("{text} is not between {min} and {max}\n{USAGE}"))
}
