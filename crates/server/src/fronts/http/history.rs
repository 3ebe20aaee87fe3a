//! The route of the history.

use control::{History, HistoryQuery};

use super::asked::{Asked, Filters};
use super::routes::{Answer, performed};
use crate::admin::view;

/// `GET /v1/history`.
pub(super) async fn history(asked: Asked, Filters(query): Filters<HistoryQuery>) -> Answer<History> {
    performed(move || view::history(&asked.server, &asked.caller, &query)).await
}
