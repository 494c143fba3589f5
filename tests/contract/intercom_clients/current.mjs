// What intercom-client 7 does with a server of ours. Reads where and with which keys, prints what it saw.
import { readFileSync } from "node:fs";
import { IntercomClient } from "intercom-client";

const told = JSON.parse(readFileSync(0, "utf8"));
const client = new IntercomClient({ token: told.key, baseUrl: told.url });

async function refused(call) {
  try {
    await call();
  } catch (error) {
    return { kind: error.constructor.name, status: error.statusCode, errors: error.body.errors };
  }
  throw new Error("it was not refused");
}

const user = await client.contacts.create({
  role: "user", external_id: "node-7", email: "node7@example.org", name: "Node", custom_attributes: { plan: "team" },
});
for (const second of [1, 2, 3]) {
  await client.events.create({
    event_name: "invited-friend", created_at: 1700000000 + second, user_id: "node-7",
    metadata: { order_date: "1392036272", seats: 3, price: { amount: 2999, currency: "usd" } },
  });
}
await client.events.create({ event_name: "invited-friend", created_at: 1700000001, email: "node7@example.org" });

const first = await client.events.list({ type: "user", user_id: "node-7", per_page: 2 });
const second = await (await fetch(first.pages.next, { headers: { authorization: `Bearer ${told.key}` } })).json();
const called = { event_name: "called", count: 7, first: 1600000000, last: 1650000000 };
for (const again of [called, called]) await client.events.summaries({ user_id: "node-7", event_summaries: again });
const summary = await client.events.list({ type: "user", user_id: "node-7", summary: true });

const found = [];
for await (const contact of await client.contacts.list({ per_page: 1 })) found.push(contact.external_id);
const searched = await client.contacts.search({ query: { field: "email", operator: "=", value: "node7@example.org" } });
const updated = await client.contacts.update({ contact_id: user.id, name: "Node 7" });
const lead = await client.contacts.create({ role: "lead", name: "Lead" });
await client.events.create({ event_name: "asked", created_at: 1700000000, id: lead.id });
const merged = await client.contacts.mergeLeadInUser({ from: lead.id, into: user.id });
const gone = await client.contacts.create({ role: "user", external_id: "node-7-gone" });
const deleted = await client.contacts.delete({ contact_id: gone.id });

const stranger = new IntercomClient({ token: "no such key", baseUrl: told.url });
const eager = new IntercomClient({ token: told.eagerKey, baseUrl: told.url });
const unknown = { event_name: "a", created_at: 1700000000, user_id: "nobody" };
const refusals = {
  unauthorized: await refused(() => stranger.events.create(unknown)),
  notFound: await refused(() => client.events.create(unknown)),
  rejected: await refused(() => client.events.create({ ...unknown, user_id: "node-7", event_name: " " })),
  uncounted: await refused(() => client.events.summaries({ user_id: "node-7", event_summaries: { event_name: "a" } })),
  rateLimited: await refused(async () => {
    for (;;) await eager.events.list({ type: "user", user_id: "nobody" }, { maxRetries: 0 }).catch((error) => {
      if (error.statusCode !== 404) throw error;
    });
  }),
};
const begun = Date.now();
const retried = await refused(() => eager.events.list({ type: "user", user_id: "nobody" }));

process.stdout.write(JSON.stringify({
  user, pages: [first, second], summary, found, searched: searched.data.map((each) => each.id), updated, merged,
  deleted, refusals, retried, retriedAfter: Date.now() - begun,
}));
