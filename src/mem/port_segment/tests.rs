//! What a process that attaches makes of the memory it is handed, whatever is in it.

use std::os::fd::AsFd;

use super::*;

const CLASSES: [ClassSize; 2] =
    [ClassSize { slot_bytes: 2048, slots: 16 }, ClassSize { slot_bytes: 16384, slots: 4 }];

fn segment(trust: Trust, queues: usize) -> PortSegment {
    let classes = if trust == Trust::Isolated { &CLASSES[..] } else { &[] };
    PortSegment::create("ringway-test-segment", trust, queues, classes).unwrap()
}

/// Why a segment is refused whose header was changed like this.
fn refusal(change: impl FnOnce(&mut PortHeader)) -> String {
    let segment = segment(Trust::Isolated, 2);
    let mut header = *segment.header();
    change(&mut header);
    // SAFETY: the segment begins with its header, and nobody else has it.
    unsafe { segment.base().cast::<PortHeader>().write(header) };
    let fd = segment.try_clone_fd().unwrap();
    PortSegment::open(fd.as_fd()).err().expect("it must be refused").to_string()
}

#[test]
fn what_was_made_can_be_opened_and_is_the_same() {
    for trust in [Trust::Shared, Trust::Isolated] {
        for queues in [1, 3, LCORES_MAX] {
            let made = segment(trust, queues);
            let opened = PortSegment::open(made.try_clone_fd().unwrap().as_fd()).unwrap();
            assert_eq!(opened.header(), made.header());
            assert!(opened.is_open());
            made.set_open(false);
            assert!(!opened.is_open());
            assert!(opened.try_clone_fd().is_err(), "it is not this process's to hand on");
        }
    }
}

#[test]
fn memory_that_is_no_port_is_refused() {
    let short = tempfile::tempfile().unwrap();
    short.set_len(PAGE as u64 - 1).unwrap();
    let refused = PortSegment::open(short.as_fd()).err().unwrap().to_string();
    assert!(refused.contains("shorter than a page"), "{refused}");
    let empty = tempfile::tempfile().unwrap();
    assert!(PortSegment::open(empty.as_fd()).is_err());
    let zeroes = tempfile::tempfile().unwrap();
    zeroes.set_len(1 << 20).unwrap();
    let refused = PortSegment::open(zeroes.as_fd()).err().unwrap().to_string();
    assert!(refused.contains("does not begin as one"), "{refused}");
}

#[test]
fn a_header_that_lies_is_refused_with_what_is_wrong() {
    let page = PAGE as u64;
    assert!(refusal(|h| h.magic += 1).contains("does not begin as one"));
    let version = refusal(|h| h.version = 7);
    assert!(version.contains("version 7, and 1 is known"), "{version}");
    for word in [0, 3, u32::MAX] {
        assert!(refusal(|h| h.trust = word).contains("trust"));
    }
    for slots in [0, 3, 1000, 1 << 31 | 1] {
        assert!(refusal(|h| h.ring_slots = slots).contains("no legal size"), "{slots}");
    }
    for queues in [0, LCORES_MAX as u32 + 1, u32::MAX] {
        assert!(refusal(|h| h.queue_count = queues).contains("queues"));
    }
    assert!(refusal(|h| h.class_count = CLASSES_MAX as u32 + 1).contains("classes"));
    for bytes in [0, SLOT_BYTES_MIN as u32 - 1, SLOT_BYTES_MAX as u32 + 1, u32::MAX] {
        assert!(refusal(|h| h.classes[0].slot_bytes = bytes).contains("classes"), "{bytes}");
    }
    assert!(refusal(|h| h.classes[0].slot_count = 0).contains("classes"));
    assert!(refusal(|h| h.classes[0].slots = 0).contains("overlap"), "over the rings");
    assert!(refusal(|h| h.classes[1].slots -= 1).contains("overlap"), "over the first class");
    for count in [17, u32::MAX] {
        assert!(refusal(|h| h.classes[0].slot_count = count).contains("overlap"), "{count}");
        assert!(refusal(|h| h.classes[1].slot_count = count).contains("do not fit"), "{count}");
    }
    for offset in [u64::MAX, u64::MAX - page, 1 << 40] {
        assert!(refusal(|h| h.classes[1].slots = offset).contains("do not fit"), "{offset}");
    }
    for first in [0, 2 * page, u64::MAX] {
        assert!(refusal(|h| h.first_queue = first).contains("do not fit"), "{first}");
    }
    for bytes in [0, 1, 3 * page, u64::MAX, u64::MAX / 2 + 1] {
        assert!(refusal(|h| h.queue_bytes = bytes).contains("do not fit"), "{bytes}");
    }
    assert!(refusal(|h| h.queue_bytes += 1).contains("do not fit"));
    assert!(refusal(|h| h.bytes -= 1).contains("do not fit"));
    // Consistent in itself, and longer than what came along.
    let long = refusal(|h| {
        h.queue_count = 3;
        h.bytes = page + 3 * h.queue_bytes;
    });
    assert!(long.contains("bytes, and says"), "{long}");
}

