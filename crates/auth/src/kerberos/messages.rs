//! The messages of the exchange between client and server (RFC 4120 5.3, 5.5, 5.9).

use core::fmt;

use zeroize::Zeroizing;

use super::asn1::{
    self, Fields, Malformed, Result, application, put, put_application, put_integer, put_octets,
};
use super::crypto::{Enctype, Key};
use super::refusal::KRB_AP_ERR_SKEW;
use super::time::KerberosTime;
use crate::der::{self, element};

/// `PrincipalName` without its type, which is only a hint (RFC 4120 6.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct PrincipalName(pub(super) Vec<String>);

impl PrincipalName {
    pub(super) fn decode(data: &[u8]) -> Result<Self> {
        let mut fields = Fields::of(data)?;
        let _kind = asn1::int32(fields.field(0)?)?;
        let strings = asn1::sequence_of(fields.field(1)?)?;
        fields.end()?;
        if strings.is_empty() || strings.len() > MAX_COMPONENTS {
            return Err(Malformed);
        }
        let names = strings.into_iter().map(|it| asn1::string(it).map(str::to_owned));
        names.collect::<Result<_>>().map(Self)
    }

    pub(super) fn encode(&self, kind: i32) -> Vec<u8> {
        let strings: Vec<_> = self.0.iter().map(|it| asn1::put_string(it)).collect();
        asn1::put_sequence(&[put(0, &put_integer(kind.into())), put(1, &asn1::put_sequence(&strings))])
    }
}

impl fmt::Display for PrincipalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// `EncryptedData`.
pub(super) struct EncryptedData<'a> {
    pub(super) etype: i32,
    pub(super) kvno: Option<u32>,
    pub(super) cipher: &'a [u8],
}

impl<'a> EncryptedData<'a> {
    fn decode(data: &'a [u8]) -> Result<Self> {
        let mut fields = Fields::of(data)?;
        let etype = asn1::int32(fields.field(0)?)?;
        let kvno = fields.optional(1)?.map(asn1::uint32).transpose()?;
        let cipher = asn1::octets(fields.field(2)?)?;
        fields.end()?;
        Ok(Self { etype, kvno, cipher })
    }
}

/// `EncryptedData` of this key.
pub(super) fn encrypted_data(key: &Key, kvno: Option<u32>, cipher: &[u8]) -> Vec<u8> {
    let mut fields = vec![put(0, &put_integer(key.enctype().number().into()))];
    fields.extend(kvno.map(|kvno| put(1, &put_integer(kvno.into()))));
    fields.push(put(2, &put_octets(cipher)));
    asn1::put_sequence(&fields)
}

/// `Ticket`.
pub(super) struct Ticket<'a> {
    pub(super) realm: &'a str,
    pub(super) service: PrincipalName,
    pub(super) encrypted: EncryptedData<'a>,
}

/// `AP-REQ`.
pub(super) struct ApReq<'a> {
    /// `mutual-required`.
    pub(super) mutual: bool,
    pub(super) ticket: Ticket<'a>,
    pub(super) authenticator: EncryptedData<'a>,
}

impl<'a> ApReq<'a> {
    pub(super) fn decode(data: &'a [u8]) -> Result<Self> {
        let mut fields = Fields::of(asn1::only(data, application(14))?)?;
        expect(asn1::int32(fields.field(0)?)?, VERSION)?;
        expect(asn1::int32(fields.field(1)?)?, AP_REQ)?;
        // The ticket is encrypted in a key of the keytab: `use-session-key` is for users who serve users.
        let options = asn1::flags(fields.field(2)?)?;
        if options & !MUTUAL_REQUIRED != 0 {
            return Err(Malformed);
        }
        let ticket = Ticket::decode(fields.field(3)?)?;
        let authenticator = EncryptedData::decode(fields.field(4)?)?;
        fields.end()?;
        // The session key has no version. Some clients give it that of the ticket's key (gokrb5).
        if authenticator.kvno.is_some() && authenticator.kvno != ticket.encrypted.kvno {
            return Err(Malformed);
        }
        Ok(Self { mutual: options & MUTUAL_REQUIRED != 0, ticket, authenticator })
    }
}

