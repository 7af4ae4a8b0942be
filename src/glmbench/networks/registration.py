"""Our architectures in transformers' Auto classes, entered when those are imported: `import glmbench` imports neither.

A finder waits for the two modules in which transformers keeps its tables of configurations and of networks. It does not
derive from `importlib.abc`, whose import would take half the time of `glmbench --help`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_CONFIGS = "transformers.models.auto.configuration_auto"
_NETWORKS = "transformers.models.auto.modeling_auto"

_HOME = "glmbench.networks"
_OURS: dict[str, dict[str, str]] = {
    "dnabert2_config:DNABERT2Config": {
        "AutoModel": "dnabert2:DNABERT2Model",
        "AutoModelForMaskedLM": "dnabert2:DNABERT2ForMaskedLM",
        "AutoModelForSequenceClassification": "dnabert2:DNABERT2ForSequenceClassification",
    },
    "modern_config:ModernConfig": {
        "AutoModel": "modern:ModernModel",
        "AutoModelForMaskedLM": "modern:ModernForMaskedLM",
        "AutoModelForSequenceClassification": "modern:ModernForSequenceClassification",
    },
    "nucleotide_transformer_config:NucleotideTransformerConfig": {
        "AutoModel": "nucleotide_transformer:NucleotideTransformerModel",
        "AutoModelForMaskedLM": "nucleotide_transformer:NucleotideTransformerForMaskedLM",
        "AutoModelForSequenceClassification": ("nucleotide_transformer:NucleotideTransformerForSequenceClassification"),
    },
    "hyenadna_config:HyenaDNAConfig": {
        "AutoModel": "hyenadna:HyenaDNAModel",
        "AutoModelForCausalLM": "hyenadna:HyenaDNAForCausalLM",
        "AutoModelForSequenceClassification": "hyenadna:HyenaDNAForSequenceClassification",
    },
    "gpn_config:GPNConfig": {"AutoModel": "gpn:GPNModel", "AutoModelForMaskedLM": "gpn:GPNForMaskedLM"},
    "prenorm_bert_config:PrenormBertConfig": {
        "AutoModel": "prenorm_bert:PrenormBertModel",
        "AutoModelForMaskedLM": "prenorm_bert:PrenormBertForMaskedLM",
        "AutoModelForSequenceClassification": "prenorm_bert:PrenormBertForSequenceClassification",
    },
    "genomenet_config:GenomeNetConfig": {
        "AutoModel": "genomenet:GenomeNetModel",
        "AutoModelForPreTraining": "genomenet:GenomeNetForBasePrediction",
    },
}


def register_with_transformers() -> None:
    """Enter our architectures now where transformers is imported, else as soon as it is."""
    for name in (_CONFIGS, _NETWORKS):
        module = sys.modules.get(name)
        if module is not None:
            _enter(module)
    if not any(type(finder).__qualname__ == _Finder.__qualname__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds the two modules as usual, and has them completed once they have run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the import system asks every finder on `sys.meta_path`."""
        if fullname not in (_CONFIGS, _NETWORKS):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Runs a module from its file, then enters our architectures."""

    def exec_module(self, module: ModuleType) -> None:
        """What the import system asks a loader."""
        super().exec_module(module)
        _enter(module)


def _enter(module: ModuleType) -> None:
    for config_name, networks in _OURS.items():
        config = _class(config_name)
        if module.__name__ == _CONFIGS:
            module.AutoConfig.register(config.model_type, config, exist_ok=True)
            continue
        for auto_class, name in networks.items():
            getattr(module, auto_class).register(config, _class(name), exist_ok=True)


def _class(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(f"{_HOME}.{module}"), attribute)
