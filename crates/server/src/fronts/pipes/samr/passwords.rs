//! The calls that change passwords (MS-SAMR 3.1.5.10): this module decrypts their parameters, and the operation does the
//! rest.
//!
//! The calls 55 and 63 encrypt the new password with RC4 and 73 with AES, with the old one as the key. An eavesdropper
//! learns nothing, so they may come over any connection. Call 38 encrypts hashes with DES, which can be broken by
//! trying all keys, so SMB must encrypt it. Call 54 encrypts with LM hashes, which the server does not have.

use std::num::NonZeroU32;
use std::time::Duration;

use auth::password_change::{self, ITERATIONS, NotOpened, SealedWithAes};
use parking_lot::Mutex;
use rpc::samr::{ChangePasswordUserRequest, EncryptedHash, EncryptedPasswordAes, EncryptedUserPassword};
use wire::NtStatus;

use crate::admin::{self, Caller, Error, NewPassword, NotSet};
use crate::core::server::Server;
use crate::fronts::pipes::Sealed;

/// SamrChangePasswordUser (MS-SAMR 3.1.5.10.1), for the account of the handle.
pub(super) fn by_hashes(
    server: &Server,
    caller: &Caller,
    sealed: Sealed,
    name: &str,
    request: &ChangePasswordUserRequest,
) -> Result<(), NotSet> {
    let (Some(old_with_new), Some(new_with_old)) = (&request.old_nt_with_new_nt, &request.new_nt_with_old_nt)
    else {
        return Err(Error::InvalidParameter.into());
    };
    if !sealed.0 {
        return Err(Error::AccessDenied.into());
    }
    change(server, caller, name, &|old| {
        password_change::open_des(old, &old_with_new.0, &new_with_old.0).map(NewPassword::Hash)
    })
}

/// Checks the combination of parameters of SamrChangePasswordUser (MS-SAMR 3.1.5.10.1).
pub(super) fn check_hashes(request: &ChangePasswordUserRequest) -> Result<(), NtStatus> {
    let has_nt = request.old_nt_with_new_nt.is_some() && request.new_nt_with_old_nt.is_some();
    match (request.nt_present != 0, request.lm_present != 0) {
        (true, _) if has_nt => Ok(()),
        // An NT hash cannot be derived from LM hashes.
        (false, true) => Err(NtStatus::NT_CROSS_ENCRYPTION_REQUIRED),
        _ => Err(NtStatus::INVALID_PARAMETER_MIX),
    }
}

/// SamrUnicodeChangePasswordUser2 and 3 (MS-SAMR 3.1.5.10.3).
pub(super) fn by_rc4(
    server: &Server,
    caller: &Caller,
    name: &str,
    new: Option<&EncryptedUserPassword>,
    verifier: Option<&EncryptedHash>,
) -> Result<(), NotSet> {
    let (Some(new), Some(verifier)) = (new, verifier) else { return Err(Error::InvalidParameter.into()) };
    change(server, caller, name, &|old| {
        password_change::open_rc4(old, &new.0, &verifier.0).map(NewPassword::Text)
    })
}

/// SamrUnicodeChangePasswordUser4 (MS-SAMR 3.1.5.10.4).
pub(super) fn by_aes(
    server: &Server,
    caller: &Caller,
    name: &str,
    sealed: &EncryptedPasswordAes,
) -> Result<(), NotSet> {
    let iterations = Some(sealed.iterations).filter(|count| ITERATIONS.contains(count));
    let iterations = iterations.and_then(|count| NonZeroU32::new(u32::try_from(count).ok()?));
    let Some(iterations) = iterations else { return Err(Error::InvalidParameter.into()) };
    let is_slow = iterations.get() > ITERATIONS_BESIDE_OTHERS;
    let turn = is_slow.then(|| ONE_SLOW.try_lock().ok_or(NotSet::NotYet(SLOW_AGAIN)));
    let _turn = turn.transpose()?;
    let sealed = SealedWithAes {
        auth_data: &sealed.auth_data.0,
        salt: &sealed.salt.0,
        cipher: &sealed.cipher,
        iterations,
    };
    change(server, caller, name, &|old| password_change::open_aes(old, &sealed).map(NewPassword::Text))
}

/// The number of iterations that take a moment: five times as many as Windows requests. More are done for one client at
/// a time, so that no client can occupy all processors; the others wait without a thread.
const ITERATIONS_BESIDE_OTHERS: u32 = 50_000;

/// The time after which a call is repeated while another's many iterations are done: as long as most take.
const SLOW_AGAIN: Duration = Duration::from_secs(1);

static ONE_SLOW: Mutex<()> = Mutex::new(());

fn change(
    server: &Server,
    caller: &Caller,
    name: &str,
    open: &dyn Fn(&[u8; 16]) -> Result<NewPassword, NotOpened>,
) -> Result<(), NotSet> {
    let open = |old: &[u8; 16]| {
        open(old).map_err(|error| match error {
            NotOpened::WrongPassword => Error::WrongPassword,
            NotOpened::NotText => Error::InvalidParameter,
        })
    };
    admin::change_password(server, caller, name, &open).map(|_| ())
}

/// The status of a refused change (MS-SAMR 3.1.5.10).
pub(super) fn status(error: Error) -> NtStatus {
    match error {
        Error::WrongPassword => NtStatus::WRONG_PASSWORD,
        Error::LockedOut => NtStatus::ACCOUNT_LOCKED_OUT,
        Error::InvalidParameter
        | Error::PasswordTooRecent
        | Error::PasswordTooShort
        | Error::PasswordUsed => NtStatus::PASSWORD_RESTRICTION,
        Error::PasswordFixed => NtStatus::ACCESS_DENIED,
        other => super::of_error(other),
    }
}
