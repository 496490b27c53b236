//! Every call of every API, right, and wrong with a secret in each of its places.

use std::{collections::HashMap, fmt::Debug};

use octavia_authz::pb::v1::{
    ApiKey, AuditFilter, AuthorizeRequest, BackupRequest, BatchAuthorizeRequest,
    BatchRevokeApiKeysRequest, CreateApiKeyRequest, GetApiKeyRequest, GetApiKeyRightsRequest,
    GetStatusRequest, ImportApiKeysRequest, ImportedKey, IntrospectRequest, KeyFilter,
    ListApiKeysRequest, ListAuditEventsRequest, ListRolesRequest, Resource, RevokeApiKeyRequest,
    RotateApiKeyRequest, SimulateAuthorizeRequest, UpdateApiKeyRequest, VerifyAuditRequest,
    WatchAuditEventsRequest, imported_key::Digest,
};
use prost_types::{Duration, FieldMask};
use tonic::{Response, Status};

use super::{Headers, Target};

/// What was answered, and to what.
#[derive(Default)]
pub struct Said(pub Vec<(String, String)>);

impl Said {
    fn take<T: Debug>(&mut self, to: &str, answer: Result<Response<T>, Status>) -> Option<T> {
        match answer {
            Ok(answer) => {
                let answer = answer.into_inner();
                self.0.push((to.to_owned(), format!("{answer:?}")));
                Some(answer)
            }
            Err(status) => {
                self.refused(to, &status);
                None
            }
        }
    }

    fn refused(&mut self, to: &str, status: &Status) {
        let details = String::from_utf8_lossy(status.details());
        self.0.push((to.to_owned(), format!("{status:?} {details}")));
    }

    /// An answer of several messages, to their end or to the first.
    async fn stream<T: Debug>(
        &mut self,
        to: &str,
        answer: Result<Response<tonic::Streaming<T>>, Status>,
        one: bool,
    ) {
        let mut stream = match answer {
            Ok(answer) => answer.into_inner(),
            Err(status) => return self.refused(to, &status),
        };
        loop {
            match stream.message().await {
                Ok(Some(message)) => self.0.push((to.to_owned(), format!("{message:?}"))),
                Ok(None) => return,
                Err(status) => return self.refused(to, &status),
            }
            if one {
                return;
            }
        }
    }
}

fn labels(name: &str, value: &str) -> HashMap<String, String> {
    [(name.to_owned(), value.to_owned())].into()
}

/// A valid key but for one field, which is `secret`.
pub fn creations(secret: &str) -> Vec<(&'static str, CreateApiKeyRequest)> {
    let s = || secret.to_owned();
    let good = || CreateApiKeyRequest {
        name: "a name".into(),
        role: "writer".into(),
        ..Default::default()
    };
    vec![
        ("name", CreateApiKeyRequest { name: s(), ..good() }),
        ("service", CreateApiKeyRequest { service: s(), ..good() }),
        ("role", CreateApiKeyRequest { role: s(), ..good() }),
        ("team", CreateApiKeyRequest { team: s(), ..good() }),
        ("grants", CreateApiKeyRequest { role: "admin".into(), grants: vec![s()], ..good() }),
        ("subject", CreateApiKeyRequest { subject: s(), ..good() }),
        ("description", CreateApiKeyRequest { description: s(), ..good() }),
        ("labels", CreateApiKeyRequest { labels: labels("a", secret), ..good() }),
        ("labels (name)", CreateApiKeyRequest { labels: labels(secret, "a"), ..good() }),
        ("expiration", CreateApiKeyRequest { expiration: s(), ..good() }),
    ]
}

