//! Required signing and encryption, and the keys for them (MS-SMB2 3.3.5.2 to 3.3.5.8, 3.3.5.16, 3.3.5.22).

use client::smb::CreateParameters;
use testkit::{Setup, Subject};
use wire::header::{Command, Header};
use wire::msg::{
    CancelRequest, CloseFlags, CloseRequest, EchoRequest, LockElement, LockFlags, LockRequest, Locks,
    LogoffRequest, OplockBreak, SecurityMode, TreeDisconnectRequest,
};
use wire::{Dialect, FileId, HeaderFlags, MessageId, NtStatus, OplockLevel, SessionId, TreeId, TreeOrAsync};

use crate::raw::{Keys, Protection, Raw, credentials, framed};
use Protection::{Clear, Sealed, SealedWithFlags, Signed};

const ENABLED: SecurityMode = SecurityMode::SIGNING_ENABLED;
const REQUIRED: SecurityMode =
    SecurityMode(SecurityMode::SIGNING_ENABLED.0 | SecurityMode::SIGNING_REQUIRED.0);

/// A connection of SMB 3.1.1 on which a user is logged on.
fn logged_on(subject: &Subject, user: &str) -> (Raw, Keys) {
    let mut raw = Raw::speaking(subject, Dialect::SMB311, ENABLED);
    let keys = raw.logon(credentials(subject, user), ENABLED).expect("log on");
    (raw, keys)
}

/// An ECHO that names a session.
fn echo(raw: &mut Raw, session: SessionId) -> Vec<u8> {
    raw.message(Command::ECHO, session, TreeId(0), |out, base| EchoRequest.encode(out, base))
}

fn close(raw: &mut Raw, session: SessionId, tree: TreeId, file_id: FileId) -> Vec<u8> {
    let body = CloseRequest { flags: CloseFlags::NONE, file_id };
    raw.message(Command::CLOSE, session, tree, |out, base| body.encode(out, base))
}

#[test]
fn signing_required_by_negotiate_is_required() {
    let subject = Subject::start(&Setup::default());
    for dialect in [Dialect::SMB210, Dialect::SMB300, Dialect::SMB302, Dialect::SMB311] {
        for (negotiated, set_up) in [(ENABLED, ENABLED), (ENABLED, REQUIRED), (REQUIRED, ENABLED)] {
            let mut raw = Raw::speaking(&subject, dialect, negotiated);
            let keys = raw.logon(credentials(&subject, "alice"), set_up).expect("log on");
            let is_required = negotiated == REQUIRED || set_up == REQUIRED;
            let message = echo(&mut raw, keys.id);
            let expected = if is_required { NtStatus::ACCESS_DENIED } else { NtStatus::SUCCESS };
            assert_eq!(
                raw.ask(message, Clear).header.status,
                expected,
                "{dialect:?} {negotiated:?} {set_up:?}"
            );
            let message = raw.tree_connect(keys.id, "data");
            assert_eq!(raw.ask(message, Signed(&keys)).header.status, NtStatus::SUCCESS);
        }
    }
}

#[test]
fn a_negotiate_with_the_signed_flag_is_refused() {
    let subject = Subject::start(&Setup::default());
    let mut raw = Raw::connect(&subject);
    assert_eq!(raw.negotiate(Dialect::SMB302, ENABLED, true), NtStatus::INVALID_PARAMETER);
    assert_eq!(raw.negotiate(Dialect::SMB302, ENABLED, false), NtStatus::SUCCESS);
    assert!(raw.logon(credentials(&subject, "alice"), ENABLED).is_ok());
}

/// MS-SMB2 3.3.5.2.4: there is no key that a first logon could be signed with.
#[test]
fn a_first_session_setup_with_the_signed_flag_is_refused() {
    let subject = Subject::start(&Setup::default());
    let (mut raw, alice) = logged_on(&subject, "alice");
    let token = [0_u8; 8];
    let message = raw.session_setup(SessionId(0), ENABLED, SessionId(0), &token);
    assert_eq!(raw.ask(message, Signed(&alice)).header.status, NtStatus::USER_SESSION_DELETED);
    let message = echo(&mut raw, SessionId(0));
    assert_eq!(raw.ask(message, Signed(&alice)).header.status, NtStatus::USER_SESSION_DELETED);
    let message = echo(&mut raw, alice.id);
    assert_eq!(raw.ask(message, Signed(&alice)).header.status, NtStatus::SUCCESS);
}

