//! Structures of fixed size: one list of fields in the specification's order gives both directions.

use crate::cursor::{DecodeError, Put, ReadCursor};
use crate::ids::{FileId, Guid};
use crate::masks::{AccessMask, FileAttributes};
use crate::time::FileTime;

/// A structure whose size never varies.
pub trait FixedLayout: Sized {
    /// Bytes on the wire.
    const SIZE: usize;

    /// Reads the structure; the cursor moves behind it.
    fn read(cursor: &mut ReadCursor<'_>) -> Result<Self, DecodeError>;

    /// Appends the structure.
    fn encode(&self, out: &mut Vec<u8>);

    /// The structure at the start of `data`; more bytes may follow.
    fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        Self::read(&mut ReadCursor::new(data))
    }
}

/// Declares a struct with its wire layout: fields in order, each with the zero bytes that follow it.
macro_rules! fixed_layout {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty $(, pad $pad:literal)?;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $kind,)+
        }

        impl $crate::layout::FixedLayout for $name {
            const SIZE: usize = 0 $(+ <$kind as $crate::layout::FixedLayout>::SIZE $(+ $pad)?)+;

            fn read(cursor: &mut $crate::cursor::ReadCursor<'_>) -> Result<Self, $crate::cursor::DecodeError> {
                $(
                    let $field = <$kind as $crate::layout::FixedLayout>::read(cursor)?;
                    $(cursor.skip($pad)?;)?
                )+
                Ok(Self { $($field),+ })
            }

            fn encode(&self, out: &mut Vec<u8>) {
                $(
                    $crate::layout::FixedLayout::encode(&self.$field, out);
                    $($crate::cursor::Put::put_zeros(out, $pad);)?
                )+
            }
        }
    };
}
pub(crate) use fixed_layout;

macro_rules! field {
    ($kind:ty, $size:literal, $cursor:ident => $read:expr, $value:ident, $out:ident => $put:expr) => {
        impl FixedLayout for $kind {
            const SIZE: usize = $size;

            #[inline]
            fn read($cursor: &mut ReadCursor<'_>) -> Result<Self, DecodeError> {
                $read
            }

            #[inline]
            fn encode(&self, $out: &mut Vec<u8>) {
                let $value = self;
                $put
            }
        }
    };
}

field!(u8, 1, cursor => cursor.u8(), value, out => out.put_u8(*value));
field!(u16, 2, cursor => cursor.u16(), value, out => out.put_u16(*value));
field!(u32, 4, cursor => cursor.u32(), value, out => out.put_u32(*value));
field!(u64, 8, cursor => cursor.u64(), value, out => out.put_u64(*value));
field!(i64, 8, cursor => cursor.i64(), value, out => out.put_i64(*value));
field!(bool, 1, cursor => cursor.u8().map(|byte| byte != 0), value, out => out.put_u8(u8::from(*value)));
field!(Guid, 16, cursor => cursor.guid(), value, out => out.put_guid(*value));
field!(FileId, 16, cursor => cursor.file_id(), value, out => out.put_file_id(*value));
field!(FileTime, 8, cursor => cursor.time(), value, out => out.put_time(*value));
field!(FileAttributes, 4, cursor => cursor.u32().map(Self), value, out => out.put_u32(value.0));
field!(AccessMask, 4, cursor => cursor.u32().map(Self), value, out => out.put_u32(value.0));

impl<const N: usize> FixedLayout for [u8; N] {
    const SIZE: usize = N;

    #[inline]
    fn read(cursor: &mut ReadCursor<'_>) -> Result<Self, DecodeError> {
        cursor.array()
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_bytes(self);
    }
}
