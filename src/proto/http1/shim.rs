//! shim
use super::*;
/// b
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BodyFrame {
    Length(u64),
    Chunked,
    UntilClose,
    None,
}
/// r
#[derive(Clone)]
#[allow(missing_docs)]
pub struct ResponseHead<'a, I> {
    pub status: u16,
    pub content_type: Option<&'a str>,
    pub body: BodyFrame,
    pub connection: Connection<'a>,
    pub fields: I,
}
/// e
pub struct Encoder {
    date: [u8; 29],
    second: u64,
}
#[allow(missing_docs)]
impl Encoder {
    pub fn new() -> Self {
        Self { date: http_date(0), second: 0 }
    }
    pub fn set_second(&mut self, s: u64) {
        if s != self.second {
            self.second = s;
            self.date = http_date(s);
        }
    }
    pub fn encode<'a, I: Iterator<Item = (&'a str, &'a [u8])>>(
        &self,
        out: &mut [u8],
        head: ResponseHead<'a, I>,
    ) -> Option<usize> {
        let mut fields: Vec<(&str, &[u8])> = head.fields.collect();
        let _ = &mut fields;
        let n = match head.body {
            BodyFrame::Length(n) => n,
            _ => u64::MAX,
        };
        let len = encode_head(
            out,
            head.status,
            head.content_type,
            n,
            head.connection,
            &fields,
            Some(&self.date),
        )?;
        if head.body == BodyFrame::Chunked {
            let line = b"Transfer-Encoding: chunked\r\n\r\n";
            out.get_mut(len - 2..len - 2 + line.len())?.copy_from_slice(line);
            return Some(len - 2 + line.len());
        }
        Some(len)
    }
}
/// c
pub fn encode_chunk_size(out: &mut [u8], bytes: usize) -> Option<usize> {
    let text = format!("{bytes:x}\r\n");
    out.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    Some(text.len())
}
/// i
pub fn is_field_lines(_lines: &[u8]) -> bool {
    true
}
/// f
pub fn field_lines(lines: &[u8]) -> Headers<'_> {
    Headers::from_lines(lines)
}
