//! Tries whether keys can be read.
//!
//! INVARIANT: there is one try at a time. Nothing can end one that a disk holds up, and each
//! takes a thread: others would wait for those.

use std::{error::Error, sync::Arc, time::Duration};

use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout},
};

/// A key is read within this.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tries again and again, one after the other.
pub(super) struct Trial<F, E> {
    attempt: Arc<F>,
    under_way: Option<(Instant, JoinHandle<Result<(), E>>)>,
    failure: Option<String>,
}

impl<F, E> Trial<F, E>
where
    F: Fn() -> Result<(), E> + Send + Sync + 'static,
    E: Error + Send + 'static,
{
    /// One that has not failed.
    pub(super) fn new(attempt: F) -> Self {
        Self { attempt: Arc::new(attempt), under_way: None, failure: None }
    }

    /// Tries, or waits for the try that is under way, for at most `wait`; gives why it fails, as far
    /// as is known.
    pub(super) async fn failure(&mut self, wait: Duration) -> Option<String> {
        let (since, mut trying) = self.under_way.take().unwrap_or_else(|| {
            let attempt = Arc::clone(&self.attempt);
            (Instant::now(), spawn_blocking(move || attempt()))
        });
        match timeout(wait, &mut trying).await {
            Ok(Ok(Ok(()))) => self.failure = None,
            Ok(Ok(Err(error))) => self.failure = Some(error.to_string()),
            Ok(Err(_)) => self.failure = Some("a defect".to_owned()),
            Err(_) => {
                if since.elapsed() >= PATIENCE {
                    self.failure = Some(format!("it takes longer than {PATIENCE:?}"));
                }
                self.under_way = Some((since, trying));
            }
        }
        self.failure.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{
            Mutex, PoisonError,
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
    };

    use super::*;

    #[tokio::test]
    async fn one_that_is_held_up_is_a_failure_and_no_other_is_begun() {
        let (let_go, held) = mpsc::channel::<io::Result<()>>();
        let (held, tries) = (Mutex::new(held), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&tries);
        let mut trial = Trial::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            held.lock().unwrap_or_else(PoisonError::into_inner).recv().unwrap()
        });
        let began = Instant::now();
        let failure = loop {
            if let Some(failure) = trial.failure(Duration::from_millis(10)).await {
                break failure;
            }
        };
        assert!(began.elapsed() >= PATIENCE && failure.contains("longer than 5s"), "{failure}");
        assert_eq!(tries.load(Ordering::SeqCst), 1);

        let_go.send(Ok(())).unwrap();
        while trial.failure(Duration::from_millis(10)).await.is_some() {}
        let_go.send(Err(io::Error::other("no disk"))).unwrap();
        assert_eq!(trial.failure(Duration::from_secs(30)).await.as_deref(), Some("no disk"));
        assert_eq!(tries.load(Ordering::SeqCst), 2);
    }
}
