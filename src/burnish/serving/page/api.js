// What the page asks the server: models, answers as they are written, and what somebody thinks of one.

const key = () => localStorage.getItem("burnish-key") ?? "";
const headers = () => ({ "Content-Type": "application/json", ...(key() ? { Authorization: `Bearer ${key()}` } : {}) });

async function refused(response) {
  let said = `${response.status} ${response.statusText}`;
  try {
    const body = await response.json();
    said = body.error?.message ?? said;
  } catch { /* not JSON: the status has to do */ }
  const error = new Error(said);
  error.status = response.status;
  return error;
}

export const setKey = (value) => localStorage.setItem("burnish-key", value);

export async function models() {
  const response = await fetch("v1/models", { headers: headers() });
  if (!response.ok) throw await refused(response);
  const chatting = (await response.json()).data.filter((model) => model.max_model_len); // an encoder has none
  return chatting.map((model) => model.id);
}

export async function judges() {
  const response = await fetch("v1/feedback", { headers: headers() });
  return response.ok && (await response.json()).enabled === true;
}

export async function judge(judgement) {
  const response = await fetch("v1/feedback", { method: "POST", headers: headers(), body: JSON.stringify(judgement) });
  if (!response.ok) throw await refused(response);
}

// Calls `heard` with each piece of the answer: {id}, {content}, {reasoning}, {extra}, {finish}.
export async function answer(request, signal, heard) {
  const body = JSON.stringify({ ...request, stream: true });
  const response = await fetch("v1/chat/completions", { method: "POST", headers: headers(), body, signal });
  if (!response.ok) throw await refused(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    waiting += value.replaceAll("\r\n", "\n");
    const events = waiting.split("\n\n");
    waiting = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
      if (!data || data === "[DONE]") continue;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      const choice = chunk.choices?.[0];
      heard({
        id: chunk.id, model: chunk.model, extra: chunk.burnish, finish: choice?.finish_reason ?? undefined,
        refusal: choice?.delta?.refusal ?? undefined, content: choice?.delta?.content ?? "", reasoning: choice?.delta?.reasoning_content ?? "",
      });
    }
  }
}
