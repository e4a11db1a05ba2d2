"""Claims about a campaign: a folder that asks people for experiments, is told, and remembers."""

import json
import shutil
import subprocess
import sys
from functools import partialmethod
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from exact import PROCESS, double_precision, schema_of, tilted
from scipy.special import expit, logit

import pspgen_pyro as psp
from pspgen_pyro.campaign.belief import Belief, decided
from pspgen_pyro.campaign.journal import Experiment, Journal, Result
from pspgen_pyro.cli import main
from pspgen_pyro.design import Box, Boxes, Discrepancy, Estimate, Refinement, Support, maximise
from pspgen_pyro.design.loop.search import Search
from pspgen_pyro.errors import DataError, InputError, StorageError
from pspgen_pyro.io.sealing import sealed, sha256
from pspgen_pyro.runs import described_data
from pspgen_pyro.training.checkpoint import History

FURNACE = psp.ProcessSpace(("T", "t"), (900.0, 1.0), (1200.0, 8.0), ("K", "h"))
PROPERTIES = ("strength [MPa]", "k [m^2] log below=1e-15")
TARGET = "35 < strength < 41 MPa, k > 5e-15 m^2"
T, TIME, STRENGTH, K = "T [K]", "t [h]", "strength [MPa]", "k [m^2]"


