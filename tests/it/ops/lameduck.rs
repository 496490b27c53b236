//! From SIGTERM to the drain: it says that it is not ready, and goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use octavia_authz::pb::v1::{
    AuthorizeRequest, authorization_service_client::AuthorizationServiceClient,
};
use tokio::{task::JoinSet, time::timeout};
use tonic_health::pb::{
    HealthCheckRequest,
    health_check_response::ServingStatus::{NotServing, Serving},
    health_client::HealthClient,
};

use super::{get, health, probes, value, wait_for_readiness};
use crate::{
    authzen::client::Client,
    sidecar::{PATIENCE, Sidecar, connect, wait_until},
};

const LONG: [&str; 4] = ["--lameduck", "1h", "--authzen-listen", "127.0.0.1:0"];

fn question(key: &str) -> AuthorizeRequest {
    AuthorizeRequest { key: key.into(), action: "articles.create".into(), ..Default::default() }
}

/// A second SIGTERM ends the pause; it must end well, and soon.
async fn stop_again(sidecar: Sidecar) {
    sidecar.terminate();
    let asked = Instant::now();
    let log = sidecar.finish_after_stop().await;
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(!log.contains("cut off"), "{log}");
}

#[tokio::test]
async fn after_sigterm_it_is_not_ready_on_every_listener_and_everybody_is_answered() {
    let sidecar = Sidecar::start_with(&LONG);
    let (_, text) = sidecar.create("writer").await;
    let mut old = sidecar.authorization().await;
    let mut watches = Vec::new();
    for address in [&sidecar.listen, &sidecar.admin_listen, &sidecar.ops_listen] {
        for service in ["", "readiness", "octavia.authz.v1.AuthorizationService"] {
            let mut client = HealthClient::new(connect(address).await);
            let request = HealthCheckRequest { service: service.into() };
            let mut watch = client.watch(request).await.unwrap().into_inner();
            assert_eq!(watch.message().await.unwrap().unwrap().status(), Serving);
            watches.push(watch);
        }
    }
    sidecar.terminate();
    for watch in &mut watches {
        let told = timeout(PATIENCE, watch.message()).await.unwrap().unwrap().unwrap();
        assert_eq!(told.status(), NotServing);
    }
    wait_for_readiness(&sidecar.ops_listen, 503);
    assert_eq!(probes(&sidecar.ops_listen), [200, 503, 200]);
    let said = get(&sidecar.ops_listen, "/readyz");
    assert_eq!(said.text(), "not ready: stopping, calls in flight are answered\n");
    assert_eq!(value(&sidecar.ops_listen, "octavia_authz_ready"), Some(0.0));
    for address in [&sidecar.listen, &sidecar.admin_listen, &sidecar.ops_listen] {
        for (service, status) in [
            ("", NotServing),
            ("readiness", NotServing),
            ("octavia.authz.v1.AuthorizationService", NotServing),
            ("envoy.service.auth.v3.Authorization", NotServing),
            ("octavia.authz.v1.ApiKeyService", NotServing),
            ("startup", Serving),
            ("liveness", Serving),
        ] {
            assert_eq!(health(address, service).await, status, "{service} at {address}");
        }
    }
    // Old connections and new ones, every API.
    assert!(old.authorize(question(&text)).await.unwrap().into_inner().allowed);
    assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    let (_, late) = sidecar.create("writer").await;
    assert!(old.authorize(question(&late)).await.unwrap().into_inner().allowed);
    let body = crate::authzen::question(&late, "articles.create");
    let answer = Client::of(&sidecar).evaluate("/access/v1/evaluation", &body);
    assert_eq!(answer["decision"], true);
    // Nobody was told twice, nor sent away.
    for watch in &mut watches {
        let silent = timeout(Duration::from_millis(1), watch.message()).await;
        assert!(silent.is_err(), "{silent:?}");
    }
    stop_again(sidecar).await;
}

#[tokio::test]
async fn after_its_pause_it_goes_on_to_the_end_by_itself() {
    let sidecar = Sidecar::start_with(&["--lameduck", "700ms"]);
    let (_, text) = sidecar.create("writer").await;
    let asked = Instant::now();
    sidecar.terminate();
    wait_for_readiness(&sidecar.ops_listen, 503);
    assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    sidecar.finish_after_stop().await;
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(700) && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_that_is_made_during_the_pause_on_old_or_new_connections() {
    let sidecar = Sidecar::start_with(&["--lameduck", "1h", "--workers", "2"]);
    let (_, text) = sidecar.create("writer").await;
    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU32::new(0));
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let (listen, text) = (sidecar.listen.clone(), text.clone());
        let (done, answered) = (Arc::clone(&done), Arc::clone(&answered));
        callers.spawn(async move {
            let mut client = AuthorizationServiceClient::new(connect(&listen).await);
            let (mut calls, mut connections) = (0_u32, 1_u32);
            while !done.load(SeqCst) {
                // Half of them keep their connection.
                if caller % 2 == 0 && calls % 5 == 4 {
                    client = AuthorizationServiceClient::new(connect(&listen).await);
                    connections += 1;
                }
                assert!(client.authorize(question(&text)).await.unwrap().into_inner().allowed);
                calls += 1;
                answered.fetch_add(1, SeqCst);
            }
            (calls, connections)
        });
    }
    let wait_for_more = |more: u32| {
        let before = answered.load(SeqCst);
        wait_until("answers", || answered.load(SeqCst) >= before + more);
    };
    tokio::task::block_in_place(|| {
        wait_for_more(200);
        sidecar.terminate();
        wait_for_readiness(&sidecar.ops_listen, 503);
        wait_for_more(2000);
        done.store(true, SeqCst);
    });
    let counts = timeout(PATIENCE, callers.join_all()).await.unwrap();
    let (calls, connections) =
        counts.into_iter().reduce(|sum, one| (sum.0 + one.0, sum.1 + one.1)).unwrap();
    println!("{calls} calls on {connections} connections, none failed");
    stop_again(sidecar).await;
}
