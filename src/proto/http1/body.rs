//! How a body is delimited, and the accounting of one with a length. Chunks live in `chunked`.

/// How the body of a request is delimited (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// No body: neither Content-Length nor Transfer-Encoding.
    None,
    /// Content-Length said so many bytes; zero is possible.
    Length(u64),
    /// `Transfer-Encoding: chunked`: a [`ChunkDecoder`](super::ChunkDecoder) finds the end.
    Chunked,
}

/// Counts off a body whose length is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    left_bytes: u64,
}

impl Body {
    /// A body of which nothing has arrived yet.
    pub const fn new(length_bytes: u64) -> Self {
        Self { left_bytes: length_bytes }
    }

    /// How many of the next `available` bytes belong to this body. They are counted as taken: what
    /// follows them is the next request.
    pub fn take(&mut self, available: usize) -> usize {
        let taken = self.left_bytes.min(available as u64);
        self.left_bytes -= taken;
        taken as usize
    }

    /// Whether the body is whole.
    pub const fn is_done(&self) -> bool {
        self.left_bytes == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_takes_its_own_bytes_and_leaves_the_next_request() {
        let mut body = Body::new(10);
        assert_eq!((body.take(4), body.is_done()), (4, false));
        assert_eq!((body.take(0), body.is_done()), (0, false));
        assert_eq!((body.take(100), body.is_done()), (6, true));
        assert_eq!(body.take(100), 0);
    }

    #[test]
    fn an_empty_body_is_done_at_once_and_a_huge_one_does_not_overflow() {
        assert!(Body::new(0).is_done());
        let mut body = Body::new(u64::MAX);
        assert_eq!(body.take(usize::MAX), usize::MAX);
        assert!(body.is_done());
    }
}
