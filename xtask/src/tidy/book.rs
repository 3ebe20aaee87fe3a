//! Checks that `docs` is a whole book: its table of contents has every page, links have a target, and a test runs the
//! commands.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::Findings;

/// The table of contents.
const CONTENTS: &str = "SUMMARY.md";

/// The languages of blocks with commands; a block that is indented instead of fenced has commands, too.
const COMMANDS: &[&str] = &["bash", "console", "sh", "shell"];

pub(super) fn check(top: &Path, findings: &mut Findings) {
    let docs = top.join("docs");
    let mut documents = crate::shell::files(&docs, &["md"]);
    documents.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| top.join(name)));
    let texts = documents.into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap_or_default();
        (path, text)
    });
    let pages: BTreeMap<PathBuf, Page> = texts.map(|(path, text)| (path, Page::parse(&text))).collect();
    contents(&docs, &pages, findings);
    for (path, page) in &pages {
        links(&docs, path, page, &pages, findings);
        if path.starts_with(&docs) {
            commands(top, path, page, findings);
        }
    }
}

/// The parts of a document that are checked, with their lines.
#[derive(Debug, Default)]
struct Page {
    /// The destinations of links.
    links: Vec<(usize, String)>,
    /// The names by which links find a heading.
    anchors: BTreeSet<String>,
    /// Blocks of commands, with the mark that holds for each.
    commands: Vec<(usize, Mark)>,
    /// Files whose content the book shows.
    included: Vec<(usize, String)>,
}

/// The answer to the question which test runs a block of commands: a comment in the text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
enum Mark {
    /// There is no mark.
    #[default]
    Missing,
    /// `<!-- run by FILE -->`, which holds for all blocks behind it.
    RunBy(String),
    /// `<!-- not run: REASON -->`, which holds for the next block.
    NotRun,
}

impl Page {
    fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let (mut lasting, mut next) = (Mark::Missing, None);
        let mut heading: Option<String> = None;
        let options = Options::ENABLE_TABLES;
        for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
            let line = 1 + text[..range.start].matches('\n').count();
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push((line, dest_url.into_string()));
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => page.add_anchor(&heading.take().unwrap_or_default()),
                Event::Start(Tag::CodeBlock(kind)) => {
                    let mark = next.take().unwrap_or_else(|| lasting.clone());
                    if has_commands(&kind) {
                        page.commands.push((line, mark));
                    }
                }
                Event::Text(piece) | Event::Code(piece) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&piece);
                    }
                    let include = piece.split("{{#include ").nth(1).and_then(|rest| rest.split("}}").next());
                    page.included.extend(include.map(|path| (line, path.trim().to_owned())));
                }
                Event::Html(comment) | Event::InlineHtml(comment) => match mark(&comment) {
                    Some(Mark::NotRun) => next = Some(Mark::NotRun),
                    Some(mark) => lasting = mark,
                    None => {}
                },
                _ => {}
            }
        }
        page
    }

    /// Adds the name of a heading, as GitHub and mdbook make it: headings with the same text are numbered.
    fn add_anchor(&mut self, heading: &str) {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || c.is_whitespace() || "-_".contains(*c));
        let name: String =
            kept.map(|c| if c.is_whitespace() { '-' } else { c }).flat_map(char::to_lowercase).collect();
        let numbered = (1..).map(|number| format!("{name}-{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|it| !self.anchors.contains(it));
        self.anchors.extend(free);
    }
}

fn has_commands(kind: &CodeBlockKind<'_>) -> bool {
    match kind {
        CodeBlockKind::Indented => true,
        CodeBlockKind::Fenced(info) => {
            let language = info.split([',', ' ']).next().unwrap_or_default();
            COMMANDS.contains(&language)
        }
    }
}

/// The mark in a comment, if it has one. A mark without a file or a reason is none.
fn mark(comment: &str) -> Option<Mark> {
    let content = comment.trim().strip_prefix("<!--")?.strip_suffix("-->")?.trim();
    if let Some(file) = content.strip_prefix("run by ") {
        return Some(Mark::RunBy(file.trim().to_owned()));
    }
    let reason = content.strip_prefix("not run:")?;
    (!reason.trim().is_empty()).then_some(Mark::NotRun)
}

/// Reports pages that the table of contents does not have, or has twice.
fn contents(docs: &Path, pages: &BTreeMap<PathBuf, Page>, findings: &mut Findings) {
    let path = docs.join(CONTENTS);
    let Some(contents) = pages.get(&path) else {
        findings.error(&path, 0, "there is no table of contents");
        return;
    };
    for page in pages.keys().filter(|page| page.starts_with(docs) && **page != path) {
        let listed = contents.links.iter().filter(|(_, link)| docs.join(link) == **page).count();
        if listed != 1 {
            findings.error(page, 0, format!("docs/{CONTENTS} has this page {listed} times"));
        }
    }
}

