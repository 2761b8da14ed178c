//! The sizing table of `hugepages/README.md` against the limits it is made from and the pools that
//! are really mapped (P-2). Operators reserve what it says.

use ringway::limits::{
    CACHE_SLOTS, LARGE_SLOT_BYTES, LARGE_SLOTS, RX_SLOTS, SMALL_SLOT_BYTES, SMALL_SLOTS,
    SMALL_SLOTS_IN_FLIGHT,
};
use ringway::mem::{ClassSize, Mempool};
use ringway::sys::mapping::Request;

const README: &str = include_str!("../hugepages/README.md");

/// The numbers in the row of the table that starts with `name`.
fn row(name: &str) -> Vec<u64> {
    let line = README.lines().find(|line| line.trim_start_matches("| ").starts_with(name));
    let line = line.unwrap_or_else(|| panic!("hugepages/README.md has no row `{name}`"));
    line.split('|').filter_map(|cell| cell.trim().trim_matches('*').parse().ok()).collect()
}

/// Bytes of `slots` with the count and the ring entry that each has.
fn with_overhead(slots: u64, slot_bytes: u32) -> u64 {
    slots * (u64::from(slot_bytes) + 8)
}

#[test]
fn each_holder_of_slots_has_the_row_that_the_limits_say_p_2() {
    let rows = [
        ("receive ring", u64::from(RX_SLOTS), SMALL_SLOT_BYTES),
        ("in flight", SMALL_SLOTS_IN_FLIGHT.into(), SMALL_SLOT_BYTES),
        ("per-lcore cache", CACHE_SLOTS as u64, SMALL_SLOT_BYTES),
        ("large slots", LARGE_SLOTS.into(), LARGE_SLOT_BYTES),
    ];
    let mut sum = 0;
    for (name, slots, slot_bytes) in rows {
        let bytes = with_overhead(slots, slot_bytes);
        assert_eq!(row(name), [slots, slot_bytes.into(), bytes], "{name}");
        sum += bytes;
    }
    assert_eq!(row("**sum**"), [sum]);
}

#[test]
fn the_pages_of_the_table_hold_the_pool_that_is_mapped_p_2() {
    for lcores in [1, 2, 4] {
        let sizes = [
            ClassSize { slot_bytes: SMALL_SLOT_BYTES, slots: lcores * SMALL_SLOTS },
            ClassSize { slot_bytes: LARGE_SLOT_BYTES, slots: lcores * LARGE_SLOTS },
        ];
        let request = Request { no_huge: true, ..Request::new("sizing", 0) };
        let pool = Mempool::create(&request, &sizes, None).unwrap();
        let pages = row(&format!("{lcores} |"))[1];
        assert!(pool.bytes() as u64 <= pages << 21, "{} bytes on {pages} pages", pool.bytes());
    }
}
