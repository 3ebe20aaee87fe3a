//! The commands of a page, and what the page shows of their output.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use testkit::repository;

/// Set to write the output of commands into the pages instead of comparing it.
const WRITE: &str = "SHAREWARD_WRITE_DOCS";

/// A part of a page that is acted on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// A command, and its output if the page shows it.
    Command { line: String, shown: Option<Shown> },
    /// A block with the content of a file.
    Content { language: String, text: String },
}

/// The output of a command, as the page has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Shown {
    text: String,
    /// The place in the page.
    range: Range<usize>,
}

/// A page of the book.
pub(super) struct Page {
    path: PathBuf,
    text: String,
    /// New texts for parts of the page, in their order.
    changes: Vec<(Range<usize>, String)>,
}

impl Page {
    pub(super) fn read(name: &str) -> Self {
        let path = repository().join("docs").join(name);
        let text = fs::read_to_string(&path).expect("the page");
        Self { path, text, changes: Vec::new() }
    }

    /// The steps, without those of blocks that are marked as not run.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut excepted = false;
        let mut block: Option<(CodeBlockKind<'_>, Range<usize>)> = None;
        for (event, range) in Parser::new_ext(&self.text, Options::ENABLE_TABLES).into_offset_iter() {
            match event {
                Event::Html(comment) => excepted |= comment.contains("<!-- not run:"),
                Event::Start(Tag::CodeBlock(kind)) => block = Some((kind, range.end..range.start)),
                Event::Text(_) => {
                    if let Some((_, content)) = &mut block {
                        *content = content.start.min(range.start)..content.end.max(range.end);
                    }
                }
                Event::End(TagEnd::CodeBlock) => {
                    let block = block.take().filter(|(_, content)| content.start < content.end);
                    if let (Some((kind, content)), false) = (block, std::mem::take(&mut excepted)) {
                        self.block(&kind, content, &mut steps);
                    }
                }
                _ => {}
            }
        }
        steps
    }

    fn block(&self, kind: &CodeBlockKind<'_>, content: Range<usize>, steps: &mut Vec<Step>) {
        let text = &self.text[content.clone()];
        match kind {
            CodeBlockKind::Indented => steps.extend(commands(text)),
            CodeBlockKind::Fenced(language) => match &**language {
                "bash" | "sh" | "shell" => steps.extend(commands(text)),
                "console" => steps.extend(conversation(text, content.start)),
                language => {
                    let (language, text) = (language.to_owned(), text.to_owned());
                    steps.push(Step::Content { language, text });
                }
            },
        }
    }

    /// Compares the output of a command with what the page shows, or writes it there; panics if they differ.
    #[track_caller]
    pub(super) fn compare(&mut self, command: &str, shown: &Shown, output: &str) {
        let output = output.trim_matches('\n');
        if same(shown.text.trim_matches('\n'), output) {
            return;
        }
        if std::env::var_os(WRITE).is_some() {
            let gap = if shown.text.ends_with("\n\n") { "\n" } else { "" };
            self.changes.push((shown.range.clone(), format!("{output}\n{gap}")));
            return;
        }
        let (page, shown) = (self.path.display(), &shown.text);
        panic!(
            "{page}: {command} prints\n{output}\nand not\n{shown}\n{WRITE}=1 writes the output into the page"
        );
    }

    /// Writes the page if outputs have been replaced.
    pub(super) fn write(mut self) {
        if self.changes.is_empty() {
            return;
        }
        for (range, text) in self.changes.drain(..).rev() {
            self.text.replace_range(range, &text);
        }
        fs::write(&self.path, &self.text).expect("write the page");
    }
}

/// The commands of a block: one on each line, unless a line ends with `\`, `|` or `&&`.
fn commands(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut open = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        open.push_str(line);
        if ["\\", "|", "&&"].iter().any(|end| line.ends_with(end)) {
            open.push('\n');
        } else {
            steps.push(Step::Command { line: std::mem::take(&mut open), shown: None });
        }
    }
    steps
}

