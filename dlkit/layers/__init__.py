"""Keras layers that Keras, KerasHub and KerasRS lack, one idea a file."""
