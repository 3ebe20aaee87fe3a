//! The map in memory: a pure function of the rules and the changes so far.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wire::names::FoldedName;
use wire::security::Sid;

use super::error::{Conflict, Error};
use super::rules::{Rules, Run, is_domain, with_rid};
use super::{IdsOfDomain, Kind, Mapping};

/// The domains in the map: a forest with its trusts has some dozens; more means that something makes them up.
pub(super) const MAX_DOMAINS: usize = 1000;

/// The recorded ids of each kind, and the names: as many as a large domain has users, some 200 MB.
pub(super) const MAX_RECORDED: usize = 500_000;

/// The length of a name in bytes: NetBIOS names of domains have 15 characters, names of accounts 256 (MS-SAMR 3.1.1.6),
/// each at most 4 bytes.
pub(super) const MAX_NAME: usize = 1200;

/// The part of [`Rules::Autorid`] that Samba keeps for local groups and well-known SIDs. It is the first one that a new
/// winbind takes, so that a server that begins after it, or before it, gives a domain the same ids.
const ALLOC: u32 = 0;

/// One stored fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A domain's name.
    Domain { name: String, sid: Sid },
    /// The range of a domain, or a reserved one. It replaces the range with the same first id.
    Range { run: Run, domain: Option<Sid> },
    /// An id that the name service gave.
    Record { sid: Sid, kind: Kind, id: u32 },
    /// The name of a user or group. It replaces the former one.
    Name { sid: Sid, kind: Kind, name: String },
}

impl Change {
    /// True if it is about a domain or a range.
    pub(super) fn is_of_ranges(&self) -> bool {
        matches!(self, Self::Domain { .. } | Self::Range { .. })
    }
}

#[derive(Clone, Copy, Debug)]
struct Range {
    run: Run,
    domain: Option<Sid>,
    /// The settings do not have it any more.
    is_inert: bool,
}

#[derive(Clone, Debug, Default)]
struct Recorded {
    ids: HashMap<Sid, u32>,
    sids: HashMap<u32, Sid>,
    names: HashMap<Sid, String>,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    rules: Rules,
    domains: HashMap<FoldedName, Sid>,
    names: HashMap<Sid, String>,
    /// By the first id. They do not overlap.
    ranges: BTreeMap<u32, Range>,
    /// The ranges in force, by domain and index.
    by_domain: HashMap<(Sid, u32), Run>,
    users: Recorded,
    groups: Recorded,
}

