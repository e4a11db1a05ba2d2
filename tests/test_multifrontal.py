"""Claims about the exact multifrontal solver and the element it solves for."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import (
    parted_by_labels,
    permeability_by_pivoting,
    quadrature_element,
    smooth_images,
)

from pspgen_pyro.properties._windings import parted_nodes, windings
from pspgen_pyro.properties.element import PIN, bordered_element
from pspgen_pyro.properties.multifrontal import solve
from pspgen_pyro.properties.nested_dissection import (
    VOID_CELLS,
    dissect,
    find_fronts,
    roll_to_cheapest_edges,
    void_cells_at_nodes,
)

FORMULATIONS = ["study", "consistent"]


@st.composite
def images(draw, sizes=(2, 13)):
    """White noise of any void fraction with at least one solid pixel: islands, necks, corners."""
    shape = draw(st.integers(*sizes)), draw(st.integers(*sizes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = (rng.random(shape) < draw(st.floats(0.1, 0.98))).astype(np.uint8)
    x[rng.integers(shape[0]), rng.integers(shape[1])] = 0
    return x


def test_the_element_is_the_weak_form_integrated_by_gauss_points():
    for h in (1.0, 0.1):
        K, G, P, g = quadrature_element(h)
        element = bordered_element()
        velocity, pressure = np.delete(np.arange(12), [2, 5, 8, 11]), [2, 5, 8, 11]
        assert element[np.ix_(velocity, velocity)] == pytest.approx(K)
        assert element[np.ix_(velocity, pressure)] == pytest.approx(-G / h)
        assert element[np.ix_(pressure, pressure)] == pytest.approx(
            -P / h**2 - PIN / 4 * np.eye(4)
        )
        assert element[pressure, 14:] == pytest.approx(-g / h**3)
        assert element[velocity, 12:14] == pytest.approx(np.tile(np.eye(2) / 4, (4, 1)))


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize(("n", "width"), [(12, 2), (12, 5), (36, 7), (64, 40), (37, 36)])
def test_a_channel_has_the_elements_exact_permeability(n, width, formulation):
    x = np.zeros((1, n, n), np.uint8)
    x[0, :width] = 1
    x = np.roll(x, n // 2, axis=1)
    exact = width**3 / (12 * n**3) * (1 - 1 / width**2)
    assert solve(x, formulation)[0, 0, 0] == pytest.approx(exact, rel=1e-10)
    assert solve(x.transpose(0, 2, 1), formulation)[0, 1, 1] == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("n", [36, 64])
def test_a_blocked_direction_leaks_tau_times_the_void_fraction_or_nothing(n):
    x = np.ones((1, n, n), np.uint8)
    x[0, :, 5:8] = 0
    tau = 1 / (6 * n**2)
    assert solve(x, "study")[0, 0, 0] == pytest.approx(tau * x.mean(), rel=0.06)
    assert abs(solve(x, "consistent")[0, 0, 0]) < 1e-14


@given(x=images(sizes=(3, 13)))
@settings(deadline=None, max_examples=200)
def test_corners_part_exactly_what_no_path_on_the_unrolled_plane_connects(x):
    assert np.array_equal(parted_nodes(x), parted_by_labels(x))


@pytest.mark.parametrize("shape", [(12, 12), (5, 9), (4, 3)])
def test_of_noise_a_blocked_direction_of_the_consistent_form_is_rounding(shape):
    rng = np.random.default_rng(0)
    x = (rng.random((250, *shape)) < rng.uniform(0.2, 0.8, (250, 1, 1))).astype(np.uint8)
    x[:, 0, 0] = 0
    blocked = ~windings(x)
    assert np.mean([parted_nodes(sample).any() for sample in x]) > 0.5
    assert abs(solve(x, "consistent")[:, [0, 1], [0, 1]][blocked]).max() < 1e-14


@pytest.mark.parametrize("tile", [1, 2, 3, 4, 6, 9, 18])
def test_nothing_flows_in_a_checkerboard(tile):
    row, column = np.indices((36, 36)) // tile
    x = ((row + column) % 2).astype(np.uint8)[None]
    assert parted_nodes(x[0]).any()
    assert not windings(x).any()
    assert abs(solve(x, "consistent")).max() < 1e-14


@given(x=images(sizes=(3, 12)), down=st.integers(1, 3), right=st.integers(1, 3))
@settings(deadline=None, max_examples=20)
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_copies_of_a_cell_have_its_permeability_in_pixels(formulation, x, down, right):
    k = solve(x[None], formulation)[0]
    copies = solve(np.tile(x, (down, right))[None], formulation)[0]
    assert copies * down * right == pytest.approx(k, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@given(x=images())
@settings(deadline=None, max_examples=40)
def test_noise_with_islands_agrees_with_a_pivoting_direct_solve(formulation, x):
    exact = permeability_by_pivoting(x, formulation)
    assert solve(x[None], formulation)[0] == pytest.approx(exact, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize(("n", "count"), [(36, 12), (64, 5), (128, 2)])
def test_permeabilities_of_microstructures_are_exact_to_nine_digits(n, count, formulation):
    x = smooth_images(n, count, seed=n)
    found = solve(x, formulation)
    for k, sample in zip(found, x, strict=True):
        exact = permeability_by_pivoting(sample, formulation)
        # a blocked direction of the consistent form is rounding about 0
        assert k.diagonal() == pytest.approx(exact.diagonal(), rel=1e-9, abs=1e-13)
        assert k == pytest.approx(exact, abs=max(1e-9 * exact.max(), 1e-14))


@given(x=images(), shift=st.tuples(st.integers(0, 12), st.integers(0, 12)))
@settings(deadline=None, max_examples=25)
def test_translation_does_not_change_k_and_transposition_swaps_its_axes(x, shift):
    k = solve(x[None])[0]
    assert solve(np.roll(x, shift, (0, 1))[None])[0] == pytest.approx(k, rel=1e-9, abs=1e-15)
    assert solve(x.T[None])[0] == pytest.approx(k[::-1, ::-1], rel=1e-9, abs=1e-15)


def test_mirroring_an_axis_flips_the_sign_of_the_off_diagonal():
    x = smooth_images(20, 6, seed=1)
    k = solve(x)
    assert solve(x[:, :, ::-1]) == pytest.approx(k * [[1, -1], [-1, 1]], rel=1e-9, abs=1e-15)
    assert (abs(k[:, 0, 1]) > 1e-9).all()


@given(x=images())
@settings(deadline=None, max_examples=25)
def test_the_study_tensor_is_symmetric_and_positive(x):
    k = solve(x[None])[0]
    assert k[0, 1] == pytest.approx(k[1, 0], rel=1e-12, abs=1e-18)
    assert np.linalg.eigvalsh(k).min() > -1e-15


def test_adding_solid_never_raises_the_velocity_of_an_open_direction():
    x = smooth_images(24, 8, seed=2, void_fraction=0.8)
    narrower = x & np.roll(x, 1, axis=1) & np.roll(x, 1, axis=2)
    assert (solve(narrower)[:, [0, 1], [0, 1]] < solve(x)[:, [0, 1], [0, 1]]).all()


def test_without_void_nothing_flows_and_an_island_only_leaks():
    x = np.zeros((2, 9, 9), np.uint8)
    x[1, 4, 4] = 1
    assert not solve(x).any()
    x[1, 3:6, 3:6] = 1
    k = solve(x)[1]
    assert k[0, 0] == pytest.approx(k[1, 1])
    assert 0 < k[0, 0] < 9 / 81 / (6 * 81)


def test_workers_and_batches_do_not_change_a_bit():
    x = smooth_images(24, 19, seed=3)
    k = solve(x)
    assert np.array_equal(solve(x, workers=2), k)
    assert np.array_equal(solve(x, workers=5), k)
    assert np.array_equal(np.concatenate([solve(x[:3]), solve(x[3:4]), solve(x[4:])]), k)


@given(x=images(sizes=(2, 24)))
@settings(deadline=None, max_examples=25)
def test_every_node_is_eliminated_once_and_only_after_all_its_void_cells(x):
    x = roll_to_cheapest_edges(x)
    void = void_cells_at_nodes(x)
    boxes, number = dissect(x, void, VOID_CELLS)
    nodes, offset, owned = find_fronts(x, boxes, number)
    eliminated = np.concatenate([nodes[i : i + o] for i, o in zip(offset, owned, strict=False)])
    assert sorted(eliminated) == list(range(np.count_nonzero(void)))
    assert sorted(number[number >= 0]) == list(range(np.count_nonzero(void)))
    height, breadth = x.shape
    rows, columns = np.divmod(np.arange(x.size), breadth)
    for box, i, o in zip(boxes, offset, owned, strict=False):
        mine = np.isin(number.ravel(), nodes[i : i + o])
        for r, c in zip(rows[mine], columns[mine], strict=True):
            for down, right in np.ndindex(2, 2):
                if x[r - down, c - right]:
                    assert box[0] <= (r - down) % height < box[1]
                    assert box[2] <= (c - right) % breadth < box[3]


PEAK_MEMORY = """
from pathlib import Path
import numpy as np
from pspgen_pyro.properties.multifrontal import solve

def kilobytes(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0])

x = np.ones((1, 128, 128), np.uint8)
x[0, ::20, ::20] = 0
solve(x[:, :9, :9])
before = kilobytes("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
solve(x)
print(kilobytes("VmHWM") - before)
"""


def test_an_open_sample_of_128_pixels_needs_less_than_30_megabytes():
    command = [sys.executable, "-c", PEAK_MEMORY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 30_000
