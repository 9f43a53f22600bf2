"""Pictures of the pages for the documents: python -m tests.pages.screenshots

A real fleet of eight agents, a mesh and a pipeline in the middle of their way; nothing is staged. Each page is taken in
light and in dark, with few enough colours to be small.
"""

from __future__ import annotations

import argparse
import base64
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from fdist_site.local.fleet import USER, LocalFleet, NodeOptions
from fdist_site.local.payload import model_payload
from fdist_site.local.processes import wait_until

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
NODES = [f"gpu-{number:02d}" for number in range(1, 9)]
SLOW = "gpu-05"
SIZE = 192_000_000
STANDING_SIZE = 48_000_000
WIDTH = 1180
MOST_HEIGHT = 960
MOST_BYTES = 150_000
PATIENCE_MS = 60_000
PART = 35.0  # per cent of a job that are there when its page is taken
FLATTEN = """async (source) => {
  const image = new Image();
  image.src = `data:image/png;base64,${source}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  const data = pen.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < data.data.length; at += 1) {
    if (at % 4 !== 3) data.data[at] = Math.min(255, Math.round(data.data[at] / STEP) * STEP);
  }
  pen.putImageData(data, 0, 0);
  return canvas.toDataURL("image/png").split(",")[1];
}"""
STEPS = (8, 12, 16, 24, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", default="24mbit", help="cap of each node, up and down")
    options = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise SystemExit("needs a browser: apt-get install chromium")
    expect.set_options(timeout=PATIENCE_MS)
    IMAGES.mkdir(parents=True, exist_ok=True)
    capped = NodeOptions(rate=options.rate, gcs_rate=options.rate)
    with tempfile.TemporaryDirectory() as root, LocalFleet(Path(root), options=capped) as fleet:
        fleet.start()
        for node in NODES:
            slower = NodeOptions(rate="8mbit", gcs_rate="8mbit") if node == SLOW else capped
            fleet.start_agent(node, slower, f"zone={'ab'[int(node[-1]) % 2]},kind=h100")
        fleet.wait_live(*NODES)
        source = model_payload(SIZE).upload(fleet.gcs, "weights", "llama-3-8b")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
            shoot(browser, fleet, source)
            browser.close()


def shoot(browser: Any, fleet: LocalFleet, source: str) -> None:
    pages = {scheme: window(browser, fleet, scheme) for scheme in ("light", "dark")}
    chain = fleet.submit(source, "pipeline", name="llama-3-8b to zone b", nodes={"labels": {"zone": "b"}})
    mesh = fleet.submit(source, "mesh", name="llama-3-8b", shard_size=2_000_000, destination="models/llama-3-8b")
    for page in pages.values():
        page.goto(f"jobs/{_uuid(mesh)}/")
    for scheme, page in pages.items():
        reach(page, PART)
        take(page, f"job-{scheme}")
    for name, place in (("fleet", ""), ("node", f"nodes/{NODES[1]}/"), ("chain", f"jobs/{_uuid(chain)}/")):
        for scheme, page in pages.items():
            page.goto(place)
            expect(page.locator("#link")).to_have_text("updating")
            page.locator(".chart .uplot").wait_for()
            page.wait_for_timeout(4000)  # some points of the live curves; the pictures need no exact moment
            take(page, f"{name}-{scheme}")
    for scheme, page in pages.items():
        page.goto("jobs/new/")
        page.fill("#id_source", source)
        page.locator("#plan table").wait_for()
        page.keyboard.press("Escape")
        take(page, f"new-job-{scheme}")
        page.goto("nodes/")
        take(page, f"nodes-{scheme}")
    shoot_standing(fleet, pages)


def shoot_standing(fleet: LocalFleet, pages: Mapping[str, Page]) -> None:
    """A standing distribution with a newer version on its way, of the nodes of one zone."""
    payload = model_payload(STANDING_SIZE)
    source = payload.upload(fleet.gcs, "weights", "mistral-7b")
    selector = {"labels": {"zone": "a"}}
    body = {"name": "mistral", "source": source, "nodes": selector, "destination": "models/mistral"}
    fleet.api("POST", "standing/", json={**body, "settle_seconds": 0, "check_seconds": 2, "share": 0.9})
    for version in (1, 2):
        if version > 1:
            payload.upload(fleet.gcs, "weights", "mistral-7b")
        wait_until(lambda: _stands(fleet, version), 300, f"version {version} to be in use")  # noqa: B023
    payload.upload(fleet.gcs, "weights", "mistral-7b")
    wait_until(lambda: fleet.api("GET", "standing/mistral/")["newest_version"] == 3, 60, "version 3 to begin")
    for scheme, page in pages.items():
        page.goto("standing/mistral/")
        expect(page.locator("#link")).to_have_text("updating")
        take(page, f"standing-{scheme}")
        page.goto("standing/new/")
        page.fill("#id_source", source)
        page.fill("#id_name", "mistral-of-zone-b")
        page.get_by_label("By labels").check()
        page.fill("#id_labels", "zone=b")
        page.fill("#id_destination", "models/mistral-of-zone-b")
        page.locator("#plan table").wait_for()
        page.keyboard.press("Escape")
        take(page, f"new-standing-{scheme}", 790)


def _stands(fleet: LocalFleet, version: int) -> bool:
    row = fleet.api("GET", "standing/mistral/")
    return bool(row["current_version"] == version and row["nodes_current"] == row["nodes_up"] > 0)


def window(browser: Any, fleet: LocalFleet, scheme: str) -> Page:
    context = browser.new_context(
        viewport={"width": WIDTH, "height": 700}, base_url=fleet.web_url, color_scheme=scheme, reduced_motion="reduce"
    )
    page: Page = context.new_page()
    page.goto("login/")
    page.fill("#id_username", USER)
    page.fill("#id_password", fleet.password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
    return page


def reach(page: Page, percent: float) -> None:
    page.wait_for_function(
        "percent => parseFloat(document.getElementById('part').textContent) >= percent", arg=percent, timeout=300_000
    )


def take(page: Page, name: str, most: int = MOST_HEIGHT) -> None:
    """Writes the top of the page to docs/images/NAME.png, in as many colours as make it small enough."""
    height = min(most, int(page.evaluate("document.documentElement.scrollHeight")))
    area = {"x": 0, "y": 0, "width": WIDTH, "height": height}
    whole = base64.b64encode(page.screenshot(full_page=True, clip=area)).decode()
    blank = page.context.new_page()
    for step in STEPS:
        data = base64.b64decode(blank.evaluate(FLATTEN.replace("STEP", str(step)), whole))
        if len(data) < MOST_BYTES:
            break
    blank.close()
    (IMAGES / f"{name}.png").write_bytes(data)
    print(f"docs/images/{name}.png  {len(data):,} bytes")


def _uuid(job: str) -> str:
    return f"{job[:8]}-{job[8:12]}-{job[12:16]}-{job[16:20]}-{job[20:]}"


if __name__ == "__main__":
    main()
