"""Microstructures in three dimensions, from arrays to a design."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import binary_blobs

import pspgen_pyro as psp
from pspgen_pyro.chain import EffectiveConductivity, StructureFunction
from pspgen_pyro.errors import InputError
from pspgen_pyro.model import BottleneckReader
from pspgen_pyro.model.base import Dimensions
from pspgen_pyro.plots import property_cloud, show_microstructures
from pspgen_pyro.process.symmetries import PeriodicShift, Reflection, Transposition
from pspgen_pyro.schema import Microstructure, Property, Schema
from pspgen_pyro.structure import two_point_correlation

VOLUME = Microstructure(shape=(16, 16, 16), periodic=False)
NAMES = ("size", "fraction")


def blobs(count, seed):
    """Blobs of two settings, and the share of pairs of void voxels side by side in each."""
    rng = np.random.default_rng(seed)
    phi = rng.uniform((0.2, 0.3), (0.5, 0.7), (count, 2))
    x = np.stack(
        [
            binary_blobs(16, blob_size_fraction=size, n_dim=3, volume_fraction=f, rng=rng)
            for size, f in phi
        ]
    ).astype(np.uint8)
    m = np.stack([(x[:, :, :, 1:] & x[:, :, :, :-1]).mean((1, 2, 3)), x.mean((1, 2, 3))], axis=-1)
    return phi, x, m


@pytest.fixture(scope="module")
def run():
    phi, x, m = blobs(140, 0)
    m[80:] = np.nan
    triads = psp.Triads.from_arrays(
        phi,
        x,
        m,
        process=["size [1] 0.2:0.5", "fraction [1] 0.3:0.7"],
        properties=["pairs [1]", "void [1]"],
        microstructure={"phases": 2, "periodic": False, "shape": (16, 16, 16)},
    )
    return triads, psp.fit(
        triads, epochs=1, reader_steps=45, prior_steps=60, seed=0, progress=False
    )


def test_a_reader_of_volumes_tells_their_properties(run):
    _, found = run
    phi, x, m = blobs(100, 1)
    reader = found.members[0].encoder.reader
    law = reader.law_of(torch.tensor(x))
    weights = law.log_weights.exp()
    read = (weights * law.loc).sum(-1) / weights.sum(-1)
    for j in range(2):
        assert np.corrcoef(read[:, j].numpy(), m[:, j])[0, 1] > 0.9


def test_the_probability_of_a_target_is_that_of_fresh_volumes(run):
    _, found = run
    target = psp.target("void > 0.5")
    for fraction, true in ((0.35, 0.0), (0.65, 1.0)):
        p = found.probability(target, [0.3, fraction])
        assert abs(float(p.value) - true) < 0.1


def test_a_store_and_a_run_of_volumes_open_as_they_were(run, tmp_path):
    triads, found = run
    triads.save(tmp_path / "triads.zarr")
    opened = psp.Triads.open(tmp_path / "triads.zarr")
    assert opened.data["x"].dims == ("sample", "layer", "row", "column")
    assert np.array_equal(opened.data["x"], triads.data["x"])
    found.save(tmp_path / "run")
    loaded = psp.load_run(tmp_path / "run")
    assert loaded.schema.images == VOLUME
    phi = np.array([[0.3, 0.4]])
    target = psp.target("void > 0.4")
    assert found.probability(target, phi[0]).value == loaded.probability(target, phi[0]).value


def test_the_model_draws_volumes_that_are_shown_by_their_middle_layer(run):
    _, found = run
    model = found.members[0]
    z0 = torch.randn(3, model.dims.latent).to(model.phi_loc)
    z1 = model.process_map(torch.zeros(3, model.dims.inputs).to(model.phi_loc))
    x = model.decoder_x.likeliest(z0, z1)
    assert x.shape == (3, 16, 16, 16)
    image = show_microstructures({"drawn": x.numpy()}).axes[0].get_images()[0].get_array()
    assert np.array_equal(image, x[0, 8])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31))
def test_shifts_and_reflections_leave_the_correlation_of_a_volume(seed):
    x = torch.from_numpy(np.random.default_rng(seed).integers(0, 2, (2, 4, 5, 3)))
    phi, m = torch.zeros(2, 1), torch.zeros(2, 1)
    generator = torch.Generator().manual_seed(seed)
    process = psp.ProcessSpace(("a",), (0.0,), (1.0,))
    before = two_point_correlation(x, dimensions=3)
    _, shifted, _ = PeriodicShift()(process, phi, x, m, generator)
    assert np.allclose(two_point_correlation(shifted, dimensions=3), before)
    _, turned, _ = Reflection()(process, phi, x, m, generator)
    after = two_point_correlation(turned, dimensions=3)
    for got, was in zip(after, before, strict=True):
        choices = np.stack(
            [was, *(np.roll(np.flip(was, axis), 1, axis) for axis in range(3))]
            + [np.roll(np.flip(was, pair), (1, 1), pair) for pair in ((0, 1), (0, 2), (1, 2))]
        )
        assert np.abs(choices - got).max(axis=(1, 2, 3)).min() < 1e-9


def test_three_directions_of_a_quantity_share_a_reader_that_turns_the_volume():
    along = [
        Property(name=name, quantity="k", direction=name)
        for name in ("horizontal", "vertical", "through")
    ]
    process = psp.ProcessSpace(("a",), (0.0,), (1.0,), ("1",), (Transposition(),))
    images = Microstructure(shape=(8, 8, 8))
    schema = Schema(process=process, microstructure=images, properties=tuple(along))
    assert schema.transposed == (1, 0, 2)
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    reader = BottleneckReader().build(Dimensions(schema, 10, 2))
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (4, 8, 8, 8)))
    loc = reader(x).loc
    straight = reader(x.transpose(1, 3)).loc
    assert torch.allclose(straight[:, 2], loc[:, 0], atol=1e-5)
    assert torch.allclose(straight[:, 0], loc[:, 2], atol=1e-5)


def test_volumes_are_declared_and_never_taken_for_colours():
    x = np.zeros((30, 8, 8, 3), dtype=np.uint8)
    phi = np.linspace(0, 1, 30)[:, None]
    declared = {"process": ["a [1] 0:1"], "properties": ["b [1]"]}
    with pytest.raises(InputError, match="declare their 'shape'"):
        psp.Triads.from_arrays(
            phi, x, phi, microstructure={"phases": 2, "periodic": True}, **declared
        )


def test_a_chain_of_volumes_conducts_along_three_directions():
    def layers(phi, seeds):
        x = np.zeros((len(phi), 6, 4, 5), dtype=np.uint8)
        x[:, :3] = 1
        return x

    images = Microstructure(shape=(6, 4, 5))
    process = psp.ProcessSpace(("a",), (0.0,), (1.0,))
    property_ = EffectiveConductivity((1.0, 3.0), dimensions=3)
    chain = psp.Chain(process, StructureFunction(layers, images), property_)
    sample = chain.simulate([[0.5]], np.random.SeedSequence(0).spawn(1))
    assert sample.value[0] == pytest.approx([2.0, 2.0, 1.5])
    assert chain.schema.property_names == ("horizontal", "vertical", "through")
    assert sample.percolates.tolist() == [[True, True, False]]
    with pytest.raises(InputError, match="takes volumes"):
        psp.Chain(process, StructureFunction(layers, images), EffectiveConductivity((1.0, 3.0)))
    with pytest.raises(InputError, match="dimensions"):
        EffectiveConductivity((1.0, 3.0), "dolfinx", dimensions=3)


def planks(phi, seeds):
    """A plate of void as wide as the cell in both, one or neither of its directions."""
    x = np.zeros((len(phi), 6, 5, 4), dtype=np.uint8)
    for i, (share,) in enumerate(phi):
        x[i, :3, : 5 if share < 0.7 else 2, : 4 if share < 0.3 else 2] = 1
    return x


def test_a_store_of_volumes_says_along_which_of_three_directions_they_percolate(tmp_path):
    structure = StructureFunction(planks, Microstructure(shape=(6, 5, 4)))
    process = psp.ProcessSpace(("share",), (0.0,), (1.0,))
    chain = psp.Chain(process, structure, EffectiveConductivity((1.0, 3.0), dimensions=3))
    path = tmp_path / "planks.zarr"
    psp.generate(chain, path, samples=30, seed=0)
    data = psp.Triads.open(path).data
    share, open_ = data["phi"].values[:, 0], data["percolates"]
    assert open_["direction"].values.tolist() == ["horizontal", "vertical", "through"]
    assert np.array_equal(open_, np.stack([share < 0.3, share < 0.7, share < 0], axis=1))
    drawn = property_cloud(psp.Triads.open(path)).axes[0].get_legend()
    told = [text.get_text().split(",")[0].split(" (")[0] for text in drawn.get_texts()]
    assert told == ["in 2 directions", "only vertical", "in none"]
