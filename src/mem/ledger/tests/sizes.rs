//! Slots of which there are few, and bytes that have to be copied to others.

use super::*;

#[test]
fn of_few_slots_one_is_lent_empty_and_one_with_a_message() {
    for slots in [2, 4, 8, 11] {
        let pool = pool_of(&[SIZES[0], ClassSize { slots, ..SIZES[1] }]);
        let mut ledger = Ledger::of_pool(pool.clone(), 1);
        assert_eq!(fill(&mut ledger, &pool, 16384), 1, "of {slots}");
        assert!(ledger.supply(1).is_some() && ledger.supply(1).is_none(), "of {slots}");
    }
    // The only one is with the process or with a message, and either is possible.
    let pool = pool_of(&[SIZES[0], ClassSize { slots: 1, ..SIZES[1] }]);
    let mut ledger = Ledger::of_pool(pool.clone(), 1);
    let empty = ledger.supply(1).unwrap();
    ledger.give_back(&empty).unwrap();
    let mut buf = pool.alloc(16384).unwrap();
    assert!(buf.append(b"a") && ledger.lend(&mut buf).is_some());
}

#[test]
fn many_queues_share_half_of_a_pool() {
    for (queues, each) in [(1, 16), (2, 16), (3, 10), (8, 4), (16, 2)] {
        let pool = pool_of(&SIZES);
        let mut books: Vec<_> =
            (0..queues).map(|_| Ledger::of_pool(pool.clone(), queues)).collect();
        for book in &mut books {
            while book.supply(0).is_some() {}
            fill(book, &pool, 1);
            assert_eq!(book.lent(), each, "one of {queues}");
        }
    }
}

#[test]
fn what_fits_no_slot_that_may_be_lent_is_copied_piece_by_piece() {
    let (pool, other) = (pool_of(&SIZES), pool_of(&SIZES[..2]));
    let mut large = pool.alloc(65536).unwrap();
    assert!(large.append(&[7; 40_000]));
    large.set_conn(ConnId::new(0, 3, 0));
    for mut ledger in [own_ledger(&pool), Ledger::of_pool(other.clone(), 1)] {
        assert_eq!(ledger.slot_bytes_max(), 16384);
        let mut rest = large.slice(0, large.len());
        for (bytes, left) in [(16384, 23616), (16384, 7232), (7232, 0)] {
            assert!(ledger.may_lend(&rest));
            let terms = ledger.lend(&mut rest).unwrap();
            assert_eq!((terms.start, terms.len, rest.len()), (0, bytes, left));
            let Ok(Taken::Buf(buf)) = ledger.take(&Terms { len: 9, ..terms }) else { panic!() };
            assert_eq!((&*buf, ledger.lent()), (&[7; 9][..], 0));
        }
        assert_eq!(rest.capacity(), 0, "it is a marker");
        let mut lend = || ledger.lend(&mut large.slice(0, large.len())).is_some();
        while lend() {}
        assert!(!ledger.may_lend(&large) && ledger.lent() > 0);
    }
    drop(large);
    assert_eq!((pool.missing(), other.missing()), (0, 0));
}

#[test]
fn bytes_of_another_pool_are_copied_to_this_one() {
    let (pool, other) = (Mempool::small(64).unwrap(), Mempool::small(4).unwrap());
    let mut ledger = Ledger::of_pool(pool.clone(), 1);
    let mut buf = other.alloc(3).unwrap();
    assert!(buf.append(b"abc"));
    buf.set_conn(ConnId::new(0, 0, 0));
    let terms = ledger.lend(&mut buf).unwrap();
    assert_eq!((other.missing(), pool.missing(), ledger.take_copied_bytes()), (0, 1, 3));
    assert_eq!(ledger.by_conn.len(), 1, "it counts as its connection's");
    let Ok(Taken::Buf(back)) = ledger.take(&terms) else { panic!("it was lent") };
    assert_eq!(&*back, b"abc");
}
