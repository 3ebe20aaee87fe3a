//! The times of a run.

use std::time::Duration;

/// A share is served again, and all its clients work, within this time after the last fault: 25 s by the protocol, whose
/// slowest case is a node that rests after an error of its storage, and the rest for a busy machine.
pub(crate) const BACK_MAX: Duration = Duration::from_secs(35);

/// A command of the system.
pub(crate) const COMMAND_MAX: Duration = Duration::from_secs(30);

/// Clients go to another node if one does not answer a request for this long. A disk that stands still takes longer, so
/// that they send requests again that are still under way.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A node that cannot be reached.
pub(crate) const CONNECT_MAX: Duration = Duration::from_millis(700);

/// The time for which the server keeps the opens of a client that is away: longer than any round with its faults.
pub(crate) const HANDLE_MS: u32 = 240_000;

/// Between two attempts of a client to come back.
pub(crate) const AGAIN: Duration = Duration::from_millis(20);

/// Between the batches of a client: enough requests to meet each fault, and time for the nodes on a small machine.
pub(crate) const PACE: Duration = Duration::from_millis(8);

/// More findings would only repeat these.
pub(crate) const FINDINGS_MAX: usize = 60;
