//! A backend that does nothing any more once its gate has closed: the files of a share that another server of a cluster
//! may own by then.
//!
//! The gate is asked at each call, by the time at that moment. What a call has begun before is not undone; the cluster
//! leaves a margin for it. Files can be closed and byte-range locks be released in any case.

mod handle;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wire::AccessMask;

use crate::backend::{
    Actor, Backend, Bin, BinLimits, Capabilities, Complete, Found, NamedIn, New, OpenHow, Opened, Parent,
    Root, Space, Symlink, Trimmed, Volume, Wanted,
};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::path::RelativePath;
use crate::stat::Stat;
use handle::GatedHandle;

/// The permission to use the files of a share.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    is_open: Box<dyn Fn() -> bool + Send + Sync>,
    /// The calls that are under way.
    running: AtomicUsize,
}

impl Gate {
    /// A gate that is open as long as the function returns true.
    pub fn new(is_open: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { is_open: Box::new(is_open), running: AtomicUsize::new(0) }))
    }

    /// True if the files may be used now.
    pub fn is_open(&self) -> bool {
        (self.0.is_open)()
    }

    /// True if no call is under way. When the gate has closed and is idle, nothing more happens to the files.
    pub fn is_idle(&self) -> bool {
        self.0.running.load(Ordering::SeqCst) == 0
    }

    /// Makes a call that uses the files.
    ///
    /// # Errors
    /// [`Error::Fenced`] if the gate has closed, or the error of the call.
    pub fn within<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        // It counts before the gate is asked: a call that passes is never missed by one who waits for the others.
        self.0.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(&self.0.running);
        if self.is_open() { call() } else { Err(Error::Fenced) }
    }
}

/// A call that is under way.
struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.is_open()).finish()
    }
}

/// A backend with a gate.
///
/// Its handles give the wrapped ones to those who ask for the concrete type ([`Handle::as_any`]), so that the wrapped
/// backend takes them as its own.
pub struct GatedBackend {
    inner: Arc<dyn Backend>,
    gate: Gate,
}

impl GatedBackend {
    /// Wraps a backend.
    pub fn new(inner: Arc<dyn Backend>, gate: Gate) -> Self {
        Self { inner, gate }
    }

    fn opened(&self, opened: Opened) -> Opened {
        let named = opened.named.map(|it| NamedIn { directory: self.wrapped(it.directory), ..it });
        Opened { handle: self.wrapped(opened.handle), named, ..opened }
    }

    fn parent_of(&self, parent: Parent) -> Parent {
        Parent { handle: self.wrapped(parent.handle), ..parent }
    }

    fn wrapped(&self, handle: Arc<dyn Handle>) -> Arc<dyn Handle> {
        Arc::new(GatedHandle::new(handle, self.gate.clone()))
    }
}

impl Backend for GatedBackend {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn capabilities_at(&self, handle: &dyn Handle) -> Result<Capabilities> {
        self.inner.capabilities_at(handle)
    }

    fn handle_directory(&self) -> Result<std::os::fd::OwnedFd> {
        self.gate.within(|| self.inner.handle_directory())
    }

    fn open(&self, actor: &Actor, path: &RelativePath, wanted: Wanted) -> Result<Opened> {
        self.gate.within(|| self.inner.open(actor, path, wanted).map(|it| self.opened(it)))
    }

    fn open_link(&self, actor: &Actor, path: &RelativePath, wanted: Wanted) -> Result<Opened> {
        self.gate.within(|| self.inner.open_link(actor, path, wanted).map(|it| self.opened(it)))
    }

    fn open_asking(
        &self,
        actor: &Actor,
        path: &RelativePath,
        how: OpenHow,
        asked: AccessMask,
    ) -> Result<Opened> {
        self.gate.within(|| self.inner.open_asking(actor, path, how, asked).map(|it| self.opened(it)))
    }

    fn first_symlink(&self, actor: &Actor, path: &RelativePath) -> Result<Option<Symlink>> {
        self.gate.within(|| self.inner.first_symlink(actor, path))
    }

