//! The unit of the service, carried out without systemd: a script that starts the server under the restrictions of the
//! unit, as far as programs of util-linux can set them.

use std::fmt::Write as _;

/// A unit as it is written: the directives of its `[Service]`, in order.
pub(super) struct Unit(Vec<(String, String)>);

/// The directives that the script leaves out, with the reason.
const LEFT_OUT: &[(&str, &str)] = &[
    ("ExecReload", "a signal, which the test sends itself"),
    ("ExecStop", "a signal, which the test sends itself"),
    ("Restart", "nothing here restarts a service"),
    ("TimeoutStopSec", "the test has its own limit"),
    ("Type", "the test waits for the port"),
    ("SystemCallFilter", "only systemd makes its filters; the server has its own"),
    ("SystemCallErrorNumber", "as SystemCallFilter"),
    ("SystemCallArchitectures", "as SystemCallFilter"),
    ("MemoryDenyWriteExecute", "as SystemCallFilter"),
    ("LockPersonality", "as SystemCallFilter"),
    ("RestrictAddressFamilies", "as SystemCallFilter"),
    ("RestrictNamespaces", "as SystemCallFilter"),
    ("RestrictRealtime", "as SystemCallFilter"),
    ("RestrictSUIDSGID", "as SystemCallFilter"),
    ("ProtectClock", "its capabilities are not in the bounding set"),
    ("ProtectHostname", "its capabilities are not in the bounding set"),
    ("ProtectKernelLogs", "its capabilities are not in the bounding set"),
    ("ProtectKernelModules", "its capabilities are not in the bounding set"),
    ("RemoveIPC", "root's objects are never removed"),
    ("PrivateMounts", "always so here"),
];

impl Unit {
    pub(super) fn parse(text: &str) -> Self {
        let section = text.split("[Service]\n").nth(1).unwrap_or_default();
        let section = section.split("\n[").next().unwrap_or_default();
        let lines = section.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
        let pairs = lines.filter_map(|line| line.split_once('='));
        Self(pairs.map(|(key, value)| (key.trim().into(), value.trim().into())).collect())
    }

    /// All values of a directive, in words.
    fn words<'u>(&'u self, key: &'u str) -> impl Iterator<Item = &'u str> {
        self.0.iter().filter(move |(known, _)| known == key).flat_map(|(_, value)| value.split_whitespace())
    }

    fn value(&self, key: &str) -> &str {
        self.0.iter().rev().find(|(known, _)| known == key).map_or("", |(_, value)| value)
    }

    fn yes(&self, key: &str) -> bool {
        matches!(self.value(key), "yes" | "true" | "on" | "1")
    }

    /// The directives that the script does not carry out, with the reasons; `None` if this module does not know one.
    pub(super) fn left_out(&self) -> Vec<(&str, Option<&'static str>)> {
        let handled =
            |key: &str| HANDLED.contains(&key) || key.ends_with("DirectoryMode") || key == "ExecStartPre";
        let mut found = Vec::new();
        for (key, _) in &self.0 {
            let reason = LEFT_OUT.iter().find(|(known, _)| known == key).map(|(_, reason)| *reason);
            if !handled(key) && !found.iter().any(|(known, _)| known == key) {
                found.push((key.as_str(), reason));
            }
        }
        found
    }

    /// The script. It ends by becoming the server.
    pub(super) fn script(&self) -> String {
        let mut outside = String::from("#!/bin/sh\nset -e\n");
        for (key, base) in [
            ("ConfigurationDirectory", "/etc"),
            ("StateDirectory", "/var/lib"),
            ("RuntimeDirectory", "/run"),
            ("LogsDirectory", "/var/log"),
            ("CacheDirectory", "/var/cache"),
        ] {
            let mode =
                Some(self.value(&format!("{key}Mode"))).filter(|mode| !mode.is_empty()).unwrap_or("0755");
            for name in self.words(key) {
                let _ = writeln!(outside, "mkdir -p {base}/{name}; chmod {mode} {base}/{name}");
            }
        }
        let mut inside = String::from("set -e\nmount --make-rprivate /\n");
        self.mounts(&mut inside);
        let umask = Some(self.value("UMask")).filter(|mask| !mask.is_empty()).unwrap_or("0022");
        let _ = writeln!(inside, "umask {umask}");
        let limit = self.value("LimitNOFILE");
        if !limit.is_empty() {
            // In a container, root may not raise its own limit.
            let _ = writeln!(inside, "ulimit -n {limit} 2>/dev/null || ulimit -n $(ulimit -H -n)");
        }
        let before: Vec<String> = self.restricted("ExecStartPre");
        for command in before {
            let _ = writeln!(inside, "{command} || true");
        }
        for command in self.restricted("ExecStart") {
            let _ = writeln!(inside, "exec {command}");
        }
        let _ = write!(outside, "exec unshare --mount sh -c '\n{inside}'\n");
        outside
    }

