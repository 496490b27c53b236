"""Calls two sidecars through one channel that honours their health, until its input ends.

Arguments: their addresses, and how many threads call. Standard input begins with the questions, one
a line: a key, an action, and whether it is allowed; then an empty line. Prints what became of the
calls as one line of JSON.
"""

import json
import sys
import threading

import grpc

SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": "octavia.authz.v1.AuthorizationService"},
}
OPTIONS = [
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    # Of several addresses it would be the list of them, which is none: the server refuses it.
    ("grpc.default_authority", "localhost"),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
]
AUTHORIZE = "/octavia.authz.v1.AuthorizationService/Authorize"


def field(number, text):
    value = text.encode()
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def allowed(answer):
    """Whether field 1 of the answer, which is the first, is true."""
    return answer[:2] == b"\x08\x01"


def call(channel, questions, over, result):
    authorize = channel.unary_unary(AUTHORIZE)
    while not over.is_set():
        for question, expected in questions:
            result["calls"] += 1
            try:
                if allowed(authorize(question, timeout=10)) != expected:
                    result["wrong"] += 1
            except grpc.RpcError as error:
                result["failed"].append(f"{error.code().name}: {error.details()}")


def main():
    addresses, threads = sys.argv[1], int(sys.argv[2])
    questions = []
    for line in iter(sys.stdin.readline, "\n"):
        key, action, expected = line.split()
        questions.append((field(1, key) + field(2, action), expected == "true"))
    channel = grpc.insecure_channel("ipv4:" + addresses, OPTIONS)
    grpc.channel_ready_future(channel).result(timeout=30)
    over = threading.Event()
    results = [{"calls": 0, "wrong": 0, "failed": []} for _ in range(threads)]
    callers = [
        threading.Thread(target=call, args=(channel, questions, over, result))
        for result in results
    ]
    for caller in callers:
        caller.start()
    sys.stdin.read()
    over.set()
    for caller in callers:
        caller.join()
    channel.close()
    total = {
        "calls": sum(result["calls"] for result in results),
        "wrong": sum(result["wrong"] for result in results),
        "failed": [what for result in results for what in result["failed"]],
    }
    print(json.dumps(total))


main()
