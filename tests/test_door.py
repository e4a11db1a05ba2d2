"""Claims about the door through which other people's data come in."""

import json

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import pspgen_pyro as psp
from pspgen_pyro.cli import main
from pspgen_pyro.data.folds import draw_settings, settings_of
from pspgen_pyro.errors import InputError

K = "k [m^2] log"
TWO = {"phases": 2, "periodic": True}


def rows(n=40, seed=0):
    rng = np.random.default_rng(seed)
    phi = rng.uniform((0, 10), (1, 20), size=(n, 2))
    return phi, np.exp(phi[:, :1] + 0.3 * rng.normal(size=(n, 1)))


def images(n=40, h=6, w=8, seed=1):
    return np.random.default_rng(seed).integers(0, 2, size=(n, h, w))


def arrays(phi, x, m, **options):
    return psp.Triads.from_arrays(phi, x, m, **({"properties": K, "quiet": True} | options))


def refused(match, phi, x, m, **options):
    with pytest.raises(InputError, match=match) as error:
        arrays(phi, x, m, **options)
    assert str(error.value).endswith((".", ".)"))


def notes(triads):
    return json.loads(triads.data.attrs["notes"])


def warnings(triads):
    return json.loads(triads.data.attrs["warnings"])


def table(folder, frame, name="table.csv", **options):
    frame.to_csv(folder / name, index=False, **options)
    return folder / name


def toy_table(n=40):
    phi, k = rows(n)
    return pd.DataFrame({"a": phi[:, 0], "b": phi[:, 1], "k": k[:, 0]})


@pytest.mark.parametrize("heading", ["k [um^2]", "k (um^2)"])
def test_a_column_in_another_unit_than_declared_is_converted_and_a_note_says_so(tmp_path, heading):
    frame = toy_table()
    wide = frame.rename(columns={"k": heading}).assign(**{heading: frame["k"] * 1e12})
    options = {"process": {"a": (0, 1), "b": (10, 20)}, "properties": K, "quiet": True}
    there = [
        psp.Triads.from_table(table(tmp_path, one, name), **options)
        for one, name in ((frame, "m.csv"), (wide, "um.csv"))
    ]
    np.testing.assert_allclose(there[1].data["value"], there[0].data["value"], rtol=1e-12)
    assert f"um.csv: {heading!r} was converted to 'm^2'" in notes(there[1])


def test_a_column_in_a_unit_that_does_not_convert_is_refused(tmp_path):
    wrong = table(tmp_path, toy_table().rename(columns={"k": "k [MPa]"}))
    with pytest.raises(InputError, match="'k' is in 'MPa', which does not convert to 'm\\^2'"):
        psp.Triads.from_table(wrong, process=["a", "b"], properties=K, quiet=True)


def read(path, **options):
    usual = {"process": ["a", "b"], "properties": [K], "quiet": True}
    return psp.Triads.from_table(path, **(usual | options))


