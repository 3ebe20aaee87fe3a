//! The Debian packages and other programs that the tests need, and their installation.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::shell;

/// A package, and a file that exists if it is installed.
const PACKAGES: &[(&str, &str)] = &[
    ("samba", "/usr/sbin/smbd"),
    ("smbclient", "/usr/bin/smbclient"),
    ("samba-vfs-modules", "/usr/share/doc/samba-vfs-modules/copyright"),
    ("samba-testsuite", "/usr/bin/smbtorture"),
    ("strace", "/usr/bin/strace"),
    ("tmux", "/usr/bin/tmux"),
    ("samba-common-bin", "/usr/bin/net"),
    ("openssl", "/usr/bin/openssl"),
    ("python3-impacket", "/usr/lib/python3/dist-packages/impacket/__init__.py"),
    ("iptables", "/usr/sbin/iptables"),
    ("iproute2", "/usr/sbin/ip"),
    ("e2fsprogs", "/usr/sbin/mkfs.ext4"),
    ("avahi-daemon", "/usr/sbin/avahi-daemon"),
    ("avahi-utils", "/usr/bin/avahi-browse"),
    ("dbus", "/usr/bin/dbus-daemon"),
    ("procps", "/usr/bin/ps"),
    ("acl", "/usr/bin/setfacl"),
    ("attr", "/usr/bin/setfattr"),
    ("util-linux", "/usr/bin/unshare"),
    ("gcc", "/usr/bin/cc"),
    ("fuse3", "/usr/bin/fusermount3"),
    ("rsync", "/usr/bin/rsync"),
    ("samba-ad-dc", "/usr/share/doc/samba-ad-dc/copyright"),
    ("samba-ad-provision", "/usr/share/samba/setup/provision_users.ldif"),
    ("winbind", "/usr/sbin/winbindd"),
    ("libnss-winbind", "/usr/share/doc/libnss-winbind/copyright"),
    ("krb5-user", "/usr/bin/kinit"),
    ("cifs-utils", "/usr/sbin/cifs.upcall"),
    ("adcli", "/usr/sbin/adcli"),
    ("faketime", "/usr/bin/faketime"),
    ("prometheus", "/usr/bin/promtool"),
    ("etcd-server", "/usr/bin/etcd"),
    ("etcd-client", "/usr/bin/etcdctl"),
    ("chromium", "/usr/bin/chromium"),
    ("chromium-driver", "/usr/bin/chromedriver"),
];

/// The file system exerciser, a program that no distribution has.
const FSX: [&str; 3] = ["fsx", "--version", "0.3.2"];

/// Installs missing packages, or prints the command if it may not. Returns true if all packages are installed.
pub(crate) fn install() -> bool {
    let packages = install_packages();
    install_fsx() && packages
}

fn install_fsx() -> bool {
    if testkit::find("fsx").is_some() {
        return true;
    }
    let root = shell::target_directory().join(testkit::TOOLS);
    println!("installing fsx from crates.io into {}", root.display());
    let mut install = shell::cargo(&["install", "--locked", "--quiet", "--root"]);
    // In debug mode: optimizing would take longer than it saves.
    install.arg(&root).args(FSX).arg("--debug");
    // Otherwise it would rebuild the dependencies that it shares with the workspace.
    install.env("CARGO_TARGET_DIR", root.join("build"));
    shell::succeeds(install)
}

fn install_packages() -> bool {
    let missing = missing();
    if missing.is_empty() {
        println!("all peers are installed");
        return true;
    }
    let list = missing.join(" ");
    if !shell::installed("apt-get") {
        eprintln!("missing: {list} (Debian's names; this is not a Debian system, install what corresponds)");
        return false;
    }
    if !testkit::is_root() {
        eprintln!(
            "missing: {list}\ninstall them with:\n  sudo apt-get install --no-install-recommends {list}"
        );
        return false;
    }
    println!("installing {list}");
    let apt = |arguments: &[&str]| {
        let mut command = shell::command("apt-get", arguments);
        // A service that starts with its package could take ports and is of no use here.
        command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        command
    };
    let mut install = vec!["-qq", "-y", "--no-install-recommends", "install"];
    install.extend(&missing);
    let (_no_services, _name_service) = (NoServices::begin(), NameService::read());
    let done = shell::succeeds(apt(&["-qq", "update"])) && shell::succeeds(apt(&install));
    done && self::missing().is_empty()
}

/// Keeps packages from starting their services on a machine with systemd, which does not look at RUNLEVEL: a domain
/// controller, winbindd and smbd would take ports. Dropping it ends that.
struct NoServices(bool);

impl NoServices {
    /// The program that `invoke-rc.d` and `deb-systemd-invoke` ask.
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn begin() -> Self {
        let ours = !Path::new(Self::POLICY).exists()
            && fs::write(Self::POLICY, "#!/bin/sh\nexit 101\n").is_ok()
            && fs::set_permissions(Self::POLICY, Permissions::from_mode(0o755)).is_ok();
        Self(ours)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.0 {
            fs::remove_file(Self::POLICY).ok();
        }
    }
}

/// The configuration of the name service, which libnss-winbind changes when it is installed: here, only the hosts of
/// the tests' domain use winbind, with a configuration of their own. Dropping it restores the file.
struct NameService(Option<String>);

impl NameService {
    const FILE: &str = "/etc/nsswitch.conf";

    fn read() -> Self {
        Self(fs::read_to_string(Self::FILE).ok())
    }
}

impl Drop for NameService {
    fn drop(&mut self) {
        if let Some(text) = &self.0
            && fs::read_to_string(Self::FILE).is_ok_and(|now| now != *text)
        {
            fs::write(Self::FILE, text).ok();
        }
    }
}

fn missing() -> Vec<&'static str> {
    PACKAGES.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(package, _)| *package).collect()
}
