//! MS-SRVS.
use crate::{admin::Caller, server::Server};
use rpc::Fault;
pub(super) fn call(_: &Server, _: &Caller, _: u16, _: &[u8]) -> Result<Vec<u8>, Fault> { Err(Fault::OP_RANGE_ERROR) }
