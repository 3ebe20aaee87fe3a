//! Unix ids of SIDs, and SIDs of Unix ids.
//!
//! An id comes from one of two sources. The machine's name service (sssd, winbind) may have given it: such an id is
//! *recorded* and stays as it is. Otherwise a rule computes it from the relative id (RID) and the range of the domain,
//! as Samba's `idmap_rid` or `idmap_autorid` do, so that files have the same owners whichever server wrote them. For
//! each kind of id the map is one to one: if `uid(sid)` is `id`, then `user_sid(id)` is `sid`, and the other way round.
//!
//! The domains, their ranges and the recorded ids are in the SQLite file `domain-ids.sqlite` of the state directory.
//! All questions are answered from memory. Only a change goes to the disk, and it is there before it takes effect: an
//! id that has been used for a file is never given to another SID, whatever happens to the machine. For the same reason
//! [`IdMap::open`] fails if the file is damaged, if it was removed, or if the settings give a domain other ids than
//! before. The file keeps a rollback journal instead of a write-ahead log: changes are rare, and one file without
//! companions is easy to back up.

mod error;
mod import;
mod rules;
mod store;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, RwLock};
use wire::security::Sid;

pub use error::{Conflict, Error};
pub use import::Imported;
pub use rules::{AUTORID_RANGE_SIZE, DomainRange, Rules};

use store::Store;
use table::{Change, Table};

/// The kinds of Unix ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A user's: uid.
    User,
    /// A group's: gid.
    Group,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Group => "group",
        })
    }
}

/// A user or group with its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// The kind of id.
    pub kind: Kind,
    /// The id.
    pub id: u32,
    /// The user or group.
    pub sid: Sid,
    /// The qualified name, as `CORP\carol`; `None` if the server never met it.
    pub name: Option<String>,
    /// True if the machine's name service gave the id; false if a rule did.
    pub is_recorded: bool,
}

/// The ids of a domain, or of a part of its relative ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdsOfDomain {
    /// The first id.
    pub first: u32,
    /// The last id.
    pub last: u32,
    /// The relative id to which `first` belongs.
    pub first_rid: u32,
    /// The domain; `None` if the range is reserved, as the range `ALLOC` of Samba's autorid.
    pub domain: Option<Sid>,
    /// The domain's NetBIOS name, if it is known.
    pub name: Option<String>,
    /// True if the settings no longer have the range: its ids are kept, but mean nobody.
    pub is_inert: bool,
}

/// The map of SIDs and Unix ids.
#[derive(Debug)]
pub struct IdMap {
    table: RwLock<Table>,
    /// Changes are made by one caller at a time, who holds this; questions do not wait for the disk.
    store: Mutex<Store>,
    path: PathBuf,
}

impl IdMap {
    /// Opens the map of the state directory, or makes a new one if there has never been one. One process can have it
    /// open. Reads and writes files: not for a thread that must not wait.
    pub fn open(state_directory: &Path, rules: Rules) -> Result<Self, Error> {
        Self::open_with(state_directory, rules, false)
    }

    fn open_with(state_directory: &Path, rules: Rules, may_be_lost: bool) -> Result<Self, Error> {
        rules.check()?;
        let mut store = Store::open(state_directory, may_be_lost)?;
        let mut table = Table::new(rules);
        for change in store.load()? {
            table.load(change).map_err(|reason| store.damaged(reason))?;
        }
        let settled = table.settle()?;
        store.commit(&settled)?;
        settled.into_iter().for_each(|change| table.apply(change));
        // An import has the copy as its source, and keeps it until it has succeeded.
        let ranges = table.ranges();
        if !may_be_lost && store.copy()?.is_none_or(|copy| copy != import::text(&ranges)) {
            store.write_copy(&ranges)?;
        }
        let path = store.path().to_owned();
        Ok(Self { table: RwLock::new(table), store: Mutex::new(store), path })
    }

    /// The map of the state directory as it is stored, for a list: without rules, and while a server has it open.
    /// `None` if there is none.
    pub fn read(state_directory: &Path) -> Result<Option<Stored>, Error> {
        let Some(changes) = Store::read(state_directory)? else { return Ok(None) };
        let mut table = Table::new(Rules::Recorded);
        for change in changes {
            table
                .load(change)
                .map_err(|reason| Error::Damaged { path: state_directory.join(store::FILE), reason })?;
        }
        Ok(Some(Stored { ranges: table.ranges(), mappings: table.stored_mappings() }))
    }

