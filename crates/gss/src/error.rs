//! The reasons that calls fail.

use std::fmt;

/// The reason that a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The kind, for decisions.
    pub kind: ErrorKind,
    /// The major status (RFC 2744 3.9.1); 0 if the library was not asked.
    pub major: u32,
    /// The minor status: an error code of Kerberos where the mechanism failed.
    pub minor: u32,
    /// The library's texts for both.
    text: String,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The library is not installed.
    NoLibrary,
    /// There are no tickets: no cache, an empty one, or none of the wanted principal.
    NoTicket,
    /// The tickets have ended.
    Expired,
    /// The password is wrong.
    WrongPassword,
    /// The password has expired and must be changed first.
    PasswordExpired,
    /// The realm does not know the user.
    UnknownUser,
    /// The account is disabled or locked.
    Revoked,
    /// The realm does not know the service: no account has its name.
    UnknownService,
    /// No key distribution center of the realm is known.
    UnknownRealm,
    /// No key distribution center answers.
    Unreachable,
    /// This machine's clock and the other's differ too much.
    ClockSkew,
    /// The service did not prove that it has the key of its name.
    NotMutual,
    /// Something else.
    Other,
}

impl Error {
    pub(crate) fn new(major: u32, minor: u32, text: String) -> Self {
        Self { kind: kind_of(major, minor), major, minor, text }
    }

    pub(crate) fn no_library(text: &str) -> Self {
        let text = format!("{text}; install libgssapi-krb5-2 (Debian, Ubuntu) or krb5-libs (Fedora, SUSE)");
        Self { kind: ErrorKind::NoLibrary, major: 0, minor: 0, text }
    }

    /// The error of a service that did not prove that it has the key of its name.
    pub fn not_mutual() -> Self {
        Self::local(ErrorKind::NotMutual, "the service did not prove that it has the key of its name")
    }

    pub(crate) fn local(kind: ErrorKind, text: &str) -> Self {
        Self { kind, major: 0, minor: 0, text: text.to_owned() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// The kind of an error of the library. The minor status is an error code of MIT's krb5 library, whose table begins
/// at [`KRB5_BASE`]: 0 to 127 in it are the codes of RFC 4120 7.5.9, the others are the library's.
fn kind_of(major: u32, minor: u32) -> ErrorKind {
    match minor.wrapping_sub(KRB5_BASE) {
        // KDC_ERR_NAME_EXP, KDC_ERR_CLIENT_REVOKED.
        1 | 18 => return ErrorKind::Revoked,
        // KDC_ERR_C_PRINCIPAL_UNKNOWN.
        6 => return ErrorKind::UnknownUser,
        // KDC_ERR_S_PRINCIPAL_UNKNOWN; KRB5_ERR_HOST_REALM_UNKNOWN of a host without a realm.
        7 | 217 => return ErrorKind::UnknownService,
        // KDC_ERR_KEY_EXPIRED.
        23 => return ErrorKind::PasswordExpired,
        // KDC_ERR_PREAUTH_FAILED, KRB_AP_ERR_BAD_INTEGRITY of an AS exchange, KRB5_PREAUTH_FAILED.
        24 | 31 | 210 => return ErrorKind::WrongPassword,
        // KRB_AP_ERR_TKT_EXPIRED, KDC_ERR_TGT_REVOKED.
        32 | 20 => return ErrorKind::Expired,
        // KRB_AP_ERR_TKT_NYV, KRB_AP_ERR_SKEW, KRB5_KDCREP_SKEW.
        33 | 37 | 148 => return ErrorKind::ClockSkew,
        // KRB5_CC_NOTFOUND, KRB5_FCC_NOFILE, KRB5_KT_NOTFOUND.
        141 | 195 | 181 => return ErrorKind::NoTicket,
        // KRB5_REALM_UNKNOWN, KRB5_CONFIG_NODEFREALM.
        154 | 224 => return ErrorKind::UnknownRealm,
        // KRB5_KDC_UNREACH, KRB5_REALM_CANT_RESOLVE, KDC_ERR_SVC_UNAVAILABLE.
        156 | 220 | 29 => return ErrorKind::Unreachable,
        _ => {}
    }
    match major >> 16 & 0xff {
        // GSS_S_NO_CRED.
        7 => ErrorKind::NoTicket,
        // GSS_S_CREDENTIALS_EXPIRED, GSS_S_CONTEXT_EXPIRED.
        11 | 12 => ErrorKind::Expired,
        _ => ErrorKind::Other,
    }
}

/// `ERROR_TABLE_BASE_krb5`, -1765328384.
const KRB5_BASE: u32 = 0x96c7_3a00;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_of_kerberos_have_kinds() {
        for (code, kind) in [
            (-1_765_328_377_i32, ErrorKind::UnknownService),
            (-1_765_328_352, ErrorKind::Expired),
            (-1_765_328_347, ErrorKind::ClockSkew),
            (-1_765_328_228, ErrorKind::Unreachable),
            (-1_765_328_230, ErrorKind::UnknownRealm),
            (-1_765_328_189, ErrorKind::NoTicket),
            (-1_765_328_353, ErrorKind::WrongPassword),
            (-1_765_328_378, ErrorKind::UnknownUser),
            (-1_765_328_366, ErrorKind::Revoked),
        ] {
            assert_eq!(kind_of(13 << 16, code.cast_unsigned()), kind, "{code}");
        }
        assert_eq!(kind_of(7 << 16, 0), ErrorKind::NoTicket);
        assert_eq!(kind_of(11 << 16, 0), ErrorKind::Expired);
        assert_eq!(kind_of(13 << 16, 5), ErrorKind::Other);
    }
}
