//! Policies at their limit and one past it.

use super::*;

const CONN: ConnId = ConnId::new(0, 5, 1);

fn message(pool: &Mempool, n: u8) -> Buf {
    let mut buf = pool.alloc(1).unwrap();
    assert!(buf.append(&[n; 10]));
    buf.set_conn(CONN);
    buf
}

fn marker(n: u8) -> Buf {
    let mut marker = Buf::marker(CONN, kind::NOTIFY);
    marker.set_kind(kind::NOTIFY, n.into());
    marker
}

/// A backlog with this policy for [`CONN`], and what happens to messages 1, 2, ... so many, each with a marker.
struct Bed {
    pool: Mempool,
    inlet: Arc<Inlet>,
    backlog: Backlog,
    told: Vec<u32>,
    dropped: u64,
}

impl Bed {
    fn new(policy: SlowPolicy, share: Share) -> Self {
        struct Nowhere;
        impl super::super::Letterbox for Nowhere {
            fn post(&self, word: super::super::Word) -> Result<(), super::super::Word> {
                Err(word)
            }
            fn is_closed(&self) -> bool {
                true
            }
        }
        let pool = Mempool::small(64).unwrap();
        let inlet = Arc::new(Inlet::new(Box::new(Nowhere)));
        inlet.open(pool.clone(), 8);
        let mut backlog = Backlog::new(Some(inlet.clone()), share);
        backlog.set_policy(CONN, policy);
        Self { pool, inlet, backlog, told: Vec::new(), dropped: 0 }
    }

    fn push(&mut self, n: u8) -> Kept {
        let buf = message(&self.pool, n);
        let told = &mut |marker: Buf| self.told.push(marker.meta());
        let index = self.backlog.open(CONN, told);
        self.backlog.begin(CONN, buf.len());
        self.backlog.push(&self.pool, index, buf, Some(marker(n)), told, &mut self.dropped)
    }

    /// What waits, messages by their bytes.
    fn waits(&mut self) -> Vec<u8> {
        let index = self.backlog.find(CONN).unwrap();
        let mut found = Vec::new();
        while let Some(buf) = self.backlog.pop(index) {
            found.push(buf.first().copied().unwrap_or(100 + buf.meta() as u8));
        }
        found
    }
}

fn policy(when_full: WhenFull) -> SlowPolicy {
    SlowPolicy { bytes_max: 1000, messages_max: 3, when_full }
}

#[test]
fn at_the_limit_all_wait_and_past_it_the_newest_is_dropped_g_8() {
    let mut bed = Bed::new(policy(WhenFull::DropNewest), Share::WHOLE);
    for n in 1..=3 {
        assert_eq!(bed.push(n), Kept::Waits);
    }
    assert_eq!((bed.inlet.waiting(CONN).messages, bed.inlet.waiting(CONN).bytes), (3, 30));
    assert_eq!((bed.push(4), &*bed.told), (Kept::Dropped, &[4][..]));
    assert_eq!(bed.inlet.waiting(CONN).messages, 3);
    assert_eq!(bed.waits(), [1, 101, 2, 102, 3, 103]);
    assert_eq!(bed.inlet.waiting(CONN), super::super::Backlogged::default());
    assert_eq!(bed.pool.missing(), 0);
}

#[test]
fn past_the_limit_the_oldest_makes_room_and_its_author_is_told_g_8() {
    let mut bed = Bed::new(policy(WhenFull::DropOldest), Share::WHOLE);
    for n in 1..=5 {
        assert_eq!(bed.push(n), Kept::Waits);
    }
    assert_eq!((&*bed.told, bed.dropped), (&[1, 2][..], 2));
    // The first of them goes out, and its marker has to wait: it is told of nothing that was dropped.
    let index = bed.backlog.find(CONN).unwrap();
    assert_eq!(bed.backlog.pop(index).unwrap()[0], 3);
    assert_eq!((bed.push(6), bed.push(7)), (Kept::Waits, Kept::Waits));
    assert_eq!(bed.told, [1, 2, 4]);
    assert_eq!(bed.waits(), [103, 5, 105, 6, 106, 7, 107]);
}

#[test]
fn bytes_are_bounded_as_messages_are_and_one_that_is_too_large_alone_is_dropped_g_8() {
    let policy = SlowPolicy { bytes_max: 20, ..policy(WhenFull::DropOldest) };
    let mut bed = Bed::new(policy, Share::WHOLE);
    for n in 1..=3 {
        assert_eq!(bed.push(n), Kept::Waits);
    }
    assert_eq!(bed.told, [1]);
    bed.backlog.set_policy(CONN, SlowPolicy { bytes_max: 9, ..policy });
    assert_eq!((bed.push(4), &*bed.told), (Kept::Dropped, &[1, 2, 3, 4][..]));
}

#[test]
fn past_the_limit_the_connection_is_given_up_where_that_was_wished_g_8() {
    let mut bed = Bed::new(policy(WhenFull::Disconnect), Share::WHOLE);
    for n in 1..=3 {
        assert_eq!(bed.push(n), Kept::Waits);
    }
    assert_eq!((bed.push(4), &*bed.told), (Kept::Disconnect, &[4][..]));
    let told = &mut |marker: Buf| bed.told.push(marker.meta());
    assert_eq!(bed.backlog.closed(CONN, told), 3);
    assert_eq!((&*bed.told, bed.pool.missing()), (&[4, 1, 2, 3][..], 0));
    assert!(bed.backlog.is_empty() && bed.backlog.find(CONN).is_none());
}

#[test]
fn all_of_them_hold_no_more_than_their_share_of_a_pool_that_is_short_g_8() {
    let most = SlowPolicy { bytes_max: 1 << 20, messages_max: 1000, ..SlowPolicy::DEFAULT };
    let mut bed = Bed::new(most, Share::one_in(8, [64, 8, 0, 0]));
    let hoard: Vec<Buf> = (0..30).map(|_| bed.pool.alloc(1).unwrap()).collect();
    let kept = (0..30).take_while(|n| bed.push(*n) == Kept::Waits).count();
    assert_eq!(kept, 9, "one more than eight, once fewer than half are left");
    drop(hoard);
    assert_eq!(bed.push(100), Kept::Waits, "others have given theirs back");
}

#[test]
fn a_queue_is_kept_until_the_marker_that_is_out_for_it_has_come_back_g_8() {
    let mut bed = Bed::new(SlowPolicy::DEFAULT, Share::WHOLE);
    assert_eq!(bed.push(1), Kept::Waits);
    let index = bed.backlog.find(CONN).unwrap();
    bed.backlog.arm(index);
    assert!(bed.backlog.waits(index));
    bed.backlog.closed(CONN, &mut |_| {});
    let next = bed.backlog.open(ConnId::new(0, 5, 2), &mut |_| {});
    assert_ne!(next, index);
    bed.backlog.notified(index);
    assert_eq!((bed.backlog.next_due(), bed.backlog.conn(index)), (Some(index), ConnId::NONE));
    bed.backlog.give_up_if_idle(index);
    assert_eq!(bed.backlog.open(ConnId::new(0, 6, 2), &mut |_| {}), index, "it is free again");
}
