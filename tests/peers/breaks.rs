//! Waiting for others to give up their caching (MS-SMB2 3.3.5.21.1, 3.3.5.22, MS-FSA 2.1.5.15.11), and the messages
//! meanwhile.

use client::smb::CreateParameters;
use testkit::{Setup, Subject};
use wire::create_context::{CreateContextsRequest, LeaseContext, LeaseFlags};
use wire::fscc::FileInfoClass;
use wire::fscc::named_info::RenameInfo;
use wire::header::{Command, Header};
use wire::msg::{
    AdditionalInformation, CloseFlags, CloseRequest, CreateDisposition, CreateOptions, InfoType, LeaseBreak,
    OplockBreak, SecurityMode, SetInfoRequest,
};
use wire::{AccessMask, Dialect, FileId, Guid, LeaseState, NtStatus, OplockLevel, TreeId, Utf16, utf16le};

use crate::raw::{Keys, Protection, Raw, credentials};
use Protection::{Clear, Signed};

const RH: LeaseState = LeaseState(LeaseState::READ.0 | LeaseState::HANDLE.0);

/// A client of one share.
struct Client {
    raw: Raw,
    keys: Keys,
    tree: TreeId,
}

impl Client {
    fn new(subject: &Subject, user: &str) -> Self {
        let mode = SecurityMode::SIGNING_ENABLED;
        let mut raw = Raw::speaking(subject, Dialect::SMB311, mode);
        let keys = raw.logon(credentials(subject, user), mode).expect("log on");
        let tree = raw.tree(&keys, "data", Signed(&keys));
        Self { raw, keys, tree }
    }

    fn open(&mut self, parameters: &CreateParameters<'_>) -> FileId {
        self.raw.open(&self.keys, self.tree, parameters, Clear)
    }

    /// Opens a file whose handle it caches by a lease with this key.
    fn open_leased(&mut self, name: &str, key: u8) -> FileId {
        let lease = LeaseContext { key: Guid([key; 16]), state: RH, flags: LeaseFlags::NONE, v2: None };
        let contexts = CreateContextsRequest { lease: Some(lease), ..CreateContextsRequest::default() };
        let disposition = CreateDisposition::OPEN_IF;
        let oplock = OplockLevel::LEASE;
        self.open(&CreateParameters { contexts, disposition, oplock, ..CreateParameters::read_write(name) })
    }

    fn rename(&mut self, file_id: FileId, name: &str) -> Vec<u8> {
        let name = utf16le(name);
        let name = Utf16::new(&name).expect("a name");
        let mut buffer = Vec::new();
        RenameInfo { replace_if_exists: false, root_directory: 0, name }.encode(&mut buffer);
        let body = SetInfoRequest {
            info_type: InfoType::FILE,
            file_info_class: FileInfoClass::RENAME.0,
            additional_information: AdditionalInformation::NONE,
            file_id,
            buffer: &buffer,
        };
        let (session, tree) = (self.keys.id, self.tree);
        self.raw.message(Command::SET_INFO, session, tree, |out, base| body.encode(out, base))
    }

    fn close(&mut self, file_id: FileId) {
        let body = CloseRequest { flags: CloseFlags::NONE, file_id };
        let (session, tree) = (self.keys.id, self.tree);
        let message = self.raw.message(Command::CLOSE, session, tree, |out, base| body.encode(out, base));
        assert_eq!(self.raw.ask(message, Clear).header.status, NtStatus::SUCCESS);
    }

    /// Acknowledges that nothing but reading is cached by this key.
    fn keep_reading(&mut self, key: u8) {
        let body =
            LeaseBreak { lease_key: Guid([key; 16]), lease_state: LeaseState::READ, ..LeaseBreak::default() };
        let (session, tree) = (self.keys.id, self.tree);
        let message =
            self.raw.message(Command::OPLOCK_BREAK, session, tree, |out, base| body.encode(out, base));
        assert_eq!(self.raw.ask(message, Clear).header.status, NtStatus::SUCCESS);
    }

