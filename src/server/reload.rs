//! Reads the policy file anew when it is asked to.
//!
//! INVARIANT: a file that is wrong changes nothing: the last good policy stays in force.

use std::{error::Error, path::PathBuf, sync::Arc};

use tokio_stream::{Stream, StreamExt as _};

use crate::{authorizer::Authorizer, grpc::hex, metrics::Reloads, policy::Policy};

/// For each of `asked`, puts in force what the file at `path` says then. Ends when nobody can ask
/// any more.
pub(super) async fn run(
    asked: impl Stream<Item = ()>,
    path: Option<PathBuf>,
    authorizer: Arc<Authorizer>,
    reloads: Reloads,
) {
    tokio::pin!(asked);
    while asked.next().await.is_some() {
        let Some(path) = path.clone() else {
            tracing::info!("there is no policy file to read anew: the built-in policy is in force");
            continue;
        };
        let loaded = tokio::task::spawn_blocking(move || Policy::load(&path)).await;
        match loaded {
            Ok(Ok(policy)) => {
                let (before, digest) = (hex(authorizer.policy().digest()), hex(policy.digest()));
                authorizer.replace_policy(policy);
                reloads.done();
                let changed = before != digest;
                tracing::info!(digest, before, changed, "the policy was read anew and is in force");
            }
            Ok(Err(error)) => {
                reloads.failed();
                let (error, digest) = (&error as &dyn Error, hex(authorizer.policy().digest()));
                tracing::error!(
                    error,
                    digest,
                    "the policy file is wrong: the policy before stays in force"
                );
            }
            Err(error) => {
                reloads.failed();
                tracing::error!(%error, "the policy could not be read anew");
            }
        }
    }
}
