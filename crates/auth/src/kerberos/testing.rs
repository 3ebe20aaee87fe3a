//! A domain's controller and its clients for tests: tickets with PACs, and the AP-REQs that present them. Everything can
//! be wrong in them.

use wire::FileTime;
use wire::security::Sid;

use super::crypto::{Enctype, Key, KeyUsage};
use super::messages::{
    self, AD_AUTH_DATA_AP_OPTIONS, AD_IF_RELEVANT, AD_WIN2K_PAC, CBT, KERB_AUTH_DATA_CLIENT_TARGET,
    MUTUAL_REQUIRED, NT_SRV_INST, PrincipalName, VERSION,
};
use super::time::KerberosTime;
use super::{KERBEROS, ap_req, asn1};
use crate::bytes::utf16le;
use crate::der::{self, element};
use crate::random::{Random, RandomFailed};

/// A source of bytes that count up, so that tests repeat.
#[derive(Clone, Debug, Default)]
pub struct Counting(pub u8);

impl Random for Counting {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomFailed> {
        for byte in out {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
        Ok(())
    }
}

/// A ticket to be issued.
#[derive(Clone, Debug)]
pub struct TicketSpec {
    /// The components of the service's name.
    pub service: Vec<String>,
    /// The realm of the service.
    pub realm: String,
    /// The service's key.
    pub service_key: Key,
    /// The version of that key.
    pub version: Option<u32>,
    /// The encryption type of the session key.
    pub session_enctype: Enctype,
    /// The client's name.
    pub client: String,
    /// The client's realm.
    pub client_realm: String,
    /// `authtime`, and the time in the PAC.
    pub auth_time: KerberosTime,
    /// `starttime`.
    pub start: Option<KerberosTime>,
    /// `endtime`.
    pub end: KerberosTime,
    /// The flags of the ticket.
    pub flags: u32,
    /// The PAC; `None` for a ticket without one.
    pub pac: Option<PacSpec>,
    /// Further authorization data.
    pub authorization: Vec<Authorization>,
    /// The encrypted part as it is, in place of one that is made of all this.
    pub part: Option<Vec<u8>>,
}

/// An element of authorization data.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// The type.
    pub kind: i32,
    /// The contents.
    pub contents: Vec<u8>,
    /// The element is in an AD-IF-RELEVANT of its own.
    pub if_relevant: bool,
}

/// A PAC to be made.
#[derive(Clone, Debug)]
pub struct PacSpec {
    /// The account's name.
    pub name: String,
    /// The NetBIOS name of its domain.
    pub domain: String,
    /// The SID of the domain.
    pub domain_sid: Sid,
    /// The relative id of the user.
    pub user: u32,
    /// The relative id of the primary group.
    pub primary_group: u32,
    /// The groups of the domain: relative ids and attributes.
    pub groups: Vec<(u32, u32)>,
    /// The extra SIDs with attributes.
    pub extra: Vec<(Sid, u32)>,
    /// The domain and the groups of the server's domain.
    pub resources: Option<(Sid, Vec<(u32, u32)>)>,
    /// The name in `PAC_CLIENT_INFO`; `None` for that of the ticket.
    pub client_info_name: Option<String>,
    /// The time in `PAC_CLIENT_INFO`; `None` for that of the ticket.
    pub client_info_time: Option<FileTime>,
    /// The user principal name, and the SID in the buffer with it.
    pub principal: Option<(String, Option<Sid>)>,
    /// The DNS name of the domain in the buffer with the user principal name.
    pub dns_domain: String,
    /// The requestor.
    pub requestor: Option<Sid>,
    /// The key of the signature; `None` for the service's.
    pub signer: Option<Key>,
    /// The logon information as it is, in place of one that is made of all this.
    pub logon_info: Option<Vec<u8>>,
    /// The buffers that are left out, by their types.
    pub without: Vec<u32>,
    /// A bit that is flipped after the PAC is signed.
    pub flipped: Option<usize>,
}

/// An issued ticket, with what the client knows of it.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The DER of the ticket.
    pub ticket: Vec<u8>,
    /// The session key.
    pub session_key: Key,
    /// The client's name.
    pub client: String,
    /// The client's realm.
    pub client_realm: String,
}

