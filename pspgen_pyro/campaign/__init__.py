"""A closed loop whose experiments are people's: a folder that asks, is told, and remembers.

`campaign` is the folder as it is used. `table` reads what a laboratory brings back, `ledger` says
what counts, `journal` keeps every word of it on disk, and `belief` is what follows from all of it.
"""

from .belief import Status
from .campaign import Campaign
from .ledger import Receipt

__all__ = ["Campaign", "Receipt", "Status"]
