//! The client against servers that answer right, wrong and not at all.

use std::path::PathBuf;
use std::sync::Arc;

use client::{Administration as _, ControlClient, Error};
use control::{FileQuery, OpenFile, Page, Session, SessionQuery};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

/// A server that gives these answers, one to a connection, and notes the first lines of the requests.
struct Scripted {
    directory: tempfile::TempDir,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn start(answers: Vec<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("sock")).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = requests.clone();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                    assert!(stream.read_buf(&mut request).await.unwrap() > 0);
                }
                let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
                noted.lock().push(line);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { directory, requests }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("sock")
    }

    fn client(&self) -> ControlClient {
        ControlClient::new(vec![self.socket()])
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn page_of_files(ids: &[u32], next: Option<u64>) -> String {
    let files = ids.iter().map(|id| OpenFile { id: *id, ..OpenFile::default() }).collect();
    answer("200 OK", &serde_json::to_string(&Page::new(files, next)).unwrap())
}

#[tokio::test]
async fn pages_become_one_list() {
    let server = Scripted::start(vec![
        page_of_files(&[1, 2], Some(2)),
        page_of_files(&[], Some(9)),
        page_of_files(&[10], None),
    ]);
    let query = FileQuery { share: Some("a b".into()), ..FileQuery::default() };
    let files = server.client().files(&query).await.unwrap();
    assert_eq!(files.iter().map(|file| file.id).collect::<Vec<_>>(), [1, 2, 10]);
    assert_eq!(
        server.requests(),
        [
            "GET /v1/files?share=a+b&limit=2000 HTTP/1.1",
            "GET /v1/files?share=a+b&after=2&limit=2000 HTTP/1.1",
            "GET /v1/files?share=a+b&after=9&limit=2000 HTTP/1.1"
        ]
    );
}

#[tokio::test]
async fn pages_that_repeat_are_refused() {
    let server = Scripted::start(vec![page_of_files(&[2], Some(2)), page_of_files(&[2], Some(2))]);
    let error = server.client().files(&FileQuery::default()).await.unwrap_err();
    assert!(matches!(error, Error::Nonsense(_)), "{error}");
}

#[tokio::test]
async fn refusals_keep_their_number_and_hint() {
    let body = r#"{"code":2312,"message":"Gone.","hint":"Look again.","new_field":1}"#;
    let server = Scripted::start(vec![answer("404 Not Found", body)]);
    let session = Session { id: Some(7), ..Session::default() };
    let error = server.client().end_session(&session).await.unwrap_err();
    assert_eq!(
        (error.number(), error.message(), error.hint().as_deref()),
        (2312, Some("Gone."), Some("Look again."))
    );
    assert_eq!(server.requests(), ["DELETE /v1/sessions/7 HTTP/1.1"]);
}

#[tokio::test]
async fn answers_in_another_form_are_errors() {
    for (text, number) in [
        (answer("403 Forbidden", "<html>"), 5),
        (answer("404 Not Found", ""), 50),
        (answer("500 Internal Server Error", "{}"), 58),
        (answer("200 OK", "{\"schema\":1}"), 58),
        (answer("200 OK", "not json"), 58),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned(), 59),
        ("SSH-2.0-OpenSSH_9.9\r\n".to_owned(), 59),
        (String::new(), 59),
    ] {
        let server = Scripted::start(vec![text.clone()]);
        let error = server.client().sessions(&SessionQuery::default()).await.unwrap_err();
        assert_eq!(error.number(), number, "{text:?}: {error}");
    }
}

#[tokio::test]
async fn the_first_socket_with_a_server_is_used() {
    let abandoned = tempfile::tempdir().unwrap();
    let socket = abandoned.path().join("sock");
    drop(UnixListener::bind(&socket).unwrap());
    let server = Scripted::start(vec![page_of_files(&[], None)]);
    let sockets = vec![PathBuf::from("/nonexistent/sock"), socket.clone(), server.socket()];
    assert_eq!(ControlClient::new(sockets).files(&FileQuery::default()).await.unwrap(), []);

    let error = ControlClient::new(vec![socket.clone()]).server().await.unwrap_err();
    assert_eq!(error.number(), 2114);
    assert!(error.hint().is_some_and(|hint| hint.contains(&*socket.to_string_lossy())));
    assert_eq!(ControlClient::new(vec![]).server().await.unwrap_err().number(), 2114);
}
