//! What must hold of the opening handshake of WebSockets for any bytes. The fuzz target and
//! `tests/fuzz_corpus.rs` share it.

use ringway::proto::http1::{Limits, decode_head};
use ringway::proto::websocket::handshake::{Client, ClientFault, Refusal, Server, is_same_origin};
use ringway::proto::websocket::{Deflate, EXTENSION_BYTES_MAX};

const NONCE: &[u8; 16] = b"the sample nonce";

/// The bytes are a request, an answer, and the value of `Sec-WebSocket-Extensions`.
pub fn check(bytes: &[u8]) {
    check_request(bytes);
    check_answer(bytes);
    check_extensions(bytes);
}

fn check_request(bytes: &[u8]) {
    let Ok(Some(head)) = decode_head(bytes, &Limits::default()) else { return };
    let server = Server { protocols: &["chat", "superchat"], deflate: Some(Deflate::default()) };
    match server.accept(bytes, &head, is_same_origin) {
        Ok(accepted) => {
            assert!(head.upgrade);
            let mut out = [0; 512];
            let len = accepted.write_response(&mut out).expect("no answer is that long");
            assert!(accepted.write_response(&mut out[..len - 1]).is_none());
        }
        Err(refusal) => {
            let status = format!("HTTP/1.1 {} ", refusal.status());
            assert!(refusal.response().starts_with(status.as_bytes()));
            let asks = head.upgrade && has(&bytes[..head.head_len as usize], b"websocket");
            assert_eq!(refusal == Refusal::NoUpgrade, refusal != Refusal::Method && !asks);
        }
    }
}

/// Whether a head's `Upgrade` names `word`.
fn has(bytes: &[u8], word: &[u8]) -> bool {
    let is = |part: &[u8]| part.trim_ascii().eq_ignore_ascii_case(word);
    let upgrades = bytes.split(|&byte| byte == b'\n').filter(|line| {
        line.split_at_checked(8).is_some_and(|(name, _)| name.eq_ignore_ascii_case(b"upgrade:"))
    });
    upgrades.flat_map(|line| line[8..].split(|&byte| byte == b',')).any(is)
}

fn check_answer(bytes: &[u8]) {
    let client = Client {
        host: "a",
        target: "/",
        origin: None,
        protocols: &["chat", "superchat"],
        deflate: Some(Deflate::default()),
        fields: &[],
    };
    let whole = client.read_response(NONCE, bytes);
    match whole {
        Ok(None) => {}
        Ok(Some(response)) => {
            let end = response.head_bytes;
            assert!(bytes[..end].ends_with(b"\r\n\r\n"));
            assert_eq!(client.read_response(NONCE, &bytes[..end]), whole);
            assert_eq!(client.read_response(NONCE, &bytes[..end - 1]), Ok(None));
        }
        Err(ClientFault::Status(status)) => assert!((200..1000).contains(&status)),
        Err(_) => {}
    }
}

fn check_extensions(bytes: &[u8]) {
    let Ok(Some(agreed)) = Deflate::default().choose(bytes) else { return };
    let mut out = [0; EXTENSION_BYTES_MAX];
    let answer = agreed.write_answer(&mut out);
    // Whoever offers as much as there is takes whatever was agreed on.
    assert_eq!(Deflate::default().read_answer(answer.as_bytes()), Ok(Some(agreed)));
}
