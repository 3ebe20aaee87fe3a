//! The state of the screen: a function of what the servers report and of the keys. No input or output.

use control::{CloseFile, Event, OpenFile, Session, Statistics, Timestamp};

use super::dialog::{Act, Dialog};
use super::server_state::ServerState;
use super::table::{self, Row, RowKey, Tab};
use crate::output::clean_line;

/// A key of the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Control(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Tab,
    BackTab,
    Backspace,
}

/// The way in which a server reports changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// The first answer is awaited.
    Connecting,
    /// By events.
    Live,
    /// The server has no events, so its lists are requested again and again.
    Polled,
    /// The server does not answer, for this reason.
    Down(String),
}

/// The lists of a server at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    /// The time at which the lists were requested.
    pub(super) asked: Timestamp,
    /// The sessions; `None` if the server does not list them.
    pub(super) sessions: Option<Vec<Session>>,
    /// The opens; `None` if the server does not list them.
    pub(super) files: Option<Vec<OpenFile>>,
}

/// A key, or a report of a server.
#[derive(Debug)]
pub(super) enum Input {
    /// A key was pressed.
    Key(Key),
    /// A server's way to report changes has changed.
    Link(usize, Link),
    /// A server sent its lists.
    Snapshot(usize, Box<Snapshot>),
    /// A server sent its counters.
    Statistics(usize, Box<Statistics>),
    /// A server sent an event.
    Event(usize, Box<Event>),
    /// A close or an end was carried out, or failed: the text for the user.
    Outcome(String),
}

/// Work for the caller.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    /// End the program.
    Quit,
    /// Give the terminal back to the shell, as Ctrl-Z does in other programs.
    Suspend,
    /// Draw every cell again.
    Redraw,
    /// Request the lists of all servers.
    Refresh,
    /// Close an open of a server.
    Close(usize, u32, CloseFile),
    /// End a session of a server.
    End(usize, Box<Session>),
}

/// The mode of the keyboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Keys are commands for the list.
    List,
    /// Keys are the text of the filter; with the text that it had before.
    Filter(String),
    /// Keys are the text to search for.
    Search(String),
    /// A window is shown above the list.
    Dialog(Dialog),
}

/// The position in one list.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) selected: Option<RowKey>,
    /// The row of the selection, in case that its entry ends.
    pub(super) row: usize,
    /// The first row on the screen.
    pub(super) top: usize,
    /// The column that the list is sorted by, and the direction.
    pub(super) sort: Option<(usize, bool)>,
}

/// The state of the screen.
pub(super) struct Model {
    pub(super) servers: Vec<ServerState>,
    pub(super) tab: Tab,
    places: [Place; Tab::ALL.len()],
    pub(super) filter: String,
    searched: String,
    pub(super) mode: Mode,
    pub(super) message: String,
    pub(super) now: Timestamp,
    /// The rows of the list on a screen.
    page: usize,
    /// The entries of the list, until the data changes.
    rows: Option<Vec<Row>>,
}

impl Model {
    /// The screen for servers of these names; `None` for the server of this machine.
    pub(super) fn new(names: Vec<Option<String>>, now: Timestamp) -> Self {
        Self {
            servers: names.into_iter().map(ServerState::new).collect(),
            tab: Tab::Sessions,
            places: Default::default(),
            filter: String::new(),
            searched: String::new(),
            mode: Mode::List,
            message: String::new(),
            now,
            page: 10,
            rows: None,
        }
    }

    /// True if entries are shown with the names of their servers.
    pub(super) fn has_several(&self) -> bool {
        self.servers.len() > 1
    }

    /// Takes one input.
    pub(super) fn update(&mut self, input: Input, now: Timestamp) -> Option<Command> {
        self.now = now;
        if !matches!(input, Input::Key(_) | Input::Outcome(_)) {
            self.rows = None;
        }
        match input {
            Input::Key(key) => return self.press(key),
            Input::Outcome(text) => self.message = clean_line(&text),
            Input::Link(server, link) => {
                if let Some(it) = self.servers.get_mut(server) {
                    it.link = link;
                }
            }
            Input::Snapshot(server, snapshot) => {
                if let Some(it) = self.servers.get_mut(server) {
                    it.take_snapshot(*snapshot, now);
                }
            }
            Input::Statistics(server, statistics) => {
                if let Some(it) = self.servers.get_mut(server) {
                    it.take_statistics(*statistics, now);
                }
            }
            Input::Event(server, event) => {
                if let Some(it) = self.servers.get_mut(server) {
                    it.take_event(&event, now);
                }
            }
        }
        None
    }

