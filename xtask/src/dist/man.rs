//! The manual pages. Those of the commands are made from the help that the program prints, so that both say the same.

use std::io;
use std::path::Path;

use super::roff::{self, Block};
use crate::shell;

/// A manual page.
#[derive(Debug)]
pub(crate) struct Page {
    /// The name, with a prefix, because Samba has a net(8).
    pub(crate) name: String,
    pub(crate) section: u8,
    pub(crate) roff: String,
}

/// A command, as the list of commands shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) name: String,
    pub(crate) summary: String,
    /// True for the commands of NET.
    pub(crate) net: bool,
}

/// The headings of the two lists in the output of `shareward help`.
const OWN_HEADING: &str = "shareward command";
const NET_HEADING: &str = "Also available as";

/// The pages of the program and of all its commands, from the help of `program`, and that of the configuration file.
pub(crate) fn pages(program: &Path, settings: &str, release: &Release<'_>) -> io::Result<Vec<Page>> {
    let commands = commands(&help(program, &["help"])?);
    if !commands.iter().any(|command| command.net) || commands.iter().all(|command| command.net) {
        return Err(io::Error::other("the list of commands in `shareward help` cannot be read"));
    }
    let mut pages = vec![overview(&commands, release)];
    for command in &commands {
        let text = help(program, &command.help_words())?;
        pages.push(command_page(command, &commands, &text, release));
    }
    pages.push(Page {
        name: "shareward.toml".into(),
        section: 5,
        roff: super::settings::page(settings, release),
    });
    Ok(pages)
}

/// The version and the date in the pages.
pub(crate) struct Release<'a> {
    pub(crate) version: &'a str,
    /// As `2026-01-31`.
    pub(crate) date: &'a str,
}

impl Command {
    /// The name of the page. A command of NET whose name our own has, too, keeps `net` in its name.
    pub(crate) fn page(&self, commands: &[Self]) -> String {
        let both = commands.iter().any(|other| other.name == self.name && other.net != self.net);
        let family = if self.net && both { "net-" } else { "" };
        format!("shareward-{family}{}", self.name)
    }

    /// The words that print the help.
    pub(crate) fn help_words(&self) -> Vec<&str> {
        if self.net { vec!["net", "help", &self.name] } else { vec!["help", &self.name] }
    }
}

/// The output of the program.
pub(crate) fn help(program: &Path, words: &[&str]) -> io::Result<String> {
    let mut command = shell::command(&program.display().to_string(), words);
    // The answers of a server on this machine have no place in a page.
    command.env_clear();
    shell::output(command)
        .ok_or_else(|| io::Error::other(format!("`{} {}` failed", program.display(), words.join(" "))))
}

/// The commands in the output of `shareward help`.
pub(crate) fn commands(overview: &str) -> Vec<Command> {
    let mut net = None;
    let mut found = Vec::new();
    for line in overview.lines() {
        if line.starts_with(OWN_HEADING) {
            net = Some(false);
        } else if line.starts_with(NET_HEADING) {
            net = Some(true);
        } else if let (Some(net), Some(entry)) = (net, line.strip_prefix("    "))
            && let Some((name, summary)) = entry.split_once(' ')
        {
            found.push(Command { name: name.into(), summary: summary.trim().into(), net });
        }
    }
    found
}

fn overview(commands: &[Command], release: &Release<'_>) -> Page {
    let mut text = title("shareward", 8, release, "SMB file server with the net commands");
    text += &roff::blocks(&[
        Block::Heading("SYNOPSIS".into()),
        Block::Verbatim(vec!["shareward command [arguments]".into(), "net command [arguments]".into()]),
        Block::Heading("DESCRIPTION".into()),
        Block::Paragraph(
            "Shareward serves directories to SMB clients, always knows who is connected and what is open, and has the \
             commands that show this and act on it. The commands also work with a Samba, ksmbd or NFS server on this \
             machine and, over the network, with Windows and other servers."
                .into(),
        ),
        Block::Paragraph(
            "'shareward help COMMAND' prints the text of a command's page. The pages begin with shareward-, because \
             other programs have a net(8), too."
                .into(),
        ),
    ]);
    for (net, heading) in [(false, "COMMANDS"), (true, "NET COMMANDS")] {
        text += &roff::blocks(&[Block::Heading(heading.into())]);
        if net {
            text += &roff::blocks(&[Block::Paragraph(
                "These are called as 'net command' or as 'shareward command'. Where a command above has the same \
                 name, 'shareward net command' is the one of this list."
                    .into(),
            )]);
        }
        for command in commands.iter().filter(|command| command.net == net) {
            let page = command.page(commands);
            text += &roff::blocks(&[Block::Item(
                format!("{}(8)", page),
                format!("{}.", command.summary.trim_end_matches('.')),
            )]);
        }
    }
    let files = [
        ("/etc/shareward/shareward.toml", "The configuration of the server: shareward.toml(5)."),
        ("/etc/shareward/users", "The accounts, in Samba's smbpasswd format: shareward-user(8)."),
        ("/var/lib/shareward", "The state that lasts: the SID of the machine, locked accounts, ids."),
        ("/run/shareward/control.sock", "The socket through which the commands reach the server."),
        (
            "/usr/lib/shareward/bin",
            "The program under its other names. Put it into PATH to type 'net session'.",
        ),
    ];
    text += &roff::blocks(&[Block::Heading("FILES".into())]);
    for (path, about) in files {
        text += &roff::blocks(&[Block::Item(path.into(), about.into())]);
    }
    let environment = [
        ("SHAREWARD_LOG", "The level of the server's log: error, warn, info, debug or trace."),
        ("SHAREWARD_SOCKET", "The socket of the server that the commands use, instead of the default."),
        ("SHAREWARD_PASSWORD", "The password for another server, if the command line has none."),
    ];
    text += &roff::blocks(&[Block::Heading("ENVIRONMENT".into())]);
    for (name, about) in environment {
        text += &roff::blocks(&[Block::Item(name.into(), about.into())]);
    }
    text += &see_also(&["shareward.toml(5)".to_owned(), "smbstatus(1)".to_owned()]);
    Page { name: "shareward".into(), section: 8, roff: text }
}

