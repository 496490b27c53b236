//! The dashboard in a real browser, and what it does as the APIs see it: what the users' guide says
//! one does there, done by label and text as people do it.

mod accessible;
mod audit;
mod browser;
mod create;
mod edit;
mod keyboard;
mod list;
mod manage;
mod many;
mod no_scripts;
mod roles;
mod scene;
mod screenshots;
mod sessions;
mod snippets;

use octavia_authz::pb::v1::{
    ApiKey, CreateApiKeyRequest, DecisionReason as Reason, GetApiKeyRequest, ListApiKeysRequest,
};

use self::browser::Browser;
use crate::sidecar::Sidecar;

/// A sidecar, and its operator signed in.
async fn start() -> (Sidecar, Browser) {
    let sidecar = Sidecar::start();
    let browser = Browser::start(&sidecar.dashboard).await;
    browser.sign_in(&sidecar.operator_token()).await;
    (sidecar, browser)
}

/// A new key `name`, and its text.
async fn create(sidecar: &Sidecar, name: &str, role: &str) -> (ApiKey, String) {
    let request =
        CreateApiKeyRequest { name: name.into(), role: role.into(), ..Default::default() };
    let created = sidecar.keys().await.create_api_key(request).await.unwrap().into_inner();
    (created.api_key.unwrap(), created.key)
}

async fn get(sidecar: &Sidecar, id: &str) -> ApiKey {
    let request = GetApiKeyRequest { id: id.into() };
    sidecar.keys().await.get_api_key(request).await.unwrap().into_inner().api_key.unwrap()
}

/// All keys, by name.
async fn keys(sidecar: &Sidecar) -> Vec<ApiKey> {
    let request =
        ListApiKeysRequest { page_size: 1000, order_by: "name".into(), ..Default::default() };
    sidecar.keys().await.list_api_keys(request).await.unwrap().into_inner().api_keys
}

/// What a microservice is answered.
async fn reason(sidecar: &Sidecar, text: &str, action: &str) -> Reason {
    sidecar.authorize(text, action).await.reason()
}

/// The text that the page shows once.
async fn text_shown(browser: &Browser) -> String {
    browser.sees("Copy the key now").await;
    browser.value("API key").await
}
