//! Frames of the screen on terminals of several sizes, and the answers to keys.

use control::{
    Access, CloseFile, CurrentCounts, Event, OpenFile, RequestStatistics, Session, Statistics, Timestamp,
};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::model::{Command, Input, Key, Link, Model, Snapshot};
use super::view::{Look, draw};

const PLAIN: Look = Look { colour: false, unicode: true };

fn at(seconds: i64) -> Timestamp {
    Timestamp(1_772_357_400_000 + seconds * 1000)
}

fn session(id: u32, user: &str, computer: &str) -> Session {
    Session {
        id: Some(id),
        user: user.into(),
        computer: computer.into(),
        opens: Some(2),
        idle_seconds: Some(u64::from(id)),
        active_seconds: Some(3600),
        dialect: Some("3.1.1".into()),
        anonymous: Some(false),
        ..Session::default()
    }
}

fn file(id: u32, user: &str, path: &str, bytes: u64) -> OpenFile {
    OpenFile {
        id,
        user: user.into(),
        path: path.into(),
        share: Some("data".into()),
        computer: Some("192.0.2.7".into()),
        session_id: Some(1),
        access: Some(Access::default()),
        permissions: Some(3),
        locks: Some(0),
        oplock: Some("none".into()),
        bytes_read: Some(bytes),
        bytes_written: Some(0),
        ..OpenFile::default()
    }
}

fn lists(asked: Timestamp, bytes: u64) -> Input {
    let files = vec![
        file(10, "alice", "report.docx", bytes),
        file(11, "bob", "plans\\2026\\a rather long name of a directory\\budget of the year.xlsx", 10),
        file(12, "alice", "evil\u{1b}[2J\u{202e}name", 0),
    ];
    let sessions = vec![session(1, "alice", "192.0.2.7"), session(2, "bob", "2001:db8::9")];
    Input::Snapshot(0, Box::new(Snapshot { asked, sessions: Some(sessions), files: Some(files) }))
}

fn statistics(bytes: u64, requests: u64) -> Input {
    let requests =
        RequestStatistics { command: "read".into(), success: requests, ..RequestStatistics::default() };
    Input::Statistics(
        0,
        Box::new(Statistics {
            bytes_sent: Some(bytes),
            bytes_received: Some(bytes / 10),
            files_opened: Some(1),
            opens_refused: Some(1),
            lock_conflicts: Some(0),
            current: Some(CurrentCounts { locks: 4, ..CurrentCounts::default() }),
            requests: vec![requests],
            ..Statistics::default()
        }),
    )
}

fn refusal() -> Event {
    Event {
        id: 7,
        at: Some(at(0)),
        kind: "refused".into(),
        reason: Some("sharing_violation".into()),
        share: Some("data".into()),
        path: Some("report.docx".into()),
        user: Some("bob".into()),
        computer: Some("2001:db8::9".into()),
        holder_user: Some("alice".into()),
        holder_computer: Some("192.0.2.7".into()),
        ..Event::default()
    }
}

/// One server after some seconds.
fn model() -> Model {
    let mut model = Model::new(vec![None], at(0));
    for (second, input) in [
        (0, Input::Link(0, Link::Live)),
        (0, lists(at(0), 0)),
        (0, statistics(0, 0)),
        (1, statistics(1_000_000, 50)),
        (2, statistics(4_000_000, 250)),
        (3, statistics(4_500_000, 260)),
        (4, lists(at(4), 8 * 1024 * 1024)),
        (4, Input::Event(0, Box::new(refusal()))),
    ] {
        assert_eq!(model.update(input, at(second)), None);
    }
    model
}

fn press(model: &mut Model, keys: &str) -> Option<Command> {
    let mut command = None;
    for c in keys.chars() {
        let key = match c {
            '\n' => Key::Enter,
            '\u{1b}' => Key::Escape,
            '\t' => Key::Tab,
            c => Key::Char(c),
        };
        command = model.update(Input::Key(key), at(5));
    }
    command
}

fn frame(model: &mut Model, look: Look, width: u16, height: u16) -> String {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    draw(model, look, &mut buffer);
    if width == 0 {
        return String::new();
    }
    let lines = buffer.content.chunks(usize::from(width)).map(|cells| {
        let line: String = cells.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned()
    });
    // The clock of the machine that runs the test may be in any zone.
    lines.map(|line| masked(&line)).collect::<Vec<_>>().join("\n")
}

/// The line with times of day as `hh:mm:ss`, except for spans, which begin with 00 or 01 here.
fn masked(line: &str) -> String {
    let shown = super::table::time_of_day;
    [at(0), at(4), at(5)]
        .into_iter()
        .fold(line.to_owned(), |line, time| line.replace(&shown(time), "hh:mm:ss"))
}

