//! Bytes that are no protobuf, no gRPC or no HTTP/2 at all.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
};

use octavia_authz::pb::v1::{AuthorizeRequest, AuthorizeResponse, DecisionReason as Reason};
use prost::Message as _;
use tonic::Code;

use crate::{
    raw::{self, field, number},
    sidecar::{PATIENCE, Sidecar, connect},
};

const NOT_UTF8: &[u8] = b"a\xff\xfeb";
const LARGEST: usize = 1 << 20;

#[tokio::test]
async fn a_string_that_is_not_utf8_is_an_invalid_argument_wherever_it_stands() {
    let sidecar = Sidecar::start();
    let authorization = sidecar.channel().await;
    let admin = connect(&sidecar.admin_listen).await;
    let token = sidecar.operator_token();
    let entry = |in_map: u32| field(in_map, NOT_UTF8);
    let nested = |outer: u32, inner: &[u32]| -> Vec<Vec<u8>> {
        inner.iter().map(|inner| field(outer, field(*inner, NOT_UTF8))).collect()
    };
    let plain = |numbers: &[u32]| -> Vec<Vec<u8>> {
        numbers.iter().map(|number| field(*number, NOT_UTF8)).collect()
    };
    let in_map = |map: u32| vec![field(map, entry(1)), field(map, entry(2))];
    let attributes = in_map(4).into_iter().map(|attribute| field(4, attribute)).collect();
    let question = [plain(&[1, 2, 3, 5]), nested(4, &[1, 2, 3]), attributes].concat();
    let in_batch = question.iter().map(|question| field(1, question)).collect();
    let labels = in_map(14).into_iter().map(|label| field(2, label)).collect();
    let key = nested(2, &[1, 2, 3, 4, 5, 6, 12, 13, 15, 16]);
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("AuthorizationService/Authorize", question),
        ("AuthorizationService/BatchAuthorize", in_batch),
        ("AuthorizationService/Introspect", plain(&[1, 2])),
        ("ApiKeyService/CreateApiKey", [plain(&[1, 2, 3, 6, 7, 8, 9]), in_map(10)].concat()),
        ("ApiKeyService/GetApiKey", plain(&[1])),
        ("ApiKeyService/ListApiKeys", [plain(&[2]), nested(4, &[1, 2, 3, 5])].concat()),
        ("ApiKeyService/UpdateApiKey", [plain(&[1, 4]), nested(3, &[1]), key, labels].concat()),
        ("ApiKeyService/RotateApiKey", plain(&[1, 2])),
        ("ApiKeyService/RevokeApiKey", plain(&[1, 2])),
        ("RoleService/ListRoles", plain(&[1])),
    ];
    let mut asked = 0;
    for (rpc, messages) in cases {
        let path = format!("/octavia.authz.v1.{rpc}");
        let is_admin = !rpc.starts_with("Auth");
        let (channel, bearer) =
            if is_admin { (&admin, token.as_str()) } else { (&authorization, "") };
        for message in messages {
            let status = raw::unary(channel, &path, bearer, message.clone()).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{rpc} {message:?}: {status}");
            asked += 1;
        }
    }
    assert_eq!(asked, 55);
    sidecar.finish().await;
}

#[tokio::test]
async fn what_is_not_protobuf_is_an_invalid_argument() {
    let sidecar = Sidecar::start();
    let channel = sidecar.channel().await;
    let garbage: [&[u8]; 8] = [
        b"\xff",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x00\x00",
        b"{\"key\":\"octv_\"}",
        // A length beyond the end, a group that never ends, a field of wrong type, number 0.
        b"\x0a\x7f",
        b"\x0b",
        b"\x08\x01",
        b"\x02\x00",
    ];
    for message in garbage {
        let status = raw::authorize(&channel, message.to_vec()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{message:?}: {status}");
        let status = raw::batch(&channel, message.to_vec()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{message:?}: {status}");
    }
    // Deeper than any decoder follows.
    let nested = (0..1000).fold(Vec::new(), |inner, _| field(99, inner));
    let groups = [0x9b, 0x06].repeat(1000);
    for message in [nested, groups] {
        if let Err(status) = raw::authorize(&channel, message).await {
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        }
    }

    let good = AuthorizeRequest { action: "articles.read".into(), ..Default::default() };
    let mut answers = raw::stream(&channel, vec![good.encode_to_vec(), b"\xff".to_vec()]).await;
    let first = answers.message().await.unwrap().unwrap();
    let first = AuthorizeResponse::decode(first.as_slice()).unwrap();
    assert_eq!(first.reason(), Reason::KeyMalformed);
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);
    sidecar.finish().await;
}

#[tokio::test]
async fn unknown_fields_are_ignored_and_unknown_numbers_of_an_enum_refused() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("writer").await;
    let channel = sidecar.channel().await;
    let unknown = [field(1000, "of a later version"), number(2000, 7)].concat();
    let question = [field(1, &text), field(2, "articles.create")].concat();
    let answer = raw::authorize(&channel, [unknown.clone(), question].concat()).await.unwrap();
    assert!(answer.allowed);

    let (admin, token) = (connect(&sidecar.admin_listen).await, sidecar.operator_token());
    let status = number(7, 99);
    let mask = field(1, "status");
    let create = [field(1, "a name"), field(3, "writer")].concat();
    let update = [field(1, &key.id), field(3, mask)].concat();
    let calls = [
        ("CreateApiKey", [create.clone(), number(5, 99)].concat()),
        ("UpdateApiKey", [update.clone(), field(2, status)].concat()),
        ("UpdateApiKey", update),
        ("ListApiKeys", field(4, number(4, 99))),
    ];
    for (rpc, message) in calls {
        let path = format!("/octavia.authz.v1.ApiKeyService/{rpc}");
        let status = raw::unary(&admin, &path, &token, message).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{rpc}: {status}");
        assert!(status.message().contains("status"), "{rpc}: {status}");
    }
    let path = "/octavia.authz.v1.ApiKeyService/CreateApiKey";
    raw::unary(&admin, path, &token, [create, unknown].concat()).await.unwrap();
    sidecar.finish().await;
}

