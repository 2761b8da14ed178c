//! What must hold of the words that ask for a trace or a capture, whatever they are. The fuzz target and
//! `tests/fuzz_corpus.rs` share it.

use ringway::dataplane::watching::request::{Wanted, parse};
use ringway::ipc::Error;
use ringway::lcore::watch::Looks;
use ringway::limits::{CAPTURE_SNAPLEN_MAX, TRACE_COUNT_MAX, WATCH_SECONDS_MAX};

/// The first byte says which command; the rest is what stands behind its name.
pub fn check(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let looks = if first & 1 == 0 { Looks::Trace } else { Looks::Capture };
    match parse(looks, text) {
        Ok(Wanted::List) => assert!(text.trim_ascii().is_empty()),
        Ok(Wanted::Stop(listener)) => assert!(!listener.is_empty() && text.contains(listener)),
        Ok(Wanted::Begin(request)) => {
            assert!(!request.listener.is_empty() && text.contains(request.listener));
            assert!(request.count >= 1 && (1..=WATCH_SECONDS_MAX).contains(&request.seconds));
            match looks {
                Looks::Trace => assert!(request.count <= TRACE_COUNT_MAX.into()),
                Looks::Capture => {
                    assert!(request.stages.iter().count() > 0);
                    assert!(request.snaplen <= CAPTURE_SNAPLEN_MAX);
                }
            }
        }
        // The asker is told what would have been right.
        Err(Error::Handler { message, code }) => {
            assert!(code == Some(400) && !message.is_empty());
        }
        Err(other) => panic!("{other}"),
    }
}
