// A refused call as its client sees it: the status, and the typed details behind it.

import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import protobuf from "protobufjs";

const root = protobuf.loadSync(fileURLToPath(new URL("refusals.proto", import.meta.url)));
const Status = root.lookupType("google.rpc.Status");

/** Await a call that must fail; returns its status code's name and its details by type. */
export async function refusalOf(pending) {
  try {
    await pending;
  } catch (error) {
    return { code: grpc.status[error.code], sentence: error.details, details: detailsOf(error) };
  }
  throw new Error("The call was answered, not refused.");
}

function detailsOf(error) {
  const [packed] = error.metadata.get("grpc-status-details-bin");
  if (packed === undefined) return null;
  const status = Status.decode(packed);
  return Object.fromEntries(status.details.map(unpack));
}

function unpack({ type_url, value }) {
  const name = type_url.slice(type_url.lastIndexOf("/") + 1);
  const type = root.lookupType(name);
  return [name, type.toObject(type.decode(value), { longs: String })];
}
