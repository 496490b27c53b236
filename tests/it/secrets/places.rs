//! The text of a key or the operator token is no value of a field that is shown.

use octavia_authz::pb::v1::{
    GetApiKeyRequest, ImportApiKeysRequest, ImportApiKeysResponse, ImportedKey, ListApiKeysRequest,
};
use tonic::Code;

use super::walk::{creations, imports, updates};
use crate::{
    admin::invalid_fields,
    sidecar::{Sidecar, without_usage},
};

async fn import(sidecar: &Sidecar, key: ImportedKey) -> ImportApiKeysResponse {
    let messages = tokio_stream::iter([ImportApiKeysRequest { keys: vec![key], dry_run: false }]);
    let answers = sidecar.keys().await.import_api_keys(messages).await.unwrap();
    answers.into_inner().message().await.unwrap().unwrap()
}

async fn key_count(sidecar: &Sidecar) -> i64 {
    let page = sidecar.keys().await.list_api_keys(ListApiKeysRequest::default()).await;
    page.unwrap().into_inner().total_size
}

/// Tries a secret as each of these fields, in each call that has them.
async fn is_refused_as(fields: &[&str]) {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("super_admin").await;
    let mut keys = sidecar.keys().await;
    let mut tried = 0;
    for secret in [text.clone(), sidecar.operator_token()] {
        for value in [secret.clone(), format!("x{secret}"), format!("{secret}_y")] {
            let is_meant = |field: &str| fields.contains(&field);
            // What a label is called, a violation does not say.
            let named = |field: &str| field.trim_end_matches(" (name)").to_owned();
            for (field, request) in creations(&value).into_iter().filter(|of| is_meant(of.0)) {
                let status = keys.create_api_key(request).await.map(drop);
                let status = status.expect_err(&format!("created with it as {field}"));
                assert_eq!(invalid_fields(&status), [named(field)], "{field}");
                tried += 1;
            }
            for (field, request) in updates(&key.id, &value).into_iter().filter(|of| is_meant(of.0))
            {
                let status = keys.update_api_key(request).await.map(drop);
                let status = status.expect_err(&format!("updated with it as {field}"));
                assert_eq!(invalid_fields(&status), [named(field)], "{field}");
                tried += 1;
            }
            for (field, imported) in imports(&value).into_iter().filter(|of| is_meant(of.0)) {
                let answer = import(&sidecar, imported).await;
                assert_eq!(answer.failed_count, 1, "imported with it as {field}");
                let failure = &answer.failures[0];
                assert_eq!(failure.code, Code::InvalidArgument as i32, "{failure:?}");
                assert!(failure.message.contains(&format!("`{}`", named(field))), "{failure:?}");
                tried += 1;
            }
        }
    }
    assert!(tried >= fields.len() * 6, "{tried}");
    assert_eq!(key_count(&sidecar).await, 1);
    let same = keys.get_api_key(GetApiKeyRequest { id: key.id.clone() }).await.unwrap();
    assert_eq!(without_usage(same.into_inner().api_key.unwrap()), without_usage(key));
    drop(keys);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_secret_is_refused_as_a_name_a_description_a_label_a_subject_or_a_hint() {
    is_refused_as(&["name", "description", "labels", "subject", "hint"]).await;
}

#[tokio::test]
async fn a_secret_is_refused_as_a_team() {
    is_refused_as(&["team"]).await;
}

#[tokio::test]
async fn a_secret_is_refused_as_the_name_of_a_label() {
    is_refused_as(&["labels (name)"]).await;
}
