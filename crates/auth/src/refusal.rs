//! The reasons that logons are refused.

use thiserror::Error;
use wire::NtStatus;

use crate::kerberos::KerberosRefusal;
use crate::ntlm::NtlmError;
use crate::random::RandomFailed;

/// The reason that a logon is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    /// The password is right but the account has expired.
    #[error("the account has expired")]
    AccountExpired,
    /// An anonymous logon, which is not allowed.
    #[error("anonymous logons are not allowed")]
    AnonymousNotAllowed,
    /// The response is bound to another protocol's secure channel, so it was made for another server (MS-NLMP
    /// 2.2.2.1, MsvAvChannelBindings).
    #[error("the response is bound to another channel")]
    BadBindings,
    /// A MIC that was promised or demanded is missing, or one is wrong (MS-NLMP 3.2.5.1.2; RFC 4178 5).
    #[error("a message integrity code is missing or wrong")]
    BadMic,
    /// The password is right but the account is disabled.
    #[error("the account is disabled")]
    Disabled,
    /// The controller, or the way to it, refuses the logon; the status is for the client.
    #[error("{reason}")]
    Domain {
        /// The reason, for the log.
        reason: Box<str>,
        /// The status for the client.
        status: NtStatus,
    },
    /// A user of a domain has used NTLM, which the settings do not allow.
    #[error("users of the domain may not log on with NTLM (see ntlm in [domain]); the client has no ticket")]
    DomainNtlm,
    /// The system gave no random bytes.
    #[error("the server cannot get random bytes")]
    Internal,
    /// The ticket is not accepted.
    #[error(transparent)]
    Kerberos(KerberosRefusal),
    /// The password is right but the account is locked out.
    #[error("the account is locked out")]
    LockedOut,
    /// The password is right but the account may not log on at this hour of the week.
    #[error("the account may not log on at this hour")]
    LogonHours,
    /// The token is not the one that the protocol requires at this point.
    #[error("the security token is malformed")]
    Malformed,
    /// The client offers neither NTLMSSP nor, if the server has keys for it, Kerberos.
    #[error("no common authentication mechanism")]
    NoCommonMechanism,
    /// The account does not exist.
    #[error("no such user")]
    NoSuchUser,
    /// The account does not exist, and unknown users of its domain do not become guests.
    #[error("no such user, and unknown users of this domain do not become guests (see guest_domains)")]
    NotAGuest,
    /// The response is of NTLMv1 or LM.
    #[error("the client used NTLMv1 or LM")]
    NotNtlmV2,
    /// The password is right but its user must change it first.
    #[error("the user must change the password")]
    MustChangePassword,
    /// The password is right but too old.
    #[error("the password has expired")]
    PasswordExpired,
    /// A token came after the exchange had ended.
    #[error("the logon had already ended")]
    OutOfOrder,
    /// The password is wrong.
    #[error("wrong password")]
    WrongPassword,
}

impl Refusal {
    /// The change that lets the user log on, for the log; `None` if the reason says it, or if nothing can be done.
    pub const fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::AccountExpired => "'shareward net user NAME /expires:NEVER' renews the account",
            Self::MustChangePassword | Self::PasswordExpired => {
                "the user changes it with 'smbpasswd -r SERVER -U NAME' or in Windows; 'shareward net user NAME *' sets another"
            }
            Self::Disabled => "'shareward net user NAME /active:yes' enables the account",
            Self::LogonHours => "'shareward net user NAME /times:ALL' permits all hours",
            Self::LockedOut => {
                "wrong passwords have locked it; 'shareward net user NAME /active:yes' unlocks it"
            }
            Self::NoCommonMechanism => "the client must support NTLM, or Kerberos in a domain ([domain])",
            Self::NoSuchUser | Self::NotAGuest => "'shareward user add NAME' adds an account",
            Self::NotNtlmV2 => {
                "let the client use NTLMv2: LmCompatibilityLevel 3 or higher in Windows, 'client NTLMv2 auth = yes' in \
                 Samba, sec=ntlmssp in mount.cifs"
            }
            Self::WrongPassword => "'shareward user passwd NAME' sets another password",
            _ => return None,
        })
    }

    /// True if the name or the password was wrong, as in an attempt to guess them.
    pub const fn is_wrong_guess(&self) -> bool {
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

impl From<KerberosRefusal> for Refusal {
    fn from(refusal: KerberosRefusal) -> Self {
        match refusal {
            KerberosRefusal::Internal => Self::Internal,
            other => Self::Kerberos(other),
        }
    }
}

impl From<RandomFailed> for Refusal {
    fn from(_: RandomFailed) -> Self {
        Self::Internal
    }
}
