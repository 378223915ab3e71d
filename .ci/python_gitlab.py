"""Drives a running Gatehouse with python-gitlab, unchanged, as scripts written for GitLab do.

python_gitlab.py REST_URL TOKENS: TOKENS is a folder with a file for each user's token. The server holds the example of
`gatehouse apply --example`; project acme/shop/search has no deployments yet.
"""

import datetime
import json
import pathlib
import sys
import time
import traceback
import urllib.error
import urllib.request

import gitlab
from gitlab import exceptions as refused

REST_URL, TOKENS = sys.argv[1], pathlib.Path(sys.argv[2])
PROJECT = "acme/shop/search"
SHA = "a91957a858320c0e17f3a0eca7cfacbff50ea29a"


def token(name):
    return (TOKENS / name).read_text().strip()


def client(name, **options):
    return gitlab.Gitlab(REST_URL, private_token=token(name), **options)


def raises(kind, call):
    """The refusal that `call` must meet."""
    try:
        answer = call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected, not {answer!r}")


MIKA, DANA, ROSA, ROOT = (client(name) for name in ("mika", "dana", "rosa", "root"))
SEARCH = MIKA.projects.get(PROJECT)


def deployment(status="failed", environment="production", ref="main", sha=SHA, tag=False):
    return {"environment": environment, "sha": sha, "ref": ref, "tag": tag, "status": status}


def ids(deployments):
    return [one.id for one in deployments]


def who_calls_is_told_with_either_kind_of_header():
    MIKA.auth()
    assert MIKA.user.username == "mika", MIKA.user
    bearer = gitlab.Gitlab(REST_URL, oauth_token=token("mika"))
    bearer.auth()
    assert bearer.user.id == MIKA.user.id


def the_version_is_known():
    version, revision = MIKA.version()
    assert "unknown" not in (version, revision), (version, revision)
    assert version[0].isdigit() and revision, (version, revision)


def a_project_is_found_by_its_path_and_by_its_number():
    assert SEARCH.path_with_namespace == PROJECT
    assert MIKA.projects.get(SEARCH.id).path_with_namespace == PROJECT


def a_lazy_project_is_reached_by_its_encoded_path():
    lazy = MIKA.projects.get(PROJECT, lazy=True)
    assert isinstance(lazy.deployments.list(get_all=True), list)


def a_deployment_is_created_read_and_saved_with_all_that_was_read():
    made = SEARCH.deployments.create(deployment("running"))
    assert (made.status, made.ref, made.sha) == ("running", "main", SHA)
    assert made.environment["name"] == "production" and made.user["username"] == "mika"
    assert made.deployable is None and made.iid >= 1
    read = SEARCH.deployments.get(made.id)
    assert read.attributes == made.attributes, (read.attributes, made.attributes)
    # save() sends all that was changed, whether the server knows it or not.
    read.approvals, read.status = [], "success"
    read.save()
    assert read.status == "success" and SEARCH.deployments.get(made.id).status == "success"
    assert SEARCH.deployments.update(made.id, {"status": "failed"})["status"] == "failed"


def a_tag_may_be_text():
    made = SEARCH.deployments.create(deployment("canceled") | {"tag": "false"})
    assert made.status == "canceled"


def lists_are_walked_by_the_next_link():
    made = [SEARCH.deployments.create(deployment(environment="walk")).id for _ in range(5)]
    everything = SEARCH.deployments.list(get_all=True, per_page=2, environment="walk")
    assert ids(everything) == made, (ids(everything), made)
    walk = SEARCH.deployments.list(iterator=True, per_page=2, environment="walk")
    assert (len(walk), walk.total, walk.total_pages, walk.per_page) == (5, 5, 3, 2)
    assert (walk.current_page, walk.prev_page, walk.next_page) == (1, None, 2)
    assert ids(walk) == made
    second = SEARCH.deployments.list(page=2, per_page=2, environment="walk", get_all=False)
    assert ids(second) == made[2:4]


def keyset_pages_are_walked_by_the_next_link():
    made = [SEARCH.deployments.create(deployment(environment="keyset")).id for _ in range(5)]
    walk = SEARCH.deployments.list(
        iterator=True, pagination="keyset", order_by="created_at", sort="desc", per_page=2, environment="keyset"
    )
    assert ids(walk) == made[::-1]


