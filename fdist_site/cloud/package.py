"""Packs the project with all that it needs into one archive, which machines unpack and run: `make package`.

    python -m fdist_site.cloud.package [--python 3.11] [FOLDER]

The archive is named by its content, fdist-<version>-<12 digits of its SHA-256>.tar.gz, and the same content always
gives the same bytes. Machines need no package index: the dependencies are in it, for Linux on x86-64.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fdist_site.cloud.tools import PROJECT_ROOT
from transfers.errors import FdistError

CONTENT = (
    "manage.py",
    "pyproject.toml",
    "LICENSE",
    "fdist_site",
    "nodes",
    "transfers",
    "templates",
    "terraform/scripts",
)
PACKAGES = PROJECT_ROOT / ".fdist" / "packages"
PYTHON = "3.11"  # that of Debian 12
PLATFORM = "x86_64-manylinux_2_28"
NEVER_READ = {".pyc", ".pyi", ".po", ".pxd", ".pyx"}  # a quarter of the files of our dependencies
LOCKED = re.compile(r"^([a-zA-Z0-9._-]+)==\S+.*?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


class PackageError(FdistError):
    """The project cannot be packed; the message says what is missing."""


def make_package(folder: Path, python: str = PYTHON) -> Path:
    """Write the archive into a folder, unless it is there already, and give its path."""
    with tempfile.TemporaryDirectory() as temporary:
        dependencies = Path(temporary) / "site-packages"
        _install(dependencies, python)
        data = _archive(dependencies, python)
    version = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]["version"]
    path = folder / f"fdist-{version}-{hashlib.sha256(data).hexdigest()[:12]}.tar.gz"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.write_bytes(data)
        fresh.rename(path)
    return path


def locked_requirements() -> str:
    """The part of requirements.lock that fdist needs to run, with its hashes."""
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    lock = (PROJECT_ROOT / "requirements.lock").read_text()
    entries: dict[str, str] = {}
    for match in LOCKED.finditer(lock):  # a package has several entries where versions of Python differ
        name = canonicalize_name(match[1])
        entries[name] = entries.get(name, "") + match[0]
    wanted = _closure([Requirement(text) for text in project["dependencies"]])
    if missing := sorted(wanted - set(entries)):
        raise PackageError(f"requirements.lock has no entry for {', '.join(missing)}; run `make setup`")
    return "".join(entries[name] for name in sorted(wanted))


def _closure(requirements: list[Requirement]) -> set[str]:
    """The names of what is required, and of what that requires, as it is installed here."""
    found: dict[str, set[str]] = {}
    waiting = [(each, "") for each in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        known = found.setdefault(name, set())
        for each in {"", *requirement.extras} - known:
            known.add(each)
            try:
                waiting += [(Requirement(text), each) for text in requires(name) or []]
            except PackageNotFoundError:
                raise PackageError(f"{name} is not installed; run `make setup`") from None
    return set(found)


def _install(target: Path, python: str) -> None:
    """Put the dependencies into a folder, as the machines need them."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise PackageError("uv is not installed, which fetches packages for other systems; run `make setup`")
    arguments = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--link-mode", "copy", "-r", "-"]
    system = ["--python-platform", PLATFORM, "--python-version", python]
    done = subprocess.run(
        [uv, "pip", "install", "--quiet", "--target", target, *system, *arguments],
        input=locked_requirements(),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise PackageError(f"the dependencies cannot be fetched for Python {python}:\n{done.stderr.strip()}")


def _archive(dependencies: Path, python: str) -> bytes:
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, compresslevel=1) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        _add(archive, "python-version", f"{python}\n".encode())
        for name, path in sorted([*_project_files(), *_files(dependencies, "site-packages")]):
            _add(archive, name, path.read_bytes(), path.stat().st_mode & 0o111 != 0)
    return packed.getvalue()


def _project_files() -> Iterator[tuple[str, Path]]:
    for each in CONTENT:
        path = PROJECT_ROOT / each
        if path.is_dir():
            yield from _files(path, each)
        else:
            yield each, path


def _files(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in NEVER_READ and path.name != ".lock":
            yield f"{name}/{path.relative_to(folder).as_posix()}", path


def _add(archive: tarfile.TarFile, name: str, data: bytes, program: bool = False) -> None:
    """Add a file without whatever differs from machine to machine."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(data), 0o755 if program else 0o644, 0
    archive.addfile(entry, io.BytesIO(data))


def main() -> int:
    parser = argparse.ArgumentParser(prog="make package", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=PACKAGES, help="where it goes")
    parser.add_argument("--python", default=PYTHON, help=f"version of Python of the machines (default {PYTHON})")
    options = parser.parse_args()
    try:
        print(make_package(options.folder, options.python))
    except PackageError as error:
        print(f"package: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