fn command_page(command: &Command, commands: &[Command], help: &str, release: &Release<'_>) -> Page {
    let name = command.page(commands);
    // The first line introduces the syntax, which ends at the first paragraph of text.
    let body = help.split_once("\n\n").map_or(help, |(_, body)| body);
    let (syntax, about) = split_syntax(body);
    let mut text = title(&name, 8, release, &lower_first(&command.summary));
    text += &roff::blocks(&[
        Block::Heading("SYNOPSIS".into()),
        Block::Verbatim(syntax.lines().map(str::to_owned).collect()),
        Block::Heading("DESCRIPTION".into()),
    ]);
    text += &roff::blocks(&roff::help_blocks(about));
    let mut others = vec!["shareward(8)".to_owned(), "shareward.toml(5)".to_owned()];
    let namesakes = commands.iter().filter(|other| other.name == command.name && other.net != command.net);
    others.extend(namesakes.map(|other| format!("{}(8)", other.page(commands))));
    text += &see_also(&others);
    Page { name, section: 8, roff: text }
}

/// The syntax at the start of a help, and the text after it. A syntax has several parts if its first line, the name of
/// the command in capitals, is repeated.
fn split_syntax(body: &str) -> (&str, &str) {
    let first_word = body.split_whitespace().next().unwrap_or_default();
    let mut end = 0;
    for part in body.split_inclusive("\n\n") {
        if !part.starts_with(first_word) {
            break;
        }
        end += part.len();
    }
    let (syntax, about) = body.split_at_checked(end).unwrap_or((body, ""));
    (syntax.trim_end(), about)
}

pub(super) fn title(name: &str, section: u8, release: &Release<'_>, about: &str) -> String {
    format!(
        ".TH {} {section} {} \"Shareward {}\" Shareward\n.SH NAME\n{} \\- {}\n",
        roff::text(&name.to_uppercase()),
        release.date,
        release.version,
        roff::text(name),
        roff::text(about)
    )
}

pub(super) fn see_also(pages: &[String]) -> String {
    roff::blocks(&[Block::Heading("SEE ALSO".into()), Block::Paragraph(pages.join(", "))])
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: Release<'_> = Release { version: "1.2.3", date: "2026-01-31" };
    const OVERVIEW: &str = "\
The syntax of this command is:

shareward command [arguments]

    serve       Run the server
    user        List users

Also available as 'net command':

    user        Show accounts
    file        Show files

'shareward help COMMAND' shows the help of a command.
";

    #[test]
    fn commands_are_read_from_the_overview() {
        let commands = commands(OVERVIEW);
        let names: Vec<_> =
            commands.iter().map(|it| (it.page(&commands), it.help_words().join(" "))).collect();
        let expected = [
            ("shareward-serve", "help serve"),
            ("shareward-user", "help user"),
            ("shareward-net-user", "net help user"),
            ("shareward-file", "net help file"),
        ];
        assert_eq!(names, expected.map(|(page, words)| (page.to_owned(), words.to_owned())));
        assert_eq!(commands[3].summary, "Show files");
    }

    #[test]
    fn page_has_syntax_description_and_exit_codes() {
        let help = "The syntax of this command is:\n\nNET A\n[x]\n\nNET A\n/D\n\nShows it.\n\n  /D  delete\n\nExit codes: 0.\n";
        let commands = [Command { name: "a".into(), summary: "Show it".into(), net: true }];
        let page = command_page(&commands[0], &commands, help, &RELEASE);
        let text = page.roff;
        for part in
            ["NET A\n[x]\n\nNET A\n/D\n", ".SH DESCRIPTION\n", "Shows it.", ".TP\n\\fB/D\\fR\ndelete\n"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains("a \\- show it\n") && text.contains(".SH \"EXIT STATUS\"\n"), "{text}");
    }
}
