//! A tree in memory, for tests and benchmarks: every user has all access, and nothing is stored permanently.

mod handle;
mod locks;
mod node;

use crate::backend::{
    Actor, Backend, Capabilities, Complete, NamedIn, New, Opened, Parent, Permits, Space, Volume, Wanted,
};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::limits::{COMPONENT_UNITS_MAX, MEM_FILE_BYTES_MAX};
use crate::path::RelativePath;
use crate::stat::{Kind, Stat};
use handle::MemHandle;
use locks::Owner;
use node::{Node, UNIT_BYTES};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::names::rest_below;
use wire::{FileAttributes, FoldedName, eq_ignore_case};

use parking_lot::{Mutex, MutexGuard};

/// The inode of the root.
const ROOT_INODE: u64 = 1;

/// A share in memory.
///
/// `names` is held while names change, so that a rename sees both directories unchanged. The locks of nodes
/// are taken one at a time, with or without `names`; no thread waits for `names` while it holds one.
pub struct MemBackend {
    root: Arc<Node>,
    names: Mutex<()>,
    inodes: AtomicU64,
}

/// A name in its directory.
struct Place {
    parent: Arc<Node>,
    parent_path: String,
    /// The requested spelling.
    name: String,
    /// The spelling on disk and the file, if it exists.
    found: Option<(String, Arc<Node>)>,
}

impl Place {
    /// The path with the real spelling of the directories and `leaf` at its end.
    fn path(&self, leaf: &str) -> String {
        if self.parent_path.is_empty() { leaf.to_owned() } else { format!("{}/{leaf}", self.parent_path) }
    }

    fn real_path(&self) -> String {
        self.path(self.found.as_ref().map_or(&self.name, |(name, _)| name))
    }

    fn insert(&self, name: &str, node: &Arc<Node>) {
        let mut parent = self.parent.write();
        parent.children.insert(FoldedName::new(name), (name.to_owned(), Arc::clone(node)));
        parent.touch();
    }

    fn remove(&self) {
        // The file may have been found by its short name.
        let name = self.found.as_ref().map_or(&self.name, |(real, _)| real);
        let mut parent = self.parent.write();
        parent.children.remove(&FoldedName::new(name));
        parent.touch();
    }
}

impl MemBackend {
    /// An empty tree.
    pub fn new() -> Self {
        Self {
            root: Node::new(ROOT_INODE, Kind::Directory, FileAttributes::NONE, &Actor::Process),
            names: Mutex::new(()),
            inodes: AtomicU64::new(ROOT_INODE + 1),
        }
    }

    fn lock_names(&self) -> MutexGuard<'_, ()> {
        self.names.lock()
    }

    fn locate(&self, path: &RelativePath) -> Result<Place> {
        let (parent_text, name) = path.split().ok_or(Error::InvalidArgument)?;
        let mut parent = Arc::clone(&self.root);
        let mut parent_path = String::new();
        for component in parent_text.split('/').filter(|component| !component.is_empty()) {
            let (real, node) = parent
                .child(component)
                .or_else(|| parent.child_by_short_name(component))
                .ok_or(Error::PathNotFound)?;
            if node.kind != Kind::Directory {
                return Err(Error::PathNotFound);
            }
            if !parent_path.is_empty() {
                parent_path.push('/');
            }
            parent_path.push_str(&real);
            parent = node;
        }
        let found = parent.child(name).or_else(|| parent.child_by_short_name(name));
        Ok(Place { parent, parent_path, name: name.to_owned(), found })
    }

    fn find(&self, path: &RelativePath) -> Result<(Arc<Node>, Arc<Node>, String)> {
        if path.is_root() {
            return Ok((Arc::clone(&self.root), Arc::clone(&self.root), String::new()));
        }
        let place = self.locate(path)?;
        let real_path = place.real_path();
        let (_, node) = place.found.ok_or(Error::NotFound)?;
        Ok((node, place.parent, real_path))
    }

    fn create(
        &self,
        actor: &Actor,
        parent: &Parent,
        kind: Kind,
        (attributes, wanted): (FileAttributes, Wanted),
        complete: Complete<'_>,
    ) -> Result<Opened> {
        let _names = self.lock_names();
        let place = place_in(own(&*parent.handle)?, &parent.path)?;
        if place.found.is_some() {
            return Err(Error::Exists);
        }
        if place.parent.read().links == 0 {
            return Err(Error::PathNotFound);
        }
        let node = Node::new(self.inodes.fetch_add(1, Ordering::Relaxed), kind, attributes, actor);
        let made = opened(Arc::clone(&node), Arc::clone(&place.parent), place.real_path(), None, wanted)?;
        complete(&made)?;
        place.insert(&place.name, &node);
        Ok(made)
    }

    /// The place of a name that must belong to the handle's file.
    fn verified(&self, path: &RelativePath, handle: &MemHandle) -> Result<Place> {
        let place = self.locate(path)?;
        match &place.found {
            None => Err(Error::NotFound),
            Some((_, node)) if Arc::ptr_eq(node, &handle.node) => Ok(place),
            Some(_) => Err(Error::Replaced),
        }
    }
}

