//! File system control codes (MS-FSCC 2.3; MS-SMB2 2.2.31), their requests and answers.

mod dfs;
mod fsctl;
mod network;
mod payload;
mod reparse;
mod server_copy;
mod snapshots;

pub use dfs::{DfsReferral, DfsReferralRequest};
pub use fsctl::FsctlCode;
pub use network::{
    InterfaceCapability, NetworkInterface, ValidateNegotiateRequest, ValidateNegotiateResponse,
    decode_network_interfaces, encode_network_interfaces,
};
pub use payload::{
    AllocatedRange, CompressionFormat, DuplicateExtents, FileRegion, FileRegionsQuery, IntegrityInformation,
    ObjectIdBuffer, PipePeek, PipeWait, ResiliencyRequest, SetIntegrityInformation, SetSparse, TrimRanges,
    ZeroData, decode_allocated_ranges, decode_file_regions, encode_allocated_ranges, encode_file_regions,
};
pub use reparse::{ReparseData, ReparseTag, SymlinkData, decode_nfs_symlink};
pub use server_copy::{CopyChunk, CopyChunkRequest, CopyChunkResponse, ResumeKey, ResumeKeyResponse};
pub use snapshots::{SnapshotArray, encode_snapshots, format_gmt_token, parse_gmt_token};

#[cfg(test)]
mod tests;