/// The same of an update.
pub fn updates(id: &str, secret: &str) -> Vec<(&'static str, UpdateApiKeyRequest)> {
    let s = || secret.to_owned();
    let update = |path: &str, values: ApiKey| UpdateApiKeyRequest {
        id: id.into(),
        api_key: Some(values),
        update_mask: Some(FieldMask { paths: vec![path.into()] }),
        ..Default::default()
    };
    let none = ApiKey::default;
    vec![
        ("name", update("name", ApiKey { name: s(), ..none() })),
        ("role", update("role", ApiKey { role: s(), ..none() })),
        ("grants", update("grants", ApiKey { grants: vec![s()], ..none() })),
        ("subject", update("subject", ApiKey { subject: s(), ..none() })),
        ("description", update("description", ApiKey { description: s(), ..none() })),
        ("labels", update("labels", ApiKey { labels: labels("a", secret), ..none() })),
        ("labels (name)", update("labels", ApiKey { labels: labels(secret, "a"), ..none() })),
        ("expiration", UpdateApiKeyRequest { expiration: s(), ..update("expire_time", none()) }),
        ("id", UpdateApiKeyRequest { id: s(), ..update("name", none()) }),
        ("etag", UpdateApiKeyRequest { etag: s(), ..update("name", none()) }),
        ("update_mask", update(secret, none())),
    ]
}

/// The same of an import.
pub fn imports(secret: &str) -> Vec<(&'static str, ImportedKey)> {
    let s = || secret.to_owned();
    // Each another key.
    let good = |field: &str| ImportedKey {
        name: "a name".into(),
        role: "writer".into(),
        digest: Some(Digest::Blake3(
            blake3::hash(format!("{field}{secret}").as_bytes()).to_hex().to_string(),
        )),
        ..Default::default()
    };
    vec![
        ("name", ImportedKey { name: s(), ..good("name") }),
        ("service", ImportedKey { service: s(), ..good("service") }),
        ("role", ImportedKey { role: s(), ..good("role") }),
        ("team", ImportedKey { team: s(), ..good("team") }),
        ("grants", ImportedKey { role: "admin".into(), grants: vec![s()], ..good("grants") }),
        ("subject", ImportedKey { subject: s(), ..good("subject") }),
        ("description", ImportedKey { description: s(), ..good("description") }),
        ("labels", ImportedKey { labels: labels("a", secret), ..good("labels") }),
        ("labels (name)", ImportedKey { labels: labels(secret, "a"), ..good("label names") }),
        ("sha256", ImportedKey { digest: Some(Digest::Sha256(s())), ..good("") }),
        ("blake3", ImportedKey { digest: Some(Digest::Blake3(s())), ..good("") }),
        ("id", ImportedKey { id: s(), ..good("id") }),
        ("hint", ImportedKey { hint: s(), ..good("hint") }),
    ]
}

