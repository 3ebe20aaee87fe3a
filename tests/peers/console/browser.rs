//! The pages of the console in Chromium.
//!
//! `SHAREWARD_WRITE_DOCS=1` also writes the pictures of `docs/console.md`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use auth::Credentials;
use client::smb::{ClientConnection, ConnectOptions, CreateParameters};
use serde_json::json;
use testkit::{Setup, Shareward, Subject, need};

use super::http::{Console, console, listener};
use super::webdriver::{BROWSER, Browser, DRIVER};
use crate::scripted;

pub(super) fn has_browser() -> bool {
    need(&[BROWSER, DRIVER])
}

/// Logs on with the form of the page.
pub(super) fn log_on(browser: &Browser, console: &Console, user: &str) {
    browser.open(&console.origin());
    let password = &console.server.setup().user(user).password;
    enter(browser, user, password);
    browser.wait_for_text(".top .user", user);
}

fn enter(browser: &Browser, user: &str, password: &str) {
    browser.enter("#user", user);
    browser.enter("#password", password);
    browser.click(".logon button");
}

/// Opens a page of the console by its link.
pub(super) fn page(browser: &Browser, name: &str, title: &str) {
    browser.click(&format!("nav a[href='#/{name}']"));
    browser.wait_for_text("main h1", title);
}

/// Writes a picture for the documentation, if that is wanted.
pub(super) fn picture(browser: &Browser, name: &str) {
    if std::env::var_os("SHAREWARD_WRITE_DOCS").is_some_and(|value| value == "1") {
        let directory = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/console"));
        std::fs::create_dir_all(&directory).expect("a directory");
        browser.picture(&directory.join(name));
    }
}

/// The whole way of an administrator: a file appears when somebody opens it, is found by the filter, and is closed.
#[tokio::test(flavor = "multi_thread")]
async fn file_appears_is_filtered_and_closed() {
    if !has_browser() {
        return;
    }
    let console = console("");
    let browser = Browser::start(1280, 800);
    browser.open(&console.origin());
    browser.wait_for_text(".logon h1", "Log on");
    picture(&browser, "logon.png");
    log_on(&browser, &console, "admin");
    page(&browser, "files", "Open files");
    browser.wait_for_text(".nothing", "No file is open.");
    browser.wait_for(".live[data-state='live']");

    let Console { server, address } = console;
    let subject = Subject::Shareward(server);
    let tree = scripted::tree(&subject, "alice", "data").await;
    let mut open = Vec::new();
    for name in ["budget.xlsx", "letter.docx", "plan.dwg", "notes.txt"] {
        open.push(tree.create(&CreateParameters::read_write(name)).await.expect("create"));
    }
    browser.wait_for_text("tbody", "budget.xlsx");
    browser.wait_for_text("tbody", "notes.txt");
    browser.wait_for_text("tbody", "alice");
    picture(&browser, "files.png");

    // The keyboard reaches the filter.
    browser.script("document.activeElement.blur()", json!([]));
    browser.press(&["/"]);
    browser.wait_until("the filter has the focus", "return document.activeElement.id === 'filter'");
    browser.enter("#filter", "ALICE letter");
    browser.wait_for_text(".total", "1 of");
    let rows = "return document.querySelectorAll('tbody tr[data-key]').length === 1";
    browser.wait_until("one row is left", rows);

    browser.click("tbody tr[data-key]");
    browser.wait_for_text("dialog", "letter.docx");
    picture(&browser, "file.png");
    browser.click("dialog button.danger");
    browser.wait_for_text("dialog h2", "Close the file?");
    picture(&browser, "close.png");
    browser.click("dialog button[type='submit']");
    browser.wait_for_text("#messages", "Closed ");
    browser.wait_for_text("#messages", "letter.docx. The client had nothing unwritten.");
    browser.wait_for_text(".nothing", "matches the filter");
    let closed = open.remove(1);
    assert!(closed.read(0, 1).await.is_err(), "it is closed for its client, too");
    assert!(
        open[0].read(0, 1).await.is_err_and(|error| error.is(wire::NtStatus::END_OF_FILE)),
        "others are not"
    );

    for (name, title) in [
        ("overview", "Overview"),
        ("sessions", "Sessions"),
        ("shares", "Shares"),
        ("users", "Users"),
        ("history", "History"),
        ("refusals", "Refusals"),
        ("statistics", "Statistics"),
        ("settings", "Settings"),
    ] {
        page(&browser, name, title);
        browser.wait_until(
            "there is something on the page",
            "return document.querySelector('main').textContent.length > 60",
        );
    }
    browser.wait_for_text(".facts", "TESTED");
    page(&browser, "overview", "Overview");
    open.push(tree.create(&CreateParameters::read_write("more.txt")).await.expect("create"));
    browser.wait_for_text(".feed", "more.txt");
    browser.wait_for(".charts polyline");
    std::thread::sleep(Duration::from_secs(if std::env::var_os("SHAREWARD_WRITE_DOCS").is_some() {
        20
    } else {
        0
    }));
    picture(&browser, "overview.png");
    browser.resize(400, 800);
    page(&browser, "files", "Open files");
    picture(&browser, "phone.png");

    assert_eq!(browser.problems(), "", "the browser reports no error");
    browser.click(".top button:last-child");
    browser.wait_for_text(".logon h1", "Log on");
    browser.open(&format!("http://{address}/"));
    browser.wait_for_text(".logon h1", "Log on");
}