    fn hear_break(&mut self) {
        assert_eq!(self.raw.receive(&[]).expect("a break").header.command, Command::OPLOCK_BREAK);
    }
}

/// Opens a file for renaming.
fn to_rename(name: &str) -> CreateParameters<'_> {
    CreateParameters {
        access: AccessMask::DELETE | AccessMask::READ_ATTRIBUTES,
        ..CreateParameters::open(name)
    }
}

#[test]
fn a_rename_waits_without_an_interim_answer() {
    let subject = Subject::start(&Setup::default());
    let (mut holder, mut renamer) = (Client::new(&subject, "alice"), Client::new(&subject, "bob"));
    let _ = holder.open_leased("old.txt", 1);
    let file = renamer.open(&to_rename("old.txt"));
    let message = renamer.rename(file, "new.txt");
    let id = Header::decode(&message).expect("a header").message_id;
    renamer.raw.send(message, Clear);
    holder.hear_break();
    holder.keep_reading(1);
    let heard = renamer.raw.receive(&[]).expect("an answer").header;
    assert_eq!((heard.message_id, heard.status), (id, NtStatus::SUCCESS), "the first that comes");
}

#[test]
fn an_open_during_the_breaks_blocks_a_directorys_rename() {
    let subject = Subject::start(&Setup::default());
    let (mut holder, mut renamer) = (Client::new(&subject, "alice"), Client::new(&subject, "bob"));
    let options = CreateOptions::DIRECTORY_FILE;
    let directory = CreateParameters { disposition: CreateDisposition::CREATE, options, ..to_rename("dir") };
    let directory = renamer.open(&directory);
    let first = holder.open_leased("dir\\first.txt", 1);
    let message = renamer.rename(directory, "moved");
    let id = Header::decode(&message).expect("a header").message_id;
    renamer.raw.send(message, Clear);
    holder.hear_break();
    let second = holder.open_leased("dir\\second.txt", 2);
    holder.close(first);
    // The second open causes no wait: the socket's time limit is shorter than that of a break.
    let heard = renamer.raw.answer_to(id, &[]).expect("an answer").header;
    assert_eq!(heard.status, NtStatus::ACCESS_DENIED);
    holder.close(second);
    let message = renamer.rename(directory, "moved");
    assert_eq!(renamer.raw.ask(message, Clear).header.status, NtStatus::SUCCESS);
}

#[test]
fn an_open_file_blocks_a_directorys_rename_at_once() {
    let subject = Subject::start(&Setup::default());
    let (mut holder, mut renamer) = (Client::new(&subject, "alice"), Client::new(&subject, "bob"));
    let options = CreateOptions::DIRECTORY_FILE;
    let directory = CreateParameters { disposition: CreateDisposition::CREATE, options, ..to_rename("dir") };
    let directory = renamer.open(&directory);
    for (name, key) in [("dir\\first.txt", 1), ("dir\\second.txt", 2)] {
        holder.open_leased(name, key);
    }
    let message = renamer.rename(directory, "moved");
    let id = Header::decode(&message).expect("a header").message_id;
    renamer.raw.send(message, Clear);
    holder.hear_break();
    holder.keep_reading(1);
    let heard = renamer.raw.answer_to(id, &[]).expect("an answer").header;
    assert_eq!(heard.status, NtStatus::ACCESS_DENIED, "the second is not asked");
}

#[test]
fn an_acknowledgment_with_an_unknown_tree_id_is_refused() {
    let subject = Subject::start(&Setup::default());
    let mut holder = Client::new(&subject, "alice");
    let file = CreateParameters { oplock: OplockLevel::BATCH, ..CreateParameters::read_write("cached.txt") };
    let file_id = holder.open(&file);
    let session = holder.keys.id;
    let body = OplockBreak { oplock_level: OplockLevel::NONE, file_id };
    let message = holder
        .raw
        .message(Command::OPLOCK_BREAK, session, TreeId(u32::MAX), |out, base| body.encode(out, base));
    assert_eq!(holder.raw.ask(message, Clear).header.status, NtStatus::NETWORK_NAME_DELETED);
}
