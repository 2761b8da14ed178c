# shellcheck shell=bash
# Shell functions that the scripts share: speaking, rights, numbers, cores, sizes, packages.
# Sourced, never run.

shopt -s inherit_errexit

# Where the kernel's files and our own records are; tests point them at a copy.
SYS=${RINGWAY_SYS:-/sys}
# shellcheck disable=SC2034  # used by the scripts that source this
PROC=${RINGWAY_PROC:-/proc}
STATE_DIR=${RINGWAY_STATE_DIR:-/run/ringway}

# ---- Speaking: what failed and on what, why, and the line that mends it --------------------------

# explain SEVERITY WHAT [WHY] [MEND]
explain() {
    printf '%s: %s%s\n' "$1" "$2" "${3:+: $3}" >&2
    [[ -z ${4:-} ]] || printf '  mend: %s\n' "$4" >&2
}

note() { printf '%s\n' "$*"; }
warn() { explain warning "$@"; }
fail() { explain error "$@"; }

die() {
    fail "$@"
    exit 1
}

# A wrong option: exit status 2, so that a caller can tell it from a refusal by the machine.
die_usage() {
    fail "$1" "${2:-}" "${0##*/} --help lists what there is"
    exit 2
}

# need_value OPTION COUNT_OF_WORDS_LEFT: refuses an option whose value is missing.
need_value() { (($2 >= 2)) || die_usage "cannot read $1" "its value is missing"; }

# Prints a file's leading comment block, without the #!, as the help text.
print_help() { sed -n '2,/^[^#]/{/^#/!q;s/^# \{0,1\}//;p}' "$1"; }

# ---- Rights --------------------------------------------------------------------------------------

is_root() { ((EUID == 0)); }

# May we become root without asking anyone?
can_sudo() { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }

may_root() { is_root || can_sudo; }

# Runs a command as root; only after may_root said yes.
as_root() { if is_root; then "$@"; else sudo -n "$@"; fi; }

# A command line as one would type it.
quoted() {
    local line
    line=$(printf '%q ' "$@")
    printf '%s' "${line% }"
}

# The same, with sudo before it where that is what is missing.
sudo_line() { if is_root; then quoted "$@"; else quoted sudo "$@"; fi; }

# Holds the lock on our records until the script ends.
lock_state() {
    if ! { mkdir -p "$STATE_DIR" && : >>"$STATE_DIR/lock"; } 2>/dev/null; then
        die "cannot keep a record in $STATE_DIR" "it cannot be written by uid $EUID" "$(sudo_line "$0" "$@")"
    fi
    exec 9>>"$STATE_DIR/lock"
    flock -w 30 9 || die "cannot lock $STATE_DIR/lock" "another run has held it for 30 seconds" \
        "wait for it, or see who it is: fuser -v $STATE_DIR/lock"
}

# ---- Bytes and pages -----------------------------------------------------------------------------

