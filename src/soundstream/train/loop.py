"""The training loop: setup, resume, steps, log, wishes from outside, validation, checkpoints."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

from soundstream.errors import CodecError, ConfigError
from soundstream.nn import distributed
from soundstream.train import checkpoint as ckpt
from soundstream.train.clock import Clock
from soundstream.train.config import TrainConfig
from soundstream.train.control import Control, Wishes
from soundstream.train.data.arrivals import Arrivals
from soundstream.train.data.corpus import Corpus, fixed_clips
from soundstream.train.data.crops import NOISE, SPEECH, Batch, Crops
from soundstream.train.data.features import featuring
from soundstream.train.guard import Contest, Guard
from soundstream.train.launch import check_batch, join
from soundstream.train.report.log import Entry, Log, Report, Tally, rounded
from soundstream.train.steps.decoding import DecoderLearner
from soundstream.train.steps.denoising import DenoiseLearner, noise_left_db
from soundstream.train.steps.learner import Learner
from soundstream.train.steps.precision import choose_precision
from soundstream.train.validation import Validator

LOG_EVERY_STEPS = 25
"""Figures stay on the device until then; several processes agree then on whether to stop."""
LISTEN_EVERY_S = 2.0
"""Time from one look for wishes and new data to the next."""

NOISY_CROPS = 32
"""Crops of noisy speech by which the denoise switch is judged."""
ONLY_SPEECH = {SPEECH: 1.0, NOISE: 0.0, "music": 0.0}
LEARNERS = {"codec": Learner, "decoder": DecoderLearner, "denoise": DenoiseLearner}
"""By stage."""


class Trainer:
    """A run: what learns, its data, its guard and its folder.

    The run folder holds `checkpoint/` (the newest state), `audio/` (decoded clips) and `log.jsonl`: a line of training
    figures every 25 steps, a line of validation figures at each validation, a line `event` for what else happens.
    `control.json` there changes a run that goes on, see `soundstream.train.control`.

    Under `torchrun` every process makes a Trainer; only the first one writes. Each trains on every n-th example of the
    batches that a single process would draw. Several processes take up neither wishes nor new data.

    Args:
        config: with `time_limit_s` the clock decides what begins when and when the run ends, from `fit` on.
        train: audio at the codec's rate.
        valid: the same, of which some clips are decoded at each validation.
        run: folder to write to.
        resume: state to go on from.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bf16` or `fp32`; see `soundstream.train.steps.precision`.
        compile: compile the networks, which takes minutes and pays on a GPU.
        graphs: on a GPU, replay each step as one CUDA graph; several processes run plain steps.
        arrivals: training audio that comes in while the run goes on.
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
        graphs: bool = True,
        arrivals: Arrivals | None = None,
    ) -> None:
        if resume and resume.codec != config.codec:
            raise ConfigError(f"the state to resume holds another model ({resume.codec}) than the run ({config.codec})")
        self.config, self.run = config, run
        self.precision = choose_precision(join(device), precision)
        self.arrivals = arrivals if distributed.count() == 1 else None
        check_batch(config.data.batch_size, distributed.count())
        check_batch(config.discriminator_examples, distributed.count(), "discriminator_examples")
        clips = fixed_clips(valid, seconds=2.0, per_category=5)
        voices = [i for i, category in enumerate(clips.categories) if category == SPEECH]
        self.validator = Validator(clips.audio, config.codec, voices, featuring(config.features, config.codec))
        captured = graphs and self.precision.device.type == "cuda" and distributed.count() == 1
        self.learner = LEARNERS[config.stage](config, self._crops(train), self.precision, captured)
        self.noisy = self._noisy(valid)
        self.remarks = self.learner.resume(resume) if resume else []
        if compile:
            self.learner.compile()
        self.guard, self.contest, self.tally = Guard(self.learner), Contest(self.learner), Tally()
        if distributed.rank() == 0:
            run.mkdir(parents=True, exist_ok=True)
        self.log, self.control, self.clock = Log(run), Control(run), Clock(limit_s=0.0)

    @property
    def step(self) -> int:
        """Steps done."""
        return self.learner.progress.step

    def fit(self, validate_every_s: float = 600, report: Report = lambda entry: None) -> None:
        """Train until the last step, the time limit or a signal; validate and save now and then, and at the end.

        Args:
            report: called with every log line.
        Raises:
            TrainingError: figures are not finite, time and again.
        """
        self._begin(report)
        saved = time.monotonic()
        with _stop_signals() as stop, self.arrivals or nullcontext():
            while not self._ends(stop):
                self.train_step()
                due = time.monotonic() - saved > validate_every_s
                if self.step % LOG_EVERY_STEPS == 0 or (due and distributed.count() == 1):
                    sound = self._look()
                    if due and sound:
                        self.validate_and_save()
                        saved = time.monotonic()
                self._listen()
            if self.step > self.looked[0]:
                self._look()
            self.validate_and_save()

    def train_step(self) -> None:
        """One step; its figures are kept for the next look."""
        self.tally.add(self.learner.step(self.clock.share, self.clock.pace))

    def _begin(self, report: Report) -> None:
        self.log.report = report
        self.clock = Clock(self.config.time_limit_s, self.learner.progress.elapsed_s)
        self.looked, self.listened = (self.step, time.monotonic()), time.monotonic()
        for event in (f"training on {self._place()}", *self.remarks):
            self._event(event)

    def _ends(self, stop: threading.Event) -> bool:
        """Whether it was the last step; several processes look at clock and signals where they look at figures."""
        stopped = False
        if distributed.count() == 1 or self.step % LOG_EVERY_STEPS == 0:
            self.clock.look(self.step, lambda share: self._total(share * (distributed.rank() == 0)))
            stopped = self._total(float(stop.is_set())) > 0
        by_clock = self.config.time_limit_s > 0
        return stopped or (self.clock.is_over if by_clock else self.step >= self.config.total_steps)

    def _total(self, value: float) -> float:
        """Sum over the processes."""
        if distributed.count() == 1:
            return value
        return float(distributed.total(torch.tensor(float(value), device=self.precision.device)))

    def _crops(self, corpus: Corpus) -> Crops:
        return Crops(corpus, self.config.data, self.config.codec, self.config.seed, self.precision.device)

    # the log

    def _place(self) -> str:
        threads = f", {torch.get_num_threads()} threads" if self.precision.device.type == "cpu" else ""
        several = f", {distributed.count()} processes" if distributed.count() > 1 else ""
        return f"{self.precision}{threads}{several}"

    def _look(self) -> bool:
        """Write down the figures since the last look, unless the guard steps back; says whether all was sound."""
        (before, since), figures = self.looked, self.tally.take()
        sound = self._is_sound(figures)
        if sound:
            seconds = (time.monotonic() - since) / max(1, self.step - before)
            rate = float(self.learner.optimizer.param_groups[0]["lr"])
            entry = {"step": self.step} | figures | {"learning_rate": rounded(rate)}
            entry |= {"seconds": round(seconds, 4), "steps_per_s": rounded(1 / max(seconds, 1e-9))}
            entry |= {"share": rounded(self.clock.share)} if self.config.time_limit_s else {}
            self.log.write(entry | self._gpu())
            for remark in (*self.learner.take.pop_remarks(), self.contest.check(figures)):
                self._event(remark)
        self.looked = (self.step, time.monotonic())
        return sound

    def _is_sound(self, figures: dict[str, float]) -> bool:
        problem = self.guard.check(figures)
        self._event(problem)
        return problem is None

    def _gpu(self) -> Entry:
        """How busy the GPU was, where the driver's library (nvidia-ml-py) tells."""
        if self.precision.device.type != "cuda":
            return {}
        try:
            return {"gpu_utilization_percent": torch.cuda.utilization(self.precision.device)}
        except (ImportError, RuntimeError):
            return {}

    def _event(self, text: str | None) -> None:
        if text:
            self.log.event(self.step, text)

    # wishes and data from outside

    def _listen(self) -> None:
        """Now and then, do what `control.json` asks for and take up new data; mistakes in them go into the log."""
        if time.monotonic() - self.listened < LISTEN_EVERY_S or distributed.count() > 1:
            return
        self.listened = time.monotonic()
        try:
            self._take_up(self.arrivals.take() if self.arrivals else None)
            self._obey(self.control.changed(self.config))
        except CodecError as error:
            self._event(f"ignored: {error}")

    def _obey(self, wishes: Wishes | None) -> None:
        if not wishes:
            return
        self._event(f"asked for: {wishes.said}")
        self.config = wishes.config
        self.learner.change(wishes.config)
        if wishes.end_unix_s is not None:
            self.clock.end_at(wishes.end_unix_s)
        if wishes.save:
            self.save(wishes.save)

    def _take_up(self, corpus: Corpus | None) -> None:
        if corpus:
            self.learner.crops = self._crops(corpus)
            hours = len(corpus.pcm) / corpus.sample_rate / 3600
            self._event(f"new data: {len(corpus.clips)} files, {hours:.2f} h from here on")

    # validation and checkpoints

    def validate(self) -> Entry:
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

    def validate_and_save(self) -> None:
        """Replace the checkpoint, log the validation figures, write decoded clips; the first process alone does."""
        if distributed.rank() == 0:
            self.save()
            self.log.write(self.validate())
            self._event(self.validator.write(self.learner.best_model, self.run / "audio", self.step))

    def save(self, name: str = "checkpoint") -> None:
        """Write the state that `resume` goes on from, into this folder of the run folder."""
        progress = dataclasses.replace(self.learner.progress, elapsed_s=round(self.clock.elapsed_s, 3))
        ckpt.save(self.run / name, dataclasses.replace(self.learner.state(), progress=progress))


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
