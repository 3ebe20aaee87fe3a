//! `shareward cluster`: the keys of a cluster in etcd.

use std::path::PathBuf;

use control::Timestamp;
use server::cluster_operator::{ChangeRecord, NewShare, Operator, Overview, Refused};

use super::{Applet, Family, Help};
use crate::administration::{self, ServerTarget};
use crate::cli::{self, Switch, Takes};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, clean_line};
use crate::setup;

pub(super) static APPLET: Applet = Applet {
    names: &["cluster"],
    family: Family::Own,
    summary: "Set up a cluster of servers, and move its shares",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD CLUSTER
{INIT | STATUS | SHARE name[=directory] [key=value ...] | DELETE name |
MOVE name node | DRAIN node | UNDRAIN node | HISTORY |
SET setting value | UNSET setting | INVITE | JOIN [invitation] |
LEAVE [/FORCE]} [--config FILE] [--json]
",
    about: "\
Changes or shows the keys of a cluster in etcd, which the [cluster] table of
the configuration names. Each server with such a table is a node of the cluster
from its next start on; a node that stops gives its shares to others.

  INIT      Make the cluster in etcd, once, before the nodes start.
  STATUS    Show the nodes, the shares and their owners.
  SHARE     Share a directory, which all nodes must reach under this path, or
            change a share. Each key is one of a [[share]] table, with its
            value in TOML: continuous=true remark=\"'Plans'\". Two keys are
            those of the cluster: weight=N, and addresses=A,B with addresses
            that move with the share.
  DELETE    Stop sharing a directory. Its files stay.
  MOVE      Have another node own a share.
  DRAIN     Have a node give all its shares to others, and get none.
  UNDRAIN   End that.
  HISTORY   Show the last 1000 changes of the cluster: who made them, when, on
            which node, and what.
  SET       Set a rule for accounts and passwords for all nodes, instead of
            that of their files: lockout_threshold, lockout_duration,
            lockout_window, min_password_length, max_password_age,
            min_password_age or password_history. Or lease_seconds, which
            each node takes at its next start.
  UNSET     Leave a rule to the files of the nodes again.
  INVITE    Print an invitation for a new node, which is valid for one node and
            an hour. It has the key to the secret of the cluster.
  JOIN      Make this machine a node, with an invitation: the operand, or a
            line of standard input. Checks that no other node has its name.
  LEAVE     Have the server of this machine give its shares to others, end its
            membership, and remove what the machine has of the cluster. Remove
            [cluster] from the configuration before the server starts again.
  /FORCE    Leave even if no other node can own its shares.
  --config  The configuration file; by default, the one that 'shareward serve'
            reads.
  --json    Print one JSON document.
",
};

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let words = cli::parse(words, &[setup::CONFIG, cli::JSON, FORCE]).map_err(usage)?;
    let operands: Vec<&str> = words.operands.iter().map(String::as_str).collect();
    let (verb, rest) =
        operands.split_first().ok_or_else(|| usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)))?;
    let act = act_of(&verb.to_ascii_lowercase(), rest)
        .ok_or_else(|| usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)))?;
    let act = match act {
        Act::Leave(_) => Act::Leave(words.has(&FORCE)),
        _ if words.has(&FORCE) => return Err(usage(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER))),
        Act::Join(invitation) if invitation.is_empty() => {
            Act::Join(console.answer().unwrap_or_default().trim().to_owned())
        }
        act => act,
    };
    if words.has(&cli::JSON) {
        console.set_json();
    }
    let settings = setup::read(&setup::config_path(words.value(&setup::CONFIG)))?;
    let failed = |error: Refused| Failure::Plain(clean_line(&error.to_string()));
    let socket = settings.control_socket.clone();
    let operator = Operator::new(settings).map_err(failed)?;
    if let Act::Leave(force) = act {
        leave(&operator, socket, force)?;
    }
    let done = administration::run(async { carry_out(&operator, act).await.map_err(failed) })?;
    match done {
        Done::Shown(overview) if words.has(&cli::JSON) => console.document("cluster", &overview)?,
        Done::Shown(overview) => console.write(&text(&overview)),
        Done::Changed(changes) if words.has(&cli::JSON) => {
            console.document("changes", &changes.iter().map(ShownChange::from).collect::<Vec<_>>())?;
        }
        Done::Changed(changes) => console.write(&history(&changes)),
        Done::Said(said) if words.has(&cli::JSON) => console.document("cluster", &Said { done: said })?,
        Done::Said(said) => console.write(&format!("{said}\n")),
    }
    Ok(())
}

const FORCE: Switch = Switch::own("FORCE", Takes::Nothing);

