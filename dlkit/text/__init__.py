"""Tokenizers as Keras layers in core TensorFlow operations: a stock server runs them as they are."""
