//! The doors between the rooms of the server: the folders of `crates/server/src`.

use std::fs;
use std::path::Path;

use super::Findings;
use crate::shell::files;

const SERVER: &str = "crates/server/src";

/// A room and the paths below `crate::` that it may use besides its own. What stands in comments and links of the
/// documentation counts, too.
struct Room {
    name: &'static str,
    uses: &'static [&'static str],
    /// True if the room uses the registry, which is the state of all sessions and opens.
    sees_registry: bool,
}

const ROOMS: &[Room] = &[
    Room { name: "core", uses: &[], sees_registry: true },
    Room { name: "smb", uses: &["core", "fronts::pipes"], sees_registry: true },
    Room { name: "admin", uses: &["core"], sees_registry: true },
    Room { name: "fronts", uses: &["core", "admin"], sees_registry: false },
];

/// The files outside of the rooms: they put the rooms together, and may use all of them.
const OUTSIDE: &[&str] = &["lib.rs", "service.rs", "testing", "testing.rs"];

pub(super) fn check(top: &Path, findings: &mut Findings) {
    let server = top.join(SERVER);
    let entries = fs::read_dir(&server).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !ROOMS.iter().any(|room| room.name == name) && !OUTSIDE.contains(&name.as_str()) {
            findings.error(&entry.path(), 0, "in none of the server's rooms (xtask/src/tidy/doors.rs)");
        }
    }
    for room in ROOMS {
        for file in files(&server.join(room.name), &["rs"]) {
            let text = fs::read_to_string(&file).unwrap_or_default();
            for (line, found) in room.violations(&text) {
                findings.error(&file, line, format!("{} may not use {found}", room.name));
            }
            let depth = depth(file.strip_prefix(&server).unwrap_or(&file));
            for line in leaving(&text, depth) {
                findings.error(&file, line, "`super` leads out of the room: write the path from `crate`");
            }
        }
    }
}

impl Room {
    /// The uses in a text that the room may not have, with their lines.
    fn violations(&self, text: &str) -> Vec<(usize, String)> {
        let line_of = |at: usize| text[..at].matches('\n').count() + 1;
        let mut found = Vec::new();
        for at in words(text, "crate::") {
            let mut paths = Vec::new();
            expand("", &text[at + "crate::".len()..], &mut paths);
            let wrong = paths.into_iter().filter(|path| !self.may_use(path));
            found.extend(wrong.map(|path| (line_of(at), format!("crate::{path}"))));
        }
        let renamed =
            words(text, "crate as ").map(|at| (line_of(at), String::from("another name for the crate")));
        found.extend(renamed);
        if !self.sees_registry {
            // Under any path or name; comments may speak of it.
            let is_code = |at: usize| {
                !text[..at].rsplit('\n').next().unwrap_or_default().contains("//")
                    && !text[at + "registry".len()..].starts_with(is_part)
                    && !text[..at].ends_with(is_part)
            };
            let all = text.match_indices("registry").map(|(at, _)| at).filter(|at| is_code(*at));
            found.extend(all.map(|at| (line_of(at), String::from("the registry"))));
        }
        found
    }

    fn may_use(&self, path: &str) -> bool {
        [self.name].iter().chain(self.uses).any(|allowed| {
            path.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
    }
}

/// The number of modules from the crate's root to that of a file, by its path below `src`.
fn depth(file: &Path) -> usize {
    file.components().count() - usize::from(file.ends_with("mod.rs"))
}

/// The lines of a text where `super` leads out of the room. Tests are one module deeper than their file.
fn leaving(text: &str, depth: usize) -> Vec<usize> {
    let tests = text.find("#[cfg(test)]").unwrap_or(text.len());
    let supers = |at: usize| text[at..].split("super::").take_while(|between| between.is_empty()).count();
    let leaves = |at: &usize| {
        let run = supers(*at);
        run >= depth + usize::from(*at > tests)
    };
    words(text, "super::").filter(leaves).map(|at| text[..at].matches('\n').count() + 1).collect()
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The places of a word that is no part of a longer path or name.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let continues = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.match_indices(word).map(|(at, _)| at).filter(move |at| !text[..*at].ends_with(continues))
}

/// Adds the paths that a text begins with, each after `prefix`: one, or those of a group in braces. Returns the text
/// after them.
fn expand<'a>(prefix: &str, text: &'a str, paths: &mut Vec<String>) -> &'a str {
    let mut rest = text.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        rest = group;
        loop {
            rest = expand(prefix, rest, paths).trim_start();
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    let path = format!("{prefix}{name}");
    match after.strip_prefix("::") {
        Some(more) => expand(&format!("{path}::"), more, paths),
        None => {
            if !name.is_empty() {
                paths.push(path);
            }
            after
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> &'static Room {
        ROOMS.iter().find(|room| room.name == name).unwrap()
    }

    #[test]
    fn paths_are_found_in_groups_and_comments() {
        let text = "use crate::{\n    core::server::{self, Server},\n    admin,\n};\n\
                    /// As [`crate::smb::connection::Link`] has it.\nlet x = mycrate::smb;";
        let found = room("core").violations(text);
        assert_eq!(
            found,
            [(1, String::from("crate::admin")), (5, String::from("crate::smb::connection::Link"))]
        );
        assert_eq!(room("admin").violations("use crate::core::{a, b::{c, d}};\nuse crate::admin::e;"), []);
    }

    #[test]
    fn smb_reaches_the_front_of_the_pipes_only() {
        let smb = room("smb");
        assert_eq!(smb.violations("use crate::fronts::pipes;\nuse crate::fronts::pipes::open;"), []);
        assert_eq!(smb.violations("use crate::fronts::{http, pipes};").len(), 1);
        assert_eq!(smb.violations("use crate::fronts::pipes_of_others;").len(), 1);
        assert_eq!(smb.violations("crate::admin::check(caller)").len(), 1);
    }

    #[test]
    fn fronts_see_the_registry_neither_by_name_nor_through_the_server() {
        for text in [
            "use registry::Time;",
            "use registry as r;",
            "use ::registry::Time;",
            "let Server { registry, .. } = server;",
            "server.registry.lock(\"x\")",
            "use crate::smb::connection;",
            "use crate as c;",
        ] {
            assert_eq!(room("fronts").violations(text).len(), 1, "{text}");
        }
        assert_eq!(room("fronts").violations("use crate::admin::Time; // what the registry says"), []);
        assert_eq!(room("admin").violations("use registry::Time;"), []);
    }

    #[test]
    fn super_stays_in_its_room() {
        let of = |file: &str, text| leaving(text, depth(Path::new(file)));
        assert_eq!(of("admin/close.rs", "use super::Caller;\nuse super::super::smb;"), [2]);
        assert_eq!(of("admin/mod.rs", "use super::smb;"), [1]);
        let tests = "use super::x;\n#[cfg(test)]\nmod tests {\n    use super::super::y;\n    use super::super::super::z;\n}";
        assert_eq!(of("admin/close.rs", tests), [5]);
    }
}
