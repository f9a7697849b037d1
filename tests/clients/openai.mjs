// The OpenAI and Cerebras SDKs for JavaScript: what each is asked, and what it got.
import Cerebras from "@cerebras/cerebras_cloud_sdk";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const { BASE_URL, KEY, MODEL, CLIENT } = process.env;
const isOpenAI = CLIENT === "openai";

function connect(apiKey) {
  const options = { apiKey, maxRetries: 0, warmTCPConnection: false };
  return isOpenAI
    ? new OpenAI({ ...options, baseURL: BASE_URL })
    : new Cerebras({ ...options, baseURL: BASE_URL.replace(/\/v1$/, "") });
}

const messages = [{ role: "user", content: "Say hello." }];
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "The weather in a city",
      parameters: {
        type: "object",
        properties: { city: { type: "string" } },
        required: ["city"],
      },
    },
  },
];

async function refused(call) {
  try {
    await call();
  } catch (error) {
    const { status, name, message } = error;
    return { status, name: error.constructor.name ?? name, message };
  }
  return null;
}

const client = connect(KEY);
const result = {};

const whole = await client.chat.completions.create({ model: MODEL, messages });
result.chat = { text: whole.choices[0].message.content, usage: whole.usage };

const stream = await client.chat.completions.create({
  model: MODEL,
  messages,
  stream: true,
  stream_options: { include_usage: true },
});
result.stream = { text: "", chunks: 0 };
for await (const chunk of stream) {
  result.stream.chunks += 1;
  result.stream.text += chunk.choices[0]?.delta?.content ?? "";
  result.stream.usage = chunk.usage ?? result.stream.usage;
}

const called = await client.chat.completions.create({
  model: MODEL,
  messages: [{ role: "user", content: "What is the weather in Paris?" }],
  tools,
  tool_choice: "required",
});
const [call] = called.choices[0].message.tool_calls;
result.tool = {
  name: call.function.name,
  arguments: JSON.parse(call.function.arguments),
};
const after = await client.chat.completions.create({
  model: MODEL,
  messages: [
    { role: "user", content: "What is the weather in Paris?" },
    { role: "assistant", content: "", tool_calls: [call] },
    { role: "tool", tool_call_id: call.id, content: "sunny" },
  ],
  tools,
});
result.afterTool = after.choices[0].message.content;

const shape = z.object({ name: z.string(), age: z.number() });
const structured = await client.chat.completions.create({
  model: MODEL,
  messages: [{ role: "user", content: "Make up a person." }],
  response_format: zodResponseFormat(shape, "person"),
});
result.structured = shape.parse(JSON.parse(structured.choices[0].message.content));

const models = await client.models.list();
result.models = models.data.map((model) => model.id);
result.model = (await client.models.retrieve(MODEL)).id;

result.wrongKey = await refused(() =>
  connect("wrong").chat.completions.create({ model: MODEL, messages }),
);
result.wrongModel = await refused(() =>
  client.chat.completions.create({ model: "no-such-model", messages }),
);

console.log(JSON.stringify(result));
