//! A backend for tests that wraps another one: its calls may fail with any error, be slow, or take effect and
//! still report an error.
//!
//! [`Faults`] chooses from a seed. All effects reach the wrapped backend, where a test can inspect them.

mod faults;
mod handle;

use std::sync::Arc;

use crate::backend::{
    Actor, Backend, Bin, Capabilities, Complete, NamedIn, New, Opened, Parent, Space, Symlink, Volume, Wanted,
};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::path::RelativePath;
use crate::stat::Stat;

pub use faults::{Faults, Rates};
use handle::FaultyHandle;

/// A backend whose calls fail as [`Faults`] chooses.
pub struct FaultyBackend {
    inner: Arc<dyn Backend>,
    faults: Arc<Faults>,
}

impl FaultyBackend {
    /// Wraps a backend.
    pub fn new(inner: Arc<dyn Backend>, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }

    fn opened(&self, opened: Opened) -> Opened {
        Opened { handle: self.wrapped(&opened.handle), ..opened }
    }

    fn wrapped(&self, handle: &Arc<dyn Handle>) -> Arc<dyn Handle> {
        Arc::new(FaultyHandle::new(Arc::clone(handle), Arc::clone(&self.faults)))
    }
}

/// The handle that this one wraps.
fn inner(handle: &dyn Handle) -> Result<&dyn Handle> {
    Ok(&**inner_arc(handle)?)
}

fn inner_arc(handle: &dyn Handle) -> Result<&Arc<dyn Handle>> {
    let own: &FaultyHandle = handle.as_any().downcast_ref().ok_or(Error::InvalidArgument)?;
    Ok(own.inner())
}

/// The parent with the wrapped backend's handle.
fn inner_parent(parent: &Parent) -> Result<Parent> {
    Ok(Parent { handle: Arc::clone(inner_arc(&*parent.handle)?), ..parent.clone() })
}

impl Backend for FaultyBackend {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn handle_directory(&self) -> Result<std::os::fd::OwnedFd> {
        self.inner.handle_directory()
    }

    fn capabilities_at(&self, handle: &dyn Handle) -> Result<Capabilities> {
        self.inner.capabilities_at(inner(handle)?)
    }

    fn open(&self, actor: &Actor, path: &RelativePath, wanted: Wanted) -> Result<Opened> {
        self.faults.call("open", || self.inner.open(actor, path, wanted)).map(|it| self.opened(it))
    }

    fn open_link(&self, actor: &Actor, path: &RelativePath, wanted: Wanted) -> Result<Opened> {
        self.faults.call("open_link", || self.inner.open_link(actor, path, wanted)).map(|it| self.opened(it))
    }

    fn first_symlink(&self, actor: &Actor, path: &RelativePath) -> Result<Option<Symlink>> {
        self.faults.call("first_symlink", || self.inner.first_symlink(actor, path))
    }

    fn make_symlink(
        &self,
        actor: &Actor,
        path: &RelativePath,
        handle: &dyn Handle,
        target: &str,
    ) -> Result<()> {
        let handle = inner(handle)?;
        self.faults.call("make_symlink", || self.inner.make_symlink(actor, path, handle, target))
    }

    fn reopen(&self, actor: &Actor, opened: &Opened, wanted: Wanted) -> Result<Opened> {
        let opened = Opened { handle: Arc::clone(inner_arc(&*opened.handle)?), ..opened.clone() };
        self.faults.call("reopen", || self.inner.reopen(actor, &opened, wanted)).map(|it| self.opened(it))
    }

    fn file_of(&self, actor: &Actor, handle: &dyn Handle) -> Result<Opened> {
        let handle = inner(handle)?;
        self.faults.call("file_of", || self.inner.file_of(actor, handle)).map(|it| self.opened(it))
    }

    fn parent(&self, actor: &Actor, path: &RelativePath) -> Result<Parent> {
        let parent = self.faults.call("parent", || self.inner.parent(actor, path))?;
        Ok(Parent { handle: self.wrapped(&parent.handle), ..parent })
    }

