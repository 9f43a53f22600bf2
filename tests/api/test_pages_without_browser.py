"""Pages without a browser: how many statements each asks of the database, and what the forms refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from nodes import inventory
from nodes.inventory import Inventory, Kept
from nodes.models import Node
from tests.site_fixtures import Fleet, fold
from transfers import submission
from transfers.links import Links
from transfers.models import Job
from transfers.sampling import Sampler

pytestmark = pytest.mark.django_db

# Each page's, with the two of the session and its user. None may grow with the rows that it shows.
MOST = {"/": 8, "/jobs/": 5, "/nodes/": 7, "/nodes/gpu-01/": 13, "/jobs/new/": 4}
JOB_PAGE = 7


@pytest.fixture
def push(fleet: Fleet, links: Links, payload: str) -> Callable[[int, int], Job]:
    """Adds nodes and jobs, moves everything, and records it; gives the last job."""

    def work(nodes: int, jobs: int) -> Job:
        fleet.add(*(f"gpu-{number:02d}" for number in range(1, nodes + 1)))
        for number in range(jobs):
            job = submission.submit({"source": payload, "destination": f"d{nodes}-{number}"})
            fleet.announce(job.id.hex)
            fleet.move(job.id.hex)
        fold(links)
        return job

    return work


def statements(client: Client, page: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as caught:
        assert client.get(page).status_code == 200
    return len(caught)


def test_no_page_asks_more_of_the_database_when_there_is_more_to_show(
    client: Client, admin: AbstractUser, push: Callable[[int, int], Job], links: Links
) -> None:
    client.force_login(admin)
    job = push(2, 1)
    submission.node_facts(links)
    pages = [*MOST, f"/jobs/{job.pk}/"]
    few = {page: statements(client, page) for page in pages}
    few = {page: statements(client, page) for page in pages}  # what is cached on first use has been asked for
    push(8, 4)
    submission.node_facts(links)
    assert {page: statements(client, page) for page in pages} == few
    assert {page: number for page, number in few.items() if number > MOST.get(page, JOB_PAGE)} == {}


def test_the_first_paint_has_what_the_record_knows(
    client: Client, admin: AbstractUser, push: Callable[[int, int], Job]
) -> None:
    job = push(2, 1)
    client.force_login(admin)
    text = client.get(f"/jobs/{job.pk}/").content.decode()
    assert '<dd id="part">100.0 %</dd>' in text
    assert '<span id="state" class="state complete" role="status">complete</span>' in text
    assert '"kind": "node_done"' in text
    assert "gpu-01" in client.get("/nodes/").content.decode()


def test_an_empty_installation_says_what_to_do_first(client: Client, admin: AbstractUser, links: Links) -> None:
    client.force_login(admin)
    assert b"No node has registered yet" in client.get("/").content
    assert b"enrolment_key make" in client.get("/nodes/").content
    assert b"No job yet" in client.get("/jobs/").content


def test_nodes_are_found_by_state_name_and_labels(
    client: Client, admin: AbstractUser, fleet: Fleet, links: Links
) -> None:
    fleet.add("gpu-01", labels={"zone": "a"}).add("gpu-02", "cpu-01", labels={"zone": "b"})
    fleet.scheduler.leave("gpu-02")
    submission.node_facts(links)
    client.force_login(admin)

    def shown(**query: str) -> list[str]:
        return [node.name for node in client.get("/nodes/", query).context["page"].object_list]

    assert shown() == ["cpu-01", "gpu-01", "gpu-02"]
    assert shown(state="left") == ["gpu-02"]
    assert shown(name="gpu", labels="zone=a") == ["gpu-01"]
    answer = client.get("/nodes/", {"labels": "zone"})
    assert b"is no label: write key=value" in answer.content


def test_the_same_form_sent_twice_makes_one_job(
    client: Client, admin: AbstractUser, fleet: Fleet, payload: str
) -> None:
    fleet.add("gpu-01")
    client.force_login(admin)
    form: dict[str, Any] = client.get("/jobs/new/").context["form"]
    fields = {
        "source": payload,
        "topology": "mesh",
        "who": "all",
        "gcs_slots": 8,
        "quorum": 50,
        "key": form["key"].value(),
    }
    first, second = (client.post("/jobs/new/", fields) for _ in range(2))
    assert first.status_code == second.status_code == 302
    assert first["Location"] == second["Location"]
    assert Job.objects.get().quorum == 0.5


def test_the_plan_of_a_form_shows_without_scripts_and_saves_nothing(
    client: Client, admin: AbstractUser, fleet: Fleet, payload: str
) -> None:
    fleet.add("gpu-01", "gpu-02")
    client.force_login(admin)
    fields: dict[str, Any] = {"source": payload, "topology": "mesh", "who": "all", "gcs_slots": 8, "preview": 1}
    fields["key"] = str(client.get("/jobs/new/").context["form"]["key"].value())
    text = client.post("/jobs/new/", fields).content.decode()
    assert "3.1 MB</strong> in 2 files to <strong>2</strong> nodes" in text
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"source": ""}, "source", "a job needs a source"),
        ({"source": "gs://weights/none/"}, "source", "holds no object"),
        ({"who": "names", "names": "gpu-99"}, "names", "no node is named gpu-99"),
        ({"who": "labels", "labels": "zone"}, "labels", "is no label"),
        ({"who": "labels", "labels": ""}, "labels", "say which labels"),
        ({"destination": "../up"}, "destination", "cannot be a file's name"),
        ({"shard_size": "big"}, "shard_size", "is no size"),
        ({"bucket_budget": "0.5x"}, "bucket_budget", "less than the payload"),
        ({"quorum": "0"}, "quorum", "greater than or equal to 0.1"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(
    client: Client, admin: AbstractUser, fleet: Fleet, payload: str, changes: dict[str, str], field: str, said: str
) -> None:
    fleet.add("gpu-01")
    client.force_login(admin)
    fields = {"source": payload, "topology": "mesh", "who": "all", "gcs_slots": "8"}
    fields["key"] = str(client.get("/jobs/new/").context["form"]["key"].value())
    answer = client.post("/jobs/new/plan/", fields | changes).json()
    assert said in answer["errors"].get(field, ""), answer["errors"]
    assert client.post("/jobs/new/", fields | changes).status_code == 200
    assert not Job.objects.exists()


def test_paths_are_completed_from_buckets_folders_and_objects(
    client: Client, admin: AbstractUser, links: Links, payload: str
) -> None:
    client.force_login(admin)

    def offered(typed: str) -> list[str]:
        return [each["path"] for each in client.get("/jobs/new/paths/", {"q": typed}).json()["paths"]]

    assert "gs://weights/" in offered("gs://wei")
    assert offered("gs://weights/ll") == ["gs://weights/llama/"]
    assert offered("gs://weights/llama/") == ["gs://weights/llama/config.json", "gs://weights/llama/model.bin"]
    refused = client.get("/jobs/new/paths/", {"q": "gs://no-such-bucket-here/"}).json()
    assert refused["paths"] == []
    assert "does not exist" in refused["problem"]


def test_only_who_may_make_jobs_gets_the_form_its_plan_and_its_paths(client: Client, viewer: AbstractUser) -> None:
    client.force_login(viewer)
    assert client.get("/jobs/new/").status_code == 403
    assert client.post("/jobs/new/plan/").status_code == 403
    assert client.get("/jobs/new/paths/").status_code == 403


def test_the_sampler_writes_what_moved_and_charts_add_it_up(
    client: Client, admin: AbstractUser, fleet: Fleet, links: Links, payload: str
) -> None:
    fleet.add("gpu-01", "gpu-02")
    job = submission.submit({"source": payload, "shard_size": 1_000_000})
    fleet.announce(job.id.hex)
    sampler = Sampler(links)
    sampler.step()
    assert not job.rate_samples.exists()
    fleet.move(job.id.hex)
    fold(links)
    sampler.step()
    view = links.scheduler.job(job.id.hex)
    assert view is not None
    sample = job.rate_samples.get()
    assert (sample.bytes_from_gcs, sample.bytes_from_peers) == (view.bytes_gcs, view.bytes_peer)
    sampler.step()
    assert job.rate_samples.count() == 1, "a job that has ended has no more samples"
    client.force_login(admin)
    times, bucket, peers = client.get("/").context["series"]
    step = times[1] - times[0]
    assert sum(bucket) * step == pytest.approx(sample.bytes_from_gcs, rel=0.02)
    assert sum(peers) * step == pytest.approx(sample.bytes_from_peers, rel=0.02)


def test_a_job_is_pinned_by_a_button_and_its_nodes_page_says_so(
    client: Client, admin: AbstractUser, push: Callable[[int, int], Job], links: Links
) -> None:
    client.force_login(admin)
    job = push(2, 1)
    submission.node_facts(links)

    def node_page() -> str:
        return client.get("/nodes/gpu-01/").content.decode()

    def tell(pinned: bool) -> None:
        kept = {job.id.hex: Kept(123_000, pinned, whole=True, wanted_at=1.7e9, evictable=not pinned)}
        inventory.put(links.redis, links.cell, "gpu-01", Inventory(at=1, quota=10**9, used=0, evictable=0, jobs=kept))

    assert "No quota" in node_page() and "pinned" not in node_page().split("Holds")[1]
    page = client.get(f"/jobs/{job.pk}/").content.decode()
    assert f"/jobs/{job.pk}/pin/" in page and f"/jobs/{job.pk}/unpin/" not in page
    client.post(f"/jobs/{job.pk}/pin/")
    page = client.get(f"/jobs/{job.pk}/").content.decode()
    assert f"/jobs/{job.pk}/unpin/" in page and f"/jobs/{job.pk}/pin/" not in page
    tell(pinned=False)
    assert "being pinned" in node_page() and "123.0 kB" in node_page()
    assert f'Next to go: <a href="/jobs/{job.pk}/">' in node_page() and 'datetime="2023-11-14T22' in node_page()
    tell(pinned=True)
    Node.objects.filter(name="gpu-01").update(quota=10**9, used=5 * 10**8, evictable=2 * 10**8)
    assert '<span class="label">pinned</span>' in node_page() and "Next to go" not in node_page()
    assert "500.0 MB of its quota of 1.0 GB used. 200.0 MB of it" in node_page()
    client.post(f"/jobs/{job.pk}/unpin/")
    assert "being unpinned" in node_page()


def test_a_jobs_page_and_its_buttons_are_found_by_its_id_with_and_without_dashes(
    client: Client, admin: AbstractUser, push: Callable[[int, int], Job]
) -> None:
    client.force_login(admin)
    job = push(1, 1)
    for name in (str(job.pk), job.pk.hex):
        assert client.get(f"/jobs/{name}/").status_code == 200
        assert client.post(f"/jobs/{name}/pin/").headers["Location"] == f"/jobs/{job.pk}/"
    for wrong in (job.pk.hex[:-1], f"{job.pk.hex[:-1]}-", "f" * 32):
        assert client.get(f"/jobs/{wrong}/").status_code == 404
