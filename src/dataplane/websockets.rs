//! `protocol = "websocket"`: what a listener's settings say of WebSockets.

use super::protocols::{Protocol, ProtocolContext, bounded, no_port};
use crate::error::{Error, Result};
use crate::handler::http::{Http, Router, Service as _};
use crate::handler::websocket::{Echo, Service, WebSockets};
use crate::limits::HTTP_TIMEOUT_MS_MAX;
use crate::mem::mask;
use crate::pipeline::chain::websocket::Settings;
use crate::pipeline::{Pipeline, chain};
use crate::proto::websocket::Config;

/// Those beside HTTP's.
const KNOWN: [&str; 8] = [
    "service",
    "max_message_bytes",
    "max_frame_bytes",
    "max_fragments",
    "ping_interval_ms",
    "pong_timeout_ms",
    "close_timeout_ms",
    "compress",
];

impl Protocol {
    /// WebSockets before `service`, which begin as HTTP/1.1, with the settings of the listener.
    pub fn websocket(
        context: &ProtocolContext<'_>,
        service: impl Service + 'static,
    ) -> Result<Self> {
        no_port("websocket", context)?;
        let settings = context.websocket_settings()?;
        let service = WebSockets::new(service).compressing(context.compresses()?);
        Ok(Self {
            pipeline: Pipeline::WebSocket(Box::new(chain::WebSocket::new(context.slots, settings))),
            handler: Box::new(Http::new(context.slots, service)),
        })
    }
}

impl Protocol {
    /// HTTP/1.1 before a router, and WebSockets where it has some, with the settings of the listener.
    pub fn router(context: &ProtocolContext<'_>, router: Router) -> Result<Self> {
        let has_websockets = router.has_websockets();
        let service = router.build()?;
        if !has_websockets {
            return Self::http(context, service);
        }
        no_port("router", context)?;
        if let Some(value) = context.settings.get("compress") {
            return Err(Error::new(
                format!("configure a router with compress = {value}"),
                "each of its WebSockets says itself what it offers",
                "leave it out, and see handler::websocket::Service::opening",
            ));
        }
        let mut settings = context.websocket_settings()?;
        if let Some(bytes) = service.body_bytes_max()
            && !context.settings.contains_key("max_body_bytes")
        {
            settings.http.limits.body_bytes = bytes;
        }
        Ok(Self {
            pipeline: Pipeline::WebSocket(Box::new(chain::WebSocket::new(context.slots, settings))),
            handler: Box::new(Http::new(context.slots, service)),
        })
    }
}

pub(super) fn make(context: &mut ProtocolContext<'_>) -> Result<Protocol> {
    match context.settings.get("service").map(|service| (service, service.as_str())) {
        None | Some((_, Some("echo"))) => Protocol::websocket(context, Echo),
        Some((service, _)) => Err(Error::new(
            format!("configure protocol websocket with service = {service}"),
            "ringway brings no such service along",
            "say \"echo\", or register a protocol of your own (Builder::protocol)",
        )),
    }
}

impl ProtocolContext<'_> {
    /// What the listener's settings say of WebSockets, and the usual where they say nothing. Settings that it does not
    /// know are refused.
    pub fn websocket_settings(&self) -> Result<Settings> {
        let http = self.http_settings_beside("websocket", &KNOWN)?;
        let mut websocket = Config::new(mask);
        let number = |name, least, most| bounded("websocket", self.settings, name, least, most);
        let limits = &mut websocket.limits;
        if let Some(bytes) = number("max_message_bytes", 1, i64::MAX as u64)? {
            (limits.message_bytes, limits.frame_bytes) = (bytes, bytes);
        }
        if let Some(bytes) = number("max_frame_bytes", 1, i64::MAX as u64)? {
            limits.frame_bytes = bytes;
        }
        if let Some(fragments) = number("max_fragments", 1, u32::MAX.into())? {
            limits.fragments = fragments as u32;
        }
        for (place, name, least) in [
            (&mut websocket.ping_interval_ns, "ping_interval_ms", 0),
            (&mut websocket.pong_timeout_ns, "pong_timeout_ms", 1),
            (&mut websocket.close_timeout_ns, "close_timeout_ms", 1),
        ] {
            if let Some(ms) = number(name, least, HTTP_TIMEOUT_MS_MAX)? {
                *place = ms * 1_000_000;
            }
        }
        Ok(Settings { http, websocket })
    }

    fn compresses(&self) -> Result<bool> {
        let Some(value) = self.settings.get("compress") else { return Ok(true) };
        value.as_bool().ok_or_else(|| {
            let what = format!("configure protocol websocket with compress = {value}");
            Error::new(what, "it is a switch", "say true or false")
        })
    }
}
