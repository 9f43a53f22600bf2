"""Schemas and values between our form and the plugin protocol's (version 6: protobuf, values as msgpack)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgpack
from tf.gen import tfplugin_pb2 as pb

Block = dict[str, Any]
UNKNOWN = msgpack.ExtType(0, b"\0")  # Terraform's "known after apply"
ASSIGNED = {"id", "network_ip"}  # arguments that the cloud chooses unless they are given: the package does not tell
WRITE_ONLY = b"\x58\x01"  # field 11 of Attribute, true: newer than the protocol that the library was generated from


def schema(block: Block) -> pb.Schema:
    return pb.Schema(block=_block(block))


def _block(block: Block, in_set: bool = False) -> pb.Schema.Block:
    attributes = [
        _attribute(name, each)
        for name, each in block["attributes"].items()
        if not (in_set and each["type"] == "dynamic")  # which a set cannot hold
    ]
    return pb.Schema.Block(
        attributes=attributes, block_types=[_nested(name, each, in_set) for name, each in block["blocks"].items()]
    )


def _attribute(name: str, each: dict[str, Any]) -> pb.Schema.Attribute:
    computed, required = each.get("computed", False), each.get("required", False)
    attribute = pb.Schema.Attribute(
        name=name,
        type=json.dumps(each["type"]).encode(),
        required=required,
        optional=not required and not computed,
        computed=not required and not write_only(name, each),
    )
    if write_only(name, each):
        return pb.Schema.Attribute.FromString(attribute.SerializeToString() + WRITE_ONLY)
    return attribute


def _nested(name: str, each: Block, in_set: bool) -> pb.Schema.NestedBlock:
    single = each["nesting"] == "single"
    return pb.Schema.NestedBlock(
        type_name=name,
        block=_block(each, in_set or each["nesting"] == "set"),
        nesting=pb.Schema.NestedBlock.NestingMode.Value(each["nesting"].upper()),
        min_items=0 if single else each["least"],
        max_items=0 if single else each["most"],
    )


def write_only(name: str, attribute: dict[str, Any]) -> bool:
    """Whether it is an argument that is never kept."""
    return name.endswith("_wo") and not attribute.get("computed")


def pack(value: Any) -> pb.DynamicValue:
    return pb.DynamicValue(msgpack=msgpack.packb(value))


def unpack(value: pb.DynamicValue) -> Any:
    return msgpack.unpackb(value.msgpack, ext_hook=msgpack.ExtType, strict_map_key=False)


def blocks_in(value: Any) -> list[dict[str, Any]]:
    """The blocks of one name, as a list; those that hold dynamic attributes arrive as [type, value]."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], bytes):
        value = value[1]
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]


def wrong_values(block: Block, value: dict[str, Any], path: str) -> Iterator[str]:
    """A sentence for each argument that has none of the values that it may have."""
    for name, each in block["attributes"].items():
        given = value.get(name)
        if each.get("values") and isinstance(given, str) and given not in each["values"]:
            yield f"{path}{name}: {given!r} is none of {', '.join(each['values'])}"
    for name, each in block["blocks"].items():
        for inner in blocks_in(value.get(name)):
            yield from wrong_values(each, inner, f"{path}{name}.")


def planned(block: Block, value: dict[str, Any]) -> dict[str, Any]:
    """What a plan says: the arguments as given, without those that are never kept; the rest known after apply."""
    for name, each in block["attributes"].items():
        if write_only(name, each):
            value[name] = None
        elif value.get(name) is None and (each.get("computed") or name in ASSIGNED):
            value[name] = UNKNOWN
    for name, each in block["blocks"].items():
        for inner in blocks_in(value.get(name)):
            planned(each, inner)
    return value
