//! Drains, announced closes and opens without a client on the pages of the console in Chromium.

use client::smb::{ClientTree, ConnectOptions, CreateParameters};
use serde_json::{Value, json};
use testkit::Subject;
use wire::create_context::{CreateContextsRequest, DurableRequestV2, LeaseContext, LeaseFlags};
use wire::{Guid, LeaseState, NtStatus};

use super::browser::{has_browser, log_on, page};
use super::eventually;
use super::http::{Console, console};
use super::webdriver::Browser;
use crate::scripted;

const RWH: LeaseState = LeaseState(LeaseState::READ.0 | LeaseState::HANDLE.0 | LeaseState::WRITE.0);

/// Drains and announced closes are shown with the time that is left, and opens that wait for a client are marked.
#[tokio::test(flavor = "multi_thread")]
async fn ends_are_shown_with_the_time_left() {
    if !has_browser() {
        return;
    }
    let Console { server, address } = console("");
    let subject = Subject::Shareward(server);
    let tree = scripted::tree(&subject, "alice", "data").await;
    let open = tree.create(&CreateParameters::read_write("report.docx")).await.expect("create");
    // An open whose client has lost its connection.
    let session = scripted::logged_on(&subject, "bob", ConnectOptions::with_guid(Guid([1; 16]))).await;
    let bobs = session.tree_connect(scripted::DATA).await.expect("tree connect");
    let contexts = CreateContextsRequest {
        lease: Some(LeaseContext { key: Guid([2; 16]), state: RWH, flags: LeaseFlags::NONE, v2: None }),
        durable_request_v2: Some(DurableRequestV2 {
            timeout_ms: 300_000,
            flags: 0,
            create_guid: Guid([3; 16]),
        }),
        ..CreateContextsRequest::default()
    };
    let durable = CreateParameters { contexts, ..CreateParameters::read_write("kept.dwg") };
    let kept = bobs.create(&durable).await.expect("create");
    assert!(kept.created.contexts.durable_v2.is_some(), "it is durable");
    session.connection().disconnect();

    let Subject::Shareward(server) = subject else { unreachable!("it was one above") };
    let listed = server.net(&["file", "--path", "report", "--json"]).success();
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let id = listed["files"][0]["id"].to_string();
    server.net(&["file", &id, "/close", "/notice:2h", "The disk is replaced."]).success();
    server.net(&["share", "data", "/drain:3h"]).success();
    server.net(&["session", "//127.0.0.1", "/drain:4h"]).success();

    let console = Console { server, address };
    let browser = Browser::start(1280, 800);
    log_on(&browser, &console, "admin");
    browser.wait_for_text(".drains", "Share data drains, closes in 2 h 59 min");
    browser.wait_for_text(".drains", "Client 127.0.0.1 drains, closes in 3 h 59 min");
    page(&browser, "files", "Open files");
    browser.wait_for_text("tbody .state", "closes in 1 h 59 min");
    browser.wait_for_text("tbody .state", "waits for its client");
    browser.enter("#filter", "report");
    browser.wait_for_text(".total", "1 of");
    browser.click("tbody tr[data-key]");
    browser.wait_for_text("dialog", "The disk is replaced.");
    browser.press(&["\u{e00c}"]);
    browser.wait_until("Escape closes the dialog", "return !document.querySelector('dialog')");
    page(&browser, "sessions", "Sessions");
    browser.wait_for_text("tbody .state", "drains, closes in 3 h 59 min");
    page(&browser, "shares", "Shares");
    browser.wait_for_text("tbody .state", "drains, closes in 2 h 59 min");
    browser.click("tbody tr[data-key='data']");
    browser.wait_for_text("dialog", "alice");
    // The time left counts down without another answer of the server.
    browser.script(
        "document.querySelector('dialog time[data-until]').dataset.until = new Date(Date.now() + 100500).toISOString()",
        json!([]),
    );
    browser.wait_for_text("dialog time[data-until]", "in 1 min");
    assert_eq!(browser.problems(), "");
    drop((open, kept, tree));
}

/// A console with these settings, and the users' connections to the share `data` of its server.
async fn console_of<const N: usize>(settings: &str, users: [&str; N]) -> (Console, [ClientTree; N]) {
    let Console { server, address } = console(settings);
    let subject = Subject::Shareward(server);
    let mut trees = Vec::new();
    for user in users {
        trees.push(scripted::tree(&subject, user, "data").await);
    }
    let Subject::Shareward(server) = subject else { unreachable!("it was one above") };
    let trees = trees.try_into().unwrap_or_else(|_| unreachable!("one for each user"));
    (Console { server, address }, trees)
}

/// Opens the detail of the first entry of a list.
fn detail(browser: &Browser) {
    browser.click("tbody tr[data-key]");
    browser.wait_for("dialog .facts");
}

