"""Claims about bad input, by its kind: each ends in one sentence, at once, and leaves no file."""

import os
import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import schema, small_model

from pspgen_pyro import Box, Chain, Integer, ProcessSpace, Property, Real, Triads, generate, target
from pspgen_pyro.cli import main
from pspgen_pyro.data.batches import Batches
from pspgen_pyro.design import maximise, probability
from pspgen_pyro.errors import InputError
from pspgen_pyro.io.publish import refuse_existing
from pspgen_pyro.io.validation import (
    check_memory,
    check_name,
    check_positive,
    check_seed,
    check_whole,
    local_path,
    real_array,
)
from pspgen_pyro.properties import conductivity, permeability
from pspgen_pyro.structure import gaussian_random_field, threshold, two_mode_spectrum
from pspgen_pyro.training import Epochs
from pspgen_pyro.training.train import usable_device

NO_NUMBERS = st.one_of(
    st.none(),
    st.booleans(),
    st.text(),
    st.complex_numbers(),
    st.lists(st.integers()),
    st.sets(st.integers()),
    st.sampled_from([np.nan, np.inf, -np.inf, np.ones(2), torch.ones(2), object()]),
)
TABULAR = schema(("u", "v"), images=None)


@given(value=NO_NUMBERS | st.floats() | st.integers(max_value=0) | st.integers(min_value=2**63))
def test_a_count_is_a_whole_number_from_one_to_63_bits_and_nothing_else(value):
    with pytest.raises(InputError, match="'draws' is"):
        check_whole(draws=value)


@given(value=st.integers(1, 2**63 - 1))
def test_every_such_whole_number_is_a_count_and_a_seed_whatever_its_type(value):
    for kind in (int, np.int64, np.uint64):
        check_whole(draws=kind(value))
        check_seed(kind(value))


@given(value=NO_NUMBERS | st.integers(max_value=-1) | st.integers(min_value=2**63) | st.floats())
def test_a_seed_is_a_whole_number_from_zero_to_63_bits_and_nothing_else(value):
    with pytest.raises(InputError, match="'seed' is"):
        check_seed(value)


@given(value=NO_NUMBERS | st.floats(max_value=0) | st.sampled_from([10**400]))
def test_a_positive_number_is_finite_above_zero_and_no_text(value):
    with pytest.raises(InputError, match="'scale' is"):
        check_positive(optional=False, scale=value)


@given(name=st.text())
def test_a_name_that_is_accepted_cannot_move_the_cursor(name):
    try:
        check_name(name, "names")
    except InputError:
        return
    assert name.strip() == name != ""
    assert not {unicodedata.category(c) for c in name} & {"Cc", "Cf", "Zl", "Zp"}


@given(text=st.text(max_size=3000))
def test_every_sentence_is_one_line_that_any_terminal_can_show(text):
    sentence = str(InputError(f"'names' has {text}"))
    assert sentence.isprintable()
    assert len(sentence) <= 1000


@pytest.mark.parametrize("name", ["", " a", "a\nb", "\x1b[31mred", "a\x00", "\u202eb", 3, None])
def test_names_of_settings_and_units_are_words(name):
    for make in (
        lambda: ProcessSpace((name, "b"), (0, 0), (1, 1)),
        lambda: ProcessSpace.of({name: Real(0, 1), "b": Integer(0, 2)}),
        lambda: Real(0, 1, name),
        lambda: Property(name="u", unit=name),
    ):
        with pytest.raises(InputError):
            make()


def test_lists_and_tuples_make_equal_process_spaces():
    assert ProcessSpace(["a"], [0.0], [1.0]) == ProcessSpace(("a",), (0.0,), (1.0,))


@pytest.mark.parametrize(
    "phi",
    ["ab", None, ["1", "2"], [True, False], [[1], [1, 2]], {1, 2}, [1, 1j], object()],
)
def test_settings_are_numbers(phi):
    with pytest.raises(InputError, match="'phi'"):
        TABULAR.process.check(phi)


def test_a_tensor_with_a_gradient_and_half_precision_are_arrays_like_others():
    for values in (torch.ones(2, requires_grad=True), np.ones(2, np.float16), [1, 1]):
        assert real_array(values, "phi", "numbers").tolist() == [1.0, 1.0]
    for values in (torch.ones(2, device="meta"), np.ma.masked_all(2, str)):
        with pytest.raises(InputError):
            real_array(values, "phi", "numbers")


@pytest.mark.parametrize(
    ("option", "value"),
    [("draws", 2.5), ("draws", "9"), ("draws", 10**12), ("starts", True), ("starts", 10**12)]
    + [("iterations", np.inf), ("seed", -1), ("seed", 2**70), ("optimiser", "lbfgs")],
)
def test_a_design_names_the_option_that_cannot_be(option, value):
    with pytest.raises(InputError, match=f"'{option}'"):
        maximise(small_model(TABULAR), Box((0, 0), (1, 1)), **{option: value})


@pytest.mark.parametrize(("option", "value"), [("replicates", 1), ("seed", 1.0), ("draws", None)])
def test_a_probability_names_the_option_that_cannot_be(option, value):
    with pytest.raises(InputError, match=f"'{option}'"):
        probability(small_model(TABULAR), Box((0, 0), (1, 1)), [5.0, 1.0], **{option: value})


