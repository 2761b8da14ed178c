//! The pool against a simple account of who owns what.

use std::thread;

use proptest::prelude::*;

use super::mempool::check_sizes;
use super::*;
use crate::limits::{BURST_MAX, CACHE_SLOTS, CLASS_BYTES_MAX, CLASS_SLOTS_MAX, SLOT_BYTES_MAX};

#[test]
fn every_slot_can_be_had_once_and_then_none() {
    let pool = Mempool::small(100).unwrap();
    let bufs: Vec<Buf> = std::iter::from_fn(|| pool.alloc(2048)).collect();
    assert_eq!(bufs.len(), 100);
    assert_eq!((pool.missing(), pool.stats(0).unwrap().exhausted), (100, 1));
    drop(bufs);
    let stats = pool.stats(0).unwrap();
    assert_eq!((pool.missing(), stats.allocated, stats.freed), (0, 100, 100));
}

#[test]
fn the_smallest_class_that_fits_serves_and_too_large_is_refused() {
    let pool = Mempool::small(4).unwrap();
    assert_eq!(pool.alloc(2048).unwrap().capacity(), 2048);
    assert_eq!(pool.alloc(2049).unwrap().capacity(), 16384);
    assert!(pool.alloc(16385).is_none());
}

#[test]
fn a_slot_freed_last_is_allocated_first() {
    let _claim = CacheClaim::register();
    let pool = Mempool::small(100).unwrap();
    let mut a = pool.alloc(1).unwrap();
    assert!(a.append(b"mark"));
    let address = a.bytes().as_ptr();
    drop(a);
    assert_eq!(pool.alloc(1).unwrap().bytes().as_ptr(), address);
}

#[test]
fn sub_ranges_share_the_slot_until_the_last_is_dropped() {
    let pool = Mempool::small(1).unwrap();
    let mut whole = pool.alloc(16).unwrap();
    assert!(whole.append(b"head:body"));
    let body = whole.slice(5, 9);
    assert!(whole.bytes_mut().is_none(), "a shared slot cannot be written to");
    assert!(!whole.append(b"x"));
    let head = whole.split_to(5);
    drop(whole);
    assert_eq!((head.bytes(), body.bytes()), (&b"head:"[..], &b"body"[..]));
    drop(head);
    assert!(pool.alloc(1).is_none(), "the body still owns the slot");
    let mut body = body;
    body.bytes_mut().unwrap()[0] = b'B';
    assert_eq!(&*body, b"Body");
    drop(body);
    assert_eq!(pool.missing(), 0);
}

#[test]
fn a_buf_takes_as_many_bytes_as_its_slot_and_not_one_more() {
    let pool = Mempool::small(1).unwrap();
    let mut buf = pool.alloc(1).unwrap();
    assert!(buf.append(&[1; 2048]));
    assert!(!buf.append(&[1]));
    assert_eq!((buf.len(), buf.tailroom()), (2048, 0));
}

#[test]
fn the_largest_slot_is_reached_to_its_last_byte() {
    let request = crate::sys::mapping::Request::new("test", 0);
    let size = ClassSize { slot_bytes: SLOT_BYTES_MAX as u32, slots: 2 };
    let pool = Mempool::create(&request, &[size], None).unwrap();
    assert!(pool.alloc(SLOT_BYTES_MAX + 1).is_none());
    let mut bufs = [1u8, 2].map(|byte| {
        let mut buf = pool.alloc(SLOT_BYTES_MAX).unwrap();
        assert!(buf.append(&vec![byte; SLOT_BYTES_MAX]) && !buf.append(&[3]));
        buf.truncate(SLOT_BYTES_MAX + 1);
        assert_eq!((buf.len(), buf.tailroom()), (SLOT_BYTES_MAX, 0));
        buf
    });
    for (buf, byte) in bufs.iter_mut().zip([1u8, 2]) {
        let last = buf.slice(SLOT_BYTES_MAX - 1, SLOT_BYTES_MAX);
        let none = buf.slice(SLOT_BYTES_MAX, SLOT_BYTES_MAX);
        let whole = buf.split_to(SLOT_BYTES_MAX);
        assert_eq!((last.bytes(), none.len(), buf.len()), (&[byte][..], 0, 0));
        assert!(whole.iter().all(|&b| b == byte), "no slot reaches into the next");
    }
    drop(bufs);
    assert_eq!(pool.missing(), 0);
}

