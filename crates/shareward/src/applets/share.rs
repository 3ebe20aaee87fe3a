//! `net share`: lists, shows, creates, changes and deletes shares.

use std::collections::BTreeMap;
use std::path::Path;

use client::Administration;
use control::{
    ConnectionQuery, EndDrain, Ended, FileQuery, Grant, GrantRight, NewShare, RecheckedConnection, Share,
    ShareChange, ShareKind, number,
};

use super::drain::{self, DRAIN, STRICT, UNDRAIN};
use super::{Applet, Family, Help, command_line};
use crate::administration;
use crate::cli::{self, Format, Options, Switch, Takes, Words};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, RULE, clean_line, columns, labelled, pad};
use crate::prompt::{self, DefaultAnswer};
use crate::wmi::SharedResource;

pub(super) static APPLET: Applet = Applet {
    names: &["share", "shares"],
    family: Family::Net,
    summary: "Show, create, change or delete shares",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET SHARE
sharename
sharename=path [/GRANT:[@]user,{READ | CHANGE | FULL}]...
        [/USERS:n | /UNLIMITED] [/REMARK:\"text\"]
        [/CACHE:{MANUAL | DOCUMENTS | PROGRAMS | NONE}] [/CLUSTER]
sharename [/GRANT:user,right]... [/USERS:n | /UNLIMITED] [/REMARK:\"text\"]
        [/CACHE:{MANUAL | DOCUMENTS | PROGRAMS | NONE}]
{sharename | path} /DELETE [/YES | /NO]
sharename {/DRAIN[:DEADLINE] [/STRICT] | /UNDRAIN | /RECHECK [/YES | /NO]}
[--json[=wmi]]
[--socket PATH | --server NAME [--login USER] [--credentials FILE]
[--kerberos | --ntlm]]
",
    about: "\
Lists the shares of the server, shows one, or creates, changes or deletes one.
Changes are written to the server's configuration file; its comments are kept.
A share whose directory is missing, for example because a disk is not mounted,
is listed with the reason. Clients cannot connect to it until the directory
exists.

  sharename=path  share this directory under this name
  /GRANT          what a user, or with @ a group, may do. Can be repeated; the
                  new grants replace all previous ones. 'Everyone' means every
                  user. A new share without /GRANT grants Everyone READ, as on
                  Windows; other servers may have another default
  /USERS:n        how many connections the share may have at the same time
  /UNLIMITED      any number of connections
  /REMARK         a description that clients see
  /CACHE          what clients may keep as offline copies
  /CLUSTER        make it a share of the server's cluster, which one node owns
                  at a time. Afterwards, it is changed and deleted from any
                  node without this switch
  /DELETE         stop sharing the directory. If files are open, asks first and
                  closes them
  /DRAIN          refuse new opens, and show who has files open. Users who have
                  one may open more, to be able to save, unless /STRICT is
                  given. When the last file is closed, or at DEADLINE (10m, 2h,
                  18:00), the rest is closed; clients can write their changes
                  first. The share stays drained until /UNDRAIN, also after a
                  restart
  /RECHECK        list the connections that have more rights than the grants
                  now give, ask, and take these away: close the files that
                  have more, and end connections that are not allowed at all
  --server        the server to ask; by default, the local one
  --kerberos      log on there only with a Kerberos ticket
  --ntlm          log on there only with a password, by NTLM

Exit codes: 0 success; the number of a system error up to 255, such as 5
(access denied); 2 for all others, such as 2114 (no server is running), 2118
(the name is already shared), 2310 (no such share), or a question answered with
no. The message contains the number.
",
};

const GRANT: Switch = Switch::net("GRANT", Takes::Value);
const USERS: Switch = Switch::net("USERS", Takes::Value);
const UNLIMITED: Switch = Switch::net("UNLIMITED", Takes::Nothing);
const REMARK: Switch = Switch::net("REMARK", Takes::Value);
const CACHE: Switch = Switch::net("CACHE", Takes::Value);
const DELETE: Switch = Switch::net("DELETE", Takes::Nothing);

const RECHECK: Switch = Switch::own("RECHECK", Takes::Nothing);
const CLUSTER: Switch = Switch::own("CLUSTER", Takes::Nothing);

const SWITCHES: &[Switch] = &[
    GRANT,
    USERS,
    UNLIMITED,
    REMARK,
    CACHE,
    DELETE,
    DRAIN,
    UNDRAIN,
    STRICT,
    RECHECK,
    CLUSTER,
    cli::YES,
    cli::NO,
    cli::format::JSON,
];

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let known = [SWITCHES, &cli::TARGET].concat();
    let (words, options) =
        command_line(cli::parse_either(words, &known, |word| Path::new(word).is_dir()), &HELP, console)?;
    let format = Format::of(&words).map_err(usage)?;
    let change = change_of(&words).map_err(usage)?;
    let delete = words.has(&DELETE);
    let changes = change != ShareChange::default();
    let drain = drain::asked(&words).map_err(usage)?;
    let recheck = words.has(&RECHECK);
    if [delete, changes, drain.is_some(), recheck].into_iter().filter(|it| *it).count() > 1 {
        return Err(usage(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)));
    }
    let is_new = words.operands.first().is_some_and(|operand| operand.contains('='));
    if words.has(&CLUSTER) && !is_new {
        return Err(usage(
            Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)
                .hint("/CLUSTER is for a new share: sharename=path. Others are found without it"),
        ));
    }
    let count = || usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER));
    match words.operands.as_slice() {
        [] if delete || changes || drain.is_some() || recheck => Err(count()),
        [] => list(&options, format, console),
        [operand] => {
            let server = administration::of(&options.target)?;
            match operand.split_once('=') {
                Some(_) if delete || drain.is_some() || recheck => {
                    Err(usage(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)))
                }
                Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                    let share = NewShare {
                        name: name.into(),
                        path: path.into(),
                        cluster: words.has(&CLUSTER),
                        settings: change,
                    };
                    let made = administration::run(async { Ok(server.add_share(&share).await?) })?;
                    if share.settings.grants.is_none() && !console.json() {
                        console.error(&ungranted(&made));
                    }
                    done(console, &made, &messages::insert(messages::SHARED, name))
                }
                Some(_) => Err(usage(Numbered::new(messages::SYNTAX_NUMBER))),
                None if recheck => self::recheck(&*server, operand, &options, console),
                None if delete => end(&*server, operand, &options, console),
                None if drain.is_some() => {
                    let scope = EndDrain { share: Some(operand.clone()), client: None };
                    drain.map_or(Ok(()), |asked| drain::carry_out(&*server, &asked, &scope, console))
                }
                None if changes => {
                    let name = operand.as_str();
                    let share = administration::run(async { Ok(server.change_share(name, &change).await?) })?;
                    done(console, &share, messages::COMPLETED)
                }
                None => show(&*server, operand, &options, console),
            }
        }
        _ => Err(count()),
    }
}

