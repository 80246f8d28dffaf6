"""The objects of a release are as the golden file says; write it anew with GOLDEN=1 and read the change."""

import base64
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from deployments_app.backends.base import Autoscale, GatewaySpec, ReleaseSpec, Right
from deployments_app.backends.kubernetes_reasons import read_status
from deployments_app.backends.manifests import KINDS, ClusterSettings, build_release
from deployments_app.backends.manifests_gateway import GATEWAY_KINDS, build_gateway
from deployments_app.backends.manifests_role import build_role
from deployments_app.fetch_artifact import WITHOUT_STORE

GOLDEN = Path(__file__).with_name("golden")
SPEC = ReleaseSpec(
    key="rel_01KAQ",
    artifact=Path("/storage/trees/ab/abc"),
    digest="ab" * 32,
    release_number=17,
    deployment_id="dep_01KAQ",
    shop="shop",
    model="shop-main",
    model_version=3,
    algorithm="als",
    signing_key="s3cr3t-signing-key",
    replicas=2,
    autoscale=Autoscale(max_replicas=5),
    artifact_url="https://aisle.example/gateway/v1/artifacts/rel_01KAQ/abab?signature=s1gn3d",
    environment="env_01KAQ",
    change_request="pro_01KAQ",
)
SETTINGS = ClusterSettings("registry.example/aisle:1")


