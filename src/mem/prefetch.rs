//! Asking for memory before it is looked at.

/// Asks for the cache line of `pointer`, which may be any: nothing is read, and nothing faults. Does
/// nothing on processors whose way of doing so Rust does not know.
#[inline(always)]
pub(super) fn prefetch(pointer: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch is a hint: it accesses no memory as the language sees it, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(pointer.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = pointer;
}
