//! Events in the form of the control API.

use std::sync::Arc;

use control::Event;
use registry::{DrainStep, EventKind, EventOpen, Owner};

use crate::core::history::{close_word, drain_word, end_word, refusal_word};

/// The event in the form of the control API.
pub(crate) fn event(event: &registry::Event) -> Event {
    let about = |kind: &str| Event {
        id: event.seq,
        at: Some(super::shown::timestamp(event.time)),
        kind: String::from(kind),
        ..Event::default()
    };
    let of_open = |kind: &str, open: &EventOpen| Event {
        file_id: Some(open.file.value()),
        share: Some(open.share.to_string()),
        path: Some(open.path.to_string()),
        user: Some(open.owner.user.to_string()),
        computer: Some(open.owner.client.to_string()),
        directory: Some(open.is_directory),
        ..about(kind)
    };
    let text = |text: &Arc<str>| Some(text.to_string());
    let of_tree = |kind: &str, share: &Arc<str>, owner: Option<&Owner>| Event {
        share: text(share),
        user: owner.and_then(|it| text(&it.user)),
        computer: owner.and_then(|it| text(&it.client)),
        ..about(kind)
    };
    let word = |word: &str| Some(word.to_owned());
    match &event.kind {
        EventKind::ConnectionUp { client, .. } => Event { computer: text(client), ..about("connection_up") },
        EventKind::ConnectionDown { client, .. } => {
            Event { computer: text(client), ..about("connection_down") }
        }
        EventKind::SessionUp { session, owner } => Event {
            session_id: Some(session.value()),
            user: text(&owner.user),
            computer: text(&owner.client),
            ..about("session_up")
        },
        EventKind::SessionDown { session, owner, reason } => Event {
            session_id: Some(session.value()),
            user: text(&owner.user),
            computer: text(&owner.client),
            reason: word(end_word(*reason)),
            ..about("session_down")
        },
        EventKind::TreeUp { session, share, owner, .. } => {
            Event { session_id: Some(session.value()), ..of_tree("tree_up", share, owner.as_deref()) }
        }
        EventKind::TreeDown { session, share, owner, .. } => {
            Event { session_id: Some(session.value()), ..of_tree("tree_down", share, owner.as_deref()) }
        }
        EventKind::Opened { open, session } => {
            Event { session_id: Some(session.value()), ..of_open("opened", open) }
        }
        EventKind::Closed { open, reason, used } => Event {
            reason: word(close_word(*reason)),
            session_id: used.session.map(|it| it.value()),
            bytes_read: Some(used.bytes_read),
            bytes_written: Some(used.bytes_written),
            ..of_open("closed", open)
        },
        EventKind::Orphaned { open } => of_open("orphaned", open),
        EventKind::Reclaimed { open, session } => {
            Event { session_id: Some(session.value()), ..of_open("reclaimed", open) }
        }
        EventKind::Refused { refusal } => Event {
            session_id: refusal.session.map(|it| it.value()),
            file_id: refusal.blocker.as_ref().map(|it| it.global_id.value()),
            share: text(&refusal.share),
            path: text(&refusal.path),
            user: text(&refusal.user),
            computer: text(&refusal.client),
            reason: word(refusal_word(refusal.kind)),
            holder_user: refusal.blocker.as_ref().and_then(|it| text(&it.user)),
            holder_computer: refusal.blocker.as_ref().and_then(|it| text(&it.client)),
            ..about("refused")
        },
        EventKind::Locked { open } => of_open("locked", open),
        EventKind::Deleted { open, replaced_by } => {
            Event { replaced_by: replaced_by.as_ref().and_then(text), ..of_open("deleted", open) }
        }
        EventKind::Renamed { open, from } => Event { from: text(from), ..of_open("renamed", open) },
        EventKind::BreakSent { open } => of_open("break_sent", open),
        EventKind::BreakAcknowledged { open } => of_open("break_acknowledged", open),
        EventKind::BreakTimedOut { open } => of_open("break_timed_out", open),
        EventKind::CloseAnnounced { open, close } => Event {
            by: text(&close.by),
            text: text(&close.text),
            deadline: Some(super::shown::timestamp(close.at)),
            ..of_open("close_announced", open)
        },
        EventKind::CloseCancelled { open, by } => Event { by: text(by), ..of_open("close_cancelled", open) },
        EventKind::Drain { drain } => Event {
            share: drain.share.as_ref().and_then(text),
            computer: drain.client.as_ref().and_then(text),
            user: text(&drain.by),
            deadline: drain.deadline.filter(|_| drain.step == DrainStep::Begun).map(super::shown::timestamp),
            closed: (drain.step == DrainStep::Done).then(|| u64::try_from(drain.closed).unwrap_or(u64::MAX)),
            ..about(&format!("drain_{}", drain_word(drain.step)))
        },
        EventKind::ShareAdded { share } => Event { share: text(share), ..about("share_added") },
        EventKind::ShareChanged { share } => Event { share: text(share), ..about("share_changed") },
        EventKind::ShareRemoved { share } => Event { share: text(share), ..about("share_removed") },
    }
}
