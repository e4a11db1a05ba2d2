"""Damages stores, runs, ensembles and campaigns in every way there is, and opens them.

`python tests/hostile.py 1000 FOLDER` tries so many, prints one line a failure and a total; what is
damaged is made in FOLDER once, or in a temporary one. A try holds if
it ends in one `DataError` of one line that names the file and the way out, within a second and a
gigabyte. Each is made by a process of its own, so that one that hangs is a failure too.
"""

import json
import os
import resource
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from safetensors import numpy as safetensors_numpy

import pspgen_pyro as psp
from pspgen_pyro.data import Store, Triads
from pspgen_pyro.data.manifest import KEY, Entry
from pspgen_pyro.design import Support
from pspgen_pyro.errors import DataError
from pspgen_pyro.model.ensemble import Ensemble
from pspgen_pyro.runs import described_data
from pspgen_pyro.runs.folder import MANIFEST, seal
from pspgen_pyro.training.checkpoint import History

OVEN = psp.ProcessSpace(("T", "time"), (900.0, 0.0), (1200.0, 8.0), ("K", "h"))
SECONDS, KILOBYTES = 1.0, 1_000_000
WAYS_OUT = ("--repair", "copy", "upgrade", "again", "pspgen ")


def numbers(x):
    """Two properties of images."""
    share = x.mean(axis=(1, 2))
    return np.stack([10 + 20 * share, x[:, ::2].mean(axis=(1, 2))], axis=1)


def triads(seed):
    rng = np.random.default_rng(seed)
    phi = OVEN.sample(40, rng)
    x = (rng.random((40, 6, 9)) < phi[:, 1, None, None] / 8).astype(np.uint8)
    m = numbers(x)
    return Triads.from_arrays(
        phi, x, m, process=OVEN, properties=("strength [MPa]", "share"), quiet=True,
        microstructure={"phases": 2, "periodic": False},
    )  # fmt: skip


def run_of(known, members, seed):
    """A run that has learned nothing, with its memories of these triads."""
    torch.manual_seed(seed)
    m = torch.as_tensor(known.data["m"].values)
    models = tuple(psp.PSPGen(known.schema, latent=4, process_latent=3) for _ in range(members))
    for model in models:
        model.standardise_by(m)
        model.float().eval()
    model = models[0] if members == 1 else Ensemble(models)
    told = History({"validation_loss": [2.0, 1.0]}, 1, "done")
    return psp.Run(model, (told,) * members, described_data(known), {}, Support.of(known))


def make(folder, seed, *, campaign=True):
    """One of each kind, in a folder."""
    folder.mkdir(parents=True)
    made = triads(seed)
    made.save(folder / "saved")
    psp.generate("case1", folder / "store", samples=60, chunk=20, seed=seed)
    run_of(made, 1, seed).save(folder / "run")
    run_of(made, 2, seed).save(folder / "ensemble")
    if not campaign:
        return
    plain = Triads(made.schema.without_microstructure(), made.data.drop_vars("x"))
    begun = psp.Campaign.start(
        folder / "campaign", run_of(plain, 1, seed), plain, "strength > 20", seed=seed
    )
    for _ in range(2):
        table = begun.ask(2, quiet=True)
        table["strength [MPa]"], table["share"] = [21.0, 22.0 + seed], [0.5, 0.25]
        begun.tell(table)


def open_whole(kind, path):
    """Opens and reads everything."""
    if kind in ("store", "saved"):
        Triads.open(path, excluded=True).data.load()
    elif kind == "campaign":
        campaign = psp.Campaign.open(path)
        for read in campaign._folder.triads():
            if read is not None:
                read.data.load()
        assert campaign.run.members
        campaign._folder.journal.entries()
    else:
        psp.load_run(path)


def flipped(path, rng, **_):
    data = bytearray(path.read_bytes())
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def missing(path, **_):
    path.unlink()


def truncated(path, rng, **_):
    path.write_bytes(path.read_bytes()[: int(rng.integers(path.stat().st_size))])


def empty(path, **_):
    path.write_bytes(b"")


def grown(path, **_):
    """A file of 64 GB, most of them holes."""
    with open(path, "r+b") as file:
        file.truncate(64 << 30)


def swapped(path, folder, **_):
    data = path.read_bytes()
    for other in sorted(folder.rglob("*")):
        if other.is_file() and other.stat().st_size == len(data) and other.read_bytes() != data:
            path.write_bytes(other.read_bytes())
            other.write_bytes(data)
            return True
    return False


