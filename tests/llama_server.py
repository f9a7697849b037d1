"""A real inference server, llama.cpp's, on a model that is made here in milliseconds.

The model is a table of which token follows which, written as the weights of a
transformer: its attention and its feed-forward layer add nothing, and the output layer
holds the table. So the whole engine runs (tokenizer, chat template, sampling,
grammars, tool-call parser, HTTP server), and still one knows what it will say.

Run as a program it serves until its standard input is closed:
`python llama_server.py MODEL`, and prints its address.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from itertools import pairwise

SENTENCE = "The harbour crane lifts forty tonnes."
CONTEXT_TOKENS = 2_048

_SENTENCE = ["The", "▁harbour", "▁crane", "▁lifts", "▁forty", "▁tonnes", "."]
_CALL = ['\n{"name": "paint", "arguments": ', '{"color": "', "red", '"}', "}\n"]
_CONTROL = ["<|act|>", "<|say|>", "<|tools|>", "<|assistant|>", "<|end|>"]
_MARKS = ["<tool_call>", "</tool_call>"]
_CHAINS = [
    ["<|say|>", *_SENTENCE, "</s>"],
    ["<|act|>", "<tool_call>", *_CALL, "</tool_call>", "</s>"],
]
_UNKNOWN, _START, _END = 0, 1, 2
_NORMAL, _UNKNOWN_TYPE, _CONTROL_TYPE, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6

# Says the sentence; where there are tools and the user spoke last, calls one.
_TEMPLATE = """{%- if tools %}<|tools|>{{ tools | tojson }}
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>
{% endif %}
{%- for message in messages %}
{%- if message.role == "assistant" and message.tool_calls %}<|assistant|>
{%- if message.content %}{{ message.content }}{% endif %}
{%- for tool_call in message.tool_calls %}
{%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
{{- '<tool_call>\\n{"name": "' }}{{- tool_call.name }}
{{- '", "arguments": ' }}{{- tool_call.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}<|end|>
{% else %}<|{{ message.role }}|>{{ message.content }}<|end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|assistant|>
{%- if tools and messages[-1].role == "user" %}<|act|>{% else %}<|say|>{% endif %}
{%- endif %}"""


def _vocabulary():
    tokens = {"<unk>": _UNKNOWN_TYPE, "<s>": _CONTROL_TYPE, "</s>": _CONTROL_TYPE}
    tokens |= {f"<0x{byte:02X}>": _BYTE for byte in range(256)}
    tokens |= dict.fromkeys(["▁", *map(chr, range(33, 127))], _NORMAL)
    tokens |= dict.fromkeys(_CONTROL, _CONTROL_TYPE)
    tokens |= dict.fromkeys([*_MARKS, *_CALL], _USER_DEFINED)
    return tokens | {word: _NORMAL for word in _SENTENCE if word not in tokens}


def write_model(path):
    """Write the model as a GGUF file."""
    import gguf
    import numpy as np

    types = _vocabulary()
    tokens = list(types)
    place = {token: at for at, token in enumerate(tokens)}
    size = len(tokens)
    width = -(-size // 32) * 32

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width)
    writer.add_vocab_size(size)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token.encode() for token in tokens])
    writer.add_token_scores([0.0] * size)
    writer.add_token_types(list(types.values()))
    writer.add_bos_token_id(_START)
    writer.add_eos_token_id(_END)
    writer.add_unk_token_id(_UNKNOWN)
    writer.add_add_bos_token(True)
    writer.add_chat_template(_TEMPLATE)

    def zeros(*shape):
        return np.zeros(shape, np.float32)

    embedding, following = zeros(size, width), zeros(size, width)
    embedding[np.arange(size), np.arange(size)] = 1
    for chain in _CHAINS:
        for one, other in pairwise(chain):
            following[place[other], place[one]] = 1
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output.weight", following)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        writer.add_tensor(f"blk.0.{name}.weight", zeros(width, width))
    for name in ("ffn_gate", "ffn_up"):
        writer.add_tensor(f"blk.0.{name}.weight", zeros(32, width))
    writer.add_tensor("blk.0.ffn_down.weight", zeros(width, 32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@contextmanager
def running_server(path):
    """Serve the model from a process of its own; yields the address."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), "the server did not start"
        yield address
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        process.stdout.close()


def _serve(path):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx = 4 * CONTEXT_TOKENS
    params.n_parallel = 4
    params.port = 0
    params.use_jinja = True
    params.cpuparams.n_threads = 1
    params.warmup = False
    params.verbosity = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve(sys.argv[1])
