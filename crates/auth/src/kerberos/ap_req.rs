//! Accepting a ticket: RFC 4120 3.2.3 and 3.2.4, in the framing of RFC 4121 4.1, with the rules of MS-KILE 3.4.

use wire::FileTime;

use super::asn1;
use super::crypto::{Enctype, Key, KeyUsage};
use super::messages::{
    self, ApReq, Authenticator, EncTicketPart, EncryptedData, PartError, PrincipalName, Ticket,
};
use super::mic::Mics;
use super::pac::{self, TicketFacts};
use super::refusal::{KerberosRefusal, Shown, ShownEnctype, ShownVersion};
use super::replay::NotNew;
use super::seal::{self, KerberosSeal};
use super::time::KerberosTime;
use super::{ChannelBindings, KERBEROS, KerberosService, Keytab, ServiceKind};
use crate::bytes::u32_at;
use crate::der::{self, Reader, element};
use crate::domain_user::DomainUser;
use crate::kdf::SessionKey;
use crate::random::Random;

/// A ticket that was accepted.
pub(crate) struct Accepted {
    pub(crate) user: DomainUser,
    /// The key of the GSS-API context: the acceptor's subkey, else the initiator's, else the ticket's session key
    /// (RFC 4121 2).
    pub(crate) session_key: SessionKey,
    /// The framed AP-REP; `None` if the client does not want one.
    pub(crate) reply: Option<Vec<u8>>,
    /// The end of the ticket.
    pub(crate) expires: FileTime,
    pub(crate) mics: Mics,
    /// The context for messages and the check of the client's last reply; `None` unless for RPC.
    pub(crate) for_rpc: Option<(KerberosSeal, ThirdLeg)>,
}

/// The style of the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Two messages in the framing of RFC 4121 4.1.
    Framed,
    /// Three messages, the answer without framing: that of RPC (MS-KILE 3.4.5.1).
    Dce,
}

/// The demands on the request of a logon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    pub(crate) style: Style,
    /// The service that the ticket has to be for.
    pub(crate) service: ServiceKind,
    /// The channel of the logon; `None` if it has none that a client could be bound to.
    pub(crate) channel: Option<ChannelBindings>,
}

/// The check of the third message of the DCE style, an AP-REP of the client: it proves that the request was made for this
/// answer, before any message is accepted.
pub(crate) struct ThirdLeg {
    session_key: Key,
    /// The sequence number of the server, which the client sends back.
    sequence: u32,
    /// The server's own AP-REP, which is encrypted in the same key and must not come back.
    own: Vec<u8>,
}

impl ThirdLeg {
    /// Takes the client's AP-REP.
    pub(crate) fn prove(&self, token: &[u8]) -> Result<(), KerberosRefusal> {
        let altered = KerberosRefusal::ReplyAltered;
        let encrypted = messages::decode_ap_rep(token).map_err(|_| altered.clone())?;
        let plain = self.session_key.decrypt(KeyUsage::AP_REP, encrypted.cipher);
        let plain = plain.map_err(|_| altered.clone())?;
        let part = messages::decode_enc_ap_rep_part(&plain).map_err(|_| altered.clone())?;
        // Only the ciphertext is protected; an attacker can change the rest of the token.
        let own = messages::decode_ap_rep(&self.own).map_err(|_| altered.clone())?;
        let is_clients = encrypted.cipher != own.cipher && part.sequence == self.sequence;
        if is_clients && encrypted.etype == self.session_key.enctype().number() {
            Ok(())
        } else {
            Err(altered)
        }
    }
}

/// A ticket that was refused.
pub(crate) struct Refused {
    pub(crate) reason: KerberosRefusal,
    /// The client's name and realm, if the ticket was decrypted: the controller has said so.
    pub(crate) client: Option<(String, String)>,
    /// The framed KRB-ERROR with which a client may try again.
    pub(crate) error: Option<Vec<u8>>,
}

impl From<KerberosRefusal> for Refused {
    fn from(reason: KerberosRefusal) -> Self {
        Self { reason, client: None, error: None }
    }
}

