//! Holds: a path that nobody has open and that nobody can open while a command runs.

use std::sync::Arc;

use registry::{Hold, HoldId, HoldRefused};

use super::{Caller, Ended, Error, Own, Right, Wanted, audit, scope};
use crate::core::server::Server;

/// A hold, which is released when this is dropped.
pub(crate) struct HoldGuard {
    server: Arc<Server>,
    pub(crate) id: HoldId,
    pub(crate) hold: Hold,
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        self.server.registry.lock("release_hold").release_hold(self.id);
        self.server.signals.hold_released.notify_waiters();
        tracing::info!(target: "audit", user = &*self.hold.by, from = &*self.hold.from, act = "release hold", object = described(&self.hold), "done");
    }
}

/// The reason why a hold was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotHeld {
    /// Somebody has the path open, holds it, or renames it: it may become free.
    InUse,
    /// The request is refused.
    Refused(Error),
}

impl From<Error> for NotHeld {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Takes a hold on a path, if nobody has it open or holds it.
pub(crate) fn take_hold(
    server: &Arc<Server>,
    caller: &Caller,
    wanted: &Wanted,
    lets_in: bool,
    purpose: &str,
) -> Result<HoldGuard, NotHeld> {
    let places = wanted.hold_places();
    let scope = scope(caller, Right::CloseFiles, Own::No)?;
    if !places.iter().all(|place| scope.has_share(&place.share)) {
        audit::denied(caller, Right::CloseFiles);
        return Err(Error::AccessDenied.into());
    }
    let hold = Hold {
        places,
        lets_in,
        by: caller.user.as_str().into(),
        from: caller.from.as_str().into(),
        purpose: purpose.into(),
        since: server.now(),
    };
    let taken = server.registry.lock("take_hold").take_hold(hold.clone());
    let id = match taken {
        Ok(id) => id,
        Err(HoldRefused::InUse(_) | HoldRefused::Held(_) | HoldRefused::Moving) => {
            return Err(NotHeld::InUse);
        }
        Err(HoldRefused::TooMany) => return Err(Error::Busy.into()),
        Err(HoldRefused::BadPlaces) => return Err(Error::InvalidParameter.into()),
    };
    audit::act(server, caller, "take hold", &described(&hold), &Ok(Ended::default()));
    Ok(HoldGuard { server: Arc::clone(server), id, hold })
}

/// The holds that the caller may see, by age.
pub(crate) fn holds(server: &Server, caller: &Caller) -> Result<Vec<(HoldId, Hold)>, Error> {
    let scope = scope(caller, Right::ReadFiles, Own::No)?;
    let mut holds = server.registry.lock("holds").holds();
    holds.retain(|(_, hold)| hold.places.iter().any(|place| scope.has_share(&place.share)));
    Ok(holds)
}

/// A description of the hold for the audit log.
fn described(hold: &Hold) -> String {
    let place = hold.places.first();
    let place = place.map(|it| format!(r"{}\{}", it.share, it.path)).unwrap_or_default();
    format!("{place} for {}", hold.purpose)
}