#[test]
fn one_that_was_read_to_its_end_can_be_filled_anew() {
    let pool = Mempool::small(2).unwrap();
    let mut buf = pool.alloc(1).unwrap();
    assert!(buf.append(&[1; 2048]));
    buf.advance(2047);
    assert_eq!((buf.len(), buf.tailroom()), (1, 0));
    buf.advance(1);
    assert_eq!((buf.len(), buf.tailroom()), (0, 1));
    assert!(buf.append(&[2]) && !buf.append(&[3]));
    assert_eq!(&*buf, [2]);
}

#[test]
fn sub_ranges_carry_the_message_that_they_are_of() {
    let pool = Mempool::small(1).unwrap();
    let mut whole = pool.alloc(16).unwrap();
    assert!(whole.message().is_none() && whole.append(b"head:body"));
    whole.set_message(MessageId::first(7));
    let head = whole.split_to(5);
    assert_eq!(head.message(), MessageId::first(7));
    whole.set_message(MessageId::first(7).next());
    assert_eq!(whole.slice(0, 1).message(), MessageId::first(7).next());
    assert_eq!(head.message(), MessageId::first(7), "the rest may be the next message's");
}

#[test]
#[should_panic(expected = "grow past its slot")]
fn growing_past_the_slot_is_a_bug() {
    let pool = Mempool::small(1).unwrap();
    pool.alloc(1).unwrap().grow(2049);
}

#[test]
fn a_marker_has_no_slot() {
    let conn = ConnId::new(3, 77, 5);
    let marker = Buf::marker(conn, kind::EOF);
    assert_eq!((marker.conn(), marker.kind(), marker.len(), marker.capacity()), (conn, 2, 0, 0));
    assert_eq!((conn.lcore(), conn.slot(), conn.generation()), (3, 77, 5));
    assert!(marker.slice(0, 0).is_empty());
}

#[test]
fn bursts_are_allocated_and_freed_together_across_classes() {
    let _claim = CacheClaim::register();
    let pool = Mempool::small(1000).unwrap();
    let mut burst = Burst::new();
    assert_eq!(pool.alloc_burst(100, 32, &mut burst), 32);
    assert_eq!(pool.alloc_burst(10_000, 32, &mut burst), 8, "the class has 8 slots");
    assert_eq!(pool.alloc_burst(100, 100, &mut burst), BURST_MAX - 40, "as many as fit");
    Mempool::free_burst(&mut burst);
    assert!(burst.is_empty());
    assert_eq!(pool.missing(), 0);
}

#[test]
fn a_cache_that_overflows_gives_slots_back_to_all() {
    let pool = Mempool::small(4 * CACHE_SLOTS as u32).unwrap();
    let bufs: Vec<Buf> = std::iter::from_fn(|| pool.alloc(1)).collect();
    thread::scope(|scope| {
        scope.spawn(move || {
            let _claim = CacheClaim::register().unwrap();
            drop(bufs);
        });
    });
    // This thread has no cache: what it can get came back through the free ring.
    let reachable: Vec<Buf> = std::iter::from_fn(|| pool.alloc(1)).collect();
    assert!(reachable.len() >= 7 * CACHE_SLOTS / 2, "{}", reachable.len());
    drop(reachable);
    assert_eq!(pool.missing(), 0);
}

