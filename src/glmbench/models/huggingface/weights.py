"""From a checkpoint to a frozen network whose every weight comes from the checkpoint, or to its random twin.

A network is loaded by the first of these that there is: the checkpoint's own code, where the user allowed it (a family
of ours needs `?code=own` besides); a network of ours, for `families`; transformers' class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from glmbench.errors import DataError, Unsupported, UsageError
from glmbench.models.huggingface.checkpoint import Checkpoint, code_refusal
from glmbench.models.huggingface.families import known_families, recognise
from glmbench.models.huggingface.network import LoadedNetwork
from glmbench.models.huggingface.roles import (
    NetworkClass,
    Report,
    classes,
    classifier_maker,
    from_pretrained_arguments,
    is_decoder,
    stated_role,
)
from glmbench.models.huggingface.weight_files import reading, weight_names
from glmbench.networks.quiet import quiet

if TYPE_CHECKING:
    from torch import nn

    from glmbench.models.huggingface.families.family import Family, Role

_OWN_CODE = "transformers_modules"
"""The package that transformers imports checkpoints' own code into."""


def native_family(checkpoint: Checkpoint) -> Family | None:
    """The family whose network of ours runs this checkpoint; None for others, and with `?code=own`."""
    return None if checkpoint.code == "own" else recognise(checkpoint.read_json("config.json"))


def read_config(checkpoint: Checkpoint, reference: str) -> Any:
    """The configuration: transformers', or ours for a checkpoint of `families`.

    Raises:
        UsageError: the architecture is the checkpoint's own code, which may not run.
        DataError: transformers does not know the architecture.
    """
    from transformers import AutoConfig

    family = native_family(checkpoint)
    if family is not None:
        return family.make_config(checkpoint.read_json("config.json"))
    try:
        with quiet():
            return AutoConfig.from_pretrained(checkpoint.folder, **from_pretrained_arguments(checkpoint))
    except (ValueError, OSError, KeyError, ImportError) as error:
        if checkpoint.own_code() and not checkpoint.trust_remote_code:
            raise UsageError(code_refusal(checkpoint, reference)) from None
        raise DataError(
            f"{reference}: transformers cannot read {checkpoint.folder / 'config.json'}: {error}"
        ) from error


def read_tokenizer(checkpoint: Checkpoint, reference: str) -> Any:
    """The tokenizer.

    Raises:
        UsageError: it is the checkpoint's own code, which may not run.
        DataError: transformers cannot read it.
    """
    from transformers import AutoTokenizer

    family = native_family(checkpoint)
    if family is not None and family.make_tokenizer is not None and not checkpoint.files(("tokenizer.json",)):
        return family.make_tokenizer(checkpoint.read_json("tokenizer_config.json"))
    if (
        "AutoTokenizer" in checkpoint.own_code()
        and not checkpoint.trust_remote_code
        and not checkpoint.files(("tokenizer.json",))
    ):
        raise UsageError(code_refusal(checkpoint, reference))
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(checkpoint.folder, **from_pretrained_arguments(checkpoint))
    except Exception as error:  # tokenizers raises bare Exceptions for a broken tokenizer.json
        raise DataError(
            f"{reference}: transformers cannot read the tokenizer in {checkpoint.folder}: {error}"
        ) from error


def load_network(checkpoint: Checkpoint, config: Any, reference: str) -> LoadedNetwork:
    """The network with the head that the checkpoint has: in float32, in evaluation mode, without gradients, on the CPU.

    The head is what `architectures` in config.json says, if its weights are there, else one whose weights are there.
    Weights are read from safetensors, or by `torch.load(weights_only=True)`, which runs no code of the file.

    Raises:
        DataError: the file is truncated, holds pickled code, or is of another architecture than the configuration says:
            weights of the body or of the head are missing, left over, or of another shape.
        Unsupported: there is an adapter beside the weights.
    """
    return _with_classifier(_load(checkpoint, config, reference), checkpoint, config)


def _load(checkpoint: Checkpoint, config: Any, reference: str) -> LoadedNetwork:
    from glmbench.models.huggingface.assembly import assemble
    from glmbench.models.huggingface.keys import check_keys

    where = f"{reference}: {checkpoint.folder}"
    if checkpoint.files(("adapter_config.json",)):  # transformers would follow or leave it, by what else is installed
        raise Unsupported(
            f"{where}: there is an adapter (adapter_config.json) beside the weights; merge it with peft's "
            "merge_and_unload, save the whole network, and load that, or remove adapter_* to load the weights alone"
        )
    available = classes(checkpoint, config, native_family(checkpoint))
    stated = stated_role(checkpoint, available)
    network, report = available[stated].load(where)
    advice = _advice(checkpoint, reference, report)
    check_keys(network, report, where, advice, head=False)
    role, network, report = _settled(stated, network, report, available, lambda other: available[other].load(where))
    if role != "states":
        check_keys(network, report, where, advice, head=True)
    return assemble(network, role)


