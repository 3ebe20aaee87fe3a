//! The program of a release: built, with its debug information in a file of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::shell;

/// A kind of machine that releases are made for.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Rust's name.
    pub(crate) triple: String,
    /// Debian's name of the architecture.
    pub(crate) debian: &'static str,
    /// The prefix of the compiler and its tools; empty for those of this machine.
    prefix: String,
}

/// A built program.
#[derive(Debug)]
pub(crate) struct Binary {
    /// Without debug information.
    pub(crate) stripped: PathBuf,
    /// The debug information alone, compressed; debuggers find it by the build id.
    pub(crate) debug: PathBuf,
    /// The id of the build, in hexadecimal digits.
    pub(crate) build_id: String,
    /// Bytes of the program as it was built.
    pub(crate) built_size: u64,
}

/// The architectures of Debian that there are packages for, and Rust's names of their CPUs.
const ARCHITECTURES: &[(&str, &str)] = &[("x86_64", "amd64"), ("aarch64", "arm64")];

impl Machine {
    /// This machine.
    pub(crate) fn host() -> io::Result<Self> {
        let text = shell::output(shell::command("rustc", &["-vV"])).unwrap_or_default();
        let triple = text.lines().find_map(|line| line.strip_prefix("host: "));
        let triple = triple.ok_or_else(|| io::Error::other("`rustc -vV` does not name this machine"))?;
        Self::new(triple, String::new())
    }

    /// The other architecture, built with Debian's cross compiler; or the reason why it cannot be built here.
    pub(crate) fn cross(host: &Self) -> Result<Self, String> {
        if host.debian != "amd64" {
            return Err(format!(
                "packages for other machines are only built on amd64, not on {}",
                host.debian
            ));
        }
        let triple = "aarch64-unknown-linux-gnu";
        let sysroot = shell::output(shell::command("rustc", &["--print", "sysroot"])).unwrap_or_default();
        if !Path::new(sysroot.trim()).join("lib/rustlib").join(triple).exists() {
            return Err(format!(
                "the standard library for {triple} is not installed (`rustup target add {triple}`)"
            ));
        }
        if !shell::installed("aarch64-linux-gnu-gcc") {
            return Err("the package gcc-aarch64-linux-gnu is not installed".into());
        }
        Self::new(triple, "aarch64-linux-gnu-".into()).map_err(|error| error.to_string())
    }

    fn new(triple: &str, prefix: String) -> io::Result<Self> {
        let known = ARCHITECTURES.iter().find(|(cpu, _)| triple.split('-').next() == Some(cpu));
        let (_, debian) =
            known.ok_or_else(|| io::Error::other(format!("no packages are made for {triple}")))?;
        Ok(Self { triple: triple.into(), debian, prefix })
    }

    /// Builds the program with a profile of cargo and returns its place.
    pub(crate) fn build(&self, profile: &str) -> io::Result<PathBuf> {
        let arguments = ["build", "--locked", "--package", "shareward", "--profile", profile];
        let mut command = shell::cargo(&arguments);
        let mut place = shell::target_directory();
        if !self.prefix.is_empty() {
            let compiler = format!("{}gcc", self.prefix);
            let name = self.triple.replace('-', "_");
            command.args(["--target", &self.triple]);
            command.env(format!("CC_{name}"), &compiler);
            command.env(format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), compiler);
            place = place.join(&self.triple);
        }
        if !shell::succeeds(command) {
            return Err(io::Error::other(format!("the build for {} failed", self.triple)));
        }
        Ok(place.join(if profile == "dev" { "debug" } else { profile }).join("shareward"))
    }

    fn tool(&self, name: &str, arguments: &[&str], files: &[&Path]) -> io::Result<String> {
        let mut command = shell::command(&format!("{}{name}", self.prefix), arguments);
        command.args(files);
        shell::output(command).ok_or_else(|| io::Error::other(format!("{}{name} failed", self.prefix)))
    }

    /// Splits the program into one without debug information and a file with that information, in `directory`.
    pub(crate) fn split(&self, built: &Path, directory: &Path) -> io::Result<Binary> {
        fs::create_dir_all(directory)?;
        let (stripped, debug) = (directory.join("shareward"), directory.join("shareward.debug"));
        self.tool("objcopy", &["--only-keep-debug", "--compress-debug-sections=zlib"], &[built, &debug])?;
        fs::copy(built, &stripped)?;
        // Debian strips these sections, too.
        let sections = ["--strip-unneeded", "--remove-section=.comment", "--remove-section=.note"];
        self.tool("strip", &sections, &[&stripped])?;
        let notes = self.tool("readelf", &["--notes"], &[&stripped])?;
        let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: "));
        let build_id = id.ok_or_else(|| io::Error::other("the program has no build id"))?.to_owned();
        Ok(Binary { stripped, debug, build_id, built_size: fs::metadata(built)?.len() })
    }

    /// The Debian packages with the shared libraries of the program, and their lowest versions.
    pub(crate) fn depends(&self, program: &Path) -> io::Result<String> {
        let dynamic = self.tool("objdump", &["-p"], &[program])?;
        let symbols = self.tool("objdump", &["-T"], &[program])?;
        let mut packages = Vec::new();
        for library in dynamic.lines().filter_map(|line| line.trim().strip_prefix("NEEDED")).map(str::trim) {
            let package = match library {
                "libgcc_s.so.1" => "libgcc-s1".to_owned(),
                name if GLIBC.iter().any(|front| name.starts_with(front)) => {
                    format!("libc6 (>= {})", newest_glibc(&symbols))
                }
                other => {
                    return Err(io::Error::other(format!("no package is known for the library {other}")));
                }
            };
            if !packages.contains(&package) {
                packages.push(package);
            }
        }
        packages.sort();
        Ok(packages.join(", "))
    }
}

/// The libraries of the package libc6.
const GLIBC: &[&str] = &["libc.so.", "libm.so.", "libdl.so.", "libpthread.so.", "ld-linux"];

/// The newest version of glibc that a symbol of the program needs.
fn newest_glibc(symbols: &str) -> String {
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let text = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut numbers = text.split('.').map(|number| number.parse::<u32>().ok());
        Some((numbers.next()??, numbers.next()??))
    });
    let (major, minor) = versions.max().unwrap_or((2, 34));
    format!("{major}.{minor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_version_of_glibc_is_compared_as_numbers() {
        let symbols =
            "0 DF *UND* 0 (GLIBC_2.4) a\n0 DF *UND* 0 (GLIBC_2.34) b\n0 DF *UND* 0 (GLIBC_2.2.5) c\n";
        assert_eq!(newest_glibc(symbols), "2.34");
    }
}
