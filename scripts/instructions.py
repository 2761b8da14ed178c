#!/usr/bin/env python3
"""Prints where the user-space instructions of one request or message go, from two callgrind profiles of
benches/instructions.rs: one of N requests, one of 2 N. What start and end cost is in both, so it goes
with the difference. scripts/bench.sh instructions runs it.

usage: scripts/instructions.py BINARY PROFILE_OF_N PROFILE_OF_2N N [ROWS]
"""
import re
import subprocess
import sys
from collections import Counter

# Stages by the functions that begin them; a part belongs to the stage above it.
STAGES = [
    ("transport", r"<(instructions::Memory|ringway::transport::tcp::Tcp) as .*Transport>::"),
    ("chain, ingress", r"<instructions::Seen as .*>::ingress$"),
    ("of it, decode_head", r"::decode_head$"),
    ("handler", r"<ringway::handler::http::Http<.*> as .*Handler>::process$"),
    ("of it, the service", r"::support::hello$"),
    ("of it, encode_head", r"::encode_head$"),
    ("chain, egress", r"<instructions::Seen as .*>::egress$"),
]
WHOLE = r"^instructions::serve_(memory|tcp)$"


class Profile:
    """Costs by function, with what it calls and by itself, and by address of the binary."""

    def __init__(self, path, binary):
        self.inclusive, self.own, self.addresses = Counter(), Counter(), Counter()
        self.names = {"fn": {}, "ob": {}}
        self.binary = binary
        with open(path, encoding="utf-8") as lines:
            self.read(lines)

    def name(self, kind, text):
        number, _, name = text.partition(" ")
        if name:
            self.names[kind][number] = name
        return self.names[kind].get(number, text)

    def read(self, lines):
        function = place = object_ = ""
        address, called, callee = 0, False, ""
        for line in lines:
            key, equals, value = line.rstrip("\n").partition("=")
            if equals and key in ("fn", "cfn", "ob", "cob", "calls"):
                if key == "fn":
                    function = self.name("fn", value)
                elif key == "cfn":
                    callee = self.name("fn", value)
                elif key == "ob":
                    object_ = self.name("ob", value)
                elif key == "cob":
                    self.name("ob", value)
                else:
                    called = True
                continue
            if not re.match(r"(0x|\+|-|\*)", line):
                continue
            place, _, cost = line.split()
            if place.startswith("0x"):
                address = int(place, 16)
            elif place != "*":
                address += int(place)
            if called:
                # A recursive call is in the cost of the first already.
                if callee != function:
                    self.inclusive[function] += int(cost)
                called = False
            else:
                self.inclusive[function] += int(cost)
                self.own[function] += int(cost)
                if object_ == self.binary:
                    self.addresses[address] += int(cost)


def difference(more, less):
    return {key: more[key] - less.get(key, 0) for key in more if more[key] != less.get(key, 0)}


def frames(binary, addresses):
    """For each address the function and file of the innermost inlined frame that is ringway's."""
    query = "".join(f"{address:#x}\n" for address in addresses)
    command = ["addr2line", "-a", "-f", "-i", "-C", "-e", binary]
    text = subprocess.run(command, input=query, capture_output=True, text=True, check=True).stdout
    found, lines = {}, iter(text.splitlines())
    address, outermost = 0, None
    for line in lines:
        if re.match(r"0x[0-9a-f]+$", line):
            address = int(line, 16)
            continue
        function, file = line, next(lines).rpartition(":")[0]
        own = re.search(r"(src|benches)/(?!.*\.\./)[^ ]*$", file)
        if own and "/rustc/" not in file and "/registry/" not in file:
            found.setdefault(address, (plain(function), own.group(0)))
        outermost = (plain(function), "std and crates")
        found.setdefault(("outermost", address), outermost)
        found[("outermost", address)] = outermost
    return lambda address: found.get(address) or found.get(("outermost", address), ("?", "?"))


def plain(function):
    """Without the hash, and what a generic function was made for."""
    return re.sub(r"<(fn\(|ringway::mem::buf::Buf, ).*>$", "", re.sub(r"::h[0-9a-f]{16}$", "", function))


def stages(costs, count):
    """Rows of the table by stage."""
    def sum_of(pattern):
        return sum(c for name, c in costs.items() if re.search(pattern, name)) / count

    whole = sum_of(WHOLE)
    rows = [(name, sum_of(pattern)) for name, pattern in STAGES]
    loop = whole - sum(cost for name, cost in rows if not name.startswith("of it"))
    rows.append(("loop and listener", loop))
    rows += [("all", whole), ("all but the transport", whole - rows[0][1])]
    return rows


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    binary, requests = sys.argv[1], int(sys.argv[4])
    shown = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    less, more = (Profile(path, binary) for path in sys.argv[2:4])
    print("| stage | instructions |\n|---|---|")
    for name, cost in stages(difference(more.inclusive, less.inclusive), requests):
        print(f"| {name} | {f'{cost:.1f}' if cost else 'inlined'} |")
    if shown:
        functions(binary, difference(more.addresses, less.addresses),
                  difference(more.own, less.own), requests, shown)


def functions(binary, addresses, own, requests, shown):
    """What each function of ringway costs by itself, wherever it was inlined; std and crates count
    for the function that they were inlined into."""
    where = frames(binary, addresses)
    by_function = Counter()
    for address, cost in addresses.items():
        by_function[where(address)] += cost
    foreign = sum(own.values()) - sum(addresses.values())
    by_function[("other objects (libc)", "")] += foreign
    print("\n| function | file | by itself |\n|---|---|---|")
    # The clients of a run over TCP share the thread; libc has their part too.
    own_code = [row for row in by_function.most_common() if "::over_tcp" not in row[0][0]]
    for (function, file), cost in own_code[:shown]:
        print(f"| `{function}` | {file} | {cost / requests:.1f} |")


if __name__ == "__main__":
    main()
