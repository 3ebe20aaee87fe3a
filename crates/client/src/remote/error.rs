//! Errors over SMB with their Win32 numbers.

use control::number;
use rpc::{ClientError, Endpoint, Fault};
use wire::{Command, NtStatus};

use super::{ServerAddress, ends_session};
use crate::Error;
use crate::smb;
use crate::tickets::TicketError;

/// The failure of anything but opening a pipe.
pub(super) fn of_smb(error: smb::Error, place: &ServerAddress) -> Error {
    match error {
        smb::Error::Status(status, command) => of_status(status, command, place),
        smb::Error::Io(error) => Error::Broken(error),
        smb::Error::TimedOut(_) => Error::TimedOut,
        smb::Error::Rpc(ClientError::Fault(fault)) => of_fault(fault),
        smb::Error::Logon(auth::InitiatorError::NoCommonMechanism) => refused(
            LOGON_FAILURE,
            "The user name or password is incorrect.",
            format!("{place} takes no NTLM; get a Kerberos ticket with 'kinit', or use --login USER@REALM"),
        ),
        smb::Error::Logon(auth::InitiatorError::Kerberos(error)) => {
            let error = match error.downcast::<gss::Error>() {
                Ok(error) => TicketError::Kerberos(*error),
                Err(error) => return Error::Nonsense(error.to_string()),
            };
            of_ticket(&error, place)
        }
        smb::Error::Ticket(error) => of_ticket(&error, place),
        smb::Error::NoKerberos => refused(
            number::NOT_SUPPORTED,
            "The request is not supported.",
            format!("{place} takes no Kerberos"),
        ),
        smb::Error::TicketRefused(status, principal) => {
            let hint = format!(
                "{place} refused the Kerberos ticket of {principal} ({status}); --login names another user, and \
                 --ntlm uses a password"
            );
            let Error::Refused(error) = of_status(status, Command::SESSION_SETUP, place) else {
                return Error::Nonsense(hint);
            };
            Error::Refused(error.with_hint(hint))
        }
        smb::Error::Logon(error) => {
            refused(LOGON_FAILURE, "The user name or password is incorrect.", format!("{place}: {error}"))
        }
        error @ smb::Error::MadeGuest => refused(
            GUEST_LOGON_BLOCKED,
            "You can't access this shared folder because your organization's security policies block unauthenticated \
             guest access. These policies help protect your PC from unsafe or malicious devices on the network.",
            format!("{place}: {error}"),
        ),
        other => Error::Nonsense(other.to_string()),
    }
}

/// The failure to open a pipe or to bind to its interface.
pub(super) fn of_pipe(error: smb::Error, endpoint: Endpoint, place: &ServerAddress) -> Error {
    match error {
        smb::Error::Status(status, Command::CREATE) if is_missing(status) => no_pipe(endpoint.pipe, place),
        smb::Error::Rpc(ClientError::Refused(_) | ClientError::Rejected { .. }) => {
            no_pipe(endpoint.pipe, place)
        }
        other => of_smb(other, place),
    }
}

/// The server lacks the pipe, so the service behind it is not running there.
pub(super) fn no_pipe(pipe: &str, place: &ServerAddress) -> Error {
    let hint = format!(r"{place} has no pipe {pipe}");
    if pipe == rpc::srvsvc::ENDPOINT.pipe {
        refused(number::SERVER_NOT_STARTED, "The Server service is not started.", hint)
    } else {
        refused(number::NOT_SUPPORTED, "The request is not supported.", hint)
    }
}

/// The server did not execute a call.
pub(crate) fn of_fault(fault: Fault) -> Error {
    let hint = format!("the server answered {fault}");
    match fault {
        Fault::ACCESS_DENIED => refused(number::ACCESS_DENIED, "Access is denied.", hint),
        Fault::OP_RANGE_ERROR | Fault::UNKNOWN_INTERFACE => {
            refused(number::NOT_SUPPORTED, "The request is not supported.", hint)
        }
        Fault::BAD_STUB_DATA => refused(1783, "The stub received bad data.", hint),
        _ => refused(1726, "The remote procedure call failed.", hint),
    }
}

/// True if the error ends the session, so that the next call needs a new one.
pub(super) fn session_has_ended(error: &smb::Error) -> bool {
    match error {
        smb::Error::Io(_) | smb::Error::Protocol(_) => true,
        smb::Error::Status(status, _) => ends_session(*status),
        _ => false,
    }
}