def linked(path, folder, **_):
    outside = folder.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)


def linked_folder(path, folder, **_):
    if path.parent == folder:
        return False
    path.parent.rename(folder.parent / "outside")
    path.parent.symlink_to(folder.parent / "outside")
    return True


def pipe(path, **_):
    path.unlink()
    os.mkfifo(path)


def device(path, **_):
    path.unlink()
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        path.symlink_to("/dev/zero")


def directory(path, **_):
    path.unlink()
    path.mkdir()


def of_another(path, folder, other, **_):
    theirs = other / path.relative_to(folder)
    if not theirs.is_file() or theirs.read_bytes() == path.read_bytes():
        return False
    shutil.copy(theirs, path)
    return True


def not_utf8(path, **_):
    path.write_bytes(path.read_bytes().replace(b'"', b'"\xff', 1))


def deep(path, **_):
    path.write_bytes(path.read_bytes().rstrip()[:-1] + b', "deep": ' + b"[" * 100_000)


def deep_whole(path, **_):
    deep = b"[" * 100_000 + b"]" * 100_000
    path.write_bytes(path.read_bytes().rstrip()[:-1] + b', "deep": ' + deep + b"}")


def literal(word):
    def damage(path, **_):
        path.write_bytes(path.read_bytes().rstrip()[:-1] + f', "odd": {word}}}'.encode())

    damage.__name__ = f"literal {word}"
    return damage


def duplicate(path, **_):
    content = path.read_bytes().rstrip()
    first = next(iter(json.loads(content)))
    last = json.dumps(json.loads(content)[first])
    path.write_bytes(content[:-1] + f', "{first}": {last}}}'.encode())


def changed(path, change):
    content = json.loads(path.read_bytes())
    if not change(content):
        return False
    path.write_text(json.dumps(content))
    return True


def entry_missing(path, rng, **_):
    def change(content):
        while True:
            key = list(content)[int(rng.integers(len(content)))]
            if not isinstance(content[key], dict) or not content[key] or rng.random() < 0.5:
                return content.pop(key) is not content
            content = content[key]

    return changed(path, change)


def newer(path, folder, **_):
    def change(content):
        inner = content.get("attributes", content)
        found = inner.get("format")
        if found is None:
            return False
        inner["format"] = found + 1 if isinstance(found, int) else f"{found[:-1]}9"
        return True

    return changed(path, change)


def of_array(name, change):
    """A change of the metadata of an array."""

    def damage(path, **_):
        def on_array(content):
            if content.get("node_type") != "array":
                return False
            change(content)
            return True

        return changed(path, on_array)

    damage.__name__ = name
    return damage


def _wider(content):
    content["shape"][0] += 20


def _other_type(content):
    content["data_type"] = "float32" if content["data_type"] != "float32" else "int64"


def _axis(content):
    content["dimension_names"][0] = "row" if content["dimension_names"][0] != "row" else "sample"


def _fill(content):
    content["fill_value"] = {"string": "?", "bool": True}.get(content["data_type"], 7)


def _scaled(content):
    content["attributes"] |= {"scale_factor": 2.0, "_FillValue": 1}


def _format(content):
    content["zarr_format"] = 4


def tensors(name, change):
    """A change of a safetensors file, which is again a whole one."""

    def damage(path, **_):
        found = safetensors_numpy.load_file(path)
        first = sorted(found)[0]
        found |= {first: change(found[first])}
        safetensors_numpy.save_file(found, path)

    damage.__name__ = name
    return damage


ANY = [flipped, flipped, flipped, missing, truncated, empty, grown, swapped, linked, linked_folder]
ANY += [pipe, device, directory, of_another]
OF_JSON = [not_utf8, deep, deep_whole, duplicate, entry_missing, newer]
OF_JSON += [literal(word) for word in ("NaN", "Infinity", "-Infinity", "1e999", '"\\ud800"')]
OF_ARRAYS = [of_array("shape", _wider), of_array("dtype", _other_type), of_array("fill", _fill)]
OF_ARRAYS += [of_array("dimension", _axis), of_array("attribute", _scaled)]
OF_ARRAYS += [of_array("zarr_format", _format)]
OF_TENSORS = [
    tensors("tensor dtype", lambda x: x.astype(np.float16)),
    tensors("tensor shape", lambda x: np.concatenate([x, x])),
]
MANIFESTS = (KEY, MANIFEST, f"run/{MANIFEST}", f"triads.zarr/{KEY}", "campaign.json")
KINDS = ("store", "saved", "run", "ensemble", "campaign")


