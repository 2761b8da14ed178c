//! Where a connection stands between a request and the end of its response, when they do not end
//! together.

use std::borrow::Cow;

use super::kept::ResponseId;
use super::response::Parts;
use crate::mem::{Buf, BufList, MessageId};
use crate::pipeline::chain::http1::HeadMeta;

/// How far the response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is out, or there is no request.
    Done,
    /// The service has not answered yet.
    Owed,
    /// Its head is out, and more of its body is to come.
    Streaming,
    /// All but the end of its frame is out.
    Ending,
    /// Another protocol has taken over.
    Upgraded,
    /// The same, and its service was told that the dataplane stops.
    Leaving,
    /// The connection was told to close: what still comes is for nobody (RFC 9112 §9.6).
    Over,
}

/// Who gets the body of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Nobody,
    /// It is the body of the response, or waits until that has found a slot for its head.
    Response,
    Service,
}

/// Where the body of the response comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// The request, or nowhere.
    None,
    Service,
    /// This, at once.
    Buf(Buf),
    /// These bytes, of which so many are out.
    Bytes(Cow<'static, [u8]>, usize),
    /// A function of the response's own.
    Parts(Parts),
}

/// How the peer finds the end of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// So many bytes are still due.
    Length(u64),
    /// A chunk is open, whose end is still to be written.
    Chunked {
        open: bool,
    },
    UntilClose,
}

/// What follows the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    No,
    Plain,
    /// With time for a peer that may still be sending.
    Linger,
}

/// What something waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Nothing.
    Now,
    /// What came with the head of the request is to be looked at first.
    Flushed,
    /// Nothing; the service has been asked already.
    Again,
    /// The service takes what is held first when it is woken.
    Woken,
}

/// A request and its response, or what is left of them.
#[derive(Debug)]
pub(super) struct Exchange {
    pub answer: Answer,
    pub wants: Wants,
    /// The end of the request's body has not come.
    pub body_open: bool,
    /// `100 Continue` is to be written as soon as there is a slot for it.
    pub continue_due: bool,
    pub close: Close,
    pub frame: Frame,
    pub source: Source,
    /// What the service has answered, while the response waits: for the body of the request to turn
    /// out well, or for a slot.
    pub response: ResponseId,
    /// What the first of what is held, or the response, waits for beside a slot.
    pub until: Until,
    /// A part that waits for a slot for its frame, or the trailers.
    pub kept: Option<Buf>,
    pub meta: HeadMeta,
    pub message: MessageId,
    /// Times that the transport has been asked to say when all is out, and has not said so.
    pub flushes: u8,
    /// Receiving is paused.
    pub paused: bool,
    /// Messages behind this exchange; where the service has begun with some, those alone (`held.rs`).
    pub held: BufList,
    /// Messages that it has not begun with.
    pub held_bufs: u16,
    /// Ends of bodies among them.
    pub held_ends: u16,
}

const _: () = assert!(size_of::<Exchange>() <= 128, "two cache lines a connection");

impl Exchange {
    pub const NONE: Self = Self {
        answer: Answer::Done,
        wants: Wants::Nobody,
        body_open: false,
        continue_due: false,
        close: Close::No,
        frame: Frame::Length(0),
        source: Source::None,
        response: ResponseId::NONE,
        until: Until::Now,
        kept: None,
        meta: HeadMeta::NOTHING,
        message: MessageId::NONE,
        flushes: 0,
        paused: false,
        held: BufList::EMPTY,
        held_bufs: 0,
        held_ends: 0,
    };

    /// Whether the next request has to wait.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.answer != Answer::Done || !self.held.is_empty()
    }

    /// Whether it is over, and nothing is left of it to be done.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.answer == Answer::Done
            && self.held.is_empty()
            && !self.paused
            && !self.response.is_some()
    }

    /// Whether the body of the request waits for the head of the response, which it is sent behind.
    pub fn holds_body(&self) -> bool {
        self.response.is_some() && self.wants == Wants::Response
    }

    /// Whether the response waited for the request, and need not any more.
    pub fn may_respond(&self) -> bool {
        self.response.is_some()
            && self.until != Until::Flushed
            && (self.wants == Wants::Response || !self.body_open)
    }

    /// Whether a broken rule is one of the request that waits for its response, and may be answered in
    /// its place.
    pub fn is_at_fault(&self) -> bool {
        let owed = self.answer == Answer::Owed && self.response.is_some();
        owed && self.body_open && self.held_ends == 0
    }

    /// Whether the first of what is held is a request that the service wants to be asked again.
    pub fn asks_again(&self) -> bool {
        self.until == Until::Again || self.until == Until::Woken && self.answer == Answer::Done
    }

    /// Whether there is something to ask for more of the response.
    pub fn is_pulled(&self) -> bool {
        !matches!(self.source, Source::None)
    }

    /// Whether the service has not answered the request yet.
    pub fn owes_service(&self) -> bool {
        self.answer == Answer::Owed && self.wants == Wants::Service && !self.response.is_some()
    }

    /// Whether another protocol has taken over.
    #[inline]
    pub fn is_upgraded(&self) -> bool {
        matches!(self.answer, Answer::Upgraded | Answer::Leaving)
    }

    /// Whether what comes is the other protocol's, and nothing is to be done beside.
    #[inline]
    pub fn passes_on(&self) -> bool {
        self.is_upgraded() && !self.paused
    }

    /// Whether the end of what the peer sends is the end of it.
    #[inline]
    pub fn may_be_cut(&self) -> bool {
        self.body_open || self.is_upgraded()
    }

    /// Whether the service has a part in it.
    pub fn is_service(&self) -> bool {
        let streams = self.answer != Answer::Done && matches!(self.source, Source::Service);
        streams || self.wants == Wants::Service || self.is_upgraded()
    }
}
