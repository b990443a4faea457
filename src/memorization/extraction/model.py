"""The model of a run: trained here, or from elsewhere."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from memorization.extraction.windows import tokenizer_of
from memorization.models import pretrained_models
from memorization.models.language_model import LanguageModel, build


def opened(
    condition: Mapping,
    states: Sequence[Mapping[str, Tensor]],
    windows: Mapping[str, np.ndarray],
    device: str,
    dtype: str | None = None,
) -> LanguageModel:
    """A model that is ready to be attacked with windows.

    Parameters
    ----------
    condition : settings of ``language_model.build``, or ``model`` and ``dtype`` of ``pretrained_models.load``
    states : one, the tensors of a model that is trained here; none of one from elsewhere
    windows : arrays of the data set
    device : where it is to be
    dtype : of the weights of a model from elsewhere, if not the condition's

    Raises
    ------
    ValueError
        If a model from elsewhere has a tokenizer that gives other ids than the data set's, is of another architecture,
        or cannot be loaded.
    """
    if states:
        model = build(condition, int(windows["vocabulary"]))
        model.load_state_dict(states[0])
        return LanguageModel(model.to(device), int(windows["vocabulary"]), device)
    pretrained_models.check_ids(condition["model"], tokenizer_of(windows), condition["dataset"])
    found = pretrained_models.architecture(condition["model"])
    if found != condition["architecture"]:
        raise ValueError(f"{condition['model']}: is of the architecture {found}, not of {condition['architecture']}")
    return pretrained_models.load(condition["model"], device, dtype or condition["dtype"])
