//! Tests of the registry through its public interface.

mod admin;
mod caching;
mod chaos;
mod concurrent;
mod durable;
mod identities;
mod locks;
mod model;
mod moves;
mod persistent;
mod share_modes;
mod strangers;
mod streams;

use registry::testing::world;
