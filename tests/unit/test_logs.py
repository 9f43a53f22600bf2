"""Log lines are read by people and split by machines, and say which job, node and shard they are about."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading

import pytest

from nodes.agent.log import say
from transfers.logs import JsonFormatter, LineFormatter, about, fields_of


def record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("transfers.x", logging.INFO, __file__, 1, message, args, None)


def as_json(message: str, *args: object) -> dict[str, str]:
    line = JsonFormatter().format(record(message, *args))
    assert "\n" not in line
    found: dict[str, str] = json.loads(line)
    return found


def test_what_a_line_is_about_is_added_where_the_line_does_not_say_it() -> None:
    with about(job="j1", node="n1"), about(shard=7):
        line = LineFormatter().format(record("transfer ended node=%s", "n2"))
    assert line.endswith("INFO transfers.x transfer ended node=n2 job=j1 shard=7")
    assert LineFormatter().format(record("nothing")).endswith("transfers.x nothing")


def test_a_line_in_json_has_each_pair_as_a_field() -> None:
    with about(request="r1", job="j1"):
        found = as_json("refused job=%s bytes=%d", "j2", 5)
    assert {"request": "r1", "job": "j2", "bytes": "5", "message": "refused job=j2 bytes=5"}.items() <= found.items()
    assert (found["level"], found["logger"]) == ("info", "transfers.x")
    assert found["time"].endswith("+00:00")


def test_a_reason_with_spaces_is_whole_quoted_or_not() -> None:
    assert fields_of("not enrolled job=j1 reason=91.2 GB free, 140.0 GB needed node=n1") == {
        "job": "j1",
        "reason": "91.2 GB free, 140.0 GB needed",
        "node": "n1",
    }
    assert fields_of("refused error=no room") == {"error": "no room"}


@pytest.mark.parametrize(
    "text", ["", "plain", "two words", 'a "quoted" one', "line\nbreak", "back\\slash n", "a=b c=d"]
)
def test_what_is_said_comes_back_as_it_was(text: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        say(logging.getLogger("x"), logging.INFO, "words", first=text, second=2)
    assert fields_of(caplog.records[-1].getMessage()) == {"first": text, "second": "2"}
    assert "\n" not in caplog.records[-1].getMessage()


def test_a_message_cannot_pass_for_the_time_or_the_level_of_its_line() -> None:
    found = as_json("user said level=critical time=never")
    assert (found["level"], found["time"] != "never") == ("info", True)


def test_threads_are_about_what_they_do_themselves() -> None:
    lines = []
    with about(job="j1"):
        thread = threading.Thread(target=lambda: lines.append(LineFormatter().format(record("in a thread"))))
        thread.start()
        thread.join()
    assert "job=" not in lines[0]


def test_a_traceback_is_part_of_its_line_in_json() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        found = JsonFormatter().format(
            logging.LogRecord("x", logging.ERROR, __file__, 1, "a step failed part=p", (), sys.exc_info())
        )
    assert "ValueError: broken" in json.loads(found)["traceback"]
    assert "\n" not in found


def test_the_shard_server_logs_in_the_format_that_it_is_told(tmp_path: object) -> None:
    command = [sys.executable, "-m", "transfers.dataplane.server", "--data-dir", str(tmp_path), "--log-format", "json"]
    done = subprocess.run(command, input="\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert json.loads(done.stderr)["message"] == "no ticket key came on the standard input"
