//! The text as scrapers get it.

use super::*;
use crate::clock::Timestamp;

/// Every handle was used once.
fn used() -> Metrics {
    let metrics = Metrics::default();
    let handles = metrics.handles();
    let listener = handles.listeners.of("admin");
    let open = listener.connected();
    drop(listener.connected());
    std::mem::forget(open);
    listener.refused();
    listener.shed();
    handles.tls.set_expiry("admin", Timestamp(1_800_000_000_999));
    handles.tls.reloads().done();
    handles.policy_reloads.failed();
    handles.sign_ins_failed.add();
    handles.ready.set(true);
    handles.decisions.cache.add(true);
    handles.admin.start("/octavia.authz.v1.RoleService/ListRoles").end(0);
    metrics
}

#[test]
fn handles_show_under_their_names() {
    let text = used().encode(Exposition::OpenMetrics).unwrap();
    for line in [
        concat!("octavia_authz_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "octavia_authz_connections{listener=\"admin\"} 1",
        "octavia_authz_connections_refused_total{listener=\"admin\"} 1",
        "octavia_authz_requests_shed_total{listener=\"admin\"} 1",
        "octavia_authz_tls_certificate_expiry_timestamp_seconds{listener=\"admin\"} 1800000000",
        "octavia_authz_tls_reloads_total{result=\"done\"} 1",
        "octavia_authz_tls_reloads_total{result=\"failed\"} 0",
        "octavia_authz_policy_reloads_total{result=\"failed\"} 1",
        "octavia_authz_traces_dropped_total 0",
        "octavia_authz_admin_sign_ins_failed_total 1",
        "octavia_authz_ready 1",
        "octavia_authz_cache_hits_total 1",
        "octavia_authz_cache_misses_total 0",
        "octavia_authz_admin_requests_total{method=\"ListRoles\",code=\"OK\"} 1",
        "octavia_authz_admin_request_duration_seconds_count{method=\"ListRoles\"} 1",
        "octavia_authz_decision_duration_seconds_count{api=\"introspect\"} 0",
        "octavia_authz_commits_total{result=\"done\"} 0",
        "octavia_authz_fsync_duration_seconds_count 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(text.ends_with("\n# EOF\n"));
    assert!(text.contains("\nprocess_resident_memory_bytes "));
}

#[test]
fn both_forms_have_the_same_samples() {
    let metrics = used();
    let samples = |exposition| -> Vec<String> {
        let text = metrics.encode(exposition).unwrap();
        let names = text.lines().filter(|line| !line.starts_with('#'));
        // Without the values: processor time goes on.
        names.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    };
    assert_eq!(samples(Exposition::Classic), samples(Exposition::OpenMetrics));
}

#[test]
fn every_sample_of_the_classic_text_belongs_to_the_family_above_it() {
    let text = used().encode(Exposition::Classic).unwrap();
    let mut family = ("", "");
    for line in text.lines() {
        if let Some(named) = line.strip_prefix("# TYPE ") {
            family = named.split_once(' ').unwrap();
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let suffix = name.strip_prefix(family.0).unwrap_or_else(|| panic!("{line}"));
            let fits = match family.1 {
                "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                _ => suffix.is_empty(),
            };
            assert!(fits, "{line}");
        }
    }
}