    /// The file of the map.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a domain known, after a controller has named it. With [`Rules::Autorid`] the domain gets the next range.
    /// Does nothing if the domain is known. Fails if there is another domain of this name or SID, or no range is left.
    /// Writes to the disk for a new domain.
    pub fn learn_domain(&self, name: &str, sid: Sid) -> Result<(), Error> {
        if self.table.read().knows(name, sid) {
            return Ok(());
        }
        self.change(|table| table.plan_domain(name, sid))
    }

    /// Gives ranges to users and groups that a controller has named, if their relative ids are larger than the first
    /// range of their domain ([`Rules::Autorid`]); otherwise does nothing. [`uid`](Self::uid) does not, because users
    /// can make up SIDs and so could use up all ranges. Users and groups of unknown domains are left out. Writes to
    /// the disk for a new range. Fails if no range is left; those before the one that fails have theirs.
    pub fn admit(&self, sids: &[Sid]) -> Result<(), Error> {
        for sid in sids {
            if self.table.read().wants_range(*sid) {
                self.change(|table| table.plan_range(*sid))?;
            }
        }
        Ok(())
    }

    /// True if the name service gave the SID an id of this kind that is not the rule's.
    pub fn is_recorded(&self, sid: Sid, kind: Kind) -> bool {
        self.table.read().is_recorded(kind, sid)
    }

    /// The Unix user id of a SID; `None` if it has none.
    pub fn uid(&self, sid: Sid) -> Option<u32> {
        self.table.read().id(Kind::User, sid)
    }

    /// The Unix group id of a SID; `None` if it has none. The rules give a SID the same id as user and as group: whose
    /// it is, the caller has to know.
    pub fn gid(&self, sid: Sid) -> Option<u32> {
        self.table.read().id(Kind::Group, sid)
    }

    /// The SID of the user with this id; `None` if it is not of a domain.
    pub fn user_sid(&self, uid: u32) -> Option<Sid> {
        self.table.read().sid(Kind::User, uid)
    }

    /// The SID of the group with this id; `None` if it is not of a domain.
    pub fn group_sid(&self, gid: u32) -> Option<Sid> {
        self.table.read().sid(Kind::Group, gid)
    }

    /// Keeps an id that the machine's name service gave. It has precedence over the rules. Does nothing if it is
    /// recorded already or is what the rules give. Fails if the SID has another recorded id, or the id is another's
    /// or could become another's by the rules. Writes to the disk for a new one.
    pub fn record(&self, sid: Sid, kind: Kind, id: u32) -> Result<(), Error> {
        if self.table.read().id(kind, sid) == Some(id) {
            return Ok(());
        }
        self.change(|table| table.plan_record(sid, kind, id))
    }

    /// Keeps the qualified name of a user or group for lists of the map. Does nothing if the name is known. Writes to
    /// the disk for a new name.
    pub fn remember(&self, sid: Sid, kind: Kind, name: &str) -> Result<(), Error> {
        if self.table.read().name(kind, sid) == Some(name) {
            return Ok(());
        }
        self.change(|table| table.plan_name(sid, kind, name))
    }

    /// The users and groups that are recorded or were remembered, by kind and id. Those of the ranges that the server
    /// never met are not among them.
    pub fn list(&self) -> Vec<Mapping> {
        self.table.read().mappings()
    }

    /// The ranges of the domains that are known, by id.
    pub fn ranges(&self) -> Vec<IdsOfDomain> {
        self.table.read().ranges()
    }

    /// The SID of the domain with this NetBIOS name, in any case; `None` if it is not known.
    pub fn domain_sid(&self, name: &str) -> Option<Sid> {
        self.table.read().domain_sid(name)
    }

    /// The NetBIOS name of the domain with this SID; `None` if it is not known.
    pub fn domain_name(&self, domain: Sid) -> Option<String> {
        self.table.read().domain_name(domain).map(str::to_owned)
    }

    /// Plans a change, writes it to the disk and then makes it.
    fn change(&self, plan: impl FnOnce(&Table) -> Result<Vec<Change>, Error>) -> Result<(), Error> {
        let mut store = self.store.lock();
        let changes = plan(&self.table.read())?;
        if changes.is_empty() {
            return Ok(());
        }
        store.commit(&changes)?;
        let are_ranges = changes.iter().any(Change::is_of_ranges);
        let mut table = self.table.write();
        changes.into_iter().for_each(|change| table.apply(change));
        let ranges = are_ranges.then(|| table.ranges());
        drop(table);
        ranges.map_or(Ok(()), |ranges| store.write_copy(&ranges))
    }
}

/// A stored map as [`IdMap::read`] finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The ranges, by id. None of them is marked as inert, because the settings are not known.
    pub ranges: Vec<IdsOfDomain>,
    /// The users and groups that are recorded or were remembered, by kind and id.
    pub mappings: Vec<Mapping>,
}
