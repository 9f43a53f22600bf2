"""How smoothly the live page of a large job runs in a browser: python -m tests.bench.map

A job of 1,000 nodes x 2,000 shards whose nodes move on all the while (tests.pages.scenes), the real web server, and the
page in a headless Chromium without a graphics card. Printed: the time from one frame to the next, and what the page's
own work takes at a time, each of which stands between a person and the page. Needs Debian's chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import sync_playwright

from fdist_site.local.processes import ProcessGroup, free_port, wait_until
from fdist_site.local.redis_server import RedisServer

PROJECT = Path(__file__).resolve().parents[2]
LOGIN = ("map", "correct-horse-battery")
SCENE = "from tests.pages.scenes import build; build({nodes}, {shards}).stir()"
MAKE_USER = """
from django.contrib.auth import get_user_model
get_user_model().objects.create_superuser({0!r}, None, {1!r})
"""
NEWEST = 'from transfers.models import Job; print(Job.objects.filter(topology="mesh", state="running").first().pk)'
MOVING = "() => !['-', '0 B/s'].includes(document.getElementById('rate').textContent)"
WATCH = """seconds => new Promise(done => {
  const frames = [], tasks = [];
  const watcher = new PerformanceObserver(list => list.getEntries().forEach(entry => tasks.push(entry.duration)));
  watcher.observe({ entryTypes: ["longtask"] });
  let last = performance.now();
  const end = last + seconds * 1000;
  function frame(now) {
    frames.push(now - last);
    last = now;
    if (now < end) requestAnimationFrame(frame);
    else done({ frames, tasks });
  }
  requestAnimationFrame(frame);
})"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.map", description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--shards", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=20)
    args = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise SystemExit("needs a browser: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="fdist-bench-") as root, ProcessGroup(Path(root) / "logs") as group:
        server = RedisServer(group, Path(root) / "redis").start()
        os.environ |= {
            "FDIST_STATE_DIR": root,
            "REDIS_URL": server.url,
            "FDIST_BROKER_URL": server.broker_url,
            "FDIST_LOG_LEVEL": "warning",
        }
        manage = [sys.executable, str(PROJECT / "manage.py")]
        environment = dict(os.environ)
        subprocess.run([*manage, "migrate", "-v", "0"], check=True)
        subprocess.run([*manage, "shell", "-v", "0", "-c", MAKE_USER.format(*LOGIN)], check=True)
        scene = SCENE.format(nodes=args.nodes, shards=args.shards)
        group.start("scene", [*manage, "shell", "-v", "0", "-c", scene], env=environment)
        port = free_port()
        group.start("web", [*manage, "web", "--port", str(port)], env=environment)
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(url), 60, "the web server")
        wait_until(lambda: bool(_newest(manage)), 300, "the scene")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(base_url=url, viewport={"width": 1280, "height": 800})
            _log_in(page)
            page.goto(f"/jobs/{_newest(manage)}/")
            page.wait_for_function(MOVING, timeout=300_000)
            before = page.locator("#part").inner_text()
            found = page.evaluate(WATCH, args.seconds)
            _tell(args, found, before, page.locator("#part").inner_text())
            browser.close()


def _tell(args: Any, found: dict[str, list[float]], before: str, after: str) -> None:
    frames, tasks = sorted(found["frames"]), sorted(found["tasks"])
    print(f"{args.nodes:,} nodes x {args.shards:,} shards for {args.seconds:g} s; done went from {before} to {after}")
    late = sum(each for each in frames if each > 50) / sum(frames)
    print(
        f"{len(frames)} frames: p50 {_part(frames, 0.5):.1f} ms, p95 {_part(frames, 0.95):.1f}, "
        f"p99 {_part(frames, 0.99):.1f}, longest {frames[-1]:.1f}; {late:.1%} of the time in frames over 50"
    )
    longest = f"median {_part(tasks, 0.5):.0f} ms, longest {tasks[-1]:.0f}" if tasks else "none"
    print(f"{len(tasks)} pieces of the page's work took over 50 ms: {longest}")


def _part(ordered: list[float], share: float) -> float:
    return ordered[int(share * (len(ordered) - 1))]


def _log_in(page: Any) -> None:
    page.goto("/login/")
    page.fill("#id_username", LOGIN[0])
    page.fill("#id_password", LOGIN[1])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Fleet").wait_for()


def _newest(manage: list[str]) -> str:
    asked = subprocess.run([*manage, "shell", "-v", "0", "-c", NEWEST], capture_output=True, text=True)
    return asked.stdout.strip()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=5).ok
    except requests.RequestException:
        return False


if __name__ == "__main__":
    main()
