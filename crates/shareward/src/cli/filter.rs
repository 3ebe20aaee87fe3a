//! The filters that lists, closes and views share.

use control::{Bound, FileQuery, SessionQuery};

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
const MINE: Switch = Switch::own("MINE", Takes::Nothing);

/// The switches of a [`Filter`].
pub(crate) const SWITCHES: [Switch; 9] = [USER, CLIENT, SHARE, PATH, IDLE, AGE, LOCKED, WRITING, MINE];

/// A filter for opens, or for sessions by their opens. All conditions that are given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    user: Option<String>,
    client: Option<String>,
    share: Option<String>,
    path: Option<String>,
    idle: Option<Bound>,
    age: Option<Bound>,
    locked: Option<bool>,
    writing: Option<bool>,
    mine: bool,
}

impl Filter {
    /// The filter among `words`.
    pub(crate) fn of(words: &Words) -> Result<Self, Numbered> {
        let text = |switch| words.value(switch).map(str::to_owned);
        Ok(Self {
            user: text(&USER),
            client: text(&CLIENT).map(|client| client.trim_start_matches(['\\', '/']).to_owned()),
            share: text(&SHARE),
            path: text(&PATH),
            idle: bound(words, &IDLE)?,
            age: bound(words, &AGE)?,
            locked: yes_or_no(words, &LOCKED)?,
            writing: yes_or_no(words, &WRITING)?,
            mine: words.has(&MINE),
        })
    }

    /// True if everything matches.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The filter as a query for opens.
    pub(crate) fn files(&self) -> FileQuery {
        FileQuery {
            user: self.user.clone(),
            client: self.client.clone(),
            share: self.share.clone(),
            path: self.path.clone(),
            idle: self.idle,
            age: self.age,
            locked: self.locked,
            writing: self.writing,
            mine: self.mine.then_some(true),
            ..FileQuery::default()
        }
    }

    /// The filter as a query for sessions, with the conditions on the session itself.
    pub(crate) fn sessions(&self) -> SessionQuery {
        SessionQuery {
            user: self.user.clone(),
            client: self.client.clone(),
            share: self.share.clone(),
            idle: self.idle,
            age: self.age,
            mine: self.mine.then_some(true),
            ..SessionQuery::default()
        }
    }

    /// The query for opens of which a selected session has at least one; `None` if no condition concerns opens.
    pub(crate) fn opens_of_sessions(&self) -> Option<FileQuery> {
        (self.path.is_some() || self.locked.is_some() || self.writing.is_some()).then(|| FileQuery {
            user: self.user.clone(),
            share: self.share.clone(),
            path: self.path.clone(),
            locked: self.locked,
            writing: self.writing,
            mine: self.mine.then_some(true),
            ..FileQuery::default()
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
