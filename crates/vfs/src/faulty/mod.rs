//! Files that fail, for tests: any backend, whose calls may fail with any error, take their time, or tear.
//!
//! What a call does is drawn from a seed ([`Faults`]). Everything that does happen happens to the wrapped backend,
//! where a test can look at it.

mod faults;
mod handle;

use std::sync::Arc;

use wire::FileAttributes;

use crate::backend::{Actor, Backend, Capabilities, Opened, Space, Symlink, Volume, Wanted};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::path::RelativePath;

pub use faults::{Faults, Rates};
use handle::FaultyHandle;

/// A backend whose calls fail as its [`Faults`] say.
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
        let handle = FaultyHandle::new(Arc::clone(&opened.handle), Arc::clone(&self.faults));
        Opened { handle: Arc::new(handle), ..opened }
    }
}

/// The handle that this one wraps.
fn inner(handle: &dyn Handle) -> Result<&dyn Handle> {
    let own: &FaultyHandle = handle.as_any().downcast_ref().ok_or(Error::InvalidArgument)?;
    Ok(own.inner())
}

impl Backend for FaultyBackend {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
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

    fn create_file(
        &self,
        actor: &Actor,
        path: &RelativePath,
        attributes: FileAttributes,
        wanted: Wanted,
    ) -> Result<Opened> {
        let create = || self.inner.create_file(actor, path, attributes, wanted);
        self.faults.call("create_file", create).map(|it| self.opened(it))
    }

    fn create_directory(
        &self,
        actor: &Actor,
        path: &RelativePath,
        attributes: FileAttributes,
    ) -> Result<Opened> {
        let create = || self.inner.create_directory(actor, path, attributes);
        self.faults.call("create_directory", create).map(|it| self.opened(it))
    }

    fn rename(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        from: &RelativePath,
        to: &RelativePath,
        replace: bool,
    ) -> Result<String> {
        let handle = inner(handle)?;
        self.faults.call("rename", || self.inner.rename(actor, handle, from, to, replace))
    }

    fn link(&self, actor: &Actor, handle: &dyn Handle, to: &RelativePath, replace: bool) -> Result<String> {
        let handle = inner(handle)?;
        self.faults.call("link", || self.inner.link(actor, handle, to, replace))
    }

    fn remove(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<()> {
        let handle = inner(handle)?;
        self.faults.call("remove", || self.inner.remove(actor, path, handle))
    }

    fn is_empty_directory(&self, handle: &dyn Handle) -> Result<bool> {
        let handle = inner(handle)?;
        self.faults.call("is_empty_directory", || self.inner.is_empty_directory(handle))
    }

    fn space(&self) -> Result<Space> {
        self.faults.call("space", || self.inner.space())
    }

    fn volume(&self) -> Volume {
        self.inner.volume()
    }
}
