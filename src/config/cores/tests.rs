use proptest::prelude::*;

use super::*;

fn list(text: &str) -> Vec<(u32, Vec<u32>)> {
    let map = CoreMap::parse_list(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    map.lcores().iter().map(|l| (l.lcore_id, l.cpus.clone())).collect()
}

#[test]
fn a_range_is_one_lcore_per_core_and_an_at_sign_maps_it_p_1() {
    assert_eq!(
        list("1-3,5@7,(8-9)@(2,3)"),
        [(1, vec![1]), (2, vec![2]), (3, vec![3]), (5, vec![7]), (8, vec![2, 3]), (9, vec![2, 3])]
    );
}

/// The example in DPDK's own documentation of `--lcores`.
#[test]
fn the_example_of_dpdk_gives_the_map_dpdk_gives() {
    assert_eq!(
        list("1,2@(5-7),(3-5)@(0,2),(0,6),7-8"),
        [
            (0, vec![0, 6]),
            (1, vec![1]),
            (2, vec![5, 6, 7]),
            (3, vec![0, 2]),
            (4, vec![0, 2]),
            (5, vec![0, 2]),
            (6, vec![0, 6]),
            (7, vec![7]),
            (8, vec![8])
        ]
    );
}

#[test]
fn blanks_are_ignored_and_lcores_come_in_order() {
    assert_eq!(list(" 3 , 1 @ ( 4 - 5 , 7 ) "), [(1, vec![4, 5, 7]), (3, vec![3])]);
    assert_eq!(list("0@1-2"), [(0, vec![1, 2])]);
}

#[test]
fn a_mask_selects_the_cores_of_its_bits() {
    for (mask, cores) in
        [("0x6", "1-2"), ("6", "1,2"), ("0X8000000000000001", "0,63"), ("00f", "0-3")]
    {
        assert_eq!(
            CoreMap::parse_mask(mask).unwrap(),
            CoreMap::parse_list(cores).unwrap(),
            "{mask}"
        );
    }
}

#[test]
fn a_list_that_cannot_be_meant_is_refused_with_the_reason() {
    for (text, reason) in [
        ("", "empty"),
        ("1,", "ends where a number"),
        (",1", "',' stands"),
        ("1-", "ends where a number"),
        ("3-1", "3-1 is reversed"),
        ("1,1", "lcore 1 is named twice"),
        ("1-3,2@0", "lcore 2 is named twice"),
        ("0@(1,1)", "core 1 is named twice"),
        ("64", "lcore numbers end at 63"),
        ("0-4294967296", "lcore numbers end at 63"),
        ("0@1024", "core numbers end at 1023"),
        ("1-3@7", "parentheses"),
        ("(1-3", "ends where `)`"),
        ("()", "')' stands"),
        ("1@", "ends where a number"),
        ("1@2@3", "'@' stands where `,`"),
        ("0x3", "'x' stands where `,`"),
        ("-1", "'-' stands"),
        ("1 2", "'2' stands where `,`"),
    ] {
        let error = CoreMap::parse_list(text).expect_err(text).to_string();
        assert!(error.contains(reason), "{text:?}: {error}");
    }
}

#[test]
fn a_mask_that_cannot_be_meant_is_refused_with_the_reason() {
    for (text, reason) in [
        ("", "empty"),
        ("0x", "empty"),
        ("0", "selects no core"),
        ("0xg", "'g' is not a hexadecimal digit"),
        ("1-3", "'-' is not a hexadecimal digit"),
        ("0x10000000000000000", "end at 63"),
    ] {
        let error = CoreMap::parse_mask(text).expect_err(text).to_string();
        assert!(error.contains(reason), "{text:?}: {error}");
    }
}

#[test]
fn a_core_the_machine_lacks_is_refused_naming_what_it_has() {
    let map = CoreMap::parse_list("0,5@7").unwrap();
    let error = map.check(&[0, 1], &[0, 1]).unwrap_err().to_string();
    assert!(
        error.contains("lcore 5 on core 7") && error.contains("this machine has cores 0-1"),
        "{error}"
    );
}

#[test]
fn a_core_outside_the_allowed_set_is_refused_naming_both_sets() {
    let map = CoreMap::parse_list("0,2").unwrap();
    let error = map.check(&[0, 1, 2, 3], &[0]).unwrap_err().to_string();
    assert!(error.contains("cores 0-3") && error.contains("core 0 alone"), "{error}");
    assert!(map.check(&[0, 1, 2, 3], &[0, 2]).is_ok());
}

#[test]
fn cores_are_written_as_ranges() {
    for (cpus, text) in
        [(vec![], ""), (vec![0], "0"), (vec![0, 1, 2, 8], "0-2,8"), (vec![1, 3], "1,3")]
    {
        assert_eq!(format_cpus(&cpus), text);
    }
}

proptest! {
    #[test]
    fn a_list_and_a_mask_of_the_same_cores_agree(mask in 1u64..) {
        let cores: Vec<u32> = (0..64).filter(|bit| mask >> bit & 1 == 1).collect();
        let from_list = CoreMap::parse_list(&format_cpus(&cores)).unwrap();
        prop_assert_eq!(&from_list, &CoreMap::parse_mask(&format!("{mask:#x}")).unwrap());
        prop_assert_eq!(from_list.cpus(), cores);
    }

    #[test]
    fn a_printed_map_reads_back_as_itself(
        entries in proptest::collection::btree_map(
            0..LCORES_MAX as u32,
            proptest::collection::btree_set(0..CPUS_MAX as u32, 1..5),
            1..9,
        )
    ) {
        let map = CoreMap::from_entries(entries);
        prop_assert_eq!(CoreMap::parse_list(&map.to_string()).unwrap(), map);
    }

    #[test]
    fn no_string_panics_either_parser(text in ".*", near in "[-0-9a-fx@(), ]{0,24}") {
        for text in [text, near] {
            let _ = CoreMap::parse_list(&text);
            let _ = CoreMap::parse_mask(&text);
        }
    }
}