#[test]
fn bufs_allocated_here_and_dropped_there_are_all_accounted_for() {
    let pool = Mempool::small(512).unwrap();
    let (mut producer, mut consumer) = crate::ring::spsc::ring::<Buf>(64);
    let total = 50_000;
    thread::scope(|scope| {
        let pool = &pool;
        scope.spawn(move || {
            let _claim = CacheClaim::register();
            let mut sent = 0u32;
            while sent < total {
                let Some(mut buf) = pool.alloc(4) else {
                    thread::yield_now();
                    continue;
                };
                assert!(buf.append(&sent.to_le_bytes()));
                while let Err(back) = producer.enqueue(buf) {
                    buf = back;
                    thread::yield_now();
                }
                sent += 1;
            }
        });
        scope.spawn(move || {
            let _claim = CacheClaim::register();
            let mut seen = 0u32;
            while seen < total {
                let Some(buf) = consumer.dequeue() else {
                    thread::yield_now();
                    continue;
                };
                assert_eq!(buf.bytes(), seen.to_le_bytes());
                seen += 1;
            }
        });
    });
    assert_eq!(pool.missing(), 0);
}

#[test]
fn a_pool_dropped_before_its_bufs_leaves_their_memory_mapped() {
    let pool = Mempool::small(2).unwrap();
    let mut buf = pool.alloc(1).unwrap();
    assert!(buf.append(b"alive"));
    drop(pool);
    assert_eq!(buf.bytes(), b"alive");
}

#[test]
fn sizes_that_make_no_sense_are_refused_with_the_remedy() {
    let size = |slot_bytes, slots| ClassSize { slot_bytes, slots };
    for sizes in [
        vec![],
        vec![size(1000, 1)],
        vec![size(64, 1)],
        vec![size(2 * SLOT_BYTES_MAX as u32, 1)],
        vec![size(2048, 0)],
        vec![size(4096, 1), size(2048, 1)],
        vec![size(2048, 1); 5],
    ] {
        let request = crate::sys::mapping::Request::new("test", 0);
        let error = Mempool::create(&request, &sizes, None).unwrap_err();
        assert!(error.remedy().contains("[mempool]"), "{error}");
    }
}

#[test]
fn a_class_has_as_many_slots_as_a_buf_can_name_and_not_one_more() {
    for slot_bytes in [128, 2048, SLOT_BYTES_MAX as u32] {
        let most = (CLASS_BYTES_MAX / u64::from(slot_bytes)).min(CLASS_SLOTS_MAX.into()) as u32;
        assert!(check_sizes(&[ClassSize { slot_bytes, slots: most }]).is_ok());
        let error = check_sizes(&[ClassSize { slot_bytes, slots: most + 1 }]).unwrap_err();
        assert!(error.to_string().contains("slots of"), "{error}");
    }
}

proptest! {
    #[test]
    fn bytes_stay_with_their_owner_whatever_is_split_sliced_and_dropped(
        ops in prop::collection::vec((0u8..5, any::<u16>()), 1..300)
    ) {
        let pool = Mempool::small(16).unwrap();
        let mut owned: Vec<(Buf, Vec<u8>)> = Vec::new();
        for (op, value) in ops {
            let pick = usize::from(value) % owned.len().max(1);
            match op {
                0 => if let Some(mut buf) = pool.alloc(64) {
                    let bytes: Vec<u8> = (0..value % 64).map(|i| (i ^ value) as u8).collect();
                    prop_assert!(buf.append(&bytes));
                    owned.push((buf, bytes));
                },
                1 if !owned.is_empty() => drop(owned.swap_remove(pick)),
                2 if !owned.is_empty() => {
                    let (buf, bytes) = &mut owned[pick];
                    let at = usize::from(value) % (bytes.len() + 1);
                    let front = buf.split_to(at);
                    let rest = bytes.split_off(at);
                    let front_bytes = std::mem::replace(bytes, rest);
                    owned.push((front, front_bytes));
                }
                3 if !owned.is_empty() => {
                    let (buf, bytes) = &owned[pick];
                    let at = usize::from(value) % (bytes.len() + 1);
                    owned.push((buf.slice(at, bytes.len()), bytes[at..].to_vec()));
                }
                4 if !owned.is_empty() => {
                    let (buf, bytes) = &mut owned[pick];
                    if let Some(target) = buf.bytes_mut() {
                        target.fill(value as u8);
                        bytes.fill(value as u8);
                    }
                }
                _ => {}
            }
            for (buf, bytes) in &owned {
                prop_assert_eq!(buf.bytes(), &bytes[..]);
            }
        }
        drop(owned);
        prop_assert_eq!(pool.missing(), 0);
    }
}
