//! The contexts of a 3.1.1 NEGOTIATE (MS-SMB2 2.2.3.1, 2.2.4.1).

use crate::cursor::{DecodeError, Put, ReadCursor, wire_u16};
use crate::limits::{ALGORITHMS_MAX, NEGOTIATE_CONTEXTS_MAX};
use crate::utf16::Utf16;
use crate::{bit_mask, wire_enum};

wire_enum! {
    /// `ContextType` (MS-SMB2 2.2.3.1).
    NegotiateContextType(u16) {
        /// SMB2_PREAUTH_INTEGRITY_CAPABILITIES.
        PREAUTH_INTEGRITY_CAPABILITIES = 0x0001,
        /// SMB2_ENCRYPTION_CAPABILITIES.
        ENCRYPTION_CAPABILITIES = 0x0002,
        /// SMB2_COMPRESSION_CAPABILITIES.
        COMPRESSION_CAPABILITIES = 0x0003,
        /// SMB2_NETNAME_NEGOTIATE_CONTEXT_ID.
        NETNAME_NEGOTIATE_CONTEXT_ID = 0x0005,
        /// SMB2_TRANSPORT_CAPABILITIES.
        TRANSPORT_CAPABILITIES = 0x0006,
        /// SMB2_RDMA_TRANSFORM_CAPABILITIES.
        RDMA_TRANSFORM_CAPABILITIES = 0x0007,
        /// SMB2_SIGNING_CAPABILITIES.
        SIGNING_CAPABILITIES = 0x0008,
        /// SMB2_POSIX_EXTENSIONS_AVAILABLE of the POSIX extensions.
        POSIX_EXTENSIONS_AVAILABLE = 0x0100,
    }
}

wire_enum! {
    /// `HashAlgorithms` (MS-SMB2 2.2.3.1.1).
    HashAlgorithmId(u16) {
        /// SHA-512.
        SHA_512 = 0x0001,
    }
}

wire_enum! {
    /// `Ciphers` (MS-SMB2 2.2.3.1.2).
    CipherId(u16) {
        /// AES-128-CCM.
        AES_128_CCM = 0x0001,
        /// AES-128-GCM.
        AES_128_GCM = 0x0002,
        /// AES-256-CCM.
        AES_256_CCM = 0x0003,
        /// AES-256-GCM.
        AES_256_GCM = 0x0004,
    }
}

wire_enum! {
    /// `CompressionAlgorithms` (MS-SMB2 2.2.3.1.3).
    CompressionAlgorithmId(u16) {
        /// NONE.
        NONE = 0x0000,
        /// LZNT1.
        LZNT1 = 0x0001,
        /// LZ77.
        LZ77 = 0x0002,
        /// LZ77+Huffman.
        LZ77_HUFFMAN = 0x0003,
        /// Pattern_V1.
        PATTERN_V1 = 0x0004,
        /// LZ4.
        LZ4 = 0x0005,
    }
}

bit_mask! {
    /// `Flags` of the compression context (MS-SMB2 2.2.3.1.3).
    CompressionFlags(u32) {
        /// SMB2_COMPRESSION_CAPABILITIES_FLAG_CHAINED.
        CHAINED = 1,
    }
}

bit_mask! {
    /// `Flags` of the transport context (MS-SMB2 2.2.3.1.5).
    TransportFlags(u32) {
        /// SMB2_ACCEPT_TRANSPORT_LEVEL_SECURITY.
        ACCEPT_TRANSPORT_LEVEL_SECURITY = 1,
    }
}

wire_enum! {
    /// `RDMATransformIds` (MS-SMB2 2.2.3.1.6).
    RdmaTransformId(u16) {
        /// SMB2_RDMA_TRANSFORM_NONE.
        NONE = 0x0000,
        /// SMB2_RDMA_TRANSFORM_ENCRYPTION.
        ENCRYPTION = 0x0001,
        /// SMB2_RDMA_TRANSFORM_SIGNING.
        SIGNING = 0x0002,
    }
}

wire_enum! {
    /// `SigningAlgorithms` (MS-SMB2 2.2.3.1.7).
    SigningAlgorithmId(u16) {
        /// HMAC-SHA256.
        HMAC_SHA256 = 0x0000,
        /// AES-CMAC.
        AES_CMAC = 0x0001,
        /// AES-GMAC.
        AES_GMAC = 0x0002,
    }
}

/// A list of 16-bit identifiers as bytes of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct U16List<'a>(&'a [u8]);

