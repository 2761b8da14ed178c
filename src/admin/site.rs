//! What there is to be looked at, and where: a request in, an answer out. No socket.

use std::panic::{AssertUnwindSafe, catch_unwind};

use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

use super::access::{Access, Verdict};
use super::answer::Answer;
use super::exposition::Format;
use super::metrics::metrics;
use super::request::Request;
use super::{Source, health, telemetry, words};
use crate::counters::snapshot::Snapshot;
use crate::proto::http1::Method;

/// The dashboard: one page with all that it needs in it.
const DASHBOARD: &str = include_str!("dashboard.html");

/// Where a token is typed in.
const LOGIN: &str = include_str!("login.html");

/// Paths and what is there, for whoever asks for something else.
const INDEX: &str =
    "there is nothing here; try / (the dashboard), /metrics, /stats.json, /healthz, /readyz";

/// All that is served.
pub struct Site {
    access: Access,
    source: Source,
    dashboard_policy: String,
    login_policy: String,
}

impl Site {
    /// What `source` tells, for those whom `access` admits.
    pub fn new(access: Access, source: Source) -> Self {
        let (dashboard_policy, login_policy) = (policy(DASHBOARD), policy(LOGIN));
        Self { access, source, dashboard_policy, login_policy }
    }

    /// Answers a request. A source that panics costs the request alone.
    pub fn answer(&self, request: &Request<'_>) -> Vec<u8> {
        let answered = catch_unwind(AssertUnwindSafe(|| self.route(request)));
        let answer = answered.unwrap_or_else(|_| {
            Answer::line(500, "looking at the counters panicked, which is a bug")
        });
        answer.into_bytes(request.method())
    }

    fn route(&self, request: &Request<'_>) -> Answer {
        if !matches!(request.method(), Method::Get | Method::Head) {
            let answer =
                Answer::line(405, "there is nothing here but to be looked at: GET or HEAD");
            return answer.with_field("Allow: GET, HEAD\r\n");
        }
        let verdict = self.access.judge(request);
        match (request.path(), verdict) {
            (_, Verdict::WrongHost) => wrong_host(),
            // Those who ask for nothing else have no token: they hear whether, and not why.
            (b"/healthz", verdict) => self.healthy(health::alive, verdict),
            (b"/readyz", verdict) => self.healthy(health::ready, verdict),
            (b"/", Verdict::LogIn) => self.log_in(),
            (path, Verdict::TokenWanted | Verdict::LogIn) => self.token_wanted(path, request),
            (path, Verdict::Admitted) => self.admitted(path, request),
        }
    }

    fn admitted(&self, path: &[u8], request: &Request<'_>) -> Answer {
        match path {
            b"/" => Answer::page(200, DASHBOARD, self.dashboard_policy.clone()),
            b"/metrics" => {
                let format = match request.wants_openmetrics() {
                    true => Format::OpenMetrics,
                    false => Format::Prometheus,
                };
                self.told(|snapshot| {
                    Answer::new(format.content_type(), metrics(snapshot, format).into_bytes())
                })
            }
            b"/stats.json" => {
                let buckets = request.query("buckets").is_some_and(|value| value != b"0");
                self.told(|snapshot| {
                    Answer::new("application/json", telemetry::stats(snapshot, buckets))
                })
            }
            b"/words.json" => Answer::new("application/json", words::json().into_bytes()),
            _ => Answer::line(404, INDEX),
        }
    }

    /// An answer about what is counted, or why that cannot be told.
    fn told(&self, answer: impl FnOnce(&Snapshot) -> Answer) -> Answer {
        match (self.source)() {
            Ok(snapshot) => answer(&snapshot),
            Err(error) => Answer::line(500, &error.to_string()),
        }
    }

    fn healthy(&self, how: fn(&Snapshot) -> Result<(), String>, verdict: Verdict) -> Answer {
        let snapshot = (self.source)().map_err(|error| error.to_string());
        match snapshot.and_then(|snapshot| how(&snapshot)) {
            Ok(()) => Answer::line(200, "ok"),
            Err(why) if verdict == Verdict::Admitted => Answer::line(503, &why),
            Err(_) => Answer::line(503, "no; the reason is told to those who show the token"),
        }
    }

    fn log_in(&self) -> Answer {
        let answer = Answer::line(303, "go to /").with_field("Location: /\r\n");
        answer.with_field(&self.access.set_cookie())
    }

    fn token_wanted(&self, path: &[u8], request: &Request<'_>) -> Answer {
        let answer = if path == b"/" && request.wants_html() {
            Answer::page(401, LOGIN, self.login_policy.clone())
        } else {
            let line =
                "show the token: `Authorization: Bearer TOKEN`, or /?token=TOKEN in a browser";
            Answer::line(401, line)
        };
        answer.with_field("WWW-Authenticate: Bearer realm=\"ringway\"\r\n")
    }
}

fn wrong_host() -> Answer {
    let line = "this name is not known here: use localhost, 127.0.0.1, [::1] or the address that is \
                listened on, or give the listener a token";
    Answer::line(421, line)
}

/// What a page may do: run its own script, wear its own style, and ask where it came from.
fn policy(page: &str) -> String {
    let hash = |element: &str| {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let inside = page.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
        inside.map_or_else(
            || "'none'".to_owned(),
            |(text, _)| {
                let mut room = [0; 44];
                let digest = Sha256::digest(text.as_bytes());
                let digest = Base64::encode(&digest, &mut room).expect("32 bytes are 44 letters");
                format!("'sha256-{digest}'")
            },
        )
    };
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri \
         'none'; form-action 'self'; frame-ancestors 'none'",
        hash("script"),
        hash("style"),
    )
}

#[cfg(test)]
mod tests;