    fn open_in(
        &self,
        actor: &Actor,
        holder: &dyn Handle,
        path: &RelativePath,
        followed: bool,
    ) -> Result<Opened> {
        let holder = inner(holder)?;
        let open = || self.inner.open_in(actor, holder, path, followed);
        self.faults.call("open_in", open).map(|it| self.opened(it))
    }

    fn directory_of(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<NamedIn> {
        let handle = inner(handle)?;
        let named = self.faults.call("directory_of", || self.inner.directory_of(actor, path, handle))?;
        Ok(NamedIn { directory: self.wrapped(&named.directory), ..named })
    }

    fn make_file_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        new: New,
        wanted: Wanted,
        complete: Complete<'_>,
    ) -> Result<Opened> {
        let parent = inner_parent(parent)?;
        let complete = |made: &Opened| complete(&self.opened(made.clone()));
        let make = || self.inner.make_file_in(actor, &parent, new, wanted, &complete);
        self.faults.call("make_file_in", make).map(|it| self.opened(it))
    }

    fn make_directory_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        new: New,
        complete: Complete<'_>,
    ) -> Result<Opened> {
        let parent = inner_parent(parent)?;
        let complete = |made: &Opened| complete(&self.opened(made.clone()));
        let make = || self.inner.make_directory_in(actor, &parent, new, &complete);
        self.faults.call("make_directory_in", make).map(|it| self.opened(it))
    }

    fn rename_in(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        from: &RelativePath,
        to: &Parent,
        replaced: Option<&dyn Handle>,
    ) -> Result<String> {
        let (handle, to) = (inner(handle)?, inner_parent(to)?);
        let replaced = replaced.map(inner).transpose()?;
        self.faults.call("rename_in", || self.inner.rename_in(actor, handle, from, &to, replaced))
    }

    fn link_in(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        to: &Parent,
        replaced: Option<&dyn Handle>,
    ) -> Result<String> {
        let (handle, to) = (inner(handle)?, inner_parent(to)?);
        let replaced = replaced.map(inner).transpose()?;
        self.faults.call("link_in", || self.inner.link_in(actor, handle, &to, replaced))
    }

    fn remove(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<()> {
        let handle = inner(handle)?;
        self.faults.call("remove", || self.inner.remove(actor, path, handle))
    }

    fn recycle(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle, bin: &Bin) -> Result<()> {
        let handle = inner(handle)?;
        self.faults.call("recycle", || self.inner.recycle(actor, path, handle, bin))
    }

    fn rename_keeping_in(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        from: &RelativePath,
        to: &Parent,
        replaced: &dyn Handle,
        bin: &Bin,
    ) -> Result<(String, Result<()>)> {
        let (handle, replaced) = (inner(handle)?, inner(replaced)?);
        let to = inner_parent(to)?;
        self.faults.call("rename", || self.inner.rename_keeping_in(actor, handle, from, &to, replaced, bin))
    }

    fn check_removable(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<()> {
        let handle = inner(handle)?;
        self.faults.call("check_removable", || self.inner.check_removable(actor, path, handle))
    }

    fn is_empty_directory(&self, handle: &dyn Handle) -> Result<bool> {
        let handle = inner(handle)?;
        self.faults.call("is_empty_directory", || self.inner.is_empty_directory(handle))
    }

    fn space(&self, handle: &dyn Handle) -> Result<Space> {
        let handle = inner(handle)?;
        self.faults.call("space", || self.inner.space(handle))
    }

    fn volume(&self, handle: &dyn Handle) -> Result<Volume> {
        self.inner.volume(inner(handle)?)
    }

    fn file_id(&self, of: &dyn Handle, stat: &Stat) -> u64 {
        inner(of).map_or(stat.inode, |of| self.inner.file_id(of, stat))
    }
}