impl<'a> U16List<'a> {
    /// The list in `bytes`, which must be whole identifiers.
    pub const fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if bytes.len().is_multiple_of(2) { Ok(Self(bytes)) } else { Err(DecodeError::Truncated) }
    }

    /// Fills `buffer` with the identifiers and gives the list of them.
    pub fn build(values: impl IntoIterator<Item = u16>, buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        buffer.extend(values.into_iter().flat_map(u16::to_le_bytes));
        Self(buffer)
    }

    /// The bytes as they are on the wire.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The number of identifiers.
    pub const fn len(self) -> usize {
        self.0.len() / 2
    }

    /// True if there are no identifiers.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The identifiers in their order.
    pub fn iter(self) -> impl Iterator<Item = u16> + Clone + use<'a> {
        self.0.as_chunks().0.iter().map(|id| u16::from_le_bytes(*id))
    }

    /// True if the list contains this identifier.
    pub fn contains(self, value: u16) -> bool {
        self.iter().any(|listed| listed == value)
    }

    /// Reads `count` identifiers, at least one (MS-SMB2 2.2.3.1.x: "MUST be greater than zero").
    fn read(cursor: &mut ReadCursor<'a>, count: u16) -> Result<Self, DecodeError> {
        let count = usize::from(count);
        if count == 0 {
            return Err(DecodeError::Empty);
        }
        if count > ALGORITHMS_MAX {
            return Err(DecodeError::TooMany);
        }
        cursor.bytes(count.saturating_mul(2)).map(Self)
    }
}

/// One `SMB2 NEGOTIATE_CONTEXT` (MS-SMB2 2.2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NegotiateContext<'a> {
    /// MS-SMB2 2.2.3.1.1.
    PreauthIntegrity {
        /// `HashAlgorithms`: [`HashAlgorithmId`].
        hash_algorithms: U16List<'a>,
        /// `Salt`.
        salt: &'a [u8],
    },
    /// MS-SMB2 2.2.3.1.2.
    Encryption {
        /// `Ciphers`: [`CipherId`], best first.
        ciphers: U16List<'a>,
    },
    /// MS-SMB2 2.2.3.1.3.
    Compression {
        /// `Flags`.
        flags: CompressionFlags,
        /// `CompressionAlgorithms`: [`CompressionAlgorithmId`].
        algorithms: U16List<'a>,
    },
    /// MS-SMB2 2.2.3.1.4.
    NetName {
        /// `NetName`: the server name the client used.
        name: Utf16<'a>,
    },
    /// MS-SMB2 2.2.3.1.5.
    Transport {
        /// `Flags`.
        flags: TransportFlags,
    },
    /// MS-SMB2 2.2.3.1.6.
    RdmaTransform {
        /// `RDMATransformIds`: [`RdmaTransformId`].
        transforms: U16List<'a>,
    },
    /// MS-SMB2 2.2.3.1.7.
    Signing {
        /// `SigningAlgorithms`: [`SigningAlgorithmId`], best first.
        algorithms: U16List<'a>,
    },
    /// POSIX-SMB2 2.2.3.1.8.
    Posix {
        /// The versions that are offered, each a GUID: see [`crate::posix::offers_posix`].
        versions: &'a [u8],
    },
    /// Any other type, to be ignored (MS-SMB2 3.3.5.4).
    Other {
        /// `ContextType`.
        context_type: NegotiateContextType,
        /// `Data`.
        data: &'a [u8],
    },
}

impl<'a> NegotiateContext<'a> {
    /// `ContextType`.
    pub const fn context_type(&self) -> NegotiateContextType {
        match self {
            Self::PreauthIntegrity { .. } => NegotiateContextType::PREAUTH_INTEGRITY_CAPABILITIES,
            Self::Encryption { .. } => NegotiateContextType::ENCRYPTION_CAPABILITIES,
            Self::Compression { .. } => NegotiateContextType::COMPRESSION_CAPABILITIES,
            Self::NetName { .. } => NegotiateContextType::NETNAME_NEGOTIATE_CONTEXT_ID,
            Self::Transport { .. } => NegotiateContextType::TRANSPORT_CAPABILITIES,
            Self::RdmaTransform { .. } => NegotiateContextType::RDMA_TRANSFORM_CAPABILITIES,
            Self::Signing { .. } => NegotiateContextType::SIGNING_CAPABILITIES,
            Self::Posix { .. } => NegotiateContextType::POSIX_EXTENSIONS_AVAILABLE,
            Self::Other { context_type, .. } => *context_type,
        }
    }

