//! Draws the state of the screen. Text from servers is cleaned before it gets here: by the rows, the dialogs and the
//! messages.

use std::collections::VecDeque;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::dialog::{self, Dialog};
use super::model::{Link, Mode, Model};
use super::server_state::{Rates, ServerState};
use super::table::{Column, SERVER, Tab, time_of_day};
use crate::output::{bytes, clean_line, columns, cut_end, cut_middle, pad};

/// The abilities of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// True if colours are used.
    pub(super) colour: bool,
    /// True if the terminal shows all characters, false for ASCII only.
    pub(super) unicode: bool,
}

/// Draws the state into the buffer.
pub(super) fn draw(model: &mut Model, look: Look, buffer: &mut Buffer) {
    let area = buffer.area;
    let height = usize::from(area.height);
    let mut canvas = Canvas { buffer, look, area };
    // On a low screen, the list comes first.
    let summary = if height >= 12 { 3 } else { usize::from(height >= 8) };
    let footer = 1 + usize::from(height >= 6);
    let header = usize::from(height >= 6);
    let mut line = 0;
    title(model, &mut canvas, line);
    line += 1;
    summarize(model, &mut canvas, line, summary);
    line += summary;
    tabs(model, &mut canvas, line);
    line += 1;
    let page = height.saturating_sub(line + header + footer);
    model.scroll(page);
    list(model, &mut canvas, line, header == 1, page);
    if footer == 2 {
        message(model, &mut canvas, height.saturating_sub(2));
    }
    if height > 2 {
        keys(model, &mut canvas, height.saturating_sub(1));
    }
    if let Mode::Dialog(dialog) = &model.mode {
        window(dialog, model, &mut canvas);
    }
}

struct Canvas<'a> {
    buffer: &'a mut Buffer,
    look: Look,
    area: Rect,
}

