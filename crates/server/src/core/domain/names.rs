//! The names of a domain's SIDs, and the SIDs of its names. Only the domain knows them, and it may be far away: questions
//! are answered by a task, and answers are kept. Code that must not wait uses what is known by now.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::NamedKind;
use domain::names::{Directory, Membership};
use futures_util::future::BoxFuture;
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use wire::security::Sid;
use wire::{FoldedName, eq_ignore_case};

use super::{Ids, Written};
use crate::core::config::DomainSettings;
use crate::core::limits;
use crate::core::security::PrincipalKind;

/// A user, group or domain of the domain, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) sid: Sid,
    /// The NetBIOS name of its domain.
    pub(crate) domain: String,
    /// The name in the domain; empty for a domain.
    pub(crate) name: String,
    pub(crate) kind: PrincipalKind,
}

/// The answers to questions, in their order; the error is for the log.
pub(crate) type Answers = Result<Vec<Option<Named>>, String>;

/// A source of names: the domain's controllers.
pub(crate) trait NameSource: Send + Sync {
    /// The owners of SIDs; `None` for those that nobody has.
    fn names_of(&self, sids: Vec<Sid>) -> BoxFuture<'_, Answers>;
    /// The users and groups with names like `CORP\carol`; `None` for those that nobody has.
    fn owners_of(&self, names: Vec<String>) -> BoxFuture<'_, Answers>;
}

/// The names that are known, and the questions about others.
pub(crate) struct DomainNames {
    source: Option<Box<dyn NameSource>>,
    /// The table that keeps names in the settings over a restart.
    ids: Ids,
    table: Mutex<Table>,
    /// Notified of every answer.
    answered: Condvar,
    /// Notified of every question.
    asked: Notify,
    /// Notified when the answer for a name in the settings has changed, on which the rights of sessions may depend.
    pub(super) settled: Notify,
    /// True after the log has reported that the domain does not answer, until it does again.
    is_silent: AtomicBool,
}

#[derive(Default)]
struct Table {
    known: HashMap<Question, Known>,
    open: BTreeSet<Question>,
    under_way: BTreeSet<Question>,
    /// True while a task answers questions.
    is_served: bool,
    /// The names in the settings, on which rights depend: they are asked for first and never removed, whatever clients
    /// ask for.
    prepared: BTreeSet<Question>,
    /// The prepared names that the log has reported as unknown to the domain.
    reported: BTreeSet<Question>,
}

/// A question to the domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Question {
    /// The owner of a SID.
    Sid(Sid),
    /// The owner of a name in a domain, both folded.
    Name(FoldedName, FoldedName),
}

#[derive(Clone)]
struct Known {
    named: Option<Named>,
    /// False if the domain has not answered yet.
    is_answered: bool,
    /// The time until which the question is not asked again.
    until: Instant,
}

impl DomainNames {
    /// Creates a table with the names that `ids` has kept.
    pub(super) fn new(source: Option<Box<dyn NameSource>>, ids: Ids) -> Arc<Self> {
        let this = Arc::new(Self {
            source,
            ids,
            table: Mutex::default(),
            answered: Condvar::new(),
            asked: Notify::new(),
            settled: Notify::new(),
            is_silent: AtomicBool::new(false),
        });
        this.ids.names().into_iter().for_each(|named| this.learn(named));
        this
    }

    /// A table with the names known here and another source for the same domain.
    pub(super) fn with_source(&self, source: Option<Box<dyn NameSource>>, ids: Ids) -> Arc<Self> {
        let this = Self::new(source, ids);
        this.table.lock().known.extend(self.table.lock().known.clone());
        this
    }

    /// The owner of a SID, as far as it is known. Otherwise it is asked for.
    pub(crate) fn known_name(&self, sid: Sid) -> Option<Named> {
        self.known(Question::Sid(sid))
    }

    /// The owner of a name as a person writes it, as far as it is known. Otherwise it is asked for.
    pub(crate) fn known_owner(&self, domain: &DomainSettings, written: &str) -> Option<Named> {
        self.known(question(domain, written)?)
    }

    /// The SID of such a name. A SID in text form stands for itself.
    pub(super) fn known_sid(&self, domain: &DomainSettings, written: &str) -> Option<Sid> {
        written.parse().ok().or_else(|| Some(self.known_owner(domain, written)?.sid))
    }

