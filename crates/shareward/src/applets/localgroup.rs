//! `net localgroup`: the server's groups and their members.

use client::Administration;
use control::{GroupChange, NewGroup, number};

use super::accounts::{done, heading};
use super::{Applet, Family, Help, command_line};
use crate::administration;
use crate::cli::{self, Options, Switch, Takes};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, RULE, clean_line, labelled};

pub(super) static APPLET: Applet = Applet {
    names: &["localgroup"],
    family: Family::Net,
    summary: "Show, add, change or delete groups of the server",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET LOCALGROUP
[groupname [/COMMENT:\"text\"]]
groupname {/ADD [/COMMENT:\"text\"] | /DELETE}
groupname name [...] {/ADD | /DELETE}
[--json]
[--socket PATH | --server NAME [--login USER] [--credentials FILE]
[--kerberos | --ntlm]]
",
    about: "\
Lists the groups of the server, shows one with its members, adds or deletes
one, or changes its members. Grants and roles can name these groups.

  groupname     the group. Every machine has some, such as Administrators and
                Users, whose members other settings determine
  name          a user or a group to add to it or to remove from it: an account
                of the server, DOMAIN\\name, or a Unix group
  /ADD          add the group, or the members
  /DELETE       delete the group, or remove the members. Grants for a deleted
                group stay, and are for nobody
  /COMMENT      the comment of the group

With --server, groups of Samba and Windows, too. Samba adds groups only while
its winbindd runs; several members are added one after the other there.

A member gains or loses rights of an administrator at once, and those of a
share at the next connection to it. 'net share NAME /recheck' ends connections
with more rights.

Exit codes: 0 success; 5 access denied; 2 for all others, such as 1376 (no such
group), 1377 (not a member), 1378 (already a member), 1379 (the group exists,
or a Unix group of that name), 1387 (no such user or group), 2114 (no server is
running), or 2224 (an account has that name). The message contains the number.
",
};

const ADD: Switch = Switch::net("ADD", Takes::Nothing);
const COMMENT: Switch = Switch::net("COMMENT", Takes::Value);
const DELETE: Switch = Switch::net("DELETE", Takes::Nothing);

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |number| Failure::Usage { error: Numbered::new(number), help: &HELP };
    let switches = [ADD, COMMENT, DELETE];
    let (words, options) = command_line(cli::parse(words, &cli::asking(&switches)), &HELP, console)?;
    let comment = words.value(&COMMENT).map(str::to_owned);
    let (add, delete) = (words.has(&ADD), words.has(&DELETE));
    if delete && (add || comment.is_some()) {
        return Err(usage(messages::CONFLICTING_OPTIONS_NUMBER));
    }
    let server = administration::of(&options.target)?;
    let change = |change: GroupChange, name: &str, console: &mut Console| {
        let group = administration::run(async { Ok(server.change_group(name, &change).await?) });
        done("group", &group?, &options, console)
    };
    match words.operands.as_slice() {
        [] if add || delete || comment.is_some() => Err(usage(messages::ARGUMENT_COUNT_NUMBER)),
        [] => list(&*server, &options, console),
        [name] if add => {
            let new = NewGroup { name: name.to_owned(), comment: comment.unwrap_or_default() };
            let added = administration::run(async { Ok(server.add_group(&new).await) })?;
            let group = added.map_err(|error| match error.number() {
                number::ALIAS_EXISTS => Failure::from(Numbered::new(number::ALIAS_EXISTS).hint(
                    "the server has this group, or a Unix group of this name, which grants mean already",
                )),
                _ => Failure::from(error),
            })?;
            done("group", &group, &options, console)
        }
        [name] if delete => {
            let group = administration::run(async { Ok(server.delete_group(name).await?) })?;
            done("group", &group, &options, console)
        }
        [name] if comment.is_some() => {
            change(GroupChange { comment, ..GroupChange::default() }, name, console)
        }
        [name] => show(&*server, name, &options, console),
        [_, ..] if comment.is_some() => Err(usage(messages::CONFLICTING_OPTIONS_NUMBER)),
        [name, members @ ..] if add => {
            change(GroupChange { add: members.to_vec(), ..GroupChange::default() }, name, console)
        }
        [name, members @ ..] if delete => {
            change(GroupChange { remove: members.to_vec(), ..GroupChange::default() }, name, console)
        }
        [_, ..] => Err(usage(messages::ARGUMENT_COUNT_NUMBER)),
    }
}

fn list(server: &dyn Administration, options: &Options, console: &mut Console) -> Result<(), Failure> {
    let groups = administration::run(async { Ok(server.groups().await?) })?;
    if options.json {
        return console.document("groups", &groups);
    }
    let mut text = heading("Aliases for", server, options);
    for group in &groups {
        text.push_str(&format!("*{}\n", clean_line(&group.name)));
    }
    console.write(&text);
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

fn show(
    server: &dyn Administration,
    name: &str,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let groups = administration::run(async { Ok(server.groups().await?) })?;
    let group = groups.into_iter().find(|group| wire::eq_ignore_case(&group.name, name));
    let group = group.ok_or_else(|| Numbered::new(number::NO_SUCH_ALIAS))?;
    if options.json {
        return console.document("group", &group);
    }
    let head = [("Alias name", &group.name), ("Comment", &group.comment)];
    let mut text: String = head.iter().map(|(label, value)| labelled(LABEL_WIDTH, label, value)).collect();
    text.push_str(&format!("\nMembers\n\n{RULE}\n"));
    for member in &group.members {
        text.push_str(&format!("{}\n", clean_line(&member.name)));
    }
    console.write(&text);
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

const LABEL_WIDTH: usize = 15;
