//! One file for each command. A handler follows its section of MS-SMB2 3.3.5: it decodes, checks, queries the
//! registry, acts on the file, and writes the body of the answer.

pub(crate) mod change_notify;
pub(crate) mod close;
pub(crate) mod create;
pub(crate) mod ea;
pub(crate) mod echo;
pub(crate) mod flush;
pub(crate) mod handle_breaks;
pub(crate) mod ioctl;
pub(crate) mod lock;
pub(crate) mod logoff;
mod logon_exchange;
pub(crate) mod negotiate;
pub(crate) mod oplock_break;
pub(crate) mod pipe;
pub(crate) mod posix;
mod proven_logon;
pub(crate) mod query_directory;
pub(crate) mod query_info;
pub(crate) mod read;
pub(crate) mod session_setup;
pub(crate) mod set_info;
pub(crate) mod tree_connect;
pub(crate) mod tree_disconnect;
pub(crate) mod write;

use std::sync::Arc;

use auth::signing::SigningKey;
use wire::header::Command;
use wire::msg::{ErrorContext, ErrorId, ErrorResponse, OutputResponse};
use wire::{DecodeError, Dialect, NtStatus};

pub(crate) use crate::core::files::display_path;
use crate::core::session::User;
use crate::smb::connection::{AnswerBuilder, Outcome, Refusal, Request};

/// Passes a request to the handler of its command.
pub(crate) async fn handle(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
) -> Result<NtStatus, Refusal> {
    let outcome: Outcome = match request.header.command {
        Command::NEGOTIATE => negotiate::handle(request, answer),
        Command::SESSION_SETUP => session_setup::handle(request, answer).await,
        Command::LOGOFF => logoff::handle(request, answer),
        Command::TREE_CONNECT => tree_connect::handle(request, answer).await,
        Command::TREE_DISCONNECT => tree_disconnect::handle(request, answer),
        Command::CREATE => create::handle(request, answer).await,
        Command::CLOSE => close::handle(request, answer).await,
        Command::FLUSH => flush::handle(request, answer).await,
        Command::READ => read::handle(request, answer).await,
        Command::WRITE => write::handle(request, answer).await,
        Command::LOCK => lock::handle(request, answer).await,
        Command::IOCTL => return ioctl::handle(request, answer).await,
        Command::QUERY_DIRECTORY => query_directory::handle(request, answer),
        Command::QUERY_INFO => query_info::handle(request, answer).await,
        Command::SET_INFO => set_info::handle(request, answer).await,
        Command::CHANGE_NOTIFY => change_notify::handle(request, answer).await,
        Command::ECHO => echo::handle(request, answer),
        Command::OPLOCK_BREAK => oplock_break::handle(request, answer).await,
        _ => Err(NtStatus::INVALID_PARAMETER),
    };
    Ok(outcome?)
}

/// The steps after an answer's bytes are complete: updates the preauthentication hash (MS-SMB2 3.3.5.4,
/// 3.3.5.5).
pub(crate) fn answered(request: &Request<'_>, status: NtStatus, message: &[u8], signer: Option<&SigningKey>) {
    match request.header.command {
        Command::NEGOTIATE if status.is_success() => request.connection.preauth().update(message),
        Command::SESSION_SETUP if status == NtStatus::MORE_PROCESSING_REQUIRED => {
            session_setup::answered(request, message, signer);
        }
        _ => {}
    }
}

/// The status for a malformed body, according to MS-SMB2 3.3.5.
pub(crate) fn malformed(error: DecodeError) -> NtStatus {
    tracing::debug!(%error, "malformed request");
    NtStatus::INVALID_PARAMETER
}

/// The user of this request, as the files of its share see it. A session without a user has ended, and must not act as
/// the server.
pub(crate) fn user_of_files(request: &Request<'_>) -> Result<Arc<User>, NtStatus> {
    let user = request.session.as_ref().and_then(|session| session.user());
    let user = user.ok_or(NtStatus::USER_SESSION_DELETED)?;
    Ok(match &request.tree {
        Some(tree) => tree.user_of_files(&request.connection.server, user),
        None => user,
    })
}

/// The actor of this request.
pub(crate) fn actor(request: &Request<'_>) -> Result<vfs::Actor, NtStatus> {
    Ok(user_of_files(request)?.actor.clone())
}

/// Checks the largest payload in either direction (MS-SMB2 3.3.5.15, 3.3.5.18 to 3.3.5.21) against the
/// negotiated limit and the credit charge.
pub(crate) fn check_transact(request: &Request<'_>, lengths: &[u32]) -> Result<(), NtStatus> {
    let negotiated = request.connection.negotiated.get().ok_or(NtStatus::INVALID_PARAMETER)?;
    let largest = lengths.iter().copied().max().unwrap_or_default();
    if largest > negotiated.max_io {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    request.check_charge(largest)
}

/// Appends the body that QUERY_DIRECTORY, QUERY_INFO and CHANGE_NOTIFY have in common (MS-SMB2 2.2.34,
/// 2.2.36, 2.2.38); `write` appends its buffer.
pub(crate) fn put_output<T>(answer: &mut AnswerBuilder, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let out = answer.body();
    let prefix = out.len();
    OutputResponse::encode_prefix(0, out);
    let start = out.len();
    let written = write(out);
    // No buffer reaches 4 GiB, because the lengths that clients may request are limited.
    let length = u32::try_from(out.len().saturating_sub(start)).unwrap_or(u32::MAX);
    if length == 0 {
        // StructureSize includes one byte of the buffer.
        out.push(0);
    }
    let mut fixed = Vec::with_capacity(start.saturating_sub(prefix));
    OutputResponse::encode_prefix(length, &mut fixed);
    if let Some(room) = out.get_mut(prefix..start) {
        room.copy_from_slice(&fixed);
    }
    written
}

/// Writes an error's body with one error context, which 3.1.1 has (MS-SMB2 2.2.2.1).
pub(crate) fn put_error_context(answer: &mut AnswerBuilder, error_id: ErrorId, data: &[u8]) {
    let (mut contexts, base) = (Vec::new(), answer.base());
    ErrorContext { error_id, data }.append(&mut contexts, 0);
    ErrorResponse { error_context_count: 1, error_data: &contexts }.encode(answer.body(), base);
}

/// Writes an error's body with the data for its status (MS-SMB2 2.2.2).
pub(crate) fn put_error_data(request: &Request<'_>, answer: &mut AnswerBuilder, data: &[u8]) {
    let base = answer.base();
    let has_contexts = request.connection.negotiated.get().is_some_and(|it| it.dialect >= Dialect::SMB311);
    if has_contexts {
        put_error_context(answer, ErrorId::DEFAULT, data);
    } else {
        ErrorResponse { error_context_count: 0, error_data: data }.encode(answer.body(), base);
    }
}