#[test]
fn wrong_password_and_expired_session_are_reported() {
    if !has_browser() {
        return;
    }
    let console = console("");
    let browser = Browser::start(1000, 700);
    browser.open(&console.origin());
    enter(&browser, "admin", "wrong");
    browser.wait_for_text(".logon [role='alert']", "The user name or the password is incorrect.");
    browser.wait_until(
        "the password has the focus, and is empty",
        "return document.activeElement.id === 'password' && document.activeElement.value === ''",
    );
    log_on(&browser, &console, "admin");
    browser.forget_cookies();
    page_without_session(&browser);
}

/// The pages follow the system until the user chooses, and the choice stays.
#[test]
fn colours_are_those_of_the_system_or_of_the_choice() {
    if !has_browser() {
        return;
    }
    let console = console("");
    let browser = Browser::start(1000, 700);
    log_on(&browser, &console, "admin");
    let ground = || {
        let script = "return ['--surface', '--text'].map((it) => { const probe = document.body;\
             probe.style.outlineColor = `var(${it})`; return getComputedStyle(probe).outlineColor; })";
        browser.script(script, json!([]))
    };
    let light = json!(["rgb(255, 255, 255)", "rgb(22, 33, 31)"]);
    let dark = json!(["rgb(21, 29, 32)", "rgb(223, 232, 232)"]);
    for (system, own, other) in [("dark", &dark, &light), ("light", &light, &dark)] {
        browser.prefer(system);
        browser.script("localStorage.clear()", json!([]));
        browser.open(&console.origin());
        browser.wait_for(".top .user");
        assert_eq!(ground(), *own, "{system}");
        browser.click(".top button[aria-label='Switch between dark and light']");
        assert_eq!(ground(), *other, "the choice of the user, not {system}");
        browser.open(&console.origin());
        browser.wait_for(".top .user");
        assert_eq!(ground(), *other, "the choice of the user after a reload");
    }
    assert_eq!(browser.problems(), "");
}

/// Goes to a page after the session has ended.
fn page_without_session(browser: &Browser) {
    browser.click("nav a[href='#/sessions']");
    browser.wait_for_text(".logon [role='alert']", "The session has ended.");
    browser.wait_until("nothing of the session is left", "return !document.querySelector('table')");
}

#[tokio::test(flavor = "multi_thread")]
async fn ordinary_user_sees_own_files_only() {
    if !has_browser() {
        return;
    }
    let console = console("");
    let subject = Subject::Shareward(console.server);
    let alice = scripted::tree(&subject, "alice", "data").await;
    let bob = scripted::tree(&subject, "bob", "data").await;
    let own = alice.create(&CreateParameters::read_write("own.txt")).await.expect("create");
    let other = bob.create(&CreateParameters::read_write("other.txt")).await.expect("create");
    let Subject::Shareward(server) = subject else { unreachable!("it was one above") };
    let console = Console { server, address: console.address };
    let browser = Browser::start(1000, 700);
    log_on(&browser, &console, "alice");
    let pages = browser
        .script("return [...document.querySelectorAll('nav a')].map((it) => it.textContent)", json!([]));
    assert_eq!(pages, json!(["Overview", "Open files", "Sessions", "Shares", "History"]));
    page(&browser, "files", "Open files");
    browser.wait_for_text("tbody", "own.txt");
    let shown = browser.script("return document.querySelector('tbody').textContent", json!([]));
    assert!(!shown.as_str().expect("text").contains("other.txt"), "{shown}");
    assert_eq!(browser.problems(), "");
    drop((own, other));
}