#[test]
fn lists_on_a_terminal_of_80_columns() {
    let mut model = model();
    let mut frames = Vec::new();
    for keys in ["1", "2", "3", "4"] {
        press(&mut model, keys);
        frames.push(frame(&mut model, PLAIN, 80, 24));
    }
    insta::assert_snapshot!(frames.join("\n================\n"));
}

/// The picture in `docs/top.md`; `SHAREWARD_WRITE_DOCS=1` writes it.
#[test]
fn document_shows_the_open_files() {
    let mut model = model();
    let files = vec![
        file(12, "alice", "budget.xlsx", 4096),
        file(14, "carol", "plans\\2026\\ground floor.dwg", 900_000),
        file(10, "alice", "report.docx", 8 << 20),
    ];
    let snapshot = Snapshot { asked: at(4), sessions: None, files: Some(files) };
    model.update(Input::Snapshot(0, Box::new(snapshot)), at(4));
    press(&mut model, "2");
    let shown = frame(&mut model, PLAIN, 80, 11).replace("hh:mm:ss", "14:02:11");

    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/top.md");
    let text = std::fs::read_to_string(document).unwrap();
    let (before, rest) = text.split_once("```text\n").unwrap();
    let (picture, after) = rest.split_once("\n```\n").unwrap();
    if std::env::var_os("SHAREWARD_WRITE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(document, format!("{before}```text\n{shown}\n```\n{after}")).unwrap();
        return;
    }
    assert_eq!(picture, shown, "SHAREWARD_WRITE_DOCS=1 writes the picture");
}

#[test]
fn lists_of_several_servers_on_a_wide_terminal() {
    let mut model = Model::new(vec![Some("nas1".into()), Some("samba:".into()), Some("gone".into())], at(0));
    model.update(lists(at(0), 5), at(0));
    model.update(Input::Link(0, Link::Live), at(0));
    let unknown =
        OpenFile { id: 5, path: "/srv/x".into(), make: Some("samba".into()), ..OpenFile::default() };
    let snapshot = Snapshot { asked: at(0), sessions: None, files: Some(vec![unknown]) };
    model.update(Input::Snapshot(1, Box::new(snapshot)), at(0));
    model.update(Input::Link(1, Link::Polled), at(0));
    model.update(Input::Link(2, Link::Down("no route\u{1b}[31m".into())), at(0));
    press(&mut model, "2");
    insta::assert_snapshot!(frame(&mut model, PLAIN, 140, 16));
}

#[test]
fn a_tiny_terminal_has_the_list_and_the_way_out() {
    let mut model = model();
    press(&mut model, "2");
    let small = frame(&mut model, PLAIN, 20, 5);
    insta::assert_snapshot!(small);
    for (width, height) in [(1, 1), (0, 0), (3, 2), (20, 3), (500, 200)] {
        for keys in ["1", "2", "3", "4", "?", "\u{1b}"] {
            press(&mut model, keys);
            frame(&mut model, PLAIN, width, height);
        }
    }
}

