//! A key makes keys while the operator takes its power away. In the order of the
//! journal, every key that was made had a maker who held all of it at that moment.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use octavia_authz::{
    clock::{Clock, Timestamp},
    digest::{Digest, Digester, Scheme},
    keyring::{Caller, Identity, Imported, ImportedKey, Keyring, NewKey, Patch},
    pb::v1::{
        ApiKey, CreateApiKeyRequest, KeyStatus, RevokeApiKeyRequest, UpdateApiKeyRequest,
        api_key_service_client::ApiKeyServiceClient,
    },
    policy::{CurrentPolicy, Policy},
    record::KeyRecord,
    store::{Embedded, Reader as _, Revision, Store as _},
    token::KeyId,
    usage::Usage,
};
use prost_types::FieldMask;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};

use super::rights::Rights;
use crate::sidecar::{Admin, Bearer, Sidecar, connect};

/// How the operator takes power away from a key.
#[derive(Copy, Clone, Debug)]
enum Demotion {
    /// The right to make keys.
    TakeTheRight,
    /// A right that it gives to those that it makes, not the right to make them.
    TakeWhatItGives,
    LowerTheRole,
    Disable,
    Revoke,
}

const DEMOTIONS: [Demotion; 5] = [
    Demotion::TakeTheRight,
    Demotion::TakeWhatItGives,
    Demotion::LowerTheRole,
    Demotion::Disable,
    Demotion::Revoke,
];

/// How the key makes another that holds what it holds itself.
#[derive(Copy, Clone, Debug)]
enum Making {
    Create,
    Update,
    Import,
}

const MAKINGS: [Making; 3] = [Making::Create, Making::Update, Making::Import];

/// What the maker holds and gives. The last is what [`Demotion::TakeWhatItGives`] takes.
const HELD: [&str; 3] = ["api_keys.create", "api_keys.update", "billing.read"];

fn held() -> Vec<String> {
    HELD.map(str::to_owned).into()
}

/// The grants after a demotion; `None` leaves them.
fn grants_after(demotion: Demotion) -> Option<Vec<String>> {
    match demotion {
        Demotion::TakeTheRight => Some(vec!["billing.read".into()]),
        Demotion::TakeWhatItGives => Some(held()[..2].to_vec()),
        Demotion::LowerTheRole => Some(Vec::new()),
        Demotion::Disable | Demotion::Revoke => None,
    }
}

/// Every state of every key, by the revision that made it; `None`: revoked.
type History = BTreeMap<Revision, (KeyId, Option<KeyRecord>)>;

/// The parts of a sidecar that change keys.
struct Parts {
    _dir: TempDir,
    store: Arc<Embedded>,
    keyring: Keyring,
    history: Arc<Mutex<History>>,
}

fn parts() -> Parts {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(Embedded::open(dir.path()).unwrap());
    let history = Arc::new(Mutex::new(History::new()));
    let told = Arc::clone(&history);
    store.subscribe(Box::new(move |changed| {
        let state = (changed.key_id, changed.after.cloned());
        assert!(told.lock().unwrap().insert(changed.revision, state).is_none());
    }));
    let policy = CurrentPolicy::new(Policy::built_in().unwrap());
    let clock = Clock::test(Timestamp(1_800_000_000_000));
    let usage = Usage::open(&dir.path().join("usage"), clock.clone()).unwrap();
    let digester = Digester::new(None, None);
    let keyring = Keyring::new(store.clone(), policy, digester, usage, clock);
    Parts { _dir: dir, store, keyring, history }
}

fn caller(identity: Identity) -> Caller {
    Caller { identity, peer: "test".to_owned(), request_id: String::new() }
}

fn new_admin(grants: Vec<String>) -> NewKey {
    NewKey { name: "an admin".into(), role: "admin".into(), grants, ..NewKey::default() }
}

async fn demote(keyring: &Keyring, id: KeyId, demotion: Demotion) {
    let (operator, etag) = (caller(Identity::Operator), String::new());
    let mut patch = Patch { grants: grants_after(demotion), ..Patch::default() };
    match demotion {
        Demotion::Revoke => {
            keyring.revoke(operator, id.as_str(), etag, false).await.unwrap();
            return;
        }
        Demotion::Disable => patch.active = Some(false),
        Demotion::LowerTheRole => patch.role = Some("editor".into()),
        Demotion::TakeTheRight | Demotion::TakeWhatItGives => {}
    }
    keyring.update(operator, id.as_str(), patch, etag, false).await.unwrap();
}

