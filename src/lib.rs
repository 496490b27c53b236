//! octavia-authz: the sidecar that answers, for every request of every CMS
//! microservice, "may this API key do this?".
//!
//! # Layout
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | the command line; `cli::serve` starts the sidecar |
//! | [`config`] | what `serve` runs on, validated |
//! | [`server`] | binds, workers, drain |
//! | [`grpc`] | the services; the border between wire types and ours |
//! | [`authzen`] | the OpenID AuthZEN API over HTTP, for tools and gateways |
//! | [`dashboard`] | the web pages on which people manage keys |
//! | [`gateway`] | HTTP requests that a proxy asks about: key, operation and body become a demand |
//! | [`decision_log`] | what was decided, one event for each denial and for a sample of the allows |
//! | [`authorizer`] | decides: the walk of a request |
//! | [`audit`] | what was changed or refused, for those who may see it |
//! | [`keyring`] | changes: the rules of create, import, update, rotate, revoke; lists |
//! | [`policy`] | services, actions, roles, conditions, routes: compiled, pure, total |
//! | [`cache`] | resolved keys in memory; no stale fill |
//! | [`usage`] | when keys were last used, and how often; a sled of its own |
//! | [`resolved_key`] | a record joined with the policy, ready to decide on |
//! | [`store`] | the trait of an engine; the embedded one is journal + sled |
//! | [`event`], [`change`], [`record`], [`digest`], [`token`], [`expiration`], [`clock`] | the nouns; `digest` knows schemes and peppers |
//! | `sled_dir` | opening a directory of sled's that may be damaged; setting it aside |
//! | [`tls`] | certificate, key and client CA of the listeners, reloaded as a set |
//! | `turns` | one at a time, and nobody has many that wait |
//! | `dir_size` | how long the files in a directory are |
//! | `printable` | which characters people cannot see |
//! | [`metrics`] | what the sidecar tells Prometheus; counts on the way of a request without a lock |
//! | [`sign_ins`] | how often a source may fail to sign in |
//! | [`operator`] | the operator token |
//! | [`telemetry`] | what the sidecar says while it runs: the log's queues, spans |
//! | [`pb`] | generated types: the wire's and the stored ones |
//!
//! Imports point down this table. The read side (`authorizer`) and the write
//! side (`keyring`) never call each other; both ask the same `policy` and stand
//! on the same `store`.
//!
//! # Life of a request
//!
//! A connection belongs to one worker, a thread with a runtime of its own
//! (`server::worker`). `grpc::authorize` checks the limits of a request and asks
//! [`authorizer::Authorizer::authorize`], which goes straight down: the key's
//! text is checked for shape and checksum (`token`) and digested (`digest`); its
//! id, or for the text of an imported key the digest, finds the resolved key in
//! the `cache`, or the record in the `store`; the digest has to be one of the
//! key's; status, expiration and service have to fit; the action's bit in the
//! key's rights allows, denies, or names the conditions that the resource's
//! attributes have to meet; and the key's cell counts the use (`usage`). Nothing
//! on this way waits or, for a cached key whose digest is up to date, allocates.
//! Whatever cannot be found out is an error, never an allow. [`authzen`] asks the same
//! authorizer, from HTTP (`server::http`) and beside the workers.
//!
//! A request that a proxy asks about takes the same way behind one step more:
//! `grpc::ext_authz` hands it to the [`gateway::Gateway`], which takes its key from
//! the headers, finds its operation among the `policy`'s routes, looks at the body
//! where that counts, and asks [`authorizer::Authorizer::admit`] for all the actions
//! that it needs.
//!
//! # Life of a change
//!
//! `grpc::admin` finds out who calls and asks the [`keyring::Keyring`], which
//! hands the store a rule. The store's one writer runs the rule against the
//! newest state (who is the caller now, what may it do, what does it give),
//! appends the change to the journal together with those that wait beside it,
//! syncs it, applies it to sled, tells those who subscribed (the cache, the
//! keyring's catalog of keys, the counts of digests), and only then answers. So a
//! reply means: durable, and seen by every later decision and list. A refusal
//! goes the same way, as a change without effect, and [`audit`] reads both out of
//! the journal.

pub mod audit;
pub mod authorizer;
pub mod authzen;
pub mod cache;
pub mod change;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dashboard;
pub mod decision_log;
pub mod digest;
mod dir_size;
pub mod event;
pub mod expiration;
pub mod gateway;
pub mod grpc;
pub mod keyring;
pub mod metrics;
pub mod operator;
pub mod pb;
pub mod policy;
mod printable;
pub mod record;
pub mod resolved_key;
pub mod server;
pub mod sign_ins;
mod sled_dir;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod token;
mod turns;
pub mod usage;