impl<'a> Ticket<'a> {
    fn decode(data: &'a [u8]) -> Result<Self> {
        let mut fields = Fields::of(asn1::only(data, application(1))?)?;
        expect(asn1::int32(fields.field(0)?)?, VERSION)?;
        let realm = asn1::string(fields.field(1)?)?;
        let service = PrincipalName::decode(fields.field(2)?)?;
        let encrypted = EncryptedData::decode(fields.field(3)?)?;
        fields.end()?;
        Ok(Self { realm, service, encrypted })
    }
}

/// `EncTicketPart`.
pub(super) struct EncTicketPart {
    /// The flag `invalid`: a postdated ticket that no KDC has validated yet.
    pub(super) invalid: bool,
    pub(super) key: Key,
    pub(super) client_realm: String,
    pub(super) client: PrincipalName,
    pub(super) auth_time: KerberosTime,
    pub(super) start: Option<KerberosTime>,
    pub(super) end: KerberosTime,
    /// The PAC; `None` if the ticket has none.
    pub(super) pac: Option<Zeroizing<Vec<u8>>>,
}

/// The reason for not accepting a decrypted part.
pub(super) enum PartError {
    Malformed,
    /// Authorization data of this type, outside of AD-IF-RELEVANT, whose restrictions the server does not know (RFC 4120
    /// 5.2.6).
    Critical(i32),
    /// The session key is of an encryption type that is not supported.
    Enctype(i32),
}

impl From<Malformed> for PartError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl EncTicketPart {
    pub(super) fn decode(data: &[u8]) -> core::result::Result<Self, PartError> {
        let mut fields = Fields::of(asn1::only(data, application(3))?)?;
        let flags = asn1::flags(fields.field(0)?)?;
        let key = decode_key(fields.field(1)?)?;
        let client_realm = asn1::string(fields.field(2)?)?.to_owned();
        let client = PrincipalName::decode(fields.field(3)?)?;
        // The realms on the way: the KDCs of a domain have checked their trusts and filtered the PAC, and servers do
        // not check again (MS-KILE 3.1.1.2, TRANSITED-POLICY-CHECKED).
        let mut transited = Fields::of(fields.field(4)?)?;
        asn1::int32(transited.field(0)?)?;
        asn1::octets(transited.field(1)?)?;
        transited.end()?;
        let auth_time = asn1::time(fields.field(5)?)?;
        let start = fields.optional(6)?.map(asn1::time).transpose()?;
        let end = asn1::time(fields.field(7)?)?;
        fields.optional(8)?.map(asn1::time).transpose()?;
        // The addresses of the client: controllers put none in, and behind address translation they are wrong. The
        // acceptors of MIT and Windows do not compare them either.
        fields.optional(9)?.map(asn1::sequence_of).transpose()?;
        let pac = match fields.optional(10)? {
            Some(data) => find_pac(&authorization_data(data, KNOWN_IN_TICKETS)?)?,
            None => None,
        };
        fields.end()?;
        let invalid = flags & INVALID != 0;
        Ok(Self { invalid, key, client_realm, client, auth_time, start, end, pac })
    }
}

/// The PAC (MS-PAC 2.2): an element AD-WIN2K-PAC in an element AD-IF-RELEVANT.
fn find_pac(data: &[AuthorizationElement<'_>]) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let mut found = None;
    for element in data.iter().filter(|it| it.if_relevant && it.kind == AD_WIN2K_PAC) {
        if found.replace(Zeroizing::new(element.contents.to_vec())).is_some() {
            return Err(Malformed);
        }
    }
    Ok(found)
}

/// An element of `AuthorizationData`.
struct AuthorizationElement<'a> {
    kind: i32,
    contents: &'a [u8],
    /// The element is in an AD-IF-RELEVANT: servers that do not know it may ignore it (RFC 4120 5.2.6.1).
    if_relevant: bool,
}

/// `AuthorizationData`, with the elements of AD-IF-RELEVANT in place of that. Others have to be known: they restrict the
/// use of the ticket (RFC 4120 5.2.6). Windows ignores unknown ones (MS-KILE 3.1.5.5).
fn authorization_data<'a>(
    data: &'a [u8],
    known: &[i32],
) -> core::result::Result<Vec<AuthorizationElement<'a>>, PartError> {
    let mut elements = Vec::new();
    for (kind, contents) in typed_elements(data)? {
        if kind == AD_IF_RELEVANT {
            elements.extend(
                typed_elements(contents)?.into_iter().map(|(kind, contents)| AuthorizationElement {
                    kind,
                    contents,
                    if_relevant: true,
                }),
            );
        } else if known.contains(&kind) {
            elements.push(AuthorizationElement { kind, contents, if_relevant: false });
        } else {
            return Err(PartError::Critical(kind));
        }
    }
    Ok(elements)
}

