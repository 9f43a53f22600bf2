"""The forms of a standing distribution: a new one, and what can be changed of one that is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from transfers.forms import DistributionForm
from transfers.models import Standing
from transfers.standing import acts
from transfers.standing.request import JOB_OPTIONS, LONGEST, MAX_KEPT, MAX_MARKER, MAX_NAME

WHO = ("who", "labels", "names")
AS_GIVEN = ("versions_kept", "check_seconds", "settle_seconds", "marker")
MIB = 2**20


class StandingForm(DistributionForm):
    name = forms.CharField(
        max_length=MAX_NAME,
        help_text="Lower-case letters, digits and . _ -",
        error_messages={"required": "a standing distribution needs a name, such as llama"},
    )
    marker = forms.CharField(
        max_length=MAX_MARKER,
        required=False,
        help_text="Object below the prefix that is written last, such as _SUCCESS: an upload is whole when it is new",
    )
    settle_seconds = forms.IntegerField(
        label="Else whole when unchanged for, seconds",
        initial=60,
        min_value=0,
        max_value=LONGEST,
        help_text="Longer than the time between two objects of an upload; 0 takes the source as it is found",
    )
    share = forms.FloatField(
        label="Used when ready on, % of the nodes",
        initial=100,
        min_value=0.1,
        max_value=100,
        help_text="Then each node's link moves to the version as soon as the node has it",
    )
    versions_kept = forms.IntegerField(
        initial=2, min_value=1, max_value=MAX_KEPT, help_text="On each node, the one in use among them"
    )
    check_seconds = forms.IntegerField(
        label="Source looked at every, seconds", initial=60, min_value=1, max_value=LONGEST
    )

    advanced = (
        "check_seconds",
        "versions_kept",
        "shard_size",
        "gcs_slots",
        "upload_slots",
        "download_slots",
        "bucket_budget",
        "any_zone",
        "policy",
        "priority",
    )

    def __init__(self, data: Any = None, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        if "destination" in self.fields:
            self.fields["destination"].help_text = "Folder of the versions and the link; the source's own unless given"

    def request(self) -> dict[str, Any]:
        """What is asked for, of a valid form; options that are left as they are proposed are not named."""
        values = self.cleaned_data
        place = {"name": values["name"], "source": values["source"], "nodes": values["nodes"]}
        return place | ({"destination": values["destination"]} if values["destination"] else {}) | self.changes()

    def changes(self) -> dict[str, Any]:
        """What differs from what was proposed, of what can be changed; None where it is no longer given."""
        values, changed = self.cleaned_data, set(self.changed_data)
        found: dict[str, Any] = {name: values[name] for name in AS_GIVEN if name in changed}
        found |= {name: _none(values[name]) for name in JOB_OPTIONS if name in changed}
        if "share" in changed:
            found["share"] = values["share"] / 100
        if "any_zone" in changed:
            found["own_zone"] = not values["any_zone"]
        if changed & set(WHO):
            found["nodes"] = values["nodes"]
        return found


def _none(value: Any) -> Any:
    return None if value == "" else value


class StandingChangeForm(StandingForm):
    """Of one that is there. What is fixed is no field of it."""

    name = None  # type: ignore[assignment]
    source = None  # type: ignore[assignment]
    destination = None  # type: ignore[assignment]

    def __init__(self, standing: Standing, data: Any = None) -> None:
        super().__init__(data, initial=as_typed(acts.as_request(standing)))


def as_typed(request: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as a person would fill them in for this request."""
    found: dict[str, Any] = {name: request[name] for name in (*AS_GIVEN, *JOB_OPTIONS) if name in request}
    share = round(request["share"] * 100, 4)
    found["share"] = int(share) if share.is_integer() else share
    found["any_zone"] = not found.pop("own_zone", True)
    if size := found.get("shard_size"):
        found["shard_size"] = f"{size // MIB}MiB" if size % MIB == 0 else str(size)
    if budget := found.get("bucket_budget"):
        found["bucket_budget"] = str(budget)  # as it was given: a number, or text with a unit
    selector = request["nodes"]
    found["who"] = next((who for who in ("labels", "names") if who in selector), "all")
    found["labels"] = ",".join(f"{key}={value}" for key, value in selector.get("labels", {}).items())
    found["names"] = ", ".join(selector.get("names", ()))
    return found
