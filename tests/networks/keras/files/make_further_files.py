"""Writes the further files of this folder: `python make_further_files.py OUT`, with `tensorflow-cpu==2.15.*`."""

import sys
from pathlib import Path

import numpy as np
from keras.src.saving.legacy import hdf5_format
from tensorflow import keras

layers = keras.layers
rng = np.random.RandomState(2)
out = Path(sys.argv[1])


def randomise(model):
    """Random weights and moving statistics, so that errors show."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            randomise(layer)
            continue
        new = []
        for variable, array in zip(layer.weights, layer.get_weights(), strict=True):
            if "moving_variance" in variable.name or "gamma" in variable.name:
                new.append(rng.uniform(0.5, 1.5, array.shape))
            else:
                scale = 1 / np.sqrt(np.prod(array.shape[:-1])) if array.ndim > 1 else 0.2
                new.append(rng.normal(0, scale, array.shape))
        if new:
            layer.set_weights(new)


def save(name, model, x):
    randomise(model)
    inputs = x if isinstance(x, list) else [x]
    y = model.predict(x, verbose=0, batch_size=4)
    model.save(out / f"{name}.hdf5", include_optimizer=False)
    np.savez_compressed(out / f"{name}.npz", y=y, **{f"x{i}": array for i, array in enumerate(inputs)})


def one_hot(number, length, letters=4):
    return np.eye(letters, dtype="float32")[rng.randint(0, letters, (number, length))]


def padded_pooling():
    i = layers.Input((41, 4))
    x = layers.Conv1D(6, 5, dilation_rate=2, activation="elu")(i)
    x = layers.AveragePooling1D(4, strides=3, padding="same")(x)
    x = layers.TimeDistributed(layers.Dense(7, activation="swish"))(x)
    x = layers.MaxPooling1D(3, strides=2, padding="same")(x)
    x = layers.LayerNormalization()(x)
    x = layers.Conv1D(8, 2, groups=1, activation="gelu")(x)
    x = layers.GlobalMaxPooling1D()(x)
    return keras.Model(i, layers.Dense(4, activation="softmax")(x)), one_hot(4, 41)


def gru_kinds():
    i = layers.Input((20, 4))
    x = layers.GRU(6, return_sequences=True, reset_after=False)(i)
    x = layers.GRU(5, return_sequences=True, recurrent_activation="hard_sigmoid")(x)
    x = layers.GRU(5, return_sequences=True, go_backwards=True)(x)
    x = layers.Bidirectional(layers.GRU(4, reset_after=False, use_bias=False), merge_mode="sum")(x)
    return keras.Model(i, layers.Dense(3, activation="softmax")(x)), one_hot(4, 20)


def masks():
    i = layers.Input((16, 4))
    x = layers.Masking()(i)
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(x)
    x = layers.Dropout(0.5)(x)
    x = layers.GRU(6, return_sequences=True)(x)
    x = layers.TimeDistributed(layers.Dense(5, activation="tanh"))(x)
    x = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), layers.LSTM(4, go_backwards=True)(x)])
    given = one_hot(4, 16)
    given[0, :5] = given[1, 7:9] = given[2, 12:] = 0
    return keras.Model(i, layers.Dense(4, activation="softmax")(x)), given


def nested_twice():
    """A Sequential in a Sequential, called twice, one layer frozen: which arrays come first depends on that."""
    inner = keras.Sequential(
        [
            layers.Conv1D(5, 3, padding="same", activation="relu", input_shape=(18, 4)),
            layers.BatchNormalization(),
            layers.Conv1D(6, 2, padding="causal"),
            layers.BatchNormalization(),
            layers.LSTM(4),
        ]
    )
    inner.layers[0].trainable = False
    deep = keras.Sequential([inner, layers.Dense(5)])
    a, b = layers.Input((18, 4)), layers.Input((18, 4))
    y = layers.Maximum()([deep(a), deep(b)])
    y = layers.Multiply()([y, layers.Subtract()([deep(a), deep(b)])])
    return keras.Model([a, b], layers.Dense(3, activation="softmax")(y)), [one_hot(4, 18), one_hot(4, 18)]


def embedding_mask():
    i = layers.Input((None,))
    x = layers.LSTM(6)(layers.Embedding(6, 5, mask_zero=True)(i))
    given = rng.randint(1, 6, (4, 12)).astype("float32")
    given[0, :4] = given[1, 10:] = 0
    return keras.Model(i, layers.Dense(4, activation="softmax")(x)), given


def causal_places():
    def gate(x, dilation, activation):
        return layers.Conv1D(5, 2, dilation_rate=dilation, padding="causal", activation=activation, use_bias=False)(x)

    i = layers.Input((24, 4))
    x = layers.Conv1D(6, 4, padding="causal", use_bias=False)(i)
    skips = []
    for dilation in (2, 4):
        s = layers.Multiply()([gate(x, dilation, "sigmoid"), gate(x, dilation, "tanh")])
        s = layers.Conv1D(6, 1, use_bias=False)(s)
        x = layers.Add()([x, s])
        skips.append(s)
    x = layers.Activation("relu")(layers.Add()(skips))
    return keras.Model(i, layers.Conv1D(4, 1, activation="softmax")(x)), one_hot(4, 24)


def imputation():
    i = layers.Input((20, 5))
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(i)
    x = layers.Dense(4, activation="softmax")(x)
    return keras.Model(i, layers.Flatten()(x)), one_hot(4, 20, 5)


def reshape():
    i = layers.Input((20, 4))
    x = layers.ReLU()(layers.Reshape((10, 8))(i))
    x = layers.Softmax()(layers.Dense(6)(layers.Flatten()(x)))
    return keras.Model(i, layers.Dense(4, activation="softmax")(x)), one_hot(4, 20)


def cudnn_layout():
    arrays, seeded = {}, np.random.RandomState(0)
    for kind, options in (("LSTM", {}), ("GRU", {"reset_after": True})):
        plain = getattr(keras.layers, kind)(5, return_sequences=True, **options)
        x = seeded.normal(size=(2, 7, 3)).astype("f4")
        plain(x)
        weights = [seeded.normal(0, 0.5, array.shape).astype("f4") for array in plain.get_weights()]
        plain.set_weights(weights)
        stand_in = type(f"CuDNN{kind}", (), {})()  # the conversion looks at the name of the class alone
        names = ("kernel", "recurrent", "bias")
        arrays |= zip((f"{kind}_{n}" for n in names), hdf5_format._convert_rnn_weights(stand_in, weights), strict=True)
        arrays |= {f"{kind}_x": x, f"{kind}_y": plain(x).numpy()}
    np.savez_compressed(out / "cudnn_layout.npz", **arrays)


for make in (padded_pooling, gru_kinds, masks, nested_twice, embedding_mask, causal_places, imputation, reshape):
    save(make.__name__, *make())
cudnn_layout()
