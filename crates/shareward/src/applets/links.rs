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
    summary: "Create links named net, openfiles, psfile and psloggedon",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD LINKS
DIR [NAME ...] [--remove]
",
    about: "\
Creates symbolic links to this program in DIR under the other names that it can
be run by: net, openfiles, psfile and psloggedon. With NAMEs, creates only
those.

  --remove  remove the links instead

If one of the names exists already and is not a link to this program, nothing
is created and the command names it.

Exit codes: 0 success; 1 a name is taken, or a link could not be created.
",
};

const REMOVE: Switch = Switch::own("REMOVE", Takes::Nothing);

/// The other names that the program can be called by.
pub(super) const PROGRAMS: [&str; 4] = ["net", "openfiles", "psfile", "psloggedon"];

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let words = cli::parse_paths(words, &[REMOVE]).map_err(usage)?;
    let Some((directory, named)) = words.operands.split_first() else {
        return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)));
    };
    if let Some(unknown) = named.iter().find(|name| !PROGRAMS.contains(&name.as_str())) {
        let known = PROGRAMS.join(", ");
        return Err(Failure::Plain(format!("unknown name {unknown}; possible names are {known}")));
    }
    let names = PROGRAMS.iter().filter(|name| named.is_empty() || named.iter().any(|it| it == *name));
    let links: Vec<PathBuf> = names.map(|name| Path::new(directory).join(name)).collect();
    let program = std::env::current_exe()
        .map_err(|error| Failure::Plain(format!("cannot find the path of this program: {error}")))?;
    let foreign: Vec<&PathBuf> = links.iter().filter(|link| stands(link) == Stands::Foreign).collect();
    if words.has(&REMOVE) { remove(&links, console) } else { make(&links, &foreign, &program, console) }
}

/// The kind of file at the place of a link.
#[derive(Debug, PartialEq, Eq)]
enum Stands {
    Nothing,
    Ours,
    Foreign,
}

/// A link to a program called `shareward` is ours, even if the target is another version or does not exist.
fn stands(link: &Path) -> Stands {
    match fs::symlink_metadata(link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Stands::Nothing,
        Ok(metadata) if metadata.is_symlink() => match fs::read_link(link) {
            Ok(target) if target.file_name().is_some_and(|name| name == "shareward") => Stands::Ours,
            _ => Stands::Foreign,
        },
        // A file that cannot be examined is left alone.
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
            .map(|link| {
                format!("{} exists and is not a link to this program; no link was created", link.display())
            })
            .collect();
        return Err(Failure::Plain(format!(
            "{}\n\nhint: choose another directory, or name the links to create",
            lines.join("\n")
        )));
    }
    for link in links {
        replace(link, program)
            .map_err(|error| Failure::Plain(format!("cannot create {}: {error}", link.display())))?;
        console.line(&format!("{} -> {}", link.display(), program.display()));
    }
    Ok(())
}

/// Creates the link under another name and renames it, so that the name always exists.
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
            Stands::Foreign => {
                left.push(format!("{} is not a link to this program and was not removed", link.display()))
            }
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
