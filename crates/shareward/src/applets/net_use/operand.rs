//! The operands of `net use`: directories and shares.

use std::path::{Path, PathBuf};

use mount::ShareAddress;

use crate::failure::Numbered;
use crate::setup;

/// An operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// A directory on this machine, or `*`.
    Local(Local),
    /// A share.
    Remote(ShareAddress),
    /// The password, which follows a share.
    Password(String),
}

/// A directory on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Local {
    /// `*`: all directories, or the default one.
    Any,
    /// An absolute path.
    Directory(PathBuf),
}

/// Parses the operands. The one after a share is its password.
pub(super) fn all(words: &[String], port: Option<u16>) -> Result<Vec<Operand>, Numbered> {
    let mut operands: Vec<Operand> = Vec::new();
    for word in words {
        let operand = match word.as_str() {
            word if operands.iter().any(|known| matches!(known, Operand::Remote(_))) => {
                Operand::Password(word.to_owned())
            }
            "*" => Operand::Local(Local::Any),
            word if word.starts_with(r"\\") || word.starts_with("//") => Operand::Remote(share(word, port)?),
            word => Operand::Local(Local::Directory(absolute(word)?)),
        };
        operands.push(operand);
    }
    Ok(operands)
}

/// Parses `\\host\share`, `\\host@port\share` or `//host/share`; an IPv6 address is in brackets.
fn share(word: &str, port: Option<u16>) -> Result<ShareAddress, Numbered> {
    let wrong =
        || Numbered::new(BAD_NET_NAME).hint(r"a share is written //NAME/SHARE, or '\\NAME\SHARE' in quotes");
    let plain = word.replace('\\', "/");
    let (host, share) = plain.trim_start_matches('/').split_once('/').ok_or_else(wrong)?;
    let share = share.strip_suffix('/').unwrap_or(share);
    if share.is_empty() {
        return Err(wrong());
    }
    if share.contains('/') {
        return Err(
            Numbered::new(BAD_NET_NAME).hint("only a whole share can be connected, not a directory in it")
        );
    }
    let (host, given) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or_else(wrong)?,
        None => match host.find(['@', ':']) {
            Some(index) => host.split_at(index),
            None => (host, ""),
        },
    };
    let given = match given.strip_prefix(['@', ':']) {
        Some(given) => Some(given.parse().ok().filter(|given| *given > 0).ok_or_else(wrong)?),
        None if given.is_empty() => None,
        None => return Err(wrong()),
    };
    if host.is_empty() {
        return Err(wrong());
    }
    let port = given.or(port).unwrap_or(ShareAddress::PORT);
    Ok(ShareAddress { host: host.to_owned(), port, share: share.to_owned() })
}

fn absolute(word: &str) -> Result<PathBuf, Numbered> {
    let path = Path::new(word);
    // Paths in the mount table contain neither links nor dots.
    let known = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    known.map_err(|error| Numbered::new(PATH_NOT_FOUND).hint(error.to_string()))
}

/// The default directory of a share; `None` if this user has no runtime directory.
pub(super) fn conventional(target: &ShareAddress) -> Option<PathBuf> {
    let base = if setup::is_root() {
        PathBuf::from("/run")
    } else {
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute())?
    };
    let host = match target.port {
        ShareAddress::PORT => target.host.clone(),
        port => format!("{}@{port}", target.host),
    };
    Some(base.join("shareward").join("mounts").join(host).join(&target.share))
}

const PATH_NOT_FOUND: u32 = 3;
const BAD_NET_NAME: u32 = 67;

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, port: u16, share: &str) -> ShareAddress {
        ShareAddress { host: host.into(), port, share: share.into() }
    }

    #[test]
    fn every_way_to_write_a_share() {
        for (word, port, expected) in [
            (r"\\nas\data", None, target("nas", 445, "data")),
            ("//nas/data", None, target("nas", 445, "data")),
            ("//nas/data/", None, target("nas", 445, "data")),
            ("//nas/my data", Some(4450), target("nas", 4450, "my data")),
            (r"\\nas@4450\data", None, target("nas", 4450, "data")),
            ("//nas:4450/data", Some(1), target("nas", 4450, "data")),
            ("//[fe80::1]/data", None, target("fe80::1", 445, "data")),
            ("//[fe80::1]:4450/data", None, target("fe80::1", 4450, "data")),
        ] {
            assert_eq!(share(word, port).unwrap(), expected, "{word}");
        }
        for word in
            ["//nas", r"\\nas\", "//nas/a/b", "///data", "//nas:x/data", "//[fe80::1/data", "//nas:0/data"]
        {
            assert!(share(word, None).is_err(), "{word}");
        }
    }

    #[test]
    fn the_operand_after_a_share_is_its_password() {
        let words: Vec<String> = ["*", "//nas/data", "//secret"].map(String::from).to_vec();
        let operands = all(&words, None).unwrap();
        assert_eq!(
            operands,
            [
                Operand::Local(Local::Any),
                Operand::Remote(target("nas", 445, "data")),
                Operand::Password("//secret".into())
            ]
        );
    }
}