def check_golden(name, found):
    path = GOLDEN / f"{name}.json"
    text = json.dumps(found, indent=2, sort_keys=True) + "\n"
    if os.environ.get("GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_the_objects_of_a_release_are_the_golden_ones():
    objects = build_release(SPEC, SETTINGS, size_bytes=100 * 1024**2)
    assert [each["kind"] for each in objects] == [
        *("ServiceAccount", "Secret", "NetworkPolicy", "Service", "Deployment"),
        *("PodDisruptionBudget", "HorizontalPodAutoscaler"),
    ]
    assert {each["kind"] for each in objects} == set(KINDS)
    check_golden("release", objects)


def test_the_objects_of_an_environments_gateways_are_the_golden_ones():
    spec = GatewaySpec("env_01KAQ", "https://aisle.example", "env_01KAQ.t0k3n")
    objects = build_gateway(spec, SETTINGS)
    assert {each["kind"] for each in objects} == set(GATEWAY_KINDS)
    check_golden("gateway", objects)
    assert "t0k3n" not in json.dumps([each for each in objects if each["kind"] != "Secret"])
    again = build_gateway(replace(spec, token="another"), SETTINGS)
    old, new = (next(each for each in found if each["kind"] == "Deployment") for found in (objects, again))
    assert old["spec"]["template"] != new["spec"]["template"]


def test_the_role_is_the_golden_one_and_grants_nothing_outside_of_it():
    role = build_role("prod")
    check_golden("role", role)
    verbs = {
        (group, each): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for each in rule["resources"]
    }
    assert "*" not in str(role)
    assert verbs["", "secrets"] == {"create", "patch", "delete"}
    assert build_role("prod", [Right("list", "", "pods")])["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
    ]


def test_only_the_secret_holds_secrets():
    objects = build_release(SPEC, SETTINGS, size_bytes=1)
    secret = next(each for each in objects if each["kind"] == "Secret")
    rest = json.dumps([each for each in objects if each is not secret])
    assert "s3cr3t" not in rest
    assert "s1gn3d" not in rest
    files = {name: base64.b64decode(text).decode() for name, text in secret["data"].items()}
    assert json.loads(files["sources.json"]) == [
        "http://gateway-env-01kaq-cache:8081/gateway/v1/artifacts/rel_01KAQ/abab?signature=s1gn3d",
        SPEC.artifact_url,
    ]


def test_pods_may_reach_the_s3_store_and_do_without_it():
    def ports(objects):
        policy = next(each for each in objects if each["kind"] == "NetworkPolicy")
        return [port["port"] for port in policy["spec"]["egress"][-1]["ports"]]

    gateway = GatewaySpec("env_01KAQ", "https://aisle.example", "env_01KAQ.t0k3n")
    for url, port in (("http://s3.example:9000", 9000), ("http://s3.example", 80)):
        stored = replace(SETTINGS, store_url=url)
        objects = build_release(SPEC, stored, size_bytes=1)
        assert ports(objects) == sorted([443, 8081, port])
        assert ports(build_gateway(gateway, stored)) == sorted([443, port])
        secret = next(each for each in objects if each["kind"] == "Secret")
        sources = json.loads(base64.b64decode(secret["data"]["sources.json"]))
        assert sources[1:] == [SPEC.artifact_url, SPEC.artifact_url + WITHOUT_STORE]


def test_without_autoscaling_there_is_no_autoscaler():
    objects = build_release(replace(SPEC, autoscale=None), SETTINGS, size_bytes=1)
    assert [each["kind"] for each in objects] == list(KINDS[:-1])


def deployment(replicas=1, *conditions, **metadata):
    return {
        "metadata": {"name": "rel-1", **metadata},
        "spec": {"replicas": replicas},
        "status": {"conditions": list(conditions)},
    }


def pod(name="a", *, ready=False, server=None, fetch=None, conditions=(), phase="Running", **metadata):
    return {
        "metadata": {"name": name, **metadata},
        "status": {
            "podIP": f"10.0.0.{ord(name)}",
            "phase": phase,
            "conditions": [{"type": "Ready", "status": str(ready)}, *conditions],
            "initContainerStatuses": [{"name": "fetch-artifact", "ready": True, **(fetch or {})}],
            "containerStatuses": [{"name": "server", "ready": ready, "image": "aisle:1", **(server or {})}],
        },
    }


RUNNING = {"state": {"running": {}}}


def ended(code, message, **more):
    return {"terminated": {"exitCode": code, "message": message, **more}}


QUOTA = {
    "type": "ReplicaFailure",
    "status": "True",
    "message": 'pods "rel-1-x" is forbidden: exceeded quota: small, requested: pods=1',
}
NO_ROOM = {
    "type": "PodScheduled",
    "status": "False",
    "message": "0/3 nodes are available: 3 Insufficient memory.",
}
REASONS = [
    (deployment(), [], "the servers are being started"),
    (deployment(1, QUOTA), [], "the namespace's quota is used up: exceeded quota: small, requested: pods=1"),
    (deployment(), [pod(conditions=[NO_ROOM])], "no node has room for a server: 0/3 nodes are available"),
    (deployment(), [pod(fetch=RUNNING)], "the artifact is being fetched"),
    (deployment(), [pod(server=RUNNING)], "the server is warming up"),
    (
        deployment(),
        [pod(server={"state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}})],
        "the image aisle:1 cannot be fetched: not found",
    ),
    (
        deployment(),
        [
            pod(
                fetch={
                    "ready": False,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": ended(1, "the digest is wrong\n"),
                }
            )
        ],
        "fetching the artifact ended with status 1: the digest is wrong; the next start waits a while",
    ),
    (
        deployment(),
        [pod(server={**RUNNING, "lastState": ended(3, "first\nnot serving: bad")})],
        "the server ended with status 3: not serving: bad; it is being started again",
    ),
    (
        deployment(),
        [pod(server={"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended(0, "")})],
        "the server ended with status 0; the next start waits a while",
    ),
    (
        deployment(),
        [pod(server={**RUNNING, "lastState": ended(137, "", reason="OOMKilled")})],
        "the server was stopped because it used more memory than it may",
    ),
]


@pytest.mark.parametrize(("there", "pods", "reason"), REASONS, ids=[reason[:40] for _, _, reason in REASONS])
def test_each_trouble_is_named(there, pods, reason):
    status = read_status(there, pods, service="rel-1.ns.svc:8080")
    assert status.reason.startswith(reason)
    assert status.exists
    assert not status.is_ready
    assert status.service == ""


def test_what_a_server_said_before_it_ended_is_kept_until_all_are_ready():
    said = "Traceback:\n" + "\n".join(f"line {number}\x00" for number in range(60))
    crashed = pod("a", server={**RUNNING, "lastState": ended(3, said)})
    status = read_status(deployment(2), [crashed, pod("b", ready=True)], service="x")
    assert status.log.split("\n") == [f"line {number}" for number in range(10, 60)]
    assert read_status(deployment(), [crashed, pod("b", ready=True)], service="x").log == ""
    assert read_status(deployment(), [pod(server=RUNNING)], service="x").log == ""
    endless = pod(server={**RUNNING, "lastState": ended(3, "x" * 100_000)})
    assert len(read_status(deployment(), [endless], service="x").log) == 8000


def test_only_pods_that_stay_and_are_ready_count():
    pods = [
        pod("a", ready=True),
        pod("b", ready=True, deletionTimestamp="2026-01-01T00:00:00Z"),
        pod("c", ready=True, phase="Failed"),
        pod("d", ready=True),
    ]
    status = read_status(deployment(2), pods, service="rel-1.ns.svc:8080")
    assert status.is_ready
    assert status.endpoints == ("10.0.0.97:8080", "10.0.0.100:8080")
    assert (status.service, status.reason) == ("rel-1.ns.svc:8080", "")
    assert not read_status(None, [], service="x").exists
    assert read_status(deployment(1, deletionTimestamp="x"), pods, service="x").ready == 0
