// Uploads, is answered, logs in, reads back, and is refused; prints what it saw as one JSON object.
// Standard input: {"address", "sdk_key", "server_key", "protos"}.

import { readFileSync } from "node:fs";

import { call, connect, readPages } from "./contract.mjs";
import { DROPPED, EVENTS, INSTALL, LAST_SEQUENCE, sendClock } from "./events.mjs";
import { refusalOf } from "./refusals.mjs";

const { address, sdk_key, server_key, protos } = JSON.parse(readFileSync(0, "utf8"));
const { tracking, people, delivery } = connect(address, protos);

const upload = (changes, key = sdk_key) =>
  call(
    tracking,
    "UploadEvents",
    { install: INSTALL, send_clock: sendClock(), last_sequence: LAST_SEQUENCE, ...changes },
    key,
  );

async function track() {
  const events = { events: EVENTS, dropped: DROPPED };
  return { first: await upload(events), again: await upload(events) };
}

function logIn() {
  const clocks = { identify_clock: sendClock(), send_clock: sendClock() };
  const claim = { install: INSTALL, visitor_id: "v1", user_id: "u1" };
  return call(tracking, "Identify", { ...claim, ...clocks }, sdk_key);
}

async function readBack() {
  const whom = { user_id: "u1" };
  return {
    summary: await call(people, "GetEventSummary", whom, server_key),
    summaryOfVisitor: await call(people, "GetEventSummary", { visitor_id: "v1" }, server_key),
    timeline: await readPages(
      people,
      "ListActivities",
      { ...whom, page_size: 2 },
      (page) => page.activities,
      server_key,
    ),
    installs: await readPages(delivery, "ListInstalls", {}, (page) => page.installs, server_key),
    ledger: await call(delivery, "GetLedger", { install_id: INSTALL.install_id }, server_key),
  };
}

async function beRefused() {
  const tooMany = Array.from({ length: 501 }, (_, index) => ({ sequence: index + 1 }));
  const shortEpoch = { ...INSTALL, epoch: Buffer.from("short") };
  const summaryOf = (user_id, key) => call(people, "GetEventSummary", { user_id }, key);
  return {
    withoutKey: await refusalOf(upload({}, null)),
    withUnknownKey: await refusalOf(upload({}, "nobody")),
    readingWithSdkKey: await refusalOf(summaryOf("u1", sdk_key)),
    ofUnknownContact: await refusalOf(summaryOf("nobody", server_key)),
    withShortEpoch: await refusalOf(upload({ install: shortEpoch })),
    withTooManyEvents: await refusalOf(upload({ events: tooMany })),
  };
}

const seen = {
  uploads: await track(),
  identify: await logIn(),
  readBack: await readBack(),
  refusals: await beRefused(),
};
for (const client of [tracking, people, delivery]) client.close();
process.stdout.write(
  JSON.stringify(seen, (_, value) =>
    value?.type === "Buffer" ? Buffer.from(value.data).toString("hex") : value,
  ),
);
