//! `shareward complete`: the words that a shell offers at the end of a command line. It is called by the completion
//! files of bash, zsh and fish, and is not in the list of commands.

mod running;
mod switches;

use super::{APPLETS, Applet, Family, Help, find};
use crate::failure::Failure;
use crate::output::Console;

pub(super) static APPLET: Applet = Applet {
    names: &["complete"],
    family: Family::Own,
    summary: "Print the words that can complete a command line",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD COMPLETE
-- [word ...] partial
",
    about: "\
Prints the words that can stand in place of the last, partial word of a command
line, one per line; after a tab follows a description. The words are those
after 'shareward'. For net, openfiles, psfile and psloggedon, the name of the
program comes first. If nothing is printed, the word may be a file name.

The completion files of bash, zsh and fish call this command.

Exit codes: 0 success, even if no word is found.
",
};

/// A word that the shell can offer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    word: String,
    description: String,
}

impl Candidate {
    fn new(word: impl Into<String>, description: impl Into<String>) -> Self {
        Self { word: word.into(), description: description.into() }
    }
}

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let words = words.strip_prefix(&["--".to_owned()]).unwrap_or(words);
    let mut found = candidates(words);
    if found.is_empty() {
        let (family, words) = of_family(words);
        found = running::candidates(family, words);
    }
    for Candidate { word, description } in found {
        console.line(&format!("{word}\t{description}"));
    }
    Ok(())
}

/// The words that can replace the last one of `words`.
fn candidates(words: &[String]) -> Vec<Candidate> {
    let (family, words) = of_family(words);
    match words {
        [] => commands(family, ""),
        [partial] => commands(family, partial),
        [help, partial] if help.eq_ignore_ascii_case("help") => commands(family, partial),
        [name, before @ .., partial] => {
            find(family, name).map(|applet| arguments(applet, before, partial)).unwrap_or_default()
        }
    }
}

/// The family that a line is for, and its words after the name of the program.
fn of_family(words: &[String]) -> (Family, &[String]) {
    match words {
        [net, rest @ ..] if net.eq_ignore_ascii_case("net") && !rest.is_empty() => (Family::Net, rest),
        _ => (Family::Own, words),
    }
}

/// The commands of a family whose names begin with `partial`.
fn commands(family: Family, partial: &str) -> Vec<Candidate> {
    // Of two commands with one name, `find` returns the one that this name runs.
    let shown = |name: &&'static str| find(family, name).map(|applet| Candidate::new(*name, applet.summary));
    let names = APPLETS.iter().filter(|applet| family.has(applet)).filter_map(|applet| applet.names.first());
    let mut found: Vec<_> = names.filter_map(shown).collect();
    if family == Family::Own {
        found.push(Candidate::new("net", "The net commands only"));
    }
    found.retain(|it| begins_with(&it.word, partial));
    found.sort_by(|one, other| one.word.cmp(&other.word));
    found.dedup();
    found
}

/// The arguments of a command that begin with `partial`, after the arguments `before`.
fn arguments(applet: &Applet, before: &[String], partial: &str) -> Vec<Candidate> {
    if before.iter().any(|word| word == "--") {
        return Vec::new();
    }
    let known = switches::of(applet.help);
    if let Some((name, value)) = partial.split_once(['=', ':'])
        && let Some(switch) = known.iter().find(|switch| switch.is_spelled(name))
    {
        let front = partial.strip_suffix(value).unwrap_or_default();
        return switch.values_with(value, front);
    }
    if let Some(previous) = before.last().and_then(|word| known.iter().find(|it| it.takes_next_word(word))) {
        return previous.values_with(partial, "");
    }
    if partial.starts_with(['-', '/']) {
        return known.iter().filter_map(|switch| switch.completing(partial)).collect();
    }
    if !before.iter().all(|word| word.starts_with(['-', '/'])) {
        return Vec::new();
    }
    let verbs = verbs(applet.help).into_iter().filter(|verb| begins_with(verb, partial));
    verbs.map(|verb| Candidate::new(verb, "")).collect()
}

