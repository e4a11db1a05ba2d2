"""Claims about targets: unions count nothing twice, names and units mean what they say."""

import numpy as np
import pytest
import torch
from exact import exact_model
from hypothesis import given, settings
from hypothesis import strategies as st

import pspgen_pyro as psp
from pspgen_pyro import Box, InputError, ProcessSpace, maximise, probability
from pspgen_pyro.design import Boxes, parse_target, target_from_json
from pspgen_pyro.errors import DataError
from pspgen_pyro.model.distributions import NormalMixture
from pspgen_pyro.schema import Schema

PROCESS = ProcessSpace(("T",), (900.0,), (1200.0,))
STUDY = Schema(process=PROCESS, properties=("horizontal log", "vertical log"))
ALLOY = Schema(
    process=PROCESS,
    properties=("k_h [m^2] log below=1e-18", "strength [MPa]", "porosity logit limits=0:1"),
)
INF = np.inf


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
@given(st.floats(1e-6, 1.0), st.floats(-12, 0), st.tuples(*[st.floats(-15, 5)] * 2))
def test_a_name_is_the_property_in_its_unit_and_ln_is_m(value, a, m):
    region = parse_target(f"ln vertical<{a!r}, horizontal>{value!r}", STUDY)
    assert region.contains(m) == (m[1] <= a and m[0] >= np.log(value))


@pytest.mark.parametrize(
    ("text", "lower", "upper"),
    [
        ("strength>30", (-INF, 30, -INF), (INF, INF, INF)),
        ("strength>30 MPa", (-INF, 30, -INF), (INF, INF, INF)),
        ("strength > 0.03GPa", (-INF, 30, -INF), (INF, INF, INF)),
        ("20 < strength <= 30 MPa", (-INF, 20, -INF), (INF, 30, INF)),
        ("30 >= strength > 20", (-INF, 20, -INF), (INF, 30, INF)),
        ("strength in [20, 30] MPa", (-INF, 20, -INF), (INF, 30, INF)),
        ("strength = 30 ± 2 MPa", (-INF, 28, -INF), (INF, 32, INF)),
        ("k_h < 1e-12 m^2, strength>30", (-INF, 30, -INF), (np.log(1e-12), INF, INF)),
        ("k_h < 1 darcy and strength>30", (-INF, 30, -INF), (np.log(9.869233e-13), INF, INF)),
        ("k_h <= 1e-18 m^2", (-INF, -INF, -INF), (np.log(1e-18), INF, INF)),
        ("porosity > 50 %", (-INF, -INF, 0), (INF, INF, INF)),
        ("logit porosity in [-1, 1]", (-INF, -INF, -1), (INF, INF, 1)),
        ("porosity = 0.02 ± 0.05", (-INF, -INF, -INF), (INF, INF, np.log(0.07 / 0.93))),
        ("k_h > 0, porosity < 1, strength>1", (-INF, 1, -INF), (INF, INF, INF)),
    ],
)
def test_every_form_is_the_region_that_it_says(text, lower, upper):
    region = parse_target(text, ALLOY)
    assert region.lower == pytest.approx(lower, rel=1e-6)
    assert region.upper == pytest.approx(upper, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("k_h<1e-12 , strength>=30MPa", "k_h < 1e-12 m^2 and strength >= 30 MPa"),
        ("strength=30+-2;porosity<.1", "strength = 30 ± 2 MPa or porosity < .1"),
        ("ln k_h>-30; 1<strength<2 GPa", "ln k_h > -30 or 1 < strength < 2 GPa"),
        ("strength in [20,30]", "strength in [20,30] MPa"),
    ],
)
def test_a_target_is_printed_by_names_and_units_and_reads_the_same_again(text, shown):
    region = parse_target(text, ALLOY)
    assert str(region) == region.event == shown
    assert parse_target(shown, ALLOY) == region
    back = target_from_json(region.to_json())
    assert (back, str(back)) == (region, shown)


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("-10:-9,-7:-5", Box((-10, -7), (-9, -5))),
        ("ln horizontal>-7,ln vertical<-9", Box((-7, -INF), (INF, -9))),
        (
            "-1:0,-1:0;ln horizontal>2",
            Boxes((Box((-1, -1), (0, 0)), Box((2, -INF), (INF,) * 2))),
        ),
    ],
)
def test_intervals_without_names_are_those_of_m(text, region):
    assert psp.target(text).resolve(STUDY) == region
    assert target_from_json(region.to_json()) == region


def test_a_region_of_m_is_printed_as_one():
    assert parse_target("-10:-9,-7:-5", STUDY).event == "m ∈ [-10, -9] × [-7, -5]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("diagonal>3", "'diagonal' is no property here; known ones are k_h, strength, porosity"),
        ("strength>>3", "'strength>>3', which is no bound"),
        ("strength=3", "a point as name=number±tolerance"),
        ("strength=3±0", "a tolerance must be positive"),
        ("strength>3,strength<2", "leaves nothing between the bounds on strength"),
        ("3 < strength > 2", "signs point apart"),
        ("strength > 3 K", "in 'K', which does not convert to 'MPa'"),
        ("k_h > -7", "values of k_h on a log scale lie between 0 and inf.* write ln k_h"),
        ("k_h < -7", "values of k_h on a log scale lie between 0 and inf"),
        ("porosity < 3", "lie between 0 and 1"),
        ("k_h < 1e-19", "beyond the detection limit 1e-18 of k_h"),
        ("k_h > 1e-25 m^2", "beyond the detection limit 1e-18 of k_h"),
        ("ln strength > 3", "strength is on a linear scale"),
        ("logit k_h > 3", "k_h is on a log scale"),
        ("ln k_h > -20 m^2", "ln k_h has no unit"),
        ("-1:0,-1:0;", "write bounds by name"),
        ("-1:0;strength>2", r"1 interval\(s\) but the model has 3"),
        ("", "write bounds by name"),
    ],
)
def test_a_target_that_cannot_be_read_is_refused_in_one_sentence(text, words):
    with pytest.raises(InputError, match=words) as caught:
        parse_target(text, ALLOY)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({"lower": [0]}, "'target.upper': field required"),
        ({"lower": [0], "upper": ["x"]}, "'target.upper.0' is 'x'"),
        ({"boxes": [{"lower": [0], "upper": [1], "more": 1}]}, "'target.boxes.0.more'"),
        ([1], "a JSON object is needed"),
    ],
)
def test_a_malformed_stored_target_is_one_sentence_with_its_path(content, path):
    with pytest.raises(DataError, match=path):
        target_from_json(content)


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
    design = maximise(model, Box((0.5, -INF), (INF, INF)), draws=256)
    loc = probability(model, design.target, model.process.grid(21)).value.max()
    assert design.status.startswith("converged")
    assert design.probability.value >= loc - 1e-4
