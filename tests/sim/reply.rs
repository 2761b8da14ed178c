//! One reply: what it has to be, and how far the one that is coming in has come.

/// The lines of a head, in no order but for the first, without the date.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    status: String,
    fields: Vec<String>,
}

impl Head {
    pub fn new(status: String, mut fields: Vec<String>) -> Self {
        fields.sort();
        Self { status, fields }
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = str::from_utf8(bytes).expect("a head is text");
        let mut lines = text.trim_end().split("\r\n").map(str::to_owned);
        let status = lines.next().unwrap_or_default();
        let (date, fields): (Vec<_>, _) = lines.partition(|line| line.starts_with("Date: "));
        let dated = matches!(&date[..], [date] if date.len() == 35 && date.ends_with(" GMT"));
        assert!(dated || status == CONTINUE, "one date: {text:?}");
        Self::new(status, fields)
    }
}

const CONTINUE: &str = "HTTP/1.1 100 Continue";

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length,
    Chunks,
    UntilClose,
    /// There is no head: bytes as they come.
    Bare,
}

/// The reply to one request.
pub struct Reply {
    /// As it is, and as it is when the server is about to close.
    pub plain: Head,
    pub closing: Head,
    /// `100 Continue` may come before it.
    pub continues: bool,
    pub framing: Framing,
    pub body: Vec<u8>,
    /// What follows the last chunk.
    pub trailers: String,
}

impl Reply {
    /// Bytes without a head.
    pub fn bare(body: Vec<u8>) -> Self {
        let none = || Head::new(String::new(), Vec::new());
        let (plain, closing, trailers) = (none(), none(), String::new());
        Self { plain, closing, continues: false, framing: Framing::Bare, body, trailers }
    }
}

/// Which byte of it is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Head,
    Body,
    /// In the line before a chunk.
    Size,
    /// So many bytes before the end of a chunk.
    Chunk(usize),
    /// In the line end behind a chunk.
    ChunkEnd,
    Trailers,
}

/// How far the reply has come that is coming in.
#[derive(Debug)]
pub struct Reading {
    at: At,
    /// Of the head, of a chunk's line or of the trailers.
    text: Vec<u8>,
    /// Of the body.
    bytes: usize,
    /// The peer may go on with its body.
    pub continued: bool,
    /// It says that the server closes.
    pub told: bool,
}

impl Reading {
    /// Nothing of `reply` has come.
    pub fn new(reply: Option<&Reply>) -> Self {
        let bare = reply.is_some_and(|reply| reply.framing == Framing::Bare);
        let at = if bare { At::Body } else { At::Head };
        Self { at, text: Vec::new(), bytes: 0, continued: false, told: false }
    }

    /// Whether nothing has come.
    pub fn is_fresh(&self) -> bool {
        self.at == At::Head && self.text.is_empty()
    }

    /// Bytes of the body that have come.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Compares the next byte; whether the reply is whole with it.
    pub fn take(&mut self, reply: &Reply, draining: bool, byte: u8) -> bool {
        match self.at {
            At::Head => self.head(reply, draining, byte),
            At::Body => {
                self.body(reply, byte);
                self.bytes == reply.body.len()
            }
            At::Size => {
                if self.line(byte, b"\r\n") {
                    let digits = str::from_utf8(&self.text).unwrap().trim_end();
                    let size = usize::from_str_radix(digits, 16).expect("the size of a chunk");
                    self.at = if size == 0 { At::Trailers } else { At::Chunk(size) };
                    self.text.clear();
                }
                false
            }
            At::Chunk(left) => {
                self.body(reply, byte);
                self.at = if left == 1 { At::ChunkEnd } else { At::Chunk(left - 1) };
                false
            }
            At::ChunkEnd => {
                if self.line(byte, b"\r\n") {
                    assert_eq!(self.text, b"\r\n", "the end of a chunk");
                    self.text.clear();
                    self.at = At::Size;
                }
                false
            }
            At::Trailers => self.trailers(reply, byte),
        }
    }

    fn line(&mut self, byte: u8, end: &[u8]) -> bool {
        self.text.push(byte);
        assert!(self.text.len() < 1024, "no end of {:?}", String::from_utf8_lossy(&self.text));
        self.text.ends_with(end)
    }

    fn head(&mut self, reply: &Reply, draining: bool, byte: u8) -> bool {
        if !self.line(byte, b"\r\n\r\n") {
            return false;
        }
        let head = Head::parse(&self.text);
        self.text.clear();
        if head.status == CONTINUE {
            assert!(reply.continues && !self.continued && head.fields.is_empty(), "100 Continue");
            self.continued = true;
            return false;
        }
        self.told = head == reply.closing && draining;
        assert!(self.told || head == reply.plain, "{head:?} in place of {:?}", reply.plain);
        self.at = if reply.framing == Framing::Chunks { At::Size } else { At::Body };
        self.at == At::Body && reply.body.is_empty()
    }

    fn body(&mut self, reply: &Reply, byte: u8) {
        let due = reply.body.get(self.bytes);
        assert_eq!(due, Some(&byte), "byte {} of {}", self.bytes, reply.body.len());
        self.bytes += 1;
    }

    fn trailers(&mut self, reply: &Reply, byte: u8) -> bool {
        self.line(byte, b"\r\n");
        let whole = self.text == b"\r\n" || self.text.ends_with(b"\r\n\r\n");
        if whole {
            assert_eq!(self.text, reply.trailers.as_bytes(), "what follows the last chunk");
            assert_eq!(self.bytes, reply.body.len(), "the chunks end early");
        }
        whole
    }
}
