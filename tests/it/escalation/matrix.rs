//! Every role with every grant makes every call on keys of every role with every
//! grant, in its own team, in another, and in another service.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use octavia_authz::pb::v1::{
    ApiKey, BackupRequest, BatchRevokeApiKeysRequest, CreateApiKeyRequest, GetApiKeyRequest,
    GetApiKeyRightsRequest, GetStatusRequest, ImportApiKeysRequest, ImportedKey, IntrospectRequest,
    KeyFilter, KeyStatus, ListApiKeysRequest, ListAuditEventsRequest, ListRolesRequest,
    RevokeApiKeyRequest, RotateApiKeyRequest, SimulateAuthorizeRequest, UpdateApiKeyRequest,
    api_key_service_client::ApiKeyServiceClient, audit_service_client::AuditServiceClient,
    authorization_service_client::AuthorizationServiceClient, imported_key::Digest,
    maintenance_service_client::MaintenanceServiceClient, role_service_client::RoleServiceClient,
};
use prost_types::FieldMask;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::{Code, Status, transport::Channel};

use super::rights::{Answer, GRANTS, Rights, SHOP, to_change, to_lay_hands_on, to_make, to_read};
use crate::{
    golden,
    sidecar::{Admin, Bearer, Sidecar, connect},
};

type Keys = ApiKeyServiceClient<Admin<Channel>>;

const SHOP_ROLES: [&str; 5] = ["owner", "keeper", "clerk", "visitor", "guest"];

fn key(service: &str, team: &str, role: &str, grants: &[&str]) -> ApiKey {
    ApiKey {
        service: service.into(),
        team: team.into(),
        role: role.into(),
        grants: sorted(grants),
        ..Default::default()
    }
}

fn sorted(grants: &[&str]) -> Vec<String> {
    let mut grants: Vec<String> = grants.iter().map(|grant| (*grant).into()).collect();
    grants.sort();
    grants
}

/// No grant, each alone, and all.
fn sets_of_grants() -> Vec<&'static [&'static str]> {
    let mut sets: Vec<&[&str]> = vec![&[]];
    sets.extend(GRANTS.chunks(1));
    sets.push(&GRANTS);
    sets
}

/// Every role with every set of grants that it takes.
fn every_kind(team: &str) -> Vec<ApiKey> {
    let roles = golden::ROLES.into_iter().filter(|role| *role != "admin");
    let mut kinds: Vec<_> = roles.map(|role| key("ai-cms", team, role, &[])).collect();
    kinds.extend(sets_of_grants().into_iter().map(|grants| key("ai-cms", team, "admin", grants)));
    kinds
}

/// These, and admins with all grants but one; and the roles of another service.
fn callers() -> Vec<ApiKey> {
    let mut callers = every_kind("web");
    for left_out in GRANTS {
        let grants: Vec<_> = GRANTS.into_iter().filter(|grant| *grant != left_out).collect();
        callers.push(key("ai-cms", "web", "admin", &grants));
    }
    callers.extend(SHOP_ROLES.map(|role| key("shop", "web", role, &[])));
    callers
}

/// What a caller lays hands on.
fn targets(caller: &ApiKey) -> Vec<ApiKey> {
    let mut targets = Vec::new();
    for team in ["web", "apps"] {
        targets.extend(every_kind(team));
    }
    for role in SHOP_ROLES {
        let subjects = ["", caller.subject.as_str()];
        let subjects = if caller.service == "shop" { &subjects[..] } else { &subjects[..1] };
        for subject in subjects.iter().copied() {
            targets.push(ApiKey { subject: subject.into(), ..key("shop", "web", role, &[]) });
        }
    }
    if caller.service == "shop" {
        targets.retain(|key| key.service == "shop" || key.role == "read_only");
    } else if caller.grants.len() == GRANTS.len() - 1 {
        // To those with all grants but one, what matters is the one.
        let held = |grant: &String| caller.grants.contains(grant);
        targets.retain(|key| {
            ["super_admin", "read_only"].contains(&key.role.as_str())
                || (key.role == "admin" && !(key.grants.len() == 1 && key.grants.iter().all(held)))
        });
    }
    targets
}

