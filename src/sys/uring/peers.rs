//! Where the kernel writes the addresses of accepted connections: fixed places that stay for as long
//! as it may write.

use std::net::IpAddr;

use crate::error::Result;
use crate::sys::mapping::{Mapping, Request};
use crate::sys::stream_socket::{ADDRESS_BYTES, read_address};

/// One place: an address and its length, both written by the kernel (accept(2)).
#[repr(C)]
struct Place {
    address: [u8; ADDRESS_BYTES],
    length: libc::socklen_t,
}

/// The places of one ring.
pub(super) struct Peers {
    /// `None` once it was left to the kernel.
    places: Option<Mapping>,
    count: usize,
}

impl Peers {
    pub fn create(count: usize) -> Result<Self> {
        let bytes = count * size_of::<Place>();
        let request = Request { no_huge: true, ..Request::new("ringway-peers", bytes) };
        Ok(Self { places: Some(Mapping::create(&request, |_| ())?), count })
    }

    fn place(&self, place: usize) -> *mut Place {
        assert!(place < self.count, "there is a place for each accept in flight");
        let places = self.places.as_ref().expect("it is left to the kernel at the very end");
        // SAFETY: `place` is below the number of places that the mapping was made for.
        unsafe { places.as_mut_ptr().cast::<Place>().add(place) }
    }

    /// Where to let the kernel write an address and its length, which is set to what fits. No
    /// operation is in flight on this place.
    pub fn room(&self, place: usize) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        let place = self.place(place);
        // SAFETY: the place lies in our mapping; this only computes where its second field is.
        let length = unsafe { &raw mut (*place).length };
        // SAFETY: as above, aligned; the kernel writes only while an accept is in flight here.
        unsafe { length.write(ADDRESS_BYTES as libc::socklen_t) };
        (place.cast(), length)
    }

    /// The address that the last accept on this place left; `None` if it is of no IP family.
    pub fn address(&self, place: usize) -> Option<IpAddr> {
        // SAFETY: the place lies in our mapping and any bytes are one; a kernel that were still
        // writing could only give us the address of another peer.
        let bytes = unsafe { self.place(place).read_volatile() }.address;
        read_address(&bytes)
    }

    /// Leaves the places to a kernel that has not let go of them.
    pub fn leave(&mut self) {
        std::mem::forget(self.places.take());
    }
}
