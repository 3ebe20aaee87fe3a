//! The state of a mount, and the list of mounted shares on this machine.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::remote::{ShareAddress, Status};

/// The extended attribute of a mount's root that holds its [`State`].
pub const STATE_ATTRIBUTE: &str = "user.shareward.state";

/// The type of this program's mounts in the mount table.
pub const FILE_SYSTEM_TYPE: &str = "fuse.shareward";

/// The state of a mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The share.
    pub target: ShareAddress,
    /// The user who is logged on at the server.
    pub user: String,
    /// The state of the connection.
    pub status: Status,
    /// The number of files and directories that are open through the mount.
    pub opens: usize,
    /// The process that serves it.
    pub pid: u32,
    /// The reason why the user is not logged on at the moment, such as tickets that have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A share that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The directory that it is mounted on.
    pub directory: PathBuf,
    /// The share, as in the mount table: `//host/share`.
    pub source: String,
    /// The client that serves it.
    pub via: Via,
}

/// The client that a share is mounted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// The kernel's own client.
    Cifs,
    /// This program, with FUSE.
    Fuse,
}

/// The state of a mount of this program; ENOTCONN if its process is gone.
pub fn state(directory: &Path) -> io::Result<State> {
    let mut buffer = vec![0; STATE_BYTES_MAX];
    let length = rustix::fs::getxattr(directory, STATE_ATTRIBUTE, &mut buffer)?;
    serde_json::from_slice(buffer.get(..length).unwrap_or_default()).map_err(io::Error::from)
}

/// The mounted shares, in the order of the mount table.
pub fn mounted() -> io::Result<Vec<Mounted>> {
    Ok(parse(&std::fs::read_to_string("/proc/self/mountinfo")?))
}

/// The shares in a mount table (proc_pid_mountinfo(5)).
fn parse(table: &str) -> Vec<Mounted> {
    table.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Mounted> {
    let (before, after) = line.split_once(" - ")?;
    let directory = PathBuf::from(unescape(before.split(' ').nth(4)?));
    let mut after = after.split(' ');
    let via = match after.next()? {
        FILE_SYSTEM_TYPE => Via::Fuse,
        "cifs" | "smb3" => Via::Cifs,
        _ => return None,
    };
    Some(Mounted { directory, source: unescape(after.next()?), via })
}

/// Undoes the octal escapes of space, tab, newline and backslash.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let escaped = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

const STATE_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_shares_are_found_in_the_mount_table() {
        let table = "\
22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:50 / /mnt/my\\040data rw,nosuid,nodev - fuse.shareward //nas/my\\040share rw,user_id=0
41 22 0:51 / /mnt/k rw - cifs //nas/data rw,vers=3.1.1
42 22 0:52 / /mnt/o rw - fuse.sshfs host: rw
broken line
";
        let found = parse(table);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].directory, Path::new("/mnt/my data"));
        assert_eq!((found[0].source.as_str(), found[0].via), ("//nas/my share", Via::Fuse));
        assert_eq!((found[1].source.as_str(), found[1].via), ("//nas/data", Via::Cifs));
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(r"a\134b\040c\x"), r"a\b c\x");
        assert_eq!(unescape(r"\"), r"\");
    }
}
