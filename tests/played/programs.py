"""Programs on PATH that stand in for those which need a cloud or a machine's service manager.

Each is a few lines that hand their command line to this process and do what it answers: print, ask a question, carry
a port to another one, or go on as another program. What answers is a function of the command line; it refuses, by
raising Refused, whatever the real program would not take.
"""

from __future__ import annotations

import json
import socketserver
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.served import Served

# Of a program: carries what comes to a port to another one, for ever.
CARRY = """
def carry(port, to):
    server = socket.create_server(("127.0.0.1", port))
    def pump(source, sink):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    while True:
        client, _ = server.accept()
        there = socket.create_connection(("127.0.0.1", to))
        for ends in ((client, there), (there, client)):
            threading.Thread(target=pump, args=ends, daemon=True).start()
"""
PROGRAM = """#!{python} -SE
import json, os, socket, sys, threading
{carry}
wire = socket.create_connection(("127.0.0.1", {port})).makefile("rw")
def ask(**said):
    print(json.dumps(said), file=wire, flush=True)
    return json.loads(wire.readline())
answer = ask(program={name!r}, arguments=sys.argv[1:], folder=os.getcwd(), environment=dict(os.environ))
while True:
    print(answer["out"], end="", flush=True)
    print(answer["err"], end="", file=sys.stderr, flush=True)
    if not answer["question"]:
        break
    typed = b""  # to the end of one line and no further: the next program may ask as well
    while not typed.endswith(bytes([10])) and (byte := os.read(0, 1)):
        typed += byte
    answer = ask(answered=typed.decode().strip())
if answer["run"]:
    os.execvpe(answer["run"][0], answer["run"], {{**os.environ, **answer["environment"]}})
if answer["carry"]:
    carry(*answer["carry"])
sys.exit(answer["status"])
"""


class Refused(Exception):
    """The program would not take this command line; the message says why."""


@dataclass(frozen=True)
class Call:
    """How a program was called. arguments: without its name."""

    program: str
    arguments: list[str]
    folder: Path
    environment: Mapping[str, str]

    def __str__(self) -> str:
        return " ".join([self.program, *self.arguments])


@dataclass(frozen=True)
class Answer:
    """What the program does: prints, then asks and hands the reply to `then`, or goes on as `run` with `environment`
    added, or carries 127.0.0.1:carry[0] to 127.0.0.1:carry[1] until it is ended, or ends with `status`."""

    out: str = ""
    err: str = ""
    status: int = 0
    run: list[str] = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)
    carry: tuple[int, int] | None = None
    then: Callable[[str], Answer] | None = None

    def told(self) -> dict[str, Any]:
        said = {name: value for name, value in asdict(self).items() if name != "then"}
        return said | {"question": self.then is not None}


Play = Callable[[Call], Answer]


class Programs(Served):
    """Use as a context manager. folder: goes first on PATH. calls: how each program was called, in order."""

    def __init__(self, folder: Path, plays: Mapping[str, Play]) -> None:
        self.folder = folder
        self.calls: list[Call] = []
        self.refusals: list[str] = []
        programs = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                told = json.loads(self.rfile.readline())
                call = Call(told["program"], told["arguments"], Path(told["folder"]), told["environment"])
                programs.calls.append(call)
                answer = programs.answer(call, lambda: plays[call.program](call))
                while answer.then is not None:
                    self.send(answer)
                    line = self.rfile.readline()
                    if not line:
                        return
                    then, reply = answer.then, json.loads(line)["answered"]
                    answer = programs.answer(call, lambda then=then, reply=reply: then(reply))  # type: ignore[misc]
                self.send(answer)

            def send(self, answer: Answer) -> None:
                self.wfile.write(json.dumps(answer.told()).encode() + b"\n")

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.server, port = server, server.server_address[1]
        folder.mkdir(parents=True)
        for name in plays:
            program = folder / name
            program.write_text(PROGRAM.format(python=sys.executable, carry=CARRY, port=port, name=name))
            program.chmod(0o755)

    def answer(self, call: Call, play: Callable[[], Answer]) -> Answer:
        try:
            return play()
        except Refused as refusal:
            self.refusals.append(f"{call}: {refusal}")
            return Answer(err=f"{call.program}: {refusal}\n", status=2)
