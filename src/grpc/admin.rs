//! `ApiKeyService` and `RoleService`: what operators, the CLI and the dashboard
//! call. Runs beside the workers, never on them.

use std::sync::Arc;

use tokio::task::JoinSet;
use tonic::{Request, Response, Status, Streaming};

use super::{bearer, convert, import};
use crate::{
    authorizer::{Authorizer, Question},
    keyring::{Caller, Keyring, Revoked, Rotated},
    operator::OperatorToken,
    pb::v1::{
        ApiKey, AuthorizeRequest, BatchRevokeApiKeysRequest, BatchRevokeApiKeysResponse,
        CreateApiKeyRequest, CreateApiKeyResponse, GetApiKeyRequest, GetApiKeyResponse,
        GetApiKeyRightsRequest, GetApiKeyRightsResponse, ImportApiKeysRequest, KeySecret,
        ListApiKeysRequest, ListApiKeysResponse, ListRolesRequest, ListRolesResponse,
        RevokeApiKeyRequest, RevokeApiKeyResponse, RotateApiKeyRequest, RotateApiKeyResponse,
        SimulateAuthorizeRequest, SimulateAuthorizeResponse, UpdateApiKeyRequest,
        UpdateApiKeyResponse, api_key_service_server::ApiKeyService,
        role_service_server::RoleService,
    },
    record::KeyRecord,
};

/// Answers with what the keyring does.
#[derive(Clone)]
pub struct Admin {
    keyring: Keyring,
    operator: OperatorToken,
    authorizer: Arc<Authorizer>,
}

impl Admin {
    /// The services in front of `keyring`. The authorizer is only asked what it
    /// would decide.
    pub fn new(keyring: Keyring, authorizer: Arc<Authorizer>, operator: OperatorToken) -> Self {
        Self { keyring, operator, authorizer }
    }

    /// A key, with how it was used.
    fn shown(&self, key: &KeyRecord) -> ApiKey {
        convert::used_api_key(key, self.keyring.usage(key))
    }

    fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        bearer::caller(request, &self.operator, self.keyring.digester())
    }
}

