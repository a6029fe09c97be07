"""The signatures of a language model beside the default one: `generate`, `score` and `embed`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlkit.columns import tensor_specs
from dlkit.lazy import tf
from dlkit.serving.signature import Signature
from dlkit.tasks.language_model.causal_decoder import make_decoder
from dlkit.tasks.language_model.documents import DocumentText
from dlkit.tasks.language_model.read_windows import embed_texts, score_texts
from dlkit.tasks.language_model.request_columns import make_option_columns

if TYPE_CHECKING:
    from dlkit.tasks.language_model.task import LanguageModel


def make_signatures(task: LanguageModel) -> list[Signature]:
    """Make the signatures of a fitted task."""
    return [_generate_signature(task), _score_signature(task), _embed_signature(task)]


def _generate_signature(task: LanguageModel) -> Signature:
    """Make the signature of prompts with options."""
    preprocess, decode, postprocess = task.stages_.serving_models()
    generator = decode.get_layer("generator")
    options = make_option_columns(task)

    def generate(tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        prompts = preprocess({"prompt": tensors["prompt"]}, training=False)
        given = {name: tensors[name] for name in options}
        generated = generator.generate(prompts["token_ids"], prompts["padding_mask"], given)
        known = {**prompts, **generated}
        outputs = {**known, **postprocess({name: known[name] for name in postprocess.input}, training=False)}
        return {name: outputs[name] for name in task.answer}

    def make_example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        kind = tf.strings.length(raw["prompt"]) % 3
        is_sampling = tf.cast(kind == 2, tf.float32)
        return {
            "prompt": raw["prompt"],
            "max_tokens": tf.fill(tf.shape(kind), min(24, task.max_tokens)),
            "temperature": 0.8 * is_sampling,
            "top_k": tf.where(kind == 2, 20, 0),
            "top_p": 1.0 - 0.1 * is_sampling,
            "repetition_penalty": tf.where(kind == 1, 1.2, 1.0),
            "seed": kind,
            "stop": tf.where(kind == 0, ".", "")[:, tf.newaxis],
        }

    columns = {**task.inputs, **options}
    return Signature("generate", generate, tensor_specs(columns), example=make_example, columns=columns)


def _score_signature(task: LanguageModel) -> Signature:
    """Make the signature of texts to score, each after a prompt."""
    tokenizer, network = task.tokenizer, task.stages_.network

    def score(tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        decoder = make_decoder(network)
        return score_texts(
            tokenizer, decoder, tensors["prompt"], tensors["text"], task.context_length, task.score_stride
        )

    def make_example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"prompt": tf.fill(tf.shape(raw["prompt"]), ""), "text": raw["prompt"]}

    columns: dict[str, Any] = {"text": DocumentText(), **task.inputs}
    return Signature("score", score, tensor_specs(columns), example=make_example, columns=columns)


def _embed_signature(task: LanguageModel) -> Signature:
    """Make the signature of texts to embed."""
    tokenizer, network = task.tokenizer, task.stages_.network

    def embed(tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"embedding": embed_texts(tokenizer, make_decoder(network), tensors["text"], task.context_length)}

    columns = {"text": DocumentText()}
    return Signature(
        "embed", embed, tensor_specs(columns), example=lambda raw: {"text": raw["prompt"]}, columns=columns
    )
