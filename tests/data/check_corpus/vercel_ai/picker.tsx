import Cerebras from '@cerebras/cerebras_cloud_sdk';

const client = new Cerebras({ apiKey: process.env.CEREBRAS_API_KEY });

export function Picker() {
  return (
    <section>
      <p>Don't use qwen-3-coder-480b, it's "gone".</p>
      <CerebrasChat model="llama3.1-8b" />
      <Chat provider="cerebras" model={'llama-3.3-70b'} />
      <Chat provider="groq" model="deepseek-r1-distill-llama-70b" />
      <option value="zai-glm-4.7">GLM</option>
    </section>
  );
}

export const ask = () =>
  client.chat.completions.create({ model: 'qwen-3-32b', messages: [], max_tokens: 3 });