/// An AP-REQ to be made.
#[derive(Clone, Debug)]
pub struct RequestSpec {
    /// The client's time.
    pub time: KerberosTime,
    /// The microseconds of that time, which make requests differ.
    pub microseconds: u32,
    /// The client's name in the authenticator; `None` for that of the ticket.
    pub client: Option<String>,
    /// The client's subkey.
    pub subkey: Option<Key>,
    /// The flags of GSS-API; `None` for no checksum.
    pub gss_flags: Option<u32>,
    /// Data of the application that have a checksum of the session key, in place of that of GSS-API.
    pub application_data: Option<Vec<u8>>,
    /// The channel bindings in the checksum.
    pub bindings: [u8; 16],
    /// `mutual-required`.
    pub mutual: bool,
    /// The client's authorization data.
    pub authorization: Vec<Authorization>,
    /// The authenticator as it is, in place of one that is made of all this.
    pub authenticator: Option<Vec<u8>>,
}

impl Authorization {
    /// The name of the service that the client wants, as Windows sends it (MS-KILE 3.2.5.8).
    pub fn target(name: &str) -> Self {
        Self { kind: KERB_AUTH_DATA_CLIENT_TARGET, contents: utf16le(name), if_relevant: true }
    }
}

impl Authorization {
    /// The statement that the client knows channel bindings.
    pub fn knows_bindings() -> Self {
        Self { kind: AD_AUTH_DATA_AP_OPTIONS, contents: CBT.to_le_bytes().to_vec(), if_relevant: true }
    }
}

impl TicketSpec {
    /// The ticket of carol for the service, valid for ten hours.
    pub fn new(service: &[&str], realm: &str, service_key: Key, version: u32, now: FileTime) -> Self {
        let now = KerberosTime::of(now);
        Self {
            service: service.iter().map(|&it| it.to_owned()).collect(),
            realm: realm.to_owned(),
            session_enctype: service_key.enctype(),
            service_key,
            version: Some(version),
            client: String::from("carol"),
            client_realm: realm.to_owned(),
            auth_time: KerberosTime(now.0.saturating_sub(3600)),
            start: Some(KerberosTime(now.0.saturating_sub(60))),
            end: KerberosTime(now.0.saturating_add(36_000)),
            flags: 0x40a1_0000,
            pac: Some(PacSpec::carol()),
            authorization: Vec::new(),
            part: None,
        }
    }

    fn session_key(&self) -> Key {
        let key = Key::new(self.session_enctype, &vec![0x5e; self.session_enctype.key_len()]);
        key.unwrap_or_else(|| self.service_key.clone())
    }

    /// The DER of the encrypted part.
    pub fn part(&self) -> Vec<u8> {
        let client = PrincipalName(vec![self.client.clone()]);
        let flags = self.flags.to_be_bytes();
        let transited =
            asn1::put_sequence(&[asn1::put(0, &asn1::put_integer(1)), asn1::put(1, &asn1::put_octets(&[]))]);
        let mut fields = vec![
            asn1::put(0, &element(BIT_STRING, &[&[0], &flags])),
            asn1::put(1, &messages::put_key(&self.session_key())),
            asn1::put(2, &asn1::put_string(&self.client_realm)),
            asn1::put(3, &client.encode(NT_PRINCIPAL)),
            asn1::put(4, &transited),
            asn1::put(5, &asn1::put_time(self.auth_time)),
        ];
        fields.extend(self.start.map(|start| asn1::put(6, &asn1::put_time(start))));
        fields.push(asn1::put(7, &asn1::put_time(self.end)));
        let pac = self.pac.as_ref().map(|pac| pac.build(self));
        let pac = pac.map(|contents| Authorization { kind: AD_WIN2K_PAC, contents, if_relevant: true });
        let authorization: Vec<_> = pac.into_iter().chain(self.authorization.iter().cloned()).collect();
        if !authorization.is_empty() {
            fields.push(asn1::put(10, &authorization_data(&authorization)));
        }
        asn1::put_application(3, &asn1::put_sequence(&fields))
    }

