//! Refusals in the form of the control API.

use axum::Json;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use control::number;

use crate::admin::{Error, Explained};

/// A refusal that is sent to the client.
#[derive(Debug)]
pub(in crate::fronts) struct Refused {
    status: StatusCode,
    error: control::Error,
}

impl Refused {
    /// The refusal of a request that is malformed or has unknown fields.
    pub(in crate::fronts) fn malformed(reason: impl std::fmt::Display) -> Self {
        control::Error::new(number::INVALID_PARAMETER, Error::InvalidParameter.to_string())
            .with_hint(reason.to_string())
            .into()
    }

    /// The refusal of a path that is no route.
    pub(in crate::fronts) async fn no_route(address: Uri) -> Self {
        Self::unserved(StatusCode::NOT_FOUND, format!("this version of the server has no {}", address.path()))
    }

    /// The refusal of a method that a route does not accept.
    pub(super) async fn wrong_method(method: Method, address: Uri) -> Self {
        Self::unserved(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not accept {method}", address.path()))
    }

    /// A refusal with this number and status.
    pub(in crate::fronts) fn new(status: StatusCode, number: u32, message: impl Into<String>) -> Self {
        Self { status, error: control::Error::new(number, message) }
    }

    /// Adds a hint.
    pub(in crate::fronts) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { error: self.error.with_hint(hint), ..self }
    }

    fn unserved(status: StatusCode, hint: String) -> Self {
        let error = control::Error::new(number::NOT_SUPPORTED, Error::NotSupported.to_string());
        Self { status, error: error.with_hint(hint) }
    }
}

impl From<control::Error> for Refused {
    fn from(error: control::Error) -> Self {
        let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, error }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let told = control::Error::new(error.number().0, error.to_string());
        match error.hint() {
            Some(hint) => told.with_hint(hint),
            None => told,
        }
        .into()
    }
}

impl From<Explained> for Refused {
    fn from(Explained { error, reason }: Explained) -> Self {
        match reason {
            Some(reason) => control::Error::new(error.number().0, error.to_string()).with_hint(reason).into(),
            None => error.into(),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(self.error)).into_response()
    }
}