class TestArrays:
    def test_a_triad_holds_what_was_given_in_units_and_on_scales(self):
        phi, k = rows()
        x = images()
        triads = arrays(phi, x, k, microstructure=TWO | {"pixel_size": 0.5, "pixel_unit": "um"})
        data = triads.data
        assert (data["phi"] == phi).all()
        assert (data["x"] == x).all()
        assert data["x"].dtype == np.uint8
        assert (data["value"] == k).all()
        np.testing.assert_allclose(data["m"], np.log(k))
        assert triads.schema.microstructure.shape == (6, 8)
        assert psp.Schema.from_json(json.loads(data.attrs["schema"])) == triads.schema

    @pytest.mark.parametrize(
        "kind", ["torch", "frame", "xarray", "list", "grad", "masked", "single"]
    )
    def test_every_container_gives_the_same_triads(self, kind):
        phi, k = rows()
        made = {
            "torch": torch.as_tensor,
            "grad": lambda v: torch.tensor(v, requires_grad=True),
            "frame": lambda v: pd.DataFrame(v, columns=["a", "b"][: v.shape[1]]),
            "xarray": lambda v: xr.DataArray(v, dims=("row", "column")),
            "list": lambda v: v.tolist(),
            "masked": lambda v: np.ma.masked_array(v, mask=False),
            "single": lambda v: v,
        }[kind]
        process = {"a": (0, 1), "b": (10, 20)}
        triads = arrays(made(phi), None, k[:, 0] if kind == "single" else made(k), process=process)
        assert triads.data.equals(arrays(phi, None, k, process=process).data)

    def test_columns_are_found_by_name_whatever_their_order(self):
        frame = toy_table()[["k", "b", "a"]].assign(comment="text")
        triads = arrays(frame, None, frame, process=["a", "b"])
        assert (triads.data["phi"] == frame[["a", "b"]]).all()
        assert (triads.data["value"][:, 0] == frame["k"]).all()

    def test_columns_of_other_names_are_renamed_and_that_is_said(self):
        phi, k = rows()
        frame = pd.DataFrame(phi, columns=["Temp", "time"])
        triads = arrays(frame, None, k, process={"T": (0, 1, "K"), "t": (10, 20)})
        assert triads.schema.process.units == ("K", "1")
        assert "columns of phi renamed: Temp → T, time → t" in notes(triads)

    def test_a_column_may_carry_its_unit(self):
        frame = toy_table().rename(columns={"a": "a [K]", "k": "k [m^2]"})
        triads = arrays(frame, None, frame, process=["a [K]", "b"])
        assert triads.schema.process.names == ("a", "b")
        assert triads.schema.process.units == ("K", "1")

    def test_names_and_units_of_a_labelled_array_are_its_coordinates(self):
        phi, k = rows()
        labelled = xr.DataArray(phi, dims=("n", "p"), coords={"p": ["a", "b [K]"]})
        assert arrays(labelled, None, k).schema.process.units == ("1", "K")

    def test_bounds_that_are_not_declared_are_the_range_of_the_data_and_that_is_said(self):
        phi, k = rows()
        triads = arrays(phi, None, k)
        assert triads.schema.process.lower == tuple(phi.min(0))
        assert "bounds of phi1, phi2: the range of the data" in triads.summary()
        assert (
            "range of the data"
            not in arrays(
                phi, None, k, process=psp.ProcessSpace(("a", "b"), (0.0, 10.0), (1.0, 20.0))
            ).summary()
        )

    def test_a_setting_at_its_bound_in_single_precision_is_accepted(self):
        phi, k = rows()
        phi[3] = [0.02, 20]
        triads = arrays(
            np.float32(phi.clip(0.02)), None, k, process={"a": (0.02, 1), "b": (10, 20)}
        )
        assert triads.data["phi"][3, 0] == 0.02

    def test_a_row_keeps_the_properties_that_are_known(self):
        phi, k = rows()
        values = np.concatenate([k, 3 * k + phi[:, :1]], axis=1)
        values[4, 1] = np.nan
        triads = arrays(phi, None, values, properties=[K, "s [MPa]"])
        assert np.isnan(triads.data["m"]).sum() == 1
        assert triads.data["m"][4, 0] == np.log(values[4, 0])

    def test_values_beyond_a_detection_limit_are_put_on_it_and_counted(self):
        phi, k = rows()
        k[:4] = [[0.0], [-1.0], [0.1], [0.05]]
        triads = arrays(phi, None, k, properties="k [m^2] log below=0.1")
        assert (triads.data["value"][:4] == 0.1).all()
        assert (triads.data["m"][:4] == triads.schema.ends[0]).all()
        assert "4 value(s) at the detection limit 0.1, of which 3 lay below it" in notes(triads)[1]

    def test_the_summary_is_printed_once_unless_it_is_quiet(self, capsys):
        phi, k = rows()
        triads = arrays(phi, None, k, quiet=False)
        assert capsys.readouterr().out == triads.summary() + "\n" == f"{triads}\n"
        arrays(phi, None, k)
        assert capsys.readouterr().out == ""


