//! Changes of the cluster by people: each is one transaction with its entry in the history of changes (`changes/`), and
//! compares what it was made from, so that of two changes at the same time one is refused.

use std::time::{SystemTime, UNIX_EPOCH};

use cluster::ids::Revision;
use cluster::keys::{Key, changes_prefix};
use cluster::protocol::{Compare, Outcome, Transaction, Write};
use cluster::records::{self, ChangeRecord, LastChange};
use control::Timestamp;

use super::operator::{Operator, Refused};
use super::store;

/// The person behind a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Author {
    /// The user.
    pub user: String,
    /// The origin of the request.
    pub from: String,
}

impl Author {
    /// The user of this process, who makes the change by a command.
    pub(crate) fn of_command() -> Self {
        let uid = nix::unistd::Uid::effective().as_raw();
        let user = crate::core::identity::user_name(uid).unwrap_or_else(|| format!("uid {uid}"));
        Self { user, from: String::from("shareward cluster") }
    }
}

/// A change for the history, without its number, time and author.
pub(super) struct Draft {
    pub(super) act: &'static str,
    pub(super) object: String,
    pub(super) details: Vec<String>,
}

impl Draft {
    pub(super) fn new(act: &'static str, object: impl ToString) -> Self {
        Self { act, object: object.to_string(), details: Vec::new() }
    }
}

impl Operator {
    /// Carries out the writes if all conditions are met and the keys are still those of the cluster whose `schema` was
    /// written at that revision, and enters the change into the history. Returns the revision of the change.
    ///
    /// # Errors
    /// [`Refused`] if a condition is not met, with the last change of the object, or if etcd does not answer. Nothing has
    /// changed then, unless the reason says otherwise.
    pub(super) async fn commit(
        &self,
        schema: Revision,
        mut conditions: Vec<Compare>,
        writes: Vec<Write>,
        draft: Draft,
    ) -> Result<Revision, Refused> {
        conditions.push(Compare::Modified(Key::Schema, schema));
        for _ in 0..COMMITS_MAX {
            let last = self.entry(&Key::LastChange).await?;
            // A number that cannot be read begins anew, which overwrites old entries only.
            let number = last.as_ref().and_then(|it| records::read::<LastChange>(&it.value).ok());
            let number = number.unwrap_or_default().number.wrapping_add(1);
            let record = self.record(number, &draft);
            let mut compares = conditions.clone();
            compares.push(match &last {
                Some(last) => Compare::Modified(Key::LastChange, last.modified),
                None => Compare::Absent(Key::LastChange),
            });
            let mut all = writes.clone();
            all.push(Write::Put { key: record.key(), value: records::write(&record), lease: None });
            let counted = records::write(&LastChange { number });
            all.push(Write::Put { key: Key::LastChange, value: counted, lease: None });
            let transaction = Transaction { compares, writes: all };
            match store::transact(&self.client, &self.prefix, &transaction).await {
                Ok(Outcome::Done { revision }) => return Ok(revision),
                Ok(_) => {}
                Err(error) if error.is_undone() => return Err(Refused::unreachable(error)),
                // The entry in the history tells if it was carried out.
                Err(error) => {
                    let entry = self.entry(&record.key()).await;
                    let entry = entry.ok().flatten();
                    let found = entry.filter(|it| it.value == records::write(&record));
                    return found.map(|it| it.modified).ok_or_else(|| Refused::uncertain(error));
                }
            }
            for condition in &conditions {
                if !self.holds(condition).await? {
                    return Err(match condition {
                        Compare::Modified(Key::LastChange, _) | Compare::Absent(Key::LastChange) => {
                            self.conflict_with_any().await
                        }
                        _ => self.conflict(&draft.object).await,
                    });
                }
            }
            // Only the number was taken by a change of another object.
        }
        Err(Refused::conflict("others change the cluster all the time, so nothing was changed; try again"))
    }

    /// The history of changes, the latest first.
    ///
    /// # Errors
    /// [`Refused`] if etcd does not answer.
    pub async fn changes(&self) -> Result<Vec<ChangeRecord>, Refused> {
        let prefix = changes_prefix(&self.prefix);
        let range = self.client.range(prefix.as_bytes()).await.map_err(Refused::unreachable)?;
        let entries = range.entries.into_iter().map(store::entry);
        let is_change = |path: &str| matches!(Key::from_path(&self.prefix, path), Some(Key::Change(_)));
        let mut changes: Vec<ChangeRecord> =
            entries.filter(|it| is_change(&it.path)).filter_map(|it| records::read(&it.value).ok()).collect();
        changes.sort_by_key(|it| std::cmp::Reverse(it.number));
        Ok(changes)
    }

    fn record(&self, number: u64, draft: &Draft) -> ChangeRecord {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = ChangeRecord {
            number,
            at_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            node: self.own.node.clone(),
            user: self.author.user.clone(),
            from: self.author.from.clone(),
            act: draft.act.to_owned(),
            object: draft.object.clone(),
            details: draft.details.clone(),
        };
        record.bounded()
    }

    async fn holds(&self, condition: &Compare) -> Result<bool, Refused> {
        let (Compare::Absent(key)
        | Compare::Created(key, _)
        | Compare::Modified(key, _)
        | Compare::Present(key)) = condition;
        let entry = self.entry(key).await?;
        Ok(match condition {
            Compare::Absent(_) => entry.is_none(),
            Compare::Created(_, revision) => entry.is_some_and(|it| it.created == *revision),
            Compare::Modified(_, revision) => entry.is_some_and(|it| it.modified == *revision),
            Compare::Present(_) => entry.is_some(),
        })
    }

    /// The refusal of a change of an object that somebody else has changed at the same time.
    pub(super) async fn conflict(&self, object: &str) -> Refused {
        let changes = self.changes().await.unwrap_or_default();
        let last = changes.iter().find(|it| wire::eq_ignore_case(&it.object, object));
        Refused::conflict(match last {
            Some(it) => format!(
                "{object} was changed at the same time, so nothing was changed. The last change: {}",
                sentence(it)
            ),
            None => format!(
                "{object} was changed at the same time, by somebody who wrote to etcd directly, so nothing was changed"
            ),
        })
    }

    /// The refusal of a change whose condition is that the whole cluster stays as it was.
    async fn conflict_with_any(&self) -> Refused {
        let changes = self.changes().await.unwrap_or_default();
        let last = changes.first().map(|it| format!(". The last change: {}", sentence(it)));
        Refused::conflict(format!(
            "the cluster was changed at the same time, so nothing was changed{}",
            last.unwrap_or_default()
        ))
    }

    /// A key with its value. `None` if it does not exist.
    pub(super) async fn entry(&self, key: &Key) -> Result<Option<cluster::protocol::Entry>, Refused> {
        let found = self.client.get(key.to_path(&self.prefix).as_bytes()).await;
        Ok(found.map_err(Refused::unreachable)?.map(store::entry))
    }
}

/// A change as a text for people.
fn sentence(change: &ChangeRecord) -> String {
    let ChangeRecord { user, from, node, act, object, details, .. } = change;
    let at = Timestamp(i64::try_from(change.at_ms).unwrap_or(i64::MAX));
    let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join("; ")) };
    format!("{user} ({from}) on node {node}, {at}: {act} {object}{details}")
}

/// Each failure means that somebody else's change was carried out.
const COMMITS_MAX: usize = 32;