@pytest.mark.parametrize(
    "option",
    [{"learning_rate": 1e300}, {"batch_size": True}, {"patience": -1}, {"epochs": 1.5}]
    + [{"clip": np.nan}, {"updates": 3}, {"schedule": ["cosine"]}],
    ids=str,
)
def test_the_epochs_name_the_option_that_cannot_be(option):
    with pytest.raises(InputError, match=next(iter(option))):
        Epochs(**option)


def test_sizes_of_terabytes_are_a_sentence_with_the_size(tmp_path):
    with pytest.raises(InputError, match=r"needs 7.45e\+03 GiB of memory"):
        check_memory("draws", 10**12, 8)
    with pytest.raises(InputError, match="GiB of disk"):
        generate("case1", tmp_path / "t.zarr", samples=10**15)
    with pytest.raises(InputError, match="'n' is"):
        two_mode_spectrum([[5.0, 1.0]], (8, 10**13))
    with pytest.raises(InputError, match="3000 regions"):
        target("; ".join(f"u > {i} and u < {i + 1}" for i in range(3000)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("device", ["gpu0", "", "meta", "xla", "cuda:99", "cpu:7", 3, "\x1b[31m"])
def test_a_device_that_cannot_compute_is_a_sentence(device):
    with pytest.raises(InputError, match="'device' is .* choose one of cpu"):
        usable_device(device)


def test_the_processor_and_every_gpu_there_is_can_compute():
    assert usable_device("cpu") == torch.device("cpu")
    for i in range(torch.cuda.device_count()):
        assert usable_device(f"cuda:{i}").index == i


@pytest.mark.parametrize("path", ["", 3, None, b"a", "a\0b", "x" * 300])
def test_a_path_that_no_file_can_have_is_a_sentence(path):
    with pytest.raises(InputError, match="'out' is"):
        local_path(path, "out")


def test_a_dangling_link_and_a_folder_without_permission_are_refused(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="exists"):
        refuse_existing(tmp_path / "link")
    # root may write anywhere
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="may not write"):
        refuse_existing(tmp_path / "new")


@pytest.mark.parametrize(
    "x", [np.full((1, 8, 8), np.nan), "x", None, np.ma.masked_all((1, 8, 8)), [[[1], [1, 2]]]]
)
def test_what_is_no_image_is_neither_solved_nor_thresholded(x):
    for solve in (
        permeability,
        lambda x: conductivity(x, (1.0, 2.0)),
        lambda x: threshold(x, 0.5),
        lambda x: gaussian_random_field(x, [np.random.SeedSequence(0)]),
    ):
        with pytest.raises(InputError):
            solve(x)


def test_a_label_that_a_byte_cannot_hold_is_refused_rather_than_wrapped():
    with pytest.raises(InputError, match="300 phases"):
        conductivity(np.full((1, 8, 8), 256), range(1, 301))


@pytest.mark.parametrize("phi", [[[np.nan, 1.0]], [[5.0, np.inf]], [[5.0, -1.0]], [["5", "1"]]])
def test_a_spectrum_of_what_is_no_setting_is_refused(phi):
    with pytest.raises(InputError, match="'phi'"):
        two_mode_spectrum(phi, 8)


def test_a_chain_is_made_of_simulators():
    process = ProcessSpace(("a",), (0.0,), (1.0,))
    for parts in ((None, print), (3, None), (None, None)):
        with pytest.raises(InputError, match="'(structure|property_)'"):
            Chain(process, *parts)


def test_a_value_without_an_m_does_not_pass_for_an_unknown_one():
    rng = np.random.default_rng(0)
    phi, m = rng.uniform(size=(30, 2)), rng.uniform(1, 2, size=(30, 1))
    names = {"process": {"a": (0, 1), "b": (0, 1)}, "properties": ["k log"]}
    triads = Triads.from_arrays(phi, None, m, **names, quiet=True)
    triads.data["value"][3], triads.data["m"][3] = 0.0, np.nan
    with pytest.raises(InputError, match="'k' is 0"):
        Batches.from_triads(triads)


def one_line(capsys, *words):
    """The only line on standard error of a command that ends with 2."""
    assert main(list(words)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("pspgen: error: ")
    return line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Expected one of {simulate, import,"),
        (["nonsense"], "Unrecognized options: nonsense"),
        (["fit", "t"], "--out PATH"),
        (["fit", "t", "--out", "r", "--patience=1_0"], "--patience"),
        (["fit", "t", "--out", "r", "--latent=\x1b[31m"], "--latent"),
        (["fit", "t", "--out", "r", "--lr=x"], "x"),
        (["simulate", "case9", "--out", "t"], "invalid choice 'case9'"),
        (["demo", "--out", "d", "--samples=0"], "'samples' is 0"),
        (["demo", "--out", "d", "--seed=-1"], "'seed' is -1"),
        (["demo", "--out", "d", "--reference=1"], "'reference' is 1 material"),
        (["loop", "r", "--triads", "t", "--target=u", "--out", "x", "--refined", "x"], "both 'x'"),
        (["simulate", "case1", "--samples=4", "--out", "t", "--scheduler=nonsense"], "scheduler"),
        (["simulate", "case1", "--out", "t", "--scale=1e300"], "GiB of disk"),
        (["simulate", "case1", "--out", "y" * 300], "File name too long"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_a_command_that_cannot_be_ends_in_one_line_and_leaves_nothing(
    words, told, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert told in one_line(capsys, *words)
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_printed(capsys):
    from pspgen_pyro import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pspgen {__version__}\n"
