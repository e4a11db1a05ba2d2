"""Triads on disk: what a store holds, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
import zarr

from pspgen_pyro.chain import Chain, Permeability
from pspgen_pyro.cli.data import DataInfo, DataVerify
from pspgen_pyro.cli.simulate import Simulate
from pspgen_pyro.data import Store, Triads, check_store, generate
from pspgen_pyro.data.plan import Plan, make_plan
from pspgen_pyro.errors import DataError, InputError
from pspgen_pyro.process import ProcessSpace
from pspgen_pyro.schema import Schema
from pspgen_pyro.structure import CALIBRATED, PhaseSeparatedField, two_mode_spectrum
from pspgen_pyro.study import Case, Split, case

SPLITS = {"train": Split(0, 20, 2), "test": Split(1, 4, 2), "reference": Split(2, 3, 2, True)}


def toy(n=12):
    process = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
    chain = Chain(process, PhaseSeparatedField(n, two_mode_spectrum), Permeability())
    return Case("toy", chain, CALIBRATED, {}, SPLITS)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "triads.zarr"
    generate(toy(), path, seed=5, chunk=16)
    return path


@pytest.fixture
def copy(store, tmp_path):
    """A store of this test's own, to damage."""
    path = tmp_path / "copy.zarr"
    for key in Store(store).names():
        (path / key).parent.mkdir(parents=True, exist_ok=True)
        (path / key).write_bytes((store / key).read_bytes())
    return path


def test_a_store_is_a_labelled_dataset_with_units_that_xarray_reads(store):
    triads = xr.open_zarr(store, consolidated=False)
    assert {name: triads[name].dims for name in triads.data_vars} == {
        "phi": ("sample", "parameter"),
        "x": ("sample", "row", "column"),
        "value": ("sample", "property"),
        "m": ("sample", "property"),
        "percolates": ("sample", "direction"),
        "phi_index": ("sample",),
        "replicate": ("sample",),
        "fold": ("sample",),
    }
    assert dict(triads.sizes) == {
        "sample": 40,
        "parameter": 2,
        "row": 12,
        "column": 12,
        "property": 2,
        "direction": 2,
    }
    assert triads["x"].dtype == np.uint8
    assert list(triads["property"].values) == ["horizontal", "vertical"]
    assert list(triads["direction"].values) == ["horizontal", "vertical"]
    assert triads["value"].attrs["units"] == "1, 1"
    assert triads["m"].attrs["long_name"] == "ln horizontal, ln vertical"
    assert Schema.from_json(json.loads(triads.attrs["schema"])) == toy().chain.schema
    assert zarr.open_group(store).metadata.zarr_format == 3


def test_the_attributes_say_what_made_the_data(store):
    attributes = Triads.open(store).data.attrs
    assert attributes["case"] == "toy"
    assert attributes["preset"] == "calibrated"
    assert attributes["formulation"] == "study"
    assert attributes["seed"] == 5
    assert attributes["spectrum"].endswith(":two_mode_spectrum")
    assert {"pspgen-pyro", "numpy", "scipy", "numba", "zarr"} <= set(attributes["versions"])


def test_every_sample_can_be_simulated_again_from_its_documented_seed(store):
    triads = Triads.open(store).data
    for s in (0, 17, 39):
        i, r = divmod(s, 2)
        parent = np.random.SeedSequence(5, spawn_key=(0, i))
        phi = toy().process.sample((), np.random.default_rng(parent))
        child = np.random.SeedSequence(5, spawn_key=(0, i, r))
        sample = toy().chain.simulate(phi[None], [child])
        assert (triads["phi"][s].values == phi).all()
        assert (triads["x"][s].values == sample.x[0]).all()
        assert (triads["value"][s].values == sample.value[0]).all()
        assert (triads["m"][s].values == np.log(sample.value[0])).all()
        assert (triads["percolates"][s].values == sample.percolates[0]).all()
        assert (int(triads["phi_index"][s]), int(triads["replicate"][s])) == (i, r)


def test_a_tenth_of_the_phi_is_for_validation_and_no_phi_is_in_both_folds(store):
    triads = Triads.open(store).data
    validation = set(triads["phi_index"].values[triads["fold"].values == 1])
    training = set(triads["phi_index"].values[triads["fold"].values == 0])
    assert len(validation) == 2
    assert not validation & training


