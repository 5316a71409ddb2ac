"""What tests/train/test_processes.py starts with `torchrun`: train some steps and write down how it ended.

    several_processes.py FOLDER FAMILY [SECONDS]

Each process leaves its networks and codebooks in FOLDER/RANK-of-COUNT.pt; the first one leaves a run folder too.
"""

import dataclasses
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny
from soundstream.nn import distributed, quantize
from soundstream.train import loop
from soundstream.train.data.crops import DataConfig
from soundstream.train.loop import Trainer

STEPS = 6
OFFSETS = {"encoder.last.bias", "project.bias", "film.beta"}
"""They have no gradient but rounding, which AdamW would make steps of."""


def main(folder, family, seconds="0"):
    loop.LOG_EVERY_STEPS = 2
    quantize.DECAY = 0.4  # entries that are not used die at once
    config = dataclasses.replace(
        tiny.RUN,
        codec=next(codec for codec in tiny.CONFIGS if codec.family == family),
        data=DataConfig(batch_size=4, crop_frames=52),
        total_steps=STEPS,
        adversarial_from_step=3,
        discriminator_crop_frames=20,
        time_limit_s=float(seconds),
    )
    trainer = Trainer(config, tiny.corpus(), tiny.corpus(), folder / "run", device="cpu", precision="fp32")
    learner = trainer.learner
    for name, parameter in learner.model.named_parameters():
        parameter.requires_grad_(name not in OFFSETS)
    trainer.fit()
    state = {"generator": learner.model.state_dict(), "discriminators": learner.critic.discriminators.state_dict()}
    torch.save(state, folder / f"{distributed.rank()}-of-{distributed.count()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
