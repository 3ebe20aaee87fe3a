//! SPNEGO (RFC 4178) with the extensions of MS-SPNG.

use thiserror::Error;

use crate::der::{self, NotDer, Reader, context, element};
use crate::limits::{MAX_MECHANISMS, MAX_TOKEN};

/// The bytes are not a SPNEGO token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a SPNEGO token")]
pub struct Malformed;

/// A security mechanism.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// 1.2.840.113554.1.2.2.
    Kerberos,
    /// 1.2.840.48018.1.2.2, the misprint that Windows 2000 sent and all still send.
    MsKerberos,
    /// 1.3.6.1.4.1.311.2.2.30.
    NegoEx,
    /// 1.3.6.1.4.1.311.2.2.10.
    NtlmSsp,
    /// Any other, by the contents of its object identifier.
    Other(Vec<u8>),
}

impl Mechanism {
    /// The mechanism with these object identifier contents.
    pub fn from_oid(oid: &[u8]) -> Self {
        match oid {
            KERBEROS => Self::Kerberos,
            MS_KERBEROS => Self::MsKerberos,
            NEGOEX => Self::NegoEx,
            NTLMSSP => Self::NtlmSsp,
            other => Self::Other(other.to_vec()),
        }
    }

    /// The contents of the object identifier.
    pub fn oid(&self) -> &[u8] {
        match self {
            Self::Kerberos => KERBEROS,
            Self::MsKerberos => MS_KERBEROS,
            Self::NegoEx => NEGOEX,
            Self::NtlmSsp => NTLMSSP,
            Self::Other(oid) => oid,
        }
    }
}

/// `NegotiationToken` (RFC 4178 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// `NegTokenInit`, or `NegTokenInit2` (MS-SPNG 2.2.1).
    Init(NegTokenInit),
    /// `NegTokenResp`.
    Response(NegTokenResp),
}

/// `NegTokenInit` (RFC 4178 4.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NegTokenInit {
    /// `mechTypes`, most preferred first.
    pub mechanisms: Vec<Mechanism>,
    /// The DER of `mechTypes` as received, which `mechListMIC` is computed over.
    pub mechanism_list: Vec<u8>,
    /// `mechToken`, the optimistic token of the first mechanism.
    pub token: Option<Vec<u8>>,
    /// `mechListMIC`.
    pub mechanism_list_mic: Option<Vec<u8>>,
}

impl NegTokenInit {
    /// A token that offers `mechanisms`.
    pub fn new(mechanisms: Vec<Mechanism>, token: Option<Vec<u8>>) -> Self {
        let oids: Vec<Vec<u8>> =
            mechanisms.iter().map(|one| element(der::OBJECT_IDENTIFIER, &[one.oid()])).collect();
        let parts: Vec<&[u8]> = oids.iter().map(Vec::as_slice).collect();
        let mechanism_list = element(der::SEQUENCE, &parts);
        Self { mechanisms, mechanism_list, token, mechanism_list_mic: None }
    }

    /// The token with the GSS-API framing of RFC 2743 3.1.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = vec![element(context(0), &[&self.mechanism_list])];
        if let Some(token) = &self.token {
            fields.push(octets(2, token));
        }
        if let Some(mic) = &self.mechanism_list_mic {
            fields.push(octets(3, mic));
        }
        framed_init(&fields)
    }
}

/// `negState` (RFC 4178 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NegState {
    /// accept-completed (0).
    AcceptCompleted,
    /// accept-incomplete (1).
    AcceptIncomplete,
    /// reject (2).
    Reject,
    /// request-mic (3).
    RequestMic,
}

/// `NegTokenResp` (RFC 4178 4.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NegTokenResp {
    /// `negState`.
    pub state: Option<NegState>,
    /// `supportedMech`: the acceptor's choice, in its first answer only.
    pub mechanism: Option<Mechanism>,
    /// `responseToken`.
    pub token: Option<Vec<u8>>,
    /// `mechListMIC`.
    pub mechanism_list_mic: Option<Vec<u8>>,
}

impl NegTokenResp {
    /// The token's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(4);
        if let Some(state) = self.state {
            let value = match state {
                NegState::AcceptCompleted => 0,
                NegState::AcceptIncomplete => 1,
                NegState::Reject => 2,
                NegState::RequestMic => 3,
            };
            fields.push(element(context(0), &[&element(der::ENUMERATED, &[&[value]])]));
        }
        if let Some(mechanism) = &self.mechanism {
            fields.push(element(context(1), &[&element(der::OBJECT_IDENTIFIER, &[mechanism.oid()])]));
        }
        if let Some(token) = &self.token {
            fields.push(octets(2, token));
        }
        if let Some(mic) = &self.mechanism_list_mic {
            fields.push(octets(3, mic));
        }
        element(context(1), &[&sequence(&fields)])
    }
}

