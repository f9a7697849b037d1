"""Ways to cut bytes into reads, for Hypothesis."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st


@st.composite
def pieces_of(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """Cut bytes anywhere, also into single and into no bytes."""
    size = len(stream)
    cuts = draw(st.lists(st.integers(0, size), max_size=12))
    if size and draw(st.booleans()):
        start = draw(st.integers(0, size - 1))
        cuts += range(start, min(size, start + draw(st.integers(1, 60))))
    places = [0, *sorted(cuts), size]
    return [stream[a:b] for a, b in itertools.pairwise(places)]