    /// Issues the ticket.
    pub fn issue(&self) -> Issued {
        let part = self.part.clone().unwrap_or_else(|| self.part());
        let cipher = encrypt(&self.service_key, KeyUsage::TICKET, &part);
        let ticket = asn1::put_sequence(&[
            asn1::put(0, &asn1::put_integer(VERSION.into())),
            asn1::put(1, &asn1::put_string(&self.realm)),
            asn1::put(2, &PrincipalName(self.service.clone()).encode(NT_SRV_INST)),
            asn1::put(3, &messages::encrypted_data(&self.service_key, self.version, &cipher)),
        ]);
        Issued {
            ticket: asn1::put_application(1, &ticket),
            session_key: self.session_key(),
            client: self.client.clone(),
            client_realm: self.client_realm.clone(),
        }
    }
}

impl PacSpec {
    /// The PAC of carol of the domain CORP.
    pub fn carol() -> Self {
        Self {
            name: String::from("carol"),
            domain: String::from("CORP"),
            domain_sid: Sid::of(5, [21, 1, 2, 3]),
            user: 1104,
            primary_group: 513,
            groups: vec![(513, 7), (1201, 7)],
            extra: Vec::new(),
            resources: None,
            client_info_name: None,
            client_info_time: None,
            principal: None,
            dns_domain: String::from("corp.test"),
            requestor: None,
            signer: None,
            logon_info: None,
            without: Vec::new(),
            flipped: None,
        }
    }

    fn build(&self, ticket: &TicketSpec) -> Vec<u8> {
        let signer = self.signer.as_ref().unwrap_or(&ticket.service_key);
        let logon_info = self.logon_info.clone().unwrap_or_else(|| self.logon_info());
        let mut buffers = vec![(1, logon_info), (10, self.client_info(ticket))];
        buffers.extend(self.principal.as_ref().map(|(name, sid)| (12, self.names(name, *sid))));
        buffers.extend(self.requestor.map(|sid| (18, encoded(&sid))));
        let signature = |key: &Key| {
            [key.enctype().checksum_type().to_le_bytes().as_slice(), &vec![0; key.enctype().checksum_len()]]
                .concat()
        };
        buffers.push((6, signature(signer)));
        buffers.push((7, signature(signer)));
        buffers.retain(|(kind, _)| !self.without.contains(kind));
        let mut pac = Vec::new();
        put_u32(&mut pac, buffers.len());
        put_u32(&mut pac, 0);
        let mut offset = (8 + buffers.len() * 16).next_multiple_of(8);
        let mut server_signature = None;
        for (kind, data) in &buffers {
            put_u32(&mut pac, *kind);
            put_u32(&mut pac, data.len());
            put_u32(&mut pac, offset);
            put_u32(&mut pac, 0);
            if *kind == 6 {
                server_signature = Some(offset + 4);
            }
            offset = (offset + data.len()).next_multiple_of(8);
        }
        for (_, data) in &buffers {
            pac.resize(pac.len().next_multiple_of(8), 0);
            pac.extend_from_slice(data);
        }
        let checksum = signer.checksum(KeyUsage::PAC, &[&pac]);
        let place = server_signature.and_then(|at| pac.get_mut(at..at + checksum.len()));
        if let Some(place) = place {
            place.copy_from_slice(&checksum);
        }
        if let Some(byte) = self.flipped.and_then(|bit| pac.get_mut(bit / 8)) {
            *byte ^= 1 << (self.flipped.unwrap_or_default() % 8);
        }
        pac
    }

    /// The length of the PAC of a ticket in bits.
    pub fn bits(&self, ticket: &TicketSpec) -> usize {
        self.build(ticket).len() * 8
    }

    fn client_info(&self, ticket: &TicketSpec) -> Vec<u8> {
        let name = utf16le(self.client_info_name.as_ref().unwrap_or(&ticket.client));
        let time = self.client_info_time.unwrap_or(ticket.auth_time.file_time());
        let mut data = time.0.to_le_bytes().to_vec();
        put_u16(&mut data, name.len());
        data.extend(name);
        data
    }

