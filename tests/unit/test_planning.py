"""Planning: what works, what is refused, and what the refusal says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfers.dataplane.digest import crc32c
from transfers.errors import PlanError
from transfers.planning import (
    JobPlan,
    JobRequest,
    Listing,
    NodeFacts,
    SourceObject,
    auto_shard_size,
    parse_manifest,
    parse_source,
    plan_job,
)

MIB = 1024 * 1024
FLEET = [
    NodeFacts("gpu-01", labels={"zone": "a"}, disk_free=10**12),
    NodeFacts("gpu-02", labels={"zone": "a", "kind": "h100"}, disk_free=10**12),
    NodeFacts("gpu-03", labels={"zone": "b"}, disk_free=10**12),
    NodeFacts("gpu-04", state="dead", labels={"zone": "a"}, disk_free=10**12),
]


def item(name: str, size: int = 100 * MIB, **changes: Any) -> SourceObject:
    values: dict[str, Any] = {"bucket": "weights", "name": name, "generation": 7, "size": size, "crc32c": 42}
    return SourceObject(**values | changes)


def plan(*objects: SourceObject, fleet: list[NodeFacts] = FLEET, **request: Any) -> JobPlan:
    wanted = JobRequest.from_dict({"source": "gs://weights/llama/", **request})
    return plan_job(wanted, Listing(parse_source(wanted.source), objects), fleet)


def refusal(*objects: SourceObject, **request: Any) -> PlanError:
    with pytest.raises(PlanError) as caught:
        plan(*objects, **request)
    return caught.value


def test_a_prefix_becomes_files_below_it_in_name_order() -> None:
    made = plan(item("llama/b.bin"), item("llama/a/c.bin", 5))
    assert [file.name for file in made.layout.files] == ["a/c.bin", "b.bin"]
    assert made.destination == "llama"
    assert made.nodes == ("gpu-01", "gpu-02", "gpu-03")


def test_an_object_keeps_its_name_and_the_destination_is_its_folder() -> None:
    made = plan(item("models/llama.bin"), source="gs://weights/models/llama.bin")
    assert [file.name for file in made.layout.files] == ["llama.bin"]
    assert made.destination == "models"


def test_generation_size_and_crc32c_are_pinned() -> None:
    origin = plan(item("llama/a", 9, generation=1234, crc32c=99)).layout.objects[0]
    assert (origin.generation, origin.size, origin.crc32c) == (1234, 9, 99)


def test_folder_marks_of_consoles_are_no_files() -> None:
    assert [file.name for file in plan(item("llama/", 0), item("llama/a")).layout.files] == ["a"]


def test_the_document_for_nodes_holds_destination_and_layout() -> None:
    made = plan(item("llama/a", 9), destination="models/new")
    document = json.loads(made.document("ab" * 16))
    assert (document["v"], document["job"], document["destination"]) == (1, "ab" * 16, "models/new")
    assert document["layout"] == json.loads(made.layout.to_json())


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("weights/llama/", "no source"),
        ("s3://weights/llama/", "no source"),
        ("gs://W/llama/", "bucket's name"),
        ("gs://weights", "names no object"),
        ("gs://weights/" + "x" * 2000, "at most 1024"),
        ("manifest+gs://weights/folder/", "names a folder"),
        ("", "needs a source"),
    ],
)
def test_a_source_that_is_none_is_refused_by_name(source: str, said: str) -> None:
    error = refusal(source=source)
    assert error.field == "source"
    assert said in error.message


def test_gzip_encoded_objects_are_refused() -> None:
    error = refusal(item("llama/a"), item("llama/b.json", content_encoding="gzip"))
    assert error.field == "source"
    assert "gs://weights/llama/b.json" in error.message


def test_objects_without_a_crc32c_are_refused() -> None:
    error = refusal(item("llama/a", crc32c=None))
    assert "without a crc32c" in error.message


def test_nothing_to_distribute_is_refused() -> None:
    assert "holds no object" in refusal().message
    assert "not one byte" in refusal(item("llama/empty", 0)).message


@pytest.mark.parametrize("name", ["llama/../x", "llama//x", "llama/.fdist/x"])
def test_names_that_would_leave_the_destination_are_refused(name: str) -> None:
    assert refusal(item(name)).field == "source"


@pytest.mark.parametrize("destination", ["../x", "/etc", "a//b", "a/./b", ".fdist/x", "a\0b"])
def test_destinations_that_leave_the_data_directory_are_refused(destination: str) -> None:
    assert refusal(item("llama/a"), destination=destination).field == "destination"


def test_a_node_without_room_is_named_with_the_numbers() -> None:
    small = [*FLEET, NodeFacts("gpu-07", disk_free=91_200_000_000)]
    with pytest.raises(PlanError) as caught:
        plan(item("llama/a", 140 * 10**9), fleet=small)
    error = caught.value
    assert error.field == "nodes"
    assert error.message.startswith("node gpu-07 has 91.2 GB free and the job needs 140.0 GB")


def test_labels_pick_the_nodes_that_have_all_of_them() -> None:
    assert pick({"labels": {"zone": "a"}}).nodes == ("gpu-01", "gpu-02")


def pick(nodes: Any) -> JobPlan:
    return plan(item("llama/a"), nodes=nodes)


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        (["gpu-99"], "no node is named gpu-99"),
        (["gpu-04"], "gpu-04 is dead"),
        ({"labels": {"zone": "c"}}, "none of the 3 live nodes has zone=c; they have kind=h100, zone=a, zone=b"),
        ({"labels": {}}, "no label is given"),
        ({"names": []}, "is empty"),
        ({"names": ["GPU 1"]}, "no node name"),
        ({"all": False}, "picked by"),
        (7, "picked by"),
    ],
)
def test_a_selector_that_cannot_be_meant_is_refused(nodes: Any, said: str) -> None:
    with pytest.raises(PlanError) as caught:
        pick(nodes)
    assert caught.value.field == "nodes"
    assert said in caught.value.message


def test_a_list_of_names_is_a_selector() -> None:
    assert pick(["gpu-03", "gpu-01", "gpu-03"]).nodes == ("gpu-01", "gpu-03")


def test_no_live_node_at_all_is_refused() -> None:
    with pytest.raises(PlanError, match="1 dead"):
        plan(item("llama/a"), fleet=[FLEET[3]])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shard_size", 1000),
        ("shard_size", "64MiB"),
        ("shard_size", True),
        ("shard_size", 2**40),
        ("gcs_slots", 0),
        ("upload_slots", -1),
        ("download_slots", 99999),
        ("priority", 10**9),
        ("topology", "star"),
        ("name", "x" * 500),
        ("colour", "red"),
    ],
)
def test_an_option_out_of_range_is_refused_by_its_name(field: str, value: Any) -> None:
    assert refusal(item("llama/a"), **{field: value}).field == field


def test_an_asked_shard_size_is_used() -> None:
    assert plan(item("llama/a", 100 * MIB), shard_size=8 * MIB).layout.shard_count == 13


def test_too_many_shards_are_refused_with_a_size_that_works() -> None:
    error = refusal(item("llama/a", 2**50), shard_size=MIB, fleet=[NodeFacts("a")])
    assert error.field == "shard_size"
    assert "ask for at least" in error.message


@pytest.mark.parametrize(
    ("size", "nodes", "shard_size"),
    [
        (1, 8, MIB // 2),
        (100 * MIB, 8, MIB // 2),
        (512 * 10**6, 8, MIB // 2),
        (4096 * MIB, 8, 8 * MIB),
        (32 * 1024 * MIB, 8, 64 * MIB),
        (140 * 10**9, 8, 64 * MIB),
        (140 * 10**9, 1000, 64 * MIB),
    ],
)
def test_small_payloads_get_small_shards(size: int, nodes: int, shard_size: int) -> None:
    assert auto_shard_size(size, nodes) == shard_size


def test_many_nodes_get_fewer_shards_of_a_small_payload() -> None:
    sizes = [auto_shard_size(1024 * MIB, nodes) for nodes in (8, 200, 500, 1000, 10_000)]
    assert sizes == [2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB, 16 * MIB]


@given(st.integers(1, 2**47), st.integers(1, 10_000))
def test_the_shard_size_is_a_power_of_two_and_the_number_of_shards_stays_in_bounds(size: int, nodes: int) -> None:
    shard_size = auto_shard_size(size, nodes)
    assert shard_size & (shard_size - 1) == 0
    assert -(-size // shard_size) <= 131_072


# --- manifests


def manifest_plan(manifest: Any, *objects: SourceObject, **request: Any) -> JobPlan:
    wanted = JobRequest.from_dict({"source": "gs://weights/cut/model.fdist.json", "nodes": {"all": True}, **request})
    uri = parse_source(wanted.source)
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    return plan_job(wanted, Listing(uri, objects, parse_manifest(text, uri)), FLEET)


FIRST, SECOND = b"a" * 1000, b"b" * 500
PIECES = [
    item("cut/s0", len(FIRST), crc32c=crc32c(FIRST)),
    item("cut/s1", len(SECOND), crc32c=crc32c(SECOND)),
]


def manifest_of(**file: Any) -> dict[str, Any]:
    return {"fdist_manifest": 1, "files": [{"name": "m/w.bin", "shards": [{"object": "s0"}, {"object": "s1"}], **file}]}


def test_the_shards_of_a_manifest_are_its_objects_and_their_digests_make_the_files() -> None:
    made = manifest_plan(manifest_of(size=1500), *PIECES)
    assert made.layout.cuts == (1000, 1500)
    assert made.layout.files[0].name == "m/w.bin"
    assert made.layout.files[0].crc32c == crc32c(FIRST + SECOND)
    assert made.destination == "cut"


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("{", "not JSON"),
        ({"files": []}, '"fdist_manifest" is None'),
        ({"fdist_manifest": 1, "files": []}, "at least one file"),
        ({"fdist_manifest": 1, "files": [{"name": "a"}]}, 'no list of "shards"'),
        (manifest_of(colour="red"), 'unknown key "colour"'),
        (manifest_of(size=7), "its shards have 1,500"),
        (manifest_of(crc32c="AAAAAA=="), "its shards make"),
        (manifest_of(shards=[{"object": "s0", "size": 7}]), "has the size 7, and it has 1000"),
        (manifest_of(shards=[{"object": "s0", "generation": "8"}]), "has the generation 8, and it has 7"),
        (manifest_of(shards=[{"object": "s9"}]), "do not exist: gs://weights/cut/s9"),
        (manifest_of(shards=[{"object": "s0", "crc32c": "no"}]), "base64"),
        (manifest_of(shards=[]), "not one byte"),
    ],
)
def test_a_manifest_that_does_not_hold_is_refused_with_the_place(manifest: Any, said: str) -> None:
    with pytest.raises(PlanError) as caught:
        manifest_plan(manifest, *PIECES)
    assert caught.value.field == "source"
    assert said in caught.value.message


def test_a_shard_size_with_a_manifest_is_refused() -> None:
    with pytest.raises(PlanError) as caught:
        manifest_plan(manifest_of(), *PIECES, shard_size=MIB)
    assert caught.value.field == "shard_size"
