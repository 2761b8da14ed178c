//! Each way in which the kernel says no, or late, or half, met on purpose: everything is answered
//! in the end, and every buf comes back.

#[path = "../common/mod.rs"]
mod common;

#[path = "../rig/breathing.rs"]
mod breathing;

mod addresses;
mod descriptors;
mod floods;
mod full;
mod overflow;
mod resets;
mod slow;
mod starved;
