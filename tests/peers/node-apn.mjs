// Other people's APNs client against the sandbox: node node-apn.mjs HOST PORT CA KEY KEY_ID TEAM_ID
// Prints one JSON line: how many were sent, and the reasons of those that failed.
import { readFileSync } from "node:fs";
import apn from "@parse/node-apn";

const [host, port, ca, key, keyId, teamId] = process.argv.slice(2);
const provider = new apn.Provider({
  token: { key, keyId, teamId },
  address: host,
  port: Number(port),
  ca: readFileSync(ca),
  production: true,
});

function note(change) {
  const note = new apn.Notification();
  note.topic = "com.example.app";
  note.alert = { title: "Hello", body: "from node-apn" };
  note.pushType = "alert";
  note.expiry = Math.floor(Date.now() / 1000) + 600;
  note.payload = { offer: "7" };
  change?.(note);
  return note;
}

const phones = Array.from({ length: 200 }, (_, n) => n.toString(16).padStart(64, "0"));
const good = await provider.send(note(), phones);
const reasons = {};
for (const [name, change, token] of [
  ["token", undefined, "abcd"],
  ["topic", (one) => (one.topic = "not a bundle id"), phones[0]],
  ["collapse", (one) => (one.collapseId = "x".repeat(65)), phones[0]],
  ["priority", (one) => { one.pushType = "background"; one.priority = 10; }, phones[0]],
  ["size", (one) => (one.payload = { story: "x".repeat(5000) }), phones[0]],
]) {
  const { failed } = await provider.send(note(change), token);
  reasons[name] = failed[0]?.response?.reason ?? failed[0]?.error?.message ?? null;
}
console.log(JSON.stringify({ sent: good.sent.length, failed: good.failed.length, reasons }));
provider.shutdown();
