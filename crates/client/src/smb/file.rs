//! Opens: CREATE and the requests on an open (MS-SMB2 3.2.4.3 to 3.2.4.18).

use std::fmt;

use bytes::Bytes;
use wire::create_context::{CreateContextsRequest, CreateContextsResponse};
use wire::cursor::Put;
use wire::fscc::FileInfoClass;
use wire::header::Header;
use wire::ioctl::FsctlCode;
use wire::msg::{
    AdditionalInformation, ChangeNotifyRequest, CloseFlags, CloseRequest, CloseResponse, CompletionFilter,
    CreateAction, CreateContexts, CreateDisposition, CreateOptions, CreateRequest, CreateResponse,
    FlushRequest, ImpersonationLevel, InfoType, LockElement, LockRequest, Locks, OutputResponse,
    QueryInfoRequest, ReadRequest, ReadResponse, SetInfoRequest, WatchFlags, WriteRequest, WriteResponse,
};
use wire::{
    AccessMask, Command, FileAttributes, FileId, FileTime, NtStatus, OplockLevel, ShareAccess, Utf16, utf16le,
};

use super::connection::InFlight;
use super::directory::Listing;
use super::error::Error;
use super::request::{Part, Response};
use super::tree::ClientTree;

/// The parameters of a CREATE. The default opens an existing file for reading and shares everything.
#[derive(Clone, Debug)]
pub struct CreateParameters<'a> {
    /// The name, relative to the share; empty for its root.
    pub name: &'a str,
    /// `DesiredAccess`.
    pub access: AccessMask,
    /// `ShareAccess`.
    pub share: ShareAccess,
    /// `CreateDisposition`.
    pub disposition: CreateDisposition,
    /// `CreateOptions`.
    pub options: CreateOptions,
    /// `FileAttributes` of a new file.
    pub attributes: FileAttributes,
    /// `RequestedOplockLevel`; with a lease among the contexts it is LEASE.
    pub oplock: OplockLevel,
    /// The create contexts: leases, durable handles, and so on.
    pub contexts: CreateContextsRequest<'a>,
}

/// The server's answer to a CREATE.
#[derive(Clone, Debug, Default)]
pub struct Created {
    /// `OplockLevel`.
    pub oplock: OplockLevel,
    /// `CreateAction`.
    pub action: CreateAction,
    /// `CreationTime`.
    pub creation_time: FileTime,
    /// `LastAccessTime`.
    pub last_access_time: FileTime,
    /// `LastWriteTime`.
    pub last_write_time: FileTime,
    /// `ChangeTime`.
    pub change_time: FileTime,
    /// `AllocationSize`.
    pub allocation_size: u64,
    /// `EndofFile`.
    pub end_of_file: u64,
    /// `FileAttributes`.
    pub attributes: FileAttributes,
    /// The create contexts.
    pub contexts: CreateContextsResponse,
}

/// An open. Clones are the same open; dropping them closes nothing.
#[derive(Clone)]
pub struct File {
    tree: ClientTree,
    id: FileId,
    /// The server's answer to the CREATE.
    pub created: Created,
}

impl<'a> CreateParameters<'a> {
    /// Opens an existing file for reading.
    pub fn open(name: &'a str) -> Self {
        Self {
            name,
            access: AccessMask::FILE_GENERIC_READ,
            share: ShareAccess::READ | ShareAccess::WRITE | ShareAccess::DELETE,
            disposition: CreateDisposition::OPEN,
            options: CreateOptions::NONE,
            attributes: FileAttributes::NONE,
            oplock: OplockLevel::NONE,
            contexts: CreateContextsRequest::default(),
        }
    }

    /// Opens a file for reading and writing, and creates it if it does not exist.
    pub fn read_write(name: &'a str) -> Self {
        Self {
            access: AccessMask::FILE_GENERIC_READ | AccessMask::FILE_GENERIC_WRITE | AccessMask::DELETE,
            disposition: CreateDisposition::OPEN_IF,
            options: CreateOptions::NON_DIRECTORY_FILE,
            ..Self::open(name)
        }
    }

    /// Opens a directory for listing.
    pub fn directory(name: &'a str) -> Self {
        Self { options: CreateOptions::DIRECTORY_FILE, ..Self::open(name) }
    }

    /// The request.
    pub fn part(&self) -> Result<Part, Error> {
        let name = utf16le(self.name);
        let mut contexts = Vec::new();
        self.contexts.encode(&mut contexts).map_err(|_| Error::Unable("a create context is too large"))?;
        let leased = self.contexts.lease.is_some();
        let body = CreateRequest {
            requested_oplock_level: if leased { OplockLevel::LEASE } else { self.oplock },
            impersonation_level: ImpersonationLevel::IMPERSONATION,
            desired_access: self.access,
            file_attributes: self.attributes,
            share_access: self.share,
            create_disposition: self.disposition,
            create_options: self.options,
            name: Utf16::new(&name)?,
            contexts: CreateContexts(&contexts),
        };
        Ok(Part::new(Command::CREATE, |out, base| body.encode(out, base)))
    }
}

