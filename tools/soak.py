"""Hours of use under random kills: does anything differ, stay behind or grow?

A round is simulate, fit, design, posterior, and a campaign that is asked and told, each a process
of its own, done twice: once undisturbed, and once with every process killed (SIGKILL, SIGTERM or
SIGINT) at random moments until it gets through. Both must give the same answers and leave the same
files, and nothing in the folder for temporary files. Beside them one process does the same
in memory again and again, and its memory must not grow by more than 5 % from the first third
of its rounds after the fifth to the last third. Prints one line a round and a summary; ends with 1
if anything was wrong.

    python tools/soak.py --minutes 120 --work FOLDER > soak.log
"""

import argparse
import csv
import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import pspgen_pyro as psp

TARGET = "-10:-9,-7:-5"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LEFT = ("campaign", "next.csv", "post.zarr", "run", "told.csv", "triads.zarr")
# torch keeps compiled code in the folder for temporary files
TORCHS = f"torchinductor_{getpass.getuser()}"
Command = tuple[str, list[str], str | None, str | None]
# of an answer, what a clock or a path decides
OTHER = ("cpu_seconds", "run", "campaign", "command", "environment")


def commands(folder: Path, seed: int) -> Iterator[Command]:
    """The processes of a round in order: a name, the arguments, what is there when it is done,
    and what to add to go on."""
    run, triads, campaign = (str(folder / name) for name in ("run", "triads.zarr", "campaign"))
    short = ["--epochs", "2", "--reader-steps", "20", "--prior-steps", "60"]
    chains = ["--chains", "8", "--draws", "40", "--warmup", "40"]
    number, target = ["--seed", str(seed)], f"--target={TARGET}"
    size = ["--samples", "120", "--workers", "2"]
    post, asked, told = (str(folder / name) for name in ("post.zarr", "next.csv", "told.csv"))
    begun = ["--run", run, "--triads", triads, target]
    yield "simulate", ["simulate", "case1", "--out", triads, *size, *number], triads, "--resume"
    yield "fit", ["fit", triads, "--out", run, *short, *number], run, "--resume"
    yield "design", ["design", run, target, "--json", *number], None, None
    yield "posterior", ["posterior", run, target, "--out", post, *chains, *number], post, None
    yield "start", ["campaign", "start", campaign, *begun, *number], campaign, None
    yield "suggest", ["campaign", "suggest", campaign, "--batch", "4", "--out", asked], asked, None
    yield "tell", ["campaign", "tell", campaign, told], None, None
    yield "status", ["campaign", "status", campaign, "--json"], None, None


def answer_of(text: str) -> dict[str, Any]:
    """The numbers of a JSON answer that no clock decides."""
    return {k: v for k, v in json.loads(text).items() if k not in OTHER}


