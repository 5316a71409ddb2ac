"""What tests/train/test_processes.py starts: two processes of `torchrun`, with a run by steps and one by the clock.

    several_processes.py FOLDER FAMILY

Each process leaves its networks and codebooks in FOLDER/RUN/RANK-of-COUNT.pt; the first one leaves a run folder too.
They are forked, so that PyTorch is imported once.
"""

import dataclasses
import itertools
import sys
from pathlib import Path
from types import SimpleNamespace

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny
from soundstream.nn import distributed, quantize
from soundstream.train import clock, loop
from soundstream.train.data.crops import DataConfig
from soundstream.train.loop import Trainer

STEPS = 6
OFFSETS = {"encoder.last.bias", "project.bias", "film.beta"}
"""They have no gradient but rounding, which AdamW would make steps of."""
SETTINGS = ((loop, "LOG_EVERY_STEPS", 2), (quantize, "DECAY", 0.4))
"""Figures come often, and entries that are not used die at once."""


def train(folder, family, time_limit_s=0.0):
    """Train for some steps, or until the time is over; write down how it ended."""
    config = dataclasses.replace(
        tiny.RUN,
        codec=next(codec for codec in tiny.CONFIGS if codec.family == family),
        data=DataConfig(batch_size=4, crop_frames=52),
        total_steps=STEPS,
        adversarial_from_step=3,
        discriminator_crop_frames=20,
        time_limit_s=time_limit_s,
    )
    trainer = Trainer(config, tiny.corpus(), tiny.corpus(), folder / "run", device="cpu", precision="fp32")
    trainer.validator.write = lambda *place: None
    learner = trainer.learner
    for name, parameter in learner.model.named_parameters():
        parameter.requires_grad_(name not in OFFSETS)
    trainer.fit()
    state = {"generator": learner.model.state_dict(), "discriminators": learner.critic.discriminators.state_dict()}
    torch.save(state, folder / f"{distributed.rank()}-of-{distributed.count()}.pt")


def main(folder, family):
    for module, name, value in SETTINGS:
        setattr(module, name, value)
    train(folder / "by steps", family)
    ticks = itertools.count(0.0, 1.0 + 4 * distributed.rank())  # clocks that do not agree
    clock.time = SimpleNamespace(monotonic=ticks.__next__)
    train(folder / "by clock", family, time_limit_s=8.0)


if __name__ == "__main__":
    import lightning_fabric  # noqa: F401 - here once, and not in each process
    import torch._dynamo
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    two = LaunchConfig(1, 1, 2, rdzv_backend="c10d", rdzv_endpoint="localhost:0", start_method="fork", run_id="two")
    elastic_launch(two, main)(Path(sys.argv[1]), sys.argv[2])