#[tonic::async_trait]
impl ApiKeyService for Admin {
    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        let caller = self.caller(&request)?;
        let new = convert::new_key(request.into_inner())?;
        let (key, token) = self.keyring.create(caller, new).await.map_err(convert::status)?;
        let key_text = token.reveal().to_owned();
        Ok(Response::new(CreateApiKeyResponse { api_key: Some(self.shown(&key)), key: key_text }))
    }

    async fn get_api_key(
        &self,
        request: Request<GetApiKeyRequest>,
    ) -> Result<Response<GetApiKeyResponse>, Status> {
        let caller = self.caller(&request)?;
        let key = self.keyring.get(&caller, &request.into_inner().id).map_err(convert::status)?;
        let usage = self.keyring.usage(&key);
        let days = usage.iter().flat_map(|(usage, _)| &usage.days);
        let daily_usage = days.map(convert::daily_usage).collect();
        let api_key = Some(convert::used_api_key(&key, usage));
        Ok(Response::new(GetApiKeyResponse { api_key, daily_usage }))
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let caller = self.caller(&request)?;
        let page_request = convert::page_request(request.into_inner())?;
        let page = self.keyring.list(caller, page_request).await.map_err(convert::status)?;
        let keys = page.keys.iter().map(|key| self.shown(key)).collect();
        Ok(Response::new(convert::page(page, keys)))
    }

    async fn update_api_key(
        &self,
        request: Request<UpdateApiKeyRequest>,
    ) -> Result<Response<UpdateApiKeyResponse>, Status> {
        let caller = self.caller(&request)?;
        let mut request = request.into_inner();
        let etag = std::mem::take(&mut request.etag);
        let id = std::mem::take(&mut request.id);
        let dry_run = request.dry_run;
        let patch = convert::patch(request)?;
        let updated = self.keyring.update(caller, &id, patch, etag, dry_run).await;
        let updated = updated.map_err(convert::status)?;
        Ok(Response::new(UpdateApiKeyResponse {
            api_key: Some(self.shown(&updated.after)),
            right_changes: convert::right_changes(&self.keyring.policy(), &updated),
        }))
    }

    async fn rotate_api_key(
        &self,
        request: Request<RotateApiKeyRequest>,
    ) -> Result<Response<RotateApiKeyResponse>, Status> {
        let caller = self.caller(&request)?;
        let RotateApiKeyRequest { id, etag, overlap } = request.into_inner();
        let overlap = convert::overlap(overlap)?;
        let rotated = self.keyring.rotate(caller, &id, overlap, etag).await;
        let Rotated { key, token, dropped } = rotated.map_err(convert::status)?;
        let key_text = token.reveal().to_owned();
        Ok(Response::new(RotateApiKeyResponse {
            api_key: Some(self.shown(&key)),
            key: key_text,
            dropped_secrets: dropped
                .iter()
                .map(|(secret, used)| KeySecret {
                    last_used_time: used.map(convert::timestamp),
                    ..convert::secret(&key, secret)
                })
                .collect(),
        }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<RevokeApiKeyRequest>,
    ) -> Result<Response<RevokeApiKeyResponse>, Status> {
        let caller = self.caller(&request)?;
        let RevokeApiKeyRequest { id, etag } = request.into_inner();
        let revoked = self.keyring.revoke(caller, &id, etag, false).await;
        let Revoked { key, usage } = revoked.map_err(convert::status)?;
        let api_key = Some(convert::used_api_key(&key, usage));
        Ok(Response::new(RevokeApiKeyResponse { api_key }))
    }

    async fn batch_revoke_api_keys(
        &self,
        request: Request<BatchRevokeApiKeysRequest>,
    ) -> Result<Response<BatchRevokeApiKeysResponse>, Status> {
        let caller = self.caller(&request)?;
        let BatchRevokeApiKeysRequest { ids, dry_run } = request.into_inner();
        convert::check_batch(&ids)?;
        self.keyring.authenticate(&caller).map_err(|error| convert::status(error.into()))?;
        // Side by side, to be made durable together.
        let mut revocations = JoinSet::new();
        for (index, id) in ids.into_iter().enumerate() {
            let (keyring, caller) = (self.keyring.clone(), caller.clone());
            revocations.spawn(async move {
                let revoked = keyring.revoke(caller, &id, String::new(), dry_run).await;
                (index, convert::revoke_outcome(id, revoked))
            });
        }
        let mut outcomes = revocations.join_all().await;
        outcomes.sort_unstable_by_key(|(index, _)| *index);
        let outcomes: Vec<_> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        let revoked = outcomes.iter().filter(|outcome| outcome.api_key.is_some()).count();
        let revoked_count = u32::try_from(revoked).unwrap_or(u32::MAX);
        Ok(Response::new(BatchRevokeApiKeysResponse { outcomes, revoked_count }))
    }

    type ImportApiKeysStream = import::Answers;

    async fn import_api_keys(
        &self,
        request: Request<Streaming<ImportApiKeysRequest>>,
    ) -> Result<Response<Self::ImportApiKeysStream>, Status> {
        let caller = self.caller(&request)?;
        self.keyring.authenticate(&caller).map_err(|error| convert::status(error.into()))?;
        let answers = import::answers(self.keyring.clone(), caller, request.into_inner());
        Ok(Response::new(answers))
    }

    async fn simulate_authorize(
        &self,
        request: Request<SimulateAuthorizeRequest>,
    ) -> Result<Response<SimulateAuthorizeResponse>, Status> {
        let caller = self.caller(&request)?;
        let SimulateAuthorizeRequest { id, action, service, resource } = request.into_inner();
        let key = self.keyring.get(&caller, &id).map_err(convert::status)?;
        let request = AuthorizeRequest { action, service, resource, ..Default::default() };
        let question =
            convert::question(&request).map_err(|invalid| convert::invalid_argument(&invalid))?;
        let decision = self.authorizer.simulate(key.id, &question);
        let decision = decision.map_err(|error| convert::unavailable(&error))?;
        let decision = Some(convert::response(&decision));
        Ok(Response::new(SimulateAuthorizeResponse { decision }))
    }

    async fn get_api_key_rights(
        &self,
        request: Request<GetApiKeyRightsRequest>,
    ) -> Result<Response<GetApiKeyRightsResponse>, Status> {
        let caller = self.caller(&request)?;
        let id = request.into_inner().id;
        let key = self.keyring.get(&caller, &id).map_err(convert::status)?;
        let question = Question { service: &key.service, ..Question::default() };
        let state = self.authorizer.simulate(key.id, &question);
        let state = state.map_err(|error| convert::unavailable(&error))?;
        Ok(Response::new(convert::key_rights(&state, &self.keyring.policy(), key)))
    }
}

#[tonic::async_trait]
impl RoleService for Admin {
    async fn list_roles(
        &self,
        request: Request<ListRolesRequest>,
    ) -> Result<Response<ListRolesResponse>, Status> {
        let caller = self.caller(&request)?;
        self.keyring.authenticate(&caller).map_err(|error| convert::status(error.into()))?;
        convert::roles(&self.keyring.policy(), &request.into_inner().service).map(Response::new)
    }
}
