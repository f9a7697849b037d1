import { cerebras, createCerebras } from '@ai-sdk/cerebras';
import { createOpenAI } from '@ai-sdk/openai';
import { groq } from '@ai-sdk/groq';
import { generateText } from 'ai';

// cerebras('llama3.1-8b') was the first.
const fast = cerebras('llama3.1-8b');
const own = createCerebras({ apiKey: process.env.CEREBRAS_API_KEY ?? '' });
const compatible = createOpenAI({ baseURL: 'https://api.cerebras.ai/v1' });
const MODEL = process.env.CEREBRAS_MODEL ?? 'llama-3.3-70b';
const provider = 'cerebras';
const spec = `${provider}/qwen-3-32b`;

export async function POST(request: Request) {
  await generateText({ model: own('qwen-3-coder-480b'), prompt: 'hi' });
  await generateText({ model: compatible.chat("llama-3.3-70b"), prompt: 'hi' });
  await generateText({ model: groq('deepseek-r1-distill-llama-70b'), prompt: 'hi' });
  await generateText({ model: 'cerebras/zai-glm-4.7', prompt: 'qwen-3-coder-480b, are you there?' });
  return fetch('https://api.cerebras.ai/v1/chat/completions', {
    method: 'POST',
    body: JSON.stringify({ model: 'llama3.1-8b', messages: [], max_tokens: 10 }),
  });
}

export type CerebrasModelId = 'llama3.1-8b' | 'gpt-oss-120b';
const limits: Record<string, number> = { 'qwen-3-coder-480b': 131072 };
if (MODEL === 'zai-glm-4.6') console.log(limits, fast, spec);
