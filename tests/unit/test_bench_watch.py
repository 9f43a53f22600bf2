"""How the bench of whole fleets tells the use of links."""

from __future__ import annotations

import pytest

from tests.bench.fleet.watch import PARTS, rates_of


@pytest.mark.parametrize("looks", range(3 * PARTS))
def test_the_rate_of_a_steady_link_is_the_same_in_each_part(looks: int) -> None:
    seen = [(0.05 * look, 50 * look) for look in range(looks)]
    assert rates_of(seen) == pytest.approx([1000.0] * PARTS if looks > PARTS else [])
