//! What the kinds and metas of bufs are called, for people who look at bufs of a listener. What they mean to the
//! stages is in `mem::kind` and on each chain's page of messages.

use super::chain::{http1, ipc, stream, websocket};
use crate::mem::kind;

/// Whose kinds they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// None beside those of every transport.
    Raw,
    /// HTTP/1.1.
    Http1,
    /// The control line protocol.
    Ipc,
    /// Multiplexed streams.
    Stream,
    /// WebSockets, with HTTP before them.
    WebSocket,
    /// Those of a protocol of the user's own.
    Custom,
}

impl Kinds {
    /// The name of a kind; `None`: the protocol's own, or none at all.
    pub fn name(self, kind: u8) -> Option<&'static str> {
        of_transport(kind).or_else(|| match self {
            Self::Raw | Self::Custom => None,
            Self::Http1 => of_http1(kind),
            Self::Ipc => of_ipc(kind),
            Self::Stream => of_stream(kind),
            Self::WebSocket => of_http1(kind).or_else(|| of_websocket(kind)),
        })
    }

    /// What a meta says of a buf, in a few words; nothing, where that would tell nobody anything.
    pub fn detail(self, kind: u8, meta: u32) -> String {
        match (self, kind) {
            (_, kind::CLOSE) if meta == kind::LINGER => "lingers".to_owned(),
            _ if kind < kind::PROTOCOL => String::new(),
            (Self::Http1 | Self::WebSocket, http1::FAULT) => format!("status {meta}"),
            (Self::Http1 | Self::WebSocket, http1::BODY) if meta == 1 => "last".to_owned(),
            (Self::Stream, stream::MESSAGE) => {
                let message = stream::MessageMeta::of_meta(meta);
                piece(format!("channel {}", message.channel), message.first, message.last)
            }
            (Self::Stream, stream::CLOSING | stream::GOODBYE) => format!("code {meta}"),
            (Self::Stream, stream::OPENED..=stream::TORN | stream::SHUT_CHANNEL) => {
                format!("channel {}", meta & 0xffff)
            }
            (Self::WebSocket, websocket::MESSAGE) => {
                let message = websocket::MessageMeta::of_meta(meta);
                let text = format!("{:?}", message.kind).to_lowercase();
                piece(text, message.first, message.last)
            }
            (Self::WebSocket, websocket::CLOSE) => format!("code {meta}"),
            _ => String::new(),
        }
    }
}

/// `what`, and which piece of it.
fn piece(what: String, first: bool, last: bool) -> String {
    match (first, last) {
        (true, true) => what,
        (true, false) => what + ", begins",
        (false, false) => what + ", goes on",
        (false, true) => what + ", ends",
    }
}

fn of_transport(kind: u8) -> Option<&'static str> {
    Some(match kind {
        kind::DATA => "DATA",
        kind::OPEN => "OPEN",
        kind::EOF => "EOF",
        kind::CLOSED => "CLOSED",
        kind::CLOSE => "CLOSE",
        kind::ABORT => "ABORT",
        kind::NOTIFY => "NOTIFY",
        kind::FLUSH => "FLUSH",
        kind::FLUSHED => "FLUSHED",
        kind::PAUSE => "PAUSE",
        kind::RESUME => "RESUME",
        kind::WAKE => "WAKE",
        _ => return None,
    })
}

fn of_http1(kind: u8) -> Option<&'static str> {
    Some(match kind {
        http1::HEAD => "HEAD",
        http1::BODY => "BODY",
        http1::FAULT => "FAULT",
        http1::TRAILERS => "TRAILERS",
        http1::DRAIN => "DRAIN",
        _ => return None,
    })
}

fn of_ipc(kind: u8) -> Option<&'static str> {
    match kind {
        ipc::COMMAND => Some("COMMAND"),
        ipc::FAULT => Some("FAULT"),
        _ => None,
    }
}

fn of_stream(kind: u8) -> Option<&'static str> {
    Some(match kind {
        stream::MESSAGE => "MESSAGE",
        stream::CONNECTED => "CONNECTED",
        stream::OPENED => "OPENED",
        stream::REFUSED => "REFUSED",
        stream::WRITABLE => "WRITABLE",
        stream::SHUT => "SHUT",
        stream::ENDED => "ENDED",
        stream::TORN => "TORN",
        stream::CLOSING => "CLOSING",
        stream::TRANSMIT => "TRANSMIT",
        stream::OPEN_CHANNEL => "OPEN_CHANNEL",
        stream::SHUT_CHANNEL => "SHUT_CHANNEL",
        stream::GOODBYE => "GOODBYE",
        stream::OPENING => "OPENING",
        stream::CONSUMED => "CONSUMED",
        stream::REKEY => "REKEY",
        _ => return None,
    })
}

fn of_websocket(kind: u8) -> Option<&'static str> {
    Some(match kind {
        websocket::MESSAGE => "MESSAGE",
        websocket::PING => "PING",
        websocket::PONG => "PONG",
        websocket::CLOSE => "CLOSE",
        websocket::TRANSMIT => "TRANSMIT",
        websocket::BEGIN => "BEGIN",
        websocket::OPENED => "OPENED",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_the_name_that_its_protocol_gives_it() {
        assert_eq!(Kinds::Http1.name(kind::PROTOCOL), Some("HEAD"));
        assert_eq!(Kinds::Ipc.name(kind::PROTOCOL), Some("COMMAND"));
        assert_eq!(Kinds::Stream.name(kind::PROTOCOL), Some("MESSAGE"));
        assert_eq!(Kinds::WebSocket.name(kind::PROTOCOL), Some("HEAD"));
        assert_eq!(Kinds::WebSocket.name(websocket::MESSAGE), Some("MESSAGE"));
        assert_eq!(Kinds::Raw.name(kind::PROTOCOL), None);
        for kinds in [Kinds::Raw, Kinds::Http1, Kinds::Custom] {
            assert_eq!(kinds.name(kind::DATA), Some("DATA"));
        }
    }

    #[test]
    fn a_meta_is_told_where_it_says_something() {
        let meta = stream::MessageMeta::whole(3).to_meta();
        assert_eq!(Kinds::Stream.detail(stream::MESSAGE, meta), "channel 3");
        let begins = stream::MessageMeta { channel: 3, first: true, last: false }.to_meta();
        assert_eq!(Kinds::Stream.detail(stream::MESSAGE, begins), "channel 3, begins");
        assert_eq!(Kinds::Http1.detail(http1::FAULT, 431), "status 431");
        assert_eq!(Kinds::WebSocket.detail(websocket::CLOSE, 1001), "code 1001");
        assert_eq!(Kinds::Http1.detail(kind::DATA, 7), "");
    }
}