def filters_and_orders_go_together():
    first = SEARCH.deployments.create(deployment("success", "review/blank name", ref="b"))
    second = SEARCH.deployments.create(deployment("success", "review/blank name", ref="a"))
    running = SEARCH.deployments.create(deployment("running", "review/blank name"))
    chosen = {"environment": "review/blank name", "get_all": True}
    assert ids(SEARCH.deployments.list(**chosen)) == [first.id, second.id, running.id]
    assert ids(SEARCH.deployments.list(status="running", **chosen)) == [running.id]
    by_ref = SEARCH.deployments.list(status="success", order_by="ref", sort="asc", **chosen)
    assert ids(by_ref) == [second.id, first.id]
    newest = SEARCH.deployments.list(order_by="updated_at", sort="desc", **chosen)
    assert sorted(ids(newest)) == ids(SEARCH.deployments.list(**chosen)) and newest[0].id == running.id
    assert SEARCH.deployments.list(environment="nowhere", get_all=True) == []


def times_are_taken_as_python_writes_them():
    made = SEARCH.deployments.create(deployment(environment="times"))
    now = datetime.datetime.now(datetime.timezone.utc)
    chosen = {"environment": "times", "order_by": "updated_at", "get_all": True}
    hour = datetime.timedelta(hours=1)
    assert ids(SEARCH.deployments.list(updated_after=now - hour, **chosen)) == [made.id]
    assert ids(SEARCH.deployments.list(updated_after=now + hour, **chosen)) == []
    assert ids(SEARCH.deployments.list(updated_before=now - hour, **chosen)) == []
    # A printed time is the stored time.
    exactly = {"updated_after": made.updated_at, "updated_before": made.updated_at}
    assert made.id in ids(SEARCH.deployments.list(**exactly, **chosen))


def head_has_the_headers_of_get():
    made = SEARCH.deployments.create(deployment(environment="head"))
    headers = SEARCH.deployments.head(made.id)
    assert headers["Content-Type"] == "application/json"
    counted = SEARCH.deployments.head(environment="head")
    assert counted["X-Total"] == "1", dict(counted)


def a_deployment_is_deleted_once():
    made = SEARCH.deployments.create(deployment(environment="delete"))
    path = f"/projects/{SEARCH.id}/deployments/{made.id}"
    assert MIKA.http_delete(path).status_code == 202
    error = raises(refused.GitlabHttpError, lambda: MIKA.http_delete(path))
    assert (error.response_code, error.error_message) == (404, "404 Not found")


def what_must_not_be_deleted_says_why():
    deployed = SEARCH.deployments.create(deployment("success", "last"))
    running = SEARCH.deployments.create(deployment("running", "last"))
    for made, why in [
        (deployed, "400 Deployment currently deployed to environment"),
        (running, "400 Cannot destroy running deployment"),
    ]:
        error = raises(
            refused.GitlabHttpError,
            lambda made=made: MIKA.http_delete(f"/projects/{SEARCH.id}/deployments/{made.id}"),
        )
        assert (error.response_code, error.error_message) == (400, why)


def environments_live_and_die():
    made = SEARCH.environments.create({"name": "review/one", "external_url": "https://one.example"})
    assert (made.slug, made.tier, made.state) == ("review-one-" + made.slug[-6:], "development", "available")
    assert made.id in ids(SEARCH.environments.list(search="review", get_all=True))
    assert ids(SEARCH.environments.list(name="review/one", get_all=True)) == [made.id]
    read = SEARCH.environments.get(made.id)
    read.external_url = "https://two.example"
    read.save()
    assert SEARCH.environments.get(made.id).external_url == "https://two.example"
    early = raises(refused.GitlabDeleteError, read.delete)
    assert early.response_code == 403, early
    read.stop()
    assert SEARCH.environments.get(made.id).state == "stopped"
    read.delete()
    assert raises(refused.GitlabGetError, lambda: SEARCH.environments.get(made.id)).response_code == 404


def an_unknown_token_is_an_authentication_error():
    stranger = gitlab.Gitlab(REST_URL, private_token="gth-nobody")
    error = raises(refused.GitlabAuthenticationError, stranger.auth)
    assert (error.response_code, error.error_message) == (401, "401 Unauthorized")
    nobody = gitlab.Gitlab(REST_URL)
    raises(refused.GitlabAuthenticationError, lambda: nobody.projects.get(PROJECT))


def what_is_not_there_is_a_get_error_with_the_known_text():
    error = raises(refused.GitlabGetError, lambda: SEARCH.deployments.get(999_999))
    assert (error.response_code, error.error_message) == (404, "404 Not found")
    error = raises(refused.GitlabGetError, lambda: MIKA.projects.get("acme/nothing"))
    assert (error.response_code, error.error_message) == (404, "404 Project Not Found")


