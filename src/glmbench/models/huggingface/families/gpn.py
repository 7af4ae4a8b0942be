"""GPN of single sequences: its released files (`ConvNet`) in `networks.gpn`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glmbench.errors import Unsupported
from glmbench.models.huggingface.families.family import Family
from glmbench.models.huggingface.families.fields import check_fields

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_TAKEN = (
    "vocab_size", "hidden_size", "kernel_size", "dilation_base", "dilation_max", "dilation_cycle",
    "dilation_double_every", "initializer_range", "pad_token_id",
)  # fmt: skip


def _make_config(config: Mapping[str, Any]) -> PretrainedConfig:
    from glmbench.networks.gpn_config import GPNConfig

    if config.get("n_aux_features"):
        raise Unsupported(
            f"this GPN reads {config['n_aux_features']} further features of each base (conservation, an alignment); "
            "those of sequences alone run here"
        )
    # of a head for classes, which is not loaded, and of features, of which there are none
    check_fields(config, "GPN", (*_TAKEN, "n_layers", "hidden_act", "aux_features_vocab_size"), {})
    taken = {key: config[key] for key in _TAKEN if config.get(key) is not None}
    return GPNConfig(**taken, num_hidden_layers=int(config.get("n_layers", 25)))


GPN = Family(
    name="GPN",
    recognises=lambda config: config.get("model_type") == "ConvNet",
    make_config=_make_config,
    networks={"states": "glmbench.networks.gpn:GPNModel", "masked": "glmbench.networks.gpn:GPNForMaskedLM"},
    quirks=("the released code has no mask: padding of a batch changes what it gives; here nothing is padded",),
)