def fire(phi, seed=0):
    """Strength [MPa] and permeability [m^2] of one filter a row."""
    rng = np.random.default_rng(seed)
    dense = (phi[:, 0] - 900) / 300 + 0.3 * np.log(phi[:, 1]) + 0.1 * rng.normal(size=len(phi))
    strength = 20 + 25 * dense + 2 * rng.normal(size=len(phi))
    return np.stack([strength, np.exp(-27 - 6 * dense)], axis=1)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A campaign that has asked for eight experiments, and what it was made of."""
    folder = tmp_path_factory.mktemp("campaigns")
    phi = FURNACE.sample(60, np.random.default_rng(0))
    triads = psp.Triads.from_arrays(
        phi, None, fire(phi), process=FURNACE, properties=PROPERTIES, quiet=True
    )
    run = psp.fit(triads, prior_steps=60, epochs=1, progress=False)
    run.save(folder / "run")
    triads.save(folder / "triads.zarr")
    psp.Campaign.start(folder / "campaign", run, triads, TARGET).ask(8)
    return folder


@pytest.fixture
def campaign(begun, tmp_path):
    """A copy of it."""
    shutil.copytree(begun / "campaign", tmp_path / "campaign")
    return psp.Campaign.open(tmp_path / "campaign")


def asked(campaign):
    return campaign.ask(quiet=True)


def filled(campaign, rows=8):
    """The table that was asked for, with the results of its first rows."""
    table = asked(campaign)
    values = fire(table[[T, TIME]].to_numpy())
    values[rows:] = np.nan
    return table.assign(**{STRENGTH: values[:, 0], K: values[:, 1]})


def strong(table):
    """How many strengths are those that are wanted."""
    return int(table[STRENGTH].between(35, 41).sum())


def settings_of(table):
    return table[[T, TIME]].to_numpy(dtype=float)


def counts(campaign):
    status = campaign.status()
    return status.experiments, status.failed, status.pending


def refused(campaign, table, words, **options):
    """One sentence, and nothing is kept."""
    before = campaign.path.joinpath("journal").glob("*.json")
    before = sorted(path.name for path in before)
    with pytest.raises(InputError, match=words) as error:
        campaign.tell(table, **options)
    assert "\n" not in str(error.value)
    assert sorted(p.name for p in campaign.path.joinpath("journal").glob("*.json")) == before


class TestAsking:
    def test_a_table_has_the_names_and_units_of_the_schema_and_room_for_what_comes(self, campaign):
        table = asked(campaign)
        assert list(table.columns) == ["experiment", T, TIME, STRENGTH, K, "failed"]
        assert list(table["experiment"]) == [f"e{i:04d}" for i in range(1, 9)]
        assert table[[STRENGTH, K, "failed"]].isna().all(axis=None)

    def test_settings_lie_within_the_bounds_exactly_after_a_csv_file(self, campaign, tmp_path):
        table = asked(campaign)
        table.to_csv(tmp_path / "next.csv", index=False)
        back = settings_of(pd.read_csv(tmp_path / "next.csv"))
        assert np.array_equal(back, settings_of(table))
        assert (back >= FURNACE.lower).all()
        assert (back <= FURNACE.upper).all()

    def test_asking_again_gives_what_is_pending_and_says_so(self, campaign, capsys):
        first = campaign.ask(4)
        assert "8 experiment(s) are pending" in capsys.readouterr().out
        assert "--more" in first.attrs["note"]
        pd.testing.assert_frame_equal(first, campaign.ask(8))

    def test_what_was_told_is_not_asked_again(self, campaign):
        campaign.tell(filled(campaign, 5))
        assert list(asked(campaign)["experiment"]) == ["e0006", "e0007", "e0008"]

    def test_more_are_new_and_have_their_own_names(self, campaign):
        more = campaign.ask(3, more=True)
        assert list(more["experiment"]) == ["e0009", "e0010", "e0011"]
        assert len(asked(campaign)) == 11

    def test_a_batch_is_not_one_setting_over_and_over(self, campaign):
        assert len(np.unique(settings_of(asked(campaign)), axis=0)) >= 6

    def test_two_who_ask_at_once_get_one_list(self, begun, tmp_path, monkeypatch):
        shutil.copytree(begun / "campaign", tmp_path / "c")
        (tmp_path / "c" / "journal" / "0001.json").unlink()
        first, second = (psp.Campaign.open(tmp_path / "c") for _ in range(2))
        add, lists = Journal.add, []

        def late(journal, before, entry):
            monkeypatch.setattr(Journal, "add", add)
            lists.append(second.ask(5, quiet=True))
            return add(journal, before, entry)

        monkeypatch.setattr(Journal, "add", late)
        lists.append(first.ask(5, quiet=True))
        pd.testing.assert_frame_equal(*lists)
        assert len(first.ask(quiet=True)) == 5

    def test_a_batch_of_none_is_refused(self, campaign):
        with pytest.raises(InputError, match="'batch' is 0"):
            campaign.ask(0)


class TestTelling:
    def test_results_count_and_nothing_is_pending_any_more(self, campaign):
        receipt = campaign.tell(filled(campaign))
        assert (receipt.results, receipt.failed, receipt.pending) == (8, 0, 0)
        assert counts(campaign) == (8, 0, 0)

    def test_the_order_of_the_rows_and_of_the_columns_is_free(self, campaign, begun, tmp_path):
        shutil.copytree(begun / "campaign", tmp_path / "other")
        other = psp.Campaign.open(tmp_path / "other")
        table = filled(campaign)
        campaign.tell(table)
        other.tell(table.sample(frac=1, random_state=0)[table.columns[::-1]])
        found = [one.status().probability for one in (campaign, other)]
        assert found[0].value == pytest.approx(float(found[1].value), abs=1e-6)

    def test_half_a_table_and_the_other_half_in_the_same_file_count_once_each(self, campaign):
        whole = filled(campaign)
        half = whole.assign(**{name: whole[name].where(whole.index < 3) for name in (STRENGTH, K)})
        assert campaign.tell(half).results == 3
        receipt = campaign.tell(whole)
        assert (receipt.results, receipt.pending) == (5, 0)
        assert "3 row(s) were told before and count once" in str(receipt)
        assert counts(campaign)[0] == 8

    def test_the_same_file_twice_is_one_sentence_and_counts_once(self, campaign, tmp_path):
        filled(campaign).to_csv(tmp_path / "back.csv", index=False)
        campaign.tell(tmp_path / "back.csv")
        before = campaign.status()
        receipt = campaign.tell(tmp_path / "back.csv")
        assert receipt.results == 0
        assert "back.csv was told before, as entry 2" in str(receipt)
        assert campaign.status() == before

    def test_the_same_rows_in_another_file_count_once(self, campaign):
        table = filled(campaign)
        own = table.assign(experiment=None)
        campaign.tell(table)
        campaign.tell(own)
        for one in (table, own):
            receipt = campaign.tell(one.iloc[::-1].assign(remark="again"))
            assert receipt.results == 0
            assert "told before; nothing is counted twice" in str(receipt)
        assert counts(campaign)[0] == 16

    def test_values_of_another_programs_digits_are_those_told_before(self, campaign):
        table = filled(campaign)
        campaign.tell(table)
        before = campaign.status()
        for digits in (7, 16):
            rounded = {
                name: [np.nextafter(float(f"{v:.{digits - 1}e}"), 0) for v in table[name]]
                for name in (STRENGTH, K)
            }
            assert campaign.tell(table.assign(**rounded, remark=digits)).results == 0
        assert campaign.status() == before

    def test_a_failure_is_told_by_its_column_and_says_nothing_of_p(self, campaign):
        table = filled(campaign, 6)
        table.loc[6:, "failed"] = 1
        before = campaign.status().probability
        campaign.tell(table[6:])
        assert counts(campaign) == (0, 2, 6)
        assert campaign.status().probability == before
        receipt = campaign.tell(table)
        assert (receipt.results, receipt.failed, receipt.pending) == (6, 0, 0)

    def test_a_row_without_a_result_stays_pending_and_the_receipt_says_how_to_fail_it(
        self, campaign
    ):
        receipt = campaign.tell(filled(campaign, 5))
        assert receipt.pending == 3
        assert "3 row(s) without a result, the first is row 6: still pending" in str(receipt)

    def test_what_failed_first_may_succeed_at_last_but_not_the_other_way_round(self, campaign):
        table = filled(campaign, 1)[:1]
        lost = table.assign(**{STRENGTH: None, K: None, "failed": "x"})
        campaign.tell(lost)
        campaign.tell(table)
        assert counts(campaign)[:2] == (1, 0)
        refused(campaign, lost.assign(remark=1), "was told as .* before and is failed here")

    def test_repeats_in_one_table_are_materials_of_their_own(self, campaign):
        table = filled(campaign)
        again = table[:2].assign(**{STRENGTH: [31.0, 45.0]})
        assert campaign.tell(pd.concat([table, again])).results == 10
        assert counts(campaign)[0] == 10

    def test_a_property_that_comes_later_completes_its_row(self, campaign):
        table = filled(campaign)
        campaign.tell(table.assign(**{K: None}))
        assert campaign.status().undecided == strong(table)
        campaign.tell(table)
        assert (counts(campaign)[0], campaign.status().undecided) == (8, 0)
        campaign.tell(table.assign(**{STRENGTH: None}))
        assert (counts(campaign)[0], campaign.status().undecided) == (8, 0)

    def test_other_values_of_one_experiment_are_refused_unless_they_correct_it(self, campaign):
        table = filled(campaign)
        campaign.tell(table)
        wrong = table.assign(**{STRENGTH: 1.0})
        refused(campaign, wrong, "experiment 'e0001' was told as .* tell it as a correction")
        assert campaign.tell(wrong, correct=True).results == 8
        assert campaign.status().met == 0
        assert counts(campaign)[0] == 8
        campaign.tell(table, correct=True)
        assert campaign.status().met == strong(table) > 0
        twice = pd.concat([table, table[:1].assign(**{STRENGTH: 2.0})])
        assert campaign.tell(twice).results == 1
        campaign.tell(table.assign(remark="pasted twice"), correct=True)
        assert counts(campaign)[0] == 8

    def test_experiments_of_the_laboratorys_own_are_welcome(self, campaign):
        own = pd.DataFrame({"T": [1000.0, 1100.0], "t": [2.0, 3.0], "strength": 35.0, "k": 5e-15})
        receipt = campaign.tell(own)
        assert (receipt.results, receipt.pending) == (2, 8)
        assert "every row is an experiment of your own" in str(receipt)
        assert campaign.tell(own.assign(strength=36.0)).results == 2
        assert counts(campaign) == (4, 0, 8)

    def test_an_experiment_at_another_setting_counts_at_its_own_and_is_noted(self, campaign):
        table = filled(campaign)
        moved = table.assign(**{T: 1050 + 0.9 * (table[T] - 1050)})
        receipt = campaign.tell(moved)
        assert receipt.pending == 0
        assert "row 1 is e0001 at another setting than asked for" in str(receipt)
        entry = json.loads((campaign.path / "journal" / "0002.json").read_text())
        told = [one["phi"][0] for one in entry["content"]["results"]]
        assert told == moved[T].tolist()

    def test_a_row_without_a_name_at_a_setting_that_was_asked_for_is_noted(self, campaign):
        receipt = campaign.tell(filled(campaign)[2:3].assign(experiment=None))
        assert "has the setting of e0003: counted beside it" in str(receipt)
        assert receipt.pending == 8

    def test_settings_that_a_spreadsheet_rounded_are_those_that_were_asked_for(
        self, campaign, tmp_path
    ):
        filled(campaign).to_csv(tmp_path / "back.csv", index=False, float_format="%.12g")
        receipt = campaign.tell(tmp_path / "back.csv")
        assert "another setting" not in str(receipt)

    @pytest.mark.parametrize(
        "form",
        [
            {"encoding": "utf-8-sig"},
            {"sep": ";"},
            {"sep": ";", "decimal": ",", "encoding": "utf-8-sig"},
            {"sep": "\t", "decimal": ","},
            {"lineterminator": "\r\n"},
        ],
        ids=["mark", "semicolons", "commas", "tabs", "windows"],
    )
    def test_what_spreadsheets_write_is_understood(self, campaign, tmp_path, form):
        filled(campaign).to_csv(tmp_path / "back.csv", index=False, **form)
        assert campaign.tell(tmp_path / "back.csv").results == 8
        assert "another setting" not in str(campaign.tell(tmp_path / "back.csv"))
        entry = json.loads((campaign.path / "journal" / "0002.json").read_text())
        told = [one["values"][0] for one in entry["content"]["results"]]
        np.testing.assert_allclose(told, fire(settings_of(filled_settings(entry)))[:, 0])

    def test_another_unit_in_the_header_is_converted(self, campaign):
        table = filled(campaign)
        other = table.rename(columns={T: "T [degC]", STRENGTH: "strength (GPa)"})
        other = other.assign(**{"T [degC]": table[T] - 273.15})
        other = other.assign(**{"strength (GPa)": table[STRENGTH] / 1000})
        receipt = campaign.tell(other)
        assert "'T [degC]' was converted to 'K'" in str(receipt)
        assert "another setting" not in str(receipt)
        entry = json.loads((campaign.path / "journal" / "0002.json").read_text())
        told = [one["values"][0] for one in entry["content"]["results"]]
        np.testing.assert_allclose(told, table[STRENGTH])

    def test_below_the_detection_limit_is_on_it_in_any_unit(self, campaign):
        table = filled(campaign).rename(columns={K: "k [um^2]"})
        table, seen = table.assign(**{"k [um^2]": [*["<1e-3"] * 4, *[0] * 4]}), []
        campaign.tell(table)
        assert campaign.status().met == 0
        held = campaign.refined(lambda model, old, new, seed: seen.append(new) or model)
        assert len(held.members) == len(seen) == 1
        np.testing.assert_allclose(seen[0].m[:, 1], np.log(1e-15), rtol=1e-6)


def filled_settings(entry):
    phi = [one["phi"] for one in entry["content"]["results"]]
    return pd.DataFrame(phi, columns=[T, TIME])


BAD = {
    "outside": (
        lambda t: t.assign(**{T: 1300.0}),
        "1300 in row 1, column 'T', outside",
    ),
    "missing": (lambda t: t.drop(columns=K), "no column 'k'; there are"),
    "renamed": (lambda t: t.rename(columns={K: "perm [m^2]"}), "no column 'k'; there are"),
    "twice": (lambda t: t.assign(**{"k (m^2)": 1e-14}), "2 columns for 'k'"),
    "unit": (lambda t: t.rename(columns={T: "T [h]"}), "'T' is in 'h', which does not convert"),
    "unknown": (
        lambda t: t.assign(experiment=["e0099", *t["experiment"][1:]]),
        "row 1 names the experiment 'e0099', which was not asked for",
    ),
    "words": (lambda t: t.assign(**{STRENGTH: "strong"}), "'strength' of row 1 is 'strong'"),
    "unset": (lambda t: t.assign(**{TIME: None}), "empty or NaN in row 1, column 't'"),
    "infinite": (lambda t: t.assign(**{STRENGTH: "inf"}), "'strength' is inf in row 1"),
    "failed": (lambda t: t.assign(failed=1), "row 1 is marked as failed but has the value"),
    "unclear": (lambda t: t.assign(failed="hm"), "'failed' of row 1 is 'hm'"),
    "nothing": (
        lambda t: t.assign(**{STRENGTH: None, K: None}),
        "none of its 8 rows has",
    ),
    "no rows": (lambda t: t[:0], "no rows below a header"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_wrong_table_is_one_sentence_and_nothing_of_it_is_kept(campaign, fault):
    change, words = BAD[fault]
    refused(campaign, change(filled(campaign)), words)


def test_a_file_that_is_no_table_is_one_sentence(campaign, tmp_path):
    refused(campaign, tmp_path / "none.csv", "cannot be read")
    (tmp_path / "binary.csv").write_bytes(b"PK\x03\x04\xff\xfe\x00")
    refused(campaign, tmp_path / "binary.csv", "is no UTF-8 text")
    (tmp_path / "ragged.csv").write_text("experiment,T,t,strength,k\ne0001,1000,2,30,5,1e-14\n")
    refused(campaign, tmp_path / "ragged.csv", "line 2 has 6 cells but the header has 5")


def test_images_for_a_campaign_without_are_refused(campaign):
    refused(campaign, filled(campaign), "has no images", images="*.png")


class TestFolder:
    def test_every_file_is_plain(self, campaign):
        kinds = {path.suffix or path.name for path in campaign.path.rglob("*") if path.is_file()}
        assert {k for k in kinds if not k.startswith(".0")} <= {
            ".json",
            ".safetensors",
            *(f".{i}" for i in range(9)),
            "c",
        }

    def test_it_goes_on_elsewhere_without_what_it_started_from(self, campaign, tmp_path):
        campaign.tell(filled(campaign))
        before = campaign.status()
        shutil.move(campaign.path, tmp_path / "moved")
        moved = psp.Campaign.open(tmp_path / "moved")
        assert str(moved.status()) == str(before)
        assert len(moved.refined(Refinement(steps=5)).members) == 1

    def test_the_same_campaign_asks_the_same(self, begun, tmp_path):
        run, triads = psp.load_run(begun / "run"), psp.Triads.open(begun / "triads.zarr")
        first, second, other = (
            psp.Campaign.start(tmp_path / name, run, triads, TARGET, seed=seed).ask(2)
            for name, seed in (("a", 4), ("b", 4), ("c", 5))
        )
        pd.testing.assert_frame_equal(first, second)
        assert not first.equals(other)

    def test_the_target_is_kept_in_its_words(self, campaign):
        assert "35 < strength < 41 MPa and k > 5e-15 m^2" in str(campaign.status())

    def test_a_folder_that_exists_is_not_written_over(self, campaign, begun):
        run, triads = psp.load_run(begun / "run"), psp.Triads.open(begun / "triads.zarr")
        with pytest.raises(InputError, match="'folder' is .* which exists"):
            psp.Campaign.start(campaign.path, run, triads, TARGET)

    @pytest.mark.parametrize(
        ("option", "words"),
        [
            ({"worth": 0.0}, "'worth' is 0"),
            ({"doubt": -1.0}, "'doubt' is -1"),
            ({"seed": -1}, "'seed' is -1"),
            ({"target": "hardness > 3"}, "hardness"),
        ],
    )
    def test_a_start_that_makes_no_sense_leaves_no_folder(self, begun, tmp_path, option, words):
        run, triads = psp.load_run(begun / "run"), psp.Triads.open(begun / "triads.zarr")
        options = {"target": TARGET} | option
        with pytest.raises(InputError, match=words):
            psp.Campaign.start(tmp_path / "c", run, triads, **options)
        assert not (tmp_path / "c").exists()

    def test_triads_that_the_run_was_not_trained_on_are_refused(self, begun, tmp_path):
        run, triads = psp.load_run(begun / "run"), psp.Triads.open(begun / "triads.zarr")
        with pytest.raises(InputError, match="differs in samples and digest"):
            psp.Campaign.start(tmp_path / "c", run, triads.split(0.2)[0], TARGET)

    def test_what_is_no_campaign_says_so(self, tmp_path):
        with pytest.raises(DataError, match=r"no campaign \(campaign.json is missing\)"):
            psp.Campaign.open(tmp_path)

    @pytest.mark.parametrize(
        "file", ["campaign.json", "run/run.json", "run/model-1.safetensors", "journal/0001.json"]
    )
    @pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
    def test_a_damaged_file_is_one_sentence_that_names_it(self, campaign, file, damage):
        campaign.tell(filled(campaign, 2))
        path = campaign.path / file
        data = bytearray(path.read_bytes())
        place = data.rindex(b"1") if file.endswith("json") else len(data) // 2
        data[place] ^= 1
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(data if damage == "flipped" else data[:place])
        gone = (file, damage) == ("campaign.json", "missing")
        words = f"{path.name} is missing" if gone else f"{path.name}.* copy it again"
        with pytest.raises(DataError, match=words) as error:
            psp.Campaign.open(campaign.path).status()
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("file", ["campaign.json", "journal/0001.json"])
    def test_a_newer_format_is_refused_by_name(self, campaign, file):
        path = campaign.path / file
        stored = json.loads(path.read_text()) | {"format": 3, "more": 1}
        path.write_text(json.dumps(stored))
        with pytest.raises(
            DataError, match=f"{file}.* of format 3, this version knows 2; upgrade"
        ):
            psp.Campaign.open(campaign.path).status()

    def test_entries_that_changed_places_or_came_from_elsewhere_are_refused(self, campaign):
        campaign.tell(filled(campaign, 2))
        first, second = (campaign.path / "journal" / f"000{i}.json" for i in (1, 2))
        kept = first.read_bytes(), second.read_bytes()
        first.write_bytes(kept[1])
        second.write_bytes(kept[0])
        with pytest.raises(DataError, match="0001.json' does not follow what is before it"):
            psp.Campaign.open(campaign.path).status()
        first.write_bytes(kept[0])
        second.write_bytes(kept[0])
        with pytest.raises(DataError, match="0002.json' does not follow what is before it"):
            psp.Campaign.open(campaign.path).status()

    def test_a_campaign_of_the_first_format_goes_on(self, campaign):
        for path in (campaign.path / "journal" / "0001.json", campaign.path / "campaign.json"):
            content = json.loads(path.read_text())["content"]
            if path.name == "campaign.json":
                run = sorted((campaign.path / "run").iterdir())
                content["files"] |= {f"run/{one.name}": sha256(one.read_bytes()) for one in run}
            path.write_bytes(sealed(content, 1))
        old = psp.Campaign.open(campaign.path)
        old.tell(filled(old, 2))
        assert counts(psp.Campaign.open(campaign.path))[0] == 2

    def test_a_link_out_of_the_folder_is_refused_unless_one_insists(self, campaign, tmp_path):
        (campaign.path / "run").rename(tmp_path / "elsewhere")
        (campaign.path / "run").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DataError, match="where run is a link; put the folder itself there"):
            psp.Campaign.open(campaign.path)
        assert psp.Campaign.open(campaign.path, verify=False).run.members

    def test_a_lost_journal_is_no_new_campaign(self, campaign):
        shutil.rmtree(campaign.path / "journal")
        for act in (campaign.status, campaign.ask):
            with pytest.raises(DataError, match="journal' is missing"):
                act()

    def test_a_full_disk_keeps_nothing(self, campaign, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        table = filled(campaign)
        monkeypatch.setattr("pspgen_pyro.io.publish.os.fsync", full)
        with pytest.raises(StorageError, match="No space left on device; nothing was kept"):
            campaign.tell(table)
        monkeypatch.undo()
        assert [path.name for path in (campaign.path / "journal").iterdir()] == ["0001.json"]


PROGRAM = f"""
import os, random, signal, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import pandas as pd
import pspgen_pyro as psp
from pspgen_pyro.io import publish

