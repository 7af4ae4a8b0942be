"""Which classes can hold a checkpoint: for its states alone, and with each kind of head."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from glmbench.models.huggingface.checkpoint import SAFETENSORS, Checkpoint
from glmbench.models.huggingface.families.family import Role
from glmbench.models.huggingface.weight_files import read_weights, reading
from glmbench.networks.quiet import quiet

if TYPE_CHECKING:
    from torch import Tensor, nn

    from glmbench.models.huggingface.families.family import Family

AUTO_CLASSES: dict[Role, str] = {
    "states": "AutoModel",
    "masked": "AutoModelForMaskedLM",
    "causal": "AutoModelForCausalLM",
    "classifier": "AutoModelForSequenceClassification",
    "flanks": "AutoModelForPreTraining",
}
_ENDINGS: tuple[tuple[str, Role], ...] = (
    ("ForSequenceClassification", "classifier"),
    ("ForCausalLM", "causal"),
    ("LMHeadModel", "causal"),
    ("ForMaskedLM", "masked"),
    ("ForPreTraining", "masked"),
    ("ForPretraining", "masked"),
    ("ForBasePrediction", "flanks"),
)
"""What the names in `architectures` end with. BERT's `ForPreTraining` has the masked head and one more;
GENA-LM spells it otherwise."""


@dataclass(frozen=True)
class Report:
    """How the weights of a file fitted a network.

    Attributes:
        missing: weights of the network that the file lacks (tied ones are none).
        unexpected: weights of the file that the network has no place for.
        mismatched: name, shape in the file and shape in the network.
    """

    missing: frozenset[str]
    unexpected: frozenset[str]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]


@dataclass(frozen=True)
class NetworkClass:
    """A class for a checkpoint.

    Attributes:
        load: the network filled with the checkpoint's weights; it is given the place, for its errors.
        fit: the network filled with other weights of these names, in place of the checkpoint's.
        make: a fresh network.
    """

    load: Callable[[str], tuple[nn.Module, Report]]
    fit: Callable[[str, Mapping[str, Tensor]], tuple[nn.Module, Report]]
    make: Callable[[], nn.Module]


def classes(checkpoint: Checkpoint, config: Any, family: Family | None) -> dict[Role, NetworkClass]:
    """The class for each role that there is; always one for `states`."""
    if family is not None:
        return {role: _native(checkpoint, config, family, place) for role, place in family.networks.items()}
    own = checkpoint.own_code() if checkpoint.trust_remote_code else {}
    found = {role: auto for role in AUTO_CLASSES if (auto := _auto_class(role, own, config)) is not None}
    if "states" not in found:
        found = {"states": next(iter(found.values()), _named("AutoModel")), **found}
    return {role: _of_transformers(checkpoint, config, auto) for role, auto in found.items()}


def is_decoder(checkpoint: Checkpoint, config: Any, family: Family | None) -> bool:
    """Whether an architecture has a head for the next token and none for a masked one."""
    available = classes(checkpoint, config, family)
    return "causal" in available and "masked" not in available


def classifier_maker(checkpoint: Checkpoint, config: Any, family: Family | None) -> Callable[[int], nn.Module] | None:
    """Makes a fresh network with a classification head of so many outputs; None where there is no class for it.

    None for decoders as well: transformers finds their last token by an id of padding, which may stand for bases.
    """
    if "classifier" not in classes(checkpoint, config, family) or is_decoder(checkpoint, config, family):
        return None

    def make(outputs: int) -> nn.Module:
        headed = copy.deepcopy(config)
        headed.num_labels = outputs
        if _is_plain_bert(checkpoint, config):
            from glmbench.networks.bert import BertForSequenceClassification

            return cast("nn.Module", BertForSequenceClassification(headed))
        return classes(checkpoint, headed, family)["classifier"].make()

    return make


def _is_plain_bert(checkpoint: Checkpoint, config: Any) -> bool:
    """Whether it is transformers' BERT with its positions in a table, which we compute without padding."""
    from transformers import BertConfig

    positions = getattr(config, "position_embedding_type", None) or "absolute"
    return type(config) is BertConfig and positions == "absolute" and not checkpoint.trust_remote_code


