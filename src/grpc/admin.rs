//! `ApiKeyService`, `RoleService` and `MaintenanceService`: what operators, the
//! CLI and the dashboard call. Runs beside the workers, never on them.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::{bearer, convert};
use crate::{
    authorizer::Authorizer,
    clock::Timestamp,
    keyring::{Keyring, Powers},
    operator::OperatorToken,
    pb::v1::{
        CreateApiKeyRequest, CreateApiKeyResponse, GetApiKeyRequest, GetApiKeyResponse,
        GetStatusRequest, GetStatusResponse, ListApiKeysRequest, ListApiKeysResponse,
        ListRolesRequest, ListRolesResponse, RevokeApiKeyRequest, RevokeApiKeyResponse,
        RotateApiKeyRequest, RotateApiKeyResponse, UpdateApiKeyRequest, UpdateApiKeyResponse,
        api_key_service_server::ApiKeyService, maintenance_service_server::MaintenanceService,
        role_service_server::RoleService,
    },
};

/// Answers with what the keyring does.
#[derive(Clone)]
pub struct Admin {
    keyring: Keyring,
    authorizer: Arc<Authorizer>,
    operator: OperatorToken,
    started: Timestamp,
    /// INVARIANT: one scan of keys at a time, so that lists cannot take the
    /// processors from the workers.
    scans: Arc<Semaphore>,
}

impl Admin {
    /// The services in front of `keyring`. The authorizer is only asked how full
    /// its cache is.
    pub fn new(
        keyring: Keyring,
        authorizer: Arc<Authorizer>,
        operator: OperatorToken,
        started: Timestamp,
    ) -> Self {
        Self { keyring, authorizer, operator, started, scans: Arc::new(Semaphore::new(1)) }
    }
}

#[tonic::async_trait]
impl ApiKeyService for Admin {
    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        let caller = bearer::caller(&request, &self.operator)?;
        let new = convert::new_key(request.into_inner())?;
        let (key, token) = self.keyring.create(caller, new).await.map_err(convert::status)?;
        let key_text = token.reveal().to_owned();
        Ok(Response::new(CreateApiKeyResponse {
            api_key: Some(convert::api_key(&key)),
            key: key_text,
        }))
    }

    async fn get_api_key(
        &self,
        request: Request<GetApiKeyRequest>,
    ) -> Result<Response<GetApiKeyResponse>, Status> {
        let caller = bearer::caller(&request, &self.operator)?;
        let key = self.keyring.get(&caller, &request.into_inner().id).map_err(convert::status)?;
        Ok(Response::new(GetApiKeyResponse { api_key: Some(convert::api_key(&key)) }))
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let caller = bearer::caller(&request, &self.operator)?;
        let page_request = convert::page_request(request.into_inner())?;
        let failed = || Status::internal("listing keys failed");
        // Waiting here and not in the blocking task: a call that is given up
        // leaves the queue. The scan keeps the permit when its call is.
        let permit = Arc::clone(&self.scans).acquire_owned().await.map_err(|_| failed())?;
        let keyring = self.keyring.clone();
        let page = tokio::task::spawn_blocking(move || {
            let page = keyring.list(&caller, &page_request);
            drop(permit);
            page
        });
        let page = page.await.map_err(|_| failed())?.map_err(convert::status)?;
        Ok(Response::new(convert::page(page)))
    }

    async fn update_api_key(
        &self,
        request: Request<UpdateApiKeyRequest>,
    ) -> Result<Response<UpdateApiKeyResponse>, Status> {
        let caller = bearer::caller(&request, &self.operator)?;
        let mut request = request.into_inner();
        let etag = std::mem::take(&mut request.etag);
        let id = std::mem::take(&mut request.id);
        let patch = convert::patch(request)?;
        let key = self.keyring.update(caller, &id, patch, etag).await.map_err(convert::status)?;
        Ok(Response::new(UpdateApiKeyResponse { api_key: Some(convert::api_key(&key)) }))
    }

    async fn rotate_api_key(
        &self,
        request: Request<RotateApiKeyRequest>,
    ) -> Result<Response<RotateApiKeyResponse>, Status> {
        let caller = bearer::caller(&request, &self.operator)?;
        let RotateApiKeyRequest { id, etag } = request.into_inner();
        let (key, token) = self.keyring.rotate(caller, &id, etag).await.map_err(convert::status)?;
        let key_text = token.reveal().to_owned();
        Ok(Response::new(RotateApiKeyResponse {
            api_key: Some(convert::api_key(&key)),
            key: key_text,
        }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<RevokeApiKeyRequest>,
    ) -> Result<Response<RevokeApiKeyResponse>, Status> {
        let caller = bearer::caller(&request, &self.operator)?;
        let RevokeApiKeyRequest { id, etag } = request.into_inner();
        let key = self.keyring.revoke(caller, &id, etag).await.map_err(convert::status)?;
        Ok(Response::new(RevokeApiKeyResponse { api_key: Some(convert::api_key(&key)) }))
    }
}

#[tonic::async_trait]
impl RoleService for Admin {
    async fn list_roles(
        &self,
        request: Request<ListRolesRequest>,
    ) -> Result<Response<ListRolesResponse>, Status> {
        let caller = bearer::caller(&request, &self.operator)?;
        self.keyring.authenticate(&caller).map_err(convert::status)?;
        convert::roles(self.keyring.policy(), &request.into_inner().service).map(Response::new)
    }
}

#[tonic::async_trait]
impl MaintenanceService for Admin {
    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let caller = bearer::caller(&request, &self.operator)?;
        match self.keyring.authenticate(&caller).map_err(convert::status)? {
            Powers::All => {}
            Powers::Of(_) => {
                return Err(Status::permission_denied("the status is for the operator token only"));
            }
        }
        let summary = self.keyring.summary();
        Ok(Response::new(GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: Some(convert::timestamp(self.started)),
            revision: summary.revision,
            key_count: summary.key_count,
            policy_digest: convert::hex(self.keyring.policy().digest()),
            store: summary.engine.to_owned(),
            state_digest: convert::hex(&summary.state_digest),
            journal_head: convert::hex(&summary.journal_head),
            data_dir: summary.data_dir.display().to_string(),
            cached_keys: self.authorizer.cached_keys(),
        }))
    }
}
