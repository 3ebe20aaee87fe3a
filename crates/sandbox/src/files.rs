//! Landlock (landlock(7)): restrictions of files, devices, TCP ports and signals.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};

use crate::{Layer, Places};

/// The directories that the process can change, and the ports that it can connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// `None` for all.
    nodes: Option<Arc<[Node]>>,
    /// `None` for all.
    ports: Option<Arc<[u16]>>,
}

/// A directory by device and inode: the same object that the kernel's rule is about.
type Node = (u32, u32, u64);

impl Reach {
    pub(crate) fn everything() -> Self {
        Self { nodes: None, ports: None }
    }

    /// True if the rules let the process connect to a TCP port.
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.as_ref().is_none_or(|ports| ports.contains(&port))
    }

    /// True if the rules give access to a directory and all below it. Like the kernel, this walks up to the root of the
    /// file system and over mount points, so a disk that was mounted on a listed directory later is out of reach.
    ///
    /// # Errors
    ///
    /// Those of opening the directory.
    pub fn covers(&self, directory: &Path) -> std::io::Result<bool> {
        let Some(nodes) = &self.nodes else { return Ok(true) };
        let mut fd = open(directory)?;
        let mut at = identity(&fd)?;
        for _ in 0..DEPTH_MAX {
            if nodes.contains(&at.0) {
                return Ok(true);
            }
            let parent =
                openat(&fd, c"..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            let above = identity(&parent)?;
            if above == at {
                return Ok(false);
            }
            (fd, at) = (parent, above);
        }
        Ok(false)
    }
}

fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// The object, and the mount through which it was reached.
fn identity(fd: &OwnedFd) -> rustix::io::Result<(Node, u64)> {
    let of = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::MNT_ID)?;
    Ok(((of.stx_dev_major, of.stx_dev_minor, of.stx_ino), of.stx_mnt_id))
}

/// Restricts the calling thread.
pub(crate) fn restrict(strict: bool, places: &Places) -> (Layer, Reach) {
    let mut nodes = Vec::new();
    match ruleset(strict, places, &mut nodes).and_then(RulesetCreated::restrict_self) {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
            (Layer::Missing(missing(&status.landlock)), Reach::everything())
        }
        Ok(status) => {
            let reach = if strict {
                Reach { nodes: Some(nodes.into()), ports: ports(places, &status.landlock) }
            } else {
                Reach::everything()
            };
            (Layer::Active(described(strict, &status.landlock)), reach)
        }
        Err(error) => (Layer::Missing(format!("{NEEDS}: {error}")), Reach::everything()),
    }
}

/// The ports to which the process can connect; `None` if the kernel does not restrict that.
fn ports(places: &Places, status: &LandlockStatus) -> Option<Arc<[u16]>> {
    let is_restricted =
        matches!(status, LandlockStatus::Available { effective_abi, .. } if *effective_abi >= ABI::V4);
    is_restricted.then(|| DIRECTORY_SERVICES.iter().chain(&places.connect).copied().collect())
}

fn ruleset(strict: bool, places: &Places, nodes: &mut Vec<Node>) -> Result<RulesetCreated, RulesetError> {
    // Without this right in the rules, the kernel refuses every rename into another directory.
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        // Listeners are open before; nothing else accepts connections.
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::Signal)?
        .scope(Scope::AbstractUnixSocket)?;
    if !strict {
        let rules = rules.handle_access(AccessFs::Execute)?.handle_access(AccessFs::IoctlDev)?.create()?;
        return allow(rules, Path::new("/"), AccessFs::Refer.into(), None);
    }
    // Sockets of name services have changing places, so that connecting to them is not restricted.
    let mut rules =
        rules.handle_access(AccessFs::from_all(LATEST))?.handle_access(AccessNet::ConnectTcp)?.create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for path in SYSTEM.iter().map(Path::new).chain(places.read.iter().map(AsRef::as_ref)) {
        rules = allow(rules, path, read, None)?;
    }
    rules = allow(rules, Path::new("/dev/null"), read | AccessFs::WriteFile, None)?;
    for path in &places.change {
        let denied = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
        rules = allow(rules, path, AccessFs::from_all(LATEST) & !denied, Some(nodes))?;
    }
    for port in DIRECTORY_SERVICES.iter().chain(&places.connect) {
        rules = rules.add_rule(landlock::NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(rules)
}

/// Adds a rule for a path; one that does not exist gets none.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
    nodes: Option<&mut Vec<Node>>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(fd) = open(path) else { return Ok(rules) };
    if let (Some(nodes), Ok((node, _))) = (nodes, identity(&fd)) {
        nodes.push(node);
    }
    rules.add_rule(PathBeneath::new(fd.as_fd(), access))
}

fn described(strict: bool, status: &LandlockStatus) -> String {
    let extent = if strict { "listed directories only" } else { "no programs, no devices" };
    match status {
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            let version = kernel_abi.unwrap_or(*effective_abi as i32);
            format!("version {version}, {extent}")
        }
        _ => extent.to_owned(),
    }
}

fn missing(status: &LandlockStatus) -> String {
    match status {
        LandlockStatus::NotEnabled => String::from("the kernel has it, but it was not enabled at boot"),
        LandlockStatus::NotImplemented => String::from("the kernel does not have it"),
        _ => String::from(NEEDS),
    }
}

const NEEDS: &str = "Linux 5.19 is needed";

/// The last version whose restrictions are known here, and of which none forbids what the server needs.
const LATEST: ABI = ABI::V7;

/// The places of the system that the C library, name services, Kerberos and the runtime read.
const SYSTEM: &[&str] = &[
    "/etc",
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/sys",
    "/run",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/var/lib/extrausers",
    "/var/lib/sss",
    "/var/cache/nscd",
    // On NixOS and Guix, libraries and what /etc refers to.
    "/nix/store",
    "/gnu/store",
];

/// The TCP ports of directory services: DNS, Kerberos, LDAP, SMB, kpasswd, LDAP over TLS, global catalogs.
const DIRECTORY_SERVICES: &[u16] = &[53, 88, 389, 445, 464, 636, 3268, 3269];

/// The length of the way up to the root; a longer one is no share's.
const DEPTH_MAX: usize = 4096;