impl Token {
    /// Reads a token, with or without the GSS-API framing.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_TOKEN {
            return Err(Malformed);
        }
        let mut reader = Reader::new(bytes);
        let mut outer = reader.element()?;
        if outer.tag == der::APPLICATION_0 {
            let mut framed = Reader::new(outer.contents);
            if framed.expect(der::OBJECT_IDENTIFIER)? != SPNEGO {
                return Err(Malformed);
            }
            outer = framed.element()?;
        }
        let fields = Reader::new(Reader::new(outer.contents).expect(der::SEQUENCE)?);
        match outer.tag {
            tag if tag == context(0) => decode_init(fields).map(Self::Init),
            tag if tag == context(1) => decode_response(fields).map(Self::Response),
            _ => Err(Malformed),
        }
    }
}

/// The `NegTokenInit2` a server puts into its NEGOTIATE response (MS-SPNG 2.2.1, 3.2.5.2).
pub fn server_offer(mechanisms: &[Mechanism]) -> Vec<u8> {
    let list = NegTokenInit::new(mechanisms.to_vec(), None).mechanism_list;
    let hint = element(context(0), &[&element(der::GENERAL_STRING, &[HINT])]);
    framed_init(&[element(context(0), &[&list]), element(context(3), &[&sequence(&[hint])])])
}

impl From<NotDer> for Malformed {
    fn from(_: NotDer) -> Self {
        Self
    }
}

fn decode_init(mut fields: Reader<'_>) -> Result<NegTokenInit, Malformed> {
    let mut init = NegTokenInit::default();
    let mut seen = 0_u32;
    while !fields.is_empty() {
        let field = fields.element()?;
        once(&mut seen, field.tag)?;
        let mut inner = Reader::new(field.contents);
        match field.tag & 0x1f {
            0 => {
                let list = inner.element()?;
                if list.tag != der::SEQUENCE {
                    return Err(Malformed);
                }
                init.mechanism_list = list.whole.to_vec();
                let mut oids = Reader::new(list.contents);
                while !oids.is_empty() {
                    if init.mechanisms.len() == MAX_MECHANISMS {
                        return Err(Malformed);
                    }
                    init.mechanisms.push(Mechanism::from_oid(oids.expect(der::OBJECT_IDENTIFIER)?));
                }
            }
            2 => init.token = Some(inner.expect(der::OCTET_STRING)?.to_vec()),
            // NegTokenInit has the MIC here, NegTokenInit2 its hints.
            3 if inner.peek() == Some(der::SEQUENCE) => {}
            3 | 4 => init.mechanism_list_mic = Some(inner.expect(der::OCTET_STRING)?.to_vec()),
            _ => {}
        }
    }
    if init.mechanisms.is_empty() { Err(Malformed) } else { Ok(init) }
}

/// Refuses a field that occurs twice: the signer and the reader could take different ones.
fn once(seen: &mut u32, tag: u8) -> Result<(), Malformed> {
    let bit = 1 << (tag & 0x1f);
    if *seen & bit != 0 {
        return Err(Malformed);
    }
    *seen |= bit;
    Ok(())
}

fn decode_response(mut fields: Reader<'_>) -> Result<NegTokenResp, Malformed> {
    let mut response = NegTokenResp::default();
    let mut seen = 0_u32;
    while !fields.is_empty() {
        let field = fields.element()?;
        once(&mut seen, field.tag)?;
        let mut inner = Reader::new(field.contents);
        match field.tag & 0x1f {
            0 => {
                response.state = Some(match inner.expect(der::ENUMERATED)? {
                    [0] => NegState::AcceptCompleted,
                    [1] => NegState::AcceptIncomplete,
                    [2] => NegState::Reject,
                    [3] => NegState::RequestMic,
                    _ => return Err(Malformed),
                });
            }
            1 => response.mechanism = Some(Mechanism::from_oid(inner.expect(der::OBJECT_IDENTIFIER)?)),
            2 => response.token = Some(inner.expect(der::OCTET_STRING)?.to_vec()),
            3 => response.mechanism_list_mic = Some(inner.expect(der::OCTET_STRING)?.to_vec()),
            _ => {}
        }
    }
    Ok(response)
}

fn framed_init(fields: &[Vec<u8>]) -> Vec<u8> {
    let init = element(context(0), &[&sequence(fields)]);
    element(der::APPLICATION_0, &[&element(der::OBJECT_IDENTIFIER, &[SPNEGO]), &init])
}

fn sequence(fields: &[Vec<u8>]) -> Vec<u8> {
    let parts: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    element(der::SEQUENCE, &parts)
}

fn octets(number: u8, data: &[u8]) -> Vec<u8> {
    element(context(number), &[&element(der::OCTET_STRING, &[data])])
}

const SPNEGO: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];
const KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];
const MS_KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02];
const NEGOEX: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x1e];
const NTLMSSP: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];

/// The `hintName` that Windows sends (MS-SPNG 2.2.1).
const HINT: &[u8] = b"not_defined_in_RFC4178@please_ignore";

#[cfg(test)]
mod tests;
