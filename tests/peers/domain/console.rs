//! Logons at the web console with tickets: curl, MIT's GSS-API and Chromium.

use std::fs;

use serde_json::Value;
use testkit::peer::PYTHON;
use testkit::{Domain, Output, Tickets, repository};

use super::Member;
use crate::console::webdriver::{BROWSER, Browser, DRIVER};

/// A console with TLS, and members of `helpdesk` who see the opens of the share `data`.
const CONSOLE: &str = "\n[console]\nlisten = [\"0.0.0.0:8445\"]\n\n\
    [[role]]\nallow = \"view\"\ngroups = ['CORP\\helpdesk']\nshares = [\"data\"]\n";

/// A console without TLS, for this machine only.
const PLAIN: &str = "\n[console]\nlisten = [\"127.0.0.1:8445\"]\ntls = false\n";

fn origin(member: &Member) -> String {
    format!("https://{}:8445", member.host().full_name())
}

/// Requests an address with curl as a page of the console does, with these tickets and options, and with a file of cookies
/// of its own.
fn curl(member: &Member, tickets: &Tickets, options: &[&str], address: &str) -> Output {
    let origin = address.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    curl_from(member, tickets, &origin, options, address)
}

/// As [`curl`] for a page of this origin.
fn curl_from(member: &Member, tickets: &Tickets, origin: &str, options: &[&str], address: &str) -> Output {
    let cookies = format!("{}-cookies", tickets.cache());
    let origin = format!("Origin: {origin}");
    let words = ["curl", "--silent", "--insecure", "--write-out", "\n%{http_code}", "--header", &origin];
    let kept = ["--cookie", cookies.as_str(), "--cookie-jar", cookies.as_str()];
    member.host().run_as(tickets, &[&words[..], &kept, options, &[address]].concat()).success()
}

/// Logs on with a ticket.
fn log_on(member: &Member, tickets: &Tickets, origin: &str) -> Output {
    let options = ["--negotiate", "--user", ":", "--request", "POST"];
    curl(member, tickets, &options, &format!("{origin}/logon/ticket"))
}

/// The body and the status of an answer.
fn parts(output: &Output) -> (Value, u32) {
    let (body, status) = output.stdout.rsplit_once('\n').expect("a body and a status");
    let body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (body, status.parse().expect("a status"))
}

#[test]
fn curl_logs_on_with_a_ticket_and_keeps_the_session_and_the_role() {
    let Some(domain) = Domain::with(&["curl"]) else { return };
    let member = Member::ours(domain, CONSOLE);
    let origin = origin(&member);
    let sees = |user: &str| {
        let tickets = member.host().log_on(user);
        let (body, status) = parts(&log_on(&member, &tickets, &origin));
        assert_eq!((status, body["user"].as_str()), (200, Some(format!("CORP\\{user}").as_str())));
        // The session is that of the cookie.
        let session = curl(&member, &tickets, &[], &format!("{origin}/session"));
        let (current, status) = parts(&session);
        assert_eq!((status, &current["token"]), (200, &body["token"]));
        let files = curl(&member, &tickets, &[], &format!("{origin}/v1/files"));
        (body["administrator"] == true, body["sees_others"] == true, parts(&files).1)
    };
    assert_eq!(sees("Administrator"), (true, true, 200));
    assert_eq!(sees("carol"), (false, true, 200), "by her role");
    assert_eq!(sees("dave"), (false, false, 403));
    member.logs(&["audit", "logon granted", "carol", "Kerberos"]);

    let nobody = member.host().empty_cache();
    let (body, status) = parts(&log_on(&member, &nobody, &origin));
    assert_eq!((status, body["code"].as_u64()), (401, Some(1245)), "{body}");
    assert!(body["hint"].as_str().is_some_and(|it| it.contains("log on to the domain")), "{body}");
}