/// What a caller tries to make: every role, every grant, every team.
fn proposals(caller: &ApiKey) -> Vec<ApiKey> {
    let mut proposals = Vec::new();
    for team in ["", "web", "apps"] {
        for role in golden::ROLES.into_iter().chain(["owner"]) {
            let mut sets = sets_of_grants();
            if role != "admin" {
                // It takes none, of which one is enough to see.
                sets.truncate(2);
            }
            proposals.extend(sets.into_iter().map(|grants| key("ai-cms", team, role, grants)));
        }
        for role in SHOP_ROLES {
            let subjects = ["", "somebody", caller.subject.as_str()];
            let subjects = if caller.service == "shop" { &subjects[..] } else { &subjects[..1] };
            for subject in subjects {
                let subject = (*subject).to_owned();
                proposals.push(ApiKey { subject, ..key("shop", team, role, &[]) });
            }
        }
    }
    proposals
}

/// The key that a proposal would become: what is left out is the caller's team and
/// the new key's own id.
fn become_of(proposal: &ApiKey, caller: &ApiKey) -> ApiKey {
    let mut key = proposal.clone();
    if key.team.is_empty() {
        key.team.clone_from(&caller.team);
    }
    if key.subject.is_empty() {
        key.subject = "the id of the new key".into();
    }
    key
}

fn create_request(key: &ApiKey, name: &str) -> CreateApiKeyRequest {
    let key = key.clone();
    CreateApiKeyRequest {
        name: name.into(),
        service: key.service,
        role: key.role,
        team: key.team,
        grants: key.grants,
        subject: key.subject,
        ..Default::default()
    }
}

fn imported(key: &ApiKey, name: &str, text: &str) -> ImportedKey {
    let key = key.clone();
    ImportedKey {
        name: name.into(),
        service: key.service,
        role: key.role,
        team: key.team,
        grants: key.grants,
        subject: key.subject,
        digest: Some(Digest::Blake3(blake3::hash(text.as_bytes()).to_string())),
        ..Default::default()
    }
}

/// A change to try: the fields that are named, and their values.
type Edit = (&'static [&'static str], ApiKey);

/// One change of each field; the first of each raises where there is something to raise.
fn edits_of_each_field(of: &ApiKey) -> Vec<Edit> {
    let highest = if of.service == "shop" { "owner" } else { "super_admin" };
    let values = ApiKey {
        name: "renamed".into(),
        role: highest.into(),
        grants: vec!["api_keys.create".into()],
        expire_time: Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 }),
        status: KeyStatus::Inactive.into(),
        subject: "somebody".into(),
        description: "changed".into(),
        labels: [("changed".into(), "yes".into())].into(),
        ..Default::default()
    };
    let fields: [&[&str]; 8] = [
        &["name"],
        &["role"],
        &["grants"],
        &["expire_time"],
        &["status"],
        &["subject"],
        &["description"],
        &["labels"],
    ];
    fields.map(|paths| (paths, values.clone())).into()
}

/// These, every role, every grant, and both at once.
fn every_edit(of: &ApiKey, caller: &ApiKey) -> Vec<Edit> {
    let mut edits = edits_of_each_field(of);
    edits.push((&["subject"], ApiKey { subject: caller.subject.clone(), ..Default::default() }));
    let roles: &[&str] = if of.service == "shop" { &SHOP_ROLES } else { &golden::ROLES };
    // With grants no other role is left to choose.
    let roles = if of.grants.is_empty() { roles } else { &roles[..1] };
    edits.extend(roles.iter().map(|role| (&["role"][..], key("", "", role, &[]))));
    for role in ["super_admin", "writer"] {
        edits.push((&["role", "grants"], key("", "", role, &[])));
    }
    let paths: &[&str] = if of.role == "admin" { &["grants"] } else { &["role", "grants"] };
    edits.extend(sets_of_grants().into_iter().map(|grants| (paths, key("", "", "admin", grants))));
    edits
}

