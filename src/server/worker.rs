//! The threads of the authorization path: one current-thread runtime each, with
//! connections of its own.
//!
//! INVARIANT: a connection stays on the worker that it was given to; workers
//! share nothing but the authorizer. A new connection goes to the worker that has
//! the fewest.

use std::{
    io,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use http::{HeaderValue, Response};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_stream::{Stream, StreamExt as _, wrappers::UnboundedReceiverStream};
use tonic::{body::Body, service::Routes};
use tower::util::MapResponseLayer;

use super::{
    connection::{Connection, Open, Socket},
    limits, secure,
};

/// Turns to the drain time-out when a stop was asked for.
pub type Drain = watch::Receiver<Option<Duration>>;

/// The workers, running.
pub struct Workers {
    workers: Vec<Worker>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Worker {
    sockets: mpsc::UnboundedSender<(Socket, Open)>,
    open: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts `count` threads that answer with `routes` until `drain` turns.
    ///
    /// # Errors
    /// A thread or runtime cannot be made.
    pub fn start(count: usize, routes: &Routes, drain: &Drain) -> io::Result<Self> {
        let mut workers = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let (sockets, incoming) = mpsc::unbounded_channel();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let serve =
                serve(routes.clone(), UnboundedReceiverStream::new(incoming), drain.clone());
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            threads.push(thread.spawn(move || runtime.block_on(serve))?);
            workers.push(Worker { sockets, open: Arc::default() });
        }
        Ok(Self { workers, threads: Mutex::new(threads) })
    }

    /// Gives `socket` to the worker with the fewest connections.
    pub fn dispatch(&self, socket: Socket) {
        if let Some(worker) =
            self.workers.iter().min_by_key(|worker| worker.open.load(Ordering::Relaxed))
        {
            // Counted from here, so that the next one sees it. A worker that
            // drains takes no more: the socket closes.
            let _ = worker.sockets.send((socket, Open::new(&worker.open)));
        }
    }

    /// Waits until every worker has drained. Blocks.
    pub fn join(&self) {
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A worker that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// Answers on `sockets` with `routes` until `drain` turns, and then for as long
/// as calls are in flight, but no longer than it says.
pub(super) async fn serve(
    routes: Routes,
    sockets: impl Stream<Item = (Socket, Open)> + Send,
    mut drain: Drain,
) {
    let (plain, connections) = mpsc::unbounded_channel();
    let connections = UnboundedReceiverStream::new(connections);
    let server = answer(routes.clone(), connections, asked_to_stop(drain.clone()));
    let sort = sort(routes, sockets, plain, drain.clone());
    let deadline = async {
        let timeout = drain.wait_for(Option::is_some).await.map_or(None, |timeout| *timeout);
        tokio::time::sleep(timeout.unwrap_or_default()).await;
    };
    tokio::select! {
        _ = async { tokio::join!(server, sort) } => {}
        () = deadline => tracing::warn!("calls still in flight after the drain time-out were cut off"),
    }
}

/// Hands plain connections to the one server, and gives each TLS connection a task of
/// its own; waits for these. What is left of them is cut when this is dropped.
async fn sort(
    routes: Routes,
    sockets: impl Stream<Item = (Socket, Open)> + Send,
    plain: mpsc::UnboundedSender<io::Result<Connection>>,
    drain: Drain,
) {
    let mut sockets = pin!(sockets);
    let mut stop = pin!(asked_to_stop(drain.clone()));
    let mut secure = JoinSet::new();
    loop {
        let (socket, open) = tokio::select! {
            () = &mut stop => break,
            Some(_) = secure.join_next() => continue,
            next = sockets.next() => match next {
                Some(next) => next,
                None => break,
            },
        };
        let patience = || Box::pin(patience(drain.clone()));
        // A server that drains takes no more: the connection closes.
        let _ = match socket {
            Socket::Tls(stream, address, tls) => {
                let serve =
                    secure::serve(routes.clone(), stream, address, tls, open, drain.clone());
                secure.spawn(serve);
                continue;
            }
            Socket::Tcp(stream, address) => {
                plain.send(Connection::tcp(stream, address, open, patience()))
            }
            Socket::Unix(stream) => plain.send(Connection::unix(stream, open, patience())),
        };
    }
    drop(plain);
    while secure.join_next().await.is_some() {}
}

/// Answers on `connections` until `stop` ends, and then for as long as calls are in
/// flight.
pub(super) async fn answer(
    routes: Routes,
    connections: impl Stream<Item = io::Result<Connection>>,
    stop: impl Future<Output = ()>,
) {
    let server = limits::server()
        .layer(MapResponseLayer::new(say_oversize))
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, stop);
    if let Err(error) = server.await {
        tracing::error!(%error, "a server ended");
    }
}

/// Ends when a stop was asked for.
pub(super) async fn asked_to_stop(mut drain: Drain) {
    // An error is that nobody is left to ask for a stop: then it is one.
    let _ = drain.wait_for(Option::is_some).await;
}

/// Lasts as long as a peer may be silent before it has said anything.
pub(super) async fn patience(mut drain: Drain) {
    tokio::select! {
        _ = drain.wait_for(Option::is_some) => {}
        () = tokio::time::sleep(limits::GREETING_TIMEOUT) => {}
    }
}

/// tonic answers OUT_OF_RANGE to a message that is too large, which nothing else
/// here says; the contract is INVALID_ARGUMENT.
fn say_oversize(mut response: Response<Body>) -> Response<Body> {
    const OUT_OF_RANGE: &[u8] = b"11";
    const INVALID_ARGUMENT: HeaderValue = HeaderValue::from_static("3");
    if let Some(status) = response.headers_mut().get_mut("grpc-status")
        && status.as_bytes() == OUT_OF_RANGE
    {
        *status = INVALID_ARGUMENT;
    }
    response
}