    fn press(&mut self, key: Key) -> Option<Command> {
        match key {
            Key::Control('c') => return Some(Command::Quit),
            Key::Control('z') => return Some(Command::Suspend),
            Key::Control('l') => return Some(Command::Redraw),
            _ => {}
        }
        match std::mem::replace(&mut self.mode, Mode::List) {
            Mode::List => self.press_in_list(key),
            Mode::Filter(before) => {
                self.rows = None;
                match key {
                    Key::Escape => self.filter = before,
                    Key::Enter => {}
                    _ => {
                        edit(&mut self.filter, key);
                        self.mode = Mode::Filter(before);
                    }
                }
                None
            }
            Mode::Search(mut text) => {
                match key {
                    Key::Escape => {}
                    Key::Enter => {
                        self.searched = text;
                        self.find(1);
                    }
                    _ => {
                        edit(&mut text, key);
                        self.mode = Mode::Search(text);
                    }
                }
                None
            }
            Mode::Dialog(dialog) => self.press_in_dialog(dialog, key),
        }
    }

    fn press_in_dialog(&mut self, dialog: Dialog, key: Key) -> Option<Command> {
        match (&dialog, key) {
            (Dialog::Confirm(act), Key::Char('y' | 'Y')) => {
                let command = act.command();
                self.message = act.progress();
                Some(command)
            }
            (Dialog::Confirm(_), Key::Char('n' | 'N' | 'q') | Key::Escape | Key::Enter) => {
                self.message = String::from("Nothing was done.");
                None
            }
            (Dialog::Confirm(_), _) => {
                self.mode = Mode::Dialog(dialog);
                None
            }
            (Dialog::Detail(_), Key::Char('c' | 'e')) => self.press_in_list(key),
            _ => None,
        }
    }

    fn press_in_list(&mut self, key: Key) -> Option<Command> {
        self.message.clear();
        let page = isize::try_from(self.page.max(1)).unwrap_or(isize::MAX);
        match key {
            Key::Char('q') => return Some(Command::Quit),
            Key::Char('R') => {
                self.message = String::from("Asking all servers again.");
                return Some(Command::Refresh);
            }
            Key::Char(number @ '1'..='4') => {
                let index = usize::try_from(u32::from(number).saturating_sub(u32::from('1'))).unwrap_or(0);
                self.show(Tab::ALL.get(index).copied().unwrap_or(self.tab));
            }
            Key::Tab => self.show(self.tab.neighbour(1)),
            Key::BackTab => self.show(self.tab.neighbour(Tab::ALL.len() - 1)),
            Key::Up | Key::Char('k') => self.go(-1),
            Key::Down | Key::Char('j') => self.go(1),
            Key::PageUp => self.go(-page),
            Key::PageDown | Key::Char(' ') => self.go(page),
            Key::Home | Key::Char('g') => self.go(isize::MIN),
            Key::End | Key::Char('G') => self.go(isize::MAX),
            Key::Char('s') => self.sort_by_next(),
            Key::Char('r') => self.reverse(),
            Key::Char('f') => self.mode = Mode::Filter(self.filter.clone()),
            Key::Char('/') => self.mode = Mode::Search(String::new()),
            Key::Char('n') => self.find(1),
            Key::Char('N') => self.find(-1),
            Key::Escape => {
                self.filter.clear();
                self.rows = None;
            }
            Key::Char('?' | 'h') => self.mode = Mode::Dialog(Dialog::Help),
            Key::Enter => self.open_dialog(Dialog::Detail),
            Key::Char('c') => self.ask(Act::of_close),
            Key::Char('e') => self.ask(Act::of_end),
            _ => {}
        }
        None
    }

    fn show(&mut self, tab: Tab) {
        self.tab = tab;
        self.rows = None;
    }

    pub(super) fn place(&self) -> &Place {
        let [sessions, files, busiest, refusals] = &self.places;
        match self.tab {
            Tab::Sessions => sessions,
            Tab::Files => files,
            Tab::Busiest => busiest,
            Tab::Refusals => refusals,
        }
    }

