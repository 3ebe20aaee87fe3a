//! SMB2: one task for each connection, one handler for each command.

pub(crate) mod connection;
pub(crate) mod handlers;
