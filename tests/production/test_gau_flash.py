"""What the chapter on GAU and FLASH says of FLASH-pytorch."""

import flash_pytorch
import torch

PAGE = "book/attention/gau-flash.ipynb, section In production"
LIBRARY = f"FLASH-pytorch (0.1.9 on the page): mend the row in {PAGE}"


def unit(**options):
    torch.manual_seed(0)
    made = flash_pytorch.GAU(dim=32, query_key_dim=16, causal=True, add_residual=False, **options).double().eval()
    made.offsetscale.gamma.data.normal_()
    made.to_out[0].bias.data.zero_()
    return made


def test_earlier_outputs_shrink_with_the_square_of_the_length():
    made, x = unit(), torch.randn(1, 48, 32).double()
    alone = made(x[:, :12])
    assert alone.abs().mean() > 1e-4, LIBRARY
    assert torch.allclose(made(x)[:, :12], alone / 16, rtol=1e-9, atol=1e-14), LIBRARY
    mask = torch.arange(48)[None] < 12
    assert torch.allclose(made(x, mask=mask)[:, :12], alone / 16, rtol=1e-9, atol=1e-14), LIBRARY


def test_the_bias_cannot_be_switched_off():
    made, x = unit(rel_pos_bias=False), torch.randn(1, 12, 32).double()
    before = made(x)
    with torch.no_grad():
        made.rel_pos_bias.relative_attention_bias.weight.add_(1)
    assert (made(x) - before).abs().max() > 1e-4, LIBRARY
    assert all(layer.bias is not None for layer in (made.to_hidden[0], made.to_qk[0], made.to_out[0])), LIBRARY


def chunks(causal):
    torch.manual_seed(0)
    made = flash_pytorch.FLASH(dim=32, group_size=8, query_key_dim=16, causal=causal).double().eval()
    made.to_out.bias.data.zero_()
    return made


def only_sums(made):
    """All queries and keys are the same vector, and nothing passes within a chunk."""
    made.qk_offset_scale.gamma.data.zero_()
    made.qk_offset_scale.beta.data.fill_(0.5)
    made.qk_offset_scale.beta.data[[0, 2]] = 0
    made.rel_pos_bias.relative_attention_bias.weight.data.zero_()
    return made


def test_causal_sums_across_chunks_grow_and_others_are_means():
    x = torch.randn(1, 1, 32).double().expand(1, 80, 32)
    of_library = only_sums(chunks(True))
    causal = (of_library(x) - x)[0]
    assert causal[8].abs().mean() > 1e-3, LIBRARY
    for chunk in range(10):
        assert torch.allclose(causal[8 * chunk], chunk * causal[8], rtol=1e-9, atol=1e-12), LIBRARY
    gate_and_values = of_library.to_hidden(of_library.norm(x)).chunk(2, -1)
    score = 16 * 0.5**2
    want = of_library.to_out(gate_and_values[1] * score * gate_and_values[0])[0, 0]  # 8 equal keys, by 1/C = 1/8
    assert torch.allclose(causal[8], want, rtol=1e-9, atol=1e-12), LIBRARY
    both = only_sums(chunks(False))
    assert torch.allclose((both(x) - x)[0, 0], want, rtol=1e-9, atol=1e-12), LIBRARY
    assert torch.allclose((both(x) - x)[0, :40], (both(x[:, :40]) - x[:, :40])[0], rtol=1e-9, atol=1e-12), LIBRARY


def test_the_bias_of_a_chunk_is_not_divided():
    made, x = only_sums(chunks(True)), torch.randn(1, 8, 32).double()
    sizes = []
    for bias in (0.1, 0.2):
        made.rel_pos_bias.relative_attention_bias.weight.data.fill_(bias)
        sizes.append((made(x) - x)[0])
    gate_and_values = made.to_hidden(made.norm(x)).chunk(2, -1)
    weights = torch.full((8, 8), (made.rel_pos_bias.scale * 0.1) ** 2).double().tril()
    want = made.to_out(gate_and_values[1] * (weights @ gate_and_values[0]))[0]
    assert want.abs().mean() > 1e-3 and torch.allclose(sizes[0], want, rtol=1e-6, atol=1e-9), LIBRARY
    assert torch.allclose(sizes[1], 4 * sizes[0], rtol=1e-6), LIBRARY
