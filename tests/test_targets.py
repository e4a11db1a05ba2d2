"""Claims about targets: unions count nothing twice, bounds by name mean what they say."""

import numpy as np
import pytest
import torch
from exact import exact_model
from hypothesis import given, settings
from hypothesis import strategies as st

from pspgen_pyro import Box, InputError, maximise, probability
from pspgen_pyro.design import Boxes, parse_target, target_from_json
from pspgen_pyro.model.distributions import NormalMixture

NAMES = ("horizontal", "vertical")


def corners(size):
    return st.tuples(*[st.integers(-3, 3)] * size)


def boxes(size):
    lengths = st.tuples(*[st.integers(1, 3)] * size)
    return st.builds(lambda a, w: Box(a, tuple(np.add(a, w))), corners(size), lengths)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 3).flatmap(lambda size: st.lists(boxes(size), min_size=1, max_size=4)))
def test_the_pieces_of_a_union_are_disjoint_and_cover_exactly_what_the_boxes_cover(members):
    union, size = Boxes(tuple(members)), len(members[0].lower)
    # one point inside every cell of the lattice on which all corners lie
    axes = [np.arange(-4, 7) + 0.5] * size
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, size)
    covered = np.any([box.contains(cells) for box in members], axis=0)
    times = np.sum([piece.contains(cells) for piece in union.boxes], axis=0)
    assert (times == covered).all()
    assert (union.contains(cells) == covered).all()


def test_the_probability_of_overlapping_boxes_is_that_of_inclusion_and_exclusion():
    model, phi = exact_model(), [[0.2, -0.3], [0.9, 0.1]]
    a, b, both = Box((-1, -1), (1, 1)), Box((0, 0), (2, 2)), Box((0, 0), (1, 1))
    p = [probability(model, region, phi).value for region in (Boxes((a, b)), a, b, both)]
    assert p[0] == pytest.approx(p[1] + p[2] - p[3], abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_infinite_end_is_the_limit_of_a_far_one_and_its_slopes_are_finite(dtype):
    loc = torch.tensor([[0.3, -0.2]], dtype=dtype, requires_grad=True)
    scale = torch.tensor([[0.5, 3.0]], dtype=dtype, requires_grad=True)
    law = NormalMixture(torch.zeros(1, dtype=dtype), loc, scale)
    found = []
    for far in (np.inf, 50.0):
        value = Box((-1.0, -far), (far, 1.0)).log_probability(law)
        found.append([value, *torch.autograd.grad(value, (loc, scale))])
    for limit, far in zip(*found, strict=True):
        assert limit.isfinite().all()
        assert torch.allclose(limit, far, rtol=1e-5)


@settings(deadline=None, max_examples=40)
@given(a=st.floats(-12, 0), k=st.floats(1e-6, 1.0), m=st.tuples(*[st.floats(-15, 5)] * 2))
def test_a_bound_on_k_is_the_bound_on_its_logarithm(a, k, m):
    region = parse_target(f"vertical<{a!r}, k_horizontal>{k!r}", NAMES)
    assert region.contains(m) == (m[1] <= a and m[0] >= np.log(k))


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("-10:-9,-7:-5", Box((-10, -7), (-9, -5))),
        ("horizontal>-7,vertical<-9", Box((-7, -np.inf), (np.inf, -9))),
        ("vertical>=-7, vertical<=-5", Box((-np.inf, -7), (np.inf, -5))),
        ("horizontal=-7±0.5,vertical=-9+-1", Box((-7.5, -10), (-6.5, -8))),
        (
            "-1:0,-1:0;horizontal>2",
            Boxes((Box((-1, -1), (0, 0)), Box((2, -np.inf), (np.inf,) * 2))),
        ),
    ],
)
def test_a_target_is_read_as_it_is_written_and_survives_json(text, region):
    assert parse_target(text, NAMES) == region
    assert target_from_json(region.to_json()) == region


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("diagonal>3", "known properties are horizontal, vertical, and k_horizontal, k_vertical"),
        ("horizontal>>3", "'horizontal>>3', which is no bound"),
        ("horizontal=3", "a point as name=number±tolerance"),
        ("horizontal=3±0", "a tolerance must be positive"),
        ("k_horizontal<-1", "k = exp\\(m\\) is positive"),
        ("horizontal>3,horizontal<2", "is inverted: interval 1 runs from 3 to 2"),
        ("-1:0,-1:0;", "write one interval a property"),
        ("-1:0;horizontal>2", r"1 interval\(s\) but the model has 2"),
        ("", "write one interval a property"),
    ],
)
def test_a_target_that_cannot_be_read_is_refused_in_one_sentence(text, words):
    with pytest.raises(InputError, match=words) as caught:
        parse_target(text, NAMES)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Boxes(()),
        lambda: Boxes((Box((0,), (1,)), Box((0, 0), (1, 1)))),
        lambda: Box.around((0.0, 1.0), 0.0),
        lambda: Box.around((0.0, 1.0), (1.0, 1.0, 1.0)),
    ],
)
def test_a_region_that_makes_no_sense_is_refused(make):
    with pytest.raises(InputError):
        make()


def test_a_half_space_is_designed_for_like_any_box():
    model = exact_model()
    design = maximise(model, Box.bounded(NAMES, {"horizontal": (0.5, None)}), draws=256)
    loc = probability(model, design.target, model.process.grid(21)).value.max()
    assert design.status.startswith("converged")
    assert design.probability.value >= loc - 1e-4