# parse_bytes 256M -> 268435456; K, M, G, T with or without iB; nothing printed when malformed.
parse_bytes() {
    [[ ${1^^} =~ ^([0-9]{1,12})([KMGT]?)(I?B)?$ ]] || return 1
    local unit=${BASH_REMATCH[2]} shift=0
    case $unit in K) shift=10 ;; M) shift=20 ;; G) shift=30 ;; T) shift=40 ;; esac
    printf '%d\n' $((10#${BASH_REMATCH[1]} << shift))
}

# format_kb 2048 -> 2 MiB
format_kb() {
    local n=$1 unit
    for unit in KiB MiB GiB; do
        if ((n < 1024 || n % 1024)) || [[ $unit == GiB ]]; then break; fi
        n=$((n / 1024))
    done
    printf '%d %s\n' "$n" "$unit"
}

# short_kb 2048 -> 2M, as mount options and MFD flags call it
short_kb() {
    local text
    text=$(format_kb "$1")
    printf '%s%s\n' "${text% *}" "${text:(-3):1}"
}

ceil_div() { printf '%d\n' $((($1 + $2 - 1) / $2)); }

# What one lcore's pools hold; the same sum stands in hugepages/README.md, line by line.
SMALL_SLOT_BYTES=2048
LARGE_SLOT_BYTES=16384
SLOT_METADATA_BYTES=8
SMALL_SLOTS_RX_RING=256
SMALL_SLOTS_IN_FLIGHT=6144
SMALL_SLOTS_CACHE=512
LARGE_SLOTS=256
SEGMENT_SPARE_BYTES=2097152

pool_bytes_per_lcore() {
    local small=$((SMALL_SLOTS_RX_RING + SMALL_SLOTS_IN_FLIGHT + SMALL_SLOTS_CACHE))
    printf '%d\n' $((small * (SMALL_SLOT_BYTES + SLOT_METADATA_BYTES) +
        LARGE_SLOTS * (LARGE_SLOT_BYTES + SLOT_METADATA_BYTES)))
}

# pages_for_lcores LCORES PAGE_KB: the pools, and what the segment's header and rounding take.
pages_for_lcores() {
    local bytes
    bytes=$(pool_bytes_per_lcore)
    ceil_div $(($1 * bytes + SEGMENT_SPARE_BYTES)) $(($2 * 1024))
}

# ---- Core lists and masks ------------------------------------------------------------------------

# expand_list 0-2,5 -> 0 1 2 5, ordered, each once; status 1 when malformed.
expand_list() {
    local entry from to core
    local -A seen=()
    for entry in ${1//,/ }; do
        [[ $entry =~ ^([0-9]{1,4})(-([0-9]{1,4}))?$ ]] || return 1
        from=$((10#${BASH_REMATCH[1]})) to=$((10#${BASH_REMATCH[3]:-${BASH_REMATCH[1]}}))
        ((from <= to)) || return 1
        for ((core = from; core <= to; core++)); do seen[$core]=1; done
    done
    ((${#seen[@]})) || return 0
    printf '%s\n' "${!seen[@]}" | sort -n | paste -sd' '
}

# compress_list 0 1 2 5 -> 0-2,5; the numbers come in order.
compress_list() {
    local out='' first='' last='' core
    for core in "$@" ''; do
        if [[ -n $core && -n $last ]] && ((core == last + 1)); then
            last=$core
            continue
        fi
        [[ -z $first ]] || out+=",$first"
        [[ $first == "$last" ]] || out+="-$last"
        first=$core last=$core
    done
    printf '%s\n' "${out#,}"
}

# list_minus 0-3 1,2 -> 0,3
list_minus() {
    local core kept=() all gone
    all=$(expand_list "$1") gone=" $(expand_list "$2") "
    for core in $all; do [[ $gone == *" $core "* ]] || kept+=("$core"); done
    compress_list "${kept[@]}"
}

# list_common 0-3 2,7 -> 2
list_common() { list_minus "$1" "$(list_minus "$1" "$2")"; }

list_length() {
    local cores
    read -ra cores <<<"$(expand_list "$1")"
    printf '%d\n' "${#cores[@]}"
}

# list_to_mask 0,33 -> 2,00000001: the kernel's notation, 32 bits a group, highest first.
list_to_mask() {
    local core words=() i out cores
    cores=$(expand_list "$1")
    for core in $cores; do
        words[core / 32]=$((${words[core / 32]:-0} | 1 << core % 32))
    done
    i=${#words[@]}
    for i in "${!words[@]}"; do :; done
    out=$(printf '%x' "${words[i]}")
    while ((i-- > 0)); do out+=$(printf ',%08x' "${words[i]:-0}"); done
    printf '%s\n' "$out"
}

# mask_to_list 0x6 -> 1-2; also the kernel's groups of 8 digits between commas.
mask_to_list() {
    local digits=${1#0[xX]} cores=() i bit
    digits=${digits//,/}
    [[ $digits =~ ^[0-9a-fA-F]+$ ]] || return 1
    for ((i = 0; i < ${#digits}; i++)); do
        for ((bit = 0; bit < 4; bit++)); do
            ((16#${digits:${#digits}-1-i:1} >> bit & 1)) && cores+=($((i * 4 + bit)))
        done
    done
    compress_list "${cores[@]}"
}

# lcore_cpus 1-3,5@7 -> one line per lcore with its (first) CPU. Tolerant: what is malformed counts
# as nothing, because refusing it is the program's business.
lcore_cpus() {
    local rest=${1//[[:space:]]/} lcores cpus lcore own pattern='^(\([^)]*\)|[^,@(]+)(@(\([^)]*\)|[^,(]+))?,?'
    while [[ $rest =~ $pattern ]]; do
        rest=${rest:${#BASH_REMATCH[0]}}
        lcores=${BASH_REMATCH[1]//[()]/} cpus=${BASH_REMATCH[3]//[()]/}
        lcores=$(expand_list "$lcores") || continue
        cpus=$(expand_list "${cpus:-}") || continue
        for lcore in $lcores; do
            own=${cpus%% *}
            printf '%s\n' "${own:-$lcore}"
        done
    done
}

# The node a CPU belongs to; 0 where the kernel knows no nodes.
node_of_cpu() {
    local dir
    for dir in "$SYS/devices/system/cpu/cpu$1"/node[0-9]*; do
        [[ -e $dir ]] && printf '%s\n' "${dir##*node}" && return
    done
    printf '0\n'
}

# What isolate-cores.sh has written down of one kind (cores, partition, ...), once; nothing without it.
ISOLATE_RECORD=$STATE_DIR/isolate.state
isolate_recorded() {
    [[ ! -r $ISOLATE_RECORD ]] || awk -F'\t' -v kind="$1" '$1 == kind { print $2; exit }' "$ISOLATE_RECORD"
}

# First line of a file, or nothing.
read_line() {
    local line=''
    { read -r line <"$1"; } 2>/dev/null || true
    printf '%s\n' "$line"
}

# ---- Packages and the tool chain -----------------------------------------------------------------

# shellcheck disable=SC2034
BUILD_PACKAGES=(build-essential pkg-config libhwloc-dev libudev-dev)

missing_packages() {
    local package
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            printf '%s\n' "$package"
    done
}

# need_packages [--dry-run] PACKAGE...: installs those that are missing, or says the line that does.
need_packages() {
    local dry_run='' missing install
    [[ $1 != --dry-run ]] || { dry_run=1 && shift; }
    if ! command -v dpkg-query >/dev/null; then
        warn "cannot check for $*" "this is no Debian" "install what these packages hold, if the build asks for it"
        return 0
    fi
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    install=(apt-get install --yes --no-install-recommends "${missing[@]}")
    if [[ -n $dry_run ]]; then
        note "would install: ${missing[*]}  ($(sudo_line "${install[@]}"))"
        return 0
    fi
    may_root || die "cannot build without ${missing[*]}" "they are not installed and uid $EUID may not install them" \
        "$(sudo_line "${install[@]}")"
    note "installing: ${missing[*]}"
    apt_install "${install[@]}" || die "cannot install ${missing[*]}" "apt-get failed, see above" \
        "apt-get update && $(sudo_line "${install[@]}")"
}

# A fresh machine has no package lists yet, so a failure is tried once more after fetching them.
apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive "$@" ||
        { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive "$@"; }
}

RUSTUP_LINE="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh   # then open a new shell"

# Puts a cargo that meets Cargo.toml's rust-version on PATH, or says how to get one.
need_cargo() {
    local manifest=$1/Cargo.toml wanted have mend=$RUSTUP_LINE
    command -v curl >/dev/null || mend="$(sudo_line apt-get install --yes curl ca-certificates) && $mend"
    command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    wanted=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$manifest")
    { command -v cargo && command -v rustc; } >/dev/null ||
        die "cannot build ringway" "there is no cargo and rustc on PATH (Rust $wanted or newer is needed)" "$mend"
    have=$(rustc --version | sed -n 's/^rustc \([0-9.]*\).*/\1/p')
    ! command -v rustup >/dev/null || mend="rustup update stable && rustup default stable"
    [[ $(printf '%s\n' "$wanted" "$have" | sort -V | head -n1) == "$wanted" ]] ||
        die "cannot build ringway with rustc ${have:-of unknown version}" "Cargo.toml asks for $wanted or newer" "$mend"
}
