// Drives the package `ai` with three vendors' providers, as an app does: only `baseURL` is not the vendor's.
// "loaded", then a line of JSON in, a line of JSON out; runs in the folder that holds the packages.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.cwd()}/here.js`);
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { generateText, jsonSchema, streamText, tool } = await load("ai");
const { createOpenAI } = await load("@ai-sdk/openai");
const { createAnthropic } = await load("@ai-sdk/anthropic");
const { createGoogleGenerativeAI } = await load("@ai-sdk/google");

const TOOLS = {
  weather: tool({
    description: "Tells the weather.",
    inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] }),
  }),
};

const MODELS = {
  openai_chat: (root, model) => createOpenAI({ baseURL: `${root}/v1`, apiKey: "sk-of-the-app" }).chat(model),
  openai_responses: (root, model) => createOpenAI({ baseURL: `${root}/v1`, apiKey: "sk-of-the-app" })(model),
  anthropic: (root, model) => createAnthropic({ baseURL: `${root}/v1`, apiKey: "sk-of-the-app" })(model),
  gemini: (root, model) => createGoogleGenerativeAI({ baseURL: `${root}/v1beta`, apiKey: "of-the-app" })(model),
};

const asked = ({ wire, root, model, text, tools, more }) => ({
  model: MODELS[wire](root, model),
  system: "You help.",
  prompt: text,
  maxOutputTokens: 2000,
  maxRetries: 0,
  ...(tools ? { tools: TOOLS } : {}),
  ...more,
});

const told = (text, calls, usage, finish) => ({
  text,
  calls: calls.map((call) => [call.toolName, call.input]),
  finish,
  into: usage.inputTokens,
  cached: usage.inputTokenDetails?.cacheReadTokens ?? usage.cachedInputTokens,
  out: usage.outputTokens,
  reasoning: usage.outputTokenDetails?.reasoningTokens ?? usage.reasoningTokens,
});

const CALLS = {
  async generate(question) {
    const found = await generateText(asked(question));
    return told(found.text, found.toolCalls, found.usage, found.finishReason);
  },
  async stream(question) {
    let failed;
    const found = streamText({ ...asked(question), onError: ({ error }) => (failed = error) });
    const pieces = [];
    for await (const piece of found.textStream) pieces.push(piece);
    if (failed) throw failed;
    return { pieces, ...told(await found.text, await found.toolCalls, await found.usage, await found.finishReason) };
  },
};

const say = (found) => process.stdout.write(`${JSON.stringify(found)}\n`);

say("loaded");
for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...question } = JSON.parse(line);
  let found;
  try {
    found = await CALLS[call](question);
  } catch (error) {
    found = { raised: [error.name], message: error.message, status: error.statusCode, again: error.isRetryable };
  }
  say(found);
}
