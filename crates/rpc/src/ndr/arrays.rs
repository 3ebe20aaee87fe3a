//! Arrays of fixed and of varying size, and references to them.

use super::{Container, Ndr, NdrError, Parameter, Reader, SizedBuffer, Writer};

/// An array of `N` octets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Octets<const N: usize>(pub Box<[u8; N]>);

impl<const N: usize> Ndr for Octets<N> {
    const MIN: usize = N;

    fn write(&self, to: &mut Writer) {
        to.octets(&self.0[..]);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let octets = from.octets(u32::try_from(N).map_err(|_| NdrError::Truncated)?)?;
        octets.first_chunk().map(|octets| Self(Box::new(*octets))).ok_or(NdrError::Truncated)
    }
}

impl<const N: usize> From<[u8; N]> for Octets<N> {
    fn from(octets: [u8; N]) -> Self {
        Self(Box::new(octets))
    }
}

/// `[unique]` pointer to a structure that is nothing but octets.
impl<const N: usize> Parameter for Option<Octets<N>> {
    fn write_whole(&self, to: &mut Writer) {
        to.pointer(self.is_some());
        if let Some(octets) = self {
            octets.write(to);
        }
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        if from.pointer()? { Octets::read(from).map(Some) } else { Ok(None) }
    }
}

/// Two parameters: a count, and a reference to that number of entries of an array with room for [`VARYING_MAX`],
/// `[in, size_is(1000), length_is(n)] T*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VaryingArray<T>(pub Vec<T>);

/// The size of arrays whose size the interface fixes at the largest it allows (MS-SAMR 3.1.5.11.2).
const VARYING_MAX: u32 = 1000;

impl<T: Ndr> Parameter for VaryingArray<T> {
    fn write_whole(&self, to: &mut Writer) {
        to.count(self.0.len());
        to.u32(VARYING_MAX);
        to.u32(0);
        to.count(self.0.len());
        for entry in &self.0 {
            entry.write(to);
        }
        for entry in &self.0 {
            entry.write_deferred(to);
        }
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let claimed = from.u32()?;
        let (maximum, offset) = (from.u32()?, from.u32()?);
        let count = from.count(T::MIN)?;
        if offset != 0 || u32::try_from(count) != Ok(claimed) || claimed > maximum {
            return Err(NdrError::Varying);
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(T::read(from)?);
        }
        for entry in &mut entries {
            entry.read_deferred(from)?;
        }
        Ok(Self(entries))
    }
}

/// `[out] ..._BUFFER**`: a reference to a unique pointer.
impl<T: Ndr> Parameter for Option<Container<T>> {
    fn write_whole(&self, to: &mut Writer) {
        to.pointer(self.is_some());
        if let Some(container) = self {
            container.write_whole(to);
        }
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        if from.pointer()? { Parameter::read_whole(from).map(Some) } else { Ok(None) }
    }
}

ndr_unique_parameter!(SizedBuffer);

#[cfg(test)]
mod any {
    use super::{Octets, VaryingArray};
    use crate::entropy::{Any, Entropy};

    impl<const N: usize> Any for Octets<N> {
        fn any(from: &mut Entropy<'_>) -> Self {
            Self(Box::new(std::array::from_fn(|_| from.octet())))
        }
    }

    impl<T: Any> Any for VaryingArray<T> {
        fn any(from: &mut Entropy<'_>) -> Self {
            Self(Any::any(from))
        }
    }
}
