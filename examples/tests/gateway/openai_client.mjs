// Drives the gateway by npm's `openai`, and prints what it saw as one line of JSON.
// Arguments: the package's entry, the API's address, the gateway's token.
const [entry, baseURL, apiKey] = process.argv.slice(2);
const { default: OpenAI } = await import(entry);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const saw = {};
saw.models = [];
for await (const model of client.models.list()) saw.models.push(model.id);

const messages = [{ role: "user", content: "hello" }];
const answer = await client.chat.completions.create({ model: "openclaw", messages });
saw.chat = answer.choices[0].message.content;

let text = "";
for await (const chunk of await client.chat.completions.create({ model: "openclaw", messages, stream: true })) {
  text += chunk.choices[0]?.delta?.content ?? "";
}
saw.streamed = text;

// The library runs the loop and calls the tool.
const called = [];
const runner = client.chat.completions.runTools({
  model: "openclaw",
  messages: [{ role: "user", content: "the weather?" }],
  tools: [{
    type: "function",
    function: {
      name: "weather",
      description: "The weather in a city",
      parameters: { type: "object", properties: { city: { type: "string" } } },
      parse: JSON.parse,
      function: (input) => { called.push(input); return "rain"; },
    },
  }],
  stream: true,
});
saw.afterwards = await runner.finalContent();
saw.called = called;

const response = await client.responses.create({ model: "openclaw", input: "hello" });
saw.response = response.output_text;
const events = [];
for await (const event of await client.responses.create({ model: "openclaw", input: "hello", stream: true })) {
  events.push(event.type);
}
saw.events = [events[0], events[events.length - 1]];

const vectors = await client.embeddings.create({ model: "openclaw", input: "a cat" });
saw.vector = vectors.data[0].embedding.length > 10;
try {
  await client.chat.completions.create({ model: "gpt-4", messages });
} catch (error) {
  saw.noModel = [error.constructor.name, error.code];
}
console.log(JSON.stringify(saw));
