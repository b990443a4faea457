"""The one list of families. Whoever adds one adds a line here; everything else finds it by its name.

Imported when the Snakefile is read: nothing here may import torch.
"""

from memorization.associative_memory.conditions import AssociativeMemory
from memorization.atlas.conditions import Atlas
from memorization.family import Family
from memorization.grokking.conditions import Grokking
from memorization.zipf.conditions import Zipf

FAMILIES: tuple[type[Family], ...] = (Zipf, AssociativeMemory, Grokking, Atlas)
