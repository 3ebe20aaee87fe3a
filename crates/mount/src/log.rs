//! The lines of a mount's process in the system's log.

use std::os::unix::net::UnixDatagram;

/// Writes a warning to the system's log (syslog(3)): the process of a mount has no terminal, and nobody reads its
/// standard error. On a machine without a log the line is lost.
pub(crate) fn warn(line: &str) {
    // Facility daemon, severity warning (RFC 3164 4.1.1).
    let message = format!("<28>shareward[{}]: {line}", std::process::id());
    let sent = UnixDatagram::unbound().and_then(|socket| {
        // A log that is not read must not stop the mount.
        socket.set_nonblocking(true)?;
        socket.send_to(message.as_bytes(), "/dev/log")
    });
    drop(sent);
}