/// MS-SMB2 3.3.5.2.9.
#[test]
fn logoff_ends_a_logon_in_progress() {
    let subject = Subject::start(&Setup::default());
    let mut raw = Raw::speaking(&subject, Dialect::SMB311, ENABLED);
    let begun = raw.begin_logon(credentials(&subject, "alice"));
    let logoff = |raw: &mut Raw| {
        raw.message(Command::LOGOFF, begun, TreeId(0), |out, base| LogoffRequest.encode(out, base))
    };
    let message = echo(&mut raw, begun);
    assert_eq!(raw.ask(message, Clear).header.status, NtStatus::USER_SESSION_DELETED);
    let message = logoff(&mut raw);
    assert_eq!(raw.ask(message, Clear).header.status, NtStatus::SUCCESS);
    let message = logoff(&mut raw);
    assert_eq!(raw.ask(message, Clear).header.status, NtStatus::USER_SESSION_DELETED);
    assert!(raw.logon(credentials(&subject, "alice"), ENABLED).is_ok());
}

/// MS-SMB2 3.3.5.7.
#[test]
fn tree_connect_takes_a_path_of_a_server_and_a_share() {
    let subject = Subject::start(&Setup::default());
    let (mut raw, keys) = logged_on(&subject, "alice");
    for (path, status) in [
        (r"\\127.0.0.1\data", NtStatus::SUCCESS),
        (r"\\127.0.0.1\nothing", NtStatus::BAD_NETWORK_NAME),
        (r"\\127.0.0.1", NtStatus::INVALID_PARAMETER),
        (r"\\127.0.0.1\", NtStatus::INVALID_PARAMETER),
        (r"\\127.0.0.1\data\deeper", NtStatus::INVALID_PARAMETER),
        ("data", NtStatus::INVALID_PARAMETER),
        ("", NtStatus::INVALID_PARAMETER),
    ] {
        let message = raw.tree_connect_path(keys.id, path);
        assert_eq!(raw.ask(message, Signed(&keys)).header.status, status, "{path}");
    }
}

#[test]
fn tree_connect_of_311_is_signed_or_sealed() {
    let subject = Subject::start(&Setup::default());
    for (dialect, ends) in [(Dialect::SMB302, false), (Dialect::SMB311, true)] {
        let mut raw = Raw::speaking(&subject, dialect, ENABLED);
        let keys = raw.logon(credentials(&subject, "alice"), ENABLED).expect("log on");
        raw.tree(&keys, "data", Signed(&keys));
        raw.tree(&keys, "data", Sealed(&keys));
        let message = raw.tree_connect(keys.id, "data");
        let heard = raw.try_ask(message, Clear);
        assert_eq!(heard.is_none(), ends, "{dialect:?}");
    }
    // An anonymous session has no key for it.
    let mut raw = Raw::speaking(&subject, Dialect::SMB311, ENABLED);
    let nobody = raw.logon(auth::Credentials::anonymous(), ENABLED).expect("log nobody on");
    raw.tree(&nobody, "IPC$", Clear);
}

/// The keys of a session are those of its first logon, and anybody has the keys of an anonymous one.
#[test]
fn an_anonymous_session_cannot_become_a_users() {
    let subject = Subject::start(&Setup::default());
    for dialect in [Dialect::SMB302, Dialect::SMB311] {
        let mut raw = Raw::speaking(&subject, dialect, ENABLED);
        let nobody = raw.logon(auth::Credentials::anonymous(), ENABLED).expect("log nobody on");
        let refused = raw.logon_again(nobody.id, credentials(&subject, "alice"));
        assert_eq!(refused.map(|_| ()), Err(NtStatus::ACCESS_DENIED), "{dialect:?}");
        let alice = raw.logon(credentials(&subject, "alice"), ENABLED).expect("log on");
        raw.tree(&alice, "data", Signed(&alice));
    }
}

#[test]
fn requests_sealed_for_another_session_end_the_connection() {
    let subject = Subject::start(&Setup::default());
    let request = |raw: &mut Raw, command: Command, session: SessionId| match command {
        Command::SESSION_SETUP => raw.session_setup(session, ENABLED, SessionId(0), b"no token"),
        Command::TREE_CONNECT => raw.tree_connect(session, "data"),
        _ => echo(raw, session),
    };
    for command in [Command::SESSION_SETUP, Command::TREE_CONNECT, Command::ECHO] {
        for is_new in [false, true] {
            let (mut raw, alice) = logged_on(&subject, "alice");
            let bob = raw.logon(credentials(&subject, "bob"), ENABLED).expect("log on");
            let message = echo(&mut raw, alice.id);
            assert_eq!(raw.ask(message, Sealed(&alice)).header.status, NtStatus::SUCCESS);
            let of = if is_new { SessionId(0) } else { bob.id };
            let message = request(&mut raw, command, of);
            assert!(raw.try_ask(message, Sealed(&alice)).is_none(), "{command:?} {of:?}");
        }
    }
}

/// MS-SMB2 3.3.5.2.1.1.
#[test]
fn transform_headers_with_other_flags_end_the_connection() {
    let subject = Subject::start(&Setup::default());
    for dialect in [Dialect::SMB302, Dialect::SMB311] {
        for flags in [1, 0, 2, 3, 0x8001] {
            let mut raw = Raw::speaking(&subject, dialect, ENABLED);
            let keys = raw.logon(credentials(&subject, "alice"), ENABLED).expect("log on");
            let message = echo(&mut raw, keys.id);
            let heard = raw.try_ask(message, SealedWithFlags(&keys, flags));
            assert_eq!(heard.is_some(), flags == 1, "{dialect:?} {flags}");
        }
    }
}

/// MS-SMB2 3.3.5.2.11.
#[test]
fn an_encrypted_share_requires_and_sends_sealed_messages() {
    let subject = Subject::start(&Setup::default());
    let (mut raw, keys) = logged_on(&subject, "alice");
    let tree = raw.tree(&keys, "sealed", Signed(&keys));
    let file = CreateParameters { oplock: OplockLevel::BATCH, ..CreateParameters::read_write("secret.txt") };
    let file = raw.open(&keys, tree, &file, Sealed(&keys));
    let acknowledge = |raw: &mut Raw| {
        let body = OplockBreak { oplock_level: OplockLevel::NONE, file_id: file };
        raw.message(Command::OPLOCK_BREAK, keys.id, tree, |out, base| body.encode(out, base))
    };
    let disconnect = |raw: &mut Raw| {
        raw.message(Command::TREE_DISCONNECT, keys.id, tree, |out, base| {
            TreeDisconnectRequest.encode(out, base)
        })
    };
    for protection in [Clear, Signed(&keys)] {
        let message = close(&mut raw, keys.id, tree, file);
        assert_eq!(raw.ask(message, protection).header.status, NtStatus::ACCESS_DENIED);
        let message = acknowledge(&mut raw);
        assert_eq!(raw.ask(message, protection).header.status, NtStatus::ACCESS_DENIED);
        let message = disconnect(&mut raw);
        assert_eq!(raw.ask(message, protection).header.status, NtStatus::ACCESS_DENIED);
    }

    // The break notification does not reveal the open file without encryption.
    let (mut other, bob) = logged_on(&subject, "bob");
    let others = other.tree(&bob, "sealed", Signed(&bob));
    let message = other.create(bob.id, others, &CreateParameters::open("secret.txt"));
    let opening = Header::decode(&message).expect("a header").message_id;
    other.send(message, Sealed(&bob));
    let notice = raw.receive(&[&keys]).expect("a break");
    assert_eq!((notice.header.command, notice.sealed), (Command::OPLOCK_BREAK, true));
    let message = acknowledge(&mut raw);
    assert_eq!(raw.ask(message, Sealed(&keys)).header.status, NtStatus::SUCCESS);
    assert_eq!(other.answer_to(opening, &[&bob]).expect("an answer").header.status, NtStatus::SUCCESS);
    let message = disconnect(&mut raw);
    assert_eq!(raw.ask(message, Sealed(&keys)).header.status, NtStatus::SUCCESS);
}

/// A lock that one open holds and another waits for, on one connection.
struct Waiting {
    raw: Raw,
    keys: Keys,
    tree: TreeId,
    holds: FileId,
    waits: MessageId,
    /// The AsyncId of the waiting request.
    id: TreeOrAsync,
}

impl Waiting {
    fn for_lock(subject: &Subject, mode: SecurityMode) -> Self {
        let mut raw = Raw::speaking(subject, Dialect::SMB311, mode);
        let keys = raw.logon(credentials(subject, "alice"), mode).expect("log on");
        let tree = raw.tree(&keys, "data", Signed(&keys));
        let file = CreateParameters::read_write("locked.txt");
        let [holds, wants] = [(); 2].map(|()| raw.open(&keys, tree, &file, Signed(&keys)));
        let message = lock(&mut raw, &keys, tree, holds, LockFlags::EXCLUSIVE_LOCK);
        assert_eq!(raw.ask(message, Signed(&keys)).header.status, NtStatus::SUCCESS);
        let message = lock(&mut raw, &keys, tree, wants, LockFlags::EXCLUSIVE_LOCK);
        let waits = Header::decode(&message).expect("a header").message_id;
        raw.send(message, Signed(&keys));
        let interim = raw.receive(&[&keys]).expect("an interim answer");
        assert_eq!((interim.header.status, interim.header.message_id), (NtStatus::PENDING, waits));
        Self { raw, keys, tree, holds, waits, id: interim.header.tree }
    }

    fn unlock(&mut self) -> Vec<u8> {
        lock(&mut self.raw, &self.keys, self.tree, self.holds, LockFlags::UNLOCK)
    }

    fn cancel(&mut self, session: SessionId) -> Vec<u8> {
        let mut message = self
            .raw
            .message(Command::CANCEL, session, TreeId(0), |out, base| CancelRequest.encode(out, base));
        let header = Header::decode(&message).expect("a header");
        let header = Header { message_id: self.waits, credit_charge: 0, ..header };
        message[..Header::SIZE].copy_from_slice(&header.to_bytes());
        message
    }

    /// The final status of the waiting request.
    fn outcome(&mut self) -> NtStatus {
        self.raw.answer_to(self.waits, &[&self.keys]).expect("an answer").header.status
    }
}

fn lock(raw: &mut Raw, keys: &Keys, tree: TreeId, file_id: FileId, flags: LockFlags) -> Vec<u8> {
    let locks = [LockElement { offset: 0, length: 1, flags }];
    let mut list = Vec::new();
    let body = LockRequest { lock_sequence: 0, file_id, locks: Locks::build(&locks, &mut list) };
    raw.message(Command::LOCK, keys.id, tree, |out, base| body.encode(out, base))
}

#[test]
fn a_cancel_needs_the_session_and_protection_of_its_request() {
    let subject = Subject::start(&Setup::default());
    let mut cases = Vec::new();
    for by_async_id in [false, true] {
        cases.extend([
            (REQUIRED, 0, false, false, by_async_id),
            (REQUIRED, 1, false, false, by_async_id),
            (REQUIRED, 1, true, true, by_async_id),
            (REQUIRED, 2, true, false, by_async_id),
            (ENABLED, 0, false, false, by_async_id),
            (ENABLED, 1, false, true, by_async_id),
            (ENABLED, 2, true, false, by_async_id),
        ]);
    }
    for (mode, session, signed, counts, by_async_id) in cases {
        let mut waiting = Waiting::for_lock(&subject, mode);
        let bob = waiting.raw.logon(credentials(&subject, "bob"), mode).expect("log on");
        let id = [SessionId(0), waiting.keys.id, bob.id][session];
        let mut message = waiting.cancel(id);
        if by_async_id {
            let header = Header::decode(&message).expect("a header");
            let header =
                Header { flags: header.flags | HeaderFlags::ASYNC_COMMAND, tree: waiting.id, ..header };
            message[..Header::SIZE].copy_from_slice(&header.to_bytes());
        }
        let key = if session == 2 { &bob } else { &waiting.keys };
        let frame = framed(message, if signed { Signed(key) } else { Clear });
        waiting.raw.send_bytes(&frame);
        // A valid CANCEL is processed before the lock becomes available.
        if counts {
            assert_eq!(waiting.outcome(), NtStatus::CANCELLED, "{mode:?} {session} {signed}");
            continue;
        }
        let message = waiting.unlock();
        let frame = framed(message, Signed(&waiting.keys));
        waiting.raw.send_bytes(&frame);
        assert_eq!(waiting.outcome(), NtStatus::SUCCESS, "{mode:?} {session} {signed}");
    }
}

/// Clients that have cancelled a request take it for unanswered if a later one is answered first: smbtorture's
/// `smb2.session.expire2s` does so with CHANGE_NOTIFY.
#[test]
fn a_cancelled_request_is_answered_before_later_ones() {
    let subject = Subject::start(&Setup::default());
    for _ in 0..5 {
        let mut waiting = Waiting::for_lock(&subject, ENABLED);
        let id = waiting.keys.id;
        let cancel = framed(waiting.cancel(id), Signed(&waiting.keys));
        let echo =
            waiting.raw.message(Command::ECHO, id, TreeId(0), |out, base| EchoRequest.encode(out, base));
        waiting.raw.send_bytes(&[cancel, framed(echo, Signed(&waiting.keys))].concat());
        let first = waiting.raw.receive(&[&waiting.keys]).expect("an answer").header;
        assert_eq!((first.message_id, first.status), (waiting.waits, NtStatus::CANCELLED));
    }
}

#[test]
fn a_lock_granted_before_its_cancel_is_answered_as_granted() {
    let subject = Subject::start(&Setup::default());
    for round in 0..20 {
        let mut waiting = Waiting::for_lock(&subject, ENABLED);
        // Both are processed before the waiting request continues.
        let (unlock, cancel) = (waiting.unlock(), waiting.cancel(waiting.keys.id));
        let frames = [framed(unlock, Signed(&waiting.keys)), framed(cancel, Signed(&waiting.keys))].concat();
        waiting.raw.send_bytes(&frames);
        assert_eq!(waiting.outcome(), NtStatus::SUCCESS, "round {round}");
    }
}

/// MS-SMB2 3.3.5.22.1: it gives up the oplock, so that no client waits for it.
#[test]
fn acknowledgment_of_level_lease_ends_the_break() {
    let subject = Subject::start(&Setup::default());
    let (mut raw, keys) = logged_on(&subject, "alice");
    let tree = raw.tree(&keys, "data", Signed(&keys));
    let file = CreateParameters { oplock: OplockLevel::BATCH, ..CreateParameters::read_write("cached.txt") };
    let file = raw.open(&keys, tree, &file, Clear);
    let (mut other, bob) = logged_on(&subject, "bob");
    let others = other.tree(&bob, "data", Signed(&bob));
    let message = other.create(bob.id, others, &CreateParameters::open("cached.txt"));
    let opening = Header::decode(&message).expect("a header").message_id;
    other.send(message, Clear);
    assert_eq!(raw.receive(&[]).expect("a break").header.command, Command::OPLOCK_BREAK);
    let body = OplockBreak { oplock_level: OplockLevel::LEASE, file_id: file };
    let message = raw.message(Command::OPLOCK_BREAK, keys.id, tree, |out, base| body.encode(out, base));
    assert_eq!(raw.ask(message, Clear).header.status, NtStatus::INVALID_PARAMETER);
    // The time limit of the socket is less than that of a break.
    assert_eq!(other.answer_to(opening, &[]).expect("an answer").header.status, NtStatus::SUCCESS);
}