    /// The commands of a directive, with the limits of the process.
    fn restricted(&self, key: &str) -> Vec<String> {
        let commands = self.0.iter().filter(|(known, _)| known == key);
        let mut front =
            String::from("env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin LANG=C.UTF-8 ");
        front += "setpriv --inh-caps=-all ";
        let capabilities: Vec<String> = self
            .words("CapabilityBoundingSet")
            .filter_map(|name| name.strip_prefix("CAP_"))
            .map(|name| format!("+{}", name.to_lowercase()))
            .collect();
        if !capabilities.is_empty() {
            front += &format!("--bounding-set=-all,{} ", capabilities.join(","));
        }
        if self.yes("NoNewPrivileges") {
            front += "--no-new-privs ";
        }
        commands
            .map(|(_, command)| format!("{front}{}", command.trim_start_matches(['-', '@', '+', '!'])))
            .collect()
    }

    /// The mounts of the unit's restrictions.
    fn mounts(&self, script: &mut String) {
        let mut read_only: Vec<&str> = match self.value("ProtectSystem") {
            "strict" => vec!["/"],
            "full" => vec!["/usr", "/boot", "/etc"],
            "yes" | "true" => vec!["/usr", "/boot"],
            _ => Vec::new(),
        };
        if self.yes("ProtectKernelTunables") {
            read_only.push("/proc/sys");
        }
        if self.yes("ProtectControlGroups") {
            read_only.push("/sys/fs/cgroup");
        }
        match self.value("ProtectHome") {
            "yes" | "true" => {
                script.push_str("for d in /home /root; do mount -t tmpfs -o ro none $d; done\n")
            }
            "tmpfs" => script.push_str("for d in /home /root; do mount -t tmpfs none $d; done\n"),
            "read-only" => read_only.extend(["/home", "/root"]),
            _ => {}
        }
        read_only.extend(self.words("ReadOnlyPaths").map(|path| path.trim_start_matches('-')));
        for path in read_only {
            bind(script, path, "ro");
        }
        let own = ["ConfigurationDirectory", "StateDirectory", "RuntimeDirectory"];
        let own = own.iter().zip(["/etc", "/var/lib", "/run"]);
        let own = own.flat_map(|(key, base)| self.words(key).map(move |name| format!("{base}/{name}")));
        for path in
            self.words("ReadWritePaths").map(|path| path.trim_start_matches('-').to_owned()).chain(own)
        {
            bind(script, &path, "rw");
        }
        for path in self.words("InaccessiblePaths").map(|path| path.trim_start_matches('-')) {
            let _ = writeln!(script, "if test -d {path}; then mount -t tmpfs -o ro,mode=0 none {path}; fi");
        }
        if self.yes("PrivateTmp") {
            script.push_str("for d in /tmp /var/tmp; do mount -t tmpfs -o mode=1777 none $d; done\n");
        }
        if self.yes("PrivateDevices") {
            script.push_str(
                "mkdir /run/dev; mount -t tmpfs -o mode=755 none /run/dev\n\
                 for d in null zero full random urandom tty; do touch /run/dev/$d; mount --bind /dev/$d /run/dev/$d; done\n\
                 mount --move /run/dev /dev; rmdir /run/dev\n",
            );
        }
        if !self.value("ProtectProc").is_empty() {
            let _ = writeln!(script, "mount -t proc -o hidepid={} proc /proc", self.value("ProtectProc"));
        }
    }
}

/// The directives that the script carries out.
const HANDLED: &[&str] = &[
    "ExecStart",
    "ConfigurationDirectory",
    "StateDirectory",
    "RuntimeDirectory",
    "UMask",
    "LimitNOFILE",
    "CapabilityBoundingSet",
    "NoNewPrivileges",
    "ProtectSystem",
    "ProtectHome",
    "ProtectControlGroups",
    "ProtectKernelTunables",
    "ProtectProc",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "InaccessiblePaths",
    "PrivateTmp",
    "PrivateDevices",
];

/// Mounts a directory over itself, if it exists.
fn bind(script: &mut String, path: &str, mode: &str) {
    let _ = writeln!(
        script,
        "if test -e {path}; then mount --rbind {path} {path}; mount -o remount,bind,{mode} {path}; fi"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_of_the_unit_become_a_script() {
        let text =
            std::fs::read_to_string(testkit::repository().join("packaging/shareward.service")).unwrap();
        let unit = Unit::parse(&text);
        let script = unit.script();
        for part in ["exec env -i ", "serve --config", "--bounding-set=-all,+", "umask 0", "ulimit -n "] {
            assert!(script.contains(part), "{part}: {script}");
        }
        let left_out = unit.left_out();
        assert!(left_out.iter().any(|(key, _)| *key == "SystemCallFilter"), "{left_out:?}");
        assert!(left_out.iter().all(|(key, _)| *key != "UMask"), "{left_out:?}");
        assert!(left_out.iter().all(|(_, reason)| reason.is_some()), "{left_out:?}");
    }
}
