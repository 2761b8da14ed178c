//! Responses that wait: few, so they have a store of their own, and a connection only a number.

use super::response::Response;

/// Names a response in a [`KeptResponses`], or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResponseId(u32);

impl ResponseId {
    pub const NONE: Self = Self(u32::MAX);

    #[inline]
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }
}

/// Responses that wait. It grows to as many as ever waited at a time.
pub(super) struct KeptResponses {
    responses: Vec<Option<Response>>,
    free: Vec<u32>,
}

impl KeptResponses {
    /// Room for so many before it grows.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { responses: Vec::with_capacity(capacity), free: Vec::with_capacity(capacity) }
    }

    pub fn put(&mut self, response: Response) -> ResponseId {
        let index = self.free.pop().unwrap_or(self.responses.len() as u32);
        match self.responses.get_mut(index as usize) {
            Some(place) => *place = Some(response),
            None => self.responses.push(Some(response)),
        }
        ResponseId(index)
    }

    /// Gives the response back; `id` is none afterwards.
    pub fn take(&mut self, id: &mut ResponseId) -> Option<Response> {
        let index = std::mem::replace(id, ResponseId::NONE).0;
        let response = self.responses.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(response)
    }
}