/// Puts `secret` into every place of every call of the admin API, but those where a
/// key keeps it.
pub async fn wrong_admin_calls(target: &Target, headers: &Headers, id: &str, secret: &str) -> Said {
    const KEPT: [&str; 2] = ["team", "labels (name)"];
    let mut said = Said::default();
    let mut keys = target.keys(headers).await;
    let s = || secret.to_owned();
    for (field, request) in creations(secret).into_iter().filter(|of| !KEPT.contains(&of.0)) {
        let to = format!("CreateApiKey.{field}");
        let answer = keys.create_api_key(request).await;
        // The new key's text is shown this once.
        said.take(&to, answer.map(|answer| Response::new(answer.into_inner().api_key)));
    }
    for (field, request) in updates(id, secret).into_iter().filter(|of| !KEPT.contains(&of.0)) {
        for dry_run in [true, false] {
            let request = UpdateApiKeyRequest { dry_run, ..request.clone() };
            said.take(&format!("UpdateApiKey.{field}"), keys.update_api_key(request).await);
        }
    }
    for (field, key) in imports(secret).into_iter().filter(|of| !KEPT.contains(&of.0)) {
        let messages =
            [true, false].map(|dry_run| ImportApiKeysRequest { keys: vec![key.clone()], dry_run });
        let answer = keys.import_api_keys(tokio_stream::iter(messages)).await;
        said.stream(&format!("ImportApiKeys.{field}"), answer, false).await;
    }
    said.take("GetApiKey.id", keys.get_api_key(GetApiKeyRequest { id: s() }).await);
    for (field, request) in [
        ("page_token", ListApiKeysRequest { page_token: s(), ..Default::default() }),
        ("order_by", ListApiKeysRequest { order_by: s(), ..Default::default() }),
    ] {
        said.take(&format!("ListApiKeys.{field}"), keys.list_api_keys(request).await);
    }
    let filter = KeyFilter {
        team: s(),
        service: s(),
        roles: vec![s()],
        name_contains: s(),
        labels: labels(secret, secret),
        ..Default::default()
    };
    let request = ListApiKeysRequest { filter: Some(filter), ..Default::default() };
    said.take("ListApiKeys.filter", keys.list_api_keys(request).await);
    let overlap = Some(Duration { seconds: 60, nanos: 0 });
    for (field, request) in [
        ("id", RotateApiKeyRequest { id: s(), overlap, ..Default::default() }),
        ("etag", RotateApiKeyRequest { id: id.into(), etag: s(), overlap }),
    ] {
        let answer = keys.rotate_api_key(request).await;
        let answer = answer.map(|answer| Response::new(answer.into_inner().api_key));
        said.take(&format!("RotateApiKey.{field}"), answer);
    }
    for (field, request) in [
        ("id", RevokeApiKeyRequest { id: s(), ..Default::default() }),
        ("etag", RevokeApiKeyRequest { id: id.into(), etag: s() }),
    ] {
        said.take(&format!("RevokeApiKey.{field}"), keys.revoke_api_key(request).await);
    }
    for (field, ids) in [("ids", vec![s()]), ("ids (twice)", vec![s(), s()])] {
        for dry_run in [true, false] {
            let request = BatchRevokeApiKeysRequest { ids: ids.clone(), dry_run };
            let answer = keys.batch_revoke_api_keys(request).await.map(|answer| {
                // An outcome names the id that was asked for: not what is looked at.
                let outcomes = answer.into_inner().outcomes.into_iter();
                Response::new(outcomes.map(|outcome| outcome.message).collect::<Vec<_>>())
            });
            said.take(&format!("BatchRevokeApiKeys.{field}"), answer);
        }
    }
    let everywhere =
        Resource { id: s(), owner: s(), state: s(), attributes: labels(secret, secret) };
    for (field, request) in [
        (
            "id",
            SimulateAuthorizeRequest { id: s(), action: "media.read".into(), ..Default::default() },
        ),
        ("action", SimulateAuthorizeRequest { id: id.into(), action: s(), ..Default::default() }),
        (
            "service",
            SimulateAuthorizeRequest {
                id: id.into(),
                action: "media.read".into(),
                service: s(),
                ..Default::default()
            },
        ),
        (
            "resource",
            SimulateAuthorizeRequest {
                id: id.into(),
                action: "articles.update".into(),
                resource: Some(everywhere),
                ..Default::default()
            },
        ),
    ] {
        said.take(&format!("SimulateAuthorize.{field}"), keys.simulate_authorize(request).await);
    }
    let rights = GetApiKeyRightsRequest { id: s() };
    said.take("GetApiKeyRights.id", keys.get_api_key_rights(rights).await);
    let mut roles = target.roles(headers).await;
    said.take("ListRoles.service", roles.list_roles(ListRolesRequest { service: s() }).await);
    wrong_audit_calls(target, headers, secret, &mut said).await;
    said
}

async fn wrong_audit_calls(target: &Target, headers: &Headers, secret: &str, said: &mut Said) {
    let mut audit = target.audit(headers).await;
    let s = || secret.to_owned();
    let request = ListAuditEventsRequest { page_token: s(), ..Default::default() };
    said.take("ListAuditEvents.page_token", audit.list_audit_events(request).await);
    let filters = [
        ("key_id", AuditFilter { key_id: s(), ..Default::default() }),
        ("actor", AuditFilter { actor: s(), ..Default::default() }),
        ("actor (key)", AuditFilter { actor: format!("key:{secret}"), ..Default::default() }),
        ("team", AuditFilter { team: s(), ..Default::default() }),
        ("request_id", AuditFilter { request_id: s(), ..Default::default() }),
    ];
    for (field, filter) in filters {
        let filter = Some(filter);
        let list = ListAuditEventsRequest { filter: filter.clone(), ..Default::default() };
        said.take(&format!("ListAuditEvents.filter.{field}"), audit.list_audit_events(list).await);
        let watch = WatchAuditEventsRequest { filter, after_sequence: Some(0) };
        let answer = audit.watch_audit_events(watch).await;
        said.stream(&format!("WatchAuditEvents.filter.{field}"), answer, true).await;
    }
    let verify = VerifyAuditRequest { sequence: 1, head: s() };
    said.stream("VerifyAudit.head", audit.verify_audit(verify).await, false).await;
}

