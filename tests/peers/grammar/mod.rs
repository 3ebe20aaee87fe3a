//! The whole grammar of the commands: every line of a table runs on our server through its control socket, on our
//! server over SMB, and on Samba over MS-SRVS, and a snapshot shows the three answers side by side.
//!
//! `[all]` marks common output, `[here]` that of our server's control socket, `[smb]` of our server over SMB, and
//! `[samba]` of Samba. Values that differ between runs are masked with the same width, so that columns are as users
//! see them.

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

/// Runs the lines and compares their output with the snapshot of this name.
macro_rules! check {
    ($name:literal, $told:expr) => {
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!($name, $told);
        });
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn commands_that_list() {
    let Some(stage) = Stage::set().await else { return };
    check!("session_list", stage.play(sessions::LISTED));
    check!("session_forms", stage.play(sessions::FORMS));
    check!("session_wrong", stage.play(sessions::WRONG));
    check!("file_list", stage.play(files::LISTED));
    check!("file_forms", stage.play(files::FORMS));
    check!("file_wrong", stage.play(files::WRONG));
    check!("who_and_wait", stage.play(server::WHO));
    check!("history", stage.play(server::HISTORY));
    check!("server", stage.play(server::LISTED));
    check!("server_wrong", stage.play(server::WRONG));
    check!("openfiles", stage.play(programs::OPENFILES));
    check!("psfile", stage.play(programs::PSFILE));
    check!("psloggedon", stage.play(programs::PSLOGGEDON));
    check!("rights", stage.play(server::RIGHTS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn commands_that_close_and_end() {
    let Some(stage) = Stage::set().await else { return };
    check!("file_close", stage.play(ends::FILES));
    check!("session_delete", stage.play(ends::SESSIONS));
    let Some(stage) = Stage::set().await else { return };
    check!("openfiles_disconnect", stage.play(ends::OPENFILES));
    check!("psfile_close", stage.play(ends::PSFILE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn commands_that_change() {
    let Some(stage) = Stage::set().await else { return };
    check!("share", stage.play(shares::LISTED));
    check!("share_changes", stage.play(shares::CHANGES));
    check!("config_and_users", stage.play(server::CHANGES));
    check!("groups", stage.play(server::GROUPS));
    check!("service", stage.play(server::SERVICE));
}

#[test]
fn command_lines_without_a_server() {
    check!("words", words::told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn several_servers_unreachable_servers_and_terminals() {
    let Some(mut stage) = Stage::set().await else { return };
    check!("unreachable", unreachable::told(&stage));
    // The characters with effects on terminals that SMB allows in names: a control sequence, and one that reverses
    // text.
    stage.add("hostile \u{9b}31m \u{202e}txt.exe").await;
    check!("terminal", terminal::told(&stage));
}
