//! One model client: what it sends, what it must get for it, and how it goes.

use ringway::transport::sim::{Peer, Rng, SimNet};

use crate::http::{self, ANY, Reply};

/// How a client says its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Half-closes behind its last byte and reads on.
    HalfClose,
    /// Closes once it has got everything.
    WhenServed,
    /// Waits for the server to close, as its last request asked.
    ByRequest,
}

/// How a client is made.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    pub requests_max: usize,
    pub body_max: usize,
    /// Reads a few bytes now and then, and holds few unread.
    pub slow: bool,
}

pub struct Client {
    peer: Peer,
    outgoing: Vec<u8>,
    sent: usize,
    /// Where each request ends in `outgoing`.
    ends: Vec<usize>,
    /// An echo's is a single one that may stop anywhere.
    replies: Vec<Reply>,
    /// The reply that is coming in, and how much of it has.
    index: usize,
    at: usize,
    plain: bool,
    closing: bool,
    ending: Ending,
    slow: bool,
    echo: bool,
    finished: bool,
    /// The last reply said that the server closes.
    told: bool,
    /// The server was asked to drain: replies may say that it closes.
    draining: bool,
    /// All that came.
    pub bytes_got: usize,
}

impl Client {
    pub fn http(net: &SimNet, rng: &mut Rng, manner: Manner) -> Self {
        let ending = [Ending::HalfClose, Ending::WhenServed, Ending::ByRequest][rng.below(3)];
        let count = 1 + rng.below(manner.requests_max);
        let (mut outgoing, mut replies, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for n in 1..=count {
            let close = n == count && ending == Ending::ByRequest;
            replies.push(http::request(rng, manner.body_max, close, &mut outgoing));
            ends.push(outgoing.len());
        }
        Self { ends, ..Self::new(net, manner, ending, outgoing, replies, false) }
    }

    pub fn echo(net: &SimNet, rng: &mut Rng, manner: Manner) -> Self {
        let ending = [Ending::HalfClose, Ending::WhenServed][rng.below(2)];
        let bytes = rng.below(manner.requests_max * manner.body_max + 1);
        let outgoing: Vec<u8> = (0..bytes).map(|_| rng.next_u64() as u8).collect();
        let plain: Vec<u16> = outgoing.iter().copied().map(u16::from).collect();
        let replies = vec![Reply { closing: plain.clone(), plain }];
        Self::new(net, manner, ending, outgoing, replies, true)
    }

    fn new(
        net: &SimNet,
        manner: Manner,
        ending: Ending,
        outgoing: Vec<u8>,
        replies: Vec<Reply>,
        echo: bool,
    ) -> Self {
        let peer = net.connect();
        if manner.slow {
            peer.set_window(500);
        }
        Self {
            peer,
            outgoing,
            sent: 0,
            ends: Vec::new(),
            replies,
            index: 0,
            at: 0,
            plain: true,
            closing: false,
            ending,
            slow: manner.slow,
            echo,
            finished: false,
            told: false,
            draining: false,
            bytes_got: 0,
        }
    }

    /// From now on the server may close after any reply.
    pub fn expect_drain(&mut self) {
        self.draining = true;
        self.closing |= self.at == 0;
    }

    /// Bytes of this client that the server has taken.
    pub fn bytes_taken(&self) -> usize {
        self.peer.bytes_taken() as usize
    }

    pub fn is_reset(&self) -> bool {
        self.peer.is_reset()
    }

    /// Nothing more will happen on this side.
    pub fn is_done(&self) -> bool {
        self.is_reset() || self.finished && self.peer.is_finished()
    }

    pub fn is_gone(&self) -> bool {
        self.peer.is_gone()
    }

    /// Sends some, reads some.
    pub fn step(&mut self, rng: &mut Rng) {
        if self.is_reset() {
            return;
        }
        self.send(rng);
        self.read(rng);
        let all_sent = self.sent == self.outgoing.len();
        let over = self.peer.is_finished()
            || match self.ending {
                Ending::HalfClose => all_sent,
                Ending::WhenServed => all_sent && self.is_served(),
                Ending::ByRequest => false,
            };
        if over && !self.finished {
            self.peer.finish();
            self.finished = true;
        }
    }

    fn send(&mut self, rng: &mut Rng) {
        let left = self.outgoing.len() - self.sent;
        if left > 0 && !self.finished && rng.below(2) == 0 {
            let count = 1 + rng.below(left.min(6000));
            self.peer.send(&self.outgoing[self.sent..self.sent + count]);
            self.sent += count;
        }
    }

    fn read(&mut self, rng: &mut Rng) {
        let most = match (self.slow, rng.below(4)) {
            (false, _) => usize::MAX,
            (true, 0) => 1 + rng.below(400),
            (true, _) => 0,
        };
        let mut bytes = Vec::new();
        self.peer.read(most, &mut bytes);
        self.bytes_got += bytes.len();
        bytes.into_iter().for_each(|byte| self.take(byte));
    }

    /// Compares one byte of a reply.
    fn take(&mut self, byte: u8) {
        let reply = self.replies.get(self.index).expect("a byte after the last reply");
        let fits = |of: &[u16]| of.get(self.at).is_some_and(|&b| b == ANY || b == u16::from(byte));
        self.plain &= fits(&reply.plain);
        self.closing &= fits(&reply.closing);
        let (index, at) = (self.index, self.at);
        assert!(self.plain || self.closing, "reply {index} is wrong at byte {at}: {byte:#04x}");
        self.at += 1;
        let whole = |of: &[u16], alive| alive && of.len() == self.at;
        if whole(&reply.plain, self.plain) || whole(&reply.closing, self.closing) {
            self.told = self.closing;
            self.index += 1;
            self.at = 0;
            self.plain = true;
            self.closing = self.draining;
        }
    }

    fn is_served(&self) -> bool {
        self.index == self.replies.len() || self.echo && self.outgoing.is_empty()
    }

    /// Everything came, unless the network lost the connection.
    pub fn check_served(&self) {
        if !self.peer.is_lost() {
            assert!(!self.is_reset(), "the server gave up {}", self.describe());
            let (index, all) = (self.index, self.replies.len());
            assert!(self.is_served(), "{index} of {all} replies came, then {} bytes", self.at);
        }
    }

    /// What came is whole, and at least what the server had taken before it was told to drain.
    pub fn check_drained(&self, taken_before: usize) {
        if self.is_reset() {
            assert!(!self.peer.is_accepted(), "the server gave up {}", self.describe());
            return;
        }
        if self.echo {
            let got = if self.is_served() { self.outgoing.len() } else { self.at };
            assert!(got >= taken_before, "{got} bytes came back of {taken_before} taken");
        } else {
            assert_eq!(self.at, 0, "reply {} was cut off", self.index);
            // A reply that says so ends the connection, whatever the client had sent already.
            let owed = self.ends.iter().filter(|&&end| end <= taken_before).count();
            assert!(self.told || self.index >= owed, "{owed} owed: {}", self.describe());
        }
    }

    /// For the report of a run that does not end.
    pub fn describe(&self) -> String {
        format!(
            "echo={} {:?} sent {}/{} taken {} reply {}/{} at {} slow={} finished={} reset={}",
            self.echo,
            self.ending,
            self.sent,
            self.outgoing.len(),
            self.bytes_taken(),
            self.index,
            self.replies.len(),
            self.at,
            self.slow,
            self.finished,
            self.is_reset(),
        )
    }
}