/// Puts `secret` into every place of the authorization API but the one for it.
pub async fn wrong_questions(target: &Target, headers: &Headers, key: &str, secret: &str) -> Said {
    let mut said = Said::default();
    let mut client = target.authorization(headers).await;
    let s = || secret.to_owned();
    let good =
        || AuthorizeRequest { key: key.into(), action: "media.read".into(), ..Default::default() };
    let everywhere =
        Resource { id: s(), owner: s(), state: s(), attributes: labels(secret, secret) };
    let requests = vec![
        AuthorizeRequest { action: s(), ..good() },
        AuthorizeRequest { service: s(), ..good() },
        AuthorizeRequest { resource: Some(everywhere), action: "articles.update".into(), ..good() },
        // What is too long is refused, and not shown.
        AuthorizeRequest { action: secret.repeat(20), ..good() },
        AuthorizeRequest { service: secret.repeat(20), ..good() },
        AuthorizeRequest { correlation_id: secret.repeat(20), ..good() },
        AuthorizeRequest { key: format!("{secret}{secret}"), ..good() },
    ];
    for request in &requests {
        said.take("Authorize", client.authorize(request.clone()).await);
    }
    let batch = BatchAuthorizeRequest { requests: requests.clone() };
    said.take("BatchAuthorize", client.batch_authorize(batch).await);
    let stream = client.stream_authorize(tokio_stream::iter(requests)).await;
    said.stream("StreamAuthorize", stream, false).await;
    for service in [s(), secret.repeat(20)] {
        let request = IntrospectRequest { key: key.into(), service };
        said.take("Introspect.service", client.introspect(request).await);
    }
    said
}

/// Uses `credential` for what it is: as a key, and as a bearer.
pub async fn right_calls(target: &Target, credential: &str, id: &str) -> Said {
    let mut said = Said::default();
    let mut client = target.authorization(&Headers::default()).await;
    let cut = &credential[..credential.len() - 1];
    for (key, actions) in
        [(credential, &["media.read", "articles.publish", "no.such"][..]), (cut, &["media.read"])]
    {
        for action in actions {
            let (key, action) = (key.to_owned(), (*action).to_owned());
            let request = AuthorizeRequest { key, action, ..Default::default() };
            said.take("Authorize", client.authorize(request.clone()).await);
            let batch = BatchAuthorizeRequest { requests: vec![request.clone()] };
            said.take("BatchAuthorize", client.batch_authorize(batch).await);
            let stream = client.stream_authorize(tokio_stream::iter([request])).await;
            said.stream("StreamAuthorize", stream, false).await;
        }
        let introspect = IntrospectRequest { key: key.into(), ..Default::default() };
        said.take("Introspect", client.introspect(introspect).await);
    }
    let bearers = [
        Headers::bearer(credential),
        Headers::bearer(cut),
        Headers::bearer("").with("authorization", credential),
        Headers::bearer("").with("authorization", &format!("Basic {credential}")),
    ];
    for headers in bearers {
        let mut keys = target.keys(&headers).await;
        let id = || id.to_owned();
        said.take("GetApiKey", keys.get_api_key(GetApiKeyRequest { id: id() }).await);
        said.take("ListApiKeys", keys.list_api_keys(ListApiKeysRequest::default()).await);
        let rights = GetApiKeyRightsRequest { id: id() };
        said.take("GetApiKeyRights", keys.get_api_key_rights(rights).await);
        let mut roles = target.roles(&headers).await;
        said.take("ListRoles", roles.list_roles(ListRolesRequest::default()).await);
        let mut maintenance = target.maintenance(&headers).await;
        said.take("GetStatus", maintenance.get_status(GetStatusRequest {}).await);
        if let Err(status) = maintenance.backup(BackupRequest {}).await {
            said.refused("Backup", &status);
        }
        let mut audit = target.audit(&headers).await;
        let list = ListAuditEventsRequest { page_size: 1000, ..Default::default() };
        said.take("ListAuditEvents", audit.list_audit_events(list).await);
        let watch = WatchAuditEventsRequest { after_sequence: Some(0), filter: None };
        said.stream("WatchAuditEvents", audit.watch_audit_events(watch).await, true).await;
        let verify = VerifyAuditRequest::default();
        said.stream("VerifyAudit", audit.verify_audit(verify).await, false).await;
    }
    said
}
