"""The pages of standing distributions in a browser: they follow what happens, at every width, and their buttons act."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.processes import wait_until
from nodes import inventory
from nodes.inventory import Inventory, Kept, Linked
from tests.pages.conftest import PATIENCE, Site, log_in, window

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
_numbers = itertools.count(1)
NODES = ("stand-01", "stand-02")


class Stood:
    """A standing distribution whose nodes have and use what they are told, when the test says so."""

    def __init__(self, site: Site, gcs: GcsServer) -> None:
        self.name = f"stood-{next(_numbers)}"  # a place of its own: numbers of versions go on where others were
        self.site = site
        self.gcs = gcs
        self.holds: dict[str, Kept] = {}

    def put(self, text: str) -> None:
        self.gcs.put("pages", f"{self.name}/config.json", text.encode())
        self.gcs.put("pages", f"{self.name}/DONE", text.encode())

    def create(self) -> None:
        body = {"name": self.name, "source": f"gs://pages/{self.name}/", "nodes": {"names": list(NODES)}}
        self.site._post("standing/", {**body, "marker": "DONE", "check_seconds": 1})

    def row(self) -> dict[str, Any]:
        headers = {"Authorization": f"Token {self.site.token}"}
        url = f"{self.site.url}/api/v1/standing/{self.name}/"
        found: dict[str, Any] = self.site.session.get(url, headers=headers, timeout=PATIENCE).json()
        return found

    def wait(self, **fields: Any) -> None:
        wait_until(lambda: fields.items() <= self.row().items(), PATIENCE, f"{fields}")

    def end(self, name: str = "") -> None:
        headers = {"Authorization": f"Token {self.site.token}"}
        url = f"{self.site.url}/api/v1/standing/{name or self.name}/?copies=purge"
        self.site.session.delete(url, headers=headers, timeout=PATIENCE)

    def deliver(self, number: int) -> str:
        """Moves a version to all nodes; gives its job."""
        self.wait(newest_version=number)
        headers = {"Authorization": f"Token {self.site.token}"}
        versions = self.site.session.get(
            f"{self.site.url}/api/v1/standing/{self.name}/versions/", headers=headers, timeout=PATIENCE
        ).json()["results"]
        job = str(versions[0]["job"]).replace("-", "")

        def published() -> bool:
            return {row.node for row in self.site.links.scheduler.job_nodes(job)} == set(NODES)

        wait_until(published, PATIENCE, "the version's job")
        fleet = self.site.fleet

        def moved() -> bool:
            # again and again, as nodes do: whatever the coordinator does at this moment may undo what was told
            for name in NODES:
                fleet.scheduler.announce(job, name, fleet.epochs[name], fleet.held.get((job, name), {}))
                fleet.scheduler.finish(job, name, fleet.epochs[name])
            fleet.move(job)
            return bool(self.row()["current_version"] == number)

        self.holds[job] = Kept(100, pinned=True, whole=True)
        wait_until(moved, PATIENCE, f"version {number} to be in use")
        return job

    def use(self, job: str, *names: str) -> None:
        """These nodes say that their links name the job's files."""
        at = int(self.site.links.redis.time()[0]) * 1000 + 60_000
        for name in names:
            told = Inventory(at, None, 0, 0, self.holds, links={self.name: Linked(job)})
            inventory.put(self.site.links.redis, "main", name, told)


@pytest.fixture
def stood(site: Site, gcs: GcsServer) -> Iterator[Stood]:
    found = Stood(site, gcs)
    site.nodes(*NODES)
    found.put("one")
    found.create()
    yield found
    found.end()


def test_the_page_follows_a_version_from_its_start_to_its_use(page: Any, stood: Stood) -> None:
    log_in(page)
    page.goto("/standing/")
    page.get_by_role("link", name=stood.name).click()
    expect(page.locator("#link")).to_have_text("updating")
    first = stood.deliver(1)
    stood.use(first, *NODES)
    expect(page.locator("#state")).to_have_text("current")
    stood.put("two")
    second = stood.deliver(2)
    expect(page.locator("#state")).to_have_text("switching")
    behind = page.locator(".standing-nodes li", has_text="stand-02")
    expect(behind.locator(".state")).to_have_text("behind")
    stood.use(second, "stand-01")
    expect(page.locator(".standing-nodes li", has_text="stand-01").locator(".state")).to_have_text("current")
    expect(page.locator(".legend")).to_contain_text("1 node uses version 1")
    stood.use(second, "stand-02")
    expect(page.locator("#state")).to_have_text("current")
    expect(page.locator(".events")).to_contain_text("version 2 is in use")
    page.locator("table a.mono").first.click()
    expect(page.locator(".facts")).to_contain_text("version 2 of stood-")
    page.goto("/")
    expect(page.locator("section", has=page.locator("#standing-title"))).to_contain_text("version 2")


def test_the_list_follows_what_comes_and_goes(page: Any, site: Site, stood: Stood) -> None:
    log_in(page)
    page.goto("/standing/")
    expect(page.locator("#link")).to_have_text("updating")
    row = page.locator(f"tr[data-name='{stood.name}']")
    stood.use(stood.deliver(1), *NODES)
    expect(row).to_contain_text("2 of 2")
    expect(row.locator(".state")).to_have_text("current")
    body = {"name": "a-passing-one", "source": "gs://pages/llama/", "destination": "passing", "settle_seconds": 3600}
    site._post("standing/", body)
    passing = page.locator("tbody tr", has_text="a-passing-one")
    expect(passing).to_contain_text("none")
    stood.end("a-passing-one")
    expect(passing).to_have_count(0)


