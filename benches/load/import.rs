//! Many keys at once, taken in from elsewhere.

use octavia_authz::{
    pb::v1::{
        ImportApiKeysRequest, ImportedKey, api_key_service_client::ApiKeyServiceClient,
        imported_key::Digest,
    },
    token::Token,
};
use tonic::{Request, transport::Endpoint};

use super::process::Process;

/// Keys in a message.
const KEYS: usize = 500;

/// A key whose text is `text`, the `number`th.
pub fn key(number: usize, text: &Token) -> ImportedKey {
    ImportedKey {
        name: format!("imported key {number}"),
        role: "writer".to_owned(),
        id: text.reveal()[5..15].to_owned(),
        hint: text.hint().to_owned(),
        digest: Some(Digest::Blake3(blake3::hash(text.reveal().as_bytes()).to_hex().to_string())),
        ..Default::default()
    }
}

/// Messages with these keys.
pub fn messages(keys: &[ImportedKey]) -> Vec<ImportApiKeysRequest> {
    let message =
        |keys: &[ImportedKey]| ImportApiKeysRequest { keys: keys.to_vec(), dry_run: false };
    keys.chunks(KEYS).map(message).collect()
}

/// Gives how many keys were taken in: all of them.
pub async fn import(sidecar: &Process, messages: Vec<ImportApiKeysRequest>) -> u64 {
    let channel = Endpoint::from_shared(format!("http://{}", sidecar.admin)).unwrap();
    let mut keys = ApiKeyServiceClient::new(channel.connect().await.unwrap());
    let mut request = Request::new(tokio_stream::iter(messages));
    let bearer = format!("Bearer {}", sidecar.operator_token());
    request.metadata_mut().insert("authorization", bearer.parse().unwrap());
    let mut answers = keys.import_api_keys(request).await.unwrap().into_inner();
    let mut imported = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        assert_eq!(answer.failures, []);
        imported += answer.imported_count;
    }
    imported
}
