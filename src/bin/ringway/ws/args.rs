//! The command line of `ringway ws`.

use std::path::PathBuf;

use ringway::proto::websocket::CloseCode;

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(["text", "binary_file", "ping", "size"]))]
pub struct WsArgs {
    /// Where: ws://HOST:PORT/PATH
    #[arg(value_name = "URL")]
    pub url: String,

    /// Send this text; given more often, each in turn
    #[arg(long, value_name = "TEXT", help_heading = "What to do")]
    pub text: Vec<String>,

    /// Send the bytes of a file as one message; given more often, each in turn
    #[arg(long, value_name = "FILE", help_heading = "What to do")]
    pub binary_file: Vec<PathBuf>,

    /// Ping, wait for the pong, and print how long that took; with --count, so often
    #[arg(long, help_heading = "What to do")]
    pub ping: bool,

    /// Send messages of so many bytes to a server that sends them back, one after the other, and print how long that
    /// took; at most 64 MiB
    #[arg(long, value_name = "BYTES", help_heading = "What to do")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=64 << 20))]
    pub size: Option<u32>,

    /// How often, with --size or --ping; at most 10 million times. [default: 1000 with --size, 1 with --ping]
    #[arg(long, value_name = "N", help_heading = "What to do", requires = "what")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    #[arg(conflicts_with_all = ["text", "binary_file"])]
    pub count: Option<u32>,

    /// Messages to wait for and print, with --text and --binary-file. [default: as many as are sent]
    #[arg(long, value_name = "N", help_heading = "What to do")]
    #[arg(conflicts_with_all = ["ping", "size"])]
    pub expect: Option<u32>,

    /// Send messages in frames of so many bytes in place of one
    #[arg(long, value_name = "BYTES", help_heading = "What to do")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub fragment: Option<u32>,

    /// Print what comes as it is: no line ends behind messages, binary ones not in hexadecimal
    #[arg(long, help_heading = "What to do")]
    pub raw: bool,

    /// The code to close with: 1000 to 1003, 1007 to 1014 or 3000 to 4999
    #[arg(long, value_name = "CODE", default_value = "1000", help_heading = "What to do")]
    #[arg(value_parser = close_code)]
    pub close: CloseCode,

    /// A protocol to ask for; given more often, in the order of preference
    #[arg(long, value_name = "NAME", help_heading = "The handshake")]
    pub protocol: Vec<String>,

    /// Say that a page from there connects, such as http://example.com
    #[arg(long, value_name = "ORIGIN", help_heading = "The handshake")]
    pub origin: Option<String>,

    /// A further field of the request, such as 'Authorization: Bearer …'; may be given more often
    #[arg(long, short = 'H', value_name = "NAME: VALUE", help_heading = "The handshake")]
    #[arg(value_parser = field)]
    pub header: Vec<(String, String)>,

    /// Offer compression (permessage-deflate)
    #[arg(long, help_heading = "The handshake")]
    pub compress: bool,

    /// Connect to this Unix socket (@NAME: an abstract one); the URL says then what Host and path are
    #[arg(long, value_name = "PATH", help_heading = "The handshake")]
    pub unix: Option<PathBuf>,

    /// How long each step may take, in seconds: connecting, sending, waiting for an answer, closing
    #[arg(long, value_name = "SECONDS", default_value_t = 10, help_heading = "Bounds")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: u32,

    /// Largest message that is taken, in bytes; a server that sends more is told 1009
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, help_heading = "Bounds")]
    pub max_message: u64,
}

fn close_code(text: &str) -> Result<CloseCode, String> {
    let code = text.parse().ok().and_then(CloseCode::new);
    code.ok_or_else(|| {
        "not a code that may be sent: 1000 to 1003, 1007 to 1014, 3000 to 4999".to_owned()
    })
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub const WS_EXAMPLES: &str = "\
Without --text, --binary-file, --ping or --size each line of standard input is sent as a text, and what comes is printed,
a line each; at the end of the input the WebSocket is closed, once the server has said what it had. Binary messages are
printed in hexadecimal. What was agreed on, and how it ended, is printed to standard error.

Examples:
  ringway ws ws://localhost:8080                    type, and read what comes
  ringway ws ws://localhost:8080/chat --protocol chat --origin http://localhost:8080
  printf 'one\\ntwo\\n' | ringway ws ws://localhost:8080
                                                    a script: two messages, and what comes back
  ringway ws ws://localhost:8080 --text hello       one message, and the one that comes back
  ringway ws ws://localhost:8080 --text go --expect 3
                                                    one message, and the next three
  ringway ws ws://localhost:8080 --binary-file photo.jpg --fragment 65536 --raw > back.jpg
  ringway ws ws://localhost:8080 --ping --count 5
  ringway ws ws://localhost:8080 --size 1024 --count 10000 --compress
                                                    how long 10,000 messages take there and back
  ringway ws --unix /run/app.sock ws://localhost/   over a Unix socket

Exit codes:
  0  all was sent, all that was waited for has come, and the server closed with the code that it was told (or 1000)
  1  no WebSocket, or it failed: refused, not in time, a rule broken; the reason is on standard error
  2  the command line was not understood
  3  the server closed with another code, or before all had come";
