"""What is to be made in a folder, decided once: settings, and sources in shards; a later run takes it from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from soundstream.codec.codec import Codec
from soundstream.errors import ConfigError, OutputError
from soundstream.runtime.models import name_of_model
from soundstream.runtime.options import EncodeOptions
from soundstream.tokens.layout import OURS, PLAN, SETTINGS, Header, Settings, ShardJob, plan_from_json, plan_to_json
from soundstream.tokens.sources import Found, Source
from soundstream.tokens.storage import Storage, write

_MEGABYTE = 1_000_000
_SHARD_MB = 4, 128
"""Of sources in a shard, at least and at most, where nobody says it; between them it is a share of all."""
_SHARDS = 32
"""Shards of a corpus that is neither small nor large."""
_SHARD_SOUNDS = 1000
"""Sources of a shard at most."""


def settings_of(codec: Codec, options: EncodeOptions, num_quantizers: int | None, shard_mb: float | None) -> Settings:
    """How tokens are to be made.

    Raises:
        ConfigError: the codec does not have it, or two options contradict each other.
    """
    if num_quantizers is not None:
        if options.bitrate is not None:
            raise ConfigError("bitrate and num_quantizers say the same; give one of them")
        if num_quantizers not in codec.spec.counts:
            raise ConfigError(f"num_quantizers is {num_quantizers}; the model has {_ranges(codec.spec.counts)}")
        options = replace(options, bitrate=codec.spec.bitrate(num_quantizers))
    if shard_mb is not None and not shard_mb > 0:
        raise ConfigError(f"shard_mb is {shard_mb}; expected more than 0")
    options.check_stream(codec.spec)
    count = codec.spec.quantizers_for(options.bitrate)
    return Settings(
        model=codec.model_id.hex(),
        num_quantizers=count,
        bitrate=codec.spec.bitrate(count),
        denoise=float(options.denoise),
        effort=options.effort,
        provider=codec.provider.lower(),
        shard_mb=shard_mb,
    )


def _ranges(counts: Sequence[int]) -> str:
    whole = [*counts] == [*range(min(counts), max(counts) + 1)]
    return f"{min(counts)} to {max(counts)}" if whole else ", ".join(map(str, counts))


def begun(
    place: Storage, name: str, settings: Settings, codec: Codec, found: Found, force: bool
) -> tuple[Header, list[ShardJob]]:
    """Header and plan: those that lie there, if it is the same work, or new ones.

    Raises:
        OutputError: tokens of other settings or sources lie there, or other files.
    """
    names = place.names()
    if foreign := sorted(one for one in names if not OURS.fullmatch(one)):
        raise OutputError(f"{name} holds other files, such as {foreign[0]}; choose an empty folder for tokens")
    if SETTINGS in names and not force:
        header, plan = Header.from_json(place.read(SETTINGS)), plan_from_json(place.read(PLAN))
        _check_same(name, settings, header, plan, found)
        return header, plan
    for one in names:
        place.remove(one)
    plan = _plan(found.sources, settings.shard_mb)
    header = Header(settings, codec.spec, name_of_model(codec.model_id), len(found.sources), len(plan))
    write(place, PLAN, plan_to_json(plan))
    write(place, SETTINGS, header.to_json())
    return header, plan


def _check_same(name: str, settings: Settings, header: Header, plan: list[ShardJob], found: Found) -> None:
    """Refuse tokens that were made in another way, or of other sources; sources that are gone may be done already."""
    for field, wanted in vars(settings).items():
        if (there := getattr(header.settings, field)) != wanted:
            raise OutputError(
                f"{name} holds tokens with {field} {there}, not {wanted}; choose another folder, or make all anew "
                "with --force"
            )
    known = {(source.path, source.start_s, source.end_s) for job in plan for source in job.sources}
    new = [source for source in found.sources if (source.path, source.start_s, source.end_s) not in known]
    if new:
        raise OutputError(
            f"{name} was begun without {len(new)} of these sources, such as {new[0].path}; give those a folder of "
            "their own, or make all anew with --force"
        )


def _plan(sources: Sequence[Source], shard_mb: float | None) -> list[ShardJob]:
    """Sources in shards, which depend on nothing but their sizes."""
    total = sum(source.bytes or 0 for source in sources)
    low, high = (mb * _MEGABYTE for mb in _SHARD_MB)
    limit = shard_mb * _MEGABYTE if shard_mb else min(high, max(low, total / _SHARDS))
    jobs: list[ShardJob] = []
    taken: list[Source] = []
    filled = 0
    for i, source in enumerate(sources):
        taken.append(source)
        filled += source.bytes or 0
        if len(taken) == _SHARD_SOUNDS or filled >= limit or i == len(sources) - 1:
            jobs.append(ShardJob(len(jobs), i + 1 - len(taken), tuple(taken)))
            taken, filled = [], 0
    return jobs
