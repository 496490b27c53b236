//! What is made of the configuration before anything is bound: files are read, then the store is
//! opened, and what decides and what changes is put on top of it.

use std::{path::PathBuf, sync::Arc};

use super::{ServerError, gauges::Gauges, pepper};
use crate::{
    authorizer::Authorizer,
    clock::Clock,
    config::Config,
    digest::{Digester, Pepper},
    keyring::Keyring,
    metrics::Metrics,
    operator::OperatorToken,
    policy::{CurrentPolicy, Policy},
    store::Embedded,
    tls,
    usage::Usage,
};

/// The files that the configuration names, read: nothing is made or touched.
pub(super) struct Files {
    policy: Policy,
    operator: Option<(OperatorToken, PathBuf)>,
    digester: Digester,
    pub(super) tls: Option<tls::Reloader>,
}

/// The store, and what stands on it.
pub(super) struct Opened {
    pub(super) store: Arc<Embedded>,
    pub(super) policy: CurrentPolicy,
    pub(super) usage: Usage,
    pub(super) authorizer: Arc<Authorizer>,
    pub(super) keyring: Keyring,
    pub(super) operator: OperatorToken,
    pub(super) operator_token_file: PathBuf,
}

impl Files {
    /// Reads them.
    ///
    /// # Errors
    /// [`ServerError`] of the configuration.
    pub(super) fn read(
        config: &Config,
        metrics: &Metrics,
        clock: &Clock,
    ) -> Result<Self, ServerError> {
        let policy = match &config.policy {
            Some(path) => Policy::load(path)?,
            None => Policy::built_in()?,
        };
        let operator = config.operator_token_file.as_ref().map(|path| {
            OperatorToken::read(path)
                .map(|operator| (operator, path.clone()))
                .map_err(ServerError::OperatorTokenFile)
        });
        let operator = operator.transpose()?;
        let pepper = |path: &Option<PathBuf>| path.as_deref().map(Pepper::read).transpose();
        let digester =
            Digester::new(pepper(&config.pepper_file)?, pepper(&config.previous_pepper_file)?);
        let reloads = metrics.handles().tls.reloads();
        let tls = config
            .tls
            .as_ref()
            .map(|files| tls::Reloader::load(files.clone(), clock.clone(), reloads.clone()));
        Ok(Self { policy, operator, digester, tls: tls.transpose()? })
    }

    /// Opens the store. Blocks, for as long as the store takes to recover.
    ///
    /// # Errors
    /// [`ServerError`]
    pub(super) fn open(
        self,
        config: &Config,
        metrics: &Metrics,
        clock: &Clock,
    ) -> Result<Opened, ServerError> {
        let Self { policy, operator, digester, tls: _ } = self;
        let handles = metrics.handles().clone();
        let store = Arc::new(Embedded::open_metered(&config.data_dir, handles.store)?);
        let (operator, operator_token_file) = match operator {
            Some(named) => named,
            None => {
                let path = config.data_dir.join("operator.token");
                (OperatorToken::read_or_generate(&path)?, path)
            }
        };
        pepper::check(&store, &digester, &config.data_dir)?;
        let usage = Usage::open(&config.data_dir.join("usage"), clock.clone())?;
        let policy = CurrentPolicy::new(policy);
        let authorizer = Authorizer::new(
            store.clone(),
            policy.clone(),
            digester.clone(),
            usage.clone(),
            config.cache_capacity,
            clock.clone(),
        );
        let authorizer = Arc::new(authorizer.with_metrics(handles.decisions));
        let keyring =
            Keyring::new(store.clone(), policy.clone(), digester, usage.clone(), clock.clone());
        metrics.collect(Box::new(Gauges::new(&store, &authorizer, &keyring, &usage)));
        Ok(Opened { store, policy, usage, authorizer, keyring, operator, operator_token_file })
    }
}