    fn names(&self, principal: &str, sid: Option<Sid>) -> Vec<u8> {
        let parts = [
            utf16le(principal),
            utf16le(&self.dns_domain),
            utf16le(&self.name),
            sid.map(|it| encoded(&it)).unwrap_or_default(),
        ];
        let (mut head, mut body) = (Vec::new(), Vec::new());
        let start = 24;
        for (n, part) in parts.iter().enumerate() {
            if n == 2 {
                put_u32(&mut head, if sid.is_some() { 2 } else { 0 });
            }
            put_u16(&mut head, part.len());
            put_u16(&mut head, start + body.len());
            body.extend_from_slice(part);
        }
        head.resize(start, 0);
        [head, body].concat()
    }

    /// `KERB_VALIDATION_INFO` in NDR.
    pub fn logon_info(&self) -> Vec<u8> {
        let mut ndr = Vec::new();
        put_u32(&mut ndr, 0x0002_0000);
        ndr.resize(ndr.len() + 48, 0);
        let texts = [&self.name, "Carol Jones", "", "", "", ""];
        texts.iter().for_each(|text| string_head(&mut ndr, text));
        put_u32(&mut ndr, 0);
        put_u32(&mut ndr, self.user);
        put_u32(&mut ndr, self.primary_group);
        put_u32(&mut ndr, self.groups.len());
        put_u32(&mut ndr, 0x0002_0010);
        put_u32(&mut ndr, 0x220_usize);
        ndr.resize(ndr.len() + 16, 0);
        string_head(&mut ndr, "DC1");
        string_head(&mut ndr, &self.domain);
        put_u32(&mut ndr, 0x0002_0020);
        ndr.resize(ndr.len() + 40, 0);
        put_u32(&mut ndr, self.extra.len());
        put_u32(&mut ndr, if self.extra.is_empty() { 0 } else { 0x0002_0024 });
        put_u32(&mut ndr, if self.resources.is_some() { 0x0002_0028 } else { 0 });
        put_u32(&mut ndr, self.resources.as_ref().map_or(0, |(_, groups)| groups.len()));
        put_u32(&mut ndr, if self.resources.is_some() { 0x0002_002c } else { 0 });

        texts.iter().for_each(|text| string_body(&mut ndr, text));
        memberships(&mut ndr, &self.groups);
        string_body(&mut ndr, "DC1");
        string_body(&mut ndr, &self.domain);
        sid(&mut ndr, &self.domain_sid);
        if !self.extra.is_empty() {
            put_u32(&mut ndr, self.extra.len());
            for (_, attributes) in &self.extra {
                put_u32(&mut ndr, 0x0002_0030);
                put_u32(&mut ndr, *attributes);
            }
            self.extra.iter().for_each(|(it, _)| sid(&mut ndr, it));
        }
        if let Some((domain, groups)) = &self.resources {
            sid(&mut ndr, domain);
            memberships(&mut ndr, groups);
        }
        let mut data = vec![1, 0x10, 8, 0, 0xcc, 0xcc, 0xcc, 0xcc];
        put_u32(&mut data, ndr.len());
        put_u32(&mut data, 0);
        [data, ndr].concat()
    }
}

impl RequestSpec {
    /// A request for mutual authentication with a subkey of the client.
    pub fn new(issued: &Issued, now: FileTime) -> Self {
        let enctype = issued.session_key.enctype();
        Self {
            time: KerberosTime::of(now),
            microseconds: 123_456,
            client: None,
            subkey: Key::new(enctype, &vec![0x3b; enctype.key_len()]),
            gss_flags: Some(0x3e),
            application_data: None,
            bindings: [0; 16],
            mutual: true,
            authorization: Vec::new(),
            authenticator: None,
        }
    }

