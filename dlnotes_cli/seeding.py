"""Seeds and random state: every random draw is a function of the seed and of its place in the program."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_MASK = (1 << 63) - 1


def seed_everything(seed: int) -> None:
    """Seed torch's global generators, the only global generators that dlnotes uses."""
    import torch

    torch.manual_seed(seed)


def seed_process(device: "torch.device", seed: int, rank: int, step: int) -> None:
    """Seed the generators of `device` in process `rank` of several, for the step after `step` others."""
    import torch

    seed = derived_seed(seed, rank, step)
    if device.type == "cpu":  # where `seed_everything` takes half a millisecond, as long as a small step
        torch.default_generator.manual_seed(seed)
    else:
        seed_everything(seed)


def derived_seed(*numbers: int) -> int:
    """A 63-bit seed from several integers, mixed by splitmix64 one after the other."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state & _MASK


def random_state(device: "torch.device") -> "dict[str, torch.Tensor]":
    """The states of the generators that a training step uses, as uint8 tensors."""
    import torch

    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["device"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["device"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: "dict[str, torch.Tensor]", device: "torch.device") -> None:
    """Restore the generators to a state from `random_state`."""
    import torch

    torch.set_rng_state(state["cpu"])
    if "device" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["device"], device)
    elif "device" in state and device.type == "mps":
        torch.mps.set_rng_state(state["device"])
