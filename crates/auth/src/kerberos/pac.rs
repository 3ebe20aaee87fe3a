//! The PAC of a ticket (MS-PAC): who the client is, in the words of its domain controller, which signs it.

use wire::FileTime;
use wire::security::Sid;

use super::crypto::{Key, KeyUsage};
use super::ndr::{self, Ndr, NotNdr};
use super::refusal::KerberosRefusal;
use super::time::KerberosTime;
use crate::bytes::{array_at, from_utf16le, u16_at, u32_at, u64_at};
use crate::domain_user::DomainUser;

/// The facts of the ticket that the PAC must agree with.
pub(super) struct TicketFacts<'a> {
    /// The key of the service, which has decrypted the ticket.
    pub(super) key: &'a Key,
    /// The client's name without its realm.
    pub(super) client: &'a str,
    /// The client's realm: the controller of the server's domain vouches for it, also if it has the PAC from the
    /// controller of a domain that it trusts.
    pub(super) client_realm: &'a str,
    /// `authtime`.
    pub(super) auth_time: KerberosTime,
}

/// Verifies a PAC and returns the user that it describes.
pub(super) fn user_of(pac: &[u8], ticket: &TicketFacts<'_>) -> Result<DomainUser, KerberosRefusal> {
    let buffers = Buffers::of(pac)?;
    buffers.verify(pac, ticket.key)?;
    buffers.check_client(ticket)?;
    let logon =
        buffers.get(LOGON_INFO).ok_or(KerberosRefusal::PacMalformed("it has no logon information"))?;
    let mut user = validation_info(logon).map_err(|_| MALFORMED_LOGON)?;
    if let Some(names) = buffers.get(UPN_DNS_INFO) {
        let names = UpnDnsInfo::of(names).ok_or(KerberosRefusal::PacMalformed("its names are malformed"))?;
        if names.sid.is_some_and(|sid| sid != user.sid) {
            return Err(KerberosRefusal::PacOfAnother("its names are of another SID"));
        }
        user.principal_name = Some(names.principal_name).filter(|it| !it.is_empty());
        // Controllers filter the SIDs in a PAC from a trusted domain, but not the names (MS-PAC 4.1.2.2).
        if !names.dns_domain.is_empty() && !wire::eq_ignore_case(&names.dns_domain, ticket.client_realm) {
            return Err(KerberosRefusal::PacOfAnother("its DNS domain is not the client's realm"));
        }
        user.dns_domain = names.dns_domain;
    }
    if user.dns_domain.is_empty() {
        user.dns_domain = ticket.client_realm.to_ascii_lowercase();
    }
    if let Some(requestor) = buffers.get(REQUESTOR) {
        let sid =
            Sid::decode(requestor).map_err(|_| KerberosRefusal::PacMalformed("its requestor is no SID"))?;
        if sid != user.sid {
            return Err(KerberosRefusal::PacOfAnother("its requestor is another SID"));
        }
    }
    Ok(user)
}

/// `PACTYPE` (MS-PAC 2.3): the places of the buffers that are used here.
struct Buffers<'a> {
    found: Vec<(u32, usize, &'a [u8])>,
}

impl<'a> Buffers<'a> {
    fn of(pac: &'a [u8]) -> Result<Self, KerberosRefusal> {
        let malformed = KerberosRefusal::PacMalformed("its directory is malformed");
        let (Some(count), Some(0)) = (u32_at(pac, 0), u32_at(pac, 4)) else { return Err(malformed) };
        let count = usize::try_from(count).ok().filter(|it| *it <= MAX_BUFFERS).ok_or(malformed.clone())?;
        let mut found: Vec<(u32, usize, &[u8])> = Vec::new();
        for entry in 0..count {
            let at = 8 + entry * 16;
            let (kind, size, offset) = (u32_at(pac, at), u32_at(pac, at + 4), u64_at(pac, at + 8));
            let (Some(kind), Some(size), Some(offset)) = (kind, size, offset) else { return Err(malformed) };
            let place = usize::try_from(offset).ok().zip(usize::try_from(size).ok());
            let (offset, size) = place.ok_or(malformed.clone())?;
            let data = pac.get(offset..).and_then(|it| it.get(..size)).ok_or(malformed.clone())?;
            // A second buffer of a type could be read by one and signed by another.
            if found.iter().any(|(it, ..)| *it == kind) {
                return Err(KerberosRefusal::PacMalformed("it has two buffers of one type"));
            }
            found.push((kind, offset, data));
        }
        Ok(Self { found })
    }