/// Has the server of this machine end its membership, if it has one at present.
fn leave(operator: &Operator, socket: Option<PathBuf>, force: bool) -> Result<(), Failure> {
    let refused = |error: Refused| Failure::Plain(clean_line(&error.to_string()));
    let overview = administration::run(async { operator.overview().await.map_err(refused) })?;
    if !overview.nodes.iter().any(|it| it.joined && it.name == overview.node) {
        return Ok(());
    }
    let server = administration::of(&ServerTarget { socket, ..ServerTarget::default() })?;
    administration::run(async { Ok(server.leave_cluster(force).await?) }).map(drop)
}

/// A verb with its operands.
enum Act {
    Delete(String),
    Drain(String, bool),
    History,
    Init,
    Invite,
    Join(String),
    Leave(bool),
    Set(String, Option<u32>),
    Move(String, String),
    Share(NewShare),
    Status,
}

enum Done {
    Changed(Vec<ChangeRecord>),
    Said(String),
    Shown(Overview),
}

#[derive(serde::Serialize)]
struct Said {
    done: String,
}

/// The act of a command line. Returns `None` if its operands are not those of the verb.
fn act_of(verb: &str, operands: &[&str]) -> Option<Act> {
    let text = |it: &&str| String::from(*it);
    Some(match (verb, operands) {
        ("history", []) => Act::History,
        ("init", []) => Act::Init,
        ("set", [key, value]) => Act::Set(text(key), Some(value.parse().ok()?)),
        ("unset", [key]) => Act::Set(text(key), None),
        ("invite", []) => Act::Invite,
        ("join", []) => Act::Join(String::new()),
        ("join", [invitation]) => Act::Join(text(invitation)),
        ("leave", []) => Act::Leave(false),
        ("status", []) => Act::Status,
        ("delete", [name]) => Act::Delete(text(name)),
        ("move", [name, node]) => Act::Move(text(name), text(node)),
        ("drain", [node]) => Act::Drain(text(node), true),
        ("undrain", [node]) => Act::Drain(text(node), false),
        ("share", [what, keys @ ..]) => {
            let (name, path) = match what.split_once('=') {
                Some((name, path)) => (name, Some(path.into())),
                None => (*what, None),
            };
            let mut share = NewShare { name: name.to_owned(), path, ..NewShare::default() };
            for key in keys {
                let (key, value) = key.split_once('=')?;
                match key {
                    "weight" => share.weight = Some(value.parse().ok()?),
                    "addresses" => {
                        let list = value.split(',').filter(|it| !it.is_empty());
                        share.addresses = Some(list.map(|it| it.parse().ok()).collect::<Option<_>>()?);
                    }
                    _ => share.keys.push((key.to_owned(), value.to_owned())),
                }
            }
            Act::Share(share)
        }
        _ => return None,
    })
}

async fn carry_out(operator: &Operator, act: Act) -> Result<Done, Refused> {
    Ok(Done::Said(match act {
        Act::Status => return Ok(Done::Shown(operator.overview().await?)),
        Act::History => return Ok(Done::Changed(operator.changes().await?)),
        Act::Invite => operator.invite().await?,
        Act::Join(invitation) => {
            let node = operator.join(&invitation).await?;
            format!("{node} is a node of the cluster from the next start of its server on.")
        }
        Act::Set(key, value) => match (operator.set(&key, value).await?, value) {
            (true, Some(value)) => format!("All nodes have {key} = {value}."),
            (true, None) => format!("{key} is that of the file of each node."),
            (false, _) => format!("{} was so already.", clean_line(&key)),
        },
        Act::Leave(_) => {
            operator.forget().await?;
            String::from(
                "This machine has left the cluster. Remove [cluster] from its configuration before its server starts again.",
            )
        }
        Act::Init => format!("The cluster was made. Its id is {}.", operator.init().await?),
        Act::Share(share) => {
            format!("The cluster shares {}.", clean_line(&operator.define(&share).await?))
        }
        Act::Delete(name) => {
            operator.delete(&name).await?;
            format!("The cluster does not share {} any more.", clean_line(&name))
        }
        Act::Move(name, node) => {
            operator.move_share(&name, &node).await?;
            format!("{} moves to {}.", clean_line(&name), clean_line(&node))
        }
        Act::Drain(node, true) => {
            operator.drain(&node, true).await?;
            format!("{} gives its shares to other nodes.", clean_line(&node))
        }
        Act::Drain(node, false) => {
            operator.drain(&node, false).await?;
            format!("{} gets shares again.", clean_line(&node))
        }
    }))
}