/// Accepts an AP-REQ.
pub(super) fn accept(
    service: &KerberosService,
    token: &[u8],
    purpose: &Purpose,
    random: &mut dyn Random,
    now: FileTime,
) -> Result<Accepted, Refused> {
    let malformed = KerberosRefusal::TokenMalformed;
    let request = match purpose.style {
        Style::Framed => unframed(token, AP_REQ_ID).ok_or(malformed.clone())?,
        // impacket frames this message all the same.
        Style::Dce => unframed(token, AP_REQ_ID).unwrap_or(token),
    };
    let request = ApReq::decode(request).map_err(|_| malformed.clone())?;
    let keytab = service.keytab();
    let refused = |reason: KerberosRefusal, client| {
        let error = reason.retry_code().map(|code| error(code, &request.ticket, now));
        Refused { reason, client, error }
    };
    let (part, service_key) = open_ticket(service, purpose.service, &keytab, &request.ticket)
        .map_err(|reason| refused(reason, None))?;
    let client = part.client.to_string();
    let opened = Opened {
        service,
        purpose,
        keytab: &keytab,
        request: &request,
        part: &part,
        service_key: &service_key,
        client: &client,
    };
    let accepted = opened.accept(random, now);
    accepted.map_err(|reason| refused(reason, Some((client.clone(), part.client_realm.clone()))))
}

/// Decrypts a ticket with a key of the keytab, which is returned, too.
fn open_ticket(
    service: &KerberosService,
    kind: ServiceKind,
    keytab: &Keytab,
    ticket: &Ticket<'_>,
) -> Result<(EncTicketPart, Key), KerberosRefusal> {
    let Ticket { realm, service: name, encrypted } = ticket;
    let shown = || Shown::new(format_args!("{name}@{realm}"));
    let number = encrypted.etype;
    let enctype = accepted_enctype(service, number)?;
    if !keytab.serves(kind, realm, &name.0) {
        return Err(KerberosRefusal::NotUs(shown(), kind));
    }
    let keys = keytab.keys(kind, realm, encrypted.kvno, enctype);
    if keys.is_empty() {
        let (version, enctype) = (ShownVersion(encrypted.kvno), ShownEnctype(number));
        return Err(KerberosRefusal::NoKey { service: shown(), version, enctype });
    }
    for key in keys {
        let Ok(plain) = key.decrypt(KeyUsage::TICKET, encrypted.cipher) else { continue };
        let part = EncTicketPart::decode(&plain).map_err(part_error)?;
        accepted_enctype(service, part.key.enctype().number())?;
        return Ok((part, key.clone()));
    }
    Err(KerberosRefusal::TicketAltered(shown()))
}

fn accepted_enctype(service: &KerberosService, number: i32) -> Result<Enctype, KerberosRefusal> {
    let enctype = Enctype::from_number(number).filter(|it| *it != Enctype::Rc4 || service.options.rc4);
    enctype.ok_or(KerberosRefusal::Enctype(ShownEnctype(number)))
}

fn part_error(error: PartError) -> KerberosRefusal {
    match error {
        PartError::Malformed => KerberosRefusal::TokenMalformed,
        PartError::Critical(kind) => KerberosRefusal::CriticalData(kind),
        PartError::Enctype(number) => KerberosRefusal::Enctype(ShownEnctype(number)),
    }
}

/// A request whose ticket is decrypted.
struct Opened<'a> {
    service: &'a KerberosService,
    purpose: &'a Purpose,
    keytab: &'a Keytab,
    request: &'a ApReq<'a>,
    part: &'a EncTicketPart,
    service_key: &'a Key,
    client: &'a str,
}

