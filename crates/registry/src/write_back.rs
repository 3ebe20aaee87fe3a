//! Breaks before an administrator's close, so that the client writes its cached data back and none are lost.

use wire::LeaseState;

use crate::caching::{Broken, Caching};
use crate::{Effects, NotFound, OpenRef, Readiness, RequestKey, Shell, State, Time};

/// The state of a client's write caching for an open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteCaching {
    /// True if the client may cache writes, and has not acknowledged a break of that.
    pub held: bool,
    /// The number of breaks that the client did not acknowledge in time: data that it had cached may be lost.
    pub unanswered_breaks: u32,
}

impl<S: Shell> State<S> {
    /// Breaks the caching of an open's client, which then writes its data back and closes the handles that it keeps
    /// open only for caching, so that an administrator's close loses nothing. A lease is broken for all opens that
    /// share it; they keep its read caching. An open without a client is not waited for:
    /// [`write_caching`](Self::write_caching) shows afterwards if data may be lost.
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
        // The administrator's request does not belong to the open's session.
        let session = None;
        let keep = self.held(holder) & LeaseState::READ;
        let delay = LeaseState::WRITE | LeaseState::HANDLE;
        let broken = self.break_holder(holder, keep, now, &mut effects);
        let wait = broken == Broken::Pending && self.held(holder).intersects(delay);
        Ok((self.wait_if(wait, file, request, session), effects))
    }

    /// The write caching of an open. While it is held, the client may have data that the server has not.
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
