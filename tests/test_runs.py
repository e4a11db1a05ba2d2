"""Claims about runs: what they answer, what their folders restore and refuse, and that nothing in
them runs."""

import errno
import json
from dataclasses import replace

import arviz as az
import numpy as np
import pytest
import torch
import xarray as xr
from exact import exact_model
from safetensors.numpy import load_file, save_file

import pspgen_pyro as psp
from pspgen_pyro import Box, InputError, PSPGen, Run, load_run
from pspgen_pyro.data import Triads
from pspgen_pyro.design import Support, probability
from pspgen_pyro.errors import DataError, StorageError
from pspgen_pyro.model.ensemble import Ensemble
from pspgen_pyro.runs.folder import seal
from pspgen_pyro.schema import Microstructure, Schema
from pspgen_pyro.training.checkpoint import History

DATA = {"case": "case1", "preset": "calibrated", "formulation": "study", "samples": 20}
QUESTION = "horizontal > 0, vertical in [-0.5, 1]"
PROCESS = psp.ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
DIRECTED = tuple(f"{d} log quantity=k direction={d}" for d in ("horizontal", "vertical"))


def small_model(**options):
    images = Microstructure(shape=(8, 8))
    schema = Schema(process=PROCESS, microstructure=images, properties=DIRECTED)
    model = PSPGen(schema, latent=6, process_latent=3, **options)
    model.standardise_by(torch.randn(20, 2) - 7.0)
    return model.eval()


def history():
    return History({"validation_loss": [2.0, 1.0]}, 1, "done")


def of(*models, **options):
    """A run of one model, or of an ensemble."""
    model = models[0] if len(models) == 1 else Ensemble(models)
    return Run(model, [history() for _ in models], DATA, {"settings": {"epochs": 2}}, **options)


@pytest.fixture(params=[1, 2])
def run(request):
    return of(*[small_model() for _ in range(request.param)])


def exact_run(count=1):
    run = of(*[exact_model(seed=k) for k in range(count)])
    for model in run.members:
        model.m_scale.fill_(1.01)  # as after training
    return replace(run, support=Support(np.random.default_rng(0).normal(size=(500, 2))))


def weights(run):
    return [model.state_dict() for model in run.members]


def test_a_run_comes_back_with_the_same_weights_histories_and_story(run, tmp_path):
    back = load_run(run.save(tmp_path / "run"))
    for ours, theirs in zip(weights(run), weights(back), strict=True):
        assert theirs.keys() == ours.keys()
        assert all(torch.equal(theirs[name], ours[name]) for name in ours)
    assert (back.histories, back.data) == (run.histories, run.data)
    assert (back.training, back.schema) == (run.training, run.schema)
    assert not any(model.training for model in back.members)


def test_a_models_description_survives_json():
    spec = json.loads(json.dumps(small_model().specification()))
    again = PSPGen.from_specification(spec).specification()
    assert json.loads(json.dumps(again)) == spec


@pytest.mark.parametrize("count", [1, 3])
def test_a_question_by_names_is_asked_of_one_model_and_of_an_ensemble_alike(count):
    run, phi = exact_run(count), (0.2, -0.3)
    box = Box((0.0, -0.5), (np.inf, 1.0))
    found = run.probability(QUESTION, phi)
    assert found.value == probability(run.model, box, phi).value
    design = run.design(psp.target(QUESTION), starts=2, draws=32)
    assert design.target == box
    assert "was not checked" not in design.status
    assert "P(horizontal > 0 and vertical in [-0.5, 1])" in str(design)


def test_a_design_is_verified_by_a_function_in_the_properties_units():
    run = exact_run()

    def always(phi, seeds):
        return np.tile((2.0, 0.5), (len(phi), 1))

    design = run.design(QUESTION, starts=1, draws=16)
    assert run.verify(design, simulator=always, samples=20).probability.value == 1
    never = run.verify(design.phi, "horizontal < 0", simulator=always, samples=20)
    assert never.probability.value == 0
    with pytest.raises(InputError, match="'target' is missing"):
        run.verify(design.phi, simulator=always)
    with pytest.raises(InputError, match="'simulator' is missing, and no chain"):
        run.verify(design)


