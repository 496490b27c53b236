"""Asks an AuthZEN server what the test expects of it, with Python's own HTTP.

Finds the endpoints by discovery; takes keys and expected reasons as JSON on standard input.
"""

import http.client
import json
import sys
import urllib.parse


def main():
    connection = http.client.HTTPConnection(sys.argv[1], timeout=30)

    def call(method, url, body=None, **headers):
        if body is not None:
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        connection.request(method, urllib.parse.urlparse(url).path, body, headers)
        response = connection.getresponse()
        text = response.read()
        assert response.status == 200, (response.status, text)
        assert response.getheader("Content-Type") == "application/json"
        assert response.getheader("X-Request-ID") == headers.get("X-Request-ID")
        return json.loads(text)

    endpoints = call("GET", "/.well-known/authzen-configuration")
    assert endpoints["policy_decision_point"] == f"http://{sys.argv[1]}", endpoints

    asked = 0
    for key in json.load(sys.stdin):
        subject = {"type": "api_key", "id": key["text"]}
        resource = {"type": "any", "id": "1"}

        def check(answer, reason):
            assert answer["decision"] is (reason == "ALLOWED"), (key["role"], answer)
            context = answer["context"]
            found = (context["reason"], context["key_id"], context["role"])
            assert found == (reason, key["id"], key["role"]), answer
            assert ("conditions" in context) == (reason == "CONDITION_UNMET"), answer

        for right in key["rights"]:
            request = {
                "subject": subject,
                "action": {"name": right["action"]},
                "resource": resource,
            }
            url = endpoints["access_evaluation_endpoint"]
            check(call("POST", url, request, **{"X-Request-ID": right["action"]}), right["reason"])
            asked += 1

        request = {
            "subject": subject,
            "resource": resource,
            "evaluations": [{"action": {"name": right["action"]}} for right in key["rights"]],
        }
        answers = call("POST", endpoints["access_evaluations_endpoint"], request)["evaluations"]
        assert len(answers) == len(key["rights"])
        for answer, right in zip(answers, key["rights"]):
            check(answer, right["reason"])
            asked += 1

    print(f"{asked} evaluations as expected")


main()
