"""How fast is the chain, and where does the time go?

Prints and writes `results/chain.json`: CPU milliseconds a sample of process → structure and of
structure → property (medians over blocks measured in turn, one thread), and for `generate` with
one and two workers the CPU time a triad, all processes and their start included, and the triads a
second from the first finished chunks to the last. The rate depends on what else the machine does
(`load_at_start`); the CPU time hardly does.

    python benchmarks/chain.py [--small 4000] [--large 300] [--seed 0]
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from pspgen_pyro.data import generate
from pspgen_pyro.io.provenance import environment
from pspgen_pyro.study import case

RESULT = Path(__file__).parent.parent / "results" / "chain.json"
BLOCKS = 7


def cpu(function):
    """The CPU milliseconds of a call, and its value."""
    start = time.process_time()
    value = function()
    return 1e3 * (time.process_time() - start), value


def cpu_seconds():
    """The CPU seconds of this process and of the workers that ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def split(name, block, seed):
    """CPU milliseconds a sample of each link, over blocks of fresh φ."""
    chain = case(name).chain
    rng = np.random.default_rng(seed)
    structure, property_ = [], []
    for root in range(BLOCKS + 1):
        phi = chain.process.sample(block, rng)
        seeds = np.random.SeedSequence(seed, spawn_key=(root,)).spawn(block)
        ms, x = cpu(lambda phi=phi, seeds=seeds: chain.structure(phi, seeds))
        structure.append(ms / block)
        property_.append(cpu(lambda x=x: chain.property_(x))[0] / block)
    # the first block loads and compiles
    return {
        "structure_ms": statistics.median(structure[1:]),
        "property_ms": statistics.median(property_[1:]),
        "structure_share": statistics.median(
            a / (a + b) for a, b in zip(structure[1:], property_[1:], strict=True)
        ),
        "blocks": BLOCKS,
        "block": block,
    }


def rate(name, samples, chunk, workers, seed):
    """Triads a second once every worker has finished its first chunk, and the whole wall time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "triads.zarr"
        start, load, before = time.perf_counter(), os.getloadavg()[0], cpu_seconds()
        generate(name, path, samples=samples, seed=seed, workers=workers, chunk=chunk)
        wall, used = time.perf_counter() - start, cpu_seconds() - before
        ends = sorted(file.stat().st_mtime for file in (path / "x").glob("c.*"))
    steady = chunk * (len(ends) - workers) / (ends[-1] - ends[workers - 1])
    return {
        "workers": workers,
        "samples": samples,
        "cpu_ms": 1e3 * used / samples,
        "triads_per_s": steady,
        "wall_s": wall,
        "load_at_start": load,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", type=int, default=4000, help="triads of 36 x 36 a run")
    parser.add_argument("--large", type=int, default=300, help="triads of 128 x 128 a run")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    result = {"environment": environment(), "seed": options.seed}
    for name, block, samples, chunk in (
        ("case1", 100, options.small, 250),
        ("case4", 8, options.large, 20),
    ):
        links = split(name, block, options.seed)
        rates = [rate(name, samples, chunk, workers, options.seed) for workers in (1, 2)]
        for entry in rates:
            entry["cpu_hours_for_200000"] = 200 * entry["cpu_ms"] / 3600
        result[name] = {"n": case(name).chain.structure.n, "links": links, "generate": rates}
        print(json.dumps({name: result[name]}, indent=1))
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
