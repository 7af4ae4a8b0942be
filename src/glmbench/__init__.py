"""glmbench: pre-train genomic language models and measure what they learned.

The names below are the library's front door; each is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from glmbench.networks.registration import register_with_transformers

if TYPE_CHECKING:
    from glmbench.evaluation.objects import Objects
    from glmbench.evaluation.plan import plan
    from glmbench.evaluation.request import Request
    from glmbench.evaluation.run import run
    from glmbench.evaluation.store import Store
    from glmbench.evaluation.summary import arms
    from glmbench.methods.variant_effect.score import score_variants
    from glmbench.models.callable import from_callable
    from glmbench.models.conformance import check as check_model
    from glmbench.models.registry import load as load_model
    from glmbench.pretraining.pretrain import pretrain
    from glmbench.pretraining.recipe import load as load_recipe
    from glmbench.storage.fetch import Access
    from glmbench.tasks.registry import open_task
    from glmbench.tokenizers.saving import load_tokenizer

__all__ = [
    "Access",
    "Objects",
    "Request",
    "Store",
    "arms",
    "check_model",
    "from_callable",
    "load_model",
    "load_recipe",
    "load_tokenizer",
    "open_task",
    "plan",
    "pretrain",
    "run",
    "score_variants",
]

_HOME = {
    "Access": "storage.fetch:Access",
    "Objects": "evaluation.objects:Objects",
    "Request": "evaluation.request:Request",
    "Store": "evaluation.store:Store",
    "arms": "evaluation.summary:arms",
    "check_model": "models.conformance:check",
    "from_callable": "models.callable:from_callable",
    "load_model": "models.registry:load",
    "load_recipe": "pretraining.recipe:load",
    "load_tokenizer": "tokenizers.saving:load_tokenizer",
    "open_task": "tasks.registry:open_task",
    "pretrain": "pretraining.pretrain:pretrain",
    "plan": "evaluation.plan:plan",
    "run": "evaluation.run:run",
    "score_variants": "methods.variant_effect.score:score_variants",
}

register_with_transformers()


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562), so that `import glmbench` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), attribute)
