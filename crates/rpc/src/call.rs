//! The common part of all calls: a client can make any of them, and a server can refuse any.

use crate::Win32Error;
use crate::fault::Fault;
use crate::ndr::{NdrError, Parameter, Reader, Writer};

/// The parameters of one direction of a call.
pub trait Stub: Sized {
    /// Writes the parameters in order.
    fn write_stub(&self, to: &mut Writer);

    /// Reads the parameters in order.
    fn read_stub(from: &mut Reader<'_>) -> Result<Self, NdrError>;

    /// The stub of a PDU.
    fn encode(&self) -> Vec<u8> {
        let mut to = Writer::default();
        self.write_stub(&mut to);
        to.finish()
    }

    /// Reads a stub. Octets behind the last parameter are padding and ignored.
    fn decode(stub: &[u8]) -> Result<Self, NdrError> {
        Self::read_stub(&mut Reader::new(stub))
    }
}

/// A request, and with it the call.
pub trait Call: Stub {
    /// The operation number.
    const OPNUM: u16;

    /// The specification's name.
    const NAME: &'static str;

    /// The response.
    type Response: Response;

    /// The response that refuses this request: nothing in it but the level and the status.
    fn refuse(&self, status: <Self::Response as Response>::Status) -> Self::Response;
}

/// A response, which ends with the call's return value.
pub trait Response: Stub {
    /// The result type of the interface's calls: a Win32 error or an NTSTATUS.
    type Status: Copy;

    /// The return value.
    fn status(&self) -> Self::Status;
}

/// A call that a server refuses without reading the request. In the response nothing is there but the return value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefusedCall {
    /// The operation number.
    pub opnum: u16,
    /// The specification's name.
    pub name: &'static str,
    /// The parameters of the response, each of which is a number or a pointer.
    pub parameters: usize,
}

impl RefusedCall {
    /// The call with this number, if it is among those.
    pub fn find(calls: &[Self], opnum: u16) -> Option<&Self> {
        calls.iter().find(|call| call.opnum == opnum)
    }

    /// The stub of the refusal: zeros and null pointers, and the return value.
    pub fn response(&self, status: Win32Error) -> Vec<u8> {
        let mut to = Writer::default();
        (0..self.parameters).for_each(|_| to.u32(0));
        to.u32(status.0);
        to.finish()
    }
}

/// A union that knows its level.
pub trait Leveled {
    /// The information level.
    fn level(&self) -> u32;
}

/// A parameter `Level` and, right behind it, the union that `switch_is(Level)` selects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WithLevel<T>(pub T);

impl<T: Parameter + Leveled> Parameter for WithLevel<T> {
    fn write_whole(&self, to: &mut Writer) {
        to.u32(self.0.level());
        self.0.write_whole(to);
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let level = from.u32()?;
        let union = T::read_whole(from)?;
        if union.level() == level {
            Ok(Self(union))
        } else {
            Err(NdrError::Discriminant { level, discriminant: union.level() })
        }
    }
}

/// The reason that a request or response cannot be decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The interface has no such operation, or it is not implemented.
    #[error("unknown operation {0}")]
    Opnum(u16),
    /// The stub does not fit the operation's parameters.
    #[error(transparent)]
    Stub(#[from] NdrError),
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Opnum(_) => Self::OP_RANGE_ERROR,
            DecodeError::Stub(_) => Self::BAD_STUB_DATA,
        }
    }
}