impl File {
    pub(crate) async fn create(tree: &ClientTree, parameters: &CreateParameters<'_>) -> Result<Self, Error> {
        Self::created(tree, &tree.request(parameters.part()?).await?)
    }

    /// The open in the answer to a CREATE.
    pub fn created(tree: &ClientTree, answer: &Response) -> Result<Self, Error> {
        let body = CreateResponse::decode(&answer.message)?;
        let created = Created {
            oplock: body.oplock_level,
            action: body.create_action,
            creation_time: body.creation_time,
            last_access_time: body.last_access_time,
            last_write_time: body.last_write_time,
            change_time: body.change_time,
            allocation_size: body.allocation_size,
            end_of_file: body.end_of_file,
            attributes: body.file_attributes,
            contexts: CreateContextsResponse::decode(body.contexts)?,
        };
        Ok(Self::with_id(tree, body.file_id, created))
    }

    /// An open of that id.
    pub fn with_id(tree: &ClientTree, id: FileId, created: Created) -> Self {
        Self { tree: tree.clone(), id, created }
    }

    /// The tree connect it was opened under.
    pub const fn tree(&self) -> &ClientTree {
        &self.tree
    }

    /// `FileId`.
    pub const fn id(&self) -> FileId {
        self.id
    }

    /// READ: at most `length` bytes; STATUS_END_OF_FILE at the end of the file.
    pub async fn read(&self, offset: u64, length: u32) -> Result<Bytes, Error> {
        at_most(length, read_data(&self.tree.request(read_part(self.id, offset, length)).await?)?)
    }

    /// WRITE: returns the number of bytes written.
    pub async fn write(&self, offset: u64, data: impl Into<Bytes>) -> Result<u32, Error> {
        let data = data.into();
        let length = data.len();
        let answer = self.tree.request(write_part(self.id, offset, data)).await?;
        let count = WriteResponse::decode(&answer.message)?.count;
        if usize::try_from(count).is_ok_and(|count| count <= length) {
            Ok(count)
        } else {
            Err(Error::Protocol("more was written than was sent"))
        }
    }

    /// LOCK: locks and unlocks. It waits unless an element requests to fail immediately.
    pub async fn lock(&self, elements: &[LockElement]) -> Result<(), Error> {
        self.tree.request(lock_part(self.id, elements)).await.map(|_| ())
    }

    /// LOCK, sent and not waited for.
    pub async fn submit_lock(&self, elements: &[LockElement]) -> Result<InFlight, Error> {
        self.tree.connection().submit(self.tree.scope(), lock_part(self.id, elements)).await
    }

    /// FLUSH.
    pub async fn flush(&self) -> Result<(), Error> {
        let body = FlushRequest { file_id: self.id };
        let part = Part::new(Command::FLUSH, |out, base| body.encode(out, base));
        self.tree.request(part).await.map(|_| ())
    }

    /// QUERY_INFO. Truncated information is a success here.
    pub async fn query_info(
        &self,
        info_type: InfoType,
        class: u8,
        additional: AdditionalInformation,
        max_length: u32,
    ) -> Result<Bytes, Error> {
        let part = query_info_part(self.id, info_type, class, additional, max_length);
        let answer = self.tree.connection().request(self.tree.scope(), part).await?;
        at_most(max_length, query_info_data(answer)?)
    }

    /// SET_INFO.
    pub async fn set_info(
        &self,
        info_type: InfoType,
        class: u8,
        additional: AdditionalInformation,
        buffer: &[u8],
    ) -> Result<(), Error> {
        let body = SetInfoRequest {
            info_type,
            file_info_class: class,
            additional_information: additional,
            file_id: self.id,
            buffer,
        };
        let carried = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let part = Part::new(Command::SET_INFO, |out, base| body.encode(out, base)).carrying(carried);
        self.tree.request(part).await.map(|_| ())
    }

    /// Deletes the file when it is closed, or no longer does (FileDispositionInformation).
    pub async fn set_delete_on_close(&self, delete: bool) -> Result<(), Error> {
        let class = FileInfoClass::DISPOSITION.0;
        self.set_info(InfoType::FILE, class, AdditionalInformation::NONE, &[u8::from(delete)]).await
    }

