//! The entries of a log: from the registry's and the server's parts of opens, and back.

use handlelog::{
    AppInstance, Birth, Change, Entry, Key, LeaseRecord, LockRecord, OpenFlags, OpenRecord, Owner, StoredOpen,
};
use registry::{
    FileKey, Identity, KeptOpen, LeaseId, LockElement, LogChanges, LogId, LoggedOpen, RestoredLease,
    RestoredOpen, SessionFlags, UserKind,
};
use vfs::{Actor, RelativePath};
use wire::Guid;

use crate::core::effects::SmbShell;
use crate::core::open::OpenFile;

/// The changes of a log.
pub(super) fn of_changes(changes: &LogChanges<SmbShell>) -> Vec<Change> {
    let ended = changes.ended.iter().map(|id| Change::Drop(Key::Open(*id)));
    let opens = changes
        .opens
        .iter()
        .filter_map(|open| Some(Change::Put(Entry::Open(Box::new(of_open(open, open.attached.file()?)?)))));
    let locks = changes.locks.iter().map(|lock| {
        let LockElement { offset, length, exclusive } = lock.element;
        let record = LockRecord { open: lock.open, offset, length, exclusive, count: lock.count };
        match lock.count {
            0 => Change::Drop(Entry::Lock(record).key()),
            _ => Change::Put(Entry::Lock(record)),
        }
    });
    let leases = changes.leases.iter().map(|lease| {
        let LeaseId { client, key } = lease.id;
        match lease.state {
            Some((state, version, epoch)) => {
                Change::Put(Entry::Lease(LeaseRecord { client, key, state, version, epoch }))
            }
            None => Change::Drop(Key::Lease(client.0, key.0)),
        }
    });
    ended.chain(opens).chain(locks).chain(leases).collect()
}

fn of_open(open: &LoggedOpen<SmbShell>, file: &OpenFile) -> Option<OpenRecord> {
    let kept = &open.kept;
    let path = relative(&kept.path)?;
    let attached = &open.attached;
    let state = file.state();
    let flags = [
        (kept.persistent, OpenFlags::PERSISTENT),
        (kept.resilient, OpenFlags::RESILIENT),
        (kept.replayable, OpenFlags::REPLAYABLE),
        (kept.delete_on_close, OpenFlags::DELETE_ON_CLOSE),
        (kept.deletes_with_own, OpenFlags::DELETES_WITH_OWN),
        (kept.delete_pending, OpenFlags::DELETE_PENDING),
        (file.posix, OpenFlags::POSIX),
        (file.append_only, OpenFlags::APPEND_ONLY),
        (open.user_kind == UserKind::Guest, OpenFlags::GUEST),
        (open.user_kind == UserKind::Anonymous, OpenFlags::ANONYMOUS),
    ];
    Some(OpenRecord {
        file_id: kept.file_id,
        create_guid: kept.create_guid,
        client_guid: kept.client_guid,
        app_instance: kept.app_instance.map(|it| AppInstance {
            id: it.id,
            version: it.version,
            maximal_access: it.maximal_access,
        }),
        timeout_ms: kept.timeout_ms,
        flags: flags
            .into_iter()
            .filter(|(is_set, _)| *is_set)
            .fold(OpenFlags::NONE, |all, (_, flag)| all | flag),
        access: kept.access,
        share_access: kept.share_access,
        mode: state.mode.unwrap_or(file.mode),
        action: attached.action.0,
        position: state.position,
        oplock: kept.oplock,
        lease: open.lease.map(|lease| (lease.client, lease.key)),
        parent_key: attached.parent_key(),
        path: path.as_str().to_owned(),
        stream: path.stream().map(str::to_owned),
        inode: kept.file.inode,
        birth: attached
            .tree()
            .backend()
            .and_then(|it| file.birth(&**it))
            .map(|(seconds, nanoseconds)| Birth { seconds, nanoseconds }),
        owner: Owner {
            user: open.user.to_string(),
            domain: open.domain.to_string(),
            sid: open.user_sid,
            client: kept.client.to_string(),
        },
        actor: match attached.actor() {
            Actor::Process => None,
            Actor::User(identity) => Some(handlelog::Actor {
                uid: identity.uid,
                gid: identity.gid,
                groups: identity.groups.clone(),
            }),
        },
        lock_sequences: state.lock_sequences.entries(),
    })
}

