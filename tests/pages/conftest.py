"""The pages as people get them: a coordinator and a web server as real processes, and Debian's chromium.

The nodes are made up (tests.site_fixtures.Fleet): they drive the real scheduler and move no bytes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from fdist_site.local.gcs_server import GcsServer
from fdist_site.local.processes import ProcessGroup, free_port, wait_until
from fdist_site.local.redis_server import RedisServer
from tests.site_fixtures import KEY, Fleet
from transfers.links import Links

PATIENCE = 60.0  # seconds, for what a busy machine shows late
PATIENCE_MS = 1000 * PATIENCE
PROJECT = Path(__file__).resolve().parents[2]
# Not the reaper: the nodes of these tests send no heartbeats, and it would declare them dead.
PARTS = ["--part", "recorder", "--part", "planner", "--part", "sampler", "--part", "standing"]
USERS = """
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from knox.models import AuthToken
users = get_user_model()
ada = users.objects.create_superuser("ada", None, "correct-horse-battery")
vic = users.objects.create_user("vic", None, "correct-horse-battery")
vic.user_permissions.add(*Permission.objects.filter(codename__in=["view_job", "view_node", "view_standing"]))
print(AuthToken.objects.create(ada)[1])
"""


@dataclass
class Site:
    """A running installation. `token` is ada's, who may do everything; vic may look."""

    url: str
    token: str
    links: Links
    fleet: Fleet
    session: requests.Session = field(default_factory=requests.Session)

    def nodes(self, *names: str) -> None:
        """Fresh starts of these nodes; those of earlier tests have been silent and may have been declared dead."""
        self.fleet.epochs.clear()
        self.fleet.add(*names)

    def submit(self, **fields: Any) -> str:
        """A job by the API; gives its id in hex."""
        answer = self._post("jobs/", {"source": "gs://pages/llama/", **fields})
        return str(answer["id"]).replace("-", "")

    def cancel(self, job: str) -> None:
        self._post(f"jobs/{job}/cancel/", {})

    def state(self, job: str) -> str:
        headers = {"Authorization": f"Token {self.token}"}
        answer = self.session.get(f"{self.url}/api/v1/jobs/{job}/", headers=headers, timeout=PATIENCE)
        return str(answer.json()["state"])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Token {self.token}"}
        answer = self.session.post(f"{self.url}/api/v1/{path}", json=body, headers=headers, timeout=PATIENCE)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="session")
def site(local_processes: ProcessGroup, gcs: GcsServer, tmp_path_factory: pytest.TempPathFactory) -> Site:
    root = tmp_path_factory.mktemp("site")
    redis = RedisServer(local_processes, root / "redis", name="redis-of-pages").start()
    port = free_port()
    environment = {
        **os.environ,
        "FDIST_STATE_DIR": str(root / "state"),
        "REDIS_URL": redis.url,
        "FDIST_BROKER_URL": redis.broker_url,
        "FDIST_CELL": "main",
        "STORAGE_EMULATOR_HOST": gcs.endpoint,
    }
    environment.pop("DATABASE_URL", None)

    def manage(*words: str, **options: Any) -> str:
        argv = [sys.executable, PROJECT / "manage.py", *words]
        return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True, **options).stdout

    manage("migrate", "-v", "0")
    token = manage("shell", "-v", "0", "-c", USERS).strip().splitlines()[-1]
    manage("enrolment_key", "make", "tests", "--key-file", "/dev/stdin", input=KEY)
    for name, words in (("web", ["--port", str(port)]), ("coordinator", PARTS)):
        argv = [sys.executable, PROJECT / "manage.py", name, *words]
        local_processes.start(f"{name}-of-pages", argv, env=environment)
    gcs.bucket("pages")
    gcs.put("pages", "llama/model-00001.safetensors", bytes(40_000_000))
    gcs.put("pages", "llama/config.json", b"{}" * 500)
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: _answers(url), 2 * PATIENCE, "the web server")
    links = Links(redis.url, redis.broker_url, "main")
    return Site(url, token, links, Fleet(links))


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=5).ok
    except requests.RequestException:
        return False


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Gone with its file: while Playwright runs, Django takes this thread for one of asynchronous code."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs a browser: apt-get install chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        found = playwright.chromium.launch(executable_path=program, args=arguments, timeout=2 * PATIENCE_MS)
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, site: Site) -> Iterator[Any]:
    """A fresh browser window at laptop width; the test fails if the page's console shows an error."""
    context = window(browser, site.url)
    found = context.new_page()
    problems: list[str] = []
    watch_problems(found, problems)
    yield found
    context.close()
    assert not problems


def window(browser: Any, url: str, width: int = 1280, height: int = 900, **options: Any) -> Any:
    """A context that waits with patience for whatever it is to find."""
    context = browser.new_context(viewport={"width": width, "height": height}, base_url=url, **options)
    context.set_default_timeout(PATIENCE_MS)
    return context


def watch_problems(page: Any, problems: list[str]) -> None:
    """Gathers the console's errors, among them what the content security policy forbids, and what scripts threw."""
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))


def address(job: str) -> str:
    """Of a job's page, by its id in hex."""
    return f"/jobs/{uuid.UUID(hex=job)}/"


def log_in(page: Any, user: str = "ada") -> None:
    page.goto("/login/")
    page.fill("#id_username", user)
    page.fill("#id_password", "correct-horse-battery")
    page.click("button[type=submit]")
    page.get_by_role("heading", name="Fleet").wait_for()