impl Table {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            domains: HashMap::new(),
            names: HashMap::new(),
            ranges: BTreeMap::new(),
            by_domain: HashMap::new(),
            users: Recorded::default(),
            groups: Recorded::default(),
        }
    }

    fn of(&self, kind: Kind) -> &Recorded {
        match kind {
            Kind::User => &self.users,
            Kind::Group => &self.groups,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut Recorded {
        match kind {
            Kind::User => &mut self.users,
            Kind::Group => &mut self.groups,
        }
    }

    /// True if the domain is known by this name and has all that it needs.
    pub(super) fn knows(&self, name: &str, sid: Sid) -> bool {
        self.names.get(&sid).is_some_and(|known| known == name)
            && (self.by_domain.contains_key(&(sid, 0)) || !self.wants_first_range(name))
    }

    fn wants_first_range(&self, name: &str) -> bool {
        match &self.rules {
            Rules::Recorded => false,
            Rules::Rid(_) => self.rules.rid_run(name).is_some(),
            Rules::Autorid { .. } => true,
        }
    }

    /// The id that the rules give.
    fn by_rule(&self, sid: Sid) -> Option<u32> {
        let (domain, rid) = sid.split_rid()?;
        self.by_domain.get(&(domain, self.rules.index(rid)))?.id(rid)
    }

    pub(super) fn is_recorded(&self, kind: Kind, sid: Sid) -> bool {
        self.of(kind).ids.contains_key(&sid)
    }

    pub(super) fn id(&self, kind: Kind, sid: Sid) -> Option<u32> {
        self.of(kind).ids.get(&sid).copied().or_else(|| {
            // A recorded id of another, from the time before the range, has precedence.
            self.by_rule(sid).filter(|id| !self.of(kind).sids.contains_key(id))
        })
    }

    pub(super) fn sid(&self, kind: Kind, id: u32) -> Option<Sid> {
        let recorded = self.of(kind);
        if let Some(sid) = recorded.sids.get(&id) {
            return Some(*sid);
        }
        let sid = self.sid_by_rule(id)?;
        // A user with a recorded id has no other one.
        (!recorded.ids.contains_key(&sid)).then_some(sid)
    }

    fn sid_by_rule(&self, id: u32) -> Option<Sid> {
        let range = self.range_of(id).filter(|range| !range.is_inert)?;
        with_rid(range.domain?, range.run.rid(id)?)
    }

    fn range_of(&self, id: u32) -> Option<&Range> {
        self.ranges.range(..=id).next_back().map(|(_, range)| range).filter(|range| range.run.contains(id))
    }

    pub(super) fn name(&self, kind: Kind, sid: Sid) -> Option<&str> {
        self.of(kind).names.get(&sid).map(String::as_str)
    }

    pub(super) fn domain_sid(&self, name: &str) -> Option<Sid> {
        self.domains.get(&FoldedName::new(name)).copied()
    }

    pub(super) fn domain_name(&self, domain: Sid) -> Option<&str> {
        self.names.get(&domain).map(String::as_str)
    }

    pub(super) fn plan_domain(&self, name: &str, sid: Sid) -> Result<Vec<Change>, Error> {
        if !is_domain(sid) || name.is_empty() || name.len() > MAX_NAME {
            return Err(Error::NoDomain { name: name.chars().take(64).collect(), sid: sid.into() });
        }
        let other = |known: String| Error::OtherDomain { name: name.to_owned(), sid: sid.into(), known };
        if let Some(known) = self.domains.get(&FoldedName::new(name)).filter(|known| **known != sid) {
            return Err(other(format!("the map has a domain of this name with the SID {known}")));
        }
        if let Some(known) =
            self.names.get(&sid).filter(|known| FoldedName::new(known) != FoldedName::new(name))
        {
            return Err(other(format!("the map has the domain {known} with this SID")));
        }
        if self.names.len() >= MAX_DOMAINS && !self.names.contains_key(&sid) {
            return Err(Error::Full { what: format!("the domain {name}: there are {MAX_DOMAINS} already") });
        }
        let mut changes = Vec::new();
        if self.names.get(&sid).is_none_or(|known| known != name) {
            changes.push(Change::Domain { name: name.to_owned(), sid });
        }
        if !self.by_domain.contains_key(&(sid, 0)) {
            match &self.rules {
                Rules::Recorded => {}
                Rules::Rid(_) => {
                    let run = self.rules.rid_run(name);
                    changes.extend(run.map(|run| Change::Range { run, domain: Some(sid) }));
                }
                Rules::Autorid { .. } => changes.extend(self.plan_autorid(sid, 0)?),
            }
        }
        Ok(changes)
    }

    /// A range that another map had. Whether it agrees with the rules, [`settle`](Self::settle) finds out.
    pub(super) fn plan_import(&self, run: Run, domain: Option<Sid>) -> Result<Vec<Change>, Error> {
        if let Some(known) = self.ranges.values().find(|range| range.run.overlaps(run)) {
            if known.domain == domain && known.run == run {
                return Ok(Vec::new());
            }
            return Err(Error::Changed {
                domain: known.domain.map_or_else(|| String::from("no domain"), |sid| sid.to_string()),
                had: known.run.to_string(),
                now: format!(
                    "{run} of {}",
                    domain.map_or_else(|| String::from("no domain"), |sid| sid.to_string())
                ),
            });
        }
        let had =
            self.ranges.values().find(|range| range.domain == domain && range.run.first_rid == run.first_rid);
        match (had, domain) {
            (Some(had), Some(sid)) => Err(Error::Changed {
                domain: sid.to_string(),
                had: had.run.to_string(),
                now: run.to_string(),
            }),
            _ => Ok(vec![Change::Range { run, domain }]),
        }
    }

    /// True if [`plan_range`](Self::plan_range) gives this SID's domain a further range.
    pub(super) fn wants_range(&self, sid: Sid) -> bool {
        matches!(self.rules, Rules::Autorid { .. })
            && sid.split_rid().is_some_and(|(domain, rid)| {
                self.names.contains_key(&domain)
                    && !self.by_domain.contains_key(&(domain, self.rules.index(rid)))
            })
    }

    pub(super) fn plan_range(&self, sid: Sid) -> Result<Vec<Change>, Error> {
        match sid.split_rid() {
            Some((domain, rid)) if self.wants_range(sid) => self.plan_autorid(domain, self.rules.index(rid)),
            _ => Ok(Vec::new()),
        }
    }

    /// The next part of the range for a domain.
    fn plan_autorid(&self, domain: Sid, index: u32) -> Result<Vec<Change>, Error> {
        let used = self.ranges.keys().filter_map(|first| self.rules.autorid_number(*first)).max();
        let number = used.unwrap_or(ALLOC).saturating_add(1);
        let run = self.rules.autorid_run(number, index).ok_or_else(|| Error::Full {
            what: format!(
                "the domain {domain} (part {index} of its relative ids): the range of the settings is used up"
            ),
        })?;
        Ok(vec![Change::Range { run, domain: Some(domain) }])
    }

    pub(super) fn plan_record(&self, sid: Sid, kind: Kind, id: u32) -> Result<Vec<Change>, Error> {
        let refuse =
            |conflict| Err(Error::Conflict { sid: sid.into(), kind, id, conflict: Box::new(conflict) });
        let recorded = self.of(kind);
        if id == 0 || id == u32::MAX {
            return refuse(Conflict::Reserved);
        }
        match recorded.ids.get(&sid) {
            Some(known) if *known == id => return Ok(Vec::new()),
            Some(known) => return refuse(Conflict::OtherId(*known)),
            None => {}
        }
        if let Some(known) = recorded.sids.get(&id) {
            return refuse(Conflict::OtherSid(*known));
        }
        if self.by_rule(sid) == Some(id) {
            return Ok(Vec::new());
        }
        match self.range_of(id) {
            Some(range) => match range.domain.and_then(|domain| with_rid(domain, range.run.rid(id)?)) {
                // A range that the settings had: the name service goes on with the same ids.
                Some(other) if other == sid => {}
                Some(other) => return refuse(Conflict::OtherSid(other)),
                // A reserved part: its ids are given one by one.
                None if range.domain.is_none() && !range.is_inert => {}
                None => return refuse(Conflict::InRange),
            },
            None if self.rules.cover(id)
                && self.rules.autorid_run(ALLOC, 0).is_none_or(|run| !run.contains(id)) =>
            {
                return refuse(Conflict::InRange);
            }
            None => {}
        }
        if recorded.ids.len() >= MAX_RECORDED {
            return Err(Error::Full { what: format!("the {kind} {sid}: {MAX_RECORDED} ids are recorded") });
        }
        Ok(vec![Change::Record { sid, kind, id }])
    }

    pub(super) fn plan_name(&self, sid: Sid, kind: Kind, name: &str) -> Result<Vec<Change>, Error> {
        let names = &self.of(kind).names;
        if name.len() > MAX_NAME || (names.len() >= MAX_RECORDED && !names.contains_key(&sid)) {
            return Err(Error::Full { what: format!("the name of {sid}") });
        }
        Ok(vec![Change::Name { sid, kind, name: name.to_owned() }])
    }

    /// Takes a fact from outside. The reason of a refusal is for [`Error::Damaged`].
    pub(super) fn load(&mut self, change: Change) -> Result<(), String> {
        match &change {
            Change::Domain { name, sid } => {
                let twice = self.domains.contains_key(&FoldedName::new(name)) || self.names.contains_key(sid);
                if twice || !is_domain(*sid) || name.is_empty() {
                    return Err(format!("the domain {name} with the SID {sid} cannot be"));
                }
            }
            Change::Range { run, domain } => {
                let Run { first, last, .. } = *run;
                let is_wrong = first == 0
                    || first > last
                    || last == u32::MAX
                    || domain.is_some_and(|domain| with_rid(domain, 0).is_none());
                if is_wrong || self.ranges.values().any(|other| other.run.overlaps(*run)) {
                    return Err(format!("the range {first}-{last} is wrong or overlaps another"));
                }
            }
            Change::Record { sid, kind, id } => {
                let recorded = self.of(*kind);
                if *id == 0
                    || *id == u32::MAX
                    || recorded.ids.contains_key(sid)
                    || recorded.sids.contains_key(id)
                {
                    return Err(format!("the {kind} {sid} has the id {id}, which is ambiguous"));
                }
            }
            Change::Name { .. } => {}
        }
        self.apply(change);
        Ok(())
    }

    /// Compares the stored ranges with the rules, once all facts are loaded. Returns the changes that follow from new
    /// ranges of the settings. Fails if a domain would get other ids.
    pub(super) fn settle(&mut self) -> Result<Vec<Change>, Error> {
        let mut grown = Vec::new();
        let mut inert = BTreeSet::new();
        for (first, range) in &self.ranges {
            let name = range.domain.and_then(|sid| self.names.get(&sid));
            let changed = |now: String| Error::Changed {
                domain: match (name, range.domain) {
                    (Some(name), _) => name.clone(),
                    (None, Some(sid)) => sid.to_string(),
                    (None, None) => String::from("no domain"),
                },
                had: range.run.to_string(),
                now,
            };
            match &self.rules {
                Rules::Recorded => _ = inert.insert(*first),
                Rules::Rid(_) => match name.and_then(|name| self.rules.rid_run(name)) {
                    None if self.rules.overlap(range.run) => {
                        return Err(changed(String::from("those are another domain's")));
                    }
                    None => _ = inert.insert(*first),
                    Some(run)
                        if run.first == range.run.first
                            && range.run.first_rid == 0
                            && run.last >= range.run.last =>
                    {
                        if run.last > range.run.last {
                            grown.push(Change::Range { run, domain: range.domain });
                        }
                    }
                    Some(run) => return Err(changed(run.to_string())),
                },
                Rules::Autorid { first: low, last: high, range_size } => {
                    let index = self.rules.index(range.run.first_rid);
                    let expected = self
                        .rules
                        .autorid_number(*first)
                        .and_then(|number| self.rules.autorid_run(number, index));
                    if expected != Some(range.run) {
                        return Err(changed(format!("parts of {range_size} ids from {low}-{high}")));
                    }
                }
            }
        }
        self.by_domain.clear();
        for (first, range) in &mut self.ranges {
            range.is_inert = inert.contains(first);
            if let (false, Some(domain)) = (range.is_inert, range.domain) {
                self.by_domain.insert((domain, self.rules.index(range.run.first_rid)), range.run);
            }
        }
        // Domains that were known before the settings had a range for them.
        let mut changes = grown;
        if matches!(self.rules, Rules::Rid(_)) {
            for (sid, name) in &self.names {
                if !self.by_domain.contains_key(&(*sid, 0)) {
                    changes.extend(self.plan_domain(name, *sid)?);
                }
            }
        }
        Ok(changes)
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Domain { name, sid } => {
                self.domains.insert(FoldedName::new(&name), sid);
                self.names.insert(sid, name);
            }
            Change::Range { run, domain } => {
                self.ranges.insert(run.first, Range { run, domain, is_inert: false });
                if let Some(domain) = domain {
                    self.by_domain.insert((domain, self.rules.index(run.first_rid)), run);
                }
            }
            Change::Record { sid, kind, id } => {
                let recorded = self.of_mut(kind);
                recorded.ids.insert(sid, id);
                recorded.sids.insert(id, sid);
            }
            Change::Name { sid, kind, name } => _ = self.of_mut(kind).names.insert(sid, name),
        }
    }

    pub(super) fn ranges(&self) -> Vec<IdsOfDomain> {
        let ids = |range: &Range| IdsOfDomain {
            first: range.run.first,
            last: range.run.last,
            first_rid: range.run.first_rid,
            domain: range.domain,
            name: range.domain.and_then(|sid| self.names.get(&sid).cloned()),
            is_inert: range.is_inert,
        };
        self.ranges.values().map(ids).collect()
    }

    /// The recorded ids and the names, by kind and id.
    pub(super) fn mappings(&self) -> Vec<Mapping> {
        self.list(|kind, sid| self.id(kind, sid))
    }

    /// As [`mappings`](Self::mappings), without the rules: the stored ranges say what they gave.
    pub(super) fn stored_mappings(&self) -> Vec<Mapping> {
        self.list(|kind, sid| {
            if let Some(id) = self.of(kind).ids.get(&sid) {
                return Some(*id);
            }
            let (domain, rid) = sid.split_rid()?;
            let mut ranges = self.ranges.values().filter(|range| range.domain == Some(domain));
            ranges.find_map(|range| range.run.id(rid))
        })
    }

    fn list(&self, id: impl Fn(Kind, Sid) -> Option<u32>) -> Vec<Mapping> {
        let mut list = Vec::new();
        for kind in [Kind::User, Kind::Group] {
            let recorded = self.of(kind);
            let named = recorded.names.keys().filter(|sid| !recorded.ids.contains_key(*sid));
            for sid in recorded.ids.keys().chain(named) {
                let Some(id) = id(kind, *sid) else { continue };
                list.push(Mapping {
                    kind,
                    id,
                    sid: *sid,
                    name: recorded.names.get(sid).cloned(),
                    is_recorded: recorded.ids.contains_key(sid),
                });
            }
        }
        list.sort();
        list
    }
}
