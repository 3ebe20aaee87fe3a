//! The answers to requests that ordinary clients rarely send, message by message.

use std::fs;

use client::smb::CreateParameters;
use testkit::{Setup, Subject};
use wire::fscc::FileInfoClass;
use wire::fscc::ea::{EaEntry, decode_eas, encode_eas};
use wire::fscc::file_info::DispositionFlags;
use wire::header::{Command, Header};
use wire::ioctl::FsctlCode;
use wire::msg::{
    AdditionalInformation, CloseFlags, CloseRequest, CreateDisposition, CreateOptions, ImpersonationLevel,
    InfoType, IoctlFlags, IoctlRequest, IoctlResponse, LockElement, LockFlags, LockRequest, Locks,
    OutputResponse, QueryInfoFlags, QueryInfoRequest, SecurityMode, SetInfoRequest, WriteFlags, WriteRequest,
};
use wire::{Dialect, FileId, NtStatus, TreeId};

use crate::raw::{Keys, Protection, Raw, Received, credentials};

/// A user's tree connect.
struct Place {
    raw: Raw,
    keys: Keys,
    tree: TreeId,
}

impl Place {
    fn of(subject: &Subject, user: &str, share: &str) -> Self {
        let mode = SecurityMode::SIGNING_ENABLED;
        let mut raw = Raw::speaking(subject, Dialect::SMB311, mode);
        let keys = raw.logon(credentials(subject, user), mode).expect("log on");
        let tree = raw.tree(&keys, share, Protection::Signed(&keys));
        Self { raw, keys, tree }
    }

    fn ask(&mut self, command: Command, body: impl FnOnce(&mut Vec<u8>, usize)) -> Received {
        let message = self.raw.message(command, self.keys.id, self.tree, body);
        self.raw.ask(message, Protection::Signed(&self.keys))
    }

    fn open(&mut self, parameters: &CreateParameters<'_>) -> FileId {
        self.raw.open(&self.keys, self.tree, parameters, Protection::Signed(&self.keys))
    }

    /// The status of a CREATE, which is changed before it is sent.
    fn create(&mut self, parameters: &CreateParameters<'_>, change: impl FnOnce(&mut Vec<u8>)) -> NtStatus {
        let mut message = self.raw.create(self.keys.id, self.tree, parameters);
        change(&mut message);
        self.raw.ask(message, Protection::Signed(&self.keys)).header.status
    }

    fn close(&mut self, file_id: FileId) -> NtStatus {
        let body = CloseRequest { flags: CloseFlags::NONE, file_id };
        self.ask(Command::CLOSE, |out, base| body.encode(out, base)).header.status
    }

    fn set(&mut self, file_id: FileId, class: FileInfoClass, buffer: &[u8]) -> NtStatus {
        let body = SetInfoRequest {
            info_type: InfoType::FILE,
            file_info_class: class.0,
            additional_information: AdditionalInformation::NONE,
            file_id,
            buffer,
        };
        self.ask(Command::SET_INFO, |out, base| body.encode(out, base)).header.status
    }

    fn dispose(&mut self, file_id: FileId, flags: &[DispositionFlags]) -> NtStatus {
        let flags = flags.iter().fold(0, |all, flag| all | flag.0);
        self.set(file_id, FileInfoClass::DISPOSITION_EX, &flags.to_le_bytes())
    }

    /// The names of the extended attributes in the answer to a query.
    fn eas(&mut self, file_id: FileId, flags: QueryInfoFlags, index: u32) -> Result<String, NtStatus> {
        let body = QueryInfoRequest {
            info_type: InfoType::FILE,
            file_info_class: FileInfoClass::FULL_EA.0,
            output_buffer_length: 1000,
            additional_information: AdditionalInformation(index),
            flags,
            file_id,
            input_buffer: &[],
        };
        let heard = self.ask(Command::QUERY_INFO, |out, base| body.encode(out, base));
        if !heard.header.status.is_success() {
            return Err(heard.header.status);
        }
        let told = OutputResponse::decode(&heard.message).expect("QUERY_INFO").output_buffer;
        Ok(decode_eas(told).map(|ea| String::from_utf8_lossy(ea.expect("an EA").name).into_owned()).collect())
    }

    fn snapshots(&mut self, file_id: FileId, most: u32) -> Result<Vec<u8>, NtStatus> {
        let body = IoctlRequest {
            ctl_code: FsctlCode::SRV_ENUMERATE_SNAPSHOTS.0,
            file_id,
            max_output_response: most,
            flags: IoctlFlags::IS_FSCTL,
            ..IoctlRequest::default()
        };
        let heard = self.ask(Command::IOCTL, |out, base| body.encode(out, base));
        match heard.header.status {
            NtStatus::SUCCESS => Ok(IoctlResponse::decode(&heard.message).expect("IOCTL").output.to_vec()),
            status => Err(status),
        }
    }
}

