//! Where a connection stands between its requests and its responses (G-6). Bytes, bodies and time
//! are its owner's; here is only which step may follow which.
//!
//! | state | left by | for |
//! |---|---|---|
//! | initial | the first bytes | parsing |
//! | parsing | part of a head, a head, a broken rule | reading, processing, processing |
//! | reading | more bytes | parsing |
//! | processing | the first byte of the response | writing |
//! | writing | its last byte | keep-alive; processing, when more requests came; closed, after the last |
//! | keep-alive | bytes | parsing |
//! | closed | | |
//!
//! Requests may be pipelined, so both directions move by themselves: the state is that of the response
//! that is owed first, and of the request only where none is (the tests name it so). Parsing does not
//! outlast a call: it is a [`Parsing`], which has to be consumed with its outcome. A step that cannot
//! be is a panic.

/// What the next byte from the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Inbound {
    /// The first of all.
    First,
    /// Part of a head of which some is there.
    Head,
    /// Part of a body.
    Body,
    /// The first of the next head.
    Next,
    /// Not known before the request to upgrade is answered.
    Held,
    /// Another protocol's.
    Upgraded,
    /// Of no interest: the last request was seen, or a rule was broken.
    Ignored,
}

/// What a whole head says of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// A body follows.
    pub body: bool,
    /// Another request may follow.
    pub keep_alive: bool,
    /// It asks for another protocol. With a body the wish is ignored (RFC 9110 §7.8 allows it).
    pub upgrade: bool,
}

/// The two directions of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lifecycle {
    inbound: Inbound,
    /// Part of the first response that is owed is written.
    begun: bool,
    /// No request follows the one that was seen last.
    last: bool,
    /// Requests without a whole response.
    owed: u16,
}

/// A connection whose head is being looked at.
#[must_use = "say what was found"]
pub struct Parsing<'a>(&'a mut Lifecycle);

impl Lifecycle {
    /// A connection that has just begun.
    pub const fn new() -> Self {
        Self { inbound: Inbound::First, begun: false, last: false, owed: 0 }
    }

    /// What the next byte is.
    #[inline]
    pub const fn inbound(&self) -> Inbound {
        self.inbound
    }

    /// Requests without a whole response.
    #[inline]
    pub const fn owed(&self) -> u32 {
        self.owed as u32
    }

    /// Whether it waits for a request of which nothing has come, and owes nothing.
    #[inline]
    pub const fn is_idle(&self) -> bool {
        self.owed == 0 && matches!(self.inbound, Inbound::First | Inbound::Next)
    }

    /// Bytes are there where a head is due.
    ///
    /// # Panics
    /// When none is.
    #[inline]
    pub fn parse(&mut self) -> Parsing<'_> {
        let due = matches!(self.inbound, Inbound::First | Inbound::Head | Inbound::Next);
        assert!(due, "no head is due: {self:?}");
        Parsing(self)
    }

    /// The body of the request is whole.
    ///
    /// # Panics
    /// When there was none.
    #[inline]
    pub fn body_ended(&mut self) {
        assert!(self.inbound == Inbound::Body, "no body was coming: {self:?}");
        self.inbound = if self.last { Inbound::Ignored } else { Inbound::Next };
    }

    /// The peer has broken a rule or taken too long: it is owed a word about it, and not heard any
    /// more. Where that word is also the response to the request whose body was coming, it ends two.
    ///
    /// # Panics
    /// When the connection is not heard as it is.
    pub fn refuse(&mut self) {
        let heard = !matches!(self.inbound, Inbound::Upgraded | Inbound::Ignored);
        assert!(heard, "nobody listens: {self:?}");
        self.owe();
        self.ignore();
    }

    /// One more response is due.
    ///
    /// # Panics
    /// At 65,536 of them: whoever serves the connection reads on before it answers.
    #[inline]
    fn owe(&mut self) {
        self.owed = self.owed.checked_add(1).expect("responses are owed in bounded number");
    }

    /// Nothing more is read.
    pub fn ignore(&mut self) {
        self.inbound = Inbound::Ignored;
        self.last = true;
    }

    /// Bytes of responses were written, which end so many of them.
    ///
    /// # Panics
    /// When fewer are owed.
    #[inline]
    pub fn written(&mut self, ended: u32) {
        let legal = self.owed > 0 && ended <= self.owed();
        assert!(legal, "a response to nothing: {ended}, {self:?}");
        self.owed -= ended as u16;
        self.begun = ended == 0;
        // What has begun is no upgrade.
        let answered = self.owed == 0 || self.owed == 1 && self.begun;
        if answered && self.inbound == Inbound::Held {
            self.inbound = if self.last { Inbound::Ignored } else { Inbound::Next };
        }
    }

    /// The response that ends HTTP on this connection was written. Where nothing more is read, by a
    /// fault or the peer's end behind its wish, it is one like any other.
    ///
    /// # Panics
    /// When nobody asked for it.
    pub fn upgraded(&mut self) {
        if self.inbound == Inbound::Ignored {
            return self.written(1);
        }
        let asked = self.inbound == Inbound::Held && self.owed == 1;
        assert!(asked, "nobody asked to upgrade: {self:?}");
        *self = Self { inbound: Inbound::Upgraded, owed: 0, ..Self::new() };
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Parsing<'_> {
    /// The head goes on.
    #[inline]
    pub fn part(self) {
        self.0.inbound = Inbound::Head;
    }

    /// The head is whole.
    #[inline]
    pub fn head(self, seen: Seen) {
        let connection = self.0;
        connection.owe();
        connection.last = !seen.keep_alive;
        connection.inbound = match seen {
            Seen { body: true, .. } => Inbound::Body,
            Seen { upgrade: true, .. } => Inbound::Held,
            Seen { keep_alive: true, .. } => Inbound::Next,
            Seen { keep_alive: false, .. } => Inbound::Ignored,
        };
    }
}

#[cfg(test)]
mod tests;
