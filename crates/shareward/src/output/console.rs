//! The three streams of a command.

use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal as _, Read as _, Write};

use serde::Serialize;

use crate::failure::{Failure, Numbered};

/// The input and output of a command. Output is buffered until the end or until a question.
///
/// A reader that went away (`net file | head`) is not an error: the remaining output is discarded, and the command
/// finishes its work.
pub(crate) struct Console {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    input: Box<dyn BufRead>,
    input_is_terminal: bool,
    width: Option<usize>,
    height: Option<usize>,
    err_is_terminal: bool,
    json: bool,
    data: bool,
    trouble: Option<io::ErrorKind>,
}

impl Console {
    /// The process's own streams.
    pub(crate) fn standard() -> Self {
        let out = io::stdout();
        let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok()).flatten();
        let known = |length: u16| Some(usize::from(length)).filter(|length| *length > 0);
        Self {
            out: Box::new(BufWriter::new(out)),
            err: Box::new(io::stderr()),
            // One byte at a time from the process's own buffer, so that a second reader misses nothing.
            input: Box::new(BufReader::with_capacity(1, io::stdin())),
            input_is_terminal: io::stdin().is_terminal(),
            width: size.and_then(|size| known(size.ws_col)),
            height: size.and_then(|size| known(size.ws_row)),
            err_is_terminal: io::stderr().is_terminal(),
            json: false,
            data: false,
            trouble: None,
        }
    }

    /// Declares that stdout carries JSON: questions and notes go to stderr, and errors are JSON.
    pub(crate) fn set_json(&mut self) {
        self.json = true;
        self.data = true;
    }

    /// Declares that stdout carries other data for programs: questions and notes go to stderr.
    pub(crate) fn set_data(&mut self) {
        self.data = true;
    }

    /// True if stdout carries JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// The columns of the terminal on stdout; `None` if stdout is a file or a pipe.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width
    }

    /// The lines of the terminal on stdout; `None` if stdout is a file or a pipe.
    pub(crate) fn height(&self) -> Option<usize> {
        self.height
    }

    /// Shows progress on stderr, if that is a terminal. An empty text removes it.
    pub(crate) fn progress(&mut self, text: &str) {
        if self.err_is_terminal {
            self.error(&format!("\r{text}\u{1b}[K"));
        }
    }

    /// Flushes the output. Returns false if its reader is gone, so that a command that runs forever ends.
    pub(crate) fn shown(&mut self) -> bool {
        self.flush();
        self.trouble.is_none()
    }

    /// Writes to stdout.
    pub(crate) fn write(&mut self, text: &str) {
        if self.trouble.is_none() {
            let written = self.out.write_all(text.as_bytes());
            self.note(written);
        }
    }

    /// Writes a line to stdout.
    pub(crate) fn line(&mut self, text: &str) {
        self.write(text);
        self.write("\n");
    }

    /// Writes `content` to stdout as the JSON that `--json` promises.
    pub(crate) fn document(&mut self, name: &'static str, content: &impl Serialize) -> Result<(), Failure> {
        if self.trouble.is_some() {
            return Ok(());
        }
        match super::write_document(name, content, &mut self.out) {
            Err(error) if error.io_error_kind().is_none() => {
                Err(Numbered::new(control::number::INVALID_DATA).hint(error.to_string()).into())
            }
            written => {
                self.note(written.map_err(Into::into));
                Ok(())
            }
        }
    }

    /// Writes to stderr. A failure is ignored, because nothing is left to report it on.
    pub(crate) fn error(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes());
    }

    /// Writes a question or note for the user: to stdout, as NET does, or to stderr if stdout carries data.
    pub(crate) fn talk(&mut self, text: &str) {
        if self.data { self.error(text) } else { self.write(text) }
    }

    /// The next line of input; `None` at its end.
    pub(crate) fn answer(&mut self) -> Option<String> {
        self.flush();
        let mut line = Vec::new();
        let length = io::Read::take(&mut self.input, ANSWER_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
        if !self.input_is_terminal {
            self.talk("\n");
        }
        (length > 0).then(|| String::from_utf8_lossy(&line).into_owned())
    }

    /// All input up to its end, at most `max` bytes.
    pub(crate) fn input(&mut self, max: u64) -> io::Result<String> {
        let mut text = String::new();
        io::Read::take(&mut self.input, max).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Asks `question` without showing the answer; reads a line of input if that is not a terminal. `None` at its
    /// end.
    pub(crate) fn secret(&mut self, question: &str) -> io::Result<Option<String>> {
        if self.input_is_terminal {
            self.flush();
            return rpassword::prompt_password(question).map(Some);
        }
        self.talk(question);
        Ok(self.answer().map(|line| line.trim_end_matches(['\n', '\r']).to_owned()))
    }

    /// Flushes the output and reports a write error (29), except that the reader is gone.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.flush();
        match self.trouble {
            None | Some(io::ErrorKind::BrokenPipe) => Ok(()),
            Some(kind) => Err(Numbered::new(control::number::WRITE_FAULT).hint(kind.to_string()).into()),
        }
    }

    fn flush(&mut self) {
        if self.trouble.is_none() {
            let flushed = self.out.flush();
            self.note(flushed);
        }
    }

    fn note(&mut self, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            self.trouble = Some(error.kind());
        }
    }
}

/// The most bytes of an answer that are read; a longer line counts as several wrong answers.
const ANSWER_BYTES_MAX: u64 = 1024;

#[cfg(test)]
pub(crate) mod memory {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// The output of a console in memory.
    #[derive(Clone, Default)]
    pub(crate) struct Shown(Rc<RefCell<Vec<u8>>>);

    impl Shown {
        /// The whole output.
        pub(crate) fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.borrow()).into_owned()
        }
    }

    impl Write for Shown {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Console {
        /// A console that reads `input`; stdout and stderr go to the same place.
        pub(crate) fn memory(input: &str) -> (Self, Shown) {
            let shown = Shown::default();
            let console = Self {
                out: Box::new(shown.clone()),
                err: Box::new(shown.clone()),
                input: Box::new(io::Cursor::new(input.as_bytes().to_vec())),
                input_is_terminal: false,
                width: None,
                height: None,
                err_is_terminal: false,
                json: false,
                data: false,
                trouble: None,
            };
            (console, shown)
        }
    }

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_broken_pipe_is_no_error_and_other_write_errors_are() {
        for (kind, fine) in [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)] {
            let (mut console, _) = Console::memory("");
            console.out = Box::new(Failing(kind));
            console.line("lost");
            assert_eq!(console.finish().is_ok(), fine, "{kind}");
        }
    }
}
