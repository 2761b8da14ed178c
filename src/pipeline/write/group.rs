//! Connections that hear the same, wherever they are. Who is a member, each lcore knows of its own
//! (`members`); a group itself is some counters, and the set of lcores that have some.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::inlet::{Inlets, Word};
use super::{Message, Refused};
use crate::mem::{Buf, ConnId};
use crate::pipeline::Cx;
use crate::sync::{AtomicU64, Ordering};

/// A set of connections of one dataplane. Clones name the same group.
///
/// A message is framed once, into one slot, which all that get it share. It reaches the members that the group has
/// when their lcore hears of it; messages of one publisher come to each in their order. A member that takes too
/// little is treated by its [`SlowPolicy`](super::SlowPolicy), and nobody waits for it. One that closes leaves by itself.
///
/// ```
/// use ringway::handler::websocket::{Out, Service};
/// use ringway::mem::{Buf, ConnId};
/// use ringway::pipeline::Cx;
/// use ringway::pipeline::chain::websocket::MessageMeta;
/// use ringway::pipeline::write::{Group, Message};
///
/// /// All hear what one says, but for the one.
/// struct Room(Group);
///
/// impl Service for Room {
///     fn opened(&mut self, cx: &mut Cx, conn: ConnId, _out: &mut Out<'_>) {
///         self.0.join(cx, conn);
///     }
///
///     fn message(&mut self, _cx: &mut Cx, message: Buf, _meta: MessageMeta, _out: &mut Out<'_>) {
///         let _ = self.0.publish(Message::Binary(&message), &[message.conn()]);
///     }
/// }
///
/// let group = Group::new();
/// let room = {
///     let group = group.clone();
///     move || Room(group.clone()) // one for each lcore: Builder::websocket(address, room)
/// };
/// assert!(group.publish(Message::Text("is anybody here?"), &[]).is_ok());
/// # drop(room);
/// ```
#[derive(Clone)]
pub struct Group {
    pub(super) shared: Arc<Shared>,
}

#[derive(Default)]
pub(super) struct Shared {
    /// The dataplane of its members.
    inlets: OnceLock<Arc<Inlets>>,
    /// A bit for each lcore that has some.
    present: AtomicU64,
    members: AtomicU64,
    published: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
    disconnected: AtomicU64,
}

/// What a group has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupCounters {
    /// Messages that were published.
    pub published: u64,
    /// Times that one was taken for a member: by its transport, or by its backlog.
    pub delivered: u64,
    /// Times that one was not, or that an older one was dropped in its favour; and one for each lcore whose box had
    /// no room.
    pub dropped: u64,
    /// Members that were disconnected because they took too little.
    pub disconnected: u64,
}

/// Who is not to hear of it.
pub(super) enum Exclude {
    One(ConnId),
    These(Arc<[ConnId]>),
}

impl Exclude {
    fn of(these: &[ConnId]) -> Self {
        match these {
            [] => Self::One(ConnId::NONE),
            [one] => Self::One(*one),
            many => Self::These(many.into()),
        }
    }

    fn part(&self) -> Self {
        match self {
            Self::One(one) => Self::One(*one),
            Self::These(these) => Self::These(these.clone()),
        }
    }
}

/// One message on its way to the members of one lcore.
pub struct Publish {
    pub(super) group: Arc<Shared>,
    pub(super) buf: Buf,
    pub(super) exclude: Exclude,
    /// How often somebody had joined when the lcore heard of it.
    pub(super) joins: u64,
}

impl Publish {
    /// Whether `conn` is not to hear of it.
    #[inline]
    pub(super) fn leaves_out(&self, conn: ConnId) -> bool {
        match &self.exclude {
            Exclude::One(one) => *one == conn,
            Exclude::These(these) => these.contains(&conn),
        }
    }
}

impl Default for Group {
    fn default() -> Self {
        Self::new()
    }
}

impl Group {
    /// One without members. Its dataplane is that of the first.
    pub fn new() -> Self {
        Self { shared: Arc::default() }
    }

    /// Has a connection of this lcore join. `false`: it is a member, or of another dataplane than those.
    pub fn join(&self, cx: &mut Cx, conn: ConnId) -> bool {
        cx.writes.join(self, conn)
    }

    /// Has a connection of this lcore leave; `false`: it is no member.
    pub fn leave(&self, cx: &mut Cx, conn: ConnId) -> bool {
        cx.writes.leave(self, conn)
    }

    /// Whether a connection of this lcore is a member.
    pub fn contains(&self, cx: &Cx, conn: ConnId) -> bool {
        cx.writes.members.contains(self, conn)
    }

