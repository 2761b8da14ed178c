//! Two ends of a stream in one thread, with nothing between them.

use std::sync::Arc;

use ringway::proto::stream::secure::handshake::{BATCH, ENCRYPT, Secrets};
use ringway::proto::stream::secure::identity::Identity;
use ringway::proto::stream::secure::trust::Anyone;
use ringway::proto::stream::{
    Batch, Config, Connection, HEADROOM_BYTES, Mode, Piece, Received, Role, TRANSMIT_BYTES_MAX,
    channel_type,
};
use ringway::time::Instant;

/// Two ends of a stream with a channel between them.
pub struct Ends {
    initiator: Connection,
    responder: Connection,
    channel: u16,
    now: Instant,
}

impl Ends {
    /// Both connected, over a byte stream.
    pub fn connected(encrypted: bool) -> Self {
        let now = Instant::from_ns(0);
        let mut config = Config::new(Mode::Stream);
        config.offer.offers = if encrypted { ENCRYPT } else { 0 };
        config.offer.requires = config.offer.offers;
        config.offer.offers |= BATCH;
        let connection = |number, role| {
            let secrets = Secrets { nonce: [number; 32], ephemeral: [number + 1; 32] };
            let identity = Identity::from_secret(&[number; 32]);
            Connection::new(now, role, config, &identity, Arc::new(Anyone), secrets)
        };
        let initiator = connection(1, Role::Initiator);
        let responder = connection(3, Role::Responder { session_id: [0; 16] });
        let mut ends = Self { initiator, responder, channel: 0, now };
        ends.exchange();
        let channel = ends.initiator.open_channel(now, channel_type::SERVICE, false);
        ends.channel = channel.expect("it is connected");
        ends.exchange();
        ends
    }

    /// Hands what the connections themselves have to say over until they have no more.
    pub fn exchange(&mut self) {
        let mut out = [0; TRANSMIT_BYTES_MAX];
        loop {
            let (mut from, mut to) = (&mut self.initiator, &mut self.responder);
            let len = from.poll_transmit(self.now, &mut out).or_else(|| {
                std::mem::swap(&mut from, &mut to);
                from.poll_transmit(self.now, &mut out)
            });
            let Some(len) = len else { break };
            to.handle_packet(self.now, &mut out[..len]).expect("what the other says");
            while to.poll_event().is_some() {}
        }
    }

    /// One packet out of one end and into the other; how many bytes of it arrived.
    pub fn pass(&mut self, room: &mut [u8], payload: &[u8]) -> usize {
        let place = HEADROOM_BYTES..HEADROOM_BYTES + payload.len();
        room[place.clone()].copy_from_slice(payload);
        let piece = Piece::whole(payload.len() as u32);
        let sealed = self.initiator.seal(self.now, self.channel, piece, false, room, place);
        let packet = sealed.expect("credit comes in time");
        let received = self.responder.handle_packet(self.now, &mut room[packet]);
        let Ok(Received::Data(data)) = received else { panic!("{received:?}") };
        self.responder.consume(self.now, self.channel, 1);
        data.range.len()
    }
    /// The same of a batch: that many messages in one packet, which is to be consumed once.
    pub fn pass_batch(&mut self, room: &mut [u8], message: &[u8], messages: usize) -> usize {
        let mut batch = Batch::new();
        (0..messages).for_each(|_| batch.put(room, message));
        let sealed = self.initiator.seal_batch(self.now, self.channel, &batch, room);
        let packet = &mut room[sealed.expect("credit comes in time")];
        let received = self.responder.handle_packet(self.now, packet);
        let Ok(Received::Data(data)) = received else { panic!("{received:?}") };
        self.responder.consume(self.now, self.channel, 1);
        data.messages(packet).map(|at| at.len()).sum()
    }
}
