"""Small random checkpoints of published families, with the files, names of weights and tokenizers that these have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BLOCKS_V1 = ["<unk>", "<pad>", "<mask>", "<cls>"]
BLOCKS_V2 = [*BLOCKS_V1, "<eos>", "<bos>"]
BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def kmers(k: int) -> list[str]:
    """In the order of DNABERT and the Nucleotide Transformer."""
    return [""] if k == 0 else [first + rest for first in "ATCG" for rest in kmers(k - 1)]


def write_json(folder: Path, name: str, value: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(value, indent=2))


def shaken(make: Callable[[], Any], seed: int = 0) -> Any:
    """A network with weights that matter."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make().eval()
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if not name.endswith((".z", ".freq")):
                    parameter.add_(0.1 * torch.randn(parameter.shape))
    return network


def save_esm_tokenizer(folder: Path, special: list[str], limit: int) -> None:
    """`vocab.txt` of 6-mers for EsmTokenizer, as InstaDeep's repositories have it."""
    (folder / "vocab.txt").write_text("\n".join([*special, *kmers(6), *"ATCGN"]))
    names = {"cls_token": "<cls>", "mask_token": "<mask>", "pad_token": "<pad>", "unk_token": "<unk>"}
    write_json(folder, "special_tokens_map.json", names)
    config = {"clean_up_tokenization_spaces": True, "eos_token": None, "model_max_length": limit}
    write_json(folder, "tokenizer_config.json", {**config, "tokenizer_class": "EsmTokenizer"})


