"""Labels of nodes, and the selectors that pick nodes by them. Plain values: neither Django nor Redis.

A selector is one of
    {"all": true}                  every node
    {"names": ["gpu-01", ...]}     these nodes
    {"labels": {"zone": "a"}}      nodes that have every one of these labels
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NODE_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
MAX_LABEL_VALUE = 128
ZONE = "zone"  # the label that says where a node is: traffic between zones costs money
FORMS = '{"all": true}, {"names": ["gpu-01"]} or {"labels": {"zone": "a"}}'


def parse_labels(text: str) -> dict[str, str]:
    """The labels in "key=value,key=value"; raises ValueError that says which part is wrong."""
    labels: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f'"{part}" is no label: write key=value, and commas between labels')
        labels[check_label_key(key.strip())] = check_label_value(value.strip())
    return labels


def check_label_key(key: str) -> str:
    if not LABEL_KEY.fullmatch(key):
        raise ValueError(
            f'"{key}" is no label key: letters, digits and . _ / - only, at most 63, a letter or digit first'
        )
    return key


def check_label_value(value: str) -> str:
    if len(value) > MAX_LABEL_VALUE:
        raise ValueError(f"a label's value may have {MAX_LABEL_VALUE} characters, this one has {len(value)}")
    return value


def parse_selector(value: Any) -> dict[str, Any]:
    """The selector in what a person wrote: one of the three forms, "all", or a list of names. Raises ValueError."""
    if value is None or value == "all":
        return {"all": True}
    if isinstance(value, list):
        value = {"names": value}
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ValueError(f"nodes are picked by {FORMS}")
    (form, argument), *_ = value.items()
    if form == "all" and argument is True:
        return {"all": True}
    if form == "names" and isinstance(argument, list):
        return {"names": _parse_names(argument)}
    if form == "labels" and isinstance(argument, Mapping):
        return {"labels": _parse_wanted(argument)}
    raise ValueError(f"nodes are picked by {FORMS}")


def _parse_names(names: list[Any]) -> list[str]:
    if not names:
        raise ValueError("the list of node names is empty")
    for name in names:
        if not isinstance(name, str) or not NODE_NAME.fullmatch(name):
            raise ValueError(f'"{name}" is no node name: lower-case letters, digits, . and - only, at most 63')
    return sorted(set(names))


def _parse_wanted(labels: Mapping[Any, Any]) -> dict[str, str]:
    if not labels:
        raise ValueError('no label is given; to pick every node write {"all": true}')
    for key, value in labels.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ValueError("labels and their values are strings")
        check_label_key(key)
        check_label_value(value)
    return dict(sorted(labels.items()))


def matches(selector: Mapping[str, Any], name: str, labels: Mapping[str, str]) -> bool:
    """Whether a (parsed) selector picks the node."""
    if selector.get("all"):
        return True
    if "names" in selector:
        return name in selector["names"]
    wanted: Mapping[str, str] = selector.get("labels", {})
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def describe(selector: Mapping[str, Any]) -> str:
    """The selector in words, for messages and pages."""
    if selector.get("all"):
        return "all nodes"
    if "names" in selector:
        return ", ".join(selector["names"])
    return ", ".join(f"{key}={value}" for key, value in selector.get("labels", {}).items())
