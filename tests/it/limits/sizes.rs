//! How large a message may be.

use octavia_authz::pb::v1::{CreateApiKeyRequest, DecisionReason as Reason};
use tonic::Code;

use crate::{
    authzen::{self, client::Client},
    ext_authz, raw,
    sidecar::Sidecar,
};

/// A question of so many bytes.
fn of_size(size: usize) -> Vec<u8> {
    let action = raw::field(2, "articles.read");
    // The key's tag and its length take three bytes.
    let key = raw::field(1, vec![b'k'; size - action.len() - 3]);
    let question = [action, key].concat();
    assert_eq!(question.len(), size);
    question
}

#[tokio::test]
async fn a_message_within_max_message_bytes_is_read_and_a_larger_one_is_not() {
    let args = ["--max-message-bytes", "2048", "--authzen-listen", "127.0.0.1:0"];
    let sidecar = Sidecar::start_with(&args);
    let (_, text) = sidecar.create("writer").await;
    let channel = sidecar.channel().await;
    for _ in 0..3 {
        let answer = raw::authorize(&channel, of_size(2048)).await.unwrap();
        assert_eq!(answer.reason(), Reason::KeyMalformed);
        for answer in [
            raw::authorize(&channel, of_size(2049)).await.map(drop),
            raw::batch(&channel, of_size(2049)).await.map(drop),
        ] {
            let status = answer.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            assert!(status.message().contains("2048"), "{status}");
        }
    }
    // A proxy hears a denial: `ext_authz::undecided`.
    assert_eq!(ext_authz::ask_raw(&sidecar, vec![0; 2049]).await.status, 503);

    let mut client = Client::of(&sidecar);
    let json = [("content-type", "application/json")];
    let body = authzen::question(&text, "articles.create").to_string();
    let fill = |len: usize| format!("{body}{}", " ".repeat(len - body.len()));
    let path = "/access/v1/evaluation";
    assert_eq!(client.ask("POST", path, &json, fill(2048)).json()["decision"], true);
    let said = client.ask("POST", path, &json, fill(2049)).error(413);
    assert_eq!(said, "the body has more than 2048 bytes: send less at once");
    assert_eq!(client.ask("POST", path, &json, fill(2048)).status, 200);

    // A key of the admin API may be larger.
    let new = CreateApiKeyRequest {
        name: "a key".into(),
        role: "writer".into(),
        description: "d".repeat(1000),
        labels: (0..20).map(|n| (format!("label-{n}"), "v".repeat(60))).collect(),
        ..Default::default()
    };
    sidecar.keys().await.create_api_key(new).await.unwrap();
    sidecar.finish().await;
}