def refused_values_are_told_as_gitlab_tells_them():
    made = SEARCH.deployments.create(deployment("success", "refusals"))
    error = raises(refused.GitlabUpdateError, lambda: SEARCH.deployments.update(made.id, {"status": "success"}))
    assert error.response_code == 400
    assert error.error_message == {"status": ['cannot transition via "succeed"']}, error.error_message
    taken = raises(refused.GitlabCreateError, lambda: SEARCH.environments.create({"name": "production"}))
    assert taken.response_code == 400
    assert taken.error_message == {"name": ["has already been taken"]}, taken.error_message
    wrong = raises(refused.GitlabCreateError, lambda: SEARCH.deployments.create(deployment("lost")))
    assert (wrong.response_code, wrong.error_message) == (400, "status does not have a valid value")


def rights_and_scopes_are_kept():
    reporter = ROSA.projects.get(PROJECT).deployments
    assert reporter.list(get_all=True)
    assert raises(refused.GitlabCreateError, lambda: reporter.create(deployment())).response_code == 403
    reader = client("mika-read").projects.get(PROJECT).deployments
    assert reader.list(get_all=True)
    assert raises(refused.GitlabCreateError, lambda: reader.create(deployment())).response_code == 403
    guest = client("greta")
    error = raises(refused.GitlabGetError, lambda: guest.projects.get(PROJECT))
    assert error.error_message == "404 Project Not Found"


def an_administrator_acts_as_somebody_else():
    assert ROOT.http_get("/user", query_data={"sudo": "rosa"})["username"] == "rosa"
    made = ROOT.projects.get(PROJECT, lazy=True).deployments.create(deployment(environment="sudo"), sudo="dana")
    assert made.user["username"] == "dana"
    error = raises(refused.GitlabHttpError, lambda: MIKA.http_get("/user", query_data={"sudo": "rosa"}))
    assert (error.response_code, error.error_message) == (403, "403 Forbidden - Must be admin to use sudo")


def an_environment_is_protected_and_a_deployment_waits_for_a_second_person():
    protected = SEARCH.protected_environments.create({
        "name": "gated/one",
        "deploy_access_levels": [{"access_level": 30}],
        "approval_rules": [{"access_level": 20, "required_approvals": 2}],
    })
    assert [rule["required_approvals"] for rule in protected.approval_rules] == [2], protected
    assert SEARCH.protected_environments.get("gated/one").deploy_access_levels[0]["access_level"] == 30
    assert "gated/one" in [one.name for one in SEARCH.protected_environments.list(get_all=True)]
    taken = raises(refused.GitlabCreateError, lambda: SEARCH.protected_environments.create(
        {"name": "gated/one", "deploy_access_levels": [{"access_level": 40}]}))
    assert (taken.response_code, taken.error_message) == (
        409, "Protected environment 'gated/one' already exists"), taken

    deployments = DANA.projects.get(PROJECT).deployments
    made = deployments.create(deployment("running", "gated/one"))
    assert (made.status, made.pending_approval_count, made.approvals) == ("blocked", 2, []), made
    started = raises(refused.GitlabUpdateError, lambda: deployments.update(made.id, {"status": "running"}))
    assert started.error_message == {"status": ['cannot transition via "run"']}, started.error_message
    own = raises(refused.GitlabDeploymentApprovalError, lambda: made.approval("approved"))
    assert own.error_message.startswith("You cannot approve your own deployment."), own.error_message

    waiting = ROSA.projects.get(PROJECT).deployments.get(made.id)
    approval = waiting.approval("approved", comment="Looks good to me")
    assert (approval["status"], approval["comment"], approval["user"]["username"]) == (
        "approved", "Looks good to me", "rosa"), approval
    assert waiting.approval("approved") == approval, "a repeat answers what is stored"
    assert deployments.get(made.id).pending_approval_count == 1
    SEARCH.deployments.get(made.id).approval("approved")
    made = deployments.get(made.id)
    assert (made.status, made.pending_approval_count) == ("created", 0), made
    [rule] = made.approval_summary["rules"]
    assert [one["user"]["username"] for one in rule["deployment_approvals"]] == ["rosa", "mika"], rule
    late = raises(refused.GitlabDeploymentApprovalError, lambda: ROOT.projects.get(PROJECT).deployments.get(
        made.id).approval("approved"))
    assert (late.response_code, late.error_message) == (400, "This deployment is not waiting for approvals.")
    for status in ["running", "success"]:
        made.status = status
        made.save()
        assert made.status == status, made
    protected.delete()
    raises(refused.GitlabGetError, lambda: SEARCH.protected_environments.get("gated/one"))


