//! A store that has failed: not ready, and the end.

use octavia_authz::pb::v1::AuthorizeRequest;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

use super::{health, probes, value, wait_for_readiness};
use crate::durable::syscalls::{Traced, describe, dir_with_key, segment};

#[tokio::test]
#[ignore = "needs strace"]
async fn a_sidecar_whose_store_has_failed_is_not_ready_and_ends_with_1() {
    let (dir, id) = dir_with_key().await;
    let strace = ["-P", &segment(dir.path()), "-e", "inject=fdatasync:error=EIO:when=2"];
    let traced = Traced::start(dir.path(), &strace).unwrap();
    let ops = traced.sidecar().ops_listen.clone();
    // It waits for the end of this stream, so that there is time to look.
    let (questions, asked) = mpsc::unbounded_channel();
    let mut client = traced.sidecar().authorization().await;
    let stream = client.stream_authorize(UnboundedReceiverStream::new(asked)).await;
    let mut stream = stream.unwrap().into_inner();
    let question = AuthorizeRequest { action: "articles.create".into(), ..Default::default() };
    questions.send(question).unwrap();
    stream.message().await.unwrap().unwrap();

    let mut keys = traced.sidecar().keys().await;
    describe(&mut keys, &id, "first").await.unwrap();
    assert_eq!(probes(&ops), [200; 3]);
    describe(&mut keys, &id, "second").await.unwrap_err();
    wait_for_readiness(&ops, 503);
    assert_eq!(probes(&ops), [200, 503, 200]);
    assert_eq!(value(&ops, "octavia_authz_ready"), Some(0.0));
    drop((questions, stream));
    assert_eq!(traced.wait().await, Some(1));
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_store_that_fails_after_sigterm_ends_the_pause_with_1() {
    let (dir, id) = dir_with_key().await;
    let strace = ["-P", &segment(dir.path()), "-e", "inject=fdatasync:error=EIO:when=2"];
    let traced = Traced::start_with(dir.path(), &strace, &["--lameduck", "1h"]).unwrap();
    let ops = traced.sidecar().ops_listen.clone();
    let mut keys = traced.sidecar().keys().await;
    traced.terminate();
    wait_for_readiness(&ops, 503);
    assert_eq!(health(&ops, "readiness").await, NotServing);
    assert_eq!(health(&ops, "liveness").await, Serving);
    describe(&mut keys, &id, "first").await.unwrap();
    describe(&mut keys, &id, "second").await.unwrap_err();
    assert_eq!(traced.wait().await, Some(1));
}
