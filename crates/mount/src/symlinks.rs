//! Symbolic links, as reparse points (MS-FSCC 2.1.2.4).

use std::ffi::OsStr;

use bytes::Bytes;
use client::smb::{CreateParameters, Error, File};
use fuser::{Errno, INodeNo};
use wire::ioctl::{FsctlCode, ReparseData, ReparseTag, SymlinkData, decode_nfs_symlink};
use wire::msg::{CreateDisposition, CreateOptions};
use wire::{AccessMask, FileAttributes, NtStatus};

use crate::attributes::Facts;
use crate::volume::{Volume, wire_size};
use crate::{identity, limits, names};

impl Volume {
    /// Creates a symbolic link.
    pub(crate) async fn make_link(
        &self,
        parent: INodeNo,
        name: &OsStr,
        target: &str,
    ) -> Result<(INodeNo, Facts), Errno> {
        let (path, name) = self.path_in(parent, name)?;
        let live = self.live().await?;
        let create = CreateParameters {
            access: AccessMask::READ_ATTRIBUTES | AccessMask::WRITE_ATTRIBUTES | AccessMask::DELETE,
            disposition: CreateDisposition::CREATE,
            options: CreateOptions::NON_DIRECTORY_FILE | CreateOptions::OPEN_REPARSE_POINT,
            attributes: FileAttributes::NORMAL,
            contexts: identity::making(LINK_MODE),
            ..CreateParameters::open(&path)
        };
        let file = self.open(&live, &create).await?;
        let made = set_target(&file, target).await;
        if made.is_err() {
            // Removes the file if it cannot become a link; the error of the first failure is reported.
            file.set_delete_on_close(true).await.ok();
        }
        self.unflushed.changed(parent, live.generation);
        let closed = file.close().await;
        made.map_err(|error| match error.status() {
            // The error of symlink(2) on file systems without links.
            Some(status) if UNKNOWN.contains(&status) => Errno::EPERM,
            _ => self.failed(&live, &error),
        })?;
        closed.map_err(|error| self.failed(&live, &error))?;
        let size = wire_size(target.len());
        let facts = Facts { symlink: true, size, links: Some(1), ..Facts::from(&file.created) }.possible()?;
        Ok((self.inodes().look_up(parent, &name, &facts), facts))
    }

    /// The target of the link at a path.
    pub(crate) async fn link_target(&self, path: &str) -> Result<String, Errno> {
        leads_to(&self.with(path, AccessMask::READ_ATTRIBUTES, CreateOptions::NONE, reparse_point).await?)
    }

    /// The target of a link by its inode number.
    pub(crate) async fn link_target_of(&self, number: INodeNo) -> Result<String, Errno> {
        let access = AccessMask::READ_ATTRIBUTES;
        let (data, _) = self.with_number(number, access, CreateOptions::NONE, reparse_point).await?;
        leads_to(&data)
    }
}

async fn reparse_point(file: &File) -> Result<Bytes, Error> {
    file.ioctl(FsctlCode::GET_REPARSE_POINT, &[], limits::REPARSE_BYTES_MAX).await
}

fn leads_to(data: &[u8]) -> Result<String, Errno> {
    let target = target(data).ok_or(Errno::EINVAL)?;
    match target.len() {
        0 => Err(Errno::EIO),
        length if length > limits::LINK_BYTES_MAX => Err(Errno::ENAMETOOLONG),
        // The kernel would take the zero for the end of the target.
        _ if target.contains('\0') => Err(Errno::EIO),
        _ => Ok(target),
    }
}

async fn set_target(file: &File, target: &str) -> Result<(), Error> {
    let name = names::target_to_server(target);
    let link =
        SymlinkData { substitute_name: &*name, print_name: &*name, relative: !target.starts_with('/') };
    let mut data = Vec::new();
    link.encode(&mut data);
    let mut buffer = Vec::new();
    ReparseData { tag: ReparseTag::SYMLINK, guid: None, data: &data }.encode(&mut buffer);
    file.ioctl(FsctlCode::SET_REPARSE_POINT, &buffer, 0).await.map(|_| ())
}

/// The mode of the file that becomes a link.
const LINK_MODE: u32 = 0o644;

/// The statuses of servers without symbolic links for FSCTL_SET_REPARSE_POINT; the last one is Samba's.
const UNKNOWN: &[NtStatus] = &[
    NtStatus::INVALID_DEVICE_REQUEST,
    NtStatus::NOT_SUPPORTED,
    NtStatus::NOT_IMPLEMENTED,
    NtStatus::NOT_A_REPARSE_POINT,
];

/// The target in a reparse point; `None` if it is not a symbolic link.
fn target(buffer: &[u8]) -> Option<String> {
    let point = ReparseData::decode(buffer).ok()?;
    match point.tag {
        ReparseTag::SYMLINK => {
            let link = SymlinkData::decode(point.data).ok()?;
            let name = link.substitute_name.to_text();
            // Absolute targets in Windows are in the object manager's name space.
            Some(names::target_from_server(name.strip_prefix(r"\??\").unwrap_or(&name)))
        }
        ReparseTag::NFS => Some(decode_nfs_symlink(point.data).ok()??.to_text()),
        ReparseTag::LX_SYMLINK => String::from_utf8(point.data.get(4..)?.to_vec()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(tag: ReparseTag, data: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::new();
        ReparseData { tag, guid: None, data }.encode(&mut buffer);
        buffer
    }

    fn symlink(name: &str, relative: bool) -> Vec<u8> {
        let mut data = Vec::new();
        SymlinkData { substitute_name: name, print_name: name, relative }.encode(&mut data);
        point(ReparseTag::SYMLINK, &data)
    }

    #[test]
    fn targets_of_all_kinds_of_links_are_decoded() {
        for (buffer, expected) in [
            (symlink(r"..\a\b", true), Some("../a/b")),
            (symlink(r"\??\C:\dir", false), Some("C:/dir")),
            (symlink(r"\abs\x", false), Some("/abs/x")),
            (point(ReparseTag::LX_SYMLINK, b"\x02\0\0\0a/b"), Some("a/b")),
            (point(ReparseTag::NFS, b"LNK\x01\0\0\0\0a\0"), Some("a")),
            (point(ReparseTag::NFS, b"FIFO\0\0\0\0"), None),
            (point(ReparseTag::MOUNT_POINT, b""), None),
            (Vec::new(), None),
        ] {
            assert_eq!(target(&buffer).as_deref(), expected, "{buffer:?}");
        }
    }
}
