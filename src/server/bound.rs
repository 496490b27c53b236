//! An API and its listeners.

use super::{Api, BindError, Listener};
use crate::{config::Address, tls::Reloader};

/// An API, and where it listens.
pub(super) struct Bound {
    pub(super) api: Api,
    pub(super) listeners: Vec<Listener>,
}

impl Bound {
    /// Binds `addresses` for `api`; those over TCP speak TLS if there is one.
    ///
    /// # Errors
    /// [`BindError`]
    pub(super) fn new(
        api: Api,
        addresses: &[Address],
        tls: Option<&Reloader>,
    ) -> Result<Self, BindError> {
        let bind = |address| Ok(Listener::bind(address)?.with_tls(tls.cloned()));
        let listeners = addresses.iter().map(bind).collect::<Result<_, BindError>>()?;
        Ok(Self { api, listeners })
    }

    /// Real ports.
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.listeners.iter().map(|listener| listener.address().clone()).collect()
    }

    /// Whether TLS is spoken on any.
    pub(super) fn is_secure(&self) -> bool {
        self.listeners.iter().any(Listener::is_secure)
    }
}
