//! What answers requests.

use super::output::push;
use super::{Pull, Ready, Reply, Request, Response};
use crate::counters::Reason;
use crate::mem::{Buf, Burst, ConnId};
use crate::pipeline::Cx;
use crate::proto::http1::{self, Headers};

/// What answers requests. A function from a request to a [`Response`](super::Response) is one, and so is one to
/// `Option<Response>`, whose `None` says that the pool was empty:
///
/// ```
/// use ringway::handler::http::{Request, Response};
/// use ringway::pipeline::Cx;
///
/// fn answer(_cx: &mut Cx, request: &Request<'_>) -> Response {
///     match request.path() {
///         b"/hello" => Response::text(200, "hello\n"),
///         _ => Response::text(404, "not found\n"),
///     }
/// }
/// ```
///
/// One that reads bodies, or streams them, implements the trait. Requests of one connection reach it
/// one after the other: the next when the response to the last is out, unless it goes
/// [`ahead`](Service::ahead). It runs on the lcore: what
/// takes long holds up all the others.
pub trait Service {
    /// Answers a request, whose body, if any, is still to come. Asked once per request, or again
    /// after [`Reply::Busy`] or [`Reply::Wait`].
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply;

    /// Bytes of the largest body that it takes, where the listener's `max_body_bytes` does not say; `None`: what is
    /// usual ([`HTTP_BODY_BYTES_MAX`](crate::limits::HTTP_BODY_BYTES_MAX)). Asked once.
    fn body_bytes_max(&self) -> Option<u64> {
        None
    }

    /// A request without a body that waits for its turn: those before it on its connection are not
    /// answered yet. `true`: the service has begun with it. [`call`](Self::call) comes in its turn
    /// nevertheless, and is to give what there is of an answer then. When the connection ends before, that is
    /// told by [`closed`](Self::closed).
    fn ahead(&mut self, cx: &mut Cx, request: &Request<'_>) -> bool {
        let _ = (cx, request);
        false
    }

    /// The next part of the body of a request that was answered with [`Reply::Body`], or with a
    /// response that is [`reading_on`](super::Response::reading_on). The last part may be empty, as the only
    /// part of a request without a body is that was answered with `Body`; the response is due with it.
    /// To keep the bytes, take a share of them with
    /// [`Buf::slice`]; each holds a slot of the pool.
    fn body(&mut self, cx: &mut Cx, conn: ConnId, part: &Buf, last: bool) -> Reply {
        let _ = (cx, conn, part, last);
        Reply::Body
    }

    /// The trailer fields of that body, before its last part.
    fn trailers(&mut self, cx: &mut Cx, conn: ConnId, fields: Headers<'_>) {
        let _ = (cx, conn, fields);
    }

    /// The same as they lie in their slot, whole lines, for a service that passes them on; unless it does,
    /// they are given to [`trailers`](Self::trailers). `false`: there is no room to pass them on, ask again.
    fn trailer_lines(&mut self, cx: &mut Cx, conn: ConnId, lines: &Buf) -> bool {
        self.trailers(cx, conn, http1::field_lines(lines));
        true
    }

    /// The next part of the response that is a [`Body::Stream`](super::Body::Stream), as large as one slot at most. Asked
    /// when the peer has taken most of what came before, so that no more of a body is made than
    /// can be sent.
    ///
    /// A service whose parts come from other threads says [`Pull::Wait`] when it has none. The other
    /// thread puts the part where the service finds it, and then wakes the connection on its lcore:
    ///
    /// ```
    /// use ringway::dataplane::Dataplane;
    /// use ringway::mem::ConnId;
    ///
    /// /// Called by whoever has a part for `conn`, which the service knows from `Request::conn`.
    /// fn ring(dataplane: &Dataplane, conn: ConnId) {
    ///     // `Err` says that the lcore's mailbox is full, and that nobody was woken.
    ///     while dataplane.handle(conn.lcore().into()).wake(conn).is_err() {
    ///         std::thread::yield_now();
    ///     }
    /// }
    /// ```
    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        let _ = (cx, conn);
        Pull::End
    }

    /// Bytes of the protocol that took over from HTTP, or, of WebSockets, what the kinds of
    /// [`chain::websocket`](crate::pipeline::chain::websocket) say, or
    /// [`WAKE`](crate::mem::kind::WAKE) where another thread has woken the connection, and
    /// [`FLUSHED`](crate::mem::kind::FLUSHED) after a `FLUSH`, its own or an earlier response's. What is pushed to
    /// `output`, which has room for at least 8, is sent.
    fn upgraded(&mut self, cx: &mut Cx, bytes: Buf, output: &mut Burst) {
        let _ = output;
        cx.drop_buf(bytes, Reason::NotWanted);
    }

    /// Another thread has woken the connection ([`Handle::wake`](crate::lcore::Handle::wake)), whose request was
    /// answered with [`Reply::Later`]: the response, if it is there now. A wake may come without a reason.
    fn woken(&mut self, cx: &mut Cx, conn: ConnId) -> Option<Response> {
        let _ = (cx, conn);
        None
    }

    /// What has become ready since it was last asked, for a service that
    /// [`is_polled`](Self::is_polled): called again and again in each turn while it gives something.
    fn ready(&mut self, cx: &mut Cx) -> Option<Ready> {
        let _ = cx;
        None
    }

    /// The end of each turn of a service that is polled.
    fn flush(&mut self, cx: &mut Cx) {
        let _ = cx;
    }

    /// Whether [`ready`](Self::ready) is to be called; asked once.
    fn is_polled(&self) -> bool {
        false
    }

    /// The dataplane begins to stop, and this connection speaks the protocol that took over from HTTP:
    /// called once, to say goodbye with what is pushed to `output`, which has room for at least 8. A
    /// service that pushes no `CLOSE` is heard and sent for until the drain's time is over. Unless it
    /// says otherwise the connection closes.
    ///
    /// A stream is asked once more for a part instead, and can see
    /// [`Cx::draining`](crate::pipeline::Cx::draining) there.
    fn drain(&mut self, cx: &mut Cx, conn: ConnId, output: &mut Burst) {
        let _ = cx;
        push(output, Buf::linger(conn));
    }

    /// The connection is gone, while its request or response was not whole or after an upgrade; or the response that it
    /// gave, or still owed, is not the one that was sent. It may come where nothing was begun.
    fn closed(&mut self, cx: &mut Cx, conn: ConnId) {
        let _ = (cx, conn);
    }
}

impl<F, R> Service for F
where
    F: FnMut(&mut Cx, &Request<'_>) -> R,
    R: Into<Reply>,
{
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        self(cx, request).into()
    }
}
