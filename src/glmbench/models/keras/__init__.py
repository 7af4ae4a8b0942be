"""Keras and deepG files as models: `h5:PATH[?key=value&…]`."""