fn is_missing(status: NtStatus) -> bool {
    [
        NtStatus::OBJECT_NAME_NOT_FOUND,
        NtStatus::OBJECT_PATH_NOT_FOUND,
        NtStatus::NO_SUCH_FILE,
        NtStatus::NOT_SUPPORTED,
        NtStatus::INVALID_DEVICE_REQUEST,
        NtStatus::PIPE_NOT_AVAILABLE,
    ]
    .contains(&status)
}

fn of_status(status: NtStatus, command: Command, place: &ServerAddress) -> Error {
    let hint = format!("{place} answered {status} to {command:?}");
    let (number, message) = match status {
        NtStatus::ACCESS_DENIED | NtStatus::NETWORK_ACCESS_DENIED => {
            (number::ACCESS_DENIED, "Access is denied.")
        }
        NtStatus::LOGON_FAILURE | NtStatus::WRONG_PASSWORD | NtStatus::NO_SUCH_USER => {
            (LOGON_FAILURE, "The user name or password is incorrect.")
        }
        NtStatus::ACCOUNT_RESTRICTION => {
            (1327, "Account restrictions are preventing this user from signing in.")
        }
        NtStatus::INVALID_LOGON_HOURS => {
            (1328, "Your account has time restrictions that keep you from signing in right now.")
        }
        NtStatus::INVALID_WORKSTATION => (1329, "This user isn't allowed to sign in to this computer."),
        NtStatus::PASSWORD_EXPIRED => (1330, "The password for this account has expired."),
        NtStatus::ACCOUNT_DISABLED => {
            (1331, "This user can't sign in because this account is currently disabled.")
        }
        NtStatus::LOGON_TYPE_NOT_GRANTED => {
            (1385, "Logon failure: the user has not been granted the requested logon type at this computer.")
        }
        NtStatus::ACCOUNT_EXPIRED => (1793, "The user's account has expired."),
        NtStatus::PASSWORD_MUST_CHANGE => (1907, "The user's password must be changed before signing in."),
        NtStatus::ACCOUNT_LOCKED_OUT => {
            (1909, "The referenced account is currently locked out and may not be logged on to.")
        }
        NtStatus::BAD_NETWORK_NAME => (67, "The network name cannot be found."),
        NtStatus::REQUEST_NOT_ACCEPTED | NtStatus::TOO_MANY_SESSIONS => (
            71,
            "No more connections can be made to this remote computer at this time because there are already as many \
             connections as the computer can accept.",
        ),
        NtStatus::PIPE_BUSY | NtStatus::PIPE_NOT_AVAILABLE => (231, "All pipe instances are busy."),
        NtStatus::NOT_SUPPORTED | NtStatus::INVALID_DEVICE_REQUEST => {
            (number::NOT_SUPPORTED, "The request is not supported.")
        }
        NtStatus::INSUFFICIENT_RESOURCES | NtStatus::INSUFF_SERVER_RESOURCES => {
            (1130, "Not enough server memory resources are available to process this command.")
        }
        status if ends_session(status) => (64, "The specified network name is no longer available."),
        _ => (59, "An unexpected network error occurred."),
    };
    refused(number, message, hint)
}

/// There is no ticket, or the server's answer to it is wrong.
fn of_ticket(error: &TicketError, place: &ServerAddress) -> Error {
    let number = error.number();
    let message = match number {
        1311 => "There are currently no logon servers available to service the logon request.",
        1312 => "A specified logon session does not exist. It may already have been terminated.",
        1330 => "The password for this account has expired.",
        1331 => "This user can't sign in because this account is currently disabled.",
        1396 => "The target account name is incorrect.",
        1398 => "There is a time and/or date difference between the client and server.",
        number::NOT_SUPPORTED => "The request is not supported.",
        _ => "The user name or password is incorrect.",
    };
    refused(number, message, format!("{place}: {}", error.advice()))
}

fn refused(number: u32, message: &str, hint: String) -> Error {
    Error::Refused(control::Error::new(number, message).with_hint(hint))
}

/// ERROR_SMB_GUEST_LOGON_BLOCKED.
const GUEST_LOGON_BLOCKED: u32 = 1272;

/// ERROR_LOGON_FAILURE.
const LOGON_FAILURE: u32 = 1326;
