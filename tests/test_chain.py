"""The chain: one seeded simulator whose failures are kept and named."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from pspgen_pyro.chain import Chain, Permeability
from pspgen_pyro.errors import InputError, MissingDependencyError
from pspgen_pyro.process import ProcessSpace
from pspgen_pyro.properties import percolation, permeability
from pspgen_pyro.structure import PhaseSeparatedField, two_mode_spectrum

PROCESS = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
STRUCTURE = PhaseSeparatedField(12, two_mode_spectrum)


def seeds(count, root=0):
    return np.random.SeedSequence(root).spawn(count)


@dataclass
class Bands:
    """Horizontal bands of solid, φ1 rows high; void everywhere if φ1 is below 1.5."""

    n: int = 8
    calls: list = field(default_factory=list)

    def __call__(self, phi, seeds):
        self.calls.append(len(phi))
        x = np.ones((len(phi), self.n, self.n), dtype=np.uint8)
        for image, (phi1, _) in zip(x, phi, strict=True):
            image[: int(phi1) if phi1 >= 1.5 else 0] = 0
        return x


def test_the_chain_is_its_two_links_one_after_the_other():
    phi = PROCESS.sample(5, np.random.default_rng(0))
    sample = Chain(PROCESS, STRUCTURE, Permeability()).simulate(phi, seeds(5))
    x = STRUCTURE(phi, seeds(5))
    assert (sample.x == x).all()
    assert (sample.k == permeability(x)).all()
    assert (sample.m == np.log(sample.k)).all()
    assert (sample.percolates == percolation(x)).all()
    assert sample.failures == {}
    assert len(sample) == 5


def test_a_sample_does_not_depend_on_its_batch():
    chain = Chain(PROCESS, STRUCTURE, Permeability())
    phi = PROCESS.sample(6, np.random.default_rng(1))
    whole = chain.simulate(phi, seeds(6))
    for part in (slice(0, 1), slice(1, 6)):
        some = chain.simulate(phi[part], seeds(6)[part])
        assert (some.x == whole.x[part]).all()
        assert (some.k == whole.k[part]).all()


def test_a_sample_without_solid_is_kept_as_nan_with_its_reason_and_spares_the_others():
    chain = Chain(PROCESS, Bands(), Permeability())
    sample = chain.simulate([[3.0, 1.0], [1.0, 1.0], [4.0, 1.0]], seeds(3))
    assert list(sample.failures) == [1]
    assert "no solid" in sample.failures[1]
    assert np.isnan(sample.k[1]).all()
    assert np.isnan(sample.m[1]).all()
    assert np.isfinite(sample.m[[0, 2]]).all()


def test_a_structure_that_cannot_be_simulated_is_kept_with_its_reason():
    @dataclass
    class Moody(Bands):
        def __call__(self, phi, seeds):
            if (np.asarray(phi)[:, 0] > 8).any():
                raise FloatingPointError("'steps' are too long")
            return super().__call__(phi, seeds)

    sample = Chain(PROCESS, Moody(), Permeability()).simulate([[3.0, 1.0], [8.5, 1.0]], seeds(2))
    assert sample.failures == {1: "FloatingPointError: 'steps' are too long"}
    assert np.isfinite(sample.k[0]).all()
    assert np.isnan(sample.k[1]).all()


def test_a_sample_without_void_has_k_0_and_m_minus_infinity():
    chain = Chain(PROCESS, Bands(), Permeability())
    sample = chain.simulate([[8.0, 1.0]], seeds(1))
    assert (sample.k == 0).all()
    assert (sample.m == -np.inf).all()
    assert sample.failures == {}


def test_a_missing_library_is_an_error_not_a_failed_sample():
    def absent(x):
        raise MissingDependencyError("'dolfinx' is not installed.")

    absent.names = ("horizontal", "vertical")
    with pytest.raises(MissingDependencyError):
        Chain(PROCESS, Bands(), absent).simulate([[3.0, 1.0]], seeds(1))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda chain: chain.simulate([5.0, 1.0], seeds(1)), "phi"),
        (lambda chain: chain.simulate([[5.0, 1.0]], seeds(2)), "seeds"),
        (lambda chain: chain.simulate([[10.0, 1.0]], seeds(1)), "phi"),
        (lambda chain: Permeability("exact"), "formulation"),
        (lambda chain: Permeability("study", "guess"), "solver"),
    ],
)
def test_bad_arguments_are_named(call, name):
    with pytest.raises(InputError, match=f"'{name}'"):
        call(Chain(PROCESS, Bands(), Permeability()))
