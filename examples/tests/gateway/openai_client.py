# Drives the gateway by PyPI's `openai`, and prints what it saw as one line of JSON.
# Arguments: the API's address, the gateway's token.
import json
import sys

import openai

url, token = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key=token, max_retries=0)
saw = {}
saw["models"] = [model.id for model in client.models.list()]
saw["model"] = client.models.retrieve("openclaw/main").id

hello = [{"role": "user", "content": "hello"}]
answer = client.chat.completions.create(model="openclaw", messages=hello)
saw["chat"] = answer.choices[0].message.content
saw["reason"] = answer.choices[0].finish_reason

text, usage = "", None
for chunk in client.chat.completions.create(
    model="openclaw/main", messages=hello, stream=True, stream_options={"include_usage": True}
):
    text += "".join(choice.delta.content or "" for choice in chunk.choices)
    usage = chunk.usage or usage
saw["streamed"], saw["usage"] = text, usage.total_tokens >= 0

for _ in range(2):
    answer = client.chat.completions.create(model="openclaw", messages=hello, user="ada")
saw["remembered"] = answer.choices[0].message.content

tools = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
messages = [{"role": "user", "content": "the weather?"}]
answer = client.chat.completions.create(model="openclaw", messages=messages, tools=tools)
call = answer.choices[0].message.tool_calls[0]
saw["call"] = [answer.choices[0].finish_reason, call.function.name, json.loads(call.function.arguments)]
messages += [answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
answer = client.chat.completions.create(model="openclaw", messages=messages, tools=tools)
saw["afterwards"] = answer.choices[0].message.content

with client.chat.completions.stream(model="openclaw", messages=messages[:1], tools=tools) as stream:
    for _ in stream:
        pass
    saw["streamedCall"] = stream.get_final_completion().choices[0].message.tool_calls[0].function.name

answer = client.responses.create(model="openclaw", input="hello", instructions="Be kind.")
saw["response"] = answer.output_text
answer = client.responses.create(model="openclaw", input="again", previous_response_id=answer.id)
saw["goneOn"] = answer.output_text
with client.responses.stream(model="openclaw", input="hello") as stream:
    text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
    saw["responseStreamed"] = [text, stream.get_final_response().status]

flat = [{"type": "function", **tools[0]["function"]}]
said = [{"role": "user", "content": "the weather?"}]
answer = client.responses.create(model="openclaw", input=said, tools=flat)
call = answer.output[0]
saw["responseCall"] = [call.type, call.name, json.loads(call.arguments)]
said += answer.output
said.append({"type": "function_call_output", "call_id": call.call_id, "output": "rain"})
saw["responseAfterwards"] = client.responses.create(model="openclaw", input=said, tools=flat).output_text

vectors = client.embeddings.create(model="openclaw", input=["a cat", "a kitten", "tax law"])
a, b, c = (item.embedding for item in vectors.data)
dot = lambda x, y: sum(i * j for i, j in zip(x, y))
saw["alike"] = dot(a, b) > dot(a, c)

for name, ask in {
    "noModel": lambda: client.chat.completions.create(model="gpt-4", messages=hello),
    "noKey": lambda: openai.OpenAI(base_url=url, api_key="wrong", max_retries=0).models.list(),
    "noGood": lambda: client.chat.completions.create(model="openclaw", messages=hello, n=2),
}.items():
    try:
        ask()
        saw[name] = "no error"
    except openai.APIStatusError as error:
        saw[name] = type(error).__name__
print(json.dumps(saw))
