//! Services of multiplexed streams: what sessions and channels bring, and what is said on them.

mod echo;

pub use echo::Echo;

use crate::counters::Reason;
use crate::limits::STREAM_SAID_MAX;
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::chain::stream::{
    CLOSING, CONNECTED, ENDED, GOODBYE, MESSAGE, MessageMeta, OPEN_CHANNEL, OPENED, OPENING,
    REFUSED, SHUT, SHUT_CHANNEL, TORN, WRITABLE,
};
use crate::pipeline::{Cx, Handler};
use crate::proto::stream::Code;
use crate::proto::stream::secure::identity::PublicKey;

/// Who is at the other end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The key of its node, which it has proved to own.
    pub node: PublicKey,
    /// The session's name.
    pub session_id: [u8; 16],
}

/// What a service has to say: to one thing that it hears, up to 8 of these (`STREAM_SAID_MAX`).
pub struct Out<'a>(&'a mut Burst);

impl Out<'_> {
    /// Sends a message, made by [`alloc`](crate::pipeline::chain::stream::alloc) or one that came, on the channel
    /// that its meta names.
    pub fn send(&mut self, message: Buf) {
        self.push(message);
    }

    /// The same, on another channel of a connection.
    pub fn send_on(&mut self, conn: ConnId, channel: u16, mut message: Buf) {
        message.set_conn(conn);
        message.set_kind(MESSAGE, MessageMeta::whole(channel).to_meta());
        self.push(message);
    }

    /// Opens a channel. [`Service::opening`] tells its number, and [`Service::opened`] that it is open.
    pub fn open(&mut self, conn: ConnId, channel_type: u8, may_compress: bool) {
        self.word(conn, OPEN_CHANNEL, u32::from(channel_type) | u32::from(may_compress) << 8);
    }

    /// Says no more on a channel, once all before is said.
    pub fn shut(&mut self, conn: ConnId, channel: u16) {
        self.word(conn, SHUT_CHANNEL, channel.into());
    }

    /// Closes a session, once all before is said.
    pub fn close(&mut self, conn: ConnId, code: Code) {
        self.word(conn, GOODBYE, code.to_wire().into());
    }

    fn word(&mut self, conn: ConnId, kind: u8, meta: u32) {
        let mut word = Buf::marker(conn, kind);
        word.set_kind(kind, meta);
        self.push(word);
    }

    fn push(&mut self, buf: Buf) {
        let pushed = self.0.push(buf);
        assert!(pushed.is_ok(), "a service says no more than 8 things to one");
    }
}

/// What is done with what streams bring. All but [`message`](Self::message) may be left out.
pub trait Service {
    /// A session has begun.
    fn connected(&mut self, cx: &mut Cx, conn: ConnId, peer: &Peer, out: &mut Out<'_>) {
        let _ = (cx, conn, peer, out);
    }

    /// The channel that the oldest [`Out::open`] not answered so is for; `None`: there can be none.
    fn opening(&mut self, cx: &mut Cx, conn: ConnId, channel: Option<u16>) {
        let _ = (cx, conn, channel);
    }

    /// A channel of this type is open.
    fn opened(
        &mut self,
        cx: &mut Cx,
        conn: ConnId,
        channel: u16,
        channel_type: u8,
        out: &mut Out<'_>,
    ) {
        let _ = (cx, conn, channel, channel_type, out);
    }

    /// The peer does not want a channel.
    fn refused(&mut self, cx: &mut Cx, conn: ConnId, channel: u16, code: Code) {
        let _ = (cx, conn, channel, code);
    }

    /// A message has come, or a piece of one: its connection is the buf's, and what else is known in `meta`.
    /// Given back, it comes again when slots are free.
    fn message(
        &mut self,
        cx: &mut Cx,
        message: Buf,
        meta: MessageMeta,
        out: &mut Out<'_>,
    ) -> Result<(), Buf>;

    /// The message that was coming in pieces never ends (over datagrams).
    fn torn(&mut self, cx: &mut Cx, conn: ConnId, channel: u16) {
        let _ = (cx, conn, channel);
    }

    /// A channel on which messages had to wait takes more.
    fn writable(&mut self, cx: &mut Cx, conn: ConnId, channel: u16, out: &mut Out<'_>) {
        let _ = (cx, conn, channel, out);
    }

    /// The peer says no more on a channel: unless this is left out, close it too when all is said.
    fn shut(&mut self, cx: &mut Cx, conn: ConnId, channel: u16, out: &mut Out<'_>) {
        let _ = cx;
        out.shut(conn, channel);
    }

    /// A channel has ended both ways.
    fn ended(&mut self, cx: &mut Cx, conn: ConnId, channel: u16) {
        let _ = (cx, conn, channel);
    }

    /// The peer closes, and hears what is still to be said: unless this is left out, close too when all is
    /// said.
    fn closing(&mut self, cx: &mut Cx, conn: ConnId, code: Code, out: &mut Out<'_>) {
        let _ = (cx, code);
        out.close(conn, Code::None);
    }

    /// The connection is gone. It may never have become a session.
    fn closed(&mut self, cx: &mut Cx, conn: ConnId) {
        let _ = (cx, conn);
    }
}

/// The handler of a [`Service`].
pub struct Streams<S>(S);

impl<S: Service> Streams<S> {
    /// What `service` does with streams.
    pub fn new(service: S) -> Self {
        Self(service)
    }

    fn hear(&mut self, cx: &mut Cx, buf: Buf, out: &mut Out<'_>) -> Result<(), Buf> {
        let (conn, meta) = (buf.conn(), buf.meta());
        let (low, high) = (meta as u16, meta >> 16);
        let service = &mut self.0;
        match buf.kind() {
            MESSAGE => {
                let meta = MessageMeta::of(&buf);
                return service.message(cx, buf, meta, out);
            }
            CONNECTED => match peer(&buf) {
                Some(peer) => service.connected(cx, conn, &peer, out),
                None => cx.drop_buf(buf, Reason::Protocol),
            },
            OPENING => service.opening(cx, conn, (low != 0).then_some(low)),
            OPENED => service.opened(cx, conn, low, high as u8, out),
            REFUSED => service.refused(cx, conn, low, Code::from_wire(high as u16)),
            WRITABLE => service.writable(cx, conn, low, out),
            SHUT => service.shut(cx, conn, low, out),
            ENDED => service.ended(cx, conn, low),
            TORN => service.torn(cx, conn, low),
            CLOSING => service.closing(cx, conn, Code::from_wire(low), out),
            kind::CLOSED => service.closed(cx, conn),
            kind::OPEN | kind::EOF | kind::FLUSHED | kind::WAKE => {}
            // The chain's own, on its way to the chain's other end.
            _ => out.push(buf),
        }
        Ok(())
    }
}

/// What a [`CONNECTED`] says.
fn peer(card: &Buf) -> Option<Peer> {
    let (node, rest) = card.split_first_chunk()?;
    let session_id = rest.first_chunk()?;
    Some(Peer { node: PublicKey::from_bytes(*node), session_id: *session_id })
}

impl<S: Service> Handler for Streams<S> {
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while output.room() >= STREAM_SAID_MAX
            && let Some(buf) = input.pop()
        {
            if let Err(buf) = self.hear(cx, buf, &mut Out(output)) {
                let back = input.unpop(buf);
                assert!(back.is_ok(), "it was just popped");
                return;
            }
        }
    }
}
