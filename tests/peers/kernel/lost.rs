//! Connections that are cut and servers that are restarted while a client works.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use testkit::peer::{KERNEL_CLIENT_NEEDS, KernelClient};
use testkit::{Cable, Setup, Shareward, Subject, need};

const LOST: &str = include_str!("lost.py");

/// The number of interruptions in one run.
const TIMES: usize = 4;

/// Waits for the script, whose own limits are shorter.
fn wait_for(what: impl Fn() -> bool) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < Duration::from_secs(90), "the client does not get on");
        thread::sleep(Duration::from_millis(5));
    }
}

fn entry(share: &Path, start: &str) -> Option<String> {
    let names = fs::read_dir(share).expect("the share").flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.into_string().ok()).find(|name| name.starts_with(start))
}

/// The ids under which the file is open.
fn opens(server: &Shareward, name: &str) -> Vec<String> {
    let listed = server.net(&["file", "--path", name]).success().stdout;
    let lines = listed.lines().filter(|line| line.contains(name));
    lines.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

/// The host's part: acts whenever the script asks for it, and checks the result.
fn host(share: &Path, mut act: impl FnMut(usize)) -> u64 {
    for time in 0..TIMES {
        wait_for(|| share.join(format!("now-{time}")).exists());
        act(time);
        fs::write(share.join(format!("was-{time}")), "").expect("write");
    }
    wait_for(|| entry(share, "done-").is_some());
    let done = entry(share, "done-").expect("it is there");
    let blocks: u64 = done["done-".len()..].parse().expect("a number");
    let kept = fs::read(share.join("kept")).expect("the file");
    assert_eq!(kept.len() as u64, (blocks + 1) * 8192);
    for (number, block) in kept.chunks(8192).enumerate() {
        assert!(block == format!("{number:08}").repeat(1024).as_bytes(), "block {number}");
    }
    blocks
}

/// The open outlives the connection. Its lock is not looked at: with a lease to cache writes, this client keeps its locks
/// to itself.
#[test]
fn a_cut_connection_with_a_durable_handle() {
    if !need(KERNEL_CLIENT_NEEDS) {
        return;
    }
    let server = Shareward::start(&Setup::default());
    let share = server.share_dir("data");
    let cable = Cable::to(server.address());
    let subject = Subject::Shareward(server);
    let client = KernelClient { port: cable.port(), ..KernelClient::new(&subject, "hard") };
    let Subject::Shareward(server) = &subject else { return };
    thread::scope(|scope| {
        let ran = scope.spawn(|| client.run(LOST, &[&TIMES.to_string()]));
        let mut first = Vec::new();
        host(&share, |time| {
            let now = opens(server, "kept");
            assert_eq!(now.len(), 1, "{now:?}");
            if time == 0 {
                first = now;
            } else {
                assert_eq!(now, first, "it is the same open as before the connection was cut");
            }
            assert_eq!(cable.cut(), 1);
        });
        assert_eq!(opens(server, "kept"), first);
        fs::write(share.join("seen"), "").expect("write");
        ran.join().expect("the client").success().says("lost and found");
    });
}

#[test]
fn a_server_that_is_restarted() {
    if !need(KERNEL_CLIENT_NEEDS) {
        return;
    }
    let mut server = Shareward::start(&Setup::default());
    let share = server.share_dir("data");
    let port = server.address().port();
    let user = server.setup().user("alice").clone();
    let client = KernelClient::at(port, &user, "hard");
    thread::scope(|scope| {
        let ran = scope.spawn(|| client.run(LOST, &[&TIMES.to_string()]));
        host(&share, |_| server.restart());
        fs::write(share.join("seen"), "").expect("write");
        ran.join().expect("the client").success().says("lost and found");
    });
}
