#!/usr/bin/env python3
"""Shows that the loom models bite: weakens every ordering of the rings, one at a time, and runs them.

usage: scripts/weaken.py [FILE ...]     (default: every file under src/ring with an ordering)

Each Acquire and Release becomes Relaxed, each fence is removed. Works on a copy of the tree under
target/weaken. Prints one table row per ordering; exits with 1 if some weakening is caught by no
model (docs/CONCURRENCY.md argues each of those).
"""
import os, re, shutil, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "weaken"
FILES = [
    "src/ring/spsc.rs",
    "src/ring/spsc/producer.rs",
    "src/ring/spsc/consumer.rs",
    "src/ring/mpmc.rs",
    "src/ring/doorbell.rs",
]


def places(path):
    """(line number, enclosing item, line, weakened line) of every ordering in the file."""
    block = function = ""
    for number, line in enumerate(path.read_text().splitlines()):
        if found := re.match(r"impl(?:<[^>]*(?:<.*>)?[^>]*>)? (?:\w+ for )?(\w+)", line):
            block = found[1] + "::"
        if found := re.search(r"\bfn (\w+)", line):
            function = (block if line.startswith(" ") else "") + found[1]
        code = line.split("//")[0]
        if "fence(Ordering" in code:
            yield number, function, code.strip(), "", "removed"
        elif found := re.search(r"Ordering::(Acquire|Release)", code):
            yield number, function, code.strip(), code.replace(found[0], "Ordering::Relaxed"), "Relaxed"


def run_models():
    env = os.environ | {
        "RUSTFLAGS": "--cfg loom",
        "RUST_BACKTRACE": "0",
        "CARGO_PROFILE_RELEASE_LTO": "off",
        "CARGO_PROFILE_RELEASE_DEBUG": "0",
    }
    command = ["cargo", "test", "-q", "--release", "--test", "loom"]
    command += ["--target-dir", str(ROOT / "target" / "weaken-build")]
    done = subprocess.run(command, cwd=COPY, env=env, text=True, capture_output=True, timeout=600)
    text = done.stdout + done.stderr
    if "test result" not in text:
        sys.exit(text)
    failed = sorted(set(re.findall(r"^    (\w+::\w+)$", text, re.M)))
    causes = re.findall(r"panicked at [^\n]*:\n([^\n]*)", text)
    return failed, sorted(set(cause[:60] for cause in causes))


def main():
    if {"-h", "--help"} & set(sys.argv):
        return print(__doc__)
    for name in ["src", "loom-tests", "benches", "tests", "Cargo.toml", "Cargo.lock"]:
        target = COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, dirs_exist_ok=True)
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, target)
    print("| where | ordering | weakened to | failing models | with |\n|---|---|---|---|---|")
    holes = 0
    for name in sys.argv[1:] or FILES:
        original = (COPY / name).read_text()
        for number, function, code, weak, word in list(places(COPY / name)):
            lines = original.splitlines(keepends=True)
            lines[number] = weak + "\n"
            (COPY / name).write_text("".join(lines))
            failed, causes = run_models()
            holes += not failed
            models = ", ".join(failed) or "**none**"
            print(f"| `{function}` | `{code}` | {word} | {models} | {'; '.join(causes)} |", flush=True)
        (COPY / name).write_text(original)
    sys.exit(holes > 0)


main()
