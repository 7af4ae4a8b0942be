"""From a reference to a model of the class that fits its head: `hf:PATH-or-hub-id[@revision][?key=value&…]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glmbench.models.huggingface.checkpoint import locate
from glmbench.models.huggingface.checkpoint_card import describe
from glmbench.models.huggingface.encoder import EMBEDDING_VERSION, HuggingFaceModel, Settings
from glmbench.models.huggingface.weights import implementation, load_network, read_config, read_tokenizer
from glmbench.models.model import ModelCard
from glmbench.models.reference import ModelReference, Options
from glmbench.storage.hashing import sha256_json

if TYPE_CHECKING:
    from glmbench.models.huggingface.network import LoadedNetwork


def load_huggingface(
    reference: ModelReference, *, trust_remote_code: bool = False, offline: bool = False
) -> HuggingFaceModel:
    """The model of an `hf:` reference.

    Raises:
        UsageError: unknown option, no such folder, or code that may not run.
        MissingData: the hub has no such model, or is out of reach and the model is not cached.
        DataError: the files are broken or of different models.
        Unsupported: the device has no such precision.
    """
    options = Options(reference)
    settings = Settings.take(options)
    options.finish()
    text = str(reference)
    checkpoint = locate(reference, trust_remote_code=trust_remote_code, offline=offline)
    config = read_config(checkpoint, text)
    tokenizer = read_tokenizer(checkpoint, text)
    network = load_network(checkpoint, config, text)
    code = implementation(network, tokenizer, config)
    fingerprint = sha256_json(["hf", checkpoint.content_hash(), code, EMBEDDING_VERSION])
    return make_model(network, tokenizer, config, settings, describe(checkpoint, reference, fingerprint))


def make_model(
    network: LoadedNetwork, tokenizer: Any, config: Any, settings: Settings, card: ModelCard
) -> HuggingFaceModel:
    """A model with the capabilities that the head of the network gives it."""
    if network.classifier is not None:
        from glmbench.models.huggingface.classifier import Classifier

        return Classifier(network, tokenizer, config, settings, card)
    from glmbench.models.huggingface.language_models import language_model_class

    return language_model_class(network, tokenizer, settings)(network, tokenizer, config, settings, card)