    /// The directory's entries that match `pattern`, from the first on.
    pub fn list<'a>(&'a self, class: FileInfoClass, pattern: &str) -> Listing<'a> {
        Listing::new(self, class, pattern)
    }

    /// CHANGE_NOTIFY, sent and not waited for.
    pub async fn submit_notify(
        &self,
        filter: CompletionFilter,
        flags: WatchFlags,
        max_length: u32,
    ) -> Result<InFlight, Error> {
        let body = ChangeNotifyRequest {
            flags,
            output_buffer_length: max_length,
            file_id: self.id,
            completion_filter: filter,
        };
        let part = Part::new(Command::CHANGE_NOTIFY, |out, base| body.encode(out, base)).carrying(max_length);
        self.tree.connection().submit(self.tree.scope(), part).await
    }

    /// IOCTL with a control code of MS-FSCC 2.3: the output. Truncated output is a success here.
    pub async fn ioctl(&self, code: FsctlCode, input: &[u8], max_output: u32) -> Result<Bytes, Error> {
        self.tree.ioctl(self.id, code, input, max_output).await
    }

    /// CLOSE.
    pub async fn close(&self) -> Result<(), Error> {
        self.tree.request(close_part(self.id, CloseFlags::NONE)).await.map(|_| ())
    }

    /// CLOSE, which returns the final attributes.
    pub async fn close_and_query(&self) -> Result<CloseResponse, Error> {
        let answer = self.tree.request(close_part(self.id, CloseFlags::POSTQUERY_ATTRIB)).await?;
        Ok(CloseResponse::decode(&answer.message)?)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("id", &self.id).field("created", &self.created).finish_non_exhaustive()
    }
}

/// The data of a READ's answer, not copied.
pub fn read_data(answer: &Response) -> Result<Bytes, Error> {
    Ok(answer.message.slice_ref(ReadResponse::decode(&answer.message)?.data))
}

/// The data of an answer, unless it is longer than requested, which the caller has no room for.
pub(crate) fn at_most(asked: u32, data: Bytes) -> Result<Bytes, Error> {
    if usize::try_from(asked).is_ok_and(|asked| data.len() <= asked) {
        Ok(data)
    } else {
        Err(Error::Protocol("an answer brings more than was asked for"))
    }
}

/// A READ.
pub fn read_part(file: FileId, offset: u64, length: u32) -> Part {
    let body = ReadRequest { length, offset, file_id: file, padding: 0x50, ..ReadRequest::default() };
    Part::new(Command::READ, |out, base| body.encode(out, base)).carrying(length)
}

/// A WRITE.
pub fn write_part(file: FileId, offset: u64, data: Bytes) -> Part {
    let body = WriteRequest { offset, file_id: file, ..WriteRequest::default() };
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let part = Part::new(Command::WRITE, |out, base| {
        body.encode(out, base);
        if length > 0 {
            // The data follows without a copy: its length replaces the 0 of the body, which has none.
            out.truncate(base.saturating_add(WriteRequest::DATA_OFFSET));
            out.patch_u32(base.saturating_add(Header::SIZE + WRITE_LENGTH), length);
        }
    });
    part.with_data(data)
}

/// A QUERY_INFO.
pub fn query_info_part(
    file: FileId,
    info_type: InfoType,
    class: u8,
    additional: AdditionalInformation,
    max_length: u32,
) -> Part {
    let body = QueryInfoRequest {
        info_type,
        file_info_class: class,
        output_buffer_length: max_length,
        additional_information: additional,
        file_id: file,
        ..QueryInfoRequest::default()
    };
    Part::new(Command::QUERY_INFO, |out, base| body.encode(out, base)).carrying(max_length)
}

/// The information in a QUERY_INFO's answer, not copied. Truncated information is a success here.
pub fn query_info_data(answer: Response) -> Result<Bytes, Error> {
    let answer = answer.success_or(&[NtStatus::BUFFER_OVERFLOW])?;
    Ok(answer.message.slice_ref(OutputResponse::decode(&answer.message)?.output_buffer))
}

/// A CLOSE.
pub fn close_part(file: FileId, flags: CloseFlags) -> Part {
    let body = CloseRequest { flags, file_id: file };
    Part::new(Command::CLOSE, |out, base| body.encode(out, base))
}

fn lock_part(file: FileId, elements: &[LockElement]) -> Part {
    let mut buffer = Vec::new();
    let locks = Locks::build(elements, &mut buffer);
    let body = LockRequest { lock_sequence: 0, file_id: file, locks };
    Part::new(Command::LOCK, |out, base| body.encode(out, base))
}

/// The offset of `Length` in the body of a WRITE (MS-SMB2 2.2.21).
const WRITE_LENGTH: usize = 4;