    fn make_symlink(
        &self,
        actor: &Actor,
        path: &RelativePath,
        handle: &dyn Handle,
        target: &str,
    ) -> Result<()> {
        self.gate.within(|| self.inner.make_symlink(actor, path, handle, target))
    }

    fn reopen(&self, actor: &Actor, opened: &Opened, wanted: Wanted) -> Result<Opened> {
        self.gate.within(|| self.inner.reopen(actor, opened, wanted).map(|it| self.opened(it)))
    }

    fn file_of(&self, actor: &Actor, handle: &dyn Handle) -> Result<Opened> {
        self.gate.within(|| self.inner.file_of(actor, handle).map(|it| self.opened(it)))
    }

    fn parent(&self, actor: &Actor, path: &RelativePath) -> Result<Parent> {
        self.gate.within(|| self.inner.parent(actor, path)).map(|it| self.parent_of(it))
    }

    fn parent_and_entry(&self, actor: &Actor, path: &RelativePath) -> Result<(Parent, Option<Opened>)> {
        let (parent, entry) = self.gate.within(|| self.inner.parent_and_entry(actor, path))?;
        Ok((self.parent_of(parent), entry.map(|it| self.opened(it))))
    }

    fn open_or_miss(
        &self,
        actor: &Actor,
        path: &RelativePath,
        how: OpenHow,
        asked: AccessMask,
    ) -> Result<Found> {
        Ok(match self.gate.within(|| self.inner.open_or_miss(actor, path, how, asked))? {
            Found::File(opened) => Found::File(self.opened(opened)),
            Found::Missed(parent) => Found::Missed(parent.map(|it| self.parent_of(it))),
        })
    }

    fn open_in(
        &self,
        actor: &Actor,
        holder: &dyn Handle,
        path: &RelativePath,
        followed: bool,
    ) -> Result<Opened> {
        self.gate.within(|| self.inner.open_in(actor, holder, path, followed).map(|it| self.opened(it)))
    }

    fn directory_of(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<NamedIn> {
        let named = self.gate.within(|| self.inner.directory_of(actor, path, handle))?;
        Ok(NamedIn { directory: self.wrapped(named.directory), ..named })
    }

    fn make_file_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        new: New,
        wanted: Wanted,
        complete: Complete<'_>,
    ) -> Result<Opened> {
        let complete = |made: &Opened| complete(&self.opened(made.clone()));
        self.gate
            .within(|| self.inner.make_file_in(actor, parent, new, wanted, &complete))
            .map(|it| self.opened(it))
    }