    /// Waits until the owners of SIDs are known, or for a limited time.
    pub(crate) fn wait_for_sids(&self, sids: impl Iterator<Item = Sid>) {
        self.wait_for(&sids.map(Question::Sid).collect::<Vec<_>>());
    }

    /// Waits until the owners of names as persons write them are known, or for a limited time.
    pub(crate) fn wait_for_names<'a>(&self, domain: &DomainSettings, written: impl Iterator<Item = &'a str>) {
        self.wait_for(&written.filter_map(|name| question(domain, name)).collect::<Vec<_>>());
    }

    /// Asks for these names of users and groups in advance. Their SIDs are kept over a restart, so that settings apply
    /// even if no controller answers then.
    pub(super) fn prepare<'a>(&self, domain: &DomainSettings, written: impl Iterator<Item = &'a str>) {
        let prepared: BTreeSet<_> = written.filter_map(|name| question(domain, name)).collect();
        let mut table = self.table.lock();
        table.reported.retain(|question| prepared.contains(question));
        table.prepared.clone_from(&prepared);
        let is_incomplete = prepared.iter().any(|it| !table.known.contains_key(it));
        drop(table);
        // Those that were kept may have been removed since, as names that are in no settings.
        if is_incomplete {
            self.ids.names().into_iter().for_each(|named| self.learn(named));
        }
        for question in prepared {
            self.known(question);
        }
    }

    /// Waits until the domain was asked for the names in the settings for the first time, or for a limited time.
    pub(super) fn wait_for_prepared(&self) {
        let table = self.table.lock();
        let unknown: Vec<_> =
            table.prepared.iter().filter(|it| !table.known.contains_key(it)).cloned().collect();
        let is_served = table.is_served;
        drop(table);
        if is_served && !unknown.is_empty() {
            self.wait_for(&unknown);
        }
    }

    /// True while a task answers questions.
    pub(super) fn is_served(&self) -> bool {
        self.table.lock().is_served
    }

    /// True if the domain has said whose SID the name is. A SID in text form stands for itself.
    pub(super) fn is_settled(&self, domain: &DomainSettings, written: &str) -> bool {
        if written.parse::<Sid>().is_ok() {
            return true;
        }
        let Some(question) = question(domain, written) else { return false };
        self.table.lock().known.get(&question).is_some_and(|known| known.is_answered)
    }

    fn known(&self, question: Question) -> Option<Named> {
        let mut table = self.table.lock();
        let known = table.known.get(&question);
        let named = known.and_then(|known| known.named.clone());
        if known.is_none_or(|known| known.until <= Instant::now()) && self.source.is_some() {
            table.ask(question);
            drop(table);
            self.asked.notify_one();
        }
        named
    }

    fn wait_for(&self, questions: &[Question]) {
        if self.source.is_none() {
            return;
        }
        let deadline = Instant::now() + limits::DOMAIN_NAME_WAIT;
        let mut table = self.table.lock();
        let now = Instant::now();
        for question in questions {
            if table.known.get(question).is_none_or(|known| known.named.is_none() && known.until <= now) {
                table.ask(question.clone());
            }
        }
        self.asked.notify_one();
        let is_pending = |table: &mut Table| {
            questions.iter().any(|it| table.open.contains(it) || table.under_way.contains(it))
                // An old answer is good enough.
                && questions.iter().any(|it| table.known.get(it).is_none_or(|known| known.named.is_none()))
        };
        while is_pending(&mut table) {
            if self.answered.wait_until(&mut table, deadline).timed_out() {
                return;
            }
        }
    }

    /// Answers questions as long as the server runs.
    pub(crate) async fn answer(&self) {
        let Some(source) = &self.source else { return std::future::pending().await };
        self.table.lock().is_served = true;
        // This may be dropped before the answers come.
        let _resuming = Resuming(&self.table);
        loop {
            let asked = self.asked.notified();
            let questions = self.table.lock().take();
            if questions.is_empty() {
                // Names in the settings are asked for again before they expire, not when they are needed.
                let _ = tokio::time::timeout(RENEWAL, asked).await;
                self.table.lock().renew();
                continue;
            }
            for batch in batches(questions) {
                let first = self.table.lock().take_prepared();
                for batch in batches(first) {
                    self.ask_domain(&**source, batch).await;
                }
                self.ask_domain(&**source, batch).await;
            }
        }
    }

    /// Has the source answer questions of one kind.
    async fn ask_domain(&self, source: &dyn NameSource, questions: Vec<Question>) {
        let (mut sids, mut names) = (Vec::new(), Vec::new());
        for question in &questions {
            match question {
                Question::Sid(sid) => sids.push(*sid),
                Question::Name(domain, name) => names.push(format!("{}\\{}", domain.as_str(), name.as_str())),
            }
        }
        let answers = match names.is_empty() {
            true => source.names_of(sids).await,
            false => source.owners_of(names).await,
        };
        self.note_all(questions, answers);
    }

    fn note_all(&self, questions: Vec<Question>, answers: Answers) {
        match answers {
            Ok(answers) => {
                // Those without an answer of their own have none.
                let answers = answers.into_iter().chain(std::iter::repeat(None));
                questions
                    .into_iter()
                    .zip(answers)
                    .for_each(|(question, named)| self.note(question, Ok(named)));
            }
            Err(error) => {
                questions.into_iter().for_each(|question| self.note(question, Err(error.clone())));
            }
        }
        self.answered.notify_all();
    }

    fn note(&self, question: Question, answer: Result<Option<Named>, String>) {
        let now = Instant::now();
        let mut table = self.table.lock();
        table.under_way.remove(&question);
        let is_prepared = table.prepared.contains(&question);
        match answer {
            Ok(named) => {
                self.is_silent.store(false, Ordering::Relaxed);
                let lifetime = match (&named, &question) {
                    (Some(_), _) => limits::DOMAIN_NAME_LIFETIME,
                    (None, Question::Name(domain, name))
                        if is_prepared && table.reported.insert(question.clone()) =>
                    {
                        tracing::warn!(
                            domain = domain.as_str(),
                            name = name.as_str(),
                            "the domain has no user or group with this name; settings with it give no rights, unless it is a user principal name"
                        );
                        limits::NO_DOMAIN_NAME_LIFETIME
                    }
                    (None, _) => limits::NO_DOMAIN_NAME_LIFETIME,
                };
                if is_prepared {
                    if let Some(named) = &named {
                        table.reported.remove(&question);
                        self.ids.remember(named);
                    }
                    let sid = |named: &Option<Named>| named.as_ref().map(|it| it.sid);
                    let is_as_before = |known: &Known| known.is_answered && sid(&known.named) == sid(&named);
                    if !table.known.get(&question).is_some_and(is_as_before) {
                        self.settled.notify_one();
                    }
                }
                let until = now + lifetime;
                for other in named.iter().flat_map(Named::questions) {
                    table.keep(other, Known { named: named.clone(), is_answered: true, until });
                }
                table.keep(question, Known { named, is_answered: true, until });
            }
            Err(error) => {
                if !self.is_silent.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        error,
                        ?question,
                        "the domain does not answer for a name; groups in the settings that are not known yet give no rights"
                    );
                }
                let before = table.known.remove(&question);
                let is_answered = before.as_ref().is_some_and(|known| known.is_answered);
                let named = before.and_then(|known| known.named);
                table.keep(question, Known { named, is_answered, until: now + limits::DOMAIN_NAME_RETRY });
            }
        }
    }

    /// Enters an owner that another part of the server has learned.
    pub(super) fn learn(&self, named: Named) {
        let until = Instant::now() + limits::DOMAIN_NAME_LIFETIME;
        let mut table = self.table.lock();
        for question in named.questions() {
            table.keep(question, Known { named: Some(named.clone()), is_answered: true, until });
        }
    }
}

