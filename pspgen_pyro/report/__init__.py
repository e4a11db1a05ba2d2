"""One page that shows what the model claims beside what the physics says.

`answers` reads what `pspgen design` wrote and judges it, `comparison` sets probabilities over the
process space beside counted ones, `sections` makes the other parts, and `page` the file of it all.
"""

from ..diagnosis.solved import SolvedImages, generate_images, materials_at
from ..diagnosis.surfaces import SurfaceError, model_surface, reference_surface, surface_error
from .answers import Answer, Verdict, judge, read_answer, summarise
from .page import write_page

__all__ = [
    "Answer",
    "SolvedImages",
    "SurfaceError",
    "Verdict",
    "judge",
    "generate_images",
    "materials_at",
    "model_surface",
    "read_answer",
    "reference_surface",
    "summarise",
    "surface_error",
    "write_page",
]
