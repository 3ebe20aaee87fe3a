//! The commands about shares, settings, counters, the clock, accounts and the service, run against a control server
//! with canned data: output, stream and exit code.

#[expect(dead_code, reason = "a suite uses a part of it")]
mod fake;

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, patch, put};
use axum::{Json, Router};
use control::{
    Clock, Connection, ConsoleState, CurrentCounts, Ended, Error, Grant, GrantRight, NewShare, OpenFile,
    Page, PasswordChange, RequestStatistics, Sandbox, ServerInfo, Service, ServiceAction, ServiceState,
    Settings, SettingsChange, Share, ShareChange, ShareKind, Statistics, StatisticsQuery, TimeClass,
    Timestamp, User, UserChange, number, route,
};
use fake::{Data, FakeServer};

type Refusal = (StatusCode, Json<Error>);

fn refused(code: u32, text: &str) -> Refusal {
    let error = Error::new(code, text);
    (StatusCode::from_u16(error.http_status()).unwrap(), Json(error))
}

fn shares() -> Vec<Share> {
    let share = |name: &str, path: Option<&str>, comment: &str| Share {
        name: name.into(),
        path: path.map(str::to_owned),
        comment: comment.into(),
        ..Share::default()
    };
    vec![
        Share { kind: ShareKind::Ipc, special: true, ..share("IPC$", None, "Remote IPC") },
        Share {
            uses: Some(2),
            uses_max: Some(10),
            caching: Some("documents".into()),
            grants: Some(vec![
                Grant { right: GrantRight::Read, ..Grant::of_user("Everyone") },
                Grant { right: GrantRight::Full, ..Grant::of_user("jörg") },
            ]),
            ..share("projects", Some("/srv/projects"), "All projects")
        },
        share("a share with a long name", Some("/srv/somewhere/in/a/deep/directory"), "\u{1b}[2Jremark"),
        share("hidden$", Some("/srv/hidden"), ""),
    ]
}

fn share_named(name: &str) -> Result<Share, Refusal> {
    let found = shares().into_iter().find(|share| share.name.eq_ignore_ascii_case(name));
    found.ok_or_else(|| refused(number::NET_NAME_NOT_FOUND, "This shared resource does not exist."))
}

fn settings() -> Settings {
    Settings {
        name: "FILES".into(),
        comment: "Shareward".into(),
        version: "Shareward 0.1.0".into(),
        listening: vec!["192.0.2.1:445".into(), "[::]:445".into()],
        hidden: Some(false),
        users_max: None,
        files_per_session_max: Some(16384),
        autodisconnect: Some(15),
        domain: Some("CORP".into()),
        dns_domain: Some("corp.example".into()),
        domain_member: Some(true),
        sandbox: Some(Sandbox {
            mode: "on".into(),
            landlock: "none (the kernel does not have it)".into(),
            system_calls: "56 refused".into(),
            capabilities: ["CAP_SETUID", "CAP_SETGID", "CAP_CHOWN"].map(String::from).into(),
            missing: vec!["Landlock is not available; the server could execute programs".into()],
        }),
        console: Some(ConsoleState {
            listening: vec!["192.0.2.1:8445".into(), "[::1]:8445".into()],
            certificate_sha256: Some(["AB"; 32].join(":")),
            certificate_expires: Some(Timestamp(1_900_000_000_000)),
        }),
        ..Settings::default()
    }
}

fn statistics() -> Statistics {
    Statistics {
        server: "FILES".into(),
        since: Timestamp::parse("2026-03-01T09:30:00Z"),
        sessions_accepted: Some(12),
        sessions_timed_out: Some(0),
        sessions_errored_out: Some(1),
        bytes_sent: Some(5_000_000_000),
        bytes_received: Some(1023),
        response_milliseconds: None,
        system_errors: Some(0),
        permission_violations: Some(3),
        password_violations: Some(4),
        files_opened: Some(u64::MAX),
        devices_opened: Some(7),
        jobs_spooled: None,
        ..Statistics::default()
    }
}

fn measurements() -> Statistics {
    let class = |microseconds_max, count| TimeClass { microseconds_max, count };
    let read = RequestStatistics {
        command: "read".into(),
        success: 100,
        not_found: 0,
        conflict: 2,
        timed: 102,
        microseconds: 102 * 1500,
        times: vec![class(Some(1000), 1), class(Some(5000), 101), class(None, 0)],
        ..RequestStatistics::default()
    };
    let create = RequestStatistics { command: "create".into(), not_found: 7, ..RequestStatistics::default() };
    let echo = RequestStatistics { command: "echo".into(), ..RequestStatistics::default() };
    Statistics {
        opens_refused: Some(3),
        lock_conflicts: Some(2),
        current: Some(CurrentCounts { sessions: 4, opens: 12, ..CurrentCounts::default() }),
        requests: vec![create, read, echo],
        ..statistics()
    }
}