class TestRefusals:
    @pytest.mark.parametrize(
        ("entry", "sentence"),
        [
            (np.nan, r"empty or NaN in row 6, column 'b'"),
            (np.inf, r"'phi' is inf in row 6, column 'b'"),
            (25.0, r"'phi' is 25 in row 6, column 'b', outside its bounds \[10, 20\]"),
        ],
    )
    def test_a_wrong_setting_is_named_by_row_and_column(self, entry, sentence):
        phi, k = rows()
        phi[5, 1] = entry
        refused(sentence, phi, None, k, process={"a": (0, 1), "b": (10, 20)})

    @pytest.mark.parametrize("entry", [np.inf, -np.inf, 0.0, -1.0])
    def test_a_value_without_m_is_named_by_row_and_property(self, entry):
        phi, k = rows()
        k[5] = entry
        refused(r"'k' is .* in row 6", phi, None, k)

    def test_a_setting_that_never_varies_is_refused(self):
        phi, k = rows()
        phi[:, 1] = 15
        refused("'phi2' = 15 in each", phi, None, k, process={"phi1": (0, 1), "phi2": (10, 20)})

    @pytest.mark.parametrize(
        ("entry", "word"), [(np.nan, "unknown in every"), (3.0, "is 3 in each")]
    )
    def test_a_property_that_tells_nothing_is_refused(self, entry, word):
        phi, k = rows()
        refused(word, phi, None, np.full_like(k, entry))

    def test_a_cell_that_is_no_number_is_named(self):
        frame = toy_table().astype(object)
        frame.loc[7, "b"] = "n.d."
        refused("column 'b' of row 8 is 'n.d.'", frame[["a", "b"]], None, frame)

    @pytest.mark.parametrize(
        ("phi", "x", "m"),
        [
            (np.ones((3, 2)), None, np.ones(4)),
            (np.ones((3, 2)), np.ones((4, 6, 6)), np.ones(3)),
            (np.ones((0, 2)), None, np.ones(0)),
        ],
    )
    def test_rows_that_do_not_pair_are_refused(self, phi, x, m):
        refused("numbers of rows are 'phi'", phi, x, m, microstructure=TWO)

    @pytest.mark.parametrize(
        ("process", "sentence"),
        [
            ({"a": (0, 1)}, "2 column"),
            ({"a": 3, "b": (10, 20)}, "'process' has 'a': 3"),
            ({"a": (1, 0), "b": (10, 20)}, "lower bound"),
            (["a", "a"], "'a' twice"),
            ([], "give names"),
        ],
    )
    def test_a_process_of_another_form_is_refused(self, process, sentence):
        phi, k = rows()
        refused(sentence, phi, None, k, process=process)

    @pytest.mark.parametrize(
        ("properties", "sentence"),
        [
            (None, "give one a column"),
            ([], "give one a column"),
            ([3], "give one a column"),
            ("k [m^2] lag", "'lag' is unknown"),
            (["k", "s"], r"1 column\(s\)"),
        ],
    )
    def test_properties_of_another_form_are_refused(self, properties, sentence):
        phi, k = rows()
        refused(sentence, phi, None, k, properties=properties)

    @pytest.mark.parametrize(
        "phi", [np.ones((4, 2), complex), [[1], [1, 2]], 3.0, {"a": 1}, np.ones((4, 2, 2))]
    )
    def test_what_is_no_table_is_refused(self, phi):
        refused("'phi'", phi, None, np.ones(4))

    def test_dates_are_no_numbers(self):
        frame = toy_table().assign(a=pd.date_range("2020-01-01", periods=40))
        refused("column 'a' holds datetime64", frame[["a", "b"]], None, frame)

    @pytest.mark.parametrize("validation", [0, 1, -0.1, np.nan])
    def test_a_fold_of_nothing_or_of_everything_is_refused(self, validation):
        phi, k = rows()
        refused("are asked for", phi, None, k, validation=validation)

    def test_replicates_of_one_setting_cannot_be_split(self):
        refused("never varies", np.ones((30, 2)), None, rows(30)[1])


