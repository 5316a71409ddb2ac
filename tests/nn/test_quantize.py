from itertools import pairwise

import pytest
import torch

from soundstream.nn.quantize import DEAD_USAGE, DECAY, LatentNormalizer, ResidualVectorQuantizer, beam_search, kmeans
from tiny import noise


def quantizer(num_quantizers=4, codebook_size=16, latent_dim=8):
    torch.manual_seed(0)
    return ResidualVectorQuantizer(num_quantizers, codebook_size, latent_dim).eval()


def one_codebook(entries, usage):
    """One codebook of numbers, with these usages."""
    made = quantizer(1, len(entries), 1)
    made.codebooks[0, :, 0] = torch.tensor(entries)
    made.usage[0] = torch.tensor(usage)
    made.sums[:] = made.codebooks * made.usage[..., None]
    return made.train()


def error(made, latents, num_quantizers):
    decoded = made.decode(made.encode(latents, num_quantizers))
    return float((latents - decoded).square().mean())


def clustered(count=600, seed=0):
    """Vectors around 16 places, with detail for later codebooks."""
    return noise(16, 8, seed=seed, scale=2)[torch.arange(count) % 16] + noise(count, 8, seed=seed + 1)


# search


def test_the_entry_found_is_the_nearest_of_all():
    made, vectors = quantizer(), noise(200, 8, scale=1)
    for q in range(4):
        distances = (vectors[:, None] - made.codebooks[q]).square().sum(-1)
        assert torch.equal(made.nearest(vectors, q), distances.argmin(-1))


def test_equal_entries_go_to_the_lower_index():
    made = quantizer()
    made.codebooks[0, [3, 7, 12]] = noise(8, seed=5)
    assert made.nearest(made.codebooks[0, 12], 0) == 3


def test_equal_distances_go_to_the_lower_index():
    made = one_codebook([4.0, -1.0, 1.0, -4.0], [4.0] * 4)
    assert made.nearest(torch.zeros(1), 0) == 1


def test_encode_searches_what_the_codebooks_before_leave_over():
    made, latents = quantizer(), noise(2, 8, 5, scale=1)
    codes = made.encode(latents, 4)
    residual = latents.transpose(1, 2)
    for q in range(4):
        assert torch.equal(codes[:, q], made.nearest(residual, q))
        residual = residual - made.codebooks[q][codes[:, q]]
    torch.testing.assert_close(latents - made.decode(codes), residual.transpose(1, 2))


def test_fewer_codebooks_give_the_same_first_codes():
    made, latents = quantizer(), noise(2, 8, 5, scale=1)
    assert torch.equal(made.encode(latents, 2), made.encode(latents, 4)[:, :2])


# a search with several paths


def search(made, latents, ends, paths):
    codes = beam_search(made.codebooks, latents.transpose(1, 2).flatten(0, 1), ends, paths)
    return codes.view(len(latents), -1, codes.shape[1]).transpose(1, 2)


def test_one_path_is_the_search_without_any():
    made, latents = quantizer(), noise(2, 8, 50, scale=1)
    assert torch.equal(search(made, latents, torch.full((100,), 4), 1), made.encode(latents, 4))


def test_all_paths_find_the_best_codes_of_all():
    made, latents = quantizer(3, 4), noise(1, 8, 20, scale=1)
    grid = torch.cartesian_prod(*[torch.arange(4)] * 3)
    sums = made.codebooks[torch.arange(3), grid].sum(1)
    best = grid[torch.cdist(latents[0].T, sums).argmin(-1)]
    assert torch.equal(search(made, latents, torch.full((20,), 3), 16)[0].T, best)


@pytest.mark.parametrize("end", [1, 2, 3])
def test_up_to_its_end_a_path_is_the_best_of_its_length_and_then_goes_on(end):
    made, latents = quantizer(), noise(2, 8, 50, scale=1)
    codes = search(made, latents, torch.full((100,), end), 4)
    short = quantizer()
    short.codebooks = made.codebooks[:end]
    assert torch.equal(codes[:, :end], search(short, latents, torch.full((100,), end), 4))
    assert (latents - made.decode(codes)).square().mean() < error(made, latents, end)


def test_forward_with_several_paths_is_nearer_and_follows_what_its_codes_leave_over():
    greedy, made, latents = (quantizer().train(), quantizer().train(), noise(4, 8, 50, scale=1))
    made.effort = 4
    counts, residuals = torch.tensor([1, 4, 2, 3]), {}
    for one, name in ((greedy, "greedy"), (made, "made")):
        follow = one._follow
        one._follow = lambda r, c, name=name, follow=follow: residuals.update({name: r}) or follow(r, c)
    a, b = greedy(latents, counts), made(latents, counts)
    errors = [(latents - result.latents).square().mean((1, 2)) for result in (a, b)]
    assert errors[1][0] == errors[0][0]
    assert (errors[1][1:] < errors[0][1:]).all()
    start = quantizer()
    residual = latents.transpose(1, 2)
    for q in range(4):
        torch.testing.assert_close(residuals["made"][q], residual)
        residual = residual - start.codebooks[q][b.codes[:, q]]


