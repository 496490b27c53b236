//! TCP and Unix sockets, for both APIs, together and apart.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::Command,
};

use octavia_authz::pb::v1::{
    AuthorizeRequest, CreateApiKeyRequest, ListAuditEventsRequest,
    api_key_service_client::ApiKeyServiceClient, audit_service_client::AuditServiceClient,
    authorization_service_client::AuthorizationServiceClient,
};
use rustix::process::{getegid, geteuid};
use tempfile::TempDir;

use crate::{
    durable::syscalls::Traced,
    sidecar::{Bearer, PROGRAM, Sidecar, connect},
};

/// Creates a writer's key at an address of the admin API.
async fn create_at(address: &str, sidecar: &Sidecar) -> String {
    let bearer = Bearer::new(&sidecar.operator_token());
    let mut keys = ApiKeyServiceClient::with_interceptor(connect(address).await, bearer);
    let new =
        CreateApiKeyRequest { name: "a name".into(), role: "writer".into(), ..Default::default() };
    keys.create_api_key(new).await.unwrap().into_inner().key
}

/// Whether a writer's key is allowed at an address of the authorization API.
async fn allowed_at(address: &str, key: &str) -> bool {
    let mut client = AuthorizationServiceClient::new(connect(address).await);
    let request = AuthorizeRequest {
        key: key.into(),
        action: "articles.create".into(),
        ..Default::default()
    };
    client.authorize(request).await.unwrap().into_inner().allowed
}

/// `unix:` and the path.
fn address(path: &Path) -> String {
    format!("unix:{}", path.display())
}

#[tokio::test]
async fn both_apis_answer_on_every_address_of_theirs() {
    let temporary = TempDir::new().unwrap();
    let paths = ["a.sock", "b.sock"].map(|name| temporary.path().join(name));
    let [a, b] = [address(&paths[0]), address(&paths[1])];
    let more = ["--listen", &a, "--listen", "127.0.0.1:0", "--admin-listen", &b];
    let sidecar = Sidecar::start_with(&more);
    let listen: Vec<&str> = sidecar.listen.split(", ").collect();
    let admin: Vec<&str> = sidecar.admin_listen.split(", ").collect();
    assert_eq!((listen.len(), listen[1]), (3, a.as_str()), "{listen:?}");
    assert_eq!((admin.len(), admin[1]), (2, b.as_str()), "{admin:?}");
    for at in admin {
        let key = create_at(at, &sidecar).await;
        for at in &listen {
            assert!(allowed_at(at, &key).await, "{at}");
        }
    }
    sidecar.finish().await;
    assert!(paths.iter().all(|path| !path.exists()), "a socket's file was left behind");
}

#[tokio::test]
async fn the_socket_of_a_process_that_is_gone_is_replaced() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("a.sock");
    // Its file stays when a listener is dropped.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let sidecar = Sidecar::start_on(&temporary.path().join("data"), &["--listen", &address(&path)]);
    let (_, key) = sidecar.create("writer").await;
    assert!(allowed_at(&address(&path), &key).await);
    sidecar.kill();
    assert!(path.exists(), "a killed process removes nothing");

    let again = Sidecar::start_on(&temporary.path().join("data"), &["--listen", &address(&path)]);
    assert!(allowed_at(&address(&path), &key).await);
    again.finish().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn the_socket_of_a_process_that_lives_and_what_is_no_socket_are_left_alone() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("a.sock");
    let socket = address(&path);
    let first = Sidecar::start_with(&["--listen", &socket]);
    let (_, key) = first.create("writer").await;
    for flag in ["--listen", "--admin-listen"] {
        let second = Sidecar::try_start_on(&temporary.path().join("data"), &[flag, &socket]);
        let Err((status, said)) = second else { panic!("the socket was stolen") };
        assert_eq!(status.code(), Some(1), "{said}");
        let expected = format!("cannot listen on `{socket}`: another process does");
        assert!(said.contains(&expected), "{said}");
        assert!(allowed_at(&socket, &key).await, "the socket was stolen");
    }
    first.finish().await;

    fs::write(&path, "kept").unwrap();
    let second = Sidecar::try_start_on(&temporary.path().join("data"), &["--listen", &socket]);
    let Err((status, said)) = second else { panic!("a file was replaced") };
    assert_eq!(status.code(), Some(1), "{said}");
    let expected = format!("cannot listen on `{socket}`: something that is no socket is there");
    assert!(said.contains(&expected), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_sockets_file_is_removed_before_anybody_could_take_it_for_one_that_was_left_behind() {
    let temporary = TempDir::new().unwrap();
    let (path, trace) = (temporary.path().join("a.sock"), temporary.path().join("trace"));
    let strace = ["-e", "trace=bind,close,unlink,unlinkat", "-o", trace.to_str().unwrap()];
    let data = temporary.path().join("data");
    let traced = Traced::start_with(&data, &strace, &["--listen", &address(&path)]).unwrap();
    traced.terminate();
    assert_eq!(traced.wait().await, Some(0));
    let trace = fs::read_to_string(trace).unwrap();
    let mut lines = trace.lines().map(|line| line.split_once(' ').unwrap().1.trim_start());
    let named = format!("\"{}\"", path.display());
    let bound = lines.find(|line| line.starts_with("bind(") && line.contains(&named)).unwrap();
    let descriptor: String =
        bound.trim_start_matches("bind(").chars().take_while(char::is_ascii_digit).collect();
    // By then somebody else would have a file of his own there.
    let closed = [format!("close({descriptor})"), format!("close({descriptor} ")];
    let is_closed = |line: &str| closed.iter().any(|closed| line.starts_with(closed));
    let first = lines.find(|line| line.contains(&named) || is_closed(line)).unwrap();
    assert!(first.starts_with("unlink"), "{first}");
}

#[tokio::test]
async fn a_start_that_fails_removes_the_sockets_that_it_made() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("a.sock");
    let args = ["--listen", &address(&path), "--listen", "unix:/no/such/dir/b.sock"];
    let failed = Sidecar::try_start_on(&temporary.path().join("data"), &args);
    assert!(failed.is_err());
    assert!(!path.exists());
    assert!(UnixStream::connect(&path).is_err());
}

