//! The start of a log: it is opened with its share's directory, and the opens in it wait for their clients.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use auth::IdentityKind;
use handlelog::{Change, Contents, Durability, HandleLog, Key, OpenFlags, OpenRecord, StoredOpen};
use parking_lot::Mutex;
use registry::{FileKey, GrantedOpen, LockElement, RestoreRefused, RestoredOpen};
use vfs::{Actor, Backend, Handle, Opened, Wanted};
use wire::msg::CreateAction;
use wire::{AccessMask, SessionGlobalId, SessionId, TreeId};

use super::{OpenLog, entries};
use crate::core::directory::Files;
use crate::core::files::file_key;
use crate::core::files::host_locks::HostLocking;
use crate::core::files::replay::LockSequences;
use crate::core::limits;
use crate::core::open::{Content, Created, Open, OpenFile};
use crate::core::security::Token;
use crate::core::server::Server;
use crate::core::session::{Session, User};
use crate::core::tree::{Share, Tree};

/// Opens the logs of all shares, before clients are accepted, for a limited time. A share whose directory does not exist
/// or hangs opens its log when it is available.
pub(crate) fn restore_all(server: &Arc<Server>) {
    let deadline = Instant::now() + limits::SHARE_OPEN_WAIT;
    let shares = server.shares().into_iter().filter(|share| share.log.is_some());
    let begun: Vec<_> = shares.map(|share| (share.settings.name.clone(), begin(server, share))).collect();
    for (share, found) in begun {
        let left = deadline.saturating_duration_since(Instant::now());
        let done = found.map(|found| found.recv_timeout(left).is_ok()).unwrap_or_default();
        if !done {
            tracing::warn!(
                share,
                "the log of opens was not read in time; its opens wait for their clients later"
            );
        }
    }
}

/// Opens the log of a share on a thread of its own, because its file system may hang.
fn begin(server: &Arc<Server>, share: Arc<Share>) -> std::io::Result<mpsc::Receiver<()>> {
    let (says, done) = mpsc::channel();
    let server = Arc::clone(server);
    let work = move || {
        share.bulkhead.call_apart(|| {
            // A directory that does not exist is in the log of the server.
            if let Some(files) = share.directory().and_then(|directory| directory.find().ok()) {
                let _ = open(&server, &share, &files);
            }
        });
        // The send fails if the caller no longer waits, which is no error.
        let _ = says.send(());
    };
    std::thread::Builder::new().name(String::from("restore opens")).spawn(work)?;
    Ok(done)
}

/// The log of a share for a tree connect to its directory; `None` if the share has none, or if it cannot be used. The
/// log is opened if necessary, and its opens are restored. The caller is behind the share's bulkhead.
pub(crate) fn open(server: &Arc<Server>, share: &Arc<Share>, files: &Arc<Files>) -> Option<Arc<OpenLog>> {
    let of_share = share.log.as_ref()?;
    let durability = if share.settings.continuous { Durability::Power } else { Durability::Process };
    let mut state = of_share.state.lock();
    if let Some(log) = &state.log {
        if log.files.root() == files.root() {
            log.set_durability(durability);
            return Some(Arc::clone(log));
        }
        // The share has another directory now. Its opens are in a log of their own there.
        if server.registry.lock("logged_opens").logged_opens(log.id) != 0 {
            refuse(&mut state.refused, share, files, &"opens of its former directory are still kept");
            return None;
        }
        log.close(server);
        server.registry.lock("remove_log").remove_log(log.id);
        server.files.handle_logs.leave(log.id);
        state.log = None;
    }
    if let Some(log) = server.files.handle_logs.of(&share.settings.name, files.root()) {
        // The share did not exist for a while, or kept no opens.
        log.set_durability(durability);
        (state.log, state.refused) = (Some(Arc::clone(&log)), None);
        return Some(log);
    }
    match open_log(server, share, files, durability) {
        Ok((log, contents)) => {
            restore(server, share, &log, contents);
            server.files.handle_logs.enter(&log);
            // The task that keeps the logs has one now.
            server.signals.logs_changed.notify_one();
            state.log = Some(Arc::clone(&log));
            state.refused = None;
            Some(log)
        }
        Err(error) => {
            refuse(&mut state.refused, share, files, &error);
            None
        }
    }
}

/// Logs, once for each directory, that a log cannot be used.
fn refuse(refused: &mut Option<FileKey>, share: &Share, files: &Files, reason: &dyn std::fmt::Display) {
    if refused.replace(files.root()) != Some(files.root()) {
        tracing::error!(
            share = share.settings.name,
            directory = %files.path().join(".shareward-handles").display(),
            %reason,
            "cannot use the log of opens; handles of the share do not outlive the server"
        );
    }
}