    fn get(&self, kind: u32) -> Option<&'a [u8]> {
        self.found.iter().find(|(it, ..)| *it == kind).map(|(.., data)| *data)
    }

    /// Verifies the server's signature: over the PAC, with zeros in the places of the server's and the controller's
    /// signatures (MS-PAC 2.8.2). The controller's own can be verified by controllers only.
    fn verify(&self, pac: &[u8], key: &Key) -> Result<(), KerberosRefusal> {
        let mut signed = pac.to_vec();
        let mut of_server = None;
        for kind in [SERVER_CHECKSUM, CONTROLLER_CHECKSUM] {
            let missing = KerberosRefusal::PacMalformed("it has no signature");
            let (_, offset, data) = self.found.iter().find(|(it, ..)| *it == kind).ok_or(missing)?;
            let signature =
                Signature::of(data).ok_or(KerberosRefusal::PacMalformed("a signature is malformed"))?;
            let start = offset.saturating_add(4);
            let place = signed.get_mut(start..start.saturating_add(signature.value.len()));
            place.ok_or(KerberosRefusal::PacMalformed("a signature is cut"))?.fill(0);
            if kind == SERVER_CHECKSUM {
                of_server = Some(signature);
            }
        }
        let signature = of_server.ok_or(KerberosRefusal::PacSignature)?;
        if signature.kind != key.enctype().checksum_type() {
            return Err(KerberosRefusal::PacSignature);
        }
        key.verify(KeyUsage::PAC, &[&signed], signature.value).map_err(|_| KerberosRefusal::PacSignature)
    }

    /// Compares `PAC_CLIENT_INFO` (MS-PAC 2.7) with the ticket.
    fn check_client(&self, ticket: &TicketFacts<'_>) -> Result<(), KerberosRefusal> {
        let data =
            self.get(CLIENT_INFO).ok_or(KerberosRefusal::PacMalformed("it has no client information"))?;
        let read = || {
            let time = u64_at(data, 0)?;
            let len = usize::from(u16_at(data, 8)?);
            Some((FileTime(time), from_utf16le(data.get(10..)?.get(..len)?)?))
        };
        let malformed = KerberosRefusal::PacMalformed("its client information is malformed");
        let (time, name) = read().ok_or(malformed)?;
        if name != ticket.client {
            return Err(KerberosRefusal::PacOfAnother("it names another client"));
        }
        if KerberosTime::of(time) != ticket.auth_time {
            return Err(KerberosRefusal::PacOfAnother("it names another time of authentication"));
        }
        Ok(())
    }
}

/// `PAC_SIGNATURE_DATA` (MS-PAC 2.8).
struct Signature<'a> {
    kind: i32,
    value: &'a [u8],
}

impl<'a> Signature<'a> {
    fn of(data: &'a [u8]) -> Option<Self> {
        let kind = i32::from_le_bytes(array_at(data, 0)?);
        let len = match kind {
            -138 | 19 => 16,
            15 | 16 => 12,
            20 => 24,
            _ => return None,
        };
        // A read-only controller's number may follow.
        Some(Self { kind, value: data.get(4..)?.get(..len)? })
    }
}

/// `UPN_DNS_INFO` (MS-PAC 2.10).
struct UpnDnsInfo {
    principal_name: String,
    dns_domain: String,
    /// The SID, in the extended form.
    sid: Option<Sid>,
}

impl UpnDnsInfo {
    fn of(data: &[u8]) -> Option<Self> {
        let part = |at: usize| {
            let (len, offset) = (usize::from(u16_at(data, at)?), usize::from(u16_at(data, at + 2)?));
            data.get(offset..)?.get(..len)
        };
        let flags = u32_at(data, 8)?;
        let sid = if flags & HAS_SAM_NAME_AND_SID != 0 {
            from_utf16le(part(12)?)?;
            Some(Sid::decode(part(16)?).ok()?)
        } else {
            None
        };
        Some(Self { principal_name: from_utf16le(part(0)?)?, dns_domain: from_utf16le(part(4)?)?, sid })
    }
}

