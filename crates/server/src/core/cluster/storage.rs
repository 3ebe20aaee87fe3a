//! The storage of a share: the lock and the stamp of its owner, in the share's directory.

use cluster::ids::{Attempt, Generation, Incarnation, NodeName, ShareKey};
use cluster::protocol::{Event, Stamp};
use handlelog::{OwnerError, OwnerLock, OwnerStamp, Stamped};

use super::definition::file_name;
use crate::core::config::ShareSettings;
use crate::core::directory::open_directory;

/// Takes the lock of a storage, or keeps that in `held`, and writes the stamp. The event is the answer to the node.
pub(super) fn open(
    share: &ShareKey,
    attempt: Attempt,
    held: Option<OwnerLock>,
    (settings, token): (&ShareSettings, &str),
    stamp: &Stamp,
) -> (Event, Option<OwnerLock>) {
    let share = share.clone();
    let lock = match held.map_or_else(|| take(&share, settings, token), Ok) {
        Ok(lock) => lock,
        Err(OwnerError::Busy { holder }) => {
            let holder = holder.and_then(of_stamp);
            return (Event::StorageBusy { share, attempt, holder }, None);
        }
        Err(error) => {
            let reason = error.to_string();
            return (Event::StorageFailed { share, attempt, reason }, None);
        }
    };
    let own = OwnerStamp {
        node: stamp.node.to_string(),
        incarnation: stamp.incarnation.to_string(),
        generation: stamp.generation.0,
    };
    match lock.stamp(&own) {
        Ok(Stamped::Written) => (Event::StorageOpened { share, attempt }, Some(lock)),
        Ok(Stamped::Ahead { found }) => {
            (Event::StorageAhead { share, attempt, found: Generation(found) }, Some(lock))
        }
        Err(error) => {
            let reason = error.to_string();
            (Event::StorageFailed { share, attempt, reason }, None)
        }
    }
}

fn take(share: &ShareKey, settings: &ShareSettings, token: &str) -> Result<OwnerLock, OwnerError> {
    let directory = open_directory(settings).and_then(|it| it.handle_directory()).map_err(io_error)?;
    OwnerLock::take(directory, &file_name(share), token)
}

/// The token of the storage of a share that is being defined.
pub(super) fn token(share: &ShareKey, settings: &ShareSettings) -> Result<String, String> {
    let directory = open_directory(settings).and_then(|it| it.handle_directory());
    let directory = directory.map_err(|error| error.to_string())?;
    let mut random = [0; 16];
    crate::core::random::fill(&mut random).map_err(|_| String::from("the system has no random bytes"))?;
    let fresh: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    handlelog::storage_token(&directory, &file_name(share), &fresh).map_err(|error| error.to_string())
}

fn io_error(error: vfs::Error) -> OwnerError {
    OwnerError::Io(match error {
        vfs::Error::Io(error) => error,
        vfs::Error::NotFound | vfs::Error::PathNotFound => std::io::ErrorKind::NotFound.into(),
        other => std::io::Error::other(other.to_string()),
    })
}

fn of_stamp(stamp: OwnerStamp) -> Option<Stamp> {
    Some(Stamp {
        node: NodeName::new(&stamp.node).ok()?,
        incarnation: Incarnation::try_from(stamp.incarnation).ok()?,
        generation: Generation(stamp.generation),
    })
}
