//! Flags that are wrong end the start before anything is bound or made.

use tempfile::TempDir;

use crate::sidecar::Sidecar;

#[test]
fn a_wrong_flag_is_a_mistake_of_the_configuration() {
    for (args, problem) in [
        (["--log-allows", "2"], "from 0 (none) to 1 (all)"),
        (["--log-allows", "NaN"], "from 0 (none) to 1 (all)"),
        (["--otlp-ratio", "-1"], "from 0 (none) to 1 (all)"),
        (["--otlp-endpoint", "127.0.0.1:4317"], "http://host:port"),
        (["--otlp-endpoint", "ftp://x:1"], "http://host:port"),
        (["--otlp-endpoint", "http://x:4318/v1/traces"], "has no path"),
    ] {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("data");
        let given = format!("{}={}", args[0], args[1]);
        let Err((status, log)) = Sidecar::try_start_on(&data, &[&given]) else {
            panic!("{args:?} was taken");
        };
        assert_eq!(status.code(), Some(2), "{args:?} {log}");
        assert!(log.contains(problem), "{args:?} {log}");
        assert!(!data.exists(), "{args:?}");
    }
}