/// Answers a question of a dialog with yes.
fn confirm(browser: &Browser) {
    browser.click("dialog button[type='submit']");
}

fn closed(browser: &Browser) {
    browser.wait_until("the dialog is closed", "return !document.querySelector('dialog')");
}

/// Drains of a share, of a client and of the server are begun and ended by clicks, and those of commands appear.
#[tokio::test(flavor = "multi_thread")]
async fn drains_are_begun_and_ended_by_clicks() {
    if !has_browser() {
        return;
    }
    let (console, [alice, bob]) = console_of("", ["alice", "bob"]).await;
    let open = alice.create(&CreateParameters::read_write("report.docx")).await.expect("create");
    let browser = Browser::start(1280, 800);
    log_on(&browser, &console, "admin");
    page(&browser, "shares", "Shares");
    browser.click("tbody tr[data-key='data']");
    browser.click("dialog [data-act='drain']");
    browser.wait_for_text("dialog h2", "Drain share data?");
    // The browser does not accept a deadline that the server would refuse.
    browser.enter("#field-minutes", "99999");
    confirm(&browser);
    browser.wait_for("dialog #field-minutes:invalid");
    browser.script("document.querySelector('#field-minutes').value = '120'", json!([]));
    confirm(&browser);
    browser.wait_for_text("#messages", "The drain of share data has begun. 1 open file of alice.");
    browser.wait_for_text("tbody .state", "drains, closes in 1 h 59 min");
    assert!(is_paused(&bob).await);
    browser.click("tbody tr[data-key='data']");
    browser.click("dialog [data-act='drain']");
    browser.wait_for_text("dialog h2", "End the drain of share data?");
    confirm(&browser);
    browser.wait_for_text("#messages", "The drain of share data has ended.");
    let no_drain = "return !document.querySelector('tbody').textContent.includes('drain')";
    browser.wait_until("no drain is shown", no_drain);
    assert!(!is_paused(&bob).await);

    // By commands, without a reload or a look: those of the page come every 30 seconds.
    console.server.net(&["share", "data", "/drain:3h"]).success();
    browser.wait_for_text("tbody .state", "drains, closes in 2 h 59 min");
    console.server.net(&["share", "data", "/undrain"]).success();
    browser.wait_until("no drain is shown", no_drain);

    page(&browser, "sessions", "Sessions");
    detail(&browser);
    browser.click("dialog [data-act='drain']");
    browser.wait_for_text("dialog h2", "Drain client 127.0.0.1?");
    confirm(&browser);
    browser.wait_for_text("#messages", "The drain of client 127.0.0.1 has begun. 1 open file of alice.");
    browser.wait_for_text("tbody .state", "drains");
    detail(&browser);
    browser.click("dialog [data-act='drain']");
    confirm(&browser);
    browser.wait_for_text("#messages", "The drain of client 127.0.0.1 has ended.");

    page(&browser, "overview", "Overview");
    browser.click("header [data-act='drain']");
    browser.wait_for_text("dialog h2", "Drain the whole server?");
    browser.wait_for("#field-stop");
    confirm(&browser);
    browser.wait_for_text(".drains", "The whole server drains; 1 open file of alice; by admin.");
    browser.wait_for_text(".feed", "drain begun");
    // The last file is closed, so nothing keeps the drain waiting.
    drop(open.close().await);
    browser.wait_for_text(".drains", "The whole server drained; by admin.");
    browser.wait_for_text(".feed", "drained");
    browser.click(".drains [data-act='drain']");
    confirm(&browser);
    browser.wait_until("the list is gone", "return document.querySelector('.drains').hidden");
    assert!(!is_paused(&alice).await);
    assert_eq!(browser.problems(), "");
}

/// True if opens are refused by a drain.
async fn is_paused(tree: &ClientTree) -> bool {
    match tree.create(&CreateParameters::read_write("probe.txt")).await {
        Ok(file) => {
            file.close().await.expect("close");
            false
        }
        Err(error) => {
            assert!(error.is(NtStatus::SHARING_PAUSED), "{error:?}");
            true
        }
    }
}

