//! The sandbox: the restrictions that the server puts on itself once its sockets are open.
//!
//! - [`capabilities`]: root's abilities that a file server does not need are given up.
//! - [`files`]: Landlock. No program can be executed, no device controlled, no TCP port opened; in strict mode only the
//!   listed directories are accessible at all.
//! - [`calls`]: seccomp. System calls that no file server needs are refused.
//!
//! All of them hold for the calling thread and the threads that it starts, until the process ends. They need no
//! privileges. A kernel without one of them is no error: the [`Report`] names what is missing.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod calls;
mod capabilities;
mod files;

use std::fmt;
use std::path::PathBuf;

pub use capabilities::{Capability, Held, KEPT};
pub use files::Reach;

/// The extent of the sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// No restrictions.
    Off,
    /// Restrictions that do not depend on directories, so that directories can be shared while the server runs.
    #[default]
    On,
    /// Also access to the listed directories only.
    Strict,
}

impl Mode {
    /// The modes by their names in the configuration.
    pub const NAMES: [(&str, Self); 3] = [("on", Self::On), ("strict", Self::Strict), ("off", Self::Off)];

    /// The mode's name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Strict => "strict",
        }
    }
}

/// The directories and files that the process uses, which strict mode leaves accessible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Directories and files to read, in addition to those of the system's libraries and name services.
    pub read: Vec<PathBuf>,
    /// Directories to read and to change.
    pub change: Vec<PathBuf>,
    /// TCP ports to connect to, in addition to those of directory services.
    pub connect: Vec<u16>,
}

/// The state of one layer of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The layer is in force; with its version or extent.
    Active(String),
    /// The layer is not in force; with the reason.
    Missing(String),
    /// The configuration turns the sandbox off.
    Off,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active(detail) => f.write_str(detail),
            Self::Missing(reason) => write!(f, "none ({reason})"),
            Self::Off => f.write_str("off"),
        }
    }
}

/// The restrictions in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The requested mode.
    pub mode: Mode,
    /// Landlock.
    pub files: Layer,
    /// The filter of system calls.
    pub calls: Layer,
    /// The capabilities; `None` if the process is not root.
    pub capabilities: Option<Held>,
    /// The directories that the process can change, and the ports that it can connect to.
    pub reach: Reach,
}

impl Report {
    /// The report of a process without restrictions.
    pub fn off() -> Self {
        Self {
            mode: Mode::Off,
            files: Layer::Off,
            calls: Layer::Off,
            capabilities: Held::current(),
            reach: Reach::everything(),
        }
    }

    /// The requested restrictions that are not in force, each as a sentence for a log.
    pub fn shortcomings(&self) -> Vec<String> {
        let mut all = Vec::new();
        if let Layer::Missing(reason) = &self.files {
            let lost = match self.mode {
                Mode::Strict => "the server can access all files of the machine",
                _ => "the server could execute programs",
            };
            all.push(format!("Landlock is not available ({reason}); {lost}"));
        }
        if let Layer::Missing(reason) = &self.calls {
            all.push(format!("the filter of system calls is not available ({reason})"));
        }
        for capability in self.capabilities.iter().flat_map(Held::missing) {
            all.push(format!("{} is missing: {}", capability.name, capability.lost));
        }
        all
    }
}

/// Restricts the calling thread and all threads that it will start. For a whole process, it must be called before the
/// process starts a thread.
pub fn enter(mode: Mode, places: &Places) -> Report {
    if mode == Mode::Off {
        return Report::off();
    }
    let capabilities = capabilities::reduce();
    let (files, reach) = files::restrict(mode == Mode::Strict, places);
    // Last: the filter must not refuse what the others need.
    let calls = calls::restrict();
    Report { mode, files, calls, capabilities, reach }
}

/// Tries the restrictions on a thread of their own, which ends at once, and reports the result.
pub fn trial(mode: Mode, places: &Places) -> Report {
    let places = places.clone();
    std::thread::spawn(move || enter_apart(mode, &places)).join().unwrap_or_else(|_| Report::off())
}

fn enter_apart(mode: Mode, places: &Places) -> Report {
    if mode == Mode::Off {
        return Report::off();
    }
    let capabilities = capabilities::reduce();
    let (files, reach) = files::restrict(mode == Mode::Strict, places);
    Report { mode, files, calls: calls::restrict_thread(), capabilities, reach }
}
