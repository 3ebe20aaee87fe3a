//! QUERY_DIRECTORY.
/// x
pub(crate) struct Listing;
