//! What a program has called on the driver's thread instead of waiting itself (D-8).

/// Called when there is something to read, or room to write.
pub type Notice = Box<dyn FnMut() + Send>;

/// Called with a message that came; the bytes that it has processed.
pub type PacketIn = Box<dyn FnMut(&[u8]) -> usize + Send>;

/// Called with room for a message; the bytes that it has written there.
pub type PacketOut = Box<dyn FnMut(&mut [u8]) -> usize + Send>;

/// What is called for a channel (D-8). They run on the stream's driver, one at a time, and hold up the
/// whole stream: none may wait for a call on it.
#[derive(Default)]
pub struct Callbacks {
    pub(super) on_readable: Option<Notice>,
    pub(super) on_writable: Option<Notice>,
    pub(super) on_packet_in: Option<PacketIn>,
    pub(super) on_packet_out: Option<PacketOut>,
}

impl Callbacks {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// A message is there to be received, or the end.
    #[must_use]
    pub fn on_readable(mut self, call: impl FnMut() + Send + 'static) -> Self {
        self.on_readable = Some(Box::new(call));
        self
    }

    /// There is room to send where there was none.
    #[must_use]
    pub fn on_writable(mut self, call: impl FnMut() + Send + 'static) -> Self {
        self.on_writable = Some(Box::new(call));
        self
    }

    /// A message has come. It says how many bytes of it are done with; what is behind them waits to be
    /// received, and where that is nothing the message is gone.
    #[must_use]
    pub fn on_packet_in(mut self, call: impl FnMut(&[u8]) -> usize + Send + 'static) -> Self {
        self.on_packet_in = Some(Box::new(call));
        self
    }

    /// Nothing waits to be sent: the next message may be written, and goes at once. 0 bytes: there is
    /// none now; it is asked again when credit has come, and after each message that was sent.
    #[must_use]
    pub fn on_packet_out(mut self, call: impl FnMut(&mut [u8]) -> usize + Send + 'static) -> Self {
        self.on_packet_out = Some(Box::new(call));
        self
    }
}