/// The types and contents of the elements of an `AuthorizationData`.
fn typed_elements(data: &[u8]) -> Result<Vec<(i32, &[u8])>> {
    let entries = asn1::sequence_of(data)?.into_iter().map(|entry| {
        let mut fields = Fields::of(entry)?;
        let kind = asn1::int32(fields.field(0)?)?;
        let contents = asn1::octets(fields.field(1)?)?;
        fields.end()?;
        Ok((kind, contents))
    });
    entries.collect()
}

/// `Authenticator`.
pub(super) struct Authenticator {
    pub(super) client_realm: String,
    pub(super) client: PrincipalName,
    /// The checksum's type and value; `None` if there is none.
    pub(super) checksum: Option<(i32, Vec<u8>)>,
    pub(super) microseconds: u32,
    pub(super) time: KerberosTime,
    pub(super) subkey: Option<Key>,
    pub(super) sequence: Option<u32>,
    /// The name of the service that the client wanted, with or without a realm (KERB_AUTH_DATA_CLIENT_TARGET, MS-KILE
    /// 3.2.5.8); `None` if the client does not send it.
    pub(super) target: Option<String>,
    /// The client knows channel bindings, and sends those of each channel that has some (KERB_AP_OPTIONS_CBT, MS-KILE
    /// 3.2.5.8).
    pub(super) knows_bindings: bool,
}

impl Authenticator {
    pub(super) fn decode(data: &[u8]) -> core::result::Result<Self, PartError> {
        let mut fields = Fields::of(asn1::only(data, application(2))?)?;
        expect(asn1::int32(fields.field(0)?)?, VERSION)?;
        let client_realm = asn1::string(fields.field(1)?)?.to_owned();
        let client = PrincipalName::decode(fields.field(2)?)?;
        let checksum = match fields.optional(3)? {
            Some(data) => {
                let mut checksum = Fields::of(data)?;
                let kind = asn1::int32(checksum.field(0)?)?;
                let value = asn1::octets(checksum.field(1)?)?.to_vec();
                checksum.end()?;
                Some((kind, value))
            }
            None => None,
        };
        let microseconds = asn1::microseconds(fields.field(4)?)?;
        let time = asn1::time(fields.field(5)?)?;
        let subkey = fields.optional(6)?.map(decode_key).transpose()?;
        let sequence = fields.optional(7)?.map(asn1::uint32).transpose()?;
        // Of the client's own statements, the encryption types that it supports (RFC 4537), and the integrity level of its
        // process (MS-KILE 2.2.6), which is for connections of a machine to itself, have no effect.
        let data = fields.optional(8)?.map(|data| authorization_data(data, KNOWN_IN_AUTHENTICATORS));
        let data = data.transpose()?.unwrap_or_default();
        let (target, knows_bindings) = (find_target(&data)?, find_options(&data) & CBT != 0);
        fields.end()?;
        Ok(Self {
            client_realm,
            client,
            checksum,
            microseconds,
            time,
            subkey,
            sequence,
            target,
            knows_bindings,
        })
    }
}