def random_network(checkpoint: Checkpoint, config: Any, seed: int) -> LoadedNetwork:
    """The architecture of `load_network`, initialised by its own rule from `seed`; leaves torch's generator alone.

    Of a folder with weights it has the head that their names tell, else, as of a hub id and of networks by code of
    their own, the one that `architectures` in config.json says.
    """
    import torch

    from glmbench.models.huggingface.assembly import assemble

    available = classes(checkpoint, config, native_family(checkpoint))
    role = stated_role(checkpoint, available)
    if checkpoint.weights and checkpoint.hub_id is None and not checkpoint.trust_remote_code:
        role = _role_of_names(checkpoint, available, role)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the processor's alone: fresh weights are drawn there
        network = available[role].make()
    return _with_classifier(assemble(network, role), checkpoint, config)


def _with_classifier(network: LoadedNetwork, checkpoint: Checkpoint, config: Any) -> LoadedNetwork:
    """The network, and how one with a classification head is made of its architecture."""
    family = native_family(checkpoint)
    decoder = is_decoder(checkpoint, config, family)
    return replace(network, decoder=decoder, make_classifier=classifier_maker(checkpoint, config, family))


def _role_of_names(checkpoint: Checkpoint, available: Mapping[Role, NetworkClass], stated: Role) -> Role:
    """The role that `load_network` finds, by names and shapes of the weights; as stated where they do not fit."""
    where = str(checkpoint.folder)
    try:
        with reading(where):
            names = weight_names(checkpoint)
        network, report = available[stated].fit(where, names)
        return _settled(stated, network, report, available, lambda other: available[other].fit(where, names))[0]
    except DataError:  # a twin has no weights of the file, so that what is wrong with them is no matter
        return stated


def _settled(
    stated: Role,
    network: nn.Module,
    report: Report,
    available: Mapping[Role, NetworkClass],
    load: Callable[[Role], tuple[nn.Module, Report]],
) -> tuple[Role, nn.Module, Report]:
    """The stated role, if weights of its head are there, else one whose weights are there, else that of states."""
    from glmbench.models.huggingface.keys import head_weights, left_over

    there, missing = head_weights(network, report)
    if stated != "states" and (there or not missing):
        return stated, network, report
    others: tuple[Role, ...] = ("masked", "causal") if left_over(report) else ()  # a classifier says that it is one
    for role in others:
        if role == stated or role not in available:
            continue
        headed, its_report = load(role)
        there, missing = head_weights(headed, its_report)
        if there and not missing:
            return role, headed, its_report
    return "states", network, report


def implementation(network: LoadedNetwork, tokenizer: Any, config: Any) -> list[Any]:
    """What runs the files, for a fingerprint: the network's module and class, and whether any code is the checkpoint's.

    Modules of a checkpoint's own code count by their last name: the rest is where transformers happened to copy them.
    """
    wholes = (network.classifier, network.flanks, getattr(network.head, "network", None))
    whole = next((part for part in wholes if part is not None), network.body)
    owners = [type(part).__module__ for part in (whole, network.body, tokenizer, config)]
    remote = any(owner.startswith(f"{_OWN_CODE}.") for owner in owners)
    module = owners[0].rpartition(".")[2] if owners[0].startswith(f"{_OWN_CODE}.") else owners[0]
    return [module, type(whole).__qualname__, remote]


def _advice(checkpoint: Checkpoint, reference: str, report: Report) -> str:
    """What to do about weights that do not fit."""
    if native_family(checkpoint) is not None and checkpoint.own_code():
        return "config.json and weights are of different models; or run the checkpoint's own code with ?code=own"
    for family in known_families():
        part, field = family.sign or ("", "")
        if part and any(part in name for name in report.unexpected):
            return f"the weights are {family.name}'s: put {field} back into config.json, and they are loaded natively"
    if checkpoint.own_code() and not checkpoint.trust_remote_code:
        return code_refusal(checkpoint, reference)
    return "config.json and weights are of different models"