impl Default for MemBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for MemBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities::STREAMS
            | Capabilities::XATTR
            | Capabilities::CASE_INSENSITIVE
            | Capabilities::DOS_ATTRIBUTES
            | Capabilities::HARD_LINKS
            | Capabilities::NOWAIT
            | Capabilities::SECURITY
    }

    fn open(&self, _actor: &Actor, path: &RelativePath, wanted: Wanted) -> Result<Opened> {
        let (node, parent, real_path) = self.find(path)?;
        let stream = match path.stream() {
            None => None,
            Some(name) => {
                let found = node.read().streams.get(&FoldedName::new(name)).map(|(real, _)| real.clone());
                Some(found.ok_or(Error::NotFound)?)
            }
        };
        opened(node, parent, real_path, stream, wanted)
    }

    fn reopen(&self, _actor: &Actor, opened: &Opened, wanted: Wanted) -> Result<Opened> {
        let handle = own(&*opened.handle)?.again(wanted);
        Ok(Opened { stat: handle.stat()?, handle: Arc::new(handle), ..opened.clone() })
    }

    fn file_of(&self, _actor: &Actor, handle: &dyn Handle) -> Result<Opened> {
        let MemHandle { node, parent, path, .. } = own(handle)?;
        opened(Arc::clone(node), Arc::clone(parent), path.clone(), None, Wanted::NOTHING)
    }

    fn parent(&self, _actor: &Actor, path: &RelativePath) -> Result<Parent> {
        if path.stream().is_some() {
            let (node, parent, real_path) = self.find(path)?;
            let opened = opened(node, parent, real_path, None, Wanted::NOTHING)?;
            return Ok(Parent { handle: opened.handle, stat: opened.stat, path: path.clone() });
        }
        let Place { parent, parent_path, .. } = self.locate(path)?;
        let opened = opened(Arc::clone(&parent), parent, parent_path, None, Wanted::NOTHING)?;
        Ok(Parent { handle: opened.handle, stat: opened.stat, path: path.clone() })
    }

    fn open_in(
        &self,
        _actor: &Actor,
        holder: &dyn Handle,
        path: &RelativePath,
        _followed: bool,
    ) -> Result<Opened> {
        let holder = own(holder)?;
        if let Some(stream) = path.stream() {
            let found =
                holder.node.read().streams.get(&FoldedName::new(stream)).map(|(real, _)| real.clone());
            let (node, parent) = (Arc::clone(&holder.node), Arc::clone(&holder.parent));
            let found = Some(found.ok_or(Error::NotFound)?);
            return opened(node, parent, holder.path.clone(), found, Wanted::NOTHING);
        }
        let place = place_in(holder, path)?;
        let real_path = place.real_path();
        let (_, node) = place.found.ok_or(Error::NotFound)?;
        opened(node, place.parent, real_path, None, Wanted::NOTHING)
    }

    fn directory_of(&self, _actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<NamedIn> {
        let place = self.verified(path, own(handle)?)?;
        let directory = opened(
            Arc::clone(&place.parent),
            Arc::clone(&place.parent),
            place.parent_path,
            None,
            Wanted::NOTHING,
        )?;
        Ok(NamedIn { directory: directory.handle, is_removable: true })
    }

    fn make_file_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        new: New,
        wanted: Wanted,
        complete: Complete<'_>,
    ) -> Result<Opened> {
        let Some(stream) = parent.path.stream() else {
            let attributes = new.attributes | FileAttributes::ARCHIVE;
            return self.create(actor, parent, Kind::File, (attributes, wanted), complete);
        };
        let file = own(&*parent.handle)?;
        {
            let mut inner = file.node.write();
            if inner.streams.contains_key(&FoldedName::new(stream)) {
                return Err(Error::Exists);
            }
            inner.streams.insert(FoldedName::new(stream), (stream.to_owned(), Vec::new()));
        }
        let (node, parent) = (Arc::clone(&file.node), Arc::clone(&file.parent));
        let made = opened(node, parent, file.path.clone(), Some(stream.to_owned()), wanted)?;
        if let Err(error) = complete(&made) {
            file.node.write().streams.remove(&FoldedName::new(stream));
            return Err(error);
        }
        Ok(made)
    }

    fn make_directory_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        new: New,
        complete: Complete<'_>,
    ) -> Result<Opened> {
        if parent.path.stream().is_some() {
            return Err(Error::NotADirectory);
        }
        self.create(actor, parent, Kind::Directory, (new.attributes, Wanted::READ), complete)
    }

    fn rename_in(
        &self,
        _actor: &Actor,
        handle: &dyn Handle,
        from: &RelativePath,
        to: &Parent,
        replaced: Option<&dyn Handle>,
    ) -> Result<String> {
        let handle = own(handle)?;
        if from.stream().is_some() || to.path.stream().is_some() {
            return self.rename_stream(handle, from, &to.path, replaced.is_some());
        }
        if from.is_root() || to.path.is_root() {
            return Err(Error::AccessDenied);
        }
        let _names = self.lock_names();
        let source = self.verified(from, handle)?;
        let target = place_in(own(&*to.handle)?, &to.path)?;
        let [target_path, source_path] = [&target, &source].map(|it| FoldedName::new(&it.real_path()));
        let below = rest_below(target_path.as_str(), source_path.as_str(), &['/']);
        let is_below = below.is_some_and(|rest| !rest.is_empty());
        if is_below {
            return Err(Error::AccessDenied);
        }
        let same_name =
            Arc::ptr_eq(&source.parent, &target.parent) && eq_ignore_case(&source.name, &target.name);
        let leaf = match &target.found {
            Some((real, node)) if !same_name => {
                replaceable(node, replaced)?;
                if handle.node.kind == Kind::Directory {
                    return Err(Error::AccessDenied);
                }
                unlink(node);
                real.clone()
            }
            _ => target.name.clone(),
        };
        source.remove();
        target.insert(&leaf, &handle.node);
        handle.node.write().changed = node::now();
        Ok(target.path(&leaf))
    }

    fn link_in(
        &self,
        _actor: &Actor,
        handle: &dyn Handle,
        to: &Parent,
        replaced: Option<&dyn Handle>,
    ) -> Result<String> {
        let handle = own(handle)?;
        if handle.node.kind == Kind::Directory {
            return Err(Error::IsADirectory);
        }
        if to.path.stream().is_some() {
            return Err(Error::NotSupported);
        }
        let _names = self.lock_names();
        if handle.node.read().links == 0 {
            return Err(Error::Replaced);
        }
        let target = place_in(own(&*to.handle)?, &to.path)?;
        if let Some((_, node)) = &target.found {
            replaceable(node, replaced)?;
            if Arc::ptr_eq(node, &handle.node) {
                return Ok(target.real_path());
            }
            unlink(node);
        }
        let leaf = target.found.as_ref().map_or(&target.name, |(real, _)| real);
        target.insert(leaf, &handle.node);
        let mut inner = handle.node.write();
        inner.links = inner.links.saturating_add(1);
        inner.changed = node::now();
        Ok(target.real_path())
    }

    fn remove(&self, _actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<()> {
        let handle = own(handle)?;
        if let Some(stream) = path.stream() {
            return handle
                .node
                .write()
                .streams
                .remove(&FoldedName::new(stream))
                .map(drop)
                .ok_or(Error::NotFound);
        }
        if path.is_root() {
            return Err(Error::AccessDenied);
        }
        let _names = self.lock_names();
        let place = self.verified(path, handle)?;
        if !handle.node.read().children.is_empty() {
            return Err(Error::NotEmpty);
        }
        place.remove();
        unlink(&handle.node);
        Ok(())
    }

    fn is_empty_directory(&self, handle: &dyn Handle) -> Result<bool> {
        Ok(own(handle)?.node.read().children.is_empty())
    }

    fn space(&self, _handle: &dyn Handle) -> Result<Space> {
        let total = MEM_FILE_BYTES_MAX.div_euclid(UNIT_BYTES);
        let unit_bytes = u32::try_from(UNIT_BYTES).map_err(|_| Error::NotSupported)?;
        Ok(Space { unit_bytes, total, free: total, available: total, read_only: false })
    }

    fn volume(&self, _handle: &dyn Handle) -> Result<Volume> {
        Ok(Volume {
            serial: 0x6d65_6d00,
            label: "memory".to_owned(),
            created: self.root.read().created,
            file_system: "NTFS".to_owned(),
            component_units_max: u32::try_from(COMPONENT_UNITS_MAX).unwrap_or(u32::MAX),
        })
    }
}