#[tokio::test]
async fn a_message_of_1_mib_is_read_and_a_larger_one_is_an_invalid_argument() {
    let sidecar = Sidecar::start();
    let channel = sidecar.channel().await;
    let of_size = |size: usize| {
        let action = field(2, "articles.read");
        // The key's tag and its length take four bytes.
        [action.clone(), field(1, vec![b'k'; size - action.len() - 4])].concat()
    };
    let largest = of_size(LARGEST);
    assert_eq!(largest.len(), LARGEST);
    let answer = raw::authorize(&channel, largest).await.unwrap();
    assert_eq!(answer.reason(), Reason::KeyMalformed);
    for size in [LARGEST + 1, 3 * LARGEST] {
        for answer in [
            raw::authorize(&channel, of_size(size)).await.map(drop),
            raw::batch(&channel, of_size(size)).await.map(drop),
        ] {
            let status = answer.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{size}: {status}");
        }
    }
    let (admin, token) = (connect(&sidecar.admin_listen).await, sidecar.operator_token());
    let path = "/octavia.authz.v1.ApiKeyService/CreateApiKey";
    let of_name = |size: usize| [field(3, "no role"), field(1, "n".repeat(size))].concat();
    for (name, said) in [(LARGEST / 4 - 100, "characters; at most"), (LARGEST / 4, "too large")] {
        let status = raw::unary(&admin, path, &token, of_name(name)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(said), "{status}");
    }

    let mut answers = raw::stream(&channel, vec![of_size(100), of_size(LARGEST + 1)]).await;
    assert!(answers.message().await.unwrap().is_some());
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_method_that_does_not_exist_is_unimplemented() {
    let sidecar = Sidecar::start();
    let authorization = sidecar.channel().await;
    let admin = connect(&sidecar.admin_listen).await;
    for path in ["/octavia.authz.v1.AuthorizationService/Nothing", "/no.Service/Nothing", "/x"] {
        for channel in [&authorization, &admin] {
            let status = raw::unary(channel, path, "", Vec::new()).await.unwrap_err();
            assert_eq!(status.code(), Code::Unimplemented, "{path}: {status}");
        }
    }
    // Each API has its own port.
    let token = sidecar.operator_token();
    let path = "/octavia.authz.v1.ApiKeyService/ListApiKeys";
    let status = raw::unary(&authorization, path, &token, Vec::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let status = raw::unary(&admin, raw::AUTHORIZE, "", Vec::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_connection_that_does_not_speak_http2_is_closed() {
    let sidecar = Sidecar::start();
    let (_, text) = sidecar.create("writer").await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let talks: [&[u8]; 7] = [
        b"GET /livez HTTP/1.1\r\nhost: sidecar\r\n\r\n",
        b"POST /octavia.authz.v1.AuthorizationService/Authorize HTTP/1.1\r\nhost: sidecar\r\n\
          content-type: application/grpc\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client says hello",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        // A frame of a type and length that cannot be; then headers that are not HPACK.
        &[preface.as_slice(), b"\xff\xff\xff\x04\x00\x00\x00\x00\x00"].concat(),
        &[
            preface.as_slice(),
            b"\0\0\0\x04\0\0\0\0\0",
            b"\0\0\x04\x01\x05\0\0\0\x01\xff\xff\xff\xff",
        ]
        .concat(),
    ];
    for address in [&sidecar.listen, &sidecar.admin_listen] {
        for talk in talks {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(talk).unwrap();
            let mut answer = Vec::new();
            // Read to the end: it was closed. A reset says the same.
            if let Err(error) = stream.read_to_end(&mut answer) {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{talk:?}");
            }
            assert!(!answer.starts_with(b"HTTP/1.1 200"));
        }
        for _ in 0..100 {
            drop(TcpStream::connect(address).unwrap());
        }
    }
    assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    sidecar.finish().await;
}
