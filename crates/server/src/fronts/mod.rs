//! The interfaces for administrators: RPC pipes, the control API and the web console.

pub(crate) mod http;
pub(crate) mod pipes;
pub(crate) mod web;
