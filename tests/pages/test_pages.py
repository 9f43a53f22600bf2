"""What a person sees and does in a browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from fdist_site.local.processes import wait_until
from tests.pages.conftest import PATIENCE, Site, address, log_in, watch_problems, window

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_people_log_in_and_out(page: Any, site: Site) -> None:
    page.goto("/")
    expect(page).to_have_url(re.compile("/login/"))
    log_in(page)
    expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
    page.get_by_role("button", name="Log out ada").click()
    expect(page).to_have_url(re.compile("/login/"))


def test_a_job_is_seen_to_fill_up_and_complete(page: Any, site: Site) -> None:
    site.nodes("gpu-01", "gpu-02", "gpu-03")
    job = site.submit(name="llama", shard_size=1_000_000, nodes={"names": ["gpu-01", "gpu-02", "gpu-03"]})
    log_in(page)
    page.goto(address(job))
    expect(page.locator("#state")).to_have_text("running")
    expect(page.locator("#link")).to_have_text("updating")
    expect(page.locator("#nodes li")).to_have_count(3)
    site.fleet.announce(job)
    site.fleet.move(job, turns=5)
    expect(page.locator("#part")).not_to_have_text("0.0 %")
    wait_until(lambda: painted(page) > 0.1, PATIENCE, "the map to show what is held")
    site.fleet.move(job)
    expect(page.locator("#state")).to_have_text("complete")
    expect(page.locator("#part")).to_have_text("100.0 %")
    expect(page.locator("#done")).to_have_text("3")
    wait_until(lambda: painted(page) > 0.99, PATIENCE, "the map to show that all is held")
    page.reload()
    expect(page.locator("#state")).to_have_text("complete")
    expect(page.locator("#done")).to_have_text("3")
    expect(page.locator("#of-nodes")).to_have_text("of 3")


def test_a_job_is_cancelled_by_its_button(page: Any, site: Site) -> None:
    site.nodes("gpu-01")
    job = site.submit(nodes={"names": ["gpu-01"]})
    log_in(page)
    page.goto(address(job))
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#state")).to_have_text("cancelled")
    expect(page.locator("#error")).to_have_text("cancelled by ada")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert site.state(job) == "cancelled"


def test_the_buttons_follow_the_state_of_the_job(page: Any, site: Site) -> None:
    site.nodes("gpu-01")
    job = site.submit(name="steered", nodes={"names": ["gpu-01"]})
    log_in(page)
    page.goto(address(job))
    expect(page.locator("#link")).to_have_text("updating")
    page.on("dialog", lambda dialog: dialog.accept())
    for button, state in (("Pause", "paused"), ("Resume", "running"), ("Cancel", "cancelled"), ("Retry", "running")):
        page.get_by_role("button", name=button).click()
        expect(page.locator("#state")).to_have_text(state)
        expect(page.get_by_role("button", name=button)).to_be_hidden()
    site.cancel(job)  # by somebody else
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()


def test_a_viewer_sees_the_job_and_no_button(page: Any, site: Site) -> None:
    site.nodes("gpu-01")
    job = site.submit(name="for vic", nodes={"names": ["gpu-01"]})
    log_in(page, "vic")
    page.goto(address(job))
    expect(page.locator("#state")).to_have_text("running")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    site.cancel(job)


def test_a_pipeline_shows_the_chain_in_order(page: Any, site: Site) -> None:
    site.nodes("gpu-01", "gpu-02", "gpu-03")
    job = site.submit(name="chain", topology="pipeline", nodes={"names": ["gpu-01", "gpu-02", "gpu-03"]})
    log_in(page)
    page.goto(address(job))
    expect(page.locator("#nodes li").first).to_contain_text(re.compile(r"\d\. gpu-0\d"))
    site.cancel(job)


def test_the_page_fits_a_phone(browser: Any, site: Site) -> None:
    site.nodes("gpu-01")
    job = site.submit(
        name="a job with a name that is so long that it has to wrap on a phone", nodes={"names": ["gpu-01"]}
    )
    context = window(browser, site.url, 375, 800, color_scheme="dark")
    page = context.new_page()
    problems: list[str] = []
    watch_problems(page, problems)
    log_in(page)
    for place in ("/", "/jobs/", "/nodes/", "/nodes/gpu-01/", "/jobs/new/", address(job)):
        page.goto(place)
        if place in ("/", "/nodes/gpu-01/", address(job)):
            expect(page.locator("#link")).to_have_text("updating")
        assert overflow(page) <= 0, place
    expect(page.locator("#nodes li").first).to_be_visible()
    context.close()
    site.cancel(job)
    assert not problems


def test_pages_stay_small(page: Any, site: Site) -> None:
    """All that a first visit loads, scripts, styles and data, before anything is cached."""
    site.nodes("gpu-01")
    job = site.submit(nodes={"names": ["gpu-01"]})
    log_in(page)
    worker = page.context.new_cdp_session(page)
    worker.send("Network.enable")
    worker.send("Network.setCacheDisabled", {"cacheDisabled": True})
    received: list[int] = []
    worker.on("Network.dataReceived", lambda event: received.append(event["dataLength"]))
    for place in ("/", "/jobs/", "/nodes/", "/nodes/gpu-01/", "/jobs/new/", address(job)):
        received.clear()
        page.goto(place)
        assert 5_000 < sum(received) < 300_000, place
    site.cancel(job)


def overflow(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def painted(page: Any) -> float:
    """The part of the map's pixels that has the colour of held shards, of those that are no gap between rows."""
    return float(
        page.evaluate(
            """() => {
              const canvas = document.getElementById("map");
              const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
              const read = (name) => {
                const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim().slice(1);
                return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)).join();
              };
              const [held, none] = [read("--held"), read("--none")];
              let holds = 0, lacks = 0;
              for (let at = 0; at < data.length; at += 4) {
                const colour = [data[at], data[at + 1], data[at + 2]].join();
                if (colour === held) holds += 1; else if (colour === none) lacks += 1;
              }
              return holds / Math.max(1, holds + lacks);
            }"""
        )
    )
