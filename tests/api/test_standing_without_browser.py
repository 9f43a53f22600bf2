"""The pages of standing distributions without a browser: what they say, their buttons, their form, their streams."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AbstractUser, Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.api.conftest import asked
from tests.coordinator.standing_stage import BOTH, LABELS, Stage
from transfers.links import Links
from transfers.live.readings import Readings
from transfers.live.standing import EveryStanding, OneStanding
from transfers.live.subjects import Gone, subject_of
from transfers.models import Standing
from transfers.standing import acts

pytestmark = pytest.mark.django_db
NEW = {
    "name": "llama",
    "who": "labels",
    "labels": "model=llama",
    "topology": "mesh",
    "settle_seconds": "60",
    "check_seconds": "60",
    "share": "100",
    "versions_kept": "2",
    "gcs_slots": "16",
}


@pytest.fixture
def browser(client: Client, admin: AbstractUser) -> Client:
    client.force_login(admin)
    return client


def test_its_pages_say_what_is_so(browser: Client, stage: Stage, llama: str) -> None:
    stage.nodes("gpu-03")
    stage.coordinate()
    page = browser.get("/standing/llama/").content.decode()
    for text in ("switching", "model=llama", f"{stage.prefix}/current", "gpu-03", "behind", "version 2", "is in use"):
        assert text in page, text
    found = browser.get("/standing/llama/?node=-03").content.decode()
    assert 'href="/nodes/gpu-03/"' in found and 'href="/nodes/gpu-01/"' not in found
    for address in ("/", "/standing/"):
        assert 'href="/standing/llama/"' in browser.get(address).content.decode()
    job = Standing.objects.get(name="llama").versions.get(number=2).job
    assert 'version 2 of <a href="/standing/llama/">' in browser.get(job.get_absolute_url()).content.decode()
    assert browser.get("/standing/none/").status_code == 404


def test_its_buttons_act(browser: Client, stage: Stage, llama: str) -> None:
    def press(act: str, **form: object) -> str:
        answer = browser.post(f"/standing/llama/{act}/", form, follow=True)
        assert answer.status_code == 200
        return answer.content.decode()

    assert "Rolled back: versions up to 2" in press("rollback", version=1)
    assert "Rolled back" not in press("resume")
    assert "Paused: there is no new version" in press("pause")
    assert "is paused already" in press("pause")
    assert "do not keep a version 9" in press("rollback", version=9)
    assert "Nothing stands yet" in press("purge")
    assert {entry.get_change_message() for entry in LogEntry.objects.all()} >= {"Rolled back.", "Resumed.", "Paused."}


def test_pages_are_for_those_who_may_see_them(client: Client, viewer: AbstractUser, stage: Stage, llama: str) -> None:
    client.force_login(viewer)
    assert client.get("/standing/").status_code == 403
    viewer.groups.set([Group.objects.get(name="viewer")])
    page = client.get("/standing/llama/").content.decode()
    assert "gpu-01" in page and "Pause" not in page and "End, remove copies" not in page
    assert client.post("/standing/llama/pause/").status_code == 403


def test_one_is_made_by_its_form(browser: Client, stage: Stage) -> None:
    stage.nodes(*BOTH)
    fields = {
        **NEW,
        "source": stage.source,
        "share": "90",
        "settle_seconds": "0",
        "shard_size": "1MiB",
        "any_zone": "on",
    }
    answer = browser.post("/standing/new/", fields)
    assert answer["Location"] == "/standing/llama/"
    made = Standing.objects.get()
    assert (made.selector, made.share, made.settle_seconds) == ({"labels": LABELS}, 0.9, 0)
    assert made.options == {"shard_size": 2**20, "own_zone": False}  # and nothing that was left as it is proposed
    assert made.created_by is not None and "Added." in {each.get_change_message() for each in LogEntry.objects.all()}
    again = browser.post("/standing/new/", fields)
    assert "already" in again.context["form"].errors["name"][0]
    assert Standing.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"source": ""}, "source", "such as gs://bucket/prefix/"),
        ({"source": "gs://no-such-bucket/llama/"}, "source", "no-such-bucket"),
        ({"name": ""}, "name", "such as llama"),
        ({"name": "No Name"}, "name", "lower-case letters"),
        ({"name": "new"}, "name", "take another"),
        ({"who": "labels", "labels": "model"}, "labels", "is no label"),
        ({"who": "names", "names": ""}, "names", "say which nodes"),
        ({"destination": "../up"}, "destination", "cannot be a file's name"),
        ({"marker": "../up"}, "marker", "cannot be"),
        ({"share": "0"}, "share", "greater than or equal to 0.1"),
        ({"settle_seconds": "-1"}, "settle_seconds", "greater than or equal to 0"),
        ({"check_seconds": ""}, "check_seconds", "required"),
        ({"versions_kept": "21"}, "versions_kept", "less than or equal to 20"),
        ({"shard_size": "big"}, "shard_size", "is no size"),
        ({"bucket_budget": "much"}, "bucket_budget", "is no budget"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(
    browser: Client, stage: Stage, changes: dict[str, str], field: str, said: str
) -> None:
    stage.nodes(*BOTH)
    fields = {**NEW, "source": stage.source, **changes}
    answer = browser.post("/standing/new/plan/", fields).json()
    assert said in answer["errors"].get(field, ""), answer["errors"]
    page = browser.post("/standing/new/", fields)
    assert said in page.context["form"].errors[field][0]
    assert not Standing.objects.exists()


def test_the_plan_of_its_first_version_shows_and_waits_for_what_is_not_there(browser: Client, stage: Stage) -> None:
    def plan(**fields: str) -> str:
        answer = browser.post("/standing/new/plan/", {**NEW, "source": stage.source, **fields}).json()
        assert answer["errors"] == {}
        return str(answer["plan"])

    assert "It would wait:" in plan()
    stage.nodes(*BOTH)
    assert "to <strong>2</strong> nodes" in plan() and f"{stage.prefix}/versions/1" in plan()
    assert "holds no object" in plan(source=f"{stage.source}not-yet/")
    page = browser.post("/standing/new/", {**NEW, "source": stage.source, "preview": "1"}).content.decode()
    assert "to <strong>2</strong> nodes" in page
    assert not Standing.objects.exists()


def test_it_is_changed_by_a_form_that_has_what_is_so(browser: Client, stage: Stage, llama: str) -> None:
    form = browser.get("/standing/llama/change/").context["form"]
    fields = {field.name: field.value() for field in form if field.value() is not None and field.value() is not False}
    assert (fields["who"], fields["labels"], fields["share"]) == ("labels", "model=llama", 100)
    assert "source" not in form.fields and "name" not in form.fields
    text = browser.post("/standing/llama/change/", fields, follow=True).content.decode()
    assert "Nothing was changed." in text
    changes = {"share": "75", "topology": "pipeline", "shard_size": "2MiB", "labels": "model=qwen"}
    text = browser.post("/standing/llama/change/", fields | changes, follow=True).content.decode()
    assert "75 % of the nodes" in text and "model=qwen" in text
    found = Standing.objects.get()
    assert (found.share, found.selector) == (0.75, {"labels": {"model": "qwen"}})
    assert found.options == {"topology": "pipeline", "shard_size": 2**21}
    notes = {entry.get_change_message() for entry in LogEntry.objects.all()}
    assert "Changed nodes, shard_size, share, topology." in notes
    form = browser.get("/standing/llama/change/").context["form"]
    assert form["shard_size"].value() == "2MiB"
    browser.post("/standing/llama/change/", fields | changes | {"shard_size": ""})  # as it was at first
    assert Standing.objects.get().options == {"topology": "pipeline"}
    answer = browser.post("/standing/llama/change/plan/", fields | {"share": "101"}).json()
    assert "less than or equal to 100" in answer["errors"]["share"]
    assert (
        "It would wait"
        in browser.post("/standing/llama/change/plan/", fields | {"labels": "model=none"}).json()["plan"]
    )


def test_forms_are_for_those_who_may(client: Client, viewer: AbstractUser, stage: Stage, llama: str) -> None:
    forms = ("/standing/new/", "/standing/llama/change/")
    assert {client.get(address).status_code for address in forms} == {302}
    client.force_login(viewer)
    viewer.groups.set([Group.objects.get(name="viewer")])
    assert {client.get(address).status_code for address in forms} == {403}
    assert {client.post(f"{address}plan/").status_code for address in forms} == {403}
    assert client.get("/jobs/new/paths/?q=gs").status_code == 403
    assert "/standing/new/" not in client.get("/standing/").content.decode()
    assert "/change/" not in client.get("/standing/llama/").content.decode()
    viewer.groups.set([Group.objects.get(name="operator")])
    assert {client.get(address).status_code for address in forms} == {200}
    page = client.get("/standing/llama/").content.decode()
    assert "Pause" in page and "Use it again" in page and "/change/" in page and "End, remove copies" not in page


def test_no_page_asks_more_of_the_database_when_there_is_more_to_show(
    browser: Client, stage: Stage, llama: str
) -> None:
    def statements() -> dict[str, int]:
        found = {}
        for page in ("/standing/", "/standing/llama/", "/standing/new/", "/standing/llama/change/"):
            with CaptureQueriesContext(connection) as caught:
                assert browser.get(page).status_code == 200
            found[page] = len(caught)
        return found

    statements()  # what is cached on first use
    few = statements()
    assert few == {"/standing/": 3, "/standing/llama/": 7, "/standing/new/": 3, "/standing/llama/change/": 4}
    stage.nodes("gpu-03", "gpu-04")
    stage.create(**asked(stage, name="another", destination="elsewhere"))
    stage.put("three")
    acts.check(Standing.objects.get(name="llama"))
    stage.rounds(4)
    assert statements() == few


# --- streams


def test_a_stream_of_one_says_what_changed_and_ends_with_it(stage: Stage, links: Links, llama: str) -> None:
    subject = subject_of(OneStanding("llama"))

    def look() -> dict[str, Any]:
        return subject.update(links, Readings(links.scheduler))

    first = look()
    assert (first["state"], first["earlier"]) == ("current", [1])
    assert first["acts"] == ["check", "pause", "rollback"]
    assert set(first["parts"]) == set(subject.whole()["parts"]) and "gpu-01" in first["parts"]["nodes"]
    assert look()["parts"] == {}
    acts.pause(Standing.objects.get())
    paused = look()
    assert paused["acts"] == ["resume", "rollback"] and set(paused["parts"]) == {"notices", "events"}
    acts.resume(Standing.objects.get())
    acts.rollback(Standing.objects.get())
    back = look()
    assert back["shown"] == "rolled back" and back["earlier"] == [2] and "versions up to 2" in back["parts"]["notices"]
    acts.delete(Standing.objects.get(), purge=True)
    with pytest.raises(Gone):
        look()


def test_a_stream_lists_the_nodes_that_are_searched(stage: Stage, links: Links, llama: str) -> None:
    found = subject_of(OneStanding("llama", "-02")).update(links, Readings(links.scheduler))["parts"]["nodes"]
    assert "gpu-02" in found and "gpu-01" not in found


def test_a_stream_of_all_has_a_row_for_each(stage: Stage, links: Links, llama: str) -> None:
    subject = subject_of(EveryStanding())
    rows = subject.update(links, Readings(links.scheduler))
    assert rows["order"] == ["llama"] and "version 2" in rows["rows"]["llama"]
    stage.create(**asked(stage, name="a-first", destination="elsewhere"))
    more = subject.update(links, Readings(links.scheduler))
    assert more["order"] == ["a-first", "llama"] and list(more["rows"]) == ["a-first"]
    acts.delete(Standing.objects.get(name="llama"), purge=False)
    assert subject.update(links, Readings(links.scheduler)) == {"order": ["a-first"], "rows": {}}


def test_streams_are_for_those_who_may_see_them(client: Client, viewer: AbstractUser, llama: str) -> None:
    streams = ("/standing/llama/events/", "/events/standing/")
    client.force_login(viewer)
    assert {client.get(address).status_code for address in streams} == {403}
    viewer.groups.set([Group.objects.get(name="viewer")])
    assert client.get("/standing/none/events/").status_code == 404
    for address in streams:
        answer = client.get(address)
        assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")
