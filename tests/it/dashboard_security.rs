//! The dashboard as an attacker sees it: plain HTTP, with whatever a browser would not send, and a
//! look at every answer that a browser would get.
//!
//! Whatever test asks for a page, [`browser::Browser`] holds the answer to the headers that all
//! must have, and the page to what a page of ours may consist of.

mod abuse;
pub mod browser;
mod credentials;
mod ending;
mod forms;
mod giving;
mod headers;
pub mod html;
mod no_session;
mod origin;
mod own_key;
mod reflected;
mod rights;
mod sessions;
mod sign_in;
mod stored;

use octavia_authz::pb::v1::{ApiKey, CreateApiKeyRequest, GetStatusRequest, ListApiKeysRequest};

use self::browser::Browser;
use crate::sidecar::{Sidecar, without_usage};

/// A form, as [`Browser::post`] takes it.
type Form = Vec<(&'static str, String)>;

/// Every page, of the key `id`.
fn pages(id: &str) -> Vec<String> {
    let mut pages: Vec<String> =
        ["/", "/keys", "/keys/new", "/roles", "/audit", "/simulate"].map(str::to_owned).into();
    pages.push("/audit/news?after=0".to_owned());
    pages.push(format!("/simulate?key={id}&action=articles.read"));
    pages.extend(["", "/rotate", "/revoke"].map(|rest| format!("/keys/{id}{rest}")));
    pages
}

/// Every form but that of signing in, filled so that it does something to `key`.
fn forms(key: &ApiKey) -> Vec<(String, Form)> {
    let (id, etag) = (key.id.as_str(), || ("etag", key.etag.clone()));
    let text = |name: &'static str, value: &str| (name, value.to_owned());
    let of = |rest: &str| format!("/keys/{id}{rest}");
    vec![
        ("/keys/new".to_owned(), new_key("made by hand", "writer")),
        (
            "/keys/bulk".to_owned(),
            vec![
                text("action", "revoke"),
                text("confirmed", "yes"),
                text("count", "1"),
                ("key", format!("{id}:{}", key.etag)),
            ],
        ),
        (of(""), [edit(key), vec![text("name", "changed")]].concat()),
        (of("/status"), vec![etag(), text("status", "inactive")]),
        (of("/rotate"), vec![etag(), text("overlap", "1d")]),
        (of("/revoke"), vec![etag(), text("name", id)]),
        ("/audit/verify".to_owned(), Vec::new()),
        ("/sign-out".to_owned(), Vec::new()),
    ]
}

/// The form of a new key.
fn new_key(name: &str, role: &str) -> Form {
    vec![
        ("name", name.to_owned()),
        ("service", "ai-cms".to_owned()),
        ("role", role.to_owned()),
        ("expires", "lifetime".to_owned()),
        ("form", format!("{name:x>43.43}").replace(' ', "_")),
    ]
}

/// The fields of `key` as its form has them, but for its name.
fn edit(key: &ApiKey) -> Form {
    let mut form = vec![
        ("etag", key.etag.clone()),
        ("role", key.role.clone()),
        ("expires", "keep".to_owned()),
        ("description", key.description.clone()),
        ("subject", key.subject.clone()),
        ("reviewed", "yes".to_owned()),
    ];
    form.extend(key.grants.iter().map(|grant| (grant_field(&key.role), grant.clone())));
    form
}

/// The name of the boxes below a role.
fn grant_field(role: &str) -> &'static str {
    match role {
        "admin" => "grant.admin",
        // None is to take any.
        _ => "grant.",
    }
}

/// All keys, and the number of the last change: refusals that are recorded are changes, too.
async fn state(sidecar: &Sidecar) -> (u64, Vec<ApiKey>) {
    let mut maintenance = sidecar.maintenance_as(&sidecar.operator_token()).await;
    let status = maintenance.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    (status.revision, keys(sidecar).await)
}

async fn keys(sidecar: &Sidecar) -> Vec<ApiKey> {
    let all = ListApiKeysRequest { page_size: 1000, ..Default::default() };
    let listed = sidecar.keys().await.list_api_keys(all).await.unwrap().into_inner();
    listed.api_keys.into_iter().map(without_usage).collect()
}

/// A key that the operator makes, and its text.
async fn make(sidecar: &Sidecar, team: &str, role: &str, grants: &[&str]) -> (ApiKey, String) {
    let request = CreateApiKeyRequest {
        name: format!("a {role} of {team}"),
        role: role.into(),
        team: team.into(),
        grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
        ..Default::default()
    };
    let made = sidecar.keys().await.create_api_key(request).await.unwrap().into_inner();
    (made.api_key.unwrap(), made.key)
}

/// The operator, signed in.
fn operator(sidecar: &Sidecar) -> Browser {
    Browser::signed_in(sidecar, &sidecar.operator_token())
}
