//! Holds: paths that nobody has open, and that nobody can open until the hold is released.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::{FileGlobalId, FoldedName, ShareName};

use crate::{Shell, State, Time, cost};

/// The number of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId(pub u64);

/// A path in a share: a file, or a directory with everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldPlace {
    /// The share.
    pub share: Arc<str>,
    /// The path in the share, with `\`; empty for the share's root.
    pub path: Arc<str>,
}

/// A hold, as it is requested and listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The paths: one directory may be in several shares.
    pub places: Vec<HoldPlace>,
    /// True if others may open the paths meanwhile.
    pub lets_in: bool,
    /// The user of the hold.
    pub by: Arc<str>,
    /// The client of the hold.
    pub from: Arc<str>,
    /// The purpose in words, for lists.
    pub purpose: Arc<str>,
    /// The time at which it was taken.
    pub since: Time,
}

/// The reason for not taking a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldRefused {
    /// This open is of one of the paths.
    InUse(FileGlobalId),
    /// Another hold concerns one of the paths.
    Held(HoldId),
    /// One of the paths is being renamed.
    Moving,
    /// There are [`HOLDS`] holds.
    TooMany,
    /// The hold has no path, or more than [`PLACES_PER_HOLD`].
    BadPlaces,
}

#[derive(Debug, Default)]
pub(crate) struct Holds {
    all: BTreeMap<HoldId, Held>,
    last: u64,
}

#[derive(Debug)]
struct Held {
    hold: Hold,
    keys: Vec<(ShareName, FoldedName)>,
}

impl Holds {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

impl Held {
    /// True if the path is one of the hold's, or below one.
    fn covers(&self, share: &ShareName, path: &FoldedName) -> bool {
        self.keys.iter().any(|(of, held)| {
            cost::step();
            of == share && path.rest_below(held).is_some()
        })
    }

    /// True if the path is one of the hold's, below one, or above one.
    fn meets(&self, share: &ShareName, path: &FoldedName) -> bool {
        self.covers(share, path)
            || self.keys.iter().any(|(of, held)| of == share && held.rest_below(path).is_some())
    }
}

impl<S: Shell> State<S> {
    /// Takes a hold if nobody has one of its paths open. Nobody can open them between this look and the hold.
    ///
    /// # Errors
    ///
    /// The reason for not taking it; nothing has changed.
    pub fn take_hold(&mut self, hold: Hold) -> Result<HoldId, HoldRefused> {
        if hold.places.is_empty() || hold.places.len() > PLACES_PER_HOLD {
            return Err(HoldRefused::BadPlaces);
        }
        if self.holds.all.len() >= HOLDS {
            return Err(HoldRefused::TooMany);
        }
        let keys: Vec<_> = hold
            .places
            .iter()
            .map(|place| (ShareName::new(&place.share), FoldedName::new(&place.path)))
            .collect();
        for (id, other) in &self.holds.all {
            let is_shared = hold.lets_in && other.hold.lets_in;
            if !is_shared && keys.iter().any(|(share, path)| other.meets(share, path)) {
                return Err(HoldRefused::Held(*id));
            }
        }
        for (share, path) in &keys {
            if let Some(open) = self.first_open_below(share, path) {
                return Err(HoldRefused::InUse(open));
            }
        }
        if hold.places.iter().any(|place| self.meets_move(&place.share, &place.path)) {
            return Err(HoldRefused::Moving);
        }
        self.holds.last = self.holds.last.saturating_add(1);
        let id = HoldId(self.holds.last);
        self.holds.all.insert(id, Held { hold, keys });
        Ok(id)
    }

    /// Releases a hold. One that was released already is no error.
    pub fn release_hold(&mut self, id: HoldId) {
        self.holds.all.remove(&id);
    }

    /// The holds, by age.
    pub fn holds(&self) -> Vec<(HoldId, Hold)> {
        self.holds.all.iter().map(|(id, held)| (*id, held.hold.clone())).collect()
    }

    /// The holds of a path, of a directory above it, or of something below it.
    pub fn holds_of(&self, share: &str, path: &str) -> Vec<(HoldId, Hold)> {
        let (share, path) = (ShareName::new(share), FoldedName::new(path));
        let meeting = self.holds.all.iter().filter(|(_, held)| held.meets(&share, &path));
        meeting.map(|(id, held)| (*id, held.hold.clone())).collect()
    }

    /// True if a hold keeps this path from being opened, so that no name is made there either.
    pub fn keeps_closed(&self, share: &str, path: &str) -> bool {
        self.is_held(&ShareName::new(share), path)
    }

    /// True if a hold keeps this path from being opened.
    pub(crate) fn is_held(&self, share: &ShareName, path: &str) -> bool {
        if self.holds.all.is_empty() {
            return false;
        }
        let path = FoldedName::new(path);
        self.holds.all.values().any(|held| !held.hold.lets_in && held.covers(share, &path))
    }

