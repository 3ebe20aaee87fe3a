//! CHANGE_NOTIFY: MS-SMB2 3.3.5.19.

use std::sync::Arc;

use wire::fscc::notify::{NotifyEntry, encode_changes};
use wire::msg::{ChangeNotifyRequest, OutputResponse, WatchFlags};
use wire::{AccessMask, NtStatus};

use super::{check_transact, malformed};
use crate::core::files::notify::{Found, News, Viewer, Visible, Watch, watcher};
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// Handles CHANGE_NOTIFY. An open's first request determines the watched changes (MS-FSA 2.1.5.10).
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let notify = ChangeNotifyRequest::decode(request.message).map_err(malformed)?;
    check_transact(request, &[notify.output_buffer_length])?;
    let open = request.open(notify.file_id)?;
    let file = open.file().filter(|file| file.is_directory).ok_or(NtStatus::INVALID_PARAMETER)?;
    // FILE_LIST_DIRECTORY.
    if !open.access().contains(AccessMask::READ_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let max = notify.output_buffer_length as usize;
    let mut started = false;
    let watch = {
        let mut state = file.state();
        if state.watch.is_none() && notify.completion_filter.is_none() {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let path = state.path.clone();
        let start = || {
            started = true;
            let recursive = notify.flags.contains(WatchFlags::WATCH_TREE);
            let server = &request.connection.server;
            let watcher = watcher(open.session().user().as_deref());
            let wanted = Watch::new(notify.completion_filter, recursive, max, watcher);
            server.files.watches.watch(open.tree(), &path, &*file.handle, wanted)
        };
        Arc::clone(state.watch.get_or_insert_with(start))
    };
    // An administrator or another channel may have closed the open meanwhile.
    if open.is_closed() {
        request.connection.server.files.watches.end(&watch, NtStatus::NOTIFY_CLEANUP);
    }
    let mut pending = None;
    if started && watch.is_recursive() {
        let waits = pending.insert(request.wait(answer)?);
        let (server, below) = (Arc::clone(&request.connection.server), Arc::clone(&watch));
        let observed = crate::core::blocking::run(move || server.files.watches.observe_below(&below));
        tokio::select! {
            observed = observed => observed?,
            () = waits.cancelled() => return Err(NtStatus::CANCELLED),
        }
    }
    let told = loop {
        let news = match watch.take() {
            Found::News(news) => news,
            Found::Nothing(mut news) => {
                let pending = match &pending {
                    Some(pending) => pending,
                    None => pending.insert(request.wait(answer)?),
                };
                tokio::select! {
                    biased;
                    news = &mut news => news.map_err(|_| NtStatus::NOTIFY_CLEANUP)?,
                    () = pending.cancelled() => {
                        // Changes that arrived in the last moment are still reported.
                        news.close();
                        news.try_recv().map_err(|_| NtStatus::CANCELLED)?
                    }
                }
            }
        };
        let changes = match news {
            News::Changes(changes) => changes,
            News::Status(NtStatus::NOTIFY_ENUM_DIR) => break Vec::new(),
            News::Status(status) => return Err(status),
        };
        let rules = open.tree().share.settings.files.names.as_deref();
        let changes = match rules.filter(|rules| rules.has_vetoes()) {
            Some(rules) => {
                let shown: Vec<_> =
                    changes.into_iter().filter(|(_, name)| !rules.is_path_vetoed(name)).collect();
                if shown.is_empty() {
                    continue;
                }
                shown
            }
            None => changes,
        };
        let viewer = Viewer {
            user: crate::smb::handlers::user_of_files(request)?,
            tree: Arc::clone(open.tree()),
            directory: file.path(),
        };
        if viewer.sees_all(watch.is_recursive()) {
            break changes;
        }
        match crate::core::blocking::run(move || viewer.visible(changes)).await? {
            // The user could not have listed any of the changes, so the request continues to wait.
            Visible::Changes(changes) if changes.is_empty() => {}
            Visible::Changes(changes) => break changes,
            Visible::Something => break Vec::new(),
        }
    };
    let mut changes = Vec::new();
    let entries = told.iter().map(|(action, name)| NotifyEntry { action: *action, name: name.as_str() });
    // If the changes do not fit, they are dropped, and the client must list the directory.
    let fits = !told.is_empty() && encode_changes(entries, &mut changes, max);
    put(answer, if fits { &changes } else { &[] });
    Ok(if fits { NtStatus::SUCCESS } else { NtStatus::NOTIFY_ENUM_DIR })
}

fn put(answer: &mut AnswerBuilder, changes: &[u8]) {
    let base = answer.base();
    OutputResponse { output_buffer: changes }.encode(answer.body(), base);
}
