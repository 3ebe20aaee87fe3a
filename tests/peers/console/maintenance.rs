//! Drains, announced closes and opens without a client on the pages of the console in Chromium.

use client::smb::{ConnectOptions, CreateParameters};
use serde_json::{Value, json};
use testkit::Subject;
use wire::create_context::{CreateContextsRequest, DurableRequestV2, LeaseContext, LeaseFlags};
use wire::{Guid, LeaseState};

use super::browser::{has_browser, log_on, page};
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
