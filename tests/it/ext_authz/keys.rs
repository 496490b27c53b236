//! Which key a request carries, and what is said of keys that are not valid.

use octavia_authz::pb::v1::{ApiKey, KeyStatus, UpdateApiKeyRequest};

use super::{Asked, client};
use crate::sidecar::Sidecar;

const PATH: &str = "/cms/tags/getAll";

fn asked(headers: &[(&str, &str)]) -> Asked {
    let asked = Asked::new("GET", PATH, "").without("x-api-key");
    headers.iter().fold(asked, |asked, (name, value)| asked.header(name, *value))
}

#[tokio::test]
async fn exactly_one_key_is_taken_from_the_headers_for_keys() {
    let sidecar = Sidecar::start();
    let client = client(&sidecar).await;
    let (_, text) = sidecar.create("read_only").await;
    let (key, bearer) = (&*text, format!("Bearer {text}"));
    let (token, tab) = (format!("Token {key}"), format!("bearer\t{key}"));
    let behind = format!("Digest username=x, Bearer {key}");
    let joined = format!("{key},{key}");
    let two = format!("{key} {key}");
    for (headers, expected, removed) in [
        (vec![("x-api-key", key)], 200, vec!["x-api-key"]),
        (vec![("X-Api-Key", key)], 200, vec!["X-Api-Key"]),
        (vec![("authorization", &*bearer)], 200, vec!["authorization"]),
        (vec![("authorization", "Basic eDp5"), ("x-api-key", key)], 200, vec!["x-api-key"]),
        (vec![("x-api-key", key), ("x_api_key", "other")], 200, vec!["x-api-key", "x_api_key"]),
        (vec![], 401, vec![]),
        (vec![("x-api-key", "")], 401, vec![]),
        (vec![("authorization", "Bearer")], 401, vec![]),
        (vec![("authorization", "Bearer ")], 401, vec![]),
        (vec![("authorization", key)], 401, vec![]),
        (vec![("authorization", "Basic eDp5")], 401, vec![]),
        (vec![("x-api-key", key), ("x-api-key", key)], 401, vec![]),
        (vec![("x-api-key", key), ("X-API-KEY", key)], 401, vec![]),
        (vec![("x-api-key", key), ("x-api-key", "")], 401, vec![]),
        (vec![("x-api-key", &*joined)], 401, vec![]),
        (vec![("x-api-key", &*two)], 401, vec![]),
        (vec![("x-api-key", key), ("authorization", &*bearer)], 401, vec![]),
        (vec![("authorization", &*bearer), ("authorization", &*bearer)], 401, vec![]),
        (vec![("x-api-key", key), ("authorization", key)], 401, vec![]),
        (vec![("x-api-key", key), ("authorization", &*token)], 401, vec![]),
        (vec![("x-api-key", key), ("authorization", &*behind)], 401, vec![]),
        (vec![("authorization", &*behind)], 401, vec![]),
        (vec![("authorization", &*tab)], 200, vec!["authorization"]),
        (vec![("x_api_key", key)], 401, vec![]),
        (vec![("cookie", key)], 401, vec![]),
    ] {
        let told = asked(&headers).ask(&client).await;
        assert_eq!(told.status, expected, "{headers:?}: {}", told.body);
        if expected == 200 {
            let mut expected = removed;
            expected.push("x-octavia-conditions");
            expected.sort_unstable();
            assert_eq!(told.removed, expected, "{headers:?}");
        } else {
            assert_eq!(told.reason(), "KEY_MALFORMED");
            assert!(told.message().contains("key"), "{}", told.body);
            let challenges =
                "ApiKey realm=\"octavia\", header=\"x-api-key\", Bearer realm=\"octavia\"";
            assert_eq!(told.headers["www-authenticate"], challenges);
            assert_eq!(told.headers["cache-control"], "no-store");
        }
    }
    let not_text = asked(&[]).header("x-api-key", [0xff]).ask(&client).await;
    assert_eq!((not_text.status, not_text.reason()), (401, "KEY_MALFORMED"));
    sidecar.finish().await;
}

#[tokio::test]
async fn headers_that_a_proxy_has_joined_are_read_too() {
    let sidecar = Sidecar::start();
    let client = client(&sidecar).await;
    let (_, text) = sidecar.create("read_only").await;
    let mut asked = asked(&[]);
    asked.joined.insert("x-api-key".to_owned(), text.clone());
    assert_eq!(asked.ask(&client).await.status, 200);
    // In both forms it is there twice.
    assert_eq!(asked.clone().header("x-api-key", &*text).ask(&client).await.status, 401);
    asked.joined.insert("x-api-key".to_owned(), format!("{text},x"));
    assert_eq!(asked.ask(&client).await.status, 401);
}

#[tokio::test]
async fn the_headers_for_keys_can_be_chosen() {
    let sidecar = Sidecar::start_with(&["--key-header", "X-Cms-Key"]);
    let client = client(&sidecar).await;
    let (_, text) = sidecar.create("read_only").await;
    let told = asked(&[("x-cms-key", &text), ("authorization", "Bearer x")]).ask(&client).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(told.removed, ["x-cms-key", "x-octavia-conditions"]);
    let told = asked(&[("x-api-key", &text)]).ask(&client).await;
    assert_eq!(told.message(), "no API key: send one, as `x-cms-key: <key>`");
    assert_eq!(told.headers["www-authenticate"], "ApiKey realm=\"octavia\", header=\"x-cms-key\"");
}