class TestPixels:
    def read(self, x, **declared):
        phi, k = rows(len(x))
        return arrays(phi, x, k, microstructure=TWO | declared)

    def test_images_are_declared_and_not_guessed(self):
        phi, k = rows()
        refused(r"shape \(40, 6, 8\) and the values 0, 1, but .*phases=2", phi, images(), k)
        refused("periodic=False", phi, images(), k, microstructure={"phases": 2})
        refused("'x' is None", phi, None, k, microstructure=TWO)
        refused(
            r"declared with \(6, 6\)",
            phi,
            images(),
            k,
            microstructure=psp.Microstructure(shape=(6, 6)),
        )

    @pytest.mark.parametrize("white", [255, 65535])
    def test_black_and_white_become_labels_and_that_is_said(self, white):
        x = images().astype(np.uint16)
        triads = self.read(white * x)
        assert (triads.data["x"] == x).all()
        assert f"pixels of {white} label 1 (void)" in triads.summary()

    @pytest.mark.parametrize("dtype", [bool, np.int64, np.float32, np.uint8])
    def test_labels_of_any_type_are_labels(self, dtype):
        assert (self.read(images().astype(dtype)).data["x"] == images()).all()

    def test_the_shares_of_the_phases_are_told(self):
        x = np.arange(40 * 48).reshape(40, 6, 8) % 4
        assert "0 25 %, 1 25 %, 2 25 %, 3 25 %" in self.read(x, phases=4).summary()

    @pytest.mark.parametrize("value", [2, 128, 0.5, -1, np.nan, np.inf])
    def test_any_other_pixel_is_named_by_row_and_value(self, value):
        x = images().astype(float)
        x[7, 2, 3] = value
        phi, k = rows()
        refused(rf"value {value:g} in row 8, pixel \(3, 4\)", phi, x, k, microstructure=TWO)

    def test_grey_coded_labels_are_refused_with_the_line_that_mends_them(self):
        x = np.array([0, 127, 255])[np.arange(40 * 48).reshape(40, 6, 8) % 3]
        phi, k = rows()
        three = {"phases": 3, "periodic": True}
        refused(r"np.searchsorted\(\[0, 127, 255\], x\)", phi, x, k, microstructure=three)
        mended = np.searchsorted([0, 127, 255], x)
        assert self.read(mended, phases=3).data["x"].max() == 2

    @pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
    def test_grey_images_are_scaled_by_their_depth_and_that_is_said(self, dtype, white):
        x = np.random.default_rng(0).integers(0, white + 1, size=(40, 6, 8)).astype(dtype)
        triads = self.read(x, phases="grey")
        np.testing.assert_allclose(triads.data["x"], x / white, rtol=1e-6)
        assert triads.data["x"].dtype == np.float32
        assert f"0 to {white} became 0 to 1" in triads.summary()

    def test_grey_values_beyond_one_are_refused(self):
        phi, k = rows()
        grey = {"phases": "grey", "periodic": True}
        refused("value 1.5 in row 1", phi, np.full((40, 6, 8), 1.5), k, microstructure=grey)

    @pytest.mark.parametrize(
        "x", [np.zeros((40, 6)), np.zeros((40, 6, 8, 3)), np.full((40, 6, 8), "a"), 3]
    )
    def test_what_is_no_stack_of_images_is_refused(self, x):
        phi, k = rows()
        refused("'x'", phi, x, k, microstructure=TWO)


