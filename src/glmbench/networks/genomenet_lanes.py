"""A stateful network that carries its state from one step of a training to the next."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from glmbench.networks.genomenet import GenomeNetForBasePrediction


class LaneReader(nn.Module):
    """Reads lanes of contiguous text, chunk after chunk (truncated back-propagation through time).

    What is carried is a buffer of this module, not of the network: a training's checkpoint holds it, so that an
    interrupted training goes on exactly, and the network's own checkpoint does not, since what it last read is no part
    of it. No gradient flows from one chunk to the chunk before. Evaluation leaves the state alone.
    """

    carried: Tensor

    def __init__(self, network: GenomeNetForBasePrediction, lanes: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("carried", network.genomenet.no_lanes_yet(lanes))

    def forward(self, ids: Tensor, fresh: Tensor) -> Tensor:
        """Logits (lanes, T, 4) of the targets of each lane's next chunk.

        Args:
            ids: int64 (lanes, 1 + T + lookahead); see `GenomeNetModel.lane_states`.
            fresh: bool (lanes,): lanes whose chunk does not follow on the one before; they start from zero.
        """
        before = self.carried.masked_fill(fresh[:, None], 0)
        logits, after = self.network.lane_logits(ids, before)
        if self.training:
            with torch.no_grad():
                self.carried.copy_(after)
        return logits
