//! RPC over a named pipe (MS-RPCE 2.1.1.2), each call one FSCTL_PIPE_TRANSCEIVE (MS-SMB2 3.2.4.20.4).

use bytes::Bytes;
use rpc::{Call, ClientAssociation, InterfaceId};
use wire::ioctl::FsctlCode;
use wire::msg::{CreateDisposition, CreateOptions};
use wire::{AccessMask, Command, FileId, NtStatus, ShareAccess};

use super::error::Error;
use super::file::{CreateParameters, File, at_most, read_data, read_part};
use super::limits::{BIND_ANSWER_MAX, CALL_TIME_MAX, PIPE_BYTES};
use super::session::ClientSession;
use super::tree::{ClientTree, output};

/// A pipe, bound to one interface.
#[derive(Debug)]
pub struct Pipe {
    file: File,
    association: ClientAssociation,
}

impl Pipe {
    /// Connects to `IPC$`, opens the pipe of that name and binds to the interface.
    pub async fn connect(session: &ClientSession, name: &str, interface: InterfaceId) -> Result<Self, Error> {
        let server = &session.connection().options().server_name;
        let tree = session.tree_connect(&format!(r"\\{server}\IPC$")).await?;
        Self::open(&tree, name, interface).await
    }

    /// Opens the pipe of that name under a tree connect to `IPC$` and binds to the interface.
    pub async fn open(tree: &ClientTree, name: &str, interface: InterfaceId) -> Result<Self, Error> {
        limited(Command::CREATE, Self::open_unlimited(tree, name, interface)).await
    }

    async fn open_unlimited(tree: &ClientTree, name: &str, interface: InterfaceId) -> Result<Self, Error> {
        let file = tree.open_pipe(name).await?;
        let mut pipe = Self { file, association: ClientAssociation::new(interface) };
        let (first, mut more) = pipe.transceive(&pipe.association.bind()).await?;
        let mut ack = first.to_vec();
        while more {
            let (rest, behind) = pipe.read().await?;
            ack.extend_from_slice(&rest);
            if ack.len() > BIND_ANSWER_MAX {
                return Err(Error::Protocol("the answer to a bind does not end"));
            }
            more = behind;
        }
        pipe.association.handle_bind_ack(&ack)?;
        Ok(pipe)
    }

    /// The open of the pipe.
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Makes a call. The response contains the call's own result.
    pub async fn call<C: Call>(&mut self, call: &C) -> Result<C::Response, Error> {
        limited(Command::IOCTL, self.call_unlimited(call)).await
    }

    async fn call_unlimited<C: Call>(&mut self, call: &C) -> Result<C::Response, Error> {
        let mut fragments = self.association.request(call);
        let last = fragments.pop().ok_or(Error::Unable("a call without fragments"))?;
        for fragment in fragments {
            self.file.write(0, fragment).await?;
        }
        let (mut bytes, _) = self.transceive(&last).await?;
        loop {
            if let Some(response) = self.association.handle_response_of::<C>(&bytes)? {
                return Ok(response);
            }
            (bytes, _) = self.read().await?;
        }
    }

    /// Closes the pipe.
    pub async fn close(self) -> Result<(), Error> {
        self.file.close().await
    }

    /// The data that was received, and true if the message continues.
    async fn transceive(&self, input: &[u8]) -> Result<(Bytes, bool), Error> {
        let tree = self.file.tree();
        let id: FileId = self.file.id();
        let answer =
            tree.ioctl_scoped(tree.scope(), id, FsctlCode::PIPE_TRANSCEIVE, input, PIPE_BYTES).await?;
        let answer = answer.success_or(&[NtStatus::BUFFER_OVERFLOW])?;
        Ok((at_most(PIPE_BYTES, output(&answer)?)?, answer.status() == NtStatus::BUFFER_OVERFLOW))
    }

    async fn read(&self) -> Result<(Bytes, bool), Error> {
        let tree = self.file.tree();
        let answer =
            tree.connection().request(tree.scope(), read_part(self.file.id(), 0, PIPE_BYTES)).await?;
        let answer = answer.success_or(&[NtStatus::BUFFER_OVERFLOW])?;
        let data = at_most(PIPE_BYTES, read_data(&answer)?)?;
        if data.is_empty() {
            return Err(Error::Protocol("a pipe ends within an answer"));
        }
        Ok((data, answer.status() == NtStatus::BUFFER_OVERFLOW))
    }
}

/// The result of `work` within [`CALL_TIME_MAX`]: each exchange has its own limit, but the server determines their
/// number.
async fn limited<T>(command: Command, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(CALL_TIME_MAX, work).await.unwrap_or(Err(Error::TimedOut(command)))
}

impl ClientTree {
    /// Opens the pipe of that name under this tree connect to `IPC$`, for reading and writing as a byte stream.
    pub(crate) async fn open_pipe(&self, name: &str) -> Result<File, Error> {
        let parameters = CreateParameters {
            access: AccessMask::FILE_GENERIC_READ | AccessMask::FILE_GENERIC_WRITE,
            share: ShareAccess::READ | ShareAccess::WRITE,
            disposition: CreateDisposition::OPEN,
            options: CreateOptions::NONE,
            ..CreateParameters::open(name)
        };
        self.create(&parameters).await
    }
}
