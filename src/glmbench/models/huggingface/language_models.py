"""Language models of transformers as predictors of bases, and as judges of how likely a sequence is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glmbench.models.huggingface.encoder import HuggingFaceModel, Settings
from glmbench.models.huggingface.flank_models import FlankLanguageModel
from glmbench.models.huggingface.token_bases import mask_id, spelled
from glmbench.models.model import ModelCard, Reach

if TYPE_CHECKING:
    from glmbench.models.huggingface.network import LoadedNetwork


class MaskedLanguageModel(HuggingFaceModel):
    """A masked language model: `PredictsBases` with reach `both`, and `ScoresSequences` by pseudo-likelihood.

    The definition is that of the frozen evaluation (`pretraining.base_predictors.MaskedTokens`): every token that
    covers the asked base is masked, one mask a token; the probability of a base is the sum over the tokens that have
    it at its place, normalised over four. Overlapping k-mers: the mean of what the covering tokens give. Tokens that
    depend on the bases (BPE, unigram): the sequence is cut four times, with A, C, G and T in place, each base is asked
    for amid the tokens that it would itself lead to, and the four are normalised.

    Where several bases share a token (6-mers side by side), its other bases are hidden with the asked one
    (`?hide=token`, the default): then models with different tokens are asked the same question, and numbers agree with
    those of the frozen evaluation. With `?hide=base` only the asked base is hidden: p(base) is in proportion to the
    probability of the masked token that has this base and otherwise the bases that are there, which is what single-base
    variants are usually scored by with such models. The two are the same where one token is one base.
    """

    def __init__(
        self, network: LoadedNetwork, tokenizer: Any, config: Any, settings: Settings, card: ModelCard
    ) -> None:
        from glmbench.models.huggingface.masked_bases import MaskedBases

        super().__init__(network, tokenizer, config, settings, card)
        self._bases = MaskedBases(self._reader, self._runner, hidden=settings.hide)

    @property
    def reach(self) -> Reach:
        """`both`."""
        return "both"

    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
        """Log probabilities of hidden bases, float32 (n, 4); see `model.PredictsBases.fill`.

        A sequence beyond the context is refused; with `?overflow=window` as many of its tokens are read as fit, the
        asked base in their middle, or as near to it as the sequence's ends allow.

        Raises:
            Unsupported: a sequence is longer than the context, and `overflow` is not `window`.
            DataError: a position lies outside its sequence, or the network gives what is not finite.
        """
        return self._bases.fill(sequences, positions).astype(np.float32)

    def scan(self, sequences: Sequence[str]) -> list[NDArray[np.float32]]:
        """Log probabilities of all bases from one pass that hides nothing; see `model.PredictsBases.scan`.

        What is said at a token is summed up to bases as in `fill`; overlapping k-mers give their mean. Long sequences
        are read in windows side by side (`?overflow=window`).

        Raises:
            Unsupported: where tokens begin and end depends on the bases; or as `fill`.
        """
        return [log_p.astype(np.float32) for log_p in self._bases.scan(sequences)]

    def log_likelihood(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Pseudo-log-likelihoods in nats, float64 (batch,); see `model.ScoresSequences.log_likelihood`.

        It takes a row a base (four, where tokens depend on the bases).

        Raises:
            Unsupported: as `fill`.
        """
        return self._bases.log_likelihood(sequences)


class CausalLanguageModel(HuggingFaceModel):
    """A causal language model of any tokens: `ScoresSequences`.

    Single bases are asked of `CausalBasePredictor` only: where a token is several bases, those before a base do not
    end where a token ends, and the probability of the next base is a sum over all ways to go on.
    """

    def __init__(
        self, network: LoadedNetwork, tokenizer: Any, config: Any, settings: Settings, card: ModelCard
    ) -> None:
        from glmbench.models.huggingface.causal_bases import CausalBases

        super().__init__(network, tokenizer, config, settings, card)
        self._bases = CausalBases(self._reader, self._runner)

    def log_likelihood(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Log likelihoods in nats, float64 (batch,): sums of log p of each token given those before it.

        What the tokenizer puts before a sequence stands there and is not counted; what it puts after one is left out.
        Where it puts nothing before, the bases of the first token have p = 1/4 each. Tokens of unknown bases count for
        nothing. With `?overflow=window` a sequence beyond the context is read in windows that overlap by half; each
        token is scored in the first window that has it, so with half a context before it at least.

        Raises:
            Unsupported: a sequence is longer than the context, and `overflow` is not `window`.
            DataError: the network gives what is not finite.
        """
        return self._bases.log_likelihood(sequences)


class CausalBasePredictor(CausalLanguageModel):
    """A causal language model whose tokens are single bases: `PredictsBases` with reach `left` as well."""

    @property
    def reach(self) -> Reach:
        """`left`."""
        return "left"

    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
        """Log probabilities of bases given those before, normalised over four, float32 (n, 4).

        All positions of a sequence are answered by one pass over what lies before the last of them. The first base is
        predicted from what the tokenizer puts before a sequence; where that is nothing, all bases have p = 1/4. Long
        sequences are read as in `log_likelihood`.

        Raises:
            Unsupported: a sequence is longer than the context, and `overflow` is not `window`.
            DataError: a position lies outside its sequence, or the network gives what is not finite.
        """
        return self._bases.fill(sequences, positions).astype(np.float32)

    def scan(self, sequences: Sequence[str]) -> list[NDArray[np.float32]]:
        """Log probabilities of all bases, float32 (length, 4) each, from one pass; equal to `fill`.

        Raises:
            Unsupported: as `fill`.
        """
        return [log_p.astype(np.float32) for log_p in self._bases.scan(sequences)]


def language_model_class(network: LoadedNetwork, tokenizer: Any, settings: Settings) -> type[HuggingFaceModel]:
    """The class with exactly the capabilities that objective and tokens allow."""
    if network.flanks is not None:
        return FlankLanguageModel
    if network.objective == "masked":
        return MaskedLanguageModel if mask_id(tokenizer) is not None else HuggingFaceModel
    if network.objective == "causal":
        sizes = {len(text) for text in spelled(tokenizer) if text and set(text) <= set("ACGT")}
        return CausalBasePredictor if sizes == {1} and settings.kmer is None else CausalLanguageModel
    return HuggingFaceModel
