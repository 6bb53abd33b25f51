"""Talks to a service at a URL by the official client of its API, and prints what came of it as JSON.

    clients.py anthropic|openai|ollama URL
"""

import json
import sys

KEY = "sk-test-key"
TOOL = {"type": "object", "properties": {"a": {"type": "number"}}}


def anthropic(url):
    import anthropic

    client = anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=0)
    told = {"models": [model.id for model in client.models.list()]}
    ask = {"model": "claude-haiku-4-5", "max_tokens": 4096}
    hello = [{"role": "user", "content": "Hi"}]
    with client.messages.stream(messages=hello, **ask) as stream:
        told["text"] = "".join(stream.text_stream)
        told["stop"] = stream.get_final_message().stop_reason
        told["cached"] = stream.get_final_message().usage.cache_read_input_tokens
    ask["tools"] = [{"name": "add", "description": "Adds", "input_schema": TOOL}]
    ask["thinking"] = {"type": "enabled", "budget_tokens": 2048}
    with client.messages.stream(messages=hello, **ask) as stream:
        message = stream.get_final_message()
    told["blocks"] = [block.type for block in message.content]
    told["calls"] = [block.input for block in message.content if block.type == "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "3"}
        for block in message.content
        if block.type == "tool_use"
    ]
    said = {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]}
    with client.messages.stream(messages=hello + [said, {"role": "user", "content": results}], **ask) as stream:
        told["answer"] = stream.get_final_text()
    faults = {}
    try:
        client.messages.create(messages=[{"role": "user", "content": "overload"}], model="m", max_tokens=9, stream=True)
    except anthropic.APIStatusError as error:
        faults["busy"] = [type(error).__name__, error.type, error.response.headers["retry-after"]]
    try:
        anthropic.Anthropic(api_key="sk-other", base_url=url, max_retries=0).models.list()
    except anthropic.AuthenticationError as error:
        faults["key"] = error.type
    told["faults"] = faults
    return told


def openai(url):
    import openai

    client = openai.OpenAI(api_key=KEY, base_url=url + "/v1", max_retries=0)
    told = {"models": [model.id for model in client.models.list()]}
    chunks = client.chat.completions.create(
        model="gpt-5-mini",
        messages=[{"role": "user", "content": "Hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(chunks)
    told["chat"] = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    told["chat_tokens"] = chunks[-1].usage.total_tokens
    tools = [{"type": "function", "name": "add", "parameters": TOOL, "strict": False}]
    items = [{"role": "user", "content": "Hi"}]
    ask = {"model": "gpt-5-mini", "tools": tools, "store": False, "include": ["reasoning.encrypted_content"]}
    with client.responses.stream(input=items, **ask) as stream:
        for _ in stream:
            pass
        response = stream.get_final_response()
    told["items"] = [item.type for item in response.output]
    told["calls"] = [json.loads(item.arguments) for item in response.output if item.type == "function_call"]
    told["reasoning"] = response.usage.output_tokens_details.reasoning_tokens
    for item in response.output:
        items.append(item.model_dump(exclude_none=True, exclude={"status", "parsed_arguments"}))
    for item in response.output:
        if item.type == "function_call":
            items.append({"type": "function_call_output", "call_id": item.call_id, "output": "3"})
    with client.responses.stream(input=items, **ask) as stream:
        for _ in stream:
            pass
        told["answer"] = stream.get_final_response().output_text
    vectors = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], encoding_format="float")
    told["vectors"] = [len(item.embedding) for item in vectors.data]
    try:
        openai.OpenAI(api_key="sk-other", base_url=url + "/v1", max_retries=0).models.list()
    except openai.AuthenticationError as error:
        told["fault"] = error.code
    return told


def ollama(url):
    import ollama

    client = ollama.Client(host=url)
    told = {"models": [model.model for model in client.list().models]}
    shown = client.show("qwen3:8b")
    told["can"] = shown.capabilities
    told["context"] = shown.modelinfo["qwen3.context_length"]
    hello = [{"role": "user", "content": "Hi"}]
    told["text"] = "".join(part.message.content for part in client.chat("qwen3:8b", hello, stream=True))
    tools = [{"type": "function", "function": {"name": "add", "description": "Adds", "parameters": TOOL}}]
    parts = list(client.chat("qwen3:8b", hello, tools=tools, think=True, stream=True))
    told["thoughts"] = "".join(part.message.thinking or "" for part in parts)
    told["calls"] = [
        dict(call.function.arguments) for part in parts for call in part.message.tool_calls or []
    ]
    told["end"] = [parts[-1].done_reason, parts[-1].prompt_eval_count, parts[-1].eval_count]
    told["pull"] = [part.status for part in client.pull("qwen3:8b", stream=True)]
    told["vectors"] = [len(vector) for vector in client.embed("nomic-embed-text", ["a", "b"]).embeddings]
    faults = []
    for failing in (
        lambda: client.chat("absent", hello),
        lambda: list(client.pull("no-such-model", stream=True)),
    ):
        try:
            failing()
        except ollama.ResponseError as error:
            faults.append(error.error)
    told["faults"] = faults
    return told


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](sys.argv[2])))
