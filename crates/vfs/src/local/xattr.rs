//! Extended attributes of an open file, also of O_PATH descriptors.

use super::dosattrib;
use crate::error::{Error, Result};
use crate::handle::{Xattr, ea_size};
use crate::limits::XATTR_VALUE_BYTES_MAX;
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The name space for ordinary processes, which contains the EAs.
pub(super) const USER: &[u8] = b"user.";
/// Samba's prefix of named streams.
pub(super) const STREAM_PREFIX: &[u8] = b"user.DosStream.";
/// Samba's record of a security descriptor.
pub(super) const SECURITY: &[u8] = b"security.NTACL";
/// Samba's record of a security descriptor if the server may not write `security.*`: a server that runs as an
/// ordinary user, who owns the files anyway (Samba's `acl_xattr:security_acl_name` can be set to it).
pub(super) const SECURITY_OF_USER: &[u8] = b"user.NTACL";
/// Samba's attribute for reparse data set by clients: a complete REPARSE_DATA_BUFFER.
pub(super) const REPARSE: &[u8] = b"user.SmbReparse";
/// The POSIX ACL of a file (acl(5)).
pub(super) const POSIX_ACCESS_ACL: &[u8] = b"system.posix_acl_access";
/// The POSIX ACL for new files in a directory.
pub(super) const POSIX_DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

/// The kernel's XATTR_LIST_MAX, the largest list of names.
const LIST_BYTES_MAX: usize = 64 * 1024;

/// An open file whose attributes are used.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) fd: BorrowedFd<'a>,
    /// True if the descriptor is known to be of O_PATH, which f*xattr refuse.
    is_path: bool,
}

impl<'a> Node<'a> {
    /// An open file; `has_data` is false if its descriptor may be of O_PATH.
    pub(super) fn new(fd: BorrowedFd<'a>, has_data: bool) -> Self {
        Self { fd, is_path: !has_data }
    }

    /// Calls `act` with the descriptor or, if it is of O_PATH, with a path.
    fn call<T>(
        self,
        mut act: impl FnMut(At<'_>) -> std::result::Result<T, Errno>,
    ) -> std::result::Result<T, Errno> {
        if !self.is_path {
            match act(At::Descriptor(self.fd)) {
                Err(Errno::BADF) => {}
                result => return result,
            }
        }
        act(At::Path(&proc_path(self.fd)))
    }
}

/// The two ways to the attributes of an open file.
enum At<'a> {
    Descriptor(BorrowedFd<'a>),
    Path(&'a str),
}

impl<'a> From<BorrowedFd<'a>> for Node<'a> {
    fn from(fd: BorrowedFd<'a>) -> Self {
        Self { fd, is_path: false }
    }
}

/// A path that refers to the open file; f*xattr and fchmod refuse O_PATH descriptors.
pub(super) fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The value of an attribute; `None` if it does not exist or the file system has no such attributes.
pub(super) fn get<'a>(of: impl Into<Node<'a>>, name: &[u8]) -> Result<Option<Vec<u8>>> {
    let of = of.into();
    let mut short = [0; 1024];
    match read(of, name, &mut short) {
        Err(Errno::RANGE) => {}
        result => {
            return Ok(present(result)?.and_then(|length| short.get(..length)).map(<[u8]>::to_vec));
        }
    }
    let mut value = vec![0; XATTR_VALUE_BYTES_MAX];
    let Some(length) = present(read(of, name, &mut value))? else { return Ok(None) };
    value.truncate(length);
    Ok(Some(value))
}

/// Reads a short attribute without allocating; `None` if there is none or it is longer than `buffer`.
pub(super) fn get_short<'a, 'b>(
    of: impl Into<Node<'a>>,
    name: &[u8],
    buffer: &'b mut [u8],
) -> Result<Option<&'b [u8]>> {
    match present(read(of.into(), name, &mut *buffer)) {
        Ok(found) => Ok(found.and_then(|length| buffer.get(..length))),
        Err(Error::InvalidArgument) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a short attribute as [`get_short`] does, by path and without following symlinks.
pub(super) fn get_short_at<'a>(path: &[u8], name: &[u8], buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>> {
    match present(rustix::fs::lgetxattr(path, name, &mut *buffer)) {
        Ok(found) => Ok(found.and_then(|length| buffer.get(..length))),
        Err(Error::InvalidArgument) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads an attribute as [`get`] does, by path and without following symlinks; `None` on any error.
pub(super) fn get_at(path: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut value = vec![0; XATTR_VALUE_BYTES_MAX];
    let length = rustix::fs::lgetxattr(path, name, &mut *value).ok()?;
    value.truncate(length);
    Some(value)
}

/// The names of all attributes, each ended by NUL, by path and without following symlinks.
pub(super) fn names_at<'a>(path: &[u8], buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    match present(rustix::fs::llistxattr(path, &mut *buffer)) {
        Ok(length) => Ok(buffer.get(..length.unwrap_or(0)).unwrap_or_default()),
        Err(error) => Err(error),
    }
}

/// True if a list of [`names_at`] has an attribute.
pub(super) fn has_name(names: &[u8], name: &[u8]) -> bool {
    names.split(|byte| *byte == 0).any(|full| full == name)
}