/// The key after a change.
fn edited(before: &ApiKey, (paths, values): &Edit) -> ApiKey {
    let (mut after, values) = (before.clone(), values.clone());
    for path in *paths {
        match *path {
            "name" => after.name.clone_from(&values.name),
            "role" => after.role.clone_from(&values.role),
            "grants" => after.grants.clone_from(&values.grants),
            "expire_time" => after.expire_time = values.expire_time,
            "status" => after.status = values.status,
            "subject" => after.subject.clone_from(&values.subject),
            "description" => after.description.clone_from(&values.description),
            "labels" => after.labels.clone_from(&values.labels),
            other => panic!("`{other}`"),
        }
    }
    after
}

fn update_request(id: &str, paths: &[&str], values: &ApiKey, dry_run: bool) -> UpdateApiKeyRequest {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    UpdateApiKeyRequest {
        id: id.into(),
        api_key: Some(values.clone()),
        update_mask: Some(FieldMask { paths }),
        dry_run,
        ..Default::default()
    }
}

/// The key without what its use and its versions change.
fn content(key: &ApiKey) -> ApiKey {
    ApiKey { etag: String::new(), update_time: None, ..without_use(key) }
}

fn without_use(key: &ApiKey) -> ApiKey {
    let mut key = key.clone();
    (key.last_used_time, key.allowed_count, key.denied_count) = (None, 0, 0);
    for secret in &mut key.secrets {
        secret.last_used_time = None;
    }
    key
}

/// How often each call was let do, and refused.
type Tally = BTreeMap<&'static str, [usize; 2]>;

/// A caller, and all that it tries.
struct Trial {
    caller: ApiKey,
    rights: Rights,
    keys: Keys,
    operator: Keys,
    service: AuthorizationServiceClient<Channel>,
    tally: Tally,
}

impl Trial {
    /// Compares a call's answer with the oracle's. Gives what it did, if anything.
    fn check<T>(
        &mut self,
        call: &'static str,
        on: impl Debug,
        answer: Result<T, Status>,
        expected: &Answer,
    ) -> Option<T> {
        let who = (&self.caller.role, &self.caller.grants);
        let done = answer.is_ok();
        self.tally.entry(call).or_default()[usize::from(!done)] += 1;
        let (code, why) = match expected {
            Answer::Done => {
                let done = answer.unwrap_or_else(|status| {
                    panic!("{who:?} may {call} {on:?} and was refused: {status}")
                });
                return Some(done);
            }
            Answer::NoRight(right) => (Code::PermissionDenied, format!("`{right}`")),
            Answer::Elsewhere => (Code::PermissionDenied, "no power over keys of".into()),
            Answer::TooMuch => (Code::PermissionDenied, "nobody can give".into()),
            Answer::OperatorOnly => (Code::PermissionDenied, "operator token".into()),
            Answer::Unseen => (Code::NotFound, "there is no key".into()),
            Answer::Invalid => (Code::InvalidArgument, "invalid `".into()),
        };
        let Err(status) = answer else {
            panic!("{who:?} must not {call} {on:?} and did: {expected:?}");
        };
        assert_eq!(status.code(), code, "{who:?}: {call} {on:?}: {status}");
        assert!(status.message().contains(&why), "{who:?}: {call} {on:?}: {status}");
        None
    }

    /// The key as the operator sees it.
    async fn seen(&mut self, id: &str) -> ApiKey {
        let get = GetApiKeyRequest { id: id.into() };
        self.operator.get_api_key(get).await.unwrap().into_inner().api_key.unwrap()
    }

    /// Whatever the caller has made of a key, it holds no more than the caller.
    async fn holds_no_more(&mut self, key: &ApiKey) {
        let request = GetApiKeyRightsRequest { id: key.id.clone() };
        let said = self.operator.get_api_key_rights(request).await.unwrap().into_inner();
        let rights = Rights::said(&said.allowed_actions, &said.conditional_actions);
        assert!(self.rights.cover(&rights), "{key:?} holds more than {:?}", self.caller);
        assert_eq!(rights, *Rights::of(key));
        let place = (&self.caller.team, &self.caller.service);
        assert_eq!((&key.team, &key.service), place);
    }

