//! Loom models of everything lock-free, one file per primitive. Each test opens with the bug it
//! hunts; `docs/CONCURRENCY.md` says which weakened ordering it was seen to catch.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test --release --test loom --target-dir target/loom`
#![cfg(loom)]

mod doorbell;
mod mailbox;
mod mpmc;
mod offload;
mod port;
mod slots;
mod spsc;

/// Explores executions of `model` with at most three preemptions (`LOOM_MAX_PREEMPTIONS`
/// overrides): the bugs of these primitives need two.
///
/// loom 0.7 reorders a load only with the *last* access to the same word, so it never moves it behind
/// the store of a thread that loads the word before storing. Such a load belongs in a spawned thread:
/// that one runs last at first, and loom then tries every older value it could see.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    explore_within(3, model);
}

/// The same with at most `preemptions`, for a model that is large and was seen to catch its bug so.
fn explore_within(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}
