//! Quota information (MS-FSCC 2.4; MS-SMB2 2.2.37.1), as much as a server without quotas needs.

use super::limits::QUOTA_SIDS_MAX;
use super::{Chain, index};
use crate::cursor::{DecodeError, ReadCursor};
use crate::security::Sid;

/// Bytes of FILE_QUOTA_INFORMATION with its smallest SID: a buffer below that is STATUS_INFO_LENGTH_MISMATCH.
pub const QUOTA_INFO_SIZE_MIN: usize = 48;

/// SMB2_QUERY_QUOTA_INFO (MS-SMB2 2.2.37.1): whose quota is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryQuotaInfo {
    /// ReturnSingle: one entry only.
    pub return_single: bool,
    /// RestartScan: from the start.
    pub restart_scan: bool,
    /// The SIDs of SidList; empty for all.
    pub sids: Vec<Sid>,
    /// The SID to start behind.
    pub start_sid: Option<Sid>,
}

impl QueryQuotaInfo {
    /// Reads the input buffer of a quota query.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let return_single = cursor.u8()? != 0;
        let restart_scan = cursor.u8()? != 0;
        cursor.skip(2)?;
        let list_length = index(cursor.u32()?)?;
        let start_length = index(cursor.u32()?)?;
        let start_offset = index(cursor.u32()?)?;
        let buffer = ReadCursor::new(cursor.rest());
        let sids = Chain::new(buffer.at(0, list_length)?, QUOTA_SIDS_MAX)
            .map(|element| {
                let mut cursor = ReadCursor::new(element?);
                cursor.skip(4)?;
                let length = index(cursor.u32()?)?;
                Sid::decode(cursor.bytes(length)?)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let start_sid = match start_length {
            0 => None,
            length => Some(Sid::decode(buffer.at(start_offset, length)?)?),
        };
        Ok(Self { return_single, restart_scan, sids, start_sid })
    }
}
