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
    /// The measurements.
    pub(crate) mode: Mode,
    /// The root of another system whose valgrind counts instructions; `None` for the installed one.
    pub(crate) valgrind: Option<PathBuf>,
    /// True if the other binary has no history.
    pub(crate) against_without_history: bool,
    /// True to measure also in directories of a million entries.
    pub(crate) million: bool,
}

/// The measurements of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The cases.
    Cases,
    /// The names of the cases.
    List,
    /// Our acceptor of Kerberos and MIT's.
    Acceptors,
    /// The history.
    History,
    /// Scrapes of the metrics.
    Scrape,
    /// Instructions of our server for each request.
    Instructions,
    /// The starts of both servers.
    Start,
    /// A source tree through the Linux kernel's client.
    Kernel,
    /// The memory of our server while all loads run.
    FullLoad {
        /// For so many minutes.
        minutes: usize,
    },
}

const USAGE: &str =
    "usage: bench [--quick] [--only NAME]... [--list] [--rounds N] [--seconds S] [--connections N]
             [--threads N] [--clients N] [--dir DIRECTORY] [--json FILE] [--ordinary] [--samba ROOT]
             [--compare FILE] [--chart FILE]
             [--against BINARY [--without-history]] [--million]
             [--acceptors | --history | --scrape | --start | --kernel | --full-load MINUTES |
              --instructions [--valgrind ROOT]]

  --quick        fewer cases and shorter, about a minute
  --only NAME    only cases whose name contains NAME; some are measured only if they are named
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
  --start        only the time from the start to the first answer, with 1,000 shares
  --kernel       only a source tree through the Linux kernel's client: unpacked, read, removed
  --full-load MINUTES  only our server's memory while all loads run, which must not grow
  --instructions only the instructions of our server for each request, which callgrind counts
  --valgrind ROOT  the root of another system, whose valgrind is used instead of the installed one
  --million      also the cases in directories of a million entries
  --ordinary     our server runs as an ordinary user; smbd is always root's";

/// Rounds at most, each being some seconds per case.
const ROUNDS_MAX: usize = 100;
/// Seconds of one load at most.
const SECONDS_MAX: f64 = 60.0;
/// The most connections around the quiet client: Samba has a process for each.
const CLIENTS_MAX: usize = 10_000;
/// Connections of a load beside them.
const CLIENTS_BESIDE: usize = 100;
/// The most connections; each has its own files.
const CONNECTIONS_MAX: usize = 64;
/// The longest full load: a week.
const MINUTES_MAX: usize = 7 * 24 * 60;

impl Options {
    /// The name of the server to compare with.
    pub(crate) fn peer(&self) -> &'static str {
        if self.against.is_some() { "other binary" } else { "samba" }
    }

    /// The connections of which each is active now and then: as many as the limit of descriptors, which the servers
    /// inherit, allows. Our server gives five sixteenths of it to connections, and keeps a sixteenth of these for
    /// administrators; some clients come and go beside the crowd.
    pub(crate) fn clients(&self) -> usize {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let connections = limit / 16 * 5;
        self.clients.min((connections - connections / 16).saturating_sub(CLIENTS_BESIDE))
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
            mode: Mode::Cases,
            valgrind: None,
            against_without_history: false,
            million: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--quick" => {}
                "--acceptors" => options.mode = Mode::Acceptors,
                "--history" => options.mode = Mode::History,
                "--scrape" => options.mode = Mode::Scrape,
                "--start" => options.mode = Mode::Start,
                "--kernel" => options.mode = Mode::Kernel,
                "--instructions" => options.mode = Mode::Instructions,
                "--full-load" => {
                    options.mode = Mode::FullLoad { minutes: number(value()?, 1, MINUTES_MAX)? };
                }
                "--valgrind" => options.valgrind = Some(value()?.into()),
                "--without-history" => options.against_without_history = true,
                "--list" => options.mode = Mode::List,
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
        let is_named = self.only.iter().any(|part| case.name.contains(part.as_str()));
        let is_usual = self.only.is_empty() && !case.is_extra() && (case.quick || !self.quick);
        (is_named || is_usual) && (self.million || !case.needs_million())
    }
}

fn number(text: &str, min: usize, max: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("{text} is not between {min} and {max}\n{USAGE}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    fn measured(arguments: &[&str]) -> Vec<&'static str> {
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        let options = Options::parse(&arguments).unwrap();
        let wanted = cases::all().iter().filter(|case| options.wants_case(case));
        wanted.map(|case| case.name).collect()
    }

    #[test]
    fn some_cases_are_measured_only_if_they_are_named() {
        assert!(!measured(&[]).contains(&"explorer"));
        assert!(!measured(&["--quick"]).contains(&"durable"));
        assert_eq!(measured(&["--only", "explorer"]), ["explorer"]);
        assert!(!measured(&["--only", "big-directory"]).contains(&"big-directory-all-1m"));
        assert!(measured(&["--only", "big-directory", "--million"]).contains(&"big-directory-all-1m"));
    }
}
