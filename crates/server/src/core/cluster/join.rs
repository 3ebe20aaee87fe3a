//! A new node: it gets the secret of the cluster by an invitation, which one of the others makes. etcd has the secret in it,
//! but only the new node gets the key: the text of the invitation.

use std::time::Duration;

use cluster::ids::{LeaseId, NodeName};
use cluster::keys::Key;
use cluster::protocol::{Compare, Entry, Write};
use cluster::records::{self, NodeRecord, SealedRecord};

use super::changes::Draft;
use super::operator::{Operator, Refused};
use super::secret::Secret;
use super::users::OTHER_SECRET;

/// The text of an invitation: `CLUSTER.ID.KEY`.
pub(super) struct Invitation {
    cluster: NodeName,
    id: NodeName,
    key: Secret,
}

impl Invitation {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(3, '.');
        let cluster = NodeName::new(parts.next()?).ok()?;
        let id = NodeName::new(parts.next()?).ok()?;
        Some(Self { cluster, id, key: Secret::parse(parts.next()?)? })
    }

    pub(super) fn text(&self) -> String {
        format!("{}.{}.{}", self.cluster, self.id, *self.key.text())
    }
}

impl Operator {
    /// Makes an invitation, which one node can use within an hour, and returns its text. The first one of a cluster that has
    /// no secret makes that.
    ///
    /// # Errors
    /// [`Refused`] if this server does not have the secret that others have, or etcd does not answer.
    pub async fn invite(&self) -> Result<String, Refused> {
        let (schema, cluster) = self.schema_and_id().await?;
        let secret = match self.entry(&Key::Secret).await? {
            Some(_) => self.secret().await?,
            None => self.make_secret(schema).await?,
        };
        let key = Secret::random().map_err(Refused::invalid)?;
        let id = key.mark().chars().take(16).collect::<String>();
        let id = NodeName::new(&id).map_err(Refused::invalid)?;
        let invitation = Invitation { cluster: self.own.name.clone(), id, key };
        let at = Key::Invite(invitation.id.clone());
        let sealed = invitation.key.seal(&cluster, &at.to_path(&self.prefix), &secret.text());
        let sealed = sealed.map_err(Refused::invalid)?;
        let lease = self.client.grant(INVITATION_LASTS).await.map_err(Refused::unreachable)?;
        let value = records::write(&SealedRecord { sealed });
        let writes = vec![Write::Put { key: at.clone(), value, lease: Some(LeaseId(lease.lease)) }];
        let draft = Draft::new("invite node", &invitation.id);
        self.commit(schema, vec![Compare::Absent(at)], writes, draft).await?;
        Ok(invitation.text())
    }

    /// Makes this server a node of the cluster: it gets the secret, and its name is free. Returns the name of the node.
    ///
    /// # Errors
    /// [`Refused`] if the invitation is not valid any more, another node has the name, the settings lack what a node needs, or
    /// etcd does not answer.
    pub async fn join(&self, invitation: &str) -> Result<String, Refused> {
        let invitation = Invitation::parse(invitation).ok_or_else(|| {
            Refused::invalid("this is no invitation: 'shareward cluster invite' on a node makes one")
        })?;
        let own = &self.own;
        if invitation.cluster != own.name {
            let (theirs, ours) = (&invitation.cluster, &own.name);
            return Err(Refused::invalid(format!(
                "the invitation is for the cluster {theirs}, and [cluster] here has the name {ours}"
            )));
        }
        if own.addresses.is_empty() {
            return Err(Refused::invalid(
                "[cluster] has no addresses: clients could not be led to this node",
            ));
        }
        if let Some(missing) = own.paths.iter().find(|path| !path.is_dir()) {
            let missing = missing.display();
            return Err(Refused::invalid(format!("{missing} of 'paths' in [cluster] is no directory here")));
        }
        let (schema, cluster) = self.schema_and_id().await?;
        // The server of this machine may be a member already, to which the secret is new.
        let addresses: Vec<String> = own.addresses.iter().map(ToString::to_string).collect();
        let member = self.entry(&Key::Node(own.node.clone())).await?;
        let is_other =
            |it: Entry| records::read::<NodeRecord>(&it.value).is_ok_and(|it| it.addresses != addresses);
        if member.is_some_and(is_other) {
            return Err(Refused::exists(format!(
                "another node of the cluster is called {}: set another 'node' in [cluster]",
                own.node
            )));
        }
        let at = Key::Invite(invitation.id.clone());
        let entry = self.entry(&at).await?;
        let entry =
            entry.ok_or_else(|| Refused::invalid("the invitation was used, or it is older than an hour"))?;
        let record: SealedRecord = records::read(&entry.value).map_err(Refused::invalid)?;
        let text = invitation.key.open(&cluster, &entry.path, &record.sealed);
        let text = text.map_err(|_| Refused::invalid("the invitation is not that of this cluster"))?;
        let secret = Secret::parse(&text).ok_or_else(|| Refused::invalid("the invitation has no secret"))?;
        let mark = self.entry(&Key::Secret).await?;
        if mark.is_none_or(|mark| mark.value != secret.mark().into_bytes()) {
            return Err(Refused::invalid(OTHER_SECRET));
        }
        let conditions = vec![Compare::Modified(at.clone(), entry.modified)];
        let draft = Draft::new("join node", &own.node);
        self.commit(schema, conditions, vec![Write::Delete(at)], draft).await?;
        // Of two nodes with one invitation, the other one has none of this.
        let directory = &self.settings.state_directory;
        let stored = secret.store(directory, &own.name);
        let stored = stored
            .and_then(|()| super::secret::store(directory, &super::agent::id_file(&own.name), &cluster));
        stored
            .map_err(|error| Refused::invalid(format!("{error}; the invitation is used up: make another")))?;
        // The secret is not that of a cluster whose making this machine has begun.
        self.finish(&cluster)?;
        Ok(own.node.to_string())
    }

