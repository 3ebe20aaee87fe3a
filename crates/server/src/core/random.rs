//! Random bytes from the system.

use auth::Random;
use wire::NtStatus;

/// Fills `bytes`. The server cannot work on a system without randomness.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), NtStatus> {
    auth::SystemRandom.fill(bytes).map_err(|_| NtStatus::INTERNAL_ERROR)
}