impl Opened<'_> {
    fn accept(&self, random: &mut dyn Random, now: FileTime) -> Result<Accepted, KerberosRefusal> {
        let Self { service, request, part, .. } = self;
        let time = KerberosTime::of(now);
        let authenticator = self.open_authenticator(&request.authenticator)?;
        if authenticator.client != part.client || authenticator.client_realm != part.client_realm {
            return Err(KerberosRefusal::NotTheClient);
        }
        self.check_target(&authenticator)?;
        let skew = i64::from(service.options.clock_skew);
        if authenticator.time.0.abs_diff(time.0) > u64::from(service.options.clock_skew) {
            let allowed = service.options.clock_skew;
            return Err(KerberosRefusal::Skew { client: authenticator.time, server: time, allowed });
        }
        self.check_times(time, skew)?;
        let flags = gss_flags(&authenticator, &part.key, self.purpose)?;
        // The option is not protected; the flag is. Clients that make their tokens by hand set the flag alone.
        let wants_reply =
            self.purpose.style == Style::Dce || flags.map_or(request.mutual, |flags| flags & MUTUAL != 0);
        if request.mutual && !wants_reply {
            return Err(KerberosRefusal::TokenMalformed);
        }
        let pac = part.pac.as_ref().ok_or(KerberosRefusal::NoPac)?;
        let facts = TicketFacts {
            key: self.service_key,
            client: self.client,
            client_realm: &part.client_realm,
            auth_time: part.auth_time,
        };
        let user = pac::user_of(pac, &facts)?;
        self.enter_replay(&authenticator, time, skew)?;

        let made = Context::make(part, &authenticator, wants_reply, random)
            .map_err(|_| KerberosRefusal::Internal)?;
        let Context { key, is_acceptors, sequence, reply } = made;
        let for_rpc = (self.purpose.style == Style::Dce).then(|| {
            let inward = authenticator.sequence.unwrap_or_default();
            let own = reply.clone().unwrap_or_default();
            let third = ThirdLeg { session_key: part.key.clone(), sequence, own };
            (KerberosSeal::new(key.clone(), is_acceptors, inward, sequence), third)
        });
        let reply = match self.purpose.style {
            Style::Framed => reply.map(|reply| framed(AP_REP_ID, &reply)),
            Style::Dce => reply,
        };
        Ok(Accepted {
            user,
            session_key: SessionKey::new(key.as_bytes()),
            reply,
            expires: self.expiration(time, skew).file_time(),
            mics: Mics::new(key, is_acceptors, sequence),
            for_rpc,
        })
    }

    fn open_authenticator(&self, encrypted: &EncryptedData<'_>) -> Result<Authenticator, KerberosRefusal> {
        let key = &self.part.key;
        if encrypted.etype != key.enctype().number() {
            return Err(KerberosRefusal::AuthenticatorAltered);
        }
        let plain = key.decrypt(KeyUsage::AP_REQ, encrypted.cipher);
        let plain = plain.map_err(|_| KerberosRefusal::AuthenticatorAltered)?;
        let authenticator = Authenticator::decode(&plain).map_err(part_error)?;
        if let Some(subkey) = &authenticator.subkey {
            accepted_enctype(self.service, subkey.enctype().number())?;
        }
        Ok(authenticator)
    }

    /// Checks that the client wanted this service of the server (MS-KILE 3.2.5.8). The ticket's own name of the service
    /// is not protected: somebody between them could pass a request for another service of the machine on to this one.
    fn check_target(&self, authenticator: &Authenticator) -> Result<(), KerberosRefusal> {
        let Some(target) = &authenticator.target else { return Ok(()) };
        let name = target.split_once('@').map_or(target.as_str(), |(name, _realm)| name);
        // A third component is a domain's name.
        let components: Vec<String> = name.split('/').take(2).map(str::to_owned).collect();
        let kind = self.purpose.service;
        let is_served = self.keytab.serves(kind, self.request.ticket.realm, &components);
        if is_served { Ok(()) } else { Err(KerberosRefusal::AnotherTarget(Shown::new(target), kind)) }
    }

    /// Checks the ticket's times (RFC 4120 3.2.3).
    fn check_times(&self, now: KerberosTime, skew: i64) -> Result<(), KerberosRefusal> {
        let part = self.part;
        if part.invalid {
            return Err(KerberosRefusal::Postdated);
        }
        let start = part.start.unwrap_or(part.auth_time);
        if start.0 > now.0.saturating_add(skew) {
            return Err(KerberosRefusal::NotYetValid { start, now });
        }
        if part.end.0 < now.0.saturating_sub(skew) {
            return Err(KerberosRefusal::Expired { end: part.end, now });
        }
        Ok(())
    }

    /// The end of the session: that of the ticket. If it was accepted after its end, because the clocks may differ, it
    /// has ended when the client must have a new one.
    fn expiration(&self, now: KerberosTime, skew: i64) -> KerberosTime {
        let end = self.part.end;
        if end > now { end } else { KerberosTime(end.0.saturating_add(skew)) }
    }

    fn enter_replay(
        &self,
        authenticator: &Authenticator,
        now: KerberosTime,
        skew: i64,
    ) -> Result<(), KerberosRefusal> {
        let end = KerberosTime(authenticator.time.0.saturating_add(skew));
        let client = format!("{}@{}", self.client, self.part.client_realm);
        let cipher = self.request.authenticator.cipher;
        self.service.replays().enter(&client, cipher, end, now).map_err(|error| match error {
            NotNew::Used => KerberosRefusal::Replayed,
            NotNew::Full => KerberosRefusal::ReplaysFull,
        })
    }
}

