"""Drives a running Gatehouse over gRPC with grpcio, knowing nothing of it but what server reflection tells.

grpcio_reflection.py HOST:PORT TOKENS: TOKENS is a folder with a file for each user's token. The server holds the
example of `gatehouse apply --example`. These are the calls that grpcurl makes.
"""

import pathlib
import sys
import traceback
import uuid

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

TARGET, TOKENS = sys.argv[1], pathlib.Path(sys.argv[2])
PROJECT = {"path": "acme/shop/web"}
SHA = "a91957a858320c0e17f3a0eca7cfacbff50ea29a"

CHANNEL = grpc.insecure_channel(TARGET)
REFLECTION = ProtoReflectionDescriptorDatabase(CHANNEL)
POOL = descriptor_pool.DescriptorPool(REFLECTION)


def token(name):
    return (TOKENS / name).read_text().strip()


def call(method, request=None, user="mika", **metadata):
    """Calls `service/method` with a request in JSON; answers the response in JSON, and the call."""
    service, name = method.split("/")
    found = POOL.FindServiceByName(service).FindMethodByName(name)
    to_send = json_format.ParseDict(request or {}, message_factory.GetMessageClass(found.input_type)())
    if user:
        metadata["private-token"] = token(user)
    unary = CHANNEL.unary_unary(
        f"/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(found.output_type).FromString,
    )
    answer, made = unary.with_call(to_send, timeout=10, metadata=tuple(metadata.items()))
    return json_format.MessageToDict(answer, preserving_proto_field_name=True), made


def gatehouse(method, request=None, **options):
    return call(f"gatehouse.v1.{method}", request, **options)[0]


def refusal(method, request=None, **options):
    """The code of the refusal that the call must meet, and the reason and fields in its details."""
    try:
        answer = gatehouse(method, request, **options)
    except grpc.RpcError as error:
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        status = status_pb2.Status.FromString(details)
        assert status.code == error.code().value[0] and status.message == error.details()
        reason, fields = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for detail in status.details:
            detail.Unpack(reason) or detail.Unpack(fields)
        return error.code(), reason.reason, [violation.field for violation in fields.field_violations]
    raise AssertionError(f"a refusal was expected, not {answer!r}")


def deployment(environment, status="DEPLOYMENT_STATUS_RUNNING"):
    return {"project": PROJECT, "environment": environment, "sha": SHA, "ref": "main", "status": status}


def create(environment, **options):
    return gatehouse("DeploymentService/CreateDeployment", deployment(environment), **options)["deployment"]


def every_service_and_its_messages_are_found():
    services = set(REFLECTION.get_services())
    for service in ["Deployment", "Environment", "Directory", "Token", "Metadata"]:
        assert f"gatehouse.v1.{service}Service" in services, services
        methods = POOL.FindServiceByName(f"gatehouse.v1.{service}Service").methods
        assert methods
        for method in methods:
            assert method.input_type.full_name == f"gatehouse.v1.{method.name}Request"
    assert "grpc.health.v1.Health" in services, services


def the_server_is_healthy():
    answer, _ = call("grpc.health.v1.Health/Check", user=None)
    assert answer == {"status": "SERVING"}, answer


def who_calls_is_told_with_either_kind_of_metadata():
    answer = gatehouse("TokenService/WhoAmI")
    assert answer["user"]["username"] == "mika" and answer["token"]["scopes"] == ["TOKEN_SCOPE_API"], answer
    bearer = gatehouse("TokenService/WhoAmI", user=None, authorization=f"Bearer {token('rosa')}")
    assert bearer["user"]["username"] == "rosa"
    assert gatehouse("TokenService/WhoAmI", user="root", sudo="dana")["user"]["username"] == "dana"


def a_deployment_is_created_moved_and_read():
    made = create("moved")
    assert made["status"] == "DEPLOYMENT_STATUS_RUNNING" and made["user"]["username"] == "mika", made
    named = {"project": PROJECT, "deployment_id": made["id"]}
    moved = gatehouse(
        "DeploymentService/UpdateDeploymentStatus",
        named | {"status": "DEPLOYMENT_STATUS_SUCCESS", "etag": made["etag"]},
    )["deployment"]
    assert moved["status"] == "DEPLOYMENT_STATUS_SUCCESS" and moved["etag"] != made["etag"] and moved["finished_at"]
    assert gatehouse("DeploymentService/GetDeployment", named)["deployment"] == moved