    /// Sends a copy of `message` to each member that is not in `exclude`, from any thread. `Err`: nobody gets it, as
    /// where it is longer than a slot ([`Message`]).
    pub fn publish(&self, message: Message<'_>, exclude: &[ConnId]) -> Result<(), Refused> {
        let Some(inlets) = self.reach() else {
            self.shared.published.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        let inlet = self.lcores(inlets).next().ok_or(Refused::Ended)?.1;
        let buf = message.encode(inlet.pool()?)?;
        self.publish_buf(buf, exclude).map_err(|(why, _)| why)
    }

    /// The same of bytes that lie in a slot already, of any pool that outlives the dataplane: those of
    /// [`Message::encode`], or of kind `DATA`. All members share the slot. Gives them back where nobody gets them.
    pub fn publish_buf(&self, buf: Buf, exclude: &[ConnId]) -> Result<(), (Refused, Buf)> {
        let Some(inlets) = self.reach() else {
            self.shared.published.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        // All have room for it, or none hears of it: or the next try would reach some twice.
        let mut asked = 0_u64;
        for (index, inlet) in self.lcores(inlets) {
            if !inlet.begin_publish() {
                let asked = (0..LCORES).filter(|index| asked >> index & 1 == 1);
                asked.filter_map(|index| inlets.get(index)).for_each(|inlet| inlet.end_publish());
                return Err((Refused::Full, buf));
            }
            asked |= 1 << index;
        }
        self.shared.published.fetch_add(1, Ordering::Relaxed);
        let exclude = Exclude::of(exclude);
        for index in (0..LCORES).filter(|index| asked >> index & 1 == 1) {
            let Some(inlet) = inlets.get(index) else { continue };
            let (group, buf) = (self.shared.clone(), buf.slice(0, buf.len()));
            let publish = Publish { group, buf, exclude: exclude.part(), joins: 0 };
            if inlet.post(Word::Publish(publish)).is_err() {
                inlet.end_publish();
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// The dataplane, if anybody is there.
    fn reach(&self) -> Option<&Arc<Inlets>> {
        let present = self.shared.present.load(Ordering::Acquire);
        self.shared.inlets.get().filter(|_| present != 0)
    }

    /// The lcores that have members.
    fn lcores<'a>(
        &self,
        inlets: &'a Inlets,
    ) -> impl Iterator<Item = (u32, &'a Arc<super::Inlet>)> + use<'a> {
        let present = self.shared.present.load(Ordering::Acquire);
        let indices = (0..LCORES).filter(move |index| present >> index & 1 == 1);
        indices.filter_map(|index| Some((index, inlets.get(index)?)))
    }

    /// Members, over all lcores.
    pub fn len(&self) -> usize {
        self.shared.members.load(Ordering::Relaxed) as usize
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it has done so far.
    pub fn counters(&self) -> GroupCounters {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        GroupCounters {
            published: read(&self.shared.published),
            delivered: read(&self.shared.delivered),
            dropped: read(&self.shared.dropped),
            disconnected: read(&self.shared.disconnected),
        }
    }
}

/// Bits of the set of lcores.
const LCORES: u32 = u64::BITS;

const _: () = assert!(crate::limits::LCORES_MAX <= LCORES as usize);

impl Shared {
    /// Whether it is a group of this dataplane; one that has had no member becomes one.
    pub fn belongs_to(&self, inlets: &Arc<Inlets>) -> bool {
        Arc::ptr_eq(self.inlets.get_or_init(|| inlets.clone()), inlets)
    }

    /// The lcore has members, or has none any more.
    pub fn set_present(&self, lcore: u8, present: bool) {
        if present {
            self.present.fetch_or(1 << lcore, Ordering::AcqRel);
        } else {
            self.present.fetch_and(!(1 << lcore), Ordering::AcqRel);
        }
    }

    /// A member more, or one less.
    pub fn count_member(&self, joins: bool) {
        let one = if joins { 1 } else { u64::MAX };
        self.members.fetch_add(one, Ordering::Relaxed);
    }

    /// Adds what became of a message for some members.
    pub fn count(&self, outcome: Outcome) {
        for (cell, n) in [
            (&self.delivered, outcome.delivered),
            (&self.dropped, outcome.dropped),
            (&self.disconnected, outcome.disconnected),
        ] {
            if n > 0 {
                cell.fetch_add(n, Ordering::Relaxed);
            }
        }
    }
}

/// What became of a message for some members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Taken.
    pub delivered: u64,
    /// Dropped, it or an older one.
    pub dropped: u64,
    /// Members that were disconnected.
    pub disconnected: u64,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("members", &self.len())
            .field("counters", &self.counters())
            .finish()
    }
}