    /// Removes what this machine has of the cluster, and the drain of its node. It must not be a member at present.
    ///
    /// # Errors
    /// [`Refused`] if it is a member, or etcd does not answer.
    pub async fn forget(&self) -> Result<(), Refused> {
        let schema = self.schema().await?;
        let node = &self.own.node;
        // The server revokes the lease as the last act of its membership, or it ends by itself.
        let waited = std::time::Instant::now();
        let lease = self.settings().await.ok().and_then(|it| it.lease()).unwrap_or_default();
        let lease = lease.max(self.own.timing.ttl);
        while self.entry(&Key::Node(node.clone())).await?.is_some() {
            if waited.elapsed() < lease.saturating_mul(2) {
                tokio::time::sleep(FORGET_POLL).await;
                continue;
            }
            return Err(Refused::invalid(format!(
                "{node} is still a member of the cluster: stop its server"
            )));
        }
        let writes = vec![Write::Delete(Key::Drain(node.clone()))];
        let conditions = vec![Compare::Absent(Key::Node(node.clone()))];
        self.commit(schema, conditions, writes, Draft::new("leave", node)).await?;
        let own = &self.own.name;
        let files =
            [super::agent::id_file(own), super::secret::file(own), super::secret::unfinished_file(own)];
        for file in files {
            match std::fs::remove_file(self.settings.state_directory.join(&file)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Refused::invalid(format!(
                        "cannot remove {file} of the state directory: {error}"
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes the secret of a cluster that has none.
    async fn make_secret(&self, schema: cluster::ids::Revision) -> Result<Secret, Refused> {
        let secret = self.new_secret(NO_MARK, None)?;
        let value = secret.mark().into_bytes();
        let writes = vec![Write::Put { key: Key::Secret, value, lease: None }];
        let draft = Draft::new("make secret", &self.own.name);
        let made = self.commit(schema, vec![Compare::Absent(Key::Secret)], writes, draft).await;
        self.keep_secret_of(secret.clone(), made)?;
        Ok(secret)
    }
}

const FORGET_POLL: Duration = Duration::from_millis(100);

/// Another node makes an invitation, and an administrator carries it to the new one.
const INVITATION_LASTS: Duration = Duration::from_secs(3600);

const NO_MARK: &str = "this server has a secret of a cluster, but etcd does not know of one: was the cluster made anew? Then remove the file \
     cluster-NAME.secret of the state directory on each node";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invitations_are_one_word() {
        let cluster = NodeName::new("office").unwrap();
        let id = NodeName::new("0123456789abcdef").unwrap();
        let text = Invitation { cluster, id, key: Secret::random().unwrap() }.text();
        let read = Invitation::parse(&format!(" {text}\n")).unwrap();
        assert_eq!(read.text(), text);
        for wrong in ["", "office", "office.a", "office.a.b", "Office.a.b", &text[1..text.len() - 1]] {
            assert!(Invitation::parse(wrong).is_none(), "{wrong}");
        }
    }
}
