//! Compares `docs/openapi.json` with the types and the table of routes.

use std::collections::BTreeSet;

use control::{
    Access, AnnounceClose, AnnouncedClose, Bound, Clock, CloseFile, CloseSessions, Cluster, ClusterChange,
    ClusterNode, ClusterSetting, ClusterShare, Connection, ConnectionQuery, ConsoleState, CurrentCounts,
    Drain, DrainPhase, DrainScope, EndDrain, Ended, Error, Event, EventQuery, FileQuery, Grant, GrantRight,
    Group, GroupChange, GroupMember, History, HistoryEntry, HistoryName, HistoryQuery, HistoryState, Hold,
    HoldState, Invitation, LeaveCluster, LockRange, Logon, LogonHours, NewDrain, NewGroup, NewHold, NewMove,
    NewShare, NewUser, NodeDrain, NoticeState, OpenFile, Outcome, Page, PasswordChange, PasswordRules,
    PasswordRulesChange, Recheck, Rechecked, RecheckedConnection, Refusal, RefusalKind, RefusalQuery,
    RefusedKey, RequestStatistics, Sandbox, ServerInfo, Service, ServiceAction, ServiceState, Session,
    SessionQuery, SessionShare, Settings, SettingsChange, Share, ShareChange, ShareKind, Statistics,
    StatisticsQuery, TimeClass, Timestamp, User, UserChange, Who, WhoQuery, route,
};
use serde::Serialize;
use serde_json::{Value, json};

fn document() -> Value {
    serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap()
}

fn names(object: &Value) -> BTreeSet<String> {
    object.as_object().into_iter().flat_map(|it| it.keys().cloned()).collect()
}

/// The first difference between a value and the schema, if any.
fn misfit(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.trim_start_matches('#'));
        let schema = schema.unwrap_or_else(|| panic!("{reference} is not there"));
        return misfit(document, schema, value, at);
    }
    if let Some(any) = schema["oneOf"].as_array() {
        let misfits: Vec<String> = any.iter().filter_map(|it| misfit(document, it, value, at)).collect();
        return (misfits.len() + 1 != any.len()).then(|| misfits.join(", "));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = match &schema["type"] {
        Value::String(only) => vec![only.as_str()],
        several => several.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
    };
    if !allowed.contains(&kind) {
        return Some(format!("{at} is {kind} and not {allowed:?}"));
    }
    if let (Some(words), false) = (schema["enum"].as_array(), value.is_null()) {
        return (!words.contains(value)).then(|| format!("{at} is {value}"));
    }
    match value {
        Value::Array(items) => {
            items.iter().find_map(|it| misfit(document, &schema["items"], it, &format!("{at}[]")))
        }
        Value::Object(fields) => {
            let (known, told) = (names(&schema["properties"]), names(value));
            if known != told {
                let difference: Vec<_> = known.symmetric_difference(&told).collect();
                return Some(format!("{at}: {difference:?} is in one of both only"));
            }
            fields.iter().find_map(|(name, it)| {
                misfit(document, &schema["properties"][name], it, &format!("{at}.{name}"))
            })
        }
        _ => None,
    }
}

/// Checks that a sample of a type with all fields set has exactly the fields of its schema.
fn fits(schema: &str, sample: &impl Serialize) {
    let document = document();
    let reference = json!({ "$ref": format!("#/components/schemas/{schema}") });
    let sample = serde_json::to_value(sample).unwrap();
    assert_eq!(misfit(&document, &reference, &sample, schema), None);
}

fn file() -> OpenFile {
    OpenFile {
        id: u32::MAX,
        access: Some(Access::new(1, vec!["FILE_READ_DATA".into()])),
        share_access: Some(vec!["read".into()]),
        lock_ranges: vec![LockRange { offset: 0, length: u64::MAX, exclusive: true }],
        opened_at: Some(Timestamp(0)),
        realm: Some(String::new()),
        waits_until: Some(Timestamp(0)),
        closing: Some(AnnouncedClose::default()),
        ..OpenFile::default()
    }
}

fn grant() -> Grant {
    let (group, mask) = (Some("staff".into()), Some("0x00120089".into()));
    Grant { user: "alice".into(), group, right: GrantRight::Special, denied: true, mask }
}

fn refusal() -> Refusal {
    Refusal { at: Some(Timestamp(0)), wanted: Some(Access::default()), ..Refusal::default() }
}

