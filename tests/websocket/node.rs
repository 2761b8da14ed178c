//! A client that somebody else wrote.

use std::process::Command;

use crate::exchange::server;

/// Has a text, bytes and a megabyte come back, says what was agreed on, and closes.
const SCRIPT: &str = r#"
if (typeof WebSocket === 'undefined') { console.log('none'); process.exit(0); }
const socket = new WebSocket(process.argv[1]);
socket.binaryType = 'arraybuffer';
const large = 'häng '.repeat(1 << 18);
const sent = ['hello', new Uint8Array([0, 1, 255]), large, ''];
const heard = [];
socket.onopen = () => sent.forEach((message) => socket.send(message));
socket.onmessage = ({ data }) => {
  heard.push(data);
  if (heard.length === sent.length) socket.close(1000, 'done');
};
socket.onerror = (error) => console.log('error', error.message ?? error);
socket.onclose = ({ code, wasClean }) => {
  const bytes = heard[1] instanceof ArrayBuffer ? [...new Uint8Array(heard[1])] : [];
  console.log(heard[0], bytes.join(','), heard[2] === large, heard[3] === '', code, wasClean);
};
"#;

#[test]
fn node_exchanges_text_and_bytes_w_7() {
    let server = server("max_message_bytes = 4000000");
    let url = format!("ws://{}/", server.address(0));
    // Versions before 22 have it behind this switch, and older ones not at all.
    let node = ["--experimental-websocket", "-e", SCRIPT, &url];
    let output = Command::new("node").args(node).output();
    let said = output.as_ref().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    match said.as_deref().map(str::trim) {
        Err(_) => println!("skipped: node is not installed"),
        Ok("" | "none") => println!("skipped: node has no WebSocket"),
        Ok(said) => assert_eq!(said, "hello 0,1,255 true true 1000 true", "{output:?}"),
    }
    server.stop();
}