#[test]
fn tickets_are_refused_in_requests_of_other_sites_and_with_passwords() {
    let Some(domain) = Domain::with(&["curl"]) else { return };
    let member = Member::ours(domain, CONSOLE);
    let origin = origin(&member);
    let carol = member.host().log_on("carol");
    let address = format!("{origin}/logon/ticket");
    let negotiate = ["--negotiate", "--user", ":", "--request", "POST"];
    for another in ["https://evil.test", "null", "http://files.corp.test:8445"] {
        let answer = curl_from(&member, &carol, another, &negotiate, &address);
        assert_eq!(parts(&answer).1, 403, "{another}");
    }
    let of_another =
        curl(&member, &carol, &[&negotiate[..], &["--header", "Host: evil.test"]].concat(), &address);
    assert_eq!(parts(&of_another).1, 421);
    for scheme in
        ["NTLM TlRMTVNTUAABAAAA", "Negotiate TlRMTVNTUAABAAAAB4IIogAAAAAAAAAAAAAAAAAAAAAGAbEdAAAADw=="]
    {
        let field = format!("Authorization: {scheme}");
        let answer = curl(&member, &carol, &["--request", "POST", "--header", &field], &address);
        assert_eq!(parts(&answer).1, 401, "{scheme}: {answer:?}");
    }
    let odd = ["--request", "POST", "--header", "Authorization: Negotiate !"];
    assert_eq!(parts(&curl(&member, &carol, &odd, &address)).1, 400);
    assert_eq!(parts(&log_on(&member, &carol, &origin)).1, 200);
}

/// MIT's library binds its request to the certificate.
#[test]
fn channel_bindings_are_checked_if_the_client_sends_them() {
    let Some(domain) = Domain::with(&[PYTHON]) else { return };
    let member = Member::ours(domain, CONSOLE);
    let host = member.host();
    let carol = host.log_on("carol");
    let script = repository().join("tests/peers/domain/negotiate.py").display().to_string();
    let name = host.full_name();
    let log_on = |bindings: &str| {
        let words = [PYTHON, "-B", &script, &name, "8445", bindings];
        host.run_as(&carol, &words).success().stdout
    };
    assert_eq!(log_on("right"), "200 CORP\\carol\nmutual\n");
    assert_eq!(log_on("none"), "200 CORP\\carol\nmutual\n");
    assert!(log_on("wrong").starts_with("401 The ticket is not accepted"), "{}", member.shareward().log());
    member.logs(&["audit", "logon refused", "carol", "bound to a TLS connection with another certificate"]);
    // A client that states that it knows bindings has to send them.
    let settings = host.file("/etc/krb5.conf");
    let text = fs::read_to_string(&settings).expect("read krb5.conf");
    let knows = text.replace("[libdefaults]\n", "[libdefaults]\n client_aware_channel_bindings = true\n");
    fs::write(&settings, knows).expect("write krb5.conf");
    assert!(log_on("none").starts_with("401 The ticket is not accepted"), "{}", member.shareward().log());
    assert_eq!(log_on("right"), "200 CORP\\carol\nmutual\n");
}

#[test]
fn console_without_tls_takes_tickets_that_are_bound_to_nothing() {
    let Some(domain) = Domain::with(&["curl"]) else { return };
    let member = Member::ours(domain, PLAIN);
    let carol = member.host().log_on("carol");
    // The browser's name for the address has to be that of the ticket.
    let hosts = member.host().file("/etc/hosts");
    let (text, name) = (fs::read_to_string(&hosts).expect("read the hosts file"), member.host().full_name());
    let others = text.lines().filter(|line| !line.contains(&name)).collect::<Vec<_>>().join("\n");
    fs::write(&hosts, format!("127.0.0.1 {name}\n{others}\n")).expect("write the hosts file");
    let (body, status) = parts(&log_on(&member, &carol, &format!("http://{name}:8445")));
    assert_eq!((status, body["user"].as_str()), (200, Some("CORP\\carol")), "{body}");
}

#[test]
fn chromium_logs_on_by_a_click() {
    let Some(domain) = Domain::with(&[BROWSER, DRIVER]) else { return };
    let member = Member::ours(domain, CONSOLE);
    let carol = member.host().log_on("carol");
    let browser = Browser::start_on(member.host(), &carol, "*.corp.test");
    browser.open(&format!("{}/", origin(&member)));
    browser.wait_for("#ticket:not([hidden])");
    browser.click("#ticket");
    browser.wait_for_text(".top .user", "CORP\\carol");
    browser.click("nav a[href='#/files']");
    browser.wait_for_text("main h1", "Open files");
    assert_eq!(browser.problems(), "");
    drop(browser);
    // A browser that may not send tickets to the server says so, and the form is there.
    let browser = Browser::start_on(member.host(), &carol, "*.elsewhere.test");
    browser.open(&format!("{}/", origin(&member)));
    browser.wait_for("#ticket:not([hidden])");
    browser.click("#ticket");
    browser.wait_for_text(".logon [role='alert']", "The browser has not presented a Kerberos ticket.");
    browser.wait_for("#password");
}
