//! SMB2 SERVER_TO_CLIENT_NOTIFICATION (MS-SMB2 2.2.44).

use super::fixed;
use crate::cursor::{DecodeError, Put};
use crate::wire_enum;

wire_enum! {
    /// `NotificationType` (MS-SMB2 2.2.44.1).
    NotificationType(u32) {
        /// SmbNotifySessionClosed.
        SESSION_CLOSED = 0,
    }
}

/// `SMB2_SERVER_TO_CLIENT_NOTIFICATION` (MS-SMB2 2.2.44.1) with `SMB2_NOTIFY_SESSION_CLOSED` (2.2.44.2):
/// the only one there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerToClientNotification {
    /// `NotificationType`.
    pub notification_type: NotificationType,
}

impl ServerToClientNotification {
    /// Reads the message.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<8>(message, SIZE)?;
        cursor.skip(2)?;
        Ok(Self { notification_type: NotificationType(cursor.u32()?) })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(SIZE);
        out.put_u16(0);
        out.put_u32(self.notification_type.0);
        out.put_u32(0);
    }
}

const SIZE: u16 = 4;