class TestWarnings:
    @pytest.mark.parametrize("seed", range(5))
    def test_clean_data_raise_no_warning(self, seed):
        phi, k = rows(200, seed)
        assert warnings(arrays(phi, None, k)) == []

    def test_an_outlier_is_named_by_row_and_value(self):
        phi, k = rows(200)
        k[16] = 1e9
        (told,) = warnings(arrays(phi, None, k))
        assert "1e+09 (row 17)" in told

    def test_an_outlier_is_found_beside_ties(self):
        phi, k = rows(200)
        k[:120] = 1.0
        k[16] = 1e9
        assert any("1e+09 (row 17)" in told for told in warnings(arrays(phi, None, k)))

    def test_a_setting_that_alone_stretches_the_bounds_is_named(self):
        phi, k = rows(200)
        phi[16, 1] = 1000
        (told,) = warnings(arrays(phi, None, k))
        assert "phi2 is 1000 in row 17" in told

    def test_ties_at_the_smallest_value_ask_for_a_detection_limit(self):
        phi, k = rows(200)
        k = k.clip(np.quantile(k, 0.2))
        (told,) = warnings(arrays(phi, None, k))
        assert "Then declare below=" in told
        declared = f"k log {told.split()[-1]}"
        assert warnings(arrays(phi, None, k, properties=declared)) == []

    def test_a_property_over_decades_on_a_linear_scale_is_told(self):
        phi, k = rows(200)
        assert "log" in warnings(arrays(phi, None, k**6, properties="k [m^2]"))[0]

    def test_repeated_rows_are_told(self):
        phi, k = rows()
        phi[9], k[9] = phi[3], k[3]
        assert "row 10 does row 4" in " ".join(warnings(arrays(phi, None, k)))

    def test_replicates_with_equal_values_but_other_images_are_no_repetition(self):
        phi, k = rows()
        phi[9], k[9] = phi[3], k[3]
        told = warnings(arrays(phi, images(), k, microstructure=TWO))
        assert "repeat" not in " ".join(told)

    def test_contents_that_sum_to_a_constant_are_told(self):
        parts = np.random.default_rng(0).dirichlet([1, 2, 3], size=100) * 100
        (told,) = warnings(arrays(parts.round(1), None, parts[:, 0] + parts[:, 1] ** 0.5))
        assert "phi1, phi2, phi3 sum to 100 in every row" in told

    def test_settings_that_determine_each_other_are_told(self):
        phi, k = rows(100)
        told = warnings(arrays(np.c_[phi, 3 * phi[:, :1] - phi[:, 1:]], None, k))
        assert "phi1, phi2, phi3 determine each other" in told[0]

    def test_a_property_known_in_few_rows_is_told(self):
        phi, k = rows(300)
        values = np.concatenate([k, np.where(np.arange(300) < 15, k[:, 0], np.nan)[:, None]], 1)
        told = warnings(arrays(phi, None, values, properties=[K, "s log"]))
        assert "s is known in 15 rows only: expect wide answers" in told

    def test_few_rows_are_told(self):
        phi, k = rows(10)
        told = warnings(arrays(phi, None, k))
        assert "10 rows are few" in told[0]
        assert "only 1 setting(s) validate" in told[1]


