//! Loom models of everything lock-free, one file per primitive. Each test opens with the bug it
//! hunts; `docs/CONCURRENCY.md` says which weakened ordering it was seen to catch.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test --release --test loom --target-dir target/loom`
#![cfg(loom)]

mod doorbell;
mod mpmc;
mod spsc;

/// Explores every execution of `model` with at most three preemptions (`LOOM_MAX_PREEMPTIONS`
/// overrides): the bugs of these primitives need two.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(model);
}
