//! A control server with canned data, and the program run against it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use control::{
    CloseFile, Ended, Error, Event, FileQuery, Logon, OpenFile, Outcome, Page, Session, SessionQuery,
    Timestamp, Who, WhoQuery, number, route,
};
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;

/// The data of the server.
#[derive(Clone, Default)]
pub(crate) struct Data {
    pub(crate) sessions: Vec<Session>,
    pub(crate) files: Vec<OpenFile>,
    /// The content of `files` for the second list, the third, and so on.
    pub(crate) later: Vec<Vec<OpenFile>>,
    /// `None` if the server does not support logons.
    pub(crate) logons: Option<Vec<Logon>>,
    /// The answers to `who` in order; the last one repeats. Empty if the server does not support the query.
    pub(crate) who: Vec<Who>,
    /// The events, all at once; `None` if the server reports no events.
    pub(crate) events: Option<Vec<Event>>,
    /// The result of closing an open, if it is not [`Outcome::Clean`].
    pub(crate) outcomes: Vec<(u32, Result<Outcome, Error>)>,
    /// The refusal of every request.
    pub(crate) refusal: Option<Error>,
}

/// A running server.
pub(crate) struct FakeServer {
    directory: tempfile::TempDir,
    shared: Arc<Shared>,
    runtime: tokio::runtime::Runtime,
}

struct Shared {
    data: Mutex<Data>,
    /// The requests that changed something or had filters.
    notable: Mutex<Vec<String>>,
}

impl FakeServer {
    pub(crate) fn start(data: Data) -> Self {
        Self::start_with(data, Router::new())
    }

    /// As [`Self::start`], with more routes.
    pub(crate) fn start_with(data: Data, more: Router) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let shared = Arc::new(Shared { data: Mutex::new(data), notable: Mutex::default() });
        let app = Router::new()
            .route(route::SESSIONS, get(sessions))
            .route(route::SESSION, get(session).delete(end_session))
            .route(route::FILES, get(files))
            .route(route::FILE, get(file).delete(close_file))
            .route(route::LOGONS, get(logons))
            .route(route::WHO, get(who))
            .route(route::EVENTS, get(events))
            .with_state(shared.clone())
            .merge(more)
            .layer(middleware::from_fn_with_state(shared.clone(), note));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let guard = runtime.enter();
        let listener = tokio::net::UnixListener::bind(directory.path().join("control.sock")).unwrap();
        drop(guard);
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { directory, shared, runtime }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    /// Runs `net` with these words and this input, and returns its output and exit code.
    pub(crate) fn net(&self, words: &str, input: &str) -> String {
        self.run("net", words, input)
    }

    pub(crate) fn run(&self, program: &str, words: &str, input: &str) -> String {
        let mut told = run_at(self.socket(), program, words, input);
        for request in std::mem::take(&mut *self.shared.notable.lock()) {
            writeln!(told, "-> {request}").unwrap();
        }
        told
    }

    pub(crate) fn sessions_left(&self) -> usize {
        self.shared.data.lock().sessions.len()
    }

    pub(crate) fn stop(self) {
        self.runtime.shutdown_background();
    }
}

/// The command of the program under the name `program`. Words are separated by spaces; `_` in a word is a space.
pub(crate) fn command(socket: PathBuf, program: &str, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shareward"));
    command.arg0(program).args(words.split_whitespace().map(|word| word.replace('_', " ")));
    command.env_clear().env("SHAREWARD_SOCKET", socket).env("TZ", "UTC");
    // The tickets and the realm of whoever runs the tests do not matter.
    command.env("KRB5CCNAME", "/nonexistent/tickets").env("KRB5_CONFIG", "/dev/null");
    command
}

pub(crate) fn run_at(socket: PathBuf, program: &str, words: &str, input: &str) -> String {
    let mut command = command(socket, program, words);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that asks nothing may already be gone.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let mut told = format!("$ {program} {words}\n");
    if !input.is_empty() {
        writeln!(told, "< {input:?}").unwrap();
    }
    for (name, bytes) in [("stdout", output.stdout), ("stderr", output.stderr)] {
        let text = String::from_utf8(bytes).unwrap();
        if !text.is_empty() {
            assert!(text.ends_with('\n'), "{name} ends in the middle of a line: {text:?}");
            writeln!(told, "--- {name}\n{text}---").unwrap();
        }
    }
    writeln!(told, "exit {}", output.status.code().unwrap()).unwrap();
    told
}

type Answer<T> = Result<Json<T>, Refused>;

struct Refused(Error);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (StatusCode::from_u16(self.0.http_status()).unwrap(), Json(self.0)).into_response()
    }
}

async fn note(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let query = head.uri.query().unwrap_or_default();
    let filtered = query.split('&').any(|pair| !pair.starts_with("limit=") && !pair.starts_with("after="));
    if head.method != "GET" || (!query.is_empty() && filtered) {
        let noted = format!("{} {} {}", head.method, head.uri, String::from_utf8_lossy(&body));
        shared.notable.lock().push(noted.trim_end().to_owned());
    }
    let request = Request::from_parts(head, body.into());
    if let Some(refusal) = shared.data.lock().refusal.clone() {
        return Refused(refusal).into_response();
    }
    next.run(request).await
}

