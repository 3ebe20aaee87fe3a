//! The screen at work: keys and servers in, frames out.

use std::time::Duration;

use client::Administration;
use control::{Session, Timestamp, number};
use crossterm::event::{Event as TerminalEvent, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::collect::collect;
use super::model::{Command, Input, Key, Model};
use super::view::{Look, draw};
use crate::administration::Servers;
use crate::applets::file::outcome_message;
use crate::failure::{Failure, Numbered};

use crate::output::Screen;

/// Shows the servers until the user quits, or until the terminal or the process is ended.
pub(super) async fn run(servers: &Servers, look: Look) -> Result<(), Failure> {
    let names = servers.iter().map(|it| it.name.clone()).collect();
    let mut model = Model::new(names, Timestamp::now());
    let refreshes: Vec<Notify> = servers.iter().map(|_| Notify::new()).collect();
    let (sender, mut inputs) = mpsc::channel(WAITING_INPUTS);
    let collecting = servers
        .iter()
        .zip(&refreshes)
        .enumerate()
        .map(|(number, (server, refresh))| collect(number, &*server.administration, refresh, &sender));
    let collecting = join_all(collecting);
    tokio::pin!(collecting);
    let mut screen = Screen::take()?;
    let lost =
        |error: std::io::Error| Failure::from(Numbered::new(number::NOT_SUPPORTED).hint(error.to_string()));
    let mut keys = Some(EventStream::new());
    let mut terminate = signal(SignalKind::terminate()).map_err(lost)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(lost)?;
    let mut acts = FuturesUnordered::new();
    let mut clock = interval(CLOCK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut drawn = Instant::now();
    let mut is_changed = true;
    loop {
        // Keys are answered at once, data a few times in a second.
        let next_frame = drawn + FRAME;
        let command = tokio::select! {
            biased;
            _ = terminate.recv() => return Ok(()),
            _ = hang_up.recv() => return Ok(()),
            event = next(&mut keys) => {
                let Some(event) = event else { return Ok(()) };
                is_changed = true;
                drawn = Instant::now() - FRAME;
                match event.map_err(lost)? {
                    TerminalEvent::Key(event) => {
                        key(event).and_then(|key| model.update(Input::Key(key), Timestamp::now()))
                    }
                    _ => None,
                }
            }
            () = sleep_until(next_frame), if is_changed => {
                screen.draw(|buffer| draw(&mut model, look, buffer)).map_err(lost)?;
                (is_changed, drawn) = (false, Instant::now());
                None
            }
            Some(outcome) = acts.next(), if !acts.is_empty() => {
                is_changed = true;
                refreshes.iter().for_each(Notify::notify_one);
                model.update(Input::Outcome(outcome), Timestamp::now())
            }
            Some(input) = inputs.recv() => {
                is_changed = true;
                model.update(input, Timestamp::now())
            }
            _ = clock.tick() => {
                model.now = Timestamp::now();
                is_changed = true;
                None
            }
            _ = &mut collecting => None,
        };
        match command {
            None => {}
            Some(Command::Quit) => return Ok(()),
            Some(Command::Suspend) => {
                // The reader of keys must not take those that are for the shell.
                drop(keys.take());
                screen.suspend().map_err(lost)?;
                keys = Some(EventStream::new());
            }
            Some(Command::Redraw) => screen.clear().map_err(lost)?,
            Some(Command::Refresh) => refreshes.iter().for_each(Notify::notify_one),
            Some(act) => {
                let server = match &act {
                    Command::Close(server, ..) | Command::End(server, _) => servers.iter().nth(*server),
                    _ => None,
                };
                if let Some(server) = server {
                    acts.push(carry_out(&*server.administration, act));
                }
            }
        }
    }
}

/// Waits for the next event of the terminal; waits for ever while the terminal is given back.
async fn next(keys: &mut Option<EventStream>) -> Option<std::io::Result<TerminalEvent>> {
    match keys {
        Some(keys) => keys.next().await,
        None => std::future::pending().await,
    }
}

/// Carries out an act; the text says how it went.
async fn carry_out(server: &dyn Administration, act: Command) -> String {
    match act {
        Command::Close(_, id, how) => match server.close_file(id, &how).await {
            Ok(ended) => ended.outcome.map_or("Closed.", outcome_message).to_owned(),
            Err(error) if error.number() == number::FILE_ID_NOT_FOUND => {
                String::from("Not closed: this open has ended, or is another one now.")
            }
            Err(error) => format!("Not closed: {}", Numbered::from(error).sentence()),
        },
        Command::End(_, session) => end(server, &session).await,
        _ => String::new(),
    }
}

async fn end(server: &dyn Administration, session: &Session) -> String {
    match server.end_session(session).await {
        Ok(ended) => {
            let files = usize::try_from(ended.files).unwrap_or(usize::MAX);
            format!("The session was ended, {} closed.", crate::open_files::number(files, "file", "files"))
        }
        Err(error) if error.number() == number::CLIENT_NAME_NOT_FOUND => {
            String::from("This session has ended already.")
        }
        Err(error) => format!("Not ended: {}", Numbered::from(error).sentence()),
    }
}

/// The key of the model; `None` for keys that have no meaning here.
fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    Some(match event.code {
        KeyCode::Char(c) if event.modifiers.contains(KeyModifiers::CONTROL) => Key::Control(c),
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    })
}

/// The time between two frames that no key has asked for.
const FRAME: Duration = Duration::from_millis(200);

/// The time between two frames of which only the clock is new.
const CLOCK: Duration = Duration::from_secs(1);

/// The inputs that wait for the screen; beyond them, its servers wait.
const WAITING_INPUTS: usize = 256;
