//! The users' guide to API keys, sentence by sentence: each test is named after
//! the sentence that stands above it, in the guide's order, and holds the sidecar
//! to it.

mod create;
mod managing;
mod roles;

use octavia_authz::pb::v1::{
    ApiKey, AuthorizeRequest, BatchAuthorizeRequest, CreateApiKeyRequest, DecisionReason as Reason,
    GetApiKeyRequest, ListApiKeysRequest, Resource, UpdateApiKeyRequest,
    api_key_service_client::ApiKeyServiceClient,
    authorization_service_client::AuthorizationServiceClient,
};
use prost_types::FieldMask;
use tonic::{Status, transport::Channel};

use crate::sidecar::{Admin, Sidecar};

/// A sidecar, an operator at its key API, and a microservice that asks it.
struct Guide {
    sidecar: Sidecar,
    keys: ApiKeyServiceClient<Admin<Channel>>,
    service: AuthorizationServiceClient<Channel>,
}

impl Guide {
    async fn start() -> Self {
        Self::on(Sidecar::start()).await
    }

    async fn on(sidecar: Sidecar) -> Self {
        let (keys, service) = (sidecar.keys().await, sidecar.authorization().await);
        Self { sidecar, keys, service }
    }

    /// Creates a key: how it is shown, and its text.
    async fn create(&mut self, new: CreateApiKeyRequest) -> (ApiKey, String) {
        let created = self.keys.create_api_key(new).await.unwrap().into_inner();
        (created.api_key.unwrap(), created.key)
    }

    async fn key_of(&mut self, role: &str) -> (ApiKey, String) {
        self.create(new_key(role)).await
    }

    /// The key as the list of keys and its own page show it.
    async fn shown(&mut self, id: &str) -> ApiKey {
        let listed = self.list(ListApiKeysRequest::default()).await;
        let listed = listed.into_iter().find(|key| key.id == id).unwrap();
        let got = self.keys.get_api_key(GetApiKeyRequest { id: id.into() }).await.unwrap();
        let got = got.into_inner().api_key.unwrap();
        assert_eq!(without_use(listed), without_use(got.clone()));
        got
    }

    async fn list(&mut self, request: ListApiKeysRequest) -> Vec<ApiKey> {
        self.keys.list_api_keys(request).await.unwrap().into_inner().api_keys
    }

    async fn change(&mut self, request: UpdateApiKeyRequest) -> Result<ApiKey, Status> {
        let updated = self.keys.update_api_key(request).await?.into_inner();
        Ok(updated.api_key.unwrap())
    }

    /// What a key that asks for one action without attributes is answered.
    async fn reason(&mut self, text: &str, action: &str) -> Reason {
        self.reasons(text, &[action], &Resource::default()).await[0]
    }

    /// What a key is answered that asks for each of these actions.
    async fn reasons(&mut self, text: &str, actions: &[&str], on: &Resource) -> Vec<Reason> {
        let request = |action: &&str| AuthorizeRequest {
            key: text.into(),
            action: (*action).into(),
            resource: Some(on.clone()),
            ..Default::default()
        };
        let requests = actions.iter().map(request).collect();
        let batch = self.service.batch_authorize(BatchAuthorizeRequest { requests }).await.unwrap();
        let answers = batch.into_inner().responses;
        assert_eq!(answers.len(), actions.len());
        for answer in &answers {
            assert_eq!(answer.allowed, answer.reason() == Reason::Allowed, "{answer:?}");
        }
        answers.iter().map(|answer| answer.reason()).collect()
    }

    /// Every one of these actions is answered with `expected`.
    async fn answers(&mut self, text: &str, actions: &[&str], on: &Resource, expected: Reason) {
        assert!(!actions.is_empty());
        let reasons = self.reasons(text, actions, on).await;
        for (action, reason) in actions.iter().zip(reasons) {
            assert_eq!(reason, expected, "{action} on {on:?}");
        }
    }

    /// Every one of these actions is allowed, whatever it is done to.
    async fn may(&mut self, text: &str, actions: &[&str]) {
        for on in all_kinds() {
            self.answers(text, actions, &on, Reason::Allowed).await;
        }
    }

    /// Every one of these actions is denied, whatever it is done to.
    async fn may_not(&mut self, text: &str, actions: &[&str]) {
        for on in all_kinds() {
            self.answers(text, actions, &on, Reason::ActionDenied).await;
        }
    }
}

fn new_key(role: &str) -> CreateApiKeyRequest {
    CreateApiKeyRequest { name: format!("a {role}"), role: role.into(), ..Default::default() }
}

/// An update of the fields that `paths` name.
fn update(id: &str, paths: &[&str], values: ApiKey) -> UpdateApiKeyRequest {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    UpdateApiKeyRequest {
        id: id.into(),
        api_key: Some(values),
        update_mask: Some(FieldMask { paths }),
        ..Default::default()
    }
}

/// Somebody's resource in a state.
fn resource(owner: &str, state: &str) -> Resource {
    Resource { owner: owner.into(), state: state.into(), ..Default::default() }
}

/// Resources of which nothing is known, and of others in every state.
fn all_kinds() -> Vec<Resource> {
    let states = ["", "draft", "in_review", "published", "archived"];
    let owners = ["", "somebody"];
    states.iter().flat_map(|state| owners.iter().map(move |owner| resource(owner, state))).collect()
}

/// The key without what its use changes.
fn without_use(mut key: ApiKey) -> ApiKey {
    (key.last_used_time, key.allowed_count, key.denied_count) = (None, 0, 0);
    for secret in &mut key.secrets {
        secret.last_used_time = None;
    }
    key
}
