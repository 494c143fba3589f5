// The services, loaded from the .proto files alone: no generated code, no code of ours.

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const OPTIONS = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };
const DEADLINE_MILLIS = 20_000;

/** Clients of all services at `address`, each call with the key it is given. */
export function connect(address, protosFolder) {
  const definition = protoLoader.loadSync(
    [
      "workevo/tracking/v1/tracking.proto",
      "workevo/insight/v1/people.proto",
      "workevo/insight/v1/delivery.proto",
    ],
    { ...OPTIONS, includeDirs: [protosFolder] },
  );
  const { tracking, insight } = grpc.loadPackageDefinition(definition).workevo;
  const credentials = grpc.credentials.createInsecure();
  return {
    tracking: new tracking.v1.TrackingService(address, credentials),
    people: new insight.v1.PeopleService(address, credentials),
    delivery: new insight.v1.DeliveryService(address, credentials),
  };
}

/** The answer to one unary call; rejects with the grpc-js error. A key of null sends no header. */
export function call(client, method, request, key) {
  const metadata = new grpc.Metadata();
  if (key !== null) metadata.set("authorization", `Bearer ${key}`);
  const deadline = new Date(Date.now() + DEADLINE_MILLIS);
  return new Promise((resolve, reject) => {
    client[method](request, metadata, { deadline }, (error, answer) =>
      error ? reject(error) : resolve(answer),
    );
  });
}

/** Every item of a paged list, with how many each page held. */
export async function readPages(client, method, request, itemsOf, key) {
  const items = [];
  const pageSizes = [];
  let page_token = "";
  do {
    const page = await call(client, method, { ...request, page_token }, key);
    items.push(...itemsOf(page));
    pageSizes.push(itemsOf(page).length);
    page_token = page.next_page_token;
  } while (page_token !== "");
  return { items, pageSizes };
}
