//! The interfaces for administrators: RPC pipes and the control API.

pub(crate) mod http;
pub(crate) mod pipes;