def test_the_posterior_is_sampled_by_name_and_read_by_arviz():
    draws = exact_run().posterior(QUESTION).sample("hmc", chains=4, draws=20, warmup=20)
    tree = draws.to_arviz(draws=50)
    assert tree["posterior"]["phi"].sizes["parameter"] == 2
    assert len(az.summary(tree, var_names=["phi"])) == 2
    with pytest.raises(InputError, match="'method' is 'gibbs'; choose one of hmc, nuts, svi"):
        exact_run().posterior(QUESTION).sample("gibbs")


def test_a_question_to_one_model_of_an_ensemble_names_the_way_out():
    run = exact_run(2)
    with pytest.raises(InputError, match=r"ask one of them, as in `run.member\(1\)`"):
        run.posterior(QUESTION)
    assert run.member(2).posterior(QUESTION).model is run.members[1]
    with pytest.raises(InputError, match="'member' is 3; this run has the members 1 to 2"):
        run.member(3)


def test_caution_is_asked_of_several_networks_only():
    with pytest.raises(InputError, match="has one network"):
        exact_run().design(QUESTION, cautious=True)
    assert exact_run(2).design(QUESTION, cautious=True, starts=1, draws=16).target


def table(count=60):
    """Triads of one's own: two properties of different kinds and units, some unknown."""
    rng = np.random.default_rng(0)
    process = psp.ProcessSpace(("T", "t"), (900.0, 1.0), (1200.0, 8.0), ("K", "h"))
    images = Microstructure(shape=(8, 8), periodic=False)
    schema = Schema(
        process=process, microstructure=images, properties=("k [m^2] log", "strength [MPa]")
    )
    phi = process.sample(count, rng)
    value = np.stack([1e-12 * np.exp(rng.normal(size=count)), phi[:, 1] * 4], axis=1)
    data = xr.Dataset(
        {
            "phi": (("sample", "parameter"), phi),
            "x": (("sample", "row", "column"), rng.integers(0, 2, (count, 8, 8), dtype=np.uint8)),
            "value": (("sample", "property"), value),
            "m": (("sample", "property"), schema.scaled(value)),
            "phi_index": ("sample", np.arange(count)),
            "replicate": ("sample", np.zeros(count, dtype=int)),
            "fold": ("sample", (np.arange(count) % 6 == 0).astype(np.int8)),
        }
    )
    return Triads(schema, data)


FEW = {"epochs": 1, "batch_size": 20, "progress": False}


@pytest.mark.parametrize("members", [1, 2])
def test_data_of_ones_own_go_from_arrays_to_a_design_in_three_calls(members, tmp_path):
    triads = table()
    run = psp.fit(triads, model="paper", members=members, latent=4, **FEW)
    back = load_run(run.save(tmp_path / "run"))
    assert back.schema == triads.schema
    assert back.data == {"samples": 60, "digest": run.data["digest"]}
    assert back.training["settings"]["members"] == members
    design = back.design("k < 1 um^2, strength > 20", starts=1, draws=16)
    assert "k < 1 um^2 and strength > 20 MPa" in str(design)
    back.check_against(triads)
    with pytest.raises(InputError, match="'triads' has properties"):
        back.check_against(
            Triads(triads.schema.model_copy(update={"properties": ()}), triads.data)
        )


def test_the_loop_wants_the_triads_of_the_training():
    run = psp.fit(table(), model="paper", latent=4, **FEW)
    changed = table()
    changed.data["m"][0, 0] += 1
    with pytest.raises(InputError, match="'triads' differs in digest from the triads"):
        run.loop("strength > 20", triads=changed, simulator=lambda phi, seeds: phi)


def strong(phi, seeds):
    return np.tile((1e-12, 30.0), (len(phi), 1))


QUICK = {"reader_steps": 5, "prior_steps": 20, "epochs": 0, "progress": False}


def test_simulations_without_images_correct_p_and_teach_the_law_of_m_but_join_no_images():
    triads = table()
    run = psp.fit(triads, latent=4, **QUICK)
    loop = run.loop("strength < 20", triads=triads, simulator=strong, budget=20, starts=1)
    assert (loop.calls, loop.added, len(loop.data.train)) == (20, 0, 50)
    assert loop.probability.value < loop.predicted.value
    assert run.refined(loop).probability("strength < 20", loop.phi).value < loop.predicted.value


