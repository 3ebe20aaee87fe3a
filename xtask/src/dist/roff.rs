//! Manual pages in the macros of man(7), from plain text.

/// A part of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    Heading(String),
    Paragraph(String),
    /// Lines that stay as they are.
    Verbatim(Vec<String>),
    /// A term and its description.
    Item(String, String),
}

/// The text with the characters that are special to roff escaped.
pub(super) fn text(plain: &str) -> String {
    let escaped = plain.replace('\\', "\\e").replace('-', "\\-").replace('`', "\\(ga").replace('^', "\\(ha");
    let escaped = escaped.replace('~', "\\(ti");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

/// The blocks in roff.
pub(super) fn blocks(blocks: &[Block]) -> String {
    let mut out = String::new();
    for block in blocks {
        out += &match block {
            Block::Heading(heading) if heading.contains(' ') => format!(".SH \"{}\"\n", text(heading)),
            Block::Heading(heading) => format!(".SH {}\n", text(heading)),
            Block::Paragraph(words) => format!(".PP\n{}\n", filled(words)),
            Block::Verbatim(lines) => {
                let lines: Vec<String> = lines.iter().map(|line| text(line)).collect();
                format!(".nf\n{}\n.fi\n", lines.join("\n"))
            }
            Block::Item(term, about) if about.is_empty() => format!(".TP\n\\fB{}\\fR\n", text(term)),
            Block::Item(term, about) => format!(".TP\n\\fB{}\\fR\n{}\n", text(term), filled(about)),
        };
    }
    out
}

/// The text with one sentence a line, as roff wants it for the space after sentences.
fn filled(words: &str) -> String {
    words.split(". ").map(text).collect::<Vec<_>>().join(".\n")
}

/// The blocks of the help of a command: paragraphs, and lists of terms with their descriptions. The paragraph about exit
/// codes has its own heading.
pub(super) fn help_blocks(about: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut exit_codes = Vec::new();
    for paragraph in about.split("\n\n") {
        let mut list = false;
        let mut words = String::new();
        for line in paragraph.lines() {
            if let Some((term, rest)) = item(line) {
                flush(&mut words, &mut found);
                found.push(Block::Item(term.into(), rest.into()));
                list = true;
            } else if list && line.starts_with("   ") {
                if let Some(Block::Item(_, about)) = found.last_mut() {
                    append(about, line.trim());
                }
            } else {
                list = false;
                append(&mut words, line.trim());
            }
        }
        if let Some(codes) = words.strip_prefix("Exit codes: ") {
            exit_codes.push(Block::Heading("EXIT STATUS".into()));
            exit_codes.push(Block::Paragraph(codes.to_owned()));
        } else {
            flush(&mut words, &mut found);
        }
    }
    found.extend(exit_codes);
    found
}

fn flush(words: &mut String, found: &mut Vec<Block>) {
    if !words.is_empty() {
        found.push(Block::Paragraph(std::mem::take(words)));
    }
}

fn append(words: &mut String, more: &str) {
    if !words.is_empty() {
        words.push(' ');
    }
    words.push_str(more);
}

/// The term and the description of a line that begins an item: two spaces before the term, or none before a switch with
/// a slash.
fn item(line: &str) -> Option<(&str, &str)> {
    let entry = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
    let entry = entry.or_else(|| Some(line).filter(|line| line.starts_with('/') && line.contains("  ")))?;
    if let Some((term, rest)) = entry.split_once("  ") {
        return Some((term, rest.trim()));
    }
    if !entry.starts_with(['-', '/']) {
        return Some((entry, ""));
    }
    // A long term leaves one space before the description: the switches and the commas between them are the term.
    let mut end = 0;
    for word in entry.split_inclusive(' ') {
        if !word.starts_with(['-', '/']) {
            break;
        }
        end += word.len();
        if !word.trim_end().ends_with(',') {
            break;
        }
    }
    let (term, rest) = entry.split_at_checked(end)?;
    Some((term.trim(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_becomes_paragraphs_and_items() {
        let help = "\
Shows files,
or closes them.

  id         a number
             of two lines
  /YES, /NO  answers
  --kerberos log on so
  --expect-user, --expect-path
             close only then
  SERVER

Filters:
  --path     a\\b. More

Exit codes: 0 success;
1 not.
";
        let item = |term: &str, about: &str| Block::Item(term.into(), about.into());
        let words = |text: &str| Block::Paragraph(text.into());
        assert_eq!(
            help_blocks(help),
            [
                words("Shows files, or closes them."),
                item("id", "a number of two lines"),
                item("/YES, /NO", "answers"),
                item("--kerberos", "log on so"),
                item("--expect-user, --expect-path", "close only then"),
                item("SERVER", ""),
                words("Filters:"),
                item("--path", "a\\b. More"),
                Block::Heading("EXIT STATUS".into()),
                words("0 success; 1 not."),
            ]
        );
    }

    #[test]
    fn special_characters_are_escaped() {
        assert_eq!(text(".x"), "\\&.x");
        assert_eq!(text("'a'"), "\\&'a'");
        assert_eq!(text("--a \\b"), "\\-\\-a \\eb");
        assert_eq!(blocks(&[Block::Paragraph("One. 'Two'.".into())]), ".PP\nOne.\n\\&'Two'.\n");
    }
}
