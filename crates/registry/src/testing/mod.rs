//! Helpers for tests of the registry: a small world, and a driver that carries out arbitrary operations in it, for
//! property tests and for fuzzing.

mod driver;
mod log_mirror;
pub mod world;

pub use driver::{CLIENTS, Driver, DurableKind, Opening, Operation, ReclaimedBy, Replayed};
pub use log_mirror::PERSISTENT_MS;
