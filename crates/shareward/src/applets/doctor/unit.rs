//! The sandbox of the systemd unit, compared with the shares.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use server::config::{Settings, ShareSettings};

use super::{Finding, shell_word};

const AREA: &str = "unit";
const UNIT: &str = "shareward.service";

/// The directories of units, the strongest first (systemd.unit(5)).
const DIRECTORIES: [&str; 4] =
    ["etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system"];

/// Examines the unit and its drop-in files below `root`.
pub(super) fn examine(settings: &Settings, root: &Path) -> Vec<Finding> {
    let Some((path, unit)) = read(root) else { return Vec::new() };
    let mut findings: Vec<Finding> = settings.shares.iter().filter_map(|it| hidden(&unit, it)).collect();
    if findings.is_empty() {
        findings.push(Finding::ok(AREA, format!("{} leaves the shares accessible", path.display())));
    }
    findings
}

/// The settings of the section `[Service]`: all values of each key, in order. An empty value clears those before it.
type Unit = BTreeMap<String, Vec<String>>;

fn read(root: &Path) -> Option<(PathBuf, Unit)> {
    let path = DIRECTORIES.iter().map(|it| root.join(it).join(UNIT)).find(|it| it.is_file())?;
    let mut unit = Unit::new();
    add(&fs::read_to_string(&path).ok()?, &mut unit);
    // A drop-in file hides those of the same name in weaker directories.
    let mut files: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for directory in DIRECTORIES.iter().rev() {
        let drop_ins = root.join(directory).join(format!("{UNIT}.d"));
        let entries = fs::read_dir(drop_ins).into_iter().flatten().flatten();
        for file in entries.filter(|it| it.path().extension().is_some_and(|it| it == "conf")) {
            files.insert(file.file_name(), file.path());
        }
    }
    for file in files.values() {
        add(&fs::read_to_string(file).unwrap_or_default(), &mut unit);
    }
    Some((path, unit))
}

fn add(text: &str, unit: &mut Unit) {
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with(['#', ';'])) {
            if section != "[Service]" {
                continue;
            }
            let values = unit.entry(key.trim().to_owned()).or_default();
            match value.trim() {
                "" => values.clear(),
                value => values.push(value.to_owned()),
            }
        }
    }
}

