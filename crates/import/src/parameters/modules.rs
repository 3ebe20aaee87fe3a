//! The modules of `vfs objects`, and the options of modules (`fruit:metadata`).

use super::{Answer, key};

/// A module of `vfs objects`.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// The name.
    pub name: &'static str,
    /// Shareward's answer.
    pub answer: Answer,
}

const fn built_in(name: &'static str, setting: &'static str) -> Module {
    Module { name, answer: Answer::Carried(setting) }
}

const fn without(name: &'static str, reason: &'static str) -> Module {
    Module { name, answer: Answer::NotNeeded(reason) }
}

const fn missing(name: &'static str, missing: &'static str) -> Module {
    Module { name, answer: Answer::NotYet { missing, fine: &[] } }
}

const ALWAYS: &str = "Shareward always does this";
const SPEED: &str = "changes the speed of Samba's file access only";
const FILE_SYSTEM: &str = "the abilities of this file system";
const LOG: &str = "a log of the calls for files; Shareward logs logons and acts of administrators";

/// The modules of Samba 4.25, from its manual pages.
const MODULES: &[Module] = &[
    built_in("streams_xattr", "streams = \"xattr\""),
    built_in("streams_depot", "streams = \"depot\""),
    built_in("recycle", "[share.recycle], with a directory for each user"),
    without("acl_xattr", ALWAYS),
    without("fruit", "Shareward has Apple's extensions (AAPL) for all Macs"),
    without("catia", "Shareward shows characters that SMB does not allow as Macs do (docs/names.md)"),
    without("default_quota", "the quotas of the file system count"),
    without("posixacl", ALWAYS),
    without("btrfs", "Shareward copies files with reflinks where the file system can"),
    without("aio_fork", SPEED),
    without("aio_linux", SPEED),
    without("aio_pthread", SPEED),
    without("aio_ratelimit", SPEED),
    without("io_uring", SPEED),
    without("readahead", SPEED),
    without("preopen", SPEED),
    without("prealloc", SPEED),
    without("cacheprime", SPEED),
    without("commit", SPEED),
    without("dirsort", "clients sort listings themselves"),
    without("time_audit", "measures Samba's calls for files"),
    without("notify_fam", "Shareward watches directories with inotify"),
    without("linux_xfs_sgid", "works around an old fault of XFS"),
    without("fileid", "Shareward identifies files by device and inode"),
    without("not_implemented", "has no effect"),
    without("syncops", "the file system's own journal does this"),
    without("dfs_samba4", "has an effect on domain controllers only"),
    missing("acl_tdb", "security descriptors in a tdb file; copy the share through SMB (docs/samba.md)"),
    missing("xattr_tdb", "extended attributes in a tdb file; copy the share through SMB (docs/samba.md)"),
    missing("posix_eadb", "extended attributes in a tdb file; copy the share through SMB (docs/samba.md)"),
    missing("nfs4acl_xattr", "NFS 4 ACLs in extended attributes"),
    missing("zfsacl", "NFS 4 ACLs of ZFS"),
    missing("gpfs", FILE_SYSTEM),
    missing("ceph", FILE_SYSTEM),
    missing("ceph_new", FILE_SYSTEM),
    missing("ceph_snapshots", "snapshots as previous versions"),
    missing("cephfs", FILE_SYSTEM),
    missing("glusterfs", FILE_SYSTEM),
    missing("glusterfs_fuse", FILE_SYSTEM),
    missing("shadow_copy", "snapshots as previous versions"),
    missing("shadow_copy2", "snapshots as previous versions"),
    missing("snapper", "snapshots as previous versions"),
    missing("shell_snap", "snapshots that clients create"),
    missing("full_audit", LOG),
    missing("audit", LOG),
    missing("extd_audit", LOG),
    missing("worm", "files that cannot be changed after a while"),
    missing("virusfilter", "a virus scanner that is asked when a file is opened"),
    missing("widelinks", "symbolic links that leave the share"),
    missing("crossrename", "renaming between file systems"),
    missing("cap", "names in CAP encoding"),
    missing("netatalk", "Netatalk's files; copy the share through SMB"),
    missing("media_harmony", "Avid's media files"),
    missing("unityed_media", "media projects of users"),
    missing("expand_msdfs", "DFS links by table"),
    missing("fake_perms", "files that appear writable"),
    missing("fake_acls", "ACLs in extended attributes"),
    missing("offline", "files that appear offline"),
    missing("hpuxacl", FILE_SYSTEM),
    missing("solarisacl", FILE_SYSTEM),
    missing("aixacl", FILE_SYSTEM),
    missing("tsmsm", FILE_SYSTEM),
    missing("vxfs", FILE_SYSTEM),
];

