//! Questions that are not decided: gRPC has errors for that, which a proxy may be configured to let
//! pass (`failure_mode_allow`). So each is a denial.

use envoy_types::pb::envoy::service::auth::v3::CheckResponse;

use super::{CHECK, Told};
use crate::{
    held::{Answered, Connection, Held},
    raw,
    sidecar::Sidecar,
};

/// A denial with 503, whose envelope and status say `why`.
#[track_caller]
fn assert_denied(answer: &Answered, reason: &str, why: &str) {
    let check: CheckResponse = answer.decoded();
    assert!(check.status.as_ref().unwrap().message.contains(why), "{check:?}");
    let told = Told::of(check);
    assert_eq!((told.status, &*told.headers["content-type"]), (503, "application/json"));
    assert_eq!(told.metadata["reason"], reason);
    let body: serde_json::Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!((&body["success"], &body["statusCode"]), (&false.into(), &503.into()), "{told:?}");
    assert!(body["message"].as_str().unwrap().contains(why), "{told:?}");
}

async fn begin(sidecar: &Sidecar) -> Held {
    Connection::to(&sidecar.listen).await.begin(CHECK, &[]).await
}

#[tokio::test]
async fn one_that_is_turned_away_because_there_are_too_many_is_a_denial() {
    let sidecar = Sidecar::start_with(&["--max-in-flight", "1"]);
    let mut connection = Connection::to(&sidecar.listen).await;
    let check = connection.begin(CHECK, &[]).await;
    // It makes room, once it is seen.
    while connection.begin(raw::AUTHORIZE, &[]).await.finish(b"").await.code()
        != tonic::Code::InvalidArgument
    {}
    let denied = check.answered().await;
    assert_denied(&denied, "UNAVAILABLE", "more than 1 calls are in flight");
    sidecar.finish().await;
}

#[tokio::test]
async fn one_that_does_not_arrive_in_time_is_a_denial() {
    let sidecar = Sidecar::start_with(&["--request-timeout", "200ms"]);
    let denied = begin(&sidecar).await.answered().await;
    assert_denied(&denied, "UNAVAILABLE", "not answered within 200ms");
    sidecar.finish().await;
}

#[tokio::test]
async fn one_that_cannot_be_read_is_a_denial() {
    let sidecar = Sidecar::start_with(&["--max-message-bytes", "2000"]);
    for (message, why) in [
        (&b"\xff\xff\xff"[..], "not valid protobuf"),
        (b"", "attributes.request.http"),
        (&[0; 3000], "limit"),
    ] {
        let denied = begin(&sidecar).await.finish(message).await;
        assert_denied(&denied, "REQUEST_INVALID", why);
    }
    // What says that it is compressed, and is not.
    let denied = begin(&sidecar).await.finish_http(vec![1, 0, 0, 0, 1, 0]).await;
    assert_eq!(Told::of(denied.decoded()).status, 503);
    // No message at all.
    let denied = begin(&sidecar).await.finish_http(Vec::new()).await;
    assert_eq!(Told::of(denied.decoded()).status, 503);
    sidecar.finish().await;
}

#[tokio::test]
async fn one_for_which_there_is_no_room_is_a_denial() {
    let sidecar = Sidecar::start_with(&["--max-message-bytes", "1024"]);
    let mut connection = Connection::to(&sidecar.listen).await;
    // Of a message of 1000 bytes, all but one; 64 KiB of such may wait.
    let begun = [&[0, 0, 0, 3, 232][..], &[b'x'; 999]].concat();
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut held = connection.begin(CHECK, &[]).await;
        held.send(begun.clone());
        waiting.push(held);
    }
    let denied = waiting.pop().unwrap().answered().await;
    assert_denied(&denied, "UNAVAILABLE", "take too much room");
    sidecar.finish().await;
}
