//! The registry's objects in the form of the control API.

use auth::sealing::Cipher;
use auth::signing::SigningAlgorithm;
use control::{
    Access, Connection, LockRange, OpenFile, Refusal, RefusalKind, RefusalQuery, ServerInfo, Session, Share,
    ShareKind, Timestamp, Word, address, glob, limits, smb,
};
use registry::{FileSnapshot, SessionSnapshot, ShareSnapshot, Time, TreeSnapshot};
use wire::security::Sid;
use wire::{Account, LeaseState, NtStatus, OplockLevel, SessionGlobalId};

use super::lists::SharesOfSessions;
use crate::admin::{self, Counts, Right, saturated};
use crate::core::cluster::DefinedShare;
use crate::core::server::Server;

pub(super) fn session(server: &Server, session: &SessionSnapshot, shares: &SharesOfSessions) -> Session {
    let now = server.now();
    let flags = session.identity.flags;
    let protection = admin::protection(server, session.global_id);
    let computer = session
        .connections
        .first()
        .map_or_else(|| session.client.to_string(), |it| it.peer.ip().to_canonical().to_string());
    let named = address::parse(&session.client).is_none();
    Session {
        id: Some(session.global_id.value()),
        computer,
        computer_name: named.then(|| session.client.to_string()),
        user: session.identity.user.to_string(),
        domain: Some(session.identity.domain.to_string()).filter(|it| !it.is_empty()),
        realm: realm(server, &session.identity.user, session.identity.sid),
        client_type: None,
        opens: Some(saturated(session.opens)),
        connected_at: Some(timestamp(session.created)),
        active_seconds: Some(now.since_ms(session.created) / 1000),
        idle_seconds: Some(now.since_ms(session.last_active) / 1000),
        guest: Some(flags.guest),
        anonymous: Some(flags.anonymous),
        dialect: session.dialect.map(|it| smb::dialect(it.0.into())),
        signed: Some(flags.signed),
        encrypted: Some(flags.encrypted),
        cipher: protection.cipher.filter(|_| flags.encrypted).map(cipher),
        signing: protection.signing.filter(|_| flags.signed).map(signing),
        transport: Some(String::from("tcp")),
        shares: Some(shares.get(&session.global_id).cloned().unwrap_or_default()),
        drain: super::maintenance::drain_of_session(server, session.global_id),
        make: None,
    }
}

pub(super) fn file(server: &Server, file: &FileSnapshot) -> OpenFile {
    let is_pipe = file.target.file().is_none();
    let held = || file.locks.iter().filter(|it| !it.waiting);
    OpenFile {
        id: file.global_id.value(),
        path: file.path.to_string(),
        server_path: admin::server_path(server, file),
        share: Some(file.share.to_string()),
        user: file.user.to_string(),
        realm: realm(server, &file.user, file.user_sid),
        guest: Some(file.user_kind == registry::UserKind::Guest),
        computer: Some(file.client.to_string()),
        session_id: file.session.map(SessionGlobalId::value),
        access: Some(Access::of_mask(file.access)),
        share_access: Some(smb::share_access(file.share_access)),
        permissions: Some(smb::permissions(file.access, file.is_directory)),
        locks: Some(saturated(held().count())),
        lock_ranges: held()
            .take(limits::LOCK_RANGES_MAX)
            .map(|it| LockRange {
                offset: it.element.offset,
                length: it.element.length,
                exclusive: it.element.exclusive,
            })
            .collect(),
        oplock: Some(oplock(file.oplock)),
        lease: (file.oplock == OplockLevel::LEASE).then(|| lease(file.lease).as_str().into()),
        durable: Some(file.durable),
        waits_until: file.expires.map(timestamp),
        directory: Some(file.is_directory),
        delete_pending: Some(file.delete_pending),
        opened_at: Some(timestamp(file.opened)),
        idle_seconds: Some(server.now().since_ms(file.last_io) / 1000),
        bytes_read: Some(file.bytes_read),
        bytes_written: Some(file.bytes_written),
        pipe: is_pipe,
        closing: file.closing.as_ref().map(|it| super::maintenance::announced(it)),
        make: None,
    }
}

/// The DNS name of the server's domain, if the user is one of it.
fn realm(server: &Server, user: &str, sid: Option<Sid>) -> Option<String> {
    let (domain, _) = user.split_once('\\').filter(|_| sid.is_some())?;
    let settings = server.settings();
    let own = settings.domain.as_ref().filter(|own| wire::eq_ignore_case(domain, &own.name));
    own.map(|own| own.realm.to_ascii_lowercase())
}

pub(super) fn connection(server: &Server, tree: &TreeSnapshot) -> Connection {
    Connection {
        id: tree.global_id.value(),
        share: tree.share.to_string(),
        kind: kind_of(server, &tree.share),
        opens: Some(saturated(tree.opens)),
        user: tree.user.to_string(),
        realm: realm(server, &tree.user, tree.user_sid),
        computer: Some(tree.client.to_string()),
        session_id: Some(tree.session.value()),
        connected_at: Some(timestamp(tree.created)),
        active_seconds: Some(server.now().since_ms(tree.created) / 1000),
    }
}

