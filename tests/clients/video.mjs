// One video through the AI SDK: `node video.mjs ORIGIN`; prints what came as JSON.
import { createAlibaba } from "@ai-sdk/alibaba";
import { experimental_generateVideo as generateVideo } from "ai";

const provider = createAlibaba({ apiKey: "sk-node", videoBaseURL: process.argv[2] });
// The SDK's own download refuses loopback addresses; this is its switch.
const download = async ({ url }) => {
  const answer = await fetch(url);
  return { data: new Uint8Array(await answer.arrayBuffer()), mediaType: answer.headers.get("content-type") ?? undefined };
};
const { video, warnings } = await generateVideo({
  model: provider.video("wan2.6-t2v"),
  prompt: "a red fox",
  resolution: "1280x720",
  duration: 5,
  download,
  providerOptions: { alibaba: { pollIntervalMs: 200 } },
});
console.log(JSON.stringify({ type: video.mediaType, base64: video.base64, warnings }));