class TestFolds:
    @settings(max_examples=30, deadline=None)
    @given(st.integers(2, 60), st.integers(1, 4), st.integers(0, 2**32), st.floats(0.01, 0.99))
    def test_a_setting_is_in_one_fold_and_no_fold_is_empty(self, n, replicates, seed, part):
        phi = np.repeat(rows(n)[0], replicates, axis=0)
        phi = phi[np.random.default_rng(seed).permutation(len(phi))]
        index, replicate = settings_of(phi, np.array([1.0, 10.0]))
        drawn = draw_settings(phi, index, np.ones(len(phi), int), part, seed, 0)
        assert len(np.unique(index)) == n
        assert sorted(zip(index, replicate, strict=True)) == [
            (i, r) for i in range(n) for r in range(replicates)
        ]
        counts = np.bincount(index, drawn)
        assert set(counts) <= {0, replicates}
        assert 0 < (counts > 0).sum() < n
        assert abs((counts > 0).sum() - part * n) <= 1

    def test_the_folds_depend_on_the_settings_and_the_seed_not_on_the_order(self):
        phi, k = rows(60)
        order = np.random.default_rng(5).permutation(60)
        fold = arrays(phi, None, k).data["fold"].to_numpy()
        assert (arrays(phi[order], None, k[order]).data["fold"] == fold[order]).all()
        assert (arrays(phi, None, k, seed=1).data["fold"] != fold).any()

    def test_settings_that_differ_by_rounding_are_one(self):
        phi = np.array([[0.1 + 0.2], [0.3], [0.4], [np.float32(0.4)]])
        assert settings_of(phi[:3], np.ones(1))[0].tolist() == [0, 0, 1]
        assert settings_of(np.array([[0.0], [-0.0]]), np.ones(1))[0].tolist() == [0, 0]

    def test_few_labels_among_many_pairs_are_in_both_folds(self):
        phi, k = rows(300)
        k[20:] = np.nan
        triads = arrays(phi, images(300), k, microstructure=TWO)
        known = triads.data["m"].notnull()[:, 0].to_numpy()
        assert triads.data["fold"].to_numpy()[known].sum() == 2

    def test_a_split_holds_out_whole_settings_and_keeps_both_folds(self):
        phi, k = rows(30)
        triads = arrays(np.repeat(phi, 2, axis=0), None, np.exp(rows(60, 3)[0][:, 0]))
        rest, held_out = triads.split(0.2, seed=1)
        assert len(rest) + len(held_out) == 60
        assert not set(rest.data["phi_index"].data) & set(held_out.data["phi_index"].data)
        assert len(np.unique(held_out.data["phi_index"])) == 6
        assert set(rest.data["fold"].data) == {0, 1}
        assert set(held_out.data["fold"].data) == {1}
        assert "held out" in held_out.summary()


class TestTable:
    @pytest.mark.parametrize(
        "form",
        [
            {},
            {"encoding": "utf-8-sig"},
            {"sep": ";"},
            {"sep": "\t"},
            {"sep": ";", "decimal": ","},
            {"sep": "\t", "decimal": ",", "encoding": "utf-8-sig"},
        ],
    )
    def test_the_dialects_of_csv_give_the_same_triads(self, tmp_path, form):
        frame = toy_table().round(3)
        triads = read(table(tmp_path, frame, **form))
        np.testing.assert_array_equal(triads.data["phi"], frame[["a", "b"]])
        np.testing.assert_array_equal(triads.data["value"][:, 0], frame["k"])
        assert ("decimal commas" in triads.summary()) == ("decimal" in form)

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "no rows below"),
            ("a,b,k\n", "no rows below"),
            ("a,b\n1,2\n", "no column 'k'; there are 'a', 'b'"),
            ("a,b,k,k\n1,2,3,4\n", "2 columns for 'k'"),
            ("a,b,k\n1,2,3\n1,2\n", "line 3 has 2 cells but the header has 3"),
            ("a,b,k\n1,5,2,3\n", "line 2 has 4 cells"),
            ("a;b;k\n1,5;2;3.5\n", "'1,5' and '3.5'"),
            ("a,b,k\n1,2,3\n1,,3\n", "row 2, column 'b'"),
            ("a,b,k\n1,2,3\n1,x,3\n", "column 'b' of row 2 is 'x'"),
            ("a,b,k\nK,h,MPa\n1,2,3\n", "holds units"),
            ("a,b,k\nhot,2,3\ncold,3,4\n", "for settings that are words"),
            ("a,b,k\n1,2,<3\n2,3,4\n", "declare below=3"),
            ('a,b,k\n1,2,"3\n', "never varies"),
        ],
    )
    def test_a_table_that_cannot_be_used_is_one_sentence(self, tmp_path, text, sentence):
        path = tmp_path / "table.csv"
        path.write_text(text)
        with pytest.raises(InputError, match=sentence):
            read(path)

    def test_a_file_that_is_no_text_or_not_there_is_one_sentence(self, tmp_path):
        (tmp_path / "old.csv").write_bytes("a,b,k\n1,2,µ\n".encode("cp1252"))
        with pytest.raises(InputError, match="save the table as CSV in UTF-8"):
            read(tmp_path / "old.csv")
        with pytest.raises(InputError, match="cannot be read"):
            read(tmp_path / "none.csv")
        with pytest.raises(InputError, match="cannot be read"):
            read(tmp_path)

    def test_empty_cells_of_a_property_are_unknown(self, tmp_path):
        frame = toy_table().astype(object)
        for row, text in enumerate(["", "NaN", "n/a", " "]):
            frame.loc[row, "k"] = text
        triads = read(table(tmp_path, frame))
        assert np.isnan(triads.data["value"][:4]).all()
        assert "36 known" in triads.summary()

    def test_a_cell_less_than_the_declared_limit_is_on_it(self, tmp_path):
        frame = toy_table().astype(object)
        frame.loc[0, "k"], frame.loc[1, "k"] = "<0.1", "< 0.05"
        triads = read(table(tmp_path, frame), properties=["k log below=0.1"])
        assert (triads.data["value"][:2] == 0.1).all()

    def test_a_table_of_other_names_is_never_read_by_position(self, tmp_path):
        with pytest.raises(InputError, match="no column 'c'"):
            read(table(tmp_path, toy_table()[["a", "b"]]), process=["c", "d"], properties="e")


