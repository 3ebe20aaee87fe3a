//! `AV_PAIR` lists (MS-NLMP 2.2.2.1).

use wire::{FileTime, bit_mask, wire_enum};

use super::message::NtlmError;
use crate::bytes::{array_at, u16_at, u32_at, u64_at, utf16le};
use crate::limits::MAX_AV_PAIRS;

wire_enum! {
    /// `AvId` (MS-NLMP 2.2.2.1).
    AvId(u16) {
        /// MsvAvEOL.
        EOL = 0,
        /// MsvAvNbComputerName.
        NB_COMPUTER_NAME = 1,
        /// MsvAvNbDomainName.
        NB_DOMAIN_NAME = 2,
        /// MsvAvDnsComputerName.
        DNS_COMPUTER_NAME = 3,
        /// MsvAvDnsDomainName.
        DNS_DOMAIN_NAME = 4,
        /// MsvAvDnsTreeName.
        DNS_TREE_NAME = 5,
        /// MsvAvFlags.
        FLAGS = 6,
        /// MsvAvTimestamp.
        TIMESTAMP = 7,
        /// MsvAvSingleHost.
        SINGLE_HOST = 8,
        /// MsvAvTargetName.
        TARGET_NAME = 9,
        /// MsvAvChannelBindings.
        CHANNEL_BINDINGS = 10,
    }
}

bit_mask! {
    /// The value of `MsvAvFlags` (MS-NLMP 2.2.2.1).
    AvFlags(u32) {
        /// The account's authentication is constrained.
        CONSTRAINED = 0x1,
        /// The AUTHENTICATE message carries a MIC.
        MIC_PRESENT = 0x2,
        /// The target name comes from an untrusted source.
        UNTRUSTED_TARGET = 0x4,
    }
}

/// A list of AV pairs, in the order of the wire, without its terminator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AvPairs(Vec<(AvId, Vec<u8>)>);

impl AvPairs {
    /// Decodes a list. Bytes after the terminator are ignored; the end of the bytes replaces a missing one.
    pub fn decode(bytes: &[u8]) -> Result<Self, NtlmError> {
        let mut pairs = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let id = AvId(u16_at(rest, 0).ok_or(NtlmError::Malformed)?);
            if id == AvId::EOL {
                break;
            }
            if pairs.len() == MAX_AV_PAIRS {
                return Err(NtlmError::Malformed);
            }
            let len = usize::from(u16_at(rest, 2).ok_or(NtlmError::Malformed)?);
            let body = rest.get(4..).ok_or(NtlmError::Malformed)?;
            let (value, after) = body.split_at_checked(len).ok_or(NtlmError::Malformed)?;
            pairs.push((id, value.to_vec()));
            rest = after;
        }
        Ok(Self(pairs))
    }

    /// The list's bytes with its terminator.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (id, value) in &self.0 {
            let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
            out.extend(id.0.to_le_bytes());
            out.extend((value.len() as u16).to_le_bytes());
            out.extend_from_slice(value);
        }
        out.extend([0; 4]);
        out
    }

    /// Appends a pair.
    pub fn push(&mut self, id: AvId, value: Vec<u8>) {
        self.0.push((id, value));
    }

    /// Appends a pair with a text value.
    pub fn push_text(&mut self, id: AvId, value: &str) {
        self.push(id, utf16le(value));
    }

    /// Replaces the pair of this id, or appends it.
    pub fn set(&mut self, id: AvId, value: Vec<u8>) {
        self.0.retain(|(other, _)| *other != id);
        self.push(id, value);
    }

    /// The value of the first pair of this id.
    pub fn value(&self, id: AvId) -> Option<&[u8]> {
        self.0.iter().find(|(other, _)| *other == id).map(|(_, value)| value.as_slice())
    }

    /// The value of `MsvAvFlags`; no flags if it is absent.
    pub fn flags(&self) -> AvFlags {
        AvFlags(self.value(AvId::FLAGS).and_then(|value| u32_at(value, 0)).unwrap_or(0))
    }

    /// The value of `MsvAvTimestamp`.
    pub fn timestamp(&self) -> Option<FileTime> {
        self.value(AvId::TIMESTAMP).and_then(|value| u64_at(value, 0)).map(FileTime)
    }
}

/// `NTLMv2_CLIENT_CHALLENGE` (MS-NLMP 2.2.2.7): the data that the response authenticates in addition to the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientChallenge {
    /// `TimeStamp`.
    pub timestamp: FileTime,
    /// `ChallengeFromClient`.
    pub challenge: [u8; 8],
    /// `AvPairs`.
    pub pairs: AvPairs,
}

impl ClientChallenge {
    /// Reads the structure.
    pub fn decode(bytes: &[u8]) -> Result<Self, NtlmError> {
        if bytes.first_chunk() != Some(&[1, 1]) {
            return Err(NtlmError::Malformed);
        }
        Ok(Self {
            timestamp: FileTime(u64_at(bytes, 8).ok_or(NtlmError::Malformed)?),
            challenge: array_at(bytes, 16).ok_or(NtlmError::Malformed)?,
            pairs: AvPairs::decode(bytes.get(28..).ok_or(NtlmError::Malformed)?)?,
        })
    }

    /// The structure's bytes with the four zeros that clients put behind it (MS-NLMP 3.3.2).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![1, 1, 0, 0, 0, 0, 0, 0];
        out.extend(self.timestamp.0.to_le_bytes());
        out.extend(self.challenge);
        out.extend([0; 4]);
        out.extend(self.pairs.encode());
        out.extend([0; 4]);
        out
    }
}
