//! A server of plain HTTP/1.1 for what is no gRPC. It runs on the runtime that starts it, not on
//! the workers, and answers with any router.
//!
//! INVARIANT: a connection ends, whatever its client does: one that is silent, slow to send or slow
//! to read is closed, and a drain lets be answered what is in flight and ends the rest.

mod exchange;
mod paced;

use std::{
    future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use self::{
    exchange::{Exchange, Turns},
    paced::Paced,
};
use super::{
    Drain, Socket,
    connection::{Connection, Open},
    limits,
};
use crate::telemetry::OncePerSecond;

/// What clients may take, of time and of room.
#[derive(Copy, Clone, Debug)]
struct Limits {
    /// Connections at once; one over it is closed.
    connections: usize,
    /// The line and the headers of a request arrive within this; the first one begins within it.
    head: Duration,
    /// A request arrives whole, and is answered, within this.
    request: Duration,
    /// From an answer to the next request.
    idle: Duration,
    /// For this long a client may take nothing of its answer.
    write: Duration,
    /// The largest body.
    body: usize,
}

impl Limits {
    const SERVED: Self = Self {
        connections: 1024,
        head: limits::GREETING_TIMEOUT,
        request: limits::REQUEST_TIMEOUT,
        idle: Duration::from_secs(60),
        write: limits::REQUEST_TIMEOUT,
        body: limits::MAX_MESSAGE,
    };
}

/// A server, running.
pub(super) struct Http {
    sockets: mpsc::UnboundedSender<(Socket, Open)>,
    open: Arc<AtomicUsize>,
    max: usize,
    log: OncePerSecond,
}

impl Http {
    /// Begins to answer with `router`, until `drain` turns. The task ends when all is answered, or
    /// the drain time-out is over.
    pub(super) fn start(router: Router, drain: Drain) -> (Self, JoinHandle<()>) {
        Self::start_with(router, drain, Limits::SERVED)
    }

    fn start_with(router: Router, drain: Drain, limits: Limits) -> (Self, JoinHandle<()>) {
        let (sockets, accepted) = mpsc::unbounded_channel();
        let task = tokio::spawn(serve(router, accepted, drain, limits));
        let (open, max) = (Arc::default(), limits.connections);
        (Self { sockets, open, max, log: OncePerSecond::default() }, task)
    }

    /// Serves `socket`, or closes it when there are too many.
    pub(super) fn dispatch(&self, socket: Socket) {
        let open = Open::new(&self.open);
        if self.open.load(Ordering::Relaxed) <= self.max {
            // A server that drains takes no more: the socket closes.
            let _ = self.sockets.send((socket, open));
        } else if let Some(unlogged) = self.log.admit() {
            let max = self.max;
            tracing::warn!(max, unlogged, "an HTTP connection was closed: there are too many");
        }
    }
}

async fn serve(
    router: Router,
    mut accepted: mpsc::UnboundedReceiver<(Socket, Open)>,
    mut drain: Drain,
    limits: Limits,
) {
    let mut connections = JoinSet::new();
    let stopping = drain.clone();
    let timeout = loop {
        tokio::select! {
            // An error is that nobody is left to ask for a stop: then it is one.
            asked = drain.wait_for(Option::is_some) => {
                break asked.map_or(None, |timeout| *timeout);
            }
            Some((socket, open)) = accepted.recv() => {
                let (router, drain) = (router.clone(), stopping.clone());
                connections.spawn(connection(socket, open, router, drain, limits));
            }
            // One that panicked has said so already.
            Some(_) = connections.join_next() => {}
        }
    };
    drop(accepted);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(timeout.unwrap_or_default(), ended).await.is_err() {
        tracing::warn!("calls still in flight after the drain time-out were cut off");
    }
}

/// Answers on one connection until either side ends it.
async fn connection(socket: Socket, open: Open, router: Router, mut drain: Drain, limits: Limits) {
    // `Paced` is the one with patience: it knows HTTP/1.1.
    let patience = Box::pin(future::pending());
    let stream = match socket {
        Socket::Tcp(stream, address) => Connection::tcp(stream, address, open, patience),
        Socket::Unix(stream) => Connection::unix(stream, open, patience),
        Socket::Tls(..) => return,
    };
    let stream = match stream {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be served");
            return;
        }
    };
    let turns = Turns::default();
    let stream = TokioIo::new(Paced::new(stream, turns.clone(), limits));
    let service = TowerToHyperService::new(Exchange::new(router, turns, limits));
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1().max_buf_size(limits::MAX_HEADERS as usize);
    let mut serving = pin!(http.serve_connection(stream, service));
    let ended = tokio::select! {
        result = serving.as_mut() => Some(result),
        _ = drain.wait_for(Option::is_some) => None,
    };
    let result = match ended {
        Some(result) => result,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(error, "an HTTP connection ended early");
    }
}

#[cfg(test)]
mod tests;