    fn make_directory_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        new: New,
        complete: Complete<'_>,
    ) -> Result<Opened> {
        let complete = |made: &Opened| complete(&self.opened(made.clone()));
        self.gate
            .within(|| self.inner.make_directory_in(actor, parent, new, &complete))
            .map(|it| self.opened(it))
    }

    fn rename_in(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        from: &RelativePath,
        to: &Parent,
        replaced: Option<&dyn Handle>,
    ) -> Result<String> {
        self.gate.within(|| self.inner.rename_in(actor, handle, from, to, replaced))
    }

    fn link_in(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        to: &Parent,
        replaced: Option<&dyn Handle>,
    ) -> Result<String> {
        self.gate.within(|| self.inner.link_in(actor, handle, to, replaced))
    }

    fn remove(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<()> {
        self.gate.within(|| self.inner.remove(actor, path, handle))
    }

    fn recycle(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle, bin: &Bin) -> Result<()> {
        self.gate.within(|| self.inner.recycle(actor, path, handle, bin))
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
        self.gate.within(|| self.inner.rename_keeping_in(actor, handle, from, to, replaced, bin))
    }

    fn trim_bin(&self, directory: &RelativePath, limits: &BinLimits) -> Result<Trimmed> {
        self.gate.within(|| self.inner.trim_bin(directory, limits))
    }

    fn check_removable(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<()> {
        self.gate.within(|| self.inner.check_removable(actor, path, handle))
    }

    /// This may remove what the server itself left in the directory.
    fn is_empty_directory(&self, handle: &dyn Handle) -> Result<bool> {
        self.gate.within(|| self.inner.is_empty_directory(handle))
    }

    fn used_bytes(&self) -> Result<u64> {
        self.inner.used_bytes()
    }

    fn space(&self, handle: &dyn Handle) -> Result<Space> {
        self.inner.space(handle)
    }

    fn volume(&self, handle: &dyn Handle) -> Result<Volume> {
        self.inner.volume(handle)
    }

    fn file_id(&self, of: &dyn Handle, stat: &Stat) -> u64 {
        self.inner.file_id(of, stat)
    }

    fn root(&self) -> Root {
        self.inner.root()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::handle::SetTimes;
    use crate::local::{LocalBackend, LocalOptions};
    use wire::FileAttributes;

    #[test]
    fn nothing_is_changed_or_read_after_the_gate_has_closed() {
        let scratch = tempfile::tempdir().unwrap();
        let local = LocalBackend::open(scratch.path(), LocalOptions::default()).unwrap();
        let open = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&open);
        let gate = Gate::new(move || asked.load(Ordering::SeqCst));
        let gated = GatedBackend::new(Arc::new(local), gate);
        let actor = Actor::Process;
        let path = |text: &str| RelativePath::new(text).unwrap();
        let made = gated.create_file(&actor, &path("a"), FileAttributes::NORMAL, Wanted::BOTH).unwrap();
        assert_eq!(made.handle.write_at(b"before", 0).unwrap(), 6);
        let second = gated.create_file(&actor, &path("b"), FileAttributes::NORMAL, Wanted::BOTH).unwrap();
        made.handle.duplicate_extents(&*second.handle, 0..0, 0).ok();
        gated.rename(&actor, &*second.handle, &path("b"), &path("c"), false).unwrap();
        let parent = gated.parent(&actor, &path("d")).unwrap();

        open.store(false, Ordering::SeqCst);
        let handle = &*made.handle;
        let fenced = |result: Result<()>| assert!(matches!(result, Err(Error::Fenced)), "{result:?}");
        fenced(handle.write_at(b"after", 0).map(drop));
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        fenced(handle.write_from(socket.as_fd(), 5, 0, &mut 0).map(drop));
        fenced(handle.append(b"after", &|_| true).map(drop));
        fenced(handle.set_size(0));
        fenced(handle.allocate(1 << 20));
        fenced(handle.zero(0..3));
        fenced(handle.duplicate_extents(&*second.handle, 0..1, 0));
        fenced(handle.flush());
        fenced(handle.set_times(SetTimes::default()));
        fenced(handle.set_attributes(FileAttributes::HIDDEN));
        fenced(handle.set_sparse(true));
        fenced(handle.set_xattr("A", b"b"));
        fenced(handle.remove_xattr("A"));
        fenced(handle.set_security_record(b"x"));
        fenced(handle.set_mode(0o600));
        fenced(handle.set_permissions(0o600));
        fenced(handle.set_owner(0));
        fenced(handle.set_group(0));
        fenced(handle.set_reparse_data(None));
        fenced(handle.read_at(&mut [0; 4], 0).map(drop));
        assert!(handle.as_fd().is_none());
        fenced(gated.remove(&actor, &path("a"), handle));
        fenced(gated.rename(&actor, handle, &path("a"), &path("e"), false).map(drop));
        fenced(gated.link(&actor, handle, &path("e"), false).map(drop));
        fenced(gated.make_symlink(&actor, &path("e"), handle, "x"));
        fenced(gated.create_file_in(&actor, &parent, FileAttributes::NORMAL, Wanted::BOTH).map(drop));
        fenced(gated.create_directory_in(&actor, &parent, FileAttributes::NORMAL).map(drop));
        fenced(gated.open(&actor, &path("a"), Wanted::READ).map(drop));
        fenced(gated.trim_bin(&path("a"), &BinLimits::default()).map(drop));
        fenced(gated.handle_directory().map(drop));
        drop((made, second, parent));
        assert_eq!(std::fs::read(scratch.path().join("a")).unwrap(), b"before");
        let mut names: Vec<_> =
            std::fs::read_dir(scratch.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a", "c"]);
    }
}
