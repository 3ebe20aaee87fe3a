//! The options of a soak: length, clients and seed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The options of a soak.
#[derive(Clone, Debug)]
pub struct Options {
    /// The time during which rounds start.
    pub length: Duration,
    /// The seed of all random choices.
    pub seed: u64,
    /// The clients that take part.
    pub clients: Vec<Kind>,
    /// The working time of the clients in one round.
    pub round: Duration,
    /// The server is neither killed nor started again, so that what it loses slowly adds up.
    pub one_server: bool,
}

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Our own small client.
    Ours,
    /// Samba's smbclient.
    Smbclient,
    /// impacket.
    Impacket,
    /// Our FUSE mount.
    Mount,
    /// The Linux kernel's client, in a virtual machine.
    Kernel,
}

const KINDS: [(&str, Kind); 5] = [
    ("ours", Kind::Ours),
    ("smbclient", Kind::Smbclient),
    ("impacket", Kind::Impacket),
    ("mount", Kind::Mount),
    ("kernel", Kind::Kernel),
];

impl Options {
    /// The short form: every trouble once, in about two minutes.
    pub fn short(seed: u64) -> Self {
        Self {
            length: Duration::from_secs(95),
            seed,
            clients: vec![Kind::Ours, Kind::Smbclient, Kind::Impacket, Kind::Mount],
            round: Duration::from_secs(4),
            one_server: false,
        }
    }

    /// Reads `[HOURS] [--seed N] [--clients ours,smbclient,...] [--round SECONDS] [--one-server]`.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut options = Self { round: Duration::from_secs(20), ..Self::short(since.as_secs()) };
        options.length = Duration::from_secs(3600);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value\n{USAGE}"));
            match word.as_str() {
                "--one-server" => options.one_server = true,
                "--seed" => options.seed = number(value()?)?,
                "--round" => options.round = Duration::from_secs(number(value()?)?),
                "--clients" => {
                    let kind = |name: &str| {
                        let known = KINDS.iter().find(|(known, _)| *known == name);
                        known.map(|(_, kind)| *kind).ok_or(format!("no client {name}\n{USAGE}"))
                    };
                    options.clients = value()?.split(',').map(kind).collect::<Result<_, _>>()?;
                }
                hours => {
                    let hours: f64 = number(hours)?;
                    let seconds = Duration::try_from_secs_f64(hours * 3600.0);
                    options.length = seconds.map_err(|_| format!("{hours} hours?\n{USAGE}"))?;
                }
            }
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word}?\n{USAGE}"))
}

const USAGE: &str = "usage: cargo xtask soak [HOURS] [--seed N] [--clients ours,smbclient,impacket,mount,kernel] \
                     [--round SECONDS] [--one-server]";
