//! The limits of an association, each with its reason and the consequence of reaching it.

/// The fragment size offered and sent at most, in octets. Windows offers 5840 (four TCP segments);
/// a client that offers less gets less.
pub const FRAGMENT_OFFERED_MAX: u16 = 5840;

/// The fragment size that every implementation must be able to receive (C706 12.6.3.1, `MustRecvFragSize`). A smaller
/// offer is raised to it.
pub const FRAGMENT_MUST_RECEIVE: u16 = 1432;

/// A whole request's stub, in octets. The largest legitimate one carries a security descriptor
/// (64 KiB) and some names. Beyond: fault `nca_s_fault_remote_no_memory`, the fragments are dropped.
pub const REQUEST_STUB_MAX: usize = 1 << 20;

/// Presentation contexts of one association. Windows' clients propose three at most, one of them the
/// feature negotiation. Beyond: `provider_rejection`, `local_limit_exceeded`.
pub const CONTEXTS_MAX: usize = 16;

/// PDUs answered and not yet read from the pipe, a response of many fragments counting once. A client
/// that reads never has more than one. Beyond: the association breaks.
pub const PDUS_UNREAD_MAX: usize = 64;

/// The octets of unread responses above which further calls are refused with the fault `nca_s_server_too_busy`. One
/// response alone may be larger, because the dispatcher limits it. Clients read an answer before they call again.
pub const RESPONSE_BYTES_UNREAD_MAX: usize = 256 << 10;

/// Zeros at the end of a response that are kept as such, in octets. A client that names the length of an output buffer
/// gets one of that length, whatever is in it; more of its end is only counted until it is read.
pub const ZEROS_KEPT_MAX: usize = 512;

/// A whole response's stub that a client takes, in octets: a million files with long paths. Beyond:
/// the call fails.
pub const RESPONSE_STUB_MAX: usize = 512 << 20;

/// The range of `OutbufLen` (MS-SRVS 3.1.4.30, 3.1.4.33). A refusal returns a buffer of the size asked
/// for; of one asked for beyond this, as large as this.
pub const OUTBUF_LEN_MAX: u32 = 64_000;