/// Makes a key; its id and the revision that made it, unless it is refused.
async fn make(
    parts: &Parts,
    maker: &Caller,
    making: Making,
    raised: KeyId,
) -> Option<(KeyId, Revision)> {
    let keyring = &parts.keyring;
    match making {
        Making::Create => {
            let (key, _) = keyring.create(maker.clone(), new_admin(held())).await.ok()?;
            Some((key.id, key.revision))
        }
        Making::Update => {
            let (role, grants) = (Some("admin".to_owned()), Some(held()));
            let patch = Patch { role, grants, ..Patch::default() };
            let updated =
                keyring.update(maker.clone(), raised.as_str(), patch, String::new(), false).await;
            let after = updated.ok()?.after;
            Some((after.id, after.revision))
        }
        Making::Import => {
            let text = KeyId::generate().unwrap().to_string();
            let key = ImportedKey {
                new: new_admin(held()),
                scheme: Scheme::Blake3,
                digest: Digest::of(text.as_bytes()),
                id: None,
                hint: String::new(),
                created: None,
                last_used: None,
            };
            let imported = keyring.import(maker.clone(), vec![key], false).await.ok()?;
            let [Imported::Done(id)] = imported[..] else { return None };
            Some((id, parts.store.get(id).unwrap().unwrap().revision))
        }
    }
}

/// A key that made others while it lost its power.
struct Round {
    maker: KeyId,
    demotion: Demotion,
    making: Making,
    made: Vec<(KeyId, Revision)>,
}

async fn run_round(parts: Arc<Parts>, number: usize) -> Round {
    let demotion = DEMOTIONS[number % DEMOTIONS.len()];
    let making = MAKINGS[number / DEMOTIONS.len() % MAKINGS.len()];
    let operator = caller(Identity::Operator);
    let (maker, token) = parts.keyring.create(operator.clone(), new_admin(held())).await.unwrap();
    let as_maker = caller(Identity::Key(parts.keyring.digester().present(token.reveal()).unwrap()));
    let low = NewKey { name: "a reader".into(), role: "read_only".into(), ..NewKey::default() };
    let raised = match making {
        Making::Update => parts.keyring.create(operator, low).await.unwrap().0.id,
        Making::Create | Making::Import => maker.id,
    };
    // The demotion before, between and after, as the scheduler has it.
    let mut tasks = JoinSet::new();
    let start_making = |tasks: &mut JoinSet<_>| {
        let (parts, as_maker) = (Arc::clone(&parts), as_maker.clone());
        tasks.spawn(async move { make(&parts, &as_maker, making, raised).await })
    };
    let attempts = 2;
    let place = number / (DEMOTIONS.len() * MAKINGS.len()) % (attempts + 1);
    for _ in 0..place {
        start_making(&mut tasks);
    }
    let demoting = {
        let parts = Arc::clone(&parts);
        tokio::spawn(async move { demote(&parts.keyring, maker.id, demotion).await })
    };
    for _ in place..attempts {
        start_making(&mut tasks);
    }
    let made = tasks.join_all().await.into_iter().flatten().collect();
    demoting.await.unwrap();
    // What begins after the reply to the demotion is refused.
    assert_eq!(make(&parts, &as_maker, making, raised).await, None, "{demotion:?} {making:?}");
    Round { maker: maker.id, demotion, making, made }
}

/// The key as the oracle wants it.
fn oracle_rights(record: &KeyRecord) -> Arc<Rights> {
    Rights::of(&ApiKey {
        service: record.service.clone(),
        role: record.role.clone(),
        grants: record.grants.clone(),
        subject: record.subject.clone(),
        ..Default::default()
    })
}

/// 10,000 makers, some at a time, so that they share syncs of the disk and get in
/// each other's way.
const ROUNDS: usize = 10_000;
const AT_ONCE: usize = 250;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_made_above_its_maker_while_the_maker_is_demoted() {
    let parts = Arc::new(parts());
    let mut rounds = Vec::new();
    for group in 0..ROUNDS / AT_ONCE {
        let mut running = JoinSet::new();
        for number in group * AT_ONCE..(group + 1) * AT_ONCE {
            running.spawn(run_round(Arc::clone(&parts), number));
        }
        rounds.extend(running.join_all().await);
    }
    assert_eq!(rounds.len(), ROUNDS);

    let history = parts.history.lock().unwrap();
    let mut versions: BTreeMap<KeyId, Vec<(Revision, Option<&KeyRecord>)>> = BTreeMap::new();
    for (revision, (id, after)) in &*history {
        versions.entry(*id).or_default().push((*revision, after.as_ref()));
    }
    let mut outcomes = BTreeMap::new();
    for round in &rounds {
        let of_maker = &versions[&round.maker];
        let [(created, _), (demoted, _)] = of_maker[..] else { panic!("{of_maker:?}") };
        for (id, revision) in &round.made {
            let what = (round.demotion, round.making);
            assert!(
                (created..demoted).contains(revision),
                "{what:?}: made at {revision}, its maker was demoted at {demoted}"
            );
            let (made, after) = &history[revision];
            assert_eq!(made, id);
            let at_that_moment = of_maker.iter().rev().find(|(at, _)| at < revision);
            let maker = at_that_moment.unwrap().1.unwrap();
            assert!(maker.active, "{what:?}");
            let rights = oracle_rights(maker);
            let made = oracle_rights(after.as_ref().unwrap());
            let right = match round.making {
                Making::Update => "api_keys.update",
                Making::Create | Making::Import => "api_keys.create",
            };
            assert!(rights.hold(right) && rights.cover(&made), "{what:?}");
        }
        let kind = format!("{:?} while {:?}", round.making, round.demotion);
        let [made, refused] = outcomes.entry(kind).or_insert([0, 0]);
        *made += round.made.len();
        *refused += 2 - round.made.len();
    }
    // Both sides won often, or nobody raced.
    for (kind, [made, refused]) in &outcomes {
        println!("{kind}: {made} made, {refused} refused");
        assert!(*made > 0 && *refused > 0, "{kind}: {made} made, {refused} refused");
    }
    assert_eq!(outcomes.len(), DEMOTIONS.len() * MAKINGS.len());
}

