#!/usr/bin/env python3
"""Shows that the loom models bite: weakens every ordering of the lock-free code, one at a time, and
runs them.

usage: scripts/weaken.py [FILE ...]     (default: every file with an ordering, and the steps)
       scripts/weaken.py steps          (the steps alone)

Each Acquire and Release becomes Relaxed, each AcqRel loses one half at a time, each fence is
removed; then what both ends of a ring share is weakened for one end alone, and the protocols whose
order of steps matters lose or swap one (STEPS). Works on a copy of the tree under target/weaken.
Prints one table row per weakening; exits with 1 if some weakening is caught by no model
(docs/CONCURRENCY.md argues each of those).
"""
import os, re, shutil, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "weaken"
# File: the models that are run for it (a filter on their names; empty: all).
FILES = {
    "src/ring/spsc/end.rs": "spsc",
    "src/ring/mpmc.rs": "",
    "src/ring/doorbell.rs": "",
    "src/ring/handoff.rs": "offload::",
    "src/offload/queues.rs": "offload::",
    "src/mem/slots.rs": "slots::",
    "src/mem/index_set.rs": "slots::",
}
# What else must be caught: file, models, function, line, what it becomes, in words.
STEPS = [
    *[("src/ring/spsc/end.rs", "spsc", f"End::{function} of the {end}", line,
       line.replace(strong, f"if {side} {{ Ordering::Relaxed }} else {{ {strong} }}"), "Relaxed")
      for function, line, strong in [
          ("refresh", "self.words().1.load(Ordering::Acquire)", "Ordering::Acquire"),
          ("publish", "self.words().0.store(self.index, Ordering::Release)", "Ordering::Release")]
      for end, side in [("producer", "FILLS"), ("consumer", "!FILLS")]],
    ("src/mem/slots.rs", "slots::", "SlotTable::spill",
     "            cache.len.store(left as u32, Ordering::Relaxed);\n", "", "removed"),
    ("src/mem/slots.rs", "slots::", "SlotTable::unshare",
     "        count.store(1, Ordering::Relaxed);\n", "", "removed"),
    ("src/mailbox.rs", "mailbox::", "Sender::post",
     "        self.shared.ring.enqueue(mail)?;\n        self.shared.bell.ring();\n",
     "        self.shared.bell.ring();\n        self.shared.ring.enqueue(mail)?;\n", "swapped"),
    ("src/mailbox.rs", "mailbox::", "Mailbox::sleep_unless_mail",
     "sleep_unless(|| !self.shared.ring.is_empty())", "sleep_unless(|| false)", "does not look"),
    ("src/mailbox.rs", "mailbox::", "Mailbox::awake",
     "        self.shared.bell.awake();\n", "", "removed"),
    ("src/offload/queues.rs", "offload::", "Queues::push",
     "        lane.ring.enqueue(job)?;\n        lane.bell.ring();\n",
     "        lane.bell.ring();\n        lane.ring.enqueue(job)?;\n", "swapped"),
    ("src/offload/queues.rs", "offload::", "Queues::take",
     "if self.lanes.len() > 1 && !self.shared.is_empty() {", "if false {", "wakes no other"),
    ("src/offload/queues.rs", "offload::", "Queues::wait",
     "|| !self.shared.is_empty() || stopped()", "|| stopped()", "does not look at the shared ring"),
]


def places(path):
    """(line number, enclosing item, line, weakened line, in words) of every ordering in the file."""
    block = function = ""
    for number, line in enumerate(path.read_text().splitlines()):
        if found := re.match(r"impl(?:<[^>]*(?:<.*>)?[^>]*>)? (?:\w+ for )?(\w+)", line):
            block = found[1] + "::"
        if found := re.search(r"\bfn (\w+)", line):
            function = (block if line.startswith(" ") else "") + found[1]
        code = line.split("//")[0]
        if "fence(Ordering" in code:
            yield number, function, code.strip(), "", "removed"
        elif found := re.search(r"Ordering::(AcqRel|Acquire|Release)", code):
            for weak in ["Acquire", "Release"] if found[1] == "AcqRel" else ["Relaxed"]:
                weakened = code.replace(found[0], f"Ordering::{weak}", 1)
                yield number, function, code.strip(), weakened, weak


def run_models(models):
    env = os.environ | {
        "RUSTFLAGS": "--cfg loom",
        "RUST_BACKTRACE": "0",
        "CARGO_PROFILE_RELEASE_LTO": "off",
        "CARGO_PROFILE_RELEASE_DEBUG": "0",
    }
    command = ["cargo", "test", "-q", "--release", "--test", "loom"]
    command += ["--target-dir", str(ROOT / "target" / "weaken-build"), "--", models]
    done = subprocess.run(command, cwd=COPY, env=env, text=True, capture_output=True, timeout=600)
    text = done.stdout + done.stderr
    # A model that fails while its threads unwind may abort all of them: a failure too.
    failed = sorted(set(re.findall(r"^thread '(\w+::\w+)'.* panicked", text, re.M)))
    if "test result" not in text and not failed:
        sys.exit(text)
    causes = re.findall(r"panicked at [^\n]*:\n([^\n]*)", text)
    return failed, sorted(set(cause[:60] for cause in causes))


def row(name, models, function, code, weakened, word):
    """Runs the models on the weakened file, prints the table's row; whether none failed."""
    original = (COPY / name).read_text()
    (COPY / name).write_text(weakened)
    failed, causes = run_models(models)
    (COPY / name).write_text(original)
    shown = ", ".join(failed) or "**none**"
    print(f"| `{function}` | `{code}` | {word} | {shown} | {'; '.join(causes)} |", flush=True)
    return not failed


def main():
    if {"-h", "--help"} & set(sys.argv):
        return print(__doc__)
    for name in ["src", "loom-tests", "benches", "tests", "Cargo.toml", "Cargo.lock"]:
        target = COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / name, target)
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, target)
    print("| where | ordering | weakened to | failing models | with |\n|---|---|---|---|---|")
    holes = 0
    names = sys.argv[1:] or [*FILES, "steps"]
    for name in names:
        for number, function, code, weak, word in [] if name == "steps" else places(COPY / name):
            lines = (COPY / name).read_text().splitlines(keepends=True)
            lines[number] = weak + "\n"
            holes += row(name, FILES.get(name, ""), function, code, "".join(lines), word)
    for name, models, function, old, new, word in STEPS if "steps" in names else []:
        text = (COPY / name).read_text()
        assert text.count(old) == 1, f"{name} has changed: {old}"
        holes += row(name, models, function, " ".join(old.split()), text.replace(old, new), word)
    sys.exit(holes > 0)


main()
