//! Information about files beyond their opens: locked ranges, locks for local programs, listings, watches, times,
//! repeated requests, quotas, limits of space.

pub(crate) mod host_locks;
pub(crate) mod listing;
pub(crate) mod lock_conflicts;
pub(crate) mod notify;
pub(crate) mod quota;
pub(crate) mod recycle;
pub(crate) mod replay;
pub(crate) mod space_limit;
pub(crate) mod times;

/// The path as clients and administrators see it: `\` between components, and the stream after a colon.
pub(crate) fn display_path(path: &vfs::RelativePath) -> String {
    path.to_string().replace('/', "\\")
}

/// The registry's key of a file.
pub(crate) fn file_key(stat: &vfs::Stat, stream: Option<&str>) -> registry::FileKey {
    registry::FileKey { device: stat.device, inode: stat.inode, stream: stream.map_or(0, stream_key) }
}

/// A number for a stream's name that is equal in any case; never the zero of the unnamed stream.
fn stream_key(name: &str) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::new().hash_one(wire::FoldedName::new(name)) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_differ_in_case_only_have_one_key_and_others_have_their_own() {
        for (one, other) in [("stream", "STREAM"), ("größe", "GRÖßE"), ("νικος", "ΝΙΚΟΣ")] {
            assert_eq!(stream_key(one), stream_key(other), "{one} {other}");
        }
        for (one, other) in [("ı", "I"), ("ſ", "S"), ("\u{212a}", "k"), ("𐐨", "𐐀"), ("straße", "strasse")]
        {
            assert_ne!(stream_key(one), stream_key(other), "{one} {other}");
        }
    }
}
