// What the phone of this test lived through. Wall clocks are fixed, so that what is read back is known.

export const EPOCH = Buffer.from("00112233445566778899aabbccddeeff", "hex");
export const BOOT_ID = "boot-1";

export const INSTALL = {
  install_id: "node-phone",
  epoch: EPOCH,
  platform: "node",
  app_version: "1.2.3",
  sdk_name: "node-client",
};

const FIRST_SECOND = 1_700_000_000;

function at(second, nanos = 0) {
  return { seconds: FIRST_SECOND + second, nanos };
}

const scalars = [
  { key: "NUL", text: "before\u0000after" },
  { key: "Größe", number: 1.5 },
  { key: "beyond 2^53", integer: "9007199254740993" },
  { key: "lowest", integer: "-9223372036854775808" },
  { key: "renewal_date", date: { seconds: "1790000000", nanos: 0 } },
];
const objects = [
  { key: "page", link: "https://example.org/a?b=c" },
  { key: "order", rich_link: { url: "https://example.org/orders/7", title: "Order 7" } },
  { key: "picture", image: "https://example.org/a.png" },
  { key: "invoice", stripe: { kind: "KIND_INVOICE", id: "in_1" } },
  { key: "price", monetary: { amount: "9007199254740993", currency: "usd" } },
];
const sixNumbers = ["a", "b", "c", "d", "e", "f"].map((key, integer) => ({ key, integer }));

/** Ten generated, of which seven are sent: good, twice a copy, refused, warned, a visitor's, placed by uptime. */
export const EVENTS = [
  { sequence: 1, name: "invited-friend", created_at: at(0, 250_000_000), user_id: "u1", metadata: scalars },
  { sequence: 2, name: "tapped\u0000twice", created_at: at(10), user_id: "u1", metadata: objects },
  { sequence: 3, name: "Invited-Friend", created_at: at(0, 400_000_000), user_id: "u1" },
  { sequence: 4, name: " ", created_at: at(20), user_id: "u1" },
  { sequence: 5, name: "counted", created_at: at(30), user_id: "u1", metadata: sixNumbers },
  { sequence: 6, name: "invited-friend", created_at: at(-60), visitor_id: "v1" },
  {
    sequence: 7,
    name: "placed by uptime",
    created_at: at(40),
    user_id: "u1",
    uptime_millis: 1_000,
    boot_id: BOOT_ID,
  },
];

export const DROPPED = [{ first_sequence: 8, last_sequence: 9, reason: "DROP_REASON_QUEUE_FULL" }];
export const LAST_SEQUENCE = 10;

/** Uptime says 61 seconds since the event of sequence 7, whatever its wall clock says. */
export function sendClock() {
  const now = Date.now();
  return {
    wall_time: { seconds: Math.floor(now / 1000), nanos: (now % 1000) * 1_000_000 },
    uptime_millis: 62_000,
    boot_id: BOOT_ID,
  };
}