def test_a_larger_store_begins_with_the_smaller_one_and_chunks_do_not_matter(store, tmp_path):
    small = generate(toy(), tmp_path / "small.zarr", seed=5, samples=6, chunk=5).data
    large = Triads.open(store).data.isel(sample=slice(0, 6))
    for name in small.data_vars:
        assert (small[name].values == large[name].values).all(), name


def test_splits_and_seeds_share_no_phi(store, tmp_path):
    train = Triads.open(store).data["phi"].values
    for arguments in ({"split": "test"}, {"seed": 6, "samples": 8}):
        name = f"{len(arguments)}.zarr"
        other = generate(toy(), tmp_path / name, **{"seed": 5} | arguments).data["phi"].values
        assert not np.isin(train, other).any()


def test_the_reference_split_is_a_grid_with_its_ends(tmp_path):
    reference = generate(toy(), tmp_path / "r.zarr", split="reference").data
    points = np.unique(reference["phi"].values, axis=0)
    assert reference.sizes["sample"] == 18
    assert points.tolist() == [[a, b] for a in (1.0, 5.0, 9.0) for b in (0.2, 1.1, 2.0)]
    assert not reference["fold"].any()


def test_the_study_sizes_are_the_default_and_scale_with_phi():
    assert make_plan(case("case1")).samples == 10_000
    assert make_plan(case("case1"), split="test").samples == 2_000
    assert make_plan(case("case1"), split="reference").samples == 200_000
    assert make_plan(case("case3")).samples == 2_500
    assert make_plan(case("case5")).samples == 10_000
    scaled = make_plan(case("case1"), scale=0.1)
    assert (scaled.points, scaled.replicates) == (250, 4)
    scaled = make_plan(case("case1"), split="reference", scale=0.1)
    assert (scaled.points, scaled.replicates) == (400, 50)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"split": "validation"}, "split"),
        ({"samples": 7}, "samples"),
        ({"samples": 0}, "samples"),
        ({"samples": 100, "split": "reference"}, "samples"),
        ({"samples": 8, "scale": 0.5}, "samples"),
        ({"replicates": -1}, "replicates"),
        ({"scale": 0.0}, "scale"),
        ({"seed": -1}, "seed"),
        ({"chunk": 0}, "chunk"),
        ({"points": 0, "split": "reference"}, "points"),
        ({"points": 5}, "points"),
        ({"workers": 0}, "workers"),
        ({"source": "case9"}, "case"),
        ({"scheduler": "tcp://127.0.0.1:9"}, "scheduler"),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_made(arguments, name, tmp_path):
    with pytest.raises(InputError, match=f"'{name}'"):
        generate(**{"source": "case1", "path": tmp_path / "t.zarr"} | arguments)
    assert not (tmp_path / "t.zarr").exists()


def test_an_existing_folder_is_refused_and_untouched(tmp_path):
    (tmp_path / "t.zarr").mkdir()
    with pytest.raises(InputError, match="exists"):
        generate(toy(), tmp_path / "t.zarr")
    assert [path.name for path in tmp_path.rglob("*")] == ["t.zarr"]


def test_resuming_a_complete_store_changes_nothing(copy):
    before = Store(copy).digest()
    generate(toy(), copy, seed=5, chunk=16, resume=True)
    assert Store(copy).digest() == before


@pytest.mark.parametrize(
    "change", [{"seed": 6}, {"chunk": 8}, {"samples": 8}, {"source": toy(16)}]
)
def test_a_store_of_another_configuration_is_not_resumed(copy, change):
    before = Store(copy).digest()
    arguments = {"source": toy(), "path": copy, "seed": 5, "chunk": 16, "resume": True} | change
    with pytest.raises(DataError, match="another configuration"):
        generate(**arguments)
    assert Store(copy).digest() == before


def test_case_2_hands_out_no_triad_near_its_target_unless_asked(tmp_path):
    triads = generate("case2", tmp_path / "t.zarr", samples=60, seed=1).data
    everything = Triads.open(tmp_path / "t.zarr", excluded=True).data
    inside = case("case2").excludes(everything["m"].values)
    assert 0 < inside.sum() < 60
    assert triads.sizes["sample"] == 60 - inside.sum()
    assert not case("case2").excludes(triads["m"].values).any()
    test = generate("case2", tmp_path / "test.zarr", split="test", samples=60, seed=1)
    assert len(test) == 60