fn text(overview: &Overview) -> String {
    let mut rows = vec![["Node", "State", "Shares", "Weight", "Addresses"].map(String::from).to_vec()];
    for node in &overview.nodes {
        let state = match (node.joined, node.draining) {
            (false, _) => "away, draining",
            (true, true) => "draining",
            (true, false) => "joined",
        };
        rows.push(vec![
            clean_line(&node.name),
            state.to_owned(),
            node.shares.to_string(),
            node.weight.to_string(),
            clean_line(&node.addresses.join(" ")),
        ]);
    }
    let mut shares = vec![["Share", "Owner", "Moves to", "Weight", "Directory"].map(String::from).to_vec()];
    for share in &overview.shares {
        shares.push(vec![
            clean_line(&share.name),
            clean_line(share.owner.as_deref().unwrap_or("-")),
            clean_line(share.moves_to.as_deref().unwrap_or("-")),
            share.weight.to_string(),
            clean_line(&share.path),
        ]);
    }
    let mut addresses = vec![["Address", "Share", "Held by"].map(String::from).to_vec()];
    for share in &overview.shares {
        for address in &share.addresses {
            let owner = share.owner.as_deref().unwrap_or("-");
            addresses.push([address, &share.name, owner].map(clean_line).to_vec());
        }
    }
    let id = overview.id.as_deref().unwrap_or("not made yet");
    let mut text = format!("Cluster {}, id {}\n\n", clean_line(&overview.name), clean_line(id));
    text.push_str(&aligned(&rows));
    text.push('\n');
    text.push_str(&aligned(&shares));
    for (key, value) in &overview.settings {
        text.push_str(&format!("\nsetting {} = {value}", clean_line(key)));
    }
    if !overview.settings.is_empty() {
        text.push('\n');
    }
    if addresses.len() > 1 {
        text.push('\n');
        text.push_str(&aligned(&addresses));
    }
    for share in &overview.shares {
        if let Some(fault) = &share.fault {
            text.push_str(&format!("\nfault of {}: {}\n", clean_line(&share.name), clean_line(fault)));
        }
    }
    for ignored in &overview.ignored {
        text.push_str(&format!("\nignored key {}\n", clean_line(ignored)));
    }
    text
}

/// The history of changes, a line for each change and one for each field.
fn history(changes: &[ChangeRecord]) -> String {
    let mut text = String::new();
    for change in changes {
        let at = Timestamp(i64::try_from(change.at_ms).unwrap_or(i64::MAX));
        let ChangeRecord { user, from, node, act, object, .. } = change;
        text.push_str(&clean_line(&format!("{at}  {user} ({from}) on {node}: {act} {object}")));
        text.push('\n');
        for detail in &change.details {
            text.push_str(&format!("    {}\n", clean_line(detail)));
        }
    }
    if text.is_empty() { format!("{}\n", messages::NO_ENTRIES) } else { text }
}

/// A change in JSON.
#[derive(serde::Serialize)]
struct ShownChange<'a> {
    number: u64,
    at: Timestamp,
    node: &'a str,
    user: &'a str,
    from: &'a str,
    act: &'a str,
    object: &'a str,
    details: &'a [String],
}

impl<'a> From<&'a ChangeRecord> for ShownChange<'a> {
    fn from(it: &'a ChangeRecord) -> Self {
        Self {
            number: it.number,
            at: Timestamp(i64::try_from(it.at_ms).unwrap_or(i64::MAX)),
            node: it.node.as_str(),
            user: &it.user,
            from: &it.from,
            act: &it.act,
            object: &it.object,
            details: &it.details,
        }
    }
}

/// Lines with columns of equal width.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column)));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_keys_of_its_table() {
        let Some(Act::Share(share)) = act_of("share", &["Data", "addresses=192.0.2.9,2001:db8::9"]) else {
            panic!()
        };
        assert_eq!(share.addresses.unwrap().len(), 2);
        let Some(Act::Share(share)) =
            act_of("share", &["Data=/srv/data", "continuous=true", "remark='a=b'", "weight=3"])
        else {
            panic!()
        };
        assert_eq!((share.name.as_str(), share.weight), ("Data", Some(3)));
        assert_eq!(share.keys[1], (String::from("remark"), String::from("'a=b'")));
        for wrong in [
            &["share"][..],
            &["share", "a", "b"],
            &["share", "a", "weight=x"],
            &["share", "a", "addresses=x"],
            &["move", "a"],
            &["x"],
        ] {
            assert!(act_of(wrong[0], &wrong[1..]).is_none(), "{wrong:?}");
        }
    }
}
