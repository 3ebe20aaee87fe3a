//! The commands that list, watch and close opens, run against a control server with canned data.

#[expect(dead_code, reason = "a suite uses a part of it")]
#[path = "../fake/mod.rs"]
mod fake;
mod following;
mod programs;
mod stock;

use std::path::PathBuf;

use control::{Access, Error, Outcome, Refusal, RefusalKind, Timestamp, Who, number};
use fake::Data;
use stock::{THEN, check, dirty, file, little_known, snapshot, stock};

#[test]
fn filters() {
    check(
        "filters",
        stock(),
        &[
            ("net", "file --user ALICE", ""),
            ("net", r"file --client \\[2001:DB8:0::7] --idle >1m", ""),
            ("net", "file --path *.docx --writing", ""),
            ("net", "file --path plan/old", ""),
            ("net", "file --writing=no --locked=no --share Projects --age 1h --user bob", ""),
            ("net", "file --locked --mine", ""),
            ("net", "file --user nobody", ""),
            ("net", "session --locked", ""),
            ("net", "session --path 報告 --user jörg", ""),
            ("net", "session --id 2", ""),
            ("net", "session --idle <2m --age >1h --share projects", ""),
            ("net", "session --share nothing", ""),
        ],
    );
}

#[test]
fn formats() {
    check(
        "formats_of_files",
        stock(),
        &[
            ("net", "file --user alice --ndjson", ""),
            ("net", "file --csv", ""),
            ("net", "file --user nobody --csv", ""),
            ("net", "file --csv --no-header --user bob", ""),
            ("net", "file 2 --csv", ""),
            ("net", "file --json=wmi --user jörg", ""),
            ("net", "file 2 --json=wmi", ""),
            ("net", "file --user nobody --ndjson", ""),
            ("net", "file /verbose", ""),
        ],
    );
    check(
        "formats_of_sessions",
        stock(),
        &[
            ("net", "session --ndjson", ""),
            ("net", "session --csv", ""),
            ("net", "session --json=WMI", ""),
            ("net", r"session \\10.0.0.5 --csv --no-header", ""),
        ],
    );
}

#[test]
fn wrong_filters_and_formats() {
    check(
        "wrong_filters_and_formats",
        stock(),
        &[
            ("net", "file --idle soon", ""),
            ("net", "file --age=1w", ""),
            ("net", "file --locked=perhaps", ""),
            ("net", "file --json=yaml", ""),
            ("net", "file --json --csv", ""),
            ("net", "file --no-header", ""),
            ("net", "file --watch --json", ""),
            ("net", "file --for 5s", ""),
            ("net", "file --watch --for soon", ""),
            ("net", "file 1 --watch", ""),
            ("net", "file --force", ""),
            ("net", "file 1 /close --grace 36", ""),
            ("net", "file 1 /close --grace 5 --force", ""),
            ("net", "file 1 /close --csv", ""),
            ("net", "file /close", ""),
            ("net", "session --dry-run", ""),
            ("net", "session --id x", ""),
            ("net", "session /delete --watch", ""),
        ],
    );
}

#[test]
fn closing_one() {
    let data = Data {
        outcomes: vec![(1, Ok(Outcome::Flushed)), (8, Ok(Outcome::Forced))],
        files: vec![
            dirty(1, "plan/report.docx", "alice"),
            file(2, "plan/old.docx", "alice"),
            dirty(3, "plan/a.docx", "alice"),
            dirty(4, "plan/b.docx", "alice"),
            little_known(5, r"C:\data\w.txt", "eve", 3),
            little_known(6, r"C:\data\r.txt", "eve", 1),
            dirty(8, "plan/c.docx", ""),
        ],
        ..Data::default()
    };
    check(
        "closing_one",
        data,
        &[
            ("net", "file 1 /close --dry-run", ""),
            ("net", "file 1 /close --expect-user bob", ""),
            ("net", "file 1 /close --expect-path /srv/projects/plan/report.docx --grace 10", ""),
            ("net", "file 2 /close --force", ""),
            ("net", "file 3 /close /force", "\n"),
            ("net", "file 3 /close /force", ""),
            ("net", "file 3 /close /force", "y\n"),
            ("net", "file 4 /close /force /y", ""),
            ("net", "file 5 /close", "\n"),
            ("net", "file 5 /close --json", "y\n"),
            ("net", "file 6 /close", ""),
            ("net", "file 8 /close", ""),
            ("net", "file 8 /close --dry-run", ""),
        ],
    );
}

#[test]
fn closing_many() {
    let denied = Error::new(number::ACCESS_DENIED, "Not yours.");
    let data = Data { outcomes: vec![(1, Ok(Outcome::Flushed)), (5, Err(denied))], ..stock() };
    check(
        "closing_many",
        data,
        &[
            ("net", "file --path plan /close --dry-run", ""),
            ("net", "file --path plan /close --dry-run --json --user bob", ""),
            ("net", "file --user alice /close", "\n"),
            ("net", "file --path old /close", "n\n"),
            ("net", "file --user alice /close --force", ""),
            ("net", "file --path plan /close", "y\n"),
            ("net", "file --share projects /close --json /y", ""),
            ("net", "file --user alice /close", ""),
            ("net", "file --user alice /close --json", ""),
        ],
    );
    let files = (1..=25).map(|id| file(id, &format!("{id}.txt"), "alice")).collect();
    check("closing_very_many", Data { files, ..Data::default() }, &[("net", "file --mine /close", "\n")]);
}

