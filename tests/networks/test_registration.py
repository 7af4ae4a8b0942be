"""`import glmbench` makes transformers' Auto classes know our networks, and imports nothing heavy itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from glmbench.networks.masked_lm import masked_lm_config, new_masked_lm
from glmbench.networks.sizes import Kind, encoder_sizes

AFTER = """
import sys
import glmbench
heavy = {{"torch", "transformers", "numpy"}} & set(sys.modules)
assert not heavy, heavy
{first}
from transformers import AutoModel, AutoModelForMaskedLM
folder = sys.argv[1]
print(type(AutoModelForMaskedLM.from_pretrained(folder)).__name__, type(AutoModel.from_pretrained(folder)).__name__)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of each of our architectures, with a tokenizer of single bases."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    torch.set_num_threads(1)
    top = tmp_path_factory.mktemp("networks")
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"ACGT"]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")
    kinds: tuple[Kind, ...] = ("dnabert2", "modern", "bert")
    for kind in kinds:
        network = new_masked_lm(masked_lm_config(encoder_sizes(kind, 2, len(names)), pad=0), seed=1)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
        network.save_pretrained(top / kind)
        fast.save_pretrained(top / kind)
    return top


@pytest.mark.parametrize(
    "first", ["", "import glmbench.networks.dnabert2"], ids=["auto classes first", "our module first"]
)
def test_the_auto_classes_know_our_networks_in_a_fresh_process(first: str, folder: Path) -> None:
    program = AFTER.format(first=first)
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder / "dnabert2")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == ["DNABERT2ForMaskedLM", "DNABERT2Model"], done.stderr


@pytest.mark.parametrize("kind", ["dnabert2", "modern"])
def test_every_task_has_its_auto_class(kind: str, folder: Path) -> None:
    from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification

    assert AutoConfig.from_pretrained(folder / kind).model_type == f"glmbench-{kind}"
    ids = torch.tensor([[2, 5, 6, 7, 8, 3]])
    lm = AutoModelForMaskedLM.from_pretrained(folder / kind).eval()
    states = AutoModel.from_pretrained(folder / kind).eval()(ids).last_hidden_state
    assert torch.equal(lm.head(states), lm(ids).logits)
    assert AutoModelForSequenceClassification.from_pretrained(folder / kind, num_labels=3)(ids).logits.shape == (1, 3)


@pytest.mark.parametrize("kind", ["dnabert2", "modern", "bert"])
def test_the_benchmark_reads_the_folder_and_its_random_twin(kind: Kind, folder: Path) -> None:
    from glmbench.models.registry import load

    sequences = ["ACGTACGTTGCA", "ACG", "TTGACA" * 9]
    model, twin = load(f"hf:{folder / kind}"), load(f"random:{folder / kind}")
    embedded = model.embed(sequences)
    assert embedded.shape == (3, 128)
    network = new_masked_lm(masked_lm_config(encoder_sizes(kind, 2, 9), pad=0), seed=0)
    network.load_state_dict(type(network).from_pretrained(folder / kind).state_dict())
    ids = torch.tensor([2, *(5 + "ACGT".index(base) for base in sequences[0]), 3])
    with torch.no_grad():
        states = network.eval()(ids[None], output_hidden_states=True).hidden_states[-1][0, 1:-1].mean(0)
    np.testing.assert_allclose(embedded[0], states.numpy(), atol=1e-5)
    assert np.abs(twin.embed(sequences) - embedded).max() > 0.1
    assert twin.card.parameters == model.card.parameters
    assert model.card.context == (512 if kind == "bert" else None)
    layer = load(f"hf:{folder / kind}?layer=0").embed(sequences)
    assert np.abs(layer - embedded).max() > 0.1


def test_a_stated_context_is_kept_to(folder: Path, tmp_path: Path) -> None:
    from glmbench.errors import Unsupported
    from glmbench.models.registry import load

    network = new_masked_lm(masked_lm_config(encoder_sizes("modern", 1, 9), pad=0, max_position_embeddings=20), seed=1)
    network.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / "modern" / name).read_bytes())
    model = load(f"hf:{tmp_path}")
    assert model.card.context == 20
    with pytest.raises(Unsupported, match="sequence 0 has 19 bp"):
        model.embed(["A" * 19])
    assert load(f"hf:{tmp_path}?max_tokens=64").embed(["A" * 19]).shape == (1, 64)
