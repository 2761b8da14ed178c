//! Replays the fuzz corpora on a stable toolchain: what a fuzzer has once found stays found. Pieces
//! of their files put together at random are looked at as well.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

#[path = "../fuzz/bodies/files_fields.rs"]
mod files_fields;
#[path = "../fuzz/bodies/files_form.rs"]
mod files_form;
#[path = "../fuzz/bodies/http1_chain.rs"]
mod http1_chain;
#[path = "../fuzz/bodies/http1_chunked.rs"]
mod http1_chunked;
#[path = "../fuzz/bodies/http1_head.rs"]
mod http1_head;
#[path = "../fuzz/bodies/ipc_chain.rs"]
mod ipc_chain;
#[path = "../fuzz/bodies/ipc_line.rs"]
mod ipc_line;
#[path = "../fuzz/bodies/port_peer.rs"]
mod port_peer;
#[path = "../fuzz/bodies/port_up.rs"]
mod port_up;
#[path = "../fuzz/bodies/recvmsg_out.rs"]
mod recvmsg_out;
#[path = "../fuzz/bodies/settings.rs"]
mod settings;
#[path = "../fuzz/bodies/socket_name.rs"]
mod socket_name;
#[path = "../fuzz/bodies/stream_chain.rs"]
mod stream_chain;
#[path = "../fuzz/bodies/stream_handshake.rs"]
mod stream_handshake;
#[path = "../fuzz/bodies/stream_header.rs"]
mod stream_header;
#[path = "../fuzz/bodies/stream_lz4.rs"]
mod stream_lz4;
#[path = "../fuzz/bodies/stream_reassembly.rs"]
mod stream_reassembly;
#[path = "../fuzz/bodies/stream_session.rs"]
mod stream_session;
#[path = "../fuzz/bodies/watch_request.rs"]
mod watch_request;
#[path = "../fuzz/bodies/websocket.rs"]
mod websocket;
#[path = "../fuzz/bodies/websocket_chain.rs"]
mod websocket_chain;
#[path = "../fuzz/bodies/websocket_client.rs"]
mod websocket_client;
#[path = "../fuzz/bodies/websocket_handshake.rs"]
mod websocket_handshake;

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
fn every_form_of_the_corpus_holds() {
    replay("files_form", files_form::check);
}

#[test]
fn every_field_about_files_of_the_corpus_holds() {
    replay("files_fields", files_fields::check);
}

#[test]
fn every_list_of_operations_of_the_corpus_holds() {
    replay("http1_chain", http1_chain::check);
}

#[test]
fn all_settings_of_the_corpus_hold() {
    replay("settings", settings::check);
}

#[test]
fn every_line_of_the_corpus_holds() {
    replay("ipc_line", ipc_line::check);
}

#[test]
fn every_line_that_names_a_socket_holds() {
    replay("socket_name", socket_name::check);
}

#[test]
fn every_request_for_a_trace_or_a_capture_holds() {
    replay("watch_request", watch_request::check);
}

#[test]
fn every_list_of_operations_on_commands_holds() {
    replay("ipc_chain", ipc_chain::check);
}

#[test]
fn every_list_of_descriptors_of_the_corpus_holds() {
    replay("port_up", port_up::check);
}

#[test]
fn every_list_of_what_a_peer_does_holds() {
    replay("port_peer", port_peer::check);
}

#[test]
fn every_packet_of_the_corpus_holds() {
    replay("stream_header", stream_header::check);
}

#[test]
fn every_list_of_pieces_of_the_corpus_holds() {
    replay("stream_reassembly", stream_reassembly::check);
}

#[test]
fn every_list_of_what_the_ends_of_a_stream_do_holds() {
    replay("stream_session", stream_session::check);
}

#[test]
fn every_list_of_what_peers_do_to_the_chain_of_streams_holds() {
    replay("stream_chain", stream_chain::check);
}