fn users() -> Vec<User> {
    ["alice", "bob", "jörg", "svc-backup"]
        .map(|name| User {
            name: name.into(),
            enabled: name != "bob",
            administrator: Some(name == "alice"),
            password_set: Timestamp::parse("2026-03-01T09:30:00Z"),
            password_required: Some(true),
            locked: Some(name == "jörg"),
            locked_until: Timestamp::parse("2026-03-01T09:40:00Z").filter(|_| name == "jörg"),
            wrong_passwords: Some(0),
            ..User::default()
        })
        .to_vec()
}

fn routes() -> Router {
    let made = async |Json(new): Json<NewShare>| match new.name.as_str() {
        "projects" => Err(refused(number::DUPLICATE_SHARE, "The name has already been shared.")),
        _ => Ok(Json(Share {
            name: new.name,
            path: Some(new.path),
            comment: new.settings.comment.unwrap_or_default(),
            ..Share::default()
        })),
    };
    let changed = async |Path(name): Path<String>, Json(_): Json<ShareChange>| share_named(&name).map(Json);
    let deleted = async |Path(name): Path<String>| {
        share_named(&name).map(|_| Json(Ended { sessions: 0, files: 1, outcome: None }))
    };
    let told = async |Path(name): Path<String>, Json(change): Json<PasswordChange>| {
        let user = users().into_iter().find(|user| user.name == name);
        let user =
            user.ok_or_else(|| refused(number::USER_NOT_FOUND, "The user name could not be found."))?;
        if change.new.len() < 3 { Err(refused(2245, "Too short.")) } else { Ok(Json(user)) }
    };
    let activated = async |Path(name): Path<String>, Json(change): Json<UserChange>| {
        let user = users().into_iter().find(|user| user.name == name);
        let user = user.ok_or_else(|| refused(number::USER_NOT_FOUND, "The user name could not be found."));
        user.map(|user| {
            Json(User {
                enabled: change.active.unwrap_or(user.enabled),
                locked: Some(false),
                locked_until: None,
                ..user
            })
        })
    };
    let connections = || {
        let users = ["bob", "alice", "", "bob"];
        let all = users.map(|user| Connection { user: user.into(), ..Connection::default() });
        Json(Page::whole(all.to_vec()))
    };
    let acted = async |Json(action): Json<ServiceAction>| {
        let state = match action {
            ServiceAction::Stop => return Err(refused(number::NOT_SUPPORTED, "Not here.")),
            ServiceAction::Pause => ServiceState::Paused,
            ServiceAction::Continue => ServiceState::Running,
        };
        Ok(Json(Service { state }))
    };
    let clock = Clock {
        now: Timestamp::parse("2026-03-01T09:30:00Z").unwrap(),
        offset_minutes: Some(60),
        uptime_seconds: Some(90_000),
    };
    Router::new()
        .route(route::SHARES, get(async || Json(Page::whole(shares()))).post(made))
        .route(
            route::SHARE,
            get(async |Path(name): Path<String>| share_named(&name).map(Json)).patch(changed).delete(deleted),
        )
        .route(route::CONNECTIONS, get(async move || connections()))
        .route(
            route::SETTINGS,
            get(async || Json(settings())).patch(async |Json(_): Json<SettingsChange>| Json(settings())),
        )
        .route(
            route::STATISTICS,
            get(async |Query(query): Query<StatisticsQuery>| {
                Json(if query.detail == Some(true) { measurements() } else { statistics() })
            }),
        )
        .route(route::SERVER, get(async || Json(ServerInfo::new("FILES".into()))))
        .route(route::SERVICE, get(async || Json(Service { state: ServiceState::Paused })).post(acted))
        .route(route::CLOCK, get(async move || Json(clock)))
        .route(route::USERS, get(async || Json(Page::whole(users()))))
        .route(route::USER, patch(activated))
        .route(route::USER_PASSWORD, put(told))
}

fn open_files() -> Data {
    let file = OpenFile { id: 3, share: Some("projects".into()), user: "bob".into(), ..OpenFile::default() };
    Data { files: vec![file], ..Data::default() }
}

fn check(name: &str, data: Data, lines: &[(&str, &str)]) {
    let server = FakeServer::start_with(data, routes());
    let told: Vec<String> = lines.iter().map(|(words, input)| server.net(words, input)).collect();
    assert_snapshot(name, &told);
}

fn assert_snapshot(name: &str, told: &[String]) {
    // The only line that contains the current time.
    const CLOCK: &str = "The current local clock is ";
    let lines =
        told.iter().flat_map(|text| text.lines().chain([""])).map(|line| match line.strip_prefix(CLOCK) {
            Some(now) => format!("{CLOCK}{}", if now.len() == 19 { "NOW" } else { now }),
            None => line.to_owned(),
        });
    let told = lines.collect::<Vec<_>>();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, told.join("\n"));
    });
}

#[test]
fn shares_are_listed_and_shown() {
    check(
        "shares_are_listed_and_shown",
        Data::default(),
        &[
            ("share", ""),
            ("share projects", ""),
            ("SHARE PROJECTS /?", ""),
            ("share hidden$", ""),
            ("share nothing", ""),
            ("share projects --json", ""),
            ("share a b", ""),
        ],
    );
}

