//! Hostile clients: whatever they send, or do not, the sidecar answers everybody else
//! meanwhile, on connections that are open and on new ones, holds a bounded amount of
//! memory, and is as before when they are gone.
//!
//! They write frames of their own to sockets (`frame`, `hostile`); `siege` watches.

mod crowd;
mod flood;
pub mod frame;
mod garbage;
mod headers;
mod hostile;
mod messages;
mod reset;
mod siege;
mod slow;
mod stall;
mod streams;
mod vitals;
mod windows;

const MIB: u64 = 1 << 20;

/// What an attack may add to the resident memory where nothing of it has to be kept: the
/// buffers of its few connections, and what the allocator has not given back yet.
const NOTHING_KEPT: u64 = 16 * MIB;