#[test]
fn every_list_of_handshake_messages_holds() {
    replay("stream_handshake", stream_handshake::check);
}

#[test]
fn every_compressed_message_of_the_corpus_holds() {
    replay("stream_lz4", stream_lz4::check);
}

#[test]
fn every_websocket_of_the_corpus_holds() {
    replay("websocket", websocket::check);
}

#[test]
fn every_list_of_what_peers_do_to_the_chain_of_websockets_holds() {
    replay("websocket_chain", websocket_chain::check);
}

#[test]
fn everything_that_servers_say_to_the_client_of_websockets_holds() {
    replay("websocket_client", websocket_client::check);
}

#[test]
fn every_handshake_of_a_websocket_of_the_corpus_holds() {
    replay("websocket_handshake", websocket_handshake::check);
}

#[test]
fn every_receive_of_datagrams_of_the_corpus_holds() {
    replay("recvmsg_out", recvmsg_out::check);
}

/// Request lines with the first of their fields.
const REQUESTS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost:80\r\nUser-Agent: b\r\n",
    b"POST /a?b HTTP/1.1\r\nhost:[::1]:80\r\n",
    b"OPTIONS * HTTP/1.0\r\n",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n",
    b"GET http://a:80/b?c HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n",
];

const FIELDS: &[&[u8]] = &[
    b"Accept: */*\r\n",
    b"ACCEPT-encoding: gzip, deflate\r\n",
    b"Accept-Language:en\r\n",
    b"user-agent: a/1.0 (b)\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: close, upgrade\r\n",
    b"Upgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: b\r\n",
    b"X_1: y\r\n",
    b"X-Long-Name-Of-A-Field: and a longer value than a word\r\n",
];

/// What else may stand in a head, or may not.
const PIECES: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"/a?b",
    b" HTTP/1.1",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b",",
    b"~",
    b"\0",
    b"\x1a",
    b"\x7f",
    b"\xff",
];

/// Pieces of heads in any order; `check`'s first byte picks the limits.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let all = [REQUESTS, FIELDS, PIECES].concat();
    let pieces = prop::collection::vec(prop::sample::select(all), 0..10);
    (any::<u8>(), pieces).prop_map(|(first, pieces)| [&[first], &*pieces.concat()].concat())
}

/// Heads that are whole, and legal unless two of their fields contradict each other.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let fields = prop::collection::vec(prop::sample::select(FIELDS), 0..5);
    (prop::sample::select(REQUESTS), fields)
        .prop_map(|(request, fields)| [&[2], request, &*fields.concat(), b"\r\n"].concat())
}

/// Pieces of chunked bodies, legal and not; `check`'s first byte says how to cut them.
fn chunked() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec![
        &b"1\r\na\r\n"[..],
        b"5\r\nhello\r\n",
        b"00A\r\n0123456789\r\n",
        b"2;a=\"b\"\r\nab\r\n",
        b"0\r\n",
        b"0\r\n\r\n",
        b"X-Sum: 1\r\n",
        b"y:\r\n",
        b"Host: a\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b";",
        b"ffffffffffffffff",
    ];
    let piece = prop::sample::select(pieces).prop_map(<[u8]>::to_vec);
    (any::<u8>(), prop::collection::vec(piece, 0..12))
        .prop_map(|(first, pieces)| [vec![first], pieces.concat()].concat())
}

/// Keys and values of settings that there are, or nearly.
fn changes() -> impl Strategy<Value = Vec<u8>> {
    let keys = vec![
        "dataplane.idle",
        "listener.0.protocol",
        "listener.1.mode",
        "listener.0.config.a",
        "listener.0",
        "listener",
        "control.socket",
        "stats.sampling",
        "stats.backtrace",
        "..",
        "listener.0.protocol.x",
    ];
    let values =
        vec!["busy", "-", "0600", "5", "[1,", "{ a = 1 }", "\"x\"", "\\", "a = 1", "true", ""];
    let line = (prop::sample::select(keys), prop::sample::select(values))
        .prop_map(|(key, value)| format!("{key} {value}\n"));
    prop::collection::vec(line, 0..4).prop_map(|lines| lines.concat().into_bytes())
}