/// The share, with the details that the right permits.
pub(super) fn share(server: &Server, share: &ShareSnapshot, right: Right) -> Share {
    let definition = &share.definition;
    let served = server.share(&definition.name);
    let settings = served.as_ref().map(|it| &it.settings);
    let browsed = Share {
        name: definition.name.to_string(),
        kind: kind(definition.kind),
        special: definition.hidden,
        comment: definition.remark.to_string(),
        ..Share::default()
    };
    if right != Right::ReadShares {
        return browsed;
    }
    Share {
        path: Some(definition.path.to_string()).filter(|it| !it.is_empty()),
        away: served.as_ref().and_then(|it| it.directory()).and_then(|it| it.away()),
        uses: Some(saturated(share.uses)),
        uses_max: definition.max_uses,
        read_only: settings.map(|it| it.read_only),
        encrypt: settings.map(|it| it.encrypt),
        caching: settings.map(|it| String::from(super::share_words::word(it.caching))),
        grants: settings.map(|it| it.permissions().iter().map(super::share_words::shown).collect()),
        drain: super::maintenance::drain_of_share(server, &definition.name),
        ..browsed
    }
}

/// A share of the cluster, by its definition.
pub(super) fn share_of_cluster(share: &DefinedShare) -> Share {
    let DefinedShare { settings, owner } = share;
    Share {
        name: settings.name.clone(),
        kind: ShareKind::Disk,
        special: settings.hidden,
        comment: settings.remark.clone(),
        path: Some(settings.path.to_string_lossy().into_owned()),
        uses_max: settings.max_users,
        read_only: Some(settings.read_only),
        encrypt: Some(settings.encrypt),
        caching: Some(String::from(super::share_words::word(settings.caching))),
        grants: Some(settings.permissions().iter().map(super::share_words::shown).collect()),
        owner: Some(owner.clone().unwrap_or_default()),
        ..Share::default()
    }
}

pub(super) fn server(server: &Server, counts: Counts, started: Time) -> ServerInfo {
    let settings = server.settings();
    ServerInfo {
        comment: settings.comment.clone(),
        version: String::from(env!("CARGO_PKG_VERSION")),
        started_at: Some(timestamp(started)),
        listening: server.identity.listening().iter().map(ToString::to_string).collect(),
        connections: Some(saturated(counts.trees)),
        sessions: Some(saturated(counts.sessions)),
        files: Some(saturated(counts.opens)),
        shares: Some(saturated(counts.shares)),
        ..ServerInfo::new(settings.name.clone())
    }
}

pub(super) fn ended(ended: admin::Ended) -> control::Ended {
    control::Ended {
        sessions: saturated(ended.sessions),
        files: saturated(ended.files),
        outcome: ended.outcome,
    }
}

/// Refusals in the form of the control API.
pub(super) fn refusals(refusals: Vec<registry::Refusal>) -> impl Iterator<Item = Refusal> {
    refusals.into_iter().map(|it| refusal(&it))
}

/// The refusal in the form of the control API, if all filters match; `account` is the user of the query.
pub(super) fn matching_refusal(
    refusal: &registry::Refusal,
    account: Option<&Account>,
    query: &RefusalQuery,
) -> Option<Refusal> {
    let is_account = refusal.user_kind == registry::UserKind::Account;
    let is_users = |account: &Account| is_account && account.is(&refusal.domain, &refusal.user);
    let is_users = account.is_none_or(is_users);
    Some(self::refusal(refusal)).filter(|shown| is_users && is_meant(shown, query))
}

fn is_meant(refusal: &Refusal, query: &RefusalQuery) -> bool {
    query.client.as_ref().is_none_or(|client| {
        refusal.computer.as_ref().is_some_and(|computer| address::same_computer(client, computer))
    }) && query
        .share
        .as_ref()
        .is_none_or(|share| refusal.share.as_ref().is_some_and(|it| wire::eq_ignore_case(it, share)))
        && query.path.as_ref().is_none_or(|path| glob::matches(path, &refusal.path))
}

fn refusal(refusal: &registry::Refusal) -> Refusal {
    let (kind, status) = why(refusal.kind);
    let blocker = refusal.blocker.as_ref();
    Refusal {
        id: refusal.number,
        at: Some(timestamp(refusal.time)),
        kind,
        status: format!("{:#010x}", status.0),
        share: Some(refusal.share.to_string()),
        path: refusal.path.to_string(),
        user: refusal.user.to_string(),
        computer: Some(refusal.client.to_string()),
        session_id: refusal.session.map(SessionGlobalId::value),
        wanted: Some(Access::of_mask(refusal.access)),
        holder_file_id: blocker.map(|it| it.global_id.value()),
        holder_user: blocker.map(|it| it.user.to_string()),
        holder_computer: blocker.map(|it| it.client.to_string()),
    }
}

