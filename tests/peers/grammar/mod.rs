//! The commands' whole grammar: every line of a table is typed at our server through its control socket, at our server
//! over SMB, and at Samba over MS-SRVS, and the three answers stand side by side in a snapshot.
//!
//! `[all]` is what all three said, `[here]` our server's control socket, `[smb]` our server over SMB, `[samba]` Samba.
//! What differs from run to run is masked at its own width, so that columns stand where people see them.

mod ends;
mod files;
mod masks;
mod programs;
mod scene;
mod server;
mod sessions;
mod shares;
mod stage;
mod terminal;
mod unreachable;
mod words;

use masks::Masks;
use stage::{Line, Stage, line};

/// Runs the lines and compares what they said with the snapshot of this name.
macro_rules! check {
    ($name:literal, $told:expr) => {
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!($name, $told);
        });
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_listed() {
    let Some(stage) = Stage::set().await else { return };
    check!("session_list", stage.play(sessions::LISTED));
    check!("session_forms", stage.play(sessions::FORMS));
    check!("session_wrong", stage.play(sessions::WRONG));
    check!("file_list", stage.play(files::LISTED));
    check!("file_forms", stage.play(files::FORMS));
    check!("file_wrong", stage.play(files::WRONG));
    check!("who_and_wait", stage.play(server::WHO));
    check!("server", stage.play(server::LISTED));
    check!("server_wrong", stage.play(server::WRONG));
    check!("openfiles", stage.play(programs::OPENFILES));
    check!("psfile", stage.play(programs::PSFILE));
    check!("psloggedon", stage.play(programs::PSLOGGEDON));
    check!("rights", stage.play(server::RIGHTS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_ended() {
    let Some(stage) = Stage::set().await else { return };
    check!("file_close", stage.play(ends::FILES));
    check!("session_delete", stage.play(ends::SESSIONS));
    let Some(stage) = Stage::set().await else { return };
    check!("openfiles_disconnect", stage.play(ends::OPENFILES));
    check!("psfile_close", stage.play(ends::PSFILE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_changed() {
    let Some(stage) = Stage::set().await else { return };
    check!("share", stage.play(shares::LISTED));
    check!("share_changes", stage.play(shares::CHANGES));
    check!("config_and_users", stage.play(server::CHANGES));
    check!("service", stage.play(server::SERVICE));
}

#[test]
fn words_without_a_server() {
    check!("words", words::told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn several_servers_none_and_terminals() {
    let Some(mut stage) = Stage::set().await else { return };
    check!("unreachable", unreachable::told(&stage));
    // Of what terminals act on, these are what SMB lets a name contain: a control sequence, and what turns text round.
    stage.add("hostile \u{9b}31m \u{202e}txt.exe").await;
    check!("terminal", terminal::told(&stage));
}
