//! The messages without fields: LOGOFF (MS-SMB2 2.2.7, 2.2.8), TREE_DISCONNECT (2.2.11, 2.2.12), FLUSH's answer
//! (2.2.18), LOCK's answer (2.2.27), CANCEL (2.2.30), ECHO (2.2.28, 2.2.29), SET_INFO's answer (2.2.40).

use super::fixed;
use crate::cursor::{DecodeError, Put};

macro_rules! simple {
    ($($(#[$doc:meta])* $name:ident($size:literal);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name;

        impl $name {
            /// Reads the message.
            #[inline]
            pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
                fixed::<$size>(message, $size).map(|_| Self)
            }

            /// Appends the body.
            #[inline]
            pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
                out.put_u16($size);
                out.put_zeros($size - 2);
            }
        }
    )*};
}

simple! {
    /// SMB2 LOGOFF Request (MS-SMB2 2.2.7).
    LogoffRequest(4);
    /// SMB2 LOGOFF Response (MS-SMB2 2.2.8).
    LogoffResponse(4);
    /// SMB2 TREE_DISCONNECT Request (MS-SMB2 2.2.11).
    TreeDisconnectRequest(4);
    /// SMB2 TREE_DISCONNECT Response (MS-SMB2 2.2.12).
    TreeDisconnectResponse(4);
    /// SMB2 FLUSH Response (MS-SMB2 2.2.18).
    FlushResponse(4);
    /// SMB2 LOCK Response (MS-SMB2 2.2.27).
    LockResponse(4);
    /// SMB2 CANCEL Request (MS-SMB2 2.2.30); it has no response.
    CancelRequest(4);
    /// SMB2 ECHO Request (MS-SMB2 2.2.28).
    EchoRequest(4);
    /// SMB2 ECHO Response (MS-SMB2 2.2.29).
    EchoResponse(4);
    /// SMB2 SET_INFO Response (MS-SMB2 2.2.40).
    SetInfoResponse(2);
}
