"""A client that is not ours: calls a sidecar over gRPC with grpcio.

Stubs are generated from the protos when it starts. It reads one call a line
from standard input, {"rpc": "package.Service/Method", "request": {...}}, with a
list of requests where the method takes a stream, and answers each with a line:
{"response": {...}}, with a list where the method gives a stream, or
{"code": "...", "message": "..."}.

usage: real_input.py PROTO_DIR AUTHORIZATION_ADDRESS ADMIN_ADDRESS
       with the operator token in the environment variable OPERATOR_TOKEN
"""

import importlib
import json
import os
import pathlib
import sys
import tempfile

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import Default as pool
from grpc_tools import protoc

# Importing them registers their messages and services.
from grpc_health.v1 import health_pb2  # noqa: F401
from grpc_reflection.v1alpha import reflection_pb2  # noqa: F401

DEADLINE = 30
ADMIN = {"ApiKeyService", "AuditService", "RoleService", "MaintenanceService"}


def generate(protos):
    """Generates and imports the stubs of every proto of the public contract."""
    files = sorted(str(p.relative_to(protos)) for p in protos.glob("octavia/authz/v1/*.proto"))
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as out:
        arguments = ["protoc", f"-I{protos}", f"-I{include}", f"--python_out={out}", *files]
        if protoc.main(arguments) != 0:
            sys.exit("the protos do not compile")
        sys.path.insert(0, out)
        for file in files:
            importlib.import_module(file.replace(".proto", "_pb2").replace("/", "."))


def to_json(message):
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def call(channel, metadata, rpc, request):
    """One call, by the descriptor of its method."""
    service, name = rpc.split("/")
    # The package has v1alpha only; v1 differs in nothing but its name.
    service = service.replace("grpc.reflection.v1.", "grpc.reflection.v1alpha.")
    method = pool().FindServiceByName(service).methods_by_name[name]
    request_class = message_factory.GetMessageClass(method.input_type)
    response_class = message_factory.GetMessageClass(method.output_type)
    kinds = ("unary", "stream")
    kind = f"{kinds[method.client_streaming]}_{kinds[method.server_streaming]}"
    stub = getattr(channel, kind)(
        f"/{rpc}",
        request_serializer=request_class.SerializeToString,
        response_deserializer=response_class.FromString,
    )
    if method.client_streaming:
        argument = iter([json_format.ParseDict(one, request_class()) for one in request])
    else:
        argument = json_format.ParseDict(request, request_class())
    answer = stub(argument, timeout=DEADLINE, metadata=metadata)
    return [to_json(one) for one in answer] if method.server_streaming else to_json(answer)


def main():
    protos, authorization, admin = sys.argv[1:]
    generate(pathlib.Path(protos))
    token = [("authorization", f"Bearer {os.environ['OPERATOR_TOKEN']}")]
    with grpc.insecure_channel(authorization) as asks, grpc.insecure_channel(admin) as changes:
        for line in sys.stdin:
            given = json.loads(line)
            is_admin = given["rpc"].split("/")[0].split(".")[-1] in ADMIN
            channel = changes if is_admin or given.get("admin") else asks
            try:
                response = call(channel, token if is_admin else [], given["rpc"], given["request"])
                answer = {"response": response}
            except grpc.RpcError as error:
                answer = {"code": error.code().name, "message": error.details()}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