def save(path, image):
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, image)
    elif path.suffix == ".png":
        iio.imwrite(path, image)
    else:
        tifffile.imwrite(path, image)


class TestImages:
    @pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".npy"])
    def test_files_are_rows_in_the_order_of_their_numbers(self, tmp_path, suffix):
        x = images(12).astype(np.uint8)
        for row, image in enumerate(x):
            save(tmp_path / "img" / f"s{row + 1}{suffix}", 255 * image)
        path = table(tmp_path, toy_table(12))
        triads = read(path, images=f"img/*{suffix}", microstructure=TWO)
        assert (triads.data["x"] == x).all()
        assert f"row 1 is s1{suffix}, row 12 is s12{suffix}" in triads.summary()

    def test_a_column_of_paths_says_which_image_is_whose(self, tmp_path):
        x = images(12).astype(np.uint16)
        files = [f"img/{(7 * row) % 12}.png" for row in range(12)]
        for file, image in zip(files, x, strict=True):
            save(tmp_path / file, 65535 * image)
        path = table(tmp_path, toy_table(12).assign(file=files))
        assert (read(path, images="file", microstructure=TWO).data["x"] == x).all()

    def test_a_colour_image_whose_channels_agree_is_grey(self, tmp_path):
        x = images(12).astype(np.uint8)
        for row, image in enumerate(x):
            channels = np.stack([255 * image] * 3 + [np.full_like(image, 255)] * (row % 2), -1)
            save(tmp_path / "img" / f"{row}.png", channels)
        path = table(tmp_path, toy_table(12))
        assert (read(path, images="img/*", microstructure=TWO).data["x"] == x).all()

    @pytest.mark.parametrize(
        ("image", "suffix", "sentence"),
        [
            (np.arange(144, dtype=np.uint8).reshape(6, 8, 3), ".png", "colour image"),
            (np.arange(96, dtype=np.uint8).reshape(6, 8, 2), ".png", "transparent"),
            (np.zeros((5, 6, 8), np.uint8), ".tif", "one file holds one image"),
            (np.zeros((6, 9), np.uint8), ".png", r"row 12 has \(6, 9\) pixels"),
            (np.zeros((6, 8), np.uint16), ".png", "uint16, but those before it hold uint8"),
            (np.full((6, 8), 2, np.uint8), ".png", "value 2 in row 12"),
        ],
    )
    def test_an_image_that_cannot_be_used_is_named(self, tmp_path, image, suffix, sentence):
        for row, other in enumerate(images(11).astype(np.uint8)):
            save(tmp_path / "img" / f"{row}.png", other)
        save(tmp_path / "img" / f"11{suffix}", image)
        with pytest.raises(InputError, match=sentence):
            read(table(tmp_path, toy_table(12)), images="img/*", microstructure=TWO)

    def test_images_that_do_not_pair_with_the_rows_are_refused(self, tmp_path):
        save(tmp_path / "img" / "0.png", images(1).astype(np.uint8)[0])
        (tmp_path / "img" / "broken.png").write_bytes(b"no image")
        (tmp_path / "img" / "photo.jpg").write_bytes(b"no image")
        frame = toy_table(2).assign(file=["img/0.png", "img/1.png"], gap=["img/0.png", ""])
        path = table(tmp_path, frame.assign(bad="img/broken.png", jpg="img/photo.jpg"))
        for choice, sentence in {
            "img/0*": "1 images match",
            "pictures/*.png": "neither a column of the table nor matches",
            "file": "there is no image",
            "gap": "names no image in row 2",
            "bad": "cannot be read as an image",
            "jpg": "neither PNG, TIFF nor NPY",
            **dict.fromkeys(("", ".", "./", "/", "a/**b", "/a/**b"), "no pattern of files"),
        }.items():
            with pytest.raises(InputError, match=sentence):
                read(path, images=choice, microstructure=TWO)


