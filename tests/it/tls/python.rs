//! A client that is not ours: Python's grpcio, which brings a TLS of its own.

use std::{env, process::Command};

use super::{Authority, Files, Issued, TAKEN, finish, logged};
use crate::{command_line::run, sidecar::Sidecar};

/// Prints the bytes of the health's answer in hex, or the code of the error.
const ASK: &str = r"
import sys, grpc
address, ca, cert, key = sys.argv[1:]
read = lambda path: open(path, 'rb').read() if path else None
trust = grpc.ssl_channel_credentials(read(ca), read(key), read(cert))
channel = grpc.secure_channel(address, trust)
check = channel.unary_unary('/grpc.health.v1.Health/Check')
try:
    print(check(b'', timeout=10).hex())
except grpc.RpcError as error:
    print(error.code().name)
";

/// SERVING.
const YES: &str = "0801\n";

#[tokio::test]
#[ignore = "needs Python with grpcio: see .ci/run"]
async fn a_python_client_is_let_in_as_long_as_its_ca_is() {
    let (servers, old, new) =
        (Authority::new("servers"), Authority::new("old"), Authority::new("new"));
    let files = Files::new(&servers.server(), Some(&old.pem()));
    files.write("ca", &servers.pem());
    let sidecar = files.start();
    let ask = |sidecar: &Sidecar, client: Option<&Issued>| {
        let interpreter = env::var_os("OCTAVIA_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let mut command = Command::new(interpreter);
        let (mut cert, mut key) = (String::new(), String::new());
        if let Some(client) = client {
            files.write("cert", &client.cert);
            files.write("key", &client.key);
            (cert, key) = (files.text("cert"), files.text("key"));
        }
        command.args(["-c", ASK, &sidecar.listen, &files.text("ca"), &cert, &key]);
        run(command).with(0)
    };
    assert_eq!(ask(&sidecar, Some(&old.client("x"))), YES);
    assert_eq!(ask(&sidecar, None), "UNAVAILABLE\n");
    assert_eq!(ask(&sidecar, Some(&new.client("x"))), "UNAVAILABLE\n");
    files.write("ca.crt", &new.pem());
    logged(&sidecar, TAKEN, 1).await;
    assert_eq!(ask(&sidecar, Some(&old.client("x"))), "UNAVAILABLE\n");
    assert_eq!(ask(&sidecar, Some(&new.client("x"))), YES);
    finish(sidecar).await;
}
