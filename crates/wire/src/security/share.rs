//! The rights that descriptors of shares grant.

use crate::masks::AccessMask;

/// A right on a share, by the names of Windows' dialogs; each includes the previous ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShareRight {
    /// To read and run files.
    Read,
    /// To write and delete as well.
    Change,
    /// To change permissions as well.
    Full,
}

impl ShareRight {
    /// All rights, the least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Change, Self::Full];

    /// The access that it is in a descriptor.
    pub const fn access(self) -> AccessMask {
        match self {
            Self::Read => AccessMask(0x0012_00a9),
            Self::Change => AccessMask(0x0013_01bf),
            Self::Full => AccessMask::FILE_ALL,
        }
    }

    /// The right that is exactly this access.
    pub fn of_access(access: AccessMask) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.access() == access.map_generic())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_made_of_generic_ones() {
        let reading = AccessMask::FILE_GENERIC_READ | AccessMask::FILE_GENERIC_EXECUTE;
        assert_eq!(ShareRight::Read.access(), reading);
        assert_eq!(
            ShareRight::Change.access(),
            reading | AccessMask::FILE_GENERIC_WRITE | AccessMask::DELETE
        );
        assert_eq!(ShareRight::of_access(AccessMask::GENERIC_ALL), Some(ShareRight::Full));
        assert_eq!(ShareRight::of_access(AccessMask::FILE_GENERIC_READ), None);
    }
}