    /// The DER of the authenticator.
    pub fn authenticator(&self, issued: &Issued) -> Vec<u8> {
        let client = PrincipalName(vec![self.client.clone().unwrap_or_else(|| issued.client.clone())]);
        let mut fields = vec![
            asn1::put(0, &asn1::put_integer(VERSION.into())),
            asn1::put(1, &asn1::put_string(&issued.client_realm)),
            asn1::put(2, &client.encode(NT_PRINCIPAL)),
        ];
        let key = &issued.session_key;
        let checksum = match (&self.application_data, self.gss_flags) {
            (Some(data), _) => {
                let value = key.checksum(KeyUsage::AP_REQ_CHECKSUM, &[data]);
                Some((key.enctype().checksum_type(), value))
            }
            (None, Some(flags)) => {
                let mut value = 16_u32.to_le_bytes().to_vec();
                value.extend(self.bindings);
                value.extend(flags.to_le_bytes());
                Some((ap_req::GSS_CHECKSUM, value))
            }
            (None, None) => None,
        };
        if let Some((kind, value)) = checksum {
            let checksum = asn1::put_sequence(&[
                asn1::put(0, &asn1::put_integer(kind.into())),
                asn1::put(1, &asn1::put_octets(&value)),
            ]);
            fields.push(asn1::put(3, &checksum));
        }
        fields.push(asn1::put(4, &asn1::put_integer(self.microseconds.into())));
        fields.push(asn1::put(5, &asn1::put_time(self.time)));
        fields.extend(self.subkey.as_ref().map(|key| asn1::put(6, &messages::put_key(key))));
        fields.push(asn1::put(7, &asn1::put_integer(FIRST_NUMBER as i64)));
        if !self.authorization.is_empty() {
            fields.push(asn1::put(8, &authorization_data(&self.authorization)));
        }
        asn1::put_application(2, &asn1::put_sequence(&fields))
    }

    /// The AP-REQ.
    pub fn ap_req(&self, issued: &Issued) -> Vec<u8> {
        let authenticator = self.authenticator.clone().unwrap_or_else(|| self.authenticator(issued));
        let cipher = encrypt(&issued.session_key, KeyUsage::AP_REQ, &authenticator);
        let options: u32 = if self.mutual { MUTUAL_REQUIRED } else { 0 };
        let request = asn1::put_sequence(&[
            asn1::put(0, &asn1::put_integer(VERSION.into())),
            asn1::put(1, &asn1::put_integer(messages::AP_REQ.into())),
            asn1::put(2, &element(BIT_STRING, &[&[0], &options.to_be_bytes()])),
            asn1::put(3, &issued.ticket),
            asn1::put(4, &messages::encrypted_data(&issued.session_key, None, &cipher)),
        ]);
        asn1::put_application(14, &request)
    }

    /// The AP-REQ in the framing of RFC 4121 4.1.
    pub fn token(&self, issued: &Issued) -> Vec<u8> {
        framed(&self.ap_req(issued))
    }

    /// Makes this a request in the DCE style, which has no framing.
    #[must_use]
    pub fn for_rpc(self) -> Self {
        Self { gss_flags: self.gss_flags.map(|flags| flags | ap_req::DCE_STYLE), ..self }
    }

    /// The MIC of the initiator with this key, which is the acceptor's subkey or not.
    pub fn mic(key: &Key, is_acceptors: bool, message: &[u8]) -> Vec<u8> {
        super::mic::Mics::initiators(key.clone(), is_acceptors, message)
    }

    /// True if this is the MIC of the acceptor.
    pub fn is_acceptors_mic(key: &Key, is_acceptors: bool, message: &[u8], mic: &[u8]) -> bool {
        super::mic::Mics::verify_acceptors(key, is_acceptors, message, mic)
    }
}

/// An AP-REQ in the framing of RFC 4121 4.1.
pub fn framed(ap_req: &[u8]) -> Vec<u8> {
    let oid = element(der::OBJECT_IDENTIFIER, &[KERBEROS]);
    element(der::APPLICATION_0, &[&oid, &ap_req::AP_REQ_ID, ap_req])
}

/// The acceptor's subkey in a framed AP-REP, which is `None` in RC4; `None` if the reply is not one to the request.
pub fn acceptors_subkey(token: &[u8], issued: &Issued, request: &RequestSpec) -> Option<Option<Key>> {
    let part = ap_req::open_reply(token, &issued.session_key)?;
    (part.time == (request.time, request.microseconds)).then_some(part.subkey)
}

/// The client's answer to an AP-REP in the DCE style (MS-KILE 3.4.5.1), and its end of the context.
pub fn third_leg(token: &[u8], issued: &Issued, request: &RequestSpec) -> Option<(Vec<u8>, ClientSeal)> {
    let part = ap_req::open_reply(token, &issued.session_key)?;
    let plain = messages::enc_ap_rep_part(request.time, request.microseconds, None, part.sequence);
    let cipher = encrypt(&issued.session_key, KeyUsage::AP_REP, &plain);
    let reply = messages::ap_rep(&messages::encrypted_data(&issued.session_key, None, &cipher));
    Some((reply, ClientSeal { key: part.subkey?, number: FIRST_NUMBER, servers: part.sequence.into() }))
}

