//! Why logons are refused.

use thiserror::Error;

use crate::ntlm::NtlmError;
use crate::random::RandomFailed;

/// Why a logon is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    /// The anonymous logon, where it is not allowed.
    #[error("anonymous logons are not allowed")]
    AnonymousNotAllowed,
    /// The client answers through another protocol's secure channel: it meant another server (MS-NLMP 2.2.2.1,
    /// MsvAvChannelBindings).
    #[error("the logon was meant for another channel")]
    BadBindings,
    /// A MIC that was promised or demanded is missing, or one is wrong (MS-NLMP 3.2.5.1.2; RFC 4178 5).
    #[error("a message integrity code is missing or wrong")]
    BadMic,
    /// The password is right but the account is disabled.
    #[error("the account is disabled")]
    Disabled,
    /// The system gave no random bytes.
    #[error("the server has no random bytes")]
    Internal,
    /// The password is right but the account is locked out.
    #[error("the account is locked out")]
    LockedOut,
    /// A token is not what the protocol asks for at this point.
    #[error("the security token is malformed")]
    Malformed,
    /// The client does not offer NTLMSSP.
    #[error("no common authentication mechanism")]
    NoCommonMechanism,
    /// There is no such account.
    #[error("no such user")]
    NoSuchUser,
    /// There is no such account, and its domain is not one whose users become guests.
    #[error("no such user, and users of this domain are not taken as guests (see guest_domains)")]
    NotAGuest,
    /// The response is of NTLMv1 or LM.
    #[error("the client used NTLMv1 or LM")]
    NotNtlmV2,
    /// A token came after the exchange had ended.
    #[error("the logon had already ended")]
    OutOfOrder,
    /// The password is wrong.
    #[error("wrong password")]
    WrongPassword,
}

impl Refusal {
    /// Tells if the name or the password was wrong, as it is for somebody who guesses.
    pub const fn is_wrong_guess(self) -> bool {
        matches!(self, Self::NoSuchUser | Self::NotAGuest | Self::WrongPassword)
    }
}

impl From<NtlmError> for Refusal {
    fn from(error: NtlmError) -> Self {
        match error {
            NtlmError::Malformed => Self::Malformed,
        }
    }
}

impl From<RandomFailed> for Refusal {
    fn from(_: RandomFailed) -> Self {
        Self::Internal
    }
}
