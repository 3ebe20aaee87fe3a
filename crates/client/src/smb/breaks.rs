//! Notifications of a server (MS-SMB2 3.2.5.19).

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use wire::SessionId;
use wire::msg::{LeaseBreakNotification, OplockBreak};

use super::error::Error;

/// A notification of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// An oplock is to be given up: [`ClientTree::acknowledge_oplock`](super::ClientTree::acknowledge_oplock).
    Oplock(OplockBreak),
    /// A lease is to be given up: [`ClientTree::acknowledge_lease`](super::ClientTree::acknowledge_lease).
    Lease(LeaseBreakNotification),
    /// A session was closed by the server (MS-SMB2 2.2.44.2).
    SessionClosed(SessionId),
}

/// The notifications of a server since this value was created.
#[derive(Debug)]
pub struct Breaks(pub(crate) broadcast::Receiver<Break>);

impl Breaks {
    /// Waits for the next notification; `None` after the end of the connection.
    pub async fn next(&mut self) -> Result<Option<Break>, Error> {
        match self.0.recv().await {
            Ok(notification) => Ok(Some(notification)),
            Err(RecvError::Closed) => Ok(None),
            Err(RecvError::Lagged(_)) => Err(LOST),
        }
    }

    /// One that has already come.
    pub fn try_next(&mut self) -> Result<Option<Break>, Error> {
        match self.0.try_recv() {
            Ok(notification) => Ok(Some(notification)),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Err(LOST),
            Err(_) => Ok(None),
        }
    }
}

const LOST: Error = Error::Unable("break notifications were lost: nobody read them in time");