/// Pieces of command lines; `check`'s first byte pads them up to the limit.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> =
        vec![b"j/", b"echo", b" ", b"\r", b"\n", b"\0", b"\"", b"\\", b"\xc3", b"\xc3\xa9", b"\t"];
    let pieces = prop::collection::vec(prop::sample::select(pieces), 0..8);
    (any::<u8>(), pieces).prop_map(|(first, pieces)| [&[first], &*pieces.concat()].concat())
}

/// Packets of streams that are legal, or nearly; pieces of payloads behind them.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"\x10",
        b"\x11",
        b"\x13",
        b"\x15",
        b"\x01\0",
        b"\x01\0\0\0",
        b"\x40\0\0\0",
        b"text",
        b"\xc3",
    ];
    let payload = prop::collection::vec(prop::sample::select(pieces), 0..8);
    (payload, 0u8..7, 0u8..3, 0u8..18, -1i8..3).prop_map(|(payload, kind, channel, flags, more)| {
        let payload = payload.concat();
        let size = (payload.len() as u8).saturating_add_signed(more);
        [&[size, 0, 0, 0, kind, 0, 0, 0, 0, channel, 0, flags], &*payload].concat()
    })
}

/// Frames of WebSockets, legal and not; `check`'s first byte says which end reads them and how they are cut.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let payloads: Vec<&[u8]> = vec![
        b"",
        b"text",
        b"\xe2\x82",
        b"\xac",
        b"\xff",
        b"\x03\xe8",
        b"\x03\xee",
        b"\x03",
        &[b'x'; 125],
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        &[0xf2, 0x00, 0x11, 0x00, 0x00],
    ];
    let opcode = prop::sample::select(vec![0u8, 0, 1, 1, 2, 8, 9, 10, 3]);
    let first = (0u8..8, prop::sample::select(vec![0u8, 0, 0, 0x40, 0x10]), opcode)
        .prop_map(|(fin, rsv, opcode)| if fin > 2 { 0x80 } else { 0 } | rsv | opcode);
    let frame =
        (first, prop::sample::select(payloads), -1i8..12).prop_map(|(first, payload, more)| {
            let more = if more > 1 { 0 } else { more };
            (first, (payload.len() as u8).saturating_add_signed(more) & 0x7f, payload)
        });
    (any::<u8>(), prop::collection::vec(frame, 0..8)).prop_map(|(way, frames)| {
        let frame = |(first, len, payload): (u8, u8, &'static [u8])| {
            let head =
                if way & 1 == 0 { vec![first, 0x80 | len, 0, 0, 0, 0] } else { vec![first, len] };
            [&head[..], payload].concat()
        };
        [vec![way], frames.into_iter().flat_map(frame).collect()].concat()
    })
}

/// Forms of pieces, legal and not, cut anywhere.
fn forms() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"\r\n--ab",
        b"\r\n--ab",
        b"--",
        b"\r\n",
        b"\r\n\r\n",
        b"\r",
        b"\n",
        b"-",
        b"a",
        b" ",
        b"Content-Disposition: form-data; filename=\"a\"",
    ];
    let pieces = prop::collection::vec(prop::sample::select(pieces), 0..20);
    (1u8..20, pieces)
        .prop_map(|(most, pieces)| [&[most], &b"ab\n--ab\r\n"[..], &*pieces.concat()].concat())
}

/// A file of a corpus.
fn files_of(target: &str) -> impl Strategy<Value = Vec<u8>> {
    let files =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target));
    let files = files.expect("the corpus is part of the repository");
    let read = |entry: std::io::Result<fs::DirEntry>| fs::read(entry.unwrap().path()).unwrap();
    prop::sample::select(files.map(read).collect::<Vec<_>>())
}

