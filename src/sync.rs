//! The only door to atomics, cells, shared ownership and thread hints: the standard library's, or
//! loom's when the crate is compiled with `--cfg loom`. No algorithm lives here.
//!
//! `clippy.toml` bans the raw types everywhere else; the atomics are exported as aliases because
//! the lint sees through a re-export. Differences that callers must respect: loom's atomics are
//! wider than the word they model (compute layouts with `size_of`) and have no `const` constructor.
#![allow(clippy::disallowed_types)]

use std::any::Any;

#[cfg(loom)]
pub use self::modelled::*;
#[cfg(not(loom))]
pub use self::native::*;

/// Keeps memory mapped or allocated that a structure reaches through raw pointers; dropped last.
///
/// Always the standard `Arc`: what it owns is outside every loom model.
pub type KeepAlive = std::sync::Arc<dyn Any + Send + Sync>;

/// A number of a statistic. Always the standard one: it orders nothing, and no model looks at it.
pub type Tally = std::sync::atomic::AtomicU64;

#[cfg(not(loom))]
mod native {
    pub use std::hint::spin_loop;
    pub use std::sync::atomic::{Ordering, fence};
    pub use std::thread::yield_now;

    /// A boolean shared between threads.
    pub type AtomicBool = std::sync::atomic::AtomicBool;
    /// A byte shared between threads.
    pub type AtomicU8 = std::sync::atomic::AtomicU8;
    /// The tail of a provided-buffer ring, shared with the kernel.
    pub type AtomicU16 = std::sync::atomic::AtomicU16;
    /// A 32-bit word shared between threads or processes.
    pub type AtomicU32 = std::sync::atomic::AtomicU32;
    /// A 64-bit word shared between threads or processes.
    pub type AtomicU64 = std::sync::atomic::AtomicU64;
    /// A machine word shared between threads.
    pub type AtomicUsize = std::sync::atomic::AtomicUsize;
    /// Shared ownership between threads.
    pub type Arc<T> = std::sync::Arc<T>;

    /// Interior mutability with loom's access shape: the pointer is lent to a closure.
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub struct UnsafeCell<T: ?Sized>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell that holds `value`.
        #[inline]
        pub const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// The value, once nobody else can reach the cell.
        #[inline]
        pub fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }

    impl<T: ?Sized> UnsafeCell<T> {
        /// Lends a pointer for reading; the caller answers for there being no writer meanwhile.
        #[inline]
        pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        /// Lends a pointer for writing; the caller answers for its being the only access.
        #[inline]
        pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}

#[cfg(loom)]
mod modelled {
    pub use loom::cell::UnsafeCell;
    pub use loom::hint::spin_loop;
    pub use loom::sync::atomic::{Ordering, fence};
    pub use loom::sync::{Condvar, Mutex};
    pub use loom::thread::yield_now;

    /// A boolean shared between modelled threads.
    pub type AtomicBool = loom::sync::atomic::AtomicBool;
    /// A byte shared between modelled threads.
    pub type AtomicU8 = loom::sync::atomic::AtomicU8;
    /// A 32-bit word shared between modelled threads.
    pub type AtomicU32 = loom::sync::atomic::AtomicU32;
    /// A 64-bit word shared between modelled threads.
    pub type AtomicU64 = loom::sync::atomic::AtomicU64;
    /// A machine word shared between modelled threads.
    pub type AtomicUsize = loom::sync::atomic::AtomicUsize;
    /// Shared ownership between modelled threads.
    pub type Arc<T> = loom::sync::Arc<T>;
}