# forward


def test_forward_gives_each_example_its_own_number_of_codebooks():
    made, latents = quantizer(), noise(4, 8, 5, scale=1)
    counts = torch.tensor([1, 4, 2, 3])
    result = made(latents, counts)
    assert torch.equal(result.codes, made.encode(latents, 4))
    for i, count in enumerate(counts):
        torch.testing.assert_close(result.latents[[i]], made.decode(result.codes[[i], :count]))


def test_gradients_pass_straight_through():
    made, weight = quantizer(), noise(2, 8, 5, seed=3)
    latents = noise(2, 8, 5).requires_grad_()
    (made(latents, torch.tensor([1, 3])).latents * weight).sum().backward()
    assert torch.equal(latents.grad, weight)


def test_commitment_is_the_distance_to_the_entries_in_use():
    made, latents = quantizer(), noise(2, 8, 5, scale=1)
    result = made(latents, torch.tensor([1, 3]))
    distances = (latents - result.latents).square().mean(dim=(1, 2)).sqrt()
    assert result.commitment == pytest.approx(float(distances.sum()), rel=1e-4)


def test_commitment_pulls_the_latents_to_their_entries():
    made, latents = quantizer(), noise(1, 8, 5, scale=1).requires_grad_()
    result = made(latents, torch.tensor([2]))
    result.commitment.backward()
    away = (latents - result.latents).detach()
    assert torch.cosine_similarity(latents.grad.flatten(), away.flatten(), dim=0) == pytest.approx(1, abs=1e-4)


def test_evaluation_leaves_the_codebooks_alone():
    made = quantizer()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    made(noise(2, 8, 5), torch.tensor([4, 4]))
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


# training


def test_entries_follow_the_average_of_their_vectors():
    made = one_codebook([0.0, 10.0], [4.0, 3.0])
    result = made(torch.tensor([[[1.0, 2.0, 9.0]]]), torch.tensor([1]))
    assert result.codes.flatten().tolist() == [0, 0, 1]
    usage = [4 * DECAY + 2, 3 * DECAY + 1]
    sums = [3.0, 30 * DECAY + 9]
    torch.testing.assert_close(made.usage[0], torch.tensor(usage))
    torch.testing.assert_close(made.sums[0, :, 0], torch.tensor(sums))
    torch.testing.assert_close(made.codebooks[0, :, 0], torch.tensor([s / u for s, u in zip(sums, usage, strict=True)]))


def test_a_training_step_quantizes_with_the_codebooks_that_it_found():
    made, latents = quantizer(), noise(2, 8, 5, scale=1)
    expected = made(latents, torch.tensor([4, 4]))
    found = made.train()(latents, torch.tensor([4, 4]))
    assert torch.equal(found.codes, expected.codes)
    assert torch.equal(found.latents, expected.latents)


def test_every_codebook_learns_whatever_the_dropout():
    made = quantizer().train()
    before = made.codebooks.clone()
    made(noise(2, 8, 20, scale=1), torch.tensor([1, 1]))
    assert ((made.codebooks != before).flatten(1).any(dim=1)).all()


def test_a_dead_entry_becomes_a_vector_of_the_batch_and_starts_afresh():
    made = one_codebook([0.0, 100.0], [10.0, DEAD_USAGE])
    made(torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([1]))
    fresh = float(made.codebooks[0, 1])
    assert fresh in (1.0, 2.0, 3.0)
    assert made.usage[0, 1] == 2 * DEAD_USAGE
    assert made.sums[0, 1, 0] == fresh * 2 * DEAD_USAGE
    made(torch.tensor([[[0.0, 0.0]]]), torch.tensor([1]))
    assert made.codebooks[0, 1] == pytest.approx(fresh)


def test_an_entry_just_above_the_limit_stays():
    made = one_codebook([0.0, 100.0], [10.0, DEAD_USAGE / DECAY + 0.01])
    made(torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([1]))
    assert made.codebooks[0, 1] == pytest.approx(100)


def test_a_dead_entry_of_a_later_codebook_becomes_what_is_left_over():
    made = quantizer(2, 4, 8).train()
    made.usage[1] = 0
    made.codebooks[1] = 1000
    latents = noise(1, 8, 5, scale=1)
    residual = latents - made.decode(made.encode(latents, 1))
    made(latents, torch.tensor([2]))
    distances = torch.cdist(made.codebooks[1, 1:], residual[0].T)
    assert distances.amin(dim=1).max() < 1e-3


# k-means


def test_kmeans_finds_clusters_that_lie_apart():
    torch.manual_seed(0)
    places = torch.tensor([[-10.0, 0.0], [0.0, 10.0], [10.0, 0.0]])
    vectors = places.repeat_interleave(torch.tensor([50, 30, 20]), dim=0) + noise(100, 2)
    centres, counts = kmeans(vectors, 12)
    assert counts.sum() == 100
    assert torch.cdist(places, centres).amin(dim=1).max() < 1
    assert torch.cdist(vectors, centres).amin(dim=1).max() < 1