fn open_log(
    server: &Arc<Server>,
    share: &Share,
    files: &Arc<Files>,
    durability: Durability,
) -> Result<(Arc<OpenLog>, Contents), String> {
    let backend = files.backend().ok_or("the directory is closed")?;
    let directory = backend.handle_directory().map_err(|error| match error {
        vfs::Error::AccessDenied => {
            String::from("the directory does not belong to this server with mode 0700")
        }
        error => error.to_string(),
    })?;
    let name = log_name(&share.settings.name);
    let (log, contents) =
        HandleLog::open(directory, &name, durability, boot()).map_err(|error| error.to_string())?;
    let id = server.files.handle_logs.next_id();
    server.registry.lock("add_log").add_log(id);
    let log = OpenLog {
        id,
        share: share.settings.name.clone(),
        files: Arc::clone(files),
        bulkhead: Arc::clone(&share.bulkhead),
        log: Mutex::new(Some(log)),
        turn: Arc::default(),
        waits_for_disk: (durability == Durability::Power).into(),
        failed: false.into(),
        is_over: false.into(),
    };
    Ok((Arc::new(log), contents))
}

/// The file of a share's log. Two shares may have one directory.
fn log_name(share: &str) -> String {
    wire::FoldedName::new(share).as_str().bytes().fold(String::new(), |mut name, byte| {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
        name
    })
}

/// The boot of the machine; zeros if the system does not tell, so that all boots count as one.
fn boot() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.trim().chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).unwrap_or_default().to_be_bytes()
}

/// Restores the opens of a log.
fn restore(server: &Arc<Server>, share: &Arc<Share>, log: &Arc<OpenLog>, contents: Contents) {
    let name = &share.settings.name;
    if contents.outdated {
        tracing::warn!(
            share = name,
            "the machine was restarted; durable handles outlive that only if the share is continuous"
        );
    }
    if contents.cut > 0 {
        tracing::warn!(
            share = name,
            bytes = contents.cut,
            "the log of opens ended in an incomplete record, which was cut"
        );
    }
    let mut ended = Vec::new();
    let mut leases = BTreeSet::new();
    let mut restored: u64 = 0;
    for stored in &contents.opens {
        match restore_open(server, share, log, stored, &contents) {
            Ok(()) => {
                restored = restored.saturating_add(1);
                leases.extend(stored.open.lease.map(|(client, key)| (client.0, key.0)));
            }
            Err(reason) => {
                let OpenRecord { path, owner, file_id, .. } = &stored.open;
                tracing::warn!(
                    share = name,
                    path,
                    user = owner.user,
                    reason,
                    "an open does not outlive the restart"
                );
                ended.push(Change::Drop(Key::Open(file_id.persistent)));
            }
        }
    }
    let of_ended = contents.leases.iter().map(|lease| (lease.client.0, lease.key.0));
    let of_ended = of_ended.filter(|lease| !leases.contains(lease));
    ended.extend(of_ended.map(|(client, key)| Change::Drop(Key::Lease(client, key))));
    if restored > 0 {
        tracing::info!(
            share = name,
            opens = restored,
            "opens of the time before the restart wait for their clients"
        );
        server.signals.timeouts_changed.notify_one();
    }
    let dropped = log.log.lock().as_mut().map_or(Ok(()), |log| log.commit(&ended));
    if let Err(error) = dropped {
        log.failed.store(true, std::sync::atomic::Ordering::Relaxed);
        tracing::warn!(%error, share = name, "cannot write the log of opens");
    }
}

fn restore_open(
    server: &Arc<Server>,
    share: &Arc<Share>,
    log: &Arc<OpenLog>,
    stored: &StoredOpen,
    contents: &Contents,
) -> Result<(), &'static str> {
    let backend = log.files.backend().ok_or("the directory is closed")?;
    let record = &stored.open;
    let path = entries::path(record).ok_or("its path is invalid")?;
    let (opened, actor) = find(&**backend, record, &path)?;
    let key = file_key(&opened.stat, path.stream());
    let place = (log.id, share.settings.name.as_str(), log.files.root());
    let wanted =
        entries::restored(stored, &contents.leases, place, key).ok_or("its lease is not in the log")?;
    let file = open_file(server, share, record, &opened, (key, path))?;
    let locks = wanted.locks.clone();
    let open = admit(server, share, log, record, &wanted, Content::File(file), actor)?;
    take_on_host(server, &open, &locks).inspect_err(|_| {
        // The server's open has ended its part of the registry; its file is not deleted.
        let closed = server.registry.lock("restore").abandon_restored(open.global_id(), server.now());
        server.apply(closed);
    })
}

