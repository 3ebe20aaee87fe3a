//! UUIDs and the identifiers of interfaces and transfer syntaxes (C706 12.6.3.1, `p_syntax_id_t`).

use core::fmt;

/// A UUID on the wire: the first three fields are little endian (C706 A.1).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// The UUID of zeros, which stands for "none".
    pub const NIL: Self = Self([0; 16]);

    /// A UUID from its parts as they are written in text.
    pub const fn from_fields(time_low: u32, time_mid: u16, time_high: u16, rest: [u8; 8]) -> Self {
        let [a, b, c, d] = time_low.to_le_bytes();
        let [e, f] = time_mid.to_le_bytes();
        let [g, h] = time_high.to_le_bytes();
        let [i, j, k, l, m, n, o, p] = rest;
        Self([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i, rest @ ..] = self.0;
        write!(f, "{:08x}-", u32::from_le_bytes([a, b, c, d]))?;
        write!(f, "{:04x}-{:04x}-", u16::from_le_bytes([e, g]), u16::from_le_bytes([h, i]))?;
        for (at, octet) in rest.iter().enumerate() {
            let dash = if at == 2 { "-" } else { "" };
            write!(f, "{dash}{octet:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A presentation syntax: an interface (abstract syntax) or a transfer syntax, with its version.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InterfaceId {
    /// The syntax's UUID.
    pub uuid: Uuid,
    /// The major version; both ends must have the same.
    pub major: u16,
    /// The minor version; a server serves clients of this and lower ones (C706 6.1.1).
    pub minor: u16,
}

impl InterfaceId {
    /// No syntax, in the answer for a rejected context.
    pub const NIL: Self = Self { uuid: Uuid::NIL, major: 0, minor: 0 };

    /// NDR20, the only transfer syntax served (MS-RPCE 2.2.4.12).
    pub const NDR20: Self = Self {
        uuid: Uuid::from_fields(0x8a885d04, 0x1ceb, 0x11c9, [0x9f, 0xe8, 0x08, 0x00, 0x2b, 0x10, 0x48, 0x60]),
        major: 2,
        minor: 0,
    };

    /// NDR64, which clients offer in addition to NDR20 (MS-RPCE 2.2.4.12).
    pub const NDR64: Self = Self {
        uuid: Uuid::from_fields(0x71710533, 0xbeba, 0x4937, [0x83, 0x19, 0xb5, 0xdb, 0xef, 0x9c, 0xcc, 0x36]),
        major: 1,
        minor: 0,
    };

    /// True if `self` can serve a client that requests `asked`.
    pub fn serves(&self, asked: &Self) -> bool {
        self.uuid == asked.uuid && self.major == asked.major && self.minor >= asked.minor
    }

    /// The feature bits, if this is the syntax of a bind time feature negotiation (MS-RPCE 3.3.1.5.3).
    pub fn bind_time_features(&self) -> Option<u16> {
        let [prefix @ .., low, high, _, _, _, _, _, _] = self.uuid.0;
        let negotiation = [0x2c, 0x1c, 0xb7, 0x6c, 0x12, 0x98, 0x40, 0x45];
        (prefix == negotiation && self.major == 1).then(|| u16::from_le_bytes([low, high]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form() {
        assert_eq!(InterfaceId::NDR20.uuid.to_string(), "8a885d04-1ceb-11c9-9fe8-08002b104860");
        assert_eq!(crate::srvsvc::INTERFACE.uuid.to_string(), "4b324fc8-1670-01d3-1278-5a47bf6ee188");
        assert_eq!(crate::wkssvc::INTERFACE.uuid.to_string(), "6bffd098-a112-3610-9833-46c3f87e345a");
    }

    #[test]
    fn features_of_a_bind_time_negotiation() {
        let uuid = Uuid::from_fields(0x6cb71c2c, 0x9812, 0x4540, [3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(InterfaceId { uuid, major: 1, minor: 0 }.bind_time_features(), Some(3));
        assert_eq!(InterfaceId::NDR20.bind_time_features(), None);
    }
}
