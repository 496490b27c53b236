//! Whatever is done, in whatever order, the sidecar is what a simple model says:
//! a map of keys, and three rules about who may do what.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use octavia_authz::pb::v1::{
    ApiKey, CreateApiKeyRequest, DecisionReason as Reason, KeyFilter, KeyStatus,
    ListApiKeysRequest, RevokeApiKeyRequest, RotateApiKeyRequest,
};
use proptest::{
    prelude::{Strategy, any, prop_oneof},
    sample::Index,
    test_runner::{Config, TestRunner},
};
use tonic::{Code, Status};

use super::{create, new_key, update};
use crate::{
    golden::{self, Right},
    sidecar::Sidecar,
};

/// What can be done. Callers, teams, roles and keys are picked by number.
#[derive(Clone, Debug)]
enum Step {
    Create { team: Index, role: Index, off: bool },
    Rename(Index, String),
    Role(Index, Index),
    Switch(Index, bool),
    Rotate(Index),
    Revoke(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        3 => (index(), index(), any::<bool>())
            .prop_map(|(team, role, off)| Step::Create { team, role, off }),
        1 => (index(), "[a-z]{1,8}").prop_map(|(key, name)| Step::Rename(key, name)),
        2 => (index(), index()).prop_map(|(key, role)| Step::Role(key, role)),
        2 => (index(), any::<bool>()).prop_map(|(key, off)| Step::Switch(key, off)),
        2 => index().prop_map(Step::Rotate),
        1 => index().prop_map(Step::Revoke),
    ]
}

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Operator,
    /// A super admin's key of the first team.
    SuperAdmin,
    /// An admin's key of the first team with every grant but `api_keys.create`.
    Admin,
}

/// A key as the model has it.
#[derive(Clone, Debug)]
struct Key {
    name: String,
    team: String,
    role: String,
    off: bool,
    text: String,
}

struct Model {
    teams: [String; 2],
    keys: BTreeMap<String, Key>,
    /// Texts of secrets that were rotated away and of keys that were revoked.
    dead: Vec<String>,
}

impl Model {
    fn pick(&self, index: &Index) -> Option<(String, Key)> {
        let at = (!self.keys.is_empty()).then(|| index.index(self.keys.len()))?;
        self.keys.iter().nth(at).map(|(id, key)| (id.clone(), key.clone()))
    }

    /// The rules: the team, then what the key holds, before and after.
    fn change(&self, caller: Caller, before: &Key, role_after: &str) -> Code {
        let above = |role: &str| caller == Caller::Admin && role == "super_admin";
        match caller {
            Caller::Operator => Code::Ok,
            _ if before.team != self.teams[0] => Code::NotFound,
            _ if above(&before.role) || above(role_after) => Code::PermissionDenied,
            _ => Code::Ok,
        }
    }

    fn creation(&self, caller: Caller, team: &str) -> Code {
        match caller {
            Caller::Operator => Code::Ok,
            Caller::SuperAdmin if team == self.teams[0] => Code::Ok,
            _ => Code::PermissionDenied,
        }
    }
}

fn code<T>(answer: &Result<T, Status>) -> Code {
    answer.as_ref().err().map_or(Code::Ok, Status::code)
}

/// Does one step, and checks what the caller is told.
async fn take(model: &mut Model, sidecar: &Sidecar, credential: &str, caller: Caller, step: &Step) {
    let mut keys = sidecar.keys_as(credential).await;
    let role_of = |index: &Index| golden::ROLES[index.index(golden::ROLES.len())].to_owned();
    if let Step::Create { team, role, off } = step {
        let (team, role) = (model.teams[team.index(2)].clone(), role_of(role));
        let status = if *off { KeyStatus::Inactive } else { KeyStatus::Active };
        let new = CreateApiKeyRequest { status: status.into(), ..new_key(&role, &team) };
        let name = new.name.clone();
        let answer = keys.create_api_key(new).await;
        assert_eq!(code(&answer), model.creation(caller, &team));
        if let Ok(created) = answer {
            let created = created.into_inner();
            let key = Key { name, team, role, off: *off, text: created.key };
            model.keys.insert(created.api_key.unwrap().id, key);
        }
        return;
    }
    let (Step::Rename(index, _)
    | Step::Role(index, _)
    | Step::Switch(index, _)
    | Step::Rotate(index)
    | Step::Revoke(index)) = step
    else {
        return;
    };
    let Some((id, before)) = model.pick(index) else { return };
    let mut after = before.clone();
    match step {
        Step::Rename(_, name) => after.name.clone_from(name),
        Step::Role(_, role) => after.role = role_of(role),
        Step::Switch(_, off) => after.off = *off,
        _ => {}
    }
    let status = if after.off { KeyStatus::Inactive } else { KeyStatus::Active };
    let values = ApiKey {
        name: after.name.clone(),
        role: after.role.clone(),
        status: status.into(),
        ..Default::default()
    };
    let rotate = RotateApiKeyRequest { id: id.clone(), ..Default::default() };
    let revoke = RevokeApiKeyRequest { id: id.clone(), ..Default::default() };
    let answer = match step {
        Step::Rename(..) => keys.update_api_key(update(&id, &["name"], values)).await.map(drop),
        Step::Role(..) => keys.update_api_key(update(&id, &["role"], values)).await.map(drop),
        Step::Switch(..) => keys.update_api_key(update(&id, &["status"], values)).await.map(drop),
        Step::Rotate(_) => keys.rotate_api_key(rotate).await.map(|rotated| {
            after.text = rotated.into_inner().key;
        }),
        _ => keys.revoke_api_key(revoke).await.map(drop),
    };
    assert_eq!(code(&answer), model.change(caller, &before, &after.role), "{caller:?} {step:?}");
    if answer.is_err() {
        return;
    }
    if before.text != after.text {
        model.dead.push(before.text.clone());
    }
    if matches!(step, Step::Revoke(_)) {
        model.dead.push(before.text);
        model.keys.remove(&id);
    } else {
        model.keys.insert(id, after);
    }
}