/// The flags in the checksum of the authenticator (RFC 4121 4.1.1); `None` without a checksum, which clients that make
/// their tokens by hand leave out (MS-KILE 3.4.5), or with the checksum of no data that `krb5_mk_req` makes
/// (RFC 4120 5.5.1).
fn gss_flags(
    authenticator: &Authenticator,
    key: &Key,
    purpose: &Purpose,
) -> Result<Option<u32>, KerberosRefusal> {
    let style = purpose.style;
    let checksum = authenticator.checksum.as_ref().filter(|(kind, _)| *kind == GSS_CHECKSUM);
    if style == Style::Dce {
        let base = authenticator.subkey.as_ref().unwrap_or(key);
        if checksum.is_none() {
            return Err(KerberosRefusal::Demands("an exchange of two messages for RPC"));
        }
        if !seal::is_supported(base.enctype()) {
            return Err(KerberosRefusal::Demands("RPC messages in rc4-hmac"));
        }
    }
    let Some((kind, value)) = &authenticator.checksum else {
        check_unbound(authenticator, purpose)?;
        return Ok(None);
    };
    if *kind == key.enctype().checksum_type() {
        check_unbound(authenticator, purpose)?;
        let verified = key.verify(KeyUsage::AP_REQ_CHECKSUM, &[], value);
        return verified.map(|()| None).map_err(|_| KerberosRefusal::Demands("a checksum of unknown data"));
    }
    if *kind != GSS_CHECKSUM || u32_at(value, 0) != Some(16) {
        return Err(KerberosRefusal::Demands("an unknown checksum"));
    }
    let bindings = value.get(4..20).ok_or(KerberosRefusal::TokenMalformed)?;
    // Zeros mean that the client is bound to no channel.
    if bindings.iter().all(|byte| *byte == 0) {
        check_unbound(authenticator, purpose)?;
    } else {
        // A client that is bound to another channel has been relayed. Windows and MIT ignore the field at servers without
        // a channel, but then nobody knows.
        let channel = purpose.channel.ok_or(KerberosRefusal::Demands("a channel"))?;
        if bindings != channel.as_bytes() {
            return Err(KerberosRefusal::AnotherChannel);
        }
    }
    let flags = u32_at(value, 20).ok_or(KerberosRefusal::TokenMalformed)?;
    match (style, flags & DCE_STYLE != 0) {
        (Style::Framed, true) => return Err(KerberosRefusal::Demands("the DCE style")),
        (Style::Dce, false) => return Err(KerberosRefusal::Demands("an exchange of two messages for RPC")),
        (Style::Framed, false) | (Style::Dce, true) => {}
    }
    // Delegated credentials may follow. The server does not act for users elsewhere.
    Ok(Some(flags))
}

/// Checks that a request without channel bindings may have none: as the Extended Protection of Windows that is used "when
/// supported", where a client that knows bindings must send those of a channel that has some (MS-KILE 3.4.5).
const fn check_unbound(authenticator: &Authenticator, purpose: &Purpose) -> Result<(), KerberosRefusal> {
    if purpose.channel.is_some() && authenticator.knows_bindings {
        return Err(KerberosRefusal::Unbound);
    }
    Ok(())
}

/// The context that results.
struct Context {
    key: Key,
    /// The key is the acceptor's.
    is_acceptors: bool,
    sequence: u32,
    /// The AP-REP.
    reply: Option<Vec<u8>>,
}

