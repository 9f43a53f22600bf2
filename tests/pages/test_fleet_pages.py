"""The pages of the fleet and of a node, in a browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.pages.conftest import Site, address, log_in

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_the_fleet_page_shows_nodes_and_follows_jobs_until_they_end(page: Any, site: Site) -> None:
    site.nodes("fleet-01", "fleet-02")
    log_in(page)
    expect(page.locator("#link")).to_have_text("updating")
    expect(page.locator("#grid a[data-name='fleet-01']")).to_have_class(re.compile("live"))
    job = site.submit(name="seen by the fleet", shard_size=1_000_000, nodes={"names": ["fleet-01", "fleet-02"]})
    row = page.locator("#jobs li", has_text="seen by the fleet")
    expect(row.locator(".state")).to_have_text("running")
    expect(row.get_by_role("link")).to_have_attribute("href", address(job))
    site.fleet.announce(job)
    site.fleet.move(job)
    expect(row.locator(".state")).to_have_text("complete")
    expect(row.locator(".part")).to_have_text("100.0 %")


def test_a_node_that_leaves_changes_its_colour(page: Any, site: Site) -> None:
    site.nodes("leaver-01")
    log_in(page)
    cell = page.locator("#grid a[data-name='leaver-01']")
    expect(cell).to_have_class(re.compile("live"))
    site.fleet.scheduler.leave("leaver-01")
    expect(cell).to_have_class(re.compile("left"))
    expect(page.locator("#states")).to_contain_text("left")


def test_the_grid_of_nodes_is_walked_by_keys(page: Any, site: Site) -> None:
    site.nodes("keys-01", "keys-02")
    log_in(page)
    cells = page.locator("#grid a")
    expect(page.locator("#grid a[data-name='keys-02']")).to_be_visible()
    expect(page.locator("#grid a[tabindex='0']")).to_have_count(1)
    cells.first.focus()
    page.keyboard.press("End")
    expect(cells.last).to_be_focused()
    expect(page.locator("#grid-note")).to_contain_text(str(cells.last.get_attribute("data-name")))
    page.keyboard.press("ArrowLeft")
    focused = page.evaluate("document.activeElement.dataset.name")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=focused)).to_be_visible()


def test_a_node_shows_what_it_holds_and_what_moved(page: Any, site: Site) -> None:
    site.nodes("holder-01", "holder-02")
    job = site.submit(name="held", shard_size=1_000_000, nodes={"names": ["holder-01", "holder-02"]})
    site.fleet.announce(job)
    site.fleet.move(job)
    log_in(page)
    page.goto(address(job))
    expect(page.locator("#state")).to_have_text("complete")
    page.goto("/nodes/holder-01/")
    expect(page.locator("#state")).to_have_text("live")
    expect(page.locator("#disk-text")).to_have_text("1.0 TB free of 1.0 TB")
    expect(page.locator(".holdings li", has_text="held")).to_contain_text("done")
    expect(page.locator(".ended-transfers tbody tr").first).to_contain_text("shard")
    expect(page.locator(".events")).to_contain_text("done with held")


def test_a_node_is_drained_and_enabled_by_its_buttons(page: Any, site: Site) -> None:
    site.nodes("drained-01")
    log_in(page)
    page.goto("/nodes/?name=drained")
    page.get_by_role("link", name="drained-01").click()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Drain").click()
    expect(page.locator("#state")).to_have_text("draining")
    expect(page.locator(".events")).to_contain_text("Drained by ada")
    page.get_by_role("button", name="Enable").click()
    expect(page.locator("#state")).to_have_text("live")


def test_a_viewer_may_look_at_nodes_and_change_nothing(page: Any, site: Site) -> None:
    site.nodes("looked-at-01")
    log_in(page, "vic")
    expect(page.get_by_role("link", name="New job")).to_have_count(0)
    page.goto("/nodes/looked-at-01/")
    expect(page.locator("#link")).to_have_text("updating")
    expect(page.get_by_role("button", name="Drain")).to_have_count(0)
