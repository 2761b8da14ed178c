//! Bodies of JSON (RFC 8259).

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ctx::Ctx;
use super::failure::Failure;
use super::response::{Body, Reply, Response};

/// A value as a response: 200, `application/json`.
///
/// ```
/// use ringway::handler::http::{Ctx, Json, Router};
///
/// let router = Router::new().get("/sum", |_: &mut Ctx<'_>| Json([1, 2, 3]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> From<Json<T>> for Reply {
    fn from(json: Json<T>) -> Self {
        match Response::json(&json.0) {
            Ok(response) => Self::Response(response),
            Err(error) => Self::Failure(error.into()),
        }
    }
}

impl Response {
    /// 200 with `value` as JSON. An error: it has no such form.
    pub fn json(value: &impl Serialize) -> serde_json::Result<Self> {
        let bytes = serde_json::to_vec(value)?;
        Ok(Self::new(200, Body::Bytes(bytes.into())).content_type("application/json"))
    }
}

impl Ctx<'_> {
    /// The body as JSON. A failure: 415 where the request says that it is something else, 400 where it is not.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let media = self.header("content-type").unwrap_or_default();
        let media = media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is_json = media.eq_ignore_ascii_case(b"application/json")
            || media.to_ascii_lowercase().ends_with(b"+json");
        if !is_json {
            return Err(Failure::new(415, "the body has to be application/json"));
        }
        serde_json::from_slice(self.body())
            .map_err(|error| Failure::new(400, format!("the body is no such JSON: {error}")))
    }
}
