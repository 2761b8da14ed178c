//! The keys of one channel as they follow each other (D-13): the sender turns to the next whenever it
//! likes, and the receiver learns it from the packet that comes with it, so nothing waits.

use super::header::{Flags, HEADER_BYTES};
use super::secure::aead::{Forged, Opener, Sealer, TAG_BYTES};
use super::secure::keys::{ChannelSecret, Direction, Traffic};

/// Both directions of a channel.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) send: SendKey,
    pub(super) receive: ReceiveKey,
}

/// What each end calls a channel, so that it seals with no key twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Incarnations {
    /// From our own counter.
    pub(super) ours: u32,
    /// Said by the peer, which harms only itself where it says one twice.
    pub(super) theirs: u32,
}

impl Incarnations {
    /// Those of channel 0, which no other follows.
    pub(super) const NONE: Self = Self { ours: 0, theirs: 0 };
}

impl Keys {
    /// The first keys of a channel, of which `direction` is what we send. Each end seals under an
    /// incarnation that it chose itself: no peer can bring one of our keys back.
    pub(super) fn new(
        traffic: &Traffic,
        direction: Direction,
        ch: u16,
        incarnations: Incarnations,
    ) -> Self {
        let Incarnations { ours, theirs } = incarnations;
        Self {
            send: SendKey::new(traffic.channel(direction, ch, ours)),
            receive: ReceiveKey::new(traffic.channel(direction.opposite(), ch, theirs)),
        }
    }
}

/// The lowest bit of an epoch.
const fn phase(epoch: u32) -> bool {
    epoch & 1 == 1
}

/// What we seal with.
#[derive(Debug)]
pub(super) struct SendKey {
    secret: ChannelSecret,
    sealer: Sealer,
    /// The number of the first packet of this epoch.
    since: u64,
    /// The peer has not shown that it has this epoch's key: with another one on top, it could not tell by
    /// one bit which is meant.
    unconfirmed: bool,
    /// The next is wanted as soon as may be.
    wanted: bool,
}

impl SendKey {
    fn new(secret: ChannelSecret) -> Self {
        let sealer = secret.sealer();
        Self { secret, sealer, since: 0, unconfirmed: false, wanted: false }
    }

    pub(super) fn epoch(&self) -> u32 {
        self.secret.epoch()
    }

    /// Asks for the next key.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// The peer has received packets of `epoch`. `false`: that has not been.
    pub(super) fn confirm(&mut self, epoch: u32) -> bool {
        self.unconfirmed &= epoch != self.epoch();
        epoch <= self.epoch()
    }

    /// Turns to the next key before packet `number` where it is time. Whether it did.
    #[inline]
    pub(super) fn turn(&mut self, number: u64, packets_max: u64) -> bool {
        self.is_due(number, packets_max) && !self.unconfirmed && self.turn_now(number)
    }

    /// Whether it is time, and the peer has yet to show that it has this key.
    #[inline]
    pub(super) fn waits(&self, number: u64, packets_max: u64) -> bool {
        self.unconfirmed && self.is_due(number, packets_max)
    }

    #[inline]
    const fn is_due(&self, number: u64, packets_max: u64) -> bool {
        self.wanted || number - self.since >= packets_max
    }

    #[cold]
    fn turn_now(&mut self, number: u64) -> bool {
        self.secret = self.secret.next();
        self.sealer = self.secret.sealer();
        (self.since, self.unconfirmed, self.wanted) = (number, true, false);
        true
    }

    /// The flags of what is sealed now.
    #[inline]
    pub(super) fn flags(&self) -> Flags {
        Flags::ENCRYPTED.with(Flags::KEY_PHASE, phase(self.epoch()))
    }

    #[inline]
    pub(super) fn seal(
        &self,
        number: u64,
        header: &[u8; HEADER_BYTES],
        bytes: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        self.sealer.seal(number, header, bytes)
    }

    /// The same of `bytes` on their way to `room`, where `head` bytes lie before them.
    #[inline]
    pub(super) fn seal_copy(
        &self,
        number: u64,
        header: &[u8; HEADER_BYTES],
        room: &mut [u8],
        head: usize,
        bytes: &[u8],
    ) {
        self.sealer.seal_copy(number, header, room, head, bytes);
    }
}

/// What we open with.
#[derive(Debug)]
pub(super) struct ReceiveKey {
    secret: ChannelSecret,
    opener: Opener,
    /// Made when the first packet of the other phase comes, and kept until one proves to be of it: made
    /// for each, it would be the dearest thing that a stranger can make us do.
    next: Option<Box<(ChannelSecret, Opener)>>,
}

/// A packet that is the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    /// Bytes of it without the tag.
    pub(super) len: usize,
    /// It is the first that came with a new key.
    pub(super) turned: bool,
}

impl ReceiveKey {
    fn new(secret: ChannelSecret) -> Self {
        let opener = secret.opener();
        Self { secret, opener, next: None }
    }

    pub(super) fn epoch(&self) -> u32 {
        self.secret.epoch()
    }

    /// Opens a packet in place; its number is one that has not been.
    #[inline]
    pub(super) fn open(
        &mut self,
        flags: Flags,
        number: u64,
        header: &[u8; HEADER_BYTES],
        body: &mut [u8],
    ) -> Result<Opened, Forged> {
        let Some((bytes, tag)) = body.split_last_chunk_mut::<TAG_BYTES>() else {
            return Err(Forged);
        };
        let turned = flags.has(Flags::KEY_PHASE) != phase(self.epoch());
        if turned {
            self.open_next(number, header, bytes, tag)?;
        } else {
            self.opener.open(number, header, bytes, tag)?;
        }
        Ok(Opened { len: bytes.len(), turned })
    }

    #[cold]
    fn open_next(
        &mut self,
        number: u64,
        header: &[u8; HEADER_BYTES],
        bytes: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Forged> {
        let next = self.next.get_or_insert_with(|| {
            let secret = self.secret.next();
            let opener = secret.opener();
            Box::new((secret, opener))
        });
        next.1.open(number, header, bytes, tag)?;
        if let Some(next) = self.next.take() {
            (self.secret, self.opener) = *next;
        }
        Ok(())
    }
}
