//! Reflection, v1 and v1alpha: each API tells its own services, and enough of
//! them to call them.

use prost::Message as _;
use prost_types::FileDescriptorProto;
use tonic_reflection::pb::{v1, v1alpha};

use crate::sidecar::{Sidecar, connect};

const AUTHORIZATION: [&str; 2] = ["grpc.health.v1.Health", "octavia.authz.v1.AuthorizationService"];
const ADMIN: [&str; 5] = [
    "grpc.health.v1.Health",
    "octavia.authz.v1.ApiKeyService",
    "octavia.authz.v1.AuditService",
    "octavia.authz.v1.MaintenanceService",
    "octavia.authz.v1.RoleService",
];

/// Asks one version of the protocol what there is, and for the file of a symbol.
macro_rules! ask {
    ($version:ident, $address:expr, $symbol:expr) => {{
        use $version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let mut client = ServerReflectionClient::new(connect($address).await);
        let requests = [
            MessageRequest::ListServices(String::new()),
            MessageRequest::FileContainingSymbol($symbol.to_owned()),
        ];
        let requests = requests.map(|request| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(request),
        });
        let answers = client.server_reflection_info(tokio_stream::iter(requests)).await;
        let mut answers = answers.unwrap().into_inner();
        let first = answers.message().await.unwrap().unwrap().message_response;
        let Some(MessageResponse::ListServicesResponse(listed)) = first else {
            panic!("{first:?}")
        };
        let second = answers.message().await.unwrap().unwrap().message_response;
        let Some(MessageResponse::FileDescriptorResponse(files)) = second else {
            panic!("{second:?}")
        };
        let mut names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
        names.retain(|name| !name.starts_with("grpc.reflection."));
        names.sort();
        (names, files.file_descriptor_proto)
    }};
}

#[tokio::test]
async fn each_api_tells_its_own_services_in_both_versions() {
    let sidecar = Sidecar::start();
    for (address, services) in
        [(&sidecar.listen, &AUTHORIZATION[..]), (&sidecar.admin_listen, &ADMIN[..])]
    {
        for symbol in services {
            let (names, files) = ask!(v1, address, *symbol);
            assert_eq!(names, services);
            let (alpha_names, alpha_files) = ask!(v1alpha, address, *symbol);
            assert_eq!((alpha_names, &alpha_files), (names, &files));
            let file = FileDescriptorProto::decode(files[0].as_slice()).unwrap();
            let full = |service: &prost_types::ServiceDescriptorProto| {
                format!("{}.{}", file.package(), service.name())
            };
            let service = file.service.iter().find(|service| full(service) == *symbol);
            assert!(!service.unwrap().method.is_empty(), "{symbol}");
        }
    }
    sidecar.finish().await;
}