/// Reports links without a target, and included files that do not exist. Addresses of other sites are not looked at.
fn links(docs: &Path, path: &Path, page: &Page, pages: &BTreeMap<PathBuf, Page>, findings: &mut Findings) {
    let folder = path.parent().unwrap_or(docs);
    for (line, file) in &page.included {
        if !folder.join(file).is_file() {
            findings.error(path, *line, format!("the included file {file} does not exist"));
        }
    }
    for (line, link) in &page.links {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = if file.is_empty() { path.to_path_buf() } else { folder.join(file) };
        if path.starts_with(docs) && (file.starts_with('/') || file.contains("..")) {
            findings.error(path, *line, format!("{link} is not in the book"));
        } else if !target.is_file() {
            findings.error(path, *line, format!("{link} does not exist"));
        } else if !anchor.is_empty() && !pages.get(&target).is_some_and(|it| it.anchors.contains(anchor)) {
            findings.error(path, *line, format!("{link}: there is no such heading"));
        }
    }
}

/// Reports blocks of commands that neither have a test nor a reason for having none.
fn commands(top: &Path, path: &Path, page: &Page, findings: &mut Findings) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    for (line, mark) in &page.commands {
        match mark {
            Mark::NotRun => {}
            Mark::Missing => findings.error(
                path,
                *line,
                "no test runs these commands: write <!-- run by FILE --> or <!-- not run: REASON --> before them",
            ),
            Mark::RunBy(file) => {
                let test = fs::read_to_string(top.join(file)).unwrap_or_default();
                if !test.contains(&name) {
                    findings.error(path, *line, format!("{file} does not run this page"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(page: &str, check: impl Fn(&Path, &Page, &mut Findings)) -> Vec<String> {
        let mut findings = Findings::default();
        check(&testkit::repository().join("docs/page.md"), &Page::parse(page), &mut findings);
        findings.errors
    }

    #[test]
    fn a_mark_holds_until_the_next_and_a_reason_for_one_block() {
        let page = Page::parse(
            "# A\n\n    one\n\n<!-- run by a.rs -->\n\n    two\n\n<!-- not run: Windows -->\n```sh\nthree\n```\n\n\
             ```text\noutput\n```\ntext\n\n```console\n$ four\n```\n\n<!-- not run: -->\n\n    five\n",
        );
        let run = || Mark::RunBy("a.rs".into());
        let expected = [(3, Mark::Missing), (7, run()), (10, Mark::NotRun), (19, run()), (25, run())];
        assert_eq!(page.commands, expected);
    }

    #[test]
    fn a_mark_names_a_test_that_names_the_page() {
        let top = testkit::repository();
        let file = "xtask/src/tidy/book.rs";
        let page = |mark: &str| format!("<!-- {mark} -->\n\n    ls\n");
        let errors = |mark: &str| errors(&page(mark), |path, page, all| commands(&top, path, page, all));
        assert!(errors(&format!("run by {file}")).is_empty());
        assert!(errors("run by xtask/src/tidy/doors.rs")[0].contains("docs/page.md:3: "), "page.md");
        assert!(errors("run by no.rs")[0].contains("no.rs does not run this page"));
        assert!(errors("a comment")[0].contains("no test runs these commands"));
    }

    #[test]
    fn a_link_needs_a_file_and_a_heading() {
        let docs = testkit::repository().join("docs");
        let names = docs.join("names.md");
        let pages = BTreeMap::from([(names, Page::parse("# `net use`: *all* of it_\n\n## Two\n## Two\n"))]);
        let errors = |link: &str| {
            errors(&format!("[it]({link})"), |path, page, all| links(&docs, path, page, &pages, all))
        };
        for good in ["names.md", "names.md#net-use-all-of-it_", "names.md#two-1", "https://x.example/y"] {
            assert_eq!(errors(good), [""; 0], "{good}");
        }
        for bad in ["no.md", "names.md#three", "#two", "../README.md", "{{#include no.md}}"] {
            let text = if bad.starts_with('{') { bad.to_owned() } else { format!("[it]({bad})") };
            let mut findings = Findings::default();
            links(&docs, &docs.join("page.md"), &Page::parse(&text), &pages, &mut findings);
            assert_eq!(findings.errors.len(), 1, "{bad}");
        }
    }

    #[test]
    fn the_table_of_contents_has_every_page_once() {
        let docs = Path::new("/docs");
        let page = |name: &str, text: &str| (docs.join(name), Page::parse(text));
        let pages = BTreeMap::from([
            page("SUMMARY.md", "- [a](a.md)\n- [b](b.md)\n- [b](b.md)\n"),
            page("a.md", ""),
            page("b.md", ""),
            page("c.md", ""),
        ]);
        let mut findings = Findings::default();
        contents(docs, &pages, &mut findings);
        assert_eq!(findings.errors.len(), 2, "{:?}", findings.errors);
    }
}