impl Canvas<'_> {
    fn width(&self) -> usize {
        usize::from(self.area.width)
    }

    /// Writes a text at a column of a line, as far as it fits.
    fn write(&mut self, column: usize, line: usize, text: &str, style: Style) {
        let (Ok(x), Ok(y)) = (u16::try_from(column), u16::try_from(line)) else { return };
        if x >= self.area.width || y >= self.area.height {
            return;
        }
        let room = usize::from(self.area.width.saturating_sub(x));
        self.buffer.set_stringn(x, y, text, room, style);
    }

    /// Writes a text over a whole line.
    fn fill(&mut self, line: usize, text: &str, style: Style) {
        let text = pad(&cut_end(text, self.width()), self.width());
        self.write(0, line, &text, style);
    }

    fn coloured(&self, color: Color) -> Style {
        if self.look.colour { Style::new().fg(color) } else { Style::new() }
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

fn title(model: &Model, canvas: &mut Canvas<'_>, line: usize) {
    let mut links: Vec<String> = Vec::new();
    for server in &model.servers {
        let name = server.name.as_deref().map(|name| format!("{} ", clean_line(name))).unwrap_or_default();
        let link = match &server.link {
            Link::Connecting => String::from("connecting"),
            Link::Live => String::from("live"),
            Link::Polled => String::from("polled"),
            Link::Down(reason) => format!("no answer: {}", clean_line(reason)),
        };
        links.push(format!("{name}{link}"));
    }
    let time = time_of_day(model.now);
    let room = canvas.width().saturating_sub(columns(&time) + 1);
    let text = pad(&cut_end(&format!("shareward top  {}", links.join(", ")), room), room);
    canvas.fill(line, &format!("{text} {time}"), REVERSED);
}

/// The sum of a number over all servers that report it.
fn total(servers: &[ServerState], of: impl Fn(&ServerState) -> Option<u64>) -> Option<u64> {
    servers.iter().filter_map(of).reduce(u64::saturating_add)
}

fn summarize(model: &Model, canvas: &mut Canvas<'_>, line: usize, lines: usize) {
    if lines == 0 {
        return;
    }
    let servers = &model.servers;
    let count = |count: Option<usize>| count.and_then(|count| u64::try_from(count).ok());
    let current = |of: fn(&control::CurrentCounts) -> u64| {
        total(servers, move |it| it.statistics.as_ref()?.current.as_ref().map(of))
    };
    let refused = total(servers, |it| {
        it.statistics.as_ref().and_then(|it| Some(it.opens_refused? + it.lock_conflicts?))
    });
    let counts = [
        ("Sessions", total(servers, |it| count(it.sessions.as_ref().map(Vec::len)))),
        ("Opens", total(servers, |it| count(it.files.as_ref().map(|it| it.len())))),
        ("Locks", current(|it| it.locks)),
        ("Waiting", current(|it| it.waiting_requests)),
        ("Refused", refused),
    ];
    let text: Vec<String> = counts
        .into_iter()
        .map(|(label, value)| format!("{label} {}", crate::output::or_unknown(value)))
        .collect();
    canvas.write(0, line, &text.join("   "), BOLD);
    if lines < 3 {
        return;
    }
    let per_second = |rate: u64| format!("{rate}/s");
    let bytes_per_second = |rate: u64| format!("{}/s", bytes(rate));
    let half = canvas.width() / 2;
    let graphs: [Graph<'_>; 4] = [
        ("Received", |it| &it.received, &bytes_per_second),
        ("Requests", |it| &it.requests, &per_second),
        ("Sent", |it| &it.sent, &bytes_per_second),
        ("Refusals", |it| &it.refusals, &per_second),
    ];
    for (number, (label, series, shown)) in graphs.into_iter().enumerate() {
        let (column, line) = (number % 2 * half, line + 1 + number / 2);
        let width = half.saturating_sub(1);
        let values = sums(servers, series, width);
        graph(canvas, (column, line, width), label, &values, shown);
    }
}

/// A label, the series that is drawn, and the form of its values.
type Graph<'a> = (&'a str, fn(&Rates) -> &VecDeque<u64>, &'a dyn Fn(u64) -> String);

/// The sums of the latest values of all servers, the latest last.
fn sums(servers: &[ServerState], of: fn(&Rates) -> &VecDeque<u64>, most: usize) -> Vec<u64> {
    let mut sums: Vec<u64> = Vec::new();
    for server in servers {
        for (at, value) in of(&server.rates).iter().rev().take(most).enumerate() {
            match sums.get_mut(at) {
                Some(sum) => *sum = sum.saturating_add(*value),
                None => sums.push(*value),
            }
        }
    }
    sums.reverse();
    sums
}

/// A label, a line of bars and the latest value.
fn graph(
    canvas: &mut Canvas<'_>,
    (column, line, width): (usize, usize, usize),
    label: &str,
    values: &[u64],
    shown: &dyn Fn(u64) -> String,
) {
    let latest = crate::output::or_unknown(values.last().map(|rate| shown(*rate)));
    canvas.write(column, line, label, Style::new());
    let bars = width.saturating_sub(LABEL + VALUE + 1);
    let levels: Vec<char> = if canvas.look.unicode { UNICODE_BARS } else { ASCII_BARS }.chars().collect();
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let tail = values.len().saturating_sub(bars);
    let level = |value: &u64| {
        let top = u64::try_from(levels.len()).unwrap_or(1).saturating_sub(1);
        let at = value.saturating_mul(top).div_ceil(most);
        usize::try_from(at).ok().and_then(|at| levels.get(at).copied()).unwrap_or(' ')
    };
    let drawn: String = values.iter().skip(tail).map(level).collect();
    let style = canvas.coloured(Color::Cyan);
    canvas.write(column + LABEL, line, &pad(&drawn, bars), style);
    canvas.write(column + LABEL + bars + 1, line, &latest, Style::new());
}

const LABEL: usize = 9;
const VALUE: usize = 12;
const UNICODE_BARS: &str = " ▁▂▃▄▅▆▇█";
const ASCII_BARS: &str = " .:-=+*#";

fn tabs(model: &mut Model, canvas: &mut Canvas<'_>, line: usize) {
    let mut column = 0;
    for (number, tab) in Tab::ALL.into_iter().enumerate() {
        let text = format!(" {} {} ", number + 1, tab.title());
        let style = if tab == model.tab { REVERSED } else { Style::new() };
        canvas.write(column, line, &text, style);
        column += columns(&text) + 1;
    }
    let shown = model.rows().len();
    let filter = if model.filter.is_empty() {
        String::new()
    } else {
        format!("filter: {}  ", clean_line(&model.filter))
    };
    let text = format!("{filter}{shown}");
    let start = canvas.width().saturating_sub(columns(&text)).max(column);
    canvas.write(start, line, &text, Style::new());
}

/// A column on the screen: its index among those of the list (`None` for the server), and its width.
type Shown = (Option<usize>, Column, usize);

/// The columns that fit, in their order. Those of the highest rank are left out first.
fn fitting(tab: Tab, several: bool, width: usize) -> Vec<Shown> {
    let own = tab.columns().iter().enumerate().map(|(index, column)| (Some(index), *column, column.width));
    let mut shown: Vec<Shown> =
        several.then_some((None, SERVER, SERVER.width)).into_iter().chain(own).collect();
    let needed =
        |shown: &[Shown]| shown.iter().map(|(_, _, width)| width + 1).sum::<usize>().saturating_sub(1);
    while needed(&shown) > width && shown.len() > 1 {
        let most = shown.iter().map(|(_, column, _)| column.rank).max().unwrap_or(0);
        shown.retain(|(_, column, _)| column.rank < most || most == 0);
        if most == 0 {
            break;
        }
    }
    let left = width.saturating_sub(needed(&shown));
    for (_, _, width) in shown.iter_mut().filter(|(_, column, _)| column.grows) {
        *width += left;
    }
    shown
}

fn list(model: &mut Model, canvas: &mut Canvas<'_>, line: usize, has_header: bool, page: usize) {
    let shown = fitting(model.tab, model.has_several(), canvas.width());
    let mut line = line;
    if has_header {
        let (sorted, descending) = model.sort();
        let mark = match (canvas.look.unicode, descending) {
            (true, true) => "▼",
            (true, false) => "▲",
            (false, true) => "v",
            (false, false) => "^",
        };
        let mut header = String::new();
        for (index, column, width) in &shown {
            let title =
                if *index == Some(sorted) { format!("{}{mark}", column.title) } else { column.title.into() };
            header.push_str(&cell(&title, *width, column.right));
            header.push(' ');
        }
        canvas.fill(line, &header, BOLD.add_modifier(Modifier::UNDERLINED));
        line += 1;
    }
    let (top, selected) = (model.place().top, model.place().row);
    let is_narrow = canvas.width();
    let empty = empty_text(model);
    let rows = model.rows();
    if rows.is_empty() && page > 0 {
        canvas.write(0, line, &cut_end(&empty, is_narrow), Style::new());
    }
    for (at, row) in rows.iter().enumerate().skip(top).take(page) {
        let mut text = String::new();
        for (index, column, width) in &shown {
            let value = match index {
                None => &row.server,
                Some(index) => row.cells.get(*index).map_or("", String::as_str),
            };
            text.push_str(&cell(value, *width, column.right));
            text.push(' ');
        }
        let style = if at == selected { REVERSED } else { Style::new() };
        canvas.fill(line + at.saturating_sub(top), &text, style);
    }
}

fn cell(value: &str, width: usize, right: bool) -> String {
    let value = cut_middle(value, width);
    let space = " ".repeat(width.saturating_sub(columns(&value)));
    if right { format!("{space}{value}") } else { format!("{value}{space}") }
}

/// The text of a list without entries.
fn empty_text(model: &Model) -> String {
    if !model.filter.is_empty() {
        return String::from("No entry has the text of the filter. Esc removes it.");
    }
    let is_known = |server: &ServerState| match model.tab {
        Tab::Sessions => server.sessions.is_some(),
        Tab::Files | Tab::Busiest => server.files.is_some(),
        Tab::Refusals => server.link == Link::Live,
    };
    let is_connecting = |server: &ServerState| server.link == Link::Connecting;
    if model.servers.iter().any(is_known) {
        String::from(match model.tab {
            Tab::Sessions => "Nobody is connected.",
            Tab::Files | Tab::Busiest => "No files are open.",
            Tab::Refusals => "Nothing was refused since this screen was started.",
        })
    } else if model.servers.iter().any(is_connecting) {
        String::from("Connecting ...")
    } else {
        String::from("Unknown: the server does not report this.")
    }
}

fn message(model: &Model, canvas: &mut Canvas<'_>, line: usize) {
    match &model.mode {
        Mode::Filter(_) => canvas.fill(line, &format!("Filter: {}_", clean_line(&model.filter)), BOLD),
        Mode::Search(text) => canvas.fill(line, &format!("Search: {}_", clean_line(text)), BOLD),
        Mode::List | Mode::Dialog(_) => {
            let style = BOLD.patch(canvas.coloured(Color::Yellow));
            canvas.fill(line, &model.message, style);
        }
    }
}

fn keys(model: &Model, canvas: &mut Canvas<'_>, line: usize) {
    let text = match &model.mode {
        Mode::Filter(_) => "type the text   Enter keep   Esc undo   Ctrl-U clear",
        Mode::Search(_) => "type the text   Enter find   Esc cancel",
        Mode::Dialog(Dialog::Confirm(_)) => "y yes   n no",
        Mode::Dialog(Dialog::Detail(_)) => "c close   e end session   any other key: back",
        Mode::Dialog(Dialog::Help) => "any key: back",
        Mode::List if canvas.width() < 60 => "? help  q quit",
        Mode::List => "? help  Enter detail  c close  e end session  f filter  / search  s sort  q quit",
    };
    canvas.fill(line, text, REVERSED);
}

fn window(dialog: &Dialog, model: &Model, canvas: &mut Canvas<'_>) {
    let (title, lines) = match dialog {
        Dialog::Help => ("Keys", dialog::HELP.iter().map(ToString::to_string).collect()),
        Dialog::Detail(key) => {
            let gone = || vec![String::from("This entry has ended.")];
            ("Details", dialog::detail(key, &model.servers).unwrap_or_else(gone))
        }
        Dialog::Confirm(act) => ("Confirm", act.question()),
    };
    let (across, down) = (canvas.width(), usize::from(canvas.area.height));
    let widest = lines.iter().map(|line| columns(line)).max().unwrap_or(0).max(columns(title) + 2);
    let inner = widest.min(across.saturating_sub(4));
    let shown = lines.len().min(down.saturating_sub(2));
    // A question keeps its end, where the answers are.
    let skipped = if matches!(dialog, Dialog::Confirm(_)) { lines.len() - shown } else { 0 };
    let (left, top) = ((across.saturating_sub(inner + 4)) / 2, (down.saturating_sub(shown + 2)) / 2);
    let [corner, level, upright] =
        if canvas.look.unicode { ["╭╮╰╯", "─", "│"] } else { ["++++", "-", "|"] };
    let corners: Vec<char> = corner.chars().collect();
    let [nw, ne, sw, se] = [0, 1, 2, 3].map(|at| corners.get(at).copied().unwrap_or('+'));
    let rule = inner.saturating_sub(columns(title) + 1);
    let head = format!("{nw}{level} {title} {}{ne}", level.repeat(rule));
    canvas.write(left, top, &head, Style::new());
    for (at, line) in lines.iter().skip(skipped).take(shown).enumerate() {
        let text = pad(&cut_middle(line, inner), inner);
        canvas.write(left, top + 1 + at, &format!("{upright} {text} {upright}"), Style::new());
    }
    canvas.write(left, top + 1 + shown, &format!("{sw}{}{se}", level.repeat(inner + 2)), Style::new());
}
