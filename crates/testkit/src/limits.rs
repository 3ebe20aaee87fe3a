//! The time limits of the kit.

use std::time::Duration;

/// A server that does not listen after this long will not: smbd needs a second on a busy machine.
pub(crate) const READY_MAX: Duration = Duration::from_secs(30);

/// Between two looks at a server that is starting or a process that is running.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// A server gets this long between SIGTERM and SIGKILL.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(5);

/// The most attempts to start with another port, because a free one may be taken meanwhile.
pub(crate) const START_ATTEMPTS: u32 = 4;

/// Lines of a server's log that a failed test shows.
pub(crate) const LOG_TAIL_LINES: usize = 80;

/// A command of a peer that is not done after this long hangs.
pub(crate) const PEER_MAX: Duration = Duration::from_secs(60);

/// The kernel client boots a machine and works in it.
pub(crate) const KERNEL_MAX: Duration = Duration::from_secs(120);

/// Before its own limit, the kernel client may fetch a kernel; after it, it tidies up.
pub(crate) const KERNEL_SPARE: Duration = Duration::from_secs(60);

/// Ports handed to servers: below the range the kernel gives to clients (32768 and up on Linux), so that no
/// client's socket can sit on a port between our look and the server's bind.
pub(crate) const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A domain is made from nothing in 15 seconds on an idle machine with two processors; tests run beside it.
pub(crate) const DOMAIN_MAX: Duration = Duration::from_secs(180);

/// A server of this machine that does not accept a connection or answer for this long hangs.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(5);
