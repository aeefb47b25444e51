"""A model's `config.json`, as published on Hugging Face, as a Shape. Pure; what it is given may be hostile.

Kinds differ in what they call a thing and in how they mix layers. Those of `KINDS` were compared with published sizes;
another kind is refused rather than guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from baseload.capacity.shape import Shape
from baseload.errors import BadInput

_KINDS = """
    bailing_moe bailing_moe_v2 deepseek_v3 deepseek_v32 deepseek_v4 gemma2 gemma3 gemma3_text gemma4 gemma4_text glm4
    glm4_moe glm4v_moe glm_moe_dsa gpt_oss hunyuan_v1_moe kimi_k2 kimi_k25 kimi_k3 kimi_linear llama llama4 llama4_text
    mimo mimo_v2_flash minimax_m2 minimax_m3 mistral mixtral nemotron_h qwen2 qwen3 qwen3_5 qwen3_5_moe
    qwen3_5_moe_text qwen3_5_text qwen3_moe qwen3_vl qwen3_vl_moe qwen3_vl_moe_text qwen3_vl_text seed_oss step3p7
"""
KINDS = frozenset(_KINDS.split())
_MOST = 10**8
_MOST_LAYERS = 2_000
# Layers of Llama 4 that look at a chunk only: three of four (its published implementation).
_CHUNKED_OF_FOUR = 3
_GATED = 3  # gate, up and down; a feed-forward without a gate has two


class Layer(NamedTuple):
    """What one layer is made of. `reach` is how it attends: full, window, linear or none; `fold` how far it packs."""

    reach: str
    experts: bool
    dense: bool
    fold: int = 1


# Nemotron-H says what each layer is by a letter or a word.
_STATE, _LOOKS = Layer("linear", experts=False, dense=False), Layer("full", experts=False, dense=False)
_CHOOSES, _FEEDS = Layer("none", experts=True, dense=False), Layer("none", experts=False, dense=True)
_MARKED = {"M": _STATE, "*": _LOOKS, "E": _CHOOSES, "-": _FEEDS}
_MARKED |= {"mamba": _STATE, "attention": _LOOKS, "moe": _CHOOSES, "mlp": _FEEDS}


class _Config:
    """A mapping of unknown content, read field by field."""

    def __init__(self, document: Mapping[str, object]) -> None:
        inner = next((document[key] for key in ("text_config", "llm_config") if document.get(key)), None)
        self._fields = {**document, **inner} if isinstance(inner, Mapping) else dict(document)

    @property
    def kind(self) -> str:
        kind = self._fields.get("model_type")
        return kind if isinstance(kind, str) else ""

    def whole(self, *names: str, least: int = 0) -> int:
        """The first of the names that is given, as a count. Raises BadInput where none is."""
        found = self.maybe(*names)
        if found is None or found < least:
            raise BadInput(
                f"the model's config has no {names[0]} of at least {least}",
                remedy="Give the config.json that is published beside the weights.",
            )
        return found

    def maybe(self, *names: str) -> int | None:
        for name in names:
            value = self._fields.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
                raise BadInput(
                    f"{name} of the model's config is {str(value)[:40]!r}, not a count",
                    remedy="Give the config.json that is published beside the weights.",
                )
            return value
        return None

    def count(self, *names: str) -> int:
        return self.maybe(*names) or 0

    def flag(self, name: str) -> bool:
        return self._fields.get(name) is True

    def words(self, name: str) -> tuple[object, ...]:
        value = self._fields.get(name)
        return tuple(value[:_MOST_LAYERS]) if isinstance(value, list | str) else ()

    def inner(self, name: str) -> _Config:
        value = self._fields.get(name)
        return _Config(value if isinstance(value, Mapping) else {})


def shape_of(document: Mapping[str, object]) -> Shape:
    """The shape that a config describes. Raises BadInput for a kind that is not known and for what makes no sense."""
    config = _Config(document)
    if config.kind not in KINDS:
        raise BadInput(
            f"the model's config is of the kind {config.kind[:40]!r}, whose layers are not known here",
            remedy=f"Known kinds: {', '.join(sorted(KINDS))}. A finetune runs like its base: give that file.",
        )
    layers = _layers(config)
    hidden, vocabulary = config.whole("hidden_size", least=1), config.whole("vocab_size", least=1)
    experts = config.count("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")
    chosen = config.count("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "experts_per_token")
    chosen = chosen or config.count("moe_topk", "moe_k")
    if experts and not 0 < chosen <= experts:
        raise BadInput(
            f"the model's config has {experts} experts of which a token takes {chosen}",
            remedy="Give the config.json that is published beside the weights.",
        )
    kv, window, width = _attention_elements(config, layers)
    with_experts = sum(each.experts for each in layers) if experts else 0
    latent = config.count("kv_lora_rank") or config.kind == "deepseek_v4"
    return Shape(
        layers=len(layers),
        hidden=hidden,
        heads=config.whole("num_attention_heads", least=1),
        kv_heads=0 if latent else _kv_heads(config),
        plain_parameters=sum(_plain(config, layer) for layer in layers),
        head_parameters=vocabulary * hidden,
        tied=config.flag("tie_word_embeddings"),
        experts=experts if with_experts else 0,
        experts_per_token=chosen if with_experts else 0,
        expert_layers=with_experts,
        expert_parameters=_expert(config) if with_experts else 0,
        kv_elements=kv,
        window_elements=window,
        window=_window(config) if window else 0,
        attention_width=width,
        state_bytes=_state(config, layers),
        top_tokens=config.count("index_topk"),
        context_tokens=config.count("max_position_embeddings") or 131_072,
    )


def _kv_heads(config: _Config) -> int:
    return config.maybe("num_key_value_heads") or config.whole("num_attention_heads", least=1)


def _window(config: _Config) -> int:
    return config.count("attention_chunk_size" if config.kind.startswith("llama4") else "sliding_window")


def _head(config: _Config) -> int:
    found = config.maybe("head_dim", "attention_head_dim")
    return found or config.whole("hidden_size", least=1) // config.whole("num_attention_heads", least=1)


def _layers(config: _Config) -> list[Layer]:
    """Every layer in order. A pattern letter or a word says what it is."""
    pattern = config.words("hybrid_override_pattern") or config.words("layers_block_type")
    if pattern:
        return [_MARKED[str(each)] for each in pattern if str(each) in _MARKED]
    count = config.whole("num_hidden_layers", least=1)
    if count > _MOST_LAYERS:
        raise BadInput(f"the model's config has {count} layers", remedy="Check num_hidden_layers.")
    ratios = config.words("compress_ratios")
    folds = [each if isinstance(each, int) else 0 for each in ratios] or [1] * count
    found = []
    for number in range(count):
        experts = _has_experts(config, number)
        fold = folds[number] if number < len(folds) else 0
        found.append(Layer(_reach(config, number), experts, not experts, max(fold, 0)))
    return found


def _reach(config: _Config, number: int) -> str:
    words = config.words("layer_types")
    if number < len(words):
        return {"sliding_attention": "window", "chunked_attention": "window", "linear_attention": "linear"}.get(
            str(words[number]), "full"
        )
    marks = config.words("hybrid_layer_pattern")
    if number < len(marks):
        return "window" if marks[number] == 1 else "full"
    linear = config.inner("linear_attn_config").words("kda_layers")
    if linear:
        return "linear" if number + 1 in linear else "full"
    if config.kind.startswith("llama4"):
        return "window" if number % 4 < _CHUNKED_OF_FOUR and config.count("attention_chunk_size") else "full"
    every = config.count("full_attention_interval", "sliding_window_pattern")
    if every > 1:
        other = "linear" if config.count("full_attention_interval") else "window"
        return "full" if number % every == every - 1 else other
    return "window" if config.kind == "mistral" and config.count("sliding_window") else "full"


def _has_experts(config: _Config, number: int) -> bool:
    if not config.count("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts"):
        return False
    marks = config.words("moe_layer_freq")
    if number < len(marks):
        return marks[number] == 1
    if number in config.words("mlp_only_layers") or number < config.count("first_k_dense_replace"):
        return False
    every = config.count("interleave_moe_layer_step", "decoder_sparse_step") or 1
    return number % every == every - 1


def _plain(config: _Config, layer: Layer) -> int:
    """Weights of a layer that every token needs."""
    hidden = config.whole("hidden_size", least=1)
    gates = 2 if config.kind == "nemotron_h" else _GATED
    total = {"full": _attention, "window": _window_attention, "linear": _linear_attention}.get(layer.reach, _nothing)(
        config
    )
    if layer.dense:
        total += gates * hidden * _dense_width(config)
    if layer.experts:
        total += gates * hidden * _shared_width(config)
        total += hidden * config.count("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")
        latent = config.count("moe_latent_size", "routed_expert_hidden_size")
        total += 2 * hidden * latent
        if config.kind.startswith("gemma4"):  # a dense feed-forward stands beside the experts
            total += gates * hidden * config.count("intermediate_size")
    return total


def _nothing(config: _Config) -> int:
    return 0 * len(config.kind)


def _dense_width(config: _Config) -> int:
    return config.whole("intermediate_size_mlp", "dense_intermediate_size", "intermediate_size", least=1)


def _shared_width(config: _Config) -> int:
    named = config.maybe(
        "shared_expert_intermediate_size",
        "share_expert_dim",
        "moe_shared_expert_intermediate_size",
        "shared_intermediate_size",
    )
    if named is not None:
        return named
    if config.kind.startswith("llama4"):
        return config.count("intermediate_size")
    shared = config.count("n_shared_experts", "num_shared_experts", "num_shared_expert")
    return shared * _expert_width(config)


def _expert_width(config: _Config) -> int:
    return config.whole("moe_intermediate_size", "intermediate_size", least=1)


def _expert(config: _Config) -> int:
    inside = config.count("moe_latent_size", "routed_expert_hidden_size") or config.whole("hidden_size", least=1)
    return (2 if config.kind == "nemotron_h" else _GATED) * inside * _expert_width(config)


def _attention(config: _Config) -> int:
    hidden, heads = config.whole("hidden_size", least=1), config.whole("num_attention_heads", least=1)
    kv, query = config.count("kv_lora_rank"), config.count("q_lora_rank")
    if kv:
        nope, rope = config.count("qk_nope_head_dim"), config.count("qk_rope_head_dim")
        value = config.whole("v_head_dim", least=1)
        asked = query * (hidden + heads * (nope + rope)) if query else hidden * heads * (nope + rope)
        top = config.count("index_n_heads") * config.count("index_head_dim")
        looking = top * query + hidden * (config.count("index_head_dim") + config.count("index_n_heads")) if top else 0
        return asked + hidden * (kv + rope) + kv * heads * (nope + value) + heads * value * hidden + looking
    head = _head(config)
    if config.kind == "deepseek_v4":
        groups, out = config.count("o_groups") or 1, config.count("o_lora_rank")
        return query * (hidden + heads * head) + hidden * head + out * (heads * head + groups * hidden)
    value = config.maybe("v_head_dim") or head
    asked = heads * head * (2 if config.flag("attn_output_gate") else 1)
    kv_heads = _kv_heads(config)
    if config.kind.startswith("gemma4") and config.count("num_global_key_value_heads"):
        head = value = config.count("global_head_dim") or head
        kv_heads, asked = config.count("num_global_key_value_heads"), heads * head
    return hidden * (asked + kv_heads * (head + value) + heads * value)


def _window_attention(config: _Config) -> int:
    if not (config.kind.startswith("gemma4") or config.count("swa_head_dim")):
        return _attention(config)
    hidden, heads = config.whole("hidden_size", least=1), config.whole("num_attention_heads", least=1)
    heads = config.count("swa_num_attention_heads") or heads
    kv_heads = config.count("swa_num_key_value_heads") or _kv_heads(config)
    head = config.count("swa_head_dim") or _head(config)
    value = config.count("swa_v_head_dim") or head
    return hidden * (heads * head + kv_heads * (head + value) + heads * value)


def _linear_attention(config: _Config) -> int:
    hidden = config.whole("hidden_size", least=1)
    keys = config.count("linear_num_key_heads") * config.count("linear_key_head_dim")
    values = config.count("linear_num_value_heads") * config.count("linear_value_head_dim")
    if values:
        return hidden * (2 * keys + 3 * values + 2 * config.count("linear_num_value_heads"))
    inner = config.count("mamba_num_heads") * config.count("mamba_head_dim")
    if inner:
        groups = 2 * config.count("n_groups") * config.count("ssm_state_size")
        return hidden * (2 * inner + groups + config.count("mamba_num_heads")) + inner * hidden
    delta = config.inner("linear_attn_config")
    width = delta.count("num_heads") * delta.count("head_dim")
    return hidden * 5 * width


def _attention_elements(config: _Config, layers: list[Layer]) -> tuple[float, float, float]:
    """Elements kept per token by full and by window layers, and the numbers a pair of tokens multiplies."""
    full = [layer for layer in layers if layer.reach == "full"]
    windowed = sum(layer.reach == "window" for layer in layers)
    heads, head = config.whole("num_attention_heads", least=1), _head(config)
    latent = config.count("kv_lora_rank")
    if latent:
        rope = config.count("qk_rope_head_dim")
        width = heads * (config.count("qk_nope_head_dim") + rope + config.count("v_head_dim")) / 2
        return float(len(full) * (latent + rope)), 0.0, len(full) * width
    if config.kind == "deepseek_v4":
        packed = sum(1 / layer.fold for layer in full if layer.fold)
        return packed * head, float(len(full) * head), packed * heads * head
    value = config.maybe("v_head_dim") or head
    kv_heads = _kv_heads(config)
    near = windowed * (config.count("swa_num_key_value_heads") or kv_heads) * (head + value)
    if config.kind.startswith("gemma4") and config.count("num_global_key_value_heads"):
        kv_heads, head = config.count("num_global_key_value_heads"), config.count("global_head_dim") or head
        value = head
    return float(len(full) * kv_heads * (head + value)), float(near), len(full) * heads * (head + value) / 2


def _state(config: _Config, layers: list[Layer]) -> int:
    """Bytes of the running state of linear layers for one request, at 32 bits."""
    linear = sum(layer.reach == "linear" for layer in layers)
    size = config.count("linear_num_value_heads") * config.count("linear_value_head_dim")
    size *= config.count("linear_key_head_dim")
    size = size or config.count("mamba_num_heads") * config.count("mamba_head_dim") * config.count("ssm_state_size")
    if not size:
        delta = config.inner("linear_attn_config")
        size = delta.count("num_heads") * delta.count("head_dim") ** 2
    return linear * size * 4
