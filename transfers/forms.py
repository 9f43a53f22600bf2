"""The form of a new job, and what it has in common with others. It knows how options are written by hand; what they
mean is checked by planning."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from nodes.labels import parse_labels
from transfers.errors import FdistError, PlanError
from transfers.models import Policy, Topology
from transfers.planning.request import DEFAULT_GCS_SLOTS, MAX_NAME, MAX_PRIORITY, MAX_SLOTS
from transfers.words import parse_size

WHO = (("all", "All nodes"), ("labels", "By labels"), ("names", "By name"))
TOPOLOGIES = (
    (Topology.MESH, "Mesh: rarest shard first, from any node that has it"),
    (Topology.PIPELINE, "Pipeline: a chain, each node from its predecessor"),
)


class SizeField(forms.CharField):
    """Bytes, as people write them."""

    def clean(self, value: Any) -> int | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            return parse_size(text)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class DistributionForm(forms.Form):
    """What the forms of a job and of a standing distribution both ask. advanced: fields that stand below the others."""

    advanced: tuple[str, ...] = ()
    source = forms.CharField(
        max_length=1100,
        help_text="An object, a prefix that ends with /, or a manifest that ends with .fdist.json",
        error_messages={"required": "a job needs a source, such as gs://bucket/prefix/"},
    )
    topology = forms.ChoiceField(choices=TOPOLOGIES, initial=Topology.MESH, widget=forms.RadioSelect)
    who = forms.ChoiceField(label="Nodes", choices=WHO, initial="all", widget=forms.RadioSelect)
    labels = forms.CharField(required=False, help_text="Every one of them, such as zone=a,kind=h100")
    names = forms.CharField(required=False, help_text="With commas or spaces between")
    destination = forms.CharField(
        max_length=1024, required=False, help_text="Folder below the data directory; the source's own unless given"
    )
    shard_size = SizeField(required=False, help_text="Such as 64MiB; chosen by the payload's size unless given")
    gcs_slots = forms.IntegerField(
        label="Reads from the bucket at once", initial=DEFAULT_GCS_SLOTS, min_value=1, max_value=MAX_SLOTS
    )
    upload_slots = forms.IntegerField(
        label="Uploads at once",
        required=False,
        min_value=1,
        max_value=MAX_SLOTS,
        help_text="Of a node; its own unless given",
    )
    download_slots = forms.IntegerField(
        label="Downloads at once", required=False, min_value=1, max_value=MAX_SLOTS, help_text="The same"
    )
    bucket_budget = forms.CharField(
        label="Budget out of the bucket",
        required=False,
        max_length=40,
        help_text="The job stops rather than pass it: 1.2x the payload, or 150GB; no limit unless given",
    )
    any_zone = forms.BooleanField(
        label="Take from any zone",
        required=False,
        help_text="Else nodes of a mesh take from their own zone what it has, so that little crosses between zones",
    )
    policy = forms.ChoiceField(
        choices=Policy.choices,
        initial=Policy.values[0],
        required=False,
        help_text="Which shard a node of a mesh gets next",
    )
    priority = forms.IntegerField(
        initial=0, required=False, min_value=-MAX_PRIORITY, max_value=MAX_PRIORITY, help_text="A higher one goes first"
    )

    def __init__(self, data: Any = None, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial, label_suffix="")
        for name, field in self.fields.items():
            said = [f"{name}-help"] if field.help_text and name != "key" else []
            wrong = self.is_bound and name in self.errors
            field.widget.attrs |= {"aria-describedby": " ".join([*said, f"{name}-error"])}
            if wrong:
                field.widget.attrs["aria-invalid"] = "true"

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        who = values.get("who")
        try:
            values["nodes"] = self._selector(who, values)
        except ValueError as error:
            self.add_error(who, str(error))
        return values

    def _selector(self, who: str | None, values: dict[str, Any]) -> dict[str, Any]:
        if who == "labels":
            labels = parse_labels(values.get("labels", ""))
            if not labels:
                raise ValueError("say which labels, such as zone=a")
            return {"labels": labels}
        if who == "names":
            names = [name for part in values.get("names", "").split(",") for name in part.split()]
            if not names:
                raise ValueError("say which nodes, such as gpu-01, gpu-02")
            return {"names": names}
        return {"all": True}

    def refused(self, error: FdistError) -> None:
        """Puts what was said against it beside the field that it names, or above all of them."""
        if isinstance(error, PlanError):
            self.refuse(error.field, error.message)
        else:
            self.add_error(None, str(error))

    def refuse(self, field: str, message: str) -> None:
        """Puts what planning said beside the field that it names."""
        if field == "nodes":
            field = {"labels": "labels", "names": "names"}.get(self.cleaned_data.get("who", ""), "who")
        self.add_error(field if field in self.fields else None, message)

    @property
    def advanced_fields(self) -> Iterable[forms.BoundField]:
        return [self[name] for name in self.advanced]

    @property
    def advanced_open(self) -> bool:
        """Whether something in there was changed or is wrong, so that it has to be seen."""
        return (
            any(name in self.errors or name in self.changed_data for name in self.advanced) if self.is_bound else False
        )


class JobForm(DistributionForm):
    name = forms.CharField(max_length=MAX_NAME, required=False, help_text="By which people find it")
    quorum = forms.FloatField(
        label="Ready at, % of the nodes",
        required=False,
        initial=100,
        min_value=0.1,
        max_value=100,
        help_text="The others still get it then",
    )
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4, help_text="sent twice, it makes one job")

    advanced = (
        "shard_size",
        "gcs_slots",
        "upload_slots",
        "download_slots",
        "bucket_budget",
        "quorum",
        "any_zone",
        "policy",
        "priority",
    )

    def request(self) -> dict[str, Any]:
        """What planning takes; of a valid form."""
        values = self.cleaned_data
        named = ("source", "name", "topology", "nodes", "shard_size", "gcs_slots", "upload_slots", "download_slots")
        request = {name: values[name] for name in named} | {"priority": values["priority"] or 0}
        request |= {name: values[name] for name in ("destination", "bucket_budget", "policy") if values[name]}
        if values["quorum"] is not None:
            request["quorum"] = values["quorum"] / 100
        if values["any_zone"]:
            request["own_zone"] = False
        return request
