//! The send window: credits and message ids (MS-SMB2 3.2.4.1.2, 3.2.4.1.3, 3.2.5.1.4).
//!
//! Ids are used in order, as many for a request as it costs, and never more than were granted, so that every id is in
//! the server's window regardless of the order of answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::MessageId;

use super::limits::{CREDIT_BYTES, CREDITS_MAX};

/// The credits of a connection.
#[derive(Debug)]
pub(crate) struct Credits {
    held: Arc<Semaphore>,
    next: AtomicU64,
    wanted: u16,
}

/// Credits set aside for one message; dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Reserved(OwnedSemaphorePermit);

/// The connection ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed;

impl Credits {
    /// One credit, for the NEGOTIATE.
    pub(crate) fn new(wanted: u16) -> Self {
        Self { held: Arc::new(Semaphore::new(1)), next: AtomicU64::new(0), wanted }
    }

    /// Waits for `charge` credits.
    pub(crate) async fn reserve(&self, charge: u32) -> Result<Reserved, Closed> {
        Arc::clone(&self.held).acquire_many_owned(charge).await.map(Reserved).map_err(|_| Closed)
    }

    /// Uses reserved credits and returns the first of their message ids.
    pub(crate) fn spend(&self, reserved: Reserved) -> MessageId {
        let charge = u64::try_from(reserved.0.num_permits()).unwrap_or(u64::MAX);
        reserved.0.forget();
        MessageId(self.next.fetch_add(charge, Ordering::Relaxed))
    }

    /// The credits to request with a message that costs `charge`.
    pub(crate) fn request(&self, charge: u16) -> u16 {
        let held = u16::try_from(self.held.available_permits()).unwrap_or(u16::MAX);
        charge.saturating_add(self.wanted.saturating_sub(held))
    }

    /// Adds the credits that an answer grants.
    pub(crate) fn granted(&self, credits: u16) {
        let room = CREDITS_MAX.saturating_sub(self.held.available_permits());
        self.held.add_permits(usize::from(credits).min(room));
    }

    /// Credits not spent.
    pub(crate) fn available(&self) -> usize {
        self.held.available_permits()
    }

    /// Ends the window; waiting requests fail.
    pub(crate) fn close(&self) {
        self.held.close();
    }
}

/// `CreditCharge` of a request with this many bytes in request and answer (MS-SMB2 3.2.4.1.5).
pub(crate) const fn charge(bytes: u32) -> u16 {
    let whole = bytes.saturating_sub(1) / CREDIT_BYTES + 1;
    if whole > u16::MAX as u32 { u16::MAX } else { whole as u16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credit_covers_64_kib() {
        for (bytes, credits) in [(0, 1), (1, 1), (65_536, 1), (65_537, 2), (1 << 20, 16), (8 << 20, 128)] {
            assert_eq!(charge(bytes), credits, "{bytes}");
        }
        assert_eq!(charge(u32::MAX), u16::MAX);
    }

    #[tokio::test]
    async fn ids_follow_what_was_granted() {
        let credits = Credits::new(8);
        let first = credits.reserve(1).await.unwrap();
        assert_eq!(credits.spend(first), MessageId(0));
        assert_eq!(credits.request(1), 9);
        credits.granted(5);
        let second = credits.reserve(3).await.unwrap();
        drop(second);
        let third = credits.reserve(4).await.unwrap();
        assert_eq!(credits.spend(third), MessageId(1));
        let fourth = credits.reserve(1).await.unwrap();
        assert_eq!(credits.spend(fourth), MessageId(5));
        assert_eq!(credits.available(), 0);
        credits.close();
        assert!(credits.reserve(1).await.is_err());
    }
}
