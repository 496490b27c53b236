//! A workspace that has had keys for half a year: they are used by day, and looked after.

use std::{path::Path, sync::Arc, time::Duration};

use octavia_authz::{
    clock::{Clock, Timestamp},
    digest::Digester,
    keyring::{Caller, Identity, Keyring, NewKey, Patch},
    operator::OperatorToken,
    policy::{CurrentPolicy, Policy},
    record::KeyRecord,
    store::Embedded,
    token::Token,
    usage::Usage,
};

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;

/// A key: name, role, how many days ago it was made, its expiration, requests on a busy day, and how
/// many of a hundred are denied.
type Row = (&'static str, &'static str, i64, &'static str, i64, i64);

const KEYS: [Row; 13] = [
    ("cms-backend-prod", "super_admin", 212, "lifetime", 610, 0),
    ("legacy-import", "writer", 205, "lifetime", 0, 0),
    ("website-prod", "read_only", 181, "lifetime", 940, 1),
    ("cdn-cache-warmer", "read_only", 152, "365d", 300, 0),
    ("translations-sync", "editor", 130, "180d", 150, 2),
    ("newsroom-editorial", "managing_editor", 121, "365d", 260, 3),
    ("website-preview", "read_only", 96, "180d", 70, 12),
    ("release-train", "publisher", 88, "365d", 120, 4),
    ("analytics-nightly", "read_only", 75, "90d", 30, 0),
    ("newsletter-export", "writer", 64, "90d", 25, 8),
    ("agency-drafts", "writer", 40, "30d", 20, 10),
    ("team-console", "admin", 33, "180d", 55, 5),
    ("mobile-app", "read_only", 6, "90d", 0, 0),
];

/// Of a busy day, by the day of the week.
const WEEK: [i64; 7] = [96, 100, 92, 104, 88, 37, 31];

struct Scene {
    keyring: Keyring,
    usage: Usage,
    clock: Clock,
    operator: OperatorToken,
    now: i64,
}

/// Makes it in `dir`, for a sidecar that starts then. Gives the id of `release-train`.
pub(super) async fn make(dir: &Path) -> String {
    let clock = Clock::test(Clock::System.now());
    let now = clock.now().0;
    clock.set(Timestamp(now - 213 * DAY));
    let store = Arc::new(Embedded::open(dir).unwrap());
    let operator = OperatorToken::read_or_generate(&dir.join("operator.token")).unwrap();
    let usage = Usage::open(&dir.join("usage"), clock.clone()).unwrap();
    let policy = CurrentPolicy::new(Policy::built_in().unwrap());
    let keyring =
        Keyring::new(store, policy, Digester::new(None, None), usage.clone(), clock.clone());
    let scene = Scene { keyring, usage, clock, operator, now };
    let mut keys = Vec::new();
    for row in KEYS {
        keys.push((row, scene.create(row).await));
    }
    scene.use_all(&keys);
    scene.look_after(&keys).await;
    scene.usage.flush().unwrap();
    let (_, (release_train, _)) = keys.iter().find(|(row, _)| row.0 == "release-train").unwrap();
    release_train.id.to_string()
}

impl Scene {
    fn at(&self, before: i64) {
        self.clock.set(Timestamp(self.now - before));
    }

    fn operator(&self) -> Caller {
        self.caller(Identity::Operator)
    }

    fn caller(&self, identity: Identity) -> Caller {
        Caller { identity, peer: "10.20.0.17:52114".to_owned(), request_id: String::new() }
    }

    async fn create(&self, row: Row) -> (KeyRecord, Token) {
        let (name, role, days, expires, ..) = row;
        self.at(days * DAY + 3 * HOUR);
        let is_admin = role == "admin";
        let grants =
            if is_admin { vec!["api_keys.read".into(), "api_keys.update".into()] } else { vec![] };
        let new = NewKey {
            name: name.to_owned(),
            role: role.to_owned(),
            expires: expires.parse().unwrap(),
            grants,
            description: match name {
                "release-train" => {
                    "Publishes what the editors have approved, on the hour.".to_owned()
                }
                _ => String::new(),
            },
            labels: [("env".to_owned(), "production".to_owned())].into(),
            ..NewKey::default()
        };
        self.keyring.create(self.operator(), new).await.unwrap()
    }

    /// What the keys did on each of the last days.
    fn use_all(&self, keys: &[(Row, (KeyRecord, Token))]) {
        let cells: Vec<_> =
            keys.iter().map(|(row, (key, _))| (row, self.usage.cell(key), key)).collect();
        for day in (0..30).rev() {
            self.at(day * DAY + 2 * HOUR);
            let now = self.clock.now();
            let weekday = usize::try_from(now.0.div_euclid(DAY).rem_euclid(7)).unwrap();
            for (row, cell, key) in &cells {
                let (.., busy, denied) = **row;
                if key.created > now || key.expires.is_some_and(|at| at <= now) {
                    continue;
                }
                let count = busy * WEEK[weekday] / 100 + day % 4 * busy / 40;
                for number in 0..count {
                    cell.record(1, now, number * 37 % 100 >= denied);
                }
            }
            self.usage.collect().unwrap();
        }
    }

    /// What was done to them last.
    async fn look_after(&self, keys: &[(Row, (KeyRecord, Token))]) {
        let key = |name: &str| &keys.iter().find(|(row, _)| row.0 == name).unwrap().1;
        let id = |name: &str| key(name).0.id.to_string();
        let change = async |name: &str, patch: Patch| {
            let etag = String::new();
            self.keyring.update(self.operator(), &id(name), patch, etag, false).await.unwrap();
        };
        self.at(9 * DAY + 5 * HOUR);
        change("legacy-import", Patch { active: Some(false), ..Patch::default() }).await;
        self.at(3 * DAY + HOUR);
        let text = "Drafts of the agency's authors.".to_owned();
        change("agency-drafts", Patch { description: Some(text), ..Patch::default() }).await;
        self.at(26 * HOUR);
        let (week, etag) = (Duration::from_secs(7 * 24 * 60 * 60), String::new());
        self.keyring.rotate(self.operator(), &id("release-train"), week, etag).await.unwrap();
        self.at(5 * HOUR);
        let console = key("team-console").1.reveal();
        let identity = Identity::of(console, &self.operator, &Digester::new(None, None)).unwrap();
        let (caller, etag) = (self.caller(identity), String::new());
        self.keyring.revoke(caller, &id("website-preview"), etag, false).await.unwrap_err();
        self.at(2 * HOUR);
        change("newsletter-export", Patch { role: Some("editor".to_owned()), ..Patch::default() })
            .await;
        self.at(HOUR);
        let expires = Some("365d".parse().unwrap());
        change("newsletter-export", Patch { expires, ..Patch::default() }).await;
    }
}
