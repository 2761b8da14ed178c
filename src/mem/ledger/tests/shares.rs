//! Several shares of one slot, lent at the same time.

use super::*;

#[test]
fn a_slot_has_as_many_shares_as_its_count_holds_and_no_more() {
    let pool = Mempool::small(64).unwrap();
    let mut ledger = Ledger::of_pool(pool.clone(), 1);
    let mut buf = pool.alloc(1).unwrap();
    assert!(buf.append(b"a"));
    buf.set_conn(ConnId::new(0, 0, 0));
    for _ in 0..u16::MAX {
        assert!(ledger.lend(&mut buf.slice(0, 1)).is_some());
    }
    assert!(ledger.lend(&mut buf.slice(0, 1)).is_none());
    assert_eq!((ledger.lent(), ledger.recall()), (1, 1));
    drop((buf, ledger));
    assert_eq!(pool.missing(), 0);
}

/// A handler that has the same bytes for many answers each of them with a share.
#[test]
fn shares_of_one_slot_may_go_to_different_connections() {
    let pool = Mempool::small(64).unwrap();
    let mut ledger = Ledger::of_pool(pool.clone(), 1);
    let mut kept = pool.alloc(2).unwrap();
    assert!(kept.append(b"ab"));
    let share = |slot| {
        let mut share = kept.slice(0, 2);
        share.set_conn(ConnId::new(0, slot, 1));
        share
    };
    let home: [fn(&mut Ledger, &Terms); 3] = [
        |ledger, terms| ledger.give_back(terms).unwrap(),
        |ledger, terms| drop(ledger.take(terms).unwrap()),
        |ledger, _| assert!(ledger.recall() <= 1),
    ];
    for bring_home in home {
        let terms = [3, 4, 3, 4].map(|slot| ledger.lend(&mut share(slot)).unwrap());
        assert_eq!((ledger.by_conn[3][0], ledger.lent()), (2, 1), "they hold one slot");
        terms.iter().for_each(|terms| bring_home(&mut ledger, terms));
        assert!(ledger.by_conn.iter().all(|lent| lent == &[0; CLASSES]), "{:?}", ledger.by_conn);
        assert_eq!(ledger.lent(), 0);
    }
    drop(kept);
    assert_eq!(pool.missing(), 0);
}
