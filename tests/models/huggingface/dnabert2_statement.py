"""DNABERT-2 written out from its specification alone: dense bias, padded rows, plain products, released names."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

CONFIG: dict[str, Any] = {
    "_name_or_path": "zhihan1996/DNABERT-2-117M",
    "alibi_starting_size": 512,
    "architectures": ["BertForMaskedLM"],
    "attention_probs_dropout_prob": 0.0,
    "auto_map": {
        "AutoConfig": "configuration_bert.BertConfig",
        "AutoModel": "bert_layers.BertModel",
        "AutoModelForMaskedLM": "bert_layers.BertForMaskedLM",
        "AutoModelForSequenceClassification": "bert_layers.BertForSequenceClassification",
    },
    "classifier_dropout": None,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "torch_dtype": "float32",
    "transformers_version": "4.28.0",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": 4096,
}
"""The released `config.json`."""


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every weight of the released file; the decoder is saved beside the embedding that it is tied to."""
    dim, wide = config["hidden_size"], config["intermediate_size"]
    found: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (config["vocab_size"], dim),
        "bert.embeddings.token_type_embeddings.weight": (2, dim),
        "cls.predictions.transform.dense.weight": (dim, dim),
        "cls.predictions.transform.dense.bias": (dim,),
        "cls.predictions.decoder.weight": (config["vocab_size"], dim),
        "cls.predictions.decoder.bias": (config["vocab_size"],),
    }
    norms = ["bert.embeddings.LayerNorm", "cls.predictions.transform.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        at = f"bert.encoder.layer.{layer}"
        found |= {
            f"{at}.attention.self.Wqkv.weight": (3 * dim, dim),
            f"{at}.attention.self.Wqkv.bias": (3 * dim,),
            f"{at}.attention.output.dense.weight": (dim, dim),
            f"{at}.attention.output.dense.bias": (dim,),
            f"{at}.mlp.gated_layers.weight": (2 * wide, dim),
            f"{at}.mlp.wo.weight": (dim, wide),
            f"{at}.mlp.wo.bias": (dim,),
        }
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.mlp.layernorm"]
    return found | {f"{norm}.{part}": (dim,) for norm in norms for part in ("weight", "bias")}


def random_weights(config: dict[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """Weights so large that every part matters; the embedding of id 0, [UNK], is 0 as padding indices leave it."""
    generator = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(shape, generator=generator) * 0.15 for name, shape in shapes(config).items()}
    for name in weights:
        if "orm.weight" in name:
            weights[name] = 1 + weights[name]
    weights["bert.embeddings.word_embeddings.weight"][0] = 0
    weights["cls.predictions.decoder.weight"] = weights["bert.embeddings.word_embeddings.weight"].clone()
    return weights


def slopes(heads: int) -> list[float]:
    """m_k = 2^(-8k/n) for a power of two n; else those of the next lower one, and every second of twice that."""
    if math.log2(heads).is_integer():
        return [2 ** (-8 * (k + 1) / heads) for k in range(heads)]
    lower = 2 ** math.floor(math.log2(heads))
    return slopes(lower) + slopes(2 * lower)[0::2][: heads - lower]


def linear(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    out = x @ weights[f"{name}.weight"].T
    return out + weights[f"{name}.bias"] if f"{name}.bias" in weights else out


def norm(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-12)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def states(weights: dict[str, Tensor], config: dict[str, Any], ids: Tensor, mask: Tensor) -> list[Tensor]:
    """States (batch, length, dim) of the embeddings and of every layer."""
    batch, length = ids.shape
    heads, dim = config["num_attention_heads"], config["hidden_size"]
    place = torch.arange(length)
    distance = (place[:, None] - place[None, :]).abs()
    bias = torch.stack([-slope * distance for slope in slopes(heads)])[None]  # (1, heads, length, length)
    bias = bias + (1.0 - mask[:, None, None, :]) * -10000.0
    x = weights["bert.embeddings.word_embeddings.weight"][ids]
    x = x + weights["bert.embeddings.token_type_embeddings.weight"][torch.zeros_like(ids)]
    x = norm(weights, "bert.embeddings.LayerNorm", x)
    found = [x]
    for layer in range(config["num_hidden_layers"]):
        at = f"bert.encoder.layer.{layer}"
        qkv = linear(weights, f"{at}.attention.self.Wqkv", x).view(batch, length, 3, heads, dim // heads)
        q, k, v = (qkv[:, :, part].transpose(1, 2) for part in range(3))
        scores = q @ k.transpose(-1, -2) / math.sqrt(dim // heads) + bias
        mixed = (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(batch, length, dim)
        x = x + linear(weights, f"{at}.attention.output.dense", mixed)
        x = norm(weights, f"{at}.attention.output.LayerNorm", x)
        wide = linear(weights, f"{at}.mlp.gated_layers", x)
        gate, value = wide[..., : wide.shape[-1] // 2], wide[..., wide.shape[-1] // 2 :]
        x = norm(weights, f"{at}.mlp.layernorm", x + linear(weights, f"{at}.mlp.wo", gelu(gate) * value))
        found.append(x)
    return found


def logits(weights: dict[str, Tensor], last: Tensor) -> Tensor:
    """Of the masked language model's head."""
    x = gelu(linear(weights, "cls.predictions.transform.dense", last))
    return linear(weights, "cls.predictions.decoder", norm(weights, "cls.predictions.transform.LayerNorm", x))


def scores(weights: dict[str, Tensor], last: Tensor) -> Tensor:
    """Of the classifier that train.py of the released code fine-tunes: first token, dense, tanh, linear."""
    pooled = torch.tanh(linear(weights, "bert.pooler.dense", last[:, 0]))
    return linear(weights, "classifier", pooled)