impl MemBackend {
    fn rename_stream(
        &self,
        handle: &MemHandle,
        from: &RelativePath,
        to: &RelativePath,
        may_replace: bool,
    ) -> Result<String> {
        let Some(source) = from.stream() else { return Err(Error::NotSupported) };
        if !eq_ignore_case(from.as_str(), to.as_str()) {
            return Err(Error::NotSupported);
        }
        let path = self.find(from)?.2;
        let mut inner = handle.node.write();
        let Some(target) = to.stream() else {
            if handle.node.kind == Kind::Directory {
                return Err(Error::IsADirectory);
            }
            if !inner.data.is_empty() {
                return Err(Error::Exists);
            }
            let (_, data) = inner.streams.remove(&FoldedName::new(source)).ok_or(Error::NotFound)?;
            inner.data = data;
            inner.stream_renamed(&FoldedName::new(source), None);
            return Ok(path);
        };
        if !eq_ignore_case(source, target)
            && inner.streams.contains_key(&FoldedName::new(target))
            && !may_replace
        {
            return Err(Error::Exists);
        }
        let (_, data) = inner.streams.remove(&FoldedName::new(source)).ok_or(Error::NotFound)?;
        inner.streams.insert(FoldedName::new(target), (target.to_owned(), data));
        inner.stream_renamed(&FoldedName::new(source), Some(FoldedName::new(target)));
        Ok(path)
    }
}

