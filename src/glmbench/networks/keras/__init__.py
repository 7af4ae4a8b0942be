"""Networks that Keras 2 wrote to `.h5`/`.hdf5` files, run with torch: the file, the layers, the graph.

Keras itself is not needed. The rules of each layer are those of Keras 2 (TensorFlow up to 2.15), not of Keras 3, which
cannot load most of these files and changed what `hard_sigmoid` means.
"""
