// Types of what the snippet defines: `window.Workevo`. Rules are cited by their numbers in the product's rules.

/** A value under a key of an event's metadata (R5). Under a key that ends in `_date` or `_at` a Unix time is a date. */
export type MetadataValue =
  | string
  | number
  | bigint
  | boolean
  | Date
  | null
  | { url: string; value: string }
  | { image: string }
  | { amount: number; currency: string };

/** What an event says beside its name; the server keeps the first keys, 5 by default (R4). */
export type Metadata = Record<string, MetadataValue>;

export interface UpdateOptions {
  /** The person who is logged in: 1 to 255 characters. Absent: whoever the browser knows from before. */
  user_id?: string | number;
  /** HMAC-SHA256 of user_id under an identity secret, lower-case hexadecimal, made on your server (R19). */
  user_hash?: string;
  /** Anything else is an attribute of the person: `email`, `name`, and your own. */
  [attribute: string]: MetadataValue | undefined;
}

export interface BootOptions extends UpdateOptions {
  /** A browser key of the workspace that serves this page's origin. */
  app_id: string;
  /** Where the server is; by default where the script came from. */
  api_base?: string;
}

export interface Workevo {
  /** First of all, on every page. Calls before it are kept until it comes. */
  (verb: "boot", options: BootOptions): void;
  /** Queued at once, through page loads and offline, and sent in its time. */
  (verb: "trackEvent", name: string, metadata?: Metadata): void;
  /** Says who it is, with a proof or with more attributes. */
  (verb: "update", options: UpdateOptions): void;
  /** At log-out: forgets the user; what follows is a new visitor's. What is queued is still sent. */
  (verb: "shutdown"): void;
}

declare global {
  interface Window {
    Workevo: Workevo;
  }
  const Workevo: Workevo;
}
