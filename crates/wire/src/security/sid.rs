//! SID (MS-DTYP 2.4.2).

use core::fmt;
use core::str::FromStr;

use crate::cursor::{DecodeError, Put, ReadCursor};

/// `SubAuthorityCount` at most (MS-DTYP 2.4.2.2).
const SUB_AUTHORITIES_MAX: usize = 15;

/// A security identifier.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid {
    authority: u64,
    count: u8,
    /// The sub-authorities; those from `count` on are 0.
    sub_authorities: [u32; SUB_AUTHORITIES_MAX],
}

impl Sid {
    /// The most bytes that one takes on the wire.
    pub const SIZE_MAX: usize = 8 + 4 * SUB_AUTHORITIES_MAX;

    /// Everyone.
    pub const WORLD: Self = Self::of(1, [0]);
    /// CREATOR OWNER: a placeholder for the owner of an inheriting object.
    pub const CREATOR_OWNER: Self = Self::of(3, [0]);
    /// CREATOR GROUP: a placeholder for the group of an inheriting object.
    pub const CREATOR_GROUP: Self = Self::of(3, [1]);
    /// OWNER RIGHTS: replaces the rights that an owner has implicitly.
    pub const OWNER_RIGHTS: Self = Self::of(3, [4]);
    /// NETWORK: users who logged on over the network.
    pub const NETWORK: Self = Self::of(5, [2]);
    /// ANONYMOUS.
    pub const ANONYMOUS: Self = Self::of(5, [7]);
    /// Authenticated Users.
    pub const AUTHENTICATED_USERS: Self = Self::of(5, [11]);
    /// Local System.
    pub const SYSTEM: Self = Self::of(5, [18]);
    /// BUILTIN\Administrators.
    pub const ADMINISTRATORS: Self = Self::of(5, [32, 544]);
    /// BUILTIN\Users.
    pub const USERS: Self = Self::of(5, [32, 545]);
    /// BUILTIN\Guests.
    pub const GUESTS: Self = Self::of(5, [32, 546]);
    /// BUILTIN\Backup Operators.
    pub const BACKUP_OPERATORS: Self = Self::of(5, [32, 551]);

    /// The SID `S-1-authority-sub-...`; sub-authorities behind the fifteenth are left out.
    pub const fn of<const N: usize>(authority: u64, sub_authorities: [u32; N]) -> Self {
        let mut sid = Self { authority: authority & 0xffff_ffff_ffff, count: 0, sub_authorities: [0; _] };
        let mut from: &[u32] = &sub_authorities;
        let mut to: &mut [u32] = &mut sid.sub_authorities;
        while let ([first, from_rest @ ..], [place, to_rest @ ..]) = (from, to) {
            *place = *first;
            sid.count = sid.count.saturating_add(1);
            from = from_rest;
            to = to_rest;
        }
        sid
    }

    /// A user or group of the domain or machine `S-1-5-21-a-b-c`.
    pub const fn of_domain(domain: [u32; 3], rid: u32) -> Self {
        let [a, b, c] = domain;
        Self::of(5, [21, a, b, c, rid])
    }

    /// Samba's name of a Unix user that has no other SID.
    pub const fn unix_user(uid: u32) -> Self {
        Self::of(22, [1, uid])
    }

    /// Samba's name of a Unix group that has no other SID.
    pub const fn unix_group(gid: u32) -> Self {
        Self::of(22, [2, gid])
    }

    /// IdentifierAuthority.
    pub const fn authority(&self) -> u64 {
        self.authority
    }

    /// SubAuthority.
    pub fn sub_authorities(&self) -> &[u32] {
        self.sub_authorities.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// The last sub-authority, and the SID without it.
    pub fn split_rid(&self) -> Option<(Self, u32)> {
        let mut domain = *self;
        domain.count = self.count.checked_sub(1)?;
        let rid = core::mem::take(domain.sub_authorities.get_mut(usize::from(domain.count))?);
        Some((domain, rid))
    }

    /// Bytes on the wire.
    pub fn size(&self) -> usize {
        usize::from(self.count).saturating_mul(4).saturating_add(8)
    }

    /// The SID at the start of `data`; more bytes may follow.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        Self::read(&mut ReadCursor::new(data))
    }

    /// The SID at the cursor, which moves behind it.
    pub fn read(cursor: &mut ReadCursor<'_>) -> Result<Self, DecodeError> {
        if cursor.u8()? != 1 {
            return Err(DecodeError::InvalidValue);
        }
        let count = cursor.u8()?;
        let [a, b, c, d, e, f] = cursor.array()?;
        let mut sid =
            Self { authority: u64::from_be_bytes([0, 0, a, b, c, d, e, f]), count, sub_authorities: [0; _] };
        let places = sid.sub_authorities.get_mut(..usize::from(count)).ok_or(DecodeError::TooMany)?;
        for place in places {
            *place = cursor.u32()?;
        }
        Ok(sid)
    }

    /// Appends the SID.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(1);
        out.put_u8(self.count);
        let [_, _, authority @ ..] = self.authority.to_be_bytes();
        out.put_bytes(&authority);
        for sub_authority in self.sub_authorities() {
            out.put_u32(*sub_authority);
        }
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.authority > u64::from(u32::MAX) {
            write!(f, "S-1-{:#014x}", self.authority)?;
        } else {
            write!(f, "S-1-{}", self.authority)?;
        }
        self.sub_authorities().iter().try_for_each(|sub| write!(f, "-{sub}"))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a SID in the form of MS-DTYP 2.4.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseSidError;

impl fmt::Display for ParseSidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a SID of the form S-1-5-21-...")
    }
}

impl core::error::Error for ParseSidError {}

impl FromStr for Sid {
    type Err = ParseSidError;

    fn from_str(text: &str) -> Result<Self, ParseSidError> {
        let rest = text.strip_prefix("S-1-").or_else(|| text.strip_prefix("s-1-")).ok_or(ParseSidError)?;
        let mut parts = rest.split('-');
        let authority = parts.next().ok_or(ParseSidError)?;
        let authority = match authority.strip_prefix("0x").or_else(|| authority.strip_prefix("0X")) {
            Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u64::from_str_radix(hex, 16).ok()
            }
            Some(_) => None,
            None => decimal(authority),
        };
        let mut sid = Self {
            authority: authority.filter(|value| value >> 48 == 0).ok_or(ParseSidError)?,
            ..Self::default()
        };
        for part in parts {
            let place = sid.sub_authorities.get_mut(usize::from(sid.count)).ok_or(ParseSidError)?;
            *place = decimal(part).ok_or(ParseSidError)?;
            sid.count = sid.count.saturating_add(1);
        }
        Ok(sid)
    }
}

/// Digits only: `parse` alone would take a sign.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