/// The kind of a refusal, and the status that the client received.
fn why(kind: registry::RefusalKind) -> (RefusalKind, NtStatus) {
    use registry::RefusalKind as Kind;
    match kind {
        Kind::SharingViolation => (RefusalKind::SharingViolation, NtStatus::SHARING_VIOLATION),
        Kind::DeletePending => (RefusalKind::DeletePending, NtStatus::DELETE_PENDING),
        Kind::LockConflict => (RefusalKind::LockConflict, NtStatus::LOCK_NOT_GRANTED),
        Kind::IoConflict => (RefusalKind::LockConflict, NtStatus::FILE_LOCK_CONFLICT),
        Kind::LeaseKeyInUse => (RefusalKind::Other, NtStatus::INVALID_PARAMETER),
        Kind::Draining => (RefusalKind::Draining, NtStatus::SHARING_PAUSED),
        Kind::Held => (RefusalKind::Held, NtStatus::SHARING_VIOLATION),
        Kind::LimitReached => (RefusalKind::Other, NtStatus::TOO_MANY_OPENED_FILES),
    }
}

fn oplock(level: OplockLevel) -> Word {
    Word::known(match level {
        OplockLevel::LEVEL_II => "level2",
        OplockLevel::EXCLUSIVE => "exclusive",
        OplockLevel::BATCH => "batch",
        OplockLevel::LEASE => "lease",
        _ => "none",
    })
}

fn lease(state: LeaseState) -> String {
    [(LeaseState::READ, 'R'), (LeaseState::WRITE, 'W'), (LeaseState::HANDLE, 'H')]
        .into_iter()
        .filter_map(|(bit, letter)| state.contains(bit).then_some(letter))
        .collect()
}

fn cipher(cipher: Cipher) -> String {
    String::from(match cipher {
        Cipher::Aes128Ccm => "AES-128-CCM",
        Cipher::Aes128Gcm => "AES-128-GCM",
        Cipher::Aes256Ccm => "AES-256-CCM",
        Cipher::Aes256Gcm => "AES-256-GCM",
    })
}

fn signing(algorithm: SigningAlgorithm) -> String {
    String::from(match algorithm {
        SigningAlgorithm::HmacSha256 => "HMAC-SHA256",
        SigningAlgorithm::AesCmac => "AES-128-CMAC",
        SigningAlgorithm::AesGmac => "AES-128-GMAC",
    })
}

/// The kind of the share with this name.
pub(super) fn kind_of(server: &Server, share: &str) -> ShareKind {
    match server.share(share).map(|it| it.content.clone()) {
        Some(crate::core::tree::ShareContent::Pipes) => ShareKind::Ipc,
        Some(crate::core::tree::ShareContent::Disk(_)) | None => ShareKind::Disk,
    }
}

fn kind(kind: registry::ShareKind) -> ShareKind {
    match kind {
        registry::ShareKind::Disk => ShareKind::Disk,
        registry::ShareKind::Print => ShareKind::Print,
        registry::ShareKind::Pipe => ShareKind::Ipc,
    }
}

/// The time for JSON.
pub(crate) fn timestamp(time: Time) -> Timestamp {
    Timestamp(i64::try_from(time.0).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use wire::{AccessMask, ShareAccess};

    use super::*;

    #[test]
    fn refusals_match_filters_by_user_client_path_and_share() {
        let at = |number| registry::Refusal {
            number,
            time: Time(5),
            kind: registry::RefusalKind::SharingViolation,
            user: "alice".into(),
            user_kind: registry::UserKind::Account,
            user_sid: None,
            domain: "".into(),
            session: None,
            client: "192.0.2.1".into(),
            share: "data".into(),
            path: r"a\b".into(),
            access: AccessMask::READ_DATA,
            share_access: ShareAccess::NONE,
            range: None,
            blocker: None,
        };
        let shown: Vec<Refusal> = refusals(vec![at(5), at(6)]).collect();
        assert_eq!(shown.iter().map(|it| it.id).collect::<Vec<_>>(), [5, 6]);
        fn is_meant(refusal: &registry::Refusal, query: &RefusalQuery) -> bool {
            matching_refusal(refusal, Some(&Account::new("ALICE")), query).is_some()
        }
        let query = RefusalQuery {
            client: Some(r"\\192.0.2.1".into()),
            path: Some("A/b".into()),
            ..RefusalQuery::default()
        };
        assert!(is_meant(&at(5), &query));
        let of_guest = registry::Refusal { user_kind: registry::UserKind::Guest, ..at(5) };
        assert!(!is_meant(&of_guest, &query), "a guest who calls itself so");
        let other = RefusalQuery { share: Some("dat".into()), ..query };
        assert!(!is_meant(&at(5), &other));
    }

    #[test]
    fn lease_states_are_shown_as_in_windows() {
        assert_eq!(lease(LeaseState::READ | LeaseState::HANDLE | LeaseState::WRITE), "RWH");
        assert_eq!(lease(LeaseState::READ | LeaseState::HANDLE), "RH");
    }
}