folder = Path(sys.argv[1])
campaign = psp.Campaign.open(folder)
campaign.schema


def own(number):
    row = {{"T": 1000.0 + number, "t": 2.0, "strength": 30.0 + number, "k": 5e-15}}
    return pd.DataFrame([row])


def fork(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def told():
    return [one.phi[0] - 1000.0 for one in psp.Campaign.open(folder)._ledger().results]
"""

KILLS = """
def killed_at(step, before):
    def work():
        act = getattr(publish.os, step)

        def last(*arguments):
            if not before:
                act(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(publish.os, step, last)
        campaign.tell(own(number))

    return work


def killed_after(seconds):
    child = fork(lambda: campaign.tell(own(number)))
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return child


number, moments = 0, []
for step in ("fsync", "link"):
    for before in (True, False):
        child = fork(killed_at(step, before))
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        moments.append(number in told())
        assert sorted(told()) in ([*range(number)], [*range(number + 1)]), told()
        campaign.tell(own(number))
        number += 1
        assert sorted(told()) == [*range(number)], told()
assert moments == [False, False, False, True], moments
random.seed(0)
for _ in range(12):
    os.waitpid(killed_after(random.uniform(0, 0.04)), 0)
    campaign.tell(own(number))
    number += 1
    assert sorted(told()) == [*range(number)], told()
"""

TELLERS = """
def teller(mine):
    def work():
        while time.time() < start:
            pass
        for number in mine:
            campaign.tell(own(number))

    return work


start = time.time() + 0.2
children = [fork(teller(range(first, 30, 2))) for first in (0, 1)]
for child in children:
    os.waitpid(child, 0)
assert sorted(told()) == [*range(30)], told()
"""


@pytest.mark.parametrize("body", [KILLS, TELLERS], ids=["killed", "two at once"])
def test_nothing_is_lost_or_counted_twice(campaign, body):
    code = [sys.executable, "-W", "ignore", "-c", PROGRAM + body, str(campaign.path)]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class TestBelief:
    def test_before_anything_is_told_it_is_as_sure_as_the_model_says_it_is(self, begun, campaign):
        own = psp.load_run(begun / "run").design(TARGET, draws=256).probability
        p = campaign.status().probability
        assert p.low == pytest.approx(float(own.low), abs=0.1)
        assert p.high == pytest.approx(float(own.high), abs=0.1)

    def test_the_history_has_one_row_a_table_and_the_last_is_the_status(self, campaign):
        campaign.tell(filled(campaign, 4))
        campaign.tell(filled(campaign, 8))
        grown, status = campaign.history(), campaign.status()
        assert list(grown["experiments"]) == [0, 4, 8]
        assert list(grown.columns) == ["experiments", "met", T, TIME, "P", "low", "high"]
        assert grown["P"].iloc[-1] == pytest.approx(float(status.probability.value))
        assert list(grown[[T, TIME]].iloc[-1]) == [*status.phi.values()]

    def test_another_batch_is_not_worth_its_cost_where_it_adds_less_than_worth(
        self, begun, tmp_path
    ):
        run, triads = psp.load_run(begun / "run"), psp.Triads.open(begun / "triads.zarr")
        words = []
        for name, worth in (("a", 1e-9), ("b", 0.9)):
            status = psp.Campaign.start(tmp_path / name, run, triads, TARGET, worth=worth).status()
            assert status.enough == (status.gain < worth)
            assert f"{status.gain:.3f}" in status.verdict
            words.append(status.verdict.split(":")[0])
        assert words == [
            "another batch is worth its cost",
            "another batch is not worth its cost",
        ]

    def test_its_triads_are_those_it_started_from_and_every_result(self, begun, campaign):
        before = psp.Triads.open(begun / "triads.zarr")
        assert np.array_equal(campaign.triads().data["phi"], before.data["phi"])
        table = filled(campaign, 6)
        table.loc[4, K], table.loc[5, [STRENGTH, K, "failed"]] = None, [None, None, 1]
        campaign.tell(table)
        triads = campaign.triads()
        assert triads.schema == before.schema
        assert np.array_equal(triads.data["phi"][60:], settings_of(table[:5]))
        assert np.array_equal(
            triads.data["value"][60:], table.loc[:4, [STRENGTH, K]], equal_nan=True
        )

    def test_the_refined_run_has_learned_the_results_and_says_so(self, campaign):
        with pytest.raises(InputError, match="nothing was told yet"):
            campaign.refined()
        campaign.tell(filled(campaign))
        run = campaign.refined(Refinement(steps=20))
        assert run.training["campaign"]["results"] == 8
        before, after = campaign.run.model.state_dict(), run.model.state_dict()
        assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_result_counts_as_soon_as_what_is_known_of_it_decides():
    schema = psp.Schema(process=FURNACE, properties=("a", "b"))
    target = psp.target("0 < a < 1, b > 0; a > 5").resolve(schema)
    values = [(0.5, 1.0), (0.5, None), (None, 1.0), (6.0, None), (2.0, None), (None, None)]
    results = [Result(experiment=None, phi=(1000.0, 2.0), values=v) for v in values]
    known, met = decided(target, schema, results)
    assert known.tolist() == [True, False, False, True, True, False]
    assert met.tolist() == [True, False, False, True, False, False]


def test_the_interval_of_a_correction_holds_nine_in_ten_of_its_draws():
    rng = np.random.default_rng(2)
    phi, samples = rng.uniform(-1, 1, (20, 2)), np.full(20, 3)
    hits = rng.binomial(3, 0.7, 20)
    found = Discrepancy(0.8, mean=-0.4).given(PROCESS, phi, np.full(20, 0.5), hits, samples)
    p = found.interval([0.1, 0.2], 0.5)
    drawn = found.draw([[0.1, 0.2]], [0.5], 40_000, rng)
    assert p.value == pytest.approx(drawn.mean(), abs=4e-3)
    assert ((drawn > p.low) & (drawn < p.high)).mean() == pytest.approx(0.9, abs=0.01)


def test_a_stated_discrepancy_gives_back_the_interval_it_was_stated_by():
    stated = Estimate(*map(np.array, (0.7, 0.0, 0.4, 0.9)))
    found = Discrepancy.stated(stated).given(PROCESS, np.zeros((0, 2)), [], [], [])
    p = found.interval([0.0, 0.0], 0.7)
    assert p.low == pytest.approx(0.4, abs=0.07)
    assert p.high == pytest.approx(0.9, abs=0.04)
    assert Discrepancy.stated(Estimate(np.array(0.7), np.array(0.0))) == Discrepancy()


# of m1 = 1/2 + φ1 / sd(φ1): the model is sure of two valleys, φ1 = 0.3 and, a little less so, -0.3
TWO = Boxes((Box((0.7, -np.inf), (1.3, np.inf)), Box((-0.29, -np.inf), (0.29, np.inf))))


def drawn_from(p, phi, rng):
    """Results of which so many lie in the target."""
    m1 = np.where(rng.random(len(phi)) < p, 1.0, 3.0)
    return [
        Result(experiment=None, phi=tuple(one.tolist()), values=(float(m), 0.0))
        for one, m in zip(phi, m1, strict=True)
    ]


@pytest.fixture(scope="module")
def course():
    """A model that promises too much in one valley and too little in the other, the truth, and six
    batches of experiments drawn from that."""
    with double_precision():
        model = tilted(1.0)

        def truth(phi):
            p = psp.probability(model, TWO, phi, draws=64).value
            return expit(logit(p) - 2 * np.tanh(np.asarray(phi)[..., 0] / 0.3))

        design = maximise(model, TWO, starts=4, draws=64)
        belief = Belief(model, design, TWO, Discrepancy(2.0), seed=1)
        rng = np.random.default_rng(1)
        results, asked, states = [], [], [belief.status((), 0, 0.01)]
        for batch in range(5):
            phi = belief.ask(results, (), 8, batch)
            asked.append(truth(phi).mean())
            results += drawn_from(truth(phi), phi, rng)
            states.append(belief.status(results, 0, 0.01))
        chosen = truth([[*state.phi.values()] for state in states])
        return states, asked, chosen, truth(PROCESS.grid(41)).max()


class TestLearning:
    def test_the_interval_covers_the_truth_and_is_narrower(self, course):
        states, _, truth, _ = course
        p = states[-1].probability
        assert p.low < truth[-1] < p.high
        first = states[0].probability
        assert p.high - p.low < 0.6 * (first.high - first.low)

    def test_the_choice_becomes_better(self, course):
        _, _, truth, highest = course
        assert truth[-1] > truth[0] + 0.4
        assert truth[-1] > 0.95 * highest

    def test_suggestions_concentrate_where_the_truth_is_high(self, course):
        _, asked, _, highest = course
        assert np.mean(asked[1:]) > asked[0] + 0.08
        assert np.mean(asked[2:]) > 0.7 * highest

    def test_stopping_costs_less_and_less(self, course):
        gains = [state.gain for state in course[0]]
        assert gains[-1] < 0.6 * gains[0]


def test_pending_experiments_take_the_doubt_from_their_place_and_leave_its_mean():
    model = tilted(1.0)
    design = maximise(model, TWO, starts=4, draws=64)
    search = Search(model, design, TWO, Discrepancy(1.0, reach=0.1), np.random.default_rng(0), 0)
    free = search.ask(200, np.random.default_rng(1))
    # where most draws are largest
    i = np.bincount(free).argmax()
    before, after = (
        search.correction(pending).probability(search.phi, search.model.value).at(i)
        for pending in (None, np.repeat(i, 60))
    )
    assert after.standard_error < 0.5 * before.standard_error
    assert after.value == pytest.approx(float(before.value), abs=0.05)
    known = search.ask(200, np.random.default_rng(1), np.repeat(i, 60))
    near = [np.abs(search.phi[which] - search.phi[i]).max(axis=1) < 0.1 for which in (free, known)]
    assert near[1].mean() < 0.7 * near[0].mean()


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    with double_precision():
        model = tilted(1.0)
        rng = np.random.default_rng(0)
        phi, x = PROCESS.sample(60, rng), rng.random((60, 3, 3)).astype(np.float32)
        declared = schema_of(PROCESS, (3, 3))
        triads = psp.Triads.from_arrays(
            phi,
            x,
            rng.normal(size=(60, 2)),
            process=PROCESS,
            properties=declared.properties,
            microstructure=declared.microstructure,
            quiet=True,
        )
        run = psp.Run(model, (History(),), described_data(triads), {}, Support.of(triads))
        folder = tmp_path_factory.mktemp("images") / "campaign"
        psp.Campaign.start(folder, run, triads, TWO).ask(4)
        return folder


class TestImages:
    def test_images_come_back_with_their_rows_and_are_learned(self, started, tmp_path):
        shutil.copytree(started, tmp_path / "c")
        campaign = psp.Campaign.open(tmp_path / "c")
        x = np.random.default_rng(5).random((3, 3, 3)).astype(np.float32)
        for i in range(3):
            np.save(tmp_path / f"{i}.npy", x[i])
        table = campaign.ask(quiet=True).assign(horizontal=1.0, vertical=[0.1, 0.2, None, None])
        table = table.assign(picture=[f"{i}.npy" for i in range(3)] + [None])
        table.loc[3, ["horizontal", "failed"]] = [None, 1]
        table.to_csv(tmp_path / "back.csv", index=False)
        campaign.tell(tmp_path / "back.csv", images="picture")
        given = []

        def learn(model, old, new, seed):
            given.append(new)
            return model

        campaign.refined(learn)
        assert np.array_equal(given[0].x.numpy(), x)
        assert np.isnan(given[0].m.numpy()).sum() == 1
        assert np.array_equal(campaign.triads().data["x"][60:], x)
        file = next((campaign.path / "images").iterdir())
        file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\0")
        with pytest.raises(DataError, match=file.name):
            campaign.refined(learn)


class TestCommandLine:
    def test_from_a_run_to_a_refined_run(self, begun, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        quick = partialmethod(psp.Campaign.refined, Refinement(steps=20))
        monkeypatch.setattr(psp.Campaign, "refined", quick)
        start = ["--run", begun / "run", "--triads", begun / "triads.zarr", "--target", TARGET]
        assert self.run("start", "c", *start) == 0
        assert "another batch is worth its cost" in capsys.readouterr().out
        assert self.run("suggest", "c", "--batch", 4, "--out", "next.csv") == 0
        assert "4 new experiment(s)" in capsys.readouterr().out
        assert self.run("suggest", "c") == 0
        assert capsys.readouterr().out == Path("next.csv").read_text()
        table = pd.read_csv("next.csv")
        values = fire(settings_of(table))
        table.assign(**{STRENGTH: values[:, 0], K: values[:, 1]}).to_csv("back.csv", index=False)
        assert self.run("tell", "c", "back.csv") == 0
        assert "4 new result(s); 0 experiment(s) pending" in capsys.readouterr().out
        options = ["--history", "h.csv", "--picture", "p.svg", "--refined", "refined"]
        assert self.run("status", "c", "--json", *options) == 0
        status = json.loads(capsys.readouterr().out)
        assert status["experiments"] == 4
        assert list(status["phi"]) == ["T", "t"]
        assert status["probability"].keys() >= {"low", "high"}
        assert list(pd.read_csv("h.csv")["experiments"]) == [0, 4]
        assert "<svg" in Path("p.svg").read_text()
        assert psp.load_run("refined").training["campaign"]["results"] == 4

    def test_a_wrong_table_ends_with_one_sentence_and_code_2(self, campaign, tmp_path, capsys):
        (tmp_path / "bad.csv").write_text("experiment,T,t\ne0001,1000,2\n")
        assert self.run("tell", campaign.path, tmp_path / "bad.csv") == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("pspgen: error: bad.csv: ")
        assert captured.err.count("\n") == 1

    def test_a_file_that_exists_is_not_written_over(self, campaign, tmp_path, capsys):
        (tmp_path / "next.csv").write_text("mine")
        before = len(asked(campaign))
        out = ["--out", tmp_path / "next.csv", "--more"]
        assert self.run("suggest", campaign.path, *out) == 2
        assert "which exists" in capsys.readouterr().err
        assert len(asked(campaign)) == before

    def run(self, *args):
        return main(["campaign", *map(str, args)])


def test_experiments_without_a_setting_are_no_experiments():
    with pytest.raises(InputError, match="phi"):
        Experiment(id="e0001")


def test_a_campaign_speaks_words_and_keeps_sums(tmp_path):
    process = psp.ProcessSpace.of(
        {
            "layers": psp.Integer(2, 5),
            "clay": psp.Real(0, 100, "%"),
            "sand": psp.Real(0, 100, "%"),
            "binder": psp.Categorical(("lime", "resin")),
        },
        constraints="clay + sand = 100",
    )

    def strength(phi):
        return 0.1 * phi[:, 1] + phi[:, 0] + 3 * phi[:, 3]

    phi = process.sample(80, np.random.default_rng(0))
    triads = psp.Triads.from_arrays(
        phi, None, strength(phi), process=process, properties="s [MPa]", quiet=True
    )
    run = psp.fit(triads, prior_steps=60, epochs=1, progress=False)
    campaign = psp.Campaign.start(tmp_path / "campaign", run, triads, "11 < s < 13 MPa")
    for _ in range(2):
        table = campaign.ask(6, quiet=True)
        assert set(table["binder"]) <= {"lime", "resin"}
        assert table["layers"].dtype.kind == "i"
        assert (table["clay [%]"] + table["sand [%]"]).to_numpy() == pytest.approx(100, abs=1e-9)
        words = table[["layers", "clay [%]", "sand [%]"]].to_numpy(dtype=float)
        codes = table["binder"].map({"lime": 0.0, "resin": 1.0}).to_numpy()
        made = strength(np.column_stack([words, codes]))
        table.assign(**{"s [MPa]": made}).to_csv(tmp_path / "back.csv", index=False)
        assert campaign.tell(tmp_path / "back.csv").results == 6
    status = campaign.status()
    assert status.experiments == 12
    assert status.phi["binder"] in ("lime", "resin")