/// The time between looks for names in the settings that expire before the next look. It is shorter than
/// [`limits::DOMAIN_NAME_RETRY`], so that a domain that does not answer is not asked without a pause.
const RENEWAL: Duration = Duration::from_secs(limits::DOMAIN_NAME_RETRY.as_secs() / 2);

/// The questions for the domain at once, each batch of one kind.
fn batches(questions: BTreeSet<Question>) -> Vec<Vec<Question>> {
    let (sids, names): (Vec<_>, Vec<_>) =
        questions.into_iter().partition(|it| matches!(it, Question::Sid(_)));
    let batches = [sids, names]
        .into_iter()
        .flat_map(|them| them.chunks(limits::DOMAIN_NAMES_AT_ONCE).map(<[_]>::to_vec).collect::<Vec<_>>());
    batches.collect()
}

/// Opens the questions under way again when nobody answers them any more, so that the next task does.
struct Resuming<'a>(&'a Mutex<Table>);

impl Drop for Resuming<'_> {
    fn drop(&mut self) {
        let mut table = self.0.lock();
        table.is_served = false;
        table.resume();
    }
}

impl Named {
    /// The questions that this answers.
    fn questions(&self) -> [Question; 2] {
        let name = Question::Name(FoldedName::new(&self.domain), FoldedName::new(&self.name));
        [Question::Sid(self.sid), name]
    }
}