/// The open for the registry: of the log `log` of `share` with the directory `root`, and of this file. Returns `None` if
/// the entry of its lease is missing.
pub(super) fn restored(
    stored: &StoredOpen,
    leases: &[LeaseRecord],
    (log, share, root): (LogId, &str, FileKey),
    file: FileKey,
) -> Option<RestoredOpen> {
    let StoredOpen { open, locks } = stored;
    let has = |flag| open.flags.contains(flag);
    let lease = match open.lease {
        None => None,
        Some((client, key)) => {
            let found = leases.iter().find(|lease| (lease.client, lease.key) == (client, key))?;
            let LeaseRecord { state, version, epoch, .. } = *found;
            Some(RestoredLease { id: LeaseId { client, key }, state, version, epoch })
        }
    };
    let flags = SessionFlags {
        guest: has(OpenFlags::GUEST),
        anonymous: has(OpenFlags::ANONYMOUS),
        ..SessionFlags::default()
    };
    let locks = locks.iter().flat_map(|lock| {
        let element = LockElement { offset: lock.offset, length: lock.length, exclusive: lock.exclusive };
        (0..lock.count).map(move |_| element)
    });
    let kept = KeptOpen {
        file,
        file_id: open.file_id,
        create_guid: open.create_guid,
        client_guid: open.client_guid,
        app_instance: open.app_instance.map(|it| registry::AppInstance {
            id: it.id,
            version: it.version,
            maximal_access: it.maximal_access,
        }),
        timeout_ms: open.timeout_ms,
        persistent: has(OpenFlags::PERSISTENT),
        resilient: has(OpenFlags::RESILIENT),
        replayable: has(OpenFlags::REPLAYABLE),
        path: crate::core::files::display_path(&path(open)?).into(),
        access: open.access,
        share_access: open.share_access,
        delete_on_close: has(OpenFlags::DELETE_ON_CLOSE),
        deletes_with_own: has(OpenFlags::DELETES_WITH_OWN),
        delete_pending: has(OpenFlags::DELETE_PENDING),
        oplock: open.oplock,
        client: open.owner.client.as_str().into(),
    };
    Some(RestoredOpen {
        log,
        share: share.into(),
        root,
        kept,
        lease,
        identity: Identity {
            user: open.owner.user.as_str().into(),
            domain: open.owner.domain.as_str().into(),
            sid: open.owner.sid,
            flags,
        },
        locks: locks.take(registry::limits::LOCKS_PER_OPEN).collect(),
    })
}

/// The path of an open with its stream.
pub(super) fn path(open: &OpenRecord) -> Option<RelativePath> {
    let path = RelativePath::new(open.path.clone()).ok()?;
    match &open.stream {
        Some(stream) => path.with_stream(stream.clone()).ok(),
        None => Some(path),
    }
}

/// The Unix identity of an open's user.
pub(super) fn actor(open: &OpenRecord) -> Actor {
    match &open.actor {
        None => Actor::Process,
        Some(it) => Actor::user(it.uid, it.gid, it.groups.clone()),
    }
}

/// The key of an open's parent lease.
pub(super) fn parent_key(open: &OpenRecord) -> Option<Guid> {
    open.parent_key
}

/// Converts a path in the form for administrators.
fn relative(display: &str) -> Option<RelativePath> {
    let (path, stream) = match display.split_once(':') {
        Some((path, stream)) => (path, Some(stream)),
        None => (display, None),
    };
    let path = RelativePath::new(path.replace('\\', "/")).ok()?;
    match stream {
        Some(stream) => path.with_stream(stream).ok(),
        None => Some(path),
    }
}
