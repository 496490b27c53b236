"""The users' own client, octavia-cms-sdk, as it comes from PyPI.

It reads one order a line from standard input and answers each with a line:

  {"list": true}                        every method of every resource: [{"resource",
                                        "name", "parameters", "method", "path"}, ...]
  {"key", "resource", "name"}           calls that method
  {"key", "method", "path"}             calls what the client has no method for

A call is answered with {"envelope": {...}} when it succeeded, else with {"status",
"envelope"}. `CMS.init` knows one address only, https://api.octaviatech.app: the
name is resolved here to the port in OCTAVIA_TEST_PORT of this machine, and the
certificate is checked as always (SSL_CERT_FILE).
"""

import inspect
import json
import os
import socket
import sys

import octavia_cms_sdk
from octavia_cms_sdk import CMS, ApiError, Client

HOST = "api.octaviatech.app"
resolve = socket.getaddrinfo


def resolve_here(host, port, *arguments, **named):
    if host != HOST:
        raise OSError(f"the client asks for {host}")
    return resolve("127.0.0.1", int(os.environ["OCTAVIA_TEST_PORT"]), *arguments, **named)


socket.getaddrinfo = resolve_here

# What a placeholder of a path gets.
PARAMETER = "665f1c2ab7d94e0012345678"
# What a method gets that takes a body: no field that needs a right of its own.
BODY = {"id": PARAMETER, "mainTitle": {"en": "A title"}}


def resources(client):
    """The resources of a client, by the names that it gives them."""
    found = {
        name: value
        for name, value in vars(client).items()
        if type(value).__module__.startswith("octavia_cms_sdk.resources.")
    }
    # None of the classes that the package exports is missing.
    exported = {name for name in octavia_cms_sdk.__all__ if name.endswith("Resource")}
    assert {type(value).__name__ for value in found.values()} == exported, found
    return found


def methods(resource):
    return [
        name
        for name, _ in inspect.getmembers(type(resource), inspect.isfunction)
        if not name.startswith("_")
    ]


def parameters(method):
    """What a method needs: placeholders of its path, and `body`."""
    wanted = inspect.signature(method).parameters.values()
    return [one.name for one in wanted if one.default is inspect.Parameter.empty]


def arguments(method):
    return {name: BODY if name == "body" else PARAMETER for name in parameters(method)}


class Recorder:
    """Stands where a resource expects its client, and notes what it would send."""

    def request_typed(self, _model, method, path, query=None, body=None):
        return {"method": method, "path": path.replace(PARAMETER, "*")}


def listed(client):
    found = []
    for resource_name, resource in resources(client).items():
        recording = type(resource)(Recorder())
        for name in methods(resource):
            method = getattr(recording, name)
            sent = method(**arguments(method))
            found.append({"resource": resource_name, "name": name, **sent})
    return found


def facade(cms, wanted):
    """The same resource as users reach it: `cms.article` for `client.articles`."""
    for wrapper in vars(cms).values():
        # The facade keeps the resource in a closure.
        closure = getattr(type(wrapper).__getattr__, "__closure__", None) if wrapper is not cms.raw else None
        if closure and any(cell.cell_contents is wanted for cell in closure):
            return wrapper
    raise LookupError(f"no facade for {wanted}")


def call(order):
    cms = CMS.init(order["key"], timeout_ms=20_000, throw_on_error=True)
    if "name" in order:
        resource = resources(cms.raw)[order["resource"]]
        method = getattr(facade(cms, resource), order["name"])
        return method(**arguments(getattr(resource, order["name"])))
    body = BODY if order["method"] in ("POST", "PUT", "PATCH") else None
    return cms.raw.request(order["method"], order["path"], body=body)


def main():
    client = CMS.init("not a key").raw
    assert isinstance(client, Client)
    for line in sys.stdin:
        order = json.loads(line)
        if "list" in order:
            answer = listed(client)
        else:
            try:
                envelope = call(order)
                answer = {"status": 200, "envelope": json.loads(json.dumps(envelope, default=str))}
            except ApiError as error:
                answer = {"status": error.status, "envelope": error.payload}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
