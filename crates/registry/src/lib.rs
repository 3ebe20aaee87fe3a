//! The state: connections, sessions, tree connects, opens, files, shares. Synchronous; time is passed in; no I/O.
