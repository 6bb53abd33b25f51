// Drives the gateway by npm's `openclaw-node`, and prints what it saw as one line of JSON.
// Arguments: the package's entry, the gateway's address, its token, a folder.
const [entry, url, token, folder] = process.argv.slice(2);
const { OpenClawClient } = await import(entry);
process.removeAllListeners("warning");

const open = async (secret, name) => {
  const client = new OpenClawClient({
    url, token: secret, deviceIdentityPath: `${folder}/${name}.json`, autoReconnect: false,
    scopes: ["operator.read", "operator.write", "operator.admin"],
  });
  client.on("error", () => {});
  const hello = await client.connect();
  return { client, hello };
};

const saw = {};
const { client, hello } = await open(token, "device");
saw.protocol = hello.protocol;
saw.scopes = hello.auth.scopes;
saw.gotDeviceToken = typeof hello.auth.deviceToken === "string";
saw.health = (await client.health()).ok;

const kinds = [];
let text = "";
for await (const chunk of client.chat("hello", { sessionKey: "agent:main:node" })) {
  kinds.push(chunk.type);
  if (chunk.type === "text") text += chunk.text;
}
saw.chat = text;
saw.chatKinds = [...new Set(kinds)];
saw.chatSync = await client.chatSync("again", { sessionKey: "agent:main:node" });

const history = await client.sessions.history("agent:main:node");
saw.history = history.messages.map((one) => `${one.role}: ${one.content[0].text}`);
saw.sessions = (await client.sessions.list()).sessions.map((one) => one.key);
saw.agents = (await client.agents.list()).agents.map((one) => one.id);
saw.described = (await client.sessions.describe("agent:main:node")).session.key;
saw.channels = Object.keys((await client.channels.status()).channels);

// A run that is waited for and stopped.
const heard = [];
const subscription = await client.sessions.subscribeMessages("agent:main:slow", (event) => heard.push(event.event));
const run = await client.request("chat.send", {
  sessionKey: "agent:main:slow", message: "please stall", idempotencyKey: "slow-1",
});
saw.started = run.payload.status;
saw.waited = (await client.agentWait("slow-1", { timeoutMs: 50 })).status;
for (;;) {
  const aborted = await client.chatAbort("agent:main:slow");
  if (aborted.aborted) { saw.aborted = aborted.runIds; break; }
}
saw.afterwards = (await client.agentWait("slow-1", { timeoutMs: 30000 })).stopReason;
// The event and the answer come in any order.
for (let n = 0; n < 400 && !heard.includes("chat"); n++) await new Promise((done) => setTimeout(done, 25));
await subscription.unsubscribe();
saw.heard = heard.includes("chat");

saw.reset = (await client.sessions.reset("agent:main:node")).ok;
saw.deleted = (await client.sessions.delete("agent:main:node")).deleted;
try {
  await client.request("nonsense.method", {});
} catch (error) {
  saw.unknown = error.message;
}
try {
  await client.request("agent", { message: "x" });
} catch (error) {
  saw.invalid = error.message;
}
await client.disconnect();

// It comes back with the token that it was given, which its file keeps.
const again = await open("not the token", "device");
saw.byDeviceToken = again.hello.auth.scopes;
await again.client.disconnect();
try {
  await open("not the token", "stranger");
} catch (error) {
  saw.stranger = error.message;
}
console.log(JSON.stringify(saw));
process.exit(0);
