//! The identity of an open file, to detect that its name now belongs to another file.

use client::smb::{ClientTree, CreateParameters, Created, Error};
use wire::create_context::CreateContextsRequest;
use wire::{AccessMask, FileTime};

use crate::modes::MODE_BITS;

/// The properties of a file that a rename does not change: its number on the volume, the number of the volume
/// (MS-SMB2 2.2.14.2.9), and its creation time.
///
/// The number alone is not sufficient, because file systems reuse numbers. The creation time alone is not
/// sufficient, because files can be created or copied at the same time. If a server reports no numbers, two
/// files created in the same tenth of a microsecond count as one. If it reports neither, opens never count as
/// opens of the same file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The number of the file and that of its volume.
    numbers: Option<(u64, u64)>,
    created: FileTime,
}

/// The result of comparing two opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Same {
    /// Both are opens of one file.
    Yes,
    /// Both are opens of different files.
    No,
    /// The server does not report enough.
    Unknown,
}

/// The create contexts that request the numbers.
pub(crate) fn asking() -> CreateContextsRequest<'static> {
    CreateContextsRequest { query_on_disk_id: true, ..CreateContextsRequest::default() }
}

/// The create contexts of [`asking`] for a new file or directory with this mode, if the server has modes.
pub(crate) fn making(mode: u32) -> CreateContextsRequest<'static> {
    CreateContextsRequest { posix_mode: Some(mode & MODE_BITS), ..asking() }
}

/// The root of a share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Root {
    /// The identity of the root; unknown if the user has no access to it.
    pub(crate) identity: Identity,
    /// True if the share has the POSIX extensions: a server may have agreed to them for other shares only.
    pub(crate) posix: bool,
}

/// Asks for the root of a share.
pub(crate) async fn of_root(tree: &ClientTree) -> Result<Root, Error> {
    let agreed = tree.connection().negotiated()?.posix;
    let access = AccessMask::READ_ATTRIBUTES;
    let open = |contexts| CreateParameters { access, contexts, ..CreateParameters::open("") };
    let mut made = tree.create(&open(if agreed { making(0) } else { asking() })).await;
    if agreed && matches!(made, Err(Error::Status(..))) {
        // The share may not take the context at all.
        made = tree.create(&open(asking())).await;
    }
    match made {
        Ok(root) => {
            let posix = root.created.contexts.posix.is_some();
            root.close().await?;
            Ok(Root { identity: Identity::of(&root.created), posix })
        }
        Err(Error::Status(..)) => Ok(Root { identity: Identity::UNKNOWN, posix: agreed }),
        Err(error) => Err(error),
    }
}

impl Identity {
    /// The identity of a file of which nothing is known.
    pub(crate) const UNKNOWN: Self = Self { numbers: None, created: FileTime::NONE };

    /// The identity of a file that was opened with the contexts of [`asking`].
    pub(crate) fn of(created: &Created) -> Self {
        let told = created.contexts.disk_id.as_ref().filter(|id| ![0, u64::MAX].contains(&id.file_id));
        Self { numbers: told.map(|id| (id.file_id, id.volume_id)), created: created.creation_time }
    }

    /// The identity of a file in a listing; `volume` is its directory's, if known.
    pub(crate) fn listed(file_id: u64, volume: Option<u64>, created: FileTime) -> Self {
        let known = volume.filter(|_| ![0, u64::MAX].contains(&file_id));
        Self { numbers: known.map(|volume| (file_id, volume)), created }
    }

    /// The numbers of the file and of its volume, if the server reports them.
    pub(crate) fn numbers(self) -> Option<(u64, u64)> {
        self.numbers
    }

    /// Compares the numbers only: true if both are known and differ. Creation times can be changed, and some
    /// servers derive them from other times.
    pub(crate) fn is_other_number(self, other: Self) -> bool {
        matches!((self.numbers, other.numbers), (Some(numbers), Some(others)) if numbers != others)
    }

    /// Compares two identities.
    pub(crate) fn compare(self, other: Self) -> Same {
        let times = [self.created, other.created].iter().all(|time| *time != FileTime::NONE);
        if times && self.created != other.created {
            return Same::No;
        }
        match (self.numbers, other.numbers) {
            (Some(numbers), Some(others)) if numbers == others => Same::Yes,
            (Some(_), Some(_)) => Same::No,
            (None, None) if times => Same::Yes,
            _ => Same::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(numbers: Option<(u64, u64)>, created: u64) -> Identity {
        Identity { numbers, created: FileTime(created) }
    }

    #[test]
    fn identities_compare_number_volume_and_creation_time() {
        let file = identity(Some((5, 1)), 100);
        for (other, same) in [
            (identity(Some((5, 1)), 100), Same::Yes),
            // Another file that was created at the same time.
            (identity(Some((6, 1)), 100), Same::No),
            (identity(Some((5, 2)), 100), Same::No),
            // A new file that reuses the number of an old one.
            (identity(Some((5, 1)), 101), Same::No),
            (identity(Some((5, 1)), 0), Same::Yes),
            (identity(None, 100), Same::Unknown),
            (identity(None, 101), Same::No),
        ] {
            assert_eq!(file.compare(other), same, "{other:?}");
            assert_eq!(other.compare(file), same, "{other:?}");
        }
        assert_eq!(identity(None, 7).compare(identity(None, 7)), Same::Yes);
        assert_eq!(identity(None, 0).compare(identity(None, 0)), Same::Unknown);
    }
}