    async fn create(&mut self, spec: &ApiKey) -> ApiKey {
        let name = format!("target of {}", self.caller.id);
        let created = self.operator.create_api_key(create_request(spec, &name)).await.unwrap();
        created.into_inner().api_key.unwrap()
    }

    async fn read(&mut self, targets: &[ApiKey]) {
        for target in targets {
            let (on, expected) = (&target.role, to_read(&self.caller, target));
            let id = target.id.clone();
            let got = self.keys.get_api_key(GetApiKeyRequest { id: id.clone() }).await;
            if let Some(got) = self.check("get", on, got, &expected) {
                let got = without_use(&got.into_inner().api_key.unwrap());
                assert_eq!(got, without_use(target));
            }
            let rights = GetApiKeyRightsRequest { id: id.clone() };
            let rights = self.keys.get_api_key_rights(rights).await;
            self.check("get rights", on, rights, &expected);
            let (action, service) = ("api_keys.read".into(), target.service.clone());
            let simulate = SimulateAuthorizeRequest { id, action, service, resource: None };
            let simulated = self.keys.simulate_authorize(simulate).await;
            if let Some(simulated) = self.check("simulate", on, simulated, &expected) {
                let decision = simulated.into_inner().decision.unwrap();
                assert_eq!(decision.allowed, Rights::of(target).hold("api_keys.read"));
            }
        }
    }

    async fn list(&mut self, targets: &[ApiKey]) {
        let expected = to_read(&self.caller, &self.caller);
        for (team, service) in [("", ""), ("apps", ""), ("web", "shop"), ("web", "ai-cms")] {
            let filter = KeyFilter {
                team: team.into(),
                service: service.into(),
                name_contains: format!("target of {}", self.caller.id),
                ..Default::default()
            };
            let request =
                ListApiKeysRequest { page_size: 1000, filter: Some(filter), ..Default::default() };
            let listed = self.keys.list_api_keys(request).await;
            let Some(listed) = self.check("list", (team, service), listed, &expected) else {
                continue;
            };
            let mut listed: Vec<_> =
                listed.into_inner().api_keys.into_iter().map(|key| key.id).collect();
            let visible = targets.iter().filter(|key| {
                to_read(&self.caller, key) == Answer::Done
                    && (team.is_empty() || key.team == team)
                    && (service.is_empty() || key.service == service)
            });
            let mut visible: Vec<_> = visible.map(|key| key.id.clone()).collect();
            listed.sort();
            visible.sort();
            assert_eq!(listed, visible, "{team} {service}");
        }
    }

    async fn make(&mut self) {
        let proposals = proposals(&self.caller);
        let name = format!("made by {}", self.caller.id);
        for proposal in &proposals {
            let expected = to_make(&self.caller, &become_of(proposal, &self.caller));
            let created = self.keys.create_api_key(create_request(proposal, &name)).await;
            let Some(created) = self.check("create", proposal, created, &expected) else {
                continue;
            };
            let created = created.into_inner();
            let key = created.api_key.unwrap();
            assert_eq!(key.created_by, format!("key:{}", self.caller.id));
            let request = IntrospectRequest { key: created.key, service: key.service.clone() };
            let said = self.service.introspect(request).await.unwrap().into_inner();
            let rights = Rights::said(&said.allowed_actions, &said.conditional_actions);
            assert!(self.rights.cover(&rights), "{key:?} holds more than {:?}", self.caller);
            self.holds_no_more(&key).await;
        }
    }