def fill(folder: Path, seed: int) -> None:
    """Simulates the experiments that were asked for, and writes their results."""
    with open(folder / "next.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    chain = psp.case("case1").chain
    names = list(rows[0])[1 : 1 + len(chain.process)]
    phi = np.array([[float(row[name]) for name in names] for row in rows])
    value = chain.simulate(phi, np.random.SeedSequence([seed, 1]).spawn(len(phi))).value
    columns = list(rows[0])[1 + len(names) : -1]
    for row, numbers in zip(rows, value, strict=True):
        row.update(zip(columns, map(float, numbers), strict=True))
    with open(folder / "told.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def done_by(
    arguments: list[str],
    environment: dict[str, str],
    after: float | None,
    kind: signal.Signals | None,
) -> tuple[int, str, str]:
    """Runs a process; its exit status and outputs. It is killed after some seconds, if told; what
    goes on for two minutes after that is wrong."""
    command = [sys.executable, "-m", "pspgen_pyro", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    for seconds, sent in ((after, kind), (120, signal.SIGKILL)):
        try:
            out, words = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(sent)
        else:
            return process.returncode, out, words
    process.communicate()
    raise AssertionError(f"{arguments[0]} goes on after {kind.name}")


def round_of(
    folder: Path,
    seed: int,
    rng: np.random.Generator | None,
    took: dict[str, float],
    kills: Counter[str],
    environment: dict[str, str],
) -> dict[str, Any]:
    """One round; the answers by name. With `rng` processes are killed, else `took` is noted."""
    folder.mkdir()
    answers = {}
    for name, arguments, result, again in commands(folder, seed):
        if name == "tell":
            fill(folder, seed)
        begun, tries = time.monotonic(), 0
        while True:
            # the odds that it gets through grow, so that it ends
            disturbed = rng is not None and rng.random() < 0.7 / (1 + tries / 4)
            after = rng.uniform(0, took[name]) if disturbed else None
            kind = SIGNALS[rng.integers(3)] if disturbed else None
            code, out, words = done_by(arguments, environment, after, kind)
            if code == 0 or (tries and code == 2 and result and os.path.exists(result)):
                break
            if not disturbed:
                raise AssertionError(f"{name}, seed {seed}, try {tries}: {code}: {words[-600:]}")
            if "Traceback" in words and "KeyboardInterrupt" not in words.splitlines()[-1]:
                raise AssertionError(f"{name}, seed {seed}, {kind.name}: {words[-600:]}")
            kills[f"{name} {kind.name}"] += 1
            tries += 1
            if again and again not in arguments:
                arguments = [*arguments, again]
        if rng is None:
            took[name] = time.monotonic() - begun
        if out.startswith("{"):
            answers[name] = answer_of(out)
    return answers


def inside(folder: Path) -> None:
    """Rounds in this process until it is ended; prints its memory in MB after each."""
    case, number = psp.case("case1"), 0
    while True:
        place = folder / str(number)
        place.mkdir()
        triads = psp.generate(case, place / "t.zarr", samples=120, seed=number)
        run = psp.fit(triads, epochs=2, reader_steps=20, prior_steps=60, progress=False)
        run.save(place / "run")
        run = psp.load_run(place / "run")
        run.design(TARGET)
        run.posterior(TARGET).sample("hmc", chains=8, draws=40, warmup=40).to_arviz()
        campaign = psp.Campaign.start(place / "campaign", run, triads, TARGET)
        table = campaign.ask(4, quiet=True)
        columns = list(table.columns)
        phi = table[columns[1 : 1 + len(case.process)]].to_numpy(float)
        seeds = np.random.SeedSequence([number, 1]).spawn(len(phi))
        table[columns[1 + len(case.process) : -1]] = case.chain.simulate(phi, seeds).value
        campaign.tell(table)
        campaign.status()
        shutil.rmtree(place)
        number += 1
        print(psutil.Process().memory_info().rss / 2**20, flush=True)


def growth(path: Path) -> tuple[float, int]:
    """By how much the memory grew, and in how many rounds."""
    sizes = [float(line) for line in path.read_text().split()][5:]
    third = len(sizes) // 3
    if not third:
        return float("nan"), len(sizes)
    return np.median(sizes[-third:]) / np.median(sizes[:third]) - 1, len(sizes) + 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        inside(asked.work)
    # a shell ignores Ctrl-C on behalf of what it starts in the background, and so would these
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asked.work.mkdir(parents=True)
    temporary, memory = asked.work / "temporary", asked.work / "memory.txt"
    environment = os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    temporary.mkdir()
    (asked.work / "inside").mkdir()
    with open(memory, "w") as file:
        beside = subprocess.Popen(
            [sys.executable, __file__, "--inside", "--work", str(asked.work / "inside")],
            stdout=file,
            stderr=subprocess.DEVNULL,
            env=environment | {"TMPDIR": tempfile.gettempdir()},
        )
    rng, took, kills, wrong = np.random.default_rng(asked.seed), {}, Counter(), []
    end, number = time.monotonic() + 60 * asked.minutes, 0
    try:
        while time.monotonic() < end:
            folders = [asked.work / f"{number}-{name}" for name in ("calm", "killed")]
            try:
                calm, killed = (
                    round_of(folder, number, source, took, kills, environment)
                    for folder, source in zip(folders, (None, rng), strict=True)
                )
                found = [f"{k} differs" for k in calm if calm[k] != killed.get(k)]
                left = sorted(path.name for path in folders[1].iterdir())
                found += [f"left {set(left) ^ set(LEFT)}"] if tuple(left) != LEFT else []
                found += [
                    f"left {path}"
                    for path in (
                        *folders[1].rglob("*.tmp"),
                        *(path for path in temporary.iterdir() if path.name != TORCHS),
                    )
                ]
            except AssertionError as error:
                found = [str(error)]
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
            for path in temporary.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            wrong += found
            grown, rounds = growth(memory)
            print(
                f"round {number}: {sum(kills.values())} kills so far, {found or 'all the same'}; "
                f"memory {100 * grown:+.1f} % in {rounds} rounds",
                flush=True,
            )
            number += 1
    finally:
        gone = beside.poll()
        beside.kill()
    grown, rounds = growth(memory)
    print(f"\n{number} rounds, {sum(kills.values())} kills: {dict(sorted(kills.items()))}")
    print(f"wrong: {wrong or 'nothing'}")
    print(
        f"memory {100 * grown:+.1f} % in {rounds} rounds of one process, which ended with {gone}"
    )
    return int(bool(wrong) or gone is not None or not grown <= 0.05)


if __name__ == "__main__":
    sys.exit(main())