def test_kmeans_is_better_than_random_vectors():
    vectors = clustered()
    torch.manual_seed(0)
    random = vectors[torch.randint(len(vectors), (16,))]
    torch.manual_seed(0)
    centres, _ = kmeans(vectors, 16)
    assert torch.cdist(vectors, centres).amin(dim=1).mean() < 0.9 * torch.cdist(vectors, random).amin(dim=1).mean()


def test_kmeans_takes_fewer_vectors_than_clusters():
    torch.manual_seed(0)
    centres, counts = kmeans(noise(3, 2), 8)
    assert centres.shape == (8, 2)
    assert counts.sum() == 3
    assert centres.isfinite().all()


def test_fit_lowers_the_error_and_each_codebook_lowers_it_further():
    made, latents = quantizer(), clustered().T[None]
    before = error(made, latents, 4)
    made.fit(latents[0].T)
    errors = [error(made, latents, count) for count in range(1, 5)]
    assert errors[3] < 0.2 * before
    assert all(later < 0.95 * earlier for earlier, later in pairwise(errors))


def test_training_goes_on_from_fitted_codebooks():
    made, vectors = quantizer(), clustered()
    made.fit(vectors)
    assert (made.usage >= DEAD_USAGE).all()
    torch.testing.assert_close(made.sums / made.usage[..., None], made.codebooks)
    before = error(made, vectors.T[None], 4)
    made.train()
    for _ in range(20):
        made(vectors.T[None], torch.tensor([4]))
    assert error(made.eval(), vectors.T[None], 4) < 1.1 * before


def test_training_without_a_fit_lowers_the_error_too():
    made, latents = quantizer(), clustered().T[None]
    before = error(made, latents, 4)
    made.train()
    for _ in range(100):
        made(latents, torch.tensor([4]))
    assert error(made.eval(), latents, 4) < 0.5 * before


# normalizer


def test_latents_come_to_mean_0_and_standard_deviation_1():
    normalizer = LatentNormalizer(3).train()
    scale, mean = torch.tensor([1.0, 5.0, 9.0])[:, None, None], torch.tensor([-4.0, 0.0, 30.0])[:, None, None]
    for step in range(1500):
        y = normalizer(mean + scale * noise(8, 3, 1, 10, seed=step, scale=1))
    assert y.std() == pytest.approx(1, abs=0.15)
    y = normalizer.eval()(mean + scale * noise(64, 3, 1, 100, scale=1))
    assert y.mean(dim=(0, 2, 3)).abs().max() < 0.1
    assert y.std() == pytest.approx(1, abs=0.05)


def test_channels_keep_their_relative_sizes():
    normalizer = LatentNormalizer(2).train()
    for step in range(600):
        normalizer(torch.tensor([1.0, 5.0])[:, None, None] * noise(8, 2, 1, 10, seed=step, scale=1))
    y = normalizer(torch.tensor([1.0, 5.0])[:, None, None] * noise(64, 2, 1, 100, scale=1))
    assert y[:, 1].std() / y[:, 0].std() == pytest.approx(5, rel=0.1)


def test_at_inference_the_normalizer_is_a_fixed_affine_map():
    normalizer = LatentNormalizer(3).eval()
    normalizer.mean.normal_()
    normalizer.std.fill_(2.5)
    before = {name: value.clone() for name, value in normalizer.state_dict().items()}
    a, b = noise(2, 3, 1, 10), noise(2, 3, 1, 10, seed=1)
    torch.testing.assert_close(normalizer(0.3 * a + 0.7 * b), 0.3 * normalizer(a) + 0.7 * normalizer(b))
    torch.testing.assert_close(normalizer(a) - normalizer(b), (a - b) / 2.5)
    assert all(torch.equal(value, before[name]) for name, value in normalizer.state_dict().items())


def test_in_training_too_values_come_from_the_running_figures():
    normalizer, x = LatentNormalizer(3).train(), 4 + noise(2, 3, 1, 10)
    y = normalizer(x)
    torch.testing.assert_close(y, (x - normalizer.mean[:, None, None]) / normalizer.std, rtol=1e-4, atol=1e-5)


def test_no_gradient_pulls_at_the_scale_or_the_offset_of_a_batch():
    normalizer, x = LatentNormalizer(3).train(), noise(2, 3, 1, 10, scale=1).requires_grad_()
    (normalizer(x) * noise(2, 3, 1, 10, seed=1)).sum().backward()
    size = x.grad.norm() * x.detach().norm()
    assert size > 0.1
    assert x.grad.sum(dim=(0, 2, 3)).abs().max() < 1e-4 * size
    assert (x.grad * x.detach()).sum().abs() < 1e-4 * size


def test_a_gradient_passes_the_normalizer_in_its_own_direction_otherwise():
    normalizer, x = LatentNormalizer(3).train(), noise(16, 3, 1, 50, scale=1).requires_grad_()
    weight = noise(16, 3, 1, 50, seed=1)
    (normalizer(x) * weight).sum().backward()
    assert torch.cosine_similarity(x.grad.flatten(), weight.flatten(), dim=0) > 0.95