/// An AP-REP with a key version around its ciphertext, which nothing protects.
pub fn with_version(token: &[u8], issued: &Issued, version: u32) -> Option<Vec<u8>> {
    let encrypted = messages::decode_ap_rep(token).ok()?;
    Some(messages::ap_rep(&messages::encrypted_data(&issued.session_key, Some(version), encrypted.cipher)))
}

/// The initiator's end of a context for RPC messages, without the DCE style's placement: it makes and takes whole tokens
/// of RFC 4121 4.2.6, which are taken apart here by their rotation.
#[derive(Clone, Debug)]
pub struct ClientSeal {
    key: Key,
    number: u64,
    servers: u64,
}

impl ClientSeal {
    fn header(&mut self, id: [u8; 2], flags: u8, sizes: [u8; 4]) -> Vec<u8> {
        let number = self.number.to_be_bytes();
        self.number += 1;
        [&id[..], &[flags | 4, 0xff], &sizes, &number].concat()
    }

    /// The signature of a message.
    pub fn sign(&mut self, message: &[u8]) -> Vec<u8> {
        let header = self.header([4, 4], 0, [0xff; 4]);
        let checksum = self.key.checksum(KeyUsage::INITIATOR_SIGN, &[message, &header]);
        [header, checksum].concat()
    }

    /// True if this is the signature of the server's next message.
    pub fn verify(&mut self, message: &[u8], token: &[u8]) -> bool {
        let number = self.servers.to_be_bytes();
        self.servers += 1;
        let header = [&[4, 4, 5, 0xff, 0xff, 0xff, 0xff, 0xff], &number[..]].concat();
        let Some(checksum) = token.strip_prefix(header.as_slice()) else { return false };
        self.key.verify(KeyUsage::ACCEPTOR_SIGN, &[message, &header], checksum).is_ok()
    }

    /// Encrypts a whole message with this much padding, and returns its token.
    pub fn seal(&mut self, message: &mut [u8], extra: u8) -> Vec<u8> {
        let header = self.header([5, 4], 2, [0, extra, 0, 0]);
        let rotation = (16 + self.key.enctype().checksum_len()) as u16;
        let (id, numbers) = header.split_at(6);
        let (_, number) = numbers.split_at(2);
        let front = [id, &rotation.to_be_bytes(), number].concat();
        self.seal_between(&front, message, &[&vec![0xff; extra.into()], header.as_slice()].concat())
    }

    /// Encrypts a whole message and what the client says behind it, and returns a token that begins with this header:
    /// only a client with the key can make one with other contents than [`seal`](Self::seal).
    pub fn seal_between(&self, front: &[u8], message: &mut [u8], behind: &[u8]) -> Vec<u8> {
        let mut cipher = encrypt(&self.key, KeyUsage::INITIATOR_SEAL, &[&*message, behind].concat());
        cipher.rotate_right(behind.len() + self.key.enctype().checksum_len());
        let (token, sealed) = cipher.split_at(cipher.len() - message.len());
        message.copy_from_slice(sealed);
        [front, token].concat()
    }

    /// Decrypts the server's next message, all of which is encrypted. Returns false if it was altered.
    pub fn open(&mut self, message: &mut [u8], token: &[u8]) -> bool {
        let Some((header, rest)) = token.split_first_chunk::<16>() else { return false };
        let number = self.servers.to_be_bytes();
        self.servers += 1;
        let [_, _, _, _, e0, e1, r0, r1, ..] = *header;
        let (extra, rotation) = (u16::from_be_bytes([e0, e1]), u16::from_be_bytes([r0, r1]));
        let expected = [&[5, 4, 7, 0xff, e0, e1, 0, 0], &number[..]].concat();
        let mut cipher = [rest, message].concat();
        let rotation = usize::from(rotation) + usize::from(extra);
        if cipher.len() < rotation {
            return false;
        }
        cipher.rotate_left(rotation);
        let Ok(plain) = self.key.decrypt(KeyUsage::ACCEPTOR_SEAL, &cipher) else { return false };
        let Some(plain) = plain.strip_suffix(expected.as_slice()) else { return false };
        let Some((data, extra)) = plain.split_at_checked(message.len()) else { return false };
        message.copy_from_slice(data);
        extra.iter().all(|byte| *byte == 0xff)
    }
}

