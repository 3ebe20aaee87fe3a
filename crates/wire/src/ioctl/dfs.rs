//! DFS referrals: MS-DFSC 2.2.

use crate::cursor::{DecodeError, Put, ReadCursor, wire_u16};
use crate::utf16::{Utf16, encode_utf16le};

/// REQ_GET_DFS_REFERRAL (MS-DFSC 2.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DfsReferralRequest {
    /// MaxReferralLevel: the highest version of entries that the client understands.
    pub max_level: u16,
    /// RequestFileName, without the null at its end.
    pub path: String,
}

impl DfsReferralRequest {
    /// Reads the request.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let max_level = cursor.u16()?;
        let text = Utf16::new(cursor.rest())?.to_text();
        let path = text.split('\0').next().unwrap_or_default().to_owned();
        Ok(Self { max_level, path })
    }

    /// Appends the request.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u16(self.max_level);
        encode_utf16le(&self.path, out);
        out.put_u16(0);
    }
}

/// RESP_GET_DFS_REFERRAL (MS-DFSC 2.2.4): the targets of a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DfsReferral {
    /// The beginning of the requested path that the targets replace: `\SERVER\SHARE`.
    pub path: String,
    /// The targets as `\SERVER\SHARE`, the best first.
    pub targets: Vec<String>,
    /// TimeToLive: the seconds for which a client may keep the referral.
    pub ttl_seconds: u32,
}

impl DfsReferral {
    /// Appends the answer with entries of the given version, 1 to 4; of others with those of version 4.
    pub fn encode(&self, version: u16, out: &mut Vec<u8>) {
        out.put_u16(wire_u16(self.path.encode_utf16().count().saturating_mul(2)));
        out.put_u16(wire_u16(self.targets.len()));
        // ReferralServers and StorageServers: the targets of a root are both.
        out.put_u32(3);
        let (version, length) = match version {
            1 => return self.encode_first(out),
            2 => (2, 22),
            3 => (3, 34),
            _ => (4, 34),
        };
        // The texts follow all entries: the path, and the target of each.
        let entries = self.targets.len().saturating_mul(length);
        let mut texts = Vec::new();
        put_text(&self.path, &mut texts);
        for (index, target) in self.targets.iter().enumerate() {
            let to_texts = entries.saturating_sub(index.saturating_mul(length));
            let network = to_texts.saturating_add(texts.len());
            put_text(target, &mut texts);
            out.put_u16(version);
            out.put_u16(wire_u16(length));
            // ServerType: a root target.
            out.put_u16(1);
            // In version 4, the first of the targets with one cost is marked.
            out.put_u16(if version == 4 && index == 0 { 4 } else { 0 });
            if version == 2 {
                out.put_u32(0);
            }
            out.put_u32(self.ttl_seconds);
            out.put_u16(wire_u16(to_texts));
            out.put_u16(wire_u16(to_texts));
            out.put_u16(wire_u16(network));
            if version != 2 {
                // ServiceSiteGuid.
                out.extend_from_slice(&[0; 16]);
            }
        }
        out.extend_from_slice(&texts);
    }

    fn encode_first(&self, out: &mut Vec<u8>) {
        for target in &self.targets {
            let mut text = Vec::new();
            put_text(target, &mut text);
            out.put_u16(1);
            out.put_u16(wire_u16(text.len().saturating_add(8)));
            out.put_u16(1);
            out.put_u16(0);
            out.extend_from_slice(&text);
        }
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    encode_utf16le(text, out);
    out.put_u16(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_up_to_their_null() {
        let request = DfsReferralRequest { max_level: 4, path: String::from(r"\fs\data\x") };
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        assert_eq!(DfsReferralRequest::decode(&bytes), Ok(request));
        assert!(DfsReferralRequest::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(DfsReferralRequest::decode(&[4]).is_err());
    }

    /// MS-DFSC 2.2.5: offsets count from the beginning of their entry.
    #[test]
    fn offsets_lead_to_path_and_target() {
        let targets = vec![String::from(r"\192.0.2.1\data"), String::from(r"\fs2\data")];
        let referral = DfsReferral { path: String::from(r"\fs\data"), targets, ttl_seconds: 9 };
        for (version, length, offsets) in [(2, 22, 16), (3, 34, 12), (4, 34, 12)] {
            let mut bytes = Vec::new();
            referral.encode(version, &mut bytes);
            let number = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
            assert_eq!((number(0), number(2)), (16, 2));
            for (index, target) in referral.targets.iter().enumerate() {
                let entry = 8 + index * length;
                assert_eq!((number(entry), number(entry + 2)), (usize::from(version), length));
                let text = |field: usize| {
                    let units = bytes[entry + number(entry + offsets + field)..].chunks(2);
                    let units = units.map(|it| u16::from_le_bytes([it[0], it[1]]));
                    String::from_utf16(&units.take_while(|it| *it != 0).collect::<Vec<_>>()).unwrap()
                };
                assert_eq!(
                    (text(0), text(2), &text(4)),
                    (referral.path.clone(), referral.path.clone(), target)
                );
            }
        }
        let mut first = Vec::new();
        referral.encode(1, &mut first);
        assert_eq!(usize::from(first[10]), 8 + 2 * (referral.targets[0].len() + 1));
    }
}