/// Pages of two, so that lists take several.
fn page<T: Clone>(all: &[T], id: impl Fn(&T) -> u32, after: Option<u64>) -> Page<T> {
    let rest: Vec<&T> =
        all.iter().filter(|entry| after.is_none_or(|after| u64::from(id(entry)) > after)).collect();
    let items: Vec<T> = rest.iter().take(2).map(|entry| (*entry).clone()).collect();
    let next = (rest.len() > 2).then(|| items.last().map(|last| u64::from(id(last)))).flatten();
    Page::new(items, next)
}

async fn sessions(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<SessionQuery>,
) -> Answer<Page<Session>> {
    let data = shared.data.lock();
    let mut all = data.sessions.clone();
    all.retain(|session| query.matches(session));
    Ok(Json(page(&all, |session| session.id.unwrap(), query.after)))
}

async fn session(State(shared): State<Arc<Shared>>, Path(id): Path<u32>) -> Answer<Session> {
    let data = shared.data.lock();
    let found = data.sessions.iter().find(|session| session.id == Some(id)).cloned();
    found.map(Json).ok_or_else(no_session)
}

async fn end_session(State(shared): State<Arc<Shared>>, Path(id): Path<u32>) -> Answer<Ended> {
    let mut data = shared.data.lock();
    let index = data.sessions.iter().position(|session| session.id == Some(id)).ok_or_else(no_session)?;
    let session = data.sessions.remove(index);
    Ok(Json(Ended { sessions: 1, files: session.opens.unwrap_or(0), outcome: None }))
}

/// A list ends with its last page.
async fn files(State(shared): State<Arc<Shared>>, Query(query): Query<FileQuery>) -> Answer<Page<OpenFile>> {
    let mut data = shared.data.lock();
    let mut all = data.files.clone();
    all.retain(|file| query.matches(file, NOW));
    let page = page(&all, |file| file.id, query.after);
    if page.next.is_none() && !data.later.is_empty() {
        data.files = data.later.remove(0);
    }
    Ok(Json(page))
}

async fn file(State(shared): State<Arc<Shared>>, Path(id): Path<u32>) -> Answer<OpenFile> {
    let data = shared.data.lock();
    data.files.iter().find(|file| file.id == id).cloned().map(Json).ok_or_else(no_file)
}

async fn close_file(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<u32>,
    Query(how): Query<CloseFile>,
) -> Answer<Ended> {
    let mut data = shared.data.lock();
    let index = data.files.iter().position(|file| file.id == id).ok_or_else(no_file)?;
    let file = &data.files[index];
    let is_path = |path: &String| [Some(&file.path), file.server_path.as_ref()].contains(&Some(path));
    if how.expect_user.is_some_and(|user| user != file.user)
        || how.expect_path.is_some_and(|it| !is_path(&it))
    {
        return Err(no_file());
    }
    let outcome = data.outcomes.iter().find(|(of, _)| *of == id).map(|(_, outcome)| outcome.clone());
    let outcome = outcome.unwrap_or(Ok(if how.force { Outcome::Forced } else { Outcome::Clean }));
    let outcome = outcome.map_err(Refused)?;
    data.files.remove(index);
    Ok(Json(Ended { sessions: 0, files: 1, outcome: Some(outcome) }))
}

async fn logons(State(shared): State<Arc<Shared>>) -> Answer<Page<Logon>> {
    let logons = shared.data.lock().logons.clone();
    logons.map(|logons| Json(Page::whole(logons))).ok_or_else(not_supported)
}

async fn who(State(shared): State<Arc<Shared>>, Query(_query): Query<WhoQuery>) -> Answer<Who> {
    let mut data = shared.data.lock();
    let answer = data.who.first().cloned().ok_or_else(not_supported)?;
    if data.who.len() > 1 {
        data.who.remove(0);
    }
    Ok(Json(answer))
}

/// The events, on a stream that stays open.
async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let Some(events) = shared.data.lock().events.clone() else {
        return not_supported().into_response();
    };
    let lines: String = events.iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
    let lines = stream::iter([Ok::<_, std::convert::Infallible>(lines)]).chain(stream::pending());
    axum::body::Body::from_stream(lines).into_response()
}

/// The current time in all tests.
const NOW: Timestamp = Timestamp(1_772_361_000_000);

fn not_supported() -> Refused {
    Refused(Error::new(number::NOT_SUPPORTED, "The request is not supported."))
}

fn no_session() -> Refused {
    Refused(Error::new(number::CLIENT_NAME_NOT_FOUND, "There is no session with this id."))
}

fn no_file() -> Refused {
    Refused(Error::new(number::FILE_ID_NOT_FOUND, "There is no open with this id."))
}
