//! The rules by which SIDs get ids.

use std::fmt;

use wire::eq_ignore_case;
use wire::security::Sid;

use super::error::Error;

/// The ids in each range of [`Rules::Autorid`], if the settings do not say otherwise; as Samba's.
pub const AUTORID_RANGE_SIZE: u32 = 100_000;

/// The fewest ids in a range of [`Rules::Autorid`], as Samba's: relative ids below 1000 are the domain's own, so that
/// less would leave no room for users.
const AUTORID_RANGE_SIZE_MIN: u32 = 2000;

/// The rule by which SIDs get ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Recorded ids only.
    Recorded,
    /// The id is the first one of the domain's range, plus the relative id: as Samba's `idmap_rid` with `base_rid = 0`.
    Rid(Vec<DomainRange>),
    /// One range is cut into parts, and each domain gets the next one when it is first needed: as Samba's
    /// `idmap_autorid`. Relative ids from `range_size` on have parts of their own.
    Autorid {
        /// The first id.
        first: u32,
        /// The last id.
        last: u32,
        /// The number of ids in each part.
        range_size: u32,
    },
}

/// The range of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainRange {
    /// The domain's NetBIOS name.
    pub domain: String,
    /// The first id, that of the relative id 0.
    pub first: u32,
    /// The last id: relative ids that would get a larger one have none.
    pub last: u32,
}

/// A run of ids, for relative ids that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub first: u32,
    pub last: u32,
    pub first_rid: u32,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl Run {
    /// The id of a relative id.
    pub(super) fn id(self, rid: u32) -> Option<u32> {
        let id = self.first.checked_add(rid.checked_sub(self.first_rid)?)?;
        (id <= self.last).then_some(id)
    }

    /// The relative id of an id.
    pub(super) fn rid(self, id: u32) -> Option<u32> {
        self.contains(id).then(|| id.checked_sub(self.first)?.checked_add(self.first_rid))?
    }

    pub(super) fn contains(self, id: u32) -> bool {
        (self.first..=self.last).contains(&id)
    }

    pub(super) fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl Rules {
    /// Checks that the ranges have no wrong ids and do not overlap. [`IdMap::open`](super::IdMap::open) does the same.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::Recorded => Ok(()),
            Self::Rid(ranges) => {
                for (index, range) in ranges.iter().enumerate() {
                    check_range(range.first, range.last)?;
                    for other in ranges.iter().take(index) {
                        if eq_ignore_case(&range.domain, &other.domain) {
                            return Err(Error::Rules(format!("{} has two of them", range.domain)));
                        }
                        if range.run().overlaps(other.run()) {
                            let both = format!("those of {} and {} overlap", other.domain, range.domain);
                            return Err(Error::Rules(both));
                        }
                    }
                }
                Ok(())
            }
            Self::Autorid { first, last, range_size } => {
                check_range(*first, *last)?;
                if *range_size < AUTORID_RANGE_SIZE_MIN {
                    let least =
                        format!("a domain needs {AUTORID_RANGE_SIZE_MIN} ids at least, not {range_size}");
                    return Err(Error::Rules(least));
                }
                if self.autorid_run(1, 0).is_none() {
                    let reason = format!(
                        "{first}-{last} is too small: the first {range_size} ids are kept for Samba's own use, and each \
                         domain needs as many"
                    );
                    return Err(Error::Rules(reason));
                }
                Ok(())
            }
        }
    }

    /// The range of the domain with this name, of [`Self::Rid`].
    pub(super) fn rid_run(&self, name: &str) -> Option<Run> {
        let Self::Rid(ranges) = self else { return None };
        ranges.iter().find(|range| eq_ignore_case(&range.domain, name)).map(DomainRange::run)
    }

    /// The part with this number, for the relative ids from `index` times its size on, of [`Self::Autorid`].
    pub(super) fn autorid_run(&self, number: u32, index: u32) -> Option<Run> {
        let Self::Autorid { first, last: end, range_size } = self else { return None };
        let first = first.checked_add(number.checked_mul(*range_size)?)?;
        let last = first.checked_add(range_size.checked_sub(1)?)?;
        let first_rid = index.checked_mul(*range_size)?;
        (last <= *end).then_some(Run { first, last, first_rid })
    }

    /// The number of the part that begins with this id, of [`Self::Autorid`].
    pub(super) fn autorid_number(&self, id: u32) -> Option<u32> {
        let Self::Autorid { first, range_size, .. } = self else { return None };
        let offset = id.checked_sub(*first)?;
        (offset.checked_rem(*range_size)? == 0).then(|| offset.checked_div(*range_size))?
    }

    /// The index of the domain's range that has this relative id.
    pub(super) fn index(&self, rid: u32) -> u32 {
        match self {
            Self::Autorid { range_size, .. } => rid.checked_div(*range_size).unwrap_or(0),
            Self::Recorded | Self::Rid(_) => 0,
        }
    }

    /// True if the rules have this id for somebody.
    pub(super) fn cover(&self, id: u32) -> bool {
        match self {
            Self::Recorded => false,
            Self::Rid(ranges) => ranges.iter().any(|range| range.run().contains(id)),
            Self::Autorid { first, last, .. } => (*first..=*last).contains(&id),
        }
    }

    /// True if the rules have some of these ids for somebody.
    pub(super) fn overlap(&self, run: Run) -> bool {
        match self {
            Self::Recorded => false,
            Self::Rid(ranges) => ranges.iter().any(|range| range.run().overlaps(run)),
            Self::Autorid { first, last, .. } => *first <= run.last && run.first <= *last,
        }
    }
}

impl DomainRange {
    pub(super) fn run(&self) -> Run {
        Run { first: self.first, last: self.last, first_rid: 0 }
    }
}

fn check_range(first: u32, last: u32) -> Result<(), Error> {
    if first == 0 {
        return Err(Error::Rules(format!("{first}-{last} begins with 0, the id of root")));
    }
    if first > last {
        return Err(Error::Rules(format!("{first}-{last} ends before it begins")));
    }
    if last == u32::MAX {
        return Err(Error::Rules(format!("{first}-{last} ends with the id that means no user")));
    }
    Ok(())
}

/// True if this is the SID of a domain: `S-1-5-21-a-b-c`.
pub(super) fn is_domain(sid: Sid) -> bool {
    sid.authority() == 5 && matches!(sid.sub_authorities(), [21, _, _, _])
}

/// A user or group of a domain, or of BUILTIN (`S-1-5-32`), which may have a range of Samba's.
pub(super) fn with_rid(domain: Sid, rid: u32) -> Option<Sid> {
    match (domain.authority(), domain.sub_authorities()) {
        (5, &[21, a, b, c]) => Some(Sid::of_domain([a, b, c], rid)),
        (5, &[32]) => Some(Sid::of(5, [32, rid])),
        _ => None,
    }
}