type Keys = ApiKeyServiceClient<Admin<Channel>>;

fn revision(key: &ApiKey) -> u64 {
    key.etag.parse().unwrap()
}

fn update(id: &str, paths: &[&str], values: ApiKey) -> UpdateApiKeyRequest {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    UpdateApiKeyRequest {
        id: id.into(),
        api_key: Some(values),
        update_mask: Some(FieldMask { paths }),
        ..Default::default()
    }
}

fn create_request(role: &str, grants: Vec<String>) -> CreateApiKeyRequest {
    CreateApiKeyRequest {
        name: format!("a {role}"),
        role: role.into(),
        grants,
        ..Default::default()
    }
}

/// Demotes over the wire. Gives the revision since when at the latest it is so.
async fn demote_remotely(mut operator: Keys, id: String, demotion: Demotion) -> u64 {
    let grants = grants_after(demotion).unwrap_or_default();
    let values = ApiKey {
        role: "editor".into(),
        grants,
        status: KeyStatus::Inactive.into(),
        ..Default::default()
    };
    let paths: &[&str] = match demotion {
        Demotion::TakeTheRight | Demotion::TakeWhatItGives => &["grants"],
        Demotion::LowerTheRole => &["role", "grants"],
        Demotion::Disable => &["status"],
        Demotion::Revoke => {
            let revoke = RevokeApiKeyRequest { id, ..Default::default() };
            operator.revoke_api_key(revoke).await.unwrap();
            // What is made next has a later revision than the revocation.
            let next = operator.create_api_key(create_request("read_only", Vec::new())).await;
            return revision(&next.unwrap().into_inner().api_key.unwrap());
        }
    };
    let updated = operator.update_api_key(update(&id, paths, values)).await.unwrap();
    revision(&updated.into_inner().api_key.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_makes_a_key_above_its_own_while_its_own_is_demoted() {
    let sidecar = Sidecar::start_with(&["--max-failed-sign-ins", "100000"]);
    let mut operator = sidecar.keys().await;
    let channel = connect(&sidecar.admin_listen).await;
    let (mut all_made, mut all_refused) = (0, 0);
    for number in 0..300 {
        let demotion = DEMOTIONS[number % DEMOTIONS.len()];
        let created = operator.create_api_key(create_request("admin", held())).await.unwrap();
        let created = created.into_inner();
        let id = created.api_key.unwrap().id;
        let low = operator.create_api_key(create_request("read_only", Vec::new())).await.unwrap();
        let low = low.into_inner().api_key.unwrap().id;
        let maker =
            ApiKeyServiceClient::with_interceptor(channel.clone(), Bearer::new(&created.key));
        let attempt = move |mut maker: Keys, low: String, creates: bool| async move {
            if creates {
                let made = maker.create_api_key(create_request("admin", held())).await?;
                return Ok(made.into_inner().api_key.unwrap());
            }
            let values = ApiKey { role: "admin".into(), grants: held(), ..Default::default() };
            let made = maker.update_api_key(update(&low, &["role", "grants"], values)).await?;
            Ok::<_, tonic::Status>(made.into_inner().api_key.unwrap())
        };
        let mut racing = JoinSet::new();
        let demoting = async |racing: &mut JoinSet<_>| {
            for creates in [true, false, true] {
                racing.spawn(attempt(maker.clone(), low.clone(), creates));
            }
        };
        let demote = demote_remotely(operator.clone(), id, demotion);
        let demoted = if number % 2 == 0 {
            let demoted = tokio::spawn(demote);
            demoting(&mut racing).await;
            demoted
        } else {
            demoting(&mut racing).await;
            tokio::spawn(demote)
        };
        let demoted = demoted.await.unwrap();
        for answer in racing.join_all().await {
            match answer {
                Ok(made) => {
                    all_made += 1;
                    assert!(revision(&made) < demoted, "{demotion:?}: {made:?} after {demoted}");
                }
                Err(status) => {
                    all_refused += 1;
                    let codes = [Code::PermissionDenied, Code::Unauthenticated];
                    assert!(codes.contains(&status.code()), "{demotion:?}: {status}");
                }
            }
        }
        for creates in [true, false] {
            let status = attempt(maker.clone(), low.clone(), creates).await.unwrap_err();
            let code = match demotion {
                Demotion::Disable | Demotion::Revoke => Code::Unauthenticated,
                _ => Code::PermissionDenied,
            };
            // Without the right to give it, and where only what it gives was taken: for that.
            assert_eq!(status.code(), code, "{demotion:?}: {status}");
        }
    }
    assert!(all_made > 0 && all_refused > 0, "{all_made} made, {all_refused} refused");
    sidecar.finish().await;
}
