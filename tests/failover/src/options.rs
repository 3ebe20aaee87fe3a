//! The options of a run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The time during which rounds of faults start.
    pub length: Duration,
    /// The seed of all random choices.
    pub seed: u64,
    /// The number of measured failovers and moves. `None` for a run with faults and checks.
    pub figures: Option<usize>,
    /// The round with which to begin, to see one of a longer run again.
    pub first_round: u64,
    /// True to have a fence_command, which kills the former owner of a share. `None` to let the seed choose.
    pub fences: Option<bool>,
}

impl Options {
    /// Rounds of faults for half a minute.
    pub fn short(seed: u64) -> Self {
        Self { length: Duration::from_secs(22), seed, figures: None, first_round: 0, fences: None }
    }

    /// Reads `[--minutes N] [--seed N] [--round N] [--fence yes|no] [--figures N]`.
    ///
    /// # Errors
    /// The text for the user.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut options = Self { length: Duration::from_secs(600), ..Self::short(since.as_secs()) };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word}?\n{USAGE}"))?;
            match word.as_str() {
                "--minutes" => {
                    let minutes: f64 = number(value)?;
                    let length = Duration::try_from_secs_f64(minutes * 60.0);
                    options.length = length.map_err(|_| format!("{minutes} minutes?\n{USAGE}"))?;
                }
                "--seed" => options.seed = number(value)?,
                "--round" => options.first_round = number(value)?,
                "--figures" => options.figures = Some(number(value)?),
                "--fence" => match value.as_str() {
                    "yes" => options.fences = Some(true),
                    "no" => options.fences = Some(false),
                    _ => return Err(format!("{value}?\n{USAGE}")),
                },
                _ => return Err(format!("{word}?\n{USAGE}")),
            }
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word}?\n{USAGE}"))
}

const USAGE: &str = "usage: cargo xtask cluster [--optimized] [--minutes N] [--seed N] [--round N] [--fence yes|no] [--figures N], or --scale";