def save_bpe(folder: Path, special: list[str], *, vocabulary: int, template: str) -> None:
    """A byte-pair tokenizer of random DNA, as one `tokenizer.json`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    rng = np.random.default_rng(0)
    text = ["".join(rng.choice(list("ACGT"), 400, p=[0.3, 0.2, 0.2, 0.3])) for _ in range(60)]
    names = {token.strip("[]").lower(): token for token in special}
    tokenizer = Tokenizer(models.BPE(unk_token=names["unk"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(
        text, trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=special, show_progress=False)
    )
    ends = [(token, special.index(token)) for token in special if token in template]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=ends)
    known = {f"{name}_token": token for name, token in names.items() if name in ("unk", "cls", "sep", "pad", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **known).save_pretrained(folder)


def nucleotide_transformer_v1(folder: Path) -> None:
    from transformers import EsmConfig, EsmForMaskedLM

    config = EsmConfig(
        vocab_size=4105, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=1002, pad_token_id=1, mask_token_id=2, position_embedding_type="absolute",
        token_dropout=True, emb_layer_norm_before=False, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        tie_word_embeddings=False,
    )  # fmt: skip
    shaken(lambda: EsmForMaskedLM(config)).save_pretrained(folder)
    save_esm_tokenizer(folder, BLOCKS_V1, 1000)


def nucleotide_transformer_v2(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from glmbench.networks.nucleotide_transformer import NucleotideTransformerForMaskedLM
    from glmbench.networks.nucleotide_transformer_config import NucleotideTransformerConfig

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    network = shaken(lambda: NucleotideTransformerForMaskedLM(NucleotideTransformerConfig(**sizes)))
    weights = dict(network.state_dict())
    weights["esm.embeddings.position_embeddings.weight"] = torch.zeros(2050, 32)
    weights["esm.contact_head.regression.weight"] = torch.zeros(1, 8)
    weights["esm.contact_head.regression.bias"] = torch.zeros(1)
    for layer in range(2):
        weights[f"esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq"] = torch.zeros(4)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder, "config.json", {
        "add_bias_fnn": False, "architectures": ["EsmForMaskedLM"], "attention_probs_dropout_prob": 0.0,
        "auto_map": {"AutoConfig": "esm_config.EsmConfig", "AutoModelForMaskedLM": "modeling_esm.EsmForMaskedLM"},
        "emb_layer_norm_before": False, "hidden_dropout_prob": 0.0, "is_folding_model": False, "layer_norm_eps": 1e-12,
        "mask_token_id": 2, "max_position_embeddings": 2050, "pad_token_id": 1, "position_embedding_type": "rotary",
        "tie_word_embeddings": False, "token_dropout": False, "vocab_size": 4107, **sizes,
    })  # fmt: skip
    save_esm_tokenizer(folder, BLOCKS_V2, 2048)


def dnabert(folder: Path, k: int) -> None:
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=4**k + 5, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    shaken(lambda: BertForMaskedLM(config)).save_pretrained(folder)
    # what the repositories say besides: code for inputs of several windows, which plain BERT's weights do not need
    stated = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "configuration_bert.BertConfig", "AutoModel": "dnabert_layer.BertModel"}
    write_json(folder, "config.json", {**stated, "auto_map": own, "num_rnn_layer": 1, "rnn": "lstm", "split": 10})
    (folder / "vocab.txt").write_text("\n".join([*BERT_SPECIAL, *kmers(k)]) + "\n")
    write_json(folder, "tokenizer_config.json", {"do_lower_case": False, "tokenizer_class": "BertTokenizer"})


def grover(folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertForMaskedLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    network = shaken(lambda: BertForMaskedLM(BertConfig(vocab_size=300, **sizes)))
    network.config.architectures = ["BertForMaskedLM"]
    network.config.save_pretrained(folder)
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    save_bpe(folder, ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"], vocabulary=300, template="[CLS] $A [SEP]")


def _mistral_tokenizer(folder: Path) -> None:
    save_bpe(folder, ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"], vocabulary=200, template="[CLS] $A [SEP]")


def _mixtral_config(**more: Any) -> Any:
    from transformers import MixtralConfig

    return MixtralConfig(
        vocab_size=200, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, num_local_experts=4, num_experts_per_tok=1, max_position_embeddings=512, bos_token_id=1,
        eos_token_id=2, **more,
    )  # fmt: skip


def mistral_dna(folder: Path) -> None:
    from transformers import MixtralForCausalLM

    shaken(lambda: MixtralForCausalLM(_mixtral_config())).save_pretrained(folder)
    _mistral_tokenizer(folder)


def mistral_dna_classifier(folder: Path) -> None:
    from transformers import MixtralForSequenceClassification

    config = _mixtral_config(num_labels=3, pad_token_id=3)
    shaken(lambda: MixtralForSequenceClassification(config)).save_pretrained(folder)
    _mistral_tokenizer(folder)


def mistral_7b_kind(folder: Path) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=200, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512,
    )  # fmt: skip
    shaken(lambda: MistralForCausalLM(config)).save_pretrained(folder)
    _mistral_tokenizer(folder)


def gena_bigbird(folder: Path) -> None:
    from transformers import BigBirdConfig, BigBirdForMaskedLM

    config = BigBirdConfig(
        vocab_size=200, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=512, attention_type="block_sparse", block_size=16, num_random_blocks=1, pad_token_id=3,
        bos_token_id=1, eos_token_id=2, sep_token_id=2,
    )  # fmt: skip
    shaken(lambda: BigBirdForMaskedLM(config)).save_pretrained(folder)
    save_bpe(folder, ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"], vocabulary=200, template="[CLS] $A [SEP]")


def t5(folder: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=200, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, dropout_rate=0.0)
    shaken(lambda: T5ForConditionalGeneration(config)).save_pretrained(folder)
    save_bpe(folder, ["[UNK]", "[SEP]", "[PAD]", "[MASK]"], vocabulary=200, template="$A [SEP]")


def hyenadna(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from glmbench.networks.hyenadna import HyenaDNAForCausalLM
    from glmbench.networks.hyenadna_config import HyenaDNAConfig

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "max_position_embeddings": 258}
    network = shaken(lambda: HyenaDNAForCausalLM(HyenaDNAConfig(**sizes, embed_dropout=0.0)))
    weights = dict(network.state_dict())
    for layer in range(2):
        place = f"hyena.backbone.layers.{layer}.mixer.filter_fn"
        weights[f"{place}.pos_emb.t"] = torch.linspace(0, 1, 258)[None, :, None]
        weights[f"{place}.modulation.deltas"] = torch.zeros(1, 1, 32)
        weights[f"{place}.implicit_filter.3.freq"] = weights[f"{place}.implicit_filter.1.freq"].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    own = {
        "AutoConfig": "configuration_hyena.HyenaConfig",
        "AutoModelForCausalLM": "modeling_hyena.HyenaDNAForCausalLM",
    }
    write_json(folder, "config.json", {
        "activation_freq": 10, "architectures": ["HyenaDNAForCausalLM"], "auto_map": own, "d_inner": 64, "d_model": 32,
        "emb_dim": 5, "embed_dropout": 0.1, "filter_order": 64, "hyena_order": 2, "layer_norm_epsilon": 1e-05,
        "max_seq_len": 258, "model_type": "hyenadna", "n_layer": 2, "num_inner_mlps": 2, "pad_token_id": 4,
        "pad_vocab_size_multiple": 8, "short_filter_order": 3, "tie_word_embeddings": False, "train_freq": True,
        "use_bias": True, "vocab_size": 12,
    })  # fmt: skip
    code = {"AutoTokenizer": ["tokenization_hyena.HyenaDNATokenizer", None]}
    write_json(folder, "tokenizer_config.json", {"auto_map": code, "model_max_length": 258, "padding_side": "left"})


def gpn(folder: Path) -> None:
    import torch
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from glmbench.networks.gpn import GPNForMaskedLM
    from glmbench.networks.gpn_config import GPNConfig

    network = shaken(lambda: GPNForMaskedLM(GPNConfig(hidden_size=32, num_hidden_layers=3)))
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    write_json(folder, "config.json", {
        "architectures": ["ConvNetForMaskedLM"], "dilation_cycle": 6, "dilation_double_every": 1, "dilation_max": 32,
        "hidden_size": 32, "initializer_range": 0.02, "kernel_size": 9, "model_type": "ConvNet", "n_layers": 3,
        "vocab_size": 7,
    })  # fmt: skip
    vocabulary = {token: index for index, token in enumerate(["[PAD]", "[MASK]", "[UNK]", *"acgt"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    names = {"pad_token": "[PAD]", "mask_token": "[MASK]", "unk_token": "[UNK]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
