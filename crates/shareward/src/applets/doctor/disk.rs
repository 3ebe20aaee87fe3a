//! The abilities and the space of the shares' file systems.

use std::ffi::CStr;
use std::fs::File;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, fstatfs, fstatvfs, getxattr, ioctl_getflags};
use rustix::io::Errno;
use server::config::{Settings, ShareSettings};

use super::{Finding, shell_word};

const AREA: &str = "disk";

/// Examines the file system of each share's directory. Nothing is written.
pub(super) fn examine(settings: &Settings) -> Vec<Finding> {
    settings.shares.iter().filter(|it| it.path.is_dir()).flat_map(of_share).collect()
}

fn of_share(share: &ShareSettings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let path = &share.path;
    let Ok(directory) = File::open(path) else { return findings };
    let kind = fstatfs(&directory).map(|it| kind_of(it.f_type)).unwrap_or(Kind::OTHER);
    let place = format!("share {}: {}", share.name, path.display());
    let has = |name: &CStr| !matches!(getxattr(path, name, &mut [0_u8; 0][..]), Err(Errno::OPNOTSUPP));
    let mut abilities = Vec::new();
    if has(c"user.DOSATTRIB") {
        abilities.push("extended attributes");
    } else {
        findings.push(Finding::warning(
            AREA,
            format!("{place} ({}) has no extended attributes", kind.name),
            "DOS attributes, named streams, security descriptors and creation times cannot be stored",
            kind.mend_xattr(path),
        ));
    }
    if has(c"system.posix_acl_access") {
        abilities.push("ACLs");
    }
    if kind.reflinks {
        abilities.push("reflinks");
    }
    if ioctl_getflags(&directory).is_ok_and(|flags| flags.bits() & CASEFOLD != 0) {
        abilities.push("case folding");
    }
    if let Ok(space) = fstatvfs(&directory) {
        if space.f_flag.contains(StatVfsMountFlags::RDONLY) && !share.read_only {
            findings.push(Finding::error(
                AREA,
                format!("{place} is mounted read-only"),
                "clients cannot write, although the share permits it",
                format!(
                    "mount -o remount,rw \"$(findmnt -no TARGET -T {})\"",
                    shell_word(&path.display().to_string())
                ),
            ));
        }
        let is_low = space.f_blocks > 0 && space.f_bavail < space.f_blocks / 20;
        let free_mib = space.f_bavail.saturating_mul(space.f_frsize) >> 20;
        if is_low {
            findings.push(Finding::warning(
                AREA,
                format!("{place} has {free_mib} MiB free, less than 5 %"),
                "clients get STATUS_DISK_FULL when nothing is left",
                format!("du -xh {} | sort -h | tail", shell_word(&path.display().to_string())),
            ));
        }
        if space.f_files > 0 && space.f_favail < space.f_files / 100 {
            findings.push(Finding::warning(
                AREA,
                format!("{place} has {} inodes free, less than 1 %", space.f_favail),
                "clients get STATUS_DISK_FULL although there is space",
                format!("du -x --inodes {} | sort -n | tail", shell_word(&path.display().to_string())),
            ));
        }
    }
    if findings.is_empty() {
        let abilities =
            if abilities.is_empty() { String::from("no abilities") } else { abilities.join(", ") };
        findings.push(Finding::ok(AREA, format!("{place} ({}): {abilities}", kind.name)));
    }
    findings
}

/// FS_CASEFOLD_FL of linux/fs.h: names in this directory are compared without regard to case.
const CASEFOLD: u32 = 0x4000_0000;

/// A kind of file system.
#[derive(Clone, Copy, Debug)]
struct Kind {
    magic: i64,
    name: &'static str,
    /// True if files can share blocks.
    reflinks: bool,
}

impl Kind {
    const OTHER: Self = Self { magic: 0, name: "unknown file system", reflinks: false };

    fn mend_xattr(self, path: &Path) -> String {
        let path = shell_word(&path.display().to_string());
        match self.name {
            "ext4" => format!("mount -o remount,user_xattr \"$(findmnt -no TARGET -T {path})\""),
            "nfs" => String::from("mount with NFS 4.2 from a server that supports user xattrs (Linux 5.9)"),
            _ => String::from("move the share to ext4, XFS, Btrfs or ZFS"),
        }
    }
}

/// Magic numbers of statfs(2). XFS has reflinks since mkfs.xfs 5.1 makes it so by default.
const KINDS: [Kind; 11] = [
    Kind { magic: 0xef53, name: "ext4", reflinks: false },
    Kind { magic: 0x5846_5342, name: "xfs", reflinks: true },
    Kind { magic: 0x9123_683e, name: "btrfs", reflinks: true },
    Kind { magic: 0x2fc1_2fc1, name: "zfs", reflinks: true },
    Kind { magic: 0xca45_1a4e, name: "bcachefs", reflinks: true },
    Kind { magic: 0x0102_1994, name: "tmpfs", reflinks: false },
    Kind { magic: 0x6969, name: "nfs", reflinks: false },
    Kind { magic: 0xf2f5_2010, name: "f2fs", reflinks: false },
    Kind { magic: 0x794c_7630, name: "overlayfs", reflinks: false },
    Kind { magic: 0x6573_5546, name: "fuse", reflinks: false },
    Kind { magic: 0x4d44, name: "vfat", reflinks: false },
];

fn kind_of(magic: impl TryInto<i64>) -> Kind {
    let magic = magic.try_into().unwrap_or_default();
    KINDS.into_iter().find(|kind| kind.magic == magic).unwrap_or(Kind::OTHER)
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn directory_of_a_share_is_described() {
        let directory = tempfile::tempdir().unwrap();
        let share = ShareSettings::new(String::from("data"), directory.path().to_owned());
        let findings = of_share(&share);
        assert!(!findings.is_empty());
        assert!(
            findings.iter().all(|it| it.what.contains("share data") && it.severity != Severity::Error),
            "{findings:?}"
        );
        assert_eq!(kind_of(0xef53_i64).name, "ext4");
        assert_eq!(kind_of(7_i64).name, Kind::OTHER.name);
    }
}