/// The first arguments that are words of the command itself: those that the lines of its syntax begin with, alone or as
/// alternatives in brackets.
fn verbs(help: &Help) -> Vec<String> {
    let mut found = Vec::new();
    for form in help.syntax.split("\n\n") {
        let Some(line) = form.lines().nth(1) else { continue };
        let alternatives: Vec<&str> = match line.strip_prefix(['{', '[']) {
            Some(rest) => rest.split(['}', ']']).next().unwrap_or_default().split('|').collect(),
            None => vec![line],
        };
        for alternative in alternatives {
            let word = alternative.split_whitespace().next().unwrap_or_default();
            let is_verb = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
            if is_verb && !PLACEHOLDERS.contains(&word) {
                found.push(word.to_ascii_lowercase());
            }
        }
    }
    found
}

/// Words of a syntax that stand for a value.
const PLACEHOLDERS: [&str; 3] = ["DIR", "DIRECTORY", "FILE"];

/// True if the word begins with `partial`, in any case.
fn begins_with(word: &str, partial: &str) -> bool {
    word.get(..partial.len()).is_some_and(|front| front.eq_ignore_ascii_case(partial))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        let line: Vec<String> = line.split(' ').map(str::to_owned).collect();
        candidates(&line).into_iter().map(|candidate| candidate.word).collect()
    }

    #[test]
    fn commands_are_completed_by_family() {
        assert_eq!(words("sess"), ["session"]);
        assert_eq!(words("net sess"), ["session"]);
        assert_eq!(words("ne"), ["net"]);
        assert_eq!(words("net ser"), Vec::<String>::new());
        assert_eq!(words("help psf"), ["psfile"]);
        assert!(words("").iter().filter(|word| *word == "user").count() == 1);
        assert!(!words("").contains(&"complete".to_owned()));
    }

    #[test]
    fn switches_are_completed_in_the_spelling_that_was_begun() {
        assert_eq!(words("net file --clo"), ["--close"]);
        assert_eq!(words("net file /cl"), ["/CLOSE"]);
        assert_eq!(words("psfile -no"), ["-nobanner"]);
        assert_eq!(words("openfiles /di"), ["/DISCONNECT"]);
        assert_eq!(words("wait /srv"), Vec::<String>::new());
        assert_eq!(words("session -- --cl"), Vec::<String>::new());
    }

    #[test]
    fn values_that_the_help_lists_are_completed() {
        assert_eq!(words("net user alice /active:y"), ["/active:YES"]);
        assert_eq!(
            words("share data /CACHE:"),
            ["/CACHE:MANUAL", "/CACHE:DOCUMENTS", "/CACHE:PROGRAMS", "/CACHE:NONE"]
        );
        assert_eq!(words("file --json=w"), ["--json=wmi"]);
        assert_eq!(words("domain join CORP --with a"), ["adcli"]);
        assert_eq!(words("serve --config "), Vec::<String>::new());
    }

    #[test]
    fn verbs_are_first_arguments() {
        assert_eq!(words("user "), ["list", "add", "passwd", "del"]);
        assert_eq!(words("net user "), Vec::<String>::new());
        assert_eq!(words("user add "), Vec::<String>::new());
        assert_eq!(words("domain "), ["join", "leave", "status", "ids"]);
        assert_eq!(words("net stop s"), ["server"]);
        assert_eq!(words("config w"), ["workstation"]);
        for line in ["serve ", "check ", "links ", "net who ", "openfiles ", "psfile "] {
            assert_eq!(words(line), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn every_switch_in_a_syntax_is_completed() {
        for applet in APPLETS {
            for word in applet.help.syntax.split(['[', ']', '{', '}', '|', ' ', '\n', ':', '=']) {
                let is_end_of_switches = word == "--";
                if !word.starts_with(['-', '/'])
                    || word.starts_with("//")
                    || word.len() < 2
                    || is_end_of_switches
                {
                    continue;
                }
                let found = arguments(applet, &[], word);
                assert!(found.iter().any(|it| it.word.trim_end_matches(':') == word), "{word}: {found:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_words_are_completed_or_not(line in "[-/\\\\=: a-zA-Zé]{0,24}") {
            for candidate in words(&line) {
                prop_assert!(!candidate.contains(['\t', '\n']));
            }
        }
    }
}
