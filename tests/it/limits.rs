//! The limits of `serve` as clients meet them.

mod files;
mod head;
mod in_flight;
mod sizes;
mod times;
mod wrong;
