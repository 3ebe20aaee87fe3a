//! The ports, and the programs that have them.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use server::config::Settings;

use super::{Finding, Severity};

const AREA: &str = "ports";

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listener {
    address: SocketAddr,
    /// The inode of the socket; 0 for one of the kernel.
    inode: u64,
}

/// A process that has a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    pid: u32,
    name: String,
}

/// Examines the ports of the settings.
pub(super) fn examine(settings: &Settings, proc: &Path) -> Vec<Finding> {
    let listeners = listeners(proc);
    let mut findings = Vec::new();
    for address in &settings.listen {
        let taken: Vec<Listener> =
            listeners.iter().filter(|it| collides(*address, it.address)).copied().collect();
        if taken.is_empty() {
            findings.push(free(*address, proc));
            continue;
        }
        let holders = holders(proc, &taken);
        for listener in taken {
            let finding = occupied(*address, holders.get(&listener.inode));
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    if !findings.iter().any(|it: &Finding| it.what.contains("smbd"))
        && client::running_makes().contains(&client::Make::Samba)
    {
        findings.push(Finding {
            area: AREA,
            severity: Severity::Ok,
            what: String::from("Samba's smbd also runs on this machine, on other ports"),
            why: None,
            fix: None,
        });
    }
    findings
}

fn free(address: SocketAddr, proc: &Path) -> Finding {
    let first = fs::read_to_string(proc.join("sys/net/ipv4/ip_unprivileged_port_start"));
    let first = first.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024);
    if address.port() < first && !crate::setup::is_root() {
        return Finding::warning(
            AREA,
            format!("port {} requires root or CAP_NET_BIND_SERVICE", address.port()),
            "a server of an ordinary user cannot listen there",
            String::from("shareward serve --listen :4450"),
        );
    }
    Finding::ok(AREA, format!("{address} is free; the server does not run"))
}

fn occupied(address: SocketAddr, holder: Option<&Holder>) -> Finding {
    let why = "two servers cannot listen on one port, so this one does not start";
    match holder {
        Some(Holder { pid, name }) if name == "shareward" => {
            Finding::ok(AREA, format!("the server listens on {address} (process {pid})"))
        }
        Some(Holder { pid, name }) => Finding::error(
            AREA,
            format!("{name} (process {pid}) listens on port {}", address.port()),
            why,
            match name.as_str() {
                "smbd" => String::from("systemctl disable --now smbd"),
                _ => format!("kill {pid}, or set another port with listen"),
            },
        ),
        None if Path::new("/sys/module/ksmbd").exists() => Finding::error(
            AREA,
            format!("the kernel's SMB server, ksmbd, may listen on port {}", address.port()),
            why,
            String::from("systemctl disable --now ksmbd"),
        ),
        None => Finding::error(
            AREA,
            format!("a program that cannot be seen listens on port {}", address.port()),
            why,
            format!("sudo ss -ltnp 'sport = :{}'", address.port()),
        ),
    }
}

/// True if one of the two sockets keeps the other from listening.
fn collides(wanted: SocketAddr, taken: SocketAddr) -> bool {
    let any = |ip: IpAddr| ip.is_unspecified();
    wanted.port() == taken.port()
        && match (wanted.ip(), taken.ip()) {
            (a @ IpAddr::V4(_), b @ IpAddr::V4(_)) | (a @ IpAddr::V6(_), b @ IpAddr::V6(_)) => {
                any(a) || any(b) || a == b
            }
            // Each family has a socket of its own.
            _ => false,
        }
}

/// The listening TCP sockets (proc_pid_net(5)).
fn listeners(proc: &Path) -> Vec<Listener> {
    let read = |name: &str| fs::read_to_string(proc.join("net").join(name)).unwrap_or_default();
    let (v4, v6) = (read("tcp"), read("tcp6"));
    v4.lines().chain(v6.lines()).filter_map(listener).collect()
}

/// The listener of a line of /proc/net/tcp or tcp6.
fn listener(line: &str) -> Option<Listener> {
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // The kernel prints each word of the address as a number of the machine.
    let word = |at: usize| u32::from_str_radix(address.get(at..at.checked_add(8)?)?, 16).ok();
    let ip: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?.to_ne_bytes()).into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at.checked_mul(8)?)?.to_ne_bytes());
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(Listener { address: SocketAddr::new(ip, port), inode })
}

/// TCP_LISTEN of the kernel.
const LISTEN: &str = "0A";

/// The processes that have these sockets, by inode. Without root, only the caller's own processes can be seen.
fn holders(proc: &Path, sockets: &[Listener]) -> HashMap<u64, Holder> {
    let links: HashMap<String, u64> =
        sockets.iter().map(|it| (format!("socket:[{}]", it.inode), it.inode)).collect();
    let mut found = HashMap::new();
    for process in fs::read_dir(proc).into_iter().flatten().flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        for descriptor in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Ok(link) = fs::read_link(descriptor.path()) else { continue };
            let Some(inode) = links.get(&*link.to_string_lossy()) else { continue };
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            found.entry(*inode).or_insert_with(|| Holder { pid, name: name.trim_end().to_owned() });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:01BD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:01BD 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
";
    const TCP6: &str = "\
   0: 00000000000000000000000000000000:1162 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
";

    fn tree() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("net")).unwrap();
        fs::create_dir_all(at("812/fd")).unwrap();
        fs::write(at("net/tcp"), TCP).unwrap();
        fs::write(at("net/tcp6"), TCP6).unwrap();
        fs::write(at("812/comm"), "smbd\n").unwrap();
        symlink("socket:[4711]", at("812/fd/7")).unwrap();
        directory
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn program_that_has_the_port_is_named() {
        let directory = tree();
        let told = |listen: &str| {
            let mut settings = crate::setup::defaults();
            settings.listen = vec![listen.parse().unwrap()];
            examine(&settings, directory.path()).remove(0)
        };
        let taken = told("0.0.0.0:445");
        assert_eq!(taken.what, "smbd (process 812) listens on port 445");
        assert_eq!(
            (taken.severity, taken.fix.as_deref()),
            (Severity::Error, Some("systemctl disable --now smbd"))
        );
        let unseen = told("[::1]:4450");
        assert_eq!((unseen.severity, unseen.area), (Severity::Error, "ports"), "{unseen:?}");
        for free in ["127.0.0.2:445", "0.0.0.0:4450", "[::]:4451"] {
            assert_ne!(told(free).severity, Severity::Error, "{free}");
        }
        fs::write(directory.path().join("812/comm"), "shareward\n").unwrap();
        assert_eq!(told("127.0.0.1:445").severity, Severity::Ok);
    }
}
