//! Where the reply to one connection stands.

/// Who has the rest of a reply, behind its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// There is no reply: none is due, or it is out.
    None,
    /// Nobody: the text is all.
    Text,
    /// The service, which is asked for it.
    Service,
}

/// The reply that a connection gets.
#[derive(Debug)]
pub(super) struct Exchange {
    pub source: Source,
    /// Words that the transport owes us.
    pub flushes: u8,
    pub text: Vec<u8>,
    /// Bytes of the text that are sent.
    pub sent: usize,
}

impl Exchange {
    pub const NONE: Self = Self { source: Source::None, flushes: 0, text: Vec::new(), sent: 0 };

    /// Whether something of the reply is to come.
    pub fn is_open(&self) -> bool {
        self.source != Source::None
    }
}