#[test]
fn answers_fit_their_schemas() {
    let shares = vec![SessionShare { name: "data".into(), kind: ShareKind::Disk, opens: Some(1) }];
    let realm = Some(String::new());
    let session = Session {
        shares: Some(shares),
        realm: realm.clone(),
        drain: Some(Drain::default()),
        ..Session::default()
    };
    fits("PageOfSession", &Page::new(vec![session], Some(1)));
    fits("PageOfOpenFile", &Page::whole(vec![file()]));
    fits("PageOfConnection", &Page::whole(vec![Connection { realm, ..Connection::default() }]));
    fits("PageOfRefusal", &Page::whole(vec![refusal()]));
    let grants = Some(vec![grant()]);
    fits(
        "PageOfShare",
        &Page::whole(vec![Share {
            grants,
            away: Some(String::new()),
            drain: Some(Drain::default()),
            owner: Some(String::new()),
            ..Share::default()
        }]),
    );
    fits("PageOfUser", &Page::whole(vec![User::default()]));
    let members = vec![GroupMember::default()];
    fits("PageOfGroup", &Page::whole(vec![Group { members, ..Group::default() }]));
    fits("PageOfLogon", &Page::whole(vec![Logon::default()]));
    fits("ServerInfo", &ServerInfo::default());
    fits(
        "Who",
        &Who {
            holders: vec![file()],
            refusals: Some(vec![refusal()]),
            holds: vec![Hold::default()],
            ..Who::default()
        },
    );
    let entry = HistoryEntry { access: Some(Access::default()), ..HistoryEntry::default() };
    let (items, names) = (vec![entry], vec![HistoryName::default()]);
    fits("History", &History { items, names, ..History::default() });
    let event = Event {
        epoch: Some(1),
        directory: Some(true),
        bytes_read: Some(1),
        bytes_written: Some(1),
        holder_user: Some(String::new()),
        holder_computer: Some(String::new()),
        replaced_by: Some(String::new()),
        closed: Some(1),
        deadline: Some(Timestamp(0)),
        by: Some(String::new()),
        text: Some(String::new()),
        ..Event::default()
    };
    fits("Event", &event);
    let (sandbox, password_rules) = (Some(Sandbox::default()), Some(PasswordRules::default()));
    let console = Some(ConsoleState::default());
    let (drain, notices) = (
        Some(Drain::default()),
        vec![NoticeState { problem: Some(String::new()), ..NoticeState::default() }],
    );
    let history = Some(HistoryState { bytes: Some(1), ..HistoryState::default() });
    let settings = Settings {
        sandbox,
        password_rules,
        console,
        drain,
        notices,
        history: history.clone(),
        ..Settings::default()
    };
    fits("Settings", &settings);
    let times = vec![TimeClass { microseconds_max: Some(50), count: 1 }, TimeClass::default()];
    let requests = vec![RequestStatistics { times, ..RequestStatistics::default() }];
    let current = Some(CurrentCounts::default());
    let counter = Some(0);
    let statistics = Statistics {
        history,
        opens_refused: counter,
        lock_conflicts: counter,
        breaks_sent: counter,
        breaks_timed_out: counter,
        credits_granted: counter,
        credits_charged: counter,
        requests,
        current,
        ..Statistics::default()
    };
    fits("Statistics", &statistics);
    fits("Clock", &Clock::default());
    let (nodes, shares) = (vec![ClusterNode::default()], vec![ClusterShare::default()]);
    let refused = vec![RefusedKey::default()];
    fits("Cluster", &Cluster { nodes, shares, refused, ..Cluster::default() });
    fits("Invitation", &Invitation::default());
    fits("PageOfClusterChange", &Page::whole(vec![ClusterChange::default()]));
    fits("Error", &Error::new(5, "No.").with_hint("Ask."));
    for outcome in [Outcome::Clean, Outcome::Flushed, Outcome::Forced] {
        fits("Ended", &Ended { outcome: Some(outcome), ..Ended::default() });
    }
    for state in [ServiceState::Running, ServiceState::Paused, ServiceState::Stopping] {
        fits("Service", &Service { state });
    }
    for kind in [ShareKind::Disk, ShareKind::Print, ShareKind::Comm, ShareKind::Ipc, ShareKind::Unknown] {
        fits("ShareKind", &kind);
    }
    for kind in [
        RefusalKind::SharingViolation,
        RefusalKind::LockConflict,
        RefusalKind::AccessDenied,
        RefusalKind::DeletePending,
        RefusalKind::Draining,
        RefusalKind::Held,
        RefusalKind::Other,
    ] {
        fits("RefusalKind", &kind);
    }
    let users = vec![String::new()];
    fits("PageOfDrain", &Page::whole(vec![Drain { users, ..Drain::default() }]));
    for scope in [DrainScope::Server, DrainScope::Share, DrainScope::Client] {
        fits("DrainScope", &scope);
    }
    for phase in [DrainPhase::Waiting, DrainPhase::Ending, DrainPhase::Done] {
        fits("DrainPhase", &phase);
    }
    fits("PageOfHold", &Page::whole(vec![Hold::default()]));
    let (holders, holds) = (vec![file()], vec![Hold::default()]);
    fits("HoldState", &HoldState { held: Some(Hold::default()), holders, holds, ..HoldState::default() });
    let realm = Some(String::new());
    let connection = Connection { realm, ..Connection::default() };
    let connection = RecheckedConnection { connection, files: vec![file()], may_return: true };
    fits("Rechecked", &Rechecked { connections: vec![connection], ..Rechecked::default() });
    for right in [GrantRight::Read, GrantRight::Change, GrantRight::Full, GrantRight::Special] {
        fits("GrantRight", &right);
    }
}

