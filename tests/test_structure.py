"""Process → structure: the field has the chosen spectrum, the image the chosen fraction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pspgen_pyro.errors import InputError
from pspgen_pyro.structure import (
    AS_STATED,
    CALIBRATED,
    PhaseSeparatedField,
    Preset,
    ThresholdedField,
    cahn_hilliard,
    five_mode_spectrum,
    gaussian_random_field,
    threshold,
    two_mode_spectrum,
    two_point_correlation,
    void_fraction,
)

PRESETS = pytest.mark.parametrize("preset", [AS_STATED, CALIBRATED], ids=lambda p: p.name)


def seeds(count, root=0):
    return np.random.SeedSequence(root).spawn(count)


def test_the_two_mode_spectrum_is_equation_24_with_the_weight_ten_minus_phi1():
    S = two_mode_spectrum([[7.0, 0.3]], 8)[0]
    for row, ky in enumerate([0, 1, 2, 3, -4, -3, -2, -1]):
        for column, kx in enumerate([0, 1, 2, 3, -4, -3, -2, -1]):
            expected = 7.0 * np.exp(-0.3 * kx**2) + 3.0 * np.exp(-0.3 * ky**2)
            assert S[row, column] == pytest.approx(expected, rel=1e-14)


def test_the_five_mode_spectrum_is_equation_25():
    phi = np.r_[np.arange(1.0, 6.0), np.linspace(0.1, 0.9, 5)]
    S = five_mode_spectrum(phi[None], 8)[0]
    kx, ky = 3, 2
    expected = sum(
        w * (np.exp(-s * kx**2) + np.exp(-s * ky**2))
        for w, s in zip(phi[:5], phi[5:], strict=True)
    )
    assert S[ky, kx] == pytest.approx(expected, rel=1e-14)
    assert S[-ky, -kx] == pytest.approx(expected, rel=1e-14)


@PRESETS
def test_the_mean_periodogram_of_the_field_is_the_chosen_spectrum(preset):
    """As stated it is S; calibrated, where S is the amplitude, it is S². Each bin of 4,000 fields
    has a relative standard error of 1.6 % (2.2 % where the coefficient is real)."""
    count, n = 4000, 12
    S = two_mode_spectrum([[8.0, 0.15]], n)
    amplitude = np.repeat(preset.amplitude(S), count, axis=0)
    fields = gaussian_random_field(amplitude, seeds(count))
    periodogram = (np.abs(np.fft.fft2(fields)) ** 2).mean(axis=0) / n**2
    expected = S[0] if preset is AS_STATED else S[0] ** 2
    ratio = periodogram / expected
    assert np.abs(ratio - 1).max() < 0.11
    assert ratio.mean() == pytest.approx(1.0, abs=0.01)


@PRESETS
@pytest.mark.parametrize("n", [12, 36])
def test_the_thresholded_void_fraction_is_exact_in_every_image(preset, n):
    structure = PhaseSeparatedField(n, two_mode_spectrum, preset)
    x = structure.initial(np.tile([3.0, 0.7], (20, 1)), seeds(20))
    assert (x.sum(axis=(1, 2)) == round(preset.void_fraction * n * n)).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 9), st.floats(0.01, 0.99), st.integers(0, 2**32 - 1))
def test_threshold_makes_exactly_the_highest_pixels_void(n, fraction, seed):
    field = np.random.default_rng(seed).integers(0, 4, (3, n, n)).astype(float)
    labels = threshold(field, fraction)
    assert (labels.sum(axis=(1, 2)) == round(fraction * n * n)).all()
    for image, label in zip(field, labels, strict=True):
        if 0 < label.sum() < n * n:
            assert image[label == 1].min() >= image[label == 0].max()


@PRESETS
def test_a_batch_is_bit_for_bit_its_samples_one_by_one(preset):
    structure = PhaseSeparatedField(20, two_mode_spectrum, preset)
    phi = np.random.default_rng(1).uniform([1, 0.2], [9, 2], (11, 2))
    children = seeds(11)
    batch = structure(phi, children)
    for i in range(11):
        assert (structure(phi[i : i + 1], children[i : i + 1])[0] == batch[i]).all()
    assert (structure(phi[4:], children[4:]) == batch[4:]).all()


def test_the_seed_decides_the_sample():
    structure = PhaseSeparatedField(16, two_mode_spectrum)
    phi = [[5.0, 1.0]]
    assert (structure(phi, seeds(1, 3)) == structure(phi, seeds(1, 3))).all()
    assert (structure(phi, seeds(1, 3)) != structure(phi, seeds(1, 4))).any()


def test_mirroring_phi1_about_5_transposes_the_law_of_the_structure():
    """φ → (10 − φ1, φ2) transposes the amplitude, so transposed noise gives the transposed field,
    and the statistics of 300 images agree with those of 300 transposed ones."""
    S, mirrored = (two_mode_spectrum([[phi1, 0.9]], 16) for phi1 in (8.0, 2.0))
    assert np.allclose(S.transpose(0, 2, 1), mirrored, rtol=1e-14)
    structure = PhaseSeparatedField(16, two_mode_spectrum)
    x = structure(np.tile([8.0, 0.9], (300, 1)), seeds(300, 5))
    mirror = structure(np.tile([2.0, 0.9], (300, 1)), seeds(300, 6)).transpose(0, 2, 1)
    C, C_mirror = (two_point_correlation(s).mean(axis=0) for s in (x, mirror))
    error = np.sqrt(2 * two_point_correlation(x).var(axis=0) / 300).max()
    assert np.abs(C - C_mirror).max() < 5 * error
    assert np.abs(C - C.T).max() > 10 * error


def test_a_large_phi1_makes_horizontal_bands():
    x = PhaseSeparatedField(24, two_mode_spectrum)(np.tile([9.0, 2.0], (40, 1)), seeds(40))
    along, across = (np.roll(x, 4, axis=axis) == x for axis in (2, 1))
    assert along.mean() > across.mean() + 0.2


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 7), st.integers(2, 7), st.integers(0, 2**32 - 1))
def test_the_two_point_correlation_counts_pairs_of_void_pixels(height, width, seed):
    x = np.random.default_rng(seed).integers(0, 2, (height, width))
    C = two_point_correlation(x)
    for i in range(height):
        for j in range(width):
            pairs = (x * np.roll(x, (-i, -j), axis=(0, 1))).mean()
            assert C[i, j] == pytest.approx(pairs, abs=1e-12)
    assert C[0, 0] == pytest.approx(void_fraction(x))


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.integers(2, 5), min_size=2, max_size=3), st.booleans(), st.integers(0, 2**32 - 1)
)
def test_with_walls_every_shift_counts_the_pairs_inside_the_image_alone(sides, periodic, seed):
    x = np.random.default_rng(seed).integers(0, 2, sides)
    d = len(sides)
    C = two_point_correlation(x, edges="periodic" if periodic else "walls", dimensions=d)
    assert C.shape == (tuple(sides) if periodic else tuple(2 * n - 1 for n in sides))
    for shift in np.ndindex(*C.shape):
        r = [s - m if s >= n else s for s, n, m in zip(shift, sides, C.shape, strict=True)]
        if periodic:
            pairs = (x * np.roll(x, [-s for s in r], axis=range(d))).mean()
        else:
            here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(r, sides, strict=True))
            there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(r, sides, strict=True))
            pairs = (x[here] * x[there]).mean()
        assert C[shift] == pytest.approx(pairs, abs=1e-12)
    assert C[(0,) * d] == pytest.approx(void_fraction(x, dimensions=d))


def test_the_correlation_of_a_mirrored_image_is_that_of_its_periodic_cell():
    x = np.random.default_rng(0).integers(0, 2, (3, 4))
    whole = np.block([[x, x[:, ::-1]], [x[::-1], x[::-1, ::-1]]])
    assert np.allclose(two_point_correlation(x, edges="mirrored"), two_point_correlation(whole))


def test_statistics_say_what_they_take():
    with pytest.raises(InputError, match="D, H, W"):
        void_fraction(np.zeros((4, 4)), dimensions=3)
    for options in ({"edges": "open"}, {"dimensions": 4}):
        with pytest.raises(InputError, match=next(iter(options))):
            two_point_correlation(np.zeros((4, 4)), **options)


@pytest.mark.parametrize("spectrum", [two_mode_spectrum, five_mode_spectrum])
def test_the_spectrum_of_a_rectangle_is_that_of_the_square_of_its_shorter_side(spectrum):
    """An image twice as wide has every second wave of its own between those of the square."""
    phi = [[7.0, 0.3]] if spectrum is two_mode_spectrum else [[7.0, 1, 2, 3, 4] + [0.3] * 5]
    square, wide, high = (spectrum(phi, n) for n in (8, (8, 16), (16, 8)))
    assert wide.shape[1:] == (8, 16)
    waves = [0, 2, 4, 6, 10, 12, 14]
    assert np.allclose(wide[:, :, waves], square[:, :, [0, 1, 2, 3, 5, 6, 7]])
    assert np.allclose(high[:, waves], square[:, [0, 1, 2, 3, 5, 6, 7]])


def test_a_rectangle_is_phase_separated_as_its_tiles_are():
    c = np.sign(np.random.default_rng(0).standard_normal((1, 12, 12)))
    twice = cahn_hilliard(np.concatenate([c, c], axis=2), 2.0)
    assert twice.shape == (1, 12, 24)
    assert np.allclose(twice[:, :, :12], cahn_hilliard(c, 2.0), atol=1e-9)


def test_a_cut_field_of_three_phases_may_be_a_rectangle():
    x = ThresholdedField((12, 20), two_mode_spectrum, (0.5, 0.25, 0.25))([[5.0, 1.0]], seeds(1, 0))
    assert x.shape == (1, 12, 20)
    assert list(np.bincount(x.ravel())) == [120, 60, 60]


@pytest.mark.parametrize("n", [3, (12, 3), (12,), (12, 12, 12), 12.0, True, (12, "a")])
def test_sides_that_are_none_are_refused(n):
    with pytest.raises(InputError, match="'n' is"):
        PhaseSeparatedField(n, two_mode_spectrum)


@pytest.mark.parametrize("statistic", [void_fraction, two_point_correlation])
@pytest.mark.parametrize(
    "x", [[[0, 255]], [[0.5, 1.0]], [[np.nan, 1.0]], [[0, 2]], [1, 0], [["void"]], [[0], [0, 1]]]
)
def test_statistics_of_two_phases_refuse_anything_but_zeros_and_ones(statistic, x):
    """A fraction of 0.35, or a correlation of 40,873, of an image that was saved as 0 and 255."""
    with pytest.raises(InputError, match="'x' "):
        statistic(x)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: two_mode_spectrum([[1.0, 2.0, 3.0]], 8), "phi"),
        (lambda: two_mode_spectrum([[11.0, 2.0]], 8), "phi"),
        (lambda: five_mode_spectrum([[1.0] * 9], 8), "phi"),
        (lambda: gaussian_random_field(np.ones((2, 4, 4)), seeds(1)), "seeds"),
        (lambda: threshold(np.ones((1, 4, 4)), 1.0), "void_fraction"),
        (lambda: Preset("mine", "square", 0.5), "filter"),
        (lambda: Preset("mine", "power", 0.0), "void_fraction"),
        (lambda: PhaseSeparatedField(2, two_mode_spectrum), "n"),
        (lambda: PhaseSeparatedField(8, two_mode_spectrum, gamma=0.0), "gamma"),
    ],
)
def test_bad_arguments_are_named(call, name):
    with pytest.raises(InputError, match=f"'{name}'"):
        call()
