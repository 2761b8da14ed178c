//! Functions that are called for connections of bytes as they come (G-14).

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::counters::Counter;
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::{Cx, Handler};

/// Room that there is at least in what a function says.
const ROOM: usize = 8;

/// A connection, as long as one of its functions is called.
pub struct Link<'a> {
    /// What the lcore lends.
    pub cx: &'a mut Cx,
    conn: ConnId,
    output: &'a mut Burst,
}

impl Link<'_> {
    /// Its connection.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// How many bufs may be sent now: 8 at least when something is heard.
    pub fn room(&self) -> usize {
        self.output.room()
    }

    /// Sends the bytes of `buf` from where they lie: of one that came, or of the pool's. Gives it back where there is no
    /// [`room`](Self::room).
    pub fn send(&mut self, mut buf: Buf) -> Result<(), Buf> {
        buf.set_conn(self.conn);
        buf.set_kind(kind::DATA, 0);
        self.output.push(buf)
    }

    /// Sends a copy of bytes that fit a slot. `false`, and nothing sent: no slot is free, or there is no room.
    pub fn send_copy(&mut self, bytes: &[u8]) -> bool {
        let Some(mut buf) = self.cx.alloc(bytes.len(), self.conn) else { return false };
        buf.append(bytes) && self.send(buf).is_ok()
    }

    /// Closes, once all that was sent is out.
    pub fn close(&mut self) {
        self.end(Buf::marker(self.conn, kind::CLOSE));
    }

    /// Closes at once.
    pub fn abort(&mut self) {
        self.end(Buf::marker(self.conn, kind::ABORT));
    }

    /// Where there is no room, the last that was said makes some.
    fn end(&mut self, word: Buf) {
        if let Err(word) = self.output.push(word)
            && let Some(last) = self.output.last_mut()
        {
            *last = word;
        }
    }
}

type OnConnect = Box<dyn FnMut(&mut Link<'_>)>;
type OnData = Box<dyn FnMut(&mut Link<'_>, Buf)>;
type OnDisconnect = Box<dyn FnMut(&mut Cx, ConnId)>;

/// Functions as a [`Handler`], for [`Builder::listen`](crate::dataplane::Builder::listen).
///
/// ```
/// use ringway::dataplane::Builder;
/// use ringway::handler::raw::on_data;
///
/// # fn main() -> ringway::error::Result<()> {
/// let builder = Builder::on_one_core()?.listen(([127, 0, 0, 1], 7000), || {
///     on_data(|link, bytes| {
///         let _ = link.send(bytes); // an echo, without a copy
///     })
///     .on_connect(|link| {
///         link.send_copy(b"welcome\n");
///     })
///     .on_disconnect(|_, conn| println!("{conn:?} has gone"))
/// });
/// # drop(builder); // and builder.run() serves until a signal
/// # Ok(())
/// # }
/// ```
///
/// When the peer says that it sends no more, the connection closes behind what was said, unless
/// [`on_end`](Self::on_end) says otherwise. A function that panics costs its connection.
#[derive(Default)]
pub struct Raw {
    connect: Option<OnConnect>,
    data: Option<OnData>,
    end: Option<OnConnect>,
    disconnect: Option<OnDisconnect>,
}

/// Has `function` called for bytes that arrive.
pub fn on_data(function: impl FnMut(&mut Link<'_>, Buf) + 'static) -> Raw {
    Raw { data: Some(Box::new(function)), ..Raw::default() }
}

impl Raw {
    /// Called when a connection begins.
    pub fn on_connect(mut self, function: impl FnMut(&mut Link<'_>) + 'static) -> Self {
        self.connect = Some(Box::new(function));
        self
    }

    /// Called when the peer says that it sends no more.
    pub fn on_end(mut self, function: impl FnMut(&mut Link<'_>) + 'static) -> Self {
        self.end = Some(Box::new(function));
        self
    }

    /// Called when a connection is gone.
    pub fn on_disconnect(mut self, function: impl FnMut(&mut Cx, ConnId) + 'static) -> Self {
        self.disconnect = Some(Box::new(function));
        self
    }

    fn hear(&mut self, link: &mut Link<'_>, buf: Buf) {
        match buf.kind() {
            kind::OPEN => self.connect.iter_mut().for_each(|function| function(link)),
            kind::DATA => {
                if let Some(function) = &mut self.data {
                    function(link, buf);
                }
            }
            kind::EOF => match &mut self.end {
                Some(function) => function(link),
                None => link.close(),
            },
            kind::CLOSED => {
                let (cx, conn) = (&mut *link.cx, link.conn);
                self.disconnect.iter_mut().for_each(|function| function(cx, conn));
            }
            _ => {}
        }
    }
}

impl Handler for Raw {
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while output.room() >= ROOM
            && let Some(buf) = input.pop()
        {
            let conn = buf.conn();
            let mut link = Link { cx, conn, output };
            if catch_unwind(AssertUnwindSafe(|| self.hear(&mut link, buf))).is_err() {
                link.abort();
                cx.counters.add(Counter::HandlerPanics, 1);
            }
        }
    }

    fn reads_ecn(&self) -> bool {
        false
    }
}