fn change_of(words: &Words) -> Result<ShareChange, Numbered> {
    let wrong = |switch: &str| Numbered::new(messages::VALUE_OF_OPTION_NUMBER).about(switch);
    let uses_max = match (words.value(&USERS), words.has(&UNLIMITED)) {
        (Some(_), true) => return Err(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)),
        (Some(number), false) => {
            Some(number.parse().ok().filter(|number| *number > 0).ok_or_else(|| wrong("/USERS"))?)
        }
        (None, true) => Some(0),
        (None, false) => None,
    };
    let caching = match words.value(&CACHE).map(str::to_ascii_lowercase).as_deref() {
        None => None,
        Some("manual") => Some("manual"),
        Some("documents" | "automatic") => Some("documents"),
        Some("programs") => Some("programs"),
        Some("none" | "no") => Some("none"),
        Some("branchcache") => return Err(wrong("/CACHE").hint("this server does not support BranchCache")),
        Some(_) => return Err(wrong("/CACHE")),
    };
    let grants = words.values(&GRANT).map(|value| {
        let (user, right) = value.rsplit_once(',').ok_or_else(|| wrong("/GRANT"))?;
        let right = match right.to_ascii_lowercase().as_str() {
            "read" => GrantRight::Read,
            "change" => GrantRight::Change,
            "full" => GrantRight::Full,
            _ => return Err(wrong("/GRANT")),
        };
        let who = match user.strip_prefix('@') {
            Some(group) => Grant::of_group(group),
            None => Grant::of_user(user),
        };
        if who.who().is_empty() { Err(wrong("/GRANT")) } else { Ok(Grant { right, ..who }) }
    });
    let grants = grants.collect::<Result<Vec<_>, _>>()?;
    Ok(ShareChange {
        comment: words.value(&REMARK).map(str::to_owned),
        uses_max,
        caching: caching.map(str::to_owned),
        read_only: None,
        grants: (!grants.is_empty()).then_some(grants),
    })
}

