//! What an administrator's close takes back first, so that nothing is lost with the open.

use wire::LeaseState;

use crate::caching::{Broken, Caching};
use crate::{Effects, NotFound, OpenRef, Readiness, RequestKey, Shell, State, Time};

/// Whether a client caches what is written, as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteCaching {
    /// Whether it may, and has not acknowledged a break of that.
    pub held: bool,
    /// How many breaks it has not acknowledged in time: what it cached under them may be lost.
    pub unanswered_breaks: u32,
}

impl<S: Shell> State<S> {
    /// Asks the client of an open to write back what it caches and to close what it keeps open only for
    /// caching, so that an administrator's close loses nothing. A lease is broken for all opens that share
    /// it; they keep what is left of it. Where there is no client to ask, nothing is asked, and nobody
    /// waits: [`write_caching`](Self::write_caching) tells afterwards what is lost.
    pub fn break_for_close(
        &mut self,
        open: impl Into<OpenRef>,
        request: RequestKey,
        now: Time,
    ) -> Result<(Readiness, Effects<S>), NotFound> {
        let id = self.open_global(open.into())?;
        let own = self.opens.get(&id).ok_or(NotFound)?;
        let (Some(file), Some(holder)) = (own.target.file(), self.holder_of(id, own)) else {
            return Ok((Readiness::Ready, Effects::none()));
        };
        let mut effects = Effects::none();
        if self.is_orphaned(holder) {
            return Ok((Readiness::Ready, effects));
        }
        // The asker's request is not of the open's session.
        let session = None;
        let keep = self.held(holder) & LeaseState::READ;
        let delay = LeaseState::WRITE | LeaseState::HANDLE;
        let broken = self.break_holder(holder, keep, now, &mut effects);
        let wait = broken == Broken::Pending && self.held(holder).intersects(delay);
        Ok((self.wait_if(wait, file, request, session), effects))
    }

    /// Whether there may be something that only the client of an open has.
    pub fn write_caching(&self, open: impl Into<OpenRef>) -> Result<WriteCaching, NotFound> {
        let id = self.open_global(open.into())?;
        let open = self.opens.get(&id).ok_or(NotFound)?;
        let unanswered_breaks = match open.caching {
            Caching::Lease(lease) => self.leases.get(&lease).map_or(0, |it| it.unanswered_breaks),
            _ => open.unanswered_breaks,
        };
        let held = self.holder_of(id, open).is_some_and(|it| self.held(it).contains(LeaseState::WRITE));
        Ok(WriteCaching { held, unanswered_breaks })
    }
}
