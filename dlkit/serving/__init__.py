"""Export to TensorFlow Serving: signatures, the SavedModel, its verification, and the server's configuration.

Nothing here depends on tasks. `export.export` writes a version directory, `verify.verify` verifies one on disk, and
`server_config` writes what `tensorflow_model_server` reads."""

from __future__ import annotations
