"""A new job by its form, with real agents that move real bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from fdist_site.local.fleet import USER, LocalFleet, NodeOptions
from fdist_site.local.processes import wait_until
from nodes import inventory
from tests.pages.conftest import PATIENCE, Site, log_in, watch_problems, window

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
SLOW = NodeOptions(rate="20mbit", gcs_rate="20mbit", heartbeat_seconds=0.3)
CRAWL = 1000  # bit/s: a job does not end before the test has looked at it
NODES = ("real-01", "real-02")
SIZE = 24_000_000
MODEL = bytes(range(256)) * (SIZE // 256)


@pytest.fixture(scope="module")
def fleet(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFleet]:
    """A whole installation with two agents, and a payload that takes them some seconds."""
    with LocalFleet(tmp_path_factory.mktemp("fleet"), options=SLOW) as found:
        found.start()
        found.start_agents(*NODES)
        found.gcs.bucket("models")
        found.gcs.put("models", "llama/model-00001.safetensors", MODEL)
        found.gcs.put("models", "llama/config.json", b"{}" * 500)
        found.gcs.put("models", "lora/adapter.bin", bytes(1_000_000))
        yield found


def read_at(fleet: LocalFleet, rate: int | None) -> None:
    """Cap what the nodes read from the bucket, in bit/s; with None at their own setting again. Returns when they do."""
    for name in NODES:
        fleet.scheduler.order(name, {"op": "caps", "gcs_rate": rate})
    caps = {} if rate is None else {"gcs_rate": rate}

    def told() -> bool:
        found = [inventory.read(fleet.redis, fleet.cell, name) for name in NODES]
        return all(each is not None and each.caps == caps for each in found)

    wait_until(told, PATIENCE, f"the nodes to read at {rate or 'their own rate'}")


@pytest.fixture
def real(browser: Any, fleet: LocalFleet) -> Iterator[Any]:
    """A window on that installation, logged in."""
    context = window(browser, fleet.web_url)
    page = context.new_page()
    problems: list[str] = []
    watch_problems(page, problems)
    page.goto("/login/")
    page.fill("#id_username", USER)
    page.fill("#id_password", fleet.password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
    yield page
    context.close()
    assert not problems


def test_a_job_is_submitted_by_keys_alone_and_seen_to_complete(real: Any, fleet: LocalFleet) -> None:
    real.goto("/jobs/new/")
    expect(real.locator("#id_source")).to_be_focused()
    real.keyboard.type("gs://mod")
    expect(real.get_by_role("option", name="gs://models/")).to_be_visible()
    real.keyboard.press("ArrowDown")
    real.keyboard.press("Enter")
    expect(real.locator("#paths li")).to_have_count(2)
    real.keyboard.press("ArrowDown")
    real.keyboard.press("Enter")
    expect(real.locator("#id_source")).to_have_value("gs://models/llama/")
    real.keyboard.press("Escape")
    expect(real.locator("#plan")).to_contain_text("24.0 MB in 2 files to 2 nodes")
    expect(real.locator("#plan")).to_contain_text("pipeline")
    real.keyboard.press("Tab")
    real.keyboard.type("by keys")
    read_at(fleet, CRAWL)
    real.keyboard.press("Enter")
    real.wait_for_url(re.compile("/jobs/[0-9a-f-]{36}/"))
    expect(real.locator("#state")).to_have_text("running")
    read_at(fleet, None)
    expect(real.locator("#part")).not_to_have_text("0.0 %")
    expect(real.locator("#limit-of")).to_contain_text("of")
    expect(real.locator("#state")).to_have_text("complete")
    expect(real.locator("#events")).to_contain_text("done on")
    for name in ("real-01", "real-02"):
        placed: Path = fleet.data_dir(name) / "llama" / "model-00001.safetensors"
        assert placed.read_bytes() == MODEL


def test_another_job_is_cancelled_while_it_runs(real: Any, fleet: LocalFleet) -> None:
    real.goto("/jobs/new/")
    real.fill("#id_source", "gs://models/llama/")
    real.fill("#id_name", "to be cancelled")
    real.fill("#id_destination", "elsewhere")
    real.get_by_label("Pipeline").check()
    read_at(fleet, CRAWL)
    real.get_by_role("button", name="Start the job").click()
    expect(real.locator("#state")).to_have_text("running")
    real.on("dialog", lambda dialog: dialog.accept())
    real.get_by_role("button", name="Cancel").click()
    expect(real.locator("#state")).to_have_text("cancelled")
    read_at(fleet, None)
    real.goto("/jobs/?state=cancelled")
    expect(real.locator(".jobs tbody tr").first).to_contain_text("to be cancelled")


def test_what_is_wrong_stands_beside_its_field_before_and_after_sending(page: Any, site: Site) -> None:
    site.nodes("gpu-01")
    log_in(page)
    page.goto("/jobs/new/")
    page.fill("#id_source", "gs://pages/nothing/")
    expect(page.locator("#source-error")).to_contain_text("gs://pages/nothing/ holds no object")
    page.fill("#id_source", "gs://pages/llama/")
    expect(page.locator("#source-error")).to_be_hidden()
    page.get_by_label("By name").check()
    page.fill("#id_names", "gpu-01, no-such-node")
    expect(page.locator("#names-error")).to_contain_text("no node is named no-such-node")
    page.get_by_text("More options").click()
    page.fill("#id_shard_size", "many")
    expect(page.locator("#shard_size-error")).to_contain_text('"many" is no size')
    expect(page.locator("#id_shard_size")).to_have_attribute("aria-invalid", "true")


def test_a_path_that_was_typed_before_the_scripts_came_is_completed(page: Any, site: Site) -> None:
    log_in(page)
    held: list[Any] | None = []
    page.route(re.compile(r"newjob.*\.js"), lambda route: route.continue_() if held is None else held.append(route))
    page.goto("/jobs/new/", wait_until="commit")
    page.locator("#id_source").press_sequentially("gs://pages/lla")
    expect(page.locator("#paths li")).to_have_count(0)
    came, held = held, None  # one that is asked for from now on goes through
    for route in came:
        route.continue_()
    expect(page.get_by_role("option", name="gs://pages/llama/")).to_be_visible()


def test_a_form_that_is_sent_wrong_comes_back_with_what_was_typed(page: Any, site: Site) -> None:
    site.nodes("gpu-01")
    log_in(page)
    page.goto("/jobs/new/")
    page.get_by_label("By labels").check()
    page.fill("#id_labels", "zone=nowhere")
    page.fill("#id_source", "gs://pages/llama/")
    page.get_by_role("button", name="Start the job").click()
    expect(page.locator("#labels-error")).to_contain_text("none of the")
    expect(page.locator("#id_labels")).to_have_value("zone=nowhere")
    expect(page.locator("#id_source")).to_have_value("gs://pages/llama/")
