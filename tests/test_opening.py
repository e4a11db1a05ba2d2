"""Opening is checking: a damaged store never becomes numbers; what is saved comes back."""

import json
import shlex
import shutil
import sys
import time

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_data import toy

from pspgen_pyro.chain import Chain, PropertyFunction, StructureFunction
from pspgen_pyro.cli import main
from pspgen_pyro.data import Store, Triads, check_store, generate
from pspgen_pyro.data.layout import sha256
from pspgen_pyro.errors import DataError, InputError, StorageError
from pspgen_pyro.process import ProcessSpace
from pspgen_pyro.schema import Microstructure, Property, Schema
from pspgen_pyro.study import case

FIRST = (Property(name="a"),)
OVEN = ProcessSpace(("T", "time"), (900.0, 0.0), (1200.0, 8.0), ("K", "h"))


def noise(phi, seeds):
    rngs = [np.random.default_rng(seed) for seed in seeds]
    share = phi[:, 1] / 8
    return np.stack([rng.random((6, 9)) < p for rng, p in zip(rngs, share, strict=True)])


def shares(x):
    f = x.mean(axis=(1, 2))
    return np.stack([f, 1e9 * f, np.maximum(f - 0.5, 0)], axis=1)


def own_chain():
    structure = StructureFunction(noise, Microstructure(shape=(6, 9), periodic=False))
    declared = ("porosity", "modulus [Pa] log below=1e-3", "excess log below=0.01")
    return Chain(OVEN, structure, PropertyFunction(shares, declared))


def strength(phi, seeds):
    return (phi[:, :1] - 900) / 300 + [[np.random.default_rng(seed).normal()] for seed in seeds]


def no_chain():
    return "no chain"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("opening") / "triads.zarr"
    generate(toy(), path, seed=5, chunk=16)
    return path


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy.zarr")


FILES = ["x/c.1.0.0", "m/c.2.0", "phi/c.0.0", "fold/c.1", "value/c.0.0", "property/c.0"]
FILES += ["zarr.json", "m/zarr.json"]


@pytest.mark.parametrize("key", FILES)
@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped", "other"])
def test_a_damaged_file_is_one_sentence_with_its_name_and_the_cure(key, damage, copy):
    data = bytearray((copy / key).read_bytes())
    if damage == "missing":
        (copy / key).unlink()
    elif damage == "other":
        (copy / key).write_bytes(bytes(len(data)))
    else:
        data[len(data) // 2] ^= 1
        (copy / key).write_bytes(data[:-3] if damage == "truncated" else data)
    with pytest.raises(DataError, match=rf"where {key} .*data verify .* --repair") as caught:
        Triads.open(copy).data.load()
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_or_truncated_file_is_found_before_anything_is_read(copy):
    (copy / "x" / "c.2.0.0").unlink()
    (copy / "m" / "c.0.0").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"m/c\.0\.0 has 4 bytes instead of .* \(and 1 more\)"):
        Triads.open(copy)