    fn place_mut(&mut self) -> &mut Place {
        let [sessions, files, busiest, refusals] = &mut self.places;
        match self.tab {
            Tab::Sessions => sessions,
            Tab::Files => files,
            Tab::Busiest => busiest,
            Tab::Refusals => refusals,
        }
    }

    /// The column and the direction by which the list is sorted.
    pub(super) fn sort(&self) -> (usize, bool) {
        self.place().sort.unwrap_or(self.tab.usual_sort())
    }

    fn sort_by_next(&mut self) {
        let columns = self.tab.columns().len();
        let (column, _) = self.sort();
        let next = (column + 1) % columns.max(1);
        self.place_mut().sort = Some((next, self.tab.is_descending(next)));
        self.rows = None;
    }

    fn reverse(&mut self) {
        let (column, descending) = self.sort();
        self.place_mut().sort = Some((column, !descending));
        self.rows = None;
    }

    /// The entries of the list, filtered and sorted.
    pub(super) fn rows(&mut self) -> &[Row] {
        if self.rows.is_none() {
            let rows = table::rows(self.tab, &self.servers, &self.filter, self.sort());
            self.rows = Some(rows);
            self.keep_selection();
        }
        self.rows.as_deref().unwrap_or_default()
    }

    /// Keeps the selection on its entry, or on the row of an entry that has ended.
    fn keep_selection(&mut self) {
        let Some(rows) = self.rows.take() else { return };
        let place = self.place_mut();
        let found = place.selected.as_ref().and_then(|key| rows.iter().position(|row| row.key == *key));
        place.row = found.unwrap_or(place.row).min(rows.len().saturating_sub(1));
        place.selected = rows.get(place.row).map(|row| row.key.clone());
        self.rows = Some(rows);
    }

    fn go(&mut self, by: isize) {
        let last = self.rows().len().saturating_sub(1);
        let row = self.place().row.saturating_add_signed(by).min(last);
        self.select(row);
    }

    fn select(&mut self, row: usize) {
        let key = self.rows().get(row).map(|row| row.key.clone());
        let place = self.place_mut();
        (place.row, place.selected) = (row, key);
    }

    /// Selects the next entry, or the previous one, that has the searched text.
    fn find(&mut self, step: isize) {
        let wanted = self.searched.clone();
        if wanted.is_empty() {
            self.message = String::from("Nothing was searched for yet: / begins a search.");
            return;
        }
        let row = self.place().row;
        let rows = self.rows();
        let count = rows.len();
        let forward = step > 0;
        let order = (1..=count).map(|distance| {
            let distance = if forward { distance } else { count - distance };
            (row + distance) % count
        });
        let found = order.into_iter().find(|at| rows.get(*at).is_some_and(|it| it.has_text(&wanted)));
        match found {
            Some(row) => self.select(row),
            None => self.message = format!("No entry has the text {}.", clean_line(&self.searched)),
        }
    }

    fn open_dialog(&mut self, dialog: impl Fn(RowKey) -> Dialog) {
        self.rows();
        if let Some(key) = self.place().selected.clone() {
            self.mode = Mode::Dialog(dialog(key));
        }
    }

    fn ask(&mut self, act: impl Fn(&RowKey, &[ServerState]) -> Result<Act, &'static str>) {
        self.rows();
        let Some(key) = self.place().selected.clone() else { return };
        match act(&key, &self.servers) {
            Ok(act) => self.mode = Mode::Dialog(Dialog::Confirm(Box::new(act))),
            Err(reason) => self.message = String::from(reason),
        }
    }

    /// Sets the number of rows on the screen, and moves the list so that the selection is visible.
    pub(super) fn scroll(&mut self, page: usize) {
        self.page = page;
        self.rows();
        let place = self.place_mut();
        let lowest = (place.row + 1).saturating_sub(page.max(1));
        place.top = place.top.clamp(lowest, place.row.max(lowest));
    }
}

fn edit(text: &mut String, key: Key) {
    match key {
        Key::Char(c) if text.chars().count() < TEXT_MAX => text.push(c),
        Key::Backspace => {
            text.pop();
        }
        Key::Control('u') => text.clear(),
        _ => {}
    }
}

/// The characters of a filter or a searched text: longer than any component of a path.
const TEXT_MAX: usize = 255;