    async fn import(&mut self, targets: &[ApiKey]) {
        let proposals = proposals(&self.caller);
        let name = format!("imported by {}", self.caller.id);
        let mut keys: Vec<_> = proposals
            .iter()
            .enumerate()
            .map(|(n, proposal)| imported(proposal, &name, &format!("{name} {n}")))
            .collect();
        // No key can be taken from its holder by importing one of its id.
        let lowest = if self.caller.service == "shop" { "visitor" } else { "read_only" };
        for target in targets {
            let own = key(&self.caller.service, "", lowest, &[]);
            let text = format!("{name} instead of {}", target.id);
            keys.push(ImportedKey { id: target.id.clone(), ..imported(&own, &name, &text) });
        }
        for dry_run in [true, false] {
            let request = ImportApiKeysRequest { keys: keys.clone(), dry_run };
            let answers = self.keys.import_api_keys(tokio_stream::once(request)).await;
            let answer = match answers {
                Ok(answers) => answers.into_inner().message().await.map(Option::unwrap),
                Err(status) => Err(status),
            };
            let may = Rights::of(&self.caller).hold("api_keys.create");
            let expected =
                if may { Answer::Done } else { Answer::NoRight("api_keys.create".into()) };
            let Some(answer) = self.check("import", dry_run, answer, &expected) else { continue };
            let failures: BTreeMap<_, _> =
                answer.failures.iter().map(|failure| (failure.index as usize, failure)).collect();
            for index in 0..keys.len() {
                let said = match failures.get(&index) {
                    Some(failure) => Err(Status::new(failure.code.into(), &failure.message)),
                    None => Ok(()),
                };
                let Some(proposal) = proposals.get(index) else {
                    let status = said.unwrap_err();
                    assert!(status.message().contains("of another key"), "{status}");
                    continue;
                };
                let expected = to_make(&self.caller, &become_of(proposal, &self.caller));
                self.check("import one", proposal, said, &expected);
            }
            let done = keys.len() - failures.len();
            assert_eq!(answer.imported_count, if may { done as u64 } else { 0 });
        }
    }

    /// What was made, by whatever call, is what was answered to have been made.
    async fn check_what_was_made(&mut self) {
        for (made, call) in [("made by", "create"), ("imported by", "import one")] {
            let name_contains = format!("{made} {}", self.caller.id);
            let filter = Some(KeyFilter { name_contains, ..Default::default() });
            let request = ListApiKeysRequest { page_size: 1000, filter, ..Default::default() };
            let listed = self.operator.list_api_keys(request).await.unwrap().into_inner();
            let mut done = self.tally.get(call).map_or(0, |[done, _]| *done);
            if call == "import one" {
                // Half of them in the dry run.
                done /= 2;
            }
            assert_eq!(listed.total_size, done as i64, "{call}");
            for key in &listed.api_keys {
                self.holds_no_more(key).await;
            }
        }
    }

    async fn change(&mut self, target: &mut ApiKey) {
        let is_near = to_lay_hands_on(&self.caller, "api_keys.update", target);
        let edits = if matches!(is_near, Answer::Done | Answer::TooMuch) {
            every_edit(target, &self.caller)
        } else if is_near == Answer::Unseen {
            edits_of_each_field(target)
        } else {
            // Name, role, grants: whoever may change nothing may change no more of it.
            edits_of_each_field(target).into_iter().take(3).collect()
        };
        for (index, edit) in edits.into_iter().enumerate() {
            let wanted = edited(target, &edit);
            let expected = to_change(&self.caller, target, &wanted);
            let on = (target.role.clone(), target.grants.clone(), &edit);
            // Some first without doing it: the same rules hold.
            let tries_first = index < 3;
            for dry_run in [true, false].into_iter().filter(|dry_run| tries_first || !dry_run) {
                let request = update_request(&target.id, edit.0, &edit.1, dry_run);
                let call = if dry_run { "update, dry run" } else { "update" };
                let updated = self.keys.update_api_key(request).await;
                let Some(updated) = self.check(call, &on, updated, &expected) else { continue };
                let after = updated.into_inner().api_key.unwrap();
                assert_eq!(content(&after), content(&wanted));
                if dry_run {
                    assert_eq!(without_use(&self.seen(&target.id).await), without_use(target));
                    continue;
                }
                self.holds_no_more(&after).await;
                let every: Vec<_> =
                    edits_of_each_field(target).into_iter().flat_map(|(paths, _)| paths).collect();
                let every: Vec<_> = every.into_iter().copied().collect();
                let back = update_request(&target.id, &every, target, false);
                let back = self.operator.update_api_key(back).await.unwrap().into_inner();
                let back = back.api_key.unwrap();
                assert_eq!(content(&back), content(target));
                *target = back;
            }
        }
        assert_eq!(without_use(&self.seen(&target.id).await), without_use(target));
    }

