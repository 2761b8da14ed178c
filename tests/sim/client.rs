//! One model client: what it sends, what it must get for it, and how it goes.

use std::collections::VecDeque;

use ringway::transport::sim::{Peer, Rng, SimNet};

use crate::http::{self, Kinds};
use crate::reply::{Reading, Reply};

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
    pub kinds: Kinds,
    /// Reads a few bytes now and then, and holds few unread.
    pub slow: bool,
}

pub struct Client {
    peer: Peer,
    outgoing: Vec<u8>,
    sent: usize,
    /// Where each request ends in `outgoing`.
    ends: Vec<usize>,
    /// Where in `outgoing` it waits for `100 Continue`, and in which reply that comes.
    gates: VecDeque<(usize, usize)>,
    /// An echo's is a single one that may stop anywhere.
    replies: Vec<Reply>,
    /// The reply that is coming in, and how much of it has.
    index: usize,
    reading: Reading,
    ending: Ending,
    slow: bool,
    echo: bool,
    finished: bool,
    /// The last reply said that the server closes.
    told: bool,
    /// The server was asked to drain: replies may say that it closes.
    draining: bool,
    /// Bytes of this client that the server had taken until then.
    taken_before: usize,
    /// All that came.
    pub bytes_got: usize,
}

impl Client {
    pub fn http(net: &SimNet, rng: &mut Rng, manner: Manner) -> Self {
        let ending = [Ending::HalfClose, Ending::WhenServed, Ending::ByRequest][rng.below(3)];
        let count = 1 + rng.below(manner.requests_max);
        let (mut outgoing, mut replies) = (Vec::new(), Vec::new());
        let (mut ends, mut gates) = (Vec::new(), VecDeque::new());
        for n in 0..count {
            let close = n + 1 == count && ending == Ending::ByRequest;
            let start = outgoing.len();
            let asked = http::request(rng, manner.kinds, close, &mut outgoing);
            gates.extend(asked.waits_at.map(|at| (start + at, n)));
            replies.push(asked.reply);
            ends.push(outgoing.len());
        }
        Self { ends, gates, ..Self::new(net, manner, ending, outgoing, replies, false) }
    }

    pub fn echo(net: &SimNet, rng: &mut Rng, manner: Manner) -> Self {
        let ending = [Ending::HalfClose, Ending::WhenServed][rng.below(2)];
        let bytes = rng.below(manner.requests_max * manner.kinds.body_max + 1);
        let outgoing: Vec<u8> = (0..bytes).map(|_| rng.next_u64() as u8).collect();
        let replies = vec![Reply::bare(outgoing.clone())];
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
        let reading = Reading::new(replies.first());
        Self {
            peer,
            outgoing,
            sent: 0,
            ends: Vec::new(),
            gates: VecDeque::new(),
            replies,
            index: 0,
            reading,
            ending,
            slow: manner.slow,
            echo,
            finished: false,
            told: false,
            draining: false,
            taken_before: 0,
            bytes_got: 0,
        }
    }

    /// From now on the server may close after any reply.
    pub fn expect_drain(&mut self) {
        self.draining = true;
        self.taken_before = self.bytes_taken();
    }

    /// Bytes of this client that the server has taken.
    fn bytes_taken(&self) -> usize {
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
        let left = self.may_send_to() - self.sent;
        if left > 0 && !self.finished && rng.below(2) == 0 {
            let count = 1 + rng.below(left.min(6000));
            self.peer.send(&self.outgoing[self.sent..self.sent + count]);
            self.sent += count;
        }
    }

    /// Where it stops until it hears `100 Continue`, or the end.
    fn may_send_to(&mut self) -> usize {
        while let Some(&(at, reply)) = self.gates.front() {
            let open = self.index > reply || self.index == reply && self.reading.continued;
            if !open {
                return at;
            }
            self.gates.pop_front();
        }
        self.outgoing.len()
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
        if self.reading.take(reply, self.draining, byte) {
            self.told = self.reading.told;
            self.index += 1;
            self.reading = Reading::new(self.replies.get(self.index));
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
            assert!(self.is_served(), "{index} of {all} replies came: {}", self.describe());
        }
    }

    /// What came is whole, and at least what the server had taken before it was told to drain.
    pub fn check_drained(&self) {
        let taken_before = self.taken_before;
        if self.is_reset() {
            assert!(!self.peer.is_accepted(), "the server gave up {}", self.describe());
            return;
        }
        if self.echo {
            let got = if self.is_served() { self.outgoing.len() } else { self.reading.bytes() };
            assert!(got >= taken_before, "{got} bytes came back of {taken_before} taken");
        } else {
            let all = self.index == self.replies.len();
            assert!(all || self.reading.is_fresh(), "a reply was cut off: {}", self.describe());
            // A reply that says so ends the connection, whatever the client had sent already.
            let owed = self.ends.iter().filter(|&&end| end <= taken_before).count();
            assert!(self.told || self.index >= owed, "{owed} owed: {}", self.describe());
        }
    }

    /// For the report of a run that does not end.
    pub fn describe(&self) -> String {
        format!(
            "echo={} {:?} sent {}/{} taken {} reply {}/{} {:?} slow={} finished={} reset={}",
            self.echo,
            self.ending,
            self.sent,
            self.outgoing.len(),
            self.bytes_taken(),
            self.index,
            self.replies.len(),
            self.reading,
            self.slow,
            self.finished,
            self.is_reset(),
        )
    }
}
