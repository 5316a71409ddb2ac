"""The training loop: setup, resume, steps, guard, log, validation, checkpoints."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from soundstream.errors import ConfigError, TrainingError
from soundstream.nn import processes
from soundstream.train import checkpoint as ckpt
from soundstream.train.config import TrainConfig
from soundstream.train.corpus import Corpus, fixed_clips
from soundstream.train.crops import NOISE, SPEECH, Batch, Crops
from soundstream.train.denoising import DenoiseLearner, noise_left_db
from soundstream.train.launch import check_batch, join
from soundstream.train.learner import Figures, Learner
from soundstream.train.precision import choose_precision
from soundstream.train.validation import Validator

LOG_EVERY_STEPS = 25
"""Figures stay on the device until then; several processes agree then on whether to stop."""
KEEP_EVERY_STEPS = 100
"""Steps after which the state is kept to step back to, if all figures since the last one were finite."""
ATTEMPTS = 5
"""Times in a row that a run steps back to the same state before it gives up."""

NOISY_CROPS = 32
"""Crops of noisy speech by which the denoise switch is judged."""
ONLY_SPEECH = {SPEECH: 1.0, NOISE: 0.0, "music": 0.0}
LEARNERS = {"codec": Learner, "denoise": DenoiseLearner}
"""By stage."""

Log = dict[str, Any]
Report = Callable[[Log], None]


class Trainer:
    """A run: what learns, its data, its guard and its folder.

    The run folder holds `checkpoint/` (the newest state), `audio/` (decoded clips) and `log.jsonl`: a line of training
    figures every 25 steps, a line of validation figures at each validation, a line `event` for what else happens.

    Figures that are not finite make the run step back to the last sound state and go on with other batches.

    Under `torchrun` every process makes a Trainer; only the first one writes. Each trains on every n-th example of the
    batches that a single process would draw.

    Args:
        train: audio at the codec's rate.
        valid: the same, of which some clips are decoded at each validation.
        run: folder to write to.
        resume: state to go on from.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bf16` or `fp32`; see `soundstream.train.precision`.
        compile: compile the networks, which takes minutes and pays on a GPU.
    Raises:
        ConfigError: the state to resume is that of another model, or a setting does not fit data or machine.
    """

    def __init__(
        self,
        config: TrainConfig,
        train: Corpus,
        valid: Corpus,
        run: Path,
        resume: ckpt.Checkpoint | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        compile: bool = False,
    ) -> None:
        if resume and resume.codec != config.codec:
            raise ConfigError(f"the state to resume holds another model ({resume.codec}) than the run ({config.codec})")
        self.config, self.run = config, run
        self.precision = choose_precision(join(device), precision)
        check_batch(config.data.batch_size, processes.count())
        crops = Crops(train, config.data, config.codec, config.seed, self.precision.device)
        clips = fixed_clips(valid, seconds=2.0, per_category=5)
        voices = [i for i, category in enumerate(clips.categories) if category == SPEECH]
        self.validator = Validator(clips.audio, config.codec, voices)
        self.learner = LEARNERS[config.stage](config, crops, self.precision)
        self.noisy = self._noisy(valid)
        self.remarks = self.learner.restore(resume) if resume else []
        if compile:
            self.learner.compile()
        self.kept, self.failures = self.learner.state().clone(), 0
        self.watched = torch.zeros((), device=self.precision.device)
        if processes.rank() == 0:
            run.mkdir(parents=True, exist_ok=True)

    @property
    def step(self) -> int:
        """Steps done."""
        return self.learner.progress.step

    def fit(
        self,
        time_limit_s: float | None = None,
        validate_every_s: float = 600,
        report: Report = lambda entry: None,
    ) -> None:
        """Train until the last step, the time limit or a signal; validate and save now and then, and at the end.

        Args:
            report: called with every log line.
        Raises:
            TrainingError: figures are not finite, time and again.
        """
        start = saved = time.monotonic()
        self.looked = (self.step, start)
        for event in (f"training on {self._place()}", *self.remarks):
            self._event(event, report)
        with _stop_signals() as stop:
            while self.step < self.config.total_steps:
                late = time_limit_s is not None and time.monotonic() - start > time_limit_s
                if self._agree(late or stop.is_set()):
                    break
                figures = self.train_step()
                due = time.monotonic() - saved > validate_every_s
                if self.step % LOG_EVERY_STEPS == 0 or (due and processes.count() == 1):
                    sound = self._look(figures, report)
                    if due and sound:
                        self.validate_and_save(report)
                        saved = time.monotonic()
            self._guard(report)
            self.validate_and_save(report)

    def train_step(self) -> Figures:
        """One step; its figures are watched for the guard."""
        figures = self.learner.step()
        self.watched += torch.stack(list(figures.values())).sum()
        return figures

    def _place(self) -> str:
        threads = f", {torch.get_num_threads()} threads" if self.precision.device.type == "cpu" else ""
        several = f", {processes.count()} processes" if processes.count() > 1 else ""
        return f"{self.precision}{threads}{several}"

    def _agree(self, wish: bool) -> bool:
        """Whether to stop: at once with one process, with several at the steps where figures are looked at."""
        if processes.count() == 1:
            return wish
        if self.step % LOG_EVERY_STEPS:
            return False
        return bool(processes.total(torch.tensor(float(wish), device=self.precision.device)) > 0)

    # the guard and the log

    def _look(self, figures: Figures, report: Report) -> bool:
        """Write figures down, unless the guard steps back; says whether all was sound."""
        before, since = self.looked
        sound = self._guard(report)
        if sound:
            if self.step - self.kept.step >= KEEP_EVERY_STEPS:
                self.kept, self.failures = self.learner.state().clone(), 0
            values = processes.mean(torch.stack(list(figures.values()))).tolist()
            seconds = (time.monotonic() - since) / max(1, self.step - before)
            entry: Log = {"step": self.step} | {k: _rounded(v) for k, v in zip(figures, values, strict=True)}
            entry |= {"learning_rate": _rounded(float(self.learner.optimizer.param_groups[0]["lr"]))}
            entry |= {"seconds": round(seconds, 4), "steps_per_s": _rounded(1 / max(seconds, 1e-9))} | self._gpu()
            self._log(entry, report)
        self.looked = (self.step, time.monotonic())
        return sound

    def _guard(self, report: Report) -> bool:
        """Whether every figure since the last look is finite; if not, go on from the last sound state.

        The batches up to the step that was reached are left out then.

        Raises:
            TrainingError: that was done several times in a row.
        """
        watched = float(processes.total(self.watched))
        self.watched.zero_()
        if math.isfinite(watched):
            return True
        reached, learner = self.learner.progress, self.learner
        what = f"a loss or gradient before step {reached.step} was not finite"
        if self.failures == ATTEMPTS:
            raise TrainingError(
                f"{what}, at {ATTEMPTS + 1} attempts from step {self.kept.step}: lower learning_rate or clip_norm, or "
                f"look for broken audio; what was saved last is in {self.run / 'checkpoint'}"
            )
        self.failures += 1
        learner.restore(self.kept)
        skipped = reached.skipped + reached.step - self.step
        learner.progress = dataclasses.replace(learner.progress, skipped=skipped)
        self._event(f"{what}: back to step {self.step}, on with other batches", report)
        return False

    def _gpu(self) -> Log:
        """How busy the GPU was, where the driver's library (nvidia-ml-py) tells."""
        if self.precision.device.type != "cuda":
            return {}
        try:
            return {"gpu_utilization_percent": torch.cuda.utilization(self.precision.device)}
        except (ImportError, RuntimeError):
            return {}

    def _event(self, text: str, report: Report) -> None:
        self._log({"step": self.step, "event": text}, report)

    def _log(self, entry: Log, report: Report) -> None:
        if processes.rank() == 0:
            with (self.run / "log.jsonl").open("a") as file:
                file.write(json.dumps(entry) + "\n")
            report(entry)

    # validation and checkpoints

    def validate(self) -> Log:
        """Figures of the validation clips, see `Validator`, and of the denoise switch, see `noise_left_db`."""
        model = self.learner.best_model
        left = {"noise_left_db": noise_left_db(model, self.noisy)} if self.noisy else {}
        return {"step": self.step} | self.validator(model) | left

    def _noisy(self, valid: Corpus) -> Batch | None:
        """Crops of the validation clips as an encoder's switch is trained on, if they have speech and noise."""
        data, codec = self.config.data, self.config.codec
        heard = {SPEECH, NOISE} <= set(valid.categories())
        if not data.denoise_probability or codec.film != "encoder" or not heard:
            return None
        held_out = dataclasses.replace(
            data, batch_size=NOISY_CROPS, noise_probability=1.0, denoise_probability=1.0, category_weights=ONLY_SPEECH
        )
        return Crops(valid, held_out, codec, self.config.seed, self.precision.device).draw(0)

    def validate_and_save(self, report: Report) -> None:
        """Log the validation figures, write decoded clips and replace the checkpoint; the first process alone does."""
        if processes.rank() == 0:
            self._log(self.validate(), report)
            if problem := self.validator.write(self.learner.best_model, self.run / "audio", self.step):
                self._event(problem, report)
            self.save()

    def save(self) -> None:
        """Write the state that `resume` goes on from, into `checkpoint/` of the run folder."""
        ckpt.save(self.run / "checkpoint", self.learner.state())


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


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