/// The name of the service that the client wanted, in UTF-16LE.
fn find_target(data: &[AuthorizationElement<'_>]) -> Result<Option<String>> {
    let mut found = None;
    for element in data.iter().filter(|it| it.kind == KERB_AUTH_DATA_CLIENT_TARGET) {
        let (units, rest) = element.contents.as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        let name = String::from_utf16(&units).map_err(|_| Malformed)?;
        if !rest.is_empty() || found.replace(name).is_some() {
            return Err(Malformed);
        }
    }
    Ok(found)
}

/// The options of the client (AD-AUTH-DATA-AP-OPTIONS, MS-KILE 3.2.5.8): a number of four bytes, without which it states
/// none.
fn find_options(data: &[AuthorizationElement<'_>]) -> u32 {
    let options = data.iter().filter(|it| it.kind == AD_AUTH_DATA_AP_OPTIONS);
    options.filter_map(|it| it.contents.try_into().ok()).map(u32::from_le_bytes).fold(0, |all, it| all | it)
}

/// `EncryptionKey`.
fn decode_key(data: &[u8]) -> core::result::Result<Key, PartError> {
    let mut fields = Fields::of(data)?;
    let number = asn1::int32(fields.field(0)?)?;
    let bytes = asn1::octets(fields.field(1)?)?;
    fields.end()?;
    let enctype = Enctype::from_number(number).ok_or(PartError::Enctype(number))?;
    Key::new(enctype, bytes).ok_or(PartError::Malformed)
}

/// `EncryptionKey`.
pub(super) fn put_key(key: &Key) -> Zeroizing<Vec<u8>> {
    let bytes = Zeroizing::new(put_octets(key.as_bytes()));
    let value = Zeroizing::new(put(1, &bytes));
    let number = put(0, &put_integer(key.enctype().number().into()));
    Zeroizing::new(element(der::SEQUENCE, &[&number, &value]))
}

/// `EncAPRepPart`.
pub(super) fn enc_ap_rep_part(
    time: KerberosTime,
    microseconds: u32,
    subkey: Option<&Key>,
    sequence: u32,
) -> Zeroizing<Vec<u8>> {
    let time = put(0, &asn1::put_time(time));
    let microseconds = put(1, &put_integer(microseconds.into()));
    let subkey = Zeroizing::new(subkey.map(|key| put(2, &put_key(key))).unwrap_or_default());
    let sequence = put(3, &put_integer(sequence.into()));
    let fields = [time.as_slice(), &microseconds, &subkey, &sequence];
    let part = Zeroizing::new(element(der::SEQUENCE, &fields));
    Zeroizing::new(put_application(27, &part))
}

/// `AP-REP` with its encrypted part.
pub(super) fn ap_rep(encrypted: &[u8]) -> Vec<u8> {
    let fields =
        [put(0, &put_integer(VERSION.into())), put(1, &put_integer(AP_REP.into())), put(2, encrypted)];
    put_application(15, &asn1::put_sequence(&fields))
}

/// `KRB-ERROR` with the server's time and names (RFC 4120 5.9.1). For clocks that differ it has the KERB-ERROR-DATA by
/// which a client may try again with that time (MS-KILE 2.2.2, 3.4.5).
pub(super) fn krb_error(
    code: i32,
    time: KerberosTime,
    microseconds: u32,
    realm: &str,
    service: &PrincipalName,
) -> Vec<u8> {
    let mut fields = vec![
        put(0, &put_integer(VERSION.into())),
        put(1, &put_integer(KRB_ERROR.into())),
        put(4, &asn1::put_time(time)),
        put(5, &put_integer(microseconds.into())),
        put(6, &put_integer(code.into())),
        put(9, &asn1::put_string(realm)),
        put(10, &service.encode(NT_SRV_INST)),
    ];
    if code == KRB_AP_ERR_SKEW {
        fields.push(put(12, &put_octets(&asn1::put_sequence(&[put(1, &put_integer(SKEW_RECOVERY))]))));
    }
    put_application(30, &asn1::put_sequence(&fields))
}

/// The encrypted part of an AP-REP.
pub(super) fn decode_ap_rep(data: &[u8]) -> Result<EncryptedData<'_>> {
    let mut fields = Fields::of(asn1::only(data, application(15))?)?;
    expect(asn1::int32(fields.field(0)?)?, VERSION)?;
    expect(asn1::int32(fields.field(1)?)?, AP_REP)?;
    let encrypted = EncryptedData::decode(fields.field(2)?)?;
    fields.end()?;
    Ok(encrypted)
}

/// The contents of an `EncAPRepPart`.
pub(super) struct EncApRepPart {
    /// The time of the request, and its microseconds.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "for clients"))]
    pub(super) time: (KerberosTime, u32),
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "for clients"))]
    pub(super) subkey: Option<Key>,
    pub(super) sequence: u32,
}