def a_third_person_rejects_and_the_deployer_learns_of_it():
    SEARCH.protected_environments.create({
        "name": "gated/two",
        "deploy_access_levels": [{"access_level": 30}],
        "approval_rules": [{"access_level": 20, "required_approvals": 2}],
    })
    deployments = DANA.projects.get(PROJECT).deployments
    made = deployments.create(deployment("running", "gated/two"))
    ROSA.projects.get(PROJECT).deployments.get(made.id).approval("approved")
    waited = DANA.http_get(f"/projects/{SEARCH.id}/deployments/{made.id}", query_data={"wait_for": "approved", "timeout": 0})
    assert waited["status"] == "blocked", waited
    SEARCH.deployments.get(made.id).approval("rejected", comment="not on a Friday")
    waited = DANA.http_get(f"/projects/{SEARCH.id}/deployments/{made.id}", query_data={"wait_for": "approved"})
    assert (waited["status"], waited["pending_approval_count"]) == ("failed", 0), waited
    assert [one["status"] for one in waited["approvals"]] == ["approved", "rejected"], waited
    SEARCH.protected_environments.delete("gated/two")


def a_group_protects_a_tier_for_all_below():
    path = "/groups/acme%2Fshop/protected_environments"
    body = {"name": "testing", "deploy_access_levels": [{"access_level": 40}], "required_approval_count": 1}
    assert ROOT.http_post(path, post_data=body)["required_approval_count"] == 1
    denied = raises(refused.GitlabCreateError, lambda: DANA.projects.get(PROJECT).deployments.create(
        deployment("running", "test")))
    assert (denied.response_code, denied.error_message) == (403, "403 Forbidden"), denied
    held = SEARCH.deployments.create(deployment("running", "test"))
    assert held.status == "blocked", held
    ROOT.http_delete(path + "/testing")
    assert SEARCH.deployments.get(held.id).status == "created"


