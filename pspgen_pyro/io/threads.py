"""How many threads torch computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["threads"]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads of torch; by one its sums are made in the same order whoever makes them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
