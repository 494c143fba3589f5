// Workevo for web pages: what a page tells is kept in the browser until the server has answered for it.
// First, at once, in localStorage (the journal); then in IndexedDB, with its place in the order (the queue).
// Served without its comments and indentation. Rules are cited by their numbers (R7).
(() => {
  "use strict";
  const stub = window.Workevo;
  if (stub && stub.version) return; // The page loads it twice.

  const VERSION = "0.1.0";
  const SERVICE = "workevo.tracking.v1.TrackingService";
  const HOUR = 3600e3;
  const QUEUE_MAX = 1000; // Beyond it the oldest events give way, and are confessed (R14).
  const BATCH_MAX = 100;
  const FLUSH_EVENTS = 20;
  const FLUSH_DELAY = 2e3;
  const LEAVING_CHARS = 20e3; // A page that is left may still send 64 KiB, at 3 bytes a character.
  const script = document.currentScript;

  const random = () => crypto.getRandomValues(new Uint8Array(16));
  const newId = () => Array.from(random(), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const newEpoch = () => ({ epoch: btoa(String.fromCharCode(...random())), last: 0 });
  const iso = (wall) => new Date(wall).toISOString();
  const warn = (...what) => console.warn("Workevo:", ...what);
  const page = newId(); // The boot id of R8: performance.now() says nothing beyond this page.

  let key, base, journal, database, latest;
  let who = {}; // {user, visitor} as this page said; undefined is what the queue says.
  let count = 0, early = [], waiting = [], writing, flushing, timer, due = Infinity;
  let batch = BATCH_MAX, failures = 0, rest;
  let fresh = new Map(); // This page's own events that are queued and not settled.

  // What a page may say

  function told(call) {
    const [wall, uptime, [verb, given, metadata]] = call;
    if (!key && verb !== "boot") return early.push(call);
    try {
      verbs[verb](given, metadata, wall, uptime);
    } catch (error) {
      warn(verb, error);
    }
  }

  const verbs = {
    boot(options) {
      if (!key) {
        key = options.app_id;
        if (!key) return warn("app_id is missing");
        base = options.api_base || (script && script.src ? new URL(script.src).origin : "");
        journal = `workevo:${key}:`;
        recover();
        early.splice(0).forEach(told);
        addEventListener("online", () => {
          if (!left(rest) || rest.length < HOUR) rest = since(Math.random() * 1e3); // A refusal holds.
          arm(1e3);
        });
        addEventListener("pageshow", () => arm(0));
        addEventListener("pagehide", leave);
        document.addEventListener("visibilitychange", () => document.hidden && leave());
        arm(0);
      }
      verbs.update(options);
    },

    update({ app_id, api_base, user_id, user_hash, ...attributes }) {
      if (user_id != null) {
        user_id = String(user_id);
        // Somebody else on this browser has another visitor.
        who = { user: user_id, visitor: !who.user || who.user === user_id ? who.visitor : undefined };
      }
      write({ ...who, next: newId(), hash: user_hash, attributes: entries(attributes) });
    },

    trackEvent(name, metadata, wall, uptime) {
      const id = page + String(count++).padStart(6, "0");
      const event = { id, wall, uptime, boot: page, name: String(name), metadata: entries(metadata), ...who };
      try {
        localStorage.setItem(journal + id, JSON.stringify(event));
        event.journaled = true;
      } catch {} // Full or forbidden: the queue alone must do.
      write(event);
    },

    shutdown() {
      who = { user: null, visitor: newId() };
      write(who);
    },
  };

  const entries = (values) => Object.entries(values || {}).map(entry).filter(Boolean);

  // R5, as REST has it: what a value means by its key and its shape. The server judges.
  function entry([key, value]) {
    const name = key.trim().normalize().toLowerCase();
    const typed = (type, value) => ({ key, [type]: value });
    const is = (type) => typeof value === type;
    if (value == null) return;
    if (is("string") && /^stripe_(invoice|customer|charge)$/.test(name))
      return typed("stripe", { kind: "KIND_" + name.slice(7).toUpperCase(), id: value });
    const date = value instanceof Date ? +value : /_(date|at)$/.test(name) ? unixMillis(value) : NaN;
    if (date >= 0 && date < 253402300799500) return typed("date", iso(date));
    if (is("boolean")) return typed("text", String(value));
    if (is("bigint") ? value === BigInt.asIntN(64, value) : Number.isSafeInteger(value))
      return typed("integer", String(value));
    if (is("number")) return typed("number", isFinite(value) ? value : String(value));
    if (is("string")) {
      const url = link(value);
      return typed(!url ? "text" : /\.(png|jpe?g|gif|webp|svg|avif)$/i.test(url.pathname) ? "image" : "link", value);
    }
    const has = (...names) => Object.keys(value).sort().join() === names.join();
    if (has("url", "value")) return typed("richLink", { url: value.url, title: value.value });
    if (has("image")) return typed("image", value.image);
    if (has("amount", "currency") && Number.isSafeInteger(value.amount)) return typed("monetary", value);
    return typed("link", ""); // Stands for nothing: METADATA_VALUE_INVALID, naming the key.
  }

  function unixMillis(value) {
    if (typeof value !== "number" && !/^[0-9]+$/.test(value)) return NaN;
    return Math.floor(value < 1e11 ? value * 1e3 : value < 1e14 ? value : value < 1e17 ? value / 1e3 : value / 1e6);
  }

  function link(text) {
    try {
      return text.length <= 2048 && /^https?:\/\/[^\s\x00-\x1f\x7f-\x9f]+$/i.test(text) && new URL(text);
    } catch {}
  }

  // The queue

  const open = () =>
    (database ||= new Promise((resolve, reject) => {
      const asked = indexedDB.open("workevo:" + key);
      asked.onupgradeneeded = () => {
        asked.result.createObjectStore("state");
        asked.result.createObjectStore("queue", { keyPath: "place", autoIncrement: true }).createIndex("id", "id");
      };
      asked.onsuccess = () => {
        asked.result.onclose = () => (database = null); // The person cleared the storage.
        resolve(asked.result);
      };
      asked.onerror = () => {
        database = null;
        reject(asked.error);
      };
    }));

  // One transaction: `work` may change state and queue, and calls `done`. Resolves once that is durable.
  async function transact(work) {
    const transaction = (await open()).transaction(["state", "queue"], "readwrite", { durability: "strict" });
    return new Promise((resolve, reject) => {
      const states = transaction.objectStore("state");
      let state;
      transaction.oncomplete = () => resolve((latest = state));
      transaction.onabort = () => reject(transaction.error);
      states.get(0).onsuccess = ({ target }) => {
        state = target.result || { install: newId(), visitor: newId(), proofs: {}, dropped: [], ...newEpoch() };
        work(state, transaction.objectStore("queue"), () => states.put(state, 0));
      };
    });
  }

  // What was said, in its order; tried again until it is durable.
  async function write(saying) {
    waiting.push(saying);
    if (writing) return;
    writing = true;
    for (let delay = 1e3; waiting.length; ) {
      const sayings = waiting.slice();
      try {
        await transact((state, queue, done) => take(sayings, state, queue, done));
        waiting.splice(0, sayings.length);
        sayings.forEach(({ id, row, journaled }) => {
          if (row && row.boot === page) fresh.set(id, row);
          if (journaled) localStorage.removeItem(journal + id);
        });
        delay = 1e3;
      } catch (error) {
        warn(error);
        await new Promise((resolve) => setTimeout(resolve, delay));
        delay = Math.min(delay * 2, 60e3);
      }
    }
    writing = false;
    arm(fresh.size < FLUSH_EVENTS ? FLUSH_DELAY : 0);
  }

  function take([saying, ...others], state, queue, done) {
    if (!saying) return makeRoom(state, queue, done);
    const next = () => take(others, state, queue, done);
    if (!saying.id) {
      person(saying, state, queue);
      return next();
    }
    queue.index("id").getKey(saying.id).onsuccess = ({ target }) => {
      // Another tab may have found it in the journal, queued it, and even had it answered.
      if (!target.result && !(saying.journaled && !localStorage.getItem(journal + saying.id))) {
        const { journaled, user = state.user, visitor = state.visitor, ...event } = saying;
        const row = (saying.row = { ...event, user, visitor, epoch: state.epoch, sequence: ++state.last });
        queue.add(row).onsuccess = ({ target }) => (row.place = target.result);
      }
      next();
    };
  }

  // A log-in goes through the same queue, in order, and takes no sequence (R15).
  function person({ user, visitor, next, hash, attributes = [] }, state, queue) {
    if (visitor) state.visitor = visitor;
    if (user === null) state.user = user;
    user ||= state.user;
    if (!user) return;
    if (state.user && state.user !== user) state.visitor = next;
    if (hash) state.proofs[user] = hash;
    const known = JSON.stringify([user, hash, attributes]);
    if (state.known === known || (state.user === user && !hash && !attributes.length)) return;
    Object.assign(state, { user, known });
    queue.add({ id: newId(), user, visitor: state.visitor, attributes, wall: Date.now(), uptime: performance.now(), boot: page });
  }

  function makeRoom(state, queue, done) {
    queue.count().onsuccess = ({ target }) => {
      let over = target.result - QUEUE_MAX;
      if (over <= 0) return done();
      queue.openCursor().onsuccess = ({ target: { result: cursor } }) => {
        if (!cursor || !over) return done();
        if (cursor.value.sequence) {
          drop(cursor.value, "QUEUE_FULL", state, queue);
          over--;
        }
        cursor.continue();
      };
    };
  }

  function drop({ place, epoch, sequence }, reason, { dropped }, queue) {
    const before = dropped.find((each) => each.epoch === epoch && each.reason === reason && each.last === sequence - 1);
    if (before) before.last = sequence;
    else dropped.push({ epoch, first: sequence, last: sequence, reason });
    queue.delete(place);
  }

  // What an earlier page, or another tab, wrote down and did not live to queue.
  function recover() {
    try {
      for (const name of Object.keys(localStorage).sort())
        if (name.startsWith(journal)) {
          const event = JSON.parse(localStorage.getItem(name));
          if (event && event.boot !== page) write({ ...event, journaled: true });
        }
    } catch (error) {
      warn(error);
    }
  }

  // Sending

  const since = (length) => ({ since: Date.now(), length: Math.min(length, HOUR) });

  // What is left of a wait: it never grows, whatever is done to the clock.
  function left(wait) {
    const gone = wait ? Date.now() - wait.since : -1;
    return gone < 0 ? 0 : Math.max(0, wait.length - gone);
  }

  function arm(delay) {
    const at = performance.now() + delay;
    if (at >= due) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(flush, delay);
  }

  async function flush() {
    due = Infinity;
    if (flushing) return arm(FLUSH_DELAY);
    flushing = true;
    let wait;
    const send = async () => {
      while ((wait = await step()) === 0);
    };
    try {
      // One tab sends; the others wait for their turn and then find nothing left.
      await (navigator.locks ? navigator.locks.request("workevo:" + key, send) : send());
    } catch (error) {
      warn(error);
      wait = backoff();
    }
    flushing = false;
    if (wait) arm(wait);
  }

  function pause(length) {
    rest = since(length);
    return length;
  }

  const backoff = () => pause(1 + Math.random() * Math.min(300e3, 1e3 * 2 ** failures++));

  // One call. How long to wait for the next; undefined when there is nothing to wait for.
  async function step() {
    let rows;
    const state = await transact((_state, queue, done) => {
      done();
      queue.getAll().onsuccess = ({ target }) => (rows = target.result);
    });
    const silence = Math.max(left(state.quiet), left(rest));
    if (silence) return silence;
    const held = ({ hold, user }) => (hold && hold.proof === state.proofs[user] ? left(hold) : 0);
    const ready = rows.filter((row) => !held(row));
    const [first] = ready;
    if (!first && !state.dropped.length) return rows.length ? Math.min(...rows.map(held)) : undefined;
    if (first && !first.sequence) return answered(await call("Identify", login(first, state)), [first]);
    const { epoch } = first || state.dropped[0];
    const end = ready.findIndex((row, place) => place === batch || !row.sequence || row.epoch !== epoch);
    const events = end < 0 ? ready : ready.slice(0, end);
    const lowest = rows.find((row) => row.epoch === epoch);
    const through = lowest ? lowest.sequence - 1 : epoch === state.epoch ? state.last : 0;
    return answered(await call("UploadEvents", upload(state, epoch, events, through)), events);
  }

  const clock = (wall, uptime, bootId) => ({ wallTime: iso(wall), uptimeMillis: Math.round(uptime), bootId });
  const now = () => clock(Date.now(), performance.now(), page);

  const install = (state, epoch) => ({
    installId: state.install,
    epoch,
    platform: "browser",
    sdkName: "workevo-browser",
    sdkVersion: VERSION,
    locale: navigator.language,
    timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  });

  const upload = (state, epoch, events, appliedThrough) => ({
    install: install(state, epoch),
    sendClock: now(),
    events: events.map(({ sequence, name, wall, uptime, boot, user, visitor, metadata }) => ({
      sequence,
      name,
      createdAt: iso(wall),
      [user ? "userId" : "visitorId"]: user || visitor,
      metadata,
      uptimeMillis: Math.round(uptime),
      bootId: boot,
    })),
    lastSequence: Math.max(epoch === state.epoch ? state.last : 0, ...events.map((event) => event.sequence)),
    appliedThrough,
    dropped: state.dropped
      .filter((each) => each.epoch === epoch)
      .slice(0, 1000)
      .map(({ first, last, reason }) => ({ firstSequence: first, lastSequence: last, reason: "DROP_REASON_" + reason })),
    identityProofs: [...new Set(events.map((event) => event.user))]
      .filter((user) => state.proofs[user])
      .map((userId) => ({ userId, userHash: state.proofs[userId] })),
  });

  const login = ({ user, visitor, attributes, wall, uptime, boot }, state) => ({
    install: install(state, state.epoch),
    visitorId: visitor,
    userId: user,
    userHash: state.proofs[user],
    attributes,
    identifyClock: clock(wall, uptime, boot),
    sendClock: now(),
  });

  // One attempt. {answer}, or {code, delay, details} of a refusal or of no answer.
  async function call(method, body, keepalive) {
    const controller = new AbortController();
    const deadline = setTimeout(() => controller.abort(), 30e3);
    try {
      const response = await fetch(`${base}/${SERVICE}/${method}`, {
        method: "POST",
        headers: { authorization: "Bearer " + key, "content-type": "application/json" },
        body: JSON.stringify(body),
        credentials: "omit",
        keepalive,
        signal: controller.signal,
      });
      const delay = response.headers.get("retry-after") * 1e3;
      const answer = await response.json();
      return response.ok ? { body, answer } : { body, delay, ...answer };
    } catch {
      return { body }; // No answer, or a page of something between us and the server.
    } finally {
      clearTimeout(deadline);
    }
  }

  async function answered({ body, answer, code, delay, details }, sent) {
    const taken = answer && addsUp(answer, sent);
    if (taken) {
      failures = 0;
      batch = Math.min(BATCH_MAX, batch * 2);
      await settle(sent, answer, body);
      delay = parseFloat(answer.nextUploadDelay) * 1e3;
    }
    if (delay > 0) {
      await transact((state, _queue, done) => {
        state.quiet = since(delay);
        done();
      });
      return delay;
    }
    if (taken) return 0;
    const [first, second] = sent;
    if (code === "invalid_argument" || (details || []).some(({ value }) => atob(value).includes("UPLOAD_TOO_LARGE"))) {
      if (second) {
        batch = Math.ceil(sent.length / 2);
        return 0;
      }
      // One event alone is given up only where the same call without it is taken.
      if (first && first.sequence && (await call("UploadEvents", { ...body, events: [] })).answer) {
        await change([first], (row, _place, state, queue) => drop(row, "QUARANTINED", state, queue));
        return 0;
      }
    }
    if (/invalid_arg|unauth|permission/.test(code)) {
      warn("the server refuses this page:", code);
      return pause(HOUR);
    }
    if (code === "resource_exhausted") batch = Math.ceil(sent.length / 2) || 1;
    return backoff();
  }

  // R11: an answer that does not add up settles nothing.
  function addsUp({ results = [], acceptedCount = 0, verdict }, sent) {
    if (sent[0] && !sent[0].sequence) return verdict;
    const isOf = ({ index = 0, sequence = 0, verdict }) =>
      verdict && sent[index] && (+sequence === sent[index].sequence || (+sequence === 0 && verdict === "VERDICT_REJECTED"));
    const others = results.filter(({ verdict }) => verdict !== "VERDICT_ACCEPTED").length;
    const places = new Set(results.map(({ index = 0 }) => index));
    return results.every(isOf) && places.size === results.length && acceptedCount + others === sent.length;
  }

  function settle(sent, answer, { dropped = [], install }) {
    const told = new Set(dropped.map((each) => [install.epoch, each.firstSequence, each.lastSequence].join()));
    const results = answer.verdict ? [answer] : answer.results || [];
    sent.forEach(({ id }) => fresh.delete(id));
    return change(
      sent,
      (row, place, state, queue) => outcome(row, results.find(({ index = 0 }) => index === place) || {}, state, queue),
      (state) => (state.dropped = state.dropped.filter(({ epoch, first, last }) => !told.has([epoch, first, last].join()))),
    );
  }

  // Those of the rows that no other tab has settled meanwhile, or moved into a new epoch.
  function change(rows, each, first = () => {}) {
    return transact((state, queue, done) => {
      first(state);
      rows.forEach((row, place) => {
        queue.get(row.place).onsuccess = ({ target: { result: kept } }) => {
          if (kept && kept.sequence === row.sequence && kept.epoch === row.epoch) each(kept, place, state, queue);
          done();
        };
      });
      done();
    });
  }

  function outcome(row, { verdict, retriable, reason, message, retryDelay }, state, queue) {
    if (!retriable) {
      if (verdict === "VERDICT_REJECTED") warn(row.name || row.user, "was refused:", message);
      queue.delete(row.place);
    } else if (reason === "REASON_EPOCH_FORKED") {
      // Two browsers hold one queue (R14a): this event and all new ones go into a new epoch.
      if (state.epoch === row.epoch) Object.assign(state, newEpoch());
      queue.put({ ...row, epoch: state.epoch, sequence: ++state.last });
    } else {
      const delay = Math.max(1e3, parseFloat(retryDelay) * 1e3 || 60e3);
      queue.put({ ...row, hold: { ...since(delay), proof: state.proofs[row.user] } });
    }
  }

  // The page is left: what it queued itself goes out now, by a request that outlives it. It stays queued
  // until some page has the answer, and a repeat is recognised (R7).
  async function leave() {
    let room = LEAVING_CHARS;
    const rows = [...fresh.values()];
    const sent = rows.filter((row) => row.epoch === rows[0].epoch && (room -= JSON.stringify(row).length) > 0);
    fresh.clear();
    if (!sent.length || left(rest) || left(latest.quiet)) return;
    const { body, answer } = await call("UploadEvents", upload({ ...latest, dropped: [] }, sent[0].epoch, sent, 0), true);
    if (answer && addsUp(answer, sent)) await settle(sent, answer, body);
  }

  window.Workevo = Object.assign((...given) => told([Date.now(), performance.now(), given]), { version: VERSION });
  if (stub) (stub.q || []).forEach(told);
})();
