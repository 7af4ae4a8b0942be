"""Rows together, in whatever way a network is run, are each row alone by transformers' own forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from glmbench.errors import Unsupported
from glmbench.models.huggingface import runner as runner_module
from glmbench.models.huggingface.assembly import assemble
from glmbench.models.huggingface.forwards import EqualRows, Own, Padded, Stock
from glmbench.models.huggingface.network import LoadedNetwork
from glmbench.models.huggingface.runner import Runner
from glmbench.training.precision import Precision

CPU = torch.device("cpu")
SIZES: dict[str, Any] = {
    "vocab_size": 12, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
}  # fmt: skip
MASK = 4
Rows = list[list[int]]


def bert(**changes: Any) -> Any:
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(**SIZES | {"max_position_embeddings": 64} | changes))


def roberta() -> Any:
    from transformers import RobertaConfig, RobertaModel

    return RobertaModel(RobertaConfig(**SIZES, max_position_embeddings=66, pad_token_id=1))


def esm(positions: str = "rotary", *, dropout: bool = False) -> Any:
    from transformers import EsmConfig, EsmModel

    special = {"pad_token_id": 1, "mask_token_id": MASK, "token_dropout": dropout}
    return EsmModel(EsmConfig(**SIZES, **special, max_position_embeddings=66, position_embedding_type=positions))


def gpt2() -> Any:
    from transformers import GPT2Config, GPT2Model

    return GPT2Model(GPT2Config(vocab_size=12, n_embd=32, n_layer=2, n_head=2, n_positions=64, eos_token_id=3))


def mistral() -> Any:
    """Fewer heads for keys and values, and a window that is shorter than the rows."""
    from transformers import MistralConfig, MistralModel

    return MistralModel(MistralConfig(**SIZES, num_key_value_heads=1, sliding_window=5))


def mixtral() -> Any:
    from transformers import MixtralConfig, MixtralModel

    return MixtralModel(MixtralConfig(**SIZES, num_key_value_heads=1, num_local_experts=3, sliding_window=None))


def t5() -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(vocab_size=12, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2))


def modernbert() -> Any:
    """One layer sees all, one 4 tokens to either side."""
    from transformers import ModernBertConfig, ModernBertModel

    special = {f"{name}_token_id": 0 for name in ("pad", "bos", "eos", "cls", "sep")}
    return ModernBertModel(ModernBertConfig(**SIZES, **special, local_attention=8, global_attn_every_n_layers=2))


def gemma2() -> Any:
    """Scores of attention are squashed, which ours does not do."""
    from transformers import Gemma2Config, Gemma2Model

    return Gemma2Model(Gemma2Config(**SIZES, num_key_value_heads=1, head_dim=16))


def dnabert2() -> Any:
    from glmbench.networks.dnabert2 import DNABERT2Model
    from glmbench.networks.dnabert2_config import DNABERT2Config

    return DNABERT2Model(DNABERT2Config(**SIZES))


def modern() -> Any:
    from glmbench.networks.modern import ModernModel
    from glmbench.networks.modern_config import ModernConfig

    return ModernModel(ModernConfig(**SIZES))


NETWORKS: dict[str, tuple[Callable[[], Any], type]] = {
    "bert": (bert, Stock),
    "roberta": (roberta, Stock),
    "esm rotary": (esm, Stock),
    "esm absolute, scaled by masks": (lambda: esm("absolute", dropout=True), Stock),
    "gpt2": (gpt2, Stock),
    "mistral": (mistral, Stock),
    "mixtral": (mixtral, Stock),
    "t5": (t5, Stock),
    "modernbert": (modernbert, Stock),
    "gemma2": (gemma2, Padded),
    "dnabert2": (dnabert2, Own),
    "modern": (modern, Own),
}


@pytest.fixture(scope="module")
def network() -> Callable[[str], nn.Module]:
    """A network by name, with weights so large that every layer and every neighbour matters."""
    made: dict[str, nn.Module] = {}

    def get(name: str) -> nn.Module:
        if name not in made:
            with torch.random.fork_rng(), torch.no_grad():
                torch.manual_seed(0)
                body = NETWORKS[name][0]().eval().requires_grad_(False)
                for parameter in body.parameters():
                    parameter.add_(0.1 * torch.randn(parameter.shape))
            made[name] = body
        return made[name]

    return get


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Rows of 1 to 50 tokens, some of one length, some with masks."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(5, 12, length).tolist() for length in [9, 1, 33, 9, 50, 20, 9, 2]]
    return [*drawn, [5, MASK, 7, 8, MASK, 9], [MASK, 6, 11]]


def make_runner(body: nn.Module, precision: Precision | None = None, **parts: Any) -> Runner:
    return Runner(LoadedNetwork(body, **parts), pad=0, device=CPU, precision=precision or Precision("fp32", "highest"))


def alone(body: Any, row: list[int], layer: int) -> Tensor:
    """States (tokens, dim) of one row by the network's own forward pass."""
    with torch.no_grad():
        output = body(input_ids=torch.tensor([row]), output_hidden_states=True)
    states: Tensor = output.hidden_states[layer][0]
    return states


