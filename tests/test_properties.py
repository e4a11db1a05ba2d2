"""Structure → property: exact flows, symmetries, two formulations, percolation, refusals."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles import unrolled
from scipy import ndimage

from pspgen_pyro.errors import InputError, MissingDependencyError
from pspgen_pyro.properties import (
    _fem,
    length,
    millidarcy,
    percolation,
    permeability,
    permeability_tensor,
    stokes,
)
from pspgen_pyro.properties._fem import require
from pspgen_pyro.structure import CALIBRATED, PhaseSeparatedField, two_mode_spectrum

N = 12
dolfinx = partial(permeability, solver="dolfinx")
dolfinx_tensor = partial(permeability_tensor, solver="dolfinx")
images = arrays(np.uint8, (6, 6), elements=st.integers(0, 1))
rectangles = st.tuples(st.integers(3, 7), st.integers(3, 7)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))
)


def channel(width, n=N):
    x = np.zeros((1, n, n), dtype=np.uint8)
    x[0, 3 : 3 + width] = 1
    return x


def blobs(samples, n=N, seed=0):
    """Smooth random structures, void fraction about 0.6."""
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal((samples, n, n)))
    wave = np.fft.fftfreq(n, 1 / n)
    smooth = np.fft.ifft2(noise * np.exp(-0.15 * (wave**2 + wave[:, None] ** 2))).real
    return (smooth > np.quantile(smooth, 0.4, axis=(1, 2), keepdims=True)).astype(np.uint8)


@pytest.mark.parametrize("formulation", ["study", "consistent"])
@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_a_channel_w_pixels_wide_has_the_elements_exact_permeability(formulation, width):
    exact = width**3 / (12 * N**3) * (1 - 1 / width**2)
    k = dolfinx(channel(width), formulation)[0, 0]
    assert k == pytest.approx(exact, rel=1e-8, abs=1e-15)


def test_a_channel_along_the_rows_is_vertical_flow():
    x = channel(5)
    assert dolfinx(x.transpose(0, 2, 1))[0, ::-1] == pytest.approx(dolfinx(x)[0], rel=1e-12)


@pytest.mark.parametrize("formulation", ["study", "consistent"])
def test_permeability_does_not_depend_on_where_the_cell_is_cut(formulation):
    x = blobs(3)
    rolled = np.roll(x, (5, -2), axis=(1, 2))
    assert dolfinx_tensor(rolled, formulation) == pytest.approx(
        dolfinx_tensor(x, formulation), rel=1e-9, abs=1e-14
    )


@pytest.mark.parametrize("formulation", ["study", "consistent"])
def test_transposing_the_image_swaps_the_directions(formulation):
    x = blobs(3)
    turned = dolfinx_tensor(x.transpose(0, 2, 1), formulation)
    assert turned[:, ::-1, ::-1] == pytest.approx(
        dolfinx_tensor(x, formulation), rel=1e-9, abs=1e-14
    )


def test_mirroring_the_image_flips_the_sign_of_the_off_diagonal():
    x = blobs(3)
    sign = np.array([[1, -1], [-1, 1]])
    mirrored = dolfinx_tensor(x[:, :, ::-1])
    assert mirrored == pytest.approx(dolfinx_tensor(x) * sign, rel=1e-9, abs=1e-14)


def test_the_study_tensor_is_symmetric_and_positive():
    tensor = dolfinx_tensor(blobs(6))
    assert tensor == pytest.approx(tensor.transpose(0, 2, 1), rel=1e-9, abs=1e-14)
    assert (np.linalg.eigvalsh(tensor) > 0).all()


@pytest.mark.parametrize(("n", "solid", "log_k"), [(36, 15, -9.6), (128, 53, -12.0)])
def test_a_blocked_direction_leaks_in_the_study_and_not_when_consistent(n, solid, log_k):
    x = np.ones((1, n, n), dtype=np.uint8)
    x[0, :, :solid] = 0
    leak = dolfinx(x, "study")[0, 0]
    assert leak == pytest.approx(x.mean() / (6 * n**2), rel=0.06)
    assert np.log(leak) == pytest.approx(log_k, abs=0.06)
    assert abs(stokes.solve(x, "consistent")[0, 0, 0]) < 1e-14


def noise(samples, shape, seed=0):
    """White noise of any void fraction with at least one solid pixel."""
    rng = np.random.default_rng(seed)
    x = (rng.random((samples, *shape)) < rng.uniform(0.3, 0.8, (samples, 1, 1))).astype(np.uint8)
    x[:, 0, 0] = 0
    return x


@pytest.mark.parametrize("route", ["ldl", "lu"])
def test_past_corners_nothing_flows_by_numbers_before_percolation_says_so(route):
    x = noise(20, (6, 9))
    k = stokes.solve(x, "consistent", route=route).diagonal(axis1=1, axis2=2)
    blocked = ~percolation(x)
    assert blocked.sum() > 10
    assert abs(k[blocked]).max() < 1e-14


def test_a_blocked_direction_is_zero_with_its_cross_terms_and_the_other_is_not():
    x = np.zeros((1, 12, 12), dtype=np.uint8)
    x[0, 1:5] = x[0, 5:8, 2:6] = x[0, 8:10, 6:9] = 1
    found = permeability_tensor(x, "consistent")[0]
    assert found[0, 0] > 0
    assert not found[[0, 1, 1], [1, 0, 1]].any()
    assert stokes.solve(x, "consistent")[0, 1, 1] == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("formulation", ["study", "consistent"])
@pytest.mark.parametrize("shape", [(5, 9), (8, 3)])
def test_on_rectangles_both_routes_are_the_same_numbers_and_transposition_swaps(
    shape, formulation
):
    x = noise(10, shape)
    fast, reference = permeability_tensor(x, formulation), dolfinx_tensor(x, formulation)
    assert fast == pytest.approx(reference, rel=1e-9, abs=1e-15)
    turned = permeability_tensor(x.transpose(0, 2, 1), formulation)
    assert turned[:, ::-1, ::-1] == pytest.approx(fast, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("solve", [permeability_tensor, dolfinx_tensor])
def test_two_copies_of_a_square_have_its_permeability_in_pixels(solve):
    x = blobs(2, n=8)
    one, two = solve(x, "consistent"), solve(np.tile(x, (1, 1, 2)), "consistent")
    assert 2 * two == pytest.approx(one, rel=1e-10, abs=1e-15)


@pytest.mark.parametrize("solve", [permeability, dolfinx])
def test_a_channel_between_walls_is_plane_poiseuille_flow(solve):
    height, length = 7, 11
    k = solve(np.ones((1, height, length)), edges="walls")[0] * height * length
    # a mean velocity of h² / 12 across each gap, less 1 / 12 by the element
    assert k == pytest.approx([(height**2 - 1) / 12, (length**2 - 1) / 12], rel=1e-10)


@pytest.mark.parametrize("solve", [permeability, dolfinx])
def test_at_a_mirror_half_a_channel_slips_and_at_a_wall_it_does_not(solve):
    x = np.zeros((1, 7, 5), dtype=np.uint8)
    x[0, :3] = 1
    halves = 6**3 / (12 * 14) * (1 - 1 / 6**2)
    whole = 3**3 / (12 * 7) * (1 - 1 / 3**2)
    assert solve(x, edges="mirrored")[0, 0] * 35 == pytest.approx(halves, rel=1e-10)
    assert solve(x, edges="walls")[0, 0] * 35 == pytest.approx(whole, rel=1e-10)
    assert solve(x, edges="periodic")[0, 0] * 35 == pytest.approx(whole, rel=1e-10)
    inside = np.roll(x, 2, axis=1)
    for edges in ("mirrored", "walls"):
        assert solve(inside, edges=edges)[0, 0] * 35 == pytest.approx(whole, rel=1e-10)


def test_walls_are_mirrors_behind_a_row_of_solid():
    x = noise(4, (5, 6), seed=3)
    padded = np.pad(x, [(0, 0), (1, 1), (0, 0)])
    mirrored = permeability(padded, "consistent", edges="mirrored")[:, 0] * padded[0].size
    walls = permeability(x, "consistent", edges="walls")[:, 0] * x[0].size
    assert walls == pytest.approx(mirrored * 7 / 5, rel=1e-9, abs=1e-14)


def test_a_path_from_face_to_face_percolates_between_plates_without_winding():
    x = np.zeros((1, 4, 6), dtype=np.uint8)
    x[0, 0, :3] = x[0, :, 2] = x[0, 3, 2:] = 1
    assert percolation(x).tolist() == [[False, True]]
    assert percolation(x, "mirrored").all()
    assert percolation(x, edges="walls").all()
    x[0, 1, 2] = 0
    assert percolation(x).tolist() == [[False, False]]
    assert percolation(np.roll(x, 1, axis=2)).tolist() == [[False, False]]
    assert not percolation(x, "walls").any()


@settings(deadline=None, max_examples=100)
@given(rectangles)
def test_between_plates_percolation_is_one_label_on_two_faces(void):
    parts = ndimage.label(void)[0]
    across = bool(set(parts[:, 0]) & set(parts[:, -1]) - {0})
    down = bool(set(parts[0]) & set(parts[-1]) - {0})
    assert percolation(void[None], "walls")[0].tolist() == [across, down]


def test_with_a_pixel_size_k_is_in_square_metres_and_a_darcy_is_its_definition():
    x = channel(5)
    k = permeability(x)
    assert permeability(x, pixel_size="0.5 um") == pytest.approx(k * N**2 * 0.25e-12, rel=1e-14)
    tensor = permeability_tensor(x, edges="walls", pixel_size="2 mm")
    assert tensor == pytest.approx(permeability_tensor(x, edges="walls") * N**2 * 4e-6, rel=1e-14)
    # 1 cm³/s of 1 cP through 1 cm² under 1 atm/cm
    assert millidarcy(1e-6 * 1e-3 * 1e-2 / (1e-4 * 101325)) == pytest.approx(1000, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "metres"),
    [("2 m", 2), ("3mm", 3e-3), ("1e1 um", 1e-5), ("0.5 µm", 5e-7), ("7 nm", 7e-9)],
)
def test_a_length_is_a_number_and_a_unit(text, metres):
    assert length(text) == pytest.approx(metres, rel=1e-14)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 um", "positive finite"),
        ("-1 um", "positive finite"),
        ("5", "a number and a unit"),
        ("um", "a number and a unit"),
        (5e-7, "a number and a unit"),
        ("1.2.3 um", "no number"),
        ("5 s", "does not convert to 'm'"),
        ("5 furlings", "does not convert to 'm'"),
    ],
)
def test_what_is_no_pixel_size_is_refused_by_name(text, words):
    with pytest.raises(InputError, match=f"'pixel_size' is.*{words}"):
        permeability(channel(3), pixel_size=text)


def test_without_solid_flow_is_steady_between_walls_alone():
    x = np.ones((1, 4, 5))
    for edges in ("periodic", "mirrored"):
        with pytest.raises(InputError, match="no solid in sample 0"):
            permeability(x, edges=edges)
    assert stokes.reference(x, edges="walls").percolates.all()
    for solved in (permeability, percolation, stokes.reference):
        with pytest.raises(InputError, match="'edges' is 'open'"):
            solved(x, edges="open")


@settings(deadline=None, max_examples=40)
@given(images)
def test_any_image_has_a_finite_tensor_and_dissipates(void):
    if void.all():
        return
    tensor = stokes.solve(void[None])[0]
    assert np.isfinite(tensor).all()
    assert np.linalg.eigvalsh(tensor).min() >= -1e-12
    assert np.isfinite(stokes.solve(void[None], "consistent")).all()


def test_without_void_nothing_flows():
    assert (dolfinx_tensor(np.zeros((2, N, N))) == 0).all()


def test_both_mumps_routes_and_any_number_of_workers_agree():
    x = blobs(3)
    ldl = stokes.solve(x)
    assert stokes.solve(x, route="lu") == pytest.approx(ldl, rel=1e-9, abs=1e-16)
    assert np.array_equal(stokes.solve(x, workers=2), ldl)


@pytest.mark.parametrize("formulation", ["study", "consistent"])
def test_multifrontal_and_dolfinx_are_the_same_numbers(formulation):
    x = np.concatenate([blobs(6), channel(5), channel(1), np.zeros((1, N, N), dtype=np.uint8)])
    fast, reference = permeability_tensor(x, formulation), dolfinx_tensor(x, formulation)
    assert fast == pytest.approx(reference, rel=1e-11, abs=1e-16)


def test_taylor_hood_has_the_channels_exact_permeability_at_any_refinement():
    x = channel(3, n=6)
    for refinement in (1, 2):
        found = stokes.reference(x, refinement=refinement)
        assert found.k[0, 0] == pytest.approx(27 / (12 * 6**3), rel=1e-9)
        assert np.isnan(found.k[0, 1])
        assert found.percolates.tolist() == [[True, False]]


def test_the_three_elements_close_in_on_one_permeability():
    x = np.ones((1, 4, 4), dtype=np.uint8)
    x[0, :2, :2] = 0
    k = [
        [stokes.reference(x, name, refinement=r).k[0, 0] for name in stokes.FORMULATIONS]
        for r in (2, 4, 8)
    ]
    spread = np.ptp(k, axis=1) / np.mean(k, axis=1)
    assert (spread[1:] < spread[:-1] / 2).all()
    assert spread[-1] < 0.005


@settings(deadline=None, max_examples=300)
@given(rectangles)
def test_percolation_is_what_labels_on_the_unrolled_plane_say(void):
    assert percolation(void[None])[0].tolist() == winds(void)


def winds(void, copies=9):
    """Whether a component of 9 by 9 copies of the cell holds a pixel and an image of it."""
    rows, columns = void.shape
    parts = unrolled(void, copies).reshape(copies, rows, copies, columns).transpose(0, 2, 1, 3)
    middle = parts[copies // 2, copies // 2]
    joined = ((parts == middle) & (middle > 0)).any(axis=(2, 3))
    down, right = np.nonzero(joined)
    return [bool((right != copies // 2).any()), bool((down != copies // 2).any())]


@settings(deadline=None, max_examples=50)
@given(images, st.integers(0, 5), st.integers(0, 5))
def test_percolation_moves_with_the_image(void, down, right):
    flags = percolation(void[None])[0]
    assert (percolation(np.roll(void, (down, right), (0, 1))[None])[0] == flags).all()
    assert (percolation(void.T[None])[0] == flags[::-1]).all()


def test_a_staircase_that_winds_only_along_the_diagonal_percolates_both_ways():
    x = np.eye(N, dtype=np.uint8) | np.roll(np.eye(N, dtype=np.uint8), 1, axis=1)
    assert percolation(x[None]).all()
    assert not percolation(np.eye(N)[None]).any()


def test_a_path_that_leaves_the_cell_and_comes_back_does_not_percolate():
    x = np.zeros((1, N, N), dtype=np.uint8)
    x[0, 4, -3:] = x[0, 4, :3] = 1
    assert not percolation(x).any()


def test_on_the_studys_structures_the_flag_tells_exactly_which_directions_flow():
    phi = np.random.default_rng(0).uniform((1.0, 0.2), (9.0, 2.0), (100, 2))
    structure = PhaseSeparatedField(36, two_mode_spectrum, CALIBRATED, gamma=2.0)
    x = structure(phi, np.random.SeedSequence(0).spawn(100))
    flags = percolation(x)
    assert 0.5 < flags.mean() < 0.9
    assert np.array_equal(permeability(x, "consistent") > 1e-9, flags)


@settings(deadline=None, max_examples=25)
@given(images)
def test_what_percolates_flows_once_it_is_refined(void):
    if void.all():
        return
    flags = percolation(void[None])[0]
    k = np.diag(stokes.solve(void[None], "taylor-hood", refinement=2)[0])
    assert (k[flags] > 1e-6).all()


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.full((1, 4, 4), 2), "'x' holds 2 at sample 0"),
        (np.full((1, 4, 4), np.nan), "'x' holds nan at sample 0"),
        (np.full((1, 4, 4), 0.5), "'x' holds 0.5"),
        (np.zeros((4, 4)), r"'x' has shape \(4, 4\)"),
        (np.zeros((1, 4, 2)), "4 by 2 pixels"),
        (np.zeros((1, 2, 2)), "2 by 2 pixels"),
        (np.zeros((0, 4, 4)), "'x' is empty"),
        (np.zeros((1, 4, 4), dtype=complex), "'x' holds complex numbers"),
        ([[[0, 1], [0]]], "'x' is ragged"),
        (np.stack([np.zeros((4, 4)), np.ones((4, 4))]), "'x' has no solid in sample 1"),
    ],
)
def test_what_is_no_microstructure_is_refused_by_name(x, words):
    for solved in (permeability, stokes.reference):
        with pytest.raises(InputError, match=words):
            solved(x)


@pytest.mark.parametrize(
    "option", [{"formulation": "exact"}, {"solver": "magic"}, {"workers": 0}, {"workers": 1.5}]
)
def test_an_unknown_option_is_refused_by_name(option):
    with pytest.raises(InputError, match=f"'{next(iter(option))}' is"):
        permeability(channel(3), **option)


def test_without_dolfinx_the_error_says_how_to_get_it(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(_fem.importlib, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=r"pspgen-pyro\[fem\].*conda install"):
        dolfinx(channel(3))


def test_without_a_compiler_the_error_says_so(monkeypatch):
    require()
    import dolfinx.fem

    def failing(*_):
        raise RuntimeError("command 'cc' failed")

    monkeypatch.setattr(dolfinx.fem, "compile_form", failing)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(MissingDependencyError, match=r"C compiler.*no-such-compiler"):
        stokes.UnitCell((5, 5), "study")


def test_the_front_door_does_not_import_dolfinx():
    code = (
        "import sys, pspgen_pyro.properties; "
        "print(sorted({'dolfinx', 'petsc4py'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"