/// The error code and the server's time in a framed KRB-ERROR.
pub fn error_of(token: &[u8]) -> Option<(i32, KerberosTime)> {
    ap_req::open_error(token)
}

/// The bytes of a keytab of version 0x502: names, realm, key version and key of each entry.
pub fn keytab(entries: &[(&[&str], &str, u32, &Key)]) -> Vec<u8> {
    let mut out = vec![5, 2];
    for (components, realm, version, key) in entries {
        let mut entry = Vec::new();
        let text = |entry: &mut Vec<u8>, text: &[u8]| {
            entry.extend((text.len() as u16).to_be_bytes());
            entry.extend_from_slice(text);
        };
        entry.extend((components.len() as u16).to_be_bytes());
        text(&mut entry, realm.as_bytes());
        components.iter().for_each(|it| text(&mut entry, it.as_bytes()));
        entry.extend(1_u32.to_be_bytes());
        entry.extend(1_700_000_000_u32.to_be_bytes());
        entry.push(*version as u8);
        entry.extend((key.enctype().number() as u16).to_be_bytes());
        text(&mut entry, key.as_bytes());
        entry.extend(version.to_be_bytes());
        out.extend((entry.len() as i32).to_be_bytes());
        out.extend(entry);
    }
    out
}

/// `AuthorizationData`.
fn authorization_data(elements: &[Authorization]) -> Vec<u8> {
    let one = |kind: i32, contents: &[u8]| {
        let kind = asn1::put_integer(kind.into());
        asn1::put_sequence(&[asn1::put(0, &kind), asn1::put(1, &asn1::put_octets(contents))])
    };
    let elements = elements.iter().map(|Authorization { kind, contents, if_relevant }| {
        let element = one(*kind, contents);
        if *if_relevant { one(AD_IF_RELEVANT, &asn1::put_sequence(&[element])) } else { element }
    });
    asn1::put_sequence(&elements.collect::<Vec<_>>())
}

fn encrypt(key: &Key, usage: KeyUsage, plain: &[u8]) -> Vec<u8> {
    key.encrypt(usage, plain, &mut Counting::default()).unwrap_or_default()
}

fn encoded(sid: &Sid) -> Vec<u8> {
    let mut out = Vec::new();
    sid.encode(&mut out);
    out
}

fn put_u16(out: &mut Vec<u8>, value: usize) {
    out.extend((value as u16).to_le_bytes());
}

fn put_u32(out: &mut Vec<u8>, value: impl TryInto<u32>) {
    out.extend(value.try_into().unwrap_or(u32::MAX).to_le_bytes());
}

fn string_head(out: &mut Vec<u8>, text: &str) {
    let len = utf16le(text).len();
    put_u16(out, len);
    put_u16(out, len);
    put_u32(out, 0x0002_0004);
}

fn string_body(out: &mut Vec<u8>, text: &str) {
    let data = utf16le(text);
    out.resize(out.len().next_multiple_of(4), 0);
    put_u32(out, data.len() / 2);
    put_u32(out, 0);
    put_u32(out, data.len() / 2);
    out.extend(data);
}

fn memberships(out: &mut Vec<u8>, groups: &[(u32, u32)]) {
    out.resize(out.len().next_multiple_of(4), 0);
    put_u32(out, groups.len());
    for (rid, attributes) in groups {
        put_u32(out, *rid);
        put_u32(out, *attributes);
    }
}

fn sid(out: &mut Vec<u8>, sid: &Sid) {
    out.resize(out.len().next_multiple_of(4), 0);
    put_u32(out, sid.sub_authorities().len());
    sid.encode(out);
}

const BIT_STRING: u8 = 0x03;
/// The number of the client's first message.
const FIRST_NUMBER: u64 = 77;
/// The type of names of users (RFC 4120 6.2).
const NT_PRINCIPAL: i32 = 1;
