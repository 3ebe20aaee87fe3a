//! The fuzz targets: exploring with cargo-fuzz. The step `fuzz-corpus` replays the corpora without it.

use std::fs;

use crate::shell;

/// The directory of the fuzz package.
fn directory() -> std::path::PathBuf {
    testkit::repository().join("fuzz")
}

/// Explores for some minutes, divided among the targets.
pub(crate) fn main(arguments: &[String]) -> bool {
    let (minutes, named): (Vec<_>, Vec<_>) = arguments.iter().partition(|word| word.parse::<f64>().is_ok());
    let minutes: f64 = minutes.last().and_then(|word| word.parse().ok()).unwrap_or(5.0);
    let has_nightly =
        shell::output(shell::command("rustup", &["run", "nightly", "rustc", "--version"])).is_some();
    if shell::output(shell::cargo(&["fuzz", "--version"])).is_none() {
        eprintln!("fuzzing needs, and does not install by itself: cargo install --locked cargo-fuzz");
        return false;
    }
    let targets: Vec<String> =
        targets().into_iter().filter(|t| named.is_empty() || named.contains(&t)).collect();
    if targets.is_empty() {
        eprintln!("xtask: no such fuzz target; there are: {}", self::targets().join(", "));
        return false;
    }
    let seconds = (minutes * 60.0 / targets.len() as f64).ceil().max(1.0);
    let mut crashed = Vec::new();
    for target in &targets {
        println!("\n=== {target}, {seconds} s");
        let limit = format!("-max_total_time={seconds}");
        let arguments = ["fuzz", "run", target, "--", &limit, "-timeout=10", "-rss_limit_mb=2048"];
        // `cargo` of the path is rustup's, which understands `+nightly`.
        let mut command = shell::command("cargo", if has_nightly { &["+nightly"] } else { &[] });
        command.args(arguments);
        if !has_nightly {
            // The stable compiler has the sanitizers, too, but only with this variable.
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        if !shell::succeeds(command) {
            crashed.push(target.as_str());
        }
    }
    println!("\n{} targets, {} with findings {}", targets.len(), crashed.len(), crashed.join(" "));
    crashed.is_empty()
}

fn targets() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory().join("fuzz_targets"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The number of inputs that the corpora have as files.
pub(crate) fn corpus_size() -> usize {
    let inputs =
        |directory: fs::DirEntry| fs::read_dir(directory.path()).into_iter().flatten().flatten().count();
    fs::read_dir(directory().join("corpus")).into_iter().flatten().flatten().map(inputs).sum()
}