#[test]
fn request_bodies_fit_their_schemas() {
    fits("CloseSessions", &CloseSessions::default());
    fits("NewDrain", &NewDrain::default());
    fits("EndDrain", &EndDrain::default());
    fits("AnnounceClose", &AnnounceClose::default());
    fits("NewHold", &NewHold::default());
    fits("Recheck", &Recheck::default());
    fits("NewMove", &NewMove::default());
    fits("NodeDrain", &NodeDrain::default());
    fits("LeaveCluster", &LeaveCluster::default());
    fits("ClusterSetting", &ClusterSetting { value: Some(1), ..ClusterSetting::default() });
    fits("ClusterSetting", &ClusterSetting::default());
    fits("ShareChange", &ShareChange { grants: Some(vec![grant()]), ..ShareChange::default() });
    fits("NewShare", &NewShare { cluster: true, ..NewShare::default() });
    let password_rules = Some(PasswordRulesChange::default());
    fits("SettingsChange", &SettingsChange { password_rules, ..SettingsChange::default() });
    let settings = UserChange {
        active: Some(true),
        expires: Some(Timestamp(0)),
        never_expires: Some(true),
        logon_hours: Some(LogonHours::ALL),
        must_change_password: Some(true),
        password_changeable: Some(true),
        password_required: Some(true),
    };
    fits("UserChange", &settings);
    let new = NewUser { name: "ann".into(), password: "x".into(), settings };
    fits("NewUser", &new);
    fits("NewGroup", &NewGroup::default());
    let (comment, add) = (Some(String::new()), vec![String::new()]);
    fits("GroupChange", &GroupChange { comment, remove: add.clone(), add });
    fits("PasswordRulesChange", &PasswordRulesChange::default());
    fits("PasswordChange", &PasswordChange { old: None, new: "x".into() });
    for action in [ServiceAction::Stop, ServiceAction::Pause, ServiceAction::Continue] {
        fits("ServiceAction", &action);
    }
}

#[test]
fn query_parameters_are_the_fields_of_the_queries() {
    let document = document();
    let parameters = |method: &str, route: &str| -> BTreeSet<String> {
        let all = document["paths"][route][method]["parameters"].as_array().cloned().unwrap_or_default();
        let of_query = all.iter().filter(|it| it["in"] == "query");
        of_query.filter_map(|it| it["name"].as_str().map(String::from)).collect()
    };
    let fields = |query: Value| names(&query);
    let bound: Option<Bound> = ">1h".parse().ok();
    let sessions = SessionQuery { idle: bound, ..SessionQuery::default() };
    let files = FileQuery { idle: bound, ..FileQuery::default() };
    for (method, route, query) in [
        ("get", route::SESSIONS, json!(sessions)),
        ("get", route::FILES, json!(files)),
        ("get", route::CONNECTIONS, json!(ConnectionQuery::default())),
        ("get", route::REFUSALS, json!(RefusalQuery::default())),
        ("get", route::WHO, json!(WhoQuery::default())),
        ("get", route::HISTORY, json!(HistoryQuery::default())),
        ("get", route::EVENTS, json!(EventQuery::default())),
        ("get", route::STATISTICS, json!(StatisticsQuery::default())),
        ("delete", route::FILE, json!(CloseFile::default())),
    ] {
        assert_eq!(parameters(method, route), fields(query), "{method} {route}");
    }
}

#[test]
fn every_route_with_every_method() {
    let document = document();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            described.insert((method.to_uppercase(), path.clone()));
            assert!(operation["summary"].is_string(), "{method} {path}");
            assert!(operation["responses"]["200"].is_object(), "{method} {path}");
            assert!(operation["responses"]["default"].is_object(), "{method} {path}");
            let in_path = path.matches('{').count();
            let named = operation["parameters"].as_array().cloned().unwrap_or_default();
            assert_eq!(named.iter().filter(|it| it["in"] == "path").count(), in_path, "{method} {path}");
        }
    }
    let all = route::ALL.map(|(method, path)| (method.to_owned(), path.to_owned()));
    assert_eq!(described, BTreeSet::from(all));
}