    /// True if a hold keeps this path where it is: it is held, or something below it is.
    pub(crate) fn is_held_in_place(&self, share: &ShareName, path: &FoldedName) -> bool {
        self.holds.all.values().any(|held| !held.hold.lets_in && held.meets(share, path))
    }
}

/// The number of holds: each belongs to a running command of an administrator, and all are compared with every CREATE.
/// One more is refused.
pub const HOLDS: usize = 64;

/// The number of paths of one hold: the shares that lead to the same directory.
pub(crate) const PLACES_PER_HOLD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::world::{ROOT, World};
    use crate::{Admission, CloseReason, InTheWay, MoveNames, Refused};

    fn hold(path: &str, lets_in: bool) -> Hold {
        Hold {
            places: vec![HoldPlace { share: "DATA".into(), path: path.into() }],
            lets_in,
            by: "root".into(),
            from: "local".into(),
            purpose: "backup".into(),
            since: Time(0),
        }
    }

    fn open(world: &mut World, client: crate::testing::world::Client, path: &str) -> Admission {
        let mut request = world.request(client, path.len() as u64);
        request.path = path.into();
        world.state.admit(request, |_| 0, world.now).0
    }

    #[test]
    fn hold_is_taken_when_nobody_has_the_path_and_keeps_others_out() {
        let mut world = World::new();
        let client = world.client(1);
        let Admission::Granted(granted) = open(&mut world, client, r"dir\a.txt") else { panic!() };
        assert_eq!(
            world.state.take_hold(hold("Dir", false)),
            Err(HoldRefused::InUse(granted.global_id)),
            "a file below the directory is open"
        );
        let _ = world.state.close_open(granted.global_id, CloseReason::ClientClose, world.now).unwrap();
        let id = world.state.take_hold(hold("Dir", false)).unwrap();
        for held in ["dir", r"DIR\a.txt", r"dir\deep\b", "dir:stream"] {
            let answer = open(&mut world, client, held);
            assert!(matches!(answer, Admission::Refused(Refused::Held)), "{held}: {answer:?}");
        }
        assert_eq!(world.state.refusals()[0].kind, crate::RefusalKind::Held);
        for free in ["directory", "other.txt", ""] {
            assert!(matches!(open(&mut world, client, free), Admission::Granted(_)), "{free}");
        }
        assert_eq!(world.state.take_hold(hold(r"dir\deep", true)), Err(HoldRefused::Held(id)));
        assert_eq!(world.state.holds_of("data", r"dir\deep\x").len(), 1);
        assert!(world.state.holds_of("data", "directory").is_empty());
        world.state.release_hold(id);
        assert!(matches!(open(&mut world, client, r"dir\a.txt"), Admission::Granted(_)));
        world.check();
    }

    #[test]
    fn hold_that_lets_others_in_refuses_nobody_and_shares_with_its_like() {
        let mut world = World::new();
        let client = world.client(1);
        let first = world.state.take_hold(hold("a", true)).unwrap();
        world.state.take_hold(hold("a", true)).unwrap();
        assert_eq!(world.state.take_hold(hold("a", false)), Err(HoldRefused::Held(first)));
        assert!(matches!(open(&mut world, client, "a"), Admission::Granted(_)));
        assert_eq!(world.state.holds().len(), 2);
    }

    #[test]
    fn held_path_is_neither_renamed_nor_the_target_of_a_rename() {
        let mut world = World::new();
        let client = world.client(1);
        let Admission::Granted(parent) = open(&mut world, client, "dir") else { panic!() };
        world.state.take_hold(hold(r"dir\held", false)).unwrap();
        let mut begin = |from, to| {
            let looked_up = world.state.moves();
            let names = MoveNames { share: "data", from, to, looked_up };
            world.state.begin_move(parent.global_id, names, ROOT, false).map(|moving| {
                world.state.end_move(&moving);
            })
        };
        assert_eq!(begin("dir", "moved"), Err(InTheWay::Held));
        assert_eq!(begin("x", r"dir\held\x"), Err(InTheWay::Held));
        assert_eq!(begin("x", "y"), Ok(()));
    }

    #[test]
    fn holds_are_limited() {
        let mut world = World::new();
        for number in 0..HOLDS {
            world.state.take_hold(hold(&format!("p{number}"), false)).unwrap();
        }
        assert_eq!(world.state.take_hold(hold("one more", false)), Err(HoldRefused::TooMany));
        let nowhere = Hold { places: Vec::new(), ..hold("", false) };
        assert_eq!(world.state.take_hold(nowhere), Err(HoldRefused::BadPlaces));
    }
}