#[tokio::test]
async fn a_socket_has_the_mode_that_was_asked_for_whatever_the_umask() {
    let temporary = TempDir::new().unwrap();
    let group = getegid().as_raw();
    let grouped = format!("?owner=:{group}&mode=0620");
    let sockets = [("a", ""), ("b", "?mode=0660"), ("c", "?mode=666"), ("d", &grouped)];
    let sockets = sockets.map(|(name, settings)| address(&temporary.path().join(name)) + settings);
    let args: Vec<&str> = sockets.iter().flat_map(|at| ["--listen", at]).collect();
    let mut command = Command::new("sh");
    command.args(["-c", r#"umask 0177; exec "$0" "$@""#, PROGRAM]);
    let sidecar = Sidecar::try_spawn(command, &temporary.path().join("data"), &args).unwrap();
    for (name, mode) in [("a", 0o600), ("b", 0o660), ("c", 0o666), ("d", 0o620)] {
        let metadata = fs::metadata(temporary.path().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{name}");
        assert_eq!(metadata.gid(), group, "{name}");
        // As clients are to call it.
        assert!(sidecar.listen.split(", ").any(|at| at == address(&temporary.path().join(name))));
    }
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs root, to give a socket away"]
async fn a_socket_has_the_owner_that_was_asked_for_or_it_is_said_who_may_give_it() {
    let temporary = TempDir::new().unwrap();
    let (nobody, path) = (65534, temporary.path().join("a.sock"));
    let socket = format!("{}?owner=12345:23456&mode=0660", address(&path));
    let sidecar = Sidecar::start_on(&temporary.path().join("data"), &["--listen", &socket]);
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (12345, 23456));
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
    sidecar.finish().await;

    let dir = temporary.path().join("nobody's");
    fs::create_dir(&dir).unwrap();
    chown(&dir, Some(nobody), Some(nobody)).unwrap();
    fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.join("a.sock");
    let program = temporary.path().join("program");
    fs::copy(PROGRAM, &program).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    let args = ["--listen", &format!("{}?owner=12345", address(&path))];
    let Err((status, said)) = Sidecar::try_spawn(command, &dir.join("data"), &args) else {
        panic!("nobody gave a socket away")
    };
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("only root may give it to another user"), "{said}");
    assert!(!path.exists(), "the socket was left behind");
}

#[tokio::test]
async fn the_audit_log_says_which_process_called_over_a_unix_socket() {
    let temporary = TempDir::new().unwrap();
    let socket = address(&temporary.path().join("a.sock"));
    let sidecar = Sidecar::start_with(&["--admin-listen", &socket]);
    create_at(&socket, &sidecar).await;
    let bearer = Bearer::new(&sidecar.operator_token());
    let mut audit = AuditServiceClient::with_interceptor(connect(&socket).await, bearer);
    let page = audit.list_audit_events(ListAuditEventsRequest::default()).await.unwrap();
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let us = format!("unix uid={uid} gid={gid} pid={}", std::process::id());
    assert_eq!(page.into_inner().events[0].peer, us);
    sidecar.finish().await;
}