impl Context {
    fn make(
        part: &EncTicketPart,
        authenticator: &Authenticator,
        wants_reply: bool,
        random: &mut dyn Random,
    ) -> Result<Self, crate::RandomFailed> {
        let base = authenticator.subkey.as_ref().unwrap_or(&part.key);
        if !wants_reply {
            let sequence = authenticator.sequence.unwrap_or_default();
            return Ok(Self { key: base.clone(), is_acceptors: false, sequence, reply: None });
        }
        // RFC 4757 has no key of the acceptor.
        let subkey = match base.enctype() {
            Enctype::Rc4 => None,
            enctype => Some(Key::random(enctype, random)?),
        };
        let mut sequence = [0; 4];
        random.fill(&mut sequence)?;
        // As MIT does: some clients take larger ones for negative.
        let sequence = u32::from_be_bytes(sequence) & 0x3fff_ffff;
        let (time, microseconds) = (authenticator.time, authenticator.microseconds);
        let plain = messages::enc_ap_rep_part(time, microseconds, subkey.as_ref(), sequence);
        let cipher = part.key.encrypt(KeyUsage::AP_REP, &plain, random)?;
        let reply = messages::ap_rep(&messages::encrypted_data(&part.key, None, &cipher));
        let is_acceptors = subkey.is_some();
        let key = subkey.unwrap_or_else(|| base.clone());
        Ok(Self { key, is_acceptors, sequence, reply: Some(reply) })
    }
}

/// The framed KRB-ERROR with the server's time.
fn error(code: i32, ticket: &Ticket<'_>, now: FileTime) -> Vec<u8> {
    let (seconds, nanoseconds) = now.to_unix();
    let Ticket { realm, service, .. } = ticket;
    let service = PrincipalName(service.0.clone());
    let error = messages::krb_error(code, KerberosTime(seconds), nanoseconds / 1000, realm, &service);
    framed(KRB_ERROR_ID, &error)
}

/// The message in the framing of RFC 4121 4.1, which has the object identifier of Kerberos and this token id.
fn unframed(token: &[u8], id: [u8; 2]) -> Option<&[u8]> {
    let mut framed = Reader::new(asn1::only(token, der::APPLICATION_0).ok()?);
    let oid = framed.element().ok()?;
    if oid.whole != element(der::OBJECT_IDENTIFIER, &[KERBEROS]) {
        return None;
    }
    framed.rest().strip_prefix(&id)
}

fn framed(id: [u8; 2], message: &[u8]) -> Vec<u8> {
    let oid = element(der::OBJECT_IDENTIFIER, &[KERBEROS]);
    element(der::APPLICATION_0, &[&oid, &id, message])
}

/// True if a token has the framing of Kerberos, without SPNEGO around it.
pub(crate) fn is_framed(token: &[u8]) -> bool {
    unframed(token, AP_REQ_ID).is_some()
}

/// True if a token is an AP-REQ without framing, as in the DCE style.
pub(crate) fn is_ap_req(token: &[u8]) -> bool {
    token.first() == Some(&asn1::application(14))
}

/// The contents of an AP-REP, with or without framing.
#[cfg(feature = "testing")]
pub(super) fn open_reply(token: &[u8], key: &Key) -> Option<messages::EncApRepPart> {
    let cipher = messages::decode_ap_rep(unframed(token, AP_REP_ID).unwrap_or(token)).ok()?;
    let plain = key.decrypt(KeyUsage::AP_REP, cipher.cipher).ok()?;
    messages::decode_enc_ap_rep_part(&plain).ok()
}

/// The error code and the server's time in a framed KRB-ERROR.
#[cfg(feature = "testing")]
pub(super) fn open_error(token: &[u8]) -> Option<(i32, KerberosTime)> {
    messages::decode_krb_error(unframed(token, KRB_ERROR_ID)?).ok()
}

/// `TOK_ID` (RFC 4121 4.1).
pub(super) const AP_REQ_ID: [u8; 2] = [1, 0];
const AP_REP_ID: [u8; 2] = [2, 0];
const KRB_ERROR_ID: [u8; 2] = [3, 0];
/// The type of the checksum in the authenticator (RFC 4121 4.1.1).
pub(super) const GSS_CHECKSUM: i32 = 0x8003;
/// GSS_C_MUTUAL_FLAG (RFC 4121 4.1.1.1).
pub(super) const MUTUAL: u32 = 2;
/// GSS_C_DCE_STYLE (RFC 4757 7.1).
pub(super) const DCE_STYLE: u32 = 0x1000;
