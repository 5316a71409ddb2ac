"""The training loop: setup, data, model, resume, steps, validation, checkpoints."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from soundstream.nn.model import SoundStream
from soundstream.train import checkpoint as ckpt
from soundstream.train.balancer import balanced_gradient
from soundstream.train.config import TrainConfig
from soundstream.train.data import Corpus, Crops, fixed_clips
from soundstream.train.losses import MelLoss, signal_to_noise_db, waveform_loss

LOG_EVERY_STEPS = 25
Log = dict[str, Any]


class Trainer:
    """Everything that a run owns: model, optimizer, data, step and log.

    The run folder holds `checkpoint/` (the newest state) and `log.jsonl`: a line of training figures every 25 steps,
    a line of validation figures at each validation.
    """

    def __init__(
        self,
        config: TrainConfig,
        train: Corpus,
        valid: Corpus,
        run: Path,
        resume: ckpt.Checkpoint | None = None,
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.run, self.step, self.warm_from = config, run, 0, 0
        self.crops = Crops(train, config)
        self.valid = fixed_clips(valid, seconds=2.0, per_category=5)
        self.model = SoundStream(config.codec)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, betas=config.betas, weight_decay=0.0
        )
        self.mel = MelLoss(config.codec.sample_rate)
        if resume:
            self.model.load_state_dict(resume.model)
            ckpt.restore_optimizer(self.model, self.optimizer, resume.optimizer)
            self.step = resume.step
            self.warm_from = 0 if resume.optimizer else resume.step
        run.mkdir(parents=True, exist_ok=True)

    def fit(
        self,
        time_limit_s: float | None = None,
        validate_every_s: float = 600,
        report: Callable[[Log], None] = lambda entry: None,
    ) -> None:
        """Train until the last step, the time limit or a signal; validate and save now and then, and at the end."""
        start = saved = time.monotonic()
        with _stop_signals() as stop:
            while self.step < self.config.total_steps and not stop.is_set():
                if time_limit_s is not None and time.monotonic() - start > time_limit_s:
                    break
                begun = time.monotonic()
                entry = self.train_step()
                if self.step % LOG_EVERY_STEPS == 0:
                    self._log(entry | {"seconds": round(time.monotonic() - begun, 3)}, report)
                if time.monotonic() - saved > validate_every_s:
                    self.validate_and_save(report)
                    saved = time.monotonic()
            self.validate_and_save(report)

    def train_step(self) -> Log:
        """One step: draw, code, compare, follow the gradient."""
        config = self.config
        torch.manual_seed(config.seed + self.step)
        if self.step == config.quantize_from_step:
            self._start_codebooks()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step, self.warm_from)
        target = self.crops.draw(self.step)
        output = self.model.train()(target, self._quantizer_dropout(len(target)))
        decoded = output.audio.detach().requires_grad_()
        losses, parts = self._losses(target, decoded)
        gradient, norms = balanced_gradient(losses, self._shares(), decoded)
        self.optimizer.zero_grad()
        ((output.audio * gradient).sum() + config.commitment_weight * output.commitment).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        self.optimizer.step()
        self.step += 1
        parts |= {"commitment": float(output.commitment.detach()), "gradient_norm": float(norm)}
        return {"step": self.step, **parts, **{f"gradient_{name}": value for name, value in norms.items()}}

    def _quantizer_dropout(self, batch: int) -> Tensor | None:
        if self.step < self.config.quantize_from_step:
            return None
        return torch.randint(1, self.config.codec.num_quantizers + 1, (batch,))

    def _losses(self, target: Tensor, decoded: Tensor) -> tuple[dict[str, Tensor], dict[str, float]]:
        with torch.no_grad():
            spectra = self.mel.spectra(target)
        waveform = waveform_loss(target, decoded)
        relative, log = self.mel(spectra, self.mel.spectra(decoded), self._shifted(self.config.mel_floor))
        parts = {"waveform": waveform.item(), "mel_relative": relative.item(), "mel_log": log.item()}
        return {"waveform": waveform, "mel": relative + log}, parts

    def _shares(self) -> dict[str, float]:
        waveform = self._shifted(self.config.waveform_share)
        return {"waveform": waveform, "mel": 1 - waveform}

    def _shifted(self, ends: tuple[float, float]) -> float:
        begin, end = self.config.shift_steps
        progress = min(1.0, max(0.0, (self.step - begin) / max(1, end - begin)))
        return ends[0] + progress * (ends[1] - ends[0])

    @torch.no_grad()
    def _start_codebooks(self) -> None:
        self.model.eval()
        batches = [self.crops.draw(self.step + i) for i in range(self.config.kmeans_batches)]
        latents = torch.cat([self.model.encode(batch) for batch in batches])
        self.model.quantizer.fit(latents.transpose(1, 2).flatten(0, 1))

    @torch.no_grad()
    def validate(self) -> Log:
        """Waveform SNR and log-mel distance of the validation clips by codebooks in use; health of the latents."""
        model = self.model.eval()
        latents = model.encode(self.valid)
        codes = model.quantizer.encode(latents, model.config.num_quantizers)
        entry: Log = {"step": self.step, "rank": round(effective_rank(latents), 2)}
        entry["latent_std"] = round(float(model.normalizer.std), 4)
        entry["perplexity"] = [round(p) for p in perplexity(model.quantizer.usage).tolist()]
        for count in (n for n in (1, 2, 4, 8, 16) if n <= model.config.num_quantizers):
            decoded = model.decode(model.quantizer.decode(codes[:, :count]))
            _, log = self.mel(self.mel.spectra(self.valid), self.mel.spectra(decoded))
            snr = signal_to_noise_db(self.valid, decoded).mean()
            entry |= {f"snr_db_{count}": round(float(snr), 2), f"mel_log_{count}": round(float(log), 4)}
        return entry

    def validate_and_save(self, report: Callable[[Log], None]) -> None:
        """Log the validation figures and replace the checkpoint."""
        self._log(self.validate(), report)
        self.save()

    def save(self) -> None:
        """Write the state that `resume` goes on from, into `checkpoint/` of the run folder."""
        optimizer = ckpt.optimizer_state(self.model, self.optimizer)
        state = ckpt.Checkpoint(self.config, self.step, self.model.state_dict(), optimizer)
        ckpt.save(self.run / "checkpoint", state)

    def _log(self, entry: Log, report: Callable[[Log], None]) -> None:
        with (self.run / "log.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")
        report(entry)


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C or a request to terminate sets, so that the running step is finished and saved."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def learning_rate(config: TrainConfig, step: int, warm_from: int = 0) -> float:
    """Linear warm-up from the step at which the optimizer was fresh, constant, linear to zero over `decay_steps`."""
    rise = min(1.0, (step - warm_from + 1) / max(1, config.warmup_steps))
    fall = min(1.0, max(0.0, (config.total_steps - step) / max(1, config.decay_steps)))
    return config.learning_rate * rise * fall


def effective_rank(latents: Float[Tensor, "batch latent_dim frames"]) -> float:
    """Exponential of the entropy of the covariance's spectrum: how many directions the latents use."""
    vectors = latents.transpose(1, 2).flatten(0, 1)
    spectrum = torch.linalg.svdvals(vectors - vectors.mean(0)).square()
    return float(perplexity(spectrum))


def perplexity(weights: Float[Tensor, "*shape entries"]) -> Float[Tensor, "*shape"]:
    """Exponential of the entropy of weights that are normalised first: how many entries are in use."""
    shares = weights / weights.sum(-1, keepdim=True)
    return torch.exp(-(shares * (shares + 1e-12).log()).sum(-1))
