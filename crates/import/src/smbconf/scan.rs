//! Splits a file of smb.conf's syntax into sections and parameters, as Samba does: the manual page's "FILE FORMAT", and
//! for what it leaves open the behaviour of `testparm`, which the tests compare with.

/// One section head or parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The line on which it begins, from 1.
    pub line: u32,
    /// The content.
    pub content: Content,
}

/// The content of an [`Item`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// `[name]`. Runs of spaces in the name are one.
    Section(Vec<u8>),
    /// `name = value`. Runs of spaces in both are one.
    Parameter {
        /// The name.
        name: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// A line with neither, which Samba ignores.
    Ignored,
}

/// A line that keeps Samba from reading the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The line, from 1.
    pub line: u32,
    /// The error.
    pub message: &'static str,
}

/// Reads a file.
pub fn scan(text: &[u8]) -> Result<Vec<Item>, Broken> {
    let mut source = Source { text, at: 0, line: 1 };
    let mut items = Vec::new();
    while let Some(byte) = source.next() {
        match byte {
            b';' | b'#' => source.skip_line(),
            byte if is_space(byte) => {}
            b'[' => items.push(section(&mut source)?),
            byte => items.push(parameter(&mut source, byte)?),
        }
    }
    Ok(items)
}

/// Reads a section head after its bracket. The rest of the line is ignored.
fn section(source: &mut Source<'_>) -> Result<Item, Broken> {
    let line = source.line;
    let mut name = Collapsed::default();
    loop {
        match source.next() {
            Some(b']') => break,
            None | Some(b'\n') => return Err(Broken { line, message: "the head of the section has no ]" }),
            Some(byte) => name.push(byte),
        }
    }
    if name.bytes.is_empty() {
        return Err(Broken { line, message: "the section has no name" });
    }
    // Other than that of a comment, the rest can be continued.
    while source.next().is_some_and(|byte| byte != b'\n') {}
    Ok(Item { line, content: Content::Section(name.bytes) })
}

/// Reads a parameter that begins with `first`.
fn parameter(source: &mut Source<'_>, first: u8) -> Result<Item, Broken> {
    let line = source.line;
    let mut name = Collapsed::default();
    let mut byte = Some(first);
    loop {
        match byte {
            Some(b'=') => break,
            None | Some(b'\n') => return Ok(Item { line, content: Content::Ignored }),
            Some(other) => name.push(other),
        }
        byte = source.next();
    }
    let name = name.trimmed();
    if name.is_empty() {
        return Err(Broken { line, message: "the parameter has no name" });
    }
    let mut value = Collapsed::default();
    while let Some(byte) = source.next().filter(|byte| *byte != b'\n') {
        if !value.bytes.is_empty() || !is_space(byte) {
            value.push(byte);
        }
    }
    Ok(Item { line, content: Content::Parameter { name, value: value.trimmed() } })
}

/// The spaces of C's `isspace`.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b'\x0b'
}

/// Bytes in which each run of spaces is its first.
#[derive(Default)]
struct Collapsed {
    bytes: Vec<u8>,
}

impl Collapsed {
    fn push(&mut self, byte: u8) {
        if !is_space(byte) || !self.bytes.last().copied().is_some_and(is_space) {
            self.bytes.push(byte);
        }
    }

    fn trimmed(mut self) -> Vec<u8> {
        while self.bytes.last().copied().is_some_and(is_space) {
            self.bytes.pop();
        }
        self.bytes
    }
}

/// The bytes of a file without line continuations.
struct Source<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
}

impl Source<'_> {
    fn next(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at..)? {
                [] => return None,
                [b'\\', rest @ ..] if let Some(end) = end_of_line(rest) => self.at += 1 + end,
                [byte, ..] => {
                    self.at += 1;
                    if *byte == b'\n' {
                        self.line = self.line.saturating_add(1);
                    }
                    return Some(*byte);
                }
            }
            self.line = self.line.saturating_add(1);
        }
    }

    /// Skips the rest of the line, which cannot be continued.
    fn skip_line(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(length) => {
                self.at += length + 1;
                self.line = self.line.saturating_add(1);
            }
            None => self.at = self.text.len(),
        }
    }
}

/// The length of the spaces and the line break at the beginning of the text; `None` if another byte comes first.
fn end_of_line(text: &[u8]) -> Option<usize> {
    let spaces = text.iter().take_while(|byte| **byte != b'\n' && is_space(**byte)).count();
    (text.get(spaces) == Some(&b'\n')).then_some(spaces + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(u32, String)> {
        let items = scan(text.as_bytes()).unwrap();
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let content = |content| match content {
            Content::Section(name) => format!("[{}]", lossy(&name)),
            Content::Parameter { name, value } => format!("{}={}", lossy(&name), lossy(&value)),
            Content::Ignored => String::from("-"),
        };
        items.into_iter().map(|item| (item.line, content(item.content))).collect()
    }

    #[test]
    fn comments_continuations_and_spaces() {
        let text = "; one \\\n# two\n[a  b] rest = 1\n path=/p ; q\ncomment = A \\\n  B\\\nC\\D\n novalue\nx\t y =\n\
                    last = e\\";
        let expected = [
            (3, "[a b]"),
            (4, "path=/p ; q"),
            (5, "comment=A BC\\D"),
            (8, "-"),
            (9, "x\ty="),
            (10, "last=e\\"),
        ];
        assert_eq!(shown(text), expected.map(|(line, text)| (line, text.to_owned())));
        assert_eq!(shown("a = \\ \t\r\n b\\ c\\  \nd = \\\n"), [(1, "a=b\\ cd =".to_owned())]);
        assert_eq!(shown("[s]\r\npath = /p\r\n"), [(1, "[s]".to_owned()), (2, "path=/p".to_owned())]);
    }

    #[test]
    fn broken_files_have_the_line_of_their_fault() {
        let fault = |text: &str| scan(text.as_bytes()).unwrap_err();
        assert_eq!(fault("\n[s\n]\n").line, 2);
        assert_eq!(fault("[]\n").message, "the section has no name");
        assert_eq!(fault("[s]\n = x\n").line, 2);
    }
}