def row_states(runner: Runner, rows: Rows, layer: int = -1) -> list[Tensor]:
    found: dict[int, Tensor] = {}
    for batch, states, packing in runner.states(rows, layer):
        assert states.dtype == torch.float32
        found |= dict(zip(batch, states.split(packing.lengths), strict=True))
    assert sorted(found) == list(range(len(rows)))
    return [found[index] for index in range(len(rows))]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_rows_together_equal_each_alone(network: Callable[[str], nn.Module], rows: Rows, name: str, layer: int) -> None:
    body = network(name)
    runner = make_runner(body)
    assert type(runner.forward) is NETWORKS[name][1]
    for row, states in zip(rows, row_states(runner, rows, layer), strict=True):
        torch.testing.assert_close(states, alone(body, row, layer), atol=2e-5, rtol=1e-4)
    assert runner.passes == len(rows)


@pytest.mark.parametrize("name", ["bert", "mistral", "t5"])
def test_attention_of_small_products_where_torch_would_prepare_each(
    network: Callable[[str], nn.Module], rows: Rows, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On processors with AVX512-BF16 the products of attention are taken out of oneDNN's hands, in bfloat16 too."""
    exact = row_states(make_runner(network(name)), rows)
    monkeypatch.setattr("glmbench.networks.transformers_attention.small_products_are_slow", lambda x: True)
    for got, wanted in zip(row_states(make_runner(network(name)), rows), exact, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)
    rough = row_states(make_runner(network(name), Precision("bf16", "highest")), rows)
    differences = [float((got - wanted).abs().mean()) for got, wanted in zip(rough, exact, strict=True)]
    assert 0 < max(differences) < 0.05 * float(torch.cat(exact).abs().max())


def test_a_stock_network_is_left_as_it_was(network: Callable[[str], nn.Module], rows: Rows) -> None:
    body: Any = network("t5")
    before = [alone(body, row, -1) for row in rows]
    row_states(make_runner(body), rows)
    assert body.config._attn_implementation == "sdpa"
    assert "compute_bias" not in vars(body.encoder.block[0].layer[0].SelfAttention)
    for row, states in zip(rows, before, strict=True):
        assert torch.equal(alone(body, row, -1), states)


def test_batches_are_full_of_tokens_and_padded_ones_of_padding(
    network: Callable[[str], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "CPU_BATCH_TOKENS", 12)
    rows = [[5] * length for length in (2, 9, 3, 5, 2, 1)]
    packed = [batch for batch, *_ in make_runner(network("bert")).states(rows)]
    assert packed == [[1], [3, 2, 0, 4], [5]]
    in_padding = [batch for batch, *_ in make_runner(network("gemma2")).states(rows)]
    assert in_padding == [[1], [3, 2], [0, 4, 5]]


def test_a_network_without_a_mask_gets_rows_of_one_length() -> None:
    class Means(nn.Module):
        """States are running means, and padding would be in them."""

        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(12, 4)

        def forward(self, input_ids: Tensor) -> tuple[Tensor]:
            x = self.table(input_ids)
            return (x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None] + x.mean(1, keepdim=True),)

    body = Means().requires_grad_(False)
    runner = make_runner(body)
    assert type(runner.forward) is EqualRows
    rows = [[5, 6], [7], [8, 9], [10, 11, 5], [6]]
    assert [batch for batch, *_ in runner.states(rows)] == [[3], [0, 2], [1, 4]]
    for row, states in zip(rows, row_states(runner, rows), strict=True):
        torch.testing.assert_close(states, body(torch.tensor([row]))[0][0])
    with pytest.raises(Unsupported, match="last layer only"):
        row_states(runner, rows, 0)


def test_a_stock_network_with_an_attention_of_its_own_is_padded(rows: Rows) -> None:
    """As code of a checkpoint may have: it would let sequences of one row see each other."""
    from transformers import BertModel

    class Deaf(BertModel):
        def forward(self, input_ids: Any, attention_mask: Any = None, position_ids: Any = None, **options: Any) -> Any:
            self.config._attn_implementation = "eager"
            return super().forward(input_ids, attention_mask, position_ids=position_ids, **options)

    body = Deaf(bert().config).eval().requires_grad_(False)
    runner = make_runner(body)
    assert type(runner.forward) is Padded
    for row, states in zip(rows, row_states(runner, rows), strict=True):
        torch.testing.assert_close(states, alone(body, row, -1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["dnabert2", "modern", "bert"])
def test_logits_are_those_of_the_whole_network_at_the_places_asked(kind: str, rows: Rows) -> None:
    from transformers import BertConfig, BertForMaskedLM

    from glmbench.networks.dnabert2 import DNABERT2ForMaskedLM
    from glmbench.networks.dnabert2_config import DNABERT2Config
    from glmbench.networks.modern import ModernForMaskedLM
    from glmbench.networks.modern_config import ModernConfig

    torch.manual_seed(0)
    whole: Any = {
        "dnabert2": lambda: DNABERT2ForMaskedLM(DNABERT2Config(**SIZES)),
        "modern": lambda: ModernForMaskedLM(ModernConfig(**SIZES)),
        "bert": lambda: BertForMaskedLM(BertConfig(**SIZES)),
    }[kind]()
    whole.eval().requires_grad_(False)
    head = whole.cls if kind == "bert" else assemble(whole, "masked").head
    runner = make_runner(whole.base_model, objective="masked", head=head)
    asked = [[0], [0], [32, 3], [], [49], [1, 2, 3], [8], [1, 0], [1, 4], [0]]
    seen = 0
    for batch, logits in runner.logits(rows, asked):
        wanted = [whole(input_ids=torch.tensor([rows[index]])).logits[0][asked[index]] for index in batch]
        torch.testing.assert_close(logits, torch.cat(wanted), atol=1e-5, rtol=1e-4)
        seen += len(batch)
    assert seen == runner.passes == len(rows)
    with pytest.raises(Unsupported, match="without a language-model head"):
        next(make_runner(whole.base_model).logits(rows, asked))


def test_too_little_memory_makes_batches_smaller_for_good(
    network: Callable[[str], nn.Module], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = network("bert")
    runner = make_runner(body)
    whole = runner.forward.states
    sizes: list[int] = []

    def small(batch: Any, *arguments: Any) -> Tensor:
        sizes.append(sum(map(len, batch)))
        if sizes[-1] > 60:
            raise torch.OutOfMemoryError("out of memory")
        return whole(batch, *arguments)

    monkeypatch.setattr(runner.forward, "states", small)
    for row, states in zip(rows, row_states(runner, rows), strict=True):
        torch.testing.assert_close(states, alone(body, row, -1), atol=1e-5, rtol=1e-4)
    assert [size for size in sizes if size > 60] == [142, 71], "each half of the last"
    assert max(sizes[sizes.index(71) + 1 :]) <= 71 // 2
    assert runner.passes == len(rows)
    with pytest.raises(Unsupported, match=r"a row of 61 tokens does not fit .*precision=bf16"):
        row_states(runner, [[5] * 61])
