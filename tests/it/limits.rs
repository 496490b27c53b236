//! The limits of `serve` as clients meet them.

mod files;
mod head;
mod in_flight;
mod quiet;
mod sizes;
mod times;
mod wrong;