/// The finding for a share that the sandbox hides or protects from writing.
fn hidden(unit: &Unit, share: &ShareSettings) -> Option<Finding> {
    let last = |key: &str| unit.get(key).and_then(|it| it.last()).map(|it| it.to_ascii_lowercase());
    let is_on = |key: &str| last(key).is_some_and(|it| matches!(it.as_str(), "yes" | "true" | "1" | "on"));
    let listed = |keys: &[&str]| {
        let values = keys.iter().filter_map(|key| unit.get(*key)).flatten();
        let paths = values.flat_map(|it| it.split_whitespace());
        let mut paths = paths.map(|it| it.trim_start_matches(['-', '+', '"', '!']).trim_end_matches('"'));
        paths.any(|it| share.path.starts_with(it.split(':').next().unwrap_or(it)))
    };
    let is_below = |directories: &[&str]| directories.iter().any(|it| share.path.starts_with(it));
    let path = share.path.display();
    let drop_in = |lines: &[&str]| {
        let directory = format!("/etc/systemd/system/{UNIT}.d");
        let lines: Vec<_> = lines.iter().map(|line| shell_word(line)).collect();
        format!(
            "mkdir -p {directory} && printf '%s\\n' '[Service]' {} >> {directory}/shares.conf && systemctl \
             daemon-reload && systemctl restart shareward",
            lines.join(" ")
        )
    };
    let gone = |setting: &str, lines: &[&str]| {
        Some(Finding::error(
            AREA,
            format!("share {}: {setting} hides {path} from the service", share.name),
            "the service finds no files there, so the share is unavailable",
            drop_in(lines),
        ))
    };
    let homes = ["/home", "/root", "/run/user"];
    let home = last("ProtectHome").unwrap_or_default();
    // Below an inaccessible path, no other path can be opened again (InaccessiblePaths= in systemd.exec(5)); a tmpfs can
    // have others mounted below it.
    let is_bound = listed(&["BindPaths"]);
    let is_home_hidden =
        matches!(home.as_str(), "yes" | "true" | "1" | "on") || (home == "tmpfs" && !is_bound);
    if is_below(&homes) && is_home_hidden {
        return gone(&format!("ProtectHome={home}"), &["ProtectHome=no"]);
    }
    if is_below(&["/tmp", "/var/tmp"])
        && (is_on("PrivateTmp") || last("PrivateTmp").is_some_and(|it| it == "disconnected"))
    {
        return gone("PrivateTmp", &["PrivateTmp=no"]);
    }
    if listed(&["InaccessiblePaths"]) {
        // An empty value clears the list; the paths that are not above the share come back.
        let hides = |it: &str| share.path.starts_with(it.trim_start_matches(['-', '+']));
        let others = unit.get("InaccessiblePaths").into_iter().flatten();
        let others: Vec<_> = others.flat_map(|it| it.split_whitespace()).filter(|it| !hides(it)).collect();
        let others = format!("InaccessiblePaths={}", others.join(" "));
        let lines = ["InaccessiblePaths=", others.as_str()];
        return gone("InaccessiblePaths", if others.ends_with('=') { &lines[..1] } else { &lines });
    }
    if listed(&["TemporaryFileSystem"]) && !is_bound {
        return gone("TemporaryFileSystem", &[&format!("BindPaths={path}")]);
    }
    if share.read_only || is_bound || listed(&["ReadWritePaths"]) {
        return None;
    }
    let system = last("ProtectSystem").unwrap_or_default();
    let protected = match system.as_str() {
        "strict" => !is_below(&["/dev", "/proc", "/sys"]),
        "full" => is_below(&["/usr", "/boot", "/efi", "/etc"]),
        "yes" | "true" | "1" | "on" => is_below(&["/usr", "/boot", "/efi"]),
        _ => false,
    };
    let setting = if is_below(&homes) && home == "read-only" {
        String::from("ProtectHome=read-only")
    } else if protected {
        format!("ProtectSystem={system}")
    } else if listed(&["ReadOnlyPaths"]) {
        String::from("ReadOnlyPaths")
    } else {
        return None;
    };
    Some(Finding::error(
        AREA,
        format!("share {}: {setting} makes {path} read-only for the service", share.name),
        "clients cannot write, although the share permits it",
        drop_in(&[&format!("ReadWritePaths={path}")]),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    fn told(unit: &str, drop_in: &str, share: &str) -> Finding {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("usr/lib/systemd/system")).unwrap();
        fs::create_dir_all(at("etc/systemd/system/shareward.service.d")).unwrap();
        fs::write(
            at("usr/lib/systemd/system/shareward.service"),
            format!("[Unit]\nA=b\n[Service]\n{unit}\n"),
        )
        .unwrap();
        fs::write(at("etc/systemd/system/shareward.service.d/x.conf"), format!("[Service]\n{drop_in}\n"))
            .unwrap();
        let mut settings = crate::setup::defaults();
        settings.shares = vec![ShareSettings::new(String::from("data"), share.into())];
        examine(&settings, root.path()).remove(0)
    }

    #[test]
    fn sandbox_that_hides_a_share_is_reported_with_the_drop_in_that_opens_it() {
        let hidden = told("ProtectHome=yes", "", "/home/ann/shared");
        assert_eq!(hidden.what, "share data: ProtectHome=yes hides /home/ann/shared from the service");
        assert!(hidden.fix.unwrap().contains("ProtectHome=no"));
        let hidden = told("InaccessiblePaths=-/root -/run/user", "BindPaths=/root/data", "/root/data");
        assert_eq!(hidden.severity, Severity::Error, "a path below an inaccessible one stays inaccessible");
        let fix = hidden.fix.unwrap();
        assert!(fix.replace('\'', "").contains("InaccessiblePaths= InaccessiblePaths=-/run/user"), "{fix}");
        let fix = told("InaccessiblePaths=/srv", "", "/srv/data").fix.unwrap();
        assert!(fix.contains("InaccessiblePaths=") && !fix.contains("/srv"), "{fix}");
        let fix = told("TemporaryFileSystem=/srv:ro", "", "/srv/data").fix.unwrap();
        assert!(fix.contains("BindPaths=/srv/data"), "{fix}");
        for (unit, drop_in, share, setting) in [
            ("PrivateTmp=yes", "", "/tmp/x", "PrivateTmp"),
            ("ProtectSystem=strict", "", "/srv/data", "ProtectSystem=strict"),
            ("ProtectSystem=full", "", "/etc/data", "ProtectSystem=full"),
            ("ProtectHome=read-only", "", "/root", "ProtectHome=read-only"),
            ("InaccessiblePaths=-/srv /opt", "", "/srv/data", "InaccessiblePaths"),
            ("", "ReadOnlyPaths=/srv", "/srv/data", "ReadOnlyPaths"),
        ] {
            let finding = told(unit, drop_in, share);
            assert_eq!(finding.severity, Severity::Error, "{unit} {drop_in}");
            assert!(finding.what.contains(setting), "{finding:?}");
        }
    }

    #[test]
    fn sandbox_that_leaves_a_share_alone_is_fine() {
        for (unit, drop_in, share) in [
            ("ProtectHome=yes", "ProtectHome=no", "/home/ann"),
            ("ProtectHome=yes", "", "/srv/data"),
            ("ProtectSystem=strict", "ReadWritePaths=/srv", "/srv/data"),
            ("ProtectSystem=full", "", "/srv/data"),
            ("ProtectHome=tmpfs", "BindPaths=/home/ann", "/home/ann"),
            ("# ProtectHome=yes", "", "/home/ann"),
            ("InaccessiblePaths=/srv", "InaccessiblePaths=", "/srv/data"),
        ] {
            assert_eq!(told(unit, drop_in, share).severity, Severity::Ok, "{unit} {drop_in}");
        }
    }
}
