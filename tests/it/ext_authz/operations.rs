//! Every operation of the API with a key of every role, against the tables.

use super::{Asked, client};
use crate::{
    golden::{Operation, ROLES, Right, operations, right},
    sidecar::Sidecar,
};

const PARTIAL: &str = "x-envoy-auth-partial-body";

/// The path of `operation` with its placeholders filled in.
pub fn target(operation: &Operation) -> String {
    let segments = operation.path.split('/');
    let segments = segments.map(|part| if part.starts_with('{') { "64f0c1" } else { part });
    format!("/cms{}?page=1", segments.collect::<Vec<_>>().join("/"))
}

#[tokio::test]
async fn every_role_may_call_what_the_tables_say() {
    let sidecar = Sidecar::start();
    let client = client(&sidecar).await;
    for role in ROLES {
        let (key, text) = sidecar.create(role).await;
        for operation in operations() {
            // The largest body that needs no more than the operation's own action.
            let asked = Asked::new(operation.method, &target(&operation), &text)
                .json(r#"{"id":"64f0c1","title":"t"}"#)
                .header("X-Octavia-Team", "forged")
                .header("x_octavia_role", "super_admin")
                .header("x-octavia-conditions", "none");
            let told = asked.ask(&client).await;
            let what = format!("{role}: {} {}", operation.method, operation.path);
            let conditions = match right(role, operation.action) {
                Right::Always => Some(String::new()),
                Right::When(names) if operation.forwards => Some(forwarded(&names, &key.subject)),
                Right::When(_) | Right::Never => None,
            };
            let Some(conditions) = conditions else {
                assert_eq!(told.status, 403, "{what}");
                assert!(told.message().contains(operation.action), "{}", told.body);
                continue;
            };
            assert_eq!(told.status, 200, "{what}: {}", told.body);
            let expected = [
                ("x-octavia-action", operation.action),
                ("x-octavia-conditions", &*conditions),
                ("x-octavia-key-id", &*key.id),
                ("x-octavia-role", role),
                ("x-octavia-service", "ai-cms"),
                ("x-octavia-subject", &*key.subject),
                ("x-octavia-team", "default"),
            ];
            let expected: Vec<_> =
                expected.into_iter().filter(|(_, value)| !value.is_empty()).collect();
            let seen: Vec<_> =
                told.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(seen, expected, "{what}");
            let removed: &[&str] = if conditions.is_empty() {
                &["X-Octavia-Team", "x-api-key", PARTIAL, "x-octavia-conditions", "x_octavia_role"]
            } else {
                &["X-Octavia-Team", "x-api-key", PARTIAL, "x_octavia_role"]
            };
            assert_eq!(told.removed, removed, "{what}");
            assert_eq!(told.reason(), "ALLOWED");
            assert_eq!(told.metadata["action"], operation.action);
            assert_eq!(told.metadata["key_id"], key.id);
            assert_eq!((&*told.metadata["team"], &*told.metadata["role"]), ("default", role));
        }
    }
    sidecar.finish().await;
}

/// Conditions as the service behind is told.
fn forwarded(names: &[&str], subject: &str) -> String {
    let alternatives = names.iter().map(|name| match *name {
        "published" => "resource.state=published".to_owned(),
        "own" => format!("resource.owner={subject}"),
        "own_draft" => format!("resource.owner={subject}&resource.state=draft"),
        other => panic!("{other}"),
    });
    alternatives.collect::<Vec<_>>().join("|")
}

#[tokio::test]
async fn what_is_no_operation_is_denied_to_everyone() {
    let sidecar = Sidecar::start();
    let client = client(&sidecar).await;
    let (_, text) = sidecar.create("super_admin").await;
    for (method, path) in [
        ("GET", "/cms/articles/nothing"),
        ("get", "/cms/articles/getAll"),
        ("HEAD", "/cms/articles/getAll"),
        ("OPTIONS", "/cms/articles/getAll"),
        ("GET", "/articles/getAll"),
        ("GET", "/cms/articles/getAll/"),
        ("GET", "/cms/%61rticles/getAll"),
        ("GET", "//cms/articles/getAll"),
        ("GET", "/cms/articles/getById/%2e%2e"),
        ("GET", ""),
        ("", ""),
    ] {
        let told = Asked::new(method, path, &text).ask(&client).await;
        assert_eq!((told.status, told.reason()), (403, "ACTION_UNKNOWN"), "{method} {path}");
        assert!(told.message().contains("path"), "{}", told.body);
        assert_eq!(told.metadata["role"], "super_admin");
        // Nobody without a key is told so much.
        let told = Asked::new(method, path, "no key").ask(&client).await;
        assert_eq!((told.status, told.reason()), (401, "KEY_MALFORMED"), "{method} {path}");
        assert_eq!(told.metadata.len(), 1, "{:?}", told.metadata);
    }
}
