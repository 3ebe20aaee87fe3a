//! The status of a fault PDU (C706 appendix E, MS-RPCE 2.2.2.5).

use core::fmt;

/// The reason that a call was not executed, or not completely: the `status` of a fault PDU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fault(pub u32);

impl Fault {
    /// The caller may not (Windows sends the Win32 code).
    pub const ACCESS_DENIED: Self = Self(0x0000_0005);
    /// RPC_X_BAD_STUB_DATA: the stub does not fit the interface.
    pub const BAD_STUB_DATA: Self = Self(0x0000_06f7);
    /// The call was cancelled.
    pub const CANCEL: Self = Self(0x1c00_000d);
    /// nca_s_op_rng_error: the interface has no such operation.
    pub const OP_RANGE_ERROR: Self = Self(0x1c01_0002);
    /// nca_s_proto_error: the PDU does not fit the association's state.
    pub const PROTO_ERROR: Self = Self(0x1c01_000b);
    /// nca_s_fault_remote_no_memory: the request is larger than is taken.
    pub const REMOTE_NO_MEMORY: Self = Self(0x1c00_001b);
    /// nca_s_server_too_busy: too much is waiting to be read.
    pub const SERVER_TOO_BUSY: Self = Self(0x1c01_0014);
    /// nca_s_unk_if: the presentation context names no interface.
    pub const UNKNOWN_INTERFACE: Self = Self(0x1c01_0003);

    /// The specification's name, if it is one of the constants above.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::ACCESS_DENIED => "ERROR_ACCESS_DENIED",
            Self::BAD_STUB_DATA => "RPC_X_BAD_STUB_DATA",
            Self::CANCEL => "nca_s_fault_cancel",
            Self::OP_RANGE_ERROR => "nca_s_op_rng_error",
            Self::PROTO_ERROR => "nca_s_proto_error",
            Self::REMOTE_NO_MEMORY => "nca_s_fault_remote_no_memory",
            Self::SERVER_TOO_BUSY => "nca_s_server_too_busy",
            Self::UNKNOWN_INTERFACE => "nca_s_unk_if",
            _ => return None,
        })
    }

    /// True if the call was certainly not executed (`PFC_DID_NOT_EXECUTE`).
    pub(crate) const fn before_execution(self) -> bool {
        !matches!(self, Self::ACCESS_DENIED | Self::CANCEL)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({:#010x})", self.0),
            None => write!(f, "RPC fault {:#010x}", self.0),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Fault {}
