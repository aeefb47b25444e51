// The official OpenAI client for Node, unmodified, once through what it can ask. Prints what it got as one JSON document.
import OpenAI from "openai";

const [baseURL, failing, hanging] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "client-key", maxRetries: 0 });
const messages = [{ role: "user", content: "What is a base load?" }];
const parameters = {
  type: "object",
  properties: { word: { type: "string" } },
  required: ["word"],
  additionalProperties: false,
};
const found = {};

const whole = await client.chat.completions.create({ model: "auto", messages, max_tokens: 2 });
found.chat = whole.choices[0].message.content;

const stream = await client.chat.completions.create({
  model: "auto",
  messages,
  max_tokens: 2,
  stream: true,
  stream_options: { include_usage: true },
});
found.stream = "";
for await (const event of stream) {
  found.stream += event.choices[0]?.delta.content ?? "";
  found.usage = event.usage ?? found.usage;
}

const called = await client.chat.completions.create({
  model: "auto",
  messages,
  tools: [{ type: "function", function: { name: "look_up", parameters } }],
  tool_choice: "required",
});
found.tool = called.choices[0].message.tool_calls[0].function;

const schema = { name: "verdict", strict: true, schema: parameters };
const shaped = await client.chat.completions.create({
  model: "auto",
  messages,
  response_format: { type: "json_schema", json_schema: schema },
});
found.schema = JSON.parse(shaped.choices[0].message.content);

const response = await client.responses.create({ model: "auto", input: "Say.", max_output_tokens: 16 });
found.response = response.output_text;
const events = client.responses.stream({ model: "auto", input: "Say." });
found.kinds = [];
for await (const event of events) found.kinds.push(event.type);
found.streamed = (await events.finalResponse()).output_text;

const broken = new OpenAI({ baseURL: failing, apiKey: "client-key", maxRetries: 0 });
try {
  await broken.chat.completions.create({ model: "auto", messages });
} catch (error) {
  found.error = { name: error.constructor.name, status: error.status, message: error.message, id: error.requestID };
}
// Aborted while its answer stands still: Node's fetch (undici 6.24) never settles a read whose abort meets the body's end.
const abort = new AbortController();
const endless = new OpenAI({ baseURL: hanging, apiKey: "client-key", maxRetries: 0 });
found.aborted = 0;
try {
  const pending = endless.chat.completions.create({ model: "auto", messages, stream: true }, { signal: abort.signal });
  for await (const event of await pending) {
    found.aborted += 1;
    abort.abort();
  }
} catch (error) {
  found.aborted = error.constructor.name;
}
found.models = (await client.models.list()).data.map((model) => model.id);
console.log(JSON.stringify(found));
