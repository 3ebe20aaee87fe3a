//! An upload of smbclient's that an administrator closes in the middle.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use testkit::peer::smbclient;
use testkit::{Setup, Shareward, Subject, need};

/// The time for the client to write its first bytes.
const BEGUN_MAX: Duration = Duration::from_secs(30);

/// More than the client takes in one WRITE, so that it waits for the rest with something written.
const GIVEN: usize = 20 << 20;

#[test]
fn data_of_smbclient_is_kept_and_it_gets_an_error_after_the_close() {
    if !need(&["smbclient", "mkfifo"]) {
        return;
    }
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let Subject::Shareward(server) = &subject else { return };
    let source = subject.scratch().join("source");
    assert!(Command::new("mkfifo").arg(&source).status().expect("mkfifo").success());
    let put = format!("put {} upload", source.display());
    let (given, rest) = std::sync::mpsc::channel::<()>();
    let (closed, upload) = thread::scope(|scope| {
        let upload = scope.spawn(|| smbclient(&subject, subject.user("alice"), "data", &[], &put));
        let source = &source;
        scope.spawn(move || {
            let mut pipe = File::create(source).expect("the pipe");
            let block = vec![b'k'; 1 << 20];
            // The client disconnects in the middle, and the pipe ends.
            for _ in 0..GIVEN >> 20 {
                if pipe.write_all(&block).is_err() {
                    return;
                }
            }
            rest.recv().ok();
            pipe.write_all(&block).ok();
        });
        let id = id_of_what_is_written(server);
        let closed = server.net(&["file", &id, "/close"]);
        given.send(()).ok();
        (closed, upload.join().expect("smbclient"))
    });
    closed.success().says("Closed; the client had no unwritten data.");
    assert!(upload.status != Some(0) || upload.stdout.contains("NT_STATUS_"), "{upload}");
    let kept = fs::read(subject.share_dir("data").join("upload")).expect("the file");
    assert!(!kept.is_empty() && kept.iter().all(|byte| *byte == b'k'), "{} bytes", kept.len());
}

/// The id of the upload once something is written of it.
fn id_of_what_is_written(server: &Shareward) -> String {
    let started = Instant::now();
    loop {
        let listed = server.net(&["file", "--path", "upload", "--csv", "--no-header"]).success().stdout;
        let id = listed.split(',').next().unwrap_or_default().trim().to_owned();
        let written = server.share_dir("data").join("upload").metadata().map_or(0, |it| it.len());
        if !id.is_empty() && written > 0 {
            return id;
        }
        assert!(started.elapsed() < BEGUN_MAX, "nothing is written: {listed}");
        thread::sleep(Duration::from_millis(10));
    }
}