def hook(name, event):
    """What a GitLab's webhook does; the status of the answer."""
    request = urllib.request.Request(
        f"{REST_URL}/webhooks/gitlab/{SEARCH.id}",
        data=json.dumps(event).encode(),
        headers={
            "Content-Type": "application/json",
            "X-Gitlab-Event": "Merge Request Hook",
            "X-Gitlab-Token": name and token(name),
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def merged(iid, title, commit, labels=(), updated_at="2025-03-02 10:00:00 UTC"):
    """The event of a merge into the branch `shipped`."""
    return {
        "object_kind": "merge_request",
        "user": {"id": 41, "username": "mika"},
        "labels": [{"title": label, "color": "#1f75cb"} for label in labels],
        "assignees": [{"id": 42, "username": "dana"}],
        "reviewers": [],
        "object_attributes": {
            "iid": iid, "title": title, "description": None, "state": "merged", "action": "merge", "author_id": 42,
            "source_branch": f"change-{iid}", "target_branch": "shipped", "merge_commit_sha": commit,
            "source_project_id": 5, "target_project_id": 5,
            "created_at": f"2025-03-01T10:00:{iid}Z", "updated_at": updated_at,
        },
    }


def the_merge_requests_that_a_deployment_shipped_are_listed_by_every_filter():
    assert hook("dana", merged(21, "Sort by price", "1" * 40, ["feature", "search"])) == 200
    assert hook("dana", merged(22, "Draft: Sort by name", "2" * 40, ["search"])) == 200
    assert hook("dana", merged(23, "Count what is found", "3" * 40)) == 200
    made = SEARCH.deployments.create(deployment("success", "shipping", "shipped"))

    # The links are made after the answer.
    deadline = time.monotonic() + 30
    while len(made.mergerequests.list(get_all=True)) < 3:
        assert time.monotonic() < deadline, made.mergerequests.list(get_all=True)
        time.sleep(0.1)

    def iids(**filters):
        return [one.iid for one in made.mergerequests.list(get_all=True, **filters)]

    dana = DANA.http_get("/user")["id"]
    for filters, wanted in [
        ({}, [23, 22, 21]),
        ({"sort": "asc"}, [21, 22, 23]),
        ({"order_by": "title", "sort": "asc"}, [23, 22, 21]),
        ({"order_by": "updated_at"}, [23, 22, 21]),
        ({"per_page": 1}, [23, 22, 21]),
        ({"state": "merged"}, [23, 22, 21]),
        ({"state": "opened"}, []),
        ({"labels": ["feature", "search"]}, [21]),
        ({"labels": "search"}, [22, 21]),
        ({"labels": "None"}, [23]),
        ({"milestone": "None"}, [23, 22, 21]),
        ({"author_id": dana}, [23, 22, 21]),
        ({"author_username": "mika"}, []),
        ({"assignee_id": dana}, [23, 22, 21]),
        ({"reviewer_id": "None"}, [23, 22, 21]),
        ({"my_reaction_emoji": "Any"}, []),
        ({"scope": "created_by_me"}, []),
        ({"source_branch": "change-22"}, [22]),
        ({"target_branch": "main"}, []),
        ({"search": "sort"}, [22, 21]),
        ({"search": "sort", "in": "description"}, []),
        ({"wip": "yes"}, [22]),
        ({"not[labels]": "feature"}, [23, 22]),
        ({"created_after": "2025-03-01T10:00:22Z"}, [23, 22]),
        ({"updated_before": datetime.datetime(2025, 3, 1)}, []),
        ({"environment": "shipping"}, [23, 22, 21]),
    ]:
        assert iids(**filters) == wanted, (filters, iids(**filters), wanted)

    [one] = made.mergerequests.list(get_all=True, search="price", with_labels_details=True)
    assert [label["name"] for label in one.labels] == ["feature", "search"], one
    assert (one.state, one.target_branch, one.merge_commit_sha) == ("merged", "shipped", "1" * 40), one
    assert (one.author["username"], one.merged_by["username"]) == ("dana", "mika"), one
    assert [person["username"] for person in one.assignees] == ["dana"], one
    assert (one.created_at, one.merged_at) == ("2025-03-01T10:00:21.000Z", "2025-03-02T10:00:00.000Z"), one
    assert one.references["full"] == f"{PROJECT}!21", one
    [simple] = made.mergerequests.list(get_all=True, search="price", view="simple")
    assert (simple.title, hasattr(simple, "labels")) == ("Sort by price", False), simple

    wrong = raises(refused.GitlabListError, lambda: iids(assignee_id="foo"))
    assert (wrong.response_code, wrong.error_message) == (
        400, "assignee_id should be an integer, none, or any, however got foo"), wrong
    lazy = SEARCH.deployments.get(10**9, lazy=True)
    assert lazy.mergerequests.list(get_all=True) == []


def what_a_foreign_server_reports_is_taken_from_whom_it_may_come():
    older = merged(21, "Renamed", "1" * 40, updated_at="2025-03-02T09:59:59Z")
    assert hook("dana", older) == 200
    for name, event, status in [
        ("rosa", older, 403),
        ("mika-read", older, 403),
        ("", older, 401),
        ("dana", older | {"object_kind": "push"}, 400),
        ("dana", older | {"object_attributes": {"iid": 21}}, 400),
    ]:
        assert hook(name, event) == status, (name, event, hook(name, event))
    [made] = SEARCH.deployments.list(get_all=True, environment="shipping")
    assert not made.mergerequests.list(get_all=True, search="Renamed")


def the_user_is_told_what_they_tell_of_themselves():
    MIKA.auth()
    assert (MIKA.user.bio, MIKA.user.location, MIKA.user.organization) == (None, None, ""), MIKA.user


CHECKS = [
    who_calls_is_told_with_either_kind_of_header,
    the_version_is_known,
    a_project_is_found_by_its_path_and_by_its_number,
    a_lazy_project_is_reached_by_its_encoded_path,
    a_deployment_is_created_read_and_saved_with_all_that_was_read,
    a_tag_may_be_text,
    lists_are_walked_by_the_next_link,
    keyset_pages_are_walked_by_the_next_link,
    filters_and_orders_go_together,
    times_are_taken_as_python_writes_them,
    head_has_the_headers_of_get,
    a_deployment_is_deleted_once,
    what_must_not_be_deleted_says_why,
    environments_live_and_die,
    an_unknown_token_is_an_authentication_error,
    what_is_not_there_is_a_get_error_with_the_known_text,
    refused_values_are_told_as_gitlab_tells_them,
    rights_and_scopes_are_kept,
    an_administrator_acts_as_somebody_else,
    an_environment_is_protected_and_a_deployment_waits_for_a_second_person,
    a_third_person_rejects_and_the_deployer_learns_of_it,
    a_group_protects_a_tier_for_all_below,
    the_merge_requests_that_a_deployment_shipped_are_listed_by_every_filter,
    what_a_foreign_server_reports_is_taken_from_whom_it_may_come,
    the_user_is_told_what_they_tell_of_themselves,
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