/// What the kernel leaves in a slot, of pieces.
fn receives() -> impl Strategy<Value = Vec<u8>> {
    let message = prop::collection::vec(prop_oneof![Just(0u8), 0u8..42, any::<u8>()], 0..144);
    (files_of("recvmsg_out"), message).prop_map(|(mut bytes, message)| {
        bytes[48..48 + message.len()].copy_from_slice(&message);
        bytes
    })
}

/// The same with one byte changed.
fn with_a_byte_changed(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (bytes, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut bytes, at, byte)| {
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn heads_of_random_pieces_hold(bytes in pieces()) {
        http1_head::check(&bytes);
    }

    #[test]
    fn heads_with_one_byte_changed_hold(bytes in with_a_byte_changed(head())) {
        http1_head::check(&bytes);
    }

    #[test]
    fn chunked_bodies_of_random_pieces_hold(bytes in chunked()) {
        http1_chunked::check(&bytes);
    }

    #[test]
    fn forms_of_random_pieces_hold(bytes in forms()) {
        files_form::check(&bytes);
    }

    #[test]
    fn fields_about_files_with_one_byte_changed_hold(
        bytes in with_a_byte_changed(files_of("files_fields")),
    ) {
        files_fields::check(&bytes);
    }

    #[test]
    fn lines_that_name_sockets_with_one_byte_changed_hold(
        bytes in with_a_byte_changed(files_of("socket_name")),
    ) {
        socket_name::check(&bytes);
    }

    #[test]
    fn settings_of_random_pieces_hold(bytes in changes()) {
        settings::check(&bytes);
    }

    #[test]
    fn command_lines_of_random_pieces_hold(bytes in lines()) {
        ipc_line::check(&bytes);
    }

    #[test]
    fn receives_of_datagrams_with_any_control_data_hold(bytes in with_a_byte_changed(receives())) {
        recvmsg_out::check(&bytes);
    }

    #[test]
    fn errors_with_any_message_hold(message in any::<String>(), json: bool, code: u16) {
        ipc_line::check_error(&message, json, code);
    }

    #[test]
    fn requests_for_a_trace_or_a_capture_of_random_words_hold(
        first in 0u8..2,
        words in prop::collection::vec(
            prop_oneof![
                Just("0"), Just("stop"), Just("rx,tx"), Just("rx,"), Just("conn"), Just("0:7.2"),
                Just("count"), Just("seconds"), Just("snaplen"), Just("9"), Just("86401"), Just("-1"),
            ],
            0..9,
        ),
    ) {
        watch_request::check(&[&[first], words.join(" ").as_bytes()].concat());
    }

    #[test]
    fn packets_of_random_pieces_hold(bytes in packets()) {
        stream_header::check(&bytes);
    }

    #[test]
    fn packets_with_one_byte_changed_hold(bytes in with_a_byte_changed(packets())) {
        stream_header::check(&bytes);
    }

    #[test]
    fn lists_of_random_pieces_hold(
        operations in prop::collection::vec((0u8..32, 0u8..20, 0u8..20, 0u8..60), 0..40),
    ) {
        let bytes: Vec<u8> = operations.into_iter().flat_map(|(a, b, c, d)| [a, b, c, d]).collect();
        stream_reassembly::check(&bytes);
    }

    #[test]
    fn frames_of_random_pieces_hold(bytes in frames()) {
        websocket::check(&bytes);
    }

    #[test]
    fn frames_with_one_byte_changed_hold(bytes in with_a_byte_changed(frames())) {
        websocket::check(&bytes);
    }

    #[test]
    fn what_servers_say_with_one_byte_changed_holds(
        bytes in with_a_byte_changed(files_of("websocket_client")),
    ) {
        websocket_client::check(&bytes);
    }

    #[test]
    fn handshakes_of_websockets_with_one_byte_changed_hold(
        bytes in with_a_byte_changed(files_of("websocket_handshake")),
    ) {
        websocket_handshake::check(&bytes);
    }

    #[test]
    fn chunked_bodies_with_one_byte_changed_hold(bytes in with_a_byte_changed(chunked())) {
        http1_chunked::check(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn lists_of_random_operations_hold(
        operations in prop::collection::vec(prop_oneof![0x20u8..0x60, any::<u8>()], 0..40),
    ) {
        http1_chain::check(&operations);
    }

    #[test]
    fn lists_of_random_operations_on_commands_hold(
        operations in prop::collection::vec(prop_oneof![0x20u8..0x60, any::<u8>()], 0..40),
    ) {
        ipc_chain::check(&operations);
    }

    #[test]
    fn lists_of_what_peers_do_to_the_chain_of_websockets_hold(
        operations in prop::collection::vec(
            prop_oneof![4 => 0x20u8..0x80, 1 => 0x80u8..0xc0, 1 => any::<u8>()],
            0..60,
        ),
    ) {
        websocket_chain::check(&operations);
    }

    #[test]
    fn lists_of_random_descriptors_hold(
        operations in prop::collection::vec(
            prop_oneof![0x20u8..0x60, 0x60u8..0xc0, Just(0xe0u8), any::<u8>()],
            0..200,
        ),
    ) {
        port_up::check(&operations);
    }

    #[test]
    fn lists_of_what_a_peer_does_hold(
        operations in prop::collection::vec(
            prop_oneof![
                0x20u8..0x60, 0x60u8..0xa0, 0xa0u8..0xc0, 0xc8u8..0xca, Just(0xe0u8), Just(0xe0u8),
                any::<u8>(),
            ],
            0..200,
        ),
    ) {
        port_peer::check(&operations);
    }

    #[test]
    fn lists_of_what_the_ends_of_a_stream_do_hold(
        first in 0u8..32,
        operations in prop::collection::vec(
            prop_oneof![0u8..0x20, 0x20u8..0x30, 0x40u8..0xa0, 0xa0u8..0xc0, 0xc0u8..0xd0, Just(0xe0u8)],
            0..120,
        ),
    ) {
        stream_session::check(&[&[first], &operations[..]].concat());
    }

    #[test]
    fn lists_of_what_peers_do_to_the_chain_of_streams_hold(
        first in 0u8..32,
        operations in prop::collection::vec(
            prop_oneof![
                0u8..0x20, 0x20u8..0x60, 0x20u8..0x60, 0x60u8..0x80, 0x80u8..0xa0, 0xa0u8..0xc0,
                0xc0u8..0xc3, 0xe0u8..0xe4,
            ],
            0..80,
        ),
    ) {
        stream_chain::check(&[&[first], &operations[..]].concat());
    }

    #[test]
    fn lists_of_what_honest_peers_do_to_the_chain_of_streams_hold(
        first in 0u8..32,
        operations in prop::collection::vec(
            prop_oneof![
                0x20u8..0x60, 0x20u8..0x60, 0x60u8..0x7c, 0x80u8..0xa0, 0xc0u8..0xc3, 0xe0u8..0xe4,
            ],
            0..80,
        ),
    ) {
        stream_chain::check(&[&[first], &operations[..]].concat());
    }

    #[test]
    fn lists_of_random_handshake_messages_hold(
        steps in prop::collection::vec(prop_oneof![0u8..0x20, 0x20u8..0x40, any::<u8>()], 0..60),
    ) {
        stream_handshake::check(&steps);
    }

    #[test]
    fn compressed_messages_of_random_pieces_hold(
        size in 0u32..2000,
        pieces in prop::collection::vec(
            prop_oneof![Just(vec![0x10, b'a', 1, 0]), Just(vec![255; 5]), any::<[u8; 3]>().prop_map(Vec::from)],
            0..40,
        ),
    ) {
        stream_lz4::check(&[size.to_le_bytes().to_vec(), pieces.concat()].concat());
    }
}
