//! What HTTP says about files (RFC 9110 §8.8, §13, §14) and forms (RFC 7578), without a file: paths, entity tags,
//! conditions, ranges, encodings, types.
//!
//! Of a request for a file, in this order: [`RelativePath::decode`] says which; [`condition`] whether it is to be sent at
//! all; [`if_range`] whether [`select`] is to be asked which part. Of an upload, [`ContentRange::decode`] says where it goes
//! on, and [`FormDecoder`] what lies in a form.

mod conditions;
mod content_range;
mod disposition;
mod encoding;
mod entity_tag;
mod form;
mod media_type;
mod path;
mod ranges;

pub use conditions::{Condition, Validators, condition, if_range};
pub use content_range::ContentRange;
pub use disposition::{form_boundary, form_file_name};
pub use encoding::{Coding, accepted};
pub use entity_tag::{Comparison, EntityTag};
pub use form::{FormDecoder, FormEvent, FormFault};
pub use media_type::media_type;
pub use path::{PathFault, RelativePath, is_file_name};
pub use ranges::{ByteRange, ByteRanges, Selection, encode_part_end, encode_part_head, select};
