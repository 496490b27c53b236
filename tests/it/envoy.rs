//! Envoy in front of the CMS, as `deploy/envoy` ships it: the real Envoy with the
//! shipped configuration, the real sidecar, the users' own client, and an upstream
//! that notes what gets through to it.
//!
//! Ports, addresses and TLS files are all that is changed in the configuration, and
//! a change that finds no place in it fails. The golden tables say what each role
//! may do; nothing here asks the sources of the sidecar.

mod access_log;
mod bodies;
mod chunks;
mod conditions;
mod cut;
mod dialects;
mod headers;
mod http2;
mod keys;
mod leaks;
mod methods;
mod operation;
mod paths;
mod proxy;
mod routes;
mod samples;
mod scene;
mod sdk;
mod tls;
mod undecided;
mod upstream;
mod wire;
