"""Fixtures that several test files share."""

import pytest


@pytest.fixture(scope="session")
def artifact_folder(tmp_path_factory):
    """The tiny model as an exported artifact; not to be changed."""
    import tiny
    from soundstream.export.artifact import export

    folder = tmp_path_factory.mktemp("tiny") / "artifact"
    export(tiny.model(), folder)
    return folder


@pytest.fixture(scope="session")
def tiny_artifact(tmp_path_factory):
    """A small model at the rates of the default one, with eight codebooks, for the codec and the command line."""
    return _small(tmp_path_factory, seed=0)


@pytest.fixture(scope="session")
def other_artifact(tmp_path_factory):
    """The same with other weights."""
    return _small(tmp_path_factory, seed=1)


@pytest.fixture(scope="session")
def codec(tiny_artifact):
    from soundstream import load

    return load(tiny_artifact)


@pytest.fixture(scope="session")
def other_codec(other_artifact):
    from soundstream import load

    return load(other_artifact)


@pytest.fixture(scope="session")
def command():
    """Runs the command line in a process: `command(words, folder)`; see `forked`."""
    import forked

    made = forked.ForkedCommand()
    yield made
    made.close()


@pytest.fixture
def few_probes(monkeypatch):
    """Three tones and the five hard sounds of one frequency, where the runner is on trial and not what it measures."""
    from soundstream.evaluate.probes import hard_sounds, probes

    monkeypatch.setattr(probes, "TONES_HZ", (100, 1000, 11_000))
    monkeypatch.setattr(hard_sounds, "BEEPS_HZ", (440,))
    monkeypatch.setattr(hard_sounds, "_shapes", lambda time_s: iter(()))


@pytest.fixture
def no_curves(monkeypatch):
    """Evaluations draw no curves, where their rows are on trial."""
    from soundstream.evaluate import evaluation

    monkeypatch.setattr(evaluation, "rate_quality", lambda path, title, panels: None)


def _small(tmp_path_factory, seed):
    import torch

    from soundstream.export.artifact import export
    from soundstream.nn.families import build
    from soundstream.nn.families.seanet import Config as SeanetConfig

    torch.manual_seed(seed)
    config = SeanetConfig(encoder_channels=4, decoder_channels=4, latent_dim=8, num_quantizers=8)
    folder = tmp_path_factory.mktemp("small") / "artifact"
    export(build(config), folder)
    return folder