def test_one_is_made_by_the_form_and_changed(page: Any, site: Site) -> None:
    site.nodes(*NODES)
    log_in(page)
    page.goto("/standing/")
    page.get_by_role("link", name="New standing distribution").click()
    expect(page.locator("#id_source")).to_be_focused()
    page.keyboard.type("gs://pages/lla")
    page.get_by_role("option", name="gs://pages/llama/").click()
    page.keyboard.press("Escape")
    page.fill("#id_name", "Not A Name")
    expect(page.locator("#name-error")).to_contain_text("lower-case letters")
    expect(page.locator("#id_name")).to_have_attribute("aria-invalid", "true")
    page.fill("#id_name", "by-form")
    expect(page.locator("#name-error")).to_be_hidden()
    page.get_by_label("By name").check()
    page.fill("#id_names", ", ".join(NODES))
    page.fill("#id_destination", "by-form")
    expect(page.locator("#plan")).to_contain_text("40.0 MB in 2 files to 2 nodes")
    expect(page.locator("#plan")).to_contain_text("by-form/versions/1")
    page.fill("#id_share", "0")
    page.get_by_role("button", name="Let it stand").click()
    expect(page.locator("#share-error")).to_contain_text("greater than or equal to 0.1")
    expect(page.locator("#id_names")).to_have_value(", ".join(NODES))
    page.fill("#id_share", "90")
    page.get_by_role("button", name="Let it stand").click()
    expect(page.get_by_role("heading", name="by-form")).to_be_visible()
    expect(page.locator(".about")).to_contain_text("90 % of the nodes")
    page.get_by_role("link", name="Change").click()
    page.fill("#id_marker", "DONE")
    page.get_by_role("button", name="Change it").click()
    expect(page.locator(".about")).to_contain_text("whole when DONE is written anew")
    expect(page.locator(".events")).to_contain_text("changed marker")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="End, remove copies").click()
    expect(page.get_by_role("heading", name="Standing")).to_be_visible()
    expect(page.locator("tr[data-name='by-form']")).to_have_count(0)


def test_a_page_follows_what_others_do_until_its_end(page: Any, site: Site, stood: Stood) -> None:
    log_in(page)
    page.goto(f"/standing/{stood.name}/")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.locator("#link")).to_have_text("updating")
    site._post(f"standing/{stood.name}/pause/", {})
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    expect(page.locator(".notice")).to_contain_text("Paused")
    stood.end()
    expect(page.locator("#state")).to_have_text("ended")
    expect(page.get_by_role("button", name="Resume")).to_be_hidden()


def test_a_viewer_may_look_and_make_none(page: Any, site: Site, stood: Stood) -> None:
    log_in(page, "vic")
    page.goto("/standing/")
    expect(page.locator("#link")).to_have_text("updating")
    expect(page.get_by_role("link", name="New standing distribution")).to_have_count(0)
    page.get_by_role("link", name=stood.name).click()
    expect(page.locator("#link")).to_have_text("updating")
    expect(page.locator(".acts :is(button, a)")).to_have_count(0)
    for address in ("/standing/new/", f"/standing/{stood.name}/change/"):
        assert page.request.get(address).status == 403


def test_it_is_rolled_back_by_its_buttons(page: Any, stood: Stood) -> None:
    first = stood.deliver(1)
    stood.use(first, *NODES)
    stood.put("two")
    stood.use(stood.deliver(2), *NODES)
    log_in(page)
    page.goto(f"/standing/{stood.name}/")
    questions: list[str] = []
    page.on("dialog", lambda dialog: (questions.append(dialog.message), dialog.accept()))
    page.locator("select[name=version]").select_option("1")
    page.get_by_role("button", name="Use it again").click()
    expect(page.locator("#state")).to_have_text("rolled back")
    expect(page.locator("[data-part=notices]")).to_contain_text("versions up to 2 are passed over")
    assert questions == ["Have every node use that version now?"]
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("[data-part=notices] .notice")).to_have_count(0)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_have_text("paused")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(browser: Any, site: Site, stood: Stood, scheme: str) -> None:
    stood.use(stood.deliver(1), "stand-01")
    context = window(browser, site.url, 375, 800, color_scheme=scheme)
    page = context.new_page()
    log_in(page)
    for address in ("/standing/", f"/standing/{stood.name}/", f"/standing/{stood.name}/change/", "/"):
        page.goto(address)
        expect(page.get_by_text(re.compile(stood.name)).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, address
    context.close()


def test_who_searches_is_not_disturbed(page: Any, stood: Stood) -> None:
    stood.use(stood.deliver(1), *NODES)
    log_in(page)
    page.goto(f"/standing/{stood.name}/")
    expect(page.locator("#link")).to_have_text("updating")
    search = page.get_by_label("Search nodes by name")
    search.press_sequentially("-02")
    page.wait_for_timeout(2500)
    expect(search).to_have_value("-02")
    search.press("Enter")
    expect(page.locator(".standing-nodes li")).to_have_count(1)
    page.wait_for_timeout(2500)
    expect(page.locator(".standing-nodes li")).to_have_text(re.compile("stand-02"))
