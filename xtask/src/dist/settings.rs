//! The manual page of the configuration file, from the comments of the file that is installed.

use super::man::{self, Release};
use super::roff::{self, Block};

/// shareward.toml(5).
pub(super) fn page(settings: &str, release: &Release<'_>) -> String {
    let mut text = man::title("shareward.toml", 5, release, "configuration of the Shareward SMB file server");
    text += &roff::blocks(&[Block::Heading("DESCRIPTION".into())]);
    text += &roff::blocks(&blocks(settings));
    text += &roff::blocks(&[
        Block::Heading("FILES".into()),
        Block::Item("/etc/shareward/shareward.toml".into(), "The default place of the file for root.".into()),
        Block::Item("~/.config/shareward/shareward.toml".into(), "The default place for other users.".into()),
    ]);
    text +=
        &man::see_also(&["shareward(8)".into(), "shareward-check(8)".into(), "shareward-serve(8)".into()]);
    text
}

/// A line of the file.
enum Line<'a> {
    Blank,
    Comment(&'a str),
    Table(&'a str),
    Setting(&'a str),
}

/// A comment is about the settings or the table after it, up to the next comment.
fn blocks(settings: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut comment = String::new();
    let mut group: Vec<&str> = Vec::new();
    for line in settings.lines().map(classify).chain([Line::Blank]) {
        if !matches!(line, Line::Setting(_)) && !group.is_empty() {
            found.push(Block::Item(group.join(", "), std::mem::take(&mut comment)));
            group.clear();
        }
        match line {
            // The end of a paragraph that is about nothing below it.
            Line::Blank if !comment.is_empty() => found.push(Block::Paragraph(std::mem::take(&mut comment))),
            Line::Blank => {}
            Line::Comment(text) => {
                if !comment.is_empty() {
                    comment.push(' ');
                }
                comment += text;
            }
            Line::Table(table) => {
                found.push(Block::Heading(table.into()));
                if !comment.is_empty() {
                    found.push(Block::Paragraph(std::mem::take(&mut comment)));
                }
            }
            Line::Setting(setting) => group.push(setting),
        }
    }
    found
}

/// `# text` is a comment, `#name = value` a setting with its default.
fn classify(line: &str) -> Line<'_> {
    let line = line.trim_end();
    if line.is_empty() {
        return Line::Blank;
    }
    if let Some(text) = line.strip_prefix("# ") {
        return Line::Comment(text.trim());
    }
    let code = line.strip_prefix('#').unwrap_or(line);
    match code {
        "" => Line::Blank,
        table if table.starts_with('[') => Line::Table(table),
        setting => Line::Setting(setting),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_about_the_settings_after_them() {
        let found = blocks(
            "# The file.\n\n[server]\n# The name\n# of it.\n#name = \"X\"\n#comment = \"Y\"\nother = []\n\n# A table.\n#[domain]\n",
        );
        assert_eq!(
            found,
            [
                Block::Paragraph("The file.".into()),
                Block::Heading("[server]".into()),
                Block::Item("name = \"X\", comment = \"Y\", other = []".into(), "The name of it.".into()),
                Block::Heading("[domain]".into()),
                Block::Paragraph("A table.".into()),
            ]
        );
    }
}