def test_a_failed_sample_stays_in_the_store_with_its_reason(tmp_path):
    process = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
    structure = PhaseSeparatedField(12, two_mode_spectrum, replace(CALIBRATED, void_fraction=0.7))
    failing = replace(toy(), chain=Chain(process, structure, Permeability()))
    triads = generate(failing, tmp_path / "t.zarr", samples=20, seed=0, chunk=8).data
    failures = Store(tmp_path / "t.zarr").manifest().failures
    failed = np.flatnonzero(triads["value"].isnull().any("property"))
    assert 0 < len(failed) < 20
    assert [int(s) for s in failures] == failed.tolist()
    assert all("no solid" in reason for reason in failures.values())


@pytest.mark.parametrize("what", ["nothing", "a file", "an array", "another group", "a folder"])
def test_what_is_no_triads_store_is_refused_in_one_sentence(what, tmp_path):
    path = tmp_path / "t.zarr"
    if what == "a file":
        path.write_text("triads")
    elif what == "an array":
        zarr.create_array(path, shape=(2,), dtype="f8")
    elif what == "another group":
        xr.Dataset({"x": ("sample", np.zeros(3))}).to_zarr(path, zarr_format=3, consolidated=False)
    elif what == "a folder":
        path.mkdir()
    with pytest.raises(DataError, match="triads store"):
        Triads.open(path)


def test_verify_passes_a_sound_store(store):
    report = check_store(store)
    assert report.sound
    assert report.damaged == report.unexpected == ()
    assert report.files == len(Store(store).names())


def test_verify_finds_a_damaged_coordinate_array_header_and_stranger_and_repairs(copy):
    before = Store(copy).digest()
    for key in ("x/zarr.json", "property/c.0", "zarr.json"):
        data = bytearray((copy / key).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / key).write_bytes(data)
    (copy / "notes.txt").write_text("mine")
    report = check_store(copy)
    assert set(report.damaged) == {"x/zarr.json", "property/c.0", "zarr.json"}
    assert report.unexpected == ("notes.txt",)
    assert not report.sound
    (copy / "notes.txt").unlink()
    assert check_store(copy, repair=True, source=toy()).sound
    assert Store(copy).digest() == before


def test_a_damaged_manifest_is_told_apart_from_damaged_data(copy):
    path = copy / "manifest" / "zarr.json"
    content = json.loads(path.read_text())
    content["attributes"]["configuration"]["seed"] = 7
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="manifest/zarr.json does not have its checksum"):
        check_store(copy)


def test_a_repair_with_another_case_is_refused(copy):
    (copy / "m" / "c.0.0").unlink()
    with pytest.raises(DataError, match=r"schema.microstructure.shape is \[16, 16\] in it"):
        check_store(copy, repair=True, source=toy(16))


def test_the_commands_simulate_describe_verify_and_repair(tmp_path, capsys):
    path = tmp_path / "t.zarr"
    assert not Simulate("case1", out=path, samples=8, seed=3).run()
    assert "8 triads of case1 (train, calibrated, seed 3); 0 failed" in capsys.readouterr().out
    digest = Store(path).digest()
    assert not DataInfo(path).run()
    told = capsys.readouterr().out
    assert digest in told
    assert Triads.open(path).summary() in told
    assert "case: case1" in told
    assert DataVerify(path).run() == 0
    (path / "m" / "c.0.0").write_bytes(b"torn")
    assert DataVerify(path).run() == 1
    assert "damaged: m/c.0.0" in capsys.readouterr().out
    assert DataVerify(path, repair=True).run() == 0
    assert Store(path).digest() == digest


def test_the_simulate_command_says_how_to_go_on_after_ctrl_c(tmp_path, capsys, monkeypatch):
    def interrupted(plan, j):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Plan, "simulate", interrupted)
        assert Simulate("case1", out=tmp_path / "t.zarr", samples=8).run() == 130
    assert "--resume" in capsys.readouterr().err
    assert not Simulate("case1", out=tmp_path / "t.zarr", samples=8, resume=True).run()
