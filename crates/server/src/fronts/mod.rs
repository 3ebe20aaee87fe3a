//! The interfaces for administrators: RPC pipes, the control API and the web console; and the witness service.

pub(crate) mod http;
pub(crate) mod pipes;
mod places;
pub(crate) mod web;
pub(crate) mod witness;
