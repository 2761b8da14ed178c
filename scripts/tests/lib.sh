#!/usr/bin/env bash
# The arithmetic of scripts/lib.sh: sizes, core lists, masks, and the sizing table.
# shellcheck source-path=SCRIPTDIR source=harness.bash
source "$(dirname "$0")/harness.bash"
# shellcheck source-path=SCRIPTDIR source=../lib.sh
source "$ROOT/scripts/lib.sh"
set -euo pipefail

sizes() {
    expect_equal "$(parse_bytes 256M)" 268435456
    expect_equal "$(parse_bytes 2GiB)" 2147483648
    expect_equal "$(parse_bytes 4096)" 4096
    expect_equal "$(parse_bytes 2X || printf refused)" refused
    expect_equal "$(parse_bytes -1 || printf refused)" refused
    expect_equal "$(format_kb 2048), $(format_kb 1048576), $(format_kb 64)" "2 MiB, 1 GiB, 64 KiB"
    expect_equal "$(short_kb 2048) $(short_kb 1048576)" "2M 1G"
}

lists() {
    expect_equal "$(expand_list 5,0-2,08)" "0 1 2 5 8"
    expect_equal "$(expand_list 3-1 || printf refused)" refused
    expect_equal "$(expand_list 1-x || printf refused)" refused
    expect_equal "$(compress_list 0 1 2 5 7 8)" 0-2,5,7-8
    expect_equal "$(list_minus 0-3 1,2)" 0,3
    expect_equal "$(list_minus 0-3 0-3)" ""
    expect_equal "$(list_common 0-3 2,7)" 2
    expect_equal "$(list_length 0-3,9)" 5
}

masks() {
    expect_equal "$(mask_to_list 0x6)" 1-2
    expect_equal "$(mask_to_list F)" 0-3
    expect_equal "$(mask_to_list 2,00000001)" 0,33
    expect_equal "$(list_to_mask 0,33)" 2,00000001
    expect_equal "$(list_to_mask 64)" 1,00000000,00000000
    expect_equal "$(mask_to_list 0xz || printf refused)" refused
}

lcore_maps() {
    expect_equal "$(lcore_cpus 1-3,5@7 | paste -sd' ')" "1 2 3 7"
    expect_equal "$(lcore_cpus '(0-1)@(2,3), 4' | paste -sd' ')" "2 2 4"
    expect_equal "$(lcore_cpus '0@4-6' | paste -sd' ')" 4
    expect_equal "$(lcore_cpus nonsense)" ""
}

# The table of hugepages/README.md, line by line, against the constants of lib.sh.
sizing_table() {
    local readme=$ROOT/hugepages/README.md slots bytes total sum=0 rows=0 lcores mib
    while IFS='|' read -r _ _ slots bytes total _; do
        expect_equal "$((slots * (bytes + SLOT_METADATA_BYTES)))" "$((total))"
        sum=$((sum + total)) rows=$((rows + 1))
    done < <(grep -E '^\| [^|]*[a-z] \| [0-9]+ \| [0-9]+ \| [0-9]+ \|$' "$readme")
    expect_equal "$rows" 4
    expect_equal "$sum" "$(pool_bytes_per_lcore)"
    OUT=$(<"$readme")
    expect "| **sum** | | | **$sum** |"
    for lcores in 1 2 4 8 16; do
        mib=$((2 * $(pages_for_lcores "$lcores" 2048)))
        expect "| $lcores | $((mib / 2)) | $mib | $(pages_for_lcores "$lcores" 1048576) |"
    done
}

it "reads and writes sizes" sizes
it "reads and writes core lists" lists
it "reads and writes core masks" masks
it "counts the lcores of a core map" lcore_maps
it "computes what the sizing table says" sizing_table
done_testing
