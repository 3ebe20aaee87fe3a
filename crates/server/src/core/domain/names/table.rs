//! The answers of the domain that are kept, and the queue of questions for it. Those who ask share the queue fairly: no
//! user of a client can keep the domain busy for all others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use wire::security::Sid;
use wire::{AccountName, FoldedName, eq_ignore_case};

use super::Named;
use crate::core::config::DomainSettings;
use crate::core::domain::Written;
use crate::core::limits;

/// The answers and the questions.
#[derive(Default)]
pub(super) struct Table {
    pub(super) known: HashMap<Question, Known>,
    pub(super) queue: Queue,
    pub(super) under_way: BTreeSet<Question>,
    /// True while a task answers questions.
    pub(super) is_served: bool,
    /// The names in the settings, on which rights depend: they are asked for first and never removed, whatever clients
    /// ask for.
    pub(super) prepared: BTreeSet<Question>,
    /// The prepared names that the log has reported as unknown to the domain.
    pub(super) reported: BTreeSet<Question>,
}

/// The user for whom the server asks the domain; all sessions of a user count as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asker {
    /// The server, for its settings, its logons and its files.
    #[default]
    Server,
    /// A user who looks up names or SIDs.
    User(AccountName),
}

/// The open questions, by those who ask.
#[derive(Default)]
pub(super) struct Queue {
    askers: HashMap<Question, Asker>,
    questions: BTreeMap<Asker, BTreeSet<Question>>,
}

impl Queue {
    /// True if the question is open.
    pub(super) fn contains(&self, question: &Question) -> bool {
        self.askers.contains_key(question)
    }

    /// Enters a question. If the queue is full, it takes the place of one of the asker who has the most, unless that is
    /// this one.
    fn enter(&mut self, asker: &Asker, question: Question) {
        if self.contains(&question) {
            return;
        }
        if self.askers.len() >= limits::DOMAIN_QUESTIONS_MAX {
            let own = self.questions.get(asker).map_or(0, BTreeSet::len);
            let most = self.questions.iter().max_by_key(|(_, questions)| questions.len());
            let Some(most) = most.filter(|(_, questions)| questions.len() > own.saturating_add(1)) else {
                return;
            };
            let (Some(last), most) = (most.1.last().cloned(), most.0.clone()) else { return };
            self.remove(&most, &last);
        }
        self.enter_anyway(asker, question);
    }

    /// Enters a question even if the queue is full.
    fn enter_anyway(&mut self, asker: &Asker, question: Question) {
        self.askers.insert(question.clone(), asker.clone());
        self.questions.entry(asker.clone()).or_default().insert(question);
    }

    fn remove(&mut self, asker: &Asker, question: &Question) {
        self.askers.remove(question);
        if let Some(questions) = self.questions.get_mut(asker) {
            questions.remove(question);
            if questions.is_empty() {
                self.questions.remove(asker);
            }
        }
    }

    /// Takes these questions, as far as they are open.
    fn take_of(&mut self, wanted: &BTreeSet<Question>) -> BTreeSet<Question> {
        let taken = wanted.iter().filter_map(|it| Some((it.clone(), self.askers.get(it)?.clone())));
        let taken: Vec<_> = taken.collect();
        taken.iter().for_each(|(question, asker)| self.remove(asker, question));
        taken.into_iter().map(|(question, _)| question).collect()
    }

    /// Takes some questions of each asker.
    fn take_turn(&mut self) -> BTreeSet<Question> {
        let of_one = |questions: &BTreeSet<Question>| {
            questions.iter().take(limits::DOMAIN_NAMES_AT_ONCE).cloned().collect::<Vec<_>>()
        };
        let turn: BTreeSet<_> = self.questions.values().flat_map(of_one).collect();
        self.take_of(&turn)
    }
}

/// A question to the domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Question {
    /// The owner of a SID.
    Sid(Sid),
    /// The owner of a name in a domain, both folded.
    Name(FoldedName, FoldedName),
}

/// An answer, or its absence.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) named: Option<Named>,
    /// False if the domain has not answered yet.
    pub(super) is_answered: bool,
    /// The time until which the question is not asked again.
    pub(super) until: Instant,
}

/// The time between looks for names in the settings that expire before the next look. It is shorter than
/// [`limits::DOMAIN_NAME_RETRY`], so that a domain that does not answer is not asked without a pause.
pub(super) const RENEWAL: Duration = Duration::from_secs(limits::DOMAIN_NAME_RETRY.as_secs() / 2);

/// The questions for the domain at once, each batch of one kind.
pub(super) fn batches(questions: BTreeSet<Question>) -> Vec<Vec<Question>> {
    let (sids, names): (Vec<_>, Vec<_>) =
        questions.into_iter().partition(|it| matches!(it, Question::Sid(_)));
    let batches = [sids, names]
        .into_iter()
        .flat_map(|them| them.chunks(limits::DOMAIN_NAMES_AT_ONCE).map(<[_]>::to_vec).collect::<Vec<_>>());
    batches.collect()
}