/// All modules.
pub fn modules() -> &'static [Module] {
    MODULES
}

/// The module with this name.
pub fn module(name: &str) -> Option<&'static Module> {
    MODULES.iter().find(|it| it.name.eq_ignore_ascii_case(name))
}

/// Options with answers of their own; for the others the answer is that of the module. The last part has the values
/// for which nothing is missing.
const OPTIONS: &[(&str, Answer)] = &[
    (
        "acl_xattr:ignore system acls",
        fine_for("access by descriptors alone; the Unix permissions count as well (docs/samba.md)", &["no"]),
    ),
    (
        "acl_xattr:security_acl_name",
        fine_for("another attribute for descriptors than security.NTACL", &["security.NTACL"]),
    ),
    ("acl_xattr:default acl style", fine_for("another descriptor for files without one", &["posix"])),
    (
        "fruit:metadata",
        fine_for("Finder's information in Netatalk's form; copy the share through SMB", &["stream"]),
    ),
    (
        "fruit:resource",
        fine_for("resource forks in AppleDouble files; copy the share through SMB", &["stream", "xattr"]),
    ),
    ("fruit:encoding", fine_for("names in Netatalk's encoding", &["native"])),
    ("fruit:locking", fine_for("locks of Netatalk", &["none"])),
    ("fruit:time machine", Answer::Carried(TIME_MACHINE)),
    ("fruit:time machine max size", Answer::Carried(TIME_MACHINE_LIMIT)),
    ("fruit:posix_rename", Answer::NotNeeded("renames of open directories follow the rules of SMB")),
    ("streams_xattr:prefix", fine_for("another prefix than user.DosStream.", &["user.DosStream."])),
    ("streams_xattr:store_stream_type", fine_for("attributes without the type of the stream", &["yes"])),
    (
        "streams_depot:directory",
        fine_for("another place for streams; mount it at .streams of the share (docs/samba.md)", &[]),
    ),
    ("streams_depot:delete_lost", fine_for("deleting streams whose file is gone", &["no"])),
    ("recycle:exclude_dir", fine_for("directories without a bin", &[""])),
    ("recycle:minsize", fine_for("a least size of files in the bin", &["0"])),
    ("recycle:noversions", fine_for("names without versions in the bin", &[""])),
    ("smbd:smb2 lease durable handles", Answer::NotNeeded(ALWAYS)),
];

/// The setting for Time Machine.
pub(crate) const TIME_MACHINE: &str = "time_machine; Macs find it with mdns = true in [discovery]";

/// The setting for the space that Time Machine gets.
pub(crate) const TIME_MACHINE_LIMIT: &str = "time_machine_limit; everything in the share counts";

const fn fine_for(missing: &'static str, fine: &'static [&'static str]) -> Answer {
    Answer::NotYet { missing, fine }
}

/// The answer to an option in the form `module:option`; `None` if the table knows neither the option nor the module.
pub fn option(name: &str) -> Option<Answer> {
    let wanted = key(name.as_bytes());
    if let Some((_, answer)) = OPTIONS.iter().find(|(it, _)| key(it.as_bytes()) == wanted) {
        return Some(*answer);
    }
    let (prefix, _) = wanted.split_once(':')?;
    match module(prefix)?.answer {
        Answer::Carried(_) => Some(Answer::NotNeeded("an option of a module that Shareward has built in")),
        answer => Some(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_different_names() {
        for (index, module) in MODULES.iter().enumerate() {
            assert!(!MODULES[..index].iter().any(|it| it.name == module.name), "{}", module.name);
        }
    }

    #[test]
    fn options_have_an_answer_of_their_own_or_that_of_their_module() {
        assert!(matches!(option("Fruit : Metadata"), Some(Answer::NotYet { fine: ["stream"], .. })));
        assert!(matches!(option("recycle:keeptree"), Some(Answer::NotNeeded(_))));
        assert!(matches!(option("fruit:nfs_aces"), Some(Answer::NotNeeded(_))));
        assert!(option("unheard:of").is_none());
    }
}