#[test]
fn ascii_terminals_get_ascii_only() {
    let mut model = model();
    press(&mut model, "2?");
    let shown = frame(&mut model, Look { unicode: false, ..PLAIN }, 80, 24);
    assert!(shown.replace('\u{fffd}', "?").is_ascii(), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn a_close_is_confirmed_and_its_outcome_shown() {
    let mut model = model();
    // Sorted by path, the first is the file with the hostile name.
    press(&mut model, "2/report\n");
    assert_eq!(press(&mut model, "c"), None);
    insta::assert_snapshot!(frame(&mut model, PLAIN, 80, 24));
    let how = CloseFile {
        expect_user: Some("alice".into()),
        expect_path: Some("report.docx".into()),
        ..CloseFile::default()
    };
    assert_eq!(press(&mut model, "x"), None, "neither yes nor no");
    assert_eq!(press(&mut model, "y"), Some(Command::Close(0, 10, how)));
    assert!(frame(&mut model, PLAIN, 80, 24).contains("Closing report.docx ..."));
    model.update(Input::Outcome("Closed; the client had no unwritten data.".into()), at(6));
    assert!(frame(&mut model, PLAIN, 80, 24).contains("Closed; the client had no unwritten data."));
    for no in ["cn", "c\u{1b}", "c\n"] {
        assert_eq!(press(&mut model, no), None);
        assert!(frame(&mut model, PLAIN, 80, 24).contains("Nothing was done."), "{no:?}");
    }
    press(&mut model, "1c");
    assert!(frame(&mut model, PLAIN, 80, 24).contains("Only an open file can be closed"));
}

#[test]
fn a_session_is_ended_from_its_row_or_from_that_of_its_file() {
    for keys in ["1ey", "2/report\ney"] {
        let mut model = model();
        match press(&mut model, keys) {
            Some(Command::End(0, session)) => assert_eq!(session.id, Some(1), "{keys:?}"),
            other => panic!("{keys:?}: {other:?}"),
        }
    }
}

#[test]
fn filter_search_sort_and_selection() {
    let mut model = model();
    let rows = |model: &mut Model| -> Vec<String> {
        model.rows().iter().filter_map(|row| row.cells.first().cloned()).collect()
    };
    press(&mut model, "2fALICE\n");
    assert_eq!(rows(&mut model), ["12", "10"], "sorted by path");
    press(&mut model, "ssr");
    assert_eq!(rows(&mut model).len(), 2);
    press(&mut model, "\u{1b}");
    assert_eq!(rows(&mut model).len(), 3, "Esc removes the filter");
    press(&mut model, "fx\u{1b}");
    assert_eq!(rows(&mut model).len(), 3, "Esc undoes a filter that is being typed");
    press(&mut model, "/budget\n");
    let selected = |model: &mut Model| {
        let row = model.place().row;
        model.rows().get(row).and_then(|row| row.cells.first().cloned())
    };
    assert_eq!(selected(&mut model).as_deref(), Some("11"));
    press(&mut model, "/nowhere\n");
    assert!(frame(&mut model, PLAIN, 80, 24).contains("No entry has the text nowhere."));
    // The selection stays on its entry when others come and go.
    let event = |kind: &str, id: u32, path: &str| Event {
        id: 9,
        kind: kind.into(),
        file_id: Some(id),
        share: Some("data".into()),
        path: Some(path.into()),
        user: Some("carol".into()),
        ..Event::default()
    };
    model.update(Input::Event(0, Box::new(event("opened", 20, "a new file"))), at(6));
    assert_eq!((rows(&mut model).len(), selected(&mut model).as_deref()), (4, Some("11")));
    model.update(Input::Event(0, Box::new(event("closed", 11, ""))), at(6));
    assert_eq!(rows(&mut model).len(), 3);
    assert!(selected(&mut model).is_some());
    assert_eq!(press(&mut model, "q"), Some(Command::Quit));
}

#[test]
fn a_list_that_was_requested_before_an_event_does_not_undo_it() {
    let mut model = model();
    let event = |kind: &str, id| Event {
        kind: kind.into(),
        file_id: Some(id),
        share: Some("data".into()),
        path: Some("new.txt".into()),
        user: Some("carol".into()),
        ..Event::default()
    };
    model.update(Input::Event(0, Box::new(event("opened", 20))), at(6));
    model.update(Input::Event(0, Box::new(event("closed", 10))), at(6));
    model.update(lists(at(5), 0), at(7));
    press(&mut model, "2");
    let ids: Vec<String> = model.rows().iter().filter_map(|row| row.cells.first().cloned()).collect();
    assert!(ids.contains(&"20".to_owned()) && !ids.contains(&"10".to_owned()), "{ids:?}");
    model.update(lists(at(8), 0), at(9));
    assert_eq!(model.rows().len(), 2, "a later list no longer has the new open");
}

/// The detail of an open has the close that somebody has announced since the list was read.
#[test]
fn announced_close_is_in_the_detail_until_it_is_cancelled() {
    let mut model = model();
    let event = |kind: &str, deadline| Event {
        kind: kind.into(),
        file_id: Some(10),
        deadline,
        text: Some("The disk is replaced.".into()),
        ..Event::default()
    };
    let detail = |model: &Model| {
        let lines = super::dialog::detail(&super::table::RowKey::File(0, (None, 10)), &model.servers);
        lines.expect("the open is listed").join("\n")
    };
    assert!(!detail(&model).contains("Closes at"));
    model.update(Input::Event(0, Box::new(event("close_announced", Some(at(600))))), at(6));
    let shown = detail(&model);
    assert!(shown.contains("Closes at") && shown.contains(": The disk is replaced."), "{shown}");
    model.update(Input::Event(0, Box::new(event("close_cancelled", None))), at(7));
    assert!(!detail(&model).contains("Closes at"));
}

#[test]
fn busiest_files_come_first_with_their_rate() {
    let mut model = model();
    press(&mut model, "3");
    let first = model.rows().first().map(|row| row.cells.clone()).unwrap_or_default();
    assert_eq!(first, ["2.0 MiB/s", "8.0 MiB", "0 B", "1", "data\\report.docx"]);
}
