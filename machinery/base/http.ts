// node:http as a value. An `import` of that module reads every export, and reading its WebSocket loads all of undici: 25 to
// 140 ms of the start for what nobody here uses. Types come from node:http as ever.
export const http = process.getBuiltinModule('node:http');
