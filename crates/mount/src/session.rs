//! The life of a mount from start to end.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use client::smb::{ClientTree, LogonCredentials};
use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::attributes::View;
use crate::filesystem::ShareFs;
use crate::identity;
use crate::modes::user_on_server;
use crate::remote::{Remote, ShareAddress, Status};
use crate::state::{FILE_SYSTEM_TYPE, State};
use crate::volume::Volume;

/// The parameters of a mount.
#[derive(Clone, Debug)]
pub struct Options {
    /// The share.
    pub target: ShareAddress,
    /// The credentials for the logon and for reconnections.
    pub credentials: LogonCredentials,
    /// The user's name, for display.
    pub user: String,
    /// True for a read-only mount.
    pub read_only: bool,
    /// True if other users of this machine have access, according to the displayed permissions.
    pub others: bool,
}

/// Mounts a connected share on a directory and serves it until it is unmounted, or until `stop` completes,
/// which unmounts it. Calls `ready` when it is mounted.
pub async fn serve(
    tree: ClientTree,
    directory: &Path,
    options: Options,
    stop: impl Future<Output = ()>,
    ready: impl FnOnce(),
) -> io::Result<()> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let root = identity::of_root(&tree).await.map_err(io::Error::other)?;
    let on_server = if root.posix { user_on_server(&tree, &options.user).await } else { None };
    let view = View { uid, gid, read_only: options.read_only, on_server, others: options.others };
    // The server knows better than the modes that it shows, except what other users of this machine may.
    let checks = options.others || !root.posix;
    let remote = Remote::new(options.target.clone(), options.credentials.clone(), tree, root.posix);
    let remote = remote.map_err(io::Error::other)?;
    let volume = Arc::new(Volume::new(Arc::clone(&remote), view, root.identity));
    let state = State {
        target: options.target.clone(),
        user: options.user.clone(),
        status: Status::Ok,
        opens: 0,
        pid: std::process::id(),
        problem: None,
    };
    let runtime = tokio::runtime::Handle::current();
    let file_system = ShareFs { volume: Arc::clone(&volume), runtime, state };
    let (at, how) = (directory.to_owned(), options.clone());
    // The handshake waits for the kernel.
    let session = tokio::task::spawn_blocking(move || start(file_system, &at, &how, checks)).await;
    let session = session.map_err(io::Error::other)??;
    // No other call sets the notifier, so this one succeeds.
    let _ = volume.notifier.set(session.notifier());
    let watch = tokio::spawn(Arc::clone(&remote).watch());
    let finishing = Arc::clone(&volume);
    let finish = tokio::spawn(async move { finishing.finish_leftovers().await });
    ready();
    let ended = tokio::task::spawn_blocking(move || session.join());
    tokio::pin!(ended);
    let outcome = tokio::select! {
        outcome = &mut ended => outcome,
        () = stop => {
            let at = directory.to_owned();
            let unmounted = tokio::task::spawn_blocking(move || unmount(&at, false).or_else(|_| unmount(&at, true)));
            unmounted.await.map_err(io::Error::other)??;
            // Open files keep the session alive; it ends with the process.
            tokio::time::timeout(crate::limits::CONNECT_TIME_MAX, &mut ended).await.unwrap_or(Ok(Ok(())))
        }
    };
    watch.abort();
    finish.abort();
    // An aborted task has left its current item in the list.
    let _ = finish.await;
    volume.try_leftovers().await;
    volume.close_all().await;
    remote.close().await;
    outcome.map_err(io::Error::other)?
}

/// Unmounts a directory. With `lazily` it disappears at once, and ends when nothing in it is open any more.
pub fn unmount(directory: &Path, lazily: bool) -> io::Result<()> {
    let flags = if lazily { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    match rustix::mount::unmount(directory, flags) {
        Err(rustix::io::Errno::PERM) => unmount_by_helper(directory, lazily),
        outcome => outcome.map_err(io::Error::from),
    }
}

/// Mounts. `checks` has the kernel apply the modes that are shown.
fn start(
    file_system: ShareFs,
    directory: &Path,
    options: &Options,
    checks: bool,
) -> io::Result<BackgroundSession> {
    let mut config = Config::default();
    config.acl = if options.others { SessionACL::All } else { SessionACL::Owner };
    match mount(directory, options, checks) {
        Ok(device) => Session::from_fd(file_system, device, config.acl, config)?.spawn(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            config.mount_options = vec![
                MountOption::FSName(options.target.source().replace(',', "\\,")),
                MountOption::Subtype(SUBTYPE.into()),
            ];
            if checks {
                config.mount_options.push(MountOption::DefaultPermissions);
            }
            if options.read_only {
                config.mount_options.push(MountOption::RO);
            }
            Session::new(file_system, directory, &config)?.spawn()
        }
        Err(error) => Err(error),
    }
}

/// Mounts with the system call, which needs CAP_SYS_ADMIN. The session reads from the device.
fn mount(directory: &Path, options: &Options, checks: bool) -> io::Result<OwnedFd> {
    let device: File = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let others = if options.others { ",allow_other" } else { "" };
    let checks = if checks { ",default_permissions" } else { "" };
    let fd = device.as_raw_fd();
    let data = format!("fd={fd},rootmode=40000,user_id={uid},group_id={gid}{checks}{others}");
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    if options.read_only {
        flags |= MountFlags::RDONLY;
    }
    let data = CString::new(data).map_err(io::Error::other)?;
    rustix::mount::mount(options.target.source(), directory, FILE_SYSTEM_TYPE, flags, Some(data.as_c_str()))?;
    Ok(device.into())
}

/// Unmounts with the helper that FUSE installs for users.
fn unmount_by_helper(directory: &Path, lazily: bool) -> io::Result<()> {
    let mut missing = io::Error::from(io::ErrorKind::PermissionDenied);
    for helper in ["fusermount3", "fusermount"] {
        let mut command = Command::new(helper);
        command.arg("-u").args(lazily.then_some("-z")).arg("--").arg(directory);
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output() {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) if String::from_utf8_lossy(&output.stderr).contains("busy") => {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            Ok(output) => return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing = error,
            Err(error) => return Err(error),
        }
    }
    Err(missing)
}

/// The part of [`FILE_SYSTEM_TYPE`] after `fuse.`.
const SUBTYPE: &str = "shareward";
