"""Letters to columns and tokens; what networks are for, told from their shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glmbench.errors import Unsupported, UsageError
from glmbench.models.keras.keras_model import KerasModel
from glmbench.models.keras.place_language_models import PlaceLanguageModel
from glmbench.models.keras.vocabulary import Vocabulary
from glmbench.models.model import Embeds, Predicts, PredictsBases
from glmbench.models.registry import load
from keras_files import dense, layer, random_arrays, sequential, write


def test_columns_by_hand() -> None:
    rows = Vocabulary("tgcan").one_hot(5)
    assert rows[:4].argmax(1).tolist() == [3, 2, 1, 0]
    assert rows[4].tolist() == [0, 0, 0, 0, 1]  # N has its column
    assert rows[5].sum() == 0
    assert Vocabulary("acgt").one_hot(4)[4].sum() == 0
    assert Vocabulary("acgt").one_hot(5)[4].tolist() == [0, 0, 0, 0, 1]  # a mask has the column beyond the letters


def test_tokens_by_hand() -> None:
    assert Vocabulary("acgt").tokens(6).tolist() == [1, 2, 3, 4, 5, 0]
    assert Vocabulary("tcga").tokens(None).tolist() == [4, 2, 3, 1, 5, 0]
    assert Vocabulary("acgt").tokens(5).tolist() == [1, 2, 3, 4, 0, 0]  # no token for N
    with pytest.raises(UsageError, match="knows tokens 0 to 3 alone"):
        Vocabulary("acgt").tokens(4)


def test_a_mask_beside_one_hot_letters(tmp_path: Path) -> None:
    config = sequential((6, 5), dense(4))
    path = write(tmp_path / "masked.h5", config, {"dense": random_arrays(0, (5, 4), (4,))})
    masked = load(f"h5:{path}?vocabulary=acgt")
    assert isinstance(masked, PlaceLanguageModel)
    kernel, bias = random_arrays(0, (5, 4), (4,))
    wanted = np.exp(kernel[4] + bias)  # what the mask's column gives
    np.testing.assert_allclose(np.exp(masked.fill(["ACGT"], [2]))[0], wanted / wanted.sum(), atol=1e-6)


def test_outputs_that_nobody_can_name_leave_the_states(tmp_path: Path) -> None:
    config = sequential((6, 4), dense(7))
    path = write(tmp_path / "seven.h5", config, {"dense": random_arrays(0, (4, 7), (7,))})
    bare = load(f"h5:{path}?vocabulary=acgt")
    assert type(bare) is KerasModel
    assert isinstance(bare, Embeds)
    assert not isinstance(bare, Predicts | PredictsBases)
    assert bare.embed(["ACGTAC"]).shape == (1, 7)
    with pytest.raises(Unsupported, match="short=pad"):
        bare.embed(["ACG"])


def test_inputs_that_no_sequence_can_be(tmp_path: Path) -> None:
    config = sequential((3, 6, 4), layer("Flatten", "flatten"), dense(2))
    path = write(tmp_path / "sets.h5", config, {"dense": random_arrays(0, (72, 2), (2,))})
    with pytest.raises(Unsupported, match=r"has inputs \(3, 6, 4\)"):
        load(f"h5:{path}")


def test_a_base_after_any_number_of_bases(tmp_path: Path) -> None:
    config = sequential((None, 4), layer("GlobalMaxPooling1D", "pool"), dense(4))
    path = write(tmp_path / "any.h5", config, {"dense": random_arrays(0, (4, 4), (4,))})
    with pytest.raises(Unsupported, match="an input of any length"):
        load(f"h5:{path}?position=end")
    assert isinstance(load(f"h5:{path}?position=none&vocabulary=acgt"), Predicts)