/// MS-SMB2 2.2.37, MS-FSA 2.1.5.12.12.
#[test]
fn a_scan_of_extended_attributes_ends() {
    let subject = Subject::start(&Setup::default());
    let mut place = Place::of(&subject, "alice", "data");
    let file = place.open(&CreateParameters::read_write("f"));
    let mut list = Vec::new();
    let entries = ["ONE", "TWO", "SIX"].map(|name| EaEntry { flags: 0, name: name.as_bytes(), value: b"v" });
    let _ = encode_eas(entries, &mut list, 1000);
    assert_eq!(place.set(file, FileInfoClass::FULL_EA, &list), NtStatus::SUCCESS);
    let single = QueryInfoFlags::RETURN_SINGLE_ENTRY;
    let mut told = Vec::new();
    let end = loop {
        match place.eas(file, single, 0) {
            Ok(name) => told.push(name),
            Err(status) => break status,
        }
        assert!(told.len() <= 3, "{told:?}");
    };
    assert_eq!((told.len(), end), (3, NtStatus::NO_MORE_EAS));
    let all = told.concat();
    assert_eq!(place.eas(file, single | QueryInfoFlags::RESTART_SCAN, 0), Ok(told[0].clone()));
    assert_eq!(place.eas(file, QueryInfoFlags::NONE, 0), Ok(told[1..].concat()));
    assert_eq!(place.eas(file, QueryInfoFlags::INDEX_SPECIFIED, 3), Ok(told[2].clone()));
    assert_eq!(place.eas(file, QueryInfoFlags::RESTART_SCAN, 0), Ok(all.clone()));
    // Each open has its own.
    let other = place.open(&CreateParameters::read_write("f"));
    assert_eq!(place.eas(other, QueryInfoFlags::NONE, 0), Ok(all));
}

#[test]
fn directories_are_neither_overwritten_nor_locked() {
    let subject = Subject::start(&Setup::default());
    fs::create_dir(subject.share_dir("data").join("d")).expect("create a directory");
    let mut place = Place::of(&subject, "alice", "data");
    for (name, options, status) in [
        ("d", CreateOptions::NONE, NtStatus::OBJECT_NAME_COLLISION),
        ("", CreateOptions::NONE, NtStatus::ACCESS_DENIED),
        ("d", CreateOptions::NON_DIRECTORY_FILE, NtStatus::FILE_IS_A_DIRECTORY),
        ("d", CreateOptions::DIRECTORY_FILE, NtStatus::INVALID_PARAMETER),
    ] {
        for disposition in
            [CreateDisposition::SUPERSEDE, CreateDisposition::OVERWRITE, CreateDisposition::OVERWRITE_IF]
        {
            let wish = CreateParameters { disposition, options, ..CreateParameters::read_write(name) };
            assert_eq!(place.create(&wish, |_| ()), status, "{name:?} {options:?} {disposition:?}");
        }
    }
    let file_id = place.open(&CreateParameters::directory("d"));
    let locks = [LockElement { offset: 0, length: 1, flags: LockFlags::EXCLUSIVE_LOCK }];
    let mut list = Vec::new();
    let body = LockRequest { lock_sequence: 0, file_id, locks: Locks::build(&locks, &mut list) };
    let heard = place.ask(Command::LOCK, |out, base| body.encode(out, base));
    assert_eq!(heard.header.status, NtStatus::INVALID_PARAMETER);
}

#[test]
fn pipes_refuse_delegation_and_write_through() {
    let subject = Subject::start(&Setup::default());
    let mut place = Place::of(&subject, "alice", "IPC$");
    let pipe = CreateParameters::read_write("srvsvc");
    let pipe = CreateParameters { disposition: CreateDisposition::OPEN, ..pipe };
    for (level, status) in [
        (ImpersonationLevel::IDENTIFICATION, NtStatus::SUCCESS),
        (ImpersonationLevel::IMPERSONATION, NtStatus::SUCCESS),
        (ImpersonationLevel::DELEGATE, NtStatus::BAD_IMPERSONATION_LEVEL),
        (ImpersonationLevel(4), NtStatus::BAD_IMPERSONATION_LEVEL),
    ] {
        let set = |message: &mut Vec<u8>| {
            message[Header::SIZE + 4..][..4].copy_from_slice(&level.0.to_le_bytes());
        };
        assert_eq!(place.create(&pipe, set), status, "{level:?}");
    }
    let file_id = place.open(&pipe);
    for flags in [WriteFlags::WRITE_THROUGH, WriteFlags::WRITE_UNBUFFERED] {
        let body = WriteRequest { file_id, flags, data: b"bytes", ..WriteRequest::default() };
        let heard = place.ask(Command::WRITE, |out, base| body.encode(out, base));
        assert_eq!(heard.header.status, NtStatus::INVALID_PARAMETER, "{flags:?}");
    }
}

/// MS-SMB2 3.3.5.15.1.
#[test]
fn the_list_of_previous_versions_is_empty() {
    let subject = Subject::start(&Setup::default());
    let mut place = Place::of(&subject, "alice", "data");
    for root in [CreateParameters::directory(""), CreateParameters::read_write("f")] {
        let file = place.open(&root);
        let list = place.snapshots(file, 16).expect("a list");
        assert_eq!((list.len(), &list[..8]), (16, &[0; 8][..]), "{list:?}");
        assert_eq!(place.snapshots(file, 15), Err(NtStatus::INVALID_PARAMETER));
    }
}