#[tokio::test]
async fn a_chosen_header_of_any_form_is_kept_from_the_service() {
    let sidecar = Sidecar::start_with(&["--key-header", "cms_key", "--key-header", "cms.token"]);
    let client = client(&sidecar).await;
    let (_, text) = sidecar.create("read_only").await;
    for header in ["cms_key", "cms.token"] {
        let told = asked(&[(header, &text)]).ask(&client).await;
        assert_eq!(told.status, 200, "{}", told.body);
        assert_eq!(told.removed, [header, "x-octavia-conditions"]);
    }
}

#[tokio::test]
async fn a_key_that_is_not_valid_is_401_and_nobody_learns_whether_it_existed() {
    let sidecar = Sidecar::start();
    let client = client(&sidecar).await;
    let (revoked, gone) = sidecar.create("read_only").await;
    let request =
        octavia_authz::pb::v1::RevokeApiKeyRequest { id: revoked.id, ..Default::default() };
    sidecar.keys().await.revoke_api_key(request).await.unwrap();
    let never =
        octavia_authz::token::Token::generate(octavia_authz::token::KeyId::generate().unwrap());
    let of_revoked = asked(&[("x-api-key", &gone)]).ask(&client).await;
    let of_never = asked(&[("x-api-key", never.unwrap().reveal())]).ask(&client).await;
    assert_eq!((of_revoked.status, of_revoked.reason()), (401, "KEY_UNKNOWN"));
    assert_eq!(format!("{of_revoked:?}"), format!("{of_never:?}"));

    let (key, text) = sidecar.create("read_only").await;
    let update = UpdateApiKeyRequest {
        id: key.id.clone(),
        update_mask: Some(prost_types::FieldMask { paths: vec!["status".to_owned()] }),
        api_key: Some(ApiKey { status: KeyStatus::Inactive.into(), ..Default::default() }),
        ..Default::default()
    };
    sidecar.keys().await.update_api_key(update).await.unwrap();
    let told = asked(&[("x-api-key", &text)]).ask(&client).await;
    assert_eq!((told.status, told.reason()), (401, "KEY_INACTIVE"));
    assert_eq!(told.metadata["key_id"], key.id);
    assert!(told.message().contains("activate"), "{}", told.body);
}

#[tokio::test]
async fn a_denied_request_stands_in_the_log_with_its_id_and_without_its_key() {
    let sidecar = Sidecar::start();
    let client = client(&sidecar).await;
    let (key, text) = sidecar.create("writer").await;
    let path = format!("/cms/articles/delete/{text}?key={text}");
    let told = Asked::new("DELETE", &path, &text)
        .header("x-request-id", "2f0a1b1c-3a0a")
        .ask(&client)
        .await;
    assert_eq!(told.status, 403);
    let log = sidecar.finish().await;
    let line = log.lines().find(|line| line.contains("2f0a1b1c-3a0a")).unwrap();
    let event: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(event["reason"], "ACTION_DENIED");
    assert_eq!((&event["key_id"], &event["role"]), (&key.id.into(), &"writer".into()));
    assert_eq!((&event["action"], &event["status"]), (&"articles.delete".into(), &403.into()));
    assert_eq!(
        (&event["method"], &event["path"]),
        (&"DELETE".into(), &"/cms/articles/delete/…".into())
    );
    assert!(!log.contains(&text), "{log}");
}

#[tokio::test]
async fn those_without_a_key_are_logged_with_what_was_answered() {
    let sidecar = Sidecar::start();
    let client = client(&sidecar).await;
    for _ in 0..200 {
        assert_eq!(asked(&[]).ask(&client).await.status, 401);
    }
    let log = sidecar.finish().await;
    let lines = log.lines().filter(|line| line.contains("octavia_authz::decision")).count();
    assert_eq!(lines, 200);
}

#[tokio::test]
async fn a_request_that_is_no_text_is_answered_as_denied() {
    let sidecar = Sidecar::start();
    let client = client(&sidecar).await;
    let (_, text) = sidecar.create("super_admin").await;
    // Envoy's own types hold no such text: a byte of the message is made one.
    let message = Asked::new("GET", "/cms/tags/getAll", &text).header("x-odd\u{1}", "v").encoded();
    let at = message.windows(6).position(|bytes| bytes == b"x-odd\x01").unwrap();
    let mut message = message;
    message[at + 5] = 0xff;
    let told = super::ask_raw(&sidecar, message).await;
    assert_eq!((told.status, told.reason()), (403, "REQUEST_INVALID"));
    drop(client);
}

#[tokio::test]
async fn what_was_asked_over_http_counts_as_use() {
    let sidecar = Sidecar::start_with(&["--usage-flush-interval", "10ms"]);
    let client = client(&sidecar).await;
    let (key, text) = sidecar.create("read_only").await;
    assert_eq!(Asked::new("GET", PATH, &text).ask(&client).await.status, 200);
    assert_eq!(Asked::new("GET", "/cms/nothing", &text).ask(&client).await.status, 403);
    let request = octavia_authz::pb::v1::GetApiKeyRequest { id: key.id };
    let seen =
        sidecar.keys().await.get_api_key(request).await.unwrap().into_inner().api_key.unwrap();
    assert_eq!((seen.allowed_count, seen.denied_count), (1, 1));
}
