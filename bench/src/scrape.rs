//! `cargo xtask bench --scrape`: the time of a scrape of `/metrics`, with more and more opens. The figures are counters and
//! lengths of tables, so that the time must not grow with them.
//!
//! The limit of descriptors bounds the opens; with `--vm` it can be raised.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::smb::Error;
use testkit::{Setup, Shareward, free_port};

use crate::data;
use crate::listing::{hold, opens_possible, release};
use crate::options::Options;
use crate::say;
use crate::servers::{Protection, Target, setup};

/// The numbers of opens; those beyond the limit of descriptors become that limit.
const OPENS: [usize; 4] = [0, 5_000, 15_000, 100_000];

/// The scrapes with each number, on one connection, as Prometheus keeps one.
const SCRAPES: usize = 500;

/// The most that a scrape may take, in the median.
const SCRAPE_MAX: Duration = Duration::from_millis(5);

/// The time for an answer, after which the server hangs.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Measures and prints. Fails if a scrape takes too long.
pub(crate) fn main(options: &Options, runtime: &tokio::runtime::Runtime) -> ExitCode {
    match runtime.block_on(measure(options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            say(&format!("a scrape takes longer than {} ms", SCRAPE_MAX.as_millis()));
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("the scrapes cannot be measured: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: &Options) -> Result<bool, Failed> {
    let tree = data::make(&options.directory, 0)?;
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = setup(tree.path(), options);
    let metrics = format!("\n[metrics]\nlisten = [\"{address}\"]\nper_share = true\n");
    let server = Shareward::start(&Setup { extra: setup.extra.clone() + &metrics, ..setup });
    let target = Target::alone(&server, tree.path());
    let possible = opens_possible();
    let mut is_fast = true;
    let mut before = None;
    for opens in OPENS.map(|opens| opens.min(possible)) {
        if before.replace(opens) == Some(opens) {
            continue;
        }
        hold(Protection::Plain, &target, opens).await?;
        let mut scraper = Scraper::connect(address)?;
        let shown = scraper.scrape()?;
        // The administrator's and the server's own opens may be there, too.
        let counted =
            shown.lines().find_map(|line| line.strip_prefix("shareward_opens ")?.parse::<usize>().ok());
        if counted.is_none_or(|counted| counted < opens) {
            return Err(Failed(format!("{counted:?} of {opens} opens are counted")));
        }
        let mut times = Vec::with_capacity(SCRAPES);
        for _ in 0..SCRAPES {
            let begun = Instant::now();
            scraper.scrape()?;
            times.push(begun.elapsed());
        }
        times.sort();
        let part = |percent: usize| times.get(SCRAPES * percent / 100).copied().unwrap_or_default();
        let [median, high] = [part(50), part(99)];
        is_fast &= median <= SCRAPE_MAX;
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        say(&format!(
            "{opens:>7} opens: {:>6} bytes, median {:.3} ms, 99 of 100 below {:.3} ms",
            shown.len(),
            ms(median),
            ms(high)
        ));
    }
    release(&target).await?;
    Ok(is_fast)
}

/// A program that reads the metrics again and again.
struct Scraper {
    stream: BufReader<TcpStream>,
    request: String,
}

impl Scraper {
    fn connect(address: SocketAddr) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n");
        Ok(Self { stream: BufReader::new(stream), request })
    }

    /// Reads the metrics.
    fn scrape(&mut self) -> Result<String, Failed> {
        self.stream.get_mut().write_all(self.request.as_bytes())?;
        let mut length = None;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(Failed(String::from("the server has closed the connection")));
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.parse().ok();
            }
        }
        let mut body = vec![0; length.ok_or_else(|| Failed(String::from("an answer without a length")))?];
        self.stream.read_exact(&mut body)?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

/// The reason why nothing is measured.
struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}
