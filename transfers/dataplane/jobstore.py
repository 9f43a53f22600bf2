"""The bytes of one job on this node: what has arrived, where it goes, and what of it is proven.

One process, the agent, opens a JobStore; its threads may use it together, one writer a shard. The shard server reads
the same files by `folder.JobFolder` and never writes.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from transfers.dataplane import disk, parts, placement, proof
from transfers.dataplane.current import check_no_link_on_the_way
from transfers.dataplane.folder import JobFolder
from transfers.dataplane.layout import Layout
from transfers.dataplane.placement import FileProblem
from transfers.dataplane.reuse import Reuse
from transfers.dataplane.room import MakeRoom, unlimited
from transfers.dataplane.shardstate import PARTIAL, RECEIVING, VERIFIED, WHOLE, ShardState
from transfers.dataplane.shelf import Shelf
from transfers.dataplane.taking import Taker, copy_shard
from transfers.dataplane.writer import ShardWriter, shard_crc
from transfers.errors import Cancelled, CorruptShard, StoreError

_PROVED_AT_ONCE = 2
"""Shards read at once: while one is summed the other is read, which keeps a disk busy."""


class JobStore:
    """One job on this node. Call `prepare` first, and `reverify` after a restart.

    make_room: asked before disk space is taken. reuse: whether, and how, content is taken from other jobs' files.
    """

    def __init__(
        self,
        data_dir: Path,
        job: str,
        layout: Layout,
        destination: str,
        *,
        make_room: MakeRoom = unlimited,
        reuse: Reuse = "link",
    ) -> None:
        self.folder = JobFolder(Path(data_dir), job, layout, destination)
        self.job = job
        self.layout = layout
        self._lock = threading.Condition()
        self._placing = threading.Lock()
        self._writing: set[int] = set()
        self._proving: set[int] = set()
        self._moving: set[int] = set()  # shards of files that are being placed or taken back
        self._verified: set[int] = set()
        self._state: ShardState | None = None
        self._make_room = make_room
        self._taker = Taker(self.folder, reuse, make_room)

    @property
    def state(self) -> ShardState:
        if self._state is None:
            raise StoreError(f"job {self.job} was not prepared on this node")
        return self._state

    def prepare(self, cancelled: Callable[[], bool] | None = None) -> None:
        """Makes room for the job, or takes up what an earlier run left; then says of which shards it holds bytes.

        Files that are at the destination already, or in other jobs on this node, with the same size and crc32c, are
        taken as they are and count as held. Raises DiskFull before anything was written when the rest does not fit,
        StoreError when the data directory cannot be used, Cancelled.
        """
        if self._state is not None and not self._state.closed:
            return
        self.folder.describe()
        with disk.disk_errors(self.folder.data_dir, f"look at the destination of job {self.job}"):
            placement.check_way(self.folder)
            check_no_link_on_the_way(self.folder)
        self._state = state = self.folder.open_or_make_state()
        self._check_ours()
        touched: set[int] = set()
        missing: list[int] = []
        for file in range(len(self.layout.files)):
            if state.is_placed(file) and placement.is_untouched(self.folder, state, file):
                continue
            state.clear_placed(file)
            parts.drop_shared(self.folder, file)
            if parts.exists(self.folder, file):
                continue
            if proof.adopt_file(self.folder, state, file, cancelled):
                touched.update(self.layout.shards_of_file(file))
            else:
                missing.append(file)
        taken = self._taker.files(state, missing, cancelled)
        touched.update(shard for file in taken for shard in self.layout.shards_of_file(file))
        self._make_parts([file for file in missing if file not in taken])
        for shard in sorted(touched):
            proof.credit_placed(self.folder, state, shard)
        self._settle()

    def attach(self) -> bool:
        """Takes up what an earlier run left, as it is and only to remove it; False when that cannot be read."""
        if self._state is None:
            with suppress(StoreError, OSError):
                self._state = self.folder.open_state(writable=True)
        return self._state is not None

    def reverify(
        self, shards: Sequence[int] | None = None, cancelled: Callable[[], bool] | None = None
    ) -> dict[int, int]:
        """Proves what the state says by reading and summing; gives the digest of every shard that is proven.

        What does not agree is dropped, and a placed file with damaged bytes is taken back from its destination.
        shards: only these; by default all. Cost: one read of what has arrived. Raises StoreError when another job has
        put its files in the places of these.
        """
        self._check_ours()
        chosen = range(self.layout.shard_count) if shards is None else shards

        def prove(some: Sequence[int]) -> dict[int, int]:
            found = ((shard, self._prove(shard, cancelled)) for shard in some)
            return {shard: crc for shard, crc in found if crc is not None}

        with ThreadPoolExecutor(_PROVED_AT_ONCE, thread_name_prefix="prover") as pool:
            parts_of = [chosen[at::_PROVED_AT_ONCE] for at in range(_PROVED_AT_ONCE)]
            proven = {shard: crc for found in pool.map(prove, parts_of) for shard, crc in found.items()}
        return {shard: crc for shard, crc in sorted(proven.items()) if shard in self._verified}

    def _prove(self, shard: int, cancelled: Callable[[], bool] | None) -> int | None:
        """Proves one shard; gives its digest if it is verified."""
        with self._lock:
            self._lock.wait_for(lambda: shard not in self._moving)
            if shard in self._writing or shard in self._proving or not self.state.received(shard):
                return None
            self._proving.add(shard)  # Who wants to write it waits until it was read.
        try:
            result = proof.prove_shard(self.folder, self.state, shard, cancelled)
            if self.state.closed:
                raise Cancelled(f"job {self.job} was discarded on this node")
            if not result.good:
                self._take_apart(shard, result.bad_files)
                return None
            return self.state.crc(shard) if self.state.status(shard) == VERIFIED else None
        finally:
            with self._lock:
                self._proving.discard(shard)
                self._lock.notify_all()

    def writer(self, shard: int, offset: int = 0) -> ShardWriter:
        """The right to write a shard. offset: 0, or `received(shard)` to go on where an earlier transfer stopped."""
        with self._lock:
            self._lock.wait_for(lambda: shard not in self._proving and shard not in self._moving)
            if shard in self._writing:
                raise StoreError(f"shard {shard} of job {self.job} is being written already")
            if shard in self._verified:
                raise StoreError(f"shard {shard} of job {self.job} is verified; drop it before writing it again")
            if offset not in (0, self.state.received(shard)):
                raise StoreError(
                    f"shard {shard} of job {self.job} has {self.state.received(shard)} bytes here: "
                    f"writing can start there or at 0, and not at {offset}"
                )
            self._writing.add(shard)
        if offset == 0 and self.state.received(shard):
            self.state.reset(shard)
        return ShardWriter(self, shard, offset)

    def release(self, shard: int) -> None:
        """The writer of a shard has ended."""
        with self._lock:
            self._writing.discard(shard)
            self._lock.notify_all()

    def received(self, shard: int) -> int:
        """Bytes of a shard that are here, from its start: where a resumed transfer goes on."""
        return self.state.received(shard)

    def mark_verified(self, shard: int, crc: int) -> None:
        """The shard's digest agreed: from now on it is served. Raises CorruptShard when `crc` is not its bytes'."""
        epoch = self.state.epoch(shard)
        actual = shard_crc(self.state, shard, self.layout.file_segments(shard))
        with self._lock:
            self._lock.wait_for(lambda: shard not in self._moving)  # its bytes may go along with a file that is damaged
            if shard in self._verified:
                return
            if self.state.status(shard) != WHOLE or self.state.epoch(shard) != epoch or actual != crc:
                raise CorruptShard(
                    f"shard {shard} of job {self.job} has the crc32c {actual:08x} over {self.state.received(shard)} "
                    f"bytes on this node, and {crc:08x} was expected"
                )
            self.state.set_crc(shard, crc)
            self.state.set_status(shard, VERIFIED)
            self._verified.add(shard)

    def drop(self, shard: int) -> None:
        """Forget the bytes of a shard: they are wrong, or in doubt.

        A file that was placed with the bucket's crc32c keeps its place, since that is the better proof.
        """
        unproven = {s.index for s in self.layout.file_segments(shard) if self.layout.files[s.index].crc32c is None}
        with self._lock:
            self._lock.wait_for(lambda: shard not in self._proving and shard not in self._moving)
            if shard in self._writing:
                raise StoreError(f"shard {shard} of job {self.job} is being written: stop its transfer first")
            self._take_apart(shard, [file for file in sorted(unproven) if self.state.is_placed(file)])

    def drop_copy(self, shard: int, crc: int) -> bool:
        """Drops a verified shard that still has this digest; False when another copy came, or comes, in its place."""
        with self._lock:
            self._lock.wait_for(lambda: shard not in self._proving and shard not in self._moving)
            if shard not in self._verified or self.state.crc(shard) != crc:
                return False
            self.drop(shard)
            return True

    def wrong_whole_file(self, shard: int) -> FileProblem | None:
        """A file that lies within a shard and whose bytes, as they came, are not the bucket's."""
        return placement.wrong_within(self.folder, self.state, shard)

    def take_shard(self, shard: int, digest: int, cancelled: Callable[[], bool]) -> bool:
        """Copies a shard with this digest from files of other jobs on this node, if they have it; reads what it copies.

        True when all its bytes are here, ready for `mark_verified`. Raises Cancelled, DiskFull or StoreError.
        """
        pieces = None if self.received(shard) else self._taker.pieces(shard, digest)
        if pieces is None:
            return False
        writer = self.writer(shard)
        try:
            right = copy_shard(pieces, writer, cancelled) == digest
        finally:
            writer.abort(keep=False)
        if not right:
            self.state.reset(shard)
        return right

    @property
    def verified(self) -> frozenset[int]:
        with self._lock:
            return frozenset(self._verified)

    def held(self) -> dict[int, int]:
        """The digest of every verified shard, as `announce` wants it."""
        return {shard: self.state.crc(shard) for shard in sorted(self.verified)}

    @property
    def complete(self) -> bool:
        """Whether every shard is verified; the files may still have to be placed."""
        return len(self._verified) == self.layout.shard_count

    @property
    def placed(self) -> bool:
        """Whether every file is at its destination."""
        return all(self.state.is_placed(file) for file in range(len(self.layout.files)))

    def files_ready(self) -> list[int]:
        """The files whose bytes are all verified and which wait for `finish_files`."""
        return [f for f in range(len(self.layout.files)) if placement.is_ready(self.folder, self.state, f)]

    def finish_files(self) -> list[FileProblem]:
        """Checks every file that is ready against the bucket's crc32c and moves the good ones to their destination.

        Gives the files that are wrong; they stay among the parts. May be called early and often, and after a kill at
        any moment. Raises StoreError, also when another job has put its files in these places since, or DiskFull.
        """
        with self._placing:
            self._check_ours()
            good: list[int] = []
            problems: list[FileProblem] = []
            ready = self.files_ready()
            with self._still(self._shards_of(ready)):  # or bytes could be written to a file at its place
                for file in ready:
                    if not placement.is_ready(self.folder, self.state, file):
                        continue
                    problem = placement.check_file(self.folder, self.state, file)
                    if problem is None:
                        good.append(file)
                    else:
                        problems.append(problem)
                if good:
                    placement.place_files(self.folder, self.state, good)
            if self.placed:
                self._taker.forget()
            return problems

    def discard(self) -> None:
        """Forget the job: what has not been placed is deleted, placed files stay."""
        with self._placing:
            if self._state is not None:
                self._state.close()
            with suppress(FileNotFoundError), disk.disk_errors(self.folder.data_dir, f"discard job {self.job}"):
                if self.folder.path.exists():
                    shutil.rmtree(self.folder.path)
            with self._lock:
                self._verified.clear()

    def purge(self) -> None:
        """Forget the job and delete the files that it placed."""
        if not self.attach():
            self.prepare()  # finds by their content which files are the job's
        with self._placing:
            placement.remove_placed(self.folder, self.state, lambda: set(Shelf(self.folder.data_dir).places(self.job)))
        self.discard()

    def _check_ours(self) -> None:
        """Raises StoreError when another job has put other content where this one had put its own: the newer stays."""
        replaced = placement.replaced_files(self.folder, self.state)
        owners = Shelf(self.folder.data_dir).places(self.job) if replaced else {}
        for file in replaced:
            path, ours = self.folder.final_path(file), self.layout.files[file]
            owner, theirs = owners.get(path, ("", ours))
            if (theirs.size, theirs.crc32c) != (ours.size, ours.crc32c):
                raise StoreError(
                    f"{path} was put there by job {owner} after job {self.job} had put its own: purge this job, or "
                    "push its source again to have its files back"
                )

    def _make_parts(self, files: list[int]) -> None:
        """Makes room for files; a part that is new has no bytes, whatever was known of the one before it."""
        with self._make_room(self.job, sum(self.layout.files[file].size for file in files)):
            parts.reserve(self.folder, files)
        for file in files:
            for shard in self.layout.shards_of_file(file):
                if self.state.received(shard):
                    self._reset(shard)

    def _settle(self) -> None:
        """Takes up the state of an earlier process: nobody is writing now."""
        with self._lock:
            for shard in range(self.layout.shard_count):
                status = self.state.status(shard)
                if status == VERIFIED:
                    self._verified.add(shard)
                elif status == RECEIVING:
                    self.state.set_status(shard, PARTIAL)

    def _reset(self, shard: int) -> None:
        with self._lock:
            self._verified.discard(shard)
        self.state.reset(shard)

    @contextmanager
    def _still(self, shards: set[int]) -> Iterator[None]:
        """Nobody writes, drops or proves these shards while their files move; waits for who is writing one now."""
        with self._lock:
            self._lock.wait_for(lambda: not shards & (self._moving | self._writing))
            self._moving |= shards
        try:
            yield
        finally:
            with self._lock:
                self._moving -= shards
                self._lock.notify_all()

    def _shards_of(self, files: Iterable[int]) -> set[int]:
        return {shard for file in files for shard in self.layout.shards_of_file(file)}

    def _take_apart(self, shard: int, files: Sequence[int]) -> None:
        """Forgets a shard, and takes placed files back among the parts, so that their shards can be written again."""
        with self._still({shard} | self._shards_of(files)):
            self._reset(shard)
            gone: list[int] = []
            for file in files:
                taken = self.state.is_placed(file) and placement.take_back(self.folder, self.state, file)
                if not taken and not parts.exists(self.folder, file):
                    gone.append(file)
            if gone:
                self._make_parts(gone)
