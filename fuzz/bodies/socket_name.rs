//! What must hold of the lines by which an instance names the sockets that it hands over, for any bytes. The fuzz target
//! and `tests/fuzz_corpus.rs` share it.

use ringway::port::Call;
use ringway::sys::listening::SocketName;

/// The bytes are lines.
pub fn check(bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).lines() {
        let Some(name) = SocketName::of_line(line) else { continue };
        let written = name.to_line().expect("what came on a line fits one");
        assert!(!written.contains('\n'));
        assert_eq!(SocketName::of_line(&written), Some(name), "{written}");
    }
    if let Some(call) = Call::last_of(bytes) {
        assert!(bytes.windows(call.line().len()).any(|window| window == call.line()));
    }
}
