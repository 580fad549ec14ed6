"""What the chapter on mixtures of experts says of transformers, and its Mixtral against transformers' own."""

import torch
import transformers
from transformers.models.mixtral import modeling_mixtral as mixtral
from transformers.models.switch_transformers.modeling_switch_transformers import (
    SwitchTransformersSparseMLP,
    SwitchTransformersTop1Router,
)

from lib.course.meters import parameter_count
from lib.sequence.moe import balance_loss, softmax_routing, sparse_mixture

PAGE = "book/language-models/mixture-of-experts.ipynb, section In production"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"


def normal(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def test_mixtral_has_the_parameters_of_the_page():
    config = transformers.MixtralConfig()
    with torch.device("meta"):
        model = mixtral.MixtralForCausalLM(config)
    idle = config.num_local_experts - config.num_experts_per_tok
    expert = 3 * config.hidden_size * config.intermediate_size
    counts = parameter_count(model), parameter_count(model) - config.num_hidden_layers * idle * expert
    assert counts == (46_702_792_704, 12_879_925_248), TRANSFORMERS


def test_mixtral_block_is_lib_s_mixture():
    config = transformers.MixtralConfig(hidden_size=16, intermediate_size=12, num_local_experts=6)
    block = mixtral.MixtralSparseMoeBlock(config).double().requires_grad_(False)
    for i, parameter in enumerate(block.parameters()):
        parameter.copy_(normal(*parameter.shape, dtype=torch.float64).roll(i) / 3)
    x = normal(3, 10, 16, dtype=torch.float64)
    routing = softmax_routing(x.view(30, 16) @ block.gate.weight.T, 2)
    gate, up = block.experts.gate_up_proj.chunk(2, 1)
    matrices = [matrix.mT.contiguous() for matrix in (gate, up, block.experts.down_proj)]
    ours = sparse_mixture(x.view(30, 16), *routing, *matrices)
    want = block(x).view(30, 16)
    assert want.abs().mean() > 0.1
    # its probabilities are float32
    assert (ours - want).abs().max() < 2e-6 * want.abs().max(), TRANSFORMERS


def test_balance_loss_is_k_and_pools_the_layers():
    logits = normal(4000, 8)
    ours = balance_loss(logits.softmax(-1), logits.topk(2).indices)
    theirs = mixtral.load_balancing_loss_func((logits,), 8, 2)
    assert (theirs - 2 * ours).abs() < 1e-5 and (ours - 1).abs() < 0.01, TRANSFORMERS
    collapsed = [torch.full((100, 4), -30.0).index_fill(1, torch.tensor([i]), 30.0) for i in range(4)]
    alone = [mixtral.load_balancing_loss_func((layer,), 4, 1).item() for layer in collapsed]
    together = mixtral.load_balancing_loss_func(tuple(collapsed), 4, 1).item()
    assert min(alone) > 3.99 and abs(together - 1) < 0.01, TRANSFORMERS


def test_the_balance_loss_is_off():
    assert transformers.MixtralConfig().output_router_logits is False, TRANSFORMERS


def switch(**settings):
    torch.manual_seed(0)
    config = transformers.SwitchTransformersConfig(
        d_model=8, d_ff=16, num_experts=4, router_jitter_noise=0.0, dropout_rate=0.0, **settings
    )
    layer = SwitchTransformersSparseMLP(config).eval().requires_grad_(False)
    for parameter in layer.parameters():
        parameter.normal_()
    return layer


def test_capacity_is_a_number_for_each_call():
    assert transformers.SwitchTransformersConfig().expert_capacity == 64, TRANSFORMERS
    layer, token = switch(expert_capacity=3), normal(1, 1, 8)
    together = layer(token.expand(1, 10, 8).contiguous())[0]
    assert (together[:3] != 0).any(-1).all() and (together[3:] == 0).all(), TRANSFORMERS
    pair = layer(token.expand(2, 3, 8).contiguous())
    assert (pair != 0).any(-1).all(), TRANSFORMERS  # each sequence has its own three places
    one_by_one = torch.cat([layer(token.clone())[0] for _ in range(10)])
    assert (one_by_one != 0).any(-1).all(), TRANSFORMERS


def test_padding_takes_places():
    token = normal(1, 1, 8)
    padded = token.expand(1, 6, 8).contiguous()  # the first three stand for padding
    layers = [switch(expert_capacity=3, router_ignore_padding_tokens=ignored) for ignored in (False, True)]
    outputs = [layer(padded.clone())[0] for layer in layers]
    assert torch.equal(*outputs) and (outputs[0][3:] == 0).all(), TRANSFORMERS


def test_a_whole_encoder_gives_places_to_padding():
    torch.manual_seed(0)
    config = transformers.SwitchTransformersConfig(
        vocab_size=20,
        d_model=8,
        d_kv=4,
        d_ff=16,
        num_layers=2,
        num_heads=2,
        num_experts=2,
        num_sparse_encoder_layers=2,
        expert_capacity=1,
        router_ignore_padding_tokens=True,
        pad_token_id=0,
        dropout_rate=0.0,
    )
    model = transformers.SwitchTransformersEncoderModel(config).eval()
    taken = []
    for module in model.modules():
        if isinstance(module, SwitchTransformersTop1Router):
            module.register_forward_hook(lambda module, inputs, outputs: taken.append(outputs[0][0].sum(-1)))
    ids = torch.tensor([[0, 0, 0, 5, 6, 7]])
    with torch.no_grad():
        model(input_ids=ids, attention_mask=(ids != 0).long())
    assert taken and all(places[0] == 1 for places in taken), TRANSFORMERS  # the first padding token is served