impl Table {
    /// Asks again what has been asked and was not answered.
    fn resume(&mut self) {
        let under_way = std::mem::take(&mut self.under_way);
        self.open.extend(under_way);
    }

    /// Asks for the names in the settings whose answers are missing or expire soon.
    fn renew(&mut self) {
        let soon = Instant::now() + RENEWAL;
        let is_due = |it: &&Question| self.known.get(it).is_none_or(|known| known.until <= soon);
        let due: Vec<_> = self.prepared.iter().filter(is_due).cloned().collect();
        due.into_iter().for_each(|question| self.ask(question));
    }

    fn ask(&mut self, question: Question) {
        let has_room = self.open.len() < limits::DOMAIN_QUESTIONS_MAX || self.prepared.contains(&question);
        if !self.under_way.contains(&question) && has_room {
            self.open.insert(question);
        }
    }

    /// Takes the open questions: those for names in the settings first.
    fn take(&mut self) -> BTreeSet<Question> {
        let first = self.take_prepared();
        if !first.is_empty() {
            return first;
        }
        let taken = std::mem::take(&mut self.open);
        self.under_way.extend(taken.iter().cloned());
        taken
    }

    /// Takes the open questions for names in the settings.
    fn take_prepared(&mut self) -> BTreeSet<Question> {
        let taken: BTreeSet<_> = self.open.intersection(&self.prepared).cloned().collect();
        self.open.retain(|question| !taken.contains(question));
        self.under_way.extend(taken.iter().cloned());
        taken
    }

    fn keep(&mut self, question: Question, known: Known) {
        if self.known.len() >= limits::DOMAIN_NAMES_KEPT {
            let now = Instant::now();
            self.known.retain(|it, known| known.until > now || self.prepared.contains(it));
        }
        if self.known.len() >= limits::DOMAIN_NAMES_KEPT {
            self.known.retain(|it, _| self.prepared.contains(it));
        }
        self.known.insert(question, known);
    }
}

/// The question for the owner of a name as a person writes it; `None` for a name without a domain.
fn question(settings: &DomainSettings, written: &str) -> Option<Question> {
    let (domain, name) = match Written::new(written) {
        Written::Qualified { domain, name } => (domain, name),
        Written::Principal { name, realm } => (realm, name),
        Written::Plain(_) => return None,
    };
    let domain = if eq_ignore_case(domain, &settings.realm) { &settings.name } else { domain };
    (!name.is_empty()).then(|| Question::Name(FoldedName::new(domain), FoldedName::new(name)))
}

impl fmt::Debug for DomainNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DomainNames").finish_non_exhaustive()
    }
}

/// The controllers of a domain as the source of names.
pub(super) fn source(domain: &DomainSettings) -> Option<Box<dyn NameSource>> {
    let membership = Membership {
        realm: domain.realm.clone(),
        keytab: domain.keytab.clone(),
        controllers: domain.controllers.clone(),
    };
    Some(Box::new(Directory::new(membership)))
}

impl NameSource for Directory {
    fn names_of(&self, sids: Vec<Sid>) -> BoxFuture<'_, Answers> {
        Box::pin(async move {
            let found = Directory::names_of(self, &sids, limits::DOMAIN_QUESTION_WAIT).await?;
            Ok(found.into_iter().map(|it| it.and_then(of_domain)).collect())
        })
    }

    fn owners_of(&self, names: Vec<String>) -> BoxFuture<'_, Answers> {
        Box::pin(async move {
            let found = Directory::owners_of(self, &names, limits::DOMAIN_QUESTION_WAIT).await?;
            Ok(found.into_iter().map(|it| it.and_then(of_domain)).collect())
        })
    }
}

