//! Limits of the system.

use std::fs;
use std::path::Path;

use super::Finding;

const AREA: &str = "limits";

/// The descriptors that a server of a small office needs: one for each open file and connection.
const DESCRIPTORS_LOW: u64 = 16_384;

/// The watches that are few: kernels before 5.11 had this limit. A watch is needed for each directory that a client
/// observes.
const WATCHES_LOW: u64 = 8_192;

/// Examines the limits of the running server, or of this process if none runs.
pub(super) fn examine(proc: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let server = running(proc);
    let process = server.map_or_else(|| String::from("self"), |pid| pid.to_string());
    let limits = fs::read_to_string(proc.join(process).join("limits")).unwrap_or_default();
    if let Some(limit) = descriptors(&limits) {
        findings.push(match server {
            _ if limit >= DESCRIPTORS_LOW => Finding::ok(AREA, format!("{limit} file descriptors")),
            Some(pid) => Finding::warning(
                AREA,
                format!("the server (process {pid}) may have {limit} file descriptors"),
                "each open file and each connection takes one; further opens are refused",
                String::from(
                    "mkdir -p /etc/systemd/system/shareward.service.d && printf '[Service]\\nLimitNOFILE=1048576\\n' > \
                     /etc/systemd/system/shareward.service.d/limits.conf && systemctl daemon-reload && systemctl restart \
                     shareward",
                ),
            ),
            None => Finding::warning(
                AREA,
                format!("a server started here may have {limit} file descriptors"),
                "each open file and each connection takes one; further opens are refused",
                String::from("ulimit -Hn 1048576, as root, or run the server as the systemd unit"),
            ),
        });
    }
    let watches = fs::read_to_string(proc.join("sys/fs/inotify/max_user_watches")).unwrap_or_default();
    if let Ok(watches) = watches.trim().parse::<u64>() {
        findings.push(if watches > WATCHES_LOW {
            Finding::ok(AREA, format!("{watches} watches (fs.inotify.max_user_watches)"))
        } else {
            Finding::warning(
                AREA,
                format!("fs.inotify.max_user_watches is {watches}"),
                "clients do not notice changes by local programs in further directories",
                String::from(
                    "echo fs.inotify.max_user_watches=524288 > /etc/sysctl.d/60-shareward.conf && sysctl --system",
                ),
            )
        });
    }
    findings
}

/// The hard limit of descriptors in /proc/PID/limits; the server raises its own to it.
fn descriptors(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// The process of a running server.
fn running(proc: &Path) -> Option<u32> {
    let entries = fs::read_dir(proc).ok()?.flatten();
    let serves = |path: &Path| {
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.next().is_some_and(|program| program.ends_with(b"shareward")) && words.next() == Some(b"serve")
    };
    let pids = entries.filter_map(|it| Some((it.file_name().to_string_lossy().parse().ok()?, it.path())));
    pids.filter(|(_, path)| serves(path)).map(|(pid, _)| pid).min()
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn limits_of_the_server_are_examined() {
        let proc = tempfile::tempdir().unwrap();
        let at = |name: &str| proc.path().join(name);
        fs::create_dir_all(at("sys/fs/inotify")).unwrap();
        fs::create_dir_all(at("77")).unwrap();
        fs::write(at("77/cmdline"), "/usr/bin/shareward\0serve\0").unwrap();
        let limits = |hard: &str| {
            format!("Limit  Soft Limit  Hard Limit  Units\nMax open files   1024  {hard}  files\n")
        };
        let severities = |hard: &str, watches: &str| {
            fs::write(at("77/limits"), limits(hard)).unwrap();
            fs::write(at("sys/fs/inotify/max_user_watches"), watches).unwrap();
            examine(proc.path()).iter().map(|it| it.severity).collect::<Vec<_>>()
        };
        assert_eq!(severities("1048576", "65536\n"), [Severity::Ok, Severity::Ok]);
        assert_eq!(severities("unlimited", "8192\n"), [Severity::Ok, Severity::Warning]);
        assert_eq!(severities("4096", "65536\n"), [Severity::Warning, Severity::Ok]);
        assert!(examine(proc.path())[0].what.contains("process 77"));
    }
}
