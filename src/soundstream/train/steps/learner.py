"""What learns: the generator with its average, discriminators and optimizers; a step of all, and their state."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from soundstream.nn import distributed
from soundstream.nn.families import build
from soundstream.nn.model import Output, SoundStream
from soundstream.train.adversarial.critic import Critic
from soundstream.train.adversarial.losses import AdversarialLosses
from soundstream.train.checkpoint import Checkpoint, Progress
from soundstream.train.config import TrainConfig
from soundstream.train.data.crops import Crops
from soundstream.train.losses.balancer import Balancer
from soundstream.train.losses.reconstruction import FROM_DISCRIMINATORS, ReconstructionLoss, aligned
from soundstream.train.steps.capture import Captured, Figures
from soundstream.train.steps.ema import Average
from soundstream.train.steps.inputs import COMMITMENT, FLOOR, RATE, Inputs
from soundstream.train.steps.optimizer import adamw, follow, optimizer_state, restore_optimizer, set_rate
from soundstream.train.steps.precision import Precision
from soundstream.train.steps.schedule import Phase, Schedule


class Learner:
    """Everything that a step changes.

    A step judges the decoded audio by all losses, joins their gradients at the decoder's output, and follows them back
    through the generator once. The discriminators then learn from what they have heard already. Nothing in a step waits
    for a GPU.

    Drawing crops, k-means, the schedule and the average are around the step; the step itself, `_learn`, works on
    tensors that keep their places, so that a GPU can replay it as one CUDA graph.

    Args:
        graphs: capture the steps on a GPU.
    """

    def __init__(self, config: TrainConfig, crops: Crops, precision: Precision, graphs: bool = False) -> None:
        self.config, self.crops, self.precision, self.device = config, crops, precision, precision.device
        torch.manual_seed(config.seed)
        self.model = self._new_model()
        precision.place(self.model)
        settings = config.optimizer
        self.optimizer = adamw(self.model, settings.learning_rate, settings.betas, settings.weight_decay)
        self.average = Average(self.model) if config.ema_decay else None
        self.critic = Critic(config, precision) if config.is_adversarial else None
        self.balancer = Balancer(config.loss)
        self.reconstruction = ReconstructionLoss(config.loss, config.codec.sample_rate).to(self.device)
        self.schedule, self.inputs = Schedule(config), Inputs(config, self.device)
        self.take = Captured(self._learn, graphs, rarely_measured=config.loss.balance_every > 1)
        self.progress = Progress(quantized=False)

    def _new_model(self) -> SoundStream:
        model = build(self.config.codec)
        model.quantizer.effort = self.config.quantizer_effort
        return model

    @property
    def best_model(self) -> SoundStream:
        """What is validated and exported: the averaged model if there is one."""
        return self.average.model if self.average else self.model

    def compile(self) -> None:
        """Compile the networks: minutes at the first steps, and faster ones after."""
        torch._functorch.config.donated_buffer = False  # a graph of the discriminators is followed back three times
        for network in (self.model.encoder, self.model.decoder, *([self.critic.discriminators] if self.critic else [])):
            network.compile()

    def step(self, share: float = 0.0, pace: float = 0.0) -> Figures:
        """Draw, code, compare, follow the gradient; gives each loss and norm, still on the device.

        Args:
            share: of the run's time limit that has passed.
            pace: share of it that a step takes.
        """
        draw = self.progress.step + self.progress.skipped
        torch.manual_seed(self.config.seed + draw)
        self._enter(draw, share)
        self.inputs.fill(self.crops.draw(draw))
        self._set(share)
        figures = self.take(self._phase())
        if self.average:
            self.average.update(self.model, self.schedule.average_decay(self.progress, pace))
        self.progress = dataclasses.replace(self.progress, step=self.progress.step + 1)
        return figures

    # around the step

    def _enter(self, draw: int, share: float) -> None:
        """Begin what is due."""
        self.progress = self.schedule.entered(self.progress, share)
        if self.schedule.wants_codebooks(self.progress):
            self._start_codebooks(draw)
            self.progress = dataclasses.replace(self.progress, quantized=True)

    def _set(self, share: float) -> None:
        """Set the numbers of the schedule."""
        schedule, progress = self.schedule, self.progress
        loss, numbers = self.config.loss, {FLOOR: schedule.mel_floor(progress)}
        numbers |= {COMMITMENT: loss.commitment_weight, RATE: loss.rate_weight}
        self.inputs.set(schedule.weights(progress) | numbers)
        set_rate(self.optimizer, schedule.rate(progress, share))
        if self.critic:
            set_rate(self.critic.optimizer, schedule.discriminator_rate(progress, share))

    def _phase(self) -> Phase:
        phase = self.schedule.phase(self.progress)
        heard = [name for name in self.config.loss.terms() if phase.followed or name not in FROM_DISCRIMINATORS]
        return phase if self.balancer.knows(heard) else phase._replace(measured=True)

    @torch.no_grad()
    def _start_codebooks(self, draw: int) -> None:
        """K-means on latents of the next batches, in the order in which a single process would have them."""
        self.model.eval()
        if self.model.features:
            self.model.features.train()  # gives what a codebook is to code, and not its entries
        latents = []
        for i in range(self.config.kmeans_batches):
            self.inputs.fill(self.crops.draw(draw + i))
            with self.precision.autocast():
                given = self.inputs.audio, self.inputs.condition, self.inputs.features
                latents.append(self.model.encode(*given).float())
        everywhere = distributed.gather(torch.stack(latents).transpose(2, 3))
        self.model.quantizer.fit(everywhere.permute(1, 2, 0, 3, 4).flatten(0, 3))
        distributed.share(list(self.model.quantizer.buffers()))
        if self.average:
            self.average.restart(self.model)

    # the step

    def _learn(self, phase: Phase) -> Figures:
        """Code the examples, judge them and follow; what may be captured as a CUDA graph."""
        given = self.inputs
        self.model.train().train_trunks(phase.trunks)
        told = self.config.data.denoise_probability or self.config.codec.layouts
        condition = given.condition if told else None
        with self.precision.autocast():
            output = self.model(given.audio, given.counts if phase.quantized else None, condition, given.features)
        return self._follow(output, phase)

    def _follow(self, output: Output, phase: Phase) -> Figures:
        """Judge the output, step the generator, then the discriminators."""
        numbers = self.inputs.numbers
        audio = self.inputs.judged(output.audio).float()
        decoded = audio.detach().requires_grad_()
        compared = aligned(self.inputs.target, decoded, self.config.codec.delay_samples)
        losses, parts = self.reconstruction(*compared, numbers[FLOOR])
        verdict = self.critic.judge(*compared, self.inputs.heard) if self.critic and phase.judged else None
        if verdict and phase.followed:
            losses |= {"adversarial": verdict.adversarial, "feature": verdict.feature}
        weighed = {name: loss for name, loss in losses.items() if name in numbers}
        gradient, norms = self.balancer.gradient(weighed, numbers, decoded, phase.measured)
        beside = {COMMITMENT: output.commitment} | ({} if output.rate is None else {RATE: output.rate})
        pulled = sum(numbers[name] * loss for name, loss in beside.items())
        norm = self._follow_gradient((audio * gradient).sum() + pulled)
        figures = losses | parts | {name: loss / len(output.audio) for name, loss in beside.items()}
        figures |= self._teach(verdict) | {"gradient_norm": norm}
        figures |= {f"gradient_{name}": value for name, value in norms.items()}
        return {name: value.detach() for name, value in figures.items()}

    def _follow_gradient(self, loss: Tensor) -> Tensor:
        """A step of the generator's optimizer; returns the norm of the gradient."""
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        return follow(self.optimizer, self.config.optimizer.clip_norm)

    def _teach(self, verdict: AdversarialLosses | None) -> Figures:
        if not self.critic or not verdict:
            return {}
        norm = self.critic.learn(verdict.discriminator)
        return {"discriminator": verdict.discriminator, "gradient_norm_discriminator": norm}

    # state

    def change(self, config: TrainConfig) -> None:
        """Go on with other rates and weights; terms that had no weight cannot get one."""
        self.config = config
        self.schedule = Schedule(config)

    def state(self) -> Checkpoint:
        """The whole state; its tensors are those of the run."""
        critic = self.critic
        return Checkpoint(
            codec=self.config.codec,
            progress=self.progress,
            model=self.model.state_dict(),
            average=self.average.state() if self.average else {},
            optimizer=optimizer_state(self.model, self.optimizer),
            discriminator=critic.discriminators.state_dict() if critic else {},
            discriminator_optimizer=optimizer_state(critic.discriminators, critic.optimizer) if critic else {},
            balancer=self.balancer.averages,
            settings=self.config.to_dict(),
        )

    def resume(self, state: Checkpoint) -> list[str]:
        """Begin a run from the state of another; as `restore`, and what was reached there counts."""
        remarks = self.restore(state)
        self.progress = self.schedule.resumed(self.progress)
        return remarks

    def restore(self, state: Checkpoint) -> list[str]:
        """Go on from a state; what it lacks starts afresh, with rates that warm up from there.

        A state of another stage gives its averaged weights, and no moments.

        Returns:
            What starts afresh, in words.
        """
        if state.settings.get("stage", "codec") != self.config.stage:
            state = dataclasses.replace(state, model=state.model | state.average, average={}, optimizer={})
        self.model.load_state_dict(state.model)
        restore_optimizer(self.model, self.optimizer, state.optimizer)
        if self.average:
            self.average.load(state.average, self.model)
        self.balancer.averages = {name: value.clone().to(self.device) for name, value in state.balancer.items()}
        self.take.forget()
        self.progress, remarks = self._progress_of(state), []
        if not state.optimizer:
            self.progress = dataclasses.replace(self.progress, fresh_from=state.step)
            remarks.append("the optimizer starts afresh: the state has no moments")
        return remarks + (self._restore_critic(self.critic, state) if self.critic else [])

    def _progress_of(self, state: Checkpoint) -> Progress:
        """How far the state is; that of an earlier release does not say whether it has codebooks."""
        progress = state.progress
        if progress.quantized is None:
            progress = dataclasses.replace(progress, quantized=state.step > self.config.quantize_from_step)
        judged = state.discriminator and (progress.discriminator_fresh_from or 0) <= state.step
        return progress if judged else dataclasses.replace(progress, discriminator_fresh_from=None)

    def _restore_critic(self, critic: Critic, state: Checkpoint) -> list[str]:
        own = critic.discriminators.state_dict()
        fits = {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in state.discriminator.items()}
        if fits:
            critic.discriminators.load_state_dict(state.discriminator)
        restore_optimizer(critic.discriminators, critic.optimizer, state.discriminator_optimizer if fits else {})
        if not fits or not state.optimizer:
            self.progress = dataclasses.replace(self.progress, discriminator_fresh_from=None)
        return [] if fits else ["the discriminators start afresh: the state has none of this kind"]
