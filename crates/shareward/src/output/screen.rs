//! The terminal as a screen: drawn as a whole, and given back as it was.

use std::io::{self, IsTerminal as _, Stdout, Write as _};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use control::number;
use crossterm::cursor::{Hide, Show};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{ExecutableCommand as _, QueueableCommand as _};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;

use crate::failure::Numbered;

/// True while the terminal shows the screen.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// The terminal while it shows the screen. It is given back when this is dropped, and before the message of a panic.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal. A stream that is none, and a terminal that cannot move its cursor, are refused.
    pub(crate) fn take() -> Result<Self, Numbered> {
        let refused = |hint: String| Numbered::new(number::NOT_SUPPORTED).hint(hint);
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(refused(String::from(
                "standard input and output must be a terminal; 'net file --watch' writes lines to files and pipes",
            )));
        }
        let name = std::env::var("TERM").unwrap_or_default();
        if ["", "dumb", "unknown"].contains(&name.as_str()) {
            return Err(refused(format!(
                "the terminal {name:?} (TERM) cannot show a screen; 'net file --watch' needs none"
            )));
        }
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
        let failed = |error: io::Error| refused(error.to_string());
        show().map_err(failed)?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()));
        terminal.map(|terminal| Self { terminal }).map_err(|error| {
            give_back();
            failed(error)
        })
    }

    /// Draws the next frame.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame.buffer_mut())).map(|_| ())
    }

    /// Draws all cells again, whatever the terminal shows.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        // Terminal::clear asks the terminal for its cursor, and the answer would be read as keys.
        io::stdout().execute(Clear(ClearType::All))?;
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }

    /// Stops the process as Ctrl-Z does, with the terminal given back, and takes the terminal again when the process
    /// continues.
    pub(crate) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)?;
        show()?;
        self.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn show() -> io::Result<()> {
    enable_raw_mode()?;
    SHOWN.store(true, Ordering::Relaxed);
    let mut out = io::stdout();
    out.queue(EnterAlternateScreen)?.queue(Hide)?.flush()
}

/// Gives the terminal back as it was. There is nothing left to do if that fails.
fn give_back() {
    if SHOWN.swap(false, Ordering::Relaxed) {
        let mut out = io::stdout();
        let _ = out.execute(LeaveAlternateScreen);
        let _ = out.execute(Show);
        let _ = disable_raw_mode();
    }
}
