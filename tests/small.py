"""A small schema, a small model of it and rows at random, for tests that need no more."""

import torch

from pspgen_pyro import Microstructure, ProcessSpace, PSPGen, Schema
from pspgen_pyro.data.batches import Batch, Batches
from pspgen_pyro.training import Descent, Epochs, PriorStage, ReaderStage

PROCESS = ProcessSpace(("phi1", "phi2"), (1.0, 0.2), (9.0, 2.0))
HORIZONTAL = "horizontal [1] log quantity=k direction=horizontal"
VERTICAL = "vertical [1] log quantity=k direction=vertical"
IMAGES = Microstructure(shape=(8, 8))


def schema(properties=(HORIZONTAL, VERTICAL), images=IMAGES, process=PROCESS):
    return Schema(process=process, microstructure=images, properties=properties)


SCHEMA = schema()


def small_model(of=SCHEMA, **options):
    return PSPGen(of, **{"latent": 6, "process_latent": 3, **options})


def paper_model(of=SCHEMA, **options):
    return PSPGen.paper(of, **{"latent": 6, "process_latent": 3, **options})


def triads(n=16, of=SCHEMA):
    """Rows at random: m has nothing to do with x."""
    low, high = torch.tensor(of.process.lower), torch.tensor(of.process.upper)
    phi = low + (high - low) * torch.rand(n, len(of.process))
    images, k = of.microstructure, len(of.properties)
    x = None
    if images is not None:
        x = torch.rand(n, *images.shape)
        x = x if images.grey else (x * images.phases).floor()
    return Batch(phi, x, torch.randn(n, k) - 7.0)


def rows(batch):
    """The three tensors of a batch, as the model takes them."""
    return batch.phi, batch.x, batch.m


def batches(n=64, of=SCHEMA):
    return Batches(triads(n, of), triads(max(8, n // 4), of))


def quick(epochs=2, **options):
    """Stages that take a moment."""
    return (
        ReaderStage(steps=20, batch_size=16),
        PriorStage(steps=30, batch_size=32, descent=Descent(4e-3, 0.1)),
        Epochs(epochs=epochs, **{"batch_size": 16, **options}),
    )
