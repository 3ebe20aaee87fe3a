//! `shareward links`: the program's other names.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{Applet, Family, Help};
use crate::cli::{self, Switch, Takes};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;

pub(super) static APPLET: Applet = Applet {
    names: &["links"],
    family: Family::Own,
    summary: "makes links by which net, psfile and others are found",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD LINKS
DIR [NAME ...] [--remove]
",
    about: "\
Makes symbolic links to this program in DIR, so that it is found by the names
of the programs that it also is: net, openfiles, psfile and psloggedon. Only
those that are NAMEd, where any is.

  --remove  takes the links away

What is there already and is no link to this program is left alone: then
nothing is made, and what stands in the way is named.

Exit codes: 0 done; 1 something stands in the way, or could not be made.
",
};

const REMOVE: Switch = Switch::own("REMOVE", Takes::Nothing);

/// The names that the program is called by, beside its own.
pub(super) const PROGRAMS: [&str; 4] = ["net", "openfiles", "psfile", "psloggedon"];

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let words = cli::parse_paths(words, &[REMOVE]).map_err(usage)?;
    let Some((directory, named)) = words.operands.split_first() else {
        return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)));
    };
    if let Some(unknown) = named.iter().find(|name| !PROGRAMS.contains(&name.as_str())) {
        let known = PROGRAMS.join(", ");
        return Err(Failure::Plain(format!("the names are {known}, and none of them is {unknown}")));
    }
    let names = PROGRAMS.iter().filter(|name| named.is_empty() || named.iter().any(|it| it == *name));
    let links: Vec<PathBuf> = names.map(|name| Path::new(directory).join(name)).collect();
    let program = std::env::current_exe()
        .map_err(|error| Failure::Plain(format!("cannot find this program itself: {error}")))?;
    let foreign: Vec<&PathBuf> = links.iter().filter(|link| stands(link) == Stands::Foreign).collect();
    if words.has(&REMOVE) { remove(&links, console) } else { make(&links, &foreign, &program, console) }
}

/// What is where a link goes.
#[derive(Debug, PartialEq, Eq)]
enum Stands {
    Nothing,
    Ours,
    Foreign,
}

/// A link to a program of our name is ours, also where it leads to another version or to one that is gone.
fn stands(link: &Path) -> Stands {
    match fs::symlink_metadata(link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Stands::Nothing,
        Ok(metadata) if metadata.is_symlink() => match fs::read_link(link) {
            Ok(target) if target.file_name().is_some_and(|name| name == "shareward") => Stands::Ours,
            _ => Stands::Foreign,
        },
        // What cannot be looked at is not touched.
        _ => Stands::Foreign,
    }
}

fn make(
    links: &[PathBuf],
    foreign: &[&PathBuf],
    program: &Path,
    console: &mut Console,
) -> Result<(), Failure> {
    if !foreign.is_empty() {
        let lines: Vec<String> = foreign
            .iter()
            .map(|link| format!("{} is something else; nothing was made", link.display()))
            .collect();
        return Err(Failure::Plain(format!(
            "{}\n\nhint: name the links that you want, or another directory",
            lines.join("\n")
        )));
    }
    for link in links {
        replace(link, program)
            .map_err(|error| Failure::Plain(format!("cannot make {}: {error}", link.display())))?;
        console.line(&format!("{} -> {}", link.display(), program.display()));
    }
    Ok(())
}

/// Makes the link under another name first: at no time is there none.
fn replace(link: &Path, program: &Path) -> io::Result<()> {
    if stands(link) == Stands::Nothing {
        return symlink(program, link);
    }
    let beside = link.with_extension(format!("{}.new", std::process::id()));
    symlink(program, &beside)?;
    fs::rename(&beside, link).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })
}

fn remove(links: &[PathBuf], console: &mut Console) -> Result<(), Failure> {
    let mut left = Vec::new();
    for link in links {
        match stands(link) {
            Stands::Nothing => {}
            Stands::Foreign => left.push(format!("{} is something else, and was left", link.display())),
            Stands::Ours => {
                fs::remove_file(link)
                    .map_err(|error| Failure::Plain(format!("cannot remove {}: {error}", link.display())))?;
                console.line(&format!("{} removed", link.display()));
            }
        }
    }
    if left.is_empty() { Ok(()) } else { Err(Failure::Plain(left.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_links_are_replaced_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let program = at("shareward");
        fs::write(&program, "").unwrap();
        fs::write(at("psfile"), "somebody's").unwrap();
        symlink("/usr/bin/true", at("openfiles")).unwrap();
        symlink("/gone/shareward", at("net")).unwrap();
        for (name, expected) in [
            ("net", Stands::Ours),
            ("openfiles", Stands::Foreign),
            ("psfile", Stands::Foreign),
            ("psloggedon", Stands::Nothing),
        ] {
            assert_eq!(stands(&at(name)), expected, "{name}");
        }
        replace(&at("net"), &program).unwrap();
        assert_eq!(fs::read_link(at("net")).unwrap(), program);
        let (mut console, _) = Console::memory("");
        assert!(remove(&[at("net"), at("openfiles"), at("psfile")], &mut console).is_err());
        assert_eq!(stands(&at("net")), Stands::Nothing);
        assert!(at("psfile").exists() && at("openfiles").is_symlink());
    }
}