#[test]
fn shares_are_made_and_changed() {
    check(
        "shares_are_made_and_changed",
        Data::default(),
        &[
            (
                "share new=/srv/new /GRANT:Everyone,READ /grant:jörg,full /USERS:5 /REMARK:New_things /CACHE:None",
                "",
            ),
            ("share new=/srv/new --json", ""),
            ("share projects=/srv/new", ""),
            ("share projects /UNLIMITED /remark:x", ""),
            ("share nothing /unlimited", ""),
            ("share new=", ""),
            ("share =/srv/new", ""),
            ("share new=/srv/new /users:0", ""),
            ("share new=/srv/new /users:x", ""),
            ("share new=/srv/new /users:3 /unlimited", ""),
            ("share new=/srv/new /cache:some", ""),
            ("share new=/srv/new /cache:BranchCache", ""),
            ("share new=/srv/new /grant:jörg", ""),
            ("share new=/srv/new /grant:,read", ""),
            ("share new=/srv/new /grant:jörg,write", ""),
            ("share /users:3", ""),
        ],
    );
}

#[test]
fn deleting_a_share_with_open_files_asks_first() {
    check(
        "deleting_a_share_with_open_files_asks_first",
        open_files(),
        &[
            ("share projects /DELETE", "n\n"),
            ("share projects /DELETE", "\n"),
            ("share projects /DELETE", "y\n"),
            ("share /srv/projects /delete /y", ""),
            ("share projects /d /n", ""),
            ("share projects /d --json /y", ""),
            ("share nothing /delete", ""),
            ("share a=/b /delete", ""),
            ("share projects /delete /users:3", ""),
            ("share /delete", ""),
        ],
    );
    check(
        "deleting_a_share_without_open_files_asks_nothing",
        Data::default(),
        &[("share projects /delete", "")],
    );
}

#[test]
fn settings_and_counters() {
    check(
        "settings_and_counters",
        Data::default(),
        &[
            ("config", ""),
            ("config server", ""),
            ("config server --json", ""),
            ("config server /autodisconnect:-1 /srvcomment:My_server /hidden:yes", ""),
            ("config server /autodisconnect:65536", ""),
            ("config server /autodisconnect:soon", ""),
            ("config server /hidden:perhaps", ""),
            ("config workstation", ""),
            ("config printer", ""),
            ("config server server", ""),
            ("statistics server", ""),
            ("statistics", ""),
            ("stats server --json", ""),
            ("statistics server --verbose", ""),
            ("statistics workstation", ""),
        ],
    );
}

#[test]
fn time_and_view_show_the_server() {
    check(
        "the_clock_and_what_is_offered",
        Data::default(),
        &[
            ("time", ""),
            ("time --json", ""),
            ("time /set", "n\n"),
            ("time a b", ""),
            ("view", ""),
            ("view a", ""),
        ],
    );
}

#[test]
fn accounts_and_their_passwords() {
    check(
        "accounts_and_their_passwords",
        Data::default(),
        &[
            ("user", ""),
            ("user --json", ""),
            ("user ALICE", ""),
            ("user bob", ""),
            ("user mallory", ""),
            ("user alice secret", ""),
            ("user alice *", "secret\n"),
            ("user alice *", ""),
            ("user alice x", ""),
            ("user mallory secret", ""),
            ("user alice secret more", ""),
            ("user jörg", ""),
            ("user jörg /active:yes", ""),
            ("user alice /ACT:no --json", ""),
            ("user alice /active:maybe", ""),
            ("user alice /active", ""),
            ("user /active:yes", ""),
            ("user mallory /active:no", ""),
        ],
    );
}

#[test]
fn start_pause_continue_and_stop_control_the_service() {
    check(
        "the_service",
        Data::default(),
        &[
            ("start", ""),
            ("start --json", ""),
            ("start server", ""),
            ("start spooler", ""),
            ("pause server", ""),
            ("continue LanmanServer", ""),
            ("continue server --json", ""),
            ("pause", ""),
            ("pause spooler", ""),
            ("stop server", ""),
            ("stop a b", ""),
        ],
    );
}

#[test]
fn access_denied_and_a_missing_server_are_reported() {
    let denied =
        Data { refusal: Some(Error::new(number::ACCESS_DENIED, "Access is denied.")), ..Data::default() };
    let lines: Vec<(&str, &str)> = [
        "share",
        "share x",
        "share x=/y",
        "share x /delete",
        "config server",
        "statistics server",
        "time",
        "user",
        "user x y",
        "start",
        "start server",
        "stop server /y",
        "pause server",
    ]
    .map(|words| (words, ""))
    .to_vec();
    check("no_rights_for_settings", denied, &lines);
    let nowhere = std::path::PathBuf::from("/nonexistent/control.sock");
    let told: Vec<String> = lines
        .iter()
        .filter(|(words, _)| *words != "start server")
        .map(|(words, input)| fake::run_at(nowhere.clone(), "net", words, input))
        .collect();
    assert_snapshot("no_server_for_settings", &told);
}
