"""Export to TensorFlow Serving: signatures, the SavedModel, its proof, and the server's configuration.

Nothing here knows of tasks. `export.export` writes a version directory, `verify.verify` proves one that is on
disk, `server_config` writes what `tensorflow_model_server` reads.
"""

from __future__ import annotations