/// `EncAPRepPart`.
pub(super) fn decode_enc_ap_rep_part(data: &[u8]) -> core::result::Result<EncApRepPart, PartError> {
    let mut fields = Fields::of(asn1::only(data, application(27))?)?;
    let time = asn1::time(fields.field(0)?)?;
    let microseconds = asn1::microseconds(fields.field(1)?)?;
    let subkey = fields.optional(2)?.map(decode_key).transpose()?;
    let sequence = asn1::uint32(fields.field(3)?)?;
    fields.end()?;
    Ok(EncApRepPart { time: (time, microseconds), subkey, sequence })
}

/// The error code and the server's time of a `KRB-ERROR`.
#[cfg(feature = "testing")]
pub(super) fn decode_krb_error(data: &[u8]) -> Result<(i32, KerberosTime)> {
    let mut fields = Fields::of(asn1::only(data, application(30))?)?;
    expect(asn1::int32(fields.field(0)?)?, VERSION)?;
    expect(asn1::int32(fields.field(1)?)?, KRB_ERROR)?;
    let time = asn1::time(fields.field(4)?)?;
    asn1::microseconds(fields.field(5)?)?;
    let code = asn1::int32(fields.field(6)?)?;
    asn1::string(fields.field(9)?)?;
    PrincipalName::decode(fields.field(10)?)?;
    if code == KRB_AP_ERR_SKEW {
        let mut data = Fields::of(asn1::octets(fields.field(12)?)?)?;
        expect(asn1::int32(data.field(1)?)?, SKEW_RECOVERY as i32)?;
        data.end()?;
    }
    fields.end()?;
    Ok((code, time))
}

fn expect(value: i32, expected: i32) -> Result<()> {
    if value == expected { Ok(()) } else { Err(Malformed) }
}

/// `pvno`, `tkt-vno` and `authenticator-vno`.
pub(super) const VERSION: i32 = 5;
pub(super) const AP_REQ: i32 = 14;
const AP_REP: i32 = 15;
const KRB_ERROR: i32 = 30;
/// KERB_AP_ERR_TYPE_SKEW_RECOVERY (MS-KILE 2.2.2).
const SKEW_RECOVERY: i64 = 2;
/// `APOptions` `mutual-required(2)`.
pub(super) const MUTUAL_REQUIRED: u32 = 0x2000_0000;
/// `TicketFlags` `invalid(7)`.
const INVALID: u32 = 0x0100_0000;
pub(super) const AD_IF_RELEVANT: i32 = 1;
/// AD-MANDATORY-FOR-KDC, which is not for servers (RFC 4120 5.2.6.4).
const AD_MANDATORY_FOR_KDC: i32 = 8;
pub(super) const AD_WIN2K_PAC: i32 = 128;
/// Authorization data that may be in tickets outside of AD-IF-RELEVANT. A PAC is not used there (MS-PAC 2.2).
const KNOWN_IN_TICKETS: &[i32] = &[AD_MANDATORY_FOR_KDC, AD_WIN2K_PAC];
/// AD-ETYPE-NEGOTIATION (RFC 4537 4).
const AD_ETYPE_NEGOTIATION: i32 = 129;
/// KERB_AUTH_DATA_TOKEN_RESTRICTIONS, KERB-LOCAL, AD-AUTH-DATA-AP-OPTIONS and KERB_AUTH_DATA_CLIENT_TARGET (MS-KILE
/// 3.2.5.8).
const KERB_AUTH_DATA_TOKEN_RESTRICTIONS: i32 = 141;
const KERB_LOCAL: i32 = 142;
pub(super) const AD_AUTH_DATA_AP_OPTIONS: i32 = 143;
/// KERB_AP_OPTIONS_CBT.
pub(super) const CBT: u32 = 0x4000;
pub(super) const KERB_AUTH_DATA_CLIENT_TARGET: i32 = 144;
/// Authorization data that may be in authenticators outside of AD-IF-RELEVANT, where Windows puts some of them.
const KNOWN_IN_AUTHENTICATORS: &[i32] = &[
    AD_ETYPE_NEGOTIATION,
    KERB_AUTH_DATA_TOKEN_RESTRICTIONS,
    KERB_LOCAL,
    AD_AUTH_DATA_AP_OPTIONS,
    KERB_AUTH_DATA_CLIENT_TARGET,
];
/// The type of names of services (RFC 4120 6.2).
pub(super) const NT_SRV_INST: i32 = 2;
/// Components of a name: services have two or three, users one.
const MAX_COMPONENTS: usize = 8;