fn opened(
    node: Arc<Node>,
    parent: Arc<Node>,
    path: String,
    stream: Option<String>,
    wanted: Wanted,
) -> Result<Opened> {
    let open_stream = stream.as_deref().map(|name| node.write().open_stream(FoldedName::new(name)));
    let owner = Owner::default();
    let handle = MemHandle { node, parent, path: path.clone(), stream: open_stream, wanted, owner };
    let stat: Stat = handle.stat()?;
    Ok(Opened { handle: Arc::new(handle), path, stream, stat, permits: Permits::default(), named: None })
}

fn own(handle: &dyn Handle) -> Result<&MemHandle> {
    handle.as_any().downcast_ref().ok_or(Error::InvalidArgument)
}

/// The place of a name in an open directory.
fn place_in(directory: &MemHandle, path: &RelativePath) -> Result<Place> {
    let name = path.name().ok_or(Error::InvalidArgument)?;
    let found = directory.node.child(name).or_else(|| directory.node.child_by_short_name(name));
    Ok(Place {
        parent: Arc::clone(&directory.node),
        parent_path: directory.path.clone(),
        name: name.to_owned(),
        found,
    })
}

/// Checks that an existing target is the file `replaced` and can be replaced (MS-FSA 2.1.5.15.11).
fn replaceable(node: &Arc<Node>, replaced: Option<&dyn Handle>) -> Result<()> {
    let replaced = own(replaced.ok_or(Error::Exists)?)?;
    if !Arc::ptr_eq(node, &replaced.node) {
        return Err(Error::Replaced);
    }
    if node.kind == Kind::Directory || node.read().attributes.contains(FileAttributes::READONLY) {
        return Err(Error::AccessDenied);
    }
    Ok(())
}

fn unlink(node: &Node) {
    let mut inner = node.write();
    inner.links = inner.links.saturating_sub(1);
    inner.changed = node::now();
}