#[test]
fn sessions_that_would_end() {
    check(
        "sessions_that_would_end",
        stock(),
        &[
            ("net", "session /delete --dry-run", ""),
            ("net", "session /delete --dry-run --json --user nobody", ""),
            ("net", "session /delete --writing", "y\n"),
            ("net", "session", ""),
        ],
    );
}

fn refused() -> Vec<Refusal> {
    let refusal = Refusal {
        id: 1,
        at: Some(Timestamp(THEN)),
        kind: RefusalKind::SharingViolation,
        status: "0xc0000043".into(),
        share: Some("projects".into()),
        path: r"plan\report.docx".into(),
        user: "bob".into(),
        computer: Some("fe80::2".into()),
        wanted: Some(Access::new(2, vec!["WRITE_DATA".into()])),
        holder_file_id: Some(1),
        holder_user: Some("alice".into()),
        holder_computer: Some("10.0.0.5".into()),
        ..Refusal::default()
    };
    vec![
        refusal.clone(),
        Refusal {
            at: Some(Timestamp(THEN + 1000)),
            kind: RefusalKind::AccessDenied,
            wanted: None,
            holder_file_id: None,
            holder_user: None,
            holder_computer: None,
            ..refusal.clone()
        },
        Refusal { kind: RefusalKind::LockConflict, holder_user: None, computer: None, ..refusal },
    ]
}

fn held() -> Who {
    Who {
        share: Some("projects".into()),
        path: r"plan\report.docx".into(),
        holders: vec![dirty(1, "plan/report.docx", "alice"), file(2_214_593_372, "plan/report.docx", "")],
        refusals: Some(refused()),
        ..Who::default()
    }
}

fn free() -> Who {
    Who { holders: Vec::new(), refusals: Some(Vec::new()), ..held() }
}

#[test]
fn who_lists_opens_and_refusals() {
    let who = |answer| Data { who: vec![answer], ..Data::default() };
    check(
        "who_has_it",
        who(held()),
        &[
            ("net", "who /srv/projects/plan/report.docx", ""),
            ("net", "who //nas/projects/plan/report.docx", ""),
            ("net", "who plan/report.docx --share projects --json", ""),
            ("shareward", "who", ""),
            ("net", "who a b", ""),
            ("net", "who a --share", ""),
        ],
    );
    check("nobody_has_it", who(free()), &[("net", "who /srv/projects/plan/report.docx", "")]);
    check(
        "who_has_it_on_other_servers",
        stock(),
        &[
            ("net", "who /srv/projects/plan", ""),
            ("net", r"who \\nas\projects\plan\old.docx", ""),
            ("net", "who /srv/projects/pla", ""),
        ],
    );
}

#[test]
fn wait_ends_with_the_last_open_or_the_time() {
    let one = Who { holders: vec![file(7, "plan/report.docx", "alice")], ..held() };
    check(
        "waiting_until_free",
        Data { who: vec![held(), one.clone(), free()], ..Data::default() },
        &[("net", "wait /srv/projects/plan/report.docx --timeout 1m", "")],
    );
    check(
        "waiting_in_vain",
        Data { who: vec![held()], ..Data::default() },
        &[
            ("net", "wait /srv/projects/plan/report.docx --timeout 0", ""),
            ("net", "wait /srv/projects/plan/report.docx --timeout 0 --json", ""),
            ("net", "wait /srv/projects/plan/report.docx --timeout 1s", ""),
            ("net", "wait /srv/x --timeout never", ""),
            ("net", "wait", ""),
        ],
    );
    check("waiting_on_other_servers", stock(), &[("net", "wait /srv/projects/nothing", "")]);
}

#[test]
fn commands_report_a_refusal() {
    let refusal = Error::new(number::ACCESS_DENIED, "Only administrators may ask.").with_hint("ask root");
    let data = Data { refusal: Some(refusal), ..stock() };
    check(
        "nobody_may_ask",
        data,
        &[
            ("net", "who /srv/x", ""),
            ("net", "wait /srv/x", ""),
            ("net", "file --watch", ""),
            ("net", "file --csv", ""),
            ("openfiles", "", ""),
            ("openfiles", "/disconnect /id 1", ""),
            ("psfile", "-nobanner", ""),
        ],
    );
}

#[test]
fn commands_report_a_missing_server() {
    let nowhere = || PathBuf::from("/nonexistent/control.sock");
    let told = [
        ("net", "who /srv/x"),
        ("net", "wait /srv/x"),
        ("net", "session --watch --ndjson"),
        ("openfiles", ""),
        ("psfile", "-nobanner"),
    ]
    .map(|(program, words)| fake::run_at(nowhere(), program, words, ""));
    snapshot("nobody_answers", &told.join("\n"));
    let told = fake::run_at(nowhere(), "psloggedon", "-nobanner", "");
    assert!(told.contains("Unable to query resource logons\n") && told.ends_with("exit 2\n"), "{told}");
}
