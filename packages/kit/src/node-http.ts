// `import … from 'node:http'` makes Node read all that the module exports, its WebSocket too, and with that load its
// whole copy of undici: 13 MiB and 20 ms in every process, for what none of them uses.
const http: typeof import('node:http') = process.getBuiltinModule('node:http');

/** `createServer` and `STATUS_CODES` of `node:http`. */
export const { createServer, STATUS_CODES } = http;
