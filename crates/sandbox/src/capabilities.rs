//! Capabilities (capabilities(7)): the server gives up those that it does not need.

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// A capability that the server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// The name, for example `CAP_CHOWN`.
    pub name: &'static str,
    /// The purpose.
    pub purpose: &'static str,
    /// The consequence of a lack, as a clause.
    pub lost: &'static str,
    set: CapabilitySet,
}

/// The capabilities that a server of root keeps while it runs.
pub const KEPT: &[Capability] = &[
    Capability {
        name: "CAP_SETUID",
        purpose: "each session acts with the Unix user of its user",
        lost: "only sessions of root can access files",
        set: CapabilitySet::SETUID,
    },
    Capability {
        name: "CAP_SETGID",
        purpose: "each session acts with the Unix groups of its user",
        lost: "only sessions of root can access files",
        set: CapabilitySet::SETGID,
    },
    Capability {
        name: "CAP_CHOWN",
        purpose: "clients that may change the owner of a file do so",
        lost: "clients cannot change the owner of a file",
        set: CapabilitySet::CHOWN,
    },
    Capability {
        name: "CAP_FOWNER",
        purpose: "permissions and times of files of any owner are set",
        lost: "clients cannot change permissions and times of files that they do not own",
        set: CapabilitySet::FOWNER,
    },
    Capability {
        name: "CAP_FSETID",
        purpose: "set-id bits stay when an administrator changes permissions",
        lost: "files lose set-group-id bits when their permissions change",
        set: CapabilitySet::FSETID,
    },
    Capability {
        name: "CAP_DAC_OVERRIDE",
        purpose: "attributes and named streams are written to files that root does not own",
        lost: "DOS attributes, named streams and extended attributes of files of others cannot be written",
        set: CapabilitySet::DAC_OVERRIDE,
    },
    Capability {
        name: "CAP_SYS_ADMIN",
        purpose: "security descriptors are stored in security.NTACL, where only root can write",
        lost: "security descriptors cannot be stored; permissions are those of Unix",
        set: CapabilitySet::SYS_ADMIN,
    },
];

/// The capabilities that a process of root has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held(CapabilitySet);

impl Held {
    /// The capabilities of the calling thread; `None` if it is not root's.
    pub fn current() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        capabilities(None).ok().map(|sets| Self(sets.permitted))
    }

    /// The names of those of [`KEPT`] that the process has.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        KEPT.iter().filter(|it| self.0.contains(it.set)).map(|it| it.name)
    }

    /// The capabilities of [`KEPT`] that the process does not have.
    pub fn missing(&self) -> impl Iterator<Item = &'static Capability> {
        KEPT.iter().filter(|it| !self.0.contains(it.set))
    }
}

/// Gives up all capabilities but [`KEPT`], and with `no_new_privs` the ways to get others. Returns those that are left;
/// `None` if the process is not root's.
pub(crate) fn reduce() -> Option<Held> {
    // The filter of system calls needs it, too, and sets it; an error is reported there.
    let _ = rustix::thread::set_no_new_privs(true);
    let sets = capabilities(None).ok()?;
    let kept = KEPT.iter().fold(CapabilitySet::empty(), |all, it| all | it.set) & sets.permitted;
    // Kernels before 4.3 have no ambient set, and nothing is in it then.
    let _ = clear_ambient_capability_set();
    if sets.effective.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().iter().filter(|it| !kept.contains(*it)) {
            // The kernel refuses those that it does not know.
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
    let left = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    // Capabilities can always be given up; the report shows what the thread really has.
    let _ = set_capabilities(None, left);
    Held::current()
}
