//! Bad input: whatever is sent or configured, the answer is the contract's,
//! nothing panics, and the sidecar serves on.

mod limits;
mod slow;
mod start;
mod wire;
