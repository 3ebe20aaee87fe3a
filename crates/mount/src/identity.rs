//! The identity of an open file, to be compared when its name may have come to mean another file.

use client::smb::{ClientTree, CreateParameters, Created, Error};
use wire::create_context::CreateContextsRequest;
use wire::{AccessMask, FileTime};

/// The properties of a file that a rename does not change: its number on the volume, the number of the volume (MS-SMB2
/// 2.2.14.2.9), and its creation time.
///
/// The number alone is not enough: file systems reuse it. The creation time alone is not enough: files that are made or
/// copied at once share it. If a server tells no numbers, two files that were created in the same tenth of a microsecond
/// count as one. If it tells neither, no two opens count as opens of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The file's number and its volume's.
    numbers: Option<(u64, u64)>,
    created: FileTime,
}

/// The result of comparing two opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Same {
    /// They are of one file.
    Yes,
    /// They are not.
    No,
    /// The server does not say enough.
    Unknown,
}

/// The create contexts that ask for the numbers.
pub(crate) fn asking() -> CreateContextsRequest<'static> {
    CreateContextsRequest { query_on_disk_id: true, ..CreateContextsRequest::default() }
}

/// The identity of a share's root. Nothing is known of one that this user may not even look at.
pub(crate) async fn of_root(tree: &ClientTree) -> Result<Identity, Error> {
    let access = AccessMask::READ_ATTRIBUTES;
    let open = CreateParameters { access, contexts: asking(), ..CreateParameters::open("") };
    match tree.create(&open).await {
        Ok(root) => root.close().await.map(|()| Identity::of(&root.created)),
        Err(Error::Status(..)) => Ok(Identity::UNKNOWN),
        Err(error) => Err(error),
    }
}

impl Identity {
    /// Nothing is known of it.
    pub(crate) const UNKNOWN: Self = Self { numbers: None, created: FileTime::NONE };

    /// The identity of a file that was opened with the contexts of [`asking`].
    pub(crate) fn of(created: &Created) -> Self {
        let told = created.contexts.disk_id.as_ref().filter(|id| ![0, u64::MAX].contains(&id.file_id));
        Self { numbers: told.map(|id| (id.file_id, id.volume_id)), created: created.creation_time }
    }

    /// The identity of a file in a listing: `volume` is its directory's, as far as that is known.
    pub(crate) fn listed(file_id: u64, volume: Option<u64>, created: FileTime) -> Self {
        let known = volume.filter(|_| ![0, u64::MAX].contains(&file_id));
        Self { numbers: known.map(|volume| (file_id, volume)), created }
    }

    /// The file's number and its volume's, where the server tells them.
    pub(crate) fn numbers(self) -> Option<(u64, u64)> {
        self.numbers
    }

    /// Compares the numbers alone: true only if both are known and differ. The creation time of a file may be changed;
    /// some servers make one up from the other times.
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
    fn a_file_is_its_number_its_volume_and_its_creation() {
        let file = identity(Some((5, 1)), 100);
        for (other, same) in [
            (identity(Some((5, 1)), 100), Same::Yes),
            // Another file that was made at once.
            (identity(Some((6, 1)), 100), Same::No),
            (identity(Some((5, 2)), 100), Same::No),
            // A new file with an old one's number.
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