@pytest.mark.usefixtures("short_refinement")
def test_a_table_without_images_goes_all_the_way(tmp_path):
    pictured = table()
    triads = Triads(pictured.schema.without_microstructure(), pictured.data.drop_vars("x"))
    run = load_run(psp.fit(triads, **QUICK).save(tmp_path / "run"))
    design = run.design("strength > 20 MPa", starts=1, draws=16)
    assert run.verify(design, simulator=strong, samples=5).x is None
    loop = run.loop("strength > 20", triads=triads, simulator=strong, budget=20, starts=1)
    assert len(loop.data.train) == 70
    checked = run.check(triads, simulator=strong, simulations=0)
    assert "no images" in str(checked)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "best"}, "'model' is 'best'; choose 'default', 'paper' or a PSPGen"),
        ({"schedule": "steep"}, "'schedule' is 'steep'; choose cosine or plateau"),
        ({"objective": "vae"}, "'objective' is no setting of `fit`; known ones are model,"),
        ({"members": 0}, "'members' is 0"),
        ({"workers": 2}, "no more workers than members"),
        ({"reader_steps": 0}, "'steps' .* 0"),
    ],
)
def test_fit_refuses_what_it_cannot_do(options, words):
    with pytest.raises(InputError, match=words):
        psp.fit(table(), **options)


def test_a_model_of_another_schema_or_with_sizes_of_its_own_is_refused():
    with pytest.raises(InputError, match="but the run was trained on"):
        psp.fit(table(), model=small_model())
    with pytest.raises(InputError, match="'latent' is given beside a model"):
        psp.fit(table(), model=small_model(), latent=3)


def test_an_existing_folder_is_refused_and_left_alone(run, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="'out' is .* which exists"):
        run.save(tmp_path / "run")
    assert [p.name for p in tmp_path.rglob("*")] == ["run", "mine.txt"]