def pages_are_walked_by_token():
    made = [create("pages")["id"] for _ in range(5)]
    request = {"project": PROJECT, "filter": {"environment": "pages"}, "page_size": 2, "want_total": True}
    found, pages = [], 0
    while True:
        page = gatehouse("DeploymentService/ListDeployments", request)
        assert page["total_size"] == "5", page
        found += [one["id"] for one in page["deployments"]]
        pages += 1
        request["page_token"] = page.get("next_page_token", "")
        if not request["page_token"]:
            break
    assert (found, pages) == (made, 3), (found, pages)


def a_repeated_request_id_changes_nothing():
    request = deployment("repeats") | {"request_id": str(uuid.uuid4())}
    first, made = call("gatehouse.v1.DeploymentService/CreateDeployment", request)
    again, repeated = call("gatehouse.v1.DeploymentService/CreateDeployment", request)
    assert first == again
    assert "idempotent-replayed" not in dict(made.initial_metadata())
    assert dict(repeated.initial_metadata())["idempotent-replayed"] == "true"
    code, reason, _ = refusal("DeploymentService/CreateDeployment", request | {"ref": "other"})
    assert reason == "REQUEST_ID_REUSED", (code, reason)


def validate_only_keeps_nothing():
    made = gatehouse("DeploymentService/CreateDeployment", deployment("checked") | {"validate_only": True})
    assert made["deployment"]["environment"]["name"] == "checked"
    listed = gatehouse("DeploymentService/ListDeployments", {"project": PROJECT, "filter": {"environment": "checked"}})
    assert listed == {}, listed


def refusals_carry_a_reason():
    made = create("refusals")
    named = {"project": PROJECT, "deployment_id": made["id"]}
    update, code = "DeploymentService/UpdateDeploymentStatus", grpc.StatusCode
    running = {"status": "DEPLOYMENT_STATUS_RUNNING"}
    done = {"status": "DEPLOYMENT_STATUS_SUCCESS"}
    get = "DeploymentService/GetDeployment"
    for wanted, method, request, options in [
        ((code.FAILED_PRECONDITION, "INVALID_TRANSITION"), update, named | running, {}),
        ((code.ABORTED, "ETAG_MISMATCH"), update, named | done | {"etag": "old"}, {}),
        ((code.NOT_FOUND, "DEPLOYMENT_NOT_FOUND"), get, named | {"deployment_id": 999_999}, {}),
        ((code.NOT_FOUND, "PROJECT_NOT_FOUND"), get, named | {"project": {"path": "acme/no"}}, {}),
        ((code.PERMISSION_DENIED, "PERMISSION_DENIED"), update, named | done, {"user": "rosa"}),
        ((code.PERMISSION_DENIED, "INSUFFICIENT_SCOPE"), update, named | done, {"user": "mika-read"}),
        ((code.UNAUTHENTICATED, "TOKEN_MISSING"), get, named, {"user": None}),
        ((code.UNAUTHENTICATED, "TOKEN_INVALID"), get, named, {"user": None, "private-token": "gth-nobody"}),
    ]:
        met = refusal(method, request, **options)
        assert met[:2] == wanted, (wanted, met)


def a_refused_argument_is_named():
    _, reason, fields = refusal("DeploymentService/CreateDeployment", deployment("production") | {"sha": "no"})
    assert (reason, fields) == ("INVALID_ARGUMENT", ["sha"]), (reason, fields)


CHECKS = [
    every_service_and_its_messages_are_found,
    the_server_is_healthy,
    who_calls_is_told_with_either_kind_of_metadata,
    a_deployment_is_created_moved_and_read,
    pages_are_walked_by_token,
    a_repeated_request_id_changes_nothing,
    validate_only_keeps_nothing,
    refusals_carry_a_reason,
    a_refused_argument_is_named,
]

failed = 0
for check in CHECKS:
    try:
        check()
    except Exception:
        failed += 1
        print(f"FAILED {check.__name__}")
        traceback.print_exc()
print(f"{len(CHECKS) - failed} passed, {failed} failed")
sys.exit(1 if failed else 0)
