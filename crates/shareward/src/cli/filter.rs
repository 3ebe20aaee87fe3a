//! The filters that lists, closes and views share.

use control::{Bound, FileQuery, SessionQuery, address};

use super::{Switch, Takes, Words};
use crate::failure::Numbered;
use crate::messages;

const USER: Switch = Switch::own("USER", Takes::Value);
const CLIENT: Switch = Switch::own("CLIENT", Takes::Value);
const SHARE: Switch = Switch::own("SHARE", Takes::Value);
const PATH: Switch = Switch::own("PATH", Takes::Value);
const IDLE: Switch = Switch::own("IDLE", Takes::Value);
const AGE: Switch = Switch::own("AGE", Takes::Value);
const LOCKED: Switch = Switch::own("LOCKED", Takes::Optional);
const WRITING: Switch = Switch::own("WRITING", Takes::Optional);
const WAITING: Switch = Switch::own("WAITING", Takes::Optional);
const MINE: Switch = Switch::own("MINE", Takes::Nothing);

/// The switches of a [`Filter`].
pub(crate) const SWITCHES: [Switch; 9] = [USER, CLIENT, SHARE, PATH, IDLE, AGE, LOCKED, WRITING, MINE];

/// The switches of a filter that selects opens only.
pub(crate) const FILE_SWITCHES: [Switch; 1] = [WAITING];

/// A filter for opens, or for sessions by their opens. All conditions that are given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter(FileQuery);

impl Filter {
    /// The filter among `words`.
    pub(crate) fn of(words: &Words) -> Result<Self, Numbered> {
        let text = |switch| words.value(switch).map(str::to_owned);
        Ok(Self(FileQuery {
            user: text(&USER),
            client: words.value(&CLIENT).map(|client| address::bare(client).to_owned()),
            share: text(&SHARE),
            path: text(&PATH),
            idle: bound(words, &IDLE)?,
            age: bound(words, &AGE)?,
            locked: yes_or_no(words, &LOCKED)?,
            writing: yes_or_no(words, &WRITING)?,
            waiting: yes_or_no(words, &WAITING)?,
            mine: words.has(&MINE).then_some(true),
            ..FileQuery::default()
        }))
    }

    /// True if everything matches.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The filter as a query for opens.
    pub(crate) fn files(&self) -> FileQuery {
        self.0.clone()
    }

    /// The filter as a query for sessions, with the conditions on the session itself.
    pub(crate) fn sessions(&self) -> SessionQuery {
        let FileQuery { user, client, share, idle, age, mine, .. } = self.files();
        SessionQuery { user, client, share, idle, age, mine, ..SessionQuery::default() }
    }

    /// The query for opens of selected users, computers and shares that wait for their clients; `None` if conditions on
    /// sessions select no such open.
    pub(crate) fn waiting_opens(&self) -> Option<FileQuery> {
        let has_session_conditions = self.0.idle.is_some() || self.0.age.is_some();
        (!has_session_conditions).then(|| FileQuery { waiting: Some(true), ..self.files() })
    }

    /// The query for opens of which a selected session has at least one; `None` if no condition concerns opens.
    pub(crate) fn opens_of_sessions(&self) -> Option<FileQuery> {
        let FileQuery { path, locked, writing, .. } = &self.0;
        (path.is_some() || locked.is_some() || writing.is_some()).then(|| FileQuery {
            client: None,
            idle: None,
            age: None,
            ..self.files()
        })
    }
}

fn bound(words: &Words, switch: &Switch) -> Result<Option<Bound>, Numbered> {
    let Some(text) = words.value(switch) else { return Ok(None) };
    text.parse().map(Some).map_err(|error: control::NotABound| {
        Numbered::new(messages::VALUE_OF_OPTION_NUMBER).about(switch.shown()).hint(error.to_string())
    })
}

fn yes_or_no(words: &Words, switch: &Switch) -> Result<Option<bool>, Numbered> {
    if !words.has(switch) {
        return Ok(None);
    }
    match words.value(switch).map(str::to_ascii_lowercase).as_deref() {
        None | Some("yes" | "y" | "true") => Ok(Some(true)),
        Some("no" | "n" | "false") => Ok(Some(false)),
        Some(_) => Err(Numbered::new(messages::VALUE_OF_OPTION_NUMBER).about(switch.shown())),
    }
}