def test_a_failed_write_leaves_nothing_behind(run, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pspgen_pyro.runs.folder.save_file", full)
    with pytest.raises(StorageError, match="No space left on device; nothing was kept"):
        run.save(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_in_place_of_the_weights_is_refused_and_not_executed(run, tmp_path, capsys):
    folder = run.save(tmp_path / "run")
    # what unpickles by printing
    hostile = b"cbuiltins\nprint\n(Va run folder was executed\ntR."
    (folder / "model-1.safetensors").write_bytes(hostile)
    seal(folder)
    with pytest.raises(DataError, match="damaged"):
        load_run(folder)
    assert "executed" not in capsys.readouterr().out


def edited(content, *path, value=None):
    """JSON with one entry changed, or taken away if there is no value."""
    content = json.loads(content)
    *way, last = path
    part = content
    for key in way:
        part = part[key]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("name", "path", "value", "words"),
    [
        (
            "run.json",
            ("format",),
            1,
            "of format 1, but this version .* reads format 3; fit it again",
        ),
        ("run.json", ("format",), None, r"run.json.format': field required"),
        ("run.json", ("data",), [], r"run.json.data' is \[\]: input should be a valid dict"),
        ("run.json", ("models",), [], "run.json.models"),
        ("run.json", ("models", 0, "latent"), 7, "weights do not fit its description"),
        ("run.json", ("models", 0, "latent"), None, "latent"),
        ("run.json", ("models", 0, "parts", "process_map", "kind"), "os.system", "os.system"),
        ("run.json", ("surprise",), 1, "run.json.surprise': extra inputs"),
        ("run.json", ("schema", "properties", 0, "scale"), "cubic", "schema.properties.0.scale'"),
        (
            "run.json",
            ("schema", "properties", 0, "unit"),
            "m^2",
            "has another schema|one quantity",
        ),
        ("history.json", ("members", 0, "best_epoch"), "two", "members.0.best_epoch' is 'two'"),
        (
            "history.json",
            ("members", 0, "epochs", "validation_loss", 1),
            "x",
            "validation_loss.1'",
        ),
        ("history.json", ("members",), [], "'histories' has 0 for 1 model"),
    ],
)
def test_a_malformed_entry_is_one_sentence_with_its_path(tmp_path, name, path, value, words):
    folder = of(small_model()).save(tmp_path / "run")
    (folder / name).write_text(edited((folder / name).read_text(), *path, value=value))
    seal(folder)
    with pytest.raises(DataError, match=words) as error:
        load_run(folder)
    assert "\n" not in str(error.value)


def test_half_a_file_and_an_ensemble_of_format_1_are_refused(run, tmp_path):
    folder = run.save(tmp_path / "run")
    (folder / "run.json").write_text((folder / "run.json").read_text()[:100])
    with pytest.raises(DataError, match="run.json has 100 bytes instead of .* copy it again"):
        load_run(folder)
    seal(folder)
    with pytest.raises(DataError, match="run.json is no JSON"):
        load_run(folder)
    (folder / "ensemble.json").write_text("{}")
    with pytest.raises(DataError, match="of format 1, but"):
        load_run(folder)


def test_a_run_remembers_the_training_properties_and_does_without(run, tmp_path):
    assert load_run(run.save(tmp_path / "old")).support is None
    m = np.random.default_rng(0).normal(size=(50, 2))
    m[3, 1] = np.nan
    back = load_run(replace(run, support=Support(m)).save(tmp_path / "run"))
    np.testing.assert_allclose(back.support.m, m, atol=1e-6)


def test_of_many_training_properties_an_even_sample_of_known_ones_is_kept():
    m = np.random.default_rng(0).normal(size=(45_000, 2))
    m[7] = np.nan
    fold = np.zeros(len(m), dtype=int)
    fold[-5000:] = 1
    phi = np.arange(2.0 * len(m)).reshape(-1, 2)
    data = xr.Dataset(
        {
            "phi": (("sample", "parameter"), phi),
            "m": (("sample", "property"), m),
            "fold": ("sample", fold),
        }
    )
    support = Support.of(Triads(table().schema, data))
    assert np.array_equal(support.m[4:], m[9:40_000:2])
    assert np.array_equal(support.phi[4:], phi[9:40_000:2])


@pytest.mark.parametrize(
    "content", [{"m": np.zeros((3, 5))}, {"other": np.zeros((3, 2))}, {"m": np.zeros((0, 2))}]
)
def test_a_damaged_support_is_refused(run, tmp_path, content):
    folder = run.save(tmp_path / "run")
    save_file(content, folder / "support.safetensors")
    seal(folder)
    with pytest.raises(DataError, match="damaged"):
        load_run(folder)


@pytest.mark.parametrize(
    "missing", ["run.json", "history.json", "model-1.safetensors", "manifest.json"]
)
def test_a_run_without_one_of_its_files_says_which(run, tmp_path, missing):
    folder = run.save(tmp_path / "run")
    (folder / missing).unlink()
    with pytest.raises(DataError, match=f"where {missing} is missing; copy it again"):
        load_run(folder)


def test_a_folder_without_a_run_is_none(tmp_path):
    with pytest.raises(DataError, match=r"no run folder \(run.json is missing\)"):
        load_run(tmp_path)


def test_a_run_of_format_2_has_no_manifest_and_opens_with_a_warning(run, tmp_path):
    folder = run.save(tmp_path / "run")
    (folder / "run.json").write_text(edited((folder / "run.json").read_text(), "format", value=2))
    (folder / "manifest.json").unlink()
    with pytest.warns(UserWarning, match="has no checksums; save it again"):
        back = load_run(folder)
    load_run(back.save(tmp_path / "new"))
    load_run(folder, verify=False)


def test_a_run_of_a_newer_format_is_refused_by_that_name(run, tmp_path):
    folder = run.save(tmp_path / "run")
    (folder / "run.json").write_text(edited((folder / "run.json").read_text(), "format", value=4))
    for act in (lambda: seal(folder), lambda: (folder / "manifest.json").unlink()):
        act()
        with pytest.raises(DataError, match="format 4, this version knows 3; upgrade pspgen-pyro"):
            load_run(folder)


@pytest.mark.parametrize("change", [np.float16, np.int64])
def test_weights_of_another_type_are_refused(run, tmp_path, change):
    folder = run.save(tmp_path / "run")
    file = folder / "model-1.safetensors"
    found = load_file(file)
    name = next(name for name, values in found.items() if values.dtype.kind == "f")
    save_file(found | {name: found[name].astype(change)}, file)
    seal(folder)
    with pytest.raises(DataError, match="weights do not fit its description"):
        load_run(folder)


def test_data_of_another_preset_or_schema_do_not_belong_to_a_run(toy_run, toy_triads):
    run = load_run(toy_run)
    run.check_against(toy_triads)
    other = toy_triads.data.assign_attrs(preset="as_stated")
    with pytest.raises(
        InputError, match="preset 'as_stated' but the run was trained on 'calibrated'"
    ):
        run.check_against(Triads(toy_triads.schema, other))
    with pytest.raises(InputError, match="'triads' has process"):
        run.check_against(table())
