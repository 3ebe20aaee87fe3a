//! The parts of a request, as its route gets them. A part that cannot be extracted is refused as malformed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Peer;
use super::answer::Refused;
use crate::admin::{Caller, Error, Seat};
use crate::core::server::Server;

/// The server, and the caller at the other end of the connection.
pub(super) struct Asked {
    pub(super) server: Arc<Server>,
    pub(super) caller: Arc<Caller>,
    pub(super) seat: Seat,
    pub(super) peer: Peer,
}

/// The parameter in the path.
pub(super) struct InPath<T>(pub(super) T);
pub(super) type Id = InPath<u32>;
pub(super) type Name = InPath<String>;

/// The query.
pub(super) struct Filters<T>(pub(super) T);

/// The body, as JSON.
pub(super) struct Body<T>(pub(super) T);

type State = Arc<Server>;

impl FromRequestParts<State> for Asked {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, server: &State) -> Result<Self, Refused> {
        let extensions = &parts.extensions;
        let (Some(caller), Some(seat), Some(peer)) = (extensions.get(), extensions.get(), extensions.get())
        else {
            return Err(Error::Internal.into());
        };
        let (caller, seat, peer) = (Arc::clone(caller), Seat::clone(seat), Peer::clone(peer));
        Ok(Self { server: Arc::clone(server), caller, seat, peer })
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<State> for InPath<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, server: &State) -> Result<Self, Refused> {
        let Path(value) = Path::from_request_parts(parts, server).await.map_err(Refused::malformed)?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned> FromRequestParts<State> for Filters<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, server: &State) -> Result<Self, Refused> {
        let Query(value) = Query::from_request_parts(parts, server).await.map_err(Refused::malformed)?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned> FromRequest<State> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, server: &State) -> Result<Self, Refused> {
        let Json(value) = Json::from_request(request, server).await.map_err(Refused::malformed)?;
        Ok(Self(value))
    }
}