/// A close is announced, cancelled and carried out, from the page and by commands.
#[tokio::test(flavor = "multi_thread")]
async fn close_is_announced_with_a_text_and_happens_then() {
    if !has_browser() {
        return;
    }
    let (console, [alice]) = console_of("", ["alice"]).await;
    let open = alice.create(&CreateParameters::read_write("report.docx")).await.expect("create");
    let browser = Browser::start(1280, 800);
    log_on(&browser, &console, "admin");
    page(&browser, "files", "Open files");
    browser.wait_for_text("tbody", "report.docx");
    detail(&browser);
    browser.click("dialog [data-act='later']");
    browser.wait_for_text("dialog h2", "Close the file later?");
    browser.enter("#field-text", "The disk is <b>replaced</b>.");
    confirm(&browser);
    browser.wait_for_text("#messages", "report.docx will be closed at ");
    browser.wait_for_text("tbody .state", "closes in 9 min");
    detail(&browser);
    browser.wait_for_text("dialog", "The disk is <b>replaced</b>.");
    browser.click("dialog [data-act='later']");
    browser.wait_for_text("dialog h2", "Cancel the announced close?");
    confirm(&browser);
    browser.wait_for_text("#messages", "report.docx will not be closed.");
    let no_close = "return !document.querySelector('tbody').textContent.includes('closes')";
    browser.wait_until("no close is shown", no_close);

    let listed = console.server.net(&["file", "--path", "report", "--json"]).success();
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let id = listed["files"][0]["id"].to_string();
    console.server.net(&["file", &id, "/close", "/notice:2h", "From the command."]).success();
    browser.wait_for_text("tbody .state", "closes in 1 h 59 min");
    console.server.net(&["file", &id, "/close", "/notice:cancel"]).success();
    browser.wait_until("no close is shown", no_close);
    console.server.net(&["file", &id, "/close", "/notice:1s", "Now."]).success();
    browser.wait_for_text(".nothing:not([hidden])", "No file is open.");
    assert!(open.read(0, 1).await.is_err_and(|error| error.is(NtStatus::FILE_CLOSED)));
    assert_eq!(browser.problems(), "");
    closed(&browser);
}

/// A helpdesk that may see everything in a share but close nothing has no buttons for it, and the server refuses its
/// requests.
#[tokio::test(flavor = "multi_thread")]
async fn role_that_may_only_see_has_no_buttons_and_is_refused() {
    if !has_browser() {
        return;
    }
    let settings = "\n[[role]]\nallow = \"view\"\nusers = [\"bob\"]\n";
    let (console, [alice]) = console_of(settings, ["alice"]).await;
    let open = alice.create(&CreateParameters::read_write("report.docx")).await.expect("create");
    let browser = Browser::start(1280, 800);
    log_on(&browser, &console, "bob");
    browser.wait_for_text("nav", "Refusals");
    let count = "return document.querySelectorAll('[data-act], button.danger').length";
    for (name, title, row) in [
        ("files", "Open files", "report.docx"),
        ("shares", "Shares", "data"),
        ("sessions", "Sessions", "alice"),
    ] {
        page(&browser, name, title);
        browser.wait_for_text("tbody", row);
        detail(&browser);
        assert_eq!(browser.script(count, json!([])), json!(0), "{name}");
        browser.press(&["\u{e00c}"]);
        closed(&browser);
    }
    page(&browser, "overview", "Overview");
    assert_eq!(browser.script(count, json!([])), json!(0));
    assert_eq!(browser.problems(), "");

    let bob = console.log_on("bob");
    let files = console.get_as(&bob, "/v1/files").json();
    let file = files["items"].as_array().expect("a list").iter().find(|it| it["path"] == "report.docx");
    let (id, session) = (&file.expect("the file")["id"], &file.expect("the file")["session_id"]);
    for (request, body) in [
        (format!("DELETE /v1/files/{id}"), ""),
        (format!("PUT /v1/files/{id}/closing"), "{\"seconds\":60}"),
        (format!("DELETE /v1/files/{id}/closing"), ""),
        (format!("DELETE /v1/sessions/{session}"), ""),
        (String::from("POST /v1/drains"), "{\"share\":\"data\"}"),
        (String::from("POST /v1/drains"), "{\"client\":\"127.0.0.1\"}"),
        (String::from("POST /v1/drains"), "{}"),
        (String::from("POST /v1/drains/end"), "{\"share\":\"data\"}"),
        (String::from("POST /v1/drains/end"), "{}"),
    ] {
        let answer = console.request_as(&bob, &request, body);
        assert_eq!((answer.status, answer.json()["code"].as_u64()), (403, Some(5)), "{request} {body}");
    }
    assert!(open.read(0, 1).await.is_err_and(|error| error.is(NtStatus::END_OF_FILE)), "it is still open");
    eventually("the refusals are in the audit log", || {
        (console.server.log().matches("access denied").count() >= 9).then_some(())
    });
}

/// The holder of a role for one share closes and drains there, and nowhere else.
#[test]
fn role_for_one_share_is_told_to_the_page() {
    let console = console("\n[[role]]\nallow = \"close\"\nusers = [\"bob\"]\nshares = [\"data\"]\n");
    let session = |user: &str| {
        let user = console.log_on(user);
        console.get_as(&user, "/session").json()["closes_in"].clone()
    };
    assert_eq!(session("bob"), json!(["data"]));
    assert_eq!(session("alice"), json!([]));
    assert_eq!(session("admin"), Value::Null);
}
