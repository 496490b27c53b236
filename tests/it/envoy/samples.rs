//! What a sample must never lose, whoever edits it. `envoy.yaml` is run by the other
//! tests; Istio and Envoy Gateway cannot be, here.

use std::fs;

fn sample(name: &str) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let text = fs::read_to_string(format!("{root}/deploy/envoy/{name}")).unwrap();
    let settings = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    settings.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_sample_fails_closed_and_soon() {
    for (name, policies, settings) in [
        (
            "envoy.yaml",
            1,
            &[
                "failure_mode_allow: false",
                "timeout: 0.050s",
                "status_on_error: { code: ServiceUnavailable }",
                "encode_raw_headers: true",
            ][..],
        ),
        ("istio.yaml", 1, &["failOpen: false", "timeout: 0.050s", r#"statusOnError: "503""#]),
        ("gateway-api.yaml", 2, &["failOpen: false", "timeout: 50ms", "statusOnError: 503"]),
    ] {
        let sample = sample(name);
        for setting in settings {
            let times = sample.lines().filter(|line| line.trim() == *setting).count();
            assert_eq!(times, policies, "{name}: `{setting}`");
        }
        for open in ["failOpen: true", "failure_mode_allow: true", "disabled: true"] {
            assert!(!sample.contains(open), "{name}: {open}");
        }
    }
}
