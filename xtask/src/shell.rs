//! Commands, run in the repository's top directory.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A command in the top directory.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(testkit::repository());
    command
}

/// Cargo itself, the one that runs us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    command(&cargo, arguments)
}

/// Runs a command, showing it and, if it fails, the failure.
pub(crate) fn succeeds(mut command: Command) -> bool {
    match command.status() {
        Ok(status) if status.success() => true,
        Ok(status) => {
            eprintln!("xtask: {}: {status}", render(&command));
            false
        }
        Err(error) => {
            eprintln!("xtask: cannot run {}: {error}", render(&command));
            false
        }
    }
}

/// Runs a command, showing its standard output line by line, and returns the output and true on success.
pub(crate) fn watched(mut command: Command) -> (bool, String) {
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("xtask: cannot run {}: {error}", render(&command));
            return (false, String::new());
        }
    };
    let mut text = String::new();
    for line in
        child.stdout.take().into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok)
    {
        println!("{line}");
        text.push_str(&line);
        text.push('\n');
    }
    (child.wait().is_ok_and(|status| status.success()), text)
}

/// Runs to the end in silence and returns its standard output, if it succeeded.
pub(crate) fn output(mut command: Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// True if a program is in the search path or in Debian's directories for daemons.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin".into(), "/sbin".into()];
    std::env::split_paths(&path).chain(extra).any(|directory: PathBuf| directory.join(program).is_file())
}

/// A program that `cargo install` has installed.
pub(crate) fn in_cargo_home(program: &str) -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    home.map(|home| home.join("bin").join(program)).filter(|path| path.is_file())
}

/// The build directory of cargo.
pub(crate) fn target_directory() -> PathBuf {
    let given = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    given.unwrap_or_else(|| testkit::repository().join("target"))
}

/// The files below a directory with one of these extensions, sorted; build output and version control left out.
pub(crate) fn files(below: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if !["target", ".git", "corpus", "artifacts"].iter().any(|skipped| name == *skipped) {
                found.extend(files(&path, extensions));
            }
        } else if path.extension().is_some_and(|have| extensions.iter().any(|wanted| have == *wanted)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn render(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