    fn decode(context_type: NegotiateContextType, data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        match context_type {
            NegotiateContextType::PREAUTH_INTEGRITY_CAPABILITIES => {
                let count = cursor.u16()?;
                let salt_length = usize::from(cursor.u16()?);
                let hash_algorithms = U16List::read(&mut cursor, count)?;
                let salt = cursor.bytes(salt_length)?;
                Ok(Self::PreauthIntegrity { hash_algorithms, salt })
            }
            NegotiateContextType::ENCRYPTION_CAPABILITIES => {
                // Some clients declare in this way that they do not encrypt: no common cipher, but no error.
                let ciphers = match cursor.u16()? {
                    0 => U16List::default(),
                    count => U16List::read(&mut cursor, count)?,
                };
                Ok(Self::Encryption { ciphers })
            }
            NegotiateContextType::COMPRESSION_CAPABILITIES => {
                let count = cursor.u16()?;
                cursor.skip(2)?;
                let flags = CompressionFlags(cursor.u32()?);
                Ok(Self::Compression { flags, algorithms: U16List::read(&mut cursor, count)? })
            }
            NegotiateContextType::NETNAME_NEGOTIATE_CONTEXT_ID => {
                Ok(Self::NetName { name: Utf16::new(data)? })
            }
            NegotiateContextType::TRANSPORT_CAPABILITIES => {
                Ok(Self::Transport { flags: TransportFlags(cursor.u32()?) })
            }
            NegotiateContextType::RDMA_TRANSFORM_CAPABILITIES => {
                let count = cursor.u16()?;
                cursor.skip(6)?;
                Ok(Self::RdmaTransform { transforms: U16List::read(&mut cursor, count)? })
            }
            NegotiateContextType::SIGNING_CAPABILITIES => {
                let count = cursor.u16()?;
                Ok(Self::Signing { algorithms: U16List::read(&mut cursor, count)? })
            }
            NegotiateContextType::POSIX_EXTENSIONS_AVAILABLE => Ok(Self::Posix { versions: data }),
            _ => Ok(Self::Other { context_type, data }),
        }
    }

    fn encode_data(&self, out: &mut Vec<u8>) {
        match self {
            Self::PreauthIntegrity { hash_algorithms, salt } => {
                out.put_u16(wire_u16(hash_algorithms.len()));
                out.put_u16(wire_u16(salt.len()));
                out.put_bytes(hash_algorithms.as_bytes());
                out.put_bytes(salt);
            }
            Self::Encryption { ciphers: list } | Self::Signing { algorithms: list } => {
                out.put_u16(wire_u16(list.len()));
                out.put_bytes(list.as_bytes());
            }
            Self::Compression { flags, algorithms } => {
                out.put_u16(wire_u16(algorithms.len()));
                out.put_u16(0);
                out.put_u32(flags.0);
                out.put_bytes(algorithms.as_bytes());
            }
            Self::NetName { name } => out.put_bytes(name.as_bytes()),
            Self::Transport { flags } => out.put_u32(flags.0),
            Self::RdmaTransform { transforms } => {
                out.put_u16(wire_u16(transforms.len()));
                out.put_zeros(6);
                out.put_bytes(transforms.as_bytes());
            }
            Self::Posix { versions: data } | Self::Other { data, .. } => out.put_bytes(data),
        }
    }
}

/// `NegotiateContextList` as bytes of a message, known to be a whole list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NegotiateContexts<'a> {
    list: &'a [u8],
    count: u16,
}

impl<'a> NegotiateContexts<'a> {
    /// The `count` contexts that `area` starts with.
    pub fn new(area: &'a [u8], count: u16) -> Result<Self, DecodeError> {
        if usize::from(count) > NEGOTIATE_CONTEXTS_MAX {
            return Err(DecodeError::TooMany);
        }
        let mut cursor = ReadCursor::new(area);
        for _ in 0..count {
            read(&mut cursor)?;
        }
        let list = area.get(..cursor.position()).ok_or(DecodeError::Truncated)?;
        Ok(Self { list, count })
    }

    /// Fills `buffer` with the contexts and gives the list of them.
    pub fn build(contexts: &[NegotiateContext<'_>], buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        for context in contexts {
            buffer.pad_to(0, 8);
            let start = buffer.len();
            buffer.put_u16(context.context_type().0);
            buffer.put_u16(0);
            buffer.put_u32(0);
            let data = buffer.len();
            context.encode_data(buffer);
            let length = wire_u16(buffer.len().saturating_sub(data));
            buffer.patch_u16(start.saturating_add(2), length);
        }
        Self { list: buffer, count: wire_u16(contexts.len()) }
    }

    /// The number of contexts.
    pub const fn count(self) -> u16 {
        self.count
    }

    /// The bytes as they are on the wire.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.list
    }

    /// The contexts in their order; an error for each with contents that are not its type's.
    pub fn iter(self) -> impl Iterator<Item = Result<NegotiateContext<'a>, DecodeError>> + use<'a> {
        let mut cursor = ReadCursor::new(self.list);
        (0..self.count)
            .map(move |_| read(&mut cursor).and_then(|(kind, data)| NegotiateContext::decode(kind, data)))
    }
}

fn read<'a>(cursor: &mut ReadCursor<'a>) -> Result<(NegotiateContextType, &'a [u8]), DecodeError> {
    cursor.align(8);
    let context_type = NegotiateContextType(cursor.u16()?);
    let length = usize::from(cursor.u16()?);
    cursor.skip(4)?;
    Ok((context_type, cursor.bytes(length)?))
}
