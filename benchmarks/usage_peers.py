"""How LiteLLM and TensorZero are configured and asked for `usage_shapes`. Their own programs run what stands here."""

from __future__ import annotations

from collections.abc import Iterable

# Runs inside LiteLLM's proxy: one line for each request that it logs, whatever became of it.
LITELLM_LOGGER = """
import json
from litellm.integrations.custom_logger import CustomLogger

class Told(CustomLogger):
    def _write(self, kwargs):
        about = kwargs.get("standard_logging_object") or {}
        shape = about.get("model_group") or kwargs.get("model")
        with open("told.jsonl", "a") as file:
            said = {"shape": shape, "usd": about.get("response_cost", kwargs.get("response_cost"))}
            file.write(json.dumps(said) + "\\n")

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        self._write(kwargs)

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        self._write(kwargs)

told = Told()
"""

# Runs in TensorZero's environment, with its gateway embedded: what each answer says it used and cost.
TENSORZERO = """
import json
from tensorzero import TensorZeroGateway
gateway = TensorZeroGateway.build_embedded(config_file="tensorzero.toml")
for shape, asked in json.load(open("asked.json")).items():
    usage = None
    try:
        words = {"messages": [{"role": "user", "content": asked["messages"][0]["content"]}]}
        made = gateway.inference(model_name=shape, input=words, stream=bool(asked.get("stream")))
        if asked.get("stream"):
            for part in made:
                usage = getattr(part, "usage", None) or usage
        else:
            usage = made.usage
    except Exception:
        pass  # what a client sees of it; what was recorded is told below
    cost = getattr(usage, "cost", None)
    if usage is not None:
        with open("told.jsonl", "a") as file:
            file.write(json.dumps({"shape": shape, "usd": None if cost is None else float(cost)}) + "\\n")
"""


def litellm_config(
    port: int, shapes: Iterable[str], input: float, cache_read: float, output: float
) -> dict[str, object]:
    """A proxy without a database; the model `unpriced` has no price."""
    prices = {
        "input_cost_per_token": input / 1e6,
        "cache_read_input_token_cost": cache_read / 1e6,
        "output_cost_per_token": output / 1e6,
    }

    def of(shape: str) -> dict[str, object]:
        asked = {"model": f"openai/{shape}", "api_base": f"http://127.0.0.1:{port}/v1", "api_key": "x"}
        return {"model_name": shape, "litellm_params": asked | ({} if shape == "unpriced" else prices)}

    settings = {"callbacks": "told.told", "num_retries": 1, "request_timeout": 60}
    return {"model_list": [of(shape) for shape in shapes], "litellm_settings": settings}


def tensorzero_config(port: int, shapes: Iterable[str], input: float, cache_read: float, output: float) -> str:
    """A gateway that observes nothing; the model `unpriced` has no price."""
    lines = ["[gateway]", "observability.enabled = false"]
    cost = (
        f'{{ pointer = "/usage/prompt_tokens", cost_per_million = {input}, required = true }}',
        f'{{ pointer = "/usage/prompt_tokens_details/cached_tokens", cost_per_million = {cache_read - input} }}',
        f'{{ pointer = "/usage/completion_tokens", cost_per_million = {output}, required = true }}',
    )
    for shape in shapes:
        lines += [
            f'[models."{shape}"]',
            'routing = ["up", "again"]',
        ]
        for provider in ("up", "again"):  # the second one serves what the first one failed at
            lines += [
                f'[models."{shape}".providers.{provider}]',
                'type = "openai"',
                f'model_name = "{shape}"',
                f'api_base = "http://127.0.0.1:{port}/v1/"',
                'api_key_location = "env::KEY"',
                *([] if shape == "unpriced" else [f"cost = [{', '.join(cost)}]"]),
            ]
    return "\n".join(lines) + "\n"