/// Names of files and remarks are text, whatever they contain.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_html_are_shown_as_text() {
    if !has_browser() {
        return;
    }
    let hostile = "<img src=x onerror=document.title='hacked'>";
    let setup = Setup {
        extra: String::from("\n[console]\nlisten = [\"127.0.0.1:0\"]\ntls = false\n"),
        extra_share: format!("remark = \"{hostile}\""),
        ..Setup::default()
    };
    let server = Shareward::start(&setup);
    let address = listener(&server, "web console on http://");
    let subject = Subject::Shareward(server);
    let tree = scripted::tree(&subject, "alice", "data").await;
    // Clients cannot send angle brackets, but ampersands.
    let file = tree.create(&CreateParameters::read_write("&lt;b&gt;bold&amp;.txt")).await.expect("create");
    let Subject::Shareward(server) = subject else { unreachable!("it was one above") };
    let console = Console { server, address };
    let browser = Browser::start(1000, 700);
    log_on(&browser, &console, "admin");
    page(&browser, "files", "Open files");
    browser.wait_for_text("tbody", "&lt;b&gt;bold&amp;.txt");
    page(&browser, "shares", "Shares");
    browser.wait_for_text("tbody", hostile);
    browser.click("tbody tr[data-key='data']");
    browser.wait_for_text("dialog", hostile);
    assert_eq!(
        browser.script("return document.querySelectorAll('b, main img, dialog img').length", json!([])),
        json!(0)
    );
    assert_eq!(browser.problems(), "");
    drop(file);
}

/// Ten thousand opens are listed, filtered and scrolled without a page that stands still.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_opens_do_not_freeze_the_page() {
    if !has_browser() {
        return;
    }
    let extra = String::from("\n[console]\nlisten = [\"127.0.0.1:0\"]\ntls = false\n");
    let server = Shareward::start(&Setup { extra, ..Setup::default() });
    let address = listener(&server, "web console on http://");
    let credentials = Credentials::password("alice", "", &server.setup().user("alice").password);
    let options = ConnectOptions::new().expect("options");
    let connection = ClientConnection::connect(server.address(), None, options).await.expect("connect");
    let session = connection.logon(credentials).await.expect("log on");
    let tree = session.tree_connect(scripted::DATA).await.expect("tree connect");
    let first = tree.create(&CreateParameters::read_write("many.txt")).await.expect("create");
    let mut open = vec![first];
    for _ in 1..OPENS {
        match tree.create(&CreateParameters::open("many.txt")).await {
            Ok(file) => open.push(file),
            // The limit of descriptors of this machine.
            Err(_) => break,
        }
    }
    let last = tree.create(&CreateParameters::read_write("needle.txt")).await;
    let console = Console { server, address };
    let browser = Browser::start(1280, 800);
    log_on(&browser, &console, "admin");
    page(&browser, "files", "Open files");
    let total = i64::try_from(open.len() + usize::from(last.is_ok())).expect("a number");
    browser.wait_until(
        "all are listed",
        &format!("return document.querySelector('table').getAttribute('aria-rowcount') === '{}'", total + 1),
    );
    let rows = browser.script("return document.querySelectorAll('tbody tr').length", json!([]));
    assert!(
        rows.as_i64().is_some_and(|rows| rows < 120),
        "only visible rows are elements of the page: {rows}"
    );
    // The longest time for which the page does not react while it is scrolled and filtered.
    browser.script(
        "window.longest = 0; let last = performance.now();\
         setInterval(() => { const now = performance.now(); window.longest = Math.max(window.longest, now - last); last = now; }, 10);",
        json!([]),
    );
    for part in [0.3, 0.9, 0.0] {
        browser.script(
            "const it = document.querySelector('.scroller'); it.scrollTop = it.scrollHeight * arguments[0];",
            json!([part]),
        );
        browser.wait_until(
            "rows are drawn there",
            "return document.querySelectorAll('tbody tr[data-key]').length > 10",
        );
    }
    let begun = Instant::now();
    browser.enter("#filter", "needle");
    if last.is_ok() {
        browser.wait_for_text(".total", "1 of");
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    let longest = browser.script("return window.longest", json!([]));
    assert!(
        longest.as_f64().is_some_and(|longest| longest < 3000.0),
        "the page stood still for {longest} ms"
    );
    assert_eq!(browser.problems(), "");
}

/// The number of opens in the test of a long list.
const OPENS: usize = 10_000;