/// Every key decides as the model says, and the lists hold what it holds.
async fn check(model: &Model, sidecar: &Sidecar) {
    for (id, key) in &model.keys {
        for action in ["articles.publish", "media.upload", "users.read"] {
            let answer = sidecar.authorize(&key.text, action).await;
            let expected = match golden::right(&key.role, action) {
                _ if key.off => Reason::KeyInactive,
                Right::Always => Reason::Allowed,
                Right::Never => Reason::ActionDenied,
                Right::When(_) => Reason::ConditionUnmet,
            };
            assert_eq!((answer.reason(), &answer.key_id), (expected, id), "{key:?}");
        }
    }
    for text in &model.dead {
        assert_eq!(sidecar.authorize(text, "media.read").await.reason(), Reason::KeyUnknown);
    }
    for team in &model.teams {
        let filter = KeyFilter { team: team.clone(), ..Default::default() };
        let request =
            ListApiKeysRequest { page_size: 1000, filter: Some(filter), ..Default::default() };
        let page = sidecar.keys().await.list_api_keys(request).await.unwrap().into_inner();
        let listed: Vec<_> = page
            .api_keys
            .iter()
            .filter(|key| !key.name.starts_with("caller"))
            .map(|key| {
                let off = key.status() == KeyStatus::Inactive;
                (&*key.id, &*key.name, &*key.team, &*key.role, off)
            })
            .collect();
        let of_team = model.keys.iter().filter(|(_, key)| key.team == *team);
        let expected: Vec<_> =
            of_team.map(|(id, key)| (&**id, &*key.name, &*key.team, &*key.role, key.off)).collect();
        assert_eq!(listed, expected);
    }
}

async fn run(sidecar: &Sidecar, case: usize, steps: Vec<(Caller, Step)>) {
    let teams = ["first", "second"].map(|name| format!("{name}-{case}"));
    let caller = |role: &str, grants: &[&str]| CreateApiKeyRequest {
        name: format!("caller {role}"),
        grants: grants.iter().map(|grant| format!("api_keys.{grant}")).collect(),
        ..new_key(role, &teams[0])
    };
    let (_, super_admin) = create(sidecar, caller("super_admin", &[])).await;
    let grants = ["read", "update", "rotate", "revoke"];
    let (_, admin) = create(sidecar, caller("admin", &grants)).await;
    let operator = sidecar.operator_token();
    let mut model = Model { teams, keys: BTreeMap::new(), dead: Vec::new() };
    for (caller, step) in steps {
        let credential = match caller {
            Caller::Operator => &operator,
            Caller::SuperAdmin => &super_admin,
            Caller::Admin => &admin,
        };
        take(&mut model, sidecar, credential, caller, &step).await;
    }
    check(&model, sidecar).await;
}

#[test]
fn the_sidecar_is_what_a_simple_model_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sidecar = Sidecar::start();
    let cases = AtomicUsize::new(0);
    let caller = prop_oneof![
        2 => proptest::strategy::Just(Caller::Operator),
        2 => proptest::strategy::Just(Caller::SuperAdmin),
        1 => proptest::strategy::Just(Caller::Admin),
    ];
    let steps = proptest::collection::vec((caller, step()), 1..40);
    let config = Config { cases: 32, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&steps, |steps| {
            let case = cases.fetch_add(1, Ordering::Relaxed);
            runtime.block_on(run(&sidecar, case, steps));
            Ok(())
        })
        .unwrap();
    assert_eq!(cases.into_inner(), 32);
    runtime.block_on(sidecar.finish());
}
