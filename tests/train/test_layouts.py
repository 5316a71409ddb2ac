import pytest

from soundstream.train.data.corpora import label, same_sound


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("LibriTTS/train-clean-100/103/1240/103_1240_000000_000001.wav", ("speech", "librispeech/103")),
        ("LibriSpeech/train-other-500/20/205/20-205-0000.flac", ("speech", "librispeech/20")),
        ("VCTK-Corpus-0.92/wav48_silence_trimmed/p225/p225_001_mic1.flac", ("speech", "vctk/p225")),
        ("VCTK-Corpus/wav48/p226/p226_002.wav", ("speech", "vctk/p226")),
        ("musdb18hq/train/A Band - A Song/mixture.wav", ("music", "musdb/A Band - A Song")),
        ("FSD50K/FSD50K.dev_audio/10000.wav", ("ambient", "fsd50k/10000")),
        ("datasets_fullband/noise_fullband/door_Freesound_249_1.wav", ("ambient", "dns/door_Freesound_249")),
        ("DNS-Challenge/datasets/noise/-0-A9_rain.wav", ("ambient", "dns/-0-A9_rain")),
    ],
)
@pytest.mark.parametrize("root", [0, 1, 2], ids=["the data folder above", "the corpus", "a folder in it"])
def test_known_corpora_are_recognised_at_any_depth(path, expected, root):
    relative = "/".join(path.split("/")[root:])
    assert label(f"/data/{path}", relative) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("speech/anna_01.wav", ("speech", "anna")),
        ("speech/anna 2.wav", ("speech", "anna")),
        ("speech/anna.wav", ("speech", "anna")),
        ("ambient/1234.wav", ("ambient", "1234")),
        ("ambient/amb_noisekun_03.opus", ("ambient", "amb_noisekun")),
        ("speech/anna/take_01.wav", ("speech", "anna")),
        ("speech/readers/anna/take_01.wav", ("speech", "readers/anna")),
        ("test/other.wav", ("test", "other")),
        ("loose_7.wav", ("", "loose")),
    ],
)
def test_of_other_folders_the_first_is_the_category_and_the_last_or_the_name_the_source(path, expected):
    assert label(f"/data/{path}", path) == expected


def test_a_category_that_is_given_leaves_every_folder_to_the_source():
    assert label("/data/anna/take_01.wav", "anna/take_01.wav", "speech") == ("speech", "anna")
    assert label("/data/anna_01.wav", "anna_01.wav", "speech") == ("speech", "anna")
    assert label("/x/train/song/mixture.wav", "song/mixture.wav", "pop") == ("pop", "musdb/song")


SONG = [f"/m/train/song/{part}.wav" for part in ("mixture", "vocals", "drums", "bass", "other")]


@pytest.mark.parametrize("stem", SONG[1:])
def test_stems_of_a_song_are_not_needed_where_its_mixture_is(stem):
    assert "mixture" in same_sound(stem, set(SONG))
    assert same_sound(stem, set(SONG[1:])) is None


def test_one_microphone_of_two_is_enough():
    first, second = "/wav48/p225/p225_001_mic1.flac", "/wav48/p225/p225_001_mic2.flac"
    assert "mic1" in same_sound(second, {first, second})
    assert same_sound(second, {second}) is None
    assert same_sound(first, {first, second}) is None


def test_a_mixture_and_files_elsewhere_are_needed():
    assert same_sound(SONG[0], set(SONG)) is None
    assert same_sound("/m/band/other.wav", {"/m/band/other.wav", "/m/band/mixture.wav"}) is None