    async fn rotate(&mut self, target: &mut ApiKey) {
        let expected = to_lay_hands_on(&self.caller, "api_keys.rotate", target);
        // Its own secret it goes on using.
        let overlap = (target.id == self.caller.id).then(|| Duration::from_secs(3600));
        let overlap = overlap.map(|overlap| overlap.try_into().unwrap());
        let rotate = RotateApiKeyRequest { id: target.id.clone(), overlap, ..Default::default() };
        let rotated = self.keys.rotate_api_key(rotate).await;
        if let Some(rotated) = self.check("rotate", &target.role, rotated, &expected) {
            *target = rotated.into_inner().api_key.unwrap();
            self.holds_no_more(target).await;
        }
        assert_eq!(without_use(&self.seen(&target.id).await), without_use(target));
    }

    async fn is_gone(&mut self, id: &str) {
        let get = GetApiKeyRequest { id: id.into() };
        assert_eq!(self.operator.get_api_key(get).await.unwrap_err().code(), Code::NotFound);
    }

    async fn revoke(&mut self, targets: &mut [ApiKey]) {
        self.revoke_together(targets, true).await;
        for target in targets.iter_mut() {
            let expected = to_lay_hands_on(&self.caller, "api_keys.revoke", target);
            let revoke = RevokeApiKeyRequest { id: target.id.clone(), ..Default::default() };
            let revoked = self.keys.revoke_api_key(revoke).await;
            if self.check("revoke", &target.role, revoked, &expected).is_some() {
                self.is_gone(&target.id).await;
                *target = self.create(&target.clone()).await;
            }
        }
        self.revoke_together(targets, false).await;
        // Then itself, which takes away the right to anything.
        let own = self.seen(&self.caller.id.clone()).await;
        self.revoke_together(&[own], false).await;
    }

    async fn revoke_together(&mut self, targets: &[ApiKey], dry_run: bool) {
        let ids = targets.iter().map(|target| target.id.clone()).collect();
        let request = BatchRevokeApiKeysRequest { ids, dry_run };
        let answer = self.keys.batch_revoke_api_keys(request).await.unwrap().into_inner();
        let call = if dry_run { "batch revoke, dry run" } else { "batch revoke" };
        assert_eq!(answer.outcomes.len(), targets.len());
        for (target, outcome) in targets.iter().zip(answer.outcomes) {
            assert_eq!(target.id, outcome.id);
            let said =
                outcome.api_key.ok_or_else(|| Status::new(outcome.code.into(), &outcome.message));
            let expected = to_lay_hands_on(&self.caller, "api_keys.revoke", target);
            let is_gone = self.check(call, &target.role, said, &expected).is_some() && !dry_run;
            if is_gone {
                self.is_gone(&target.id).await;
            } else {
                assert_eq!(without_use(&self.seen(&target.id).await), without_use(target));
            }
        }
    }