def damages_of(path):
    if path.suffix == ".safetensors":
        return ANY + OF_TENSORS
    if path.name == "zarr.json":
        return ANY + OF_JSON + OF_ARRAYS
    return ANY + (OF_JSON if path.suffix == ".json" else [])


def resealed(kind, folder):
    """Makes the manifest one of what the files are now, as whoever damages on purpose would."""
    if kind in ("run", "ensemble"):
        seal(folder)
        return
    manifest = Store(folder).manifest()
    files = {key: Entry.of((folder / key).read_bytes()) for key in manifest.files}
    _, data = manifest.model_copy(update={"files": files}).file()
    (folder / KEY).write_bytes(data)


def draw(rng, kinds=KINDS):
    """One try: what is damaged, how, and whether its manifest is made to fit."""
    kind = kinds[int(rng.integers(len(kinds)))]
    return kind, int(rng.integers(2**32)), bool(rng.random() < 0.3)


def attempt(made, place, kind, seed, reseal):
    """Damages a copy and opens it; returns what was done and what is wrong with what came."""
    rng = np.random.default_rng(seed)
    folder = shutil.copytree(made / "one" / kind, place / kind)
    while True:
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        path = paths[int(rng.integers(len(paths)))]
        choice = damages_of(path)
        damage = choice[int(rng.integers(len(choice)))]
        key = path.relative_to(folder).as_posix()
        special = damage in OF_JSON + OF_ARRAYS + OF_TENSORS and key not in (KEY, MANIFEST)
        facts = {"folder": folder, "rng": rng, "other": made / "two" / kind}
        if damage(path, **facts) is not False:
            break
    reseal = reseal and special and kind != "campaign"
    if reseal:
        resealed(kind, folder)
    what = f"{kind} {key} {damage.__name__}{' resealed' if reseal else ''}"
    # of two files that contradict each other either may be named
    either = damage is swapped or (damage is of_another and key in MANIFESTS)
    return what, fault(kind, folder, "" if either else key, strict=not reseal)


def fault(kind, folder, key, *, strict):
    """What is wrong with how the opening ended; "" if nothing."""
    # others may share the processor, so time is its own; who waits for ever is ended by `apart`
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        open_whole(kind, folder)
        said = "opened"
    except DataError as error:
        named = key in str(error) or key.split("/")[0] in str(error)
        said = "" if named and len(str(error).splitlines()) == 1 else f"unclear: {error}"
        if strict and not any(way in str(error) for way in WAYS_OUT):
            said = f"no way out: {error}"
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    took = time.process_time() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if took > SECONDS or grown > KILOBYTES:
        said += f" after {took:.1f} s and {grown / 1e6:.1f} GB"
    return said.replace("\n", " ")[:300]


def apart(work, seconds=10.0):
    """What a process of its own returns; a sentence if it hangs or dies."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(int(seconds))
        told = json.dumps(work()).encode()
        os.write(writing, told)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        told = file.read()
    _, status = os.waitpid(child, 0)
    if not told:
        return f"signal {os.waitstatus_to_exitcode(status)}"
    return json.loads(told)


def main(tries, made, seed=0):
    torch.set_num_threads(1)
    rng, failures, took = np.random.default_rng(seed), Counter(), []
    if not made.exists():
        apart(lambda: str([make(made / "one", 1), make(made / "two", 2)]), 300)
    for kind in KINDS:
        open_whole(kind, made / "one" / kind)
    for number in range(tries):
        (kind, at, reseal), start = draw(rng), time.monotonic()
        with tempfile.TemporaryDirectory() as place:
            told = apart(lambda: attempt(made, Path(place), kind, at, reseal))  # noqa: B023
        took.append(time.monotonic() - start)
        what, wrong = (f"{kind} {at} {reseal}", told) if isinstance(told, str) else told
        if wrong:
            failures[kind] += 1
            print(f"{number} ({at}): {what}: {wrong}", flush=True)
    print(f"{sum(failures.values())} of {tries} tries failed: {dict(failures)}")
    print(f"a try takes {np.median(took):.2f} s in the median and {max(took):.2f} s at most")
    return bool(failures)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        kept = Path(sys.argv[2] if len(sys.argv) > 2 else place) / "made"
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, kept))
