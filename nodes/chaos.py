"""Faults on purpose, over REST: only where the whole installation was set up as a test fleet."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from nodes.models import Node, NodeState
from transfers.api.permissions import needs
from transfers.audit import note
from transfers.errors import InvalidTransition
from transfers.links import get_links

MOST_SECONDS = 3600
MOST_SHARDS = 1000


class ChaosSerializer(serializers.Serializer[Any]):
    act = serializers.ChoiceField(
        choices=["kill", "slow", "corrupt"],
        help_text="kill ends the agent at once, slow caps its rates for a while, corrupt damages shards on its disk",
    )
    rate = serializers.IntegerField(min_value=8000, max_value=10**12, default=8_000_000, help_text="slow: bit/s")
    seconds = serializers.IntegerField(min_value=1, max_value=MOST_SECONDS, default=60, help_text="slow: how long")
    job = serializers.UUIDField(required=False, allow_null=True, help_text="corrupt: whose shards")
    shards = serializers.IntegerField(min_value=1, max_value=MOST_SHARDS, default=1, help_text="corrupt: how many")

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["act"] == "corrupt" and not asked.get("job"):
            raise serializers.ValidationError({"job": "name the job whose shards are to be damaged"})
        return asked


class NodeChaos(APIView):
    permission_classes = [needs("nodes.remove_node")]
    problems = {"post": (409,)}

    @extend_schema(request=ChaosSerializer, responses={202: None}, operation_id="nodes_chaos")
    def post(self, request: Request, name: str, **kwargs: Any) -> Response:
        """Has a node of a test fleet kill, slow or damage itself, with its next heartbeat.

        Refused unless FDIST_TEST_FLEET is set here; the node's agent refuses as well unless it is set there.
        """
        node = get_object_or_404(Node, cell=settings.FDIST_CELL, name=name)
        if not settings.TEST_FLEET:
            raise InvalidTransition("this is no test fleet: faults are made only where FDIST_TEST_FLEET is set")
        if node.state not in (NodeState.LIVE, NodeState.DRAINING):
            raise InvalidTransition(f"node {node.name} is {node.state}")
        asked = ChaosSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        get_links().scheduler.order(node.name, order_of(asked.validated_data))
        note(request.user, node, f"Chaos: {asked.validated_data['act']}", where="by the API")
        return Response(status=status.HTTP_202_ACCEPTED)


def order_of(asked: dict[str, Any]) -> dict[str, Any]:
    """As the agent reads it (nodes/agent/chaos.py)."""
    wanted = {"kill": (), "slow": ("rate", "seconds"), "corrupt": ("shards",)}[asked["act"]]
    order = {"op": "chaos", "act": asked["act"], **{name: asked[name] for name in wanted}}
    return order | ({"job": asked["job"].hex} if asked["act"] == "corrupt" else {})