/// `KERB_VALIDATION_INFO` (MS-PAC 2.5).
fn validation_info(data: &[u8]) -> Result<DomainUser, NotNdr> {
    let mut ndr = Ndr::of(data)?;
    // LogonTime, LogoffTime, KickOffTime, PasswordLastSet, PasswordCanChange, PasswordMustChange.
    ndr.skip_u32(12)?;
    let [name, full_name, script, profile, home, drive] = [
        ndr.string_head()?,
        ndr.string_head()?,
        ndr.string_head()?,
        ndr.string_head()?,
        ndr.string_head()?,
        ndr.string_head()?,
    ];
    // LogonCount and BadPasswordCount, of 16 bits each.
    ndr.skip_u32(1)?;
    let (user, primary_group) = (ndr.u32()?, ndr.u32()?);
    let (group_count, has_groups) = (ndr.u32()?, ndr.pointer()?);
    let flags = ndr.u32()?;
    ndr::skip_key(&mut ndr)?;
    let (logon_server, domain_name) = (ndr.string_head()?, ndr.string_head()?);
    let has_domain = ndr.pointer()?;
    // Reserved1, UserAccountControl, SubAuthStatus, LastSuccessfulILogon, LastFailedILogon, FailedILogonCount,
    // Reserved3.
    ndr.skip_u32(10)?;
    let (extra_count, has_extra) = (ndr.u32()?, ndr.pointer()?);
    let has_resource_domain = ndr.pointer()?;
    let (resource_count, has_resources) = (ndr.u32()?, ndr.pointer()?);

    let (name, full_name) = (ndr.string(&name)?, ndr.string(&full_name)?);
    for unused in [script, profile, home, drive] {
        ndr.string(&unused)?;
    }
    let groups = if has_groups { memberships(&mut ndr, group_count)? } else { Vec::new() };
    ndr.string(&logon_server)?;
    let domain = ndr.string(&domain_name)?;
    // Without a domain, relative ids mean nothing.
    let domain_sid = if has_domain { ndr.sid()? } else { return Err(NotNdr) };
    let extra = if has_extra { extra_sids(&mut ndr, extra_count)? } else { Vec::new() };
    let resource_domain = if has_resource_domain { Some(ndr.sid()?) } else { None };
    let resources = if has_resources { memberships(&mut ndr, resource_count)? } else { Vec::new() };

    if name.is_empty() || domain.is_empty() || user == 0 || !is_plain(&name) || !is_plain(&domain) {
        return Err(NotNdr);
    }
    let in_domain = |rid: u32| with_rid(&domain_sid, rid);
    let primary_group = in_domain(primary_group)?;
    let mut all = vec![primary_group];
    for rid in groups {
        all.push(in_domain(rid)?);
    }
    if flags & EXTRA_SIDS != 0 {
        all.extend(extra);
    }
    if let Some(domain) = resource_domain.filter(|_| flags & RESOURCE_GROUPS != 0) {
        for rid in resources {
            all.push(with_rid(&domain, rid)?);
        }
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|sid| seen.insert(*sid));
    Ok(DomainUser {
        name,
        domain,
        dns_domain: String::new(),
        principal_name: None,
        full_name,
        sid: in_domain(user)?,
        primary_group,
        groups: all,
    })
}

/// True if a name of an account or a domain has only characters that such names have: it becomes a part of
/// `DOMAIN\name`.
fn is_plain(name: &str) -> bool {
    name.chars().all(|c| {
        !c.is_control() && !matches!(c, '\\' | '/' | '"' | '[' | ']' | ':' | '|' | '<' | '>' | '*' | '?')
    })
}

/// An array of `GROUP_MEMBERSHIP` (MS-PAC 2.2.2): the relative ids of those that are in force.
fn memberships(ndr: &mut Ndr<'_>, count: u32) -> Result<Vec<u32>, NotNdr> {
    let count = ndr.array(count, MAX_GROUPS)?;
    let mut groups = Vec::new();
    for _ in 0..count {
        let (rid, attributes) = (ndr.u32()?, ndr.u32()?);
        if attributes & GROUP_ENABLED != 0 {
            groups.push(rid);
        }
    }
    Ok(groups)
}

/// An array of `KERB_SID_AND_ATTRIBUTES` (MS-PAC 2.2.1): the SIDs of those that are in force.
fn extra_sids(ndr: &mut Ndr<'_>, count: u32) -> Result<Vec<Sid>, NotNdr> {
    let count = ndr.array(count, MAX_GROUPS)?;
    let mut heads = Vec::new();
    for _ in 0..count {
        heads.push((ndr.pointer()?, ndr.u32()?));
    }
    let mut sids = Vec::new();
    for (is_there, attributes) in heads {
        if !is_there {
            return Err(NotNdr);
        }
        let sid = ndr.sid()?;
        if attributes & GROUP_ENABLED != 0 {
            sids.push(sid);
        }
    }
    Ok(sids)
}

/// The SID of an account or group of a domain.
fn with_rid(domain: &Sid, rid: u32) -> Result<Sid, NotNdr> {
    let mut bytes = Vec::with_capacity(Sid::SIZE_MAX);
    domain.encode(&mut bytes);
    let count = bytes.get_mut(1).ok_or(NotNdr)?;
    *count = count.checked_add(1).ok_or(NotNdr)?;
    bytes.extend(rid.to_le_bytes());
    Sid::decode(&bytes).map_err(|_| NotNdr)
}

const MALFORMED_LOGON: KerberosRefusal = KerberosRefusal::PacMalformed("its logon information is malformed");

/// The types of buffers (MS-PAC 2.4).
const LOGON_INFO: u32 = 1;
const SERVER_CHECKSUM: u32 = 6;
const CONTROLLER_CHECKSUM: u32 = 7;
const CLIENT_INFO: u32 = 10;
const UPN_DNS_INFO: u32 = 12;
const REQUESTOR: u32 = 18;

/// `UserFlags` (MS-PAC 2.5): `ExtraSids` is in use.
const EXTRA_SIDS: u32 = 0x20;
/// `UserFlags`: the resource groups are in use.
const RESOURCE_GROUPS: u32 = 0x200;
/// SE_GROUP_ENABLED (MS-PAC 2.2.1).
const GROUP_ENABLED: u32 = 4;
/// `UPN_DNS_INFO.Flags`: the name and the SID of the account follow.
const HAS_SAM_NAME_AND_SID: u32 = 2;

/// Buffers of a PAC; MS-PAC 2.4 defines some fifteen.
const MAX_BUFFERS: usize = 64;
/// Groups in one list. Windows allows a user a thousand in all.
const MAX_GROUPS: usize = 4096;
