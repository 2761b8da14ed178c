//! What a peer can do wrong in HTTP/1, each with the status code that answers it.

/// A broken rule of a request, found before any handler saw it.
///
/// The answer carries [`status`](Fault::status) and `Connection: close`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Fault {
    /// More before the request line than one CRLF (RFC 9112 §2.2).
    EmptyLines,
    /// The method is not a token.
    Method,
    /// The method is longer than any this server could know (RFC 9112 §3).
    MethodTooLong,
    /// The target holds a byte no URI has, or is in none of the four forms its method may use.
    Target,
    /// The target is past [`Limits::target_bytes`](super::Limits::target_bytes).
    TargetTooLong,
    /// The request line does not end in a version.
    VersionSyntax,
    /// A version other than 1.0 and 1.1.
    VersionUnsupported,
    /// A line ends in something other than CRLF (RFC 9112 §2.2 tolerates a bare LF; peers that
    /// disagree about it can be made to see different requests, so we do not).
    LineEnd,
    /// A field name is not a token right before its colon; folded lines are this too (RFC 9112 §5).
    HeaderName,
    /// A field value holds a control character, NUL or bare CR included (RFC 9110 §5.5).
    HeaderValue,
    /// The head is past [`Limits::head_bytes`](super::Limits::head_bytes).
    HeadTooLong,
    /// More fields than [`Limits::headers`](super::Limits::headers).
    TooManyHeaders,
    /// HTTP/1.1 without a Host (RFC 9112 §3.2).
    HostMissing,
    /// More than one Host (RFC 9112 §3.2).
    HostRepeated,
    /// A Host that is not `host` or `host:port`: userinfo, lists and blanks are refused with it.
    HostInvalid,
    /// Content-Length is not one plain decimal number below 2⁶⁴ (RFC 9112 §6.3).
    LengthInvalid,
    /// More than one Content-Length, equal or not.
    LengthRepeated,
    /// Both Content-Length and Transfer-Encoding (RFC 9112 §6.1).
    LengthAndCoding,
    /// A transfer coding other than exactly `chunked` (RFC 9112 §6.1).
    CodingUnknown,
    /// More than one Transfer-Encoding, or an empty one.
    CodingInvalid,
    /// A Transfer-Encoding in HTTP/1.0, which has none (RFC 9112 §6.1).
    CodingInHttp10,
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    ExpectationUnknown,
    /// The body is past [`Limits::body_bytes`](super::Limits::body_bytes).
    BodyTooLarge,
    /// A chunk size that is not 1 to 16 hexadecimal digits (RFC 9112 §7.1).
    ChunkSize,
    /// A control character in a chunk extension.
    ChunkExtension,
    /// More chunk extensions than a body may carry (RFC 9112 §7.1.1).
    ChunkExtensionsTooLong,
    /// Chunk framing without the CRLF that belongs there.
    ChunkLineEnd,
    /// A trailer field that is not `name: value` (RFC 9112 §7.1.2).
    Trailer,
    /// A trailer field that only makes sense before a body, such as one that frames it (RFC 9110
    /// §6.5.1).
    TrailerForbidden,
    /// More trailer fields than a body may carry.
    TrailersTooLong,
}

impl Fault {
    /// The status code of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::ExpectationUnknown => 417,
            Self::HeadTooLong | Self::TooManyHeaders | Self::TrailersTooLong => 431,
            Self::MethodTooLong => 501,
            Self::VersionUnsupported => 505,
            _ => 400,
        }
    }
}