fn of_domain(named: domain::Named) -> Option<Named> {
    let kind = match named.kind {
        NamedKind::User => PrincipalKind::User,
        NamedKind::Group => PrincipalKind::Group,
        NamedKind::Domain => PrincipalKind::Domain,
        NamedKind::Alias => PrincipalKind::Alias,
        NamedKind::WellKnownGroup => PrincipalKind::WellKnownGroup,
        NamedKind::Other => return None,
    };
    Some(Named { sid: named.sid, domain: wire::names::upper(&named.domain), name: named.name, kind })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::FutureExt as _;

    use super::*;

    /// A domain with the group `CORP\frontdesk`, whose SID ends with 1201.
    pub(crate) struct Frontdesk {
        pub(crate) asked: Arc<AtomicUsize>,
    }

    impl Frontdesk {
        pub(crate) fn named() -> Named {
            Named {
                sid: Sid::of_domain([1, 2, 3], 1201),
                domain: String::from("CORP"),
                name: String::from("frontdesk"),
                kind: PrincipalKind::Group,
            }
        }

        fn answer(&self, is_it: impl Iterator<Item = bool>) -> BoxFuture<'_, Answers> {
            let answers: Vec<_> = is_it.map(|is_it| is_it.then(Self::named)).collect();
            self.asked.fetch_add(answers.len(), Ordering::Relaxed);
            Box::pin(async move { Ok(answers) })
        }
    }

    impl NameSource for Frontdesk {
        fn names_of(&self, sids: Vec<Sid>) -> BoxFuture<'_, Answers> {
            self.answer(sids.into_iter().map(|sid| sid == Self::named().sid))
        }

        fn owners_of(&self, names: Vec<String>) -> BoxFuture<'_, Answers> {
            self.answer(names.into_iter().map(|name| eq_ignore_case(&name, "CORP\\frontdesk")))
        }
    }

    fn settings() -> DomainSettings {
        let text = "[domain]\nrealm = 'corp.test'\n";
        let defaults = crate::core::config::Settings::conventional(false, |_| None);
        let settings = crate::core::config::parse(text, std::path::Path::new("/"), defaults).unwrap();
        settings.domain.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn names_are_asked_for_once_and_known_afterwards() {
        let asked = Arc::new(AtomicUsize::new(0));
        let names = DomainNames::new(Some(Box::new(Frontdesk { asked: Arc::clone(&asked) })), Ids::default());
        let answering = Arc::clone(&names);
        let answering = crate::core::bulkhead::spawn(async move { answering.answer().await });
        let settings = settings();
        assert_eq!(names.known_sid(&settings, "staff"), None, "a Unix group");
        let waiting = Arc::clone(&names);
        let own = settings.clone();
        let wait = move || waiting.wait_for_names(&own, ["corp\\FrontDesk"].into_iter());
        tokio::task::spawn_blocking(wait).await.unwrap();
        let sid = Frontdesk::named().sid;
        for written in ["CORP\\frontdesk", "frontdesk@corp.test", "FRONTDESK@CORP"] {
            assert_eq!(names.known_sid(&settings, written), Some(sid), "{written}");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let waiting = Arc::clone(&names);
        let nobody = Sid::of_domain([1, 2, 3], 7);
        let wait = move || waiting.wait_for_sids([sid, nobody].into_iter());
        tokio::task::spawn_blocking(wait).await.unwrap();
        assert_eq!((names.known_name(sid), names.known_name(nobody)), (Some(Frontdesk::named()), None));
        assert_eq!(asked.load(Ordering::Relaxed), 2, "nobody asks twice for what is known");
        answering.abort();
    }

    #[test]
    fn names_in_the_settings_are_kept_over_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let ids = Ids::by_rid(state.path(), [1, 2, 3], 10_000);
        let names = DomainNames::new(Some(Box::new(Frontdesk { asked: Arc::default() })), ids.clone());
        let settings = settings();
        names.prepare(&settings, ["CORP\\frontdesk"].into_iter());
        let asked = question(&settings, "frontdesk@corp.test").unwrap();
        names.note(asked, Ok(Some(Frontdesk::named())));
        let others =
            Named { sid: Sid::of_domain([1, 2, 3], 1300), name: String::from("x"), ..Frontdesk::named() };
        names.note(question(&settings, "CORP\\x").unwrap(), Ok(Some(others.clone())));
        let later = DomainNames::new(None, ids);
        assert_eq!(later.known_sid(&settings, "corp\\FrontDesk"), Some(Frontdesk::named().sid));
        assert_eq!(later.known_name(others.sid), None, "not in the settings");
    }

    /// A domain that does not answer the first question.
    struct SlowAtFirst(Frontdesk);

    impl NameSource for SlowAtFirst {
        fn names_of(&self, sids: Vec<Sid>) -> BoxFuture<'_, Answers> {
            self.0.names_of(sids)
        }

        fn owners_of(&self, names: Vec<String>) -> BoxFuture<'_, Answers> {
            if self.0.asked.fetch_add(1, Ordering::Relaxed) == 0 {
                return Box::pin(std::future::pending());
            }
            self.0.owners_of(names)
        }
    }

    #[tokio::test]
    async fn questions_of_a_task_that_ends_are_answered_by_the_next() {
        let source = SlowAtFirst(Frontdesk { asked: Arc::default() });
        let names = DomainNames::new(Some(Box::new(source)), Ids::default());
        let settings = settings();
        let written = "CORP\\frontdesk";
        names.prepare(&settings, [written].into_iter());
        assert!(names.answer().now_or_never().is_none(), "asked, not answered");
        let is_open =
            |names: &DomainNames| names.table.lock().open.contains(&question(&settings, written).unwrap());
        assert!(is_open(&names));
        assert!(names.answer().now_or_never().is_none());
        assert_eq!(names.known_sid(&settings, written), Some(Frontdesk::named().sid));
        assert!(!is_open(&names));
    }

    #[test]
    fn names_in_the_settings_stay_known_whatever_clients_ask_for() {
        let names = DomainNames::new(None, Ids::default());
        let settings = settings();
        let written = "CORP\\frontdesk";
        let asked = question(&settings, written).unwrap();
        names.prepare(&settings, [written].into_iter());
        names.note(asked.clone(), Ok(Some(Frontdesk::named())));
        let others = || (0..20_000).map(|rid| Question::Sid(Sid::of_domain([4, 5, 6], rid)));
        others().for_each(|other| names.note(other, Ok(None)));
        assert_eq!(names.known_sid(&settings, written), Some(Frontdesk::named().sid));
        let mut table = names.table.lock();
        assert!(table.known.len() <= limits::DOMAIN_NAMES_KEPT);
        others().for_each(|other| table.ask(other));
        table.ask(asked.clone());
        assert_eq!(table.take(), BTreeSet::from([asked]), "asked first, although the table is full");
    }

    #[test]
    fn names_in_the_settings_are_renewed_before_they_expire() {
        let names = DomainNames::new(Some(Box::new(Frontdesk { asked: Arc::default() })), Ids::default());
        let settings = settings();
        let written = "CORP\\frontdesk";
        let asked = question(&settings, written).unwrap();
        names.prepare(&settings, [written].into_iter());
        assert!(!names.is_settled(&settings, written));
        names.note(asked.clone(), Err(String::from("no controller")));
        assert!(!names.is_settled(&settings, written));
        names.table.lock().take();
        names.note(asked.clone(), Ok(Some(Frontdesk::named())));
        assert!(names.is_settled(&settings, written));
        let mut table = names.table.lock();
        table.renew();
        assert!(table.take().is_empty(), "not due");
        table.known.get_mut(&asked).unwrap().until = Instant::now() + Duration::from_secs(1);
        table.renew();
        assert_eq!(table.take(), BTreeSet::from([asked]));
    }

    #[test]
    fn another_source_leaves_the_names_known() {
        let names = DomainNames::new(None, Ids::default());
        names.learn(Frontdesk::named());
        let after = names.with_source(None, Ids::default());
        assert_eq!(after.known_name(Frontdesk::named().sid), Some(Frontdesk::named()));
    }

    #[test]
    fn without_a_source_nothing_is_known_and_nobody_waits() {
        let names = DomainNames::new(None, Ids::default());
        let begun = Instant::now();
        names.wait_for_names(&settings(), ["CORP\\frontdesk"].into_iter());
        names.wait_for_sids([Sid::USERS].into_iter());
        assert_eq!(names.known_sid(&settings(), "CORP\\frontdesk"), None);
        assert!(begun.elapsed() < Duration::from_secs(1));
        let sid = Sid::of_domain([1, 2, 3], 1201);
        assert_eq!(names.known_sid(&settings(), &sid.to_string()), Some(sid));
        names.learn(Frontdesk::named());
        assert_eq!(names.known_name(sid), Some(Frontdesk::named()));
    }
}