/// MS-FSA 2.1.5.15.14.
#[test]
fn only_administrators_may_set_the_valid_data_length() {
    let subject = Subject::start(&Setup::default());
    let file = CreateParameters::read_write("f");
    let class = FileInfoClass::VALID_DATA_LENGTH;
    for (user, right) in [("admin", NtStatus::SUCCESS), ("alice", NtStatus::PRIVILEGE_NOT_HELD)] {
        let mut place = Place::of(&subject, user, "data");
        let id = place.open(&CreateParameters { name: user, ..file.clone() });
        fs::write(subject.share_dir("data").join(user), [7; 100]).expect("write");
        let wrong = if right.is_success() { NtStatus::INVALID_PARAMETER } else { right };
        for (length, status) in
            [(100_i64, right), (99, wrong), (101, wrong), (-1, NtStatus::INVALID_PARAMETER)]
        {
            assert_eq!(place.set(id, class, &length.to_le_bytes()), status, "{user}: {length}");
        }
        assert_eq!(place.set(id, class, &[0; 7]), NtStatus::INFO_LENGTH_MISMATCH);
        let reads = CreateParameters { disposition: CreateDisposition::OPEN, ..CreateParameters::open(user) };
        let reads = place.open(&reads);
        assert_eq!(place.set(reads, class, &100_i64.to_le_bytes()), NtStatus::ACCESS_DENIED);
    }
}

#[test]
fn a_posix_delete_removes_the_name_with_its_open() {
    let subject = Subject::start(&Setup::default());
    let directory = subject.share_dir("data");
    let mut place = Place::of(&subject, "alice", "data");
    let posix = [DispositionFlags::DELETE, DispositionFlags::POSIX_SEMANTICS];
    let everything = |name| CreateParameters {
        access: wire::AccessMask::FILE_ALL,
        share: wire::ShareAccess(7),
        ..CreateParameters::read_write(name)
    };
    let other = place.open(&everything("f"));
    let one = place.open(&everything("f"));
    assert_eq!(place.dispose(one, &posix), NtStatus::SUCCESS);
    assert_eq!(place.create(&everything("f"), |_| ()), NtStatus::DELETE_PENDING);
    assert_eq!(place.close(one), NtStatus::SUCCESS);
    assert!(!directory.join("f").exists());
    // The other open continues, with a file without a name; another file can use the name.
    let body = WriteRequest { file_id: other, data: b"still there", ..WriteRequest::default() };
    assert_eq!(
        place.ask(Command::WRITE, |out, base| body.encode(out, base)).header.status,
        NtStatus::SUCCESS
    );
    let new = place.open(&everything("f"));
    let body = WriteRequest { file_id: new, data: b"new", ..WriteRequest::default() };
    assert_eq!(
        place.ask(Command::WRITE, |out, base| body.encode(out, base)).header.status,
        NtStatus::SUCCESS
    );
    place.dispose(other, &[DispositionFlags::DELETE]);
    assert_eq!((place.close(other), place.close(new)), (NtStatus::SUCCESS, NtStatus::SUCCESS));
    assert_eq!(fs::read(directory.join("f")).expect("the new file"), b"new");

    // An empty directory, even if it is watched.
    let options = CreateOptions::DIRECTORY_FILE;
    let wish = CreateParameters { options, ..everything("d") };
    let (watches, deletes) = (place.open(&wish), place.open(&wish));
    assert_eq!(place.dispose(deletes, &posix), NtStatus::SUCCESS);
    assert_eq!(place.close(deletes), NtStatus::SUCCESS);
    assert!(!directory.join("d").exists());
    assert_eq!(place.close(watches), NtStatus::SUCCESS);
}

#[test]
fn delete_on_close_of_a_create_can_be_cleared() {
    let subject = Subject::start(&Setup::default());
    let there = |name: &str| subject.share_dir("data").join(name).exists();
    let mut place = Place::of(&subject, "alice", "data");
    let everything = |name, options| CreateParameters {
        access: wire::AccessMask::FILE_ALL,
        options,
        ..CreateParameters::read_write(name)
    };
    let (set, clear) = ([DispositionFlags::DELETE, DispositionFlags::ON_CLOSE], [DispositionFlags::ON_CLOSE]);
    let plain = place.open(&everything("f", CreateOptions::NONE));
    assert_eq!(place.dispose(plain, &set), NtStatus::NOT_SUPPORTED);
    assert_eq!(place.dispose(plain, &[DispositionFlags(0x20)]), NtStatus::INVALID_PARAMETER);
    assert_eq!(place.close(plain), NtStatus::SUCCESS);
    for (changes, stays) in [(&[&clear[..]][..], true), (&[&clear[..], &set[..]], false)] {
        let open = place.open(&everything("f", CreateOptions::DELETE_ON_CLOSE));
        for flags in changes {
            assert_eq!(place.dispose(open, flags), NtStatus::SUCCESS);
        }
        assert_eq!(place.close(open), NtStatus::SUCCESS);
        assert_eq!(there("f"), stays);
    }
}