/// Opens the file of an open again, if its path still leads to the same file.
fn find(
    backend: &dyn Backend,
    record: &OpenRecord,
    path: &vfs::RelativePath,
) -> Result<(Opened, Actor), &'static str> {
    let wanted = Wanted {
        read: record.access.intersects(AccessMask::READ_DATA | AccessMask::EXECUTE),
        write: record.access.intersects(AccessMask::WRITE_DATA | AccessMask::APPEND_DATA),
    };
    let found = backend.open(&Actor::Process, path, Wanted::NOTHING).map_err(|error| match error {
        vfs::Error::NotFound | vfs::Error::PathNotFound => "its file is gone",
        _ => "its file cannot be opened",
    })?;
    let birth = birth_of(backend, &found, path).map_err(|_| "its file cannot be examined")?;
    let before = record.birth.map(|it| (it.seconds, it.nanoseconds));
    if found.stat.inode != record.inode || birth != before || found.stat.is_directory() {
        return Err("another file has its path");
    }
    let actor = entries::actor(record);
    let opened = match backend.reopen(&actor, &found, wanted) {
        // The access was granted when the file was opened; its permissions may have changed since.
        Err(vfs::Error::AccessDenied | vfs::Error::ReadOnly) => {
            backend.reopen(&Actor::Process, &found, wanted)
        }
        opened => opened,
    };
    let opened = opened.map_err(|_| "its file cannot be opened with the access that it had")?;
    Ok((opened, actor))
}

/// The birth time of a file, which is also that of its streams.
fn birth_of(
    backend: &dyn Backend,
    opened: &Opened,
    path: &vfs::RelativePath,
) -> vfs::Result<Option<(i64, u32)>> {
    match path.stream() {
        None => opened.handle.birth(),
        Some(_) => backend.file_of(&Actor::Process, &*opened.handle)?.handle.birth(),
    }
}

fn open_file(
    server: &Server,
    share: &Share,
    record: &OpenRecord,
    opened: &Opened,
    (key, path): (FileKey, vfs::RelativePath),
) -> Result<OpenFile, &'static str> {
    let writes = server.files.write_times.of(key);
    let handle: Arc<dyn Handle> = Arc::clone(&opened.handle);
    let mut file = OpenFile::new(handle, path, false, record.mode, writes);
    file.posix = record.flags.contains(OpenFlags::POSIX);
    file.append_only = record.flags.contains(OpenFlags::APPEND_ONLY);
    if !file.is_stream {
        file.locking = HostLocking::new(key, server, &share.settings);
    }
    {
        let mut state = file.state();
        state.position = record.position;
        state.lock_sequences = LockSequences::restored(&record.lock_sequences);
    }
    Ok(file)
}

/// Enters an open into the registry.
fn admit(
    server: &Arc<Server>,
    share: &Arc<Share>,
    log: &Arc<OpenLog>,
    record: &OpenRecord,
    wanted: &RestoredOpen,
    content: Content,
    actor: Actor,
) -> Result<Arc<Open>, &'static str> {
    let session = former_session(record, &actor);
    let tree = Tree::new(
        TreeId(0),
        Arc::clone(share),
        Some(Arc::clone(&log.files)),
        (record.access, None),
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    );
    let tree = Arc::new(tree.with_log(Some(Arc::clone(log))));
    let created = Created {
        actor,
        action: CreateAction(record.action),
        channel_sequence: 0,
        has_guid: record.flags.contains(OpenFlags::REPLAYABLE),
        parent_key: entries::parent_key(record),
    };
    let mut open = None;
    let attach = |granted: &GrantedOpen| {
        let made = Open::new(granted, record.access, session, tree, content, created);
        Arc::clone(open.insert(Arc::new(made)))
    };
    let restored = server.registry.lock("restore").restore(wanted, attach, server.now());
    match restored {
        Ok(effects) => {
            server.apply(effects);
            open.ok_or("the registry has not made it")
        }
        Err(RestoreRefused::Conflict) => Err("it conflicts with another open"),
        Err(RestoreRefused::LimitReached) => Err("there are too many opens"),
        Err(RestoreRefused::NotDurable) => Err("it had lost the caching without which it is not durable"),
        Err(RestoreRefused::ShareGone) => Err("its share is gone"),
    }
}

/// The user of an open whose session ended with the former server.
fn former_session(record: &OpenRecord, actor: &Actor) -> Arc<Session> {
    let session = Session::new(SessionId(0), SessionGlobalId::MAX, Arc::default());
    let kind = match record.flags {
        flags if flags.contains(OpenFlags::ANONYMOUS) => IdentityKind::Anonymous,
        flags if flags.contains(OpenFlags::GUEST) => IdentityKind::Guest,
        _ => IdentityKind::User,
    };
    session.set_user(User {
        name: record.owner.user.clone(),
        kind,
        actor: actor.clone(),
        domain: None,
        token: Token::default(),
        administrator: false,
    });
    Arc::new(session)
}

/// Takes the locks of an open on the host, so that local programs see them.
fn take_on_host(server: &Server, open: &Open, locks: &[LockElement]) -> Result<(), &'static str> {
    let Some(file) = open.file().filter(|_| !locks.is_empty()) else { return Ok(()) };
    let Some(on_host) = server.files.host_locks.file(file) else { return Ok(()) };
    match on_host.turn().take(open, locks) {
        Ok(true) => Ok(()),
        Ok(false) => Err("a local program has locked a range that it had locked"),
        Err(_) => Err("its locks cannot be taken on the host"),
    }
}
