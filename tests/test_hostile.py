"""Claims about opening: whatever is done to a store or a run, one sentence says so and no number
comes of it. `hostile.py` makes the same tries by the thousand, and those of campaigns."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hostile import ANY, attempt, fault, make, open_whole, swapped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pspgen_pyro.io.sealing import parsed, sealed, unsealed


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    for name, seed in (("one", 1), ("two", 2)):
        make(folder / name, seed, campaign=False)
    return folder


KINDS = ["store", "saved", "run", "ensemble"]


@settings(
    deadline=None,
    max_examples=30,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.booleans())
def test_whatever_is_damaged_is_one_sentence_with_the_file_and_the_way_out(
    made, tmp_path, kind, seed, fits
):
    place = tmp_path / "try"
    shutil.rmtree(place, ignore_errors=True)
    what, wrong = attempt(made, place, kind, seed, fits)
    assert not wrong, what


PLACES = (
    "saved/x/c.0.0.0",
    "saved/m/zarr.json",
    "ensemble/run.json",
    "ensemble/model-1.safetensors",
)
# no other file of that size, none that differs in the other store, no folder to link
NOTHING = {
    *((key, "swapped") for key in PLACES[:3]),
    ("saved/m/zarr.json", "of_another"),
    *((key, "linked_folder") for key in PLACES[2:]),
}


@pytest.mark.parametrize(
    ("key", "damage"),
    [
        (key, damage)
        for key in PLACES
        for damage in sorted({*ANY}, key=lambda one: one.__name__)
        if (key, damage.__name__) not in NOTHING
    ],
)
def test_whatever_is_in_place_of_a_file_is_refused(made, tmp_path, key, damage):
    kind, _, name = key.partition("/")
    folder = shutil.copytree(made / "one" / kind, tmp_path / kind)
    facts = {"folder": folder, "rng": np.random.default_rng(0), "other": made / "two" / kind}
    assert damage(folder / name, **facts) is not False
    assert not fault(kind, folder, "" if damage is swapped else name, strict=True)


@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_damaged_opens_where_others_put_a_file_too(made, tmp_path, kind):
    copy = Path(shutil.copytree(made / "one" / kind, tmp_path / kind))
    (copy / ".DS_Store").write_bytes(b"?")
    open_whole(kind, copy)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": 1e999}', "1e999 is no number"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the name 'c' comes twice"),
        ("[" * 61 + "]" * 61, "nested more than 60 deep"),
        ("[" * 100_000, "nested more than 60 deep"),
        (b'"\xff"', "utf-8"),
        ('{"a": "\\ud800"}', "surrogates not allowed"),
        ("", "Expecting value"),
        ("9" * 5000, "digits"),
    ],
)
def test_json_that_could_be_read_in_two_ways_is_none(text, words):
    with pytest.raises(ValueError, match=words):
        parsed(text)


def test_json_of_every_other_kind_is_read():
    assert parsed('{"a": [1, 2.5, null, "\\ud83d\\ude00"]}') == {"a": [1, 2.5, None, "\U0001f600"]}
    assert parsed("[" * 60 + "]" * 60)


@given(st.binary(min_size=1, max_size=8), st.data())
def test_a_sealed_file_comes_back_and_no_flipped_bit_does(after, data):
    content = {"é": [1.5, -0.0, 1e-7], "after": after.hex()}
    file = sealed(content, 1, after.hex())
    assert unsealed(file, "it", 1, "copy it") == (content, after.hex())
    damaged = bytearray(file)
    damaged[data.draw(st.integers(0, len(file) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match="'?it"):
        unsealed(bytes(damaged), "it", 1, "copy it")
