//! shim
use super::*;
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
