//! A connection, from its socket to its end.

use std::{
    fmt::Display,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper_util::rt::TokioIo;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use super::{
    Drain,
    api::Api,
    call::Calls,
    connection::{Connection, Pace, Socket},
    connections::{Activity, End, Ended, Place},
    handshake, limits,
};

/// A socket, the API that it was accepted for, and its place among the others.
pub(super) struct Accepted {
    socket: Socket,
    api: Api,
    place: Place,
    ended: Ended,
    open: Open,
}

/// Sockets that wait to be served. Those that come faster wait in the kernel, where they cost
/// nothing, and everybody waits for its turn.
const ACCEPTED: usize = 64;

/// Where accepted sockets wait to be served. Clones are the same.
#[derive(Clone)]
pub(super) struct Queue {
    sockets: mpsc::Sender<Accepted>,
    open: Arc<AtomicUsize>,
}

/// Counts a connection as long as it lives.
struct Open(Arc<AtomicUsize>);

impl Queue {
    /// One, and what comes out of it.
    pub(super) fn new() -> (Self, mpsc::Receiver<Accepted>) {
        let (sockets, accepted) = mpsc::channel(ACCEPTED);
        (Self { sockets, open: Arc::default() }, accepted)
    }

    /// Has `socket` of `api` served, or closes it when there are too many.
    pub(super) async fn dispatch(&self, socket: Socket, api: &Api) {
        if let Some((place, ended)) = api.admit().await {
            // Counted from here, so that the next one sees it.
            self.open.fetch_add(1, Ordering::Relaxed);
            let (api, open) = (api.clone(), Open(Arc::clone(&self.open)));
            // A server that drains takes no more: the socket closes.
            let _ = self.sockets.send(Accepted { socket, api, place, ended, open }).await;
        }
    }

    /// How many of its connections there are.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether a socket has to wait for those before it.
    pub(super) fn is_full(&self) -> bool {
        self.sockets.capacity() == 0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves what is `accepted` until `drain` turns, and then for as long as calls are in flight, but
/// no longer than it says.
pub(super) async fn all(mut accepted: mpsc::Receiver<Accepted>, mut drain: Drain) {
    let mut connections = JoinSet::new();
    let limit = loop {
        tokio::select! {
            // An error is that nobody is left to ask for a stop: then it is one.
            asked = drain.wait_for(Option::is_some) => {
                break asked.map_or(None, |limit| *limit).unwrap_or_default();
            }
            Some(accepted) = accepted.recv() => {
                connections.spawn(one(accepted));
            }
            // One that panicked has said so already.
            Some(_) = connections.join_next() => {}
        }
    };
    drop(accepted);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(limit, ended).await.is_err() {
        tracing::warn!("calls still in flight after the drain time-out were cut off");
    }
}

/// Serves one connection until either side ends it. When this is dropped, it is cut.
async fn one(accepted: Accepted) {
    let Accepted { socket, api, place, mut ended, open: _open } = accepted;
    let secure = match &socket {
        Socket::Tls(_, address, tls) => Some((*address, tls.clone())),
        Socket::Tcp(..) | Socket::Unix(_) => None,
    };
    let made = tokio::select! {
        made = handshake::make(socket, &api, &place) => made,
        // What is not begun needs no end.
        _ = ended.why() => None,
    };
    let Some((stream, peer)) = made else { return };
    let activity = place.activity();
    let stream = Connection::new(stream, Pace::new(activity.clone(), api.pacing()));
    let calls = Calls::new(api.clone(), activity.clone(), peer);
    let mut serving = pin!(api.http().serve_connection(TokioIo::new(stream), calls));
    let end = tokio::select! {
        // The end first: what is answered from then on says so.
        biased;
        end = ended.why() => end,
        result = serving.as_mut() => return log(result),
        () = stalled(activity, api.pacing().write) => {
            return tracing::debug!("a client does not take its answers: it is cut off");
        }
    };
    // hyper would wait for a greeting for ever; and who has made no call yet loses none.
    if !activity.has_greeted() || (end == End::Evicted && activity.turn() == 0) {
        return;
    }
    serving.as_mut().graceful_shutdown();
    match end {
        // Whoever drains has a bound of its own.
        End::Drain => log(serving.await),
        End::Evicted => within(limits::EVICTED_LINGER, serving).await,
        End::Distrusted => {
            if let Some((address, tls)) = secure {
                tls.log_distrusted(address);
            }
            within(limits::DISTRUSTED_LINGER, serving).await;
        }
    }
}

/// Ends when the client has left a piece of an answer untaken for `limit`, or twice that.
async fn stalled(activity: &Activity, limit: Duration) {
    loop {
        tokio::time::sleep(limit).await;
        if activity.is_stalled() {
            return;
        }
    }
}

/// Cuts `serving` when it takes longer than `limit`.
async fn within<E: Display>(limit: Duration, serving: impl Future<Output = Result<(), E>>) {
    if let Ok(result) = timeout(limit, serving).await {
        log(result);
    }
}

fn log<E: Display>(result: Result<(), E>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
