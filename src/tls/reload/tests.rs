use std::fs;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;
use crate::metrics::Metrics;

/// From one new year to another, as PEM.
fn issue(from: i32, until: i32) -> (String, String) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A new year.
fn year(year: i32) -> Timestamp {
    Timestamp(date_time_ymd(year, 1, 1).unix_timestamp() * 1000)
}

fn contents((cert, key): (String, String)) -> Contents {
    Contents { cert: cert.into(), key: key.into_bytes().into(), client_ca: None }
}

fn is_taken(reloader: &Reloader, contents: &Contents) -> Result<bool, String> {
    match reloader.successor(contents) {
        Ok(set) => Ok(set.is_some()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn a_certificate_that_holds_gives_way_only_to_one_that_holds() {
    let (dir, (cert, key)) = (TempDir::new().unwrap(), issue(2020, 2030));
    let path = |name, text| {
        fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    };
    let files = Files { cert: path("cert", cert), key: path("key", key), client_ca: None };
    let clock = Clock::test(year(2025));
    let metrics = Metrics::default();
    let reloads = metrics.handles().tls.reloads().clone();
    let reloader = Reloader::load(files, clock.clone(), reloads).unwrap();
    let (good, old) = (contents(issue(2024, 2026)), contents(issue(2020, 2024)));
    let later = contents(issue(2028, 2040));
    assert_eq!(is_taken(&reloader, &good), Ok(true));
    let said = is_taken(&reloader, &old).unwrap_err();
    assert!(said.ends_with("has expired at 2024-01-01T00:00:00Z"), "{said}");
    let said = is_taken(&reloader, &later).unwrap_err();
    assert!(said.contains("does not hold before 2028-01-01T00:00:00Z, and is taken"), "{said}");

    clock.set(Timestamp(year(2028).0 - SOON));
    assert_eq!(is_taken(&reloader, &later), Ok(false), "too early, and no mistake");
    clock.set(year(2028));
    assert_eq!(is_taken(&reloader, &later), Ok(true), "once it holds");
    // Nothing is lost any more.
    clock.set(year(2030));
    assert_eq!(is_taken(&reloader, &old), Ok(true));
}