#[test]
fn rings_that_are_not_what_the_header_says_are_refused() {
    use crate::sync::AtomicU32;
    let made = segment(Trust::Isolated, 1);
    let opened = Arc::new(PortSegment::open(made.try_clone_fd().unwrap().as_fd()).unwrap());
    let ends = || {
        let event = || Doorbell::event().unwrap();
        opened.ends(0, Side::Secondary, event(), event())
    };
    assert!(ends().is_ok());
    let [down, up] = made.ring_offsets(0);
    for ring in [down, up] {
        for (offset, word) in [(0, 1), (4, 2048), (4, 3), (8, 16), (128, 5000)] {
            // SAFETY: a word of the ring's control block, in the mapping and aligned.
            let place = unsafe { made.at(ring + offset).cast::<AtomicU32>().as_ref() };
            let before = place.swap(word, Ordering::Relaxed);
            assert!(ends().is_err(), "{word} at {offset}");
            place.store(before, Ordering::Relaxed);
        }
    }
    assert!(ends().is_ok());
}

#[test]
fn ranges_outside_of_a_slot_do_not_exist() {
    let segment = segment(Trust::Isolated, 2);
    let range = |queue, class, slot, start, len| {
        segment.slot_range(queue, class, slot, start, len).is_some()
    };
    assert!(range(1, 0, 15, 0, 2048) && range(1, 1, 3, 16383, 1) && range(0, 0, 0, 2048, 0));
    assert!(!range(0, 0, 16, 0, 1) && !range(0, 2, 0, 0, 1) && !range(0, 0, u32::MAX, 0, 0));
    assert!(!range(0, 0, 0, 0, 2049) && !range(0, 0, 0, 2048, 1) && !range(0, 0, 0, 2049, 0));
    assert!(!range(0, 0, 0, usize::MAX, 1) && !range(0, 0, 0, 1, usize::MAX));
    segment.write_slot(1, 1, 3, &[7; 16384]);
    let mut back = [0; 16384];
    segment.read_slot(1, 1, 3, 0, &mut back);
    assert_eq!(back, [7; 16384]);
    let mut other = [0; 16384];
    segment.read_slot(0, 1, 3, 0, &mut other);
    assert_eq!(other, [0; 16384], "a slot of another queue");
}

#[test]
fn the_layout_is_the_one_that_is_written_down() {
    // docs/MEMORY.md, for those who attach without this library.
    let sizes =
        [ClassSize { slot_bytes: 2048, slots: 448 }, ClassSize { slot_bytes: 16384, slots: 40 }];
    let header = layout(Trust::Isolated, 1, &sizes);
    assert_eq!((header.first_queue, header.queue_bytes), (4096, 1_642_496));
    assert_eq!((header.classes[0].slots, header.classes[1].slots), (69_632, 987_136));
    assert_eq!(layout(Trust::Shared, 1, &[]).queue_bytes, 69_632);
    assert_eq!(ring_bytes(PORT_RING_SLOTS), Some(33_152));
    let offsets = [
        std::mem::offset_of!(PortHeader, bytes),
        std::mem::offset_of!(PortHeader, first_queue),
        std::mem::offset_of!(PortHeader, class_count),
        std::mem::offset_of!(PortHeader, classes),
    ];
    assert_eq!(offsets, [16, 32, 48, 56]);
    let offsets = [
        std::mem::offset_of!(Descriptor, message),
        std::mem::offset_of!(Descriptor, slot),
        std::mem::offset_of!(Descriptor, loan),
        std::mem::offset_of!(Descriptor, tag),
    ];
    assert_eq!(offsets, [8, 12, 24, 28]);
}
