//! One file per command. Each handler reads as its section of MS-SMB2 3.3.5 does: it decodes, checks,
//! asks the registry, acts on the file, and writes the body of its answer.

pub(crate) mod close;
pub(crate) mod create;
pub(crate) mod echo;
pub(crate) mod flush;
pub(crate) mod lock;
pub(crate) mod logoff;
pub(crate) mod negotiate;
pub(crate) mod oplock_break;
pub(crate) mod pipe;
pub(crate) mod query_directory;
pub(crate) mod read;
pub(crate) mod session_setup;
pub(crate) mod tree_connect;
pub(crate) mod tree_disconnect;
pub(crate) mod write;

use wire::header::Command;
use wire::{DecodeError, NtStatus};

use crate::connection::{AnswerBuilder, Outcome, Request};

/// Hands a request to its command's handler.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    match request.header.command {
        Command::NEGOTIATE => negotiate::handle(request, answer),
        Command::SESSION_SETUP => session_setup::handle(request, answer),
        Command::LOGOFF => logoff::handle(request, answer),
        Command::TREE_CONNECT => tree_connect::handle(request, answer),
        Command::TREE_DISCONNECT => tree_disconnect::handle(request, answer),
        Command::CREATE => create::handle(request, answer).await,
        Command::CLOSE => close::handle(request, answer),
        Command::FLUSH => flush::handle(request, answer).await,
        Command::READ => read::handle(request, answer).await,
        Command::WRITE => write::handle(request, answer).await,
        Command::LOCK => lock::handle(request, answer).await,
        Command::ECHO => echo::handle(request, answer),
        Command::OPLOCK_BREAK => oplock_break::handle(request, answer),
        _ => Err(NtStatus::INVALID_PARAMETER),
    }
}

/// What remains to be done when an answer's bytes are known: the preauthentication hash covers them
/// (MS-SMB2 3.3.5.4, 3.3.5.5).
pub(crate) fn answered(request: &Request<'_>, status: NtStatus, message: &[u8]) {
    match request.header.command {
        Command::NEGOTIATE if status.is_success() => request.connection.preauth().update(message),
        Command::SESSION_SETUP if status == NtStatus::MORE_PROCESSING_REQUIRED => {
            session_setup::answered(request, message);
        }
        _ => {}
    }
}

/// A body that is none: MS-SMB2 3.3.5 asks for this answer throughout.
pub(crate) fn malformed(error: DecodeError) -> NtStatus {
    tracing::debug!(%error, "malformed request");
    NtStatus::INVALID_PARAMETER
}

/// A path as clients and administrators write it: `\` between components, the stream behind a colon.
pub(crate) fn display_path(path: &vfs::RelativePath) -> String {
    path.to_string().replace('/', "\\")
}
