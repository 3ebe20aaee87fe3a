//! Attempts to leave the sandbox, each in a process of its own: the test binary runs itself with the name of a scene.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use sandbox::{Layer, Mode, Places, Report, enter};

/// The environment variable with the scene that the process plays, and the one with its directory.
const SCENE: &str = "SANDBOX_SCENE";
const DIRECTORY: &str = "SANDBOX_DIRECTORY";

/// The entry of the child processes. In the test run itself it has nothing to do.
#[test]
fn scene() {
    let Ok(scene) = std::env::var(SCENE) else { return };
    let directory = std::env::var(DIRECTORY).unwrap_or_default();
    let directory = Path::new(&directory);
    match scene.as_str() {
        "on" => ordinary(&entered(Mode::On, &Places::default()), directory),
        "strict" => strict(directory),
        "off" => {
            enter(Mode::Off, &Places::default());
            assert!(Command::new("/bin/true").status().is_ok_and(|status| status.success()));
        }
        "ptrace" => {
            entered(Mode::On, &Places::default());
            let _ = nix::sys::ptrace::traceme();
        }
        "mount" => {
            entered(Mode::On, &Places::default());
            let _ = nix::mount::umount("/nowhere");
        }
        other => panic!("no scene {other}"),
    }
    eprintln!("played {scene}");
}

fn play(scene: &str, directory: &Path) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["scene", "--exact", "--nocapture"])
        .env(SCENE, scene)
        .env(DIRECTORY, directory)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn entered(mode: Mode, places: &Places) -> Report {
    let report = enter(mode, places);
    assert!(matches!(report.calls, Layer::Active(_)), "{report:?}");
    report
}

/// A file server's own work is possible, and what only an attacker wants is not.
fn ordinary(report: &Report, directory: &Path) {
    let lacks_landlock = matches!(report.files, Layer::Missing(_));
    assert!(lacks_landlock || report.shortcomings().iter().all(|it| it.contains("CAP_")), "{report:?}");
    let refused = |error: std::io::Error| error.raw_os_error() == Some(libc::EPERM);
    assert!(Command::new("/bin/true").spawn().is_err_and(refused));
    assert_eq!(nix::sched::unshare(CloneFlags::CLONE_NEWUSER), Err(Errno::EPERM));
    let open = |family| socket(family, SockType::Datagram, SockFlag::empty(), None).map(drop);
    assert_eq!(open(AddressFamily::Packet), Err(Errno::EAFNOSUPPORT));
    assert_eq!(open(AddressFamily::Alg), Err(Errno::EAFNOSUPPORT));
    for family in [AddressFamily::Inet, AddressFamily::Unix, AddressFamily::Netlink] {
        open(family).unwrap();
    }
    let node = directory.join("device");
    let kind = rustix::fs::FileType::CharacterDevice;
    let made =
        rustix::fs::mknodat(rustix::fs::CWD, &node, kind, rustix::fs::Mode::RUSR, rustix::fs::makedev(1, 3));
    assert_eq!(made, Err(rustix::io::Errno::PERM));

    fs::create_dir(directory.join("below")).unwrap();
    fs::write(directory.join("file"), "text").unwrap();
    fs::rename(directory.join("file"), directory.join("below/file")).unwrap();
    assert_eq!(fs::read(directory.join("below/file")).unwrap(), b"text");
    // Threads, sockets and names of users go on to work.
    let id = std::thread::spawn(|| nix::unistd::User::from_name("root").unwrap()).join().unwrap();
    assert!(id.is_some_and(|root| root.uid.is_root()));
    UnixStream::pair().unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(report.reach.covers(Path::new("/")).unwrap());
}

fn strict(directory: &Path) {
    let (shared, other) = (directory.join("shared"), directory.join("other"));
    let places =
        Places { read: vec![directory.join("readable")], change: vec![shared.clone()], connect: Vec::new() };
    let report = entered(Mode::Strict, &places);
    if matches!(report.files, Layer::Missing(_)) {
        eprintln!("lacks Landlock");
        return;
    }
    let denied = |error: std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    fs::write(shared.join("file"), "text").unwrap();
    fs::create_dir(shared.join("below")).unwrap();
    fs::rename(shared.join("file"), shared.join("below/file")).unwrap();
    assert_eq!(fs::read(directory.join("readable")).unwrap(), b"readable");
    assert!(fs::write(directory.join("readable"), "changed").is_err_and(denied));
    assert!(fs::read(other.join("file")).is_err_and(denied));
    assert!(fs::write(other.join("new"), "text").is_err_and(denied));
    // A link in the shared directory does not lead out.
    std::os::unix::fs::symlink(other.join("file"), shared.join("link")).unwrap();
    assert!(fs::read(shared.join("link")).is_err_and(denied));
    fs::read("/etc/passwd").unwrap();
    fs::File::options().write(true).open("/dev/null").unwrap();
    assert!(TcpListener::bind("127.0.0.1:0").is_err_and(denied));
    assert!(TcpStream::connect("127.0.0.1:9").is_err_and(denied));
    assert!(report.reach.covers(&shared).unwrap());
    assert!(report.reach.covers(&shared.join("below")).unwrap());
    assert!(!report.reach.covers(&other).unwrap());
    assert!(report.reach.covers(&shared.join("missing")).is_err());
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn programs_namespaces_and_devices_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = play("on", directory.path());
    assert!(output.status.success() && text(&output).contains("played on"), "{}", text(&output));
}

#[test]
fn strict_mode_gives_access_to_listed_directories_only() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["shared", "other"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    fs::write(directory.path().join("other/file"), "secret").unwrap();
    fs::write(directory.path().join("readable"), "readable").unwrap();
    let output = play("strict", directory.path());
    assert!(output.status.success() && text(&output).contains("played strict"), "{}", text(&output));
}

#[test]
fn without_the_sandbox_programs_can_be_executed() {
    let directory = tempfile::tempdir().unwrap();
    let output = play("off", directory.path());
    assert!(output.status.success() && text(&output).contains("played off"), "{}", text(&output));
}

#[test]
fn calls_of_attackers_end_the_process() {
    let directory = tempfile::tempdir().unwrap();
    for scene in ["ptrace", "mount"] {
        let output = play(scene, directory.path());
        assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{scene}: {}", text(&output));
    }
}

#[test]
fn trial_leaves_the_process_as_it_is() {
    let report = sandbox::trial(Mode::On, &Places::default());
    assert!(matches!(report.calls, Layer::Active(_)), "{report:?}");
    assert!(Command::new("/bin/true").status().is_ok_and(|status| status.success()));
}