/// The question for the owner of a name as a person writes it; `None` for a name without a domain.
pub(super) fn question(settings: &DomainSettings, written: &str) -> Option<Question> {
    let (domain, name) = match Written::new(written) {
        Written::Qualified { domain, name } => (domain, name),
        Written::Principal { name, realm } => (realm, name),
        Written::Plain(_) => return None,
    };
    let domain = if eq_ignore_case(domain, &settings.realm) { &settings.name } else { domain };
    (!name.is_empty()).then(|| Question::Name(FoldedName::new(domain), FoldedName::new(name)))
}

impl Named {
    /// The questions that this answers.
    pub(super) fn questions(&self) -> [Question; 2] {
        let name = Question::Name(FoldedName::new(&self.domain), FoldedName::new(&self.name));
        [Question::Sid(self.sid), name]
    }
}

impl Table {
    /// Asks again what has been asked and was not answered.
    pub(super) fn resume(&mut self) {
        let under_way = std::mem::take(&mut self.under_way);
        under_way.into_iter().for_each(|question| self.queue.enter_anyway(&Asker::Server, question));
    }

    /// Asks for the names in the settings whose answers are missing or expire soon.
    pub(super) fn renew(&mut self) {
        let soon = Instant::now() + RENEWAL;
        let is_due = |it: &&Question| self.known.get(it).is_none_or(|known| known.until <= soon);
        let due: Vec<_> = self.prepared.iter().filter(is_due).cloned().collect();
        due.into_iter().for_each(|question| self.ask(&Asker::Server, question));
    }

    /// Enters a question, unless the domain is being asked.
    pub(super) fn ask(&mut self, asker: &Asker, question: Question) {
        if self.under_way.contains(&question) {
            return;
        }
        if self.prepared.contains(&question) {
            if !self.queue.contains(&question) {
                self.queue.enter_anyway(&Asker::Server, question);
            }
            return;
        }
        self.queue.enter(asker, question);
    }

    /// True if the answer is still to come.
    pub(super) fn is_pending(&self, question: &Question) -> bool {
        self.queue.contains(question) || self.under_way.contains(question)
    }

    /// Takes open questions: all those for names in the settings, otherwise some of each asker.
    pub(super) fn take(&mut self) -> BTreeSet<Question> {
        let first = self.take_prepared();
        if !first.is_empty() {
            return first;
        }
        let taken = self.queue.take_turn();
        self.under_way.extend(taken.iter().cloned());
        taken
    }

    /// Takes the open questions for names in the settings.
    pub(super) fn take_prepared(&mut self) -> BTreeSet<Question> {
        let taken = self.queue.take_of(&self.prepared);
        self.under_way.extend(taken.iter().cloned());
        taken
    }

    /// Keeps an answer. Beyond the limit, old ones are removed.
    pub(super) fn keep(&mut self, question: Question, known: Known) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sids(domain: u32, count: u32) -> impl Iterator<Item = Question> {
        (0..count).map(move |rid| Question::Sid(Sid::of_domain([domain, 0, 0], rid)))
    }

    fn user(name: &str) -> Asker {
        Asker::User(AccountName::new(name))
    }

    #[test]
    fn users_share_the_queue_fairly() {
        let mut table = Table::default();
        let max = u32::try_from(limits::DOMAIN_QUESTIONS_MAX).unwrap();
        sids(1, max + 1000).for_each(|question| table.ask(&user("mallory"), question));
        assert_eq!(table.queue.askers.len(), limits::DOMAIN_QUESTIONS_MAX);
        sids(2, 150).for_each(|question| table.ask(&user("carol"), question));
        assert_eq!(table.queue.askers.len(), limits::DOMAIN_QUESTIONS_MAX);
        assert!(sids(2, 150).all(|question| table.is_pending(&question)), "the other one makes room");
        let first = table.take();
        assert_eq!(first.len(), 2 * limits::DOMAIN_NAMES_AT_ONCE);
        assert!(sids(2, 100).all(|question| first.contains(&question)), "carol is not behind the flood");
        let second = table.take();
        assert!(sids(2, 150).skip(100).all(|question| second.contains(&question)));
        assert!(first.is_disjoint(&second));
        // Nobody asks again for what is under way.
        sids(2, 150).for_each(|question| table.ask(&user("dave"), question));
        assert!(!table.queue.questions.contains_key(&user("dave")));
        while !table.take().is_empty() {}
        assert!(table.queue.askers.is_empty() && table.queue.questions.is_empty());
    }

    #[test]
    fn one_asker_keeps_its_first_questions_if_the_queue_is_full() {
        let mut table = Table::default();
        let max = u32::try_from(limits::DOMAIN_QUESTIONS_MAX).unwrap();
        sids(1, max + 10).for_each(|question| table.ask(&Asker::Server, question));
        assert!(sids(1, max).all(|question| table.is_pending(&question)));
        assert_eq!(table.queue.askers.len(), limits::DOMAIN_QUESTIONS_MAX);
    }
}
