//! Keys that could not be read, in the log: a line a second, since with a broken store every
//! request is one, from whomever.

use std::{error::Error, sync::LazyLock};

use crate::{store::StoreError, telemetry::OncePerSecond};

static LINES: LazyLock<OncePerSecond> = LazyLock::new(OncePerSecond::default);

/// Logs that a key could not be read. For all APIs together.
pub(crate) fn log_unread(error: &StoreError) {
    if let Some(unlogged) = LINES.admit() {
        tracing::error!(error = error as &dyn Error, unlogged, "a key could not be read");
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        time::Instant,
    };

    use super::*;

    struct Lines(Arc<AtomicUsize>);

    impl tracing::Subscriber for Lines {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, Relaxed);
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn a_broken_store_is_a_line_a_second_however_many_ask() {
        let lines = Arc::new(AtomicUsize::new(0));
        let started = Instant::now();
        tracing::subscriber::with_default(Lines(Arc::clone(&lines)), || {
            for _ in 0..1000 {
                log_unread(&StoreError::Unavailable("it is broken"));
            }
        });
        let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
        assert!(lines.load(Relaxed) <= 1 + seconds);
    }
}
