import torch

from soundstream.nn.layers.scaling import FiLM
from tiny import noise

PLAIN, DENOISE = torch.eye(2).reshape(2, 1, 2, 1, 1)


def trained():
    film = FiLM(4, condition_dim=2)
    torch.manual_seed(0)
    torch.nn.init.normal_(film.gamma)
    torch.nn.init.normal_(film.beta)
    return film


def test_a_fresh_film_is_the_identity_whatever_the_condition():
    x = noise(2, 4, 1, 6)
    for condition in (PLAIN, DENOISE):
        assert torch.equal(FiLM(4, condition_dim=2)(x, condition.expand(2, 2, 1, 6)), x)


def test_each_channel_is_scaled_and_shifted_as_its_condition_says():
    film, x = trained(), noise(1, 4, 1, 6)
    for i, condition in enumerate((PLAIN, DENOISE)):
        expected = film.gamma[:, i, None, None] * x + film.beta[:, i, None, None]
        torch.testing.assert_close(film(x, condition.expand(1, 2, 1, 6)), expected)


def test_the_condition_may_switch_from_one_frame_to_the_next():
    film, x = trained(), noise(1, 4, 1, 6)
    whole = [film(x, condition.expand(1, 2, 1, 6)) for condition in (PLAIN, DENOISE)]
    switched = film(x, torch.cat([PLAIN.expand(1, 2, 1, 2), DENOISE.expand(1, 2, 1, 4)], dim=-1))
    torch.testing.assert_close(switched, torch.cat([whole[0][..., :2], whole[1][..., 2:]], dim=-1))
    assert not torch.allclose(whole[0], whole[1])
