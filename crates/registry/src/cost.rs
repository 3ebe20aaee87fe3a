//! The costs of operations under the registry's lock, depending on numbers that clients control.
//!
//! The rule: a client cannot make one hold of the lock longer by having, or requesting, much. An operation that has to
//! change many objects changes [`WORK_PER_HOLD`](crate::limits::WORK_PER_HOLD) of them and leaves a
//! [`Rest`](crate::Rest); all others make lookups, or examine a number of objects that has a small limit. `log` is the
//! logarithm of the table's length; a lookup in a hash table is counted as one step, although a table that grows moves
//! its entries once.
//!
//! | Operation | Steps |
//! |---|---|
//! | `Registry::admit`, `Registry::close_open`, `Registry::forget_replay`: plain opens, also durable ones, beside others | log; 16 caches of the file |
//! | `Registry::has_pending_deletes` | none |
//! | the whole lock itself | the lanes of the gate (8), and a plain open or close on each that is under way |
//! | lists and searches in order (`file_snapshots`, `files_below`, `rename_below`, `events_after`) | in addition, a lookup in each part of the table (16; 8 lanes of events), and the logarithm of that for each entry |
//! | `add_connection`, `connection_negotiated`, `connection_link`, `create_session`, `session_valid`, `expire_session`, `set_expiration`, `bind_session` | log |
//! | `tree_connect`, `tree`, `session`, `open`, `open_of` | log; a session's channels (32) where they are listed |
//! | `admit`: share modes | log; the kinds of sharing there are (64) to name the conflicting open |
//! | `admit`: breaks, and the caching that is granted | caches of the file ([`CACHERS_PER_FILE`](crate::limits::CACHERS_PER_FILE)) |
//! | `admit`: delete beside named streams | streams of the file that are open; the file's extended attributes limit their number |
//! | `admit`: `AppInstanceId` | instances of that application on the file; `WORK_PER_HOLD` of them end, then `LookAgain` |
//! | `admit`, any break: orphans in the way | orphans under one lease ([`ORPHANS_PER_USER`](crate::limits::ORPHANS_PER_USER)) |
//! | `break_for_write`, `break_for_overwrite`, `break_handle_caching`, `break_directory_caching`, `break_for_outsider`, `break_for_close` | caches of the file; each notice names 32 connections at most |
//! | `acknowledge_oplock`, `acknowledge_lease` | log, and the requests that wait for the file's breaks; for a lease, the opens that can be replayed ([`REPLAYABLE_PER_LEASE`](crate::limits::REPLAYABLE_PER_LEASE)) |
//! | `lock`, `lock_outside` | elements ([`LOCKS_PER_CALL`](crate::limits::LOCKS_PER_CALL)) times log; waiters of the file ([`WAITING_LOCKS_PER_FILE`](crate::limits::WAITING_LOCKS_PER_FILE)) times log |
//! | `retry_lock`, `refused_outside` | waiters of the file, and log |
//! | `unlock`, `unlock_each`, `take_back_locks` | (elements + waiters) times log |
//! | `check_io` | log |
//! | `cancel`, `forget_waiting` | log; as `unlock` if the request waited for a lock |
//! | `close_open` | locks of the open ([`LOCKS_PER_OPEN`](crate::limits::LOCKS_PER_OPEN)) times log, waiters, and the requests that wait for the file's breaks, all of which are woken |
//! | `close_open`: pending deletes | log: links are counted by file, and only the closing open's is examined; when the last open of another share has ended, `WORK_PER_HOLD` of the deletes that waited for it, then a `Rest` |
//! | `is_open_deleted`, `is_vanishing`, `deleted_links`, `begin_replace`, `end_replace`, `removed`, `deleted`; `admit`: deletes, removals and replacements under way | log |
//! | `begin_move`, `begin_stream_move`, `end_move`, `caches_handle` | log, and caches of the file |
//! | `admit`, `is_moving`, `meets_move`: during a rename | the components of the path times log |
//! | `admit`, `begin_move`, `moved_path`: renames since the path was looked up | the number of renames since then, up to those that are remembered |
//! | `tree_disconnect`, `close_session`, `replace_previous_session`, `remove_share` | `WORK_PER_HOLD` opens and locks, then a `Rest` |
//! | `disconnect` | the requests that wait on the connection and its sessions ([`SESSIONS_PER_CONNECTION`](crate::limits::SESSIONS_PER_CONNECTION)), each of which is only cut off; their opens as above; repeated breaks, `WORK_PER_HOLD` at a time |
//! | `handle_timeout` | `WORK_PER_HOLD` deadlines; the others stay due |
//! | `close_idle_sessions` | the requested part of the table, with the tree connects of its sessions |
//! | `reconnect`, `replay`, `make_resilient`, `forget_replay` | log |
//! | losing a client's durable opens | as ending them; those beyond the user's limit end, the oldest first |
//! | `set_delete_pending` | log; the pending deletes that another share's open replaces are returned as a whole, to be dropped later |
//! | `set_delete_with_own_open`, `set_delete_on_close`, `is_delete_pending`, `file_summary`, `share_conflict`, `lease_file`, `has_open_streams` | log |
//! | `rename`, `rename_streams`, `rename_below` | `WORK_PER_HOLD` opens of that path or below, then a `RenameRest` |
//! | `rename`, `rename_below`: pending deletes | log for each open that moves |
//! | `opens_below`, `break_handles_of_all` | the requested number, and caches of their files |
//! | `files_below` | the requested part; the directories that the share has had while files are open |
//! | `rename_stream` | opens of the stream ([`OPENS_OF_RENAMED_STREAM`](crate::limits::OPENS_OF_RENAMED_STREAM)) |
//! | snapshots of sessions, files, tree connects | the requested part; entries with many locks or tree connects make it shorter |
//! | `refusals` | the refusals that are remembered ([`REFUSALS`](crate::limits::REFUSALS)) |
//! | `events_after` | the requested number, up to those that are remembered ([`EVENTS`](crate::limits::EVENTS)) |
//! | `opens_of_share` | the directories that the share has had while files are open |
//! | `share_snapshots`, `shares`, `connections_of`, `connection_snapshots` | administrators only: shares, connections |
//! | `sessions_after` (the server's `refresh_users`) | the requested number: 256 by the server |
//! | `set_administrator` | channels of a session ([`CHANNELS_PER_SESSION`](crate::limits::CHANNELS_PER_SESSION)) |
//! | numbers of objects of each user (`users.rs`) | a lookup by user when a session becomes valid, and when a tree connect or open begins or ends |
//! | the choice of the stranger, guest or logon in progress that makes room (`crowd.rs`) | log |
//! | connections that a lease's break is sent on (`channels_of_lease`) | connections of that client GUID, and sessions of all of them together ([`CONNECTIONS_LOOKED_AT`](crate::limits::CONNECTIONS_LOOKED_AT) of each kind) |
//! | `admit`: drains | drains of clients ([`CLIENT_DRAINS`](crate::CLIENT_DRAINS)); during a drain, 256 opens of the session |
//! | `admit`, `begin_move`, `take_hold`: holds | holds ([`HOLDS`](crate::HOLDS)) and their paths, of which there are as many as shares lead to one directory |
//! | `opens_to_drain` | the requested part of the table |
//! | `announce_close`, `cancel_announced_close` | log; `take_due_closes`: the announced closes ([`ANNOUNCED_CLOSES`](crate::ANNOUNCED_CLOSES)) |
//! | `close_sessions` | the table of sessions; the server ends them one by one instead |
//! | `shutdown` | everything: no request is served any more |
//! | statistics | none: they are atomics |
//!
//! Steps are counted in this crate's unit tests: `cost_tests`, and beside the code in `ranges.rs` and
//! `intervals.rs`.

/// Counts a step: a visited entry of a table, a comparison of a range.
#[inline(always)]
pub(crate) fn step() {
    #[cfg(test)]
    STEPS.with(|steps| steps.set(steps.get().saturating_add(1)));
}

/// Runs `work` and returns its result with the number of its steps.
#[cfg(test)]
pub(crate) fn of<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = STEPS.with(std::cell::Cell::get);
    let result = work();
    (result, STEPS.with(std::cell::Cell::get).saturating_sub(before))
}

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}