class TestCommand:
    @pytest.fixture
    def saved(self, monkeypatch):
        kept = {}
        monkeypatch.setattr(
            psp.Triads, "save", lambda self, path: kept.update({str(path): self}), raising=False
        )
        return kept

    def test_the_command_reads_what_python_reads(self, tmp_path, saved, capsys):
        for row, image in enumerate(images(40).astype(np.uint8)):
            save(tmp_path / "img" / f"{row}.png", image)
        path, out = table(tmp_path, toy_table().assign(s=toy_table()["b"] ** 2)), tmp_path / "t"
        command = ["import", str(path), "--process", "a [K],b", "--bounds", "b=-1e1:30[h]"]
        command += ["--property", K, "--property", "s [MPa]", "--images", "img/*.png"]
        command += ["--phases", "2", "--pixel-size", "0.5", "--pixel-unit", "um", "--seed", "3"]
        assert main([*command, "--out", str(out)]) == 0
        same = read(
            path,
            process={"a [K]": None, "b": (-10, 30, "h")},
            properties=[K, "s [MPa]"],
            images="img/*.png",
            microstructure={"phases": 2, "periodic": False, "pixel_size": 0.5, "pixel_unit": "um"},
            seed=3,
        )
        assert saved[str(out)].data.identical(same.data)
        assert capsys.readouterr().out.startswith(same.summary())

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (["--bounds", "c=0:1"], "'process' names a, b"),
            (["--bounds", "a=0"], "write a=0:1"),
            (["--bounds", "a=x:1"], "write a=0:1"),
            (["--phases", "2"], "add --images"),
            (["--images", "*.png"], "add --phases 2"),
            (["--property", "z"], "no column 'z'"),
        ],
    )
    def test_a_wrong_command_is_one_sentence_and_code_2(
        self, tmp_path, saved, capsys, options, sentence
    ):
        path = table(tmp_path, toy_table())
        command = ["import", str(path), "--process", "a,b", "--property", K]
        assert main([*command, *options, "--out", str(tmp_path / "t")]) == 2
        assert sentence in capsys.readouterr().err
        assert saved == {}
