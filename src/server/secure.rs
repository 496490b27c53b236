//! A TLS connection: its handshake, its server, and its end when the client's CA is gone.
//!
//! INVARIANT: each has a server of its own, so that one can be drained without the
//! others. A client whose certificate the newest set does not admit makes no new call
//! after the GOAWAY, and has no connection after `limits::DISTRUSTED_LINGER`.

use std::{future, io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{oneshot, watch},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{HandshakeKind, InvalidMessage, pki_types::CertificateDer},
    server::TlsStream,
};
use tokio_stream::{StreamExt as _, once, pending};
use tonic::service::Routes;

use super::{
    connection::{Connection, Open},
    limits,
    worker::{self, Drain},
};
use crate::{
    grpc::Peer,
    tls::{self, Reloader, Set},
};

/// Makes the handshake on `socket`, and answers with `routes` for as long as the
/// connection lasts or, after `drain` has turned, calls are in flight. When this is
/// dropped, the connection is cut.
pub(super) async fn serve(
    routes: Routes,
    socket: std::net::TcpStream,
    address: SocketAddr,
    tls: Reloader,
    open: Open,
    drain: Drain,
) {
    let mut patience = Box::pin(worker::patience(drain.clone()));
    let mut sets = tls.sets();
    let set = Arc::clone(&sets.borrow_and_update());
    let stream = match TcpStream::from_std(socket) {
        Ok(stream) => stream,
        Err(error) => return tls.log_failed(address, &error),
    };
    let accepted = tokio::select! {
        accepted = TlsAcceptor::from(set.config()).accept(stream).into_fallible() => accepted,
        // What a stop breaks off is nobody's fault.
        () = &mut patience => {
            if drain.borrow().is_none() {
                tls.log_failed(address, &io::Error::other("the client did not go on in time"));
            }
            return;
        }
    };
    let stream = match accepted {
        Ok(stream) => stream,
        Err((error, stream)) => {
            tls.log_failed(address, &in_words(error));
            tokio::select! {
                () = hear_out(stream) => {}
                () = patience => {}
            }
            return;
        }
    };
    let chain = chain(&stream);
    // rustls does not look at the certificate of a session again.
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    if resumed && !set.admits(&chain) {
        return;
    }
    let subject = chain.first().and_then(|first| tls::name_of(first)).map(Arc::from);
    let peer = Peer::Tls(address, subject);
    let (mut cut, at_cut) = oneshot::channel();
    let connection = Connection::tls(stream, peer, open, patience, at_cut);

    let (stop, mut stopped) = watch::channel(false);
    let server = worker::answer(routes, once(Ok(connection)).chain(pending()), async move {
        // An error is that this was dropped.
        let _ = stopped.wait_for(|stop| *stop).await;
    });
    let orderly = async {
        let distrusted = tokio::select! {
            () = distrusted(sets, set, &chain) => true,
            () = worker::asked_to_stop(drain) => false,
            () = cut.closed() => false,
        };
        stop.send_replace(true);
        if distrusted {
            tls.log_distrusted(address);
            tokio::time::sleep(limits::DISTRUSTED_LINGER).await;
        } else {
            // Whoever asked to stop has a bound of its own.
            future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = server => {}
        () = orderly => {
            let _ = cut.send(());
        }
    }
}

/// Reads what a refused client has sent already. Closing at once would reset the
/// connection, and the alert that says why could be lost.
async fn hear_out(mut stream: TcpStream) {
    let mut rest = [0; 1024];
    let _ = stream.shutdown().await;
    for _ in 0..64 {
        if !matches!(stream.read(&mut rest).await, Ok(1..)) {
            return;
        }
    }
}

fn chain(stream: &TlsStream<TcpStream>) -> Vec<CertificateDer<'static>> {
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    chain.iter().map(|one| one.clone().into_owned()).collect()
}

/// Ends when there is a set that would not let the client in.
async fn distrusted(
    mut sets: watch::Receiver<Arc<Set>>,
    mut set: Arc<Set>,
    chain: &[CertificateDer<'_>],
) {
    while sets.changed().await.is_ok() {
        let newest = Arc::clone(&sets.borrow_and_update());
        if !newest.trusts_as(&set) && !newest.admits(chain) {
            return;
        }
        set = newest;
    }
    // Nothing changes any more.
    future::pending().await
}

fn in_words(error: io::Error) -> io::Error {
    use tokio_rustls::rustls::Error;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            io::Error::other("the client does not speak TLS")
        }
        Some(Error::NoCertificatesPresented) => {
            io::Error::other("the client has shown no certificate")
        }
        Some(tls) => io::Error::other(tls.to_string()),
        None => error,
    }
}
