//! The three messages (MS-NLMP 2.2.1), both directions.

use thiserror::Error;
use wire::bit_mask;

use super::av_pair::AvPairs;
use crate::bytes::{array_at, from_utf16le, u16_at, u32_at, utf16le};
use crate::limits::{MAX_NAME, MAX_TOKEN};

/// The reason that a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NtlmError {
    /// The bytes are not the expected NTLM message.
    #[error("not a well-formed NTLM message")]
    Malformed,
}

bit_mask! {
    /// `NegotiateFlags` (MS-NLMP 2.2.2.5).
    NegotiateFlags(u32) {
        /// NTLMSSP_NEGOTIATE_UNICODE.
        UNICODE = 0x0000_0001,
        /// NTLM_NEGOTIATE_OEM.
        OEM = 0x0000_0002,
        /// NTLMSSP_REQUEST_TARGET.
        REQUEST_TARGET = 0x0000_0004,
        /// NTLMSSP_NEGOTIATE_SIGN.
        SIGN = 0x0000_0010,
        /// NTLMSSP_NEGOTIATE_SEAL.
        SEAL = 0x0000_0020,
        /// NTLMSSP_NEGOTIATE_LM_KEY.
        LM_KEY = 0x0000_0080,
        /// NTLMSSP_NEGOTIATE_NTLM.
        NTLM = 0x0000_0200,
        /// The anonymous logon.
        ANONYMOUS = 0x0000_0800,
        /// NTLMSSP_NEGOTIATE_OEM_DOMAIN_SUPPLIED.
        DOMAIN_SUPPLIED = 0x0000_1000,
        /// NTLMSSP_NEGOTIATE_OEM_WORKSTATION_SUPPLIED.
        WORKSTATION_SUPPLIED = 0x0000_2000,
        /// NTLMSSP_NEGOTIATE_ALWAYS_SIGN.
        ALWAYS_SIGN = 0x0000_8000,
        /// NTLMSSP_TARGET_TYPE_DOMAIN.
        TARGET_TYPE_DOMAIN = 0x0001_0000,
        /// NTLMSSP_TARGET_TYPE_SERVER.
        TARGET_TYPE_SERVER = 0x0002_0000,
        /// NTLMSSP_NEGOTIATE_EXTENDED_SESSIONSECURITY.
        EXTENDED_SESSION_SECURITY = 0x0008_0000,
        /// NTLMSSP_NEGOTIATE_TARGET_INFO.
        TARGET_INFO = 0x0080_0000,
        /// NTLMSSP_NEGOTIATE_VERSION.
        VERSION = 0x0200_0000,
        /// NTLMSSP_NEGOTIATE_128.
        KEY_128 = 0x2000_0000,
        /// NTLMSSP_NEGOTIATE_KEY_EXCH.
        KEY_EXCHANGE = 0x4000_0000,
        /// NTLMSSP_NEGOTIATE_56.
        KEY_56 = 0x8000_0000,
    }
}

/// `NEGOTIATE_MESSAGE` (MS-NLMP 2.2.1.1). The names it may carry are not used by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiate {
    /// `NegotiateFlags`.
    pub flags: NegotiateFlags,
}

impl Negotiate {
    /// Reads the message.
    pub fn decode(bytes: &[u8]) -> Result<Self, NtlmError> {
        check_head(bytes, 1)?;
        Ok(Self { flags: flags_at(bytes, 12)? })
    }

    /// The message's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = head(1);
        out.extend(self.flags.0.to_le_bytes());
        out.extend([0; 16]);
        out.extend(VERSION);
        out
    }
}

/// `CHALLENGE_MESSAGE` (MS-NLMP 2.2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// `NegotiateFlags`.
    pub flags: NegotiateFlags,
    /// `ServerChallenge`.
    pub challenge: [u8; 8],
    /// `TargetName`.
    pub target_name: String,
    /// `TargetInfo`; `None` if the server does not send it.
    pub target_info: Option<AvPairs>,
}

impl Challenge {
    /// Reads the message.
    pub fn decode(bytes: &[u8]) -> Result<Self, NtlmError> {
        check_head(bytes, 2)?;
        let flags = flags_at(bytes, 20)?;
        let target_info = if flags.contains(NegotiateFlags::TARGET_INFO) {
            Some(AvPairs::decode(field(bytes, 40)?)?)
        } else {
            None
        };
        Ok(Self {
            flags,
            challenge: array_at(bytes, 24).ok_or(NtlmError::Malformed)?,
            target_name: text(field(bytes, 12)?, flags)?,
            target_info,
        })
    }

    /// The message's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let name = encode_text(&self.target_name, self.flags);
        let info = self.target_info.as_ref().map(AvPairs::encode).unwrap_or_default();
        let mut payload = Payload::new(56);
        let mut out = head(2);
        out.extend(payload.field(&name));
        out.extend(self.flags.0.to_le_bytes());
        out.extend(self.challenge);
        out.extend([0; 8]);
        out.extend(payload.field(&info));
        out.extend(VERSION);
        out.extend(payload.bytes);
        out
    }
}

/// `AUTHENTICATE_MESSAGE` (MS-NLMP 2.2.1.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authenticate {
    /// `NegotiateFlags`.
    pub flags: NegotiateFlags,
    /// `LmChallengeResponse`.
    pub lm_response: Vec<u8>,
    /// `NtChallengeResponse`.
    pub nt_response: Vec<u8>,
    /// `DomainName`.
    pub domain: String,
    /// `UserName`.
    pub user: String,
    /// `Workstation`.
    pub workstation: String,
    /// `EncryptedRandomSessionKey`.
    pub encrypted_session_key: Vec<u8>,
    /// `MIC`: the bytes at its position, if the message has room for it.
    pub mic: Option<[u8; 16]>,
}

