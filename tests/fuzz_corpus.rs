//! Replays the fuzz corpora on a stable toolchain: what a fuzzer has once found stays found.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

#[path = "../fuzz/bodies/http1_chain.rs"]
mod http1_chain;
#[path = "../fuzz/bodies/http1_chunked.rs"]
mod http1_chunked;
#[path = "../fuzz/bodies/http1_head.rs"]
mod http1_head;

/// Runs `check` over every file of a corpus, and over every prefix of it.
fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(&corpus).expect("the corpus is part of the repository") {
        let path = entry.expect("a readable directory").path();
        let bytes = fs::read(&path).expect("a readable file");
        println!("{}", path.display());
        (0..=bytes.len()).for_each(|end| check(&bytes[..end]));
        files += 1;
    }
    assert!(files > 0, "{} is empty", corpus.display());
}

#[test]
fn every_head_of_the_corpus_holds() {
    replay("http1_head", http1_head::check);
}

#[test]
fn every_chunked_body_of_the_corpus_holds() {
    replay("http1_chunked", http1_chunked::check);
}

#[test]
fn every_list_of_operations_of_the_corpus_holds() {
    replay("http1_chain", http1_chain::check);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn lists_of_random_operations_hold(
        operations in prop::collection::vec(prop_oneof![0x20u8..0x60, any::<u8>()], 0..40),
    ) {
        http1_chain::check(&operations);
    }
}
