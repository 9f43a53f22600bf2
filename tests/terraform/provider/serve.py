"""Serves the provider to terraform, which finds it by TF_REATTACH_PROVIDERS: `serve.py SCHEMA.json [FOLDER]`.

With a folder, only what its configuration names is served: of 1,800 schemas some 40, which every command reads. Prints
the value of that variable on its first line, and ends with its standard input. It plans and validates by the schema
alone; it reads nothing, makes nothing, and cannot apply.
"""

from __future__ import annotations

import json
import os
import re
import sys
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import wire
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc

SOURCE = "registry.terraform.io/hashicorp/google"


class Provider(rpc.ProviderServicer):  # type: ignore[misc]
    """The protocol's methods keep its names."""

    def __init__(self, schema: dict[str, dict[str, wire.Block]]) -> None:
        self.resources, self.sources = schema["Resource"], schema["DataSource"]
        (provider,) = schema["Provider"].values()
        self.answer = pb.GetProviderSchema.Response(
            provider=wire.schema(provider),
            resource_schemas={name: wire.schema(block) for name, block in self.resources.items()},
            data_source_schemas={name: wire.schema(block) for name, block in self.sources.items()},
        )

    def GetProviderSchema(self, request: Any, context: Any) -> Any:
        return self.answer

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:
        block, given = self.resources[request.type_name], wire.unpack(request.config)
        wrong = wire.wrong_values(block, given, f"{request.type_name}.")
        return pb.ValidateResourceConfig.Response(
            diagnostics=[
                pb.Diagnostic(severity="ERROR", summary="Not one of the documented values", detail=each)
                for each in wrong
            ]
        )

    def ValidateDataResourceConfig(self, request: Any, context: Any) -> Any:
        return pb.ValidateDataResourceConfig.Response()

    def ConfigureProvider(self, request: Any, context: Any) -> Any:
        return pb.ConfigureProvider.Response()

    def PlanResourceChange(self, request: Any, context: Any) -> Any:
        proposed = wire.unpack(request.proposed_new_state)
        plan = wire.planned(self.resources[request.type_name], proposed) if proposed else proposed
        return pb.PlanResourceChange.Response(planned_state=wire.pack(plan), legacy_type_system=True)

    def GetFunctions(self, request: Any, context: Any) -> Any:
        return pb.GetFunctions.Response()

    def StopProvider(self, request: Any, context: Any) -> Any:
        return pb.StopProvider.Response()


def named_in(folder: Path) -> set[str]:
    """Whatever looks like a resource of Google's in a configuration."""
    return {name for path in folder.rglob("*.tf") for name in re.findall(r'"(google_\w+)"', path.read_text())}


def read(schema: Path, folder: Path | None) -> dict[str, dict[str, wire.Block]]:
    found: dict[str, dict[str, wire.Block]] = json.loads(schema.read_text())
    if folder is not None:
        wanted = named_in(folder)
        for kind in ("Resource", "DataSource"):
            found[kind] = {name: block for name, block in found[kind].items() if name in wanted}
    return found


def main(schema: Path, folder: Path | None = None) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(8))
    rpc.add_ProviderServicer_to_server(Provider(read(schema, folder)), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    address = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
    where = {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True, "Addr": address}
    print(json.dumps({SOURCE: where}), flush=True)
    sys.stdin.read()
    server.stop(0)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