/// The position of the MIC in an AUTHENTICATE message.
pub const MIC_OFFSET: usize = 72;

impl Authenticate {
    /// Reads the message.
    pub fn decode(bytes: &[u8]) -> Result<Self, NtlmError> {
        check_head(bytes, 3)?;
        let flags = flags_at(bytes, 60)?;
        let payload_start = [12, 20, 28, 36, 44, 52]
            .into_iter()
            .filter(|at| u16_at(bytes, *at).is_some_and(|len| len > 0))
            .filter_map(|at| u32_at(bytes, at + 4))
            .min()
            .unwrap_or(u32::MAX);
        let has_mic = payload_start as usize >= MIC_OFFSET + 16;
        Ok(Self {
            flags,
            lm_response: field(bytes, 12)?.to_vec(),
            nt_response: field(bytes, 20)?.to_vec(),
            domain: text(field(bytes, 28)?, flags)?,
            user: text(field(bytes, 36)?, flags)?,
            workstation: text(field(bytes, 44)?, flags)?,
            encrypted_session_key: field(bytes, 52)?.to_vec(),
            mic: if has_mic { array_at(bytes, MIC_OFFSET) } else { None },
        })
    }

    /// The message's bytes; without a MIC there is no room left for one either.
    pub fn encode(&self) -> Vec<u8> {
        let domain = encode_text(&self.domain, self.flags);
        let user = encode_text(&self.user, self.flags);
        let workstation = encode_text(&self.workstation, self.flags);
        let mut payload = Payload::new(if self.mic.is_some() { MIC_OFFSET + 16 } else { MIC_OFFSET });
        // The responses come last, as Windows lays the message out.
        let domain = payload.field(&domain);
        let user = payload.field(&user);
        let workstation = payload.field(&workstation);
        let mut out = head(3);
        out.extend(payload.field(&self.lm_response));
        out.extend(payload.field(&self.nt_response));
        out.extend(domain);
        out.extend(user);
        out.extend(workstation);
        out.extend(payload.field(&self.encrypted_session_key));
        out.extend(self.flags.0.to_le_bytes());
        out.extend(VERSION);
        out.extend(self.mic.into_iter().flatten());
        out.extend(payload.bytes);
        out
    }

    /// True for the anonymous logon (MS-NLMP 3.2.5.1.2).
    pub fn is_anonymous(&self) -> bool {
        self.user.is_empty() && self.nt_response.is_empty() && matches!(self.lm_response.as_slice(), [] | [0])
    }
}

/// `Signature` of every message.
pub(crate) const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// `VERSION` (MS-NLMP 2.2.2.10): Windows 10.0 without a build number, NTLMSSP revision 15.
const VERSION: [u8; 8] = [10, 0, 0, 0, 0, 0, 0, 15];

struct Payload {
    start: usize,
    bytes: Vec<u8>,
}

impl Payload {
    const fn new(start: usize) -> Self {
        Self { start, bytes: Vec::new() }
    }

    /// Appends `data` and returns the length, maximum length and offset that point to it.
    fn field(&mut self, data: &[u8]) -> [u8; 8] {
        let len = u16::try_from(data.len()).unwrap_or(u16::MAX);
        let data = data.get(..usize::from(len)).unwrap_or_default();
        let offset = u32::try_from(self.start.saturating_add(self.bytes.len())).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(data);
        let [l0, l1] = len.to_le_bytes();
        let [o0, o1, o2, o3] = offset.to_le_bytes();
        [l0, l1, l0, l1, o0, o1, o2, o3]
    }
}

fn head(message_type: u32) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    out.extend(message_type.to_le_bytes());
    out
}

fn check_head(bytes: &[u8], message_type: u32) -> Result<(), NtlmError> {
    let fits = bytes.len() <= MAX_TOKEN && bytes.starts_with(SIGNATURE);
    if fits && u32_at(bytes, 8) == Some(message_type) { Ok(()) } else { Err(NtlmError::Malformed) }
}

fn flags_at(bytes: &[u8], offset: usize) -> Result<NegotiateFlags, NtlmError> {
    u32_at(bytes, offset).map(NegotiateFlags).ok_or(NtlmError::Malformed)
}

fn field(bytes: &[u8], at: usize) -> Result<&[u8], NtlmError> {
    let len = usize::from(u16_at(bytes, at).ok_or(NtlmError::Malformed)?);
    let offset = u32_at(bytes, at + 4).ok_or(NtlmError::Malformed)?;
    if len == 0 {
        return Ok(&[]);
    }
    let start = usize::try_from(offset).map_err(|_| NtlmError::Malformed)?;
    bytes.get(start..).and_then(|rest| rest.get(..len)).ok_or(NtlmError::Malformed)
}

fn text(bytes: &[u8], flags: NegotiateFlags) -> Result<String, NtlmError> {
    let text = if flags.contains(NegotiateFlags::UNICODE) {
        from_utf16le(bytes)
    } else {
        // The OEM code page is not negotiated; only its ASCII half is the same everywhere.
        bytes.is_ascii().then(|| String::from_utf8_lossy(bytes).into_owned())
    };
    text.filter(|text| text.len() <= MAX_NAME).ok_or(NtlmError::Malformed)
}

fn encode_text(text: &str, flags: NegotiateFlags) -> Vec<u8> {
    if flags.contains(NegotiateFlags::UNICODE) { utf16le(text) } else { text.as_bytes().to_vec() }
}
