//! The source of challenges and keys.

use thiserror::Error;

/// A source of unpredictable bytes; tests give a fixed one.
pub trait Random: Send + Sync {
    /// Fills `out`.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomFailed>;
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomFailed> {
        aws_lc_rs::rand::fill(out).map_err(|_| RandomFailed)
    }
}

/// The generator gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("cannot get random bytes")]
pub struct RandomFailed;
