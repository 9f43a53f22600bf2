"""fdist standing: what it prints, in which form, and how it ends; and waiting for a link."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from fdist_site.cli.main import cli
from fdist_site.local.gcs_server import GcsServer
from tests.cli.conftest import Run
from tests.coordinator.standing_stage import Stage
from tests.site_fixtures import Fleet
from transfers.client import Conflict, Fdist, InvalidRequest, NotFound
from transfers.links import Links

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("logged_in")]
NODES = ("gpu-01", "gpu-02")


@pytest.fixture
def stage(fleet: Fleet, links: Links, gcs: GcsServer) -> Iterator[Stage]:
    found = Stage(fleet, links, gcs)
    found.put("one")
    found.nodes(*NODES)
    yield found
    found.keeper._listers.shutdown()


@pytest.fixture
def llama(run: Run, stage: Stage) -> Stage:
    """Version 2 is in use on both nodes."""
    words = ("--nodes", "model=llama", "--settle", "0", "--every", "1h", "--share", "1")
    assert run("standing", "create", "llama", stage.source, *words).code == 0
    stage.rounds()
    stage.put("two")
    assert run("standing", "check", "llama").code == 0
    stage.rounds(4)
    return stage


def test_one_is_created_listed_and_shown(run: Run, stage: Stage) -> None:
    words = ("--nodes", "model=llama", "--keep", "3", "--every", "10m", "--marker", "DONE", "--topology", "pipeline")
    ran = run("standing", "create", "llama", stage.source, *words)
    assert ran.code == 0 and ran.out == f"llama  {stage.source} to model=llama, at {stage.prefix}/current\n"
    assert "fdist standing show llama" in ran.err
    row = run("standing", "list", "--json").json[0]
    assert (row["versions_kept"], row["check_seconds"], row["marker"], row["topology"]) == (3, 600, "DONE", "pipeline")
    assert "waiting" in run("standing", "list").out
    assert "none yet" in run("standing", "show", "llama").out


def test_its_versions_and_nodes_are_shown(run: Run, llama: Stage) -> None:
    llama.nodes("gpu-03")
    llama.coordinate()
    shown = run("standing", "show", "llama")
    assert shown.code == 0
    assert "llama is switching" in shown.out and "2 of 3 that are up use the current version, 1 behind" in shown.out
    assert "gpu-03" in shown.out and "behind" in shown.out and "gpu-01" not in shown.out
    found = run("standing", "show", "llama", "--json").json
    assert [version["number"] for version in found["versions"]] == [2, 1]
    assert {node["node"]: node["version"] for node in found["nodes"]} == {"gpu-01": 2, "gpu-02": 2, "gpu-03": None}
    assert run("standing", "list", "--behind", "--json").json[0]["name"] == "llama"
    lines = run("standing", "events", "llama").lines
    assert "switched  version 2" in lines[-3] and lines[-1].endswith("joined  gpu-03")


def test_it_is_rolled_back_resumed_paused_and_changed(run: Run, llama: Stage) -> None:
    ran = run("standing", "rollback", "llama", "--to", "1")
    assert ran.out == "rolled back llama: it is rolled back, nodes are to use version 1\n"
    assert "versions up to 2 are passed over" in run("standing", "show", "llama").out
    again = run("standing", "rollback", "llama", "--to", "1")
    assert again.code == 6 and "version 1 already" in again.err
    wrong = run("standing", "rollback", "llama", "--to", "7")
    assert wrong.code == 3 and "--to: nodes do not keep a version 7" in wrong.err
    assert run("standing", "resume", "llama", "--json").json["passed_over"] == 0
    assert run("standing", "pause", "llama").code == 0
    assert run("standing", "check", "llama").code == 6
    assert run("standing", "set", "llama", "--share", "0.5", "--priority", "3", "--json").json["share"] == 0.5
    assert run("standing", "set", "llama").code == 2
    assert run("standing", "set", "llama", "--share", "7").code == 3


def test_its_end_says_what_becomes_of_the_copies(run: Run, llama: Stage) -> None:
    asked = run("standing", "delete", "llama")
    assert asked.code == 2 and "--keep-copies or --purge" in asked.err
    assert run("standing", "delete", "llama", "--keep-copies").out.startswith("deleted llama")
    assert run("standing", "show", "llama").code == 5
    llama.rounds(2)
    assert len(llama.holds["gpu-01"]) == 2


def test_a_shell_completes_its_commands_and_names(llama: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def completed(words: str) -> list[str]:
        environment = {"_FDIST_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        out = CliRunner().invoke(cli, [], env=environment, prog_name="fdist").output
        return [line.partition(",")[2] for line in out.splitlines()]

    assert completed("fdist standing ro") == ["rollback"]
    assert completed("fdist standing show ll") == ["llama"]


def test_waiting_for_the_link_of_a_node(
    run: Run, llama: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("wait", "standing:llama", "--node", "gpu-01", "--timeout", "2s").code == 0
    assert run("wait", "standing:llama", "--timeout", "2s", "--json").json["standing"]["current_version"] == 2
    assert run("wait", "standing:llama", "--node", "gpu-09", "--timeout", "1s").code == 8
    assert run("wait", "standing:nobody", "--timeout", "1s").code == 8
    monkeypatch.setenv("FDIST_NODE_NAME", "gpu-01")
    monkeypatch.setenv("FDIST_DATA_DIR", str(tmp_path))
    assert run("wait", "standing:llama", "--on-this-node", "--timeout", "1s").code == 8
    link = tmp_path / llama.prefix / "current"
    link.parent.mkdir(parents=True)
    link.symlink_to("versions/2")
    assert run("wait", "standing:llama", "--on-this-node", "--timeout", "1s").out == f"{link}\n"


def test_waiting_for_the_source_of_one_finds_its_newest_version(run: Run, llama: Stage) -> None:
    found = run("wait", llama.source, "--node", "gpu-01", "--timeout", "2s", "--json").json
    assert found["job"]["destination"] == f"{llama.prefix}/versions/2"


def test_the_client_does_the_same(client: Fdist, stage: Stage) -> None:
    made = client.standing.create("llama", stage.source, nodes={"labels": {"model": "llama"}}, settle_seconds=0)
    assert made == client.standing.get("llama") == next(client.standing.all())
    stage.rounds()
    (version,) = client.standing.versions("llama")
    assert (version.number, version.state, version.nodes_using) == (1, "current", 2)
    assert {node.node: node.version for node in client.standing.nodes("llama", behind="false")} == dict.fromkeys(
        NODES, 1
    )
    assert [event.kind for event in client.standing.events("llama")] == ["created", "started", "switched", "reached"]
    assert client.standing.change("llama", nodes=["gpu-01"]).nodes == {"names": ["gpu-01"]}
    assert client.standing.pause("llama").paused and not client.standing.resume("llama").paused
    with pytest.raises(Conflict):
        client.standing.rollback("llama")
    with pytest.raises(InvalidRequest, match="share"):
        client.standing.change("llama", share=9)
    client.standing.delete("llama", purge=True)
    with pytest.raises(NotFound):
        client.standing.get("llama")
