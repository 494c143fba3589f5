// What intercom-client 4 does with a server of ours: Basic authentication, camel case, `listBy`, `nextPage`.
import { readFileSync } from "node:fs";
import intercom from "intercom-client-4";

const { Client } = intercom;

const told = JSON.parse(readFileSync(0, "utf8"));
const clientOf = (token) => new Client({ tokenAuth: { token } }).useRequestOpts({ baseURL: told.url });
const client = clientOf(told.key);

async function refused(call) {
  try {
    await call();
  } catch (error) {
    return { status: error.statusCode, errors: error.body.errors };
  }
  throw new Error("it was not refused");
}

const user = await client.contacts.createUser({ externalId: "node-4", email: "node4@example.org", name: "Node" });
for (const second of [1, 2, 3]) {
  await client.events.create({
    eventName: "invited-friend", createdAt: 1700000000 + second, userId: "node-4", metadata: { seats: 3 },
  });
}
const first = await client.events.listBy({ userId: "node-4", perPage: 2 });
const second = await client.nextPage(first.pages);
// It has no method of its own for counts, but one for whatever else the API has.
const called = { event_name: "called", count: 7, first: 1600000000, last: 1650000000 };
for (const again of [called, called]) {
  await client.post({ url: "/events/summaries", data: { user_id: "node-4", event_summaries: again } });
}
const summary = await client.events.listBy({ userId: "node-4", summary: true });
const found = await client.contacts.find({ id: user.id });
const searched = await client.contacts.search({
  data: { query: { field: "external_id", operator: "=", value: "node-4" } },
});
const lead = await client.contacts.createLead({ name: "Lead" });
const merged = await client.contacts.mergeLeadInUser({ leadId: lead.id, userId: user.id });
const converted = await client.visitors.mergeToContact({
  visitor: { userId: told.visitorId }, user: { userId: "node-4-visitor" }, type: "user",
});
const deleted = await client.contacts.delete({ id: converted.id });

const unknown = { eventName: "a", createdAt: 1700000000, userId: "nobody" };
const refusals = {
  unauthorized: await refused(() => clientOf("no such key").events.create(unknown)),
  notFound: await refused(() => clientOf(told.key).events.create(unknown)),
  rejected: await refused(() => client.events.create({ ...unknown, userId: "node-4", eventName: " " })),
  uncounted: await refused(
    () => client.post({ url: "/events/summaries", data: { user_id: "node-4", event_summaries: { event_name: "a" } } }),
  ),
};

process.stdout.write(JSON.stringify({
  pages: [first, second], summary, found, searched: searched.data.map((each) => each.id), merged, converted, deleted,
  refusals,
}));
