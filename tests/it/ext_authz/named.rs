//! Actions and services that the proxy's configuration names, and policies with routes of their own.

use super::{Asked, client};
use crate::sidecar::Sidecar;

#[tokio::test]
async fn a_named_action_stands_in_place_of_the_operation() {
    let sidecar = Sidecar::start();
    let client = client(&sidecar).await;
    let (writer, text) = sidecar.create("writer").await;
    let asked =
        |action: &str| Asked::new("BREW", "/any/where", &text).extension("octavia.action", action);
    let told = asked("articles.create").ask(&client).await;
    assert_eq!((told.status, &*told.metadata["action"]), (200, "articles.create"));
    assert_eq!(told.headers["x-octavia-action"], "articles.create");
    let told = asked("articles.publish").ask(&client).await;
    assert_eq!((told.status, told.reason()), (403, "ACTION_DENIED"));
    let told = asked("articles.crate").ask(&client).await;
    assert_eq!((told.status, told.reason()), (403, "ACTION_UNKNOWN"));
    assert!(told.message().contains("articles.crate"), "{}", told.body);

    let told = asked("articles.update").ask(&client).await;
    assert_eq!((told.status, told.reason()), (403, "CONDITION_UNMET"));
    let forwarded = asked("articles.update").extension("octavia.when_conditional", "forward");
    let told = forwarded.ask(&client).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let conditions = format!("resource.owner={}&resource.state=draft", writer.subject);
    assert_eq!(told.headers["x-octavia-conditions"], conditions);

    // The proxy chose its route by the path: one that another server reads otherwise is none.
    for path in ["/reports/../cms/users", "/reports//%2e%2e/x", "/reports/a%2fb", "/reports;x"] {
        let mut odd = asked("articles.create");
        odd.path = path.to_owned();
        let told = odd.ask(&client).await;
        assert_eq!((told.status, told.reason()), (403, "ACTION_UNKNOWN"), "{path}");
    }
}

#[tokio::test]
async fn a_named_service_keeps_the_operations_of_others_out() {
    let sidecar = Sidecar::start();
    let client = client(&sidecar).await;
    let (_, text) = sidecar.create("super_admin").await;
    let asked = Asked::new("GET", "/cms/tags/getAll", &text);
    let told = asked.clone().extension("octavia.service", "ai-cms").ask(&client).await;
    assert_eq!(told.status, 200);
    let told = asked.extension("octavia.service", "shop").ask(&client).await;
    assert_eq!((told.status, told.reason()), (403, "REQUEST_INVALID"));
    assert!(told.message().contains("octavia.service=shop"), "{}", told.body);
}

#[tokio::test]
async fn a_mistake_in_the_proxys_configuration_lets_nothing_pass() {
    let sidecar = Sidecar::start();
    let client = client(&sidecar).await;
    let (_, text) = sidecar.create("super_admin").await;
    let asked = Asked::new("GET", "/cms/tags/getAll", &text);
    for (name, value) in [
        ("octavia.actoin", "tags.read"),
        ("octavia.action", ""),
        ("octavia.service", ""),
        ("octavia.when_conditional", "pass"),
        ("octavia.when_conditional", "deny"),
        ("octavia.when_conditional", "forward"),
        ("octavia.service", "ai-cmss"),
        ("Octavia.action", "tags.read"),
        ("octavia_action", "tags.read"),
        ("octavia.", "x"),
    ] {
        let told = asked.clone().extension(name, value).ask(&client).await;
        assert_eq!((told.status, told.reason()), (403, "REQUEST_INVALID"), "{name}");
        assert!(told.message().contains(name), "{}", told.body);
    }
    let told = asked.extension("other.action", "x").ask(&client).await;
    assert_eq!(told.status, 200);
}

#[tokio::test]
async fn a_policy_file_brings_routes_of_its_own() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("policy.toml");
    let policy = r#"
        [services.shop]
        actions.orders = { read = "read an order", refund = "pay it back", close = "close it" }
        roles.clerk = { allow = ["orders.read", "orders.close"], when = { "orders.refund" = ["own"] } }
        http = { base_paths = ["/shop"], hosts = ["shop.example.com"] }
        [services.shop.routes]
        "GET /orders/{id}" = "orders.read"
        "POST /orders/{id}/refund" = { action = "orders.refund", when_conditional = "forward", body = { all = { true = "orders.close" } } }
    "#;
    std::fs::write(&file, policy).unwrap();
    let sidecar = Sidecar::start_with(&["--policy", file.to_str().unwrap()]);
    let client = client(&sidecar).await;
    let request = octavia_authz::pb::v1::CreateApiKeyRequest {
        name: "till".to_owned(),
        service: "shop".to_owned(),
        role: "clerk".to_owned(),
        subject: "till, no. 7".to_owned(),
        ..Default::default()
    };
    let text = sidecar.keys().await.create_api_key(request).await.unwrap().into_inner().key;
    let asked = |method: &str, path: &str| {
        let mut asked = Asked::new(method, path, &text);
        asked.host = "shop.example.com:443".to_owned();
        asked
    };
    let told = asked("GET", "/shop/orders/7").ask(&client).await;
    assert_eq!((told.status, &*told.metadata["service"]), (200, "shop"));
    assert_eq!(told.headers["x-octavia-subject"], "till%2C%20no.%207");
    let told = asked("POST", "/shop/orders/7/refund").json(r#"{"all":true}"#).ask(&client).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(told.headers["x-octavia-action"], "orders.refund,orders.close");
    assert_eq!(told.headers["x-octavia-conditions"], "resource.owner=till%2C%20no.%207");

    let mut elsewhere = asked("GET", "/shop/orders/7");
    elsewhere.host = "api.octaviatech.app".to_owned();
    assert_eq!(elsewhere.ask(&client).await.reason(), "ACTION_UNKNOWN");
    let (_, other) = sidecar.create("super_admin").await;
    let mut foreign = asked("GET", "/shop/orders/7").without("x-api-key");
    foreign = foreign.header("x-api-key", &*other);
    let told = foreign.ask(&client).await;
    assert_eq!((told.status, told.reason()), (403, "SERVICE_MISMATCH"));
    // The same of a service that is named, with and without an action.
    let named = asked("GET", "/shop/orders/7").extension("octavia.service", "ai-cms");
    assert_eq!(named.clone().ask(&client).await.reason(), "ACTION_UNKNOWN");
    let told = named.extension("octavia.action", "tags.read").ask(&client).await;
    assert_eq!((told.status, told.reason()), (403, "SERVICE_MISMATCH"));
}