    /// The calls that are about no key.
    async fn ask_about_the_sidecar(&mut self, channel: &Channel, text: &str) {
        let bearer = || Bearer::new(text);
        let mut roles = RoleServiceClient::with_interceptor(channel.clone(), bearer());
        let listed = roles.list_roles(ListRolesRequest::default()).await;
        self.check("list roles", (), listed, &Answer::Done);
        let mut maintenance = MaintenanceServiceClient::with_interceptor(channel.clone(), bearer());
        let status = maintenance.get_status(GetStatusRequest {}).await;
        self.check("get status", (), status, &Answer::OperatorOnly);

        let backup = match maintenance.backup(BackupRequest {}).await {
            Ok(chunks) => chunks.into_inner().message().await.map(drop),
            Err(status) => Err(status),
        };
        self.check("backup", (), backup, &Answer::OperatorOnly);
        let request = ListAuditEventsRequest { page_size: 1000, ..Default::default() };
        let mut audit = AuditServiceClient::with_interceptor(channel.clone(), bearer());
        let may = Rights::of(&self.caller).hold("audit.read");
        let expected = if may { Answer::Done } else { Answer::NoRight("audit.read".into()) };
        let listed = audit.list_audit_events(request).await;
        if let Some(listed) = self.check("list audit events", (), listed, &expected) {
            for event in listed.into_inner().events {
                assert_eq!(event.team, self.caller.team, "{event:?}");
                for key in event.before.iter().chain(&event.after) {
                    assert_eq!(key.service, self.caller.service, "{event:?}");
                }
            }
        }
    }
}

/// Lets `caller` try everything.
async fn try_everything(sidecar: Arc<Sidecar>, caller: ApiKey) -> Tally {
    let token = sidecar.operator_token();
    let channel = connect(&sidecar.admin_listen).await;
    let mut operator = ApiKeyServiceClient::with_interceptor(channel.clone(), Bearer::new(&token));
    let created = operator.create_api_key(create_request(&caller, "a caller")).await.unwrap();
    let created = created.into_inner();
    let (caller, text) = (created.api_key.unwrap(), created.key);
    let mut service = sidecar.authorization().await;
    let request = IntrospectRequest { key: text.clone(), service: caller.service.clone() };
    let said = service.introspect(request).await.unwrap().into_inner();
    let rights = Rights::said(&said.allowed_actions, &said.conditional_actions);
    assert_eq!(rights, *Rights::of(&caller), "the oracle and the sidecar disagree on a caller");

    let keys = ApiKeyServiceClient::with_interceptor(channel.clone(), Bearer::new(&text));
    let mut trial = Trial { caller, rights, keys, operator, service, tally: Tally::new() };
    let mut victims = Vec::new();
    for spec in targets(&trial.caller) {
        victims.push(trial.create(&spec).await);
    }
    trial.ask_about_the_sidecar(&channel, &text).await;
    trial.read(&victims).await;
    trial.list(&victims).await;
    trial.make().await;
    trial.import(&victims).await;
    trial.check_what_was_made().await;
    let mut own = trial.caller.clone();
    for target in victims.iter_mut().chain([&mut own]) {
        trial.change(target).await;
        trial.rotate(target).await;
    }
    trial.revoke(&mut victims).await;
    trial.tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_with_every_grant_makes_every_call_and_gets_no_more_than_it_holds() {
    let temporary = TempDir::new().unwrap();
    let policy = temporary.path().join("policy.toml");
    std::fs::write(&policy, SHOP).unwrap();
    let sidecar = Arc::new(Sidecar::start_with(&["--policy", policy.to_str().unwrap()]));
    let mut trials = JoinSet::new();
    for caller in callers() {
        trials.spawn(try_everything(Arc::clone(&sidecar), caller));
    }
    let mut total = Tally::new();
    while let Some(tally) = trials.join_next().await {
        for (call, [done, refused]) in tally.unwrap() {
            let [all_done, all_refused] = total.entry(call).or_default();
            *all_done += done;
            *all_refused += refused;
        }
    }
    // Nothing was left out: every call was let do, and refused.
    let calls: usize = total.values().flatten().sum();
    assert!(calls > 10_000, "{calls} {total:?}");
    for (call, [done, refused]) in total {
        println!("{call}: {done} done, {refused} refused");
        assert_eq!(done > 0, !["get status", "backup"].contains(&call), "{call}");
        assert_eq!(refused > 0, call != "list roles", "{call}");
    }
    let sidecar = Arc::into_inner(sidecar).unwrap();
    sidecar.finish().await;
}
