"""What everybody has: each node downloads from the origin (nginx, curl), or they stand in a chain (socat, tee)."""

from __future__ import annotations

import math
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from fdist_site.local.processes import ProcessGroup
from tests.bench.fleet.rig import Rig, wait_for
from tests.bench.fleet.scenario import Result, Scenario

DOWNLOAD = "nginx + curl"
CHAIN = "socat + tee"
NGINX_PORT = 8080
CHAIN_PORT = 7000
LISTEN_SECONDS = 2.0  # until a line of socats listens
RETRY = "retry=50,interval=0.1"  # for those that do not listen by then

NGINX = """
worker_processes 2; daemon off; pid {root}/nginx.pid; error_log {root}/nginx.log; user root;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; sendfile_max_chunk 2m;
  client_body_temp_path {root}/nginx-body; proxy_temp_path {root}/nginx-proxy; fastcgi_temp_path {root}/nginx-fastcgi;
  uwsgi_temp_path {root}/nginx-uwsgi; scgi_temp_path {root}/nginx-scgi;
  server {{ listen {address}:{port}; root {folder}; }}
}}
"""


def missing(*programs: str) -> str:
    """Why a method with these programs cannot run, or nothing."""
    absent = [program for program in programs if shutil.which(program) is None]
    return f"the programs {', '.join(absent)} are missing (Debian packages of these names)" if absent else ""


def start_nginx(group: ProcessGroup, root: Path, folder: Path, address: str, prefix: Sequence[str] = ()) -> int:
    """An nginx that serves a folder; gives its pid."""
    configuration = root / "nginx.conf"
    configuration.write_text(NGINX.format(root=root, folder=folder, address=address, port=NGINX_PORT))
    process = group.start("nginx", [*prefix, "nginx", "-c", str(configuration)])
    url = f"http://{address}:{NGINX_PORT}/"

    def answers() -> bool:
        asked = subprocess.run(["curl", "-s", "-o", "/dev/null", url], check=False, capture_output=True)
        return asked.returncode == 0

    wait_for(answers, "nginx to answer", 15)
    return process.pid


def curl(files: Sequence[Path], address: str, folder: Path) -> list[str]:
    """The command that downloads all files over one connection."""
    words = ["curl", "-sf"]
    for path in files:
        words += [f"http://{address}:{NGINX_PORT}/{path.name}", "-o", str(folder / path.name)]
    return words


def finish_times(
    processes: Sequence[subprocess.Popen[bytes]], begun: float, timeout: float = 600.0
) -> dict[int, float]:
    """Seconds from `begun` until each process ended well, by its place; those that failed are left out."""
    seconds: dict[int, float] = {}
    while len(seconds) < len(processes) and time.monotonic() - begun < timeout:
        for place, process in enumerate(processes):
            if place not in seconds and process.poll() is not None:
                seconds[place] = time.monotonic() - begun if process.returncode == 0 else math.nan
        time.sleep(0.02)
    return seconds


def run_download(rig: Rig, scenario: Scenario) -> Result:
    rig.shape(scenario)
    address = rig.net.address(rig.origin)
    with rig.folders("download") as folders, ExitStack() as stack:
        start_nginx(rig.group, rig.root, rig.payload, address, rig.net.prefix(rig.origin))
        stack.callback(rig.group.stop, "nginx")
        sent = rig.net.sent(rig.origin)
        begun = time.monotonic()
        nodes = []
        for node, folder in enumerate(folders):
            process = subprocess.Popen([*rig.net.prefix(node), *curl(rig.files, address, folder)])
            stack.callback(process.wait)
            stack.callback(process.kill)
            nodes.append(process)
        seconds = finish_times(nodes, begun)
        copies = (rig.net.sent(rig.origin) - sent) / scenario.size
        return Result(DOWNLOAD, seconds, copies)


def run_chain(rig: Rig, scenario: Scenario) -> Result:
    """The payload, file after file, through a line of socats: each node writes what comes and passes it on."""
    rig.shape(scenario)
    with rig.folders("chain") as folders, ExitStack() as stack:
        nodes = []
        for node in reversed(range(rig.nodes)):
            target = folders[node] / "payload"
            listen = f"socat -u TCP-LISTEN:{CHAIN_PORT},bind={rig.net.address(node)},reuseaddr -"
            onward = f"socat -u - TCP:{rig.net.address(node + 1)}:{CHAIN_PORT},{RETRY}"
            line = f"{listen} > {target}" if node == rig.nodes - 1 else f"{listen} | tee {target} | {onward}"
            process = subprocess.Popen([*rig.net.prefix(node), "sh", "-c", line])
            stack.callback(process.wait)
            stack.callback(process.kill)
            nodes.append(process)
        nodes.reverse()
        time.sleep(LISTEN_SECONDS)
        sent = rig.net.sent(rig.origin)
        begun = time.monotonic()
        files = " ".join(str(path) for path in rig.files)
        first = f"{rig.net.address(0)}:{CHAIN_PORT},{RETRY}"
        source = f"cat {files} | socat -u - TCP:{first}"
        subprocess.run([*rig.net.prefix(rig.origin), "sh", "-c", source], check=True)
        seconds = finish_times(nodes, begun)
        copies = (rig.net.sent(rig.origin) - sent) / scenario.size
        return Result(CHAIN, seconds, copies)
