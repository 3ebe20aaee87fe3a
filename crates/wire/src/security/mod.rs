//! Security identifiers, access control lists and descriptors (MS-DTYP 2.4), and their algorithms (2.5.3).

mod access;
mod acl;
mod descriptor;
mod inherit;
mod share;
mod sid;
mod well_known;

pub use access::{AccessDenied, Privileges, access_check};
pub use acl::{Ace, AceBody, AceFlags, AceType, Acl, TooLarge};
pub use descriptor::{SdControl, SecurityDescriptor};
pub use inherit::inherit;
pub use share::ShareRight;
pub use sid::{ParseSidError, Sid};
pub use well_known::WellKnown;

#[cfg(test)]
mod tests;
