//! The calls by which users change their own passwords (MS-SAMR 3.1.5.10).

use wire::NtStatus;

use super::DomainPasswordInformation;
use crate::ndr::{ContextHandle, Ndr, NdrError, Octets, Parameter, Reader, UnicodeString, Writer};

/// ENCRYPTED_NT_OWF_PASSWORD and ENCRYPTED_LM_OWF_PASSWORD (MS-SAMR 2.2.7.3).
pub type EncryptedHash = Octets<16>;

/// SAMPR_ENCRYPTED_USER_PASSWORD (MS-SAMR 2.2.6.21).
pub type EncryptedUserPassword = Octets<516>;

ndr_call! {
    returns NtStatus;
    /// SamrChangePasswordUser (MS-SAMR 3.1.5.10.1): a new hash, sealed with the old one.
    38 "SamrChangePasswordUser" ChangePasswordUserRequest {
        handle: ContextHandle = "UserHandle",
        lm_present: u8 = "LmPresent",
        old_lm_with_new_lm: Option<EncryptedHash> = "OldLmEncryptedWithNewLm",
        new_lm_with_old_lm: Option<EncryptedHash> = "NewLmEncryptedWithOldLm",
        nt_present: u8 = "NtPresent",
        old_nt_with_new_nt: Option<EncryptedHash> = "OldNtEncryptedWithNewNt",
        new_nt_with_old_nt: Option<EncryptedHash> = "NewNtEncryptedWithOldNt",
        nt_cross_present: u8 = "NtCrossEncryptionPresent",
        new_nt_with_new_lm: Option<EncryptedHash> = "NewNtEncryptedWithNewLm",
        lm_cross_present: u8 = "LmCrossEncryptionPresent",
        new_lm_with_new_nt: Option<EncryptedHash> = "NewLmEncryptedWithNewNt",
    } => ChangePasswordUserResponse {
    } refused |_| {
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrOemChangePasswordUser2 (MS-SAMR 3.1.5.10.2): a new password, sealed with the old LM hash. Nothing of it is
    /// read, because there are no LM hashes.
    54 "SamrOemChangePasswordUser2" OemChangePasswordUser2Request {
    } => OemChangePasswordUser2Response {
    } refused |_| {
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrUnicodeChangePasswordUser2 (MS-SAMR 3.1.5.10.3): a new password, sealed with the old hash.
    55 "SamrUnicodeChangePasswordUser2" UnicodeChangePasswordUser2Request {
        server_name: Option<UnicodeString> = "ServerName",
        user_name: UnicodeString = "UserName",
        new_with_old_nt: Option<EncryptedUserPassword> = "NewPasswordEncryptedWithOldNt",
        old_nt_with_new_nt: Option<EncryptedHash> = "OldNtOwfPasswordEncryptedWithNewNt",
        lm_present: u8 = "LmPresent",
        new_with_old_lm: Option<EncryptedUserPassword> = "NewPasswordEncryptedWithOldLm",
        old_lm_with_new_nt: Option<EncryptedHash> = "OldLmOwfPasswordEncryptedWithNewNt",
    } => UnicodeChangePasswordUser2Response {
    } refused |_| {
    }
}

ndr_struct! {
    /// USER_PWD_CHANGE_FAILURE_INFORMATION: why a new password is not good enough.
    PasswordChangeFailure {
        reason: u32 = "ExtendedFailureReason",
        filter: UnicodeString = "FilterModuleName",
    }
}

ndr_unique_parameter!(PasswordChangeFailure);
ndr_unique_parameter!(DomainPasswordInformation);

ndr_call! {
    returns NtStatus;
    /// SamrUnicodeChangePasswordUser3, which MS-SAMR does not describe but Windows and Samba implement:
    /// [`UnicodeChangePasswordUser2Request`] with the reason of a refusal.
    63 "SamrUnicodeChangePasswordUser3" UnicodeChangePasswordUser3Request {
        server_name: Option<UnicodeString> = "ServerName",
        user_name: UnicodeString = "UserName",
        new_with_old_nt: Option<EncryptedUserPassword> = "NewPasswordEncryptedWithOldNt",
        old_nt_with_new_nt: Option<EncryptedHash> = "OldNtOwfPasswordEncryptedWithNewNt",
        lm_present: u8 = "LmPresent",
        new_with_old_lm: Option<EncryptedUserPassword> = "NewPasswordEncryptedWithOldLm",
        old_lm_with_new_nt: Option<EncryptedHash> = "OldLmOwfPasswordEncryptedWithNewNt",
        additional_data: Option<EncryptedUserPassword> = "AdditionalData",
    } => UnicodeChangePasswordUser3Response {
        policy: Option<DomainPasswordInformation> = "EffectivePasswordPolicy",
        failure: Option<PasswordChangeFailure> = "PasswordChangeFailureInfo",
    } refused |_| {
        policy: None,
        failure: None,
    }
}

/// SAMPR_ENCRYPTED_PASSWORD_AES (MS-SAMR 2.2.6.32).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EncryptedPasswordAes {
    /// `AuthData`
    pub auth_data: Octets<64>,
    /// `Salt`
    pub salt: Octets<16>,
    /// `cbCipher`, `Cipher`
    pub cipher: Vec<u8>,
    /// `PBKDF2Iterations`
    pub iterations: u64,
}

impl Parameter for EncryptedPasswordAes {
    fn write_whole(&self, to: &mut Writer) {
        to.align_wide();
        self.auth_data.write(to);
        self.salt.write(to);
        to.count(self.cipher.len());
        to.pointer(true);
        to.u64(self.iterations);
        self.cipher.write_whole(to);
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        from.align_wide();
        let (auth_data, salt) = (Ndr::read(from)?, Ndr::read(from)?);
        let (size, present, iterations) = (from.u32()?, from.pointer()?, from.u64()?);
        let cipher: Vec<u8> = if present { Parameter::read_whole(from)? } else { Vec::new() };
        if u32::try_from(cipher.len()) != Ok(size) {
            return Err(NdrError::Count(size));
        }
        Ok(Self { auth_data, salt, cipher, iterations })
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrUnicodeChangePasswordUser4 (MS-SAMR 3.1.5.10.4): a new password, sealed with AES by a key that is derived
    /// from the old hash.
    73 "SamrUnicodeChangePasswordUser4" UnicodeChangePasswordUser4Request {
        server_name: Option<UnicodeString> = "ServerName",
        user_name: UnicodeString = "UserName",
        password: EncryptedPasswordAes = "EncryptedPassword",
    } => UnicodeChangePasswordUser4Response {
    } refused |_| {
    }
}

#[cfg(test)]
mod any {
    use super::EncryptedPasswordAes;
    use crate::entropy::{Any, Entropy};

    impl Any for EncryptedPasswordAes {
        fn any(from: &mut Entropy<'_>) -> Self {
            Self {
                auth_data: Any::any(from),
                salt: Any::any(from),
                cipher: Any::any(from),
                iterations: u32::any(from).into(),
            }
        }
    }
}