/// The hint with the permissions of a share that was created without `/GRANT`.
fn ungranted(made: &Share) -> String {
    let grants: Vec<_> = made.grants.iter().flatten().map(permission).collect();
    let may = if grants.is_empty() { String::from("the server's default") } else { grants.join("; ") };
    clean_line(&format!("hint: no /GRANT was given; the permissions are: {may}")) + "\n"
}

fn done(console: &mut Console, share: &Share, text: &str) -> Result<(), Failure> {
    if console.json() {
        return console.document("share", share);
    }
    console.line(&format!("{}\n", clean_line(text)));
    Ok(())
}

fn list(options: &Options, format: Format, console: &mut Console) -> Result<(), Failure> {
    let server = administration::of(&options.target)?;
    let shares = administration::run(async { Ok(server.shares().await?) })?;
    if format == Format::Wmi {
        let shares: Vec<SharedResource> = shares.iter().map(SharedResource::from).collect();
        return console.document("wmi", &BTreeMap::from([("Win32_Share", shares)]));
    }
    if options.json {
        return console.document("shares", &shares);
    }
    if shares.is_empty() {
        console.line(&format!("{}\n", messages::NO_ENTRIES));
        return Ok(());
    }
    let mut text = format!("\n{}\n\n{RULE}\n", row("Share name", "Resource", "Remark"));
    for share in &shares {
        text.push_str(&row(&share.name, share.path.as_deref().unwrap_or_default(), &share.comment));
        text.push('\n');
    }
    let drained = shares.iter().filter_map(|it| Some(format!("{}.\n", drain::sentence(it.drain.as_ref()?))));
    let notes: String = shares.iter().filter_map(away).chain(drained).chain(owners(&shares)).collect();
    if !notes.is_empty() {
        text.push('\n');
        text.push_str(&notes);
    }
    console.write(&text);
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

/// The line about a share whose directory is missing.
fn away(share: &Share) -> Option<String> {
    let why = clean_line(share.away.as_deref()?);
    Some(format!("{} is unavailable: {why}\n", clean_line(&share.name)))
}

/// The lines about shares of a cluster.
fn owners(shares: &[Share]) -> Option<String> {
    let of = |share: &Share| {
        let name = clean_line(&share.name);
        Some(match share.owner.as_deref()? {
            "" => format!("{name} is a share of the cluster, which no node owns at present.\n"),
            node => format!("{name} is a share of the cluster, owned by {}.\n", clean_line(node)),
        })
    };
    Some(shares.iter().filter_map(of).collect::<String>()).filter(|it| !it.is_empty())
}

/// A row of NET's table. A value that does not fit its column moves the next one to a new line.
fn row(name: &str, resource: &str, remark: &str) -> String {
    let mut line = String::new();
    let mut text = String::new();
    for (column, value) in [(0, name), (NAME_WIDTH, resource), (NAME_WIDTH + RESOURCE_WIDTH, remark)] {
        let value = clean_line(value);
        if value.is_empty() {
            continue;
        }
        if columns(&line) + usize::from(column > 0) > column {
            text.push_str(line.trim_end());
            text.push('\n');
            line.clear();
        }
        line = pad(&line, column);
        line.push_str(&value);
    }
    text + line.trim_end()
}

const NAME_WIDTH: usize = 13;
const RESOURCE_WIDTH: usize = 32;

fn show(
    server: &dyn Administration,
    name: &str,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let share = administration::run(async { Ok(server.share(name).await?) })?;
    if options.json {
        return console.document("share", &share);
    }
    let query = ConnectionQuery { share: Some(share.name.clone()), ..ConnectionQuery::default() };
    // Some servers do not report connections; the share is shown without them.
    let users = administration::run(async { Ok(server.connections(&query).await.ok()) })?;
    let mut users: Vec<String> =
        users.into_iter().flatten().map(|it| it.user).filter(|user| !user.is_empty()).collect();
    users.sort();
    users.dedup();
    let limit = share.uses_max.map_or_else(|| messages::NO_LIMIT.to_owned(), |limit| limit.to_string());
    let caching = match share.caching.as_deref() {
        Some("manual") => messages::CACHING_MANUAL,
        Some("documents") => messages::CACHING_DOCUMENTS,
        Some("programs") => messages::CACHING_PROGRAMS,
        Some("none") => messages::CACHING_NONE,
        _ => "",
    };
    let grants = share.grants.iter().flatten().map(permission);
    let text = [
        lines("Share name", std::slice::from_ref(&share.name)),
        lines("Path", &[share.path.clone().unwrap_or_default()]),
        share.away.iter().map(|why| lines("Unavailable", std::slice::from_ref(why))).collect(),
        share.owner.iter().map(|it| lines("Owner", &[owner_text(it)])).collect(),
        share.drain.iter().map(|it| lines("Drain", &[drain::sentence(it)])).collect(),
        lines("Remark", std::slice::from_ref(&share.comment)),
        lines("Maximum users", &[limit]),
        lines("Users", &users),
        lines("Caching", &[caching.to_owned()]),
        lines("Permission", &grants.collect::<Vec<_>>()),
    ];
    console.write(&text.concat());
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

/// The owner of a share of a cluster.
fn owner_text(node: &str) -> String {
    if node.is_empty() {
        String::from("no node at present")
    } else {
        format!("{node} (a share of the cluster)")
    }
}

/// A permission in the form that `/GRANT` takes. `@` precedes only groups without a domain.
fn permission(grant: &Grant) -> String {
    let right = match grant.right {
        GrantRight::Read => "READ",
        GrantRight::Change => "CHANGE",
        GrantRight::Full => "FULL",
        GrantRight::Special => "SPECIAL",
    };
    let group = if grant.group.as_ref().is_some_and(|group| !group.contains('\\')) { "@" } else { "" };
    let denied = if grant.denied { "DENY " } else { "" };
    let mask = grant.mask.as_ref().map(|mask| format!(" ({mask})")).unwrap_or_default();
    format!("{group}{}, {denied}{right}{mask}", grant.who())
}

/// A label and its values, each on a line of its own.
fn lines(label: &str, values: &[String]) -> String {
    let first = values.first().map(String::as_str).unwrap_or_default();
    let more = values.iter().skip(1).map(|value| labelled(LABEL_WIDTH, "", value));
    labelled(LABEL_WIDTH, label, first) + &more.collect::<String>()
}

const LABEL_WIDTH: usize = 18;

fn end(
    server: &dyn Administration,
    operand: &str,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let shares = administration::run(async { Ok(server.shares().await?) })?;
    let same = |share: &&Share| wire::eq_ignore_case(&share.name, operand);
    let by_path = |share: &&Share| share.path.as_deref() == Some(operand) && !share.special;
    let Some(share) = shares.iter().find(same).or_else(|| shares.iter().find(by_path)) else {
        return Err(Numbered::new(number::NET_NAME_NOT_FOUND)
            .hint("a matching share could not be found, so nothing was deleted")
            .into());
    };
    if share.kind == ShareKind::Ipc {
        return Err(Numbered::new(number::ACCESS_DENIED)
            .hint(format!("{} cannot be deleted: commands use its pipes", share.name))
            .into());
    }
    warn(server, share, options, console)?;
    let ended: Ended = administration::run(async { Ok(server.delete_share(&share.name).await?) })?;
    if options.json {
        return console.document("ended", &ended);
    }
    console.line(&format!("{}\n", messages::insert(messages::DELETED, &clean_line(&share.name))));
    Ok(())
}

/// Lists the connections with more rights than the share gives now, asks, and takes these rights away.
fn recheck(
    server: &dyn Administration,
    name: &str,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let found = administration::run(async { Ok(server.recheck(name, false).await?) })?;
    if found.connections.is_empty() {
        if options.json {
            return console.document("recheck", &found);
        }
        console.line("No connection has more rights than the share gives.\n");
        console.line(&format!("{}\n", messages::COMPLETED));
        return Ok(());
    }
    let mut text = String::from("These connections have more rights than the share gives:\n\n");
    for RecheckedConnection { connection, may_return, files } in &found.connections {
        let whose = crate::open_files::by(&connection.user, connection.computer.as_deref());
        let may = if *may_return { "stays connected with fewer rights" } else { "may not connect any more" };
        text.push_str(&clean_line(&format!("{whose}: {may}")));
        text.push('\n');
        for file in files {
            text.push_str(&clean_line(&format!("    {}  {}", file.id, crate::open_files::shown_path(file))));
            text.push('\n');
        }
    }
    text.push_str("\nThese files will be closed, and connections that are not allowed any more ended.\n\n");
    prompt::confirm(console, &text, DefaultAnswer::No, options.preset)?;
    let ended = administration::run(async { Ok(server.recheck(name, true).await?) })?;
    if options.json {
        return console.document("recheck", &ended);
    }
    let (stay, gone): (Vec<_>, Vec<_>) = ended.connections.iter().partition(|it| it.may_return);
    for (connections, what) in [(stay, "reduced"), (gone, "ended")] {
        if !connections.is_empty() {
            let count = crate::open_files::number(connections.len(), "connection", "connections");
            console.line(&format!("{count} {what}.\n"));
        }
    }
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

/// Asks if closing the share would close open files, or if that is unknown.
fn warn(
    server: &dyn Administration,
    share: &Share,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let query = FileQuery { share: Some(share.name.clone()), ..FileQuery::default() };
    let text = match administration::run(async { Ok(server.files(&query).await) })? {
        Ok(files) if files.is_empty() => return Ok(()),
        Ok(_) => messages::insert(messages::SHARE_HAS_FILES, &clean_line(&share.name)),
        Err(_) => format!("It is unknown whether users have open files on {}.", clean_line(&share.name)),
    };
    prompt::confirm(console, &format!("{text}\n\n"), DefaultAnswer::No, options.preset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_does_not_fit_moves_the_next_column_to_a_new_line() {
        for (name, resource, remark, text) in [
            ("C$", r"C:\", "Default share", r"C$           C:\                             Default share"),
            ("IPC$", "", "Remote IPC", "IPC$                                         Remote IPC"),
            (
                "NETLOGON",
                r"C:\Windows\SYSVOL\sysvol\access.offsec\SCRIPTS",
                "Logon server share",
                concat!(
                    "NETLOGON     C:\\Windows\\SYSVOL\\sysvol\\access.offsec\\SCRIPTS\n",
                    "                                             Logon server share"
                ),
            ),
            ("Company Data", "/srv/x", "", "Company Data /srv/x"),
            ("Company Files", "/srv/x", "", "Company Files\n             /srv/x"),
            ("plain", "/srv/plain", "", "plain        /srv/plain"),
        ] {
            assert_eq!(row(name, resource, remark), text, "{name}");
        }
    }
}
