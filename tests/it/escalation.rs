//! Nobody gets more than they hold: every role with every grant makes every call
//! of the admin API, and what must be refused is looked up in a table that knows
//! nothing of the program.

mod matrix;
mod race;

pub mod rights;
