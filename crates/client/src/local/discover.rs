//! The servers of other makes that run on this machine.

use std::path::Path;
use std::{fs, io};

use super::{Make, ksmbd, nfs, source};

/// The makes that run here.
pub fn running_makes() -> Vec<Make> {
    running_below(Path::new("/"), source::find("smbstatus").is_some())
}

/// The makes that run, by the /proc below `root`.
fn running_below(root: &Path, has_smbstatus: bool) -> Vec<Make> {
    let runs = |make: &Make| match make {
        Make::Samba => has_smbstatus && has_process(root, "smbd"),
        Make::Ksmbd => at(root, ksmbd::DIRECTORY).is_dir() && !is_stopped(root),
        Make::Nfs => has_nfs_threads(root),
    };
    Make::ALL.into_iter().filter(runs).collect()
}

/// The path below `root`.
fn at(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// True if a process of this name runs that this machine's network belongs to: a container's has its own.
fn has_process(root: &Path, name: &str) -> bool {
    let network = |process: &Path| fs::read_link(process.join("ns/net"));
    let proc = at(root, "proc");
    let ours = network(&proc.join("self")).ok();
    let entries = fs::read_dir(&proc).into_iter().flatten().flatten();
    let processes = entries.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    processes.map(|entry| entry.path()).any(|process| {
        let is_named = fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm.trim_end() == name);
        is_named
            && match network(&process) {
                Ok(theirs) => ours.as_ref().is_none_or(|ours| *ours == theirs),
                // Only root may read the network of others' processes. One that has ended has none.
                Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
            }
    })
}

/// True if ksmbd says that it does not run; the first kernels say nothing.
fn is_stopped(root: &Path) -> bool {
    let server = fs::read_to_string(at(root, ksmbd::DIRECTORY).join("server")).unwrap_or_default();
    let state = server.lines().find_map(|line| line.strip_prefix("state:")).map(str::trim);
    state.is_some_and(|state| state != "running")
}

/// True if the NFS server has threads. Only root may read their number; the directory of clients is there only while
/// the server's file system is mounted.
fn has_nfs_threads(root: &Path) -> bool {
    let directory = at(root, nfs::DIRECTORY);
    match fs::read_to_string(directory.join("threads")) {
        Ok(threads) => threads.trim().parse::<u32>().is_ok_and(|threads| threads > 0),
        Err(_) => directory.join("clients").is_dir(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn process(root: &Path, id: &str, name: &str, network: &str) {
        let directory = root.join("proc").join(id);
        fs::create_dir_all(directory.join("ns")).unwrap();
        fs::write(directory.join("comm"), format!("{name}\n")).unwrap();
        symlink(network, directory.join("ns/net")).unwrap();
    }

    #[test]
    fn samba_is_here_if_its_process_has_our_network() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), "self", "net", "net:[1]");
        process(root.path(), "7", "smbd-notifyd", "net:[1]");
        process(root.path(), "8", "smbd", "net:[2]");
        process(root.path(), "10", "smbd", "net:[1]");
        fs::remove_file(root.path().join("proc/10/ns/net")).unwrap();
        assert_eq!(running_below(root.path(), true), [], "one that has ended, and nobody has waited for");
        process(root.path(), "9", "smbd", "net:[1]");
        assert_eq!(running_below(root.path(), true), [Make::Samba]);
        assert_eq!(running_below(root.path(), false), []);
    }

    #[test]
    fn the_kernels_servers_are_here_if_they_run() {
        let root = tempfile::tempdir().unwrap();
        let directory = |path: &str| {
            fs::create_dir_all(root.path().join(path)).unwrap();
            root.path().join(path)
        };
        assert_eq!(running_below(root.path(), true), []);
        // The mount point of a kernel that can have the server.
        let nfs = directory("proc/fs/nfsd");
        assert_eq!(running_below(root.path(), true), []);
        directory("proc/fs/nfsd/clients");
        assert_eq!(running_below(root.path(), true), [Make::Nfs]);
        fs::write(nfs.join("threads"), "0\n").unwrap();
        assert_eq!(running_below(root.path(), true), []);
        fs::write(nfs.join("threads"), "8\n").unwrap();
        let ksmbd = directory("proc/fs/ksmbd");
        assert_eq!(running_below(root.path(), true), [Make::Ksmbd, Make::Nfs]);
        fs::write(ksmbd.join("server"), "Server\nstate:\tshutdown\n").unwrap();
        assert_eq!(running_below(root.path(), true), [Make::Nfs]);
        fs::write(ksmbd.join("server"), "Server\nstate:\trunning\n").unwrap();
        assert_eq!(running_below(root.path(), true), [Make::Ksmbd, Make::Nfs]);
    }
}
