//! `docs/smb-conf.md` is the table of this crate.

use std::fmt::Write as _;

use import::parameters::{Answer, Parameter, all, modules, synonyms};

/// Set to write the document instead of comparing it.
const WRITE: &str = "SHAREWARD_WRITE_DOCS";

const HEAD: &str = "\
# smb.conf and shareward.toml

The answer to every parameter of Samba 4.17 to 4.25. `shareward import samba --check` applies it to a configuration, with
file and line; [from-samba.md](from-samba.md) describes the import. This page is made from the table of the import by its tests.

- *Carried over*: the parameter becomes a setting of `shareward.toml`. Some values have an answer of their own, which the
  report has.
- *Not there yet*: Shareward does not have this. The default of Samba, and the values in the last column, need nothing.
- *Not needed*: Shareward does the same without a setting, or the parameter is about something that stays with Samba's
  other programs.

";

/// The names of a parameter, with its synonyms.
fn names(parameter: &Parameter) -> String {
    let mut names = format!("`{}`", parameter.name);
    for other in synonyms(parameter.name) {
        let _ = write!(names, ", `{other}`");
    }
    names
}

fn document() -> String {
    let mut text = String::from(HEAD);
    text.push_str("## Carried over\n\n| smb.conf | shareward.toml |\n|---|---|\n");
    for parameter in all() {
        if let Answer::Carried(setting) = parameter.answer {
            let setting = if setting.starts_with('(') {
                setting.to_owned()
            } else {
                format!("`{}`", setting.replace(", ", "`, `"))
            };
            let _ = writeln!(text, "| {} | {setting} |", names(parameter));
        }
    }
    text.push_str("\n## Not there yet\n\n| smb.conf | Missing | Values that need nothing |\n|---|---|---|\n");
    for parameter in all() {
        if let Answer::NotYet { missing, fine } = parameter.answer {
            let mut values: Vec<&str> = fine.to_vec();
            if values.is_empty() || parameter.default.is_empty() {
                values.insert(0, if parameter.default.is_empty() { "(empty)" } else { parameter.default });
            }
            let values: Vec<String> = values
                .iter()
                .map(|it| if it.starts_with('(') { (*it).to_owned() } else { format!("`{it}`") })
                .collect();
            let _ = writeln!(text, "| {} | {missing} | {} |", names(parameter), values.join(", "));
        }
    }
    text.push_str("\n## Modules\n\nOf `vfs objects`. Options of a module have the answer of the module, with exceptions that the report has.\n\n");
    text.push_str("| Module | Answer |\n|---|---|\n");
    for module in modules() {
        let answer = match module.answer {
            Answer::Carried(setting) => format!("`{setting}`"),
            Answer::NotNeeded(reason) => format!("not needed: {reason}"),
            Answer::NotYet { missing, .. } => format!("not there yet: {missing}"),
        };
        let _ = writeln!(text, "| `{}` | {answer} |", module.name);
    }
    text.push_str("\n## Not needed\n");
    let mut reasons: Vec<&str> = Vec::new();
    for parameter in all() {
        if let Answer::NotNeeded(reason) = parameter.answer
            && !reasons.contains(&reason)
        {
            reasons.push(reason);
        }
    }
    for reason in reasons {
        let same = all().iter().filter(|it| matches!(it.answer, Answer::NotNeeded(other) if other == reason));
        let listed: Vec<String> = same.map(names).collect();
        let _ = writeln!(text, "\n{}:\n{}.", capital(reason), wrapped(&listed));
    }
    text
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect()
}

/// The names in lines of at most 120 characters.
fn wrapped(names: &[String]) -> String {
    let mut text = String::new();
    let mut width = 0;
    for (index, name) in names.iter().enumerate() {
        let word = if index + 1 < names.len() { format!("{name},") } else { name.clone() };
        if width + word.len() + 1 > 119 {
            text.push('\n');
            width = 0;
        } else if width > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(&word);
        width += word.len();
    }
    text
}

#[test]
fn the_document_has_the_table() {
    let path = testkit::repository().join("docs/smb-conf.md");
    let wanted = document();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differing = wanted.lines().zip(found.lines()).find(|(wanted, found)| wanted != found);
    assert!(
        wanted == found,
        "docs/smb-conf.md is not as the table: {differing:?}; run this test with {WRITE}=1 to write it"
    );
}