/// `EaSize` for the attributes of [`list_visible`] among `names`, by path and without following symlinks. Those whose
/// value cannot be read do not count.
pub(super) fn ea_size_at(path: &[u8], names: &[u8]) -> u32 {
    ea_size(names.split(|byte| *byte == 0).filter_map(|full| {
        let name = std::str::from_utf8(full.strip_prefix(USER)?).ok()?;
        if name.is_empty() || is_private(name) {
            return None;
        }
        Some((name.len(), value_bytes_at(path, full)?))
    }))
}

/// The bytes of a list of names that is read in one call. If a file has more, no `EaSize` is shown in listings.
pub(super) const NAMES_BYTES: usize = 4096;

fn value_bytes_at(path: &[u8], name: &[u8]) -> Option<usize> {
    match rustix::fs::lgetxattr(path, name, &mut [0; 1024][..]) {
        Err(Errno::RANGE) => rustix::fs::lgetxattr(path, name, &mut *vec![0; XATTR_VALUE_BYTES_MAX]).ok(),
        result => result.ok(),
    }
}

/// Creates or replaces an attribute.
pub(super) fn set<'a>(of: impl Into<Node<'a>>, name: &[u8], value: &[u8]) -> Result<()> {
    let of = of.into();
    if value.len() > XATTR_VALUE_BYTES_MAX {
        return Err(Error::Limitation);
    }
    let result = of.call(|at| match at {
        At::Descriptor(fd) => rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()),
        At::Path(path) => rustix::fs::setxattr(path, name, value, XattrFlags::empty()),
    });
    match result {
        // Only the name, not the value, can be out of range here.
        Err(Errno::RANGE) => Err(Error::InvalidName),
        Err(Errno::TOOBIG) => Err(Error::Limitation),
        // ext4 stores all attributes of a file in one block, and also returns ENOSPC if the disk is full.
        Err(Errno::NOSPC) if has_room(of.fd) => Err(Error::Limitation),
        result => Ok(result?),
    }
}

/// True if the file system has free space.
fn has_room(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatvfs(fd).is_ok_and(|room| room.f_bavail > 0)
}

/// Removes an attribute, if it exists.
pub(super) fn remove<'a>(of: impl Into<Node<'a>>, name: &[u8]) -> Result<()> {
    let removed = of.into().call(|at| match at {
        At::Descriptor(fd) => rustix::fs::fremovexattr(fd, name),
        At::Path(path) => rustix::fs::removexattr(path, name),
    });
    match removed {
        Ok(()) | Err(Errno::NODATA) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// All names, including their name spaces.
pub(super) fn list<'a>(of: impl Into<Node<'a>>) -> Result<Vec<Vec<u8>>> {
    let of = of.into();
    let mut names = Vec::with_capacity(1024);
    loop {
        let listed = of.call(|at| match at {
            At::Descriptor(fd) => rustix::fs::flistxattr(fd, rustix::buffer::spare_capacity(&mut names)),
            At::Path(path) => rustix::fs::listxattr(path, rustix::buffer::spare_capacity(&mut names)),
        });
        match listed {
            Err(Errno::RANGE) if names.capacity() < LIST_BYTES_MAX => names.reserve_exact(LIST_BYTES_MAX),
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            result => {
                result?;
                break;
            }
        }
    }
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(<[u8]>::to_vec).collect())
}

/// The EAs that clients see: all of `user.*` except the private ones of this server and Samba.
pub(super) fn list_visible<'a>(of: impl Into<Node<'a>>) -> Result<Vec<Xattr>> {
    let of = of.into();
    let mut visible = Vec::new();
    for full in list(of)? {
        let Some(name) = full.strip_prefix(USER).and_then(|name| std::str::from_utf8(name).ok()) else {
            continue;
        };
        if is_private(name) {
            continue;
        }
        if let Some(value) = get(of, &full)? {
            visible.push(Xattr { name: name.to_owned(), value });
        }
    }
    visible.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(visible)
}

/// The full name of an EA: the stored spelling if it exists, otherwise the requested one.
pub(super) fn stored_name<'a>(of: impl Into<Node<'a>>, name: &str) -> Result<Vec<u8>> {
    if name.is_empty() || name.contains('\0') {
        return Err(Error::InvalidName);
    }
    if is_private(name) {
        return Err(Error::AccessDenied);
    }
    let wanted = [USER, name.as_bytes()].concat();
    let stored = list(of)?.into_iter().filter(|stored| stored.eq_ignore_ascii_case(&wanted)).min();
    Ok(stored.unwrap_or(wanted))
}

/// True for a name that is hidden from clients: with it they could forge attributes and streams.
fn is_private(name: &str) -> bool {
    let has_prefix =
        |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let dos_attributes = dosattrib::NAME.strip_prefix("user.").unwrap_or_default();
    name.eq_ignore_ascii_case(dos_attributes)
        || name.eq_ignore_ascii_case("NTACL")
        || name.eq_ignore_ascii_case("SmbReparse")
        || name.eq_ignore_ascii_case("ShwStreams")
        || has_prefix("DosStream.")
        || has_prefix("SAMBA_")
}

fn read(of: Node<'_>, name: &[u8], buffer: &mut [u8]) -> std::result::Result<usize, Errno> {
    of.call(|at| match at {
        At::Descriptor(fd) => rustix::fs::fgetxattr(fd, name, &mut *buffer),
        At::Path(path) => rustix::fs::getxattr(path, name, &mut *buffer),
    })
}

fn present<T>(result: std::result::Result<T, Errno>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