/// The commands of a block with output: each begins with `$ `, and its output follows.
fn conversation(text: &str, start: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut at = start;
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        if let Some(command) = line.strip_prefix("$ ") {
            let shown = Some(Shown { text: String::new(), range: end..end });
            steps.push(Step::Command { line: command.trim().to_owned(), shown });
        } else if let Some(Step::Command { shown: Some(shown), .. }) = steps.last_mut() {
            shown.text.push_str(line);
            shown.range.end = end;
        }
        at = end;
    }
    steps
}

/// Compares two texts by their lines, without their numbers and spaces. A line `...` stands for any lines.
pub(super) fn same(shown: &str, output: &str) -> bool {
    let shapes = |text: &str| text.lines().map(shape).collect::<Vec<_>>();
    matches(&shapes(shown), &shapes(output))
}

fn matches(shown: &[String], lines: &[String]) -> bool {
    match shown {
        [] => lines.is_empty(),
        [first, rest @ ..] if first == "..." => {
            (0..=lines.len()).any(|skipped| matches(rest, &lines[skipped..]))
        }
        [first, rest @ ..] => lines.first() == Some(first) && matches(rest, &lines[1..]),
    }
}

/// A line with `#` for each number, and one space or dash for several.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for c in line.trim().chars() {
        let c = if c.is_ascii_digit() { '#' } else { c };
        let repeated = "# -".contains(c) && shape.ends_with(c);
        if !repeated {
            shape.push(c);
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page { path: PathBuf::new(), text: text.to_owned(), changes: Vec::new() }
    }

    fn command(line: &str) -> Step {
        Step::Command { line: line.to_owned(), shown: None }
    }

    #[test]
    fn a_page_has_commands_output_and_files() {
        let text = "# P\n\n    one a\n    two && \n      three\n\n<!-- not run: Windows -->\n```sh\nfour\n```\n\n\
            - item\n\n      five\n\n```console\n$ six\nout 1\n\nend\n$ seven\n```\n\n```toml\nx = 1\n```\n";
        let page = page(text);
        let mut steps = page.steps();
        let Some(Step::Command { line, shown: Some(shown) }) = steps.get(3).cloned() else {
            panic!("{steps:?}");
        };
        assert_eq!((line.as_str(), shown.text.as_str()), ("six", "out 1\n\nend\n"));
        assert_eq!(&page.text[shown.range], "out 1\n\nend\n");
        let seven = steps.remove(4);
        assert!(matches!(seven, Step::Command { shown: Some(shown), .. } if shown.text.is_empty()));
        let (language, text) = ("toml".to_owned(), "x = 1\n".to_owned());
        let expected =
            [command("one a"), command("two &&\nthree"), command("five"), Step::Content { language, text }];
        steps.remove(3);
        assert_eq!(steps, expected);
    }

    #[test]
    fn output_is_compared_without_numbers_and_spaces() {
        assert!(same("ID  12   alice\n-----", "ID 7 alice\n---"));
        assert!(same("a\n...\nz", "a\nb\nc\nz"));
        assert!(same("a\n...", "a"));
        assert!(!same("ID 7 alice", "ID 7 bob"));
        assert!(!same("a\nb", "a"));
        assert!(!same("a", "a\nb"));
    }

    #[test]
    fn new_output_replaces_the_old() {
        let text = "```console\n$ a\nold\n$ b\nold\n```\n";
        let mut page = page(text);
        for (step, output) in page.steps().into_iter().zip(["new\nlines\n", "other"]) {
            let Step::Command { shown: Some(shown), .. } = step else { panic!("{step:?}") };
            page.changes.push((shown.range, format!("{output}\n")));
        }
        for (range, text) in page.changes.drain(..).rev() {
            page.text.replace_range(range, &text);
        }
        assert_eq!(page.text, "```console\n$ a\nnew\nlines\n\n$ b\nother\n```\n");
    }
}
