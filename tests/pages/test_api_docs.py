"""The API's documentation in a browser, under its content security policy."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.pages.conftest import Site, log_in

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_the_documentation_lists_every_operation_and_tries_one_as_who_is_logged_in(page: Any, site: Site) -> None:
    site.nodes("gpu-01")
    log_in(page)
    page.get_by_role("link", name="API").click()
    expect(page.get_by_role("heading", name="fdist")).to_be_visible()
    listed = page.locator(".opblock")
    expect(listed.filter(has_text="/api/v1/jobs/{id}/pin/")).to_be_visible()
    schema = page.request.get("/api/v1/schema/?format=json").json()
    methods = sum(len(path) for path in schema["paths"].values())
    expect(listed).to_have_count(methods)
    listed.filter(has=page.locator("[data-path='/api/v1/nodes/{name}/']")).first.locator(".opblock-summary").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_placeholder("name").fill("gpu-01")
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table tbody .response-col_status")).to_contain_text("200")
