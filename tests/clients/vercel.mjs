// The Vercel AI SDK's Cerebras provider: what it is asked, and what it got.
import { createCerebras } from "@ai-sdk/cerebras";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const { BASE_URL, KEY, MODEL } = process.env;
const connect = (apiKey) => createCerebras({ apiKey, baseURL: BASE_URL });
const model = connect(KEY)(MODEL);
const quiet = { model, maxRetries: 0 };

async function refused(model) {
  try {
    await generateText({ model, prompt: "Say hello.", maxRetries: 0 });
  } catch (error) {
    return { status: error.statusCode, message: error.message };
  }
  return null;
}

const result = {};

const whole = await generateText({ ...quiet, prompt: "Say hello." });
result.chat = { text: whole.text, usage: whole.usage };

const stream = streamText({ ...quiet, prompt: "Say hello." });
result.stream = { text: "", chunks: 0 };
for await (const part of stream.textStream) {
  result.stream.chunks += 1;
  result.stream.text += part;
}
result.stream.usage = await stream.usage;
result.stream.finish = await stream.finishReason;

const weather = tool({
  description: "The weather in a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `sunny in ${city}`,
});
const called = await generateText({
  ...quiet,
  prompt: "What is the weather in Paris?",
  tools: { get_weather: weather },
  stopWhen: stepCountIs(2),
});
result.tool = {
  calls: called.steps.flatMap((step) => step.toolCalls.map((one) => one.input)),
  text: called.text,
};

const structured = await generateText({
  ...quiet,
  prompt: "Make up a person.",
  output: Output.object({
    schema: z.object({ name: z.string(), age: z.number() }),
  }),
});
result.structured = structured.output;

result.wrongKey = await refused(connect("wrong")(MODEL));
result.wrongModel = await refused(connect(KEY)("no-such-model"));

console.log(JSON.stringify(result));
