"""Networks on the meta device."""

import torch
from torch import nn

from dlnotes_cli.models.meta import meta_device


def test_tensors_have_shapes_and_no_values_and_no_random_number_is_drawn() -> None:
    before = torch.random.get_rng_state()
    with meta_device():
        layer = nn.Linear(3, 4)
        assert nn.init.constant_(tensor=layer.weight, val=1.0) is layer.weight
        assert nn.init.normal_(layer.bias) is layer.bias
        assert layer(torch.empty(2, 3)).shape == (2, 4)
    assert layer.weight.is_meta
    assert torch.equal(torch.random.get_rng_state(), before)


def test_outside_of_it_tensors_are_initialized() -> None:
    with meta_device():
        nn.Linear(3, 4)
    layer = nn.Linear(3, 4)
    assert not layer.weight.is_meta
    assert bool((nn.init.ones_(layer.weight) == 1).all())
