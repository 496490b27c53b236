//! From an accepted socket to a stream that HTTP can be spoken on, and who is at its other end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{HandshakeKind, InvalidMessage, pki_types::CertificateDer},
    server::TlsStream,
};

use super::{
    api::{Api, Protocol},
    connection::{Socket, Stream, credentials},
    connections::Place,
};
use crate::{
    grpc::Peer,
    tls::{self, Reloader},
};

/// Makes a stream of `socket`; `None` when there is nobody to speak with, which was said.
pub(super) async fn make(socket: Socket, api: &Api, place: &Place) -> Option<(Stream, Peer)> {
    let opened = match socket {
        Socket::Tls(stream, address, tls) => {
            return secure(stream, address, &tls, api, place).await;
        }
        Socket::Tcp(stream, address) => {
            TcpStream::from_std(stream).map(|stream| (Stream::Tcp(stream), Peer::Tcp(address)))
        }
        Socket::Unix(stream) => UnixStream::from_std(stream).map(|stream| {
            let peer = Peer::Unix(credentials(&stream));
            (Stream::Unix(stream), peer)
        }),
    };
    opened.inspect_err(|error| tracing::warn!(%error, "a connection could not be served")).ok()
}

async fn secure(
    socket: std::net::TcpStream,
    address: SocketAddr,
    tls: &Reloader,
    api: &Api,
    place: &Place,
) -> Option<(Stream, Peer)> {
    let limit = api.limits().handshake_timeout;
    let sets = tls.sets();
    let set = Arc::clone(&sets.borrow());
    let failed = |error: &io::Error| {
        api.handshake_failed();
        tls.log_failed(address, error);
    };
    let stream = TcpStream::from_std(socket).inspect_err(failed).ok()?;
    let config = match api.protocol() {
        Protocol::Grpc => set.config(),
        Protocol::Http => set.http_config(),
    };
    let accepted = timeout(limit, TlsAcceptor::from(config).accept(stream).into_fallible()).await;
    let stream = match accepted {
        Ok(Ok(stream)) => stream,
        Ok(Err((error, stream))) => {
            failed(&in_words(error));
            hear_out(stream, limit).await;
            return None;
        }
        Err(_) => {
            failed(&io::Error::other("the client did not go on in time"));
            return None;
        }
    };
    let chain = chain(&stream);
    // rustls does not look at the certificate of a session again.
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    let subject = chain.first().and_then(|first| tls::name_of(first)).map(Arc::from);
    place.shown(chain.clone());
    // After it: whoever looks at what was shown when there is a newer set, has looked before, or
    // sees this.
    let newest = sets.borrow();
    if (resumed || !Arc::ptr_eq(&newest, &set)) && !newest.admits(&chain) {
        failed(&io::Error::other("the CA of the client's certificate is gone, or it has expired"));
        return None;
    }
    drop(newest);
    Some((Stream::Tls(Box::new(stream)), Peer::Tls(address, subject)))
}

/// Reads what a refused client has sent already, for as long as `limit`. Closing at once would
/// reset the connection, and the alert that says why could be lost.
async fn hear_out(mut stream: TcpStream, limit: Duration) {
    let rest = async {
        let mut rest = [0; 1024];
        let _ = stream.shutdown().await;
        for _ in 0..64 {
            if !matches!(stream.read(&mut rest).await, Ok(1..)) {
                return;
            }
        }
    };
    // Late or not, it is over.
    let _ = timeout(limit, rest).await;
}

fn chain(stream: &TlsStream<TcpStream>) -> Vec<CertificateDer<'static>> {
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    chain.iter().map(|one| one.clone().into_owned()).collect()
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
