//! The page of the history in Chromium.

use std::fs;

use client::smb::CreateParameters;
use serde_json::json;
use testkit::peer::smbclient;
use testkit::{Subject, need};

use super::browser::{has_browser, log_on, page, picture};
use super::eventually;
use super::http::{Console, console};
use super::webdriver::Browser;
use crate::scripted;

/// Waits until the history has this number of entries for a query.
#[track_caller]
fn recorded(console: &Console, query: &str, number: usize) {
    let admin = console.log_on("admin");
    eventually("the history has the entries", || {
        let found = console.get_as(&admin, &format!("/v1/history?limit=5000&{query}")).json();
        (found["items"].as_array().is_some_and(|items| items.len() >= number)).then_some(())
    });
    console.request_as(&admin, "DELETE /session", "");
}

/// Goes to a search by its address.
fn search(browser: &Browser, query: &str) {
    browser.script("location.hash = arguments[0]", json!([format!("#/history?{query}")]));
}

/// Entries are found by path, kind and user; a renamed file is followed; an entry leads to the history of its file.
#[tokio::test(flavor = "multi_thread")]
async fn history_is_searched() {
    if !has_browser() || !need(&["smbclient"]) {
        return;
    }
    let Console { server, address } = console("");
    let subject = Subject::Shareward(server);
    let Subject::Shareward(server) = &subject else { unreachable!("it was one above") };
    let up = server.scratch().join("up");
    fs::write(&up, "contents").expect("write");
    let up = up.to_str().expect("a path");
    let put = format!("mkdir plans; put {up} plans\\draft.txt; rename plans\\draft.txt plans\\final.txt");
    smbclient(&subject, subject.user("alice"), "data", &[], &put).success();
    smbclient(
        &subject,
        subject.user("bob"),
        "data",
        &[],
        "get plans\\final.txt /dev/null; del plans\\final.txt",
    )
    .success();
    let tree = scripted::tree(&subject, "alice", "data").await;
    for _ in 0..230 {
        let file = tree.create(&CreateParameters::read_write("often.txt")).await.expect("create");
        file.close().await.expect("close");
    }
    let open = tree.create(&CreateParameters::read_write("open.txt")).await.expect("create");
    let Subject::Shareward(server) = subject else { unreachable!("it was one above") };
    let console = Console { server, address };
    recorded(&console, "share=data&path=plans&kinds=deleted", 1);
    recorded(&console, "share=data&path=often.txt&kinds=open", 230);

    let browser = Browser::start(1280, 800);
    log_on(&browser, &console, "admin");
    page(&browser, "history", "History");
    browser.wait_for_text(".total", "the latest 200");
    // The keyboard reaches the path, and Enter searches.
    browser.script("document.activeElement.blur()", json!([]));
    browser.press(&["/"]);
    browser.wait_until("the path has the focus", "return document.activeElement.id === 'filter'");
    choose(&browser, "#search-share", "data");
    browser.enter("#filter", "plans\u{e007}");
    browser.wait_for_text("tbody", "data\\plans\\final.txt");
    browser.wait_for_text("tbody", "data\\plans\\draft.txt");
    browser.wait_for_text("tbody", "renamed");
    picture(&browser, "history.png");

    choose(&browser, "#search-kinds", "deleted");
    browser.click("form.search button[type='submit']");
    browser.wait_until(
        "one entry is left",
        "return document.querySelectorAll('tbody tr[data-key]').length === 1",
    );
    browser.wait_for_text("tbody", "bob");
    browser.click("tbody tr[data-key]");
    browser.wait_for_text("dialog h2", "Deleted");
    browser.script(
        "[...document.querySelectorAll('dialog a.button')].find((it) => it.textContent === 'History of this file').click()",
        json!([]),
    );
    browser.wait_for_text(".notes", "It was called plans\\draft.txt on data until");
    browser.wait_until("the dialog is closed", "return !document.querySelector('dialog')");
    browser.wait_for_text("tbody", "opened");
    browser.wait_for_text("tbody", "8 B read");

    // Page by page.
    search(&browser, "share=data&path=often.txt&kinds=open");
    browser.wait_for_text(".total", "the latest 200");
    browser.click(".more button");
    browser.wait_until("all are listed", "return document.querySelector('.total').textContent === '230'");
    browser.wait_until("there are no more", "return document.querySelector('.more button').hidden");

    for (query, expected) in [
        ("at=2001-01-01T00%3A00%3A00.000Z", "The history has nothing that matches."),
        ("user=nobody-at-all", "The history has nothing that matches."),
        ("span=3600&user=bob&kinds=deleted", "deleted"),
    ] {
        search(&browser, query);
        browser.wait_for_text(".scroller", expected);
    }
    search(&browser, "path=%2Fnowhere");
    browser.wait_until(
        "the refusal is shown",
        "return document.querySelector('.failed').textContent.length > 10",
    );

    // From the list of open files.
    page(&browser, "files", "Open files");
    browser.wait_for_text("tbody", "open.txt");
    browser.click("tbody tr[data-key]");
    browser.click("dialog a.button");
    browser.wait_for_text("main h1", "History");
    browser.wait_for_text("tbody", "data\\open.txt");
    browser.wait_for_text("tbody", "still open");

    browser.narrow(360);
    has_labels_and_fits(&browser);
    assert_eq!(browser.problems(), "");
    drop(open);

    // Others find their own.
    browser.click(".top button:last-child");
    log_on(&browser, &console, "bob");
    page(&browser, "history", "History");
    browser.wait_for_text(".notes", "You see your own entries.");
    browser.wait_for_text("tbody", "data\\plans\\final.txt");
    let shown = browser.script("return document.querySelector('tbody').textContent", json!([]));
    assert!(!shown.as_str().expect("text").contains("alice"), "{shown}");
    let is_offered =
        browser.script("return document.querySelector('#search-user').checkVisibility()", json!([]));
    assert_eq!(is_offered, json!(false), "a search for other users finds nothing");
    assert_eq!(browser.problems(), "");
}

/// Each control of each page has a name, and no page is wider than a small phone.
fn has_labels_and_fits(browser: &Browser) {
    for (name, title) in [
        ("overview", "Overview"),
        ("files", "Open files"),
        ("sessions", "Sessions"),
        ("shares", "Shares"),
        ("users", "Users"),
        ("history", "History"),
        ("refusals", "Refusals"),
        ("statistics", "Statistics"),
        ("settings", "Settings"),
    ] {
        page(browser, name, title);
        let nameless = browser.script(
            "return [...document.querySelectorAll('input, select, textarea, button, a')]\
             .filter((it) => !it.labels?.length && !it.getAttribute('aria-label') && !it.textContent.trim())\
             .map((it) => it.outerHTML)",
            json!([]),
        );
        assert_eq!(nameless, json!([]), "{title}");
        let wider =
            browser.script("return document.documentElement.scrollWidth - window.innerWidth", json!([]));
        assert!(wider.as_i64().is_some_and(|pixels| pixels <= 0), "{title} is {wider} pixels too wide");
    }
}

/// Chooses an option of a list by its value.
fn choose(browser: &Browser, selector: &str, value: &str) {
    browser.wait_for(&format!("{selector} option[value='{value}']"));
    browser.script(
        "const it = document.querySelector(arguments[0]); it.value = arguments[1]; it.dispatchEvent(new Event('change'))",
        json!([selector, value]),
    );
}
