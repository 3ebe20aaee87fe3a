//! One file or directory in memory.

use super::locks::Locks;
use crate::backend::Actor;
use crate::handle::ea_size;
use crate::limits::MEM_FILE_BYTES_MAX;
use crate::short_name;
use crate::stat::{Kind, SETTABLE_ATTRIBUTES, Stat, normalized};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};
use wire::{FileAttributes, FileTime, FoldedName};

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The device number of every memory backend.
const DEVICE: u64 = 0x6d65_6d00;
/// The unit to which sizes are rounded up for `AllocationSize`.
pub(super) const UNIT_BYTES: u64 = 4096;

/// One file or directory.
pub(super) struct Node {
    pub(super) inode: u64,
    pub(super) kind: Kind,
    uid: u32,
    gid: u32,
    inner: RwLock<Inner>,
    locks: Mutex<Locks>,
}

/// Entries or streams by folded name, with the real spelling.
pub(super) type ByName<T> = BTreeMap<FoldedName, (String, T)>;

/// The folded name of an open stream, shared by all its handles; `None` once it has become the file's data.
pub(super) type OpenStream = Mutex<Option<FoldedName>>;

/// The mutable part of a node.
pub(super) struct Inner {
    pub(super) data: Vec<u8>,
    pub(super) allocated: u64,
    pub(super) children: ByName<Arc<Node>>,
    pub(super) streams: ByName<Vec<u8>>,
    /// The open streams, by folded name.
    open_streams: BTreeMap<FoldedName, Weak<OpenStream>>,
    pub(super) xattrs: ByName<Vec<u8>>,
    pub(super) security: Option<Vec<u8>>,
    pub(super) links: u32,
    pub(super) attributes: FileAttributes,
    pub(super) created: FileTime,
    pub(super) accessed: FileTime,
    pub(super) modified: FileTime,
    pub(super) changed: FileTime,
}

impl Node {
    pub(super) fn new(inode: u64, kind: Kind, attributes: FileAttributes, actor: &Actor) -> Arc<Self> {
        let now = now();
        let (uid, gid) = match actor {
            Actor::Process => (0, 0),
            Actor::User(identity) => (identity.uid, identity.gid),
        };
        let inner = Inner {
            data: Vec::new(),
            allocated: 0,
            children: BTreeMap::new(),
            streams: BTreeMap::new(),
            open_streams: BTreeMap::new(),
            xattrs: BTreeMap::new(),
            security: None,
            links: 1,
            attributes: attributes & SETTABLE_ATTRIBUTES,
            created: now,
            accessed: now,
            modified: now,
            changed: now,
        };
        Arc::new(Self { inode, kind, uid, gid, inner: RwLock::new(inner), locks: Mutex::default() })
    }

    /// The range locks of the file's data.
    pub(super) fn locks(&self) -> MutexGuard<'_, Locks> {
        self.locks.lock()
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read()
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write()
    }

    pub(super) fn stat(&self) -> Stat {
        let inner = self.read();
        let size = bytes(&inner.data);
        Stat {
            reparse_tag: 0,
            device: DEVICE,
            inode: self.inode,
            size,
            allocation: size.max(inner.allocated).next_multiple_of(UNIT_BYTES),
            links: inner.links,
            kind: self.kind,
            created: inner.created,
            accessed: inner.accessed,
            modified: inner.modified,
            changed: inner.changed,
            attributes: normalized(inner.attributes, self.kind),
            mode: if self.kind == Kind::Directory { 0o777 } else { 0o666 },
            uid: self.uid,
            gid: self.gid,
        }
    }

    /// `EaSize`.
    pub(super) fn ea_size(&self) -> u32 {
        ea_size(self.read().xattrs.values().map(|(name, value)| (name.len(), value.len())))
    }

    /// The entry of that name, in any case, with its real spelling.
    pub(super) fn child(&self, name: &str) -> Option<(String, Arc<Node>)> {
        self.read().children.get(&FoldedName::new(name)).cloned()
    }

    /// The entry whose short name is `short`.
    pub(super) fn child_by_short_name(&self, short: &str) -> Option<(String, Arc<Node>)> {
        if !short_name::may_be_derived(short) {
            return None;
        }
        self.read().children.values().find(|(name, _)| short_name::stands_for(short, name)).cloned()
    }
}

impl Inner {
    /// Marks the data or the entries as just changed.
    pub(super) fn touch(&mut self) {
        self.modified = now();
        self.changed = self.modified;
    }

    /// The shared state of all handles that have the stream `name` open.
    pub(super) fn open_stream(&mut self, name: FoldedName) -> Arc<OpenStream> {
        self.open_streams.retain(|_, open| open.strong_count() > 0);
        let known = self.open_streams.entry(name.clone()).or_default();
        known.upgrade().unwrap_or_else(|| {
            let open = Arc::new(Mutex::new(Some(name)));
            *known = Arc::downgrade(&open);
            open
        })
    }

    /// Passes the new folded name of a stream on to its open handles; `None` if it is the file's data now.
    pub(super) fn stream_renamed(&mut self, from: &FoldedName, to: Option<FoldedName>) {
        let Some(known) = self.open_streams.remove(from) else { return };
        if let Some(open) = known.upgrade() {
            open.lock().clone_from(&to);
            if let Some(to) = to {
                self.open_streams.insert(to, known);
            }
        }
    }
}

/// The size as `usize`, if it is within the limit.
pub(super) fn index(size: u64) -> Result<usize> {
    if size > MEM_FILE_BYTES_MAX {
        return Err(if i64::try_from(size).is_ok() { Error::NoSpace } else { Error::InvalidArgument });
    }
    usize::try_from(size).map_err(|_| Error::NoSpace)
}

/// The length of some data.
pub(super) fn bytes(data: &[u8]) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}

pub(super) fn now() -> FileTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    FileTime::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
}
