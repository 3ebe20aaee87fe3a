//! The names of a domain's SIDs, and the SIDs of its names. Only the domain knows them, and it may be far away: questions
//! are answered by a task, and answers are kept. Code that must not wait uses what is known by now.

mod source;
mod table;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use wire::security::Sid;

use super::Ids;
use crate::core::config::DomainSettings;
use crate::core::limits;
use table::{Known, Question, RENEWAL, Table, batches, question};

pub(crate) use source::Named;
pub(super) use source::source;
pub(super) use source::{Answers, NameSource};
pub(crate) use table::Asker;

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
    pub(crate) fn known_name(&self, asker: &Asker, sid: Sid) -> Option<Named> {
        self.known(asker, Question::Sid(sid))
    }

    /// The owner of a name as a person writes it, as far as it is known. Otherwise it is asked for.
    pub(crate) fn known_owner(&self, asker: &Asker, domain: &DomainSettings, written: &str) -> Option<Named> {
        self.known(asker, question(domain, written)?)
    }

    /// The SID of such a name. A SID in text form stands for itself.
    pub(super) fn known_sid(&self, domain: &DomainSettings, written: &str) -> Option<Sid> {
        written.parse().ok().or_else(|| Some(self.known_owner(&Asker::Server, domain, written)?.sid))
    }

    /// The owner of a SID: `None` inside if the domain has said that there is none, outside if it has not answered. Waits
    /// for a limited time.
    pub(super) fn owner_of_sid(&self, sid: Sid) -> Option<Option<Named>> {
        self.owner(Question::Sid(sid))
    }

    /// The owner of a name as the name service writes it. As [`Self::owner_of_sid`].
    pub(super) fn owner_of_name(&self, domain: &DomainSettings, written: &str) -> Option<Option<Named>> {
        self.owner(question(domain, written)?)
    }

    fn owner(&self, question: Question) -> Option<Option<Named>> {
        self.wait_for(&Asker::Server, std::slice::from_ref(&question));
        let table = self.table.lock();
        table.known.get(&question).filter(|known| known.is_answered).map(|known| known.named.clone())
    }

    /// Waits until the owners of SIDs are known, or for a limited time.
    pub(crate) fn wait_for_sids(&self, asker: &Asker, sids: impl Iterator<Item = Sid>) {
        self.wait_for(asker, &sids.map(Question::Sid).collect::<Vec<_>>());
    }

    /// Waits until the owners of names as persons write them are known, or for a limited time.
    pub(crate) fn wait_for_names<'a>(
        &self,
        asker: &Asker,
        domain: &DomainSettings,
        written: impl Iterator<Item = &'a str>,
    ) {
        self.wait_for(asker, &written.filter_map(|name| question(domain, name)).collect::<Vec<_>>());
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
            self.known(&Asker::Server, question);
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
            self.wait_for(&Asker::Server, &unknown);
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

    fn known(&self, asker: &Asker, question: Question) -> Option<Named> {
        let mut table = self.table.lock();
        let known = table.known.get(&question);
        let named = known.and_then(|known| known.named.clone());
        if known.is_none_or(|known| known.until <= Instant::now()) && self.source.is_some() {
            table.ask(asker, question);
            drop(table);
            self.asked.notify_one();
        }
        named
    }

    fn wait_for(&self, asker: &Asker, questions: &[Question]) {
        if self.source.is_none() {
            return;
        }
        let deadline = Instant::now() + limits::DOMAIN_NAME_WAIT;
        let mut table = self.table.lock();
        let now = Instant::now();
        for question in questions {
            if table.known.get(question).is_none_or(|known| known.named.is_none() && known.until <= now) {
                table.ask(asker, question.clone());
            }
        }
        self.asked.notify_one();
        let is_pending = |table: &mut Table| {
            questions.iter().any(|it| table.is_pending(it))
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
        // The domains of users who have logged on are known for sure.
        let is_wrong = |named: &Named| self.ids.contradicts(named);
        let answer = answer.map(|named| {
            if let Some(named) = named.as_ref().filter(|named| is_wrong(named)) {
                tracing::warn!(sid = %named.sid, domain = named.domain, "an answer of the domain does not count: its users have another SID");
            }
            named.filter(|named| !is_wrong(named))
        });
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

/// Opens the questions under way again when nobody answers them any more, so that the next task does.
struct Resuming<'a>(&'a Mutex<Table>);

impl Drop for Resuming<'_> {
    fn drop(&mut self) {
        let mut table = self.0.lock();
        table.is_served = false;
        table.resume();
    }
}

impl fmt::Debug for DomainNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DomainNames").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use wire::eq_ignore_case;

    use super::*;
    use crate::core::security::PrincipalKind;

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
        let wait = move || waiting.wait_for_names(&Asker::Server, &own, ["corp\\FrontDesk"].into_iter());
        tokio::task::spawn_blocking(wait).await.unwrap();
        let sid = Frontdesk::named().sid;
        for written in ["CORP\\frontdesk", "frontdesk@corp.test", "FRONTDESK@CORP"] {
            assert_eq!(names.known_sid(&settings, written), Some(sid), "{written}");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let waiting = Arc::clone(&names);
        let nobody = Sid::of_domain([1, 2, 3], 7);
        let wait = move || waiting.wait_for_sids(&Asker::Server, [sid, nobody].into_iter());
        tokio::task::spawn_blocking(wait).await.unwrap();
        assert_eq!(
            (names.known_name(&Asker::Server, sid), names.known_name(&Asker::Server, nobody)),
            (Some(Frontdesk::named()), None)
        );
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
        assert_eq!(later.known_name(&Asker::Server, others.sid), None, "not in the settings");
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
            |names: &DomainNames| names.table.lock().queue.contains(&question(&settings, written).unwrap());
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
        others().for_each(|other| table.ask(&Asker::Server, other));
        table.ask(&Asker::Server, asked.clone());
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
    fn answers_with_the_sid_of_another_domain_do_not_count() {
        let state = tempfile::tempdir().unwrap();
        let ids = Ids::by_rid(state.path(), [1, 2, 3], 10_000);
        let names = DomainNames::new(Some(Box::new(Frontdesk { asked: Arc::default() })), ids);
        let settings = settings();
        let wrong = Named { sid: Sid::of_domain([1, 2, 4], 1201), ..Frontdesk::named() };
        names.note(question(&settings, "CORP\\frontdesk").unwrap(), Ok(Some(wrong.clone())));
        assert_eq!(names.known_sid(&settings, "CORP\\frontdesk"), None);
        let misnamed = Named { domain: String::from("EU"), ..Frontdesk::named() };
        names.note(Question::Sid(misnamed.sid), Ok(Some(misnamed.clone())));
        assert_eq!(names.known_name(&Asker::Server, misnamed.sid), None);
        names.note(Question::Sid(Frontdesk::named().sid), Ok(Some(Frontdesk::named())));
        assert_eq!(names.known_sid(&settings, "CORP\\frontdesk"), Some(Frontdesk::named().sid));
        // Nothing is known of a domain that nobody has logged on from.
        let of_eu = Named { domain: String::from("EU"), sid: wrong.sid, ..wrong };
        names.note(Question::Sid(of_eu.sid), Ok(Some(of_eu.clone())));
        assert_eq!(names.known_name(&Asker::Server, of_eu.sid), Some(of_eu));
    }

    #[test]
    fn another_source_leaves_the_names_known() {
        let names = DomainNames::new(None, Ids::default());
        names.learn(Frontdesk::named());
        let after = names.with_source(None, Ids::default());
        assert_eq!(after.known_name(&Asker::Server, Frontdesk::named().sid), Some(Frontdesk::named()));
    }

    #[test]
    fn without_a_source_nothing_is_known_and_nobody_waits() {
        let names = DomainNames::new(None, Ids::default());
        let begun = Instant::now();
        names.wait_for_names(&Asker::Server, &settings(), ["CORP\\frontdesk"].into_iter());
        names.wait_for_sids(&Asker::Server, [Sid::USERS].into_iter());
        assert_eq!(names.known_sid(&settings(), "CORP\\frontdesk"), None);
        assert!(begun.elapsed() < Duration::from_secs(1));
        let sid = Sid::of_domain([1, 2, 3], 1201);
        assert_eq!(names.known_sid(&settings(), &sid.to_string()), Some(sid));
        names.learn(Frontdesk::named());
        assert_eq!(names.known_name(&Asker::Server, sid), Some(Frontdesk::named()));
    }
}
