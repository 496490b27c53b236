//! What listens: addresses, sockets, health, reflection, and an orderly end.

mod health;
mod reflection;
mod sockets;
mod stop;
