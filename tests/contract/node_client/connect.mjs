// TrackingService over the Connect protocol, with the protocol's own client for Node and the .proto files alone.

import { readFileSync } from "node:fs";
import { createFileRegistry, fromBinary, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";

const { url, sdk_key: sdkKey, image } = JSON.parse(readFileSync(0, "utf8"));
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(image)));
const service = registry.getService("workevo.tracking.v1.TrackingService");

function clientWith(key, useBinaryFormat) {
  const transport = createConnectTransport({
    baseUrl: url,
    httpVersion: "1.1",
    useBinaryFormat,
    defaultTimeoutMs: 20000,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${key}`);
        return next(request);
      },
    ],
  });
  return createClient(service, transport);
}

function upload(installId) {
  const event = (sequence, name) => ({
    sequence: BigInt(sequence),
    name,
    createdAt: { seconds: 1700000000n, nanos: 500000000 },
    contact: { case: "userId", value: `user of ${installId}` },
    metadata: [{ key: "n", value: { case: "integer", value: 9007199254740993n } }],
  });
  return {
    install: { installId, epoch: new Uint8Array(16) },
    events: [event(1, "seen by connect-node"), event(2, "")],
    lastSequence: 2n,
  };
}

async function refusal(call) {
  try {
    await call();
    return null;
  } catch (error) {
    const refused = ConnectError.from(error);
    return { code: Code[refused.code], details: refused.details.map((detail) => detail.type) };
  }
}

async function run(useBinaryFormat) {
  const request = upload(`connect-node ${useBinaryFormat}`);
  const answer = await clientWith(sdkKey, useBinaryFormat).uploadEvents(request);
  return {
    answer: toJson(service.method.uploadEvents.output, answer),
    unknown_key: await refusal(() => clientWith("nobody", useBinaryFormat).uploadEvents(request)),
    no_install: await refusal(() => clientWith(sdkKey, useBinaryFormat).uploadEvents({})),
  };
}

console.log(JSON.stringify({ proto: await run(true), json: await run(false) }));
