//! `net view`: shows the shares of a server.

use control::Share;

use super::{Applet, Family, Help, command_line};
use crate::administration;
use crate::cli::{self, Switch, Takes};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, RULE, clean_line, columns, pad};

pub(super) static APPLET: Applet = Applet {
    names: &["view"],
    family: Family::Net,
    summary: "Show the shares of a server",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET VIEW
\\\\computername [/ALL] [/CACHE] [--json]
[--login USER] [--credentials FILE] [--kerberos | --ntlm]
",
    about: "\
Shows the shares of a computer.

  \\\\computername  the computer's name or address, as \\\\name:port if the port is
                  not 445. The same as --server computername
  --kerberos      log on only with a Kerberos ticket
  --ntlm          log on only with a password, by NTLM
  /ALL            include hidden shares
  /CACHE          show what clients may keep as offline copies

Lists of servers are not supported: the Computer Browser service, which
provided them, no longer exists.

Exit codes: 0 success; the number of a system error up to 255, such as 5
(access denied) or 53 (the computer was not found); 2 for all others, such as
1326 (wrong user name or password). The message contains the number.
",
};

const ALL: Switch = Switch::net("ALL", Takes::Nothing);
const CACHE: Switch = Switch::net("CACHE", Takes::Nothing);

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let (words, mut options) = command_line(cli::parse(words, &cli::asking(&[ALL, CACHE])), &HELP, console)?;
    options.target.named_by(&words.operands).map_err(usage)?;
    if options.target == administration::ServerTarget::default() {
        return Err(Numbered::new(control::number::NO_BROWSER_SERVERS_FOUND)
            .hint("'net view //NAME' shows what one server offers")
            .into());
    }
    let server = administration::of(&options.target)?;
    let (shares, comment) = administration::run(async {
        // The comment is optional: a server that refuses it is still shown.
        Ok((server.shares().await?, server.server().await.map(|it| it.comment).unwrap_or_default()))
    })?;
    let all = words.has(&ALL);
    let seen = |share: &Share| all || !(share.special || share.name.ends_with('$'));
    let shares: Vec<Share> = shares.into_iter().filter(seen).collect();
    if options.json {
        return console.document("shares", &shares);
    }
    if shares.is_empty() {
        console.line(&format!("{}\n", messages::NO_ENTRIES));
        return Ok(());
    }
    let name = administration::shown_name(&options.target).unwrap_or_else(|| String::from("localhost"));
    console.write(&format!(
        "Shared resources at {}\n\n{}\n\n",
        clean_line(&format!(r"\\{name}")),
        clean_line(&comment)
    ));
    console.write(&table(&shares, words.has(&CACHE)));
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

/// A table in NET's layout: each column is as wide as its widest value, plus two.
fn table(shares: &[Share], caching: bool) -> String {
    let third = if caching { "Cache" } else { "Used as" };
    let titles = ["Share name", "Type", third, "Comment"].map(str::to_owned);
    let rows: Vec<[String; 4]> = shares
        .iter()
        .map(|share| {
            let third = if caching { share.caching.clone().unwrap_or_default() } else { String::new() };
            [
                clean_line(&share.name),
                messages::kind(share.kind).to_owned(),
                clean_line(&third),
                clean_line(&share.comment),
            ]
        })
        .collect();
    let width = |index: usize| {
        let values = rows.iter().chain([&titles]).filter_map(|row| row.get(index));
        values.map(|value| columns(value)).max().unwrap_or_default() + 2
    };
    let widths: Vec<usize> = (0..4).map(width).collect();
    let line = |row: &[String; 4]| {
        let cells = row.iter().zip(&widths).map(|(value, width)| pad(value, *width));
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    let mut text = format!("{}\n{RULE}\n", line(&titles));
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text
}
