//! The dependencies that are allowed between our crates.

use std::fs;
use std::path::Path;

use super::{Findings, crates};

/// The other crates of ours that each crate may use. A crate that is not listed must not exist.
const ALLOWED: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("rpc", &["wire"]),
    ("control", &["wire"]),
    ("auth", &["wire"]),
    ("registry", &["wire"]),
    ("vfs", &["wire"]),
    ("cluster", &["wire"]),
    ("journal", &["wire"]),
    ("discovery", &[]),
    ("etcd", &[]),
    ("gss", &[]),
    ("sandbox", &[]),
    ("handlelog", &["wire"]),
    ("domain", &["auth", "client", "gss", "rpc", "wire"]),
    (
        "server",
        &[
            "auth",
            "cluster",
            "control",
            "discovery",
            "domain",
            "etcd",
            "handlelog",
            "journal",
            "registry",
            "rpc",
            "sandbox",
            "vfs",
            "wire",
        ],
    ),
    ("client", &["auth", "control", "gss", "rpc", "wire"]),
    ("mount", &["auth", "client", "wire"]),
    ("import", &["auth", "wire"]),
    (
        "shareward",
        &[
            "auth", "client", "control", "domain", "gss", "import", "journal", "mount", "sandbox", "server",
            "wire",
        ],
    ),
    ("testkit", &[]),
    // The fuzz targets: a target for each parser of the crates.
    (
        "fuzzing",
        &[
            "auth",
            "client",
            "cluster",
            "control",
            "discovery",
            "domain",
            "handlelog",
            "import",
            "registry",
            "rpc",
            "server",
            "vfs",
            "wire",
        ],
    ),
];

/// The crates from crates.io that a pure crate must not use: it has no I/O, no clock and no runtime.
const IMPURE: &[&str] = &["tokio", "hyper", "axum", "rustix", "socket2", "tracing", "rand", "getrandom"];
const PURE: &[&str] = &["wire", "rpc", "registry", "cluster"];

/// Names through which pure code would reach the outside.
const OUTSIDE: &[&str] =
    &["TcpStream", "UdpSocket", "std::fs", "std::process", "SystemTime::now", "Instant::now", "tokio::"];

/// Files of pure crates that may reach outside, with the reason.
const REACHING: &[(&str, &str)] = &[("crates/registry/src/report.rs", "measures how long locks are held")];

pub(super) fn check(top: &Path, findings: &mut Findings) {
    let crates = crates(top);
    for (name, directory) in &crates {
        let manifest = directory.join("Cargo.toml");
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| known == name) else {
            findings.error(
                &manifest,
                0,
                "a crate that the list of allowed dependencies in xtask does not know",
            );
            continue;
        };
        let text = fs::read_to_string(&manifest).unwrap_or_default();
        for (line, used) in dependencies(&text) {
            let ours = crates.iter().any(|(known, _)| *known == used);
            if ours && !allowed.contains(&used.as_str()) {
                findings.error(&manifest, line, format!("{name} may not use {used}"));
            }
            if PURE.contains(&name.as_str()) && IMPURE.contains(&used.as_str()) {
                findings.error(&manifest, line, format!("{name} is pure: no {used}"));
            }
        }
        if PURE.contains(&name.as_str()) {
            let reaching = |file: &Path| REACHING.iter().any(|(path, _)| top.join(path) == file);
            for file in
                crate::shell::files(&directory.join("src"), &["rs"]).into_iter().filter(|f| !reaching(f))
            {
                let text = fs::read_to_string(&file).unwrap_or_default();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                for (index, line) in
                    code.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//"))
                {
                    if let Some(name) = OUTSIDE.iter().find(|name| line.contains(*name)) {
                        findings.error(&file, index + 1, format!("pure code reaches outside: {name}"));
                    }
                }
            }
        }
    }
}

/// The names under `[dependencies]` and its target-specific variants, with their lines. Tests may use any crate.
fn dependencies(manifest: &str) -> Vec<(usize, String)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let section = section.trim();
            if let Some(name) = section.strip_prefix("dependencies.") {
                found.push((index + 1, name.to_owned()));
            }
            inside = section == "dependencies"
                || section == "build-dependencies"
                || (section.starts_with("target.") && section.ends_with(".dependencies"));
        } else if inside && !line.starts_with('#') {
            let name: String =
                line.chars().take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect();
            if !name.is_empty() {
                found.push((index + 1, name.strip_prefix("shareward-").unwrap_or(&name).to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_dependencies_of_the_crate_itself_count() {
        let text = "[package]\nname = \"x\"\n[dependencies]\nwire.workspace = true\n# auth\nshareward-rpc = { path = \"\" }\n\
                    [dev-dependencies]\nserver.workspace = true\n[target.'cfg(unix)'.dependencies]\nrustix = \"1\"\n";
        let names: Vec<String> = dependencies(text).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["wire", "rpc", "rustix"]);
    }
}
