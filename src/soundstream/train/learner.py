"""What learns: the generator with its average, discriminators and optimizers; a step of all, and their state."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from soundstream.nn import processes
from soundstream.nn.model import Output, SoundStream
from soundstream.train.adversarial import AdversarialLosses
from soundstream.train.balancer import Balancer
from soundstream.train.checkpoint import Checkpoint, Progress
from soundstream.train.config import TrainConfig
from soundstream.train.critic import Critic
from soundstream.train.crops import Batch, Crops
from soundstream.train.ema import Average
from soundstream.train.losses import ReconstructionLoss, aligned
from soundstream.train.optimizer import adamw, follow, optimizer_state, restore_optimizer
from soundstream.train.precision import Precision

Figures = dict[str, Float[Tensor, ""]]


class Learner:
    """Everything that a step changes.

    A step judges the decoded audio by all losses, joins their gradients at the decoder's output, and follows them back
    through the generator once. The discriminators then learn from what they have heard already. Nothing in a step waits
    for a GPU.
    """

    def __init__(self, config: TrainConfig, crops: Crops, precision: Precision) -> None:
        self.config, self.crops, self.precision, self.device = config, crops, precision, precision.device
        torch.manual_seed(config.seed)
        self.model = self._new_model()
        precision.place(self.model)
        settings = config.optimizer
        self.optimizer = adamw(self.model, settings.learning_rate, settings.betas, settings.weight_decay)
        self.average = Average(self.model, config.ema_decay) if config.ema_decay else None
        self.critic = Critic(config, precision) if config.is_adversarial else None
        self.balancer = Balancer(config.loss)
        self.reconstruction = ReconstructionLoss(config.loss, config.codec.sample_rate).to(self.device)
        self.progress = Progress(discriminator_fresh_from=config.adversarial_from_step)

    def _new_model(self) -> SoundStream:
        model = SoundStream(self.config.codec)
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

    def step(self) -> Figures:
        """Draw, code, compare, follow the gradient; gives each loss and norm, still on the device."""
        draw, step = self.progress.step + self.progress.skipped, self.progress.step
        torch.manual_seed(self.config.seed + draw)
        figures = self._learn(draw, step)
        self.progress = dataclasses.replace(self.progress, step=step + 1)
        if self.average:
            self.average.update(self.model, step + 1 - self.progress.fresh_from)
        return figures

    def _learn(self, draw: int, step: int) -> Figures:
        self.model.train_trunks(step >= self.config.trunk_from_step)
        if step == self.config.quantize_from_step:
            self._start_codebooks(draw)
        batch = self._mine(self.crops.draw(draw))
        counts = self._quantizer_dropout(step)
        condition = batch.condition if self.config.data.denoise_probability else None
        with self.precision.autocast():
            output = self.model.train()(batch.audio, counts, condition)
        return self._follow(batch.target, output, step)

    def _mine(self, batch: Batch) -> Batch:
        """The examples of this process."""
        count, rank = processes.count(), processes.rank()
        return Batch(*(part[rank::count] for part in batch)) if count > 1 else batch

    def _quantizer_dropout(self, step: int) -> Tensor | None:
        """Codebooks for each example of this process; None while the quantizer is bypassed."""
        drawn = self.config.draw_counts(*torch.rand(2, self.config.data.batch_size))
        if step < self.config.quantize_from_step:
            return None
        return drawn[processes.rank() :: processes.count()].to(self.device, non_blocking=True)

    def _follow(self, target: Tensor, output: Output, step: int) -> Figures:
        """Judge the output, step the generator, then the discriminators."""
        loss = self.config.loss
        decoded = output.audio.detach().float().requires_grad_()
        compared = aligned(target, decoded, self.config.codec.delay_samples)
        losses, parts = self.reconstruction(*compared, loss.floor(step))
        verdict = self.critic.judge(*compared) if self.critic and self.critic.takes_part(step) else None
        if self.critic and verdict and self.critic.is_followed(step):
            losses |= {"adversarial": verdict.adversarial, "feature": verdict.feature}
        gradient, norms = self.balancer.gradient(losses, loss.weights(step), decoded)
        total = (output.audio.float() * gradient).sum() + loss.commitment_weight * output.commitment
        norm = self._follow_gradient(total, step)
        figures = losses | parts | {"commitment": output.commitment / len(target)}
        figures |= self._teach(verdict, step) | {"gradient_norm": norm}
        figures |= {f"gradient_{name}": value for name, value in norms.items()}
        return {name: value.detach() for name, value in figures.items()}

    def _follow_gradient(self, loss: Tensor, step: int) -> Tensor:
        """A step of the generator's optimizer; returns the norm of the gradient."""
        settings = self.config.optimizer
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        rate = settings.rate(settings.learning_rate, step, self.progress.fresh_from, self.config.total_steps)
        return follow(self.optimizer, rate, settings.clip_norm)

    def _teach(self, verdict: AdversarialLosses | None, step: int) -> Figures:
        if not self.critic or not verdict:
            return {}
        norm = self.critic.learn(verdict.discriminator, step)
        return {"discriminator": verdict.discriminator, "gradient_norm_discriminator": norm}

    @torch.no_grad()
    def _start_codebooks(self, draw: int) -> None:
        """K-means on latents of the next batches, in the order in which a single process would have them."""
        self.model.eval()
        latents = []
        for i in range(self.config.kmeans_batches):
            batch = self._mine(self.crops.draw(draw + i))
            with self.precision.autocast():
                latents.append(self.model.encode(batch.audio, batch.condition).float())
        everywhere = processes.gather(torch.stack(latents).transpose(2, 3))
        self.model.quantizer.fit(everywhere.permute(1, 2, 0, 3, 4).flatten(0, 3))
        processes.share(list(self.model.quantizer.buffers()))
        if self.average:
            self.average.restart(self.model)

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
        self.balancer.averages = {name: value.to(self.device) for name, value in state.balancer.items()}
        self.progress = state.progress
        remarks = []
        if not state.optimizer:
            self.progress = dataclasses.replace(self.progress, fresh_from=state.step)
            remarks.append("the optimizer starts afresh: the state has no moments")
        return remarks + (self._restore_critic(self.critic, state) if self.critic else [])

    def _restore_critic(self, critic: Critic, state: Checkpoint) -> list[str]:
        own = critic.discriminators.state_dict()
        fits = {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in state.discriminator.items()}
        if fits:
            critic.discriminators.load_state_dict(state.discriminator)
        moments = state.discriminator_optimizer if fits else {}
        restore_optimizer(critic.discriminators, critic.optimizer, moments)
        if not moments:
            fresh_from = max(self.config.adversarial_from_step, state.step)
            self.progress = dataclasses.replace(self.progress, discriminator_fresh_from=fresh_from)
        critic.fresh_from = self.progress.discriminator_fresh_from
        return [] if fits else ["the discriminators start afresh: the state has none of this kind"]
