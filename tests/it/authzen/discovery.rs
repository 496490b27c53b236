//! The configuration that clients find the endpoints by.

use serde_json::json;

use super::{CONFIGURATION, client::Client, start};

#[tokio::test]
async fn the_configuration_names_the_endpoints_as_its_client_sees_them() {
    let sidecar = start();
    let mut client = Client::of(&sidecar);
    for (proto, scheme) in [(None, "http"), (Some("https"), "https"), (Some("http"), "http")] {
        let headers: Vec<_> = proto.map(|proto| ("x-forwarded-proto", proto)).into_iter().collect();
        let answer = client.ask("GET", CONFIGURATION, &headers, "");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("max-age=3600"));
        let base = format!("{scheme}://pdp.example");
        let expected = json!({
            "policy_decision_point": base,
            "access_evaluation_endpoint": format!("{base}/access/v1/evaluation"),
            "access_evaluations_endpoint": format!("{base}/access/v1/evaluations"),
        });
        assert_eq!(answer.json(), expected);
    }
    for host in ["", "a b", "user@host", "host/path", "pdp.example\r\nhost: other"] {
        client.send(format!("GET {CONFIGURATION} HTTP/1.1\r\nhost: {host}\r\n\r\n"));
        let said = client.receive().error(400);
        assert!(said.starts_with("`host` must be a host"), "{said}");
    }
    client.send(format!("GET {CONFIGURATION} HTTP/1.1\r\nhost: [::1]:50053\r\n\r\n"));
    let said = client.receive().json();
    assert_eq!(said["policy_decision_point"], "http://[::1]:50053");
    sidecar.finish().await;
}
