//! Events in the form of the control API.

use std::sync::Arc;

use control::Event;
use registry::{EventKind, EventOpen};

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
        user: Some(open.user.to_string()),
        computer: Some(open.client.to_string()),
        ..about(kind)
    };
    let text = |text: &Arc<str>| Some(text.to_string());
    match &event.kind {
        EventKind::ConnectionUp { client, .. } => Event { computer: text(client), ..about("connection_up") },
        EventKind::ConnectionDown { .. } => about("connection_down"),
        EventKind::SessionUp { session, user, client } => Event {
            session_id: Some(session.value()),
            user: text(user),
            computer: text(client),
            ..about("session_up")
        },
        EventKind::SessionDown { session, user, client, reason } => Event {
            session_id: Some(session.value()),
            user: text(user),
            computer: text(client),
            reason: Some(word(reason)),
            ..about("session_down")
        },
        EventKind::TreeUp { session, share, .. } => {
            Event { session_id: Some(session.value()), share: text(share), ..about("tree_up") }
        }
        EventKind::TreeDown { session, share, .. } => {
            Event { session_id: Some(session.value()), share: text(share), ..about("tree_down") }
        }
        EventKind::Opened { open, session } => {
            Event { session_id: Some(session.value()), ..of_open("opened", open) }
        }
        EventKind::Closed { open, reason } => Event { reason: Some(word(reason)), ..of_open("closed", open) },
        EventKind::Orphaned { open } => of_open("orphaned", open),
        EventKind::Reclaimed { open, session } => {
            Event { session_id: Some(session.value()), ..of_open("reclaimed", open) }
        }
        EventKind::Refused { kind, share, path, session, user, client, blocker } => Event {
            session_id: session.map(|it| it.value()),
            file_id: blocker.map(|it| it.value()),
            share: text(share),
            path: text(path),
            user: text(user),
            computer: text(client),
            reason: Some(word(kind)),
            ..about("refused")
        },
        EventKind::BreakSent { open } => of_open("break_sent", open),
        EventKind::BreakTimedOut { open } => of_open("break_timed_out", open),
        EventKind::ShareAdded { share } => Event { share: text(share), ..about("share_added") },
        EventKind::ShareRemoved { share } => Event { share: text(share), ..about("share_removed") },
    }
}

/// The name of a reason, such as `connection_lost`.
fn word(reason: &impl std::fmt::Debug) -> String {
    let mut word = String::new();
    for character in format!("{reason:?}").chars() {
        if character.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(character.to_lowercase());
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_shown_in_snake_case() {
        assert_eq!(word(&registry::CloseReason::ClientClose), "client_close");
        assert_eq!(word(&registry::EndReason::Administrator), "administrator");
        assert_eq!(word(&registry::RefusalKind::SharingViolation), "sharing_violation");
    }
}
