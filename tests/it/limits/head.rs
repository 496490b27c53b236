//! How large the head of a call may be.

use octavia_authz::pb::v1::{AuthorizeRequest, AuthorizeResponse};
use prost::Message as _;
use tonic::{Code, Request};

use crate::{
    authzen::{self, client::Client},
    held::Connection,
    raw,
    sidecar::Sidecar,
};

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_the_next_call_is_answered() {
    let args = ["--max-header-bytes", "4096", "--authzen-listen", "127.0.0.1:0"];
    let sidecar = Sidecar::start_with(&args);
    let (_, text) = sidecar.create("writer").await;
    let question = AuthorizeRequest {
        key: text.clone(),
        action: "articles.create".into(),
        ..Default::default()
    };
    let message = question.encode_to_vec();
    let mut connection = Connection::to(&sidecar.listen).await;
    for (len, is_refused) in [(3000, false), (5000, true), (3000, false), (12_000, true)] {
        let filler = "x".repeat(len);
        let held = connection.begin(raw::AUTHORIZE, &[("x-filler", &filler)]).await;
        let answer = held.finish(&message).await;
        if is_refused {
            assert_eq!(answer.http_status, 431, "{len}");
        } else {
            assert!(answer.decoded::<AuthorizeResponse>().allowed, "{len}");
        }
    }
    // As a client of gRPC sees it.
    let mut request = Request::new(question);
    request.metadata_mut().insert("x-filler", "x".repeat(5000).parse().unwrap());
    let status = sidecar.authorization().await.authorize(request).await.unwrap_err();
    assert_ne!(status.code(), Code::Ok, "{status}");

    // HTTP/1.1 has a buffer of 8 KiB at least.
    let body = authzen::question(&text, "articles.create").to_string();
    for (len, status) in [(3000, 200), (10_000, 431)] {
        let filler = "x".repeat(len);
        let headers = [("content-type", "application/json"), ("x-filler", &*filler)];
        let answer = Client::of(&sidecar).try_ask("/access/v1/evaluation", &headers, &body);
        assert_eq!(answer, status, "{len}");
    }
    assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    sidecar.finish().await;
}