def stated_role(checkpoint: Checkpoint, available: Mapping[Role, NetworkClass]) -> Role:
    """What `architectures` in config.json says that the checkpoint is; `states` where it does not, or none can be."""
    for name in checkpoint.read_json("config.json").get("architectures") or ():
        for ending, role in _ENDINGS:
            if str(name).endswith(ending) and role in available:
                return role
    return "states"


def from_pretrained_arguments(checkpoint: Checkpoint) -> dict[str, Any]:
    """What every `from_pretrained` of transformers is told: to open no socket, and whose code may run."""
    arguments: dict[str, Any] = {"local_files_only": True, "trust_remote_code": checkpoint.trust_remote_code}
    if checkpoint.trust_remote_code and checkpoint.revision:
        arguments["code_revision"] = checkpoint.revision
    return arguments


def _auto_class(role: Role, own: Mapping[str, str], config: Any) -> Any:
    """The Auto class for a role; None where it has nothing for this architecture."""
    name = AUTO_CLASSES[role]
    if any(auto in own for auto in AUTO_CLASSES.values()):  # else a stock configuration would lead to stock code
        return _named(name) if name in own else None
    if getattr(config, "is_encoder_decoder", False) and role != "states":
        return None  # heads of these stand on the decoder
    if role == "states":
        # It has the encoder halves of T5 and its kin; AutoModel would want a decoder's weights as well.
        encoders = _named("AutoModelForTextEncoding")
        if _knows(encoders, config):
            return encoders
    auto = _named(name)
    return auto if _knows(auto, config) else None


def _named(name: str) -> Any:
    return getattr(import_module("transformers"), name)


def _knows(auto: Any, config: Any) -> bool:
    return type(config) in auto._model_mapping


def _of_transformers(checkpoint: Checkpoint, config: Any, auto: Any) -> NetworkClass:
    arguments = from_pretrained_arguments(checkpoint)

    def load(where: str) -> tuple[nn.Module, Report]:
        kind = {"use_safetensors": bool(checkpoint.files(SAFETENSORS)), "weights_only": True}
        return _loaded(auto, checkpoint.folder, where, config=config, **kind, **arguments)

    def fit(where: str, weights: Mapping[str, Tensor]) -> tuple[nn.Module, Report]:
        import torch

        with torch.device("meta"):
            network_class = type(make())  # an Auto class wants a folder
        return _loaded(network_class, None, where, config=copy.deepcopy(config), state_dict=dict(weights))

    def make() -> nn.Module:
        import torch

        fresh = {key: value for key, value in arguments.items() if key != "local_files_only"}
        # a copy, because encoder halves note in it that they are no encoder and decoder
        return cast("nn.Module", auto.from_config(copy.deepcopy(config), dtype=torch.float32, **fresh))

    return NetworkClass(load, fit, make)


def _native(checkpoint: Checkpoint, config: Any, family: Family, place: str) -> NetworkClass:
    def network_class() -> Any:
        module, _, name = place.partition(":")
        return getattr(import_module(module), name)

    def load(where: str) -> tuple[nn.Module, Report]:
        with reading(where):
            released = read_weights(checkpoint)
        return fit(where, released)

    def fit(where: str, weights: Mapping[str, Tensor]) -> tuple[nn.Module, Report]:
        names = {name: family.rename(name) for name in weights}
        renamed = {ours: weights[name] for name, ours in names.items() if ours is not None}
        return _loaded(network_class(), None, where, config=config, state_dict=renamed)

    return NetworkClass(load, fit, lambda: cast("nn.Module", network_class()(config)))


def _loaded(network_class: Any, folder: Any, where: str, **arguments: Any) -> tuple[nn.Module, Report]:
    import torch

    with quiet(), reading(where):
        network, info = network_class.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True, **arguments
        )
    mismatched = tuple(sorted((name, tuple(got), tuple(wanted)) for name, got, wanted in info["mismatched_keys"]))
    return network, Report(frozenset(info["missing_keys"]), frozenset(info["unexpected_keys"]), mismatched)
