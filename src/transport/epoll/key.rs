//! The number that a descriptor is watched under: what it is, and whose.

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The connection in a slot; the epoch tells it from those that had the slot before it.
    Stream { slot: u32, epoch: u32 },
    /// A listening socket of a listener.
    Door { listener: u8, socket: u8 },
    /// A socket of a listener of datagrams.
    Datagrams { listener: u8, socket: u8 },
    /// What ends waiting, and no more.
    Bell,
}

const KIND_BITS: u32 = 62;
const SLOT_BITS: u32 = 30;

impl Key {
    /// As a number: the kind, the slot, the epoch; or the kind, the socket, the listener.
    #[inline]
    pub fn number(self) -> u64 {
        match self {
            Self::Stream { slot, epoch } => u64::from(slot) << 32 | u64::from(epoch),
            Self::Door { listener, socket } => 1 << KIND_BITS | of_listener(listener, socket),
            Self::Datagrams { listener, socket } => 2 << KIND_BITS | of_listener(listener, socket),
            Self::Bell => 3 << KIND_BITS,
        }
    }

    /// What the number is of.
    #[inline]
    pub fn of_number(number: u64) -> Self {
        let (listener, socket) = (number as u8, (number >> 8) as u8);
        match number >> KIND_BITS {
            0 => {
                let slot = (number >> 32) as u32 & ((1 << SLOT_BITS) - 1);
                Self::Stream { slot, epoch: number as u32 }
            }
            1 => Self::Door { listener, socket },
            2 => Self::Datagrams { listener, socket },
            _ => Self::Bell,
        }
    }
}

fn of_listener(listener: u8, socket: u8) -> u64 {
    u64::from(socket) << 8 | u64::from(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_again_by_its_number() {
        let (most, last) = ((1 << SLOT_BITS) - 1, u8::MAX);
        let streams = [(0, 0), (most, u32::MAX), (7, 9)];
        let streams = streams.map(|(slot, epoch)| Key::Stream { slot, epoch });
        let sockets = [(0, 0), (last, 0), (0, last), (last, 3)];
        let doors = sockets.map(|(listener, socket)| Key::Door { listener, socket });
        let datagrams = sockets.map(|(listener, socket)| Key::Datagrams { listener, socket });
        for key in streams.into_iter().chain(doors).chain(datagrams).chain([Key::Bell]) {
            assert_eq!(Key::of_number(key.number()), key);
        }
    }
}
