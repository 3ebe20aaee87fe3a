//! The web console and the metrics, on TCP.
//!
//! The console has its static files, logons with a name and a password or with a ticket, the control
//! API for users who have logged on,
//! its event stream in the form for browsers, and the metrics. `[metrics]` can give the metrics a listener of their own.

mod assets;
mod guard;
mod identity;
mod listener;
mod live;
mod logon;
mod metrics;
mod openmetrics;
mod sessions;
mod ticket;

use std::net::SocketAddr;
use std::sync::Arc;

use auth::kerberos::ChannelBindings;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Extension, Router};

pub(crate) use self::listener::serve;
use self::sessions::WebSessions;
use super::http;
use super::places::{self, Places};
use crate::core::server::Server;

/// The part of the console that its listeners have in common.
pub(crate) struct Web {
    server: Arc<Server>,
    sessions: WebSessions,
    /// The connections to the console.
    places: Places,
    /// The connections to the listeners of the metrics.
    metrics_places: Places,
    /// The logons under way.
    logons: Places,
}

/// The use of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// The console, with TLS unless the settings turn it off.
    Console,
    /// The metrics alone, without TLS, for everybody who can connect.
    Metrics,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
struct Remote {
    address: SocketAddr,
    /// True if the connection is protected by TLS.
    is_secure: bool,
    /// The bindings of the TLS connection; `None` if it has none, or without TLS.
    channel: Option<ChannelBindings>,
}

impl Web {
    /// The console of a server, without users.
    pub(crate) fn new(server: Arc<Server>) -> Arc<Self> {
        Arc::new(Self {
            server,
            sessions: WebSessions::default(),
            places: Places::new(places::CONSOLE),
            metrics_places: Places::new(places::METRICS),
            logons: Places::new(places::LOGONS),
        })
    }

    fn places(&self, door: Door) -> &Places {
        match door {
            Door::Console => &self.places,
            Door::Metrics => &self.metrics_places,
        }
    }

    /// The routes behind a door.
    fn router(self: &Arc<Self>, door: Door) -> Router {
        let router = match door {
            Door::Console => self.console(),
            Door::Metrics => Router::new()
                .route("/metrics", get(metrics::open))
                .route(metrics::TARGETS, get(metrics::open_targets))
                .fallback(http::Refused::no_route)
                .with_state(Arc::clone(self)),
        };
        router
            .route("/health", get(metrics::health))
            .layer(from_fn_with_state(Arc::clone(self), guard::check))
    }

    fn console(self: &Arc<Self>) -> Router {
        let identify = || from_fn_with_state(Arc::clone(self), identity::identify);
        let api = http::router(Arc::clone(&self.server))
            .layer(from_fn_with_state(Arc::clone(self), live::with_session))
            .layer(identify());
        let of_users = Router::new()
            .route("/session", get(logon::current).delete(logon::log_off))
            .route(live::PATH, get(live::events))
            .layer(identify());
        Router::new()
            .route("/", get(assets::index))
            .route("/assets/{name}", get(assets::asset))
            .route("/logon", get(logon::ways).post(logon::log_on))
            .route(ticket::PATH, axum::routing::post(ticket::log_on))
            .route("/metrics", get(metrics::protected))
            .route(metrics::TARGETS, get(metrics::protected_targets))
            .merge(of_users)
            .with_state(Arc::clone(self))
            .fallback_service(api)
            .layer(from_fn(guard::body_in_time))
    }
}

/// The routes for one connection.
fn for_connection(router: &Router, remote: Remote) -> Router {
    router.clone().layer(Extension(remote)).layer(Extension(ticket::Pending::default()))
}