@pytest.mark.parametrize(
    ("source", "more"), [("case1", []), (own_chain(), ["test_opening:own_chain"])]
)
def test_the_way_out_is_a_command_that_can_be_typed_as_it_is_printed(
    source, more, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "my $data.zarr"
    generate(source, path, samples=8, seed=1)
    (path / "m" / "c.0.0").write_bytes(b"torn")
    with pytest.raises(DataError) as caught:
        Triads.open(path)
    pspgen, *words = shlex.split(str(caught.value).split("`")[1])
    assert pspgen == "pspgen"
    assert (words[-1] == "MODULE:FUNCTION") == bool(more)
    assert main([*(words[:-1] if more else words), *more]) == 0
    assert len(Triads.open(path)) == 8


def test_what_was_saved_has_to_be_copied_again(tmp_path):
    path = triads(Schema(process=OVEN, properties=FIRST), OVEN.grid(3)).save(tmp_path / "t.zarr")
    (path / "m" / "c.0.0").write_bytes(b"torn")
    with pytest.raises(DataError, match="m/c.0.0 has 4 bytes instead of .*; copy it again"):
        Triads.open(path)


def test_whoever_insists_reads_a_damaged_store(copy):
    data = bytearray((copy / "x" / "c.1.0.0").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "x" / "c.1.0.0").write_bytes(data)
    assert np.isfinite(Triads.open(copy, verify=False).data["m"].values).all()
    assert np.isfinite(Triads.open(copy).data["m"].values).all()


def test_files_of_others_in_the_folder_do_not_matter(copy, whole):
    (copy / ".DS_Store").write_bytes(b"?")
    assert Triads.open(copy).data.load().equals(Triads.open(whole).data.load())


def test_ten_thousand_triads_are_opened_and_read_in_half_a_second(tmp_path):
    rng, schema = np.random.default_rng(0), case("case1").chain.schema
    x = rng.integers(0, 2, (10_000, 36, 36), dtype=np.uint8)
    schema = Schema(process=OVEN, microstructure=schema.microstructure, properties=FIRST)
    path = triads(schema, OVEN.grid(100), x).save(tmp_path / "t.zarr")
    took = []
    for _ in range(3):
        start = time.process_time()
        Triads.open(path).data.load()
        took.append(time.process_time() - start)
    assert min(took) < 0.5


def triads(schema, phi, x=None, m=None):
    """Triads in memory, of which every third is for validation."""
    count = len(phi)
    m = np.zeros((count, len(schema.properties))) if m is None else m
    variables = {
        "phi": (("sample", "parameter"), phi),
        "value": (("sample", "property"), schema.values(m)),
        "m": (("sample", "property"), m),
        "phi_index": ("sample", np.arange(count)),
        "replicate": ("sample", np.zeros(count, dtype=np.int64)),
        "fold": ("sample", (np.arange(count) % 3 == 2).astype(np.int8)),
    }
    if x is not None:
        variables["x"] = (("sample", "row", "column"), x)
    return Triads(schema, xr.Dataset(variables, attrs={"source": "Σ", "year": 2024}))


@st.composite
def any_triads(draw):
    """Triads of any kind: grey, labelled or no images, any number of properties, NaN in m."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, k = draw(st.integers(1, 30)), draw(st.integers(1, 4))
    scales = draw(st.lists(st.sampled_from(["linear", "log"]), min_size=k, max_size=k))
    properties = tuple(Property(name=f"p{j}", unit="MPa", scale=s) for j, s in enumerate(scales))
    phases = draw(st.sampled_from([None, 2, 5, "grey"]))
    images, x = None, None
    if phases is not None:
        shape = (draw(st.integers(2, 5)), draw(st.integers(2, 5)))
        images = Microstructure(shape=shape, phases=phases, periodic=draw(st.booleans()))
        x = rng.random((count, *shape), dtype=np.float32)
        x = x if images.grey else (x * phases).astype(np.uint8)
    schema = Schema(process=OVEN, microstructure=images, properties=properties)
    m = np.where(rng.random((count, k)) < 0.3, np.nan, rng.normal(size=(count, k)))
    return triads(schema, OVEN.sample(count, rng), x, m)


@settings(
    deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(any_triads())
def test_what_is_saved_comes_back_and_equal_triads_have_equal_bytes(tmp_path, given_triads):
    for name in ("a", "b"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    given_triads.save(tmp_path / "a")
    again = Triads.open(tmp_path / "a")
    assert again.schema == given_triads.schema
    assert set(again.data.data_vars) == set(given_triads.data.data_vars)
    for name, found in again.data.load().data_vars.items():
        wanted = given_triads.data[name]
        assert (found.dims, found.dtype) == (wanted.dims, wanted.dtype)
        np.testing.assert_array_equal(found.values, wanted.values)
    assert given_triads.data.attrs.items() <= again.data.attrs.items()
    again.save(tmp_path / "b")
    assert Store(tmp_path / "a").digest() == Store(tmp_path / "b").digest()
    assert check_store(tmp_path / "a").sound


def test_saving_is_all_or_nothing(tmp_path, monkeypatch):
    made = triads(Schema(process=OVEN, properties=FIRST), OVEN.grid(3))
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
        with pytest.raises(StorageError, match="nothing was kept"):
            made.save(tmp_path / "t.zarr")
    assert list(tmp_path.iterdir()) == []
    made.save(tmp_path / "t.zarr")
    with pytest.raises(InputError, match="which exists"):
        made.save(tmp_path / "t.zarr")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.drop_vars("m"), "no variable 'm'"),
        (lambda d: d.assign(x=d["m"]), "a variable 'x', but its schema says otherwise"),
        (lambda d: d.assign(mine=d["m"]), "the variable 'mine', which a store does not hold"),
        (lambda d: d.assign(m=d["m"].astype("float32")), "m of float32"),
        (lambda d: d.assign(m=d["m"].rename(property="direction")), "m of float64, dimensions"),
        (lambda d: d.assign_attrs(when=object()), "not ready for JSON"),
    ],
)
def test_triads_that_are_not_what_their_schema_says_are_not_saved(change, words, tmp_path):
    made = triads(Schema(process=OVEN, properties=FIRST), OVEN.grid(3))
    with pytest.raises(InputError, match=words):
        Triads(made.schema, change(made.data)).save(tmp_path / "t.zarr")
    assert list(tmp_path.iterdir()) == []


def test_what_was_saved_cannot_be_rebuilt_and_says_so(tmp_path):
    path = triads(Schema(process=OVEN, properties=FIRST), OVEN.grid(3)).save(tmp_path / "t.zarr")
    (path / "m" / "c.0.0").unlink()
    with pytest.raises(DataError, match="saved, not simulated.*restore it from a copy"):
        check_store(path, repair=True)


def test_a_chain_of_ones_own_is_simulated_opened_verified_and_repaired(tmp_path):
    path = tmp_path / "own.zarr"
    made = generate(own_chain(), path, samples=24, replicates=2, seed=1, chunk=10)
    data = made.data.load()
    assert made.schema == own_chain().schema
    assert dict(data.sizes) | {"sample": 24, "property": 3, "row": 6, "column": 9} == data.sizes
    assert "percolates" not in data
    assert "excluded" not in data
    assert (made.schema.scaled(data["value"]) == data["m"]).all()
    assert (data["m"].sel(property="excess") == np.log(0.01)).any()
    assert (data["fold"] == (data["phi_index"] % 10 == 9)).all()
    before = Store(path).digest()
    (path / "value" / "c.1.0").unlink()
    with pytest.raises(DataError, match="no case of the study"):
        check_store(path, repair=True)
    assert check_store(path, repair=True, source=own_chain()).sound
    assert Store(path).digest() == before


def test_a_chains_reference_grid_has_so_many_points_along_each_axis(tmp_path):
    grid = generate(own_chain(), tmp_path / "g", split="reference", points=3, replicates=2).data
    assert grid.sizes["sample"] == 18
    assert np.unique(grid["phi"].values, axis=0).tolist() == OVEN.grid(3).tolist()
    (tmp_path / "g" / "m" / "c.0.0").unlink()
    assert check_store(tmp_path / "g", repair=True, source=own_chain()).sound


def test_a_chain_without_images_is_stored_without_x(tmp_path):
    chain = Chain(OVEN, None, PropertyFunction(strength, ("strength [MPa]",)))
    made = generate(chain, tmp_path / "t.zarr", samples=12)
    assert "x" not in made.data
    assert made.schema.microstructure is None
    assert made.data["m"].shape == (12, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "'samples' is missing"),
        ({"split": "reference"}, "'points' is missing"),
        ({"samples": 5, "points": 3}, "'points' is 3"),
        ({"samples": 5, "split": "validation"}, "'split' is 'validation' but a chain has"),
        ({"samples": 5, "replicates": 2}, "'samples' is 5"),
        ({"scale": 2.0}, "'scale' is 2"),
    ],
)
def test_the_size_of_a_chains_data_has_to_be_said(arguments, words, tmp_path):
    with pytest.raises(InputError, match=words):
        generate(own_chain(), tmp_path / "t.zarr", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_lambda_is_refused_before_it_would_be_sent_to_workers(tmp_path):
    chain = Chain(OVEN, None, PropertyFunction(lambda phi, seeds: phi[:, :1], ("a",)))
    with pytest.raises(InputError, match="'source' cannot be sent to worker processes"):
        generate(chain, tmp_path / "t.zarr", samples=12, workers=2)
    assert not list(tmp_path.iterdir())


def test_a_store_of_the_first_format_opens_with_the_schema_of_its_case(tmp_path):
    made = generate("case3", tmp_path / "new", samples=20, seed=2).data.load()
    old = made.rename(value="k").drop_vars(["percolates", "direction"])
    old = old.assign(percolates=(("sample", "property"), made["percolates"].values))
    path = first_format(old, tmp_path / "old", {"case": "case3", "preset": "calibrated"})
    again = Triads.open(path)
    assert again.schema == case("case3").chain.schema
    for name, found in again.data.load().data_vars.items():
        assert found.dims == made[name].dims
        np.testing.assert_array_equal(found.values, made[name].values)
    (path / "m" / "c" / "0" / "0").unlink()
    with pytest.raises(DataError, match="m/c/0/0 is missing"):
        Triads.open(path)
    with pytest.raises(DataError, match="of the first format"):
        check_store(path, repair=True)
    path = first_format(old, tmp_path / "mine", {"case": "mine", "preset": "calibrated"})
    with pytest.raises(DataError, match="does not say what its properties are; simulate it again"):
        Triads.open(path)


def first_format(data, path, configuration):
    """The data set as the first format stored it, with its manifest."""
    sizes = {"split": "train", "samples": 20, "replicates": 1, "seed": 2, "chunk": 250}
    configuration |= sizes | {"formulation": "study", "solver": "multifrontal", "versions": {}}
    data = data.assign_attrs(format="pspgen triads 1").drop_encoding()
    del data.attrs["schema"]
    data.to_zarr(path, zarr_format=3, consolidated=False)
    files = {key: sha256((path / key).read_bytes()) for key in Store(path).names()}
    content = {"configuration": configuration, "files": files, "failures": {}}
    digest = sha256(json.dumps(content, sort_keys=True).encode())
    zarr.create_group(path / "manifest", attributes=content | {"sha256": digest})
    return path


@pytest.mark.parametrize(
    ("schema", "words"),
    [("no JSON", "is no JSON"), ("[]", "a JSON object is needed"), ("{}", "schema.process")],
)
def test_attributes_that_make_no_schema_are_refused_by_their_path(schema, words, tmp_path):
    made = triads(Schema(process=OVEN, properties=FIRST), OVEN.grid(3))
    path = made.save(tmp_path / "t.zarr")
    root = json.loads((path / "zarr.json").read_text())
    root["attributes"]["schema"] = schema
    (path / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(DataError, match=words):
        Triads.open(path, verify=False)


def test_a_store_of_a_later_version_is_refused(tmp_path):
    path = triads(Schema(process=OVEN, properties=FIRST), OVEN.grid(3)).save(tmp_path / "t.zarr")
    manifest = json.loads((path / "manifest" / "zarr.json").read_text())
    content = manifest["attributes"] | {"format": "pspgen triads 9"}
    del content["sha256"]
    digest = sha256(json.dumps(content, sort_keys=True).encode())
    manifest["attributes"] = content | {"sha256": digest}
    (path / "manifest" / "zarr.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="of format 9, this version knows 2; upgrade pspgen-pyro"):
        Triads.open(path)


def test_the_command_simulates_a_chain_of_ones_own(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    store = str(tmp_path / "t.zarr")
    options = ["--samples", "20", "--out", store]
    assert not main(["simulate", "--chain", "test_opening:own_chain", *options])
    assert (
        "20 triads of test_opening:own_chain (train, seed 0); 0 failed" in capsys.readouterr().out
    )
    assert not main(["data", "info", store])
    told = capsys.readouterr().out
    assert Triads.open(store).summary() in told
    assert "structure: test_opening:noise" in told
    (tmp_path / "t.zarr" / "m" / "c.0.0").unlink()
    repair = ["data", "verify", store, "--repair"]
    assert main(repair) == 2
    assert not main([*repair, "--chain", "test_opening:own_chain"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--chain", "test_opening"], "write module:function"),
        (["--chain", "no_such_module:chain"], "no module 'no_such_module'"),
        (["--chain", "test_opening:missing"], "has no 'missing'; it has"),
        (["--chain", "test_opening:no_chain"], "returned 'no chain'"),
        (["--chain", "test_opening:own_chain", "--solver", "scipy"], "'solver' is for the cases"),
        (["case1", "--chain", "test_opening:own_chain"], "give one"),
        ([], "give one"),
    ],
)
def test_a_chain_that_cannot_be_found_is_one_sentence(words, told, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main(["simulate", *words, "--out", str(tmp_path / "t.zarr")]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
